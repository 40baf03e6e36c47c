"""Detect trends in a series: lasting worsening, improvement since the start, and plateaus at the end.

Values are costs (smaller is better), so metrics such as accuracy must be negated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.curves import SIGMA, Outline, outline, to_scale
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = [
    "Plateau",
    "Worsening",
    "compute_drift",
    "exclude_short_noise",
    "find_plateau",
    "find_worsening",
    "fit_rising",
    "has_improved",
    "measure_drift",
    "measure_left",
    "measure_steps",
    "measure_trend",
]


# the evidence for a worsening
WorseningRule = Literal[
    "scatter",  # a rise that is larger than the noise
    "quick",  # a large rise that is too quick for noise
    "stays",  # no return to the best level, which was reached with little noise
    "trend",  # a high last quarter, with a significant trend
    "order",  # the order of a few points
    "start",  # an end that is worse than the start
]


class Worsening(NamedTuple):
    """A lasting worsening of a series after its best point.

    `onset_step` is the step at which the series rises above its noise for good, and `final` is its last level. `lost`
    is the rise as a fraction of the earlier improvement. If `lost` is above 1, the series ends worse than it started.
    `rule` names the evidence.
    """

    best_step: int
    best_value: float
    onset_step: int
    final: float
    lost: float
    rule: WorseningRule


class Plateau(NamedTuple):
    """A plateau at the end of a series.

    The series hardly improved after `step`. `level` is its level at `step`, and `share` is the fraction of the series
    after `step`.
    """

    step: int
    level: float
    share: float


def fit_rising(values: Sequence[float]) -> list[float]:
    """Fit a nondecreasing curve to the values by least squares (isotonic regression)."""
    pools: list[list[float]] = []
    for value in values:
        pools.append([value, 1])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            mean, count = pools.pop()
            pools[-1] = [(pools[-1][0] * pools[-1][1] + mean * count) / (pools[-1][1] + count), pools[-1][1] + count]
    return [mean for mean, count in pools for _ in range(int(count))]


def measure_trend(values: Sequence[float]) -> float:
    """Return the Mann-Kendall statistic z, corrected for autocorrelated noise. It is positive if the values rise.

    The correction of Hamed and Rao uses the autocorrelation of the residuals of an isotonic fit.
    """
    size = len(values)
    if size < 3:
        return 0.0
    balance = 0
    for index, value in enumerate(values):
        balance += sum((later > value) - (later < value) for later in values[index + 1 :])
    if balance == 0:
        return 0.0
    oriented = values if balance > 0 else [-value for value in values]
    left = [value - fitted for value, fitted in zip(oriented, fit_rising(oriented), strict=True)]
    variance = size * (size - 1) * (2 * size + 5) / 18 * max(1.0, _measure_lasting(left))
    return (balance - math.copysign(1, balance)) / math.sqrt(variance)


def find_worsening(
    steps: Sequence[int], costs: Sequence[float], thresholds: Thresholds = DEFAULTS, course: Outline | None = None
) -> Worsening | None:
    """Return the lasting worsening after the best level of a series, or `None`. `costs` must be finite.

    The rise from the best level to the last level must be at least a certain fraction of the earlier improvement. It
    must also exceed the noise of the levels and the residuals of a rising fit, or be a significant trend.
    """
    if len(costs) < thresholds.few_points or min(costs) == max(costs):
        return None
    scaled = to_scale(costs, thresholds)
    if len(costs) < thresholds.fewest_points:
        return _find_few_worsening(steps, costs, scaled, thresholds)
    if course is None:
        course = outline(scaled, thresholds)
    best, levels, lowest = course.best, course.levels, course.lowest
    rise = course.final - best
    drop = max(course.first, levels[0]) - best
    after = course.medians[lowest:]
    if len(after) <= thresholds.smoothing or rise <= thresholds.worse_share * drop:
        return None
    # a rise that is larger than the earlier improvement may be autocorrelated noise
    doubt = 1.0 if drop >= rise else thresholds.worse_doubt
    if drop < rise < doubt * drop and _rises_surely(course.medians, lowest, 1.0, thresholds):
        doubt = rise / drop
    fitted = fit_rising(after)
    left = measure_left(after, fitted)
    rule = _find_evidence(course, rise, doubt, left, thresholds)
    if rule is None:
        return None
    # an explosion rises above the noise long before it reaches a visible fraction of its final height
    sigmas = thresholds.onset_sigmas if rise <= drop else thresholds.learned_sigmas
    limit = best + max(thresholds.onset_share * min(rise, drop), min(rise / 2, sigmas * course.scatter))
    # find the onset in the rising fit, because the fit contains no noise
    onset = lowest + max((index for index, fit in enumerate(fitted) if fit <= limit), default=0)
    lowest_cost = min(costs)
    index = min(len(steps) - 1, (onset + 1) * course.width)
    final = costs[-1] if len(levels) < 2 else median(costs[-max(1, course.width * (thresholds.smoothing // 2 + 1)) :])
    lost = rise / drop if drop > 0 else math.inf
    return Worsening(steps[costs.index(lowest_cost)], lowest_cost, steps[index], final, lost, rule)


def has_improved(costs: Sequence[float], thresholds: Thresholds = DEFAULTS, course: Outline | None = None) -> bool:
    """Return whether a series improved on its start, at least temporarily. `costs` must be finite.

    One of three conditions is sufficient:

    - The best level is below the median of the first 1, 2, 4, … values (at most a quarter of the series). The
      difference exceeds the noise of the two levels and the residuals of a falling fit.
    - The series has a significant falling trend.
    - The series leaves its first level faster than noise can drift, even if it returns later.
    """
    scaled = to_scale(costs, thresholds)
    if course is None:
        course = outline(scaled, thresholds)
    fall = [-value for value in course.medians]
    until = fall[: course.lowest + 1]
    # if half of the gain came quickly, noise had only that short time to drift
    middle = course.levels[0] / 2 + course.best / 2
    half = next(index for index, level in enumerate(course.levels, 1) if level <= middle)
    drift = min(
        thresholds.learned_drift * measure_drift(course.medians, len(until)), 2 * measure_drift(course.medians, half)
    )
    left = measure_left(until)
    size = 1
    while size <= min(max(1, len(scaled) // 4), course.lowest * course.width):
        gain = median(scaled[:size]) - course.best
        noise = math.hypot(course.noise / math.sqrt(size), course.scatter, left)
        # the first few values may be outliers
        sigmas = thresholds.learned_sigmas if size >= thresholds.few_points else thresholds.quick_sigmas
        if gain > max(sigmas * noise, drift) and gain > 0:
            return True
        size *= 2
    if len(fall) >= thresholds.few_points and measure_trend(fall) > thresholds.learned_trend:
        return True
    return _leaves_start(course, thresholds)


def _leaves_start(course: Outline, thresholds: Thresholds) -> bool:
    start = course.levels[0]
    noise = thresholds.learned_sigmas * math.hypot(course.noise / math.sqrt(thresholds.smoothing), course.scatter)
    steps = measure_steps(course.medians)
    return any(
        start - level > max(noise, thresholds.sure_drift * compute_drift(steps, index))
        for index, level in enumerate(course.levels)
        if index
    )


def find_plateau(
    steps: Sequence[int], costs: Sequence[float], thresholds: Thresholds = DEFAULTS, course: Outline | None = None
) -> Plateau | None:
    """Return the plateau at the end of a series that had improved before, or `None`. `costs` must be finite."""
    if len(costs) < thresholds.flat_points:
        return None
    scaled = to_scale(costs, thresholds)
    if course is None:
        course = outline(scaled, thresholds)
    if not has_improved(costs, thresholds, course):
        return None
    drop = max(course.first, course.levels[0]) - course.best
    limit = course.best + thresholds.plateau_share * drop + course.scatter
    level = next(index for index, level in enumerate(course.levels) if level <= limit)
    # if the plateau starts within the first level, use the individual values
    onset = level * course.width or next((index for index, value in enumerate(scaled) if value <= limit), 0)
    share = 1 - onset / len(costs)
    if share < thresholds.plateau_length or course.final > limit:
        return None
    onset = min(len(steps) - 1, onset)
    return Plateau(steps[onset], median(costs[onset : onset + course.width]), share)


def _find_few_worsening(
    steps: Sequence[int], costs: Sequence[float], scaled: Sequence[float], thresholds: Thresholds
) -> Worsening | None:
    """Return the worsening of a series with only 5 to 11 points, or `None`.

    The evidence is an exact Mann-Kendall test of the order of the points, at the 1 % level.
    """
    best = min(range(len(scaled)), key=lambda index: scaled[index])
    after = scaled[best:]
    rise = scaled[-1] - scaled[best]
    drop = scaled[0] - scaled[best]
    if len(after) < thresholds.few_points or rise <= thresholds.worse_share * (drop or abs(scaled[best])):
        return None
    if rise <= thresholds.few_drift * measure_drift(scaled, len(after)):
        return None
    if _count_orders(after) > thresholds.few_significance * math.factorial(len(after)):
        return None
    limit = scaled[best] + thresholds.onset_share * rise
    onset = max(index for index, value in enumerate(scaled) if value <= limit) + 1
    lost = rise / drop if drop > 0 else math.inf
    return Worsening(steps[best], costs[best], steps[min(onset, len(steps) - 1)], costs[-1], lost, "order")


def _count_orders(values: Sequence[float]) -> int:
    """Count the permutations with no more falling pairs than the given values, for an exact Mann-Kendall test."""
    size = len(values)
    falls = sum(later <= value for index, value in enumerate(values) for later in values[index + 1 :])
    counts = [1]
    for length in range(2, size + 1):
        counts = [
            sum(counts[max(0, total - length + 1) : total + 1])
            for total in range(min(falls, length * (length - 1) // 2) + 1)
        ]
    return sum(counts[: falls + 1])


def _find_evidence(
    course: Outline, rise: float, doubt: float, left: float, thresholds: Thresholds
) -> WorseningRule | None:
    """Return the rule which shows that the rise to the last level exceeds autocorrelated noise, or `None`."""
    steps = measure_steps(course.medians)
    is_sure = _rises_surely(course.medians, course.lowest, doubt, thresholds)
    stands_out = rise > doubt * max(thresholds.worse_sigmas * course.scatter, thresholds.worse_scatter * left)
    # if the order of the levels is significant, it already rules out independent noise
    lasting = exclude_short_noise(steps) if is_sure else steps
    if rise <= doubt * thresholds.worse_drift * compute_drift(lasting, len(course.medians) - course.lowest):
        # if the rise was quick, noise had only that short time to drift
        drift = compute_drift(steps, _measure_rise(course), thresholds.smoothing - 1)
        return "quick" if stands_out and rise > thresholds.quick_drift * drift else None
    if stands_out:
        return "scatter"
    if _stays_above(course, doubt, thresholds):
        return "stays"
    return "trend" if is_sure else None


def _measure_rise(course: Outline) -> int:
    """Return the number of smoothed values in the rise from the best level to the last level.

    The lowest and the highest tenth of the rise are excluded.
    """
    rise = course.final - course.best
    after = course.levels[course.lowest :]
    end = next(index for index, level in enumerate(after) if level >= course.final - rise / 10)
    start = max(index for index, level in enumerate(after[: end + 1]) if level <= course.best + rise / 10)
    return max(1, end - start)


def _stays_above(course: Outline, doubt: float, thresholds: Thresholds) -> bool:
    """Return whether a series with little noise rises from its best level and stays above it."""
    half = thresholds.smoothing // 2
    until = [-value for value in course.medians[: course.lowest + 1]]
    rest = course.levels[course.lowest + half + 1 :]
    if len(until) < thresholds.fewest_points or len(rest) < thresholds.fewest_points:
        return False
    rise = min(course.final, *rest[-max(1, len(rest) // 2) :]) - course.best
    noise = max(thresholds.stays_sigmas * course.scatter, thresholds.stays_scatter * measure_left(until))
    return course.final - course.best > doubt * noise and rise > noise / 2


def _rises_surely(medians: Sequence[float], lowest: int, doubt: float, thresholds: Thresholds) -> bool:
    """Return whether the last quarter clearly exceeds the best window and the values after that window clearly rise."""
    half = thresholds.smoothing // 2
    window = medians[max(0, lowest - half) : lowest + half + 1]
    rest = medians[lowest + half + 1 :]
    if len(rest) < thresholds.fewest_points:
        return False
    last = rest[-max(thresholds.smoothing, len(rest) // 4) :]
    above = sum((late > early) + (late == early) / 2 for late in last for early in window) / (len(last) * len(window))
    return above >= thresholds.worse_order and measure_trend(rest) > doubt * thresholds.worse_trend


def measure_left(values: Sequence[float], fitted: Sequence[float] | None = None) -> float:
    """Return a robust estimate of the standard deviation of the values around a non-decreasing fit."""
    fitted = fitted or fit_rising(values)
    free = max(1, len(values) - len(set(fitted)))
    off = median([abs(value - fit) for value, fit in zip(values, fitted, strict=True)])
    return SIGMA * off * math.sqrt(len(values) / free)


def measure_drift(values: Sequence[float], length: int) -> float:
    """Return how far noise could drift over `length` values, as the standard deviation of a random walk.

    The step size of the random walk is estimated from second differences over 1, 2, 4, … values, because a trend hardly
    affects second differences. Independent noise does not grow with the distance, so estimates over larger distances
    contain less of it.
    """
    return compute_drift(measure_steps(values), length)


def measure_steps(values: Sequence[float]) -> list[tuple[int, float]]:
    """Estimate the step size of a random walk over distances of 1, 2, 4, … values, as (distance, step size) pairs."""
    found: list[tuple[int, float]] = []
    lag = 1
    while len(values) - 2 * lag >= 3:
        bends = [
            abs(values[index] - 2 * values[index + lag] + values[index + 2 * lag])
            for index in range(len(values) - 2 * lag)
        ]
        found.append((lag, SIGMA * median(bends) / math.sqrt(2 * lag)))
        lag *= 2
    return found


def exclude_short_noise(steps: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Remove the contribution of independent noise from the step sizes.

    Independent noise contributes the same amount over every distance.
    """
    return [
        (lag, math.sqrt(max(0.0, lag * step**2 - steps[0][1] ** 2) / (lag - 1)) if lag > 1 else step)
        for lag, step in steps
    ]


def compute_drift(steps: Sequence[tuple[int, float]], length: int, nearest: int = 1) -> float:
    """Return the drift over `length` values, computed from the smallest step size.

    Only step sizes for distances of at most a quarter of `length` are used, or at most `nearest` if that is larger.
    """
    return min((step for lag, step in steps if lag <= max(nearest, length // 4)), default=0.0) * math.sqrt(length)


def _measure_lasting(left: Sequence[float]) -> float:
    """Return the factor by which autocorrelation inflates the variance of a mean. It is 1 for independent values."""
    size = len(left)
    mean = sum(left) / size
    moved = [value - mean for value in left]
    power = sum(value * value for value in moved)
    if power <= 0:
        return 1.0
    total = 1.0
    for lag in range(1, size // 2):
        kept = sum(moved[index] * moved[index + lag] for index in range(size - lag)) / power
        if kept <= 1 / math.sqrt(size):
            break
        total += 2 * (1 - lag / size) * kept
    return total
