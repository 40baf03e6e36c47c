"""Which results are ranked, which are set apart and why, and who comes first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = ["Result", "order_results", "set_apart"]

_STATES = {"FINISHED": "", "UNKNOWN": "no end recorded"}


class Result(NamedTuple):
    """What an experiment reached in a metric; `value` None: not logged, or not told."""

    value: float | None
    step: int | None
    last_value: float | None
    last_step: int | None
    state: str
    missing: str = ""


def set_apart(
    results: Sequence[Result], *, by_state: bool = True, by_length: bool = True, thresholds: Thresholds = DEFAULTS
) -> list[str]:
    """Return for each result why it is not ranked, "" where it is.

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
            reasons[place] = f"short: ends at step {last}, others at {usual:g}"
    return reasons


def order_results(results: Sequence[Result], reasons: Sequence[str], mode: Literal["min", "max"]) -> list[int]:
    """Return the places of all results: the ranked ones, best first, then those set apart, grouped by their reason."""
    sign = 1 if mode == "min" else -1
    ranked = [place for place, reason in enumerate(reasons) if not reason]
    others = [place for place, reason in enumerate(reasons) if reason]
    ranked.sort(key=lambda place: sign * (results[place].value or 0.0))

    def judge(place: int) -> tuple[str, float]:
        value = results[place].value
        return reasons[place].partition(":")[0], math.inf if value is None or math.isnan(value) else sign * value

    return ranked + sorted(others, key=judge)


def _find_reason(result: Result, *, by_state: bool) -> str:
    if result.value is None:
        return result.missing or "without the metric"
    if not math.isfinite(result.value) or (result.last_value is not None and not math.isfinite(result.last_value)):
        return "NaN or infinite"
    return _STATES.get(result.state, result.state.lower()) if by_state else ""
