"""Summarise a series as at most a hundred robust levels, and estimate its noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = ["SIGMA", "Outline", "is_wide", "keep_finite", "outline", "to_scale"]

SIGMA = 1.4826  # standard deviations of a normal distribution per median absolute deviation


class Outline(NamedTuple):
    """A smoothed series: `levels` are rolling medians of `medians`.

    Each median covers `width` values, so level i starts at value i x width. `scatter` is the noise of a median, `noise`
    the noise of a single value. Both are standard deviations, estimated from second differences, which slopes and
    outliers hardly affect.
    """

    levels: list[float]
    width: int
    scatter: float
    noise: float
    first: float
    medians: list[float]

    @property
    def best(self) -> float:
        return min(self.levels)

    @property
    def final(self) -> float:
        return self.levels[-1]

    @property
    def lowest(self) -> int:
        """The index of the last level that equals the best level."""
        return len(self.levels) - 1 - self.levels[::-1].index(self.best)


def keep_finite(steps: Sequence[int], values: Sequence[float]) -> tuple[Sequence[int], Sequence[float]]:
    """Return the points with finite values."""
    # a finite sum means that all values are finite; if huge values overflow, the slower path below handles them
    if math.isfinite(sum(values)):
        return steps, values
    places = [place for place, value in enumerate(values) if math.isfinite(value)]
    return [steps[place] for place in places], [values[place] for place in places]


def is_wide(values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> bool:
    """Return whether all values are positive and span too many decades for a linear scale."""
    low = min(values)
    return low > 0 and math.log10(max(values)) - math.log10(low) > thresholds.log_decades


def to_scale(values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> Sequence[float]:
    """Return the values on the scale of the analysis: logarithms if they span many decades."""
    return list(map(math.log10, values)) if is_wide(values, thresholds) else values


def outline(values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> Outline:
    """Return the outline of finite values in step order; at least one value is required."""
    size = len(values)
    width = -(-size // thresholds.levels)
    medians = [median(values[start : start + width]) for start in range(0, size, width)]
    if len(medians) > 1 and size % width and size % width < width / 2:
        medians.pop()  # the last part has too few values for a comparable median
    scatter = _estimate_noise(medians)
    # a part of the values is enough to estimate the noise
    stretch = (
        values
        if size <= 5000
        else [value for start in range(0, size, size // 50) for value in values[start : start + 60]]
    )
    noise = _estimate_noise(stretch)
    half = thresholds.smoothing // 2
    levels = [median(medians[max(0, place - half) : place + half + 1]) for place in range(len(medians))]
    first = max(values[0], median(values[: thresholds.smoothing]))
    return Outline(levels, width, scatter, noise, first, medians)


def _estimate_noise(values: Sequence[float]) -> float:
    if len(values) < 3:
        return 0.0
    bends = [abs(values[place - 1] - 2 * values[place] + values[place + 1]) for place in range(1, len(values) - 1)]
    return SIGMA * median(bends) / math.sqrt(6)
