from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.forecast import Outcome, draw_trainings, judge
from swanlab_mcp.analysis.config_distances import build_space
from swanlab_mcp.analysis.forecasting import FEWEST, Course, forecast
from swanlab_mcp.analysis.gaussian_process import predict
from swanlab_mcp.analysis.quantiles import get_quantile

_FINITE = st.floats(-1e12, 1e12)


@pytest.fixture(scope="module", params=[11, pytest.param(21, marks=pytest.mark.exhaustive)])
def found(request: pytest.FixtureRequest) -> list[Outcome]:
    return judge(draw_trainings(request.param), "min", 0.4)


def test_interval_covers_and_error_falls_on_simulated_runs(found: list[Outcome]) -> None:
    assert 0.84 <= statistics.fmean(one.is_held for one in found) <= 0.98
    assert statistics.median(one.width for one in found) <= 0.3
    assert sum(one.error for one in found) <= 0.4 * sum(one.naive_error for one in found)


def test_interval_covers_with_few_finished_curves() -> None:
    found = [one for seed in range(10) for one in judge(draw_trainings(seed, 6), "min", 0.4)]
    assert 0.86 <= statistics.fmean(one.is_held for one in found) <= 0.97


def test_kill_advice_spares_the_later_top_tenth(found: list[Outcome]) -> None:
    assert not [one for one in found if one.is_top and one.is_killed]
    assert statistics.fmean(one.is_killed for one in found) >= 0.5


def draw_late_risers(seed: int, count: int = 40, rising: int = 4) -> list[Course]:
    """Draw losses, a tenth of which look like the others for 60 of 80 steps and then fall below all of them."""
    source = random.Random(seed)
    drawn: list[Course] = []
    for index in range(count):
        level = source.uniform(0.5, 1.0)
        ends = source.uniform(0.1, 0.2) if index < rising else level
        values = [(level if step < 60 else ends) + 1 / (1 + step) + source.gauss(0, 0.01) for step in range(80)]
        drawn.append(Course(range(80), values, {}))
    return drawn


def test_kill_advice_spares_late_risers_if_the_cohort_has_seen_some() -> None:
    found = [one for seed in range(2) for one in judge(draw_late_risers(seed), "min", 0.4)]
    assert sum(one.is_top for one in found) == 8
    assert not [one for one in found if one.is_top and one.is_killed]


def test_no_kill_advice_if_most_ends_tie_with_the_best() -> None:
    solved = [Course(range(101), [min(1.0, step / (5 + index)) for step in range(101)], {}) for index in range(20)]
    failed = [Course(range(101), [step / (400 + index) for step in range(101)], {}) for index in range(30)]
    late = Course(range(41), [step / 100 for step in range(41)], {})
    found = forecast(late, solved, 100, "max")
    assert not found.is_lost
    assert found.low < 0.5 < found.expected < 1 <= found.high
    assert forecast(late, [*solved[:10], *failed], 100, "max").is_lost


def test_larger_is_better_mirrors_smaller_is_better() -> None:
    *others, one = draw_trainings(3, 12)
    seen = Course(one.steps[:30], one.values[:30], one.config)
    low = forecast(seen, others, one.steps[-1], "min")
    turned = [Course(other.steps, [-value for value in other.values], other.config) for other in [*others, seen]]
    high = forecast(turned[-1], turned[:-1], one.steps[-1], "max")
    assert low.chance_best is not None
    assert high.chance_best is not None
    assert abs(low.chance_best - high.chance_best) <= 0.2
    assert low.is_lost == high.is_lost


def test_few_finished_curves_extrapolate_the_curve_with_a_wide_interval() -> None:
    *others, one = draw_trainings(4, 5)
    seen = Course(one.steps[:30], one.values[:30], one.config)
    found = forecast(seen, others, one.steps[-1], "min")
    assert found.cohort == 0
    assert not found.is_lost
    assert found.chance_best is None
    assert found.low <= one.values[-1] <= found.high


