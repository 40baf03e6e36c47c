"""Prepare the lines of a plot: their statistics, x values, names and groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from swanlab_mcp.analysis.bands import Band, Spread, measure_band
from swanlab_mcp.analysis.deciding import read_curve
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.system_units import find_unit
from swanlab_mcp.analysis.trends import find_worsening
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.findings import PlottedCurve, round_number
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Extreme, Points
from swanlab_mcp.core.records import is_moment
from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.baselines import write_name
from swanlab_mcp.operations.plot_groups import PlotGroup
from swanlab_mcp.operations.plotting import CLOCKS, Plot, PlottedExperiment
from swanlab_mcp.present.chart_panels import Layout, divide_keys
from swanlab_mcp.present.charts import NameAxis

__all__ = [
    "Line",
    "XValues",
    "choose_value",
    "describe_line",
    "divide_lines",
    "group_lines",
    "list_x_values",
    "measure_group",
    "name_group",
    "name_lines",
    "name_runs",
]  # fmt: skip

_NAME = 60
XValues = Mapping[int, float]


class Line(NamedTuple):
    """The points of one metric within the selected range.

    The points belong to one experiment or, if there are `members`, are the means of a group.
    """

    experiment: PlottedExperiment
    key: str
    points: Points
    row: PlottedCurve
    members: Sequence[Line] = ()


def describe_line(number: int, one: PlottedExperiment, key: str, part: Points) -> PlottedCurve:
    odd = [step for step, value in zip(part.steps, part.values, strict=True) if not math.isfinite(value)]
    finite = [index for index, value in enumerate(part.values) if math.isfinite(value)]
    low, high = (
        (min(finite, key=part.values.__getitem__), max(finite, key=part.values.__getitem__)) if finite else (0, 0)
    )
    mode = describe_key(key).direction

    def report(index: int) -> Extreme:
        return Extreme(step=part.steps[index], value=part.values[index])

    return PlottedCurve(
        number=number,
        exp_cuid=one.label,
        name=one.name,
        key=key,
        unit=find_unit(key),
        points=len(part.steps),
        last=report(-1),
        min=report(low) if finite else None,
        max=report(high) if finite else None,
        best=(mode or None) if finite else None,
        non_finite=len(odd) or None,
        first_non_finite_step=odd[0] if odd else None,
        worse_since=_find_worse_since(key, part),
    )


def choose_value(line: Line) -> float:
    """Return the best value of a line, or the last value if it is unknown whether lower or higher is better."""
    best = line.row[line.row.best] if line.row.best else line.row.last
    return best.value if best else math.nan


def _find_worse_since(key: str, part: Points) -> int | None:
    """Return the step at which a metric starts to get worse without recovering, or `None` if it never does.

    The rule is the same as in diagnose_experiment.
    """
    curve = read_curve(key, part.steps, part.values)
    if not curve.is_judged or not curve.kind.must_improve:
        return None
    worse = find_worsening(curve.finite_steps, curve.costs)
    return worse.onset_step if worse else None


def divide_lines(lines: Sequence[Line]) -> list[Layout]:
    """Distribute the lines' metrics across panels."""
    values: dict[str, list[float]] = {}
    for line in lines:
        values.setdefault(line.key, []).extend(line.points.values)
    return divide_keys(values)


def list_x_values(lines: Sequence[Line], x_axis: str) -> tuple[NameAxis, list[dict[int, float]]]:
    """Return a function that makes the x-axis label and, for each line, a mapping from steps to x values.

    Steps without an x value are omitted. Raises InvalidArgument if the x values cannot be determined.
    """
    if x_axis == "step":
        return lambda: gettext("step"), [{step: step for step in line.points.steps} for line in lines]
    if x_axis not in CLOCKS:
        return lambda: x_axis, [
            {step: x for step in line.points.steps if math.isfinite(x := line.experiment.axis.get(step, math.nan))}
            for line in lines
        ]
    unknown = [line.experiment.label for line in lines if not line.experiment.began]
    if x_axis == "relative_time" and unknown:
        raise InvalidArgument(
            gettext("The start time of {cuid} is unknown.", cuid=quote(unknown[0])), hint=gettext("Use x_axis='time'.")
        )
    x_values = [
        {
            step: time / 1000 - (line.experiment.began if x_axis == "relative_time" else 0)
            for step, time in zip(line.points.steps, line.points.times, strict=True)
            if is_moment(time)
        }
        for line in lines
    ]
    if not any(x_values):
        raise InvalidArgument(gettext("No times are recorded for these points."), hint=gettext("Use x_axis='step'."))
    if x_axis == "time":
        first = datetime.fromtimestamp(min(x for xs in x_values for x in xs.values()), timezone.utc)
        return lambda: gettext("time (UTC), from {date}", date=f"{first:%Y-%m-%d}"), x_values
    longest = max(abs(x) for xs in x_values for x in xs.values())
    names = {
        3600: lambda: gettext("hours since the start"),
        60: lambda: gettext("minutes since the start"),
        1: lambda: gettext("seconds since the start"),
    }
    seconds = 3600 if longest > 3 * 3600 else 60 if longest > 300 else 1
    return names[seconds], [{step: x / seconds for step, x in xs.items()} for xs in x_values]


