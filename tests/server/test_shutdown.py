"""Check how calls and processes end, using real processes, pipes and HTTP, and that stdout contains only JSON-RPC."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.cli.test_command import INITIALIZE, environ, send
from tests.fake_swanlab import Fault, State

# long enough for a busy machine; an idle machine must need at most a second
PATIENCE = 30
CALL = {"id": 2, "method": "tools/call", "params": {"name": "list_project_exps", "arguments": {"project": "project1"}}}
# prints in every way in which a dependency can print, then loads the real module
NOISY = """
import importlib, os, subprocess, sys, threading, time, warnings
print("printed at import", flush=True)
print("printed and not flushed")
os.write(1, b"written to the descriptor\\n")
subprocess.run([sys.executable, "-S", "-c", "print('printed by a child')"], check=True)
warnings.warn("warned")
def chatter():
    while True:
        print("printed by a thread", flush=True)
        time.sleep(0.01)
threading.Thread(target=chatter).start()
sys.path.remove(os.path.dirname(__file__))
del sys.modules["matplotlib"]
importlib.import_module("matplotlib")
"""


@contextmanager
def serving(host: str, *options: str, settings: Sequence[str] = (), **more: str) -> Generator[Any, None, None]:
    """Start the server with pipes, and initialize it."""
    command = [sys.executable, *options, "-m", "swanlab_mcp", "--host", host, *settings]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = subprocess.Popen(command, text=True, env=environ(SWANLAB_API_KEY="test-key", **more), **pipes)
    server: Any = started
    with started:
        try:
            server.stdin.write(send(INITIALIZE, {"method": "notifications/initialized"}))
            server.stdin.flush()
            assert json.loads(server.stdout.readline())["id"] == 1
            yield server
        finally:
            server.kill()


def ask(server: Any, *messages: dict[str, Any]) -> None:
    server.stdin.write(send(*messages))
    server.stdin.flush()


class Held(NamedTuple):
    """A held request, with events for its arrival and for the end of its connection."""

    arrived: threading.Event
    hung_up: threading.Event


def hold(state: State) -> Held:
    """Hold the next request for experiments until its connection is closed."""
    held = Held(threading.Event(), threading.Event())
    state.faults = [Fault("/runs", until=held.arrived, hung_up=held.hung_up, then=held.arrived.set, times=1)]
    return held


@pytest.mark.parametrize(("end", "code"), [("end of input", 0), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_process_exits_silently_with_its_code_during_a_call(host: str, state: State, end: Any, code: int) -> None:
    fault = hold(state)
    with serving(host) as server:
        ask(server, CALL)
        assert fault.arrived.wait(PATIENCE)
        if isinstance(end, signal.Signals):
            server.send_signal(end)
        else:
            server.stdin.close()
        assert server.wait(PATIENCE) == code
        assert [json.loads(line)["error"]["message"] for line in server.stdout] in ([], ["Connection closed"])
        assert server.stderr.read() == ""
    assert fault.hung_up.wait(PATIENCE)


def test_dead_assistant_leaves_no_traceback(host: str, state: State) -> None:
    fault = hold(state)
    with serving(host) as server:
        ask(server, CALL)
        assert fault.arrived.wait(PATIENCE)
        server.stdout.close()
        server.stdin.close()
        assert server.wait(PATIENCE) == 0
        assert server.stderr.read() == ""
    assert fault.hung_up.wait(PATIENCE)


def test_cancelled_call_stops_its_requests_and_the_next_call_works(host: str, state: State) -> None:
    fault = hold(state)
    with serving(host) as server:
        ask(server, CALL)
        assert fault.arrived.wait(PATIENCE)
        ask(server, {"method": "notifications/cancelled", "params": {"requestId": 2}})
        assert fault.hung_up.wait(PATIENCE)
        ask(server, {**CALL, "id": 3})
        answer = json.loads(server.stdout.readline())
        server.stdin.close()
        assert server.wait(PATIENCE) == 0
        assert server.stdout.read() == ""
    assert answer["id"] == 3
    assert answer["result"]["structuredContent"]["page"]["total"] == 1
    assert len(state.get_calls("/runs")) == 2


def test_stdout_carries_only_json_rpc_and_threads_do_not_block_the_exit(host: str, tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text(NOISY, encoding="utf-8")
    path = f"{tmp_path}:{environ()['PYTHONPATH']}"
    curves = {"project": "project1", "exp_cuids": ["cuid1"], "keys": ["loss"]}
    with serving(host, "-W", "always", PYTHONPATH=path) as server:
        # a chart loads the library
        ask(server, {**CALL, "params": {"name": "plot_metrics", "arguments": curves}})
        answers = [server.stdout.readline()]
        server.stdin.close()
        answers += server.stdout.readlines()
        errors = server.stderr.read()
        assert server.wait(PATIENCE) == 0
    assert [json.loads(line)["id"] for line in answers] == [2]
    for noise in ("printed at import", "written to the descriptor", "printed by a child", "printed by a thread"):
        assert noise in errors
    assert "UserWarning: warned" in errors


def post(url: str, body: bytes, length: int) -> socket.socket:
    """Send `body` in a handshake-era request whose content-length is `length`, and return the open connection."""
    host, port = url.removeprefix("http://").removesuffix("/mcp").split(":")
    head = (
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer test-key\r\ncontent-type: application/json"
        f"\r\naccept: application/json, text/event-stream\r\ncontent-length: {length}\r\n\r\n"
    )
    caller = socket.create_connection((host, int(port)))
    caller.settimeout(PATIENCE)
    caller.sendall(head.encode() + body)
    return caller


@pytest.mark.parametrize(("end", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_http_server_exits_silently_with_its_code_during_calls(
    host: str, state: State, end: signal.Signals, code: int
) -> None:
    fault = hold(state)
    body = json.dumps({"jsonrpc": "2.0", **CALL}).encode()
    command = [sys.executable, "-m", "swanlab_mcp", "serve", "--transport", "http", "--http-port", "0", "--host", host]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ()) as server:
        try:
            assert server.stderr is not None
            url = server.stderr.readline().split()[-1]
            with post(url, body[:1], len(body)) as unfinished, post(url, body, len(body)) as under_way:
                assert fault.arrived.wait(PATIENCE)
                server.send_signal(end)
                for caller in (unfinished, under_way):
                    answer = caller.recv(10_000)
                    assert answer.startswith(b"HTTP/1.1 503 ")
                    assert b"The server is shutting down" in answer + caller.recv(10_000)
            assert server.wait(PATIENCE) == code
            assert server.stderr.read() == ""
        finally:
            server.kill()
    assert fault.hung_up.wait(PATIENCE)


def confirm(state: State, ask: Any) -> tuple[dict[str, Any], threading.Event]:
    """Return a confirmed deletion to which SwanLab does not respond, and the event for its arrival."""
    made = state.add_project(state.workspaces[1], "mnist")
    state.add_experiment(made, "a", cuid="cuid-a")
    arguments = {"project": "kites-test2/mnist", "exp_cuids": ["cuid-a"]}
    call = {"id": 2, "method": "tools/call", "params": {"name": "delete_experiments", "arguments": arguments}}
    arguments["confirmation"] = ask(call)["result"]["structuredContent"]["data"]["confirmation"]
    arrived = threading.Event()
    state.faults = [Fault("runs/cuid-a", method="DELETE", hung_up=threading.Event(), then=arrived.set)]
    return {**call, "id": 3}, arrived


def assert_doubtful(answer: dict[str, Any]) -> None:
    assert answer["id"] == 3
    assert answer["result"]["isError"] is True
    (block,) = answer["result"]["content"]
    assert "before it was known whether the experiment cuid-a was deleted" in block["text"]
    assert "check whether it was done" in block["text"]
    assert "try again" not in block["text"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_during_a_change_reports_an_unknown_outcome(host: str, state: State, end: int) -> None:
    with serving(host, settings=["--allow-writes"]) as server:

        def answer(call: dict[str, Any]) -> dict[str, Any]:
            ask(server, call)
            return json.loads(server.stdout.readline())

        call, arrived = confirm(state, answer)
        ask(server, call)
        assert arrived.wait(PATIENCE)
        server.send_signal(end)
        assert server.wait(PATIENCE) == 128 + end
        lines = [line for line in server.stdout if line.strip()]
    assert_doubtful(json.loads(lines[0]))


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_the_shared_server_during_a_change_reports_an_unknown_outcome(
    host: str, state: State, end: int
) -> None:
    command = [sys.executable, "-m", "swanlab_mcp", "serve", "--transport", "http", "--http-port", "0", "--host", host]
    environment = environ(SWANLAB_MCP_CONFIRMATION_SECRET="s" * 32)
    with subprocess.Popen([*command, "--allow-writes"], stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        url = server.stderr.readline().split()[-1]
        headers = {"authorization": "Bearer test-key", "accept": "application/json, text/event-stream"}
        answers: list[httpx.Response] = []

        def post(call: dict[str, Any]) -> dict[str, Any]:
            answers.append(httpx.post(url, json={"jsonrpc": "2.0", **call}, headers=headers, timeout=PATIENCE))
            return answers[-1].json()

        call, arrived = confirm(state, post)
        caller = threading.Thread(target=post, args=(call,))
        caller.start()
        assert arrived.wait(PATIENCE)
        server.send_signal(end)
        caller.join()
        assert server.wait(PATIENCE) == 128 + end
    assert answers[-1].status_code == 200
    assert "retry-after" not in answers[-1].headers
    assert_doubtful(answers[-1].json())
