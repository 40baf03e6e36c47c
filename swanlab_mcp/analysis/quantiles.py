"""Compute quantiles with linear interpolation, the default in numpy and pandas."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["get_quantile"]


def get_quantile(values: Sequence[float], part: float) -> float:
    """Return the quantile of the values at level `part` (0 to 1). Raises ValueError if there are no values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    position = part * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