def test_short_curves_are_ignored() -> None:
    *others, one = draw_trainings(5, 12)
    short = [Course(other.steps[:40], other.values[:40], other.config) for other in others]
    assert forecast(Course(one.steps[:30], one.values[:30], one.config), short, 79, "min").cohort == 0


@pytest.mark.parametrize("count", range(FEWEST, 12))
def test_every_sufficient_number_of_finished_curves_gives_an_interval(count: int) -> None:
    finished = [Course(range(6), [index + 1 / (1 + step) for step in range(6)], {}) for index in range(count)]
    found = forecast(Course(range(3), [2.5, 2.0, 1.8], {}), finished, 5, "min")
    assert len(found.ends) == count
    assert found.low < found.expected < found.high


def test_fewer_than_three_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        forecast(Course([0, 1], [1.0, 2.0], {}), [], 10, "min")


@given(
    st.lists(st.lists(_FINITE, min_size=6, max_size=6), min_size=5, max_size=8),
    st.lists(_FINITE, min_size=3, max_size=5),
    st.sampled_from(["min", "max", ""]),
)
def test_any_numbers_give_finite_bounds_in_order(curves: list[list[float]], own: list[float], mode: str) -> None:
    finished = [Course(range(6), values, {"lr": index}) for index, values in enumerate(curves)]
    found = forecast(Course(range(len(own)), own, {}), finished, 5, mode)
    assert found.low <= found.expected <= found.high
    assert math.isfinite(found.high - found.low)


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=3, max_size=8, unique_by=lambda one: one[0]))
def test_left_out_predictions_match_a_refit_without_the_example(points: list[tuple[float, float]]) -> None:
    def kernel(rows: list[float]) -> list[list[float]]:
        return [[math.exp(-((one - two) ** 2) / 2) for two in rows] for one in rows]

    indices, targets = [one for one, _ in points], [two for _, two in points]
    whole = predict(kernel([*indices, 0.0]), targets, 0.1)
    for left in range(len(points)):
        others = [*indices[:left], *indices[left + 1 :], indices[left]]
        alone = predict(kernel(others), [*targets[:left], *targets[left + 1 :]], 0.1)
        assert whole.left_out[left] == pytest.approx(alone.value, abs=1e-6)
        assert whole.deviations[left] == pytest.approx(alone.deviation, abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_quantiles_match_the_standard_library(values: list[float]) -> None:
    expected = statistics.quantiles(values, n=4, method="inclusive")
    assert [get_quantile(values, part) for part in (0.25, 0.5, 0.75)] == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_renamed_nested_and_logarithmic_settings_match() -> None:
    space = build_space(
        [
            {"lr": 0.001, "batch_size": 32, "optimizer": "adam", "seed": 1},
            {"optim": {"name": "adam", "learning_rate": 0.001}, "train": {"bs": 32}, "seed": 2},
            {"log10_lr": -3, "batch_size": 32, "opt": "adam"},
            {"lr": 0.1, "batch_size": 32, "optimizer": "sgd"},
            {"lr": 0.01, "batch_size": 256, "optimizer": "sgd"},
        ]
    )
    assert space.is_near_duplicate(0, 1)
    assert space.is_near_duplicate(0, 2)
    assert not space.is_near_duplicate(0, 3)
    assert [one.key for one in space.get_differences(0, 3)] == ["lr", "optimizer"]


def test_two_rates_in_a_config_stay_separate() -> None:
    space = build_space([{"actor": {"lr": 0.1}, "critic": {"lr": 0.2}}, {"actor": {"lr": 0.1}, "critic": {"lr": 0.4}}])
    assert [(one.first, one.second) for one in space.get_differences(0, 1)] == [(0.2, 0.4)]


def test_distance_follows_the_ratio_for_values_across_decades() -> None:
    source = random.Random(1)
    space = build_space([{"lr": 10**power} for power in (-5, -4, -1)] + [{"lr": 10 ** source.uniform(-5, -1)}])
    assert space.measure(0, 1) < space.measure(1, 2)
