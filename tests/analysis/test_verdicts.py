"""Verdicts on curves as frameworks log them agree with a practitioner's; tests/evals/verdicts.py judges many more."""

from __future__ import annotations

import math
import random

import pytest

from swanlab_mcp.analysis.deciding import choose_keys, read_curve
from swanlab_mcp.analysis.diagnosis import Judgement, judge
from tests.evals.verdicts import judge_drawn


def judge_values(**metrics: list[float]) -> Judgement:
    """Judge metrics of one point a step; two underscores in a name stand for a slash."""
    return judge([read_curve(key.replace("__", "/"), range(len(one)), one) for key, one in metrics.items()])


def find_kinds(found: Judgement) -> set[str]:
    return {event.kind for event in found.events if event.severity != "info"}


@pytest.mark.parametrize("seed", range(3))
def test_drawn_curves_of_all_frameworks_get_a_practitioners_verdict(seed: int) -> None:
    wrong = [(one.framework, one.name, one.judgement.events) for one in judge_drawn(seed) if not one.agrees]
    assert wrong == []


def test_validation_metrics_are_read_first_among_hundreds_of_keys() -> None:
    logged = [f"timing_s/part{number}" for number in range(300)]
    logged += [f"critic/advantages/{name}" for name in ("max", "min", "mean")]
    logged += ["val-aux/math/reward/best@4/mean", "val-aux/math/reward/mean@4", "val-core/math/acc/mean@4"]
    keys, _ = choose_keys(logged)
    assert set(keys[:2]) == {"val-core/math/acc/mean@4", "val-aux/math/reward/mean@4"}
    assert len(keys) <= 40


@pytest.mark.parametrize(("rises", "kinds"), [([0.5, 0.6, 0.7, 0.8, 0.9], ["overfitting"]), ([0.5, 0.6, 0.4, 0.8], [])])
def test_few_evaluations_are_judged_by_what_they_show(rises: list[float], kinds: list[str]) -> None:
    train = [2 * math.exp(-place / 30) + 0.1 for place in range(120)]
    steps = [24 * place for place in range(len(rises))]
    found = judge([read_curve("train/loss", range(120), train), read_curve("eval/loss", steps, rises)])
    assert find_kinds(found) == set(kinds)
    assert ("eval/loss" in dict(found.too_few)) == (not kinds)


def test_three_to_eleven_falling_points_are_not_called_healthy() -> None:
    found = judge_values(loss=[2.0, 1.5, 1.2, 1.0, 0.9, 0.85])
    assert (found.health, found.improves) == ("not_judged", True)


def test_a_metric_without_any_finite_value_was_never_computed() -> None:
    loss = [math.exp(-place / 10) for place in range(60)]
    found = judge_values(train__loss=loss, val__iou=[math.nan] * 60)
    (event,) = (event for event in found.events if event.kind == "non_finite")
    assert (event.severity, event.facts["never_computed"]) == ("warning", True)


@pytest.mark.parametrize("key", ["custom/thing", "timing/step", "response_length/mean"])
def test_any_key_that_becomes_non_finite_is_an_event(key: str) -> None:
    found = judge([read_curve(key, range(60), [*range(40), *[math.nan] * 20])])
    assert [(event.kind, event.step) for event in found.events] == [("non_finite", 40)]


def test_constants_and_values_before_the_first_update_are_not_judged() -> None:
    loss = [0.0] * 50 + [2 * math.exp(-place / 20) for place in range(100)]
    assert judge_values(train__loss=loss, lr=[0.1] * 150).health == "healthy"
    assert judge_values(val__loss=[0.0] * 150, train__loss=loss).health == "healthy"


def test_a_reward_that_never_moves_never_learned_although_the_loss_falls() -> None:
    falling = [math.exp(-place / 20) for place in range(120)]
    found = judge_values(rollout__ep_rew_mean=[-200.0] * 120, train__loss=falling)
    (event,) = (event for event in found.events if event.severity == "problem")
    assert (event.kind, event.keys) == ("never_learned", ("rollout/ep_rew_mean",))


def test_a_reward_that_swings_between_extremes_is_unstable() -> None:
    source = random.Random(1)
    reward = [min(place, 100) + source.gauss(0, 2) - (70 if place % 200 > 150 else 0) for place in range(1000)]
    assert find_kinds(judge_values(reward=reward)) <= {"unstable", "collapse"}
    assert find_kinds(judge_values(reward=reward))


def test_validation_that_stays_level_while_training_halves_is_reported() -> None:
    source = random.Random(2)
    train = [0.2 + 2 * math.exp(-place / 10) for place in range(60)]
    level = [1.9 + source.gauss(0, 0.03) for _ in range(60)]
    assert find_kinds(judge_values(train__loss=train, val__loss=level)) == {"no_generalisation"}
    rising = [0.3 + 0.5 * (1 - math.exp(-place / 15)) for place in range(60)]
    assert not find_kinds(judge_values(train__loss=train, val__loss=level, val__acc=rising))


def test_the_onset_of_an_exponential_explosion_is_where_it_leaves_the_noise() -> None:
    source = random.Random(3)
    calm = [0.5 + source.gauss(0, 0.02) for _ in range(600)]
    blown = [0.5 * math.exp(place / 60) for place in range(700)]
    (event,) = (
        one for one in judge_values(train__loss=[*[2.0] * 3, *calm, *blown]).events if one.severity == "problem"
    )
    assert event.kind == "divergence"
    assert 590 <= event.step <= 680


def test_a_learning_rate_jump_without_harm_is_information() -> None:
    loss = [math.exp(-place / 100) for place in range(600)]
    rate = [0.1 if place < 300 else 0.5 for place in range(600)]
    found = judge_values(train__loss=loss, lr=rate)
    assert [event.severity for event in found.events if event.kind == "learning_rate_jump"] == ["info"]
    assert found.health == "healthy"
