"""Every tool under every fault returns correct data or one clear error, and the next call works."""

from __future__ import annotations

import asyncio
import copy
import gc
import gzip
import itertools
import json
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Any, TypeVar, cast

import anyio
import pytest
from mcp import MCPError
from mcp.types import ResourceTemplateReference
from PIL import Image

from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.core.concurrency import SharedAnswers
from swanlab_mcp.core.errors import (
    AuthenticationFailed,
    InvalidArgument,
    RateLimited,
    ServerUnavailable,
    SwanLabError,
    UnexpectedResponse,
)
from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.server.table import WRITE_TOOLS
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.examples import IN_FAKE, read_examples
from tests.fake_swanlab import BEGINNING, Fault, LogLine, Media, State, build_sample_state, create_app, serve
from tests.fake_swanlab.server import listen, serve_each

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Disable the cache, so that earlier responses do not hide a fault."""
    return replace(settings, is_cached=False, backoff=0)


T = TypeVar("T")
U = TypeVar("U")
ME = "kites-test3"
ONE = {"project": "small", "exp_cuid": "small0"}
ONE_OF_SEVERAL = {"project": "small", "exp_cuids": ["small0"]}
THREE = {"project": "small", "exp_cuids": ["small0", "small1", "small2"]}
CALLS: dict[str, dict[str, Any]] = {
    **read_examples(IN_FAKE),
    # these reach endpoints that the examples do not
    "get_metrics": {**THREE, "keys": ["loss"], "mode": "exact"},
    "wait_for_experiments": {**ONE_OF_SEVERAL, "until": ["finished"], "timeout": 1},
}
# each list has 5 pages, but the first two calls read and show at most 3 pages
LISTS: dict[str, dict[str, Any]] = {
    "list_projects": {"username": "kites-test2", "page": 0},
    "list_project_exps": {"project": "many", "page": 0},
    "find_experiments": {"project": "many", "filters": [{"field": "config.lr", "op": "!=", "value": 3}]},
    "rank_experiments": {"project": "many", "metric": "loss"},
    "whats_new": {"project": "many", "since": "2024-11-01"},
}
BOMB = gzip.compress(b" " * (2**26 + 1))
GZIP = {"content-encoding": "gzip", "content-type": "application/json"}


def build_world() -> State:
    """Return a project with every kind of data, a project with 5 pages of experiments, and 5 pages of projects."""
    state = build_sample_state()
    small = state.add_project(state.workspaces[0], "small", cuid="small")
    for number in range(3):
        state.add_experiment(
            small,
            f"run-{number}",
            cuid=f"small{number}",
            state=("FINISHED", "FINISHED", "CRASHED")[number],
            finished_at=BEGINNING + timedelta(hours=1 + number),
            config={"lr": 0.1 / (1 + number), "model": {"depth": 2}},
            metadata={"python": "3.11.7", "hostname": f"gpu-{number}"},
            requirements="torch==2.5.0",
            metrics={
                "loss": [(step, (1 + number) / (1 + step)) for step in range(30)],
                "acc": [(step, step / 30) for step in range(30)],
                "__swanlab__.cpu.pct": [(step, 50.0) for step in range(5)],
            },
            media={"image": [Media(3, ["image/3.png"], ["third"])]},
            logs=[LogLine(line, f"line {line}") for line in range(30)],
        )
    image = BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")
    state.files["small/small0/image/3.png"] = image.getvalue()
    many = state.add_project(state.workspaces[0], "many", cuid="many")
    for number in range(410):
        metrics = {"loss": [(0, float(number))]}
        state.add_experiment(many, f"many-{number}", cuid=f"many{number}", config={"lr": number}, metrics=metrics)
    for number in range(410):
        state.add_project(state.workspaces[1], f"wide-{number}")
    return state


@pytest.fixture
def state() -> State:
    return build_world()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Serve another host, and yield its address and the requested paths."""
    requested: list[str] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        requested.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    with serve(app) as url:
        yield url, requested


@pytest.fixture
async def transport(settings: Settings) -> AsyncIterator[Transport]:
    opened = Transport(settings)
    yield opened
    await opened.aclose()


SAME = -1
NOTHING = -2


@dataclass(frozen=True)
class Case:
    """A named fault. `make` creates it for a path, and `code` is the code of the resulting error (None: no error).

    The storage has its own limits and sends no JSON, so its code may differ, or there may be no error.
    """

    name: str
    code: int | None
    make: Callable[[str], Fault]
    at_storage: int | None = SAME


