from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, TypeGuard

from swanlab_mcp.analysis.bands import Spread
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.selection import Selection
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument, NotFound
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse, Experiment, Points
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.refs import ExperimentRef, label_experiments, prefix_names
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.arguments import (
    BandKind,
    End,
    GroupBy,
    LogX,
    LogY,
    MetricKeys,
    OptionalProject,
    PlotAxis,
    PlotExperiments,
    Smoothing,
    Start,
    Username,
)
from swanlab_mcp.operations.keys import match_known_keys
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.metrics import read_selection
from swanlab_mcp.operations.partial import read_known
from swanlab_mcp.operations.plot_groups import REPEATS, PlotGroup, find_config_values, group_experiments
from swanlab_mcp.operations.reading import read_every_point

__all__ = ["CLOCKS", "METRIC", "MOST_CURVES", "Plot", "PlottedExperiment", "PlottedSeries", "plot_metrics"]

MOST_CURVES = 20
CLOCKS = ("step", "time", "relative_time")
_CONFIG, METRIC = "config.", "metric."  # prefixes of an x axis on which each experiment is a single point
_Answers = Sequence[tuple["PlottedExperiment", ApiResponse[dict[str, Points]]]]


class PlottedExperiment(NamedTuple):
    """An experiment in a plot.

    `label` is its id or path. `began` is its start time in Unix seconds, or 0 if it is unknown. If the x axis is a
    metric, `axis` maps steps to x values. In a scatter plot, `x` is the experiment's x value, and `shade` is the
    number that determines its colour.
    """

    ref: ExperimentRef
    label: str
    name: str
    began: float
    keys: Sequence[str]
    found: Experiment
    axis: Mapping[int, float] = MappingProxyType({})
    x: float = math.nan
    shade: float = math.nan


class PlottedSeries(NamedTuple):
    """All points of one metric in one experiment."""

    experiment: PlottedExperiment
    key: str
    points: Points


class Plot(NamedTuple):
    """The series in a plot, and the options for drawing them.

    `links` are the URLs of the project pages, and `groups` contain indices into `experiments`. If `is_scatter` is true,
    each series is the summary of one experiment, which is drawn as a point. `colour` is the metric or config key that
    determines the colour of the points, or "".
    """

    series: Sequence[PlottedSeries]
    selection: Selection
    x_axis: str
    smoothing: float
    log_y: bool
    links: Sequence[str]
    log_x: bool = False
    experiments: Sequence[PlottedExperiment] = ()
    groups: Sequence[PlotGroup] = ()
    band: Spread = "sd"
    is_scatter: bool = False
    colour: str = ""


