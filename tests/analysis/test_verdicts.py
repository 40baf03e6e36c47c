"""Compare verdicts on realistic curves with those of a practitioner; tests/evals/verdicts.py covers many more."""

from __future__ import annotations

import math
import random

import pytest

from swanlab_mcp.analysis.deciding import choose_keys, read_curve
from swanlab_mcp.analysis.diagnosis import Judgement, judge
from tests.evals.further_curves import draw_further
from tests.evals.kinds_curves import draw_kinds
from tests.evals.unseen_curves import draw_unseen
from tests.evals.verdicts import judge_drawn


def judge_values(**metrics: list[float]) -> Judgement:
    """Judge metrics with one point per step; two underscores in a name mean a slash."""
    return judge([read_curve(key.replace("__", "/"), range(len(one)), one) for key, one in metrics.items()])


def find_kinds(found: Judgement) -> set[str]:
    return {event.kind for event in found.events if event.severity != "info"}


@pytest.mark.parametrize("seed", range(3))
def test_drawn_curves_of_all_frameworks_get_a_practitioners_verdict(seed: int) -> None:
    outcomes = list(judge_drawn(seed))
    wrong = [(one.framework, one.name, one.judgement.events) for one in outcomes if not one.agrees]
    assert len(wrong) <= 1, wrong
    assert [one.name for one in outcomes if one.is_healthy and one.is_alarmed] == []


@pytest.mark.parametrize("seed", range(100, 103))
def test_rarer_kinds_get_a_practitioners_verdict(seed: int) -> None:
    outcomes = list(judge_drawn(seed, draw_kinds))
    assert [(one.framework, one.name) for one in outcomes if not one.agrees] == []


def test_frameworks_of_many_fields_get_a_practitioners_verdict() -> None:
    outcomes = list(judge_drawn(0, draw_unseen))
    assert [(one.framework, one.name) for one in outcomes if not one.agrees] == []


def test_score_decides_if_a_policy_is_trained() -> None:
    source = random.Random(4)
    curves = {"game_score": [abs(source.gauss(5, 1)) for _ in range(200)], "loss__policy": [source.gauss(0, 1)] * 200}
    assert find_kinds(judge_values(**curves)) == {"never_learned"}


@pytest.mark.parametrize(("gain", "healthy"), [(0, 0), (10, 100)])
def test_flat_reward_in_slow_noise_is_seldom_called_healthy(gain: float, healthy: int) -> None:
    counts = 0
    for seed in range(100):
        source = random.Random(seed)
        off = source.gauss(0, 1)
        values: list[float] = []
        for index in range(300):
            off = 0.99 * off + source.gauss(0, math.sqrt(1 - 0.99**2))
            values.append(off + gain * min(1, index / 180))
        found = judge_values(rollout__ep_rew_mean=values)
        counts += found.health == "healthy"
        assert found.health != "not_judged" or found.doubtful == ("rollout/ep_rew_mean",)
    assert abs(counts - healthy) <= 15


def test_validation_metrics_are_read_first_among_hundreds_of_keys() -> None:
    logged = [f"timing_s/part{number}" for number in range(300)]
    logged += [f"critic/advantages/{name}" for name in ("max", "min", "mean")]
    logged += ["val-aux/math/reward/best@4/mean", "val-aux/math/reward/mean@4", "val-core/math/acc/mean@4"]
    keys, _ = choose_keys(logged)
    assert set(keys[:2]) == {"val-core/math/acc/mean@4", "val-aux/math/reward/mean@4"}
    assert len(keys) <= 40


def test_many_validation_sets_leave_room_for_the_main_results_and_training() -> None:
    logged = [f"val-aux/set{number}/reward/mean@8" for number in range(60)]
    logged += [f"eval/task{number}_acc" for number in range(60)]
    logged += ["val-core/openai/gsm8k/acc/mean@1", "critic/rewards/mean", "actor/entropy", "actor/grad_norm"]
    keys, left = choose_keys(logged)
    assert set(logged[120:]) <= set(keys)
    assert (len(keys), left) == (40, 84)


