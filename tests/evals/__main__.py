"""Run the questions on an MCP server: python -m tests.evals --server 'command …' [--calls FILE] [--only TEXT] [--show].

The command runs with the SWANLAB_API_HOST, SWANLAB_WEB_HOST and SWANLAB_API_KEY of a fake SwanLab on this machine, and
with the SWANLAB_LOG_DIR of the recorded demo runs. FILE contains the calls for a server with other tools, as a JSON
object that maps a case's name to its calls, each [tool, arguments]. Other cases are skipped if the server lacks a tool.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

import swanlab_mcp
from tests.evals.cases import CASES
from tests.evals.runner import Verdict, play
from tests.evals.world import KEY, build_world
from tests.fake_swanlab import create_app, serve

_OURS = f"{shlex.quote(sys.executable)} -m swanlab_mcp"


async def ask(command: str, host: str, calls: dict[str, Any], only: str) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts, and the names of the cases whose tools the server lacks."""
    program, *arguments = shlex.split(command)
    environ = {
        **os.environ,
        "SWANLAB_API_HOST": host,
        "SWANLAB_WEB_HOST": host,
        "SWANLAB_API_KEY": KEY,
        "SWANLAB_LOG_DIR": str(Path(swanlab_mcp.__file__).parent / "demo"),
    }
    verdicts: list[Verdict] = []
    skipped: list[str] = []
    async with Client(StdioServerParameters(command=program, args=arguments, env=environ)) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        for case in CASES:
            wanted = [(tool, given) for tool, given in calls.get(case.name, case.calls)]
            if only not in case.name:
                continue
            if {tool for tool, _ in wanted} <= tools:
                verdicts.append(await play(client, case, wanted))
            else:
                skipped.append(case.name)
    return verdicts, skipped


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.evals", description=__doc__)
    parser.add_argument("--server", default=_OURS, help="command of an MCP server on stdio (default: this one)")
    parser.add_argument("--calls", type=Path, help="JSON file with the calls for a server with other tools")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument("--show", action="store_true", help="print the replies too")
    arguments = parser.parse_args()
    calls = json.loads(arguments.calls.read_text(encoding="utf-8")) if arguments.calls else {}
    with serve(create_app(build_world())) as host:
        verdicts, skipped = asyncio.run(ask(arguments.server, host, calls, arguments.only))
    for verdict in verdicts:
        word = "FAIL" if verdict.faults else "ok"
        sys.stdout.write(f"{word:5}{verdict.calls} calls {verdict.tokens:6} tokens  {verdict.case.name}\n")
        sys.stdout.writelines(f"       {fault}\n" for fault in verdict.faults)
        if arguments.show:
            sys.stdout.write(f"{verdict.case.question}\n{verdict.text}\n\n")
    failed = sum(bool(verdict.faults) for verdict in verdicts)
    sys.stdout.write(f"{len(verdicts) - failed} of {len(verdicts)} right, {len(skipped)} without a tool\n")
    return 1 if failed or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
