"""Run three workers behind nginx on loopback. Under load, drain one worker and kill another, and check for lost calls.

With `--demo`, serve the demo behind nginx until SIGTERM instead.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx

from scripts.nginx import behind_nginx
from tests.fake_swanlab import State, build_sample_state, serve

_HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
_LATENCY = 0.02
_DRAIN = 20
_CALLS: Sequence[tuple[str, dict[str, Any]]] = (
    ("list_projects", {}),
    ("list_project_exps", {"project": "mine"}),
    ("list_workspaces", {}),
)


@dataclass
class Answer:
    """The result of one call.

    `sent` is the time when the call was sent, and `seconds` is its duration. `status` is the HTTP status, or 0 if there
    was no response. `worker` contains the workers that nginx tried. `is_cut` means that the response has a header but
    no complete body. `why` contains the exception and its causes, or the body of a wrong response.
    """

    sent: float
    seconds: float
    status: int
    worker: str
    is_right: bool
    why: str = ""
    is_cut: bool = False


class Worker:
    """A worker process. It keeps the same `port` after a restart."""

    def __init__(self, command: Sequence[str], port: int = 0) -> None:
        self._command = command
        self.port = port
        self.start()

    def start(self) -> None:
        options = ["serve", "--transport", "http", "--http-port", str(self.port), "--drain", str(_DRAIN)]
        command = [sys.executable, "-m", "swanlab_mcp", *self._command, *options]
        environment = {**os.environ, "SWANLAB_MCP_CONFIRMATION_SECRET": "s" * 64, "SWANLAB_MCP_LANG": "en"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, text=True
        )
        assert self.process.stderr
        line = self.process.stderr.readline()
        found = re.search(r":(\d+)/mcp$", line.strip())
        if not found:
            raise RuntimeError(f"a worker did not start: {line}{self.process.stderr.read()}")
        self.port = int(found[1])

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def run_workers(command: Sequence[str], count: int = 3) -> Generator[tuple[list[Worker], str]]:
    """Run workers behind nginx, and yield the workers and nginx's base URL."""
    with ExitStack() as stack:
        workers: list[Worker] = []
        for _ in range(count):
            workers.append(Worker(command))
            stack.callback(workers[-1].stop)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield workers, stack.enter_context(behind_nginx([one.port for one in workers], folder))


def build_world(callers: int) -> State:
    """Return the state of a fake SwanLab in which each caller has one project with one experiment."""
    state = build_sample_state()
    state.latency = _LATENCY
    for number in range(callers):
        state.add_user(f"user{number}", api_key=f"key-{number}")
        workspace = state.add_workspace(f"user{number}", kind="PERSON", **{f"user{number}": "OWNER"})
        state.add_experiment(state.add_project(workspace, "mine", visibility="PRIVATE"), f"run-{number}")
    return state


