"""What the analysis of series costs, and how often it sees events where there is only noise.

Run it from the checkout: python benchmarks/analysis.py [false-alarms]
"""

from __future__ import annotations

import math
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

from swanlab_mcp.analysis.deciding import read_curve
from swanlab_mcp.analysis.diagnosis import judge
from swanlab_mcp.analysis.differences import associate, find_varying, group_repeats
from swanlab_mcp.analysis.leaderboard import Result, order_results, set_apart
from swanlab_mcp.analysis.noise import pool_noise
from swanlab_mcp.analysis.spikes import find_spikes
from swanlab_mcp.analysis.trends import find_plateau, find_worsening

POINTS = 500_000
SERIES = 1000
LENGTHS = (40, 300, 3000)


def draw_normal(source: random.Random, size: int) -> list[float]:
    return [source.gauss(1.0, 0.1) for _ in range(size)]


def draw_lognormal(source: random.Random, size: int) -> list[float]:
    return [source.lognormvariate(0.0, 0.3) for _ in range(size)]


def draw_correlated(source: random.Random, size: int) -> list[float]:
    """Draw noise of which half is left after each step: AR(1) with coefficient 0.5."""
    return list(_walk(source, size, 0.5))


def draw_slow(source: random.Random, size: int) -> list[float]:
    return list(_walk(source, size, 0.9))


def _walk(source: random.Random, size: int, kept: float) -> Iterator[float]:
    value = source.gauss(0.0, 1 / math.sqrt(1 - kept**2))
    for _ in range(size):
        value = kept * value + source.gauss(0.0, 1.0)
        yield value


NOISES: tuple[Callable[[random.Random, int], list[float]], ...] = (
    draw_normal,
    draw_lognormal,
    draw_correlated,
    draw_slow,
)


def find_false_alarms(values: list[float]) -> list[str]:
    """Return the kinds of events seen in noise, where there are none ("never learned" is true of noise)."""
    steps = list(range(len(values)))
    finders = {"spike": find_spikes, "worsening": find_worsening, "plateau": find_plateau}
    return [kind for kind, find in finders.items() if find(steps, values)]


def measure_false_alarms(series: int = SERIES) -> dict[tuple[str, int], dict[str, int]]:
    counts: dict[tuple[str, int], dict[str, int]] = {}
    for draw in NOISES:
        for length in LENGTHS:
            told = counts.setdefault((draw.__name__.removeprefix("draw_"), length), {})
            for seed in range(series):
                for kind in find_false_alarms(draw(random.Random(seed), length)):  # noqa: S311 no secret
                    told[kind] = told.get(kind, 0) + 1
    return counts


def measure_cost() -> tuple[float, float]:
    """Return processor seconds and the largest extra memory in MB of looking at 500,000 points in every way."""
    source = random.Random(1)  # noqa: S311 no secret
    values = [2.3 * math.exp(-step / 50_000) + source.gauss(0.3, 0.05) for step in range(POINTS)]
    steps = list(range(POINTS))
    times = [1_700_000_000_000 + 200 * step for step in steps]

    def look() -> None:
        judge([read_curve("train/loss", steps, values, times)])

    begin = time.process_time()
    look()
    seconds = time.process_time() - begin
    tracemalloc.start()
    look()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return seconds, peak


def measure_ranking(experiments: int = 3000, keys: int = 40) -> float:
    """Return the seconds that it takes to find repeats, noise, order and columns of many experiments."""
    source = random.Random(1)  # noqa: S311 no secret
    configs = [
        {f"key{key}": source.choice([1, 2, 3]) if key % 3 else source.random() for key in range(keys)}
        for _ in range(experiments)
    ]
    results = [Result(source.random(), 5, 0.5, 100, "FINISHED") for _ in configs]
    begin = time.process_time()
    reasons = set_apart(results)
    order = order_results(results, reasons, "max")
    pool_noise([[results[place].value or 0.0 for place in group] for group in group_repeats(configs)])
    find_varying([configs[place] for place in order[:10]])
    some = order[::6]
    associate([configs[place] for place in some], [results[place].value or 0.0 for place in some], list(configs[0]))
    return time.process_time() - begin


def main() -> None:
    seconds, peak = measure_cost()
    print(f"{POINTS:,} points: {seconds:.2f} s (at most 1.5), {peak:.0f} MB extra (at most 150)")
    print(f"ranking 3,000 experiments of 40 config keys: {measure_ranking():.2f} s")
    if "false-alarms" in sys.argv:
        for (name, length), told in measure_false_alarms().items():
            shown = ", ".join(f"{kind} {count / SERIES:.1%}" for kind, count in sorted(told.items())) or "none"
            print(f"{SERIES} series of {length} points of {name} noise: {shown}")


if __name__ == "__main__":
    main()
