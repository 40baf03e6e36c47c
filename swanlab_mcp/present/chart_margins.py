"""Write text around the axes of a chart: names and values on the right, and the marker legend below."""

# matplotlib's annotations leave the types of keyword arguments open
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import east_asian_width

from swanlab_mcp.core.untrusted import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.transforms import Bbox

__all__ = [
    "BOTTOM", "COLOURS", "DASHES", "DPI", "FEWER", "HEIGHT", "MARKS", "NEUTRAL", "OUTSIDE", "WIDTH", "Entry", "Writer",
    "add_entries",
    "add_mark_legend", "cut_text", "find_strip",
]  # fmt: skip

WIDTH, HEIGHT, DPI = 1000, 560, 100
BOTTOM = 24  # pixels for the legend of the markers
# Okabe and Ito's palette for all types of colour vision, without yellow, which is too faint on white; then darker and
# lighter shades
_BASE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
COLOURS = (
    *_BASE,
    *("#004269", "#803800", "#00573F", "#8A3F68", "#8F6300", "#1F6F9E", "#777777"),
    *("#7FB8D8", "#EAAE7F", "#7FCEB9", "#E5BBD2", "#F2CF7F", "#B0B0B0"),
)
NEUTRAL = COLOURS.index("#777777")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
_PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
_NAME, _DETAIL, _LEGEND = 9, 7.5, 8.5  # points
_LINE, _LINES = 16, 28  # height in pixels of an entry without and with values
_DIRECT = 8  # with more entries than this, no connectors are drawn
_LABEL = 26  # maximum width, in average letters
_SWATCH = 34  # pixels from the left edge of the strip to the text
_CONNECTOR = 14
OUTSIDE = "outside"
FEWER = "fewer"  # the style of means over only some of the experiments in a group


class _Kind(NamedTuple):
    shape: str
    size: float
    sign: str


MARKS: Mapping[str, _Kind] = {
    "best": _Kind("*", 11, "★"),
    "non-finite": _Kind("X", 8, "✖"),
    "worsening": _Kind("D", 6, "◆"),
    OUTSIDE: _Kind("^", 6, ""),
    FEWER: _Kind("_", 15, ""),
}


class Entry(NamedTuple):
    """A curve's entry in the strip of names.

    `detail` contains the values at the curve's markers, and `end` is the last point of the curve.
    """

    name: str
    detail: str
    colour: str
    dash: Any
    end: tuple[float, float] | None
    is_dot: bool = False
    number: int = 0


class Writer:
    """Writes text into a figure at pixel positions. `boxes` contains the areas that are already occupied."""

    def __init__(self, figure: Figure, renderer: Any, font: FontProperties, missing: set[str]) -> None:
        self.figure, self.renderer, self.font, self.missing = figure, renderer, font, missing
        self.boxes: list[Bbox] = []

    def measure(self, text: str, size: float) -> float:
        font = self.font.copy()
        font.set_size(size)
        return self.renderer.get_text_width_height_descent(text, font, ismath=False)[0]

    def fit(self, text: str, size: float, width: float) -> str:
        """Shorten a string in the middle until it fits into `width`. Returns "" if no font can display the string."""
        text = shorten(text)
        if self.missing.intersection(text):
            return ""
        letters = 60.0
        while text and self.measure(cut_text(text, letters), size) > width and letters > 3:
            letters *= 0.9
        return cut_text(text, letters)

    def add_text(self, x: float, y: float, text: str, size: float, **how: Any) -> None:
        from matplotlib.transforms import IdentityTransform

        if text:
            made = self.figure.text(
                x, y, text, transform=IdentityTransform(), fontproperties=self.font, fontsize=size, **{**_PLAIN, **how}
            )
            self.boxes.append(made.get_window_extent(self.renderer))

    def add_line(self, xs: Sequence[float], ys: Sequence[float], **how: Any) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.transforms import IdentityTransform

        self.figure.add_artist(Line2D(xs, ys, transform=IdentityTransform(), **how))