def make_cases(other_host: str, state: State) -> list[Case]:
    later = datetime(2099, 1, 1, tzinfo=timezone.utc)
    cases = [
        Case("429 once", None, lambda path: Fault(path, status=429, times=1)),
        Case("429 once, to wait 0 s", None, lambda path: Fault.retry_after(path, 0, times=1)),
        Case("429 once, until a date", None, lambda path: Fault.retry_after(path, BEGINNING, times=1)),
        Case("429 for ever", 429, lambda path: Fault(path, status=429)),
        Case("429 for an hour", 429, lambda path: Fault.retry_after(path, 3600)),
        Case("429 until 2099", 429, lambda path: Fault.retry_after(path, later)),
        Case("the session has ended", None, lambda path: Fault(path, then=state.end_sessions, times=1)),
        Case("401 for ever", 401, lambda path: Fault(path, status=401)),
        Case("403", 403, lambda path: Fault(path, status=403)),
        Case("dropped once", None, lambda path: Fault(path, is_dropped=True, times=1), at_storage=0),
        Case("dropped for ever", 0, lambda path: Fault(path, is_dropped=True)),
        Case("truncated", 502, lambda path: Fault(path, is_truncated=True)),
        Case("HTML", 502, Fault.html),
        Case("empty", 502, lambda path: Fault(path, body=b"")),
        Case("not UTF-8", 502, lambda path: Fault(path, body=b"\xff\xfe\xfa" * 9)),
        Case("deep", 502, lambda path: Fault(path, body=b"[" * 200_000)),
        Case("too long", 502, lambda path: Fault(path, padding=2**26, is_length_told=True), at_storage=NOTHING),
        Case("bomb", 502, lambda path: Fault(path, body=BOMB, headers=GZIP)),
        Case("half a gzip", 502, lambda path: Fault(path, body=BOMB[:5000], headers=GZIP)),
        Case("no gzip", 502, lambda path: Fault(path, body=b"{}", headers=GZIP)),
        Case("brotli", 502, lambda path: Fault(path, body=b"{}", headers={"content-encoding": "br"})),
        Case("redirect", 302, lambda path: Fault.redirect(path, other_host)),
        Case("redirect with the method", 307, lambda path: Fault.redirect(path, other_host, 307)),
        Case("null", 502, lambda path: Fault(path, body=b"null")),
        Case("a number", 502, lambda path: Fault(path, body=b"5")),
        Case("a text", 502, lambda path: Fault(path, body=b'"text"')),
        Case("a list of numbers", 502, lambda path: Fault(path, body=b"[5]")),
    ]
    for status in (500, 502, 503, 504):
        cases.append(Case(f"{status} once", None, lambda path, status=status: Fault(path, status=status, times=1)))
        cases.append(Case(f"{status} for ever", status, lambda path, status=status: Fault(path, status=status)))
    return cases


def find_paths(state: State) -> list[str]:
    """Return a pattern for each kind of request, which matches any run and export id."""
    found = (f"{re.sub('small[0-9]|[0-9]+.csv', '[^/]+', call.raw_path)}$" for call in state.calls)
    return list(dict.fromkeys(found))


def show(result: Any) -> tuple[str, str]:
    """Return a reply's text and JSON, without the duration of a wait and the time of the news, which vary."""
    text = "\n".join(
        getattr(block, "text", None) or getattr(block, "data", None) or str(block.uri) for block in result.content
    )
    varying = re.compile(r"(?<=Waited )\d+ seconds?|(?<=now: )[\dT:.-]+Z")
    return varying.sub("…", text), varying.sub("…", repr(result.structured_content))


def read_code(result: Any) -> int:
    """Return an error's code. Picture replies have a structured form only for errors."""
    assert result.is_error, show(result)
    assert "Internal error" not in text_of(result)
    return result.structured_content["code"]


async def find_tools_by_path(settings: Settings, state: State) -> dict[str, list[str]]:
    """Return the tools that reach each endpoint."""
    found: dict[str, list[str]] = {}
    for tool, arguments in CALLS.items():
        state.calls.clear()
        async with session(settings) as client:
            await client.call_tool(tool, arguments)
        for path in find_paths(state):
            found.setdefault(path, []).append(tool)
    return found


async def check_fault(server: Any, state: State, tool: str, path: str, case: Case, answers: dict[str, Any]) -> None:
    """Assert that a call returns the correct reply or the error of the fault, and that the next call works."""
    code = case.code if case.at_storage == SAME or not path.startswith("/storage") else case.at_storage
    if code == NOTHING:
        return
    # drawing a chart takes longer than its requests
    again = "get_metrics" if tool == "plot_metrics" else tool
    fault = case.make(path)
    state.faults, state.exports = [fault], {}
    async with connect(server) as client:
        result = await client.call_tool(tool, CALLS[tool])
        context = f"{tool} with {case.name} at {path}: {show(result)}"[:1000]
        assert fault.hits, context
        if code is None:
            assert show(result) == answers[tool], context
            return
        if "png" in path and not result.is_error:
            # a recorded image can contain any bytes, and the reply reports damaged images
            assert re.search(r"3\.png at step 3: (it is damaged|larger than)", show(result)[0]), context
        else:
            assert read_code(result) == code, context
        state.faults = []
        assert show(await client.call_tool(again, CALLS[again])) == answers[again], f"after {context}"


