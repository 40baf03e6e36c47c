"""Compare warm calls with the bare HTTP requests that they make: python benchmarks/calls.py [--repetitions 10].

The requests made by each call are recorded once. Then, plain httpx sends the same requests in the same order without
parsing the responses. The calls do not use the cache (`--no-cache`). A separate column shows the time of a repeated
call with the cache. Memory is the peak allocation measured by tracemalloc in a separate run. Calls about runs on disk
are compared with an SDK tool that only returns its argument.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from mcp.server import MCPServer
from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import compute_spread, freeze, interleave_async, show_ratio, show_seconds
from benchmarks.world import build, start
from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.settings import Settings, load_settings
from tests.fake_swanlab import Call, serve

Send = Callable[[Call], Awaitable[None]]

QUESTIONS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("list_workspaces", {}),
    ("list_projects", {}),
    ("list_project_exps", {"project": "many"}),
    ("get_experiment", {"project": "many", "exp_cuid": "r0001"}),
    ("get_exp_summary", {"project": "many", "exp_cuid": "r0001"}),
    ("list_metrics", {"project": "wide", "exp_cuids": ["wide1"]}),
    ("get_metrics", {"project": "wide", "exp_cuids": ["wide1"], "keys": ["curve01"]}),
    ("get_environment", {"project": "many", "exp_cuids": ["r0001"]}),
    ("get_logs", {"project": "wide", "exp_cuid": "wide1"}),
    ("get_media", {"project": "wide", "exp_cuid": "wide1", "keys": ["sample"]}),
    ("compare_experiments", {"project": "many", "exp_cuids": [f"r{number:04}" for number in range(5)]}),
    ("diagnose_experiment", {"project": "wide", "exp_cuid": "wide1"}),
    ("whats_new", {"project": "wide", "since": "2024-11-01"}),
    ("plot_metrics", {"project": "wide", "exp_cuids": ["wide1"], "keys": ["curve01"]}),
    ("find_experiments", {"project": "many", "filters": [{"field": "config.seed", "op": "=", "value": 1}], "size": 20}),
    ("rank_experiments", {"project": "many", "metric": "loss"}),
)

_RUN = {"project": "digits-mlp", "exp_cuid": "lr-0.1"}
_RUNS = {"project": "digits-mlp", "exp_cuids": ["lr-0.1", "lr-1"]}
OFFLINE: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("list_workspaces", {}),
    ("list_projects", {}),
    ("list_project_exps", {"project": "digits-mlp"}),
    (
        "find_experiments",
        {"project": "digits-mlp", "filters": [{"field": "config.lr", "op": ">", "value": 0.01}]},
    ),
    ("get_experiment", _RUN),
    ("get_environment", {"project": "digits-mlp", "exp_cuids": ["lr-0.1"]}),
    ("get_exp_summary", _RUN),
    ("get_logs", _RUN),
    ("list_metrics", _RUNS),
    ("get_metrics", {**_RUNS, "keys": ["val/loss"]}),
    ("rank_experiments", {"project": "digits-mlp", "metric": "val/acc"}),
    ("compare_experiments", _RUNS),
    ("diagnose_experiment", _RUN),
    ("whats_new", {"project": "digits-mlp", "since": "2024-11-01"}),
)


async def ask(client: Any, tool: str, arguments: Mapping[str, Any]) -> None:
    """Call a tool without validating the result, because validation in the SDK's client is not the server's work."""
    asked = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=dict(arguments)))
    result = await client.session.send_request(asked, CallToolResult)
    if result.is_error:
        raise RuntimeError(f"{tool}: {result.content}")


async def record(questions: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Sequence[Call]]:
    """Make each call, and return the requests that each call sent to SwanLab."""
    state = build()
    found: list[Sequence[Call]] = []
    with serve(state) as host:
        settings = Settings(api_host=host, web_host=host, api_key="test-key", is_cached=False)
        async with connect(create_server(settings)) as client:
            for tool, arguments in questions:
                await ask(client, tool, arguments)
                state.calls.clear()
                await ask(client, tool, arguments)
                found.append(tuple(state.calls))
    return found


def find_stages(calls: Sequence[Call]) -> list[int]:
    """Return the sizes of the batches of parallel requests.

    The first page of a list and the steps of an export are sent one at a time.
    """
    stages = [1]
    for call in calls[1:]:
        if call.raw_path.endswith(("/export", "/presigned/get")) or call.raw_path.startswith("/storage/"):
            stages += [1, 0]
        elif len(stages) == 1:
            stages.append(1)
        else:
            stages[-1] += 1
    return stages


async def replay(send: Send, calls: Sequence[Call], stages: Sequence[int]) -> None:
    """Send the recorded requests in batches of the given sizes. The remaining requests form the last batch."""
    left = list(calls)
    for count in (*stages, len(left)):
        await asyncio.gather(*(send(call) for call in left[:count]))
        del left[:count]


@asynccontextmanager
async def open_bare(settings: Settings) -> AsyncIterator[Send]:
    """Log in, and yield a function that sends a recorded request again with plain httpx."""
    async with httpx.AsyncClient(base_url=settings.api_host, timeout=600.0) as http:
        answer = await http.post("/api/login/api_key", headers={"authorization": settings.api_key})
        session = {"cookie": f"sid={answer.json()['sid']}"}

        # replace the recorded path and URL of each export, because every export gets new ones
        exported: list[str] = []
        signed = ""

        async def send(call: Call) -> None:
            nonlocal exported, signed
            url = f"{call.raw_path}?{call.raw_query}" if call.raw_query else call.raw_path
            headers, body = session, call.body
            if call.raw_path.startswith("/storage/"):
                url, headers = signed, {}
            elif call.raw_path.endswith("/files/presigned/get"):
                body = {"paths": exported}
            answer = (await http.request(call.method, url, json=body, headers=headers)).raise_for_status()
            if call.raw_path.endswith("/export"):
                exported = [answer.json()["cosKey"]]
            elif call.raw_path.endswith("/presigned/get"):
                signed = answer.json()["urls"][0]

        yield send


async def measure(repetitions: int) -> list[str]:
    """Measure all calls, and return the results as a Markdown table."""
    recorded = await record(QUESTIONS)
    freeze()
    rows = [
        "| call | requests | exchange | call | ratio | at most 1.3 times + 2 ms | cached | memory, exchange and call |",
        "|---|---:|---|---|---|---|---|---:|",
    ]
    with start() as settings:
        async with (
            open_bare(settings) as send,
            connect(create_server(replace(settings, is_cached=False))) as fresh,
            connect(create_server(settings)) as kept,
        ):
            for (tool, arguments), calls in zip(QUESTIONS, recorded, strict=True):
                ways = {
                    "exchange": lambda calls=calls: replay(send, calls, find_stages(calls)),
                    "call": lambda tool=tool, arguments=arguments: ask(fresh, tool, arguments),
                    "kept": lambda tool=tool, arguments=arguments: ask(kept, tool, arguments),
                }
                times = await interleave_async(ways, repetitions)
                bare, whole = compute_spread(times["exchange"])[0], compute_spread(times["call"])[0]
                holds = (
                    "yes" if whole <= 1.3 * bare + 0.002 else f"no, {1000 * (whole - 1.3 * bare - 0.002):.1f} ms above"
                )
                cells = [
                    tool,
                    str(len(calls)),
                    show_seconds(times["exchange"]),
                    show_seconds(times["call"]),
                    show_ratio(times["call"], times["exchange"]),
                    holds,
                    show_seconds(times["kept"]),
                    f"{await measure_memory(ways['exchange'])} and {await measure_memory(ways['call'])}",
                ]
                rows.append(f"| {' | '.join(cells)} |")
    return [*rows, "", *await measure_offline(repetitions)]


async def measure_memory(run: Callable[[], Awaitable[object]]) -> str:
    tracemalloc.start()
    try:
        await run()
        return f"{tracemalloc.get_traced_memory()[1] / 2**20:.1f} MB"
    finally:
        tracemalloc.stop()


async def measure_offline(repetitions: int) -> list[str]:
    """Measure warm calls about the demo's runs on disk, and return the results as a Markdown table."""
    trivial = MCPServer("trivial")

    @trivial.tool()
    async def echo(text: str) -> str:
        return text

    rows = ["| call about runs on disk | trivial SDK call | call | difference |", "|---|---|---|---:|"]
    async with connect(create_server(load_settings(demo=True))) as client, connect(trivial) as bare:
        for tool, arguments in OFFLINE:
            ways = {
                "trivial": lambda: ask(bare, "echo", {"text": "one"}),
                "call": lambda tool=tool, arguments=arguments: ask(client, tool, arguments),
            }
            times = await interleave_async(ways, repetitions)
            above = 1000 * (compute_spread(times["call"])[0] - compute_spread(times["trivial"])[0])
            cells = [tool, show_seconds(times["trivial"]), show_seconds(times["call"]), f"{above:.1f} ms"]
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10)
    print("\n".join(asyncio.run(measure(parser.parse_args().repetitions))))


if __name__ == "__main__":
    main()
