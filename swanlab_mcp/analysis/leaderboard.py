"""Order results for a leaderboard, and find results that cannot be ranked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = ["Breakage", "Reason", "ReasonKind", "Result", "order_results", "set_apart"]

ReasonKind = Literal[
    "missing",
    "no extremes",
    "not there yet",
    "begins later",
    "not at that step",
    "non-finite",
    "broken",
    "short",
    "no end",
    "running",
    "crashed",
    "aborted",
    "offline",
    "other",
]


class Breakage(NamedTuple):
    """The way in which a run broke: NaN or infinite values in a metric, or a diverged training loss."""

    kind: Literal["non-finite", "diverged"]
    key: str
    step: int | None = None


class Reason(NamedTuple):
    """The reason why a result is not ranked, with evidence: the run's steps, its state or its breakage."""

    kind: ReasonKind
    step: int | None = None
    usual: float | None = None
    state: str = ""
    breakage: Breakage | None = None


class Result(NamedTuple):
    """An experiment's result for a metric. `value` is `None` if it is unknown or was not logged."""

    value: float | None
    step: int | None
    last_value: float | None
    last_step: int | None
    state: str
    missing: Reason | None = None
    breakage: Breakage | None = None


def set_apart(
    results: Sequence[Result], *, by_state: bool = True, by_length: bool = True, thresholds: Thresholds = DEFAULTS
) -> list[Reason | None]:
    """For each result, return the reason why it is not ranked, or `None` if it is ranked.

    A result is not ranked if its metric is missing or not finite, or if its run broke. If `by_state` is true,
    unfinished runs are not ranked either. If `by_length` is true, the same applies to runs that are far shorter than
    the other ranked runs. The first reason that applies is returned.
    """
    reasons = [_find_reason(result, by_state=by_state) for result in results]
    lengths = [
        result.last_step
        for result, reason in zip(results, reasons, strict=True)
        if not reason and result.last_step is not None
    ]
    if not by_length or not lengths:
        return reasons
    usual = median(lengths)
    for index, result in enumerate(results):
        last = result.last_step
        if not reasons[index] and last is not None and last < thresholds.short_share * usual:
            reasons[index] = Reason("short", last, usual)
    return reasons


def order_results(
    results: Sequence[Result], reasons: Sequence[Reason | None], mode: Literal["min", "max"]
) -> list[int]:
    """Return the indices of the ranked results, best to worst, followed by the other results, grouped by reason."""
    sign = 1 if mode == "min" else -1
    ranked = [index for index, reason in enumerate(reasons) if not reason]
    others = [(index, reason.kind) for index, reason in enumerate(reasons) if reason]
    ranked.sort(key=lambda index: sign * (results[index].value or 0.0))

    def judge(other: tuple[int, str]) -> tuple[str, float]:
        index, kind = other
        value = results[index].value
        return kind, math.inf if value is None or math.isnan(value) else sign * value

    return ranked + [index for index, _ in sorted(others, key=judge)]


def _find_reason(result: Result, *, by_state: bool) -> Reason | None:
    if result.value is None:
        return result.missing or Reason("missing")
    if not math.isfinite(result.value) or (result.last_value is not None and not math.isfinite(result.last_value)):
        return Reason("non-finite")
    if result.breakage:
        return Reason("broken", breakage=result.breakage)
    if not by_state or result.state == "FINISHED":
        return None
    kinds: dict[str, ReasonKind] = {
        "UNKNOWN": "no end",
        "RUNNING": "running",
        "CRASHED": "crashed",
        "ABORTED": "aborted",
        "OFFLINE": "offline",
    }
    return Reason(kinds.get(result.state, "other"), state=result.state.lower())