async def answer_all(server: Any) -> dict[str, Any]:
    async with connect(server) as client:
        return {tool: show(await client.call_tool(tool, arguments)) for tool, arguments in CALLS.items()}


SHARDS = 10
# the gate runs a tenth of each matrix, with every endpoint and every fault
SLOW = pytest.mark.exhaustive
SAMPLED = [0, *(pytest.param(shard, marks=SLOW) for shard in range(1, SHARDS))]


def choose_shard(rows: Sequence[T], columns: Sequence[U], shard: int) -> list[tuple[T, U]]:
    """Return the diagonals of the matrix that belong to a shard. Together, the shards cover all pairs."""
    pairs = itertools.product(enumerate(rows), enumerate(columns))
    return [(row, column) for (one, row), (two, column) in pairs if (one + two) % SHARDS == shard]


@pytest.mark.parametrize("shard", SAMPLED)
async def test_every_endpoint_fault_gives_correct_data_or_an_error(
    settings: Settings, state: State, elsewhere: tuple[str, list[str]], shard: int
) -> None:
    """Test each endpoint with each fault through one of its tools. The next test covers the full matrix."""
    tools_by_path = await find_tools_by_path(settings, state)
    server = create_server(settings)
    answers = await answer_all(server)
    assert len(tools_by_path) > 15
    cases = make_cases(elsewhere[0], state)
    chosen = choose_shard(list(tools_by_path), cases, shard)
    assert {path for path, _ in chosen} == set(tools_by_path)
    assert len({case.name for _, case in chosen}) == len(cases)
    for index, (path, case) in enumerate(chosen):
        tools = [tool for tool in tools_by_path[path] if tool != "plot_metrics"] or tools_by_path[path]
        await check_fault(server, state, tools[index % len(tools)], path, case, answers)
    assert elsewhere[1] == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("tool", CALLS)
async def test_every_tool_under_every_fault_gives_correct_data_or_an_error(
    settings: Settings, state: State, elsewhere: tuple[str, list[str]], tool: str
) -> None:
    tools_by_path = await find_tools_by_path(settings, state)
    server = create_server(settings)
    answers = await answer_all(server)
    for path, tools in tools_by_path.items():
        for case in make_cases(elsewhere[0], state) if tool in tools else ():
            await check_fault(server, state, tool, path, case, answers)
    assert elsewhere[1] == []


WRITES: dict[str, dict[str, Any]] = {
    "create_project": {"project": "new"},
    "delete_experiments": {"project": "small", "exp_cuids": ["small0", "small1"]},
    "delete_project": {"project": "small"},
}
# a deletion succeeds with a success status and any JSON or an empty body
BELIEVED = {"empty", "null", "a number", "a text", "a list of numbers"}


def build_small_world() -> State:
    state = build_sample_state()
    small = state.add_project(state.workspaces[0], "small", cuid="small")
    for number in range(2):
        state.add_experiment(small, f"run-{number}", cuid=f"small{number}")
    return state


def list_contents(state: State) -> list[str]:
    return [f"{project.name}/{one.cuid}" for project in state.projects for one in [project, *project.experiments]]


def list_changes(state: State) -> list[str]:
    """Return the requests that change data."""
    calls = [call for call in state.calls if call.method == "DELETE" or call.raw_path == "/api/project"]
    return [f"{call.method} {call.raw_path}" for call in calls]


def test_every_write_tool_has_an_example_call() -> None:
    assert list(WRITES) == [entry.name for entry in WRITE_TOOLS]


