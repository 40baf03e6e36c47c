"""Measure the installed size, and the time from an empty folder to the first reply: python benchmarks/install.py.

Optional dependencies are not included. The timed steps are building a wheel from this checkout, creating a virtual
environment, installing the wheel with its dependencies from pip's configured index, and calling a tool on the demo. If
a step fails, the table shows the reason instead of the time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["measure"]

PACKAGE = "swanlab-mcp-server"


def find_closure(name: str) -> dict[str, int]:
    """Return the installed size in bytes of the package `name` and each required dependency, without bytecode."""
    sizes: dict[str, int] = {}
    waiting = [(name, frozenset[str]())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        wanted, extras = one
        try:
            found = distribution(wanted)
        except PackageNotFoundError:
            continue
        sizes[re.sub(r"[-_.]+", "-", wanted).lower()] = sum(
            Path(str(file.locate())).stat().st_size
            for file in found.files or ()
            if file.suffix != ".pyc" and Path(str(file.locate())).is_file()
        )
        for line in found.requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append((needed.name, frozenset(needed.extras)))
    return sizes


def measure() -> list[str]:
    """Return a Markdown table with the sizes of the largest packages and the total size."""
    sizes = find_closure(PACKAGE)
    # the metadata of an editable install does not list the package's files
    own = Path(__file__).parents[1] / "swanlab_mcp"
    sizes[PACKAGE] = sum(file.stat().st_size for file in own.rglob("*") if file.is_file() and file.suffix != ".pyc")
    rows = ["| package | MB |", "|---|---:|"]
    largest = sorted(sizes, key=lambda name: -sizes[name])[:8]
    rows += [f"| {name} | {sizes[name] / 1e6:.1f} |" for name in largest]
    rows.append(f"| **all {len(sizes)}** (target: at most 80) | {sum(sizes.values()) / 1e6:.1f} |")
    return [*rows, "", *time_from_nothing()]


def time_from_nothing() -> list[str]:
    """Return a Markdown table with the time of each step from an empty folder to the first reply."""
    root = Path(__file__).parents[1]
    rows = ["| from an empty folder | time |", "|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "venv", "bin", "python")
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
        call = [str(python), "-m", "swanlab_mcp", "--demo", "call", "list_project_exps", "project=digits-mlp"]
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "-o", folder, str(root)], check=True, capture_output=True
        )
        wheel = next(Path(folder).glob("*.whl"))
        total = 0.0
        for step, command in (
            ("create a virtual environment", [sys.executable, "-m", "venv", str(python.parents[1])]),
            (
                "install the wheel and its dependencies",
                [*pip, "install", "-c", str(root / "constraints.txt"), str(wheel)],
            ),
            ("first reply", call),
            ("second reply", call),
        ):
            began = time.perf_counter()
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - began
            if done.returncode:
                return [*rows, f"| {step} | not possible here: {done.stderr.strip().splitlines()[-1][:100]} |"]
            total += seconds if step != "second reply" else 0
            rows.append(f"| {step} | {seconds:.1f} s |")
    return [*rows, f"| **total to the first reply** | {total:.1f} s |"]


def main() -> None:
    sys.stdout.write("\n".join(measure()) + "\n")


if __name__ == "__main__":
    main()