@pytest.mark.parametrize(("rises", "kinds"), [([0.5, 0.6, 0.7, 0.8, 0.9], ["overfitting"]), ([0.5, 0.6, 0.4, 0.8], [])])
def test_few_evaluations_get_cautious_verdicts(rises: list[float], kinds: list[str]) -> None:
    train = [2 * math.exp(-index / 30) + 0.1 for index in range(120)]
    steps = [24 * index for index in range(len(rises))]
    found = judge([read_curve("train/loss", range(120), train), read_curve("eval/loss", steps, rises)])
    assert find_kinds(found) == set(kinds)
    assert ("eval/loss" in dict(found.too_few)) == (not kinds)


def test_three_to_eleven_falling_points_are_not_called_healthy() -> None:
    found = judge_values(loss=[2.0, 1.5, 1.2, 1.0, 0.9, 0.85])
    assert (found.health, found.improves) == ("not_judged", True)


def test_metric_without_finite_values_was_never_computed() -> None:
    loss = [math.exp(-index / 10) for index in range(60)]
    found = judge_values(train__loss=loss, val__iou=[math.nan] * 60)
    (event,) = (event for event in found.events if event.kind == "non_finite")
    assert (event.severity, event.facts["never_computed"]) == ("warning", True)


@pytest.mark.parametrize("key", ["custom/thing", "timing/step", "response_length/mean"])
def test_non_finite_values_of_any_key_are_an_event(key: str) -> None:
    found = judge([read_curve(key, range(60), [*range(40), *[math.nan] * 20])])
    assert [(event.kind, event.step) for event in found.events] == [("non_finite", 40)]


def test_constants_and_values_before_the_first_update_are_ignored() -> None:
    loss = [0.0] * 50 + [2 * math.exp(-index / 20) for index in range(100)]
    assert judge_values(train__loss=loss, lr=[0.1] * 150).health == "healthy"
    assert judge_values(val__loss=[0.0] * 150, train__loss=loss).health == "healthy"


def test_constant_reward_never_learned_despite_a_falling_loss() -> None:
    falling = [math.exp(-index / 20) for index in range(120)]
    found = judge_values(rollout__ep_rew_mean=[-200.0] * 120, train__loss=falling)
    (event,) = (event for event in found.events if event.severity == "problem")
    assert (event.kind, event.keys) == ("never_learned", ("rollout/ep_rew_mean",))


def test_reward_that_swings_between_extremes_is_unstable() -> None:
    source = random.Random(1)
    reward = [min(index, 100) + source.gauss(0, 2) - (70 if index % 200 > 150 else 0) for index in range(1000)]
    assert find_kinds(judge_values(reward=reward)) <= {"unstable", "collapse"}
    assert find_kinds(judge_values(reward=reward))


def test_flat_validation_while_training_halves_is_reported() -> None:
    source = random.Random(2)
    train = [0.2 + 2 * math.exp(-index / 10) for index in range(60)]
    level = [1.9 + source.gauss(0, 0.03) for _ in range(60)]
    assert find_kinds(judge_values(train__loss=train, val__loss=level)) == {"no_generalisation"}
    rising = [0.3 + 0.5 * (1 - math.exp(-index / 15)) for index in range(60)]
    assert not find_kinds(judge_values(train__loss=train, val__loss=level, val__acc=rising))


@pytest.mark.parametrize(
    ("key", "level", "noise", "kind"),
    [
        ("val/acc", 0.5, 0.01, "no_generalisation"),
        ("val/acc", 0.1, 0.0, "never_learned"),
        ("bbox/AP", 0.0, 0.0, "never_learned"),
        ("val/r2", 0.0, 0.02, "never_learned"),
        ("eval/wer", 1.0, 0.0, "never_learned"),
        ("eval/wer", 0.0, 0.0, ""),
        ("val/acc", 0.95, 0.002, ""),
        ("val/loss", 0.7, 0.0, ""),
    ],
)
def test_held_out_result_that_never_changes_is_reported(key: str, level: float, noise: float, kind: str) -> None:
    source = random.Random(4)
    train = [0.02 + 2 * math.exp(-index / 100) for index in range(600)]
    held_out = [level + source.gauss(0, noise) for _ in range(30)]
    curves = [read_curve("train/loss", range(600), train), read_curve(key, range(0, 600, 20), held_out)]
    assert find_kinds(judge(curves)) == ({kind} if kind else set())
    # a missing class or a second metric does not matter if another held-out metric improves
    rising = [0.7 * (1 - math.exp(-index / 4)) for index in range(30)]
    assert not find_kinds(judge([*curves, read_curve("val/mIoU", range(0, 600, 20), rising)]))