@pytest.mark.parametrize("shard", SAMPLED)
@pytest.mark.parametrize("tool", WRITES)
async def test_no_fault_repeats_a_change_and_the_reported_outcome_is_true(
    settings: Settings, fake: tuple[dict[str, Any], str], elsewhere: tuple[str, list[str]], tool: str, shard: int
) -> None:
    server = create_server(replace(settings, allow_writes=True))
    served, _ = fake

    async def ask(client: Any, confirmation: str = "") -> Any:
        return await client.call_tool(tool, {**WRITES[tool], "confirmation": confirmation})

    async def prepare(client: Any) -> str:
        return (await ask(client)).structured_content["data"]["confirmation"]

    served["app"] = create_app(world := build_small_world())
    before = list_contents(world)
    async with connect(server) as client:
        assert (await ask(client, await prepare(client))).structured_content["data"]["done"] is True
    after = list_contents(world)
    endpoints = list(dict.fromkeys((call.method, f"{call.raw_path}$") for call in world.calls))
    tried = 0
    kinds = range(len(make_cases(elsewhere[0], world)))
    async with connect(server) as client:
        for ((method, path), is_dry), kind in choose_shard(
            [*itertools.product(endpoints, (True, False))], kinds, shard
        ):
            served["app"] = create_app(world := build_small_world())
            case = make_cases(elsewhere[0], world)[kind]
            is_change = method == "DELETE" or path == "/api/project$"
            if (method == "DELETE" and case.name in BELIEVED) or (case.name == "bomb" and not is_change):
                continue
            fault = case.make(path)
            fault.method = method
            token = "" if is_dry else await prepare(client)
            if path.endswith("/api_key$"):
                world.end_sessions()
            world.faults = [fault]
            result = await ask(client, token)
            if not fault.hits:
                continue
            tried += 1
            there, changes = list_contents(world), list_changes(world)
            said = f"{tool} ({is_dry=}) with {case.name} at {method} {path}: {there} {changes} {show(result)}"[:1500]
            assert len(changes) == len(set(changes)), said
            if is_dry or not is_change:
                # a truncated "no such project" response still counts as one
                code = None if (path, case.name) == (f"/api/project/{ME}/new$", "truncated") else case.code
                assert result.is_error == (code is not None), said
                assert not result.is_error or read_code(result) == code, said
                assert there == (before if is_dry or result.is_error else after), said
                assert not changes or not (is_dry or result.is_error), said
            elif result.is_error:
                text = show(result)[0]
                assert read_code(result) in (case.code, 0, 401, 429, 500, 502, 503, 504), said
                # the second deletion fails if the first one left a broken connection
                deleted = [one for one in ("small0", "small1") if f"small/{one}" not in there]
                shown = ["small0"] if "Deleted: small0." in text else []
                assert there == before or deleted == shown or "It is unknown" in text, said
                assert deleted == shown or not shown, said
                assert "a follow-up check" not in text or "It is unknown" not in text, said
            else:
                assert result.structured_content["data"]["done"] is True, said
                assert there == after, said
            world.faults = []
            if there == before:
                assert (await ask(client, await prepare(client))).structured_content["data"]["done"] is True, said
                assert list_contents(world) == after, said
    assert tried > 25
    assert elsewhere[1] == []


