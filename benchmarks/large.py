"""Measure calls that read 500,000 exact points or a 10 MB log: python benchmarks/large.py [--repetitions 3].

Each repetition runs in a new process, and the fake SwanLab runs in a separate process. A background task measures how
long the event loop is blocked, because other calls have to wait during that time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import compute_spread, freeze, show_seconds
from benchmarks.world import start
from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.settings import Settings

_LARGE = {"project": "large"}
QUESTIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "500,000 exact points": (
        "get_metrics",
        {**_LARGE, "exp_cuids": ["large1"], "keys": ["loss"], "mode": "exact", "max_points": 100},
    ),
    "the same, diagnosed": ("diagnose_experiment", {**_LARGE, "exp_cuid": "large1"}),
    "10 MB of log, searched": ("get_logs", {**_LARGE, "exp_cuid": "large1", "search": "step 777 "}),
}


def read_memory(what: str) -> float:
    """Return the memory of this process in MB. `what` is VmRSS for the current value or VmHWM for the peak.

    This function works only on Linux.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


async def ask(settings: Settings, tool: str, arguments: Mapping[str, Any]) -> list[float]:
    """Call a tool. Return the duration, the longest time that the event loop was blocked, and the memory used in MB."""
    longest = 0.0
    async with connect(create_server(replace(settings, is_cached=False))) as client:
        await client.call_tool("list_projects", {})

        async def watch() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                longest = max(longest, time.perf_counter() - before - 0.001)

        freeze()
        memory = read_memory("VmRSS")
        watching = asyncio.create_task(watch())
        began = time.perf_counter()
        result = await client.call_tool(tool, dict(arguments))
        seconds = time.perf_counter() - began
        watching.cancel()
    if result.is_error:
        raise RuntimeError(f"{tool}: {result.content}")
    return [seconds, longest, read_memory("VmHWM") - memory]


def measure(repetitions: int) -> list[str]:
    """Measure all calls, and return the results as a Markdown table."""
    rows = ["| question | time | event loop blocked | extra memory |", "|---|---|---|---:|"]
    with start(is_large=True) as settings:
        found: dict[str, list[list[float]]] = {name: [] for name in QUESTIONS}
        for _ in range(repetitions):
            for name, runs in found.items():
                command = [sys.executable, __file__, "--ask", name, settings.api_host]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                runs.append(json.loads(done.stdout))
    for name, runs in found.items():
        seconds, held, memory = ([run[index] for run in runs] for index in range(3))
        rows.append(f"| {name} | {show_seconds(seconds)} | {show_seconds(held)} | {compute_spread(memory)[0]:.0f} MB |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--ask", nargs=2, metavar=("QUESTION", "HOST"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        name, host = given.ask
        settings = Settings(api_host=host, web_host=host, api_key="test-key", timeout=600.0)
        print(json.dumps(asyncio.run(ask(settings, *QUESTIONS[name]))))
    else:
        print("\n".join(measure(given.repetitions)))


if __name__ == "__main__":
    main()
