from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from swanlab_mcp.analysis.filtering import Candidate, check_comparable, check_fields, passes, sort_candidates
from swanlab_mcp.client import SwanLabClient
from swanlab_mcp.errors import NotFound
from swanlab_mcp.models import ApiResponse, Experiment, Page, Summary
from swanlab_mcp.operations.arguments import Descending, Filters, PageNumber, PageSize, ProjectName, SortField, Username
from swanlab_mcp.operations.listing import add_notes, get_stretch, tell_page
from swanlab_mcp.operations.location import ask_about_project, locate_project
from swanlab_mcp.refs import find_near_names
from swanlab_mcp.untrusted import shorten

__all__ = ["find_experiments"]


async def find_experiments(
    client: SwanLabClient,
    *,
    project: ProjectName,
    filters: Filters = (),
    sort: SortField = "",
    descending: Descending = False,
    username: Username = "",
    page: PageNumber = 0,
    size: PageSize = 100,
) -> ApiResponse[list[Experiment]]:
    """Find the experiments of a project that meet all filters, sorted by any field.

    Use it for "which runs crashed?", "lr above 0.01", "best val/acc"; list_project_exps lists them all. Fields: name,
    description, state, group, job, labels, created, finished, config.<key> (nested keys with dots), metric.<key> (its
    last value). Times are UTC unless they carry an offset. What an experiment lacks meets only != and not-in. Returns
    experiments as list_project_exps, with the metrics that were asked about.
    Example: {"project": "digits-mlp", "filters": [{"field": "config.lr", "op": ">=", "value": 0.1}],
    "sort": "metric.val/acc", "descending": true}.
    """
    place = await locate_project(client, project, username)
    answer = await ask_about_project(client, place, lambda: client.list_experiments(place.username, place.project))
    experiments = answer.data or []
    configs = [_flatten(experiment.profile.get("config"), "") for experiment in experiments]
    config_keys = list(dict.fromkeys(key for config in configs for key in config))
    fields = [condition.field for condition in filters] + ([sort] if sort else [])
    if experiments:
        check_fields(fields, config_keys)
    keys = list(dict.fromkeys(field.partition(".")[2] for field in fields if field.startswith("metric.")))
    summaries: dict[str, Summary] = {}
    if keys and experiments:
        found = await client.get_summaries(place.username, place.project, experiments)
        summaries = found.data or {}
        _check_keys(keys, summaries)
    candidates = [
        Candidate(experiment, config, _read_last(summaries.get(experiment.cuid, {}), keys))
        for experiment, config in zip(experiments, configs, strict=True)
    ]
    for condition in filters:
        check_comparable(candidates, condition)
    matching = [one for one in candidates if all(passes(one, condition) for condition in filters)]
    if sort:
        matching = sort_candidates(matching, sort, descending=descending)
    chosen = [one.experiment.model_copy(update={"metrics": dict(one.metrics)}) for one in matching]
    offset, limit = get_stretch(page, size)
    shown = chosen[offset : None if limit is None else offset + limit]
    note = f"{len(chosen)} of the {len(experiments)} experiments meet the filters." if filters else ""
    order = f"by {shorten(sort)}, {'largest' if descending else 'smallest'} first" if sort else "as listed"
    whole = ApiResponse(data=shown, page=Page(returned=len(shown), total=len(chosen)), notes=answer.notes)
    link = client.get_link(place.username, place.project, "<cuid>")
    return add_notes(tell_page(whole, page, size, order), note, f"Pages: {link}" if link and chosen else "")


def _check_keys(keys: Sequence[str], summaries: dict[str, Summary]) -> None:
    logged = list(dict.fromkeys(key for summary in summaries.values() for key in summary))
    for key in keys:
        if key not in logged:
            near = find_near_names(key, logged) or logged[:10]
            hint = (
                f"Near ones: {', '.join(shorten(one) for one in near)}." if near else "None has logged a metric (yet)."
            )
            raise NotFound(f"No experiment of the project has a metric {shorten(key)!r}.", hint=hint)


def _read_last(summary: Summary, keys: Sequence[str]) -> dict[str, float]:
    return {key: value for key in keys if key in summary and (value := summary[key].value) is not None}


def _flatten(value: Any, prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            flat |= _flatten(item, f"{prefix}.{key}" if prefix else str(key))
            flat[f"{prefix}.{key}" if prefix else str(key)] = item
    return flat
