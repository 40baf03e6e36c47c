"""Build the reply for a plot: draw the picture and describe the curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from swanlab_mcp.analysis.bands import UNLIKE, choose_limits, list_calm
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.selection import reduce_points, select_points
from swanlab_mcp.analysis.smoothing import smooth
from swanlab_mcp.core.errors import InvalidArgument, NotFound
from swanlab_mcp.core.findings import PlottedCurve
from swanlab_mcp.core.i18n import gettext, join_sentences, ngettext, use_language
from swanlab_mcp.core.models import ApiResponse, Page, Picture, Points
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.hiding import Hide, make_hide
from swanlab_mcp.operations.plotting import CLOCKS, Plot
from swanlab_mcp.present.chart_panels import name_panel
from swanlab_mcp.present.chart_parts import TEXTS, Curve, Mark, Panel
from swanlab_mcp.present.charts import Chart, NameAxis, draw_chart
from swanlab_mcp.present.interactive_curves import describe_view
from swanlab_mcp.present.plot_lines import (
    Line,
    XValues,
    describe_line,
    divide_lines,
    group_lines,
    list_x_values,
    measure_group,
    name_lines,
    name_runs,
)
from swanlab_mcp.present.scatter import arrange_points, describe_points, name_value
from swanlab_mcp.present.sparklines import draw_sparkline

__all__ = ["arrange", "publish"]

_DRAWN_POINTS = 2000  # two per pixel column


def publish(answer: ApiResponse[Any]) -> ApiResponse[list[PlottedCurve]]:
    """Return a plot as a picture and a table with one row per curve. Raises NotFound if there are no points to draw."""
    plot = answer.data
    if not isinstance(plot, Plot):
        return answer
    members, notes = _read_lines(plot)
    lines, pictures, remarks = _plot(members, plot)
    rows = [line.row for line in lines]
    links = [gettext("Pages: {link}", link=link) for link in plot.links if link]
    return ApiResponse(
        data=rows,
        page=Page(returned=len(rows), total=len(rows)),
        notes=list(dict.fromkeys([*answer.notes, *notes, *remarks, *links])),
        pictures=pictures,
        view=partial(describe_view, lines, members, plot),
    )


def arrange(plot: Plot) -> tuple[NameAxis, list[Panel]]:
    """Return two values: a function that returns the x-axis label, and the panels of the plot."""
    members, _ = _read_lines(plot)
    return _arrange_panels(_arrange_lines(members, plot), members, plot, [])


def _plot(members: list[Line], plot: Plot) -> tuple[list[Line], list[Picture], list[str]]:
    """Return the lines, the picture (if any) and the notes. Without matplotlib, sparklines replace the picture."""
    notes = _check_log_axis(members, plot)
    lines = _arrange_lines(members, plot)
    try:
        chart = _draw(lines, members, plot, notes)
    except (ImportError, OSError) as error:
        drawn = [draw_sparkline(line.points.values, is_log=plot.log_y) for line in lines]
        rows = [line.row.model_copy(update={"sparkline": bars}) for line, bars in zip(lines, drawn, strict=True)]
        advice = (
            gettext(
                "matplotlib is not installed, so sparklines replace the picture. Install it with `pip "
                "install 'swanlab-mcp-server[plot]'`."
            )
            if isinstance(error, ImportError)
            # for example, matplotlib needs a writable folder to cache its list of fonts
            else gettext(
                "matplotlib cannot start ({kind}), so sparklines replace the picture. Set MPLCONFIGDIR to a "
                "folder that the server can write to.",
                kind=type(error).__name__,
            )
        )
        return [line._replace(row=row) for line, row in zip(lines, rows, strict=True)], [], [advice, *notes]
    if chart.numbered:
        numbers = ", ".join(f"#{number}" for number in chart.numbered)
        notes.append(
            gettext("In the picture, {numbers} replace names that no installed font can display.", numbers=numbers)
        )
    return lines, [Picture(chart.png, "image/png")], notes


def _read_lines(plot: Plot) -> tuple[list[Line], list[str]]:
    """Return one line per experiment and metric in the selected range, and notes about lines without points.

    Raises NotFound if there are no points at all.
    """
    lines: list[Line] = []
    notes: list[str] = []
    for one, key, points in plot.series:
        part = select_points(points, plot.selection, 0)
        if part.steps:
            lines.append(Line(one, key, part, describe_line(len(lines) + 1, one, key, part)))
        else:
            which = {"key": quote(key), "name": quote(one.name), "cuid": quote(one.label)}
            notes.append(
                gettext("{key} of {name} ({cuid}): no points in the requested range.", **which)
                if points.steps
                else gettext("{key} of {name} ({cuid}): no points yet.", **which)
            )
    if not lines:
        raise NotFound(gettext("There are no points to draw."), hint=join_sentences(*notes))
    return lines, notes


def _arrange_lines(lines: list[Line], plot: Plot) -> list[Line]:
    """Return one line per metric for each experiment or group. Raises NotFound if there are no values."""
    if plot.is_scatter:
        return describe_points(lines)
    if not plot.groups:
        return lines
    grouped = group_lines(lines, plot)
    if not grouped:
        raise NotFound(gettext("There are no points to draw."), hint=gettext("All values are NaN or infinite."))
    return grouped


def _check_log_axis(lines: Sequence[Line], plot: Plot) -> list[str]:
    if plot.log_y:
        hidden = sum(value <= 0 for line in lines for value in line.points.values)
        if not any(value > 0 for line in lines for value in line.points.values):
            raise InvalidArgument(
                gettext("log_y needs values above 0, but all values are 0 or less."), hint=gettext("Omit log_y.")
            )
        return (
            [
                ngettext(
                    "{count} value at or below 0 is not shown on the logarithmic axis.",
                    "{count} values at or below 0 are not shown on the logarithmic axis.",
                    hidden,
                )
            ]
            if hidden
            else []
        )
    return [note for key in dict.fromkeys(line.key for line in lines) if (note := _compare_sizes(lines, key))]


def _compare_sizes(lines: Sequence[Line], key: str) -> str:
    """Return a note if one curve of a metric is so much larger than another that the smaller one looks flat."""
    own = [line for line in lines if line.key == key and line.row.min]
    calm = [own[index] for index in list_calm([line.points.values for line in own], describe_key(key).worse_side)]
    # ignore extreme points and exploding curves, because they lie outside the plot
    sizes = {line.row.number: max(map(abs, choose_limits(line.points.values))) for line in calm}
    largest, smallest = max(sizes, key=sizes.__getitem__, default=0), min(sizes, key=sizes.__getitem__, default=0)
    if not sizes or sizes[largest] <= UNLIKE * sizes[smallest]:
        return ""
    return gettext(
        "Curve {largest} is more than {times} times as large as curve {smallest}, which therefore looks "
        "flat. Draw them separately, or use log_y.",
        largest=largest,
        times=UNLIKE,
        smallest=smallest,
    )


def _arrange_panels(
    lines: Sequence[Line], members: Sequence[Line], plot: Plot, notes: list[str]
) -> tuple[NameAxis, list[Panel]]:
    """Return two values: a function that returns the x-axis label, and the panels.

    `members` contains one line per experiment and metric. `lines` contains the lines to draw, which may represent
    groups.
    """
    if plot.is_scatter:
        return partial(name_value, plot.x_axis), arrange_points(lines, plot)
    name_x, x_values = list_x_values(members, plot.x_axis)
    lost = sum(len(line.points.steps) - len(xs) for line, xs in zip(members, x_values, strict=True))
    if lost:
        notes.append(_describe_lost(lost, plot.x_axis))
    layouts = divide_lines(lines)
    # the first experiment of a group represents the group
    runs = list(dict.fromkeys(line.experiment.ref for line in lines))
    count = len({line.key for line in lines})
    names = name_lines(lines) if len(layouts) == 1 and min(len(runs), count) == 1 else name_runs(lines)
    if plot.groups:
        sizes = _count_members(lines)
        names = [f"{name} ({sizes[line.experiment.ref]})" for line, name in zip(lines, names, strict=True)]
    by_number = {line.row.number: xs for line, xs in zip(members, x_values, strict=True)}
    panels: list[Panel] = []
    for layout in layouts:
        curves = [
            _to_curve(line, by_number, label, plot, (runs.index(line.experiment.ref), layout.keys.index(line.key)))
            for line, label in zip(lines, names, strict=True)
            if line.key in layout.keys
        ]
        unit = layout.keys[0] if len(layout.keys) == 1 else " ".join(describe_key(layout.keys[0]).family)
        with use_language("en"):
            plain = name_panel(layout.keys)
        worse = describe_key(layout.keys[0]).worse_side
        panels.append(Panel(name_panel(layout.keys), unit, curves, plain, worse=worse))
    return name_x, panels


def _hide_label(curve: Curve, hide: Hide) -> Curve:
    return curve._replace(label=hide(curve.label, ""))


def _draw(lines: Sequence[Line], members: Sequence[Line], plot: Plot, notes: list[str]) -> Chart:
    name_x, panels = _arrange_panels(lines, members, plot, notes)
    if plot.smoothing and not plot.is_scatter:
        notes.append(
            gettext(
                "The curves are smoothed ({weight:g}), and the raw values are shown faintly. Stars mark the "
                "best smoothed values; the table contains raw values.",
                weight=plot.smoothing,
            )
        )
    if plot.groups and not plot.is_scatter:
        notes.append(_describe_band(plot))
    hide = make_hide()
    panels = [
        one._replace(
            curves=[_hide_label(curve, hide) for curve in one.curves],
            **{name: hide(getattr(one, name), "") for name in TEXTS},
        )
        for one in panels
    ]
    chart = draw_chart(
        panels, name_x=lambda: hide(name_x(), ""), is_time=plot.x_axis == "time", log_x=plot.log_x, log_y=plot.log_y
    )
    if chart.hidden:
        notes.append(
            ngettext(
                "{count} extreme point lies outside the plot; a small triangle at the edge marks it.",
                "{count} extreme points lie outside the plot; small triangles at the edge mark them.",
                chart.hidden,
            )
        )
    return chart


def _describe_lost(count: int, x_axis: str) -> str:
    if x_axis in CLOCKS:
        return ngettext(
            "{count} point without a recorded time is not drawn.",
            "{count} points without a recorded time are not drawn.",
            count,
        )
    return ngettext(
        "{count} point without a value for {axis} at its step is not drawn.",
        "{count} points without a value for {axis} at their step are not drawn.",
        count,
        axis=quote(x_axis),
    )


def _describe_band(plot: Plot) -> str:
    if plot.band == "sd":
        return gettext(
            "Curves are means of n experiments; low and high are the last mean minus and plus one standard deviation."
        )
    return gettext("Curves are means of n experiments; low and high are the smallest and largest last values.")


def _to_curve(line: Line, x_values: Mapping[int, XValues], label: str, plot: Plot, style: tuple[int, int]) -> Curve:
    if line.members:
        return _to_band(line, x_values, label, plot, style)
    xs = x_values[line.row.number]
    kept = [index for index, step in enumerate(line.points.steps) if step in xs]
    steps = [line.points.steps[index] for index in kept]
    values = [line.points.values[index] for index in kept]
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


def _count_members(lines: Sequence[Line]) -> dict[ExperimentRef, str]:
    """Return a label with the number of experiments in each group.

    If the number varies along a group's curve, the label contains the largest and the smallest number.
    """
    counts: dict[ExperimentRef, list[int]] = {}
    for line in lines:
        n = line.row.n or 0
        counts.setdefault(line.experiment.ref, []).extend((n, n if line.row.n_last is None else line.row.n_last))
    return {ref: f"n={max(one)}" if min(one) == max(one) else f"n={max(one)}…{min(one)}" for ref, one in counts.items()}


def _to_band(line: Line, x_values: Mapping[int, XValues], label: str, plot: Plot, style: tuple[int, int]) -> Curve:
    band = measure_group(line, x_values, plot.band)
    means, lows, highs = (
        smooth(values, plot.smoothing) if plot.smoothing else values for values in (band.means, band.lows, band.highs)
    )
    return Curve(
        label,
        band.xs,
        means,
        number=line.row.number,
        colour=style[0],
        dash=style[1],
        band=(band.xs, lows, highs),
        counts=band.counts,
    )


def _thin(steps: Sequence[int], values: Sequence[float], xs: Mapping[int, float]) -> tuple[list[float], list[float]]:
    kept = reduce_points(Points(steps, values, [0] * len(steps)), _DRAWN_POINTS)
    return [xs[step] for step in kept.steps], list(kept.values)


def _mark(row: PlottedCurve, steps: Sequence[int], values: Sequence[float], xs: Mapping[int, float]) -> list[Mark]:
    """Return the markers on a curve. `values` are the drawn values, which may be smoothed."""
    marks: list[Mark] = []
    finite = [index for index, value in enumerate(values) if math.isfinite(value)]
    if row.best and finite:
        index = (min if row.best == "min" else max)(finite, key=values.__getitem__)
        marks.append(Mark("best", xs[steps[index]], values[index], f"{values[index]:.4g} @ {steps[index]}"))
    odd = next((index for index, value in enumerate(values) if not math.isfinite(value)), None)
    if odd is not None:
        near = next((value for value in [*reversed(values[:odd]), *values[odd:]] if math.isfinite(value)), None)
        word = "NaN" if math.isnan(values[odd]) else "inf"
        marks.append(Mark("non-finite", xs[steps[odd]], near, f"{word} @ {steps[odd]}"))
    if row.worse_since is not None and row.worse_since in xs:
        value = values[steps.index(row.worse_since)]
        marks.append(Mark("worsening", xs[row.worse_since], value, f"@ {row.worse_since}"))
    return marks
