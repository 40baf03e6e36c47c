from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.noise import (
    Noise,
    compute_t_cdf,
    compute_t_quantile,
    compute_variance,
    compute_welch,
    count_repeats,
    judge_difference,
    pool_noise,
)

samples = st.lists(st.floats(-100, 100), min_size=2, max_size=8)


@given(st.floats(-1000, 1000))
def test_student_with_one_and_two_degrees_of_freedom_is_known_in_closed_form(t: float) -> None:
    assert compute_t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-12)
    assert compute_t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-12)


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [
        (0.975, 1, 12.7062), (0.975, 4, 2.7764), (0.975, 10, 2.2281), (0.95, 5, 2.0150), (0.995, 30, 2.7500),
        (0.975, 1e6, 1.95997),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_the_tables(probability: float, freedom: float, expected: float) -> None:
    quantile = compute_t_quantile(probability, freedom)
    assert quantile == pytest.approx(expected, abs=1e-4)
    assert compute_t_cdf(quantile, freedom) == pytest.approx(probability)


def test_infinite_t_is_certain() -> None:
    assert (compute_t_cdf(math.inf, 3), compute_t_cdf(-math.inf, 3)) == (1, 0)


def test_welch_gives_the_textbook_result() -> None:
    first = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
    second = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4]
    welch = compute_welch(first, second)
    assert (round(welch.t, 2), round(welch.freedom), round(welch.p, 3)) == (2.46, 25, 0.021)


@given(samples, samples, st.floats(-50, 50), st.floats(0.1, 50))
def test_verdicts_do_not_depend_on_origin_or_unit(
    first: list[float], second: list[float], shift: float, scale: float
) -> None:
    before = judge_difference(first, second)
    after = judge_difference([scale * one + shift for one in first], [scale * one + shift for one in second])
    assert after.difference == pytest.approx(scale * before.difference, rel=1e-6, abs=1e-6)
    swapped = judge_difference(second, first)
    assert swapped.verdict == before.verdict
    assert swapped.difference == pytest.approx(-before.difference, abs=1e-9)
    if (
        before.p is not None
        and abs(before.p - 0.05) > 1e-3
        and max(first) - min(first) > 1e-3 < max(second) - min(second)
    ):
        assert after.verdict == before.verdict


def test_noise_alone_is_called_real_in_one_of_twenty() -> None:
    source = random.Random(7)
    verdicts = [
        judge_difference([source.gauss(0, 1) for _ in range(4)], [source.gauss(0, 1) for _ in range(4)]).verdict
        for _ in range(1000)
    ]
    assert 0.02 < verdicts.count("real") / len(verdicts) < 0.07


def test_a_verdict_names_test_interval_and_how_weak_it_is() -> None:
    real = judge_difference([1.0, 1.1, 0.9], [5.0, 5.1, 4.9])
    assert real.verdict == "real"
    assert "Welch's t, n=3 and 3" in real.test
    assert "weak: few repeats" in real.test
    assert real.low is not None
    assert real.high is not None
    assert real.low < 4 < real.high
    same = judge_difference([1.0, 2.0, 3.0, 4.0], [1.1, 2.1, 3.1, 4.1])
    assert same.verdict == "within noise"
    assert "weak" not in same.test


def test_single_seeds_are_judged_by_the_noise_of_others_or_not_at_all() -> None:
    alone = judge_difference([1.0], [2.0])
    assert (alone.verdict, alone.low) == ("cannot tell", None)
    assert "2 more" in alone.test
    assert judge_difference([1.0], [2.0], Noise(0.01, 6, 3)).verdict == "real"
    close = judge_difference([1.0], [1.01], Noise(0.02, 6, 3))
    assert close.verdict == "cannot tell"
    assert "about 62 more repeats" in close.test


def test_equal_values_without_any_scatter_do_not_break_the_test() -> None:
    assert judge_difference([1.0, 1.0], [1.0, 1.0]).verdict == "within noise"
    few = judge_difference([0.9, 0.9], [0.9001, 0.9001])
    assert (few.verdict, few.low, few.p) == ("cannot tell", None, None)
    assert "no scatter at all in 2 and 2 repeats" in few.test
    assert judge_difference([1.0] * 4, [2.0] * 4).verdict == "real"


@given(st.lists(samples, min_size=1, max_size=4))
def test_pooled_noise_lies_between_the_least_and_the_largest(groups: list[list[float]]) -> None:
    noise = pool_noise([*groups, [5.0]])
    single = [one.deviation for group in groups if (one := pool_noise([group]))]
    assert noise is not None
    assert noise.groups == len(groups)
    assert min(single) - 1e-9 <= noise.deviation <= max(single) + 1e-9
    assert pool_noise([[1.0], [2.0]]) is None


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=5), samples)
def test_no_values_are_too_large_to_be_judged(first: list[float], second: list[float]) -> None:
    verdict = judge_difference(first, second).verdict
    assert verdict in ("real", "within noise") or not any(map(compute_variance, (first, second)))
    assert pool_noise([first, second])


def test_smaller_differences_need_more_repeats() -> None:
    needed = [count_repeats(difference, 1.0) for difference in (4.0, 1.0, 0.5, 0.1, 0.0)]
    assert needed == sorted(needed)
    assert needed[1] == 16
