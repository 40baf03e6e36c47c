"""Draw curves as PNG bytes with matplotlib (the `plot` extra), which is imported when the first chart is drawn.

Labels are never parsed as mathtext, and labels that no installed font can display are replaced with numbers. Text is
placed outside the axes, so that it covers neither curves nor marks.
"""

# matplotlib's annotations leave the types of keyword arguments open
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import io
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from swanlab_mcp.analysis.bands import choose_limits, list_calm
from swanlab_mcp.core.i18n import gettext, use_language
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.present.chart_axes import LOG_ENDS, Scales, fit_ticks, hide_overlapping_ticks, set_axes, widen
from swanlab_mcp.present.chart_colours import ColourScale, add_colour_bar, measure_bar
from swanlab_mcp.present.chart_margins import (
    BOTTOM,
    COLOURS,
    DASHES,
    DPI,
    FEWER,
    HEIGHT,
    MARKS,
    OUTSIDE,
    WIDTH,
    Entry,
    Writer,
    add_entries,
    add_mark_legend,
    cut_text,
    find_strip,
)  # fmt: skip
from swanlab_mcp.present.chart_parts import Curve, Panel
from swanlab_mcp.present.fonts import find_font

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LARGEST", "Chart", "NameAxis", "compose", "draw_chart"]

LARGEST = 200_000  # bytes
_GAP_LEFT, _GAP_BOTTOM, _GAP_TOP = 74, 34, 30  # pixels around the axes of a panel
_TITLE_LINE = 15
_MARGIN = 10
_drawing = threading.Lock()
NameAxis = Callable[[], str]


class Chart(NamedTuple):
    """A chart as a PNG.

    `numbered` contains the numbers that replace labels which no font can display. `hidden` is the number of extreme
    points that are left out of the plot, because they would squash the other points.
    """

    png: bytes
    numbered: Sequence[int]
    hidden: int = 0


class _Composed(NamedTuple):
    figure: Figure
    numbered: Sequence[int]
    hidden: int


def draw_chart(
    panels: Sequence[Panel], *, name_x: NameAxis, is_time: bool = False, log_x: bool = False, log_y: bool = False
) -> Chart:
    """Draw the panels as a PNG of at most LARGEST bytes.

    `name_x` returns the x label in the caller's language. If `is_time` is true, x values are Unix seconds, shown in
    UTC. On a logarithmic axis, values of 0 or less become gaps. Raises ImportError if matplotlib is not installed.
    """
    # matplotlib's font and glyph caches are not thread-safe
    with _drawing:
        figure, numbered, hidden = compose(panels, name_x=name_x, is_time=is_time, log_x=log_x, log_y=log_y)
        canvas: Any = figure.canvas
        return Chart(_to_png(canvas.buffer_rgba()), numbered, hidden)


