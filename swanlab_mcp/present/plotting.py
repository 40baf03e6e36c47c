"""Describe a plot, and draw its picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any, NamedTuple

from swanlab_mcp.analysis.deciding import read_curve
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.selection import reduce_points, select_points
from swanlab_mcp.analysis.smoothing import smooth
from swanlab_mcp.analysis.trends import find_worsening
from swanlab_mcp.core.errors import InvalidArgument, NotFound
from swanlab_mcp.core.i18n import join_sentences, say, say_plural
from swanlab_mcp.core.models import ApiResponse, Extreme, Page, Picture, PlottedCurve, Points
from swanlab_mcp.core.records import is_moment
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.plotting import Plot, PlottedExperiment
from swanlab_mcp.present.chart_panels import divide_keys, name_panel
from swanlab_mcp.present.charts import Chart, Curve, Mark, NameAxis, Panel, draw_chart
from swanlab_mcp.present.interactive import InteractiveCurve, describe_chart
from swanlab_mcp.present.sparklines import draw_sparkline

__all__ = ["publish"]

_DRAWN_POINTS = 2000  # two per pixel column
_UNLIKE = 100  # a curve this many times smaller than another is a flat line


class _Line(NamedTuple):
    """A curve's points in the selected range, and their places on the x axis."""

    experiment: PlottedExperiment
    key: str
    points: Points
    row: PlottedCurve


def publish(answer: ApiResponse[Any]) -> ApiResponse[list[PlottedCurve]]:
    """Return a plot as a picture with a row per curve; raises NotFound if there are no points to draw."""
    plot = answer.data
    if not isinstance(plot, Plot):
        return answer
    lines, pictures, remarks = _plot(plot)
    rows = [line.row for line in lines]
    links = [say("Pages: {link}", link=link) for link in plot.links if link]
    return ApiResponse(
        data=rows,
        page=Page(returned=len(rows), total=len(rows)),
        notes=list(dict.fromkeys([*answer.notes, *remarks, *links])),
        pictures=pictures,
        view=partial(
            describe_chart,
            [InteractiveCurve(one.experiment.ref, one.experiment.began, one.points, one.row) for one in lines],
            x_axis=plot.x_axis,
            smoothing=plot.smoothing,
            log_y=plot.log_y,
        ),
    )


def _plot(plot: Plot) -> tuple[list[_Line], list[Picture], list[str]]:
    """Return the lines, the picture (empty without matplotlib), and the notes."""
    lines: list[_Line] = []
    notes: list[str] = []
    for one, key, points in plot.series:
        part = select_points(points, plot.selection, 0)
        if part.steps:
            lines.append(_Line(one, key, part, _describe(len(lines) + 1, one, key, part)))
        else:
            which = {"key": quote(key), "name": quote(one.name), "cuid": quote(one.label)}
            notes.append(
                say("{key} of {name} ({cuid}): no points in the requested range.", **which)
                if points.steps
                else say("{key} of {name} ({cuid}): no points yet.", **which)
            )
    if not lines:
        raise NotFound(say("There are no points to draw."), hint=join_sentences(*notes))
    notes += _check_log_axis(lines, plot)
    try:
        chart = _draw(lines, plot, notes)
    except (ImportError, OSError) as error:
        drawn = [draw_sparkline(line.points.values, is_log=plot.log_y) for line in lines]
        rows = [line.row.model_copy(update={"sparkline": bars}) for line, bars in zip(lines, drawn, strict=True)]
        advice = (
            say(
                "matplotlib is not installed, so there is no picture; sparklines instead. "
                "`pip install 'swanlab-mcp-server[plot]'` adds it."
            )
            if isinstance(error, ImportError)
            # e.g. no writable folder: matplotlib keeps its list of fonts in a file
            else say(
                "matplotlib cannot start ({kind}), so there is no picture; sparklines instead. "
                "Set MPLCONFIGDIR to a folder that the server may write to.",
                kind=type(error).__name__,
            )
        )
        return [line._replace(row=row) for line, row in zip(lines, rows, strict=True)], [], [advice, *notes]
    if chart.numbered:
        numbers = ", ".join(f"#{number}" for number in chart.numbered)
        notes.append(
            say("In the picture, {numbers} replace names that no installed font can display.", numbers=numbers)
        )
    return lines, [Picture(chart.png, "image/png")], notes


