"""Whether a difference between experiments is more than what another seed would make of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist, mean
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds
from swanlab_mcp.core.i18n import say

__all__ = [
    "Difference",
    "Noise",
    "compute_t_cdf",
    "compute_t_quantile",
    "compute_variance",
    "compute_welch",
    "count_repeats",
    "judge_difference",
    "pool_noise",
]

Verdict = Literal["real", "within noise", "cannot tell"]


class Noise(NamedTuple):
    """The standard deviation between repeats of one setting, pooled over `groups` settings."""

    deviation: float
    freedom: int
    groups: int

    def get_tie(self, thresholds: Thresholds = DEFAULTS) -> float:
        """Return the largest difference of two single experiments that noise alone explains."""
        return compute_t_quantile(1 - thresholds.significance / 2, self.freedom) * self.deviation * math.sqrt(2)


class Difference(NamedTuple):
    """Second minus first mean, its 95 % interval (None: cannot be computed), and how that was judged."""

    verdict: Verdict
    difference: float
    low: float | None
    high: float | None
    p: float | None
    test: str


class Welch(NamedTuple):
    """Welch's t, its degrees of freedom, two-sided p, and the standard error of the difference."""

    t: float
    freedom: float
    p: float
    error: float


def compute_t_cdf(t: float, freedom: float) -> float:
    """Return P(T <= t) of Student's distribution, by the incomplete beta function."""
    if math.isinf(t):
        return 1.0 if t > 0 else 0.0
    tail = 0.5 * _compute_incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))
    return 1 - tail if t > 0 else tail


@lru_cache(256)
def compute_t_quantile(probability: float, freedom: float) -> float:
    """Return the t below which `probability` (between 0.5 and 1) of Student's distribution lies."""
    low, high = 0.0, 2.0
    while compute_t_cdf(high, freedom) < probability:
        high *= 2
    while low < (middle := (low + high) / 2) < high:
        if compute_t_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return middle


def compute_welch(first: Sequence[float], second: Sequence[float]) -> Welch:
    """Return Welch's t test of two samples of at least 2 each (Welch 1947, Satterthwaite's degrees of freedom)."""
    parts = [compute_variance(values) / len(values) for values in (first, second)]
    difference = mean(second) - mean(first)
    error = math.sqrt(sum(parts))
    if not error:
        return Welch(math.copysign(math.inf, difference) if difference else 0.0, 1.0, 0.0 if difference else 1.0, 0.0)
    # shares of the error, because the squares of tiny variances vanish
    shares = [part / sum(parts) for part in parts]
    freedom = 1 / sum(share**2 / (len(values) - 1) for share, values in zip(shares, (first, second), strict=True))
    t = difference / error
    return Welch(t, freedom, 2 * (1 - compute_t_cdf(abs(t), freedom)), error)


def compute_variance(values: Sequence[float]) -> float:
    """Return the variance of at least 2 values; infinite where they are too large for one."""
    middle = mean(values)
    return sum((value - middle) * (value - middle) for value in values) / (len(values) - 1)


def pool_noise(groups: Sequence[Sequence[float]]) -> Noise | None:
    """Return the standard deviation within groups of repeats; None where no group has two."""
    repeated = [values for values in groups if len(values) > 1]
    freedom = sum(len(values) - 1 for values in repeated)
    if not freedom:
        return None
    total = sum(compute_variance(values) * (len(values) - 1) for values in repeated)
    return Noise(math.sqrt(total / freedom), freedom, len(repeated))


def count_repeats(difference: float, deviation: float, thresholds: Thresholds = DEFAULTS) -> int:
    """Return how many repeats of each setting show a difference (normal approximation, two-sided, power 0.8)."""
    normal = NormalDist()
    reach = normal.inv_cdf(1 - thresholds.significance / 2) + normal.inv_cdf(thresholds.power)
    if not difference:
        return 1000
    return max(2, min(1000, math.ceil(2 * (reach * deviation / difference) ** 2)))


def judge_difference(
    first: Sequence[float], second: Sequence[float], noise: Noise | None = None, thresholds: Thresholds = DEFAULTS
) -> Difference:
    """Tell whether two settings differ, from the values of their repeats; `noise` is what other settings tell."""
    difference = mean(second) - mean(first)
    if min(len(first), len(second)) < 2:
        if noise is None or not noise.deviation:
            return Difference(
                "cannot tell",
                difference,
                None,
                None,
                None,
                say("one seed each; about 2 more of each needed to know the noise"),
            )
        error = noise.deviation * math.sqrt(1 / len(first) + 1 / len(second))
        reach = compute_t_quantile(1 - thresholds.significance / 2, noise.freedom) * error
        low, high = difference - reach, difference + reach
        p = 2 * (1 - compute_t_cdf(abs(difference) / error, noise.freedom))
        known = {"groups": noise.groups, "freedom": noise.freedom}
        if p < thresholds.significance:
            test = say(
                "t test with the noise of {groups} other repeated settings (df {freedom}); assumes the same noise here",
                **known,
            )
            return Difference("real", difference, low, high, p, test)
        more = count_repeats(difference, noise.deviation, thresholds) - min(len(first), len(second))
        test = say(
            "t test with the noise of {groups} other repeated settings (df {freedom}); about {more} more repeats of "
            "each needed",
            more=more,
            **known,
        )
        return Difference("cannot tell", difference, low, high, p, test)
    welch = compute_welch(first, second)
    sizes = {"first": len(first), "second": len(second)}
    if difference and not welch.error and max(len(first), len(second)) < thresholds.few_repeats:
        test = say("no scatter at all in {first} and {second} repeats: too few to know the noise", **sizes)
        return Difference("cannot tell", difference, None, None, None, test)
    reach = compute_t_quantile(1 - thresholds.significance / 2, welch.freedom) * welch.error
    verdict: Verdict = "real" if welch.p < thresholds.significance else "within noise"
    test = (
        say("Welch's t, n={first} and {second}; weak: few repeats", **sizes)
        if min(len(first), len(second)) < thresholds.few_repeats
        else say("Welch's t, n={first} and {second}", **sizes)
    )
    return Difference(verdict, difference, difference - reach, difference + reach, welch.p, test)


def _compute_incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function (continued fraction, modified Lentz)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _compute_incomplete_beta(b, a, 1 - x)
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
