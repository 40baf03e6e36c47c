"""How much of SwanLab's latency is hidden: python benchmarks/latency.py [--repetitions 10] [--latencies 0,20,100].

The ideal is the critical path: the requests of which each needs an answer of the one before, as if any number could be
under way at once; `of 8 at once` is beside the path that is left when no more than 8 may be. `in turn` is a model of
the official SDK's way: each page and each experiment's summary or series asked after the one before, at the latency
alone. Nothing is kept (`--no-cache`), except for equal calls; each repetition is a new session that is signed in.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import compute_spread, show_seconds
from benchmarks.world import KEYS, MANY, start
from swanlab_mcp.server import connect, create_server
from swanlab_mcp.settings import Settings

_PAGES = MANY // 100
_TWENTY = [f"r{number:04}" for number in range(20)]


class Task(NamedTuple):
    """A task with its critical path, the same with 8 at once, and the requests of the model, in round trips."""

    name: str
    run: Callable[[Any], Awaitable[object]]
    path: int
    rounds: int
    in_turn: int


async def call(client: Any, tool: str, **arguments: Any) -> None:
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        raise RuntimeError(f"{tool}: {result.content}")


async def ask_50(client: Any, *, are_equal: bool) -> None:
    await asyncio.gather(
        *(
            call(client, "get_exp_summary", project="many", exp_cuid=f"r{0 if are_equal else one:04}")
            for one in range(50)
        )
    )


TASKS = (
    # the first page tells how many there are
    Task(
        "list 3,000 experiments",
        lambda client: call(client, "list_project_exps", project="many", page=0),
        2,
        1 + 4,
        _PAGES,
    ),
    # project id, the first batch of summaries, the others
    Task(
        "rank 3,000 experiments",
        lambda client: call(client, "rank_experiments", project="many", metric="loss"),
        5,
        1 + 4 + 1 + 1 + 2,
        _PAGES + MANY,
    ),
    # experiments, project id, one batch of summaries
    Task(
        "compare 20 experiments",
        lambda client: call(client, "compare_experiments", project="many", exp_cuids=_TWENTY),
        3,
        3 + 1 + 1,
        20 * 3,
    ),
    # experiment and keys, export, its address, the file
    Task(
        "32 series, exact",
        lambda client: call(
            client, "get_metrics", project="wide", exp_cuids=["wide1"], keys=KEYS, mode="exact", tail=2
        ),
        4,
        4,
        2 + 32 * 3,
    ),
    Task("one summary", lambda client: call(client, "get_exp_summary", project="many", exp_cuid="r0000"), 2, 2, 3),
    Task("50 summaries at once", lambda client: ask_50(client, are_equal=False), 2, 7 + 7, 150),
    Task("the same summary, 50 at once", lambda client: ask_50(client, are_equal=True), 2, 2, 150),
)


async def measure_once(settings: Settings, task: Task, *, is_cached: bool) -> float:
    async with connect(create_server(replace(settings, is_cached=is_cached))) as client:
        await call(client, "list_projects")
        began = time.perf_counter()
        await task.run(client)
        return time.perf_counter() - began


async def measure(repetitions: int, latencies: Sequence[int]) -> list[str]:
    """Return a Markdown table."""
    rows = [
        "| task | latency | measured | ideal | of ideal | of 8 at once | in turn (model) | times faster |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for latency in latencies:
        with start(latency) as settings:
            times: dict[str, list[float]] = {task.name: [] for task in TASKS}
            for number in range(repetitions + 1):
                for task in TASKS:
                    seconds = await measure_once(settings, task, is_cached="same" in task.name)
                    if number:
                        times[task.name].append(seconds)
        for task in TASKS:
            middle = compute_spread(times[task.name])[0]
            ideal, turn = task.path * latency / 1000, task.in_turn * latency / 1000
            cells = [task.name, f"{latency} ms", show_seconds(times[task.name])]
            if latency:
                cells += [
                    f"{1000 * ideal:.0f} ms",
                    f"{middle / ideal:.2f}",
                    f"{middle / (task.rounds * latency / 1000):.2f}",
                ]
                cells += [f"{turn:.2f} s", f"{turn / middle:.1f}"]
            else:
                cells += [""] * 5
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--latencies", default="0,20,100")
    given = parser.parse_args()
    print("\n".join(asyncio.run(measure(given.repetitions, [int(one) for one in given.latencies.split(",")]))))


if __name__ == "__main__":
    main()
