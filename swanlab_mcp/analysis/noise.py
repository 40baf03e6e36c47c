"""Decide which differences between settings are larger than a change of seed can explain.

All comparisons in a reply share one error rate. docs/verdicts.md lists the rules and their measured error rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.multiple_comparisons import (
    compute_f_tail,
    get_many_quantile,
    get_range_quantile,
)
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = [
    "Judgement",
    "Rule",
    "Sample",
    "Scatter",
    "compute_mean",
    "compute_variance",
    "find_ties",
    "judge_settings",
    "measure_scatter",
]

Verdict = Literal["different", "not shown", "unknown"]
# how a comparison was made, or why it was not possible
Rule = Literal[
    "pooled",  # uses the variance pooled over all repeated settings, or the setting's own variance if it is larger
    "paired",  # like pooled, but after removing the effects of the seeds or folds that all settings share
    "borrowed",  # one side has a single seed, so it uses the largest variance of the repeated settings
    "one seed each",
    "no repeats",
    "one pair of repeats",
    "no scatter",
]


class Sample(NamedTuple):
    """The results of a setting's repeats.

    `labels` contains the seed or fold of each repeat, or is empty if any of them is unknown.
    """

    values: Sequence[float]
    labels: Sequence[str] = ()


class Scatter(NamedTuple):
    """The run-to-run variance of each setting, as used in significance tests, with its degrees of freedom.

    `deviation` is the standard deviation pooled over all settings that have repeats, with `freedom` degrees of freedom.
    `groups` is the number of these settings.
    """

    variances: Sequence[float]
    freedoms: Sequence[float]
    deviation: float
    freedom: int
    groups: int


class Judgement(NamedTuple):
    """The comparison of a setting with the first setting.

    `difference` is the setting's mean minus the first setting's mean. `low` and `high` are the bounds of its
    simultaneous 95 % interval. `more` is the number of additional repeats needed to detect a difference of this size
    at a power of `Thresholds.power`. It is `None` if more than `Thresholds.most_repeats` are needed or if the noise is
    unknown. If `more_of` is "both", the first setting needs the same number of additional repeats.
    """

    verdict: Verdict
    rule: Rule
    difference: float
    low: float | None = None
    high: float | None = None
    more: int | None = None
    more_of: Literal["this", "both"] = "this"


class _Pair(NamedTuple):
    rule: Rule
    difference: float
    error: float
    freedom: float
    # variance between single runs in this setting, then in the first setting
    variances: tuple[float, float]
    sizes: tuple[int, int]


def compute_mean(values: Sequence[float]) -> float:
    """Return the mean, even if the sum of the values would overflow a float."""
    return sum(value / len(values) for value in values)


def compute_variance(values: Sequence[float]) -> float:
    """Return the sample variance of at least 2 values, or infinity if it overflows."""
    middle = compute_mean(values)
    return sum((value - middle) * (value - middle) for value in values) / (len(values) - 1)


def measure_scatter(
    groups: Sequence[Sequence[float]], blocked: int = 0, thresholds: Thresholds = DEFAULTS
) -> Scatter | None:
    """Return the variance between repeats of the same setting, or `None` if no setting has two repeats.

    Each setting uses the larger of two variances. The first is its own variance, raised slightly because a few repeats
    may agree by chance. The second is the pooled variance, raised if the settings differ in variance. Settings that are
    far noisier than the others are excluded from the pool. `blocked` is the number of settings from which common seed
    or fold effects were removed.
    """
    repeated = [index for index, values in enumerate(groups) if len(values) > 1]
    if not repeated:
        return None
    shrink = (blocked - 1) / blocked if blocked else 1.0
    own = {index: compute_variance(groups[index]) / shrink for index in repeated}
    freedom = {index: len(groups[index]) - 1 for index in repeated}
    total = sum(freedom.values())
    noisy = _find_noisy(own, freedom, thresholds)
    kept = [index for index in repeated if index not in noisy]
    kept_freedom = sum(freedom[index] for index in kept)
    pool = sum(own[index] * freedom[index] for index in kept) / kept_freedom
    floor = pool * (1 + _measure_inequality([(own[index] / pool, freedom[index]) for index in kept])) if pool else pool
    raised = {index: own[index] * (1 + thresholds.chance_calm / freedom[index] ** 2) for index in repeated}
    used = {index: max(raised[index], floor) for index in kept}
    noisy_freedom = sum(freedom[index] for index in noisy)
    if noisy:
        noisy_pool = sum(own[index] * freedom[index] for index in noisy) / noisy_freedom
        used |= {index: max(raised[index], noisy_pool) for index in noisy}
    largest = max(used[index] for index in kept)
    whole = sum(own[index] * freedom[index] for index in repeated) / total
    scale = shrink * kept_freedom
    return Scatter(
        [used.get(index, largest) for index in range(len(groups))],
        [min(scale, noisy_freedom * shrink) if index in noisy else scale for index in range(len(groups))],
        math.sqrt(whole),
        round(total * shrink),
        len(repeated),
    )


def judge_settings(
    samples: Sequence[Sample],
    first: int,
    *,
    by: Literal["leader", "baseline"] = "leader",
    thresholds: Thresholds = DEFAULTS,
) -> list[Judgement | None]:
    """Compare each setting with the setting at index `first`. The entry at that index is `None`.

    If no settings truly differ, at most 5 % of calls report a difference. If `by` is "leader", the first setting was
    chosen based on its results, so each difference is tested as the largest among all pairs (stepwise studentised
    range). If `by` is "baseline", the first setting was chosen beforehand, so the test only corrects for the number of
    comparisons (Holm-Sidak).
    """
    if by == "baseline":
        thresholds = replace(thresholds, chance_calm=thresholds.baseline_calm)
    pairs = _make_pairs(samples, first, thresholds)
    quantile = get_range_quantile if by == "leader" else get_many_quantile
    # the leader test needs the number of settings, the baseline test the number of comparisons
    count = len(samples) if by == "leader" else len(samples) - 1
    alpha = thresholds.significance
    judged: list[Judgement | None] = [None] * len(samples)
    testable = [
        (index, pair)
        for index, pair in enumerate(pairs)
        if pair is not None and pair.rule in ("pooled", "paired", "borrowed", "one seed each")
    ]

    def get_ratio(item: tuple[int, _Pair]) -> float:
        pair = item[1]
        return abs(pair.difference) / pair.error / quantile(count, pair.freedom, alpha)

    left, is_open = count, True
    for index, pair in sorted(testable, key=get_ratio, reverse=True):
        critical = quantile(left, pair.freedom, alpha)
        reach = critical * pair.error
        low, high = pair.difference - reach, pair.difference + reach
        if pair.rule != "one seed each" and is_open and abs(pair.difference) > reach:
            judged[index] = Judgement("different", pair.rule, pair.difference, low, high)
            left -= 1
            continue
        is_open = is_open and pair.rule == "one seed each"
        verdict: Verdict = "not shown" if min(pair.sizes) > 1 else "unknown"
        more, more_of = _count_more(pair, critical, thresholds)
        judged[index] = Judgement(verdict, pair.rule, pair.difference, low, high, more, more_of)
    for index, pair in enumerate(pairs):
        if pair is not None and judged[index] is None:
            judged[index] = Judgement("unknown", pair.rule, pair.difference)
    return judged


def find_ties(
    values: Sequence[float],
    settings: Sequence[int],
    scatter: Scatter | None,
    count: int,
    thresholds: Thresholds = DEFAULTS,
) -> list[bool]:
    """For each experiment, return whether noise alone could explain its difference from the first experiment.

    The test corrects for all pairs among `count` experiments. `settings` contains, for each experiment, the index of
    its setting in `scatter`. If the noise is unknown, no experiments tie.
    """
    if scatter is None or scatter.freedom < 2:
        return [False] * len(values)
    ties: list[bool] = []
    for value, setting in zip(values, settings, strict=True):
        error = math.sqrt(scatter.variances[setting] + scatter.variances[settings[0]])
        freedom = min(scatter.freedoms[setting], scatter.freedoms[settings[0]])
        critical = get_range_quantile(count, freedom, thresholds.significance)
        ties.append(setting == settings[0] or abs(value - values[0]) <= critical * error)
    return [False, *ties[1:]]


def _find_noisy(own: dict[int, float], freedom: dict[int, int], thresholds: Thresholds) -> set[int]:
    """Return the indices of settings that are far noisier than the rest, or an empty set if there are too many."""
    order = sorted(own, key=own.__getitem__, reverse=True)
    rest = sum(own[index] * freedom[index] for index in order)
    rest_freedom = sum(freedom.values())
    noisy: set[int] = set()
    for number, index in enumerate(order[:-2]):
        rest -= own[index] * freedom[index]
        rest_freedom -= freedom[index]
        ratio = own[index] / (rest / rest_freedom) if rest > 0 else math.inf
        if not compute_f_tail(ratio, freedom[index], rest_freedom) < thresholds.noisy_doubt / (len(order) - number):
            break
        noisy.add(index)
    return noisy if len(noisy) <= max(1, len(order) // 8) else set()


def _measure_inequality(ratios: Sequence[tuple[float, int]]) -> float:
    """Estimate how much the true variances differ, as their standard deviation relative to their mean."""
    total = sum(freedom for _, freedom in ratios)
    # the squared variance of a few repeats is biased upwards
    squares = sum(ratio * ratio * freedom / (1 + 2 / freedom) for ratio, freedom in ratios) / total
    return math.sqrt(max(0.0, squares - 1)) if math.isfinite(squares) else 0.0


def _make_pairs(samples: Sequence[Sample], first: int, thresholds: Thresholds) -> list[_Pair | None]:
    means = [compute_mean(sample.values) for sample in samples]
    sizes = [len(sample.values) for sample in samples]
    scatter = measure_scatter([sample.values for sample in samples], thresholds=thresholds)
    alike = _find_alike(samples, first)
    blocked = _measure_blocked([samples[index] for index in alike], thresholds) if len(alike) > 1 else None
    blocked_indices = {index: number for number, index in enumerate(alike)}
    pairs: list[_Pair | None] = []
    for index in range(len(samples)):
        if index == first:
            pairs.append(None)
            continue
        used, here, there = scatter, index, first
        rule: Rule = "pooled"
        if blocked and index in blocked_indices:
            used, here, there, rule = blocked, blocked_indices[index], blocked_indices[first], "paired"
        pair_sizes = sizes[index], sizes[first]
        difference = means[index] - means[first]
        if used is None:
            rule = "no repeats"
        elif used.freedom < 2:
            rule = "one pair of repeats"
        elif max(pair_sizes) == 1:
            rule = "one seed each"
        elif min(pair_sizes) == 1:
            rule = "borrowed"
        if used is None or rule == "one pair of repeats":
            pairs.append(_Pair(rule, difference, 0.0, 0.0, (0.0, 0.0), pair_sizes))
            continue
        variances = used.variances[here], used.variances[there]
        error = math.sqrt(variances[0] / pair_sizes[0] + variances[1] / pair_sizes[1])
        if not error > 0 or not math.isfinite(error):
            rule = "no scatter"
        freedom = min(used.freedoms[here], used.freedoms[there])
        pairs.append(_Pair(rule, difference, error, freedom, variances, pair_sizes))
    return pairs


def _find_alike(samples: Sequence[Sample], first: int) -> list[int]:
    """Return the indices of the settings that have the same seeds or folds as the first setting.

    The first setting is included. If it has fewer than 2 known seeds or folds, return an empty list.
    """
    wanted = sorted(samples[first].labels)
    if len(wanted) < 2:
        return []
    return [index for index, sample in enumerate(samples) if sorted(sample.labels) == wanted]


def _measure_blocked(samples: Sequence[Sample], thresholds: Thresholds) -> Scatter | None:
    """Return the noise that remains after removing the effects of the shared seeds or folds.

    Return `None` if the estimate has too few degrees of freedom.
    """
    by_label = [dict(zip(sample.labels, sample.values, strict=True)) for sample in samples]
    common = {label: compute_mean([values[label] for values in by_label]) for label in by_label[0]}
    centred = [[values[label] - common[label] for label in values] for values in by_label]
    scatter = measure_scatter(centred, len(samples), thresholds)
    # a single pair of differences is weaker evidence than the separate repeats
    return scatter if scatter and scatter.freedom > 1 else None


def _count_more(pair: _Pair, critical: float, thresholds: Thresholds) -> tuple[int | None, Literal["this", "both"]]:
    """Return how many more repeats are needed, and whether only this setting or both settings need them.

    With these repeats, a difference of the observed size would be detected at a power of `thresholds.power`. The number
    is `None` if it is too large or cannot be computed.
    """
    (variance, first_variance), (size, first_size) = pair.variances, pair.sizes
    needed = abs(pair.difference) / (critical + NormalDist().inv_cdf(thresholds.power))
    target = needed * needed
    if not target or not math.isfinite(target):
        return None, "this"
    left = target - first_variance / first_size
    most = thresholds.most_repeats
    if left > 0 and first_size > 1 and variance / left <= most + size:
        return max(1, math.ceil(variance / left) - size), "this"
    least, sum_of_both = min(size, first_size), (variance + first_variance) / target
    return (max(1, math.ceil(sum_of_both) - least) if sum_of_both <= most + least else None), "both"
