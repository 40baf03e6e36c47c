from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.conditions import parse_condition
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import BEGINNING, Fault, State

pytestmark = pytest.mark.anyio

LISTED = "/night/runs$"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, is_cached=False)


@pytest.fixture
def state(state: State) -> State:
    """Two running experiments and one that ended before."""
    project = state.add_project(state.workspaces[0], "night", cuid="night")
    for name, ending in (("ended", "FINISHED"), ("first", "RUNNING"), ("second", "RUNNING")):
        points = [(step, 1 / (1 + step)) for step in range(10)]
        state.add_experiment(project, name, cuid=name, state=ending, metrics={"val/loss": points})
    return state


def after_the_first_poll(state: State, change: Callable[[], object]) -> None:
    """Change the world when the list of experiments is requested for the second time."""
    looks = iter(range(100))
    state.faults = [Fault(LISTED, then=lambda: change() if next(looks) == 1 else None)]


async def ask(settings: Settings, **arguments: Any) -> tuple[list[dict[str, Any]], str]:
    async with session(settings) as client:
        result = await client.call_tool("wait_for_experiments", {"project": "night", "timeout": 20, **arguments})
    assert not result.is_error, text_of(result)
    notes = result.structured_content["notes"]
    cursors = [note.partition("cursor=")[2] for note in notes if "cursor=" in note]
    return result.structured_content["data"], cursors[0] if cursors else ""


def find(state: State, cuid: str) -> Any:
    return next(one for one in state.projects[-1].experiments if one.cuid == cuid)


async def test_crash_ends_the_wait(settings: Settings, state: State) -> None:
    after_the_first_poll(state, lambda: setattr(find(state, "first"), "state", "CRASHED"))
    rows, cursor = await ask(settings)
    assert [(row["cuid"], row["condition"], row["state"]) for row in rows] == [("first", "crashed", "CRASHED")]
    assert cursor


async def test_cursor_continues_without_repetition(settings: Settings, state: State) -> None:
    find(state, "first").state = "RUNNING"
    rows, cursor = await ask(settings, timeout=1)
    assert rows == []
    find(state, "first").state = "FINISHED"
    rows, cursor = await ask(settings, cursor=cursor)
    assert [row["cuid"] for row in rows] == ["first"]
    rows, cursor = await ask(settings, cursor=cursor, timeout=1)
    assert rows == []
    find(state, "second").state = "ABORTED"
    rows, _ = await ask(settings, cursor=cursor)
    assert [(row["cuid"], row["condition"]) for row in rows] == [("second", "crashed")]


@pytest.mark.parametrize(
    ("until", "cuids"),
    [("val/loss < 0.2", {"first", "second"}), ("step:9", {"first", "second"}), ("val/loss>0.9", {"first", "second"})],
)
async def test_reached_value_or_step_ends_the_wait(settings: Settings, until: str, cuids: set[str]) -> None:
    rows, _ = await ask(settings, until=until)
    assert {row["cuid"] for row in rows} == cuids
    assert all(row["metric"] == "val/loss" for row in rows)


async def test_nan_ends_the_wait(settings: Settings, state: State) -> None:
    find(state, "second").metrics["val/loss"].append((10, math.nan))
    rows, _ = await ask(settings)
    assert [(row["cuid"], row["condition"], row["metric"]) for row in rows] == [("second", "non_finite", "val/loss")]


async def test_new_experiment_ends_the_wait(settings: Settings, state: State) -> None:
    started = BEGINNING + timedelta(days=2)
    after_the_first_poll(
        state, lambda: state.add_experiment(state.projects[-1], "new", cuid="new", state="RUNNING", created_at=started)
    )
    rows, _ = await ask(settings, until=["any_new"])
    assert [row["cuid"] for row in rows] == ["new"]


async def test_ended_experiment_ends_the_wait_immediately(settings: Settings) -> None:
    rows, _ = await ask(settings, exp_cuids=["ended"])
    assert [(row["cuid"], row["condition"]) for row in rows] == [("ended", "finished")]


async def test_wait_without_running_experiments_ends_immediately(settings: Settings, state: State) -> None:
    find(state, "first").state = find(state, "second").state = "FINISHED"
    rows, _ = await ask(settings)
    assert rows == []
    assert len(state.get_calls(LISTED)) == 1


@pytest.mark.parametrize(
    ("arguments", "words"), [({"until": ["soon"]}, "val/acc >= 0.9"), ({"cursor": "x"}, "not returned by")]
)
async def test_unclear_request_explains_the_arguments(
    settings: Settings, arguments: dict[str, Any], words: str
) -> None:
    async with session(settings) as client:
        result = await client.call_tool("wait_for_experiments", {"project": "night", **arguments})
    assert result.is_error
    assert words in text_of(result)


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    found = parse_condition(text)
    assert found is None or found.text == text
