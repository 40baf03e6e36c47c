"""Compute critical values for multiple comparisons (Student's t and the studentised range) in pure Python."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache

__all__ = [
    "compute_f_tail",
    "compute_range_quantile",
    "compute_t_cdf",
    "compute_t_quantile",
    "get_many_quantile",
    "get_range_quantile",
]

# with more degrees of freedom than this, the variance is treated as known
_MANY = 5000.0
_NODES = 64
_SCALES = 28
_SPAN = 8.0
_NONE = 1e-12
_ROOT = math.sqrt(2)


def compute_t_cdf(t: float, freedom: float) -> float:
    """Return P(T <= t) for Student's t distribution."""
    if math.isinf(t):
        return 1.0 if t > 0 else 0.0
    square = t * t
    if square < freedom:
        # computing a tail close to 1/2 would lose the precision of a small t
        centre = compute_incomplete_beta(0.5, freedom / 2, square / (freedom + square))
        return 0.5 + math.copysign(centre / 2, t)
    tail = 0.5 * compute_incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square))
    return 1 - tail if t > 0 else tail


@lru_cache(1024)
def compute_t_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's t distribution for a `probability` between 0.5 and 1."""
    low, high = 0.0, 2.0
    while compute_t_cdf(high, freedom) < probability:
        high *= 2
    while low < (middle := (low + high) / 2) < high:
        if compute_t_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return middle


def compute_f_tail(ratio: float, first: float, second: float) -> float:
    """Return P(F > ratio) for the F distribution with `first` and `second` degrees of freedom."""
    if math.isinf(ratio):
        return 0.0
    return compute_incomplete_beta(second / 2, first / 2, second / (second + first * ratio))


@lru_cache(1024)
def compute_range_quantile(count: int, freedom: float, significance: float) -> float:
    """Return the critical value for the largest |t| among all pairs of `count` settings that do not truly differ.

    The largest |t| exceeds this value with probability `significance`. The value is the quantile of the studentised
    range divided by the square root of 2 (Tukey), computed from the double integral.
    """
    if count == 2:
        return compute_t_quantile(1 - significance / 2, freedom)
    # the critical value lies between the value for a single pair and the Bonferroni bound
    high = math.log(compute_t_quantile(1 - significance / count / (count - 1), freedom))
    low = math.log(compute_t_quantile(1 - significance / 2, freedom))
    at_low, at_high = (_measure_excess(t, count, freedom, significance) for t in (low, high))
    middle = high
    for _ in range(40):
        # regula falsi with the Illinois modification
        middle = high - at_high * (high - low) / (at_high - at_low)
        at_middle = _measure_excess(middle, count, freedom, significance)
        if abs(at_middle) < 1e-4:
            break
        if at_middle > 0:
            low, at_low, at_high = middle, at_middle, at_high / 2
        else:
            high, at_high, at_low = middle, at_middle, at_low / 2
    return math.exp(middle)


def get_range_quantile(count: int, freedom: float, significance: float) -> float:
    """Interpolate `compute_range_quantile` between a few counts, which is fast even for thousands of settings."""
    return _interpolate(count, lambda one: compute_range_quantile(one, freedom, significance))


def get_many_quantile(count: int, freedom: float, significance: float) -> float:
    """Return the two-sided critical t for `count` comparisons with a single baseline (Sidak's inequality)."""
    return _interpolate(
        count, lambda one: compute_t_quantile(1 - (1 - (1 - significance) ** (1 / one)) / 2, freedom), fewest=1
    )


def compute_incomplete_beta(a: float, b: float, x: float) -> float:
    """Compute the regularised incomplete beta function (continued fraction, modified Lentz method)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - compute_incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / _avoid_zero(1 - (a + b) * x / (a + 1), tiny)
    result = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _avoid_zero(1 + numerator * d, tiny)
            c = _avoid_zero(1 + numerator / c, tiny)
            result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * result / a


def _avoid_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def _interpolate(count: int, compute: Callable[[int], float], fewest: int = 2) -> float:
    grid = _list_counts(max(count, 2))
    if count <= fewest or count in grid:
        return compute(max(count, fewest))
    index = bisect_left(grid, count)
    low, high = grid[index - 1], grid[index]
    share = math.log(count / low) / math.log(high / low)
    return (1 - share) * compute(low) + share * compute(high)


@lru_cache(64)
def _list_counts(most: int) -> list[int]:
    """Return a grid of counts that ends at or just above `most`.

    The grid contains all counts from 2 to 8, and then four counts per doubling.
    """
    counts = list(range(2, 9))
    while counts[-1] < most:
        counts.append(math.ceil(counts[-1] * 2**0.25))
    return counts


@lru_cache(64)
def _get_normal_nodes() -> list[tuple[float, float, float]]:
    """Return (z, weight, distribution function at z) for integrating over the standard normal distribution."""
    width = 2 * _SPAN / _NODES
    nodes = [width * (index - _NODES / 2) for index in range(_NODES + 1)]
    return [(z, width * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), _phi(z)) for z in nodes]


@lru_cache(256)
def _get_scale_nodes(freedom: float) -> list[tuple[float, float]]:
    """Return (s, weight) pairs for integrating over the distribution of s = sqrt(chi-square / freedom).

    The nodes are equally spaced in log s.
    """
    if freedom > _MANY:
        return [(1.0, 1.0)]
    deviation = 1 / math.sqrt(2 * freedom)
    low, high = -6.5 * deviation - 14 / freedom, 6.5 * deviation
    # the density of x = log s is proportional to exp(freedom (x - exp(2x) / 2))
    nodes = [low + (high - low) * index / _SCALES for index in range(_SCALES + 1)]
    weights = [math.exp(freedom * (x - math.exp(2 * x) / 2 + 0.5)) for x in nodes]
    total = sum(weights)
    return [(math.exp(x), weight / total) for x, weight in zip(nodes, weights, strict=True) if weight > 1e-9 * total]


def _measure_excess(log_t: float, count: int, freedom: float, significance: float) -> float:
    return math.log(_compute_range_tail(math.exp(log_t), count, freedom) / significance)


def _compute_range_tail(t: float, count: int, freedom: float) -> float:
    """Return P(range / s > t * sqrt(2)) for the range of `count` standard normal values.

    s is an independent estimate of the standard deviation with `freedom` degrees of freedom.
    """
    reach = t * _ROOT
    nodes = [node for node in _get_normal_nodes() if node[2] ** (count - 1) > _NONE]
    total = 0.0
    for scale, weight in _get_scale_nodes(freedom):
        width = reach * scale
        inside = 0.0
        for z, mass, below in nodes:
            inside += mass * (below - 0.5 * math.erfc((width - z) / _ROOT)) ** (count - 1)
        total += weight * max(0.0, 1 - count * inside)
    return max(total, _NONE)


def _phi(z: float) -> float:
    return 0.5 * math.erfc(-z / _ROOT)
