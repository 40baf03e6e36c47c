"""Detect signs of reinforcement learning problems: unstable rewards, entropy, length and clipping of answers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from swanlab_mcp.analysis.curves import Outline
from swanlab_mcp.analysis.deciding import Curve
from swanlab_mcp.analysis.events import Event
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = ["count_falls", "find_policy_signs"]

_ANSWERS = {"response", "responses", "completion", "completions"}
_CUT = {"clip", "clipped", "truncated"}


def count_falls(course: Outline, thresholds: Thresholds = DEFAULTS) -> int:
    """Return how often a course lost a large share of its improvement, far beyond noise, and recovered."""
    gained = max(course.first, course.levels[0]) - course.best
    least = max(thresholds.unstable_share * gained, thresholds.worse_sigmas * course.scatter)
    falls = 0
    low = high = course.levels[0]
    is_down = False
    for level in course.levels:
        if is_down:
            high = max(high, level)
            if high - level >= least:
                is_down, low = False, level
        else:
            low = min(low, level)
            if level - low >= least:
                falls, is_down, high = falls + 1, True, level
    return falls if gained > 0 else 0


def find_policy_signs(curves: Sequence[Curve], thresholds: Thresholds = DEFAULTS) -> list[Event]:
    """Return warnings about a policy that stopped exploring, or whose answers keep growing or are all truncated."""
    found: list[Event] = []
    for curve in curves:
        steps, values = curve.finite_steps, [curve.sign * cost for cost in curve.costs]
        if len(values) < thresholds.flat_points:
            continue
        early = median(values[: max(1, len(values) // 10)])
        late = median(values[-max(1, len(values) // 10) :])
        answers = bool(_ANSWERS.intersection(curve.kind.family))
        facts = {"early": early, "late": late}
        if curve.kind.role == "entropy" and early > 0 and late < early / thresholds.entropy_factor:
            limit = early / thresholds.entropy_factor
            below = (place for place in range(len(values)) if max(values[place : place + 5]) < limit)
            place = next(below, len(values) - 1)
            found.append(Event("entropy_collapse", "warning", steps[place], "entropy", (curve.key,), facts=facts))
        elif curve.kind.role == "length" and answers and curve.kind.statistic in ("mean", ""):
            half = median(values[: len(values) // 2])
            if half > 0 and late > thresholds.length_factor * half:
                limit = thresholds.length_factor * half
                place = next(place for place, value in enumerate(values) if value > limit)
                facts = {"early": half, "late": late}
                found.append(Event("length_explosion", "warning", steps[place], "length", (curve.key,), facts=facts))
        elif (
            answers
            and _CUT.intersection(curve.kind.family)
            and median(values[-max(1, len(values) // 4) :]) >= thresholds.clipped_share
        ):
            place = next(place for place, value in enumerate(values) if value >= thresholds.clipped_share)
            found.append(Event("all_clipped", "warning", steps[place], "clipped", (curve.key,), facts=facts))
    return found
