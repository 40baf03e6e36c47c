"""Time from process start to the answer of `initialize`, beside a bare one-tool server on the same SDK.

python benchmarks/startup.py [--repetitions 15]. The two are started in turn, so that a busy machine slows both; what
counts is the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

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
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}


def measure(command: list[str]) -> float:
    """Return the seconds from starting a server to its answer."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the server has no pipes")
        server.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        seconds = time.perf_counter() - began
        server.stdin.close()
        server.wait()
    if "result" not in answer:
        raise RuntimeError(f"no answer to initialize: {answer}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=15)
    repetitions = parser.parse_args().repetitions
    commands = {
        "bare server": [sys.executable, "-c", BARE],
        "swanlab-mcp-server": [sys.executable, "-m", "swanlab_mcp"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        measure(command)
    for _ in range(repetitions):
        for name, command in commands.items():
            times[name].append(measure(command))
    for name, seconds in times.items():
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        print(f"{name:20} min {low:.3f} s  median {middle:.3f} s  max {high:.3f} s")
    bare, ours = (statistics.median(seconds) for seconds in times.values())
    print(f"ratio of medians {ours / bare:.3f} (at most 1.15 is wanted)")


main()
