"""Describe the interactive chart, with the same panels, groups and axes as the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swanlab_mcp.core.findings import PlottedCurve
from swanlab_mcp.core.models import Points
from swanlab_mcp.operations.plotting import CLOCKS, Plot
from swanlab_mcp.present.chart_colours import ColourScale
from swanlab_mcp.present.interactive import InteractiveCurve, describe_chart, label_experiments
from swanlab_mcp.present.interactive_runs import describe_runs
from swanlab_mcp.present.plot_lines import Line, XValues, choose_value, divide_lines, list_x_values, measure_group
from swanlab_mcp.present.scatter import divide_points, name_value

__all__ = ["describe_view"]


def describe_view(
    lines: Sequence[Line], members: Sequence[Line], plot: Plot, clean: Callable[[str], str]
) -> dict[str, Any]:
    """Return the data for the interactive chart.

    `members` contains one line per experiment and metric. `lines` contains the lines to draw, which may represent
    groups.
    """
    if plot.is_scatter:
        curves, x_name = _list_points(lines, plot), name_value(plot.x_axis)
    else:
        name_x, x_values = list_x_values(members, plot.x_axis)
        by_number = {line.row.number: xs for line, xs in zip(members, x_values, strict=True)}
        curves, x_name = _list_lines(lines, by_number, plot), name_x()
    experiments = {line.experiment.ref: line for line in members}
    names = label_experiments([(line.experiment.ref, line.row) for line in experiments.values()], clean)
    options = {
        "x_axis": "given" if any(curve.xs is not None for curve in curves) else plot.x_axis,
        "x_name": clean(x_name),
        "x_kind": plot.x_axis if plot.x_axis in CLOCKS else "number",
        "smoothing": plot.smoothing,
        "log_x": plot.log_x,
        "log_y": plot.log_y,
        "band": plot.band,
        "is_grouped": plot.is_scatter or bool(plot.groups),
        "runs": describe_runs(members, names, clean),
        **_describe_colours(curves, plot, clean),
    }
    return describe_chart(curves, clean, options)


def _describe_colours(
    curves: Sequence[InteractiveCurve], plot: Plot, clean: Callable[[str], str]
) -> dict[str, dict[str, Any]]:
    """Return the colour scale of the points, or an empty dict if the points have no colour scale."""
    scale = ColourScale.of(shade for curve in curves for shade in curve.shades or ())
    if not scale:
        return {}
    ends = {"low": scale.numbers[0], "high": scale.numbers[-1], "is_log": scale.is_log}
    return {"colours": {"name": clean(name_value(plot.colour)), **ends}}


def _list_lines(lines: Sequence[Line], x_values: Mapping[int, XValues], plot: Plot) -> list[InteractiveCurve]:
    layouts = divide_lines(lines)
    curves: list[InteractiveCurve] = []
    for line in lines:
        panel = next(number for number, layout in enumerate(layouts) if line.key in layout.keys)
        one = line.experiment
        curve = InteractiveCurve(one.ref, one.began, line.points, line.row, panel, layouts[panel].keys.index(line.key))
        if line.members:
            curve = _add_band(curve, line, x_values, plot)
        elif plot.x_axis not in CLOCKS:
            own = x_values[line.row.number]
            curve = curve._replace(xs=[own.get(step, math.nan) for step in line.points.steps])
        curves.append(curve)
    return curves


def _add_band(curve: InteractiveCurve, line: Line, x_values: Mapping[int, XValues], plot: Plot) -> InteractiveCurve:
    band = measure_group(line, x_values, plot.band)
    steps = [round(x) for x in band.xs] if plot.x_axis == "step" else range(len(band.xs))
    return curve._replace(
        points=Points(steps, band.means, [0] * len(band.xs)),
        xs=None if plot.x_axis == "step" else band.xs,
        band=(band.lows, band.highs),
    )


def _list_points(lines: Sequence[Line], plot: Plot) -> list[InteractiveCurve]:
    curves: list[InteractiveCurve] = []
    for panel, (key, groups) in enumerate(divide_points(lines, plot).items()):
        for number, (name, own) in enumerate(groups):
            if own:
                row = PlottedCurve(number=len(curves) + 1, name=name, key=key, n=len(own))
                curves.append(
                    InteractiveCurve(
                        own[0].experiment.ref,
                        0,
                        Points(range(len(own)), [choose_value(line) for line in own], [0] * len(own)),
                        row,
                        panel,
                        xs=[line.experiment.x for line in own],
                        names=[line.experiment.name for line in own],
                        shades=[line.experiment.shade for line in own] if plot.colour and not number else None,
                    )
                )
    return curves