def walk(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the paths in a JSON value with their nodes, but only the first item of each list."""
    yield path, node
    items: list[tuple[Any, Any]] = []
    if isinstance(node, dict):
        items = list(cast("dict[str, Any]", node).items())
    elif isinstance(node, list):
        items = list(enumerate(cast("list[Any]", node)[:1]))
    for key, item in items:
        yield from walk(item, (*path, key))


def put(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    whole = copy.deepcopy(whole)
    container = whole
    for key in path[:-1]:
        container = container[key]
    container[path[-1]] = value
    return whole


def list_wrong_values(node: Any) -> list[Any]:
    """Return values whose types differ from the node's."""
    if isinstance(node, list):
        return [7, {"odd": 7}]
    return ["odd", [7]] if type(node) in (int, float) else [7, [7]]


@pytest.mark.parametrize("shard", SAMPLED)
async def test_wrong_type_in_any_field_is_an_error(settings: Settings, state: State, shard: int) -> None:
    server = create_server(settings)
    calls = [(tool, CALLS[tool]) for tool in CALLS if tool not in ("plot_metrics", "whats_new", "compare_experiments")]
    calls.append(("get_metrics", {**THREE, "keys": ["loss"], "mode": "sampled"}))
    seen: set[str] = set()
    numbers = itertools.count()
    for tool, arguments in calls:
        state.faults = []
        state.calls.clear()
        async with connect(server) as client:
            whole = show(await client.call_tool(tool, arguments))
        for path in {path for path in find_paths(state) if path.startswith("/api")} - seen:
            seen.add(path)
            bodies: list[bytes] = []
            state.faults = [Fault(path, rewrite=lambda body, bodies=bodies: bodies.append(body) or body)]
            async with connect(server) as client:
                await client.call_tool(tool, arguments)
            # config values can have any type, and one metric is enough
            indices = [
                (index, node)
                for index, node in walk(json.loads(bodies[0]))
                if "config" not in index[:-1] and "acc" not in index
            ]
            for index, value in [(index, value) for index, node in indices for value in list_wrong_values(node)]:
                if next(numbers) % SHARDS != shard:
                    continue

                def rewrite(body: bytes, index: Any = index, value: Any = value) -> bytes:
                    return json.dumps(put(json.loads(body), index, value)).encode()

                state.faults = [Fault(path, times=1, rewrite=rewrite)]
                async with connect(server) as client:
                    result = await client.call_tool(tool, arguments)
                # an extreme can be a bare number
                if result.is_error or (index[-1:] not in (("min",), ("max",)) or value != 7):
                    said = f"{tool} with {value} at {index} of {path}: {show(result)}"[:1000]
                    assert result.is_error or show(result) == whole, said
                    assert not result.is_error or read_code(result) == 502, said
    assert next(numbers) > 300


async def test_summary_of_other_experiments_is_not_read_as_empty(settings: Settings, state: State) -> None:
    state.faults = [Fault("/summaries", body=b'{"other": {}}')]
    async with session(settings) as client:
        for tool in ("get_exp_summary", "rank_experiments", "compare_experiments"):
            assert read_code(await client.call_tool(tool, CALLS[tool])) == 502


async def test_resources_and_completion_under_faults_are_correct_or_an_error(
    settings: Settings, state: State, elsewhere: tuple[str, list[str]]
) -> None:
    server = create_server(settings)
    template = ResourceTemplateReference(type="ref/resource", uri="swanlab://{username}/{project}")

    async def read(client: Any) -> Any:
        return (await client.read_resource("swanlab://kites-test3/small")).contents

    async def complete(client: Any) -> Any:
        argument = {"name": "project", "value": "sm"}
        return (await client.complete(template, argument, context_arguments={"username": ME})).completion

    for ask in (read, complete):
        async with connect(server) as client:
            whole = await ask(client)
        for case in make_cases(elsewhere[0], state):
            state.faults = [case.make("/api/project")]
            async with connect(server) as client:
                if case.code is None:
                    assert await ask(client) == whole, case.name
                    continue
                with pytest.raises(MCPError, match="SwanLab"):
                    await ask(client)
                state.faults = []
                assert await ask(client) == whole, f"after {case.name}"
    assert elsewhere[1] == []


@pytest.mark.parametrize(
    "tool",
    [pytest.param(tool, marks=[] if tool in ("list_projects", "rank_experiments") else SLOW) for tool in LISTS],
)
async def test_list_is_complete_or_an_error_if_it_changes_between_pages(
    settings: Settings, state: State, tool: str
) -> None:
    server = create_server(settings)
    pages = "/project/kites-test2$" if tool == "list_projects" else "/many/runs$"
    numbers = iter(range(1000))

    def grow() -> None:
        if tool == "list_projects":
            state.add_project(state.workspaces[1], f"late-{next(numbers)}")
        else:
            state.add_experiment(state.projects[2], f"late-{next(numbers)}", metrics={"loss": [(0, 1e6)]})

    def raise_total(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "total": 411}).encode()

    async def ask(client: Any) -> Any:
        return await client.call_tool(tool, LISTS[tool])

    second: list[bytes] = []
    async with connect(server) as client:
        state.faults = [Fault(pages, query={"page": "2"}, rewrite=lambda body: second.append(body) or body)]
        whole = show(await ask(client))
        third: dict[str, Any] = {"query": {"page": "3"}}
        for name, fault in {
            "page 3 fails once": Fault(pages, status=503, times=1, **third),
            "the session ends at page 3": Fault(pages, then=state.end_sessions, times=1, **third),
            "page 3 repeats page 2 once": Fault(pages, body=second[0], times=1, **third),
        }.items():
            state.faults = [fault]
            assert show(await ask(client)) == whole, name
            assert fault.hits == 1, name
        for name, code, fault in [
            ("page 3 fails", 503, Fault(pages, status=503, **third)),
            ("page 3 is not there", 404, Fault(pages, status=404, **third)),
            ("page 3 repeats page 2", 502, Fault(pages, body=second[0], **third)),
            ("page 3 is empty", 502, Fault(pages, body=b'{"list": [], "total": 410}', **third)),
            ("page 3 tells another total", 502, Fault(pages, rewrite=raise_total, **third)),
            ("the list grows with every page 3", 502, Fault(pages, then=grow, **third)),
        ]:
            state.faults = [fault]
            result = await ask(client)
            assert read_code(result) == code, f"{name}: {show(result)}"
            state.faults = []
            assert (await ask(client)).is_error is False, f"after {name}"
        state.faults = [Fault(pages, then=grow, times=1, **third)]
        grown = show(await ask(client))
        assert grown == show(await ask(client)) != whole


async def test_abandoned_failing_call_leaves_no_warning() -> None:
    received: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: received.append(context))
    asked, ended = asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
            raise ServerUnavailable("gone")

    waiting = asyncio.create_task(SharedAnswers[None]().ask("name", fail))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ended.wait()
    del waiting
    await asyncio.sleep(0)
    gc.collect()
    assert received == []


