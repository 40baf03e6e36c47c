"""Make 20,000 mixed calls, 50 in parallel, while SwanLab returns 5 % faulty responses: python benchmarks/soak.py.

The test passes if no reply is wrong or missing and memory grows by less than 10 MB after the first tenth of the calls.
The fake SwanLab runs in a separate process. The MCP client and the server share this process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import random
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.settings import Settings
from tests.client.cloud.test_faults import CALLS, build_world, show
from tests.fake_swanlab import Fault, State, serve

# error codes that are correct if SwanLab is faulty; 401 means that the session expired twice during a call
HONEST = {0, 302, 401, 429, 500, 502, 503, 504}
# draw fewer charts, because a chart takes as long as twenty other calls
WEIGHTS = {tool: 0.05 if tool == "plot_metrics" else 1.0 for tool in CALLS}
PATIENCE = 90.0


@dataclass
class Chance(Fault):
    """A fault that affects each matching request with the probability `probability`."""

    probability: float = 0.0

    def takes(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        return random.random() < self.probability and super().takes(method, path, query)  # noqa: S311 not a secret


def make_faults(state: State, rate: float) -> list[Fault]:
    """Return faults of all kinds, which together affect the fraction `rate` of all requests."""
    kinds: list[dict[str, Any]] = [
        *({"status": status} for status in (429, 500, 502, 503, 504)),
        {"status": 429, "headers": {"retry-after": "0"}},
        {"status": 302, "headers": {"location": "http://127.0.0.1:9/"}},
        {"is_dropped": True},
        {"slow_body": 0.2},
        {"delay": 0.2},
        {"then": state.end_sessions},
        {"path": "/api", "is_truncated": True},
        {"path": "/api", "body": b""},
        {"path": "/api", "body": b"null"},
        {"path": "/api", "body": b"<html>", "headers": {"content-type": "text/html"}},
        {"path": "/api", "gzip_padding": 100_000},
    ]
    return [Chance(probability=rate / len(kinds), **kind) for kind in kinds]


def play_swanlab(pipe: Connection) -> None:
    state = build_world()
    # limit the request log, which would fill the memory
    state.calls = deque(maxlen=10)  # type: ignore[assignment] # append and clear work alike
    with serve(state) as url:
        pipe.send(url)
        state.faults = make_faults(state, pipe.recv())
        pipe.recv()
        pipe.send(sum(fault.hits for fault in state.faults))


def measure_memory() -> float:
    """Return the resident memory of this process in megabytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def judge(result: Any, whole: Any) -> str:
    if not result.is_error:
        return "right" if show(result) == whole else "WRONG"
    code = result.structured_content["code"]
    return f"error {code}" if code in HONEST and "Internal error" not in show(result)[0] else "WRONG"


async def soak(url: str, pipe: Connection, calls: int, at_once: int, rate: float) -> bool:
    settings = Settings(
        api_host=url, web_host=url, api_key="test-key", key_source="SWANLAB_API_KEY", backoff=0.01, is_cached=False
    )
    outcomes: Counter[str] = Counter()
    memory: list[float] = []
    tools = random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=calls)  # noqa: S311 not a secret
    began = time.perf_counter()
    async with connect(create_server(settings, log_level="ERROR")) as client:
        whole = {tool: show(await client.call_tool(tool, arguments)) for tool, arguments in CALLS.items()}
        pipe.send(rate)

        async def ask() -> None:
            while tools:
                tool = tools.pop()
                try:
                    result = await asyncio.wait_for(client.call_tool(tool, CALLS[tool]), PATIENCE)
                except asyncio.TimeoutError:
                    outcomes["UNANSWERED"] += 1
                    continue
                outcome = judge(result, whole[tool])
                outcomes[outcome] += 1
                if outcome == "WRONG":
                    print(f"wrong: {tool}: {show(result)}"[:500])
                if outcomes.total() % max(1, calls // 20) == 0:
                    memory.append(measure_memory())
                    print(
                        f"{outcomes.total():6} calls  {time.perf_counter() - began:5.0f} s  {memory[-1]:.1f} MB",
                        flush=True,
                    )

        await asyncio.gather(*(ask() for _ in range(at_once)))
    growth = memory[-1] - memory[1]
    print(f"{outcomes.total()} of {calls} calls: {dict(outcomes.most_common())}")
    print(
        f"memory {memory[1]:.1f} MB after a tenth, {memory[-1]:.1f} MB at the end: {growth:+.1f} MB (target: below 10)"
    )
    print(f"threads at the end: {threading.active_count()}")
    return not outcomes["WRONG"] and not outcomes["UNANSWERED"] and growth < 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--rate", type=float, default=0.05, help="fraction of faulty responses")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    pipe, other_end = context.Pipe()
    swanlab = context.Process(target=play_swanlab, args=(other_end,), daemon=True)
    swanlab.start()
    passed = asyncio.run(soak(pipe.recv(), pipe, arguments.calls, arguments.at_once, arguments.rate))
    pipe.send("end")
    print(f"faults: {pipe.recv()}")
    swanlab.join()
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
