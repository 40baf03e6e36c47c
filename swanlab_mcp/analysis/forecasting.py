"""Forecast the final value of a training curve from the curve itself and finished curves of the same metric.

The curve is compared with a cohort of finished curves at the same step, by level, recent changes and config. A Gaussian
process predicts the final value from these features. Several forms of the process are averaged, and a form gets more
weight if it predicts the finished curves well from each other. The 90 % interval is calibrated on the same
leave-one-out errors (conformal prediction), so this module contains no constant for the width of the interval.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise, product
from statistics import fmean, median
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.config_distances import measure_distances
from swanlab_mcp.analysis.gaussian_process import predict
from swanlab_mcp.analysis.quantiles import get_quantile

__all__ = ["FEWEST", "MOST", "Course", "Forecast", "forecast", "get_value"]

FEWEST = 5  # with fewer finished curves, the forecast uses only the curve itself
MOST = 60  # at most this many curves, nearest in level, because the running time grows cubically
COVERAGE = 0.9
_STUDENT = {5: 2.015, 6: 1.943, 7: 1.895, 8: 1.860}  # two-sided quantiles for COVERAGE by degrees of freedom
TOP = 0.1  # a run that is not expected to end in this top fraction of the cohort can be stopped
_REACHED = 0.95  # a finished curve must reach this share of the horizon; similar runs often stop a few steps apart
_MOST_POINTS = 200  # longer curves are reduced to medians of equal parts
_LOOK_BACKS = (0.9, 0.75, 0.5, 0.3, 0.15)  # earlier points to compare, as shares of the steps so far
_WINDOWS = (1, 5)  # window widths of the running medians from which the features are computed
_LENGTH = 1.5  # length scale of the kernel in standardised units; curves farther apart have little in common
_CONFIG_LENGTHS = (1.5, math.inf)  # inf ignores the config
_NOISE = 0.03
_LINEAR = 0.3
_SHARPNESS = 6  # a form with a tenth less error gets almost twice the weight
_NEAR = 0.2  # share of the cohort, nearest curves first, within which curves count as similar
_FLOOR = 0.02  # the minimum similarity, so that every curve has some weight
_LARGEST = 700  # the largest exponent for math.exp


class Course(NamedTuple):
    """A training curve: its finite points in step order, and its flattened config."""

    steps: Sequence[int]
    values: Sequence[float]
    config: dict[str, object]


class Forecast(NamedTuple):
    """The expected value at the horizon and the bounds of its 90 % interval.

    `cohort` is the number of finished curves used, or 0 if only the curve itself was used. `ends` contains the values
    of the finished curves at the horizon. `chance_best` is the probability that the curve ends better than all of them,
    or `None` if unknown.

    `is_lost` means that the curve is unlikely to end in the best tenth of `ends`: the better bound of the interval is
    worse than that tenth, and so is the forecast after a correction by the largest pessimistic error in the tenth.
    """

    expected: float
    low: float
    high: float
    cohort: int
    ends: Sequence[float] = ()
    chance_best: float | None = None
    is_lost: bool = False


class _Form(NamedTuple):
    """The predictions from one variant of the model.

    Each finished curve is predicted from the other curves. The last prediction is for the new curve.
    """

    guesses: list[float]
    deviations: list[float]


def forecast(course: Course, finished: Sequence[Course], horizon: int, mode: str) -> Forecast:
    """Forecast the value of a curve at step `horizon`.

    `mode` ("min" or "max") says whether lower or higher values are better. Curves in `finished` that do not reach the
    horizon are ignored. Raises ValueError for a curve with fewer than 3 points.
    """
    if len(course.steps) < 3:
        raise ValueError("a forecast needs at least 3 points")
    course = _thin(course)
    step = course.steps[-1]
    usable = [
        _thin(one) for one in finished if one.steps and one.steps[0] <= step and one.steps[-1] >= _REACHED * horizon
    ]
    if len(usable) < FEWEST or horizon <= step:
        return _continue(course, horizon)
    level = course.values[-1]
    usable = sorted(usable, key=lambda one: abs(get_value(one, step) - level))[:MOST]
    ends = [get_value(one, horizon) for one in usable]
    courses = [_cut(one, step) for one in [*usable, course]]
    forms = _predict_forms(courses, [one.config for one in [*usable, course]], ends)
    nearness = _measure_nearness(_standardise([_describe(one, 1, is_log=False) for one in courses]))
    weights = _weigh_forms(forms, ends, nearness)
    guesses = [_mix(row, column) for row, column in zip(weights, _turn(forms, "guesses"), strict=True)]
    errors = [end - guess for end, guess in zip(ends, guesses, strict=False)]
    scales = _combine(
        _measure_nearby(nearness, [abs(error) for error in errors]),
        [_mix(row, column) for row, column in zip(weights, _turn(forms, "deviations"), strict=True)],
        [_spread(row, column) for row, column in zip(weights, _turn(forms, "guesses"), strict=True)],
        [_measure_roughness(one) for one in courses],
    )
    scores = [error / scale for error, scale in zip(errors, scales, strict=False)]
    expected, scale = guesses[-1], scales[-1]
    # a cohort that was predicted without any error provides no scale for a curve that differs from it
    half = _choose_score(scores) * scale or max(abs(expected - level), abs(expected - median(ends)))
    low = expected - half
    if min(map(min, [*courses, ends])) >= 0:
        low = max(low, 0.0)
    found = Forecast(expected, low, expected + half, len(ends), ends)
    if mode not in ("min", "max"):
        return found
    sign = 1 if mode == "min" else -1
    best = min(sign * end for end in ends)
    better = sum(sign * (expected + score * scale) < best for score in scores)
    is_lost = _is_lost([sign * end for end in ends], [sign * guess for guess in guesses], scales, half)
    return found._replace(chance_best=(better + 0.5) / (len(scores) + 1), is_lost=is_lost)


def _is_lost(ends: Sequence[float], guesses: Sequence[float], scales: Sequence[float], half: float) -> bool:
    """Return whether a curve will miss the best tenth of the ends. Smaller values are better.

    The last elements of `guesses` and `scales` belong to the curve itself. If only the interval were used, a tenth of
    the runs that improve late would be stopped. The forecast is therefore also corrected for the largest pessimistic
    error among the best curves. If more than half of the ends tie with the best tenth, return False, because missing
    that tenth is then an exception that the other curves cannot predict.
    """
    limit = sorted(ends)[max(1, int((len(ends) + 1) * TOP)) - 1]
    surprises = [
        (guess - end) / scale for end, guess, scale in zip(ends, guesses, scales, strict=False) if end <= limit
    ]
    if len(surprises) > len(ends) / 2:
        return False
    return guesses[-1] - max(half, max(surprises) * scales[-1]) > limit


def _choose_score(scores: Sequence[float]) -> float:
    """Return the conformal quantile of the scaled errors for the coverage probability COVERAGE.

    With fewer than 9 curves, new errors would exceed the largest known error too often. Student's t distribution
    therefore widens the interval.
    """
    count = len(scores)
    index = math.ceil((count + 1) * COVERAGE)
    largest = sorted(abs(one) for one in scores)[min(count, index) - 1]
    if index <= count:
        return largest
    return max(largest, _STUDENT[count] * math.sqrt(fmean(one * one for one in scores) * (1 + 1 / count)))


def _raise(value: float) -> float:
    return math.exp(max(-_LARGEST, min(_LARGEST, value)))


def _predict_forms(
    courses: Sequence[Sequence[float]], configs: Sequence[dict[str, object]], ends: Sequence[float]
) -> list[_Form]:
    # the range for a curve excludes its own end, because the end of the new curve is unknown too
    bounds = [_bound(one, [*ends[:index], *ends[index + 1 :]]) for index, one in enumerate(courses)]
    apart = measure_distances(configs)
    is_positive = min(min(one) for one in courses) > 0 and min(ends) > 0
    forms: list[_Form] = []
    for is_log, window in product((False, True) if is_positive else (False,), _WINDOWS):
        turn = math.log if is_log else float
        features = [_describe(one, window, is_log=is_log) for one in courses]
        levels = [one[0] for one in features]
        points = _standardise(features)
        width = len(points[0])
        distances = [
            [sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) / width for two in points] for one in points
        ]
        linear = [[sum(a * b for a, b in zip(one, two, strict=True)) / width for two in points] for one in points]
        for base, length in product((levels, [0.0] * len(levels)), _CONFIG_LENGTHS):
            if length != math.inf and apart is None:
                continue
            kernel = [
                [
                    math.exp(-near / _LENGTH**2 / 2 - (apart[row][index] / length**2 / 2 if apart else 0.0))
                    + _LINEAR * along
                    + 1
                    for index, (near, along) in enumerate(zip(distances[row], linear[row], strict=True))
                ]
                for row in range(len(points))
            ]
            raw = [turn(end) - start for end, start in zip(ends, base, strict=False)]
            centre = median(raw)
            unit = get_quantile([abs(one - centre) for one in raw], 0.8) or 1e-12
            found = predict(kernel, [(one - centre) / unit for one in raw], _NOISE)
            guesses = [
                start + centre + unit * one for start, one in zip(base, [*found.left_out, found.value], strict=True)
            ]
            if is_log:
                guesses = [_raise(one) for one in guesses]
            guesses = [max(bottom, min(top, one)) for one, (bottom, top) in zip(guesses, bounds, strict=True)]
            deviations = [
                one * unit * (guess if is_log else 1.0)
                for one, guess in zip([*found.deviations, found.deviation], guesses, strict=True)
            ]
            forms.append(_Form(guesses, deviations))
    return forms


def _bound(values: Sequence[float], ends: Sequence[float]) -> tuple[float, float]:
    """Return a plausible range for the final value of a curve.

    The range spans the final values of the cohort and the last third of the curve, plus a margin.
    """
    recent = [*values[-max(1, len(values) // 3) :], *ends]
    margin = 0.05 * (get_quantile(ends, 0.9) - get_quantile(ends, 0.1))
    lowest = min(recent)
    return max(lowest - margin, lowest / 2) if lowest > 0 else lowest - margin, max(recent) + margin


def _describe(values: Sequence[float], window: int, *, is_log: bool) -> list[float]:
    """Return the current level of a curve and its recent changes as features."""
    smooth = _take_medians(values, window)
    if is_log:
        smooth = [math.log(one) for one in smooth]
    last = len(smooth) - 1
    past = [smooth[-1], *(smooth[max(0, round(part * last))] for part in _LOOK_BACKS)]
    return [smooth[-1], *(later - earlier for later, earlier in pairwise(past))]


def _standardise(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Centre each column at its median, divide it by its spread, and compress outliers."""
    columns: list[list[float]] = []
    for column in zip(*rows, strict=True):
        centre = median(column)
        unit = get_quantile(column, 0.85) - get_quantile(column, 0.15) + 1e-9 * max(abs(one) for one in column) + 1e-12
        columns.append([_draw_near((one - centre) / unit) for one in column])
    return [list(row) for row in zip(*columns, strict=True)]


