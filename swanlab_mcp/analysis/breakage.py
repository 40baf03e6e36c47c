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
    "choose_for_points",
    "choose_training_losses",
    "find_breakage",
    "find_divergence",
    "find_doubtful",
    "find_reported_breakage",
]

LIKELY_LOSSES = ("loss", "train/loss", "train_loss", "training_loss", "loss/train", "train/loss_epoch")
_LOSSES = 3
# mixed-precision training skips a step with an infinite gradient norm, so a single infinite norm is harmless
_LAST_NORMS = 2


def choose_training_losses(keys: Sequence[str]) -> list[str]:
    """Choose the keys that show whether a training run broke.

    The result contains up to 3 losses that should fall and up to 3 other losses, shortest names first, followed by at
    most one gradient norm and one reward. The other losses and the norm are only checked for NaN and infinite values.
    The reward is included because a loss may rise while a policy improves. If no loss is logged, the result is empty.
    """
    kinds = {key: describe_key(key) for key in sorted(keys, key=len)}
    losses = [
        key
        for key, kind in kinds.items()
        if (kind.role in ("loss", "error", "adversary") or kind.rule == "policy-gradient loss")
        and kind.split not in ("validation", "test")
    ]
    falling = [key for key in losses if kinds[key].must_improve]
    others = [key for key in losses if key not in falling]
    norms = [key for key, kind in kinds.items() if kind.role == "gradient_norm"]
    rewards = [key for key, kind in kinds.items() if kind.role == "reward"]
    return [*falling[:_LOSSES], *others[:_LOSSES], *norms[:1], *rewards[:1]] if losses else []


def choose_for_points(losses: Sequence[str]) -> list[str]:
    """Choose the losses whose points are always read.

    The points of the other losses are read only if a summary suggests a breakage.
    """
    kinds = {key: describe_key(key) for key in losses}
    main = [key for key, kind in kinds.items() if kind.must_improve and kind.role in ("loss", "error")]
    return main or [key for key, kind in kinds.items() if kind.role != "gradient_norm"]


# cached, because a ranking checks thousands of runs with the same keys
@lru_cache(64)
def _leave_out_rewards(*keys: str) -> tuple[str, ...]:
    """Return the keys to check for NaN. A reward is only checked if it is the first key.

    Other rewards are skipped because they are NaN until the first episode ends.
    """
    return keys[:1] + tuple(key for key in keys[1:] if describe_key(key).role != "reward")


@lru_cache(64)
def _choose_falling(*keys: str) -> frozenset[str]:
    """Return the losses that should not rise permanently, or an empty set if one of the keys is a reward."""
    kinds = {key: describe_key(key) for key in keys}
    is_policy = any(kind.role == "reward" for kind in kinds.values())
    return frozenset(key for key, kind in kinds.items() if kind.must_improve and not is_policy)


@lru_cache(64)
def _watch(keys: tuple[str, ...], losses: tuple[str, ...]) -> Sequence[tuple[str, bool, bool]]:
    """Return the keys to check in summaries, as (key, is_gradient_norm, must_fall) tuples."""
    falling = _choose_falling(*keys, *losses).intersection(losses)
    return [(key, describe_key(key).role == "gradient_norm", key in falling) for key in _leave_out_rewards(*keys)]


def find_reported_breakage(keys: Sequence[str], summary: Summary) -> Breakage | None:
    """Return the breakage that a run's summary shows, or `None`.

    A run is broken if any value of one of the keys is NaN or infinite. Gradient norms are ignored.
    """
    for key, is_norm, _ in _watch(tuple(keys), ()):
        one = summary.get(key)
        if one is None or is_norm:
            continue
        if one.non_finite:
            return Breakage("non-finite", key, one.first_non_finite_step)
        if one.value is not None and not math.isfinite(one.value):
            return Breakage("non-finite", key)
    return None


def find_doubtful(
    keys: Sequence[str], summaries: Sequence[Summary], losses: Sequence[str], thresholds: Thresholds = DEFAULTS
) -> list[int]:
    """Return the indices of the summaries that show or suggest a breakage.

    A summary suggests a breakage if a mean is not finite or if a loss ends far above its minimum. The caller must then
    read the points. Both cases are checked in a single pass, because a ranking may contain thousands of runs.
    """
    # noise, which is at most a fifth of a divergence, may have pushed the last value below the final level
    share = thresholds.broken_share * (1 - 3 / thresholds.broken_scatter)
    watched, is_finite = _watch(tuple(keys), tuple(losses)), math.isfinite
    found: list[int] = []
    for index, summary in enumerate(summaries):
        for key, is_norm, is_falling in watched:
            one = summary.get(key)
            if one is None:
                continue
            last = one.value
            is_odd = last is not None and not is_finite(last)
            if not is_norm:
                # the mean is finite only if every value is
                is_odd = is_odd or one.non_finite or (one.avg is not None and not is_finite(one.avg))
            low = one.min if is_falling else None
            if is_odd or (low is not None and last is not None and last - low.value > share * abs(low.value)):
                found.append(index)
                break
    return found


def find_breakage(
    metric: str, series: Mapping[str, Points], losses: Sequence[str], thresholds: Thresholds = DEFAULTS
) -> Breakage | None:
    """Return how a run broke according to the ranked metric or its training losses, or `None` if it did not break."""
    keys = list(dict.fromkeys([metric, *losses]))
    for key in _leave_out_rewards(*keys):
        points = series.get(key, Points())
        odd = _find_non_finite(points.values, to_end=describe_key(key).role == "gradient_norm")
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


def _find_non_finite(values: Sequence[float], *, to_end: bool) -> int | None:
    """Return the index of the first NaN or infinite value, or `None`.

    If `to_end` is true, return the index at which the trailing non-finite values start instead, or `None` if there are
    fewer than two trailing values or the series contains no finite value.
    """
    if to_end:
        first = next((index + 1 for index in range(len(values) - 1, -1, -1) if math.isfinite(values[index])), 0)
        return first if 0 < first <= len(values) - _LAST_NORMS else None
    return next((index for index, value in enumerate(values) if not math.isfinite(value)), None)


def find_divergence(points: Points, thresholds: Thresholds = DEFAULTS) -> int | None:
    """Return the step of a loss's best level if the loss diverged after it, and otherwise `None`.

    A loss has diverged if its final level exceeds its best level by more than the noise and by more than half of its
    earlier decrease.
    """
    values = points.values
    if len(values) < thresholds.fewest_points:
        return None
    width = max(3, len(values) // 10)
    levels = [median(values[start : start + width]) for start in range(0, len(values) - width + 1, max(1, width // 2))]
    end = median(values[-width:])
    best = min(levels)
    index = levels.index(best) * max(1, width // 2) + width // 2
    steps = [abs(after - before) for before, after in pairwise(values)]
    scatter = median(steps)
    rise = end - best
    if rise <= max(thresholds.broken_share * abs(levels[0] - best), thresholds.broken_scatter * scatter):
        return None
    if rise < thresholds.broken_share * abs(best):
        return None
    return points.steps[index]
