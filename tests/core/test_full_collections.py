"""Full garbage collections wait until the calls that hold large responses end."""

from __future__ import annotations

import asyncio
import gc
import json
from dataclasses import replace

import pytest

from swanlab_mcp.core.full_collections import limit_postponement, postpone
from swanlab_mcp.settings import Settings
from tests.conftest import session
from tests.fake_swanlab import Fault, State

pytestmark = pytest.mark.anyio


async def test_collections_resume_after_the_last_of_several_calls() -> None:
    usual = gc.get_threshold()
    first, second = asyncio.Event(), asyncio.Event()

    async def hold(end: asyncio.Event) -> None:
        with limit_postponement():
            postpone()
            await end.wait()

    calls = [asyncio.create_task(hold(end)) for end in (first, second)]
    await asyncio.sleep(0)
    assert gc.get_threshold()[2] > 10**6
    first.set()
    await calls[0]
    assert gc.get_threshold()[2] > 10**6
    second.set()
    await calls[1]
    assert gc.get_threshold() == usual


def test_postponing_outside_a_call_changes_nothing() -> None:
    usual = gc.get_threshold()
    postpone()
    assert gc.get_threshold() == usual


async def test_call_with_a_large_response_restores_the_collector(settings: Settings, state: State) -> None:
    usual = gc.get_threshold()
    items = [{"cuid": str(number), "name": "x" * 300} for number in range(1000)]
    state.faults = [Fault("/runs", body=json.dumps({"list": items, "total": 1000}).encode())]
    async with session(replace(settings, is_cached=False)) as client:
        assert (await client.call_tool("list_project_exps", {"project": "project1"})).is_error
    assert gc.get_threshold() == usual


@pytest.mark.parametrize(("count", "is_postponed"), [(100, False), (1200, True)])
async def test_reading_many_pages_postpones_collections(
    settings: Settings, state: State, count: int, *, is_postponed: bool
) -> None:
    usual = gc.get_threshold()
    project = state.add_project(state.workspaces[0], "many")
    for number in range(count):
        state.add_experiment(project, f"run-{number}", cuid=f"many{number}", metrics={"loss": [(0, float(number))]})
    thresholds: list[int] = []
    state.faults = [Fault("/metrics/summaries", then=lambda: thresholds.append(gc.get_threshold()[2]))]
    async with session(replace(settings, is_cached=False)) as client:
        assert not (await client.call_tool("rank_experiments", {"project": "many", "metric": "loss"})).is_error
    assert (max(thresholds) > 10**6) == is_postponed
    assert gc.get_threshold() == usual
