"""Check the shared server's performance targets over HTTP: python benchmarks/shared_server.py [--soak SECONDS].

The fake SwanLab, the worker, a bare SDK server and the callers run in four separate processes. With `--soak`, the
script only makes mixed calls with many keys while SwanLab returns faulty responses. It fails if a reply is wrong or if
the worker's memory grows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import compute_spread
from tests.fake_swanlab import State, serve
from tests.fake_swanlab.state import Experiment

__all__ = ["measure", "soak"]

CALLERS = 500
PROJECTS = 12
EXPERIMENTS = 20
LATENCY = 0.05
CONNECTIONS = 8
OTHERS = 40
_SOAKED = 40  # keys
# error codes that are correct if SwanLab is faulty
_HONEST = {0, 302, 401, 429, 500, 502, 503, 504}
_MB = 1e6
_GROWTH = 10.0  # MB

_LIST = ("list_projects", dict[str, Any]())
_MIXED: Sequence[tuple[str, dict[str, Any]]] = (
    _LIST,
    ("list_workspaces", {}),
    ("list_project_exps", {"project": "p1"}),
    ("get_exp_summary", {"project": "p2", "exp_cuid": "run-3"}),
    ("rank_experiments", {"project": "p3", "metric": "loss"}),
    ("diagnose_experiment", {"project": "p4", "exp_cuid": "run-4"}),
    ("get_metrics", {"project": "p5", "exp_cuids": ["run-5"], "keys": ["loss"]}),
)


def build_world(callers: int) -> State:
    """Return the state of a fake SwanLab in which each caller has several projects with a few experiments each."""
    state = State(latency=LATENCY)
    # limit the request log, which would fill the memory
    state.calls = deque(maxlen=10)  # type: ignore[assignment] # append and clear work alike
    losses = [(step, 2.0 / (1 + step)) for step in range(20)]
    for number in range(callers):
        user = f"user{number}"
        state.add_user(user, api_key=f"key-{number}")
        workspace = state.add_workspace(user, kind="PERSON", **{user: "OWNER"})
        for index in range(PROJECTS):
            project = state.add_project(workspace, f"p{index}", visibility="PRIVATE")
            # do not use add_experiment, which would be slow because each call counts all experiments
            project.experiments = [
                Experiment(
                    f"c{number}-{index}-{run}", f"run-{run}", config={"lr": 0.1 / (1 + run)}, metrics={"loss": losses}
                )
                for run in range(EXPERIMENTS)
            ]
    return state


def play_swanlab(pipe: Pipe, callers: int) -> None:
    """Serve the fake SwanLab, and send its URL through the pipe.

    Each message received sets the latency and the fault rate. The reply is the number of faults so far.
    """
    from benchmarks.soak import make_faults  # noqa: PLC0415 not needed by other processes

    state = build_world(callers)
    with serve(state) as url:
        pipe.send(url)
        while True:
            state.latency, rate = pipe.recv()
            pipe.send(sum(fault.hits for fault in state.faults))
            state.faults = make_faults(state, rate) if rate else []


def play_bare_server(pipe: Pipe) -> None:
    """Serve a tool that returns the string received through the pipe, using only the SDK and uvicorn."""
    import uvicorn  # noqa: PLC0415 not needed by other processes
    from mcp.server import MCPServer  # noqa: PLC0415 not needed by other processes

    from tests.fake_swanlab.server import listen  # noqa: PLC0415 not needed by other processes

    text = pipe.recv()
    server = MCPServer("bare", log_level="ERROR")

    @server.tool()
    async def list_projects() -> str:
        return text

    listener = listen()
    pipe.send(listener.getsockname()[1])
    app: Any = server.streamable_http_app(stateless_http=True, json_response=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False)).run([listener])


@contextmanager
def play(role: Callable[..., None], *given: Any) -> Generator[Pipe]:
    """Run the function `role` in a new process, and yield a pipe for communicating with the process."""
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    process = context.Process(target=role, args=(other, *given), daemon=True)
    process.start()
    try:
        yield pipe
    finally:
        process.terminate()
        process.join()


@dataclass
class Worker:
    port: int
    process: subprocess.Popen[str]

    @property
    def memory(self) -> float:
        """The resident memory of the worker in megabytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / _MB

    @property
    def cpu(self) -> float:
        """The CPU time used by the worker in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def run_worker(host: str, *options: str) -> Generator[Worker]:
    command = [sys.executable, "-m", "swanlab_mcp", "--host", host, "serve", "--transport", "http", "--http-port", "0"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([*command, *options], stdin=subprocess.DEVNULL, stderr=log, text=True)
        try:
            port = None
            while port is None and process.poll() is None:
                time.sleep(0.05)
                log.seek(0)
                port = re.search(r":(\d+)/mcp", log.read())
            if port is None:
                raise RuntimeError("the worker did not start")
            yield Worker(int(port[1]), process)
        finally:
            process.terminate()
            process.wait()


class Caller:
    """A caller with a keep-alive connection. To save time, it parses only the necessary parts of a response."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, tool: str, arguments: dict[str, Any]) -> tuple[int, bytes]:
        """Call a tool, and return the status and the body. Reconnect if the server has closed the connection."""
        params = {"name": tool, "arguments": arguments}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        head = (
            f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\nauthorization: Bearer {self._key}\r\n"
            "accept: application/json, text/event-stream\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        try:
            return await self._exchange(head.encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            # the server closes idle connections
            self.close()
            return await self._exchange(head.encode() + body)

    async def _exchange(self, sent: bytes) -> tuple[int, bytes]:
        reader, writer = self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(sent)
        found = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", found)
        content = await reader.readexactly(int(length[1]) if length else 0)
        if b"connection: close" in found.lower():
            self.close()
        return int(found.split(b" ", 2)[1]), content

    async def insist(self, tool: str, arguments: dict[str, Any]) -> bytes:
        """Call a tool, and return the body. Repeat the call as long as the status is 429 or 503."""
        while True:
            status, content = await self.call(tool, arguments)
            if status not in (429, 503):
                if status != 200 or b'"isError":true' in content:
                    raise RuntimeError(f"{tool}: status {status}: {content[:300]!r}")
                return content
            await asyncio.sleep(0.2)

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


async def send_until(end: float, caller: Caller, times: list[float], pause: float = 0.0) -> None:
    """Make calls one after the other until `end`, and append the duration of each call to `times`."""
    while time.perf_counter() < end:
        began = time.perf_counter()
        await caller.insist(*_LIST)
        times.append(time.perf_counter() - began)
        if pause:
            await asyncio.sleep(pause)


async def compare_rates(worker: Worker, bare: int, rounds: int, seconds: float) -> list[str]:
    """Return table rows with the requests per second to the worker and the bare server.

    Rounds with the worker and the bare server alternate.
    """
    rates: dict[str, list[float]] = {"worker": [], "bare": []}
    times: dict[str, list[float]] = {"worker": [], "bare": []}
    used: list[float] = []
    for turn in range(rounds + 1):
        for name, port in (("worker", worker.port), ("bare", bare)):
            callers = [Caller(port, f"key-{number}") for number in range(CONNECTIONS)]
            took: list[float] = []
            before, began = worker.cpu, time.perf_counter()
            await asyncio.gather(*(send_until(began + seconds, one, took) for one in callers))
            passed = time.perf_counter() - began
            for one in callers:
                one.close()
            if turn:
                rates[name].append(len(took) / passed)
                times[name] += took
                used += [(worker.cpu - before) / len(took)] if name == "worker" else []
    lines: list[str] = []
    for name, title in (("worker", "this server"), ("bare", "bare SDK server")):
        middle, low, high = compute_spread(rates[name])
        p95 = 1000 * sorted(times[name])[int(len(times[name]) * 0.95)]
        lines.append(
            f"| warm list_projects, {title} | {middle:.0f} ({low:.0f} to {high:.0f}) requests/s, p95 {p95:.1f} ms |"
        )
    lines[0] += f" at least 150/s: {_judge(statistics.median(rates['worker']) >= 150)} |"
    lines[1] += f" (CPU time per request to this server: {statistics.median(used) * 1000:.2f} ms) |"
    return lines


async def sign_in_all(worker: Worker) -> float:
    """Make one call per key, with 64 callers in parallel. Return the total time in seconds."""
    keys = list(range(CALLERS))
    began = time.perf_counter()

    async def work() -> None:
        while keys:
            number = keys.pop()
            caller = Caller(worker.port, f"key-{number}")
            content = await caller.insist(*_LIST)
            assert f"user{number}".encode() in content, content[:300]
            caller.close()

    await asyncio.gather(*(work() for _ in range(64)))
    return time.perf_counter() - began


async def read_all(worker: Worker) -> None:
    """Let every caller read every project. All callers read one project before they continue with the next."""

    async def work(numbers: range, project: str) -> None:
        for number in numbers:
            caller = Caller(worker.port, f"key-{number}")
            await caller.insist("list_project_exps", {"project": project})
            caller.close()

    for index in range(PROJECTS):
        await asyncio.gather(*(work(range(first, CALLERS, 16), f"p{index}") for first in range(16)))


async def abuse(worker: Worker, rounds: int, seconds: float) -> tuple[list[float], list[float], Counter[int]]:
    """Measure how much a caller that exceeds its rate limit slows down other callers.

    Return the durations of the other callers' calls without and with this caller, and the statuses of its responses.
    """
    quiet: list[float] = []
    loud: list[float] = []
    statuses: Counter[int] = Counter()

    async def hammer(end: float) -> None:
        caller = Caller(worker.port, "key-0")
        while time.perf_counter() < end:
            statuses[(await caller.call(*_LIST))[0]] += 1
        caller.close()

    for turn in range(rounds + 1):
        for times, count in ((quiet, 0), (loud, CONNECTIONS)):
            callers = [Caller(worker.port, f"key-{number}") for number in range(1, 1 + OTHERS)]
            end = time.perf_counter() + seconds
            took: list[float] = []
            others = [send_until(end, one, took, pause=1.0) for one in callers]
            await asyncio.gather(*others, *(hammer(end) for _ in range(count)))
            for one in callers:
                one.close()
            if turn:
                times.extend(took)
    return quiet, loud, statuses


async def measure_all(repetitions: int) -> list[str]:
    rows = ["| measured | result | target |", "|---|---|---|"]
    with play(play_swanlab, CALLERS) as swanlab:
        host = swanlab.recv()
        with run_worker(host) as worker:
            start = worker.memory
            took = await sign_in_all(worker)
            judged = f"within 60 s: {_judge(took <= 60)}"
            rows.append(f"| login of {CALLERS} keys at {1000 * LATENCY:.0f} ms latency | {took:.1f} s | {judged} |")
            swanlab.send((0.0, 0.0))
            swanlab.recv()
            await read_all(worker)
            memory = worker.memory
            rows.append(
                f"| memory with {CALLERS} callers and {PROJECTS} projects | {memory:.0f} MB ({start:.0f} at the start) "
                f"| below 400 MB: {_judge(memory < 400)} |"
            )
            content = await Caller(worker.port, "key-0").insist(*_LIST)
            text = json.loads(content)["result"]["content"][0]["text"]
            with play(play_bare_server) as bare:
                bare.send(text)
                port = bare.recv()
                rows += await compare_rates(worker, port, repetitions, 3.0)
        # the other callers stay below this rate limit
        with run_worker(host, "--rate", "120") as worker:
            quiet, loud, statuses = await abuse(worker, repetitions, 3.0)
    before, after = (1000 * sorted(times)[int(len(times) * 0.95)] for times in (quiet, loud))
    shown = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    rows.append(
        f"| p95 of other callers while one exceeds its rate limit ({shown}) | {before:.1f} ms, {after:.1f} ms: "
        f"{after / before:.2f} times | at most 2 times: {_judge(after <= 2 * before)} |"
    )
    return rows


def _judge(holds: object) -> str:
    return "yes" if holds else "no"


@dataclass
class Soak:
    """Makes mixed calls with many keys until `end`, and checks each reply.

    The expected replies are recorded before SwanLab returns any faults. `pause` is the mean time in seconds between two
    calls from the same caller.
    """

    worker: Worker
    end: float
    pause: float
    whole: dict[tuple[int, int], bytes] = field(default_factory=dict[tuple[int, int], bytes])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    memory: list[float] = field(default_factory=list[float])

    async def learn(self, keys: range) -> None:
        for number in keys:
            caller = Caller(self.worker.port, f"key-{number}")
            for index, (tool, arguments) in enumerate(_MIXED):
                self.whole[number, index] = await caller.insist(tool, arguments)
            caller.close()

    async def send(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 not a secret
        while time.perf_counter() < self.end:
            number, index = chance.choice(list(self.whole))
            tool, arguments = _MIXED[index]
            kind = chance.choices(("right", "unknown key", "hang up"), (18, 1, 1))[0]
            caller = Caller(self.worker.port, f"wrong-{seed}" if kind == "unknown key" else f"key-{number}")
            try:
                # the server ends each call after at most 45 s
                limit = chance.random() / 50 if kind == "hang up" else 60.0
                status, content = await asyncio.wait_for(caller.call(tool, arguments), limit)
            except (asyncio.TimeoutError, TimeoutError):
                self.outcomes["hung up" if kind == "hang up" else "UNANSWERED"] += 1
            else:
                outcome = self.judge(status, content, b"" if kind == "unknown key" else self.whole[number, index])
                self.outcomes[outcome] += 1
                if outcome == "WRONG":
                    print(f"wrong: {kind} {tool} of user{number}: {status} {content[:600]!r}", file=sys.stderr)
            finally:
                caller.close()
            if self.pause:
                await asyncio.sleep(chance.expovariate(1 / self.pause))

    def judge(self, status: int, content: bytes, whole: bytes) -> str:
        if status in (429, 503):
            return f"status {status}"
        if not whole:
            return "refused key" if status == 401 else "WRONG"
        if status != 200 or content == whole:
            return "right" if status == 200 else "WRONG"
        result = json.loads(content).get("result", {})
        data: dict[str, Any] = result.get("structuredContent") or {}
        code = data.get("code")
        is_honest = result.get("isError") and code in _HONEST and b"Internal error" not in content
        return f"error {code}" if is_honest else "WRONG"

    async def watch(self, seconds: float) -> None:
        while time.perf_counter() < self.end:
            await asyncio.sleep(seconds / 40)
            self.memory.append(self.worker.memory)


async def run_soak(seconds: float, pause: float) -> tuple[list[str], bool]:
    with play(play_swanlab, _SOAKED) as swanlab, run_worker(swanlab.recv(), "--log-level", "ERROR") as worker:
        swanlab.send((0.0, 0.0))
        swanlab.recv()
        soaked = Soak(worker, 0.0, pause)
        await soaked.learn(range(_SOAKED))
        swanlab.send((0.0, 0.05))
        swanlab.recv()
        soaked.end = time.perf_counter() + seconds
        await asyncio.gather(soaked.watch(seconds), *map(soaked.send, range(32)))
        swanlab.send((0.0, 0.0))
        faults = swanlab.recv()
        is_alive = worker.process.poll() is None
    quarter = max(1, len(soaked.memory) // 4)
    first, last = (statistics.median(part) for part in (soaked.memory[quarter : 2 * quarter], soaked.memory[-quarter:]))
    outcomes = soaked.outcomes
    right = is_alive and faults and not outcomes["WRONG"] and not outcomes["UNANSWERED"] and last - first < _GROWTH
    growth = f"{last - first:+.1f} MB (below {_GROWTH:.0f}: {_judge(last - first < _GROWTH)})"
    lines = [
        f"{outcomes.total()} calls in {seconds:.0f} s, {faults} faulty responses: {dict(outcomes.most_common())}",
        f"memory {first:.0f} MB in the second quarter, {last:.0f} MB in the last: {growth}",
    ]
    return lines, bool(right)


def soak(seconds: float, pause: float = 0.0) -> tuple[list[str], bool]:
    """Run the soak test. Return lines that describe the result, and whether the test passed.

    The test passes if every reply was correct or a suitable error, and if the worker's memory did not grow.
    """
    return asyncio.run(run_soak(seconds, pause))


def measure(repetitions: int) -> list[str]:
    """Check all targets, and return the results as a Markdown table."""
    return asyncio.run(measure_all(repetitions))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="only soak, for example 3600")
    parser.add_argument("--pause", type=float, default=0.0, help="mean seconds between two calls of a caller (soak)")
    given = parser.parse_args()
    lines, is_right = soak(given.soak, given.pause) if given.soak else (measure(given.repetitions), True)
    print("\n".join(lines))
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