def _draw_near(value: float) -> float:
    size = abs(value)
    return math.copysign(size if size <= 2 else 2 + math.log1p(size - 2), value)


def _measure_nearness(points: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the pairwise similarity of the curves: about 1 for identical curves, close to 0 for very different ones.

    The similarity of a curve to itself is set to 0, so that a curve does not affect its own prediction.
    """
    distances = [[sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) for two in points] for one in points]
    near = max(3, round(_NEAR * (len(points) - 1)))
    rows: list[list[float]] = []
    for index, row in enumerate(distances):
        others = sorted(distance for other, distance in enumerate(row[:-1]) if other != index)
        reach = others[min(near, len(others)) - 1] + 1e-12
        rows.append(
            [0.0 if other == index else math.exp(-distance / reach) + _FLOOR for other, distance in enumerate(row)]
        )
    return rows


def _measure_nearby(nearness: Sequence[Sequence[float]], sizes: Sequence[float]) -> list[float]:
    """For each finished curve, and for the new one, return the mean prediction error of the most similar curves."""
    floor = 0.1 * median(sizes)
    return [_mix(row[: len(sizes)], sizes) / sum(row[: len(sizes)]) + floor for row in nearness]


def _weigh_forms(
    forms: Sequence[_Form], ends: Sequence[float], nearness: Sequence[Sequence[float]]
) -> list[list[float]]:
    """Return the weights of the forms for each curve.

    A form gets more weight if it predicts the other curves well, especially similar curves. A curve's own error does
    not affect its weights, so finished curves are predicted in the same way as the new curve.
    """
    spread = get_quantile(ends, 0.9) - get_quantile(ends, 0.1)
    cap = spread or max(abs(form.guesses[-1] - median(ends)) for form in forms) or 1.0
    errors = [[min(abs(end - guess), cap) for end, guess in zip(ends, form.guesses, strict=False)] for form in forms]
    return [_weigh([_mix(row[: len(ends)], one) for one in errors]) for row in nearness]


def _turn(forms: Sequence[_Form], part: Literal["guesses", "deviations"]) -> list[list[float]]:
    """Return one list per curve, containing the value from each form."""
    return [list(column) for column in zip(*(getattr(form, part) for form in forms), strict=True)]


def _measure_roughness(values: Sequence[float]) -> float:
    """Return how much the point-to-point changes vary in the second half of a curve."""
    half = values[len(values) // 2 :]
    changes = [later - earlier for earlier, later in pairwise(half)]
    if not changes:
        return 0.0
    centre = median(changes)
    return get_quantile([abs(one - centre) for one in changes], 0.8)


def _combine(*signs: Sequence[float]) -> list[float]:
    """Return the geometric mean of several measures of uncertainty, each divided by its own median."""
    logs: list[list[float]] = []
    for sign in signs:
        middle = median(sign) or max(sign)
        if middle > 0:
            logs.append([math.log(one / middle + 0.1) for one in sign])
    return [math.exp(fmean(column)) for column in zip(*logs, strict=True)] if logs else [1.0] * len(signs[0])


def _continue(course: Course, horizon: int) -> Forecast:
    """Extrapolate a curve at half its recent slope, with the steps on a logarithmic scale.

    The half-width of the interval is the largest of three amounts. The first is the worst error that the same rule
    would have made earlier in this curve, over the same ratio of steps. The second is the range of the values in the
    second half of the curve. The third is the extrapolated change itself.
    """
    step = course.steps[-1]
    if horizon <= step:
        value = get_value(course, horizon)
        return Forecast(value, value, value, 0)
    ratio = (horizon - course.steps[0] + 1) / (step - course.steps[0] + 1)
    expected = _extrapolate(course.steps, course.values, horizon)
    errors = [0.0]
    for count in range(3, len(course.steps)):
        target = course.steps[0] - 1 + ratio * (course.steps[count - 1] - course.steps[0] + 1)
        if target > step:
            break
        guess = _extrapolate(course.steps[:count], course.values[:count], round(target))
        errors.append(abs(guess - get_value(course, round(target))))
    recent = course.values[len(course.values) // 2 :]
    half = max(*errors, max(recent) - min(recent), abs(expected - course.values[-1]))
    return Forecast(expected, expected - half, expected + half, 0)


def _extrapolate(steps: Sequence[int], values: Sequence[float], horizon: int) -> float:
    first = len(steps) // 2
    origin = steps[0] - 1
    logs = [math.log(step - origin) for step in steps[first:]]
    recent = _take_medians(values, 5)[first:]
    middle, level = fmean(logs), fmean(recent)
    spread = sum((one - middle) ** 2 for one in logs)
    slope = (
        sum((one - middle) * (value - level) for one, value in zip(logs, recent, strict=True)) / spread
        if spread
        else 0.0
    )
    return recent[-1] + 0.5 * slope * (math.log(horizon - origin) - logs[-1])


def _thin(course: Course) -> Course:
    count = len(course.steps)
    if count <= _MOST_POINTS:
        return course
    cuts = [round(index * count / _MOST_POINTS) for index in range(_MOST_POINTS + 1)]
    parts = list(pairwise(cuts))
    return Course(
        [course.steps[stop - 1] for _, stop in parts],
        [median(course.values[start:stop]) for start, stop in parts],
        course.config,
    )


def _take_medians(values: Sequence[float], window: int) -> list[float]:
    reach = window // 2
    return [median(values[max(0, index - reach) : index + reach + 1]) for index in range(len(values))]


def _cut(course: Course, step: int) -> Sequence[float]:
    """Return the values of a curve up to a given step."""
    return course.values[: max(1, bisect_right(course.steps, step))]


def get_value(course: Course, step: int) -> float:
    """Return the value of a curve at a step, interpolating linearly between points."""
    index = bisect_right(course.steps, step)
    if index == 0:
        return course.values[0]
    if index == len(course.steps) or course.steps[index - 1] == step:
        return course.values[index - 1]
    before, after = course.steps[index - 1], course.steps[index]
    part = (step - before) / (after - before)
    return course.values[index - 1] * (1 - part) + course.values[index] * part


def _weigh(totals: Sequence[float]) -> list[float]:
    least = min(totals)
    if least <= 0:
        exact = [float(total <= 0) for total in totals]
        return [one / sum(exact) for one in exact]
    weights = [(total / least) ** -_SHARPNESS for total in totals]
    return [one / sum(weights) for one in weights]


def _mix(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _spread(weights: Sequence[float], values: Sequence[float]) -> float:
    middle = _mix(weights, values)
    return math.sqrt(_mix(weights, [(value - middle) ** 2 for value in values]))