def test_noisy_validation_better_than_its_start_gives_no_warning() -> None:
    train = [0.3 + math.exp(-index / 15) for index in range(100)]
    for seed in range(20):
        noise = walk(seed, 100, 0.3)
        loss = [(0.5 + 0.5 * math.exp(-index / 10)) * math.exp(0.18 * off) for index, off in enumerate(noise)]
        assert not find_kinds(judge_values(train_loss=train, val_loss=loss)), seed


def test_explosion_starts_when_the_loss_leaves_the_noise() -> None:
    source = random.Random(3)
    calm = [0.5 + source.gauss(0, 0.02) for _ in range(600)]
    blown = [0.5 * math.exp(index / 60) for index in range(700)]
    (event,) = (
        one for one in judge_values(train__loss=[*[2.0] * 3, *calm, *blown]).events if one.severity == "problem"
    )
    assert event.kind == "divergence"
    assert 590 <= event.step <= 680


def test_harmless_learning_rate_jump_is_only_information() -> None:
    loss = [math.exp(-index / 100) for index in range(600)]
    rate = [0.1 if index < 300 else 0.5 for index in range(600)]
    found = judge_values(train__loss=loss, lr=rate)
    assert [event.severity for event in found.events if event.kind == "learning_rate_jump"] == ["info"]
    assert found.health == "healthy"


def test_other_frameworks_get_a_practitioners_verdict() -> None:
    outcomes = list(judge_drawn(11, draw_further))
    healthy = [one for one in outcomes if one.is_healthy]
    ill = [one for one in outcomes if not one.is_healthy]
    assert [one.framework for one in healthy if one.is_alarmed] == []
    assert sum(one.is_alarmed for one in ill) >= 0.95 * len(ill)
    assert sum(one.agrees for one in outcomes) >= 0.95 * len(outcomes)


def walk(seed: int, size: int, kept: float) -> list[float]:
    """Return autocorrelated noise with a standard deviation of 1; `kept` is the correlation of successive values."""
    source = random.Random(seed)
    values = [source.gauss(0, 1)]
    while len(values) < size:
        values.append(kept * values[-1] + source.gauss(0, math.sqrt(1 - kept * kept)))
    return values


@pytest.mark.parametrize("kept", [0.95, 0.98, 0.99])
@pytest.mark.parametrize("size", [100, 1000])
def test_correlated_reward_noise_is_not_a_collapse(kept: float, size: int) -> None:
    alarms = 0
    for seed in range(40):
        noise = walk(seed, size, kept)
        reward = [10 * (1 - math.exp(-6 * index / size)) + off for index, off in enumerate(noise)]
        alarms += "collapse" in find_kinds(judge_values(rollout__ep_rew_mean=reward))
    assert alarms <= 2


def test_flat_reward_in_correlated_noise_is_not_unstable() -> None:
    noises = [walk(seed, size, kept) for kept in (0.95, 0.98, 0.99) for size in (100, 300) for seed in range(40)]
    assert sum("unstable" in find_kinds(judge_values(rollout__ep_rew_mean=noise)) for noise in noises) <= 5


@pytest.mark.parametrize("kept", [0.0, 0.9])
@pytest.mark.parametrize("size", [100, 200, 800])
def test_reward_that_climbs_and_falls_back_is_unstable_not_unlearned(size: int, kept: float) -> None:
    found = 0
    for seed in range(20):
        teeth = 2 + seed % 3
        climb = [(index * teeth / size) % 1 for index in range(size)]
        reward = [
            300 * (one / 0.7 if one < 0.7 else 1 - 0.9 * (one - 0.7) / 0.3) + 9 * off
            for one, off in zip(climb, walk(seed, size, kept), strict=True)
        ]
        kinds = find_kinds(judge_values(rollout__ep_rew_mean=reward))
        assert "never_learned" not in kinds
        found += bool({"unstable", "collapse"} & kinds)
    assert found >= 18


