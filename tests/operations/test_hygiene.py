"""A diagnosis and the news list missing records in one line, and only records that are really missing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import BEGINNING, State

pytestmark = pytest.mark.anyio

TRAIN = [(step, 1 / (1 + step)) for step in range(0, 100, 2)]
LATER = [(step + 1, 1 / (1 + step)) for step in range(0, 100, 10)]
VALIDATION = [(step, 1.1 / (1 + step)) for step in range(0, 100, 10)]
CLEAN = {"train/loss": TRAIN, "val/loss": VALIDATION}
SEEDED = {"lr": 0.1, "seed": 0}


def add(world: State, name: str, /, **fields: Any) -> None:
    given = {"cuid": name, "config": SEEDED, "metrics": CLEAN, "created_at": BEGINNING + timedelta(days=1)} | fields
    world.add_experiment(world.projects[-1], name, **given)


async def diagnose(settings: Settings, cuid: str) -> str:
    async with session(settings) as client:
        result = await client.call_tool("diagnose_experiment", {"project": "hygiene", "exp_cuid": cuid})
    assert not result.is_error, text_of(result)
    lines = [line for line in text_of(result).splitlines() if "later analysis" in line]
    assert len(lines) <= 1
    return "".join(lines).removeprefix("note: The following makes later analysis harder: ")


@pytest.fixture
def state(state: State) -> State:
    state.add_project(state.workspaces[0], "hygiene", cuid="hygiene")
    add(state, "clean")
    return state


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"config": {}}, "no config."),
        ({"config": {"lr": 0.1}}, "no seed in the config."),
        (
            {"config": {"lr": 0.1}, "metadata": {"command": "python train.py --seed 3"}},
            "",
        ),
        ({"config": SEEDED | {"best_val_acc": 0.9}}, "results stored in the config (best_val_acc)."),
        ({"config": SEEDED | {"val/loss": 0.9}}, "results stored in the config (val/loss)."),
        ({"config": SEEDED | {"train/lr": 0.9}, "metrics": CLEAN | {"train/lr": TRAIN}}, ""),
        ({"metrics": {"train/loss": TRAIN}}, "no validation metric."),
        ({"metrics": {"train/loss": TRAIN}, "state": "RUNNING"}, ""),
        ({"metrics": {"train/loss": TRAIN[:5]}}, ""),
        ({"metrics": {"train/loss": TRAIN, "val/loss": LATER}}, "no common steps (train/loss, val/loss)."),
        ({"metrics": {"train/episode_reward": TRAIN}}, ""),
        ({"metrics": {"loss": TRAIN, "accuracy": TRAIN}}, "no validation metric."),
        ({"metrics": {"loss_D": TRAIN, "loss_G": TRAIN, "fid": TRAIN}}, ""),
        ({"metrics": {"total_loss": TRAIN, "bbox/AP": TRAIN}}, ""),
        ({"metrics": {"actor/entropy": TRAIN, "critic/score/mean": TRAIN}}, ""),
    ],
)
async def test_diagnosis_names_only_what_is_missing(
    settings: Settings, state: State, fields: dict[str, Any], expected: str
) -> None:
    add(state, "one", **fields)
    assert await diagnose(settings, "one") == expected


async def test_same_name_with_other_settings_is_named(settings: Settings, state: State) -> None:
    add(state, "clean", cuid="repeat", config=SEEDED | {"seed": 1})
    assert await diagnose(settings, "repeat") == ""
    add(state, "clean", cuid="hidden", config=SEEDED | {"lr": 0.2})
    assert await diagnose(settings, "hidden") == "same name for different settings (repeat, clean)."


async def test_news_count_what_new_experiments_lack(settings: Settings, state: State) -> None:
    since = (BEGINNING + timedelta(hours=1)).isoformat()
    async with session(settings) as client:
        arguments = {"project": "hygiene", "since": since}
        assert "later analysis" not in text_of(await client.call_tool("whats_new", arguments))
    add(state, "old", config={}, created_at=BEGINNING)
    add(state, "seedless", config={"lr": 0.1})
    add(state, "alone", config={"lr": 0.1}, metrics={"train/loss": TRAIN})
    async with session(settings) as client:
        text = text_of(await client.call_tool("whats_new", arguments))
    expected = "no seed in the config in 2 of 3; no validation metric in 1 of 3."
    assert f"In new experiments, the following makes later analysis harder: {expected}" in text