def name_lines(lines: Sequence[Line]) -> list[str]:
    """Return a label for each line: its metric if all lines belong to one experiment, otherwise its experiment."""
    names = name_runs(lines)
    is_one_run = len(set(names)) == 1 and len({line.key for line in lines}) > 1
    return [line.key for line in lines] if is_one_run else names


def name_runs(lines: Sequence[Line]) -> list[str]:
    """Return the name of each line's experiment, with the id appended if several experiments have the same name."""
    if any(line.members for line in lines):
        return [line.row.name for line in lines]
    ids = {line.experiment.label: line.experiment.name for line in lines}
    holders = Counter(ids.values())
    return [
        line.experiment.name
        if holders[line.experiment.name] == 1
        else f"{line.experiment.name} ({line.experiment.label})"
        for line in lines
    ]


def group_lines(lines: Sequence[Line], plot: Plot) -> list[Line]:
    """Return one line per group and metric, in the order of the groups."""
    indices = {one.ref: index for index, one in enumerate(plot.experiments)}
    keys = dict.fromkeys(line.key for line in lines)
    grouped: list[Line] = []
    for group in plot.groups:
        for key in keys:
            members = [line for line in lines if line.key == key and indices[line.experiment.ref] in group.indices]
            if any(math.isfinite(value) for line in members for value in line.points.values):
                joined = _join(len(grouped) + 1, group, members, plot.band)
                # use the keys of all experiments in the group, because the first may lack some keys
                grouped.append(joined._replace(experiment=plot.experiments[group.indices[0]]))
    return grouped


def measure_group(line: Line, x_values: Mapping[int, XValues], spread: Spread) -> Band:
    """Return a group's mean and band along the x axis.

    `x_values` maps the row number of each member to the member's x values by step.
    """
    curves: list[tuple[list[float], list[float]]] = []
    for member in line.members:
        xs = x_values[member.row.number]
        # x values must increase; if several points have the same x value, the last point is used
        points = dict(
            sorted((xs[step], value) for step, value in zip(member.points.steps, member.points.values, strict=True)
                   if step in xs)
        )  # fmt: skip
        curves.append((list(points), list(points.values())))
    return measure_band(curves, spread)


def name_group(group: PlotGroup) -> str:
    """Return a group's name, made from its config keys and values, with secrets masked."""
    pairs = [(key.rsplit(".", 1)[-1], mask_secrets(value, key)) for key, value in group.pairs]
    return shorten(write_name(pairs), _NAME) if pairs else gettext("all")


def _join(number: int, group: PlotGroup, members: Sequence[Line], spread: Spread) -> Line:
    """Return a group's line, with the points and statistics of the group's mean."""
    first = members[0]
    band = measure_band([(line.points.steps, line.points.values) for line in members], spread)
    points = Points([round(x) for x in band.xs], band.means, [0] * len(band.xs))
    row = describe_line(number, first.experiment, first.key, points)
    row = row.model_copy(
        update={
            "exp_cuid": "",
            "name": name_group(group),
            "points": None,
            "n": len(members),
            "n_last": band.counts[-1] if band.counts and band.counts[-1] != len(members) else None,
            "low": round_number(band.lows[-1]) if band.lows else None,
            "high": round_number(band.highs[-1]) if band.highs else None,
            "non_finite": sum(line.row.non_finite or 0 for line in members) or None,
            "worse_since": None,
            **{end: _round(extreme) for end in ("last", "min", "max") if (extreme := row[end])},
        }
    )
    return Line(first.experiment, first.key, points, row, members)


def _round(extreme: Extreme) -> Extreme:
    return Extreme(step=extreme.step, value=round_number(extreme.value))