def compose(
    panels: Sequence[Panel], *, name_x: NameAxis, is_time: bool = False, log_x: bool = False, log_y: bool = False
) -> _Composed:
    """Compose the figure. This function is not thread-safe."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = _number(panels)
    curves = [curve for panel in panels for curve in panel.curves]
    found = {mark.kind for curve in curves for mark in curve.marks} | {
        FEWER for curve in curves if any(_list_few(curve))
    }
    scales = Scales(name_x(), is_time, log_x, log_y)
    limits = [_choose_limits(panel, scales) for panel in panels]
    hidden = sum(map(_count_hidden, panels, limits, repeat(scales)))
    kinds = [kind for kind in MARKS if kind in found or (kind == OUTSIDE and hidden)]
    texts = [name_x(), *(text for panel in panels for text in (panel.title, panel.y_label, panel.shade_name))]
    names = [shorten(curve.label) for curve in curves]
    legend = [_word_mark(kind) for kind in kinds]
    font, missing = find_font([*map(shorten, texts), *names, *legend])
    if missing.intersection("".join(legend)):
        with use_language("en"):
            legend = [_word_mark(kind) for kind in kinds]
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor="white")
    writer = Writer(figure, FigureCanvasAgg(figure).get_renderer(), font, missing)
    with use_language("en"):
        plain_x, other_x, other_colour = name_x(), gettext("x-axis: see the reply"), gettext("colour: see the reply")
    scales = scales._replace(x_label=_choose(missing, scales.x_label, plain_x, other_x))
    entries, numbered = _list_entries(panels, scales, missing)
    panels = [_name_metric(panel, missing) for panel in panels]
    shades = ColourScale.of(shade for curve in curves for shade in curve.shades)
    shade_name = _choose(missing, panels[0].shade_name, panels[0].plain_shade_name, other_colour)
    is_direct = len(panels) == 1 and len(curves) == len(entries)
    left, has_connectors = find_strip(
        writer, entries, is_direct=is_direct, least=measure_bar(writer, shade_name) if shades else 0
    )
    rows, columns = _arrange(len(panels))
    size = 7.5 if len(panels) > 1 else 9
    titles = [_fit_title(writer, panel, size + 1.5, (left - _MARGIN) / columns - _GAP_LEFT) for panel in panels]
    top = _GAP_TOP + (max(map(len, titles)) - 1) * _TITLE_LINE
    bottom = BOTTOM if kinds else 0
    axes = list["Axes"]()
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        is_last = index + columns >= len(panels)
        axes.append(_add_axes(figure, (rows, columns), (row, column), left, (top, bottom), is_last=is_last))
        _draw_panel(writer, axes[-1], panel, titles[index], limits[index], scales, shades, size, is_last=is_last)
    high = HEIGHT - 24.0
    if shades:
        high = add_colour_bar(writer, shade_name, shades, left)
    add_entries(writer, axes[0], entries, left, high, has_connectors=has_connectors)
    add_mark_legend(writer, dict(zip(kinds, legend, strict=True)))
    for one in axes:
        hide_overlapping_ticks(one, writer)
    figure.canvas.draw()
    return _Composed(figure, numbered, hidden)


def _number(panels: Sequence[Panel]) -> list[Panel]:
    """Assign a number and a colour to each curve."""
    number, numbered = 0, list[Panel]()
    for panel in panels:
        curves: list[Curve] = []
        for index, curve in enumerate(panel.curves):
            number += 1
            colour = index if curve.colour is None else curve.colour
            curves.append(curve._replace(number=curve.number or number, colour=colour % len(COLOURS)))
        numbered.append(panel._replace(curves=curves))
    return numbered


def _list_entries(panels: Sequence[Panel], scales: Scales, missing: set[str]) -> tuple[list[Entry], list[int]]:
    """Return one legend entry per label, and the numbers that replace labels which no font can display."""
    entries: dict[Any, Entry] = {}
    numbered: list[int] = []
    for panel in panels:
        for curve in panel.curves:
            if curve.shades:
                continue
            name = shorten(curve.label)
            key = (name, curve.colour)
            if key in entries:
                # the title already shows the line style of each metric
                entries[key] = entries[key]._replace(detail="", dash="-")
                continue
            if missing.intersection(name):
                numbered.append(curve.number)
                name = f"#{curve.number}"
            finite = [
                (scales.map_x(x), y) for x, y in zip(curve.xs, scales.keep(curve.ys), strict=True) if not math.isnan(y)
            ]
            detail = "  ".join(f"{MARKS[one.kind].sign} {one.text}" for one in curve.marks if one.text)
            entries[key] = Entry(
                cut_text(name), detail if len(panels) == 1 else "", COLOURS[curve.colour or 0],
                DASHES[curve.dash % len(DASHES)] if len(panels) == 1 else "-", finite[-1] if finite else None,
                is_dot=curve.dots, number=curve.number,
            )  # fmt: skip
    shown = Counter(entry.name for entry in entries.values())
    return [
        entry if shown[entry.name] == 1 else entry._replace(name=f"#{entry.number} {entry.name}")
        for entry in entries.values()
    ], numbered


def _arrange(count: int) -> tuple[int, int]:
    columns = math.ceil(math.sqrt(count))
    return -(-count // columns), columns


def _add_axes(
    figure: Figure,
    grid: tuple[int, int],
    cell: tuple[int, int],
    right: float,
    ends: tuple[float, float],
    *,
    is_last: bool,
) -> Axes:
    """Add axes in a grid cell, to the left of the column with curve names and above the legend for the marks.

    `ends` contains the heights of the title and the legend.
    """
    above, bottom = ends
    wide, high = (right - _MARGIN) / grid[1], (HEIGHT - bottom - _MARGIN - 8) / grid[0]
    x0 = cell[1] * wide + _GAP_LEFT
    top = HEIGHT - _MARGIN - cell[0] * high
    under = _GAP_BOTTOM + (10 if is_last else 0)
    return figure.add_axes(
        (x0 / WIDTH, (top - high + under) / HEIGHT, (wide - _GAP_LEFT - 14) / WIDTH, (high - under - above) / HEIGHT)
    )


def _fit_title(writer: Writer, panel: Panel, size: float, wide: float) -> list[str]:
    """Return the title on one line if it fits. Otherwise, break it between metrics or after the last slash."""
    lines = _choose(writer.missing, panel.title, panel.plain_title).split("\n")
    whole = ", ".join(lines)
    if writer.measure(shorten(whole), size) <= wide:
        return [writer.fit(whole, size, wide)]
    if len(lines) == 1 and "/" in whole:
        folder, _, name = whole.rpartition("/")
        lines = [f"{folder}/", name]
    return [writer.fit(line, size, wide) for line in lines]


def _draw_panel(
    writer: Writer, axes: Axes, panel: Panel, title: Sequence[str], limits: tuple[float, float], scales: Scales,
    shades: ColourScale | None, size: float, *, is_last: bool,
) -> None:  # fmt: skip
    set_axes(axes, scales, size, is_whole=all(float(x).is_integer() for curve in panel.curves for x in curve.xs))
    wide = axes.bbox.width
    for number, line in enumerate(reversed(title)):
        writer.add_text(axes.bbox.x0, axes.bbox.y1 + 10 + number * _TITLE_LINE, line, size + 1.5, va="bottom")
    up = writer.fit(panel.y_label, size, axes.bbox.height)
    writer.add_text(
        axes.bbox.x0 - 66, (axes.bbox.y0 + axes.bbox.y1) / 2, up, size, ha="center", va="center", rotation=90
    )
    if is_last:
        label = writer.fit(scales.x_label, size, wide)
        writer.add_text((axes.bbox.x0 + axes.bbox.x1) / 2, axes.bbox.y0 - 34, label, size, ha="center", va="center")
    for curve in panel.curves:
        colour = COLOURS[curve.colour or 0]
        if curve.band:
            lows, highs = scales.keep(curve.band[1]), scales.keep(curve.band[2])
            bottom = LOG_ENDS[0]
            # on a logarithmic axis, a lower bound of 0 or less extends to the bottom
            lows = [low if not math.isnan(low) else bottom if scales.log_y else low for low in lows]
            axes.fill_between([scales.map_x(x) for x in curve.band[0]], lows, highs, color=colour, alpha=0.18, lw=0)
        if curve.raw:
            xs, ys = [scales.map_x(x) for x in curve.raw[0]], scales.keep(curve.raw[1])
            axes.plot(xs, ys, alpha=0.25, lw=0.8, color=colour)
    for curve in panel.curves:
        xs, ys = [scales.map_x(x) for x in curve.xs], scales.keep(curve.ys)
        if curve.shades and shades:
            axes.scatter(xs, ys, s=42, c=[shades.colour(shade) for shade in curve.shades], lw=0, zorder=3)
            continue
        lonely = list(range(len(ys))) if curve.dots else _find_lonely(ys)
        style: Any = "" if curve.dots else DASHES[curve.dash % len(DASHES)]
        few = _list_few(curve)
        if any(few):
            axes.plot(xs, ys, lw=0.8, ls=style, color=COLOURS[curve.colour or 0])
            ys = [math.nan if is_few else y for y, is_few in zip(ys, few, strict=True)]
        axes.plot(
            xs, ys, lw=1.6, ls=style, marker="o", ms=6 if curve.dots else 3, markevery=lonely,
            color=COLOURS[curve.colour or 0],
        )  # fmt: skip
    _set_limits(axes, panel.curves, limits, scales)
    if any(not math.isnan(y) for curve in panel.curves for y in scales.keep(curve.ys)):
        fit_ticks(axes, scales, size, writer)
    else:
        axes.set_yticks([])
    _add_marks(axes, panel.curves, scales)


def _choose(missing: set[str], *names: str) -> str:
    """Return the first name that the font can display, or the last name if it cannot display any of them."""
    return next((name for name in names if not missing.intersection(shorten(name))), names[-1])


def _name_metric(panel: Panel, missing: set[str]) -> Panel:
    """Return the panel, with a generic title and y label if the font cannot display the metric's name."""
    if not missing.intersection(shorten(panel.plain_title or panel.title)):
        return panel
    with use_language("en"):
        name = gettext("metric #{number}", number=panel.curves[0].number)
    return panel._replace(title=name, plain_title=name, y_label=name)


