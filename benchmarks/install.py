"""What the core install weighs: python benchmarks/install.py. Optional dependencies do not count."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["measure"]

PACKAGE = "swanlab-mcp-server"


def find_closure(name: str) -> dict[str, int]:
    """Return the bytes of each package that the core needs, as installed here, without bytecode."""
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
    """Return a Markdown table of the largest packages and the sum."""
    sizes = find_closure(PACKAGE)
    # an editable install lists no files of its own
    own = Path(__file__).parents[1] / "swanlab_mcp"
    sizes[PACKAGE] = sum(file.stat().st_size for file in own.rglob("*") if file.is_file() and file.suffix != ".pyc")
    rows = ["| package | MB |", "|---|---:|"]
    largest = sorted(sizes, key=lambda name: -sizes[name])[:8]
    rows += [f"| {name} | {sizes[name] / 1e6:.1f} |" for name in largest]
    rows.append(f"| **all {len(sizes)}** (at most 80 is wanted) | {sum(sizes.values()) / 1e6:.1f} |")
    return rows


def main() -> None:
    sys.stdout.write("\n".join(measure()) + "\n")


if __name__ == "__main__":
    main()
