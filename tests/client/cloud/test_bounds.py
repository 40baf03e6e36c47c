"""Large responses use bounded memory and do not block other callers, and idle connections are closed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest

from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.settings import Settings
from tests.cli.test_command import environ
from tests.conftest import session, text_of
from tests.fake_swanlab import Fault, LogLine, State
from tests.server.test_shared_server import ask, message, serve, team

__all__ = ["team"]

pytestmark = pytest.mark.anyio

MEMORY = 400 * 2**20
AT_ONCE = 64
AT_ONCE_IN_ALL = 1024
IDLE_IN_ALL = 256


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux memory figures")
@pytest.mark.parametrize("part", [b"{},", b"[],", b'{"a":1},', b"1,"])
def test_60_mb_of_containers_take_little_memory(host: str, state: State, part: bytes) -> None:
    """Keep one copy of the body and at most 400 MB of Python objects."""
    state.faults = [Fault("/runs", body=b"[" + part * (60_000_000 // len(part)) + b"0]")]
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "from swanlab_mcp.cli.main import main\n"
        "try:\n"
        f"    code = main(['--host', '{host}', '--no-cache', 'call', 'list_project_exps', 'project=project1'])\n"
        "except SystemExit as ended:\n"
        "    code = ended.code\n"
        "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    environment = environ(SWANLAB_API_KEY="test-key")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert "nternal error" not in done.stderr
    ended, peak = done.stdout.split()[-2:]
    assert ended == "1"
    assert int(peak) < 60 + 2 * 60 + MEMORY // 2**20


def measure_health(settings: Settings, team: State, tool: str, arguments: Any, fault: Fault) -> tuple[list[float], str]:
    """Return the duration of each /health request during a call, and the call's text."""
    arrived = threading.Event()
    answers: list[Any] = []
    waits: list[float] = []
    fault.then = arrived.set
    with serve(settings) as url:
        ask(url)
        team.faults.append(fault)
        caller = threading.Thread(target=lambda: answers.append(ask(url, body=message(name=tool, arguments=arguments))))
        caller.start()
        arrived.wait(30)
        with httpx.Client(timeout=30) as http:
            while not answers:
                started = time.monotonic()
                assert http.get(f"{url}/health").status_code == 200
                waits.append(time.monotonic() - started)
        caller.join()
    return waits, answers[0].json()["result"]["content"][0]["text"]


def make_items(count: int) -> list[dict[str, Any]]:
    one = {"name": "y" * 20, "description": "z" * 20, "labels": ["a", "b"], "state": "FINISHED", "profile": {}}
    return [{**one, "cuid": f"c{number:019}"} for number in range(count)]


@pytest.mark.exhaustive
def test_health_responds_within_a_second_during_a_page_of_300000_items(settings: Settings, team: State) -> None:
    fault = Fault("/runs", body=json.dumps({"list": make_items(300_000), "total": 300_000}).encode())
    waits, text = measure_health(settings, team, "list_project_exps", {"project": "project1"}, fault)
    assert "300000 items on one page, although only 20 were requested" in text
    assert max(waits) < 1, f"{len(fault.body)} bytes, {len(waits)} checks"


@pytest.mark.exhaustive
def test_health_responds_within_a_second_during_a_list_of_50000_items(settings: Settings, team: State) -> None:
    fault = Fault("/runs/shows", body=json.dumps(make_items(50_000)).encode())
    arguments = {"project": "project1", "filters": [{"field": "state", "op": "=", "value": "FINISHED"}]}
    waits, text = measure_health(settings, team, "find_experiments", arguments, fault)
    assert "of 50000" in text
    assert max(waits) < 1, f"{len(fault.body)} bytes, {len(waits)} checks"