def _describe(number: int, one: PlottedExperiment, key: str, part: Points) -> PlottedCurve:
    odd = [step for step, value in zip(part.steps, part.values, strict=True) if not math.isfinite(value)]
    finite = [place for place, value in enumerate(part.values) if math.isfinite(value)]
    low, high = (
        (min(finite, key=part.values.__getitem__), max(finite, key=part.values.__getitem__)) if finite else (0, 0)
    )
    mode = describe_key(key).direction

    def report(place: int) -> Extreme:
        return Extreme(step=part.steps[place], value=part.values[place])

    return PlottedCurve(
        number=number,
        exp_cuid=one.label,
        name=one.name,
        key=key,
        points=len(part.steps),
        last=report(-1),
        min=report(low) if finite else None,
        max=report(high) if finite else None,
        best=(mode or None) if finite else None,
        non_finite=len(odd) or None,
        first_non_finite_step=odd[0] if odd else None,
        worse_since=_find_worse_since(key, part),
    )


def _find_worse_since(key: str, part: Points) -> int | None:
    """Return the step since which a loss or a quality is worse for good, by the rule of diagnose_experiment."""
    curve = read_curve(key, part.steps, part.values)
    if not curve.is_judged or not curve.kind.must_improve:
        return None
    worse = find_worsening(curve.finite_steps, curve.costs)
    return worse.onset_step if worse else None


def _check_log_axis(lines: Sequence[_Line], plot: Plot) -> list[str]:
    if plot.log_y:
        hidden = sum(value <= 0 for line in lines for value in line.points.values)
        if not any(value > 0 for line in lines for value in line.points.values):
            raise InvalidArgument(
                say("log_y needs values above 0, but all values are 0 or less."), hint=say("Omit log_y.")
            )
        return (
            [
                say_plural(
                    "{count} value at or below 0 is not shown on the logarithmic axis.",
                    "{count} values at or below 0 are not shown on the logarithmic axis.",
                    hidden,
                )
            ]
            if hidden
            else []
        )
    return [note for key in dict.fromkeys(line.key for line in lines) if (note := _compare_sizes(lines, key))]


def _compare_sizes(lines: Sequence[_Line], key: str) -> str:
    """Return a note if a curve of the key looks flat next to another."""
    sizes = {
        line.row.number: max(abs(line.row.min.value), abs(line.row.max.value))
        for line in lines
        if line.key == key and line.row.min and line.row.max
    }
    largest, smallest = max(sizes, key=sizes.__getitem__, default=0), min(sizes, key=sizes.__getitem__, default=0)
    if not sizes or sizes[largest] <= _UNLIKE * sizes[smallest]:
        return ""
    return say(
        "Curve {largest} is more than {times} times as large as curve {smallest}, which "
        "therefore looks flat: draw them separately, or use log_y.",
        largest=largest,
        times=_UNLIKE,
        smallest=smallest,
    )


def _draw(lines: Sequence[_Line], plot: Plot, notes: list[str]) -> Chart:
    name_x, places = _place(lines, plot.x_axis)
    lost = sum(len(line.points.steps) - len(xs) for line, xs in zip(lines, places, strict=True))
    if lost:
        notes.append(
            say_plural(
                "{count} point without a recorded time is not in the picture.",
                "{count} points without a recorded time are not in the picture.",
                lost,
            )
        )
    if plot.smoothing:
        notes.append(
            say(
                "The curves are smoothed ({weight:g}) and the raw values are faint; stars mark the best smoothed "
                "value. The figures of the table come from the raw values.",
                weight=plot.smoothing,
            )
        )
    panels = _divide(lines, places, plot)
    chart = draw_chart(panels, name_x=name_x, is_time=plot.x_axis == "time", log_y=plot.log_y)
    if chart.hidden:
        notes.append(
            say_plural(
                "{count} extreme point lies outside the picture; small triangles at its edge mark the place.",
                "{count} extreme points lie outside the picture; small triangles at its edge mark the places.",
                chart.hidden,
            )
        )
    return chart


def _divide(lines: Sequence[_Line], places: Sequence[Mapping[int, float]], plot: Plot) -> list[Panel]:
    """Return the panels; a run has one colour in all of them."""
    values: dict[str, list[float]] = {}
    for line in lines:
        values.setdefault(line.key, []).extend(line.points.values)
    layouts = divide_keys(values)
    runs = list(dict.fromkeys(line.experiment.ref for line in lines))
    names = _name(lines) if len(layouts) == 1 else _name_runs(lines)
    panels: list[Panel] = []
    for layout in layouts:
        curves = [
            _to_curve(line, xs, label, plot, (runs.index(line.experiment.ref), layout.keys.index(line.key)))
            for line, xs, label in zip(lines, places, names, strict=True)
            if line.key in layout.keys
        ]
        unit = layout.keys[0] if len(layout.keys) == 1 else " ".join(describe_key(layout.keys[0]).family)
        panels.append(Panel(name_panel(layout.keys), unit, curves))
    return panels


