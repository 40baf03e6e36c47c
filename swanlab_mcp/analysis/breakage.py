"""Detect broken runs from their metrics: NaN or infinite values, or a diverged training loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from swanlab_mcp.analysis.leaderboard import Breakage
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds
from swanlab_mcp.core.models import Points, Summary

__all__ = ["choose_training_losses", "find_breakage", "find_divergence", "find_reported_breakage", "may_have_broken"]

_LOSSES = 3


def choose_training_losses(keys: Sequence[str]) -> list[str]:
    """Return at most 3 keys of training losses, totals and short names first."""
    losses = [
        key
        for key in keys
        if (kind := describe_key(key)).must_improve
        and kind.role in ("loss", "error")
        and kind.split not in ("validation", "test")
    ]
    return sorted(losses, key=len)[:_LOSSES]


def find_reported_breakage(keys: Sequence[str], summary: Summary) -> Breakage | None:
    """Return how a run broke according to its summaries: its last value, or any value, is NaN or infinite."""
    for key in keys:
        one = summary.get(key)
        if one is None:
            continue
        if one.non_finite:
            return Breakage("non-finite", key, one.first_non_finite_step)
        if one.value is not None and not math.isfinite(one.value):
            return Breakage("non-finite", key)
    return None


def may_have_broken(
    keys: Sequence[str], summary: Summary, losses: Sequence[str], thresholds: Thresholds = DEFAULTS
) -> bool:
    """Return whether points must be read: a mean is not finite, or a loss ends so far above its minimum."""
    # the last value may lie below the final level by chance; noise is at most a fifth of a divergence
    share = thresholds.broken_share * (1 - 3 / thresholds.broken_scatter)
    for key in keys:
        one = summary.get(key)
        if one is None:
            continue
        # a sum, and with it the mean, is finite only if every value is
        if one.avg is not None and not math.isfinite(one.avg):
            return True
        low = one.min if key in losses else None
        if low is not None and one.value is not None and one.value - low.value > share * abs(low.value):
            return True
    return False


def find_breakage(
    metric: str, series: Mapping[str, Points], losses: Sequence[str], thresholds: Thresholds = DEFAULTS
) -> Breakage | None:
    """Return how a run broke, in the ranked metric or in one of its training losses."""
    for key in dict.fromkeys([metric, *losses]):
        points = series.get(key, Points())
        odd = next((place for place, value in enumerate(points.values) if not math.isfinite(value)), None)
        if odd is not None:
            return Breakage("non-finite", key, points.steps[odd])
    for key in losses:
        step = find_divergence(series.get(key, Points()), thresholds)
        if step is not None:
            return Breakage("diverged", key, step)
    return None


def find_divergence(points: Points, thresholds: Thresholds = DEFAULTS) -> int | None:
    """Return the step after which a loss rose for good by half of its earlier fall, or `None`."""
    values = points.values
    if len(values) < thresholds.fewest_points:
        return None
    width = max(3, len(values) // 10)
    levels = [median(values[start : start + width]) for start in range(0, len(values) - width + 1, max(1, width // 2))]
    end = median(values[-width:])
    best = min(levels)
    place = levels.index(best) * max(1, width // 2) + width // 2
    steps = [abs(after - before) for before, after in pairwise(values)]
    scatter = median(steps)
    rise = end - best
    if rise <= max(thresholds.broken_share * abs(levels[0] - best), thresholds.broken_scatter * scatter):
        return None
    if rise < thresholds.broken_share * abs(best):
        return None
    return points.steps[place]
