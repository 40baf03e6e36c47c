from __future__ import annotations

import math
import random
from typing import Any

import pytest

from swanlab_mcp.analysis.config_distances import build_space
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import State

pytestmark = pytest.mark.anyio

RENAMED = {
    "lr": ["learning_rate", "optim.lr", "base_lr", "log10_lr"],
    "batch_size": ["bs", "train.batch_size"],
    "weight_decay": ["wd", "regularisation.weight_decay"],
    "optimizer": ["opt", "optim.name"],
    "hidden_size": ["hidden_dim", "model.hidden_size", "d_model"],
    "schedule": ["annealing", "lr_scheduler_type"],
}


def draw_config(source: random.Random) -> dict[str, Any]:
    return {
        "lr": 10 ** source.uniform(-5, -1),
        "batch_size": source.choice([16, 32, 64, 128]),
        "weight_decay": source.choice([0, 0.001, 0.01, 0.1]),
        "optimizer": source.choice(["adam", "sgd", "lion"]),
        "hidden_size": source.choice([64, 128, 256, 512]),
        "schedule": source.choice(["cosine", "linear", "constant"]),
        "seed": source.randrange(10_000),
    }


def rename(config: dict[str, Any], source: random.Random) -> dict[str, Any]:
    """Return a near-duplicate: another seed, a rate 2 % off, keys renamed, nested, in logarithms and reordered."""
    given = {**config, "seed": source.randrange(10_000), "lr": config["lr"] * source.uniform(0.98, 1.02)}
    names = {key: source.choice([key, *RENAMED.get(key, [])]) for key in given}
    made: dict[str, Any] = {}
    for key in source.sample(list(given), len(given)):
        *above, last = names[key].split(".")
        place = made
        for part in above:
            place = place.setdefault(part, {})
        place[last] = math.log10(given[key]) if last == "log10_lr" else given[key]
    return made


def test_planted_near_duplicates_are_found_among_hundreds() -> None:
    source = random.Random(5)
    configs = [draw_config(source) for _ in range(240)]
    origins = [source.randrange(240) for _ in range(60)]
    space = build_space([*configs, *(rename(configs[origin], source) for origin in origins)])
    found = [[place for place in range(240) if space.is_near_duplicate(240 + number, place)] for number in range(60)]
    hits = sum(origin in near for origin, near in zip(origins, found, strict=True))
    assert hits >= 57
    assert hits >= 0.9 * sum(len(near) for near in found)


@pytest.fixture
def state(state: State) -> State:
    project = state.add_project(state.workspaces[0], "sweep", cuid="sweep")
    for number, rate in enumerate([0.001, 0.003, 0.01, 0.03, 0.1, 0.3]):
        config = {"optim": {"lr": rate, "name": "adam"}, "batch_size": 32, "seed": number}
        points = [(step, 1 / (1 + step) + rate) for step in range(20)]
        metrics = {"val/loss": points, "lr": [(step, rate) for step in range(20)]}
        state.add_experiment(project, f"lr-{rate}", cuid=f"run{number}", config=config, metrics=metrics)
    return state


async def ask(settings: Settings, **arguments: Any) -> tuple[list[dict[str, Any]], list[str]]:
    async with session(settings) as client:
        result = await client.call_tool("find_similar_experiments", {"project": "sweep", **arguments})
    assert not result.is_error, text_of(result)
    return result.structured_content["data"], result.structured_content["notes"]


@pytest.mark.parametrize(
    "config", ["learning_rate=0.0101", '{"optimizer": {"lr": 0.0101}}', {"lr": 0.0101}, {"log10_lr": -2}]
)
async def test_planned_config_finds_tried_settings(settings: Settings, config: Any) -> None:
    rows, notes = await ask(settings, config=config, size=3)
    assert [row["name"] for row in rows if row["near_duplicate"]] == ["lr-0.01"]
    assert len(rows) == 3
    assert rows[0]["value"] == pytest.approx(0.06, abs=0.001)
    assert any("1 of the 6 experiments has the same settings" in note for note in notes)
    assert any("the smallest val/loss" in note for note in notes)


async def test_untried_and_unknown_settings_are_named(settings: Settings) -> None:
    rows, notes = await ask(settings, config="lr=3, warmup_ratio=0.1")
    assert not any(row["near_duplicate"] for row in rows)
    assert any("warmup_ratio" in note and "nothing is known" in note for note in notes)
    assert any("outside the tried range, 0.001 to 0.3" in note for note in notes)


async def test_experiment_is_compared_with_the_others(settings: Settings) -> None:
    rows, _ = await ask(settings, exp_cuid="lr-0.03", metric="val/loss", size=10)
    assert len(rows) == 5
    assert {row["name"] for row in rows[:2]} == {"lr-0.01", "lr-0.1"}
    assert all("lr" in row["differs"] for row in rows)


async def test_setting_correlated_with_the_result_is_named(settings: Settings) -> None:
    _, notes = await ask(settings, config="lr=0.01")
    assert any("goes along with the result: rho +1.00 (n=6)" in note for note in notes)


@pytest.mark.parametrize("arguments", [{}, {"config": "lr=1", "exp_cuid": "lr-0.1"}, {"config": "fast"}])
async def test_unclear_request_explains_the_arguments(settings: Settings, arguments: dict[str, Any]) -> None:
    async with session(settings) as client:
        result = await client.call_tool("find_similar_experiments", {"project": "sweep", **arguments})
    assert result.is_error
    assert "lr=0.01" in text_of(result)


async def test_secrets_of_configs_are_masked(settings: Settings, state: State) -> None:
    for number, one in enumerate(state.projects[-1].experiments):
        one.config["api_key"] = f"hidden-{number % 2}"
    async with session(settings) as client:
        result = await client.call_tool("find_similar_experiments", {"project": "sweep", "exp_cuid": "lr-0.03"})
        groups = await client.call_tool("aggregate_experiments", {"project": "sweep", "group_by": ["config.api_key"]})
    assert "api_key: *** -> ***" in text_of(result)
    assert "hidden" not in result.model_dump_json()
    assert "hidden" not in groups.model_dump_json()