@pytest.mark.parametrize("shard", SAMPLED)
async def test_slow_response_ends_the_call_at_its_deadline_and_frees_its_slot(
    settings: Settings, state: State, shard: int
) -> None:
    tools_by_path = await find_tools_by_path(settings, state)
    chosen = choose_shard(list(tools_by_path), ["headers", "body"], shard)
    # one server per endpoint, so that the calls of a shard can wait in parallel
    worlds = [build_world() for _ in chosen]

    async def ask(path: str, part: str, tools: list[str], world: State, host: str) -> None:
        gate = threading.Event()
        fault = Fault(path, until=gate) if part == "headers" else Fault(path, body_until=gate)
        world.faults = [fault]
        results: dict[str, Any] = {}

        async def call(tool: str) -> None:
            results[tool] = await client.call_tool(tool, CALLS[tool])

        async def call_all() -> None:
            async with anyio.create_task_group() as group:
                for tool in tools:
                    group.start_soon(call, tool)

        async with session(replace(settings, api_host=host, timeout=4)) as client:
            # a busy machine can need several deadlines to reach the fault and to recover
            for _ in range(20):
                await call_all()
                # the user and the project's id are requested once
                if fault.hits >= (1 if path.endswith(("/api_key$", "/small$")) else len(tools)):
                    break
            else:
                raise AssertionError(f"{fault.hits} of {tools} asked {path}")
            for tool, result in results.items():
                said = f"{tool} with slow {part} at {path}: {show(result)}"[:1000]
                assert read_code(result) == 0, said
                # a call that waits has additional time
                seconds = 4 + CALLS[tool].get("timeout", 0)
                assert f"within {seconds} seconds" in text_of(result), said
            world.faults = []
            gate.set()
            if "plot_metrics" in tools:
                tools.remove("plot_metrics")
            for _ in range(20):
                await call_all()
                if not any(results[tool].is_error for tool in tools):
                    break
            assert not any(results[tool].is_error for tool in tools), f"after slow {part} at {path}"

    with serve_each(worlds) as hosts:
        async with anyio.create_task_group() as group:
            for (path, part), world, host in zip(chosen, worlds, hosts, strict=True):
                group.start_soon(ask, path, part, list(tools_by_path[path]), world, host)
    assert sum(map(len, tools_by_path.values())) > 50


async def test_every_tool_reports_a_refused_connection_and_recovers(settings: Settings, state: State) -> None:
    with listen() as listener:
        host = f"http://127.0.0.1:{listener.getsockname()[1]}"
    refusing = replace(settings, api_host=host)
    async with session(refusing) as client:
        for tool, arguments in CALLS.items():
            assert read_code(await client.call_tool(tool, arguments)) == 0, tool
        with serve(state, int(host.rpartition(":")[2])):
            for tool in ("list_workspaces", "get_metrics"):
                assert not (await client.call_tool(tool, CALLS[tool])).is_error


async def test_fifty_parallel_calls_on_an_expired_session_log_in_once(settings: Settings, state: State) -> None:
    async with session(settings) as client:
        whole = show(await client.call_tool("list_project_exps", CALLS["list_project_exps"]))
        state.end_sessions()
        results: list[Any] = []

        async def ask() -> None:
            results.append(show(await client.call_tool("list_project_exps", CALLS["list_project_exps"])))

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(ask)
    assert results == [whole] * 50
    assert state.logins == 2


REFUSED_LOGINS = {401: 401, 403: 403, 500: 500, 503: 503, 200: 502}


@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=SLOW) for turn in range(1, len(REFUSED_LOGINS)))])
async def test_failed_relogin_is_reported_and_later_succeeds(settings: Settings, state: State, turn: int) -> None:
    tools = [tool for tool in CALLS if tool != "plot_metrics"]
    async with session(settings) as client:
        for index, tool in enumerate(tools, turn):
            status, code = [*REFUSED_LOGINS.items()][index % len(REFUSED_LOGINS)]
            arguments = CALLS[tool]
            state.faults = []
            whole = show(await client.call_tool(tool, arguments))
            state.end_sessions()
            state.faults = [Fault("/login", status=status)]
            assert read_code(await client.call_tool(tool, arguments)) == code, tool
            state.faults = []
            assert show(await client.call_tool(tool, arguments)) == whole, tool


