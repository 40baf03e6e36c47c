"""Measure how well parallel requests hide latency: python benchmarks/latency.py [--repetitions 10] [--latencies 0,20].

The columns are:

- `ideal`: the latency of the longest chain of dependent requests. This would be the time with unlimited parallelism and
  no other cost.
- `bare exchange`: the time of the same requests with the same parallelism through plain httpx, without parsing the
  responses. This is the cost of the machine, httpx and the fake server.
- `sequential`: a model of the official SDK, which requests every page and every summary or series one after the other.
  Latency is the only cost in this model.

The cache is disabled (`--no-cache`), except in the task with identical calls. Each repetition uses a new session that
is already logged in.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.calls import ask, open_bare, replay
from benchmarks.measuring import compute_spread, freeze, show_seconds
from benchmarks.world import KEYS, MANY, build, start
from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.settings import Settings
from tests.fake_swanlab import Call, serve

_PAGES = MANY // 100
_TWENTY = [f"r{number:04}" for number in range(20)]


class Task(NamedTuple):
    """One or more calls that are made in parallel.

    `path` is the length of the longest chain of dependent requests, and `in_turn` is the number of requests in the
    sequential model. `stages` contains the number of requests in each parallel batch. All remaining requests are in the
    last batch.
    """

    name: str
    questions: Sequence[tuple[str, dict[str, Any]]]
    path: int
    in_turn: int
    stages: Sequence[int]
    is_cached: bool = False


def ask_about(number: int) -> tuple[str, dict[str, Any]]:
    return "get_exp_summary", {"project": "many", "exp_cuid": f"r{number:04}"}


# the groups of functions in `show_shares`, with patterns that match the path or name of a function
SHARES = (
    (
        "HTTP (httpx, httpcore, h11, anyio, asyncio)",
        r"/(httpx|httpcore|h11|anyio|asyncio|sniffio)/|_socket|epoll|urllib",
    ),
    ("JSON into records", r"/json/|/client/cloud/(answers|wire|series)|/core/(models|records)|pydantic"),
    ("transport and cache", r"/swanlab_mcp/client/|/core/concurrency"),
    ("operations and analysis", r"/swanlab_mcp/(operations|analysis)/|/core/findings"),
    ("rendering and masking", r"/swanlab_mcp/(present/|server/repl|core/(untrusted|secret_masking|i18n))"),
    ("MCP (both ends)", r"/(mcp|mcp_types|opentelemetry)/"),
)

TASKS = (
    # requests the first page, which contains the total, and then the pages that fit into the reply
    Task("list 3,000 experiments", [("list_project_exps", {"project": "many", "page": 0})], 2, _PAGES, (1,)),
    # requests all pages
    Task(
        "find among 3,000 experiments",
        [("find_experiments", {"project": "many", "sort": "name", "size": 20, "page": 1})],
        2,
        _PAGES,
        (1,),
    ),
    # requests the project's id and the first page in parallel, then the other pages and the summaries
    Task(
        "rank 3,000 experiments",
        [("rank_experiments", {"project": "many", "metric": "loss"})],
        3,
        _PAGES + MANY,
        (2, _PAGES - 1),
    ),
    # requests the experiments, the project's id and one batch of summaries
    Task(
        "compare 20 experiments",
        [("compare_experiments", {"project": "many", "exp_cuids": _TWENTY})],
        3,
        20 * 3,
        (20, 1),
    ),
    # requests the experiment and the keys, the export, the URL of the export and the file
    Task(
        "32 series, exact",
        [("get_metrics", {"project": "wide", "exp_cuids": ["wide1"], "keys": KEYS, "mode": "exact", "tail": 2})],
        4,
        2 + 32 * 3,
        (),
    ),
    Task("one summary", [ask_about(0)], 2, 3, (2,)),
    # requests the project's id only once
    Task("50 summaries in parallel", [ask_about(one) for one in range(50)], 2, 150, (51,)),
    Task("the same summary, 50 in parallel", [ask_about(0)] * 50, 2, 150, (2,), is_cached=True),
)


async def ask_all(client: Any, task: Task) -> None:
    await asyncio.gather(*(ask(client, tool, arguments) for tool, arguments in task.questions))


async def measure_once(settings: Settings, task: Task) -> float:
    async with connect(create_server(replace(settings, is_cached=task.is_cached))) as client:
        await ask(client, "list_projects", {})
        began = time.perf_counter()
        await ask_all(client, task)
        return time.perf_counter() - began


async def record(task: Task) -> Sequence[Call]:
    state = build()
    with serve(state) as host:
        settings = Settings(api_host=host, web_host=host, api_key="test-key", is_cached=task.is_cached)
        async with connect(create_server(settings)) as client:
            await ask(client, "list_projects", {})
            state.calls.clear()
            await ask_all(client, task)
    # put the summaries last, because the first summaries are requested before the last page
    return sorted(state.calls, key=lambda call: call.raw_path.endswith("/summaries"))


async def measure_exchange(settings: Settings, task: Task, calls: Sequence[Call]) -> float:
    async with open_bare(settings) as send:
        began = time.perf_counter()
        await replay(send, calls, task.stages)
        return time.perf_counter() - began


async def measure(repetitions: int, latencies: Sequence[int]) -> list[str]:
    """Measure all tasks at each latency, and return the results as a Markdown table."""
    rows = [
        "| task | latency | measured | ideal | to ideal | bare exchange | to exchange | sequential (model) | speedup |",
        "|---|---:|---|---:|---:|---|---:|---:|---:|",
    ]
    # tasks without stages are exports, which cannot be replayed, because each export has a new URL
    recorded = {task.name: await record(task) for task in TASKS if task.stages}
    freeze()
    for latency in latencies:
        with start(latency) as settings:
            times: dict[str, list[float]] = {task.name: [] for task in TASKS}
            exchanges: dict[str, list[float]] = {task.name: [] for task in TASKS}
            for number in range(repetitions + 1):
                for task in TASKS:
                    seconds = await measure_once(settings, task)
                    bare = await measure_exchange(settings, task, recorded[task.name]) if task.stages else None
                    if number:
                        times[task.name].append(seconds)
                        exchanges[task.name] += [bare] if bare else []
        for task in TASKS:
            middle = compute_spread(times[task.name])[0]
            ideal, turn = task.path * latency / 1000, task.in_turn * latency / 1000
            bare = exchanges[task.name]
            cells = [task.name, f"{latency} ms", show_seconds(times[task.name])]
            cells += [f"{1000 * ideal:.0f} ms", f"{middle / ideal:.2f}"] if latency else ["", ""]
            cells += [show_seconds(bare), f"{middle / compute_spread(bare)[0]:.2f}"] if bare else ["", ""]
            cells += [f"{turn:.2f} s", f"{turn / middle:.1f}"] if latency else ["", ""]
            rows.append(f"| {' | '.join(cells)} |")
    return [*rows, "", *await show_shares()]


async def show_shares() -> list[str]:
    """Return a Markdown table with the share of CPU time per package, measured by cProfile without latency."""
    rows = [f"| at 0 ms, share of CPU time in | {' | '.join(name for name, _ in SHARES)} | others |"]
    rows.append("|---|" + "---:|" * (len(SHARES) + 1))
    with start() as settings:
        for task in TASKS:
            if task.name not in ("find among 3,000 experiments", "rank 3,000 experiments", "50 summaries in parallel"):
                continue
            await measure_once(settings, task)
            async with connect(create_server(replace(settings, is_cached=False))) as client:
                await ask(client, "list_projects", {})
                profile = cProfile.Profile()
                profile.enable()
                await ask_all(client, task)
                profile.disable()
            times: dict[str, float] = dict.fromkeys([name for name, _ in SHARES], 0.0)
            whole = 0.0
            for entry in profile.getstats():
                code = entry.code
                index = code if isinstance(code, str) else f"{code.co_filename} {code.co_name}".replace("\\", "/")
                whole += entry.inlinetime
                name = next((name for name, pattern in SHARES if re.search(pattern, index)), None)
                if name:
                    times[name] += entry.inlinetime
            shares = [f"{value / whole:.0%}" for value in (*times.values(), whole - sum(times.values()))]
            rows.append(f"| {task.name} | {' | '.join(shares)} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--latencies", default="0,20,100")
    given = parser.parse_args()
    print("\n".join(asyncio.run(measure(given.repetitions, [int(one) for one in given.latencies.split(",")]))))


if __name__ == "__main__":
    main()
