"""Measure the cost of the analysis, and its rates of false events and false differences on pure noise.

Run this script in the checkout: python benchmarks/analysis.py [false-alarms] [verdicts]
"""

from __future__ import annotations

import math
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, Literal

from swanlab_mcp.analysis.deciding import read_curve
from swanlab_mcp.analysis.diagnosis import judge
from swanlab_mcp.analysis.differences import associate, find_varying, identify_settings
from swanlab_mcp.analysis.leaderboard import Result, order_results, set_apart
from swanlab_mcp.analysis.noise import Sample, judge_settings
from swanlab_mcp.analysis.repeats import Run, group_settings
from swanlab_mcp.analysis.spikes import find_spikes
from swanlab_mcp.analysis.standings import Field, rank_settings
from swanlab_mcp.analysis.trends import find_plateau, find_worsening

POINTS = 500_000
SERIES = 1000
REWARDS = 200
LENGTHS = (40, 300, 3000)
RANKINGS = 1000
KINDS = (
    "equal noise", "half 4 x noisier", "a fifth 4 x noisier", "one 4 x noisier", "heavy tails (t3)",
    "skewed (exponential)",
)  # fmt: skip


def draw_normal(source: random.Random, size: int) -> list[float]:
    return [source.gauss(1.0, 0.1) for _ in range(size)]


def draw_lognormal(source: random.Random, size: int) -> list[float]:
    return [source.lognormvariate(0.0, 0.3) for _ in range(size)]


def draw_correlated(source: random.Random, size: int) -> list[float]:
    """Generate AR(1) noise with a coefficient of 0.5."""
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
    """Return the kinds of false events found in noise. "Never learned" is not checked, because it is correct here."""
    steps = list(range(len(values)))
    finders = {"spike": find_spikes, "worsening": find_worsening, "plateau": find_plateau}
    return [kind for kind, find in finders.items() if find(steps, values)]


def measure_false_alarms(series: int = SERIES) -> dict[tuple[str, int], dict[str, int]]:
    counts: dict[tuple[str, int], dict[str, int]] = {}
    for draw in NOISES:
        for length in LENGTHS:
            told = counts.setdefault((draw.__name__.removeprefix("draw_"), length), {})
            for seed in range(series):
                for kind in find_false_alarms(draw(random.Random(seed), length)):  # noqa: S311 not a secret
                    told[kind] = told.get(kind, 0) + 1
    return counts


def measure_few_points(series: int = SERIES) -> dict[int, dict[str, int]]:
    """Return the number of short noise series that are reported as worsening."""
    return {
        size: {
            draw.__name__.removeprefix("draw_"): sum(
                bool(find_worsening(range(size), draw(random.Random(seed), size)))  # noqa: S311 not a secret
                for seed in range(series)
            )
            for draw in (draw_normal, draw_slow)
        }
        for size in (5, 6, 8, 11)
    }


def measure_rewards(series: int = REWARDS) -> Iterator[tuple[str, float, int, dict[str, int]]]:
    """Yield the number of problems and warnings found in reward curves with autocorrelated noise.

    Half of the curves are flat, and the others rise by 10 sigmas. A curve without problems or warnings counts as
    `not_judged` if its health is not judged.
    """
    for course in ("level", "rising"):
        for kept in (0.9, 0.95, 0.98, 0.99):
            for size in (100, 300, 1000, 3000):
                counts: dict[str, int] = {}
                for seed in range(series):
                    source = random.Random(7 * seed + 1)  # noqa: S311 not a secret
                    noise = [value * math.sqrt(1 - kept**2) for value in _walk(source, size, kept)]
                    reward = [
                        off + 10 * (1 - math.exp(-6 * index / size) if course == "rising" else 1)
                        for index, off in enumerate(noise)
                    ]
                    found = judge([read_curve("rollout/ep_rew_mean", range(size), reward)])
                    kinds = {event.kind for event in found.events if event.severity != "info"}
                    for kind in kinds or ({"not_judged"} if found.health == "not_judged" else set[str]()):
                        counts[kind] = counts.get(kind, 0) + 1
                yield course, kept, size, counts


def measure_swings(series: int = REWARDS) -> Iterator[tuple[float, float, int, dict[str, int]]]:
    """Yield the number of problems and warnings found in reward curves that rise and fall 2 to 5 times.

    Each fall loses 60 to 100 % of the rise.
    """
    for kept, scale in ((0.0, 0.03), (0.0, 0.1), (0.9, 0.03), (0.9, 0.06)):
        for size in (100, 300, 1000):
            counts: dict[str, int] = {}
            for seed in range(series):
                source = random.Random(11 * seed + 5)  # noqa: S311 not a secret
                teeth, turn, lost = source.randint(2, 5), source.uniform(0.6, 0.9), source.uniform(0.6, 1)
                climb = [(index * teeth / size) % 1 for index in range(size)]
                shape = [one / turn if one < turn else 1 - lost * (one - turn) / (1 - turn) for one in climb]
                noise = _walk(source, size, kept)
                reward = [one + scale * math.sqrt(1 - kept**2) * off for one, off in zip(shape, noise, strict=True)]
                events = judge([read_curve("rollout/ep_rew_mean", range(size), reward)]).events
                for kind in {event.kind for event in events if event.severity != "info"}:
                    counts[kind] = counts.get(kind, 0) + 1
            yield kept, scale, size, counts


def measure_cost() -> tuple[float, float]:
    """Return the CPU time in seconds and the additional peak memory in MB for analysing 500,000 points."""
    source = random.Random(1)  # noqa: S311 not a secret
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


