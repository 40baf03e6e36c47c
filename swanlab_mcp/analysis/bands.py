"""Compute the mean curve and band of repeated runs, and choose axis limits that ignore a few extreme points."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal, NamedTuple

__all__ = ["UNLIKE", "Band", "Spread", "choose_limits", "list_calm", "measure_band"]

Spread = Literal["sd", "minmax"]

UNLIKE = 100  # a curve looks like a flat line next to a curve this many times larger
_MOST_POSITIONS = 1000
_SHARE = 0.02  # up to this share of the points on each side may lie outside the limits
_BEFORE = 0.1  # an exploding curve has at least this share of its values in the range of the other curves
_WORTH = 2  # cut off extreme points only if the others then fill at least this many times as much of the axis


class Band(NamedTuple):
    """The mean of several curves with its lower and upper bounds, and the number of curves at each x value."""

    xs: list[float]
    means: list[float]
    lows: list[float]
    highs: list[float]
    counts: list[int]


def measure_band(curves: Sequence[tuple[Sequence[float], Sequence[float]]], spread: Spread = "sd") -> Band:
    """Return the mean curve and its band, evaluated at every x value that occurs in any curve.

    The x values of each curve must be increasing. A curve is interpolated linearly between its finite points and is
    ignored outside their range. If there are more than 1000 x values, an evenly spaced sample of them is used.

    If `spread` is "sd", the band extends one sample standard deviation to either side of the mean (0 for a single
    curve). If `spread` is "minmax", the band spans the smallest and largest values.
    """
    finite = [_keep_finite(xs, ys) for xs, ys in curves]
    positions = sorted({x for xs, _ in finite for x in xs})
    if len(positions) > _MOST_POSITIONS:
        last = len(positions) - 1
        positions = [positions[round(number * last / (_MOST_POSITIONS - 1))] for number in range(_MOST_POSITIONS)]
    band = Band([], [], [], [], [])
    for x in positions:
        values = [value for xs, ys in finite if (value := _interpolate(xs, ys, x)) is not None]
        mean = fmean(values)
        deviation = stdev(values) if spread == "sd" and len(values) > 1 else 0.0
        band.xs.append(x)
        band.means.append(mean)
        band.lows.append(mean - deviation if spread == "sd" else min(values))
        band.highs.append(mean + deviation if spread == "sd" else max(values))
        band.counts.append(len(values))
    return band


def choose_limits(values: Sequence[float], kept: Sequence[float] = ()) -> tuple[float, float]:
    """Return the lower and upper limits of an axis.

    Extreme points are cut off if they would squash the others. The limits always include the finite values in `kept`,
    such as the last and best values. If no value is finite, return (0, 1).
    """
    ordered = sorted(value for value in values if math.isfinite(value))
    if not ordered:
        return 0.0, 1.0
    cut = math.ceil(len(ordered) * _SHARE)
    wanted = [value for value in kept if math.isfinite(value)]
    inner = ordered[cut : len(ordered) - cut] or ordered
    low, high = min([inner[0], *wanted]), max([inner[-1], *wanted])
    if ordered[-1] - ordered[0] < _WORTH * (high - low) or low == high:
        return ordered[0], ordered[-1]
    # points close to the inner range are not extreme
    reach = (high - low) / 10
    return ordered[bisect_left(ordered, low - reach)], ordered[bisect_right(ordered, high + reach) - 1]


def list_calm(curves: Sequence[Sequence[float]], worse: int = 0) -> list[int]:
    """Return the indices of the curves that do not explode.

    A curve explodes if its range is more than UNLIKE times the typical range, but at least half of its finite values
    are within the range of the other curves. `worse` is 1 if large values are bad, -1 if small values are bad, and 0 if
    the direction is unknown. If the direction is known, curves that explode in the bad direction are excluded even if
    they are the majority.
    """
    finite = [[value for value in curve if math.isfinite(value)] for curve in curves]
    limits = [choose_limits(curve, curve[-1:]) for curve in finite]
    heights = [high / 2 - low / 2 for low, high in limits]
    usual = sorted(height for height, curve in zip(heights, finite, strict=True) if curve)
    most = UNLIKE * usual[(len(usual) - 1) // 2] if usual else 0.0
    flat = [index for index, height in enumerate(heights) if finite[index] and height <= most] if most else []
    kept = set(_keep_outside(finite, limits, flat, 0.5))
    sizes = [max(abs(low), abs(high)) if curve else 0.0 for (low, high), curve in zip(limits, finite, strict=True)]
    least = min((size for size in sizes if size), default=0.0)
    small = [index for index, size in enumerate(sizes) if finite[index] and size <= UNLIKE * least] if worse else []
    far = {index for index, (low, high) in enumerate(limits) if worse * (low / 2 + high / 2) > 0} - {*small}
    kept -= far - {*_keep_outside(finite, limits, small, _BEFORE)}
    return sorted(kept)


def _keep_outside(
    curves: Sequence[Sequence[float]], limits: Sequence[tuple[float, float]], calm: Sequence[int], share: float
) -> list[int]:
    """Return the indices of the curves in `calm` and of the curves that lie mostly outside the calm range.

    A curve lies mostly outside if less than the fraction `share` of its values is within the limits of the calm curves.
    If `calm` is empty, return all indices.
    """
    if not calm:
        return [*range(len(curves))]
    low, high = min(limits[index][0] for index in calm), max(limits[index][1] for index in calm)
    return [
        index
        for index, curve in enumerate(curves)
        if index in calm or sum(low <= value <= high for value in curve) < share * len(curve)
    ]


def _keep_finite(xs: Sequence[float], ys: Sequence[float]) -> tuple[list[float], list[float]]:
    kept = [index for index, y in enumerate(ys) if math.isfinite(y) and math.isfinite(xs[index])]
    return [xs[index] for index in kept], [ys[index] for index in kept]


def _interpolate(xs: Sequence[float], ys: Sequence[float], x: float) -> float | None:
    if not xs or not xs[0] <= x <= xs[-1]:
        return None
    index = bisect_left(xs, x)
    if xs[index] == x:
        return ys[index]
    share = (x - xs[index - 1]) / (xs[index] - xs[index - 1])
    return ys[index - 1] + share * (ys[index] - ys[index - 1])