def find_strip(writer: Writer, entries: Sequence[Entry], *, is_direct: bool, least: float = 0) -> tuple[float, bool]:
    """Return the x position (in pixels) of the strip of names, and whether lines connect the names to the curves.

    `is_direct` is true if each name belongs to a single curve. The strip is at least `least` pixels wide.
    """
    widths = [
        max(writer.measure(entry.name, _NAME), writer.measure(entry.detail, _DETAIL) if _has_details(entries) else 0)
        for entry in entries
    ]
    has_connectors = is_direct and len(entries) <= _DIRECT and not any(entry.is_dot for entry in entries)
    wide = max(least, max(widths, default=0) + _SWATCH + 8 + (_CONNECTOR if has_connectors else 0))
    return WIDTH - wide, has_connectors


def add_entries(
    writer: Writer, axes: Axes, entries: Sequence[Entry], left: float, high: float, *, has_connectors: bool
) -> None:
    """Write the curves' names one below the other, sorted by last value and starting at the height `high`.

    If `has_connectors` is true, lines connect the names to the curves that end at the right edge of the axes.
    """
    has_details = _has_details(entries)
    order = sorted(entries, key=lambda entry: -entry.end[1] if entry.end else float("inf"))
    low = 30.0
    gap = min(_LINES if has_details else _LINE, (high - low) / max(len(order), 1))
    heights = [high - index * gap for index in range(len(order))]
    if has_connectors:
        heights = _spread([_find_height(axes, entry) for entry in order], gap, axes.bbox.y0, axes.bbox.y1)
    start = left + (_CONNECTOR if has_connectors else 0)
    limits = axes.get_xlim()
    for entry, height in zip(order, heights, strict=True):
        is_at_edge = entry.end is not None and entry.end[0] >= limits[1] - 0.05 * (limits[1] - limits[0])
        if has_connectors and is_at_edge:
            ends = [axes.bbox.x1 + 3, start - 2]
            writer.add_line(ends, [_find_height(axes, entry), height], lw=0.7, ls=":", color=entry.colour)
        if entry.is_dot:
            writer.add_line([start + 14], [height], ls="", marker="o", ms=6, color=entry.colour)
        else:
            writer.add_line([start, start + 26], [height, height], lw=1.8, ls=entry.dash, color=entry.colour)
        writer.add_text(start + _SWATCH, height, entry.name, _NAME, va="center_baseline")
        if has_details and entry.detail:
            writer.add_text(start + _SWATCH, height - 13, entry.detail, _DETAIL, va="center_baseline", color="#444444")


def add_mark_legend(writer: Writer, words: Mapping[str, str]) -> None:
    x = 74.0
    for kind, word in words.items():
        mark = MARKS[kind]
        writer.add_line([x], [12], ls="", marker=mark.shape, ms=mark.size - 1, color="#444444")
        writer.add_text(x + 10, 12, word, _LEGEND, va="center_baseline")
        x += writer.measure(word, _LEGEND) + 34


def _has_details(entries: Sequence[Entry]) -> bool:
    return len(entries) <= _DIRECT and any(entry.detail for entry in entries)


def _find_height(axes: Axes, entry: Entry) -> float:
    if entry.end is None:
        return axes.bbox.y0
    low, high = axes.get_ylim()
    return axes.transData.transform((axes.get_xlim()[1], max(low, min(high, entry.end[1]))))[1]


def _spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return heights between `low` and `high` that are close to `wanted` but at least `gap` apart.

    `wanted` must be sorted in descending order.
    """
    gap = min(gap, (high - low) / len(wanted))
    heights, ceiling = list[float](), high
    for height in wanted:
        ceiling = min(height, ceiling)
        heights.append(ceiling)
        ceiling -= gap
    floor = low
    for index in reversed(range(len(heights))):
        heights[index] = floor = max(heights[index], floor)
        floor += gap
    return heights


def _measure(text: str) -> float:
    """Return the width of a string, in average letter widths. Chinese, Japanese and Korean characters are wider."""
    return sum(1.7 if east_asian_width(character) in "WF" else 1 for character in text)


def cut_text(text: str, width: float = _LABEL) -> str:
    """Shorten a string to at most `width` average letter widths.

    The middle is removed, because names often differ at the end.
    """
    if _measure(text) <= width:
        return text
    head, tail = "", ""
    while _measure(head + text[len(head)]) <= width / 2:
        head += text[len(head)]
    while _measure(tail + text[-len(tail) - 1]) <= width / 2 - 1:
        tail = text[-len(tail) - 1] + tail
    return f"{head}…{tail}"