@pytest.mark.parametrize("days", [-400, 400])
async def test_wrong_clock_changes_no_response_and_adds_no_login(
    settings: Settings, state: State, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    calls = {tool: arguments for tool, arguments in CALLS.items() if tool != "plot_metrics"}
    async with session(settings) as client:
        right = {tool: show(await client.call_tool(tool, arguments)) for tool, arguments in calls.items()}
    true_time = time.time
    monkeypatch.setattr("time.time", lambda: true_time() + days * 86400)
    state.logins = 0
    async with session(settings) as client:
        for tool, arguments in calls.items():
            assert show(await client.call_tool(tool, arguments)) == right[tool], tool
    assert state.logins == 1


@pytest.mark.parametrize("name", [".", ".."])
async def test_name_of_dots_reaches_no_endpoint(transport: Transport, state: State, name: str) -> None:
    with pytest.raises(InvalidArgument, match="does not allow the name"):
        await transport.get("project", ME, name, "runs")
    assert state.calls == []


async def test_retry_after_date_is_compared_with_the_server_clock(transport: Transport, state: State) -> None:
    moment = datetime(2031, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
    shown = {"date": "Tue, 06 May 2031 07:08:09 GMT"}
    fault = Fault.retry_after("/group", moment, times=1)
    fault.headers = {**fault.headers, **shown}
    state.faults = [fault]
    assert await transport.get("group", "")
    fault = Fault.retry_after("/group", moment + timedelta(seconds=90))
    fault.headers = {**fault.headers, **shown}
    state.faults = [fault]
    with pytest.raises(RateLimited, match="Wait 90 seconds"):
        await transport.get("group", "")
    assert fault.hits == 1


async def test_requested_waits_do_not_add_up(transport: Transport, state: State) -> None:
    state.faults = [Fault.retry_after("/group", 0, times=2), Fault.retry_after("/group", 21)]
    with pytest.raises(RateLimited, match="Wait 21 seconds"):
        await transport.get("group", "")
    assert len(state.get_calls("/group")) == 3


async def test_response_without_a_length_is_bounded_while_it_is_read(transport: Transport, state: State) -> None:
    state.faults = [Fault("/group", padding=2**26)]
    with pytest.raises(UnexpectedResponse, match="larger than 64 MB"):
        await transport.get("group", "")
    state.faults = [Fault("/group", padding=3 * 2**20)]
    assert (await transport.get("group", ""))["list"]


async def test_response_with_an_excessive_length_is_not_read(
    settings: Settings, raw: tuple[str, list[bytes], list[bytes]]
) -> None:
    host, answers, _ = raw
    answers += [SIGNED_IN, b"HTTP/1.1 200 OK\r\ncontent-length: 67108865\r\n\r\n{"]
    transport = Transport(replace(settings, api_host=host))
    with pytest.raises(UnexpectedResponse, match="larger than 64 MB"):
        await transport.get("group", "")
    await transport.aclose()


async def test_gzip_with_several_members_is_read_to_the_end(transport: Transport, state: State) -> None:
    whole = json.dumps({"list": list(range(200_000))}).encode()
    parts = gzip.compress(whole[:300_000]) + gzip.compress(whole[300_000:])
    for body in (gzip.compress(whole), parts, gzip.compress(whole.ljust(2**21))):
        state.faults = [Fault("/group", body=body, headers=GZIP)]
        assert await transport.get("group", "") == json.loads(whole)
    for body in (parts[:-4], gzip.compress(whole)[:-9]):
        state.faults = [Fault("/group", body=body, headers=GZIP)]
        with pytest.raises(UnexpectedResponse, match="decompressed"):
            await transport.get("group", "")


async def read_lines(transport: Transport, url: str) -> list[str]:
    return [line async for line in transport.download(url)]


async def test_download_is_complete_or_an_error(settings: Settings, state: State, transport: Transport) -> None:
    state.exports["x.csv"] = "step,a\r\n0,\u2028 1\n1,2"
    url = f"{settings.api_host}/storage/x.csv?signature=presigned-canary"
    lines = ["step,a", "0,\u2028 1", "1,2"]
    assert await read_lines(transport, url) == lines
    state.faults = [Fault("/storage", status=503, times=3)]
    assert await read_lines(transport, url) == lines
    state.faults = [Fault("/storage", body=gzip.compress(state.exports["x.csv"].encode()), headers=GZIP)]
    assert await read_lines(transport, url) == lines
    for fault, error, said in [
        (Fault(is_dropped=True), ServerUnavailable, "closed the connection during a download"),
        (Fault(body=b"<html>Sign in", headers={"content-type": "text/html"}), UnexpectedResponse, "with a web page"),
        (Fault(body=b"x" * (2**20 + 1)), UnexpectedResponse, "a line longer than 1 MB"),
        (Fault(padding=2**30, is_length_told=True), UnexpectedResponse, "larger than 1024 MB"),
        (Fault(body=gzip.compress(b"step,a")[:-1], headers=GZIP), UnexpectedResponse, "decompressed"),
        (Fault.redirect("", settings.api_host), UnexpectedResponse, "returned status 302"),
        (Fault(status=403), SwanLabError, "returned status 403"),
    ]:
        state.faults = [fault]
        with pytest.raises(error, match=said):
            await read_lines(transport, url)
    for address in ("", "ftp://127.0.0.1/x", "http://127.0.0.2:1/x"):
        with pytest.raises(UnexpectedResponse, match="unencrypted"):
            await read_lines(transport, address)
    for address in ("https://[::1", "https://\ud800", "https://example.com:99999/x", "https://example.com:-1/x"):
        with pytest.raises(UnexpectedResponse, match="invalid download URL"):
            await read_lines(transport, address)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "10.0.0.1",
        "[::1]",
        "127.0.0.2",
        "192.168.0.1",
        "[fd00::1]",
        "[::ffff:10.0.0.1]",
        "0",
        "2852039166",
        "0x7f.2",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[::a9fe:a9fe]",
        "[::ffff:0:a00:1]",
        "[fec0::1]",
    ],
)
async def test_download_from_a_private_address_is_refused(transport: Transport, host: str) -> None:
    with pytest.raises(UnexpectedResponse, match="private address"):
        await read_lines(transport, f"https://{host}:1/x")


async def test_download_from_another_port_of_the_api_host_is_allowed(transport: Transport) -> None:
    with pytest.raises(ServerUnavailable, match="SwanLab's storage"):
        await read_lines(transport, "https://localhost:1/x")


