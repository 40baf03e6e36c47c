"""Compare verdicts with those of practitioners: python -m tests.evals.verdicts [curves.json | histories.json.gz …].

Without a file, it diagnoses the random curves of 20 seeds. `further` selects the curves in `further_curves.py`, `kinds`
those in `kinds_curves.py`, and `unseen` those in `unseen_curves.py`.

It prints the agreement by framework, the share of healthy runs with a problem or warning, and the share of problems
that were found.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from swanlab_mcp.analysis.deciding import Curve, choose_keys, read_curve
from swanlab_mcp.analysis.diagnosis import Judgement, judge
from tests.evals.curves import Case, draw
from tests.evals.further_curves import draw_further
from tests.evals.kinds_curves import draw_kinds
from tests.evals.unseen_curves import draw_unseen

__all__ = ["Outcome", "judge_drawn", "judge_metrics", "read_file"]

SEEDS = 20
FURTHER_SEEDS = 5
DRAWN = {"further": draw_further, "kinds": draw_kinds, "unseen": draw_unseen}


class Outcome(NamedTuple):
    """Our verdict and the practitioner's verdict."""

    framework: str
    name: str
    is_healthy: bool
    agrees: bool
    judgement: Judgement
    expected: str = ""

    @property
    def is_alarmed(self) -> bool:
        return self.judgement.health in ("problem", "warning")


def judge_metrics(metrics: Mapping[str, Any]) -> Judgement:
    """Diagnose metrics given as {key: {"steps", "values"}} or {key: (steps, values)}."""
    keys, _ = choose_keys(list(metrics))
    curves: list[Curve] = []
    for key in keys:
        one: Any = metrics[key]
        pair: tuple[list[int], list[Any]] = (one["steps"], one["values"]) if "steps" in one else one
        steps, values = pair
        curves.append(read_curve(key, steps, [float(value) for value in values]))
    return judge(curves)


def judge_drawn(seed: int, draw_cases: Callable[[int], list[Case]] = draw) -> Iterator[Outcome]:
    """Diagnose the random curves drawn with one seed."""
    for case in draw_cases(seed):
        found = judge_metrics(case.metrics)
        kinds = {event.kind for event in found.events if event.severity != "info"}
        agrees = bool(kinds.intersection(case.kinds)) if case.kinds else not kinds
        yield Outcome(case.framework, case.name, not case.kinds, agrees, found, ", ".join(case.kinds) or "healthy")


def read_file(path: Path) -> Iterator[Outcome]:
    """Diagnose the experiments in a file: curves with expected events, or histories with a verdict."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    loaded: list[dict[str, Any]] = json.loads(content)
    for one in loaded:
        if "experiments" in one:
            yield from map(_judge_expected, one["experiments"])
        else:
            yield _judge_history(one)


def _judge_expected(one: Mapping[str, Any]) -> Outcome:
    found = judge_metrics(one["metrics"])
    expect: Mapping[str, Any] = one["expect"]
    is_healthy = bool(expect.get("healthy"))
    grave = [event for event in found.events if event.severity != "info" or event.kind == "not_judged"]
    if is_healthy:
        agrees = found.health in ("healthy", "not_judged")
    else:
        first, last = expect.get("steps", (-sys.maxsize, sys.maxsize))
        agrees = any(
            event.kind in expect["kinds"]
            and re.search(expect["keys"], " ".join(event.keys))
            and first <= event.step <= last
            for event in grave
        )
    return Outcome("curves", one["name"], is_healthy, agrees, found, str(expect))


def _judge_history(one: Mapping[str, Any]) -> Outcome:
    found = judge_metrics(one["metrics"])
    verdict = one["verdict"].rstrip("*")
    is_healthy = verdict in ("healthy", "plateau")
    is_alarmed = found.health in ("problem", "warning")
    if is_healthy:
        # a star after the verdict means that a warning or a problem is accepted too
        agrees = not is_alarmed or one["verdict"].endswith("*")
    elif verdict == "too few":
        agrees = found.health == "not_judged"
    else:
        agrees = is_alarmed
    return Outcome(one["framework"], one["name"], is_healthy, agrees, found, one["verdict"])


def main(paths: list[str]) -> None:
    if len(paths) == 1 and paths[0] in DRAWN:
        return show([one for seed in range(FURTHER_SEEDS) for one in judge_drawn(seed, DRAWN[paths[0]])])
    show(
        [one for path in paths for one in read_file(Path(path))]
        if paths
        else [one for seed in range(SEEDS) for one in judge_drawn(seed)]
    )
    return None


def show(outcomes: list[Outcome]) -> None:
    """Print disagreements, a table by framework and the totals."""
    totals, right = Counter[str](), Counter[str]()
    for one in outcomes:
        totals[one.framework] += 1
        right[one.framework] += one.agrees
        if not one.agrees:
            events = [
                (event.kind, event.keys[:2], event.step) for event in one.judgement.events if event.severity != "info"
            ]
            sys.stdout.write(
                f"{one.framework} / {one.name}: expected {one.expected}, {one.judgement.health} {events}\n"
            )
    for framework, total in sorted(totals.items()):
        sys.stdout.write(f"| {framework} | {right[framework]} of {total} |\n")
    healthy = [one for one in outcomes if one.is_healthy]
    ill = [one for one in outcomes if not one.is_healthy and one.expected != "too few"]
    sys.stdout.write(
        f"agreement {sum(one.agrees for one in outcomes)} of {len(outcomes)}; "
        f"alarms in {sum(one.is_alarmed for one in healthy)} of {len(healthy)} healthy; "
        f"found {sum(one.is_alarmed for one in ill)} of {len(ill)} with a problem\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