@pytest.mark.exhaustive
def test_health_responds_within_a_second_during_large_metrics(settings: Settings, team: State) -> None:
    metric = {"step": 5, "value": 1.5, "min": {"step": 1, "value": 0.5}, "max": {"step": 2, "value": 2.5}}
    summary = json.dumps({"cuid1": {f"key{number}": metric for number in range(150_000)}}).encode()
    points = [{"index": number, "data": 1.5, "timestamp": 1_700_000_000_000} for number in range(500_000)]
    series = json.dumps([{"key": "loss", "metrics": points}]).encode()
    about = {"project": "project1", "exp_cuid": "cuid1"}
    curve = {"project": "project1", "exp_cuids": ["cuid1"], "keys": ["loss"]}
    for tool, arguments, path, body in (
        ("get_exp_summary", about, "/summaries", summary),
        ("get_metrics", curve, "/metrics/scalar$", series),
    ):
        waits, text = measure_health(settings, team, tool, arguments, Fault(path, body=body))
        assert ("150000" if tool == "get_exp_summary" else "loss") in text
        assert max(waits) < 1, f"{tool}: {len(body)} bytes, {len(waits)} checks"
        team.faults.clear()


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", ["eyJ", "eyJ.", "token ", "sk-", "-----BEGIN PRIVATE KEY-----"])
def test_health_responds_within_a_second_while_a_hostile_log_is_masked(
    settings: Settings, team: State, part: str
) -> None:
    one = team.projects[0].experiments[0]
    one.logs = [LogLine(number, part * (100_000 // len(part))) for number in range(30)]
    arguments = {"project": "project1", "exp_cuid": one.cuid, "search": "nothing", "count": 100}
    waits, text = measure_health(settings, team, "get_logs", arguments, Fault("/metrics/log"))
    assert "nothing" in text
    assert max(waits) < 1, f"{len(waits)} checks"


async def test_page_with_more_items_than_requested_is_an_error(settings: Settings, state: State) -> None:
    state.faults = [Fault("/runs", body=json.dumps({"list": make_items(21), "total": 21}).encode())]
    async with session(settings) as client:
        result = await client.call_tool("list_project_exps", {"project": "project1"})
    assert result.is_error
    assert "has 21 items on one page, although only 20 were requested" in text_of(result)
    assert len([call for call in state.calls if call.raw_path.endswith("/runs")]) == 1


class CountingServer:
    """Returns an empty object for every request over persistent connections, and counts requests and connections."""

    def __init__(self) -> None:
        self.open = 0
        self.most = 0
        self.gate: asyncio.Event | None = None
        self.wanted = 0
        self.waiting = 0

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        body = b'{"sid": "s", "userInfo": {"username": "u"}}'
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                if self.gate:
                    # respond once the expected number of requests is waiting
                    self.waiting += 1
                    if self.waiting >= self.wanted:
                        self.gate.set()
                    await self.gate.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_connections_are_bounded_for_each_account(settings: Settings) -> None:
    counting = CountingServer()
    async with await asyncio.start_server(counting.play, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        transport = Transport(replace(settings, api_host=address))
        await gather(*(transport.get("project", str(number)) for number in range(4 * AT_ONCE)))
        assert 1 < counting.most <= AT_ONCE
        await transport.aclose()


async def open_many(settings: Settings, accounts: int) -> tuple[CountingServer, int]:
    """Send 64 requests at once for each account, and return the server's counts and the connections left open."""
    counting = CountingServer()
    async with await asyncio.start_server(counting.play, "127.0.0.1", 0, backlog=4096) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        transports = [Transport(replace(settings, api_host=address)) for _ in range(accounts)]
        await gather(*(one.sign_in() for one in transports))
        counting.gate = asyncio.Event()
        counting.wanted = min(accounts * AT_ONCE, AT_ONCE_IN_ALL)
        await gather(*(one.get("project", str(number)) for one in transports for number in range(AT_ONCE)))
        started = time.monotonic()
        while counting.open > IDLE_IN_ALL:
            await asyncio.sleep(0.01)
            # idle connections end after 5 seconds
            assert time.monotonic() - started < 4.5
        left = counting.open
        for one in transports:
            await one.aclose()
    return counting, left


async def test_idle_connections_of_all_accounts_are_bounded(settings: Settings) -> None:
    counting, left = await open_many(settings, 6)
    assert counting.most == 6 * AT_ONCE
    assert 0 < left <= IDLE_IN_ALL


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="raises the limit of open files")
async def test_connections_of_all_accounts_are_bounded(settings: Settings) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("the system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    counting, left = await open_many(settings, 20)
    assert counting.most <= AT_ONCE_IN_ALL + IDLE_IN_ALL
    assert left <= IDLE_IN_ALL


@pytest.mark.exhaustive
async def test_idle_connections_are_closed_after_five_seconds(settings: Settings) -> None:
    counting = CountingServer()
    async with await asyncio.start_server(counting.play, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        transport = Transport(replace(settings, api_host=address))
        await gather(*(transport.get("project", str(number)) for number in range(AT_ONCE)))
        ended = time.monotonic()
        assert counting.open > 1
        while counting.open:
            await asyncio.sleep(0.1)
            assert time.monotonic() - ended < 8
        assert time.monotonic() - ended > 4
        # the next request opens a new connection
        await transport.get("project", "x")
        assert counting.open == 1
        await transport.aclose()
