from __future__ import annotations

from swanlab_mcp.analysis.system_units import find_unit
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, MetricSummary, Page, Summary
from swanlab_mcp.operations.arguments import ExpCuid, Keys, OptionalProject, PageNumber, PageSize, Username
from swanlab_mcp.operations.copies import note_copy
from swanlab_mcp.operations.keys import match_known_keys
from swanlab_mcp.operations.listing import describe_page, get_slice
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment

__all__ = ["get_exp_summary"]


async def get_exp_summary(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuid: ExpCuid,
    username: Username = "",
    keys: Keys = (),
    page: PageNumber = 0,
    size: PageSize = 100,
) -> ApiResponse[Summary]:
    """Get one experiment's results: the last, smallest and largest value of every metric, with their steps.

    Use rank_experiments for many experiments, get_metrics for full curves. Returns for each key the last step and
    value, min and max (finite values, first step), and if known, how many values are NaN. The last value is not always
    the best.
    Example: {"project": "mnist", "exp_cuid": "lr-0.1", "keys": ["val/*"]}.
    """
    ref = await resolve_experiment(client, exp_cuid, project, username)
    ref, answer = await ask_about_experiment(client, ref, client.at(ref).get_summary)
    summary = answer.data or {}
    unknown = ""
    if keys:
        matching, missing = match_known_keys(summary, keys)
        if missing and not matching:
            raise missing
        unknown = str(missing) if missing else ""
        summary = {key: summary[key] for key in matching}
    names = sorted(summary, key=lambda key: key.startswith("__swanlab__"))[get_slice(page, size)]
    reported = describe_page(
        ApiResponse(data=names, page=Page(returned=len(names), total=len(summary))),
        page,
        size,
        gettext("system metrics last"),
    )
    link = client.at(ref).get_link(ref)
    where = link or ref
    copy = await note_copy(client, ref)
    note = unknown if answer.data else gettext("No metric has been logged for this experiment.")
    return ApiResponse(
        data={name: _add_unit(name, summary[name]) for name in names},
        page=reported.page,
        notes=[
            *answer.notes,
            *reported.notes,
            *filter(None, (note, copy)),
            gettext("Experiment: {where}", where=where),
        ],
    )


def _add_unit(key: str, summary: MetricSummary) -> MetricSummary:
    unit = find_unit(key)
    return summary.model_copy(update={"unit": unit}) if unit else summary
