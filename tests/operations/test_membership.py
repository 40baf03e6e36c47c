"""Filters on pin, baseline and updated, whose values SwanLab never sends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import swanlab_mcp
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import BEGINNING, Fault, State

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _project(state: State) -> None:
    project = state.add_project(state.workspaces[0], "marks")
    for number in range(6):
        state.add_experiment(
            project,
            f"run-{number}",
            state="CRASHED" if number == 5 else "FINISHED",
            is_baseline=number in (1, 2),
            is_pinned=number == 5,
        )


async def find(settings: Settings, filters: list[Any], project: str = "marks") -> Any:
    async with session(settings) as client:
        return await client.call_tool("find_experiments", {"project": project, "filters": filters})


def where(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([where("pin", "=", True)], "5"),
        ([where("pin", "!=", "true")], "01234"),
        ([where("pin", "=", False), where("baseline", "=", "true")], "12"),
        ([where("baseline", "!=", True)], "034"),
        ([[where("pin", "=", True), where("name", "=", "run-0")]], "05"),
        ([where("state", "=", "FINISHED"), where("pin", "=", False)], "01234"),
    ],
)
async def test_pins_and_baselines_filter(settings: Settings, filters: list[Any], expected: str) -> None:
    result = await find(settings, filters)
    assert not result.is_error, text_of(result)
    assert [row["name"][-1] for row in result.structured_content["data"]] == sorted(expected, reverse=True)


@pytest.mark.parametrize("op", ["<", "<=", ">", ">="])
async def test_times_of_updates_compare_exactly(settings: Settings, state: State, op: str) -> None:
    for number, one in enumerate(state.projects[-1].experiments):
        one.updated_at = BEGINNING.replace(microsecond=500_000 if one.name == "run-3" else 0) + timedelta(hours=number)
    times = {one.name: one.updated_at for one in state.projects[-1].experiments if not one.is_pinned}
    compare: Any = {"<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}[op]
    for hours in (2, 3):
        bound = BEGINNING.replace(microsecond=0) + timedelta(hours=hours)
        result = await find(settings, [where("updated", op, bound.isoformat())])
        expected = {name for name, time in times.items() if time and getattr(time, compare)(bound)}
        assert {row["name"] for row in result.structured_content["data"]} == expected
    assert "1 experiment is omitted (run-5), because SwanLab returns pinned experiments" in text_of(result)


async def test_pinned_experiments_excluded_by_another_condition_are_not_mentioned(settings: Settings) -> None:
    result = await find(settings, [where("baseline", "=", True), where("state", "=", "FINISHED")])
    assert {row["name"] for row in result.structured_content["data"]} == {"run-1", "run-2"}
    assert "omitted" not in text_of(result)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (where("pin", ">", True), "need = or != and the value true or false"),
        (where("baseline", "=", "run-1"), "need = or != and the value true or false"),
        (where("updated", "=", "2024-11-23"), "need <, <=, > or >= and a time in whole seconds"),
        (where("updated", ">", "2024-11-23T12:28:04.286Z"), "a time in whole seconds"),
        (where("updated", ">", "soon"), "'soon' is not a time"),
    ],
)
async def test_condition_without_an_exact_answer_is_refused(settings: Settings, condition: Any, reason: str) -> None:
    result = await find(settings, [condition])
    assert result.is_error
    assert reason in text_of(result)


async def test_servers_that_cannot_answer_are_reported(settings: Settings, state: State) -> None:
    state.faults = [Fault(path="/runs/shows$", body=b"[]")]
    result = await find(settings, [where("pin", "=", True)])
    assert result.is_error
    assert "SwanLab's answers about pin contradict each other" in text_of(result)
    state.faults = []
    state.variants.lacking = ("/runs/shows$",)
    result = await find(settings, [where("pin", "=", True)])
    assert result.is_error
    assert "on this SwanLab server cannot be filtered by pin" in text_of(result)
    state.variants.lacking = ()
    result = await find(settings, [where("updated", ">", "7d")])
    assert "No experiment meets updated >" in text_of(result)
    async with session(settings) as client:
        result = await client.call_tool("find_experiments", {"project": "marks", "sort": "pin"})
    assert "SwanLab does not report the experiment field 'pin'" in text_of(result)


async def test_runs_on_disk_are_left_out_and_named(settings: Settings) -> None:
    both = replace(settings, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))
    result = await find(both, [where("pin", "=", True)], "local/digits-mlp")
    assert result.is_error
    assert "Runs on disk and on this SwanLab server cannot be filtered by pin" in text_of(result)
    async with session(both) as client:
        arguments = {"project": ["marks", "local/digits-mlp"], "filters": [where("pin", "=", True)]}
        result = await client.call_tool("find_experiments", arguments)
    assert [row["name"] for row in result.structured_content["data"]] == ["run-5"]
    assert "runs on disk do not record these fields" in text_of(result)
