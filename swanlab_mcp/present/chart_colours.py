"""Colour points by a number, and draw a colour bar with the scale."""

# matplotlib's annotations leave the types of keyword arguments open
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.present.chart_axes import list_ticks, show_number
from swanlab_mcp.present.chart_margins import HEIGHT, WIDTH, Writer

__all__ = ["ColourScale", "add_colour_bar", "measure_bar"]

_NARROWEST, _WIDEST, _START = 110, 200, 14  # pixels: narrowest and widest strip, and the offset of the bar in it
_WIDE, _TOP, _BOTTOM, _GAP = 16, 44, 110, 18  # pixels
_SPREAD = 100  # positive numbers get a logarithmic scale if they span at least this factor
_SIZE = 9  # points
_FEW = 6  # if there are at most this many distinct numbers, all of them are labelled
# viridis without yellow, which is too faint on white; distinguishable with every type of colour vision
_STOPS = (0x440154, 0x46327E, 0x365C8D, 0x277F8E, 0x1FA187, 0x4AC16D, 0xA0DA39)


class ColourScale(NamedTuple):
    """A mapping from numbers to colours. `numbers` contains the distinct numbers in ascending order."""

    numbers: Sequence[float]
    is_log: bool

    @classmethod
    def of(cls, shades: Iterable[float]) -> ColourScale | None:
        """Return a scale for the given numbers, or `None` if none of them is finite."""
        numbers = sorted({shade for shade in shades if math.isfinite(shade)})
        return cls(numbers, numbers[0] > 0 and numbers[-1] >= _SPREAD * numbers[0]) if numbers else None

    def normalize(self, shade: float) -> float:
        """Return the position of a number on the scale, from 0 (smallest) to 1 (largest)."""
        low, at, high = (
            math.log10(one) if self.is_log else one / 2 for one in (self.numbers[0], shade, self.numbers[-1])
        )
        return (at - low) / (high - low) if high > low else 0.5

    def colour(self, shade: float) -> tuple[float, float, float]:
        return _mix(self.normalize(shade))


def _mix(share: float) -> tuple[float, float, float]:
    """Return the red, green and blue components (0 to 1) of the colour at a position on the scale."""
    at = share * (len(_STOPS) - 1)
    first = min(int(at), len(_STOPS) - 2)
    red, green, blue = (
        ((_STOPS[first] >> shift & 255) * (first + 1 - at) + (_STOPS[first + 1] >> shift & 255) * (at - first)) / 255
        for shift in (16, 8, 0)
    )
    return red, green, blue


def measure_bar(writer: Writer, name: str) -> float:
    """Return the width of the strip that holds the colour bar and its name."""
    return min(max(writer.measure(shorten(name), _SIZE) + _START + 8, _NARROWEST), _WIDEST)


def add_colour_bar(writer: Writer, name: str, scale: ColourScale, left: float) -> float:
    """Draw the colour bar and its name in the strip at `left`, and return the height of the space below the bar."""
    start, high = left + _START, HEIGHT - _TOP
    writer.add_text(start, HEIGHT - 24, writer.fit(name, _SIZE, WIDTH - start - 8), _SIZE, va="center_baseline")
    axes = writer.figure.add_axes((start / WIDTH, _BOTTOM / HEIGHT, _WIDE / WIDTH, (high - _BOTTOM) / HEIGHT))
    axes.imshow([[_mix(index / 255)] for index in range(256)], aspect="auto", origin="lower")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_linewidth(0.6)
    few = len(scale.numbers) <= _FEW
    ends = [scale.numbers[0], scale.numbers[-1]]
    ticks = scale.numbers if few else [*ends, *list_ticks(ends[0], ends[1], 6, is_log=scale.is_log)]
    taken: list[float] = []
    for tick in ticks:
        height = _BOTTOM + scale.normalize(tick) * (high - _BOTTOM)
        if all(abs(height - other) >= _GAP for other in taken):
            taken.append(height)
            end = start + _WIDE
            writer.add_line([end, end + 4], [height, height], lw=0.6, color="black")
            writer.add_text(end + 8, height, show_number(float(f"{tick:.4g}")), 8.5, va="center_baseline")
    return _BOTTOM - 26.0
