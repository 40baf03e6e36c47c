"""A curve in fewer or calmer points: its smoothed course, and a sparkline."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["draw_sparkline", "find_smooth_best", "smooth"]

_BARS = "▁▂▃▄▅▆▇█"
_ODD = "x"


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving average, corrected for its beginning; `weight` from 0 (none) to below 1.

    Values that are not finite stay as they are and do not count.
    """
    smoothed: list[float] = []
    average = total = 0.0
    for value in values:
        if math.isfinite(value):
            average = weight * average + (1 - weight) * value
            total = weight * total + (1 - weight)
            smoothed.append(average / total)
        else:
            smoothed.append(value)
    return smoothed


def find_smooth_best(values: Sequence[float], mode: str, width: int) -> tuple[int, float] | None:
    """Return where a running mean of `width` values is best, and that mean; windows with a NaN do not count."""
    best: tuple[int, float] | None = None
    total, odd = 0.0, 0
    for place, value in enumerate(values):
        total, odd = (total + value, odd) if math.isfinite(value) else (total, odd + 1)
        if place >= width:
            gone = values[place - width]
            total, odd = (total - gone, odd) if math.isfinite(gone) else (total, odd - 1)
        if place >= width - 1 and not odd:
            mean = total / width
            if best is None or (mean < best[1] if mode == "min" else mean > best[1]):
                best = place - width // 2, mean
    return best


def draw_sparkline(values: Sequence[float], width: int = 32, *, is_log: bool = False) -> str:
    """Return at most `width` bars, each the mean of a stretch; x where a stretch has no value that can be drawn."""
    size = len(values)
    count = min(width, size)
    means: list[float] = []
    for part in range(count):
        stretch = [value for value in values[part * size // count : (part + 1) * size // count] if math.isfinite(value)]
        if is_log:
            stretch = [math.log(value) for value in stretch if value > 0]
        means.append(math.fsum(value / len(stretch) for value in stretch) if stretch else math.nan)
    drawn = [mean for mean in means if math.isfinite(mean)]
    low, high = (min(drawn), max(drawn)) if drawn else (0.0, 0.0)
    # halves, because the difference of large numbers may be infinite
    span = high / 2 - low / 2
    return "".join(
        _BARS[min(7, int((mean / 2 - low / 2) / span * 8)) if span else 0] if math.isfinite(mean) else _ODD
        for mean in means
    )
