"""Draw scatter plots, in which each point is an experiment.

The y axis shows a result, and the x axis shows a config value or another result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.core.findings import PlottedCurve
from swanlab_mcp.core.i18n import gettext, ngettext, use_language
from swanlab_mcp.operations.plot_groups import PlotGroup
from swanlab_mcp.operations.plotting import METRIC, Plot
from swanlab_mcp.present.chart_margins import NEUTRAL
from swanlab_mcp.present.chart_parts import Curve, Panel
from swanlab_mcp.present.plot_lines import Line, choose_value, name_group

__all__ = ["arrange_points", "describe_points", "divide_points", "name_value"]


def describe_points(lines: Sequence[Line]) -> list[Line]:
    """Return the lines, reducing each row to the values of the point that is drawn."""
    return [line._replace(row=_describe_point(line)) for line in lines]


def _describe_point(line: Line) -> PlottedCurve:
    # drop the values that are not drawn
    kept = line.row.best or "last"
    others = dict.fromkeys({"min", "max", "last"} - {kept})
    one = line.experiment
    shade = one.shade if _is_shaded(line) else None
    return line.row.model_copy(update={"x": one.x, "colour": shade, "points": None, "worse_since": None, **others})


def _is_shaded(line: Line) -> bool:
    return math.isfinite(line.experiment.shade)


def divide_points(lines: Sequence[Line], plot: Plot) -> dict[str, list[tuple[str, list[Line]]]]:
    """Return the groups of points for each key, as (name, lines) pairs.

    If the experiments are not grouped, a single group contains all of them. If a number determines the colours, the
    last group contains the experiments without that number.
    """
    keys = dict.fromkeys(line.key for line in lines)
    if plot.colour:
        key_of_colour = plot.colour.removeprefix(METRIC)
        names = {True: gettext("with {key}", key=key_of_colour), False: gettext("without {key}", key=key_of_colour)}
        return {
            key: [
                (name, [line for line in lines if line.key == key and _is_shaded(line) == is_shaded])
                for is_shaded, name in names.items()
            ]
            for key in keys
        }
    everything = PlotGroup([], range(len(plot.experiments)))
    indices = {one.ref: index for index, one in enumerate(plot.experiments)}
    divided: dict[str, list[tuple[str, list[Line]]]] = {}
    for key in keys:
        divided[key] = []
        for group in plot.groups or [everything]:
            own = [line for line in lines if line.key == key and indices[line.experiment.ref] in group.indices]
            count = ngettext("{count} experiment", "{count} experiments", len(own))
            divided[key].append((name_group(group) if plot.groups else count, own))
    return divided


def name_result(key: str, *, is_best: bool) -> str:
    return gettext("{key} (best)", key=key) if is_best else gettext("{key} (last)", key=key)


def name_value(field: str) -> str:
    """Return the axis label of a config key or metric. A metric's label says whether best or last values are shown."""
    if not field.startswith(METRIC):
        return field
    key = field.removeprefix(METRIC)
    return name_result(key, is_best=bool(describe_key(key).direction))


def arrange_points(lines: Sequence[Line], plot: Plot) -> list[Panel]:
    """Return one panel per key, with a point for each experiment.

    The point shows the best value, or the last value if the better direction is unknown.
    """
    panels: list[Panel] = []
    for key, groups in divide_points(lines, plot).items():
        curves = [
            Curve(
                name,
                [line.experiment.x for line in own],
                [choose_value(line) for line in own],
                colour=NEUTRAL if plot.colour else number,
                dots=True,
                shades=[line.experiment.shade for line in own] if plot.colour and not number else (),
            )
            for number, (name, own) in enumerate(groups)
            if own
        ]
        is_best = any(own[-1].row.best for _, own in groups if own)
        with use_language("en"):
            plain = name_result(key, is_best=is_best), name_value(plot.colour)
        title, colour = name_result(key, is_best=is_best), name_value(plot.colour)
        panels.append(Panel(title, key, curves, plain[0], colour, plain[1]))
    return panels
