"""Detect broken runs from their metrics: NaN or infinite values, or a diverged training loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import median

from swanlab_mcp.analysis.leaderboard import Breakage
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds
from swanlab_mcp.core.models import Points, Summary

__all__ = [
    "LIKELY_LOSSES",
    "choose_training_losses",
    "find_breakage",
    "find_divergence",
    "find_reported_breakage",
    "may_have_broken",
]

LIKELY_LOSSES = ("loss", "train/loss", "train_loss", "training_loss", "loss/train", "train/loss_epoch")
_LOSSES = 3


def choose_training_losses(keys: Sequence[str]) -> list[str]:
    """Return at most 3 keys of training losses, totals and short names first, and a reward if one is logged.

    With a reward, a loss may rise although the policy improves.
    """
    kinds = {key: describe_key(key) for key in keys}
    losses = [
        key
        for key, kind in kinds.items()
        if (kind.role in ("loss", "error") or kind.rule == "policy-gradient loss")
        and kind.split not in ("validation", "test")
    ]
    # losses that need not fall become NaN like others
    losses = [key for key in losses if kinds[key].must_improve] or losses
    rewards = [key for key, kind in kinds.items() if kind.role == "reward"]
    return sorted(losses, key=len)[:_LOSSES] + (sorted(rewards, key=len)[:1] if losses else [])


# a ranking checks thousands of runs by the same keys
@lru_cache(64)
def _leave_out_rewards(*keys: str) -> tuple[str, ...]:
    """Return the keys to check for NaN; a reward counts only if it is first: without a finished episode it is NaN."""
    return keys[:1] + tuple(key for key in keys[1:] if describe_key(key).role != "reward")


@lru_cache(64)
def _choose_falling(*keys: str) -> frozenset[str]:
    """Return the losses that should never rise for good; none if a reward decides."""
    kinds = {key: describe_key(key) for key in keys}
    is_policy = any(kind.role == "reward" for kind in kinds.values())
    return frozenset(key for key, kind in kinds.items() if kind.must_improve and not is_policy)


def find_reported_breakage(keys: Sequence[str], summary: Summary) -> Breakage | None:
    """Return how a run broke according to its summaries: its last value, or any value, is NaN or infinite."""
    for key in _leave_out_rewards(*keys):
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
    falling = _choose_falling(*keys, *losses).intersection(losses)
    for key in _leave_out_rewards(*keys):
        one = summary.get(key)
        if one is None:
            continue
        # a sum, and with it the mean, is finite only if every value is
        if one.avg is not None and not math.isfinite(one.avg):
            return True
        low = one.min if key in falling else None
        if low is not None and one.value is not None and one.value - low.value > share * abs(low.value):
            return True
    return False


def find_breakage(
    metric: str, series: Mapping[str, Points], losses: Sequence[str], thresholds: Thresholds = DEFAULTS
) -> Breakage | None:
    """Return how a run broke, in the ranked metric or in one of its training losses."""
    keys = list(dict.fromkeys([metric, *losses]))
    for key in _leave_out_rewards(*keys):
        points = series.get(key, Points())
        odd = next((place for place, value in enumerate(points.values) if not math.isfinite(value)), None)
        if odd is not None:
            return Breakage("non-finite", key, points.steps[odd])
    falling = _choose_falling(*keys)
    for key in losses:
        if key not in falling:
            continue
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
