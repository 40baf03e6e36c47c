"""Replies of any size stay within the budget, and paging returns every item exactly once."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import Experiment, LogLine, State

pytestmark = pytest.mark.anyio
KEYS = [f"group{number % 70}/metric {number}" for number in range(2100)]
CURVES = [f"curve{number}" for number in range(8)]


@pytest.fixture(scope="module")
def world() -> State:
    """Return a project with many experiments. One of them has 2,100 keys, 3,000 steps of 8 metrics and a long log."""
    state = State()
    state.add_user("kites-test3")
    workspace = state.add_workspace("kites-test3", "mine", "PERSON", kites_test3="OWNER")
    for number in range(130):
        state.add_project(workspace, f"project-{number}", description="说明 " * 20)
    large = state.add_project(workspace, "large")
    for number in range(260):
        config = {"lr": number / 1000, "note": "配置 " * 10, "nested": {"seed": number}}
        state.add_experiment(large, f"run {number}", cuid=f"run{number}", config=config, metrics={"loss": [(0, 1.0)]})
    metrics: dict[str, Any] = {key: [(0, 1.0), (1, float(index))] for index, key in enumerate(KEYS)}
    metrics |= {
        key: [(step, math.sin(step * (index + 1)) * 1e-5) for step in range(3000)] for index, key in enumerate(CURVES)
    }
    packages = "\n".join(f"package-{number}=={number}.0" for number in range(900))
    wide = state.add_experiment(large, "wide", cuid="wide1", metrics=metrics, requirements=packages, metadata={})
    wide.logs = [LogLine(number, f"{number}: " + "日志 line " * (number % 40)) for number in range(2000)]
    return state


@pytest.fixture
def state(world: State) -> State:
    world.calls.clear()
    return world


async def read_all(
    client: Any, tool: str, arguments: dict[str, Any], take: Callable[[Any], list[Any]], budget: int
) -> list[Any]:
    """Follow the paging advice of each reply to the end."""
    found: list[Any] = []
    arguments = dict(arguments)
    for _ in range(400):
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, text_of(result)
        structured = result.structured_content
        assert count_tokens(text_of(result)) <= budget
        assert count_tokens(json.dumps(structured, ensure_ascii=False, separators=(",", ":"))) <= budget
        found += take(structured["data"])
        following = structured["page"].get("next") or next(
            (
                note.partition("continue with ")[2].rstrip(".")
                for note in structured.get("notes", ())
                if "continue w" in note
            ),
            "",
        )
        if not following:
            return found
        arguments |= {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", following)}
    raise AssertionError("it never ends")


@pytest.mark.parametrize("budget", [8000, 2500])
@pytest.mark.parametrize(
    ("tool", "arguments", "take", "expected"),
    [
        (
            "list_projects",
            {"page": 0, "sort": "create"},
            lambda data: [one["name"] for one in data],
            ["large", *(f"project-{number}" for number in reversed(range(130)))],
        ),
        (
            "list_project_exps",
            {"project": "large", "page": 0},
            lambda data: [one["cuid"] for one in data],
            ["wide1", *(f"run{number}" for number in reversed(range(260)))],
        ),
        (
            "find_experiments",
            {"project": "large", "filters": [{"field": "config.lr", "op": ">", "value": 0.05}], "sort": "config.lr"},
            lambda data: [one["cuid"] for one in data],
            [f"run{number}" for number in range(51, 260)],
        ),
        (
            "get_exp_summary",
            {"project": "large", "exp_cuid": "wide1", "keys": ["group7/*", "group1?/*"]},
            lambda data: [(key, one["value"], one["max"]["value"]) for key, one in data.items()],
            [(key, index, max(1, index)) for index, key in enumerate(KEYS) if index % 70 == 7 or 10 <= index % 70 < 20],
        ),
        (
            "list_metrics",
            {"project": "large", "exp_cuids": ["wide1"], "search": "group", "page": 1, "size": 100},
            lambda data: [one["key"] for one in data],
            sorted(KEYS),  # in the fake server's order
        ),
        (
            "get_environment",
            {"project": "large", "exp_cuids": ["wide1"], "search": "package."},
            lambda data: [(one["name"], one["value"]) for one in data],
            [(f"package.package-{number}", f"{number}.0") for number in range(900)],
        ),
    ],
)
async def test_list_pages_cover_the_full_list(
    settings: Settings, state: State, tool: str, arguments: Any, take: Any, expected: Any, budget: int
) -> None:
    assert state.users
    async with session(replace(settings, max_output_tokens=budget)) as client:
        assert await read_all(client, tool, arguments, take, budget) == expected


async def test_exact_series_pages_cover_every_point(settings: Settings, world: State) -> None:
    arguments = {"project": "large", "exp_cuids": ["wide1"], "keys": CURVES, "mode": "exact"}

    def take(data: Any) -> list[Any]:
        return [
            (row["key"], step, value) for row in data for step, value in zip(row["steps"], row["values"], strict=True)
        ]

    async with session(replace(settings, max_output_tokens=20_000)) as client:
        found = await read_all(client, "get_metrics", arguments, take, 20_000)
    wide: Experiment = world.projects[-1].experiments[0]
    assert sorted(found) == [(key, step, value) for key in CURVES for step, value in wide.metrics[key]]


async def test_2100_keys_are_grouped_with_advice_to_narrow(settings: Settings) -> None:
    async with session(settings) as client:
        listed = await client.call_tool("list_metrics", {"project": "large", "exp_cuids": ["wide1"]})
    assert len(listed.structured_content["data"]) == 70 + 8
    assert "2108 keys in 78 groups; search for a group like" in text_of(listed)


async def test_log_pages_cover_every_long_line(settings: Settings) -> None:
    seen: list[int] = []
    start = 0
    async with session(settings) as client:
        while start < 2000:
            result = await client.call_tool(
                "get_logs", {"project": "large", "exp_cuid": "wide1", "start": start, "count": 500}
            )
            assert count_tokens(text_of(result)) <= 8000
            assert count_tokens(json.dumps(result.structured_content, ensure_ascii=False)) <= 8500
            rows = result.structured_content["data"]
            seen += [row["number"] for row in rows]
            start = rows[-1]["number"] + 1
    assert seen == list(range(2000))


async def test_request_count_is_small_at_any_size(settings: Settings, state: State) -> None:
    async def count(tool: str, **arguments: Any) -> int:
        state.calls.clear()
        result = await client.call_tool(tool, {"project": "large", **arguments})
        assert not result.is_error, text_of(result)
        return len([call for call in state.calls if not re.search("/login/|^/storage/", call.raw_path)])

    by_metric = [{"field": "metric.loss", "op": "<=", "value": 5}]
    async with session(replace(settings, is_cached=False)) as client:
        assert await count("list_project_exps", page=0) == 3
        assert await count("list_project_exps") == 1
        # filtered experiments lack configs, and reading the full list is cheaper here; summaries come in batches of 300
        assert await count("find_experiments", filters=by_metric) == 1 + 3 + 1 + 1
        assert await count("find_experiments", sort="created") == 3
        assert await count("get_exp_summary", exp_cuid="wide1") == 1
        assert await count("get_experiment", exp_cuid="wide1") == 1
        assert await count("get_environment", exp_cuids=[f"run{number}" for number in range(20)]) == 20
        # 2,108 keys in pages of 2,000, and the media keys
        assert await count("list_metrics", exp_cuids=["wide1"]) == 3
        assert await count("get_metrics", exp_cuids=["wide1"], keys=CURVES) == 2
        assert await count("get_logs", exp_cuid="wide1") == 2
