"""Draw curves as PNG bytes with matplotlib (the `plot` extra), imported at the first drawing.

Labels are data: they are never parsed as mathtext, and labels that no installed font can show become numbers.
"""

# matplotlib's types leave keyword arguments open
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import io
import math
import threading
from collections.abc import Mapping, Sequence
from datetime import timezone
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from unicodedata import east_asian_width

from swanlab_mcp.core.i18n import say, speak
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.present.fonts import SANS, find_font

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.font_manager import FontProperties
    from matplotlib.transforms import Bbox

__all__ = ["LARGEST", "Chart", "Curve", "Mark", "draw_chart"]

LARGEST = 200_000  # bytes
_WIDTH, _HEIGHT, _DPI = 1000, 560, 100
# Okabe and Ito's palette, distinct for all kinds of colour vision; without its yellow, which is too faint on white
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
_MARKS = {"best": ("*", 11), "non-finite": ("X", 8), "worsening": ("^", 8)}
_LABEL = 26  # letters
_LEFT = 0.075  # fraction of the width
_SIZE = 9  # of labels, in points
_LINE = 14  # pixels from one label to the next
_EDGE = 0.1  # fraction of the width; here texts start or end at their mark
_WORDY = 6  # with more curves, the marks have no text
_PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
# larger magnitudes are drawn at these limits, because margins and ticks would overflow
_ENDS, _LOG_ENDS = (-1e299, 1e299), (1e-200, 1e200)
_drawing = threading.Lock()


class Mark(NamedTuple):
    """An event on a curve; `y` is None if the event has no value."""

    kind: Literal["best", "non-finite", "worsening"]
    x: float
    y: float | None
    text: str = ""


