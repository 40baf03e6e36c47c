"""Detect problems in reinforcement learning: unstable rewards, entropy collapse, and long or truncated answers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from swanlab_mcp.analysis.curves import Outline
from swanlab_mcp.analysis.deciding import Curve
from swanlab_mcp.analysis.events import Event
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds
from swanlab_mcp.analysis.trends import compute_drift, exclude_short_noise, measure_steps

__all__ = ["find_falls", "find_policy_signs"]

_ANSWERS = {"response", "responses", "completion", "completions"}
_CUT = {"clip", "clipped", "truncated"}


def find_falls(course: Outline, thresholds: Thresholds = DEFAULTS) -> list[int]:
    """Return the indices of the levels at which a curve loses much of its gain, by more than noise can explain."""
    gained = max(course.first, course.levels[0]) - course.best
    if gained <= 0:
        return []
    least = max(thresholds.unstable_share * gained, thresholds.worse_sigmas * course.scatter)
    # the limit `least` already covers independent noise
    steps = exclude_short_noise(measure_steps(course.medians))
    drifts = [compute_drift(steps, length, thresholds.smoothing - 1) for length in range(len(course.levels))]
    limits = [max(least, thresholds.sure_drift * drift) for drift in drifts]
    falls: list[int] = []
    start = 0
    high: float | None = None
    for index, level in enumerate(course.levels):
        if high is not None:
            high = max(high, level)
            if high - level >= least:
                start, high = index, None
        elif any(level - course.levels[before] >= limits[index - before] for before in range(start, index)):
            falls.append(index)
            high = level
    return falls


def find_policy_signs(curves: Sequence[Curve], thresholds: Thresholds = DEFAULTS) -> list[Event]:
    """Return warnings if a policy stopped exploring, or if its answers grow too long or are almost all truncated."""
    found: list[Event] = []
    for curve in curves:
        steps, values = curve.finite_steps, [curve.sign * cost for cost in curve.costs]
        if len(values) < thresholds.flat_points:
            continue
        early = median(values[: max(1, len(values) // 10)])
        late = median(values[-max(1, len(values) // 10) :])
        answers = bool(_ANSWERS.intersection(curve.kind.family))
        facts = {"early": early, "late": late}
        # an entropy loss is the negative entropy
        sign = -1 if "loss" in curve.kind.family and early < 0 else 1
        if curve.kind.role == "entropy" and sign * early > max(0, sign * late * thresholds.entropy_factor):
            limit = sign * early / thresholds.entropy_factor
            below = (
                index for index in range(len(values)) if max(sign * one for one in values[index : index + 5]) < limit
            )
            index = next(below, len(values) - 1)
            found.append(Event("entropy_collapse", "warning", steps[index], "entropy", (curve.key,), facts=facts))
        elif curve.kind.role == "length" and answers and curve.kind.statistic in ("mean", ""):
            half = median(values[: len(values) // 2])
            if half > 0 and late > thresholds.length_factor * half:
                limit = thresholds.length_factor * half
                index = next(index for index, value in enumerate(values) if value > limit)
                facts = {"early": half, "late": late}
                found.append(Event("length_explosion", "warning", steps[index], "length", (curve.key,), facts=facts))
        elif (
            answers
            and _CUT.intersection(curve.kind.family)
            and median(values[-max(1, len(values) // 4) :]) >= thresholds.clipped_share
        ):
            index = next(index for index, value in enumerate(values) if value >= thresholds.clipped_share)
            found.append(Event("all_clipped", "warning", steps[index], "clipped", (curve.key,), facts=facts))
    return found
