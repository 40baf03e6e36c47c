"""Compute summary statistics for groups of experiments, with the same definitions as pandas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from swanlab_mcp.analysis.quantiles import get_quantile

__all__ = ["Statistics", "compute_statistics"]


class Statistics(NamedTuple):
    """Summary statistics of finite values.

    `sd` is the sample standard deviation (with divisor n - 1), and `sem` is `sd` / sqrt(n). Both are `None` if there
    are fewer than 2 values.
    """

    n: int
    mean: float | None = None
    sd: float | None = None
    sem: float | None = None
    min: float | None = None
    median: float | None = None
    max: float | None = None


def compute_statistics(values: Sequence[float]) -> Statistics:
    """Return summary statistics for `values`, which must be finite.

    If `values` is empty, `n` is 0 and the other fields are `None`.
    """
    count = len(values)
    if not count:
        return Statistics(0)
    # scale the values, because the squares of large values would overflow
    scale = max(abs(value) for value in values) or 1.0
    scaled = [value / scale for value in values]
    mean = fmean(scaled)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / (count - 1)) * scale if count > 1 else None
    return Statistics(
        count,
        mean * scale,
        sd,
        None if sd is None else sd / math.sqrt(count),
        min(values),
        get_quantile(values, 0.5),
        max(values),
    )