class Curve(NamedTuple):
    """A line with a label; `raw` holds the values before smoothing. Values that are not finite are gaps."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    raw: tuple[Sequence[float], Sequence[float]] | None = None
    marks: Sequence[Mark] = ()


class Chart(NamedTuple):
    """The picture, and the numbers (from 1) of the labels drawn as numbers, because no font shows them."""

    png: bytes
    numbered: Sequence[int]


def draw_chart(
    curves: Sequence[Curve], *, title: str = "", x_label: str, is_time: bool = False, log_y: bool = False
) -> Chart:
    """Draw 1 to 20 curves over one pair of axes, in a PNG of at most LARGEST bytes.

    With `is_time`, x values are seconds since 1970, shown as UTC. With `log_y`, values up to 0 are gaps. Raises
    ImportError if matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    title, names = shorten(title), [shorten(curve.label) for curve in curves]
    # matplotlib's caches of fonts and glyphs are not safe for threads
    with _drawing:
        kinds = [kind for kind in _MARKS if any(mark.kind == kind for curve in curves for mark in curve.marks)]
        legend = [_word_mark(kind) for kind in kinds]
        font, missing = find_font([title, *names, *legend])
        if missing.intersection("".join(legend)):
            with speak("en"):
                legend = [_word_mark(kind) for kind in kinds]
        numbered = [number for number, name in enumerate(names, 1) if missing.intersection(name)]
        labels = [f"#{number}" if number in numbered else _cut(name) for number, name in enumerate(names, 1)]
        figure = Figure(figsize=(_WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        renderer, size = canvas.get_renderer(), font.copy()
        size.set_size(_SIZE)
        widths = [renderer.get_text_width_height_descent(label, size, ismath=False)[0] for label in labels]
        width = 1 - _LEFT - (54 + max(widths)) / _WIDTH
        axes = figure.add_axes((_LEFT, 0.115, width, 0.79))
        _set_axes(axes, font, x_label, log_y=log_y)
        if not missing.intersection(title):
            figure.text(_LEFT, 0.955, _cut(title, 50), fontproperties=font, fontsize=12, **_PLAIN)
        scale = 86_400 if is_time else 1
        styles: list[dict[str, Any]] = [
            {"color": _COLOURS[place % len(_COLOURS)], "ls": _DASHES[place // len(_COLOURS)]}
            for place in range(len(curves))
        ]
        for curve, style in zip(curves, styles, strict=True):
            if curve.raw:
                xs, ys = [x / scale for x in curve.raw[0]], _keep_drawable(curve.raw[1], log_y=log_y)
                axes.plot(xs, ys, alpha=0.25, lw=0.8, color=style["color"])
            xs, ys = [x / scale for x in curve.xs], _keep_drawable(curve.ys, log_y=log_y)
            axes.plot(xs, ys, lw=1.6, marker="o", ms=3, markevery=_find_lonely(ys), **style)
        if is_time:
            _show_times(axes)
        _set_limits(axes, curves, scale, log_y=log_y)
        _add_marks(axes, curves, [style["color"] for style in styles], scale, log_y=log_y)
        _add_legend(axes, dict(zip(kinds, legend, strict=True)), font)
        _add_labels(axes, curves, styles, labels, font, scale, log_y=log_y)
        canvas.draw()
        return Chart(_to_png(canvas.buffer_rgba()), numbered)


def _set_axes(axes: Axes, font: FontProperties, x_label: str, *, log_y: bool) -> None:
    if log_y:
        axes.set_yscale("log")
    axes.set_xlabel(x_label, fontproperties=font, fontsize=10, **_PLAIN)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(which="both", labelsize=_SIZE, labelfontfamily=SANS)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_show_number)
    if log_y:
        axes.yaxis.set_minor_formatter(lambda value, _: _show_minor(value, axes.get_ylim()))


def _set_limits(axes: Axes, curves: Sequence[Curve], scale: float, *, log_y: bool) -> None:
    """Make room for all points, including those without a value, and for texts below and above."""
    xs = [x / scale for curve in curves for x in curve.xs]
    drawn = [*(curve.ys for curve in curves), *(curve.raw[1] for curve in curves if curve.raw)]
    ys = [y for line in drawn for y in _keep_drawable(line, log_y=log_y) if not math.isnan(y)]
    axes.set_xlim(_widen(min(xs, default=0), max(xs, default=1), 0.01))
    low, high = (min(ys), max(ys)) if ys else (1, 2)
    if log_y:
        bottom, top = _widen(math.log10(low), math.log10(high), 0.08)
        axes.set_ylim(10**bottom, 10**top)
    else:
        axes.set_ylim(_widen(low, high, 0.08))


def _widen(low: float, high: float, share: float) -> tuple[float, float]:
    """Return limits with a margin, also around a single value."""
    margin = max((high - low) * share, 1e-9 * max(abs(low), abs(high))) if high > low else max(abs(high) * 0.05, 0.05)
    return low - margin, high + margin


def _show_number(value: float, _place: float | None) -> str:
    return (f"{value:.10g}" if abs(value) < 1e7 else f"{value:.4g}").replace("-", "\u2212")


def _show_minor(value: float, limits: tuple[float, float]) -> str:
    """Label 2, 3 and 5 times a power of ten if whole powers would be too few labels."""
    is_shown = f"{value:e}"[0] in "235" and limits[1] < 50 * limits[0]
    return _show_number(value, None) if is_shown else ""


def _show_times(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=timezone.utc, minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=timezone.utc))


def _keep_drawable(ys: Sequence[float], *, log_y: bool) -> list[float]:
    low, high = _LOG_ENDS if log_y else _ENDS
    return [max(low, min(high, y)) if math.isfinite(y) and (y > 0 or not log_y) else math.nan for y in ys]


def _find_lonely(ys: Sequence[float]) -> list[int]:
    """Return the places of values between two gaps, which no line connects."""
    around = [math.nan, *ys, math.nan]
    return [
        place
        for place, y in enumerate(ys)
        if not math.isnan(y) and math.isnan(around[place]) and math.isnan(around[place + 2])
    ]


def _add_marks(axes: Axes, curves: Sequence[Curve], colours: Sequence[str], scale: float, *, log_y: bool) -> None:
    from matplotlib.lines import Line2D

    bottom, top = axes.get_ylim()
    taken: list[Bbox] = []
    for curve, colour in zip(curves, colours, strict=True):
        for mark in curve.marks:
            shape, size = _MARKS[mark.kind]
            y = _keep_drawable([math.nan if mark.y is None else mark.y], log_y=log_y)[0]
            place = (mark.x / scale, bottom if math.isnan(y) else y)
            line = Line2D(
                [place[0]], [place[1]], ls="", marker=shape, ms=size, color=colour, mec="white", mew=0.8,
                zorder=5, clip_on=False,
            )  # fmt: skip
            axes.add_line(line)
            if mark.text and len(curves) <= _WORDY:
                _add_words(axes, mark.text, place, colour, taken)
    axes.set_ylim(bottom, top)


def _word_mark(kind: str) -> str:
    words = {
        "best": say("best"),
        "non-finite": say("first NaN or infinite value"),
        "worsening": say("worse from here, without recovery"),
    }
    return words[kind]


def _add_legend(axes: Axes, words: Mapping[str, str], font: FontProperties) -> None:
    from matplotlib.lines import Line2D

    size = font.copy()
    size.set_size(8.5)
    handles = [
        Line2D([], [], ls="", marker=_MARKS[kind][0], ms=_MARKS[kind][1] - 1, color="#444444", label=word)
        for kind, word in words.items()
    ]
    if handles:
        axes.legend(
            handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(handles), frameon=False,
            borderaxespad=0.1, handletextpad=0.1, columnspacing=1.2, prop=size,
        )  # fmt: skip


def _add_words(axes: Axes, words: str, place: tuple[float, float], colour: str, taken: list[Bbox]) -> None:
    """Write a text near a mark: below, above, or farther away if other texts are in the way."""
    x = axes.transData.transform(place)[0]
    across = (x - axes.bbox.x0) / axes.bbox.width
    side = "left" if across < _EDGE else "right" if across > 1 - _EDGE else "center"
    text = axes.annotate(
        words, place, (0, 0), textcoords="offset points", ha=side, va="center", fontsize=8, color=colour, family=SANS,
        bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 0.6}, zorder=6, annotation_clip=False, **_PLAIN,
    )  # fmt: skip
    box = text.get_window_extent()
    for offset in (-12, 12, -23, 23, -34, 34, -45, 45, -56, 56):
        moved = box.translated(0, offset * _DPI / 72)
        if axes.bbox.y0 <= moved.y0 and moved.y1 <= axes.bbox.y1 and not moved.count_overlaps(taken):
            break
    else:
        # the reply's text contains the figures too
        text.remove()
        return
    text.xyann = (0, offset)
    taken.append(moved)


def _add_labels(
    axes: Axes, curves: Sequence[Curve], styles: Sequence[dict[str, Any]], labels: Sequence[str], font: FontProperties,
    scale: float, *, log_y: bool,
) -> None:  # fmt: skip
    """Write each label to the right of its curve, moved apart if labels would overlap."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import IdentityTransform

    assert axes.figure is not None
    ends: list[tuple[float, float]] = []
    for curve in curves:
        ys = _keep_drawable(curve.ys, log_y=log_y)
        last = next((place for place in reversed(range(len(ys))) if not math.isnan(ys[place])), None)
        ends.append(
            (axes.bbox.x1, axes.bbox.y0)
            if last is None
            else tuple(axes.transData.transform((curve.xs[last] / scale, ys[last])))
        )
    heights = _spread([end[1] for end in ends], axes.bbox.y0, axes.bbox.y1)
    edge = axes.bbox.x1
    for label, end, height, style in zip(labels, ends, heights, styles, strict=True):
        axes.figure.add_artist(
            Line2D(
                [end[0], edge + 4, edge + 12],
                [end[1], height, height],
                transform=IdentityTransform(),
                lw=0.7,
                ls=":",
                color=style["color"],
            )
        )
        axes.figure.add_artist(
            Line2D([edge + 12, edge + 36], [height, height], transform=IdentityTransform(), lw=1.6, **style)
        )
        axes.figure.text(
            edge + 42, height, label, transform=IdentityTransform(), va="center", fontproperties=font, fontsize=_SIZE,
            **_PLAIN,
        )  # fmt: skip


def _spread(wanted: Sequence[float], low: float, high: float) -> list[float]:
    """Return heights close to `wanted`, in the same order, at least a line apart, between `low` and `high`."""
    gap = min(_LINE, (high - low) / len(wanted))
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    heights = list(wanted)
    floor = low
    for place in order:
        heights[place] = floor = max(heights[place], floor)
        floor += gap
    ceiling = high
    for place in reversed(order):
        heights[place] = ceiling = min(heights[place], ceiling)
        ceiling -= gap
    return heights


def _measure(text: str) -> float:
    """Return the width in average letters; Chinese, Japanese and Korean letters are wide."""
    return sum(1.7 if east_asian_width(character) in "WF" else 1 for character in text)


def _cut(text: str, width: float = _LABEL) -> str:
    """Return at most `width` letters by removing the middle, because names often differ at the end."""
    if _measure(text) <= width:
        return text
    head, tail = "", ""
    while _measure(head + text[len(head)]) <= width / 2:
        head += text[len(head)]
    while _measure(tail + text[-len(tail) - 1]) <= width / 2 - 1:
        tail = text[-len(tail) - 1] + tail
    return f"{head}…{tail}"


def _to_png(pixels: Any) -> bytes:
    """Return a PNG with as many colours as fit into LARGEST bytes."""
    from PIL import Image

    image = Image.frombuffer("RGBA", (_WIDTH, _HEIGHT), pixels, "raw", "RGBA", 0, 1).convert("RGB")
    png = b""
    for colours in (256, 64, 16, 4):
        file = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG")
        png = file.getvalue()
        if len(png) <= LARGEST:
            break
    return png
