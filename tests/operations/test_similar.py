from __future__ import annotations

import math
import random
import time
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
    """Return a near-duplicate with another seed, a rate up to 2 % off, and renamed, nested or reordered keys.

    The rate may be replaced by its logarithm.
    """
    given = {**config, "seed": source.randrange(10_000), "lr": config["lr"] * source.uniform(0.98, 1.02)}
    names = {key: source.choice([key, *RENAMED.get(key, [])]) for key in given}
    made: dict[str, Any] = {}
    for key in source.sample(list(given), len(given)):
        *above, last = names[key].split(".")
        nested = made
        for part in above:
            nested = nested.setdefault(part, {})
        nested[last] = math.log10(given[key]) if last == "log10_lr" else given[key]
    return made


def test_planted_near_duplicates_are_found_among_hundreds() -> None:
    source = random.Random(5)
    configs = [draw_config(source) for _ in range(240)]
    origins = [source.randrange(240) for _ in range(60)]
    space = build_space([*configs, *(rename(configs[origin], source) for origin in origins)])
    found = [[index for index in range(240) if space.is_near_duplicate(240 + number, index)] for number in range(60)]
    hits = sum(origin in near for origin, near in zip(origins, found, strict=True))
    assert hits >= 57
    assert hits >= 0.9 * sum(len(near) for near in found)


def test_work_grows_with_the_names_that_single_configs_have() -> None:
    seconds: list[float] = []
    for count in (30, 120):
        configs = [{"lr": 0.1 * run, **{f"part{run}_{index}x": index for index in range(count)}} for run in range(30)]
        began = time.process_time()
        build_space(configs)
        seconds.append(time.process_time() - began)
    # there are four times as many names, so quadratic time would be a factor of 16
    assert seconds[1] < 9 * seconds[0]


@pytest.fixture
def state(state: State) -> State:
    project = state.add_project(state.workspaces[0], "sweep", cuid="sweep")
    for number, rate in enumerate([0.001, 0.003, 0.01, 0.03, 0.1, 0.3]):
        config = {"optim": {"lr": rate, "name": "adam"}, "batch_size": 32, "seed": number}
        points = [(step, 1 / (1 + step) + rate) for step in range(20)]
        metrics = {"val/loss": points, "lr": [(step, rate) for step in range(20)]}
        state.add_experiment(project, f"lr-{rate}", cuid=f"run{number}", config=config, metrics=metrics)
    return state


def add_run(state: State, project: Any, name: str, config: dict[str, Any], level: float) -> None:
    metrics = {"val/loss": [(step, 1 / (1 + step) + level) for step in range(20)]}
    state.add_experiment(project, name, cuid=f"{project.name}-{name}", config=config, metrics=metrics)


def add_sweep(state: State, name: str, count: int, level: float = 0.0) -> None:
    """Add a project whose results depend on lr and batch_size, which vary together. One more run became NaN."""
    source = random.Random(1)
    project = state.add_project(state.workspaces[0], name, cuid=name)
    for number in range(count):
        rate = 0.01 * 2 ** (number % 6)
        config = {"lr": rate, "batch_size": round(1600 * rate), "dropout": source.choice([0.1, 0.2, 0.9])}
        more = {"momentum": 0.9, "augment": number, "seed": number}
        add_run(state, project, f"run-{number}", {**config, **more}, level + rate + source.gauss(0, 0.01))
    add_run(state, project, "broken", {"lr": 0.02, "batch_size": 32, "dropout": 0.1, "momentum": 0.9}, math.nan)


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
    assert any("warmup_ratio" in note and "effect is unknown" in note for note in notes)
    assert any("outside the range tried so far (0.001 to 0.3)" in note for note in notes)


@pytest.mark.parametrize(
    ("more", "is_tried"),
    [("use_ema=true", False), ("dropout=0.1", False), ("use_ema=false", True), ("dropout=0", True)],
)
async def test_setting_that_no_experiment_records_is_new_unless_it_is_off(
    settings: Settings, more: str, is_tried: bool
) -> None:
    rows, _ = await ask(settings, config=f"lr=0.01, optimizer=adam, batch_size=32, {more}", size=2)
    assert [row["name"] for row in rows if row["near_duplicate"]] == (["lr-0.01"] if is_tried else [])


