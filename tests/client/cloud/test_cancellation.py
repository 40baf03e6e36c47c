"""Calls cancelled in any phase of a request close their connections and release their slots."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.refs import ExperimentRef, WorkspaceRef
from swanlab_mcp.settings import Settings
from tests.conftest import opened
from tests.fake_swanlab import Fault, State

pytestmark = pytest.mark.anyio

ME = "kites-test3"
ONE = ExperimentRef(ME, "project1", "cuid1")
AT_ONCE = 64
EXPORTS_AT_ONCE = 4
PATIENCE = 30

PHASES: dict[str, dict[str, Any]] = {
    "signing in": {"path": "/login"},
    "looking up": {"path": "/runs/cuid1"},
    "headers of the export": {"path": "/scalar/export"},
    "headers of its address": {"path": "/files/presigned"},
    "headers of the file": {"path": "/storage"},
    "body of the export": {"path": "/scalar/export", "body_until": threading.Event()},
    "body of its address": {"path": "/files/presigned", "body_until": threading.Event()},
    "body of the file": {"path": "/storage", "body_until": threading.Event()},
}


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[SwanLabClient]:
    async with opened(settings) as client:
        yield client


async def wait_until(is_so: Callable[[], object]) -> None:
    """Wait until the fake server, which runs in another thread, meets the condition."""
    with anyio.fail_after(PATIENCE):
        while not is_so():  # noqa: ASYNC110 the fake's counts are not events
            await anyio.sleep(0.005)


async def settle(settings: Settings, state: State) -> None:
    """Wait until the fake server has no requests from cancelled calls, including those that it has yet to accept."""
    state.faults = []
    # connections are accepted in order, so a new connection comes after those of the cancelled calls
    for _ in range(2):
        async with opened(settings) as other:
            await other.default.list_projects(WorkspaceRef(ME))
    await wait_until(lambda: not state.in_flight)


async def read(client: SwanLabClient, number: int) -> None:
    """Read a series or a list, because they use different kinds of connections."""
    if number % 2:
        await client.default.list_projects(WorkspaceRef(ME), search=str(number))
    else:
        await client.default.read_points(ONE, ["loss"], exact=True)


async def assert_slots_are_free(client: SwanLabClient, state: State) -> None:
    """Assert that 64 lists, and the usual number of exports, run in parallel."""
    for path, many, count in (("/project/", 2 * AT_ONCE, AT_ONCE), ("/storage", 40, EXPORTS_AT_ONCE)):
        held = threading.Event()
        state.faults = [Fault(path, until=held)]
        async with anyio.create_task_group() as group:
            for number in range(many):
                group.start_soon(read, client, 2 * number + (path == "/project/"))
            await wait_until(lambda count=count: state.in_flight == count)
            held.set()
    state.faults = []


@pytest.mark.parametrize("repeats", [3, pytest.param(6, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("phase", PHASES)
async def test_repeatedly_cancelled_calls_close_their_connections(
    client: SwanLabClient, settings: Settings, state: State, phase: str, repeats: int
) -> None:
    fault = dict(PHASES[phase])
    if "body" not in phase:
        fault["hung_up"] = threading.Event()
    if phase != "signing in":
        await client.default.get_username()
    for _ in range(repeats):
        held = Fault(**fault)
        state.faults = [held]
        # like the MCP server, a cancelled scope keeps cancelling its tasks until they end
        async with anyio.create_task_group() as group:
            for number in range(0, 80, 2):
                group.start_soon(read, client, number)
            await wait_until(lambda held=held: held.hits)
            group.cancel_scope.cancel()
        await settle(settings, state)
    await assert_slots_are_free(client, state)


@pytest.mark.parametrize("spacing", [4, pytest.param(1, marks=pytest.mark.exhaustive)])
async def test_cancelled_calls_release_their_slots(
    client: SwanLabClient, settings: Settings, state: State, spacing: int
) -> None:
    for turns in range(0, 60, spacing):
        if turns % 6 == 0:
            state.end_sessions()
        async with anyio.create_task_group() as group:
            for number in range(AT_ONCE + 6):
                group.start_soon(read, client, number)
            for _ in range(2 * turns):
                await asyncio.sleep(0)
            group.cancel_scope.cancel()
    await settle(settings, state)
    await assert_slots_are_free(client, state)
