"""Attacks on the shared server: slow and partial requests, invented keys, unread responses."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from swanlab_mcp.server.audit import Audit
from swanlab_mcp.server.limits import Limits
from swanlab_mcp.settings import Settings
from tests.fake_swanlab import Fault, State
from tests.server.test_shared_server import ACCEPT, ask, bearer, message, names, serve, team, url

__all__ = ["team", "url"]

HALF = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-half: "


def head(length: int, key: str = "test-key") -> bytes:
    lines = ("POST /mcp HTTP/1.1", "host: localhost", f"authorization: Bearer {key}", f"content-length: {length}")
    return ("\r\n".join((*lines, "content-type: application/json")) + "\r\n\r\n").encode()


@contextmanager
def opened(url: str, count: int, sent: bytes) -> Generator[list[socket.socket], None, None]:
    """Open connections and send the same bytes on each."""
    with ExitStack() as stack:
        made = [stack.enter_context(socket.create_connection(read_address(url))) for _ in range(count)]
        for one in made:
            with contextlib.suppress(OSError):
                one.sendall(sent)
        yield made


@contextmanager
def opened_in_turn(url: str, count: int, sent: bytes) -> Generator[list[socket.socket], None, None]:
    """Open connections one at a time and send the same bytes on each. Wait until the server has read them."""
    made: list[socket.socket] = []
    with ExitStack() as stack, httpx.Client(base_url=url) as http:
        for _ in range(count):
            made.append(stack.enter_context(socket.create_connection(read_address(url))))
            made[-1].sendall(sent)
            # the server accepts a connection in one turn of its loop, and reads it in a later turn
            for _ in range(4):
                assert http.get("/health").status_code == 200
        yield made


def read_address(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)


def is_closed(one: socket.socket) -> bool:
    one.settimeout(20)
    try:
        return one.recv(1000) == b""
    except ConnectionError:
        return True


def assert_served(url: str, key: str = "test-key", seconds: float = 8) -> None:
    """Assert that requests are served within the 10 seconds after which the server ends slow requests."""
    with httpx.Client(timeout=20) as http:
        started = time.monotonic()
        assert http.get(f"{url}/health").status_code == 200
        answer = http.post(
            f"{url}/mcp", json=message(name="list_projects", arguments={}), headers={**ACCEPT, **bearer(key)}
        )
        assert names(answer) == ["project1" if key == "test-key" else "secret"]
        assert time.monotonic() - started < seconds


@pytest.mark.parametrize("sent", [b"", HALF, head(100) + b"{"])
@pytest.mark.usefixtures("team")
def test_oldest_waiting_connections_are_closed_first(settings: Settings, sent: bytes) -> None:
    with serve(settings, limits=Limits(connections=30, connections_per_address=12)) as url:
        assert_served(url)
        with opened_in_turn(url, 20, sent) as made:
            assert_served(url)
            assert all(is_closed(one) for one in made[:8])
            assert_served(url, key="other-key")


def test_header_deadline_is_not_extended_by_slow_bytes(settings: Settings) -> None:
    with serve(settings, limits=Limits(header_seconds=0.3)) as url, opened(url, 1, HALF) as (slow,):
        slow.settimeout(0.02)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 1000:
                with contextlib.suppress(TimeoutError):
                    slow.sendall(b"x")
                    sent += 1
                    if slow.recv(1) == b"":
                        break
        assert 0 < sent < 1000
        assert names(ask(url)) == ["project1"]


@pytest.mark.usefixtures("team")
def test_slow_bodies_occupy_no_slot(settings: Settings) -> None:
    with serve(settings, limits=Limits(requests=2, requests_per_caller=1, large_bodies=1, large_body=64)) as url:
        assert_served(url)
        with opened(url, 10, head(100) + b"{"), opened(url, 10, head(2000) + b" " * 100):
            assert_served(url)
            assert_served(url, key="other-key")


@pytest.mark.usefixtures("team")
def test_unread_responses_do_not_occupy_a_slot(settings: Settings) -> None:
    limits = Limits(requests=1, write_seconds=0.3)
    body = json.dumps(message("tools/list")).encode()
    with serve(settings, limits=limits) as url, opened(url, 1, (head(len(body)) + body) * 400):
        deadline = time.monotonic() + 20
        while (answer := ask(url, key="other-key")).status_code == 503 and time.monotonic() < deadline:
            pass
        assert names(answer) == ["secret"]


def test_connections_are_reserved_for_callers_with_a_key(settings: Settings, team: State) -> None:
    released = threading.Event()
    shared = dataclasses.replace(settings, is_cached=False)
    with serve(shared, shared_key=True, limits=Limits(requests=4)) as url, ExitStack() as stack:
        stack.callback(released.set)
        assert names(ask(url, key="other-key")) == ["secret"]
        team.faults.append(held := Fault("project/kites-test3$", until=released))
        callers = [threading.Thread(target=ask, args=(url,), kwargs={"key": None}) for _ in range(3)]
        for number, one in enumerate(callers, 1):
            one.start()
            for _ in range(60):
                if held.hits >= number:
                    break
                # other requests arrive too, so each arrival only triggers a recount
                team.arrived.wait(0.5)
                team.arrived.clear()
            assert held.hits == number
        assert ask(url, key=None).status_code == 503
        assert names(ask(url, key="other-key")) == ["secret"]
        released.set()
        for one in callers:
            one.join()


def test_refused_key_is_not_sent_to_swanlab_again(url: str, team: State) -> None:
    for _ in range(5):
        assert ask(url, key="wrong").status_code == 401
    assert len(team.get_calls("login")) == 1
    assert names(ask(url)) == ["project1"]


@pytest.mark.exhaustive
def test_invented_keys_do_not_delay_a_newcomer(settings: Settings, team: State) -> None:
    ended = threading.Event()
    tried: list[str] = []

    def attack(url: str, number: int) -> None:
        with httpx.Client(timeout=30) as http, contextlib.suppress(httpx.TransportError):
            while not ended.is_set():
                tried.append(f"invented-{number}-{len(tried)}")
                http.post(f"{url}/mcp", json=message(), headers=bearer(tried[-1]))

    with serve(settings) as url:
        team.faults.append(Fault("login", delay=0.3))
        attackers = [threading.Thread(target=attack, args=(url, number)) for number in range(16)]
        for one in attackers:
            one.start()
        while len(tried) < 40:
            time.sleep(0.01)
        started = time.monotonic()
        served = ask(url, key="other-key")
        took = time.monotonic() - started
        ended.set()
    for one in attackers:
        one.join()
    assert names(served) == ["secret"]
    assert took < 2
    assert len(team.get_calls("login")) < 100


def test_audit_log_has_a_line_per_call_without_arguments(settings: Settings, team: State, tmp_path: Any) -> None:
    path = tmp_path / "audit.jsonl"
    made = team.add_project(team.workspaces[1], "mnist")
    team.add_experiment(made, "a", cuid="cuid-a")
    own = dataclasses.replace(settings, allow_writes=True, confirmation_secret="0123456789abcdef" * 2)
    with serve(own, audit=Audit(str(path))) as url:
        ask(url, body=message(name="list_project_exps", arguments={"project": "kites-test3/project1", "page": 1}))
        ask(url, body=message(name="get_experiment", arguments={"exp_cuid": "kites-test3/project1/nobody"}))
        ask(url, body=message("tools/list"))
        ask(url, key="wrong")
        ask(url, key="other-key")
        arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a"]}
        dry = ask(url, body=message(name="delete_experiments", arguments=arguments))
        arguments["confirmation"] = dry.json()["result"]["structuredContent"]["data"]["confirmation"]
        ask(url, body=message(name="delete_experiments", arguments=arguments))
        ask(url, body=message(name="delete_experiments", arguments=arguments))
        # arbitrary text from the caller instead of names
        ask(url, body=message(name="call colleague", arguments={"project": "test-key", "confirmation": "x"}))
        ask(url, body=message("colleague/" * 1000))
    text = path.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    calls = [line for line in lines if "change" not in line]
    assert [(line["tool"], line["project"], line["outcome"]) for line in calls] == [
        ("list_project_exps", "project1", "ok"),
        ("get_experiment", "project1", "error"),
        ("tools/list", "", "ok"),
        ("", "", "refused"),
        ("list_projects", "", "ok"),
        ("delete_experiments", "mnist", "ok"),
        ("delete_experiments", "mnist", "done"),
        ("delete_experiments", "mnist", "error"),
        ("other", "***", "error"),
        ("other", "", "error"),
    ]
    assert [(one["change"], one["outcome"]) for one in lines if "change" in one] == [
        ("delete_experiments", "done"),
        ("delete_experiments", "not done"),
    ]
    assert len({line["account"] for line in calls if line["account"]}) == 2
    assert all(line["time"].endswith("Z") and isinstance(line.get("ms", 0), int) for line in lines)
    for hidden in ("kites", "test-key", "other-key", "colleague", "nobody", arguments["confirmation"]):
        assert hidden not in text
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize(("count", "sent"), [(1100, HALF), (1100, b""), (80, head(1000) + b"{")])
@pytest.mark.usefixtures("team")
def test_default_limits_withstand_many_slow_connections(settings: Settings, count: int, sent: bytes) -> None:
    with serve(settings) as url, opened(url, count, sent):
        assert_served(url, seconds=2)
        assert_served(url, key="other-key", seconds=2)


@pytest.mark.usefixtures("team")
def test_waiting_calls_leave_slots_to_others(settings: Settings, state: State) -> None:
    state.add_experiment(state.projects[0], "running", cuid="running", state="RUNNING")
    wait = message(name="wait_for_experiments", arguments={"project": "project1", "timeout": 20})
    shared = dataclasses.replace(settings, is_cached=False)
    with serve(shared) as url, ThreadPoolExecutor(2) as threads:
        first = [threads.submit(ask, url, body=wait) for _ in range(2)]
        while len(state.get_calls("/project1/runs$")) < 2:
            time.sleep(0.01)
        third = ask(url, body=wait).json()["result"]
        assert third["isError"]
        assert "Too many calls are waiting" in third["content"][0]["text"]
        assert_served(url)
        state.projects[0].experiments[0].state = "FINISHED"
        assert all("finished" in one.result().text for one in first)


def test_shared_server_bounds_a_wait(settings: Settings) -> None:
    wait = message(name="wait_for_experiments", arguments={"project": "project1", "timeout": 600})
    with serve(settings) as url:
        answer = ask(url, body=wait).json()["result"]
    assert answer["isError"]
    assert "at most 60 seconds" in answer["content"][0]["text"]