async def plot_metrics(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuids: PlotExperiments,
    keys: MetricKeys,
    username: Username = "",
    x_axis: PlotAxis = "step",
    group_by: GroupBy = "",
    band: BandKind = "sd",
    smoothing: Smoothing = 0,
    log_x: LogX = False,
    log_y: LogY = False,
    start: Start = None,
    end: End = None,
) -> ApiResponse[Plot]:
    """Draw up to 20 curves of experiments or groups in one image.

    Use get_metrics for the values. Returns a PNG that marks the best point, the first NaN and the start of a lasting
    decline, and each curve's last, smallest and largest values with their steps.
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
    is_scatter = x_axis.startswith((_CONFIG, METRIC))
    colour = _choose_colour(experiments, group_by) if is_scatter else ""
    groups = [] if is_scatter else _group(experiments, group_by)
    _refuse_many(len(wanted) if is_scatter else _count_curves(experiments, wanted, groups))
    if x_axis.startswith(_CONFIG):
        experiments = _set_x(experiments, x_axis, notes)
    read = partial(_read_summary, client, colour=colour) if is_scatter else partial(_read, client)
    answers = await progress.follow("experiments", *(read(one, wanted, x_axis=x_axis) for one in experiments))
    if x_axis.startswith(METRIC):
        answers = _drop_without_x(answers, x_axis, notes)
    notes += [note for _, answer in answers for note in answer.notes]
    notes += [
        gettext(
            "{name} ({cuid}) has not logged {key}.",
            name=quote(one.name),
            cuid=quote(one.label),
            key=quote(key),
        )
        for one in experiments
        for key in wanted
        if key not in one.keys and key in keys
    ]
    experiments = [one for one, _ in answers]
    if colour:
        experiments = _shade(experiments, colour, notes)
        answers = [(one, answer) for one, (_, answer) in zip(experiments, answers, strict=True)]
    elif is_scatter:
        groups = _group(experiments, group_by)
    series = [PlottedSeries(one, key, points) for one, answer in answers for key, points in (answer.data or {}).items()]
    links = [client.at(one.ref).get_link(one.ref.parent.experiment("<cuid>")) for one in experiments]
    plot = Plot(
        series, selection, x_axis, smoothing, log_y, links, log_x, experiments, groups, band, is_scatter, colour
    )
    return ApiResponse(data=plot, notes=notes)


def _group(experiments: Sequence[PlottedExperiment], group_by: str) -> list[PlotGroup]:
    if group_by.startswith(METRIC):
        raise InvalidArgument(
            gettext("{key} can only colour points, but this plot has curves.", key=quote(group_by)),
            hint=gettext("Group by a config key, or pass x_axis=config.KEY or metric.KEY."),
        )
    return group_experiments([one.found for one in experiments], group_by) if group_by else []


def _choose_colour(experiments: Sequence[PlottedExperiment], group_by: str) -> str:
    """Return the metric or numeric config key that determines the colour of the points.

    Returns "" if there is no colour scale, because groups determine the colours or all points have the same colour.
    """
    if group_by.startswith(METRIC):
        return group_by
    if group_by in ("", REPEATS):
        return ""
    values = [value for value in find_config_values([one.found for one in experiments], group_by) if value != ""]
    return group_by if all(map(_is_number, values)) and len(set(values)) > 1 else ""


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shade(experiments: Sequence[PlottedExperiment], colour: str, notes: list[str]) -> list[PlottedExperiment]:
    """Set the number that determines each experiment's colour. Raises NotFound if no experiment has a number."""
    shaded = [*experiments]
    if not colour.startswith(METRIC):
        values = find_config_values([one.found for one in experiments], colour)
        shaded = [
            one._replace(shade=float(value)) if _is_number(value) else one
            for one, value in zip(experiments, values, strict=True)
        ]
    without = sum(not math.isfinite(one.shade) for one in shaded)
    key = colour.removeprefix(METRIC)
    if without == len(shaded):
        raise match_known_keys(dict.fromkeys(name for one in shaded for name in one.keys), [key])[1] or NotFound(
            gettext("No experiment has a finite value for {key}.", key=quote(key))
        )
    if without:
        notes.append(
            ngettext(
                "{count} experiment without a finite value for {key} is shown in grey.",
                "{count} experiments without a finite value for {key} are shown in grey.",
                without,
                key=quote(key),
            )
        )
    return shaded


def _count_curves(experiments: Sequence[PlottedExperiment], wanted: Sequence[str], groups: Sequence[PlotGroup]) -> int:
    if groups:
        return len(groups) * len(wanted)
    return sum(key in one.keys for one in experiments for key in wanted)


def _refuse_many(count: int) -> None:
    if count > MOST_CURVES:
        raise InvalidArgument(
            gettext(
                "The arguments select {count} curves, but one picture can clearly show at most {most}.",
                count=count,
                most=MOST_CURVES,
            ),
            hint=gettext("Name fewer experiments or keys."),
        )


def _set_x(experiments: Sequence[PlottedExperiment], x_axis: str, notes: list[str]) -> list[PlottedExperiment]:
    """Return the experiments with a numeric `x_axis` value, each placed at that value.

    Raises InvalidArgument if there are none.
    """
    values = find_config_values([one.found for one in experiments], x_axis)
    shown = [one._replace(x=float(value)) for one, value in zip(experiments, values, strict=True) if _is_number(value)]
    if not shown:
        raise InvalidArgument(
            gettext("{key} is not a number in any experiment.", key=quote(x_axis)),
            hint=gettext("Pass it as group_by instead."),
        )
    if len(shown) < len(experiments):
        notes.append(
            ngettext(
                "{count} experiment without a numeric value for {key} is not drawn.",
                "{count} experiments without a numeric value for {key} are not drawn.",
                len(experiments) - len(shown),
                key=quote(x_axis),
            )
        )
    return shown


