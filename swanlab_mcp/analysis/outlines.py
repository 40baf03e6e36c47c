"""What a drawn curve shows beside its points: a smoothed course, whether it ends far from its minimum, a sparkline."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

__all__ = ["draw_sparkline", "ends_far_above_minimum", "smooth"]

_BLOCKS = 20
_FEWEST = 8
_NOISE = 6.0  # times the usual change between neighbours
_RISE = 0.5  # of the way that it had come down, or of the minimum itself
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


def ends_far_above_minimum(values: Sequence[float]) -> bool:
    """Tell whether a curve that should fall ends clearly above the lowest level it had reached.

    Levels are medians of 20 stretches of the finite values. Clearly: the rise is more than 6 times the usual change
    between neighbours, and more than half of the way down before it or half of the lowest level.
    """
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < _FEWEST:
        return False
    width = max(1, len(finite) // _BLOCKS)
    levels = [statistics.median(finite[start : start + width]) for start in range(0, len(finite) - width + 1, width)]
    lowest = min(range(len(levels)), key=levels.__getitem__)
    rise = levels[-1] - levels[lowest]
    noise = statistics.median(abs(after - before) for before, after in itertools.pairwise(finite))
    way_down = max(levels[: lowest + 1]) - levels[lowest]
    return rise > _NOISE * noise and (rise > _RISE * way_down or rise > _RISE * levels[lowest] > 0)


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
