"""Measure the time from starting the server to the response to `initialize` and to the first reply.

python benchmarks/startup.py [--repetitions 15]

The baseline is a server with a single tool that uses the same SDK. The two servers alternate, so that a busy machine
slows both, and the result is the ratio of the medians. On a busy machine, CPU time is more reliable than wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import show_ratio, show_seconds

BARE = """
from mcp.server import MCPServer
server = MCPServer("bare", version="1")
@server.tool()
async def echo(text: str) -> str:
    "Return the text."
    return text
server.run()
"""
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}
OURS = [sys.executable, "-m", "swanlab_mcp", "--demo"]
WAYS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "bare server": ([sys.executable, "-c", BARE], {"name": "echo", "arguments": {"text": "one"}}),
    "swanlab-mcp-server": (OURS, {"name": "list_workspaces", "arguments": {}}),
}
MOMENTS = ("initialize", "tools/list", "first call", "CPU time")


def measure_once(command: list[str], call: dict[str, Any], **environment: str) -> list[float]:
    """Start a server. Return the times until it responds to each request and its CPU time, all in seconds."""
    moments: list[float] = []
    before = os.times()
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    ) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the server has no pipes")
        for number, (method, params) in enumerate(
            (("initialize", INITIALIZE), ("tools/list", {}), ("tools/call", call)), 1
        ):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            server.stdin.write(json.dumps(message).encode() + b"\n")
            server.stdin.flush()
            answer = json.loads(server.stdout.readline())
            moments.append(time.perf_counter() - began)
            if "result" not in answer or answer["result"].get("isError"):
                raise RuntimeError(f"no answer to {method}: {answer}")
            if method == "initialize":
                server.stdin.write(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        server.stdin.close()
        server.wait()
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return [*moments, spent]


def measure(repetitions: int) -> list[str]:
    """Measure both servers, and return the results as a Markdown table."""
    rows = ["| until | bytecode | bare server | swanlab-mcp-server | ratio |", "|---|---|---|---|---|"]
    for bytecode, environment in (
        ("cached", {}),
        ("none", {"PYTHONPYCACHEPREFIX": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}),
    ):
        found: dict[str, list[list[float]]] = {name: [] for name in WAYS}
        for number in range(repetitions + 1):
            for name, (command, call) in WAYS.items():
                moments = measure_once(command, call, **environment)
                if number:
                    found[name].append(moments)
        bare, ours = found.values()
        for index, moment in enumerate(MOMENTS):
            left, right = [one[index] for one in bare], [one[index] for one in ours]
            rows.append(
                f"| {moment} | {bytecode} | {show_seconds(left)} | {show_seconds(right)} | {show_ratio(right, left)} |"
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=15)
    print("\n".join(measure(parser.parse_args().repetitions)))


if __name__ == "__main__":
    main()