async def test_setting_of_one_experiment_is_not_the_default_of_others(settings: Settings, state: State) -> None:
    config = {"optim": {"lr": 0.01, "name": "adam"}, "batch_size": 32, "seed": 9}
    add_run(state, state.projects[-1], "ema", {**config, "use_ema": True}, 0.1)
    rows, _ = await ask(settings, exp_cuid="ema", size=2)
    assert not any(row["near_duplicate"] for row in rows)
    rows, _ = await ask(settings, exp_cuid="lr-0.01", size=2)
    assert not any(row["near_duplicate"] for row in rows)


async def test_experiment_is_compared_with_the_others(settings: Settings) -> None:
    rows, _ = await ask(settings, exp_cuid="lr-0.03", metric="val/loss", size=10)
    assert len(rows) == 5
    assert {row["name"] for row in rows[:2]} == {"lr-0.01", "lr-0.1"}
    assert all("lr" in row["differs"] for row in rows)


async def test_without_a_config_the_settings_that_matter_are_named(settings: Settings, state: State) -> None:
    add_sweep(state, "wide", 24)
    rows, notes = await ask(settings, project="wide", metric="val/loss")
    found = {row["key"]: row for row in rows}
    assert found["lr"]["verdict"] == found["batch_size"]["verdict"] == "cannot tell apart"
    assert (found["lr"]["varies_with"], found["batch_size"]["varies_with"]) == (["batch_size"], ["lr"])
    assert found["lr"]["n"] == 24
    assert found["lr"]["how"].startswith("rho +0.")
    assert found["dropout"]["verdict"] == "not shown"
    assert found["dropout"]["untried"] == "0.2 to 0.9"
    text = " ".join(notes)
    assert "24 settings with a result; repeats are averaged. Omitted: 1 NaN or infinite." in text
    assert "Never combined: " in text
    assert "These settings were never varied, so their effects are unknown: momentum=0.9." in text


async def test_repeats_count_as_one_setting_and_few_cannot_tell(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "seeds", cuid="seeds")
    for seed in range(40):
        config = {"lr": [0.1, 0.2][seed % 2], "seed": seed}
        add_run(state, project, f"repeat-{seed}", config, [0.5, 0.9][seed % 2] + seed / 1e4)
    rows, notes = await ask(settings, project="seeds")
    assert [(row["key"], row["verdict"], row["n"]) for row in rows] == [("lr", "cannot tell", 2)]
    assert any("2 settings with a result" in note for note in notes)


async def test_settings_are_associated_within_each_project(settings: Settings, state: State) -> None:
    add_sweep(state, "wide", 24)
    add_sweep(state, "other", 24, level=100.0)
    rows, notes = await ask(settings, project="wide,other", metric="val/loss")
    assert {row["verdict"] for row in rows if row["key"] in ("lr", "batch_size")} == {"cannot tell apart"}
    assert any("within each project" in note for note in notes)
    near, notes = await ask(settings, project="wide,other", config="learning_rate=0.32, bs=512, momentum=0.9", size=8)
    assert all(row["near_duplicate"] for row in near)
    assert {row["cuid"].split("/")[1] for row in near} == {"wide", "other"}
    assert any("{" not in note and "<project>" in note for note in notes)
    own = near[0]["cuid"]
    rows, _ = await ask(settings, project="wide,other", exp_cuid=own, size=10)
    assert own not in [row["cuid"] for row in rows]


async def test_untried_values_and_unvaried_settings_are_named(settings: Settings) -> None:
    _, notes = await ask(settings, config="lr=0.01, opt=lion")
    assert any("was never varied: all experiments have adam, so the effect of lion" in note for note in notes)


async def test_unknown_metric_is_refused_with_similar_names(settings: Settings) -> None:
    async with session(settings) as client:
        result = await client.call_tool("find_similar_experiments", {"project": "sweep", "metric": "val/los"})
    assert result.is_error
    assert "val/loss" in text_of(result)


@pytest.mark.parametrize("arguments", [{"config": "lr=1", "exp_cuid": "lr-0.1"}, {"config": "fast"}])
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
        tried = await client.call_tool("find_similar_experiments", {"project": "sweep"})
        groups = await client.call_tool("aggregate_experiments", {"project": "sweep", "group_by": ["config.api_key"]})
    assert "api_key: *** -> ***" in text_of(result)
    assert "hidden" not in result.model_dump_json()
    assert "hidden" not in tried.model_dump_json()
    assert "hidden" not in groups.model_dump_json()