def measure_ranking(experiments: int = 20_000, keys: int = 40) -> float:
    """Return the CPU time in seconds for ranking many settings with three seeds each."""
    source = random.Random(1)  # noqa: S311 not a secret
    configs: list[dict[str, Any]] = []
    setting: dict[str, Any] = {}
    for number in range(experiments):
        if number % 3 == 0:
            setting = {f"key{key}": source.choice([1, 2, 3]) if key % 3 else source.random() for key in range(keys)}
        configs.append({**setting, "seed": number % 3})
    results = [Result(source.random(), 5, 0.5, 100, "FINISHED") for _ in configs]
    begin = time.process_time()
    reasons = set_apart(results)
    runs = [
        Run(f"run-{number}", str(number), key, config)
        for number, (key, config) in enumerate(zip(identify_settings(configs), configs, strict=True))
    ]
    field = Field(configs, results, reasons, group_settings(runs, range(len(runs))), "max")
    rows = rank_settings(field)
    find_varying([configs[row.index] for row in rows[:10]])
    some = order_results(results, reasons, "max")[:: experiments // 500]
    associate([configs[index] for index in some], [results[index].value or 0.0 for index in some], list(configs[0]))
    return time.process_time() - begin


def draw_settings(source: random.Random, kind: str, settings: int, repeats: int) -> list[list[float]]:
    """Generate values for settings with the same true mean, so that every reported difference is false."""
    values: list[list[float]] = []
    for number in range(settings):
        if kind == "heavy tails (t3)":
            own = [source.gauss(0, 1) / math.sqrt(source.gammavariate(1.5, 2) / 3) for _ in range(repeats)]
        elif kind == "skewed (exponential)":
            own = [source.expovariate(1) for _ in range(repeats)]
        else:
            own = [source.gauss(0, get_scale(kind, number)) for _ in range(repeats)]
        values.append(own)
    return values


def get_scale(kind: str, number: int) -> float:
    every = {"half 4 x noisier": 2, "a fifth 4 x noisier": 5, "one 4 x noisier": 1000}
    return 4.0 if kind in every and number % every[kind] == 0 else 1.0


def has_false_verdict(values: list[list[float]], *, is_paired: bool, by: Literal["leader", "baseline"]) -> bool:
    labels = tuple(map(str, range(len(values[0])))) if is_paired else ()
    first = max(range(len(values)), key=lambda index: sum(values[index])) if by == "leader" else 0
    judged = judge_settings([Sample(own, labels) for own in values], first, by=by)
    return any(one is not None and one.verdict == "different" for one in judged)


def measure_verdicts(rankings: int = RANKINGS) -> Iterator[str]:
    """Yield the rows of the table in docs/verdicts.md, one for each combination of settings and repeats."""
    yield f"| settings x repeats | {' | '.join(KINDS)} | 4 sigma found |"
    for settings in (5, 20, 50):
        for repeats in (3, 4, 5):
            cells: list[str] = []
            for kind in KINDS:
                shares: list[str] = []
                ways: tuple[tuple[bool, Literal["leader", "baseline"]], ...] = (
                    (False, "leader"), (True, "leader"), (False, "baseline")
                )  # fmt: skip
                for is_paired, by in ways:
                    source = random.Random(1)  # noqa: S311 not a secret
                    false = sum(
                        has_false_verdict(draw_settings(source, kind, settings, repeats), is_paired=is_paired, by=by)
                        for _ in range(rankings)
                    )
                    shares.append(f"{100 * false / rankings:.1f}")
                cells.append(" / ".join(shares))
            yield f"| {settings} x {repeats} | {' | '.join(cells)} | {measure_power(settings, repeats, rankings)} |"


def measure_power(settings: int, repeats: int, rankings: int) -> str:
    """Return how often the best setting, which is better by 4 sigma, is distinguished from the second best."""
    source = random.Random(2)  # noqa: S311 not a secret
    found = 0
    for _ in range(rankings):
        values = draw_settings(source, "equal noise", settings, repeats)
        values[0] = [value + 4 for value in values[0]]
        order = sorted(range(settings), key=lambda index: -sum(values[index]))
        second = judge_settings([Sample(own) for own in values], order[0])[order[1]]
        found += order[0] == 0 and second is not None and second.verdict == "different"
    return f"{100 * found / rankings:.0f} %"


def main() -> None:
    seconds, peak = measure_cost()
    print(f"{POINTS:,} points: {seconds:.2f} s (at most 1.5), {peak:.0f} MB extra (at most 150)")
    print(f"ranking 20,000 experiments of 40 config keys by seed: {measure_ranking():.2f} s (at most 3)")
    if "verdicts" in sys.argv:
        for line in measure_verdicts():
            print(line, flush=True)
    if "false-alarms" in sys.argv:
        for (name, length), told in measure_false_alarms().items():
            shown = ", ".join(f"{kind} {count / SERIES:.1%}" for kind, count in sorted(told.items())) or "none"
            print(f"{SERIES} series of {length} points of {name} noise: {shown}")
        for size, few in measure_few_points().items():
            print(f"{size} points: {', '.join(f'{name} {count / SERIES:.1%}' for name, count in few.items())}")
        for course, kept, length, told in measure_rewards():
            shown = ", ".join(f"{kind} {count / REWARDS:.1%}" for kind, count in sorted(told.items())) or "none"
            print(f"{REWARDS} {course} rewards of {length} points with autocorrelation {kept:g}: {shown}")
        for kept, scale, length, told in measure_swings():
            shown = ", ".join(f"{kind} {count / REWARDS:.1%}" for kind, count in sorted(told.items())) or "none"
            print(f"{REWARDS} swings of {length} points, noise of {scale:.0%} with autocorrelation {kept:g}: {shown}")


if __name__ == "__main__":
    main()
