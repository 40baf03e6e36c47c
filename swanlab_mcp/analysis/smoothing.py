"""Smooth curves with moving averages."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["find_smooth_best", "smooth"]


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving average of the values, with bias correction.

    `weight` is at least 0 (no smoothing) and below 1. NaN and infinite values are returned unchanged and do not affect
    the average.
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
    """Return the index and value of the best moving average over `width` values, or `None` if there is none.

    Windows that contain a NaN or infinite value are ignored. The index refers to the middle of the window.
    """
    best: tuple[int, float] | None = None
    total, odd = 0.0, 0
    for index, value in enumerate(values):
        total, odd = (total + value, odd) if math.isfinite(value) else (total, odd + 1)
        if index >= width:
            gone = values[index - width]
            total, odd = (total - gone, odd) if math.isfinite(gone) else (total, odd - 1)
        if index >= width - 1 and not odd:
            mean = total / width
            if best is None or (mean < best[1] if mode == "min" else mean > best[1]):
                best = index - width // 2, mean
    return best
