"""Find planted events, but no events in noise, schedules or regular patterns."""

from __future__ import annotations

import importlib.util
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swanlab_mcp.analysis.curves import keep_finite, outline
from swanlab_mcp.analysis.deciding import read_curve
from swanlab_mcp.analysis.diagnosis import judge
from swanlab_mcp.analysis.events import (
    Event,
    find_chance_classes,
    find_full_memory,
    find_gaps,
    find_idle,
    find_jumps,
    find_non_finite,
    find_stall,
)
from swanlab_mcp.analysis.spikes import find_shock, find_spikes
from swanlab_mcp.analysis.trends import find_plateau, find_worsening, has_improved
from swanlab_mcp.core.durations import show_duration

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "analysis.py"


def load_benchmark() -> Any:
    found = importlib.util.spec_from_file_location("analysis_benchmark", BENCHMARK)
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def learn(size: int, seed: int = 0, noise: float = 0.03) -> list[float]:
    """Return a loss that falls from 2.3 to 0.3."""
    source = random.Random(seed)
    return [0.3 + 2 * math.exp(-step / (size / 10)) + source.gauss(0, noise) for step in range(size)]


def bottom(size: int, seed: int = 0, noise: float = 0.03) -> list[float]:
    """Return a loss that falls to 0.4 in 40 % of the steps and doubles until the end."""
    source = random.Random(seed)
    turn = 0.4 * size
    return [
        (2.3 - 1.9 * step / turn if step < turn else 0.4 + 0.4 * (step - turn) / (size - turn)) + source.gauss(0, noise)
        for step in range(size)
    ]


def judge_losses(train: list[float], held_out: list[float] | None = None, steps: range | None = None) -> list[Event]:
    """Return the problems and warnings for a training loss and an optional validation loss."""
    curves = [read_curve("train/loss", range(len(train)), train)]
    if held_out is not None:
        curves.append(read_curve("val/loss", steps or range(len(held_out)), held_out))
    return [event for event in judge(curves).events if event.severity != "info"]


def test_pure_noise_raises_few_alarms() -> None:
    # docs/verdicts.md has the figures for 1,000 series; this test runs 60 of each
    shown = load_benchmark().measure_false_alarms(60)
    for (name, length), counts in shown.items():
        allowed = {"normal": 1, "lognormal": 3, "correlated": 4, "slow": 14}[name]
        assert all(count <= allowed for count in counts.values()), (name, length, counts)


@given(st.floats(-10, 10), st.floats(0.01, 100), st.integers(0, 50))
@settings(max_examples=25)
def test_shape_verdicts_are_independent_of_origin_and_unit(shift: float, scale: float, seed: int) -> None:
    for values in (learn(300, seed), bottom(300, seed)):
        moved = [scale * value + shift for value in values]
        steps = range(300)
        before, after = find_worsening(steps, values), find_worsening(steps, moved)
        assert (before and before.onset_step) == (after and after.onset_step)
        one, other = find_spikes(steps, values), find_spikes(steps, moved)
        assert (one and one.step) == (other and other.step)


@given(st.integers(1, 60), st.integers(100, 10_000))
@settings(max_examples=25)
def test_uneven_steps_do_not_change_events(spacing: int, start: int) -> None:
    values = bottom(400)
    values[300] = 5.0
    steps = [start + spacing * index for index in range(400)]
    plain, spaced = find_worsening(range(400), values), find_worsening(steps, values)
    assert plain
    assert spaced
    assert spaced.onset_step == start + spacing * plain.onset_step
    spike = find_spikes(steps, values)
    assert spike
    assert spike.step == start + spacing * 300