async def test_unknown_storage_is_named_with_the_api_host_and_the_fix(transport: Transport) -> None:
    # names below .invalid never resolve
    with pytest.raises(ServerUnavailable) as caught:
        await read_lines(transport, "https://minio.invalid:9000/x")
    assert "SwanLab's storage (minio.invalid:9000, given by 127.0.0.1) did not answer" in str(caught.value)
    assert "set the storage's public address there" in str(caught.value)


async def test_large_response_of_empty_containers_is_not_parsed(state: State, transport: Transport) -> None:
    for body in (b"[" + b"{}," * 5_000_000 + b"{}]", b"[" + b"[]," * 5_000_000 + b"[]]"):
        state.faults = [Fault("/project", body=body)]
        with pytest.raises(UnexpectedResponse, match="too many parts to read safely"):
            await transport.get("project", "x")


@pytest.fixture
async def raw() -> AsyncIterator[tuple[str, list[bytes], list[bytes]]]:
    """Serve prepared bytes for each request, or close the connection. The first response is the login."""
    answers: list[bytes] = []
    requests: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
        requests.append(head.split(b"\r\n")[0])
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", answers, requests


def write_answer(status: str, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


SIGNED_IN = write_answer("200 OK", b'{"sid": "s", "userInfo": {"username": "u"}}')


async def test_download_without_a_length_is_an_error(
    settings: Settings, raw: tuple[str, list[bytes], list[bytes]]
) -> None:
    host, answers, _ = raw
    start = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
    plain = [start + b"\r\nstep,a\n1,2\n", start + b"content-encoding: identity\r\n\r\nstep,a\n1,2\n"]
    answers += [*plain, *plain, start + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"step,a\n")]
    transport = Transport(replace(settings, api_host=host))
    for _ in plain:
        with pytest.raises(UnexpectedResponse, match="without a length"):
            await read_lines(transport, f"{host}/x")
    for _ in plain:
        with pytest.raises(UnexpectedResponse, match="without a length"):
            await transport.fetch(f"{host}/x", 100)
    assert await read_lines(transport, f"{host}/x") == ["step,a"]
    await transport.aclose()


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (b"", ServerUnavailable, "check before retrying"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", ServerUnavailable, "check before retrying"),
        (write_answer("500 Oh"), ServerUnavailable, "check before retrying"),
        (write_answer("503 Busy"), ServerUnavailable, "check before retrying"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\n{", UnexpectedResponse, "check before retrying"),
        (write_answer("429 Slow"), RateLimited, "Wait a minute"),
        (write_answer("200 OK", b"<html>"), UnexpectedResponse, "check before retrying"),
        (write_answer("401 No"), AuthenticationFailed, "was rejected"),
    ],
)
async def test_change_is_never_sent_twice_and_an_unknown_outcome_is_reported(
    settings: Settings, raw: tuple[str, list[bytes], list[bytes]], answer: bytes, error: type[SwanLabError], said: str
) -> None:
    host, answers, requests = raw
    answers += [SIGNED_IN, answer, SIGNED_IN]
    transport = Transport(replace(settings, api_host=host))
    with pytest.raises(error, match=said):
        await transport.change("DELETE", "project", "u", "p q", body={"a": 1})
    await transport.aclose()
    assert requests == [b"POST /api/login/api_key HTTP/1.1", b"DELETE /api/project/u/p%20q HTTP/1.1"]


async def test_change_on_an_expired_session_fails_and_the_next_change_logs_in(
    state: State, transport: Transport
) -> None:
    path = ("project", "kites-test2", "wide-0")
    body = {"username": ME, "name": "new", "visibility": "PRIVATE"}
    assert (await transport.change("POST", "project", body=body))["name"] == "new"
    state.end_sessions()
    with pytest.raises(AuthenticationFailed, match="was rejected"):
        await transport.change("DELETE", *path)
    assert await transport.change("DELETE", *path) is None
    assert [call.status for call in state.calls if call.method == "DELETE"] == [401, 204]
    assert state.logins == 2


async def test_change_that_cannot_have_arrived_is_retried(settings: Settings, state: State) -> None:
    with serve(create_app(state)) as host:
        transport = Transport(replace(settings, api_host=host))
        await transport.sign_in()
    with pytest.raises(ServerUnavailable, match=r"did not answer after 5 tries \(ConnectError\)"):
        await transport.change("DELETE", "project", "kites-test2", "wide-0")
    await transport.aclose()


async def test_request_urls_and_headers_are_not_logged(
    settings: Settings, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = ("presigned-canary", "sid-canary", "test-key", "signature")
    state.faults = [Fault("/storage", status=503, times=1), Fault("/runs", status=401, times=1)]
    with caplog.at_level(logging.DEBUG):
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        async with session(settings) as client:
            for tool in ("get_metrics", "get_media", "list_projects"):
                assert not (await client.call_tool(tool, CALLS[tool])).is_error
        logged = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    assert state.get_calls("/storage")
    assert "try 1 of 5 failed" in logged
    assert not any(secret in logged for secret in secrets), logged