def test_collapse_in_correlated_noise_is_found() -> None:
    found = 0
    for seed in range(40):
        noise = walk(seed, 300, 0.95)
        reward = [10 * (1 - math.exp(-index / 20)) * (index < 200) + off / 2 for index, off in enumerate(noise)]
        found += "collapse" in find_kinds(judge_values(rollout__ep_rew_mean=reward))
    assert found >= 38


@pytest.mark.parametrize("size", [5, 8, 11])
def test_slow_noise_in_few_points_is_not_overfitting(size: int) -> None:
    alarms = sum("worsening" in find_kinds(judge_values(eval__loss=walk(seed, size, 0.9))) for seed in range(400))
    assert alarms <= 0.05 * 400


@pytest.mark.parametrize(("key", "is_found"), [("response_length/mean", True), ("sequence_length", False)])
def test_steadily_growing_response_length_is_a_warning(key: str, *, is_found: bool) -> None:
    reward = [index / 100 + (index % 3) / 50 for index in range(100)]
    length = [400.0 + index % 7 + max(0, index - 60) * 60 for index in range(100)]
    found = judge([read_curve("reward", range(100), reward), read_curve(key, range(100), length)])
    steps = [event.step for event in found.events if event.kind == "length_explosion"]
    assert bool(steps) == is_found
    assert all(75 <= step <= 90 for step in steps)


def test_rise_that_recovers_is_a_shock() -> None:
    loss = [2 * math.exp(-index / 40) + 0.2 + (index % 5) / 1000 for index in range(300)]
    hit = [value + (1.5 if 150 <= index < 190 else 0) for index, value in enumerate(loss)]
    (shock,) = [event for event in judge_values(train__loss=hit).events if event.kind == "shock"]
    assert (shock.severity, 145 <= shock.step <= 155, 150 <= (shock.peak or 0) < 190) == ("warning", True, True)
    assert shock.end
    assert 185 <= shock.end <= 200


@pytest.mark.parametrize(
    ("size", "length", "severity"), [(400, 15, "warning"), (2000, 15, "info"), (8000, 100, "info")]
)
@pytest.mark.parametrize("fades", [False, True])
def test_short_rise_that_recovers_is_a_shock(size: int, length: int, severity: str, *, fades: bool) -> None:
    start = size // 2
    loss = [5 * math.exp(-8 * index / size) + 1 + (index * 7 % 5) / 100 for index in range(size)]
    for index in range(start, start + (3 * length if fades else length)):
        loss[index] += 4 * (math.exp(-(index - start) / length) if fades else 1)
    (shock,) = [event for event in judge_values(train__loss=loss).events if event.kind == "shock"]
    assert shock.severity == ("warning" if fades and size == 400 else severity)
    assert (abs(shock.step - start) <= size / 100, start <= (shock.peak or 0) < start + length) == (True, True)
    assert 0 < (shock.end or 0) - start <= 2 * length + size / 100


@pytest.mark.parametrize("top", [100, 1e9])
@pytest.mark.parametrize("growth", [0.003, 0.01, 0.03])
def test_onset_of_an_exponential_explosion_is_where_it_leaves_the_noise(top: float, growth: float) -> None:
    for seed, size in enumerate((400, 2000, 8000)):
        source = random.Random(seed)
        loss = [0.5 + 3 * math.exp(-8 * index / size) + source.gauss(0, 0.03) for index in range(size)]
        # at 70 % the explosion is twice the noise
        loss = [
            value + min(top, 0.06 * math.exp(min(600, (index / size - 0.7) / growth)))
            for index, value in enumerate(loss)
        ]
        (event,) = [event for event in judge_values(train__loss=loss).events if event.kind == "divergence"]
        assert 0.68 - growth <= event.step / size <= 0.71 + 3 * growth


