"""Measure the accuracy of forecasts with leave-one-out cross-validation over finished training runs.

Run this script in the checkout: python benchmarks/forecast.py [FILE.json …]. A file contains training runs in the form
[{"config": {…}, "steps": […], "metrics": {key: [values]}}]. Runs with the same file, dataset and metric form a project.
If no file is given, random curves are generated.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from swanlab_mcp.analysis.forecasting import Course, forecast
from swanlab_mcp.analysis.metric_catalogue import describe_key

PARTS = (0.25, 0.4, 0.6)
KILLED_AT = 0.4


class Outcome(NamedTuple):
    """The quality of one forecast. Errors and widths are relative to the range of final values in the project."""

    is_held: bool
    width: float
    error: float
    naive_error: float
    is_killed: bool
    is_top: bool


def draw_trainings(seed: int, count: int = 40, steps: int = 80) -> list[Course]:
    """Generate power-law loss curves, with an exponent and a floor that depend on the config."""
    source = random.Random(seed)  # noqa: S311 not a secret
    drawn: list[Course] = []
    for _ in range(count):
        rate, width = 10 ** source.uniform(-4, -1), source.choice((16, 64, 256))
        ease = math.exp(-((math.log10(rate) + 2) ** 2))
        floor, power = 0.2 + 0.4 * (1 - ease) + 2 / width + source.gauss(0, 0.02), 0.3 + 0.7 * ease
        values = [floor + 2 * (step + 1) ** -power + source.gauss(0, 0.01) for step in range(steps)]
        drawn.append(Course(list(range(steps)), values, {"lr": rate, "width": width}))
    return drawn


def read_projects(files: Sequence[str]) -> Iterator[tuple[str, str, list[Course]]]:
    """Yield the name, metric and training runs of each project."""
    for file in files:
        groups: dict[tuple[str, str], list[Course]] = {}
        for one in json.loads(Path(file).read_text()):
            for key, values in one["metrics"].items():
                if describe_key(key).direction:
                    group = groups.setdefault((str(one["config"].get("dataset", "")), key), [])
                    group.append(Course(one["steps"], values, one["config"]))
        for (dataset, key), courses in groups.items():
            yield f"{Path(file).stem} {dataset}".strip(), key, courses


def judge(courses: Sequence[Course], mode: str, part: float) -> list[Outcome]:
    """Forecast each training run from all other runs and from the first part of its own curve.

    `part` is the fraction of the curve that the forecast may use.
    """
    ends = [one.values[-1] for one in courses]
    span = max(ends) - min(ends) or 1.0
    signed = sorted(end if mode == "min" else -end for end in ends)
    limit = signed[max(1, round(len(ends) / 10)) - 1]
    found: list[Outcome] = []
    for index, one in enumerate(courses):
        count = int(len(one.steps) * part)
        seen = Course(one.steps[:count], one.values[:count], one.config)
        ahead = forecast(seen, [*courses[:index], *courses[index + 1 :]], one.steps[-1], mode)
        end = one.values[-1]
        found.append(
            Outcome(
                ahead.low <= end <= ahead.high,
                (ahead.high - ahead.low) / span,
                abs(ahead.expected - end) / span,
                abs(seen.values[-1] - end) / span,
                ahead.is_lost,
                (end if mode == "min" else -end) <= limit,
            )
        )
    return found


def summarise(name: str, outcomes: Sequence[Outcome]) -> str:
    held = 100 * statistics.fmean(one.is_held for one in outcomes)
    width = statistics.median(one.width for one in outcomes)
    naive = sum(one.naive_error for one in outcomes)
    saved = 100 * (1 - sum(one.error for one in outcomes) / naive) if naive else 0.0
    return f"| {name} | {len(outcomes)} | {held:.0f} % | {width:.3f} | {saved:.0f} % |"


def main() -> None:
    projects: list[tuple[str, str, list[Course]]] = list(read_projects(sys.argv[1:])) or [
        (f"drawn {seed}", "val/loss", draw_trainings(seed)) for seed in range(3)
    ]
    print("| trainings, metric, part seen | forecasts | 90 % interval holds | width / range | error below last value |")
    print("|---|---|---|---|---|")
    every: list[Outcome] = []
    killing: list[Outcome] = []
    started = time.process_time()
    for name, key, courses in projects:
        for part in PARTS:
            found = judge(courses, str(describe_key(key).direction), part)
            every += found
            killing += found if part == KILLED_AT else []
            print(summarise(f"{name} {key} {part:.0%}", found), flush=True)
    spent = (time.process_time() - started) / len(every)
    print(summarise("all", every))
    top = [one for one in killing if one.is_top]
    killed = 100 * statistics.fmean(one.is_killed for one in killing)
    print(f"\nKilled at {KILLED_AT:.0%}: {killed:.0f} % of {len(killing)}; of the later top tenth", end=" ")
    print(f"{sum(one.is_killed for one in top)} of {len(top)}. Processor time: {1000 * spent:.0f} ms a forecast.")


if __name__ == "__main__":
    main()
