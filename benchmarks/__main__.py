"""Run all benchmarks and write RESULTS.md: python -m benchmarks [--quick] [--only NAME …] in the checkout."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks import calls, install, large, latency, shared_server, startup, tokens

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"
_END = "<!-- end of {} -->"


@dataclass(frozen=True)
class Benchmark:
    """A section of the results. `run` takes the number of repetitions and returns Markdown lines."""

    name: str
    title: str
    run: Callable[[int], Sequence[str]]
    repetitions: int = 10
    quick: int = 2


def run_script(*words: str) -> list[str]:
    command = [sys.executable, str(FOLDER / words[0]), *words[1:]]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return ["```", *done.stdout.rstrip().splitlines(), "```"]


BENCHMARKS = (
    Benchmark("startup", "Start", startup.measure),
    Benchmark(
        "calls", "Warm calls compared with the bare HTTP exchange", lambda count: asyncio.run(calls.measure(count))
    ),
    Benchmark(
        "latency",
        "Hidden latency",
        lambda count: asyncio.run(latency.measure(count, (0, 20, 50, 100) if count > 2 else (20,))),
    ),
    Benchmark("large", "Large replies", large.measure, 3, 1),
    Benchmark("tokens", "Tokens (o200k)", lambda _count: tokens.report(tokens.play())),
    Benchmark("install", "Install weight", lambda _count: install.measure()),
    Benchmark("shared_server", "Shared server", shared_server.measure, 5, 1),
    Benchmark("analysis", "Analysis", lambda _count: run_script("analysis.py")),
    Benchmark(
        "offline",
        "Runs on disk",
        lambda count: run_script(
            "offline.py", "--repetitions", str(count), *([] if count > 2 else ["--points", "50000", "--runs", "100"])
        ),
        3,
        1,
    ),
)


def describe_machine() -> list[str]:
    """Return a general description of the machine, for readers of the results."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    packages = ", ".join(f"{name} {version(name)}" for name in ("mcp", "pydantic", "httpx", "uvicorn"))
    return [
        f"- Machine: {os.cpu_count()} processors ({platform.machine()}), {platform.system()}; load: {load}",
        f"- Python {platform.python_version()}, {packages}.",
    ]


def replace_section(text: str, one: Benchmark, lines: Sequence[str]) -> str:
    """Return the results with one section replaced. Text outside the section is left unchanged."""
    begin, end = f"## {one.title}\n", _END.format(one.name)
    section = "\n".join([begin, *lines, "", end])
    if begin in text and end in text:
        return text[: text.index(begin)] + section + text[text.index(end) + len(end) :]
    return f"{text.rstrip()}\n\n{section}\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions; the results are marked as rough")
    parser.add_argument("--only", nargs="*", default=[one.name for one in BENCHMARKS], metavar="NAME")
    given = parser.parse_args()
    for one in BENCHMARKS:
        if one.name not in given.only:
            continue
        print(f"{one.name} …", file=sys.stderr, flush=True)
        count = one.quick if given.quick else one.repetitions
        machine = describe_machine()
        lines = one.run(count)
        text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Results\n"
        method = f"- {count} repetitions, interleaved{' (a quick pass)' if given.quick else ''}."
        RESULTS.write_text(replace_section(text, one, [*machine, method, "", *lines]), encoding="utf-8")


if __name__ == "__main__":
    main()
