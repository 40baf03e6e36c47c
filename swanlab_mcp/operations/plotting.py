from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from swanlab_mcp.analysis.selection import Selection
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse, Points
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.refs import ExperimentRef, label_experiments, prefix_names
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.arguments import (
    End,
    ExpCuids,
    LogY,
    MetricKeys,
    OptionalProject,
    PlotAxis,
    Smoothing,
    Start,
    Username,
)
from swanlab_mcp.operations.keys import match_known_keys
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.metrics import read_selection
from swanlab_mcp.operations.partial import read_known

__all__ = ["MOST_CURVES", "Plot", "PlottedExperiment", "PlottedSeries", "plot_metrics"]

MOST_CURVES = 20


class PlottedExperiment(NamedTuple):
    """An experiment of a plot; `label` is its id or path; `began` is in seconds since 1970, 0 for unknown."""

    ref: ExperimentRef
    label: str
    name: str
    began: float
    keys: Sequence[str]


class PlottedSeries(NamedTuple):
    """All points of a key of an experiment."""

    experiment: PlottedExperiment
    key: str
    points: Points


class Plot(NamedTuple):
    """The series of a plot and its options; `links` lead to the project pages."""

    series: Sequence[PlottedSeries]
    selection: Selection
    x_axis: str
    smoothing: float
    log_y: bool
    links: Sequence[str]


async def plot_metrics(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuids: ExpCuids,
    keys: MetricKeys,
    username: Username = "",
    x_axis: PlotAxis = "step",
    smoothing: Smoothing = 0,
    log_y: LogY = False,
    start: Start = None,
    end: End = None,
) -> ApiResponse[Plot]:
    """Draw up to 20 curves of one or several experiments as an image that you can see.

    Use get_metrics for the values. Returns a PNG that marks the best point, the first NaN and the step from which
    a curve stays worse, and per curve the last, smallest and largest value with their steps.
    Example: {"project": "mnist", "exp_cuids": ["lr-0.1", "lr-1"], "keys": ["val/loss"]}.
    """
    selection = read_selection(start, end)
    known, unknown = await read_known(exp_cuids, partial(_find_experiment, client, project=project, username=username))
    notes = [str(error) for error in unknown]
    experiments = _label(known)
    wanted, missing = match_known_keys(dict.fromkeys(key for one in experiments for key in one.keys), keys)
    if missing:
        if not wanted:
            raise missing
        notes.append(str(missing))
    count = sum(key in one.keys for one in experiments for key in wanted)
    if count > MOST_CURVES:
        raise InvalidArgument(
            say(
                "The arguments select {count} curves; one picture can show at most {most} distinctly.",
                count=count,
                most=MOST_CURVES,
            ),
            hint=say("Name fewer experiments, or fewer keys."),
        )
    answers = await progress.follow("experiments", *(_read(client, one, wanted) for one in experiments))
    notes += [note for answer in answers for note in answer.notes]
    notes += [
        say(
            "{name} ({cuid}) has not logged {key}.",
            name=quote(one.name),
            cuid=quote(one.label),
            key=quote(key),
        )
        for one in experiments
        for key in wanted
        if key not in one.keys and key in keys
    ]
    series = [
        PlottedSeries(one, key, points)
        for one, answer in zip(experiments, answers, strict=True)
        for key, points in (answer.data or {}).items()
    ]
    links = [client.at(one.ref).get_link(one.ref.parent.experiment("<cuid>")) for one in experiments]
    return ApiResponse(data=Plot(series, selection, x_axis, smoothing, log_y, links), notes=notes)


async def _find_experiment(client: SwanLabClient, exp_cuid: str, *, project: str, username: str) -> PlottedExperiment:
    ref = await resolve_experiment(client, exp_cuid, project, username)
    ref, answer = await ask_about_experiment(client, ref, client.at(ref).get_experiment)
    logged = await client.at(ref).list_keys(ref)
    began = read_time(answer.data.createdAt) if answer.data else None
    return PlottedExperiment(
        ref,
        ref.cuid,
        (answer.data.name if answer.data else "") or ref.cuid,
        began.timestamp() if began else 0,
        logged.data.scalars if logged.data else (),
    )


def _label(experiments: Sequence[PlottedExperiment]) -> list[PlottedExperiment]:
    """Return the experiments with the project in their labels and names, if there are several projects."""
    distinct = {one.ref: one for one in experiments}
    labels, prefixes = label_experiments(distinct), prefix_names(distinct)
    return [one._replace(label=labels[ref], name=f"{prefixes[ref.parent]}{one.name}") for ref, one in distinct.items()]


async def _read(client: SwanLabClient, one: PlottedExperiment, wanted: Sequence[str]) -> ApiResponse[dict[str, Points]]:
    keys = [key for key in wanted if key in one.keys]
    if not keys:
        return ApiResponse(data={})
    # a sample may lack the marked points
    return await client.at(one.ref).read_points(one.ref, keys, exact=True)
