"""Draw sparklines, which show curves as text if no picture can be drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["draw_sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
_ODD = "x"


def draw_sparkline(values: Sequence[float], width: int = 32, *, is_log: bool = False) -> str:
    """Return a sparkline of at most `width` characters.

    Each bar shows the mean of a section of the values. An x marks a section without values that can be drawn.
    """
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
    # halve the values first, because the difference between large numbers may overflow
    span = high / 2 - low / 2
    return "".join(
        _BARS[min(7, int((mean / 2 - low / 2) / span * 8)) if span else 0] if math.isfinite(mean) else _ODD
        for mean in means
    )