def _place(lines: Sequence[_Line], x_axis: str) -> tuple[NameAxis, list[dict[int, float]]]:
    """Return the x axis' name, and for each curve the place of each step; steps without a recorded time are absent."""
    if x_axis == "step":
        return lambda: say("step"), [{step: step for step in line.points.steps} for line in lines]
    unknown = [line.experiment.label for line in lines if not line.experiment.began]
    if x_axis == "relative_time" and unknown:
        raise InvalidArgument(
            say("The start of {cuid} is unknown.", cuid=quote(unknown[0])), hint=say("Use x_axis='time'.")
        )
    places = [
        {
            step: time / 1000 - (line.experiment.began if x_axis == "relative_time" else 0)
            for step, time in zip(line.points.steps, line.points.times, strict=True)
            if is_moment(time)
        }
        for line in lines
    ]
    if not any(places):
        raise InvalidArgument(say("No times are recorded for these points."), hint=say("Use x_axis='step'."))
    if x_axis == "time":
        first = datetime.fromtimestamp(min(x for xs in places for x in xs.values()), timezone.utc)
        return lambda: say("time (UTC), from {date}", date=f"{first:%Y-%m-%d}"), places
    longest = max(abs(x) for xs in places for x in xs.values())
    names = {
        3600: lambda: say("hours since the start"),
        60: lambda: say("minutes since the start"),
        1: lambda: say("seconds since the start"),
    }
    seconds = 3600 if longest > 3 * 3600 else 60 if longest > 300 else 1
    return names[seconds], [{step: x / seconds for step, x in xs.items()} for xs in places]


def _name(lines: Sequence[_Line]) -> list[str]:
    """Return labels that distinguish the lines by experiment, key, or both."""
    names = _name_runs(lines)
    if len({line.key for line in lines}) == 1:
        return names
    if len({line.experiment.label for line in lines}) == 1:
        return [line.key for line in lines]
    return [f"{name} {line.key}" for name, line in zip(names, lines, strict=True)]


def _name_runs(lines: Sequence[_Line]) -> list[str]:
    """Return the name of each line's experiment; equal names get the experiment's id."""
    ids = {line.experiment.label: line.experiment.name for line in lines}
    holders = Counter(ids.values())
    return [
        line.experiment.name
        if holders[line.experiment.name] == 1
        else f"{line.experiment.name} ({line.experiment.label})"
        for line in lines
    ]


def _to_curve(line: _Line, xs: Mapping[int, float], label: str, plot: Plot, style: tuple[int, int]) -> Curve:
    kept = [place for place, step in enumerate(line.points.steps) if step in xs]
    steps = [line.points.steps[place] for place in kept]
    values = [line.points.values[place] for place in kept]
    smoothed = smooth(values, plot.smoothing) if plot.smoothing else values
    return Curve(
        label,
        *_thin(steps, smoothed, xs),
        raw=_thin(steps, values, xs) if plot.smoothing else None,
        marks=_mark(line.row, steps, smoothed, xs),
        number=line.row.number,
        colour=style[0],
        dash=style[1],
    )


def _thin(steps: Sequence[int], values: Sequence[float], xs: Mapping[int, float]) -> tuple[list[float], list[float]]:
    kept = reduce_points(Points(steps, values, [0] * len(steps)), _DRAWN_POINTS)
    return [xs[step] for step in kept.steps], list(kept.values)


def _mark(row: PlottedCurve, steps: Sequence[int], values: Sequence[float], xs: Mapping[int, float]) -> list[Mark]:
    """Return the events of a curve; `values` are those that are drawn, smoothed or not."""
    marks: list[Mark] = []
    finite = [place for place, value in enumerate(values) if math.isfinite(value)]
    if row.best and finite:
        place = (min if row.best == "min" else max)(finite, key=values.__getitem__)
        marks.append(Mark("best", xs[steps[place]], values[place], f"{values[place]:.4g} @ {steps[place]}"))
    odd = next((place for place, value in enumerate(values) if not math.isfinite(value)), None)
    if odd is not None:
        near = next((value for value in [*reversed(values[:odd]), *values[odd:]] if math.isfinite(value)), None)
        word = "NaN" if math.isnan(values[odd]) else "inf"
        marks.append(Mark("non-finite", xs[steps[odd]], near, f"{word} @ {steps[odd]}"))
    if row.worse_since is not None and row.worse_since in xs:
        value = values[steps.index(row.worse_since)]
        marks.append(Mark("worsening", xs[row.worse_since], value, f"@ {row.worse_since}"))
    return marks