@given(st.integers(20, 979), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_first_non_finite_value_is_found_at_its_step(index: int, odd: float) -> None:
    values = learn(1000)
    once = find_non_finite(range(1000), [*values[:index], odd, *values[index + 1 :]])
    assert once
    assert (once.step, once.severity) == (index, "warning")
    assert (once.facts["count"], once.facts["to_end"]) == (1, False)
    for_good = find_non_finite(range(1000), [*values[:index], *[odd] * (1000 - index)])
    assert for_good
    assert (for_good.step, for_good.severity) == (index, "problem")
    assert find_non_finite(range(1000), values) is None


def test_nan_at_step_6000_of_10000_is_found() -> None:
    values = [*learn(6000), *[math.nan] * 4000]
    found = find_non_finite(range(10_000), values)
    assert found
    assert found.step == 6000
    assert (found.facts["count"], found.facts["total"], found.facts["to_end"]) == (4000, 10_000, True)


def test_finite_values_with_infinite_sum_are_not_flagged() -> None:
    values = [1e308] * 20
    assert find_non_finite(range(20), values) is None
    assert keep_finite(range(20), values)[1] == values
    assert keep_finite([1, 2, 3], [1.0, math.nan, 3.0]) == ([1, 3], [1.0, 3.0])


@given(st.integers(300, 2900), st.integers(0, 30), st.booleans())
@settings(max_examples=40)
def test_planted_spike_is_found_at_its_step(index: int, seed: int, is_wide: bool) -> None:
    values = learn(3000, seed)
    values[index] += 1.0
    if is_wide:
        values[index + 1] += 0.7
    found = find_spikes(range(3000), values)
    # the noise of a fast-falling loss is unknown, so a spike of half the fall can go unnoticed
    assert found is not None or index < 600
    if found:
        assert found.step == index
        assert found.number == 1


def test_spikes_are_counted_and_the_largest_is_named() -> None:
    values = learn(3000)
    for index in (1000, 1500, 2000):
        values[index] += 0.6
    values[2700] += 2.5
    found = find_spikes(range(3000), values)
    assert found
    assert (found.step, found.number) == (2700, 4)


def test_spikes_in_the_first_tenth_are_ignored() -> None:
    values = learn(3000)
    values[250] += 5
    assert find_spikes(range(3000), values) is None


def test_shock_has_a_start_a_peak_and_an_end() -> None:
    values = learn(3000)
    for index in range(1500, 1900):
        values[index] += 3 * math.exp(-(index - 1500) / 100)
    found = find_shock(range(3000), values)
    assert found
    assert 1450 <= found.start <= 1560
    assert 1490 <= found.peak <= 1540
    assert 1580 <= found.end <= 1750
    assert find_worsening(range(3000), values) is None
    assert find_shock(range(3000), learn(3000)) is None


def test_drops_shifts_and_constants_are_not_spikes() -> None:
    assert find_spikes(range(400), learn(400)) is None
    shifted = [1 + random.Random(step).gauss(0, 0.01) + (step > 2900) for step in range(3000)]
    assert find_spikes(range(3000), shifted) is None
    assert find_spikes(range(500), [1.0] * 500) is None
    assert find_spikes(range(10), [1.0] * 9 + [9.0]) is None


@pytest.mark.parametrize("size", [60, 400, 10_000])
def test_rising_loss_has_its_onset_after_the_minimum(size: int) -> None:
    for seed in range(10):
        worse = find_worsening(range(size), bottom(size, seed))
        assert worse
        # the onset is reported when the rise passes a tenth: at 46 %
        assert 0.38 * size < worse.onset_step < 0.56 * size + 5
        assert worse.final == pytest.approx(0.8, abs=0.06)
        assert 0.3 * size < worse.best_step < 0.56 * size


def test_falling_loss_is_not_worsening() -> None:
    for size in (40, 300, 3000):
        assert find_worsening(range(size), learn(size)) is None
    assert find_worsening(range(4), [1.0, 2.0, 3.0, 4.0]) is None


def test_five_rising_points_are_worsening() -> None:
    worse = find_worsening(range(5), [1.0, 2.0, 3.0, 4.0, 5.0])
    assert worse
    assert (worse.best_step, worse.onset_step) == (0, 1)
    assert find_worsening(range(5), [1.0, 2.0, 1.5, 4.0, 5.0]) is None


@pytest.mark.parametrize("size", [40, 1000, 10_000])
def test_loss_flat_at_ln_10_never_learned(size: int) -> None:
    source = random.Random(size)
    values = [math.log(10) + source.gauss(0, 0.01) for _ in range(size)]
    assert not has_improved(values)
    assert find_chance_classes(outline(values).final) == 10
    assert [event.kind for event in judge_losses(values)] == ["never_learned"]
    assert find_plateau(range(size), values) is None
    assert find_worsening(range(size), values) is None


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_loss_that_falls_in_its_first_points_learned(noise: float) -> None:
    source = random.Random(1)
    assert has_improved(learn(1000, noise=noise))
    quick = [2.5, 0.02, *[0.002 + source.random() * 1e-4 for _ in range(58)]]
    assert has_improved(quick)
    assert not judge_losses(quick)
    assert not judge_losses([2.3, 2.29])


def test_one_percent_gain_is_not_a_flat_loss() -> None:
    source = random.Random(4)
    slow = [2.10 - 0.03 * step / 5000 + source.gauss(0, 0.02) for step in range(5000)]
    assert not judge_losses(slow)
    assert not judge_losses([value - 2 for value in slow])
    barely = [2.3026 - 0.002 * step / 5000 + source.gauss(0, 0.02) for step in range(5000)]
    assert [event.kind for event in judge_losses(barely)] == ["never_learned"]


def test_chance_levels_match_class_counts() -> None:
    assert [find_chance_classes(math.log(k)) for k in (2, 10, 1000)] == [2, 10, 1000]
    assert find_chance_classes(0.31) is None
    assert find_chance_classes(5.9) == 365


@given(st.integers(0, 30))
@settings(max_examples=15)
def test_plateau_starts_at_the_last_gain(seed: int) -> None:
    source = random.Random(seed)
    values = [max(0.5, 2.5 - 2 * step / 300) + source.gauss(0, 0.01) for step in range(1000)]
    found = find_plateau(range(1000), values)
    assert found
    assert 280 <= found.step <= 330
    assert find_plateau(range(1000), [3 - step / 500 for step in range(1000)]) is None


def test_worsening_validation_is_overfitting_only_if_training_holds() -> None:
    size = 400
    better, worse = learn(size), bottom(size)
    (event,) = judge_losses(better, worse)
    assert (event.kind, event.facts["pair_improves"]) == ("overfitting", False)
    (event,) = judge_losses([5 - step / 100 for step in range(size)], worse)
    assert (event.kind, event.facts["pair_improves"]) == ("overfitting", True)
    assert {event.kind for event in judge_losses(worse, bottom(size, 1))} == {"divergence"}
    assert judge_losses(better, learn(size, 1)) == []
    # validation every 8 steps, training loss every step
    sparse = range(0, size, 8)
    (event,) = judge_losses(better, [worse[step] for step in sparse], sparse)
    assert event.kind == "overfitting"


SIZE = 2000
COSINE = [0.05 * (1 + math.cos(math.pi * step / SIZE)) for step in range(SIZE)]


@pytest.mark.parametrize(
    "rates",
    [
        COSINE,
        [rate * min(1.0, (step + 1) / 60) for step, rate in enumerate(COSINE)],
        [0.1 if step > 80 else 0.0001 * (step + 1) for step in range(SIZE)],
        [0.1 * 0.1 ** (step // 500) for step in range(SIZE)],
        [0.05 * (1 + math.cos(math.pi * (step % 400) / 400)) for step in range(SIZE)],
        [0.1] * SIZE,
        [0.1 * (1 - step / SIZE) for step in range(SIZE)],
    ],
)
def test_learning_rate_schedule_is_not_a_jump(rates: list[float]) -> None:
    assert find_jumps(range(SIZE), rates) == []


@given(st.integers(int(0.45 * SIZE), SIZE - 1))
def test_upward_rate_jump_is_found(index: int) -> None:
    rates = [*COSINE[:index], *[0.4] * (SIZE - index)]
    (found,) = find_jumps(range(SIZE), rates)
    assert found.step == index


def test_regular_logging_intervals_are_not_gaps() -> None:
    steps = list(range(0, 10_000, 500))
    assert find_gaps(steps, [1_700_000_000_000 + 900_000 * index for index in range(20)]) == []
    # evaluations cause regular pauses
    times = [1_700_000_000_000 + 200 * step + 90_000 * (step // 100) for step in range(2000)]
    assert find_gaps(range(2000), times) == []


@given(st.integers(20, 1900), st.integers(3600, 500_000))
def test_pause_and_missing_steps_are_found(index: int, seconds: int) -> None:
    times = [1_700_000_000_000 + 1000 * step + (1000 * seconds if step > index else 0) for step in range(2000)]
    (pause,) = find_gaps(range(2000), times)
    assert (pause.kind, pause.step) == ("logging_gap", index + 1)
    steps = [step + (500 if step > index else 0) for step in range(2000)]
    (missing,) = find_gaps(steps, [0] * 2000)
    assert (missing.kind, missing.step) == ("missing_steps", index + 501)


def test_repeated_steps_reveal_a_resume() -> None:
    times = [1_700_000_000_000 + 1000 * step for step in range(100)]
    times[50:80] = [1_700_001_000_000 + 1000 * step for step in range(30)]
    kinds = {event.kind: event.step for event in find_gaps(range(100), times)}
    assert kinds["resumed"] == 80
    assert find_gaps([1, 2], [1, 2]) == []


def test_long_overdue_series_is_stalled() -> None:
    times = [1_700_000_000_000 + 60_000 * step for step in range(50)]
    assert find_stall(times, times[-1] + 900_000) is None
    stall = find_stall(times, times[-1] + 7_200_000)
    assert stall == (times[-1] + 1_200_000, 7200, 60)
    # an earlier pause of an hour raises the limit
    patient = [*times, times[-1] + 3_600_000]
    assert find_stall(patient, patient[-1] + 7_200_000) is None
    assert find_stall([], 5) is None
    assert find_stall([0, 0, 0], 5) is None


waits = st.lists(st.integers(0, 10**7), min_size=1, max_size=60)


@given(waits, st.integers(0, 10**9), st.integers(1, 10**12))
def test_stall_persists_and_is_independent_of_start_time(gaps: list[int], silent: int, shift: int) -> None:
    times = [10**12 + sum(gaps[:index]) for index in range(len(gaps) + 1)]
    now = times[-1] + silent
    stall = find_stall(times, now)
    moved = find_stall([one + shift for one in times], now + shift)
    assert (stall is None) == (moved is None)
    # longer silence keeps the stall and its start time
    later = find_stall(times, now + 10**6)
    if stall:
        assert moved == (stall[0] + shift, *stall[1:])
        assert times[-1] < stall[0] < now
        assert later
        assert later[0] == pytest.approx(stall[0], abs=1)
    # longer pauses raise the limit and never lower it
    if stall is None:
        assert find_stall([*times, times[-1] + max(gaps) + silent], times[-1] + max(gaps) + 2 * silent) is None


loads = st.lists(st.floats(0, 100), min_size=1, max_size=80)


@given(
    st.lists(st.floats(0, 30), min_size=25, max_size=40),
    st.integers(0, 10**6),
    st.randoms(use_true_random=False),
    st.integers(0, 5),
)
def test_idle_gpu_is_found_in_any_order_and_with_missing_samples(
    values: list[float], start: int, source: random.Random, lost: int
) -> None:
    idle = find_idle(range(len(values)), values)
    mixed = source.sample([*values, *[math.nan] * lost], len(values) + lost)
    again = find_idle(range(start, start + len(mixed)), mixed)
    assert (idle and idle.facts) == (again and again.facts)
    # a higher load never turns a busy GPU into an idle GPU
    busier = find_idle(range(len(values)), [value + 10 for value in values])
    assert idle or busier is None
    if idle:
        assert sum(value < 15 for value in values) * 2 >= len(values) >= 30


@given(loads, st.integers(0, 10**6), st.integers(0, 79))
def test_full_memory_depends_only_on_its_maximum(values: list[float], start: int, index: int) -> None:
    full = find_full_memory(range(len(values)), values)
    assert (full is not None) == (max(values) >= 97)
    odd = [*values[:index], math.nan, *values[index:]]
    again = find_full_memory(range(start, start + len(odd)), odd)
    assert (full and full.facts) == (again and again.facts)
    if full and again:
        assert values[full.step] == max(values)
        assert odd[again.step - start] == max(values)


@given(
    st.floats(-10, 10), st.floats(0.01, 100), st.floats(-10, 10), st.floats(0.01, 100),
    st.integers(0, 50), st.sampled_from([learn, bottom]),
)  # fmt: skip
@settings(max_examples=25)
def test_overfitting_is_independent_of_origin_and_unit(
    shift: float, scale: float, other_shift: float, other_scale: float, seed: int, course: Any
) -> None:
    train, held_out = course(300, seed), bottom(300, seed + 1)
    plain = judge_losses(train, held_out)
    moved = judge_losses(
        [scale * value + shift for value in train],
        [other_scale * value + other_shift for value in held_out],
    )
    expected = "overfitting" if course is learn else "divergence"
    for events in (plain, moved):
        assert expected in {event.kind for event in events}
    (one,) = (event for event in plain if "val/loss" in event.keys)
    (other,) = (event for event in moved if "val/loss" in event.keys)
    assert (one.step, one.facts["best_step"]) == (other.step, other.facts["best_step"])


def test_full_memory_and_idle_gpu_are_found() -> None:
    full = find_full_memory(range(3), [50.0, 98.5, math.nan])
    assert full
    assert (full.step, full.facts) == (1, {"top": 98.5})
    assert find_full_memory(range(2), [50.0, 90.0]) is None
    idle = find_idle(range(40), [3.0] * 30 + [90.0] * 10)
    assert idle
    assert idle.facts == {"load": 3.0, "count": 40}
    assert find_idle(range(40), [80.0] * 40) is None
    assert find_idle(range(5), [0.0] * 5) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=500))
def test_outline_stays_within_the_values(values: list[float]) -> None:
    course = outline(values)
    assert len(course.levels) <= 100
    assert min(values) <= course.best <= course.final <= max(values)
    assert course.scatter >= 0 <= course.noise


@given(st.lists(st.floats(), min_size=12, max_size=80))
def test_any_series_can_be_analysed(values: list[float]) -> None:
    steps, finite = keep_finite(range(len(values)), values)
    find_non_finite(range(len(values)), values)
    if finite:
        find_spikes(steps, finite)
        find_worsening(steps, finite)
        has_improved(finite)
        find_shock(steps, finite)
        find_plateau(steps, finite)
        find_jumps(steps, finite)
        judge([read_curve(key, range(len(values)), values) for key in ("train/loss", "val/loss", "reward")])


def test_durations_show_at_most_two_units() -> None:
    shown = [show_duration(seconds) for seconds in (0.2, 90, 3600, 90_000, 360_000)]
    assert shown == ["0.2 s", "90 s", "60 min", "25 h 0 min", "4 d 4 h"]
