"""Filter by alternatives, machines, clones and visibility, and explain empty results."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from swanlab_mcp import OpenApi
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import BEGINNING, State

pytestmark = pytest.mark.anyio

A100 = {"hardware": {"accelerators": [{"vendor": "nvidia", "devices": [{"name": "A100"}, {"name": "A100"}]}]}}
OLD = {"hostname": "old", "cpu": {"cores": 2}, "gpu": {"nvidia": {"cores": 4, "type": ["V100"] * 4}}}


@pytest.fixture(autouse=True)
def _project(state: State) -> None:
    project = state.add_project(state.workspaces[0], "logic")
    runs = (
        ("a", 0.1, "CRASHED", {**A100, "runtime": {"hostname": "new"}, "git": {"branch": "main", "commit": "c0ffee"}}),
        ("b", 0.2, "FINISHED", {**OLD, "git_info": ["dev", "beef"]}),
        ("c", 0.3, "FINISHED", {"hostname": "old", "memory": "24"}),
        ("d", 0.4, "FINISHED", None),
    )
    for name, rate, ending, metadata in runs:
        state.add_experiment(
            project,
            name,
            cuid=f"run-{name}",
            state=ending,
            config={"lr": rate, "optim": "adam"},
            metadata=metadata,
            labels=["paper"] if name == "d" else [],
            finished_at=BEGINNING + timedelta(hours=5),
            created_at=BEGINNING,
        )
    state.add_experiment(
        project, "clone", cuid="run-e", show=False, clone_of=(project, project.experiments[-1]), created_at=BEGINNING
    )


def condition(field: str, op: str, value: Any = None) -> dict[str, Any]:
    return {"field": field, "op": op, **({} if value is None else {"value": value})}


async def find(settings: Settings, *filters: Any) -> tuple[set[str], str]:
    async with session(settings) as client:
        result = await client.call_tool("find_experiments", {"project": "logic", "filters": list(filters)})
    assert not result.is_error, text_of(result)
    rows: list[dict[str, Any]] = result.structured_content["data"] or []
    return {row["name"] for row in rows}, text_of(result)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (([condition("config.lr", "=", 0.1), condition("config.lr", "=", 0.3)],), {"a", "c"}),
        (
            (
                [condition("state", "=", "CRASHED"), condition("config.lr", ">", 0.3)],
                condition("name", "!=", "d"),
            ),
            {"a"},
        ),
        (
            (
                [condition("name", "=", "a"), condition("name", "=", "b")],
                [condition("name", "=", "b"), condition("name", "=", "c")],
            ),
            {"b"},
        ),
        ((condition("host", "=", "old"),), {"b", "c"}),
        ((condition("gpu", "contains", "a100"),), {"a"}),
        ((condition("gpu", "is-null"),), {"c", "d", "clone"}),
        ((condition("branch", "=", "dev"),), {"b"}),
        ((condition("commit", "contains", "c0ff"),), {"a"}),
        (([condition("commit", "=", "beef"), condition("name", "=", "d")],), {"b", "d"}),
        ((condition("show", "=", False),), {"clone"}),
        ((condition("clone_of", "not-null"),), {"clone"}),
    ],
)
async def test_conditions_choose_experiments(settings: Settings, filters: tuple[Any, ...], expected: set[str]) -> None:
    found, _ = await find(settings, *filters)
    assert found == expected


@pytest.mark.parametrize(
    ("filters", "note"),
    [
        (
            (condition("config.lr", ">", 0.9),),
            "No experiment meets config.lr > 0.9; the closest value is 0.4, in d (run-d).",
        ),
        (
            (condition("config.optim", "=", "adams"), condition("config.lr", ">", 0.3)),
            "No experiment meets config.optim = adams; the closest value is adam, in d (run-d).",
        ),
        ((condition("name", "=", "zzzzzz"),), "No experiment meets name = zzzzzz."),
        (
            (condition("group", "=", "sweep"),),
            "No experiment meets group = sweep, because none of the 5 experiments has a value for it.",
        ),
        (
            (condition("labels", "=", "papr"),),
            "No experiment meets labels = papr; the closest value is paper, in d (run-d).",
        ),
        ((condition("user", "=", "kites-tset3"),), "the closest value is kites-test3"),
        (
            (condition("config.lr", "=", 0.1), condition("state", "=", "FINISHED")),
            "No experiment meets all conditions; without config.lr = 0.1, 4 experiments match.",
        ),
    ],
)
async def test_empty_result_names_the_condition_and_the_closest_miss(
    settings: Settings, filters: tuple[Any, ...], note: str
) -> None:
    found, text = await find(settings, *filters)
    assert not found
    assert note in text


@pytest.mark.parametrize("project", ["logic", "*"])
@pytest.mark.parametrize("original", ["run-a", "a", "kites-test3/logic/run-a", "{host}/@kites-test3/logic/runs/run-a"])
async def test_clones_are_found_by_their_original(settings: Settings, project: str, original: str) -> None:
    value = original.format(host=settings.web_host)
    arguments = {"project": project, "filters": [condition("clone_of", "=", value)]}
    async with session(settings) as client:
        found = await client.call_tool("find_experiments", arguments)
        other = await client.call_tool("find_experiments", {**arguments, "filters": [condition("clone_of", "=", "b")]})
        none = await client.call_tool("find_experiments", {**arguments, "filters": [condition("clone_of", "=", "zz")]})
    assert [row["name"] for row in found.structured_content["data"]] == ["clone"]
    assert other.structured_content["data"] == []
    assert none.is_error
    assert "has the id or name 'zz'" in text_of(none)


async def test_condition_of_a_wrong_type_is_refused(settings: Settings) -> None:
    async with session(settings) as client:
        for wrong in (condition("show", "=", "hidden"), condition("config.lr", "=", "adam")):
            result = await client.call_tool("find_experiments", {"project": "logic", "filters": [wrong]})
            assert result.is_error
            assert "compares different types of values" in text_of(result)


@pytest.mark.parametrize("filters", [[[]], [[], condition("name", "=", "a")]])
async def test_empty_alternatives_are_refused_with_an_example(settings: Settings, filters: list[Any]) -> None:
    async with session(settings) as client:
        result = await client.call_tool("find_experiments", {"project": "logic", "filters": filters})
    assert result.is_error
    assert "'filters' must not contain an empty list; [[a, b], c] means (a or b) and c" in text_of(result)


async def test_gpu_hours_count_unknown_machines_separately(settings: Settings) -> None:
    async with session(settings) as client:
        arguments = {"project": "logic", "group_by": ["host"], "stats": ["gpu_hours"]}
        result = await client.call_tool("aggregate_experiments", arguments)
    rows = {row["group"].get("host"): row for row in result.structured_content["data"]}
    assert (rows["new"]["hours"], rows["new"]["gpu_hours"]) == (5.0, 10.0)
    assert (rows["old"]["hours"], rows["old"]["gpu_hours"]) == (10.0, 20.0)
    assert (rows[None]["gpu_hours"], rows[None]["left_out"]) == (0.0, "2 no known GPU hours")


def test_alternatives_work_in_python(settings: Settings) -> None:
    api = OpenApi(api_key="test-key", host=settings.api_host)
    answer = api.find_experiments("logic", [[condition("name", "=", "a"), condition("name", "=", "b")]])
    assert answer.data is not None, answer.errmsg
    assert {one.name for one in answer.data} == {"a", "b"}