def write_call(number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the body and headers of a call as keyword arguments for httpx."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    return {"json": message, "headers": {**_HEADERS, "authorization": f"Bearer key-{number}"}}


async def call(http: httpx.AsyncClient, url: str, number: int, name: str, arguments: dict[str, Any]) -> httpx.Response:
    return await http.post(f"{url}/mcp", **write_call(number, name, arguments))


async def send_calls(url: str, number: int, until: threading.Event, answers: list[Answer]) -> None:
    """Send calls with the same key one after the other until `until` is set, and append the results to `answers`."""
    async with httpx.AsyncClient(timeout=60) as http:
        turn = number
        while not until.is_set():
            name, arguments = _CALLS[turn % len(_CALLS)]
            turn += 1
            answers.append(await send_call(http, url, number, name, arguments))


async def send_call(http: httpx.AsyncClient, url: str, number: int, name: str, arguments: dict[str, Any]) -> Answer:
    sent, status, worker = time.monotonic(), 0, ""
    try:
        # stream the response, because the header names the worker even if the worker is killed before it sends the body
        async with http.stream("POST", f"{url}/mcp", **write_call(number, name, arguments)) as answer:
            status, worker = answer.status_code, answer.headers.get("x-worker", "")
            text = (await answer.aread()).decode()
    except httpx.TransportError as error:
        why = explain(error)
        return Answer(sent, time.monotonic() - sent, status, worker, is_right=False, why=why, is_cut=bool(status))
    is_right = answer.is_success and '"isError":true' not in text and f"user{number}" in text
    why = "" if is_right else text[:200]
    return Answer(sent, time.monotonic() - sent, status, worker, is_right, why)


def explain(error: BaseException | None) -> str:
    """Return a description of an exception and its causes, or "" for None."""
    parts: list[str] = []
    while error:
        parts.append(f"{type(error).__name__}({error})")
        error = error.__cause__ or error.__context__
    return " from ".join(parts)


async def load(url: str, workers: list[Worker], callers: int, seconds: float) -> tuple[list[Answer], dict[str, Any]]:
    """Send calls while workers are drained, restarted and killed. Each phase takes `seconds`.

    Return the results of all calls and the time of each event.
    """
    answers: list[Answer] = []
    until = threading.Event()
    tasks = [asyncio.create_task(send_calls(url, number, until, answers)) for number in range(callers)]
    await asyncio.sleep(2)
    events: dict[str, Any] = {"warm": time.monotonic()}
    await asyncio.sleep(seconds)
    events["drained"] = time.monotonic()
    workers[1].end(signal.SIGTERM)
    await asyncio.sleep(seconds)
    events["drained code"] = workers[1].process.poll()
    await asyncio.to_thread(workers[1].start)
    # wait for at least 6 s, because nginx tries a failed worker again after 5 s
    await asyncio.sleep(max(seconds, 6))
    events["killed"] = time.monotonic()
    workers[2].end(signal.SIGKILL)
    # the worker's connections exist until the system has removed the process
    await asyncio.to_thread(workers[2].process.wait)
    events["gone"] = time.monotonic()
    await asyncio.sleep(seconds)
    events["end"] = time.monotonic()
    until.set()
    await asyncio.gather(*tasks)
    return answers, events


async def confirm_across(url: str, workers: list[Worker], callers: int) -> list[str]:
    """Check that a worker accepts confirmations issued by another worker. Return a list of problems."""
    problems: list[str] = []
    alive = [f"http://127.0.0.1:{one.port}" for one in workers if one.process.poll() is None]
    async with httpx.AsyncClient(timeout=60) as http:
        for number in range(callers):
            arguments = {"project": f"made-{number}", "username": f"user{number}"}
            first = (await call(http, alive[number % len(alive)], number, "create_project", arguments)).json()
            data = first["result"]["structuredContent"]["data"]
            confirmed = {**arguments, "confirmation": data["confirmation"]}
            # first through nginx, which chooses a different worker for about half of the keys, and then directly to
            # another worker, which must reject the used confirmation
            for index in (url, alive[(number + 1) % len(alive)]):
                reply = (await call(http, index, number, "create_project", confirmed)).json()["result"]
                made: dict[str, Any] = reply["structuredContent"].get("data") or {}
                done = made.get("done")
                if (index == url) is not (done is True):
                    problems.append(f"user{number} at {index}: {str(reply)[:300]}")
    return problems


def judge(answers: list[Answer], events: dict[str, Any], killed: str) -> list[str]:
    """Return descriptions of all lost calls, except for calls that were running on the killed worker."""
    lost: list[str] = []
    for one in answers:
        if one.is_right:
            continue
        was_running = one.sent <= events["gone"] and one.sent + one.seconds >= events["killed"]
        # `worker` contains several workers if nginx tried several
        if not (was_running and (one.is_cut or one.status in (502, 504)) and killed in one.worker):
            since = ", ".join(
                f"{one.sent - events[name]:+.3f} s after {name}" for name in ("drained", "killed", "gone")
            )
            lost.append(f"{since}: status {one.status} from {one.worker or 'none'} in {one.seconds:.3f} s: {one.why}")
    return lost


def show(answers: list[Answer], events: dict[str, Any]) -> None:
    phases: dict[str, list[float]] = defaultdict(list)
    for one in answers:
        for name in ("killed", "drained", "warm"):
            if one.sent >= events[name]:
                phases[name].append(one.seconds)
                break
    names = {"warm": "three workers", "drained": "one drained, then restarted", "killed": "one killed"}
    for name, text in names.items():
        times = sorted(phases[name])
        if not times:
            print(f"{text}: no calls")
            continue
        p50, p95 = statistics.median(times), times[int(len(times) * 0.95)]
        print(f"{text}: {len(times)} calls, p50 {1000 * p50:.0f} ms, p95 {1000 * p95:.0f} ms")


def run(callers: int, seconds: float) -> int:
    with serve(build_world(callers)) as host, run_workers(["--host", host, "--allow-writes"]) as (workers, url):
        answers, events = asyncio.run(load(url, workers, callers, seconds))
        killed = f"127.0.0.1:{workers[2].port}"
        show(answers, events)
        lost = judge(answers, events, killed)
        excused = sum(not one.is_right for one in answers) - len(lost)
        used = Counter(one.worker for one in answers)
        print(f"{len(answers)} calls by {callers} keys; answered by each worker: {sorted(used.values(), reverse=True)}")
        print(f"calls lost: {len(lost)}; calls that were running on the killed worker: {excused} failed")
        for line in lost:
            print(f"  {line}", file=sys.stderr)
        problems = asyncio.run(confirm_across(url, workers, callers))
        print(f"confirmations: {callers} given by one worker and accepted by another, {len(problems)} problems")
        code = events["drained code"]
        print(f"the drained worker ended with code {code}")
    for line in problems:
        print(f"  {line}", file=sys.stderr)
    return 1 if lost or problems or code != 128 + signal.SIGTERM or len(used) < len(workers) else 0


def serve_demo() -> int:
    """Serve the demo from three workers until SIGTERM."""
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with run_workers(["--demo"]) as (_, url):
        print(f"serving MCP on {url}/mcp", file=sys.stderr, flush=True)
        ended.wait()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", action="store_true", help="serve the demo behind nginx until SIGTERM")
    parser.add_argument("--callers", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each phase")
    given = parser.parse_args()
    return serve_demo() if given.demo else run(given.callers, given.seconds)


if __name__ == "__main__":
    sys.exit(main())
