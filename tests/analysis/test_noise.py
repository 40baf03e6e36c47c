from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.multiple_comparisons import (
    compute_f_tail,
    compute_range_quantile,
    compute_t_cdf,
    compute_t_quantile,
    get_many_quantile,
    get_range_quantile,
)
from swanlab_mcp.analysis.noise import Judgement, Sample, find_ties, judge_settings, measure_scatter

samples = st.lists(st.floats(-100, 100), min_size=2, max_size=8)


@given(st.floats(-1000, 1000))
def test_student_distribution_matches_its_closed_forms(t: float) -> None:
    assert compute_t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-12)
    assert compute_t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-12)


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [
        (0.975, 1, 12.7062), (0.975, 4, 2.7764), (0.975, 10, 2.2281), (0.95, 5, 2.0150), (0.995, 30, 2.7500),
        (0.975, 1e6, 1.95997),
    ],
)  # fmt: skip
def test_t_quantiles_match_the_tables(probability: float, freedom: float, expected: float) -> None:
    quantile = compute_t_quantile(probability, freedom)
    assert quantile == pytest.approx(expected, abs=1e-4)
    assert compute_t_cdf(quantile, freedom) == pytest.approx(probability)


@pytest.mark.parametrize(
    ("count", "freedom", "expected"),
    [
        (3, 5, 4.602), (5, 12, 4.508), (10, 10, 5.599), (20, 5, 8.208), (20, 40, 5.358), (3, 1e9, 3.314),
        (20, 1e9, 5.012), (3, 2, 8.331),
    ],
)  # fmt: skip
def test_studentised_ranges_match_the_tables(count: int, freedom: float, expected: float) -> None:
    assert compute_range_quantile(count, freedom, 0.05) * math.sqrt(2) == pytest.approx(expected, abs=2e-3)


def test_interpolated_quantiles_are_close_and_rise_with_the_count() -> None:
    for get in (get_range_quantile, get_many_quantile):
        found = [get(count, 30, 0.05) for count in range(2, 60)]
        assert found == sorted(found)
    assert get_range_quantile(45, 30, 0.05) == pytest.approx(compute_range_quantile(45, 30, 0.05), rel=1e-3)
    # Dunnett-type test: 5 comparisons with a baseline instead of 15 pairs
    assert get_many_quantile(1, 10, 0.05) == pytest.approx(2.2281, abs=1e-4)
    assert get_many_quantile(5, 20, 0.05) < get_range_quantile(6, 20, 0.05)


def test_infinite_ratios_are_certain() -> None:
    assert (compute_t_cdf(math.inf, 3), compute_t_cdf(-math.inf, 3), compute_f_tail(math.inf, 2, 3)) == (1, 0, 0)
    assert compute_f_tail(3.4903, 3, 12) == pytest.approx(0.05, abs=1e-4)


def draw(source: random.Random, kind: str, settings: int, repeats: int) -> list[list[float]]:
    values: list[list[float]] = []
    for number in range(settings):
        scale = 4.0 if (kind == "unequal" and number % 2) or (kind == "one noisy" and not number) else 1.0
        if kind == "heavy tails":
            own = [source.gauss(0, 1) / math.sqrt(source.gammavariate(1.5, 2) / 3) for _ in range(repeats)]
        elif kind == "skewed":
            own = [source.expovariate(1) for _ in range(repeats)]
        else:
            own = [source.gauss(0, scale) for _ in range(repeats)]
        values.append(own)
    return values


def judge(values: list[list[float]], labels: tuple[str, ...] = ()) -> list[Judgement | None]:
    """Judge settings against the setting with the largest mean."""
    first = max(range(len(values)), key=lambda number: sum(values[number]))
    return judge_settings([Sample(one, labels) for one in values], first)


@pytest.mark.parametrize("kind", ["equal", "unequal", "one noisy", "heavy tails", "skewed"])
@pytest.mark.parametrize("is_paired", [False, True])
@pytest.mark.parametrize(("settings", "repeats"), [(5, 3), (20, 5)])
def test_equal_settings_rarely_get_a_real_difference(kind: str, is_paired: bool, settings: int, repeats: int) -> None:
    source = random.Random(11)
    labels = tuple(str(number) for number in range(repeats)) if is_paired else ()
    rankings = 200
    against_first = against_baseline = 0
    for _ in range(rankings):
        values = draw(source, kind, settings, repeats)
        against_first += any(one and one.verdict == "different" for one in judge(values, labels))
        by_baseline = judge_settings([Sample(one, labels) for one in values], 0, by="baseline")
        against_baseline += any(one and one.verdict == "different" for one in by_baseline)
    # 5 % plus three standard errors for this number of rankings
    assert against_first <= 0.096 * rankings
    assert against_baseline <= 0.096 * rankings


@pytest.mark.exhaustive
def test_noisy_baseline_seldom_differs_from_equal_settings() -> None:
    source = random.Random(13)
    rankings = 20_000
    false = 0
    for _ in range(rankings):
        values = [[source.gauss(0, 1 if number else 6) for _ in range(3)] for number in range(20)]
        judged = judge_settings([Sample(one) for one in values], 0, by="baseline")
        false += any(one and one.verdict == "different" for one in judged)
    assert false <= 0.05 * rankings