def test_noisy_validation_loss_that_rises_for_long_is_overfitting() -> None:
    found = 0
    for seed in range(20):
        noise = walk(seed, 60, 0.0)
        bottom = [
            1.8 - 0.9 * (1 - (1 - index / 21) ** 2) if index < 21 else 0.9 + (index - 21) / 78 for index in range(60)
        ]
        train = [1.8 * math.exp(-index / 60) + 0.1 for index in range(300)]
        values = [value + 0.07 * off for value, off in zip(bottom, noise, strict=True)]
        curves = [read_curve("train/loss", range(300), train), read_curve("val/loss", range(0, 300, 5), values)]
        found += find_kinds(judge(curves)) == {"overfitting"}
    assert found >= 18


def test_lasting_fall_of_a_win_rate_is_a_collapse() -> None:
    for seed in range(10):
        noise = walk(seed, 60, 0.0)
        rate = [0.3 + 0.6 / (1 + math.exp(4 - index / 3)) - 0.7 * min(1, max(0, index - 30) / 6) for index in range(60)]
        rate = [value + 0.025 * off for value, off in zip(rate, noise, strict=True)]
        assert find_kinds(judge_values(eval__win_rate=rate)) in ({"worsening"}, {"collapse"})


def test_part_of_a_held_out_loss_is_outweighed_by_the_other_part_and_a_quality() -> None:
    fall = [1.2 * math.exp(-index / 20) + 0.9 for index in range(80)]
    part = [1.2 - index / 60 if index < 30 else 0.7 + (index - 30) / 400 for index in range(80)]
    quality = [0.5 / (1 + math.exp((30 - index) / 8)) for index in range(80)]
    for rising, kinds in ((quality, set[str]()), (quality[::-1], {"worsening"})):
        metrics = {"val__box_loss": fall, "val__dfl_loss": part, "metrics__mAP50": rising}
        assert find_kinds(judge_values(**metrics)) == kinds


def test_noisy_success_rate_never_learned_in_any_split() -> None:
    source = random.Random(5)
    rate = [max(0.0, 0.02 + source.gauss(0, 0.015)) for _ in range(100)]
    curves = {
        "train__actor_loss": [-index / 5 for index in range(100)],
        "train__critic_loss": [1 / (index + 1) for index in range(100)],
    }
    assert find_kinds(judge_values(eval__success_rate=rate, **curves)) == {"never_learned"}


def test_entropy_loss_that_rises_to_zero_is_an_entropy_collapse() -> None:
    reward = [index / 100 + (index % 3) / 50 for index in range(100)]
    entropy = [1.38 * math.exp(-index / 15) for index in range(100)]
    for key, sign in (("train__entropy_loss", -1), ("train__entropy", 1)):
        curves = {key: [sign * one for one in entropy], "rollout__ep_rew_mean": reward}
        assert find_kinds(judge_values(**curves)) == {"entropy_collapse"}


def test_loss_that_is_flat_at_the_end_is_a_plateau() -> None:
    loss = [2 * math.exp(-index / 10) + 0.2 + (index % 5) / 1000 for index in range(200)]
    found = judge_values(train__loss=loss)
    (plateau,) = [event for event in found.events if event.kind == "plateau"]
    assert (found.health, plateau.severity, 30 <= plateau.step <= 60) == ("healthy", "info", True)


def test_full_memory_is_only_information() -> None:
    loss = [2 * math.exp(-index / 10) + 0.2 for index in range(60)]
    percent = [99.0 if index == 30 else 60.0 for index in range(60)]
    curves = [read_curve("loss", range(60), loss)]
    curves += [read_curve(key, range(60), percent) for key in ("__swanlab__.gpu.0.mem.pct", "__swanlab__.mem.pct")]
    found = judge(curves)
    kinds = {event.kind: event.severity for event in found.events if event.is_hardware}
    assert kinds == {"gpu_memory_full": "info", "host_memory_full": "info"}


def test_falling_quality_with_improving_loss_suggests_other_data() -> None:
    loss = [2 * math.exp(-index / 20) + 0.2 for index in range(80)]
    accuracy = [0.8 * (1 - math.exp(-index / 5)) - max(0, index - 40) / 100 for index in range(80)]
    assert find_kinds(judge_values(loss=loss, accuracy__top1=accuracy)) == {"divergence"}
    assert find_kinds(judge_values(train__loss=loss, train__acc=accuracy)) == set()
