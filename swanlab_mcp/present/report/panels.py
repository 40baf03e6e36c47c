"""Compute the geometry of the SVG pictures in a report: ticks, curves with bands, and bars for run time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import NamedTuple

from swanlab_mcp.analysis.bands import choose_limits, list_calm, measure_band
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.selection import reduce_points
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import Points
from swanlab_mcp.present.chart_axes import ENDS, show_number, show_numbers, widen

__all__ = ["BOTTOM", "HEIGHT", "LEFT", "RIGHT", "TOP", "WIDTH", "Panel", "Series", "draw_curves", "draw_hours"]

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 62, 350, 12, 196
_POINTS = 300  # maximum number of points drawn per curve
_BINS = 24
_LETTERS = 7  # maximum length of a tick label
_SCALES = (
    (1e9, 1e9, "G"),
    (1e6, 1e6, "M"),
    (1e4, 1e3, "k"),
)  # for each scale: the smallest number, the divisor and the unit prefix
_BEYOND = 50  # lines end this many picture heights outside the picture
_UNITS = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400, 91 * 86400, 365 * 86400)  # seconds


class Series(NamedTuple):
    """The curves of one setting. `number` determines the colour."""

    number: int
    label: str
    curves: Sequence[Points]
    best: tuple[int, float] | None = None


class Shape(NamedTuple):
    """A path in the picture. `kind` contains its CSS classes, and `text` is its tooltip."""

    path: str
    kind: str
    text: str = ""


class Panel(NamedTuple):
    """A picture with axes. Each tick consists of a position and a label."""

    title: str
    y_label: str
    x_label: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    shapes: Sequence[Shape]
    note: str = ""

    @property
    def lines(self) -> list[Shape]:
        """The shapes that are clipped at the edges of the axes."""
        return [shape for shape in self.shapes if not shape.kind.startswith("star")]

    @property
    def marks(self) -> list[Shape]:
        return [shape for shape in self.shapes if shape.kind.startswith("star")]


class _Axes(NamedTuple):
    x0: float
    x1: float
    y0: float
    y1: float

    def map_point(self, x: float, y: float) -> tuple[float, float]:
        up = (y - self.y0) / (self.y1 - self.y0)
        # lines are clipped at the edges of the picture; a finite position outside the picture preserves their slope
        return (
            LEFT + (x - self.x0) / (self.x1 - self.x0) * (RIGHT - LEFT),
            BOTTOM - max(-_BEYOND, min(_BEYOND, up)) * (BOTTOM - TOP),
        )


def draw_curves(title: str, key: str, series: Sequence[Series]) -> Panel:
    """Draw a metric over steps.

    If a setting has several curves, their mean is drawn with a band of one standard deviation.
    """
    values = [y for one in series for curve in one.curves for y in curve.values if math.isfinite(y)]
    steps = [x for one in series for curve in one.curves for x in curve.steps]
    curves = [curve for one in series for curve in one.curves]
    calm = [curves[index] for index in list_calm([curve.values for curve in curves], describe_key(key).worse_side)]
    kept = [*map(_find_last, calm), *(one.best[1] for one in series if one.best)]
    low, high = choose_limits([y for curve in calm for y in curve.values], kept)
    hidden = sum(not low <= y <= high for y in values)
    bottom, top = (max(ENDS[0], min(ENDS[1], end)) for end in (low, high))
    axes = _Axes(
        *widen(min(steps, default=0), max(steps, default=1), 0, is_log=False),
        *widen(bottom, top, 0.05, is_log=False),
    )
    shapes: list[Shape] = []
    for one in series:
        if len(one.curves) > 1:
            shapes += _draw_group(axes, one)
    for one in series:
        if len(one.curves) == 1:
            curve = reduce_points(one.curves[0], _POINTS)
            shapes.append(Shape(_trace(axes, curve.steps, curve.values), f"line c{one.number}", one.label))
    for one in series:
        if one.best and math.isfinite(one.best[1]):
            shapes.append(Shape(_draw_star(*axes.map_point(*one.best)), f"star c{one.number}", f"{one.best[1]:.6g}"))
    shapes += _mark_cut(axes, series, low, high)
    note = (
        ngettext("{count} point lies outside the plot (▲▼).", "{count} points lie outside the plot (▲▼).", hidden)
        if hidden
        else ""
    )
    xs, ys = _choose_ticks(axes.x0, axes.x1, is_whole=True), _choose_ticks(axes.y0, axes.y1) if values else []
    x_ticks = [(axes.map_point(x, axes.y0)[0], text) for x, text in zip(xs, _show_ticks(xs), strict=True)]
    y_ticks = [(axes.map_point(axes.x0, y)[1], text) for y, text in zip(ys, _show_ticks(ys), strict=True) if text]
    return Panel(title, key, gettext("step"), x_ticks, y_ticks, shapes, note)


def draw_hours(title: str, spans: Sequence[tuple[datetime, datetime, str]], names: Mapping[str, str]) -> Panel:
    """Draw the total run time in each interval as stacked bars.

    `names` maps each kind of run to its label, ordered from bottom to top.
    """
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    length = max((last - first).total_seconds(), 1)
    unit = next((unit for unit in _UNITS if length / unit <= _BINS), _UNITS[-1])
    start = math.floor(first.timestamp() / unit) * unit
    count = math.floor((last.timestamp() - start) / unit) + 1
    hours = {kind: [0.0] * count for kind in names}
    for begun, ended, kind in spans:
        index = int((begun.timestamp() - start) // unit)
        while index < count and start + index * unit < ended.timestamp():
            overlap = min(ended.timestamp(), start + (index + 1) * unit) - max(begun.timestamp(), start + index * unit)
            hours[kind][index] += overlap / 3600
            index += 1
    highest = max(sum(hours[kind][index] for kind in names) for index in range(count))
    is_short = highest < 1
    scale = 60 if is_short else 1
    axes = _Axes(0, count, 0, max(highest * scale * 1.05, 1e-9))
    shapes: list[Shape] = []
    for index in range(count):
        height = 0.0
        for kind, name in names.items():
            part = hours[kind][index] * scale
            if part:
                (x0, y0), (x1, y1) = axes.map_point(index + 0.08, height), axes.map_point(index + 0.92, height + part)
                path = f"M{x0:.1f} {y0:.1f}V{y1:.1f}H{x1:.1f}V{y0:.1f}Z"
                shapes.append(Shape(path, f"bar {kind}", f"{name}: {part:.3g}"))
                height += part
    x_ticks = [
        (axes.map_point(index, 0)[0], _show_moment(start + index * unit, unit))
        for index in range(0, count, -(-count // 4))
    ]
    ys = _choose_ticks(axes.y0, axes.y1)
    y_ticks = [(axes.map_point(0, y)[1], text) for y, text in zip(ys, _show_ticks(ys), strict=True)]
    label = gettext("run time in minutes") if is_short else gettext("run time in hours")
    return Panel(title, label, gettext("start of the interval (UTC)"), x_ticks, y_ticks, shapes)


def _draw_group(axes: _Axes, one: Series) -> list[Shape]:
    band = measure_band([(curve.steps, curve.values) for curve in one.curves])
    if not band.xs:
        return []
    stride = -(-len(band.xs) // _POINTS)
    indices = [*range(0, len(band.xs), stride)]
    if indices[-1] != len(band.xs) - 1:
        indices.append(len(band.xs) - 1)
    upper = [axes.map_point(band.xs[index], band.highs[index]) for index in indices]
    lower = [axes.map_point(band.xs[index], band.lows[index]) for index in reversed(indices)]
    outline = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in [*upper, *lower]) + "Z"
    mean = _trace(axes, [band.xs[index] for index in indices], [band.means[index] for index in indices])
    return [
        Shape(outline, f"band c{one.number}", one.label),
        Shape(mean, f"line c{one.number}", one.label),
    ]


def _trace(axes: _Axes, xs: Sequence[float], ys: Sequence[float]) -> str:
    """Return the path of a curve, with gaps at values that are not finite.

    A value between two gaps becomes a dot.
    """
    parts: list[str] = []
    is_open = False
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(y):
            across, up = axes.map_point(x, y)
            parts.append(f"{'L' if is_open else 'M'}{across:.1f} {up:.1f}")
            if not is_open:
                parts.append("h0")
        is_open = math.isfinite(y)
    return "".join(parts)


def _draw_star(x: float, y: float) -> str:
    corners = [
        (x + radius * math.sin(math.pi * corner / 5), y - radius * math.cos(math.pi * corner / 5))
        for corner, radius in enumerate((6.0, 2.5) * 5)
    ]
    return "M" + "L".join(f"{across:.1f} {up:.1f}" for across, up in corners) + "Z"


def _mark_cut(axes: _Axes, series: Sequence[Series], low: float, high: float) -> list[Shape]:
    """Return triangles at the points where curves leave the picture."""
    shapes: list[Shape] = []
    for one in series:
        for curve in one.curves:
            outside = [(1 if y > high else -1 if y < low else 0) for y in curve.values]
            for index, (before, after) in enumerate(pairwise([0, *outside])):
                if after and before != after:
                    x = axes.map_point(curve.steps[index], low)[0]
                    y = TOP + 1 if after > 0 else BOTTOM - 1
                    path = f"M{x - 4:.1f} {y + 6 * after:.1f}h8L{x:.1f} {y:.1f}Z"
                    shapes.append(Shape(path, f"star c{one.number}", f"{curve.values[index]:.6g}"))
    return shapes[:50]


def _find_last(curve: Points) -> float:
    return next((y for y in reversed(curve.values) if math.isfinite(y)), math.nan)


def _choose_ticks(low: float, high: float, *, is_whole: bool = False) -> list[float]:
    """Return about four ticks at multiples of 1, 2 or 5 times a power of ten."""
    size = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(size * factor for factor in (1, 2, 5, 10, 20) if size * factor >= (high - low) / 4.5)
    step = max(step, 1.0) if is_whole else step
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _show_ticks(values: Sequence[float]) -> list[str]:
    """Return tick labels with a common unit prefix.

    If the labels are too long, the numbers are rounded, and labels that would be repeated are left empty.
    """
    largest = max(map(abs, values), default=0)
    _, scale, unit = next((one for one in _SCALES if one[0] <= largest < 1e12), (0.0, 1.0, ""))
    texts = [
        f"{text}{unit if value else ''}"
        for value, text in zip(values, show_numbers([y / scale for y in values]), strict=True)
    ]
    if max(map(len, texts), default=0) <= _LETTERS:
        return texts
    short = [show_number(float(f"{value:.4g}")) for value in values]
    return [text if text not in short[:index] else "" for index, text in enumerate(short)]


def _show_moment(seconds: float, unit: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    return f"{moment:%H:%M}" if unit < 3600 else f"{moment:%m-%d %H:%M}" if unit < 86400 else f"{moment:%Y-%m-%d}"
