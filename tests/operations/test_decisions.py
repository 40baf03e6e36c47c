"""With a baseline, compare_experiments decides whether to keep or discard a setting or to run more seeds.

The decisions match the ranking of rank_experiments.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.tokens import count
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import State

pytestmark = pytest.mark.anyio


@pytest.fixture
def state(state: State) -> State:
    """Return a sweep in which `up` is better than `base`, `near` is a little better, and `down` is worse.

    `single` has only one seed.
    """
    project = state.add_project(state.workspaces[0], "loop", cuid="loop")
    source = random.Random(4)
    levels = {"base": (0.1, 0.80, 5), "up": (0.2, 0.90, 4), "down": (0.3, 0.70, 4), "near": (0.4, 0.808, 2)}
    for name, (rate, level, seeds) in levels.items():
        for seed in range(seeds):
            add(state, project, f"{name}-{seed}", level + source.gauss(0, 0.01), {"lr": rate, "seed": seed})
    add(state, project, "single", 0.96, {"lr": 0.5, "seed": 0})
    add(state, project, "broken", float("nan"), {"lr": 9.0, "seed": 0})
    add(state, project, "running", 0.99, {"lr": 0.6, "seed": 0}, "RUNNING")
    return state


def add(state: State, project: Any, name: str, value: float, config: dict[str, Any], ending: str = "FINISHED") -> None:
    points = [(step, value * (0.5 + step / 20)) for step in range(11)]
    metrics = {"val/acc": points, "train/loss": [(step, 1 / (1 + step)) for step in range(11)]}
    state.add_experiment(project, name, cuid=name, state=ending, config=config, metrics=metrics)


async def compare(settings: Settings, **arguments: Any) -> Any:
    async with session(settings) as client:
        return await client.call_tool("compare_experiments", {"project": "loop", "metrics": ["val/acc"], **arguments})


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("name", "decision", "why"),
    [
        ("up-0", "keep", ""),
        ("down-1", "discard", ""),
        ("near-0", "run more seeds", "run about "),
        ("single", "keep", "one seed, judged by the noise of the noisiest setting"),
        ("broken", "discard", "NaN"),
        ("running", "cannot tell", "running"),
    ],
)
async def test_setting_is_kept_or_discarded_as_in_the_ranking(
    settings: Settings, name: str, decision: str, why: str
) -> None:
    result = await compare(settings, exp_cuids=[name], baseline="base-2")
    assert not result.is_error, text_of(result)
    [found] = result.structured_content["data"]["decisions"]
    assert found["decision"] == decision
    assert why in (found.get("why") or "")
    assert text_of(result).index(decision) < text_of(result).index("cuid")
    assert "Baseline: lr=0.1, val/acc 0." in text_of(result)


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["up-0", "down-1", "near-0", "single", "broken", "running"])
async def test_comparison_with_the_baseline_takes_at_most_250_tokens(
    settings: Settings, language: str, name: str
) -> None:
    result = await compare(replace(settings, language=language), exp_cuids=[name], baseline="base-2")
    assert text_of(result).startswith("decisions:")
    assert count(text_of(result)) <= 250


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("others", [2, 4, 6])
async def test_decisions_take_at_most_250_tokens(settings: Settings, language: str, others: int) -> None:
    names = [*("single", "near-0", "up-0", "down-0", "broken", "running")[:others], "base-0"]
    own = replace(settings, language=language)
    with_them = await compare(own, exp_cuids=names, baseline="base-0")
    without = text_of(await compare(own, exp_cuids=names))
    assert count(text_of(with_them)) - count(without) <= 250
    assert len(with_them.structured_content["data"]["decisions"]) == min(others, 4)
    more = "rank_experiments with this baseline shows the decisions for 2 more settings."
    assert (more in text_of(with_them)) == (others == 6 and language == "en")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.encoder.attention_dropout_probability", "as-in-the-paper-with-the-longest-name-{}"),
        ("学习率调度方式", "余弦退火加线性预热以及周期性重启并且最后阶段保持不变的第{}种方案"),
    ],
)
async def test_decisions_about_long_names_are_few_and_distinct(
    settings: Settings, state: State, language: str, key: str, value: str
) -> None:
    project = state.projects[-1]
    for number in range(6):
        for seed in range(2):
            config = {"lr": 0.1, key: value.format(number), "seed": seed}
            add(state, project, f"long-{number}-{seed}", 0.81 + (3 * number + seed) % 5 / 200, config)
    names = [*(f"long-{number}-0" for number in range(6)), "base-0"]
    own = replace(settings, language=language)
    with_them = await compare(own, exp_cuids=names, baseline="base-0")
    without = text_of(await compare(own, exp_cuids=names))
    assert count(text_of(with_them)) - count(without) <= 250
    decided = [one["name"] for one in with_them.structured_content["data"]["decisions"]]
    assert 1 <= len(decided) == len({*decided})
    assert language == "zh" or f"{6 - len(decided)} more settings." in text_of(with_them)


@pytest.mark.usefixtures("state")
async def test_repeats_of_one_setting_get_one_decision(settings: Settings) -> None:
    result = await compare(settings, exp_cuids=["up-0", "up-1", "base-0"], baseline="lr=0.1")
    assert len(result.structured_content["data"]["decisions"]) == 1


@pytest.mark.usefixtures("state")
async def test_unknown_baseline_is_refused(settings: Settings) -> None:
    result = await compare(settings, exp_cuids=["up-0"], baseline="bas-9")
    assert result.is_error
    assert "is called 'bas-9'. Similar names: base-" in text_of(result)
