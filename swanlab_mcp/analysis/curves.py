"""Summarise a series as at most a hundred rolling medians, and estimate its noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = ["SIGMA", "Outline", "is_wide", "keep_finite", "outline", "to_scale"]

SIGMA = 1.4826  # ratio of the standard deviation to the median absolute deviation of a normal distribution


class Outline(NamedTuple):
    """A smoothed summary of a series.

    `medians` contains the median of each block of `width` values, and `levels` the rolling medians of `medians`. Level
    i therefore starts at value i * `width`. `first` is the first value or the median of the first few values, whichever
    is larger. `scatter` is the noise of a block median, and `noise` is the noise of a single value. Both are standard
    deviations that are estimated from second differences, because slopes and outliers hardly affect second differences.
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
    """Return the steps and values of the points with finite values."""
    # a finite sum implies that all values are finite; if huge values overflow, the slower check below runs
    if math.isfinite(sum(values)):
        return steps, values
    indices = [index for index, value in enumerate(values) if math.isfinite(value)]
    return [steps[index] for index in indices], [values[index] for index in indices]


def is_wide(values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> bool:
    """Return whether all values are positive and span too many decades for a linear scale."""
    low = min(values)
    return low > 0 and math.log10(max(values)) - math.log10(low) > thresholds.log_decades


def to_scale(values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> Sequence[float]:
    """Return the base-10 logarithms of the values if they span many decades, and otherwise the values themselves."""
    return list(map(math.log10, values)) if is_wide(values, thresholds) else values


def outline(values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> Outline:
    """Return the outline of a series from its finite values in step order. At least one value is required."""
    size = len(values)
    width = -(-size // thresholds.levels)
    medians = [median(values[start : start + width]) for start in range(0, size, width)]
    if len(medians) > 1 and size % width and size % width < width / 2:
        medians.pop()  # the last block is too short for a comparable median
    scatter = _estimate_noise(medians)
    # a sample of the values is enough to estimate the noise
    stretch = (
        values
        if size <= 5000
        else [value for start in range(0, size, size // 50) for value in values[start : start + 60]]
    )
    noise = _estimate_noise(stretch)
    half = thresholds.smoothing // 2
    levels = [median(medians[max(0, index - half) : index + half + 1]) for index in range(len(medians))]
    first = max(values[0], median(values[: thresholds.smoothing]))
    return Outline(levels, width, scatter, noise, first, medians)


def _estimate_noise(values: Sequence[float]) -> float:
    if len(values) < 3:
        return 0.0
    bends = [abs(values[index - 1] - 2 * values[index] + values[index + 1]) for index in range(1, len(values) - 1)]
    return SIGMA * median(bends) / math.sqrt(6)
