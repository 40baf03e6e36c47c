from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.selection import Selection
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse, Points
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.arguments import (
    End,
    ExpCuids,
    LogY,
    MetricKeys,
    PlotAxis,
    ProjectName,
    Smoothing,
    Start,
    Username,
)
from swanlab_mcp.operations.keys import match_keys
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.metrics import read_selection

__all__ = ["MOST_CURVES", "Plot", "PlottedExperiment", "PlottedSeries", "plot_metrics"]

MOST_CURVES = 20


class PlottedExperiment(NamedTuple):
    """An experiment of a plot; `began` is in seconds since 1970, 0 for unknown."""

    ref: ExperimentRef
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
    project: ProjectName,
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
    experiments = await progress.follow(
        "experiments", *(_find_experiment(client, exp_cuid, project, username) for exp_cuid in dict.fromkeys(exp_cuids))
    )
    wanted = match_keys(dict.fromkeys(key for one in experiments for key in one.keys), keys)
    count = sum(key in one.keys for one in experiments for key in wanted)
    if count > MOST_CURVES:
        raise InvalidArgument(
            say(
                "That makes {count} curves; at most {most} can be told apart in one picture.",
                count=count,
                most=MOST_CURVES,
            ),
            hint=say("Name fewer experiments, or fewer keys."),
        )
    answers = await progress.follow("experiments", *(_read(client, one, wanted) for one in experiments))
    notes = [note for answer in answers for note in answer.notes]
    notes += [
        say(
            "{name} ({cuid}) has not logged {key}.",
            name=quote(one.name),
            cuid=quote(one.ref.cuid),
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


async def _find_experiment(client: SwanLabClient, exp_cuid: str, project: str, username: str) -> PlottedExperiment:
    ref = await resolve_experiment(client, exp_cuid, project, username)
    ref, answer = await ask_about_experiment(client, ref, client.at(ref).get_experiment)
    logged = await client.at(ref).list_keys(ref)
    began = read_time(answer.data.createdAt) if answer.data else None
    return PlottedExperiment(
        ref,
        (answer.data.name if answer.data else "") or ref.cuid,
        began.timestamp() if began else 0,
        logged.data.scalars if logged.data else (),
    )


async def _read(client: SwanLabClient, one: PlottedExperiment, wanted: Sequence[str]) -> ApiResponse[dict[str, Points]]:
    keys = [key for key in wanted if key in one.keys]
    if not keys:
        return ApiResponse(data={})
    # a sample may lack the marked points
    return await client.at(one.ref).read_points(one.ref, keys, exact=True)
