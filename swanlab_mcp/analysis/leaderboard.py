"""Which results are ranked, which are set apart and why, and who comes first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds
from swanlab_mcp.core.i18n import say

__all__ = ["Reason", "Result", "order_results", "set_apart"]


class Reason(NamedTuple):
    """Why a result is not ranked: `kind` is the same in every language, `name` tells it, `detail` adds figures."""

    kind: str
    name: str
    detail: str = ""

    def __str__(self) -> str:
        return say("{reason}: {detail}", reason=self.name, detail=self.detail) if self.detail else self.name


class Result(NamedTuple):
    """What an experiment reached in a metric; `value` None: not logged, or not told."""

    value: float | None
    step: int | None
    last_value: float | None
    last_step: int | None
    state: str
    missing: Reason | None = None


def set_apart(
    results: Sequence[Result], *, by_state: bool = True, by_length: bool = True, thresholds: Thresholds = DEFAULTS
) -> list[Reason | None]:
    """Return for each result why it is not ranked, None where it is.

    In this order: without the metric, not finite at its end, not finished (`by_state`), and far shorter than the
    others that are ranked (`by_length`).
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
    for place, result in enumerate(results):
        last = result.last_step
        if not reasons[place] and last is not None and last < thresholds.short_share * usual:
            detail = say("ends at step {last}, others at {usual:g}", last=last, usual=usual)
            reasons[place] = Reason("short", say("short"), detail)
    return reasons


def order_results(
    results: Sequence[Result], reasons: Sequence[Reason | None], mode: Literal["min", "max"]
) -> list[int]:
    """Return the places of all results: the ranked ones, best first, then those set apart, grouped by their reason."""
    sign = 1 if mode == "min" else -1
    ranked = [place for place, reason in enumerate(reasons) if not reason]
    others = [(place, reason.kind) for place, reason in enumerate(reasons) if reason]
    ranked.sort(key=lambda place: sign * (results[place].value or 0.0))

    def judge(other: tuple[int, str]) -> tuple[str, float]:
        place, kind = other
        value = results[place].value
        return kind, math.inf if value is None or math.isnan(value) else sign * value

    return ranked + [place for place, _ in sorted(others, key=judge)]


def _find_reason(result: Result, *, by_state: bool) -> Reason | None:
    if result.value is None:
        return result.missing or Reason("without the metric", say("without the metric"))
    if not math.isfinite(result.value) or (result.last_value is not None and not math.isfinite(result.last_value)):
        return Reason("NaN or infinite", say("NaN or infinite"))
    if not by_state or result.state == "FINISHED":
        return None
    if result.state == "UNKNOWN":
        return Reason("no end recorded", say("no end recorded"))
    names = {"RUNNING": say("running"), "CRASHED": say("crashed"), "ABORTED": say("aborted")}
    kind = result.state.lower()
    return Reason(kind, names.get(result.state, kind))
