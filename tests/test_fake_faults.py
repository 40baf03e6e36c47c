"""Test the faults of the fake SwanLab, and the functions that serve it."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from pathlib import Path

import anyio
import httpx
import pytest

from tests.fake_swanlab import Dropped, Fault, State, create_app, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http(state: State) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://swanlab.test/api") as client:
        answer = await client.post("/login/api_key", headers={"authorization": "test-key"})
        client.headers["cookie"] = f"sid={answer.json()['sid']}"
        yield client


async def test_faults_alter_the_correct_response(http: httpx.AsyncClient, state: State) -> None:
    path = "/project/kites-test3/project1/runs/cuid1"
    true = (await http.get(path)).json()
    state.faults = [Fault(path="/runs/", padding=200_000, times=1)]
    padded = await http.get(path)
    assert (len(padded.content) > 200_000, padded.json()) == (True, true)
    state.faults = [Fault(path="/runs/", gzip_padding=5_000_000, times=1)]
    bomb = await http.get(path)
    assert (len(bomb.content) > 5_000_000, bomb.json()) == (True, true)
    assert int(bomb.headers["content-length"]) < 20_000
    state.faults = [Fault(path="/runs/", has_bare_nan=True, times=1)]
    assert math.isnan(json.loads((await http.get(path)).text)["profile"]["config"]["lr"]["value"])
    state.variants.spelling = "bare"
    state.projects[0].experiments[0].metrics = {"x": [(0, math.nan)]}
    created = int(state.projects[0].experiments[0].created_at.timestamp())
    reference = {"projectId": "project1", "experimentId": "cuid1", "createdAt": created}
    answer = await http.post("/house/metrics/summaries", json={"experiments": [reference]})
    assert '"value": NaN' in answer.text


async def test_faults_are_made_by_name(http: httpx.AsyncClient, state: State) -> None:
    state.faults = [
        Fault.html("/group", times=1),
        Fault.redirect("/group", "https://example.com/x", times=1),
        Fault.retry_after("/group", 3, times=1),
        Fault.retry_after("/group", datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), 503, times=1),
    ]
    answers = [await http.get("/group/") for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 302, 429, 503]
    assert answers[0].text.startswith("<!doctype html>")
    assert answers[1].headers["location"] == "https://example.com/x"
    assert [one.headers["retry-after"] for one in answers[2:]] == ["3", "Fri, 02 Jan 2026 03:04:05 GMT"]
    assert [fault.hits for fault in state.faults] == [1, 1, 1, 1]


async def test_fault_waits_for_an_event(http: httpx.AsyncClient, state: State) -> None:
    gate = threading.Event()
    state.faults = [Fault(path="/group", until=gate)]
    with anyio.move_on_after(0.1):
        await http.get("/group/")
        pytest.fail("the answer came too early")
    gate.set()
    assert (await http.get("/group/")).status_code == 200


async def test_app_responds_without_a_socket(http: httpx.AsyncClient, state: State) -> None:
    state.add_project(state.workspaces[0], "a/b")
    assert (await http.get("/project/kites-test3/a%2Fb")).json()["name"] == "a/b"
    state.faults = [Fault(path="/group", is_dropped=True)]
    with pytest.raises(Dropped):
        await http.get("/group/")


async def test_state_is_served_and_connections_can_drop(state: State) -> None:
    state.faults = [Fault(path="/login", is_dropped=True, times=1)]
    with serve(state) as url:
        async with httpx.AsyncClient(base_url=url) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("/api/login/api_key", headers={"authorization": "test-key"})
            assert (await client.post("/api/login/api_key", headers={"authorization": "test-key"})).status_code == 200


def test_module_serves_on_a_free_port() -> None:
    command = [sys.executable, "-m", "tests.fake_swanlab", "--port", "0", "--experiments", "3", "--latency", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.fullmatch(r"SWANLAB_API_HOST=(http://127\.0\.0\.1:[1-9]\d*) SWANLAB_API_KEY=(\S+)\n", line)
            assert found, line
            headers = {"authorization": found[2]}
            assert httpx.post(f"{found[1]}/api/login/api_key", headers=headers).status_code == 200
        finally:
            process.terminate()