def _drop_without_x(answers: _Answers, x_axis: str, notes: list[str]) -> _Answers:
    """Return the answers for the experiments that have a value on the x axis. Raises NotFound if there are none."""
    shown = [(one, answer) for one, answer in answers if math.isfinite(one.x)]
    key = x_axis.removeprefix(METRIC)
    if not shown:
        raise match_known_keys(dict.fromkeys(name for one, _ in answers for name in one.keys), [key])[1] or NotFound(
            gettext("No experiment has a finite value for {key}.", key=quote(key))
        )
    if len(shown) < len(answers):
        notes.append(
            ngettext(
                "{count} experiment without a finite value for {key} is not drawn.",
                "{count} experiments without a finite value for {key} are not drawn.",
                len(answers) - len(shown),
                key=quote(key),
            )
        )
    return shown


async def _find_experiment(client: SwanLabClient, exp_cuid: str, *, project: str, username: str) -> PlottedExperiment:
    ref = await resolve_experiment(client, exp_cuid, project, username)
    ref, answer = await ask_about_experiment(client, ref, client.at(ref).get_experiment)
    logged = await client.at(ref).list_keys(ref, with_media=False)
    found = answer.data
    assert found is not None
    began = read_time(found.createdAt)
    return PlottedExperiment(
        ref, ref.cuid, found.name or ref.cuid, began.timestamp() if began else 0,
        logged.data.scalars if logged.data else (), found,
    )  # fmt: skip


def _label(experiments: Sequence[PlottedExperiment]) -> list[PlottedExperiment]:
    """Drop duplicate experiments, and add the project to labels and names if there are several projects."""
    distinct = {one.ref: one for one in experiments}
    labels, prefixes = label_experiments(distinct), prefix_names(distinct)
    return [one._replace(label=labels[ref], name=f"{prefixes[ref.parent]}{one.name}") for ref, one in distinct.items()]


async def _read(
    client: SwanLabClient, one: PlottedExperiment, wanted: Sequence[str], *, x_axis: str
) -> tuple[PlottedExperiment, ApiResponse[dict[str, Points]]]:
    keys = [key for key in wanted if key in one.keys]
    if not keys:
        return one, ApiResponse(data={})
    is_metric = x_axis not in CLOCKS
    if is_metric and x_axis not in one.keys:
        raise match_known_keys(one.keys, [x_axis])[1] or NotFound(x_axis)
    requested = [*keys, *([x_axis] if is_metric and x_axis not in keys else [])]
    # a sample may not contain the points to mark
    answer = await read_every_point(client.at(one.ref), one.ref, requested)
    points = dict(answer.data or {})
    if is_metric and x_axis in points:
        axis = points[x_axis]
        one = one._replace(axis=dict(zip(axis.steps, axis.values, strict=True)))
    return one, answer.model_copy(update={"data": {key: points[key] for key in keys if key in points}})


def _choose_result(key: str, values: Sequence[float]) -> float:
    """Return the best value, or the last value if it is unknown whether lower or higher is better."""
    finite = [value for value in values if math.isfinite(value)]
    direction = describe_key(key).direction
    if not direction or not finite:
        return values[-1]
    return min(finite) if direction == "min" else max(finite)


async def _read_summary(
    client: SwanLabClient, one: PlottedExperiment, wanted: Sequence[str], *, x_axis: str, colour: str
) -> tuple[PlottedExperiment, ApiResponse[dict[str, Points]]]:
    """Return the experiment with its x value and colour value, and its summary as points.

    The points of each key are the smallest, largest and last values.
    """
    answer = await client.at(one.ref).get_summary(one.ref)
    points: dict[str, Points] = {}
    x_key, colour_key = (name.removeprefix(METRIC) if name.startswith(METRIC) else "" for name in (x_axis, colour))
    for key in dict.fromkeys([*wanted, x_key, colour_key]):
        found = (answer.data or {}).get(key)
        if found and found.value is not None and found.step is not None:
            values = {end.step: float(end.value) for end in (found.min, found.max) if end and end.step is not None}
            values[found.step] = float(found.value)
            steps = sorted(values)
            points[key] = Points(steps, [values[step] for step in steps], [0] * len(steps))
    if x_key in points:
        one = one._replace(x=_choose_result(x_key, points[x_key].values))
    if colour_key in points:
        one = one._replace(shade=_choose_result(colour_key, points[colour_key].values))
    return one, ApiResponse(data={key: points[key] for key in wanted if key in points}, notes=answer.notes)