@pytest.mark.parametrize("settings", [5, 50])
def test_five_seeds_detect_a_gap_of_four_deviations(settings: int) -> None:
    source = random.Random(12)
    found = 0
    for _ in range(60):
        values = draw(source, "equal", settings, 5)
        values[0] = [value + 4 for value in values[0]]
        judged = judge(values)
        found += all(one is None or one.verdict == "different" for one in judged)
    assert found >= 48


def test_noisy_settings_do_not_hide_other_differences() -> None:
    source = random.Random(13)
    values = draw(source, "equal", 20, 5)
    values[0] = [value + 5 for value in values[0]]
    values[1] = [value * 30 - 50 for value in values[1]]
    judged = judge(values)
    assert all(one is None or one.verdict == "different" for index, one in enumerate(judged) if index != 1)


@given(st.lists(samples, min_size=2, max_size=5), st.floats(-50, 50), st.floats(0.1, 50))
def test_verdicts_are_independent_of_origin_and_unit(values: list[list[float]], shift: float, scale: float) -> None:
    before = judge_settings([Sample(own) for own in values], 0)
    after = judge_settings([Sample([scale * one + shift for one in own]) for own in values], 0)
    for one, other in zip(before, after, strict=True):
        if one and other and one.low is not None and one.high is not None and other.low is not None:
            assert other.difference == pytest.approx(scale * one.difference, rel=1e-6, abs=1e-6)
            # skip cases that depend on rounding
            if min(abs(one.low), abs(one.high)) > 1e-6 * (one.high - one.low) > 1e-6:
                assert other.verdict == one.verdict


def test_settings_on_the_same_folds_are_compared_in_pairs() -> None:
    folds = [0.0, 5.0, -4.0, 9.0, 1.0]
    first = [10 + fold for fold in folds]
    second = [9 + fold + 0.1 * (number % 2) for number, fold in enumerate(folds)]
    labels = tuple("abcde")
    (_, paired) = judge_settings([Sample(first, labels), Sample(second, labels)], 0)
    assert paired
    assert (paired.verdict, paired.rule) == ("different", "paired")
    # folds can be in another order
    (_, turned) = judge_settings([Sample(first, labels), Sample(second[::-1], labels[::-1])], 0)
    assert turned == paired
    (_, pooled) = judge_settings([Sample(first), Sample(second)], 0)
    assert pooled
    assert (pooled.verdict, pooled.rule) == ("not shown", "pooled")


def test_single_seeds_never_differ_from_each_other() -> None:
    repeated = Sample([5.0, 5.1, 4.9, 5.0])
    judged = judge_settings([Sample([9.0]), Sample([1.0]), repeated], 0)
    assert judged[1]
    assert (judged[1].verdict, judged[1].rule) == ("unknown", "one seed each")
    # if only one setting has repeats, the noise of the noisiest setting applies
    assert judged[2]
    assert (judged[2].verdict, judged[2].rule) == ("different", "borrowed")


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ([[1.0], [2.0], [3.0]], "no repeats"),
        ([[1.0, 1.1], [2.0], [3.0]], "one pair of repeats"),
        ([[1.0, 1.0], [2.0, 2.0]], "no scatter"),
    ],
)
def test_too_few_repeats_get_no_verdict(values: list[list[float]], rule: str) -> None:
    for one in judge_settings([Sample(own) for own in values], 0)[1:]:
        assert one
        assert (one.verdict, one.rule, one.low) == ("unknown", rule, None)


def test_more_seeds_are_recommended_only_if_they_would_decide() -> None:
    source = random.Random(14)
    values = [[source.gauss(0, 1) for _ in range(20)], [source.gauss(-1.5, 1) for _ in range(4)]]
    (_, judged) = judge_settings([Sample(one) for one in values], 0)
    assert judged
    assert judged.verdict == "not shown"
    assert judged.more is not None
    assert (0 < judged.more <= 20, judged.more_of) == (True, "this")
    # a tiny difference needs an impractical number of seeds
    close = judge_settings([Sample([1.0, 2.0, 3.0]), Sample([1.001, 2.001, 3.002])], 0)[1]
    assert close
    assert close.more is None


def test_ties_of_single_experiments_depend_on_how_many_are_ranked() -> None:
    groups = [[1.0, 1.1, 0.9], [2.0, 2.1, 1.9], [0.5]]
    scatter = measure_scatter(groups)
    assert scatter
    assert (scatter.groups, scatter.freedom) == (2, 4)
    assert scatter.deviation == pytest.approx(0.1)
    few, many = (find_ties([2.1, 1.9, 1.2], [1, 1, 0], scatter, count) for count in (3, 10_000))
    assert (few, many) == ([False, True, False], [False, True, True])
    assert find_ties([2.1, 1.9], [1, 0], None, 2) == [False, False]
    assert measure_scatter([[1.0], [2.0]]) is None


@given(
    st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5), min_size=2, max_size=5)
)
def test_huge_values_get_verdicts(values: list[list[float]]) -> None:
    for judged in judge(values):
        assert judged is None or judged.verdict in ("different", "not shown", "unknown")


def test_ranking_thousands_is_fast() -> None:
    source = random.Random(15)
    values: Any = [[source.gauss(number / 500, 1) for _ in range(3)] for number in range(2000)]
    judged = judge(values)
    found = sum(one is not None and one.verdict == "different" for one in judged)
    assert 0 < found < 1999