def _choose_limits(panel: Panel, scales: Scales) -> tuple[float, float]:
    """Return the lower and upper limits of the y axis, excluding extreme points and exploding curves."""
    curves = panel.curves
    drawn = [scales.keep(curve.ys) for curve in curves]
    is_cut = not scales.log_y and not any(curve.dots for curve in curves)
    calm = list_calm(drawn, panel.worse) if is_cut else range(len(curves))
    others = [
        scales.keep(line)
        for curve in (curves[index] for index in calm)
        for line in ([curve.raw[1]] if curve.raw else curve.band[1:] if curve.band else [])
    ]
    ys = [y for line in [*(drawn[index] for index in calm), *others] for y in line if not math.isnan(y)]
    if not ys:
        return 1.0, 2.0
    if not is_cut:
        return min(ys), max(ys)
    lasts = [next((y for y in reversed(drawn[index]) if not math.isnan(y)), math.nan) for index in calm]
    best = [mark.y for index in calm for mark in curves[index].marks if mark.y is not None]
    return choose_limits(ys, [*lasts, *scales.keep(best)])


def _count_hidden(panel: Panel, limits: tuple[float, float], scales: Scales) -> int:
    return sum(y < limits[0] or y > limits[1] for curve in panel.curves for y in scales.keep(curve.ys))


