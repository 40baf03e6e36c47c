"""Choose the experiments that a tool call refers to, and read their series and metric keys."""

from __future__ import annotations

from collections.abc import Sequence

from swanlab_mcp.client.base import FurtherKeys
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import Experiment, Filter, Points
from swanlab_mcp.core.refs import ProjectRef, Scope, find_near_names
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.finding import Choice, choose_experiments
from swanlab_mcp.operations.location import resolve_project
from swanlab_mcp.operations.reading import read_all, read_by_backend
from swanlab_mcp.operations.scope import resolve_scope

__all__ = [
    "choose_in_scope",
    "describe_missing_metric",
    "explain_missing_metric",
    "leave_out_projects",
    "list_chosen",
    "list_logged_keys",
    "read_series",
]

_ASKED_FOR_KEYS = 3
_NAMED = 10


async def list_chosen(
    client: SwanLabClient,
    project: str,
    username: str,
    filters: Sequence[Filter],
    keys: Sequence[str] = (),
    further: FurtherKeys | None = None,
) -> tuple[ProjectRef, Choice]:
    """Return the project, the experiments in it that match the filters, and their summaries of the metrics `keys`."""
    ref = await resolve_project(client, project, username)
    return ref, await choose_experiments(client, ref, filters, keys=keys, further=further)


async def choose_in_scope(
    client: SwanLabClient,
    project: Sequence[str],
    username: str,
    filters: Sequence[Filter],
    keys: Sequence[str] = (),
    further: FurtherKeys | None = None,
) -> tuple[Scope, Choice]:
    """Return the selected projects, the experiments in them that match the filters, and their summaries of `keys`."""
    ref, notes = await resolve_scope(client, project, username)
    choice = await choose_experiments(client, ref, filters, keys=keys, further=further)
    return ref, choice._replace(notes=[*notes, *choice.notes])


def leave_out_projects(ref: Scope, choice: Choice, metric: str) -> Choice:
    """Drop the projects in which no experiment has the metric, and add notes about comparing several projects.

    A choice from a single project is returned unchanged.
    """
    if isinstance(ref, ProjectRef):
        return choice
    advice = gettext("Projects may differ in data and settings, so compare their values with care.")
    choice = choice._replace(notes=[*choice.notes, advice])
    homes = [one.cuid[: one.cuid.rfind("/") + 1] for one in choice.experiments]
    having = {
        home
        for home, one in zip(homes, choice.experiments, strict=True)
        if metric in choice.summaries.get(one.cuid, {})
    }
    lacking = [one for one in dict.fromkeys(homes) if one not in having]
    if not having or not lacking:
        return choice
    names = ", ".join(quote(ref.experiment(one).parent) for one in lacking[:_NAMED])
    names += ", …" if len(lacking) > _NAMED else ""
    note = ngettext(
        "{count} project without the metric {key} is omitted: {names}.",
        "{count} projects without the metric {key} are omitted: {names}.",
        len(lacking),
        key=quote(metric),
        names=names,
    )
    kept = [one for home, one in zip(homes, choice.candidates, strict=True) if home in having]
    return choice._replace(candidates=kept, notes=[*choice.notes, note])


async def read_series(
    client: SwanLabClient,
    ref: Scope,
    experiments: Sequence[Experiment],
    keys: Sequence[str],
    *,
    exact: bool = True,
) -> list[dict[str, Points]]:
    """Return one dict per experiment, mapping each key to its points. Keys without points are omitted.

    If `exact` is false, each series is downsampled to at most 1,500 points.
    """
    refs = [ref.experiment(one.cuid) for one in experiments]
    return await read_by_backend(client, refs, lambda backend, own: backend.read_series(own, keys, exact=exact))


async def list_logged_keys(client: SwanLabClient, ref: Scope, experiments: Sequence[Experiment]) -> list[str]:
    """Return the keys of the scalar metrics that were logged by the first few experiments."""
    refs = [ref.experiment(one.cuid) for one in experiments[:_ASKED_FOR_KEYS]]
    answers = await read_all(refs, lambda one: client.at(one).list_keys(one, with_media=False))
    return list(dict.fromkeys(key for answer in answers if answer.data for key in answer.data.scalars))


async def explain_missing_metric(
    client: SwanLabClient, ref: Scope, experiments: Sequence[Experiment], metric: str
) -> None:
    """Raise NotFound for a missing metric, with similar keys from the first few experiments as a hint."""
    raise describe_missing_metric(await list_logged_keys(client, ref, experiments), metric, len(experiments))


def describe_missing_metric(logged: Sequence[str], metric: str, count: int) -> NotFound:
    """Return the error for a metric that is missing from all `count` experiments.

    `logged` contains the metric keys of a few of these experiments and is searched for similar names.
    """
    custom = [key for key in logged if not key.startswith("__swanlab__")]
    if metric not in custom:
        near = find_near_names(metric, custom) or custom[:_NAMED]
        reported = (
            gettext("Similar names: {names}.", names=", ".join(quote(key) for key in near))
            if near
            else gettext("The experiments have not logged any metrics.")
        )
        return NotFound(
            gettext("No experiment in the project has a metric {key!r}.", key=shorten(metric)), hint=reported
        )
    return NotFound(
        ngettext(
            "The {count} experiment has no value for this metric.",
            "None of the {count} experiments has a value for this metric.",
            count,
        ),
        hint=gettext("list_metrics shows which experiments lack the metric."),
    )