def _set_limits(axes: Axes, curves: Sequence[Curve], limits: tuple[float, float], scales: Scales) -> None:
    """Set the axis limits, and mark the points where curves leave the plot."""
    xs = [x for curve in curves for one in curve.xs if not math.isnan(x := scales.map_x(one))]
    axes.set_xlim(widen(min(xs, default=1), max(xs, default=2), 0.02, is_log=scales.log_x))
    low, high = limits
    axes.set_ylim(widen(low, high, 0.06, is_log=scales.log_y))
    for curve in curves:
        sides = [1 if y > high else -1 if y < low else 0 for y in scales.keep(curve.ys)]
        for index, (before, side) in enumerate(pairwise([0, *sides])):
            if side and side != before:
                y = axes.get_ylim()[side > 0]
                axes.plot(
                    [scales.map_x(curve.xs[index])], [y], ls="", marker=6 if side < 0 else 7, ms=6, clip_on=False,
                    color=COLOURS[curve.colour or 0], zorder=6,
                )  # fmt: skip


def _list_few(curve: Curve) -> list[bool]:
    """For each point of a mean curve, return whether any of the group's experiments have no value there."""
    most = max(curve.counts, default=0)
    return [count < most for count in curve.counts]


def _find_lonely(ys: Sequence[float]) -> list[int]:
    """Return the indices of values between two gaps. Such values are drawn as dots, because no line reaches them."""
    around = [math.nan, *ys, math.nan]
    return [
        index
        for index, y in enumerate(ys)
        if not math.isnan(y) and math.isnan(around[index]) and math.isnan(around[index + 2])
    ]


def _add_marks(axes: Axes, curves: Sequence[Curve], scales: Scales) -> None:
    from matplotlib.lines import Line2D

    bottom, top = axes.get_ylim()
    for curve in curves:
        for mark in curve.marks:
            kind = MARKS[mark.kind]
            y = scales.keep([math.nan if mark.y is None else mark.y])[0]
            line = Line2D(
                [scales.map_x(mark.x)], [bottom if math.isnan(y) else y], ls="", marker=kind.shape, ms=kind.size,
                color=COLOURS[curve.colour or 0], mec="white", mew=0.8, zorder=5, clip_on=False,
            )  # fmt: skip
            axes.add_line(line)
    axes.set_ylim(bottom, top)


def _word_mark(kind: str) -> str:
    words = {
        "best": gettext("best"),
        "non-finite": gettext("first NaN or infinite value"),
        "worsening": gettext("gets worse from here and never recovers"),
        OUTSIDE: gettext("extreme points outside the plot"),
        FEWER: gettext("mean of fewer experiments"),
    }
    return words[kind]


def _to_png(pixels: Any) -> bytes:
    """Encode an image as PNG, with as many colours as fit into LARGEST bytes."""
    from PIL import Image

    image = Image.frombuffer("RGBA", (WIDTH, HEIGHT), pixels, "raw", "RGBA", 0, 1).convert("RGB")
    png = b""
    for colours in (256, 64, 16, 4):
        file = io.BytesIO()
        # the default method takes eight times as long and is not more accurate
        image.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, "PNG")
        png = file.getvalue()
        if len(png) <= LARGEST:
            break
    return png
