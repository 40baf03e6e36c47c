"""What happened in a series: pure functions over its steps, values and times, each with the rule it applied.

Values are looked at as if small were good: negate those of an accuracy. All points count, in one or two passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.curves import SIGMA, Outline, outline
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds
from swanlab_mcp.core.i18n import say

__all__ = [
    "Event",
    "PairJudgement",
    "Worsening",
    "describe_worsening_rule",
    "find_chance_classes",
    "find_flat",
    "find_full_memory",
    "find_gaps",
    "find_idle",
    "find_jumps",
    "find_non_finite",
    "find_overfitting",
    "find_plateau",
    "find_spikes",
    "find_stall",
    "find_worsening",
    "show_duration",
]

Severity = Literal["problem", "warning", "info"]


class Event(NamedTuple):
    """Something that happened at a step: how grave it is, its size in the metric's unit, and the rule that told it.

    `trait` is what its cause is judged by: training still improves, or the loss stays at the level of chance.
    """

    kind: str
    severity: Severity
    step: int
    detail: str
    rule: str
    value: float | None = None
    trait: Literal["improves", "chance", ""] = ""


class Worsening(NamedTuple):
    """A series that was better before: its best point, since when it is worse, and its level at the end."""

    best_step: int
    best_value: float
    onset_step: int
    final: float


class PairJudgement(NamedTuple):
    """How a held-out series worsened; whether training did not meanwhile, and whether it even improved."""

    worsening: Worsening
    is_overfitting: bool
    improves: bool


def find_non_finite(steps: Sequence[int], values: Sequence[float]) -> Event | None:
    """Return the first NaN or infinite value, and whether any finite one came after it."""
    if math.isfinite(sum(values)):
        return None
    odd = [place for place, value in enumerate(values) if not math.isfinite(value)]
    if not odd:
        return None
    first = odd[0]
    lasts = odd[-1] == len(values) - 1
    name = "NaN" if math.isnan(values[first]) else say("infinity") if values[first] > 0 else say("-infinity")
    told = {"name": name, "count": len(odd), "total": len(values)}
    return Event(
        "non_finite",
        "problem" if lasts else "warning",
        steps[first],
        say("first {name}; {count} of {total} points, to the end", **told)
        if lasts and len(odd) == len(values) - first
        else say("first {name}; {count} of {total} points, finite again later", **told),
        say("any value that is NaN or infinite"),
    )


def find_spikes(
    steps: Sequence[int],
    values: Sequence[float],
    thresholds: Thresholds = DEFAULTS,
    side: Literal["above", "below"] = "above",
) -> Event | None:
    """Return the largest of the short rises above what lies before and after, and how many there are.

    `values` must be finite; `side` is how a rise is told, "below" where they were negated.
    """
    size = len(values)
    near = thresholds.spike_neighbours
    if size < max(thresholds.fewest_points, 4 * near):
        return None
    width = min(2048, max(32, size // 200))
    starts = range(0, max(1, size - width // 2), width)
    blocks = [sorted(values[start : (start + width) if start != starts[-1] else size]) for start in starts]
    middles = [block[len(block) // 2] for block in blocks]
    scatters = [
        SIGMA * median([abs(value - middle) for value in block]) for block, middle in zip(blocks, middles, strict=True)
    ]
    span = max(max(middles) - min(middles), *scatters)
    found: list[tuple[float, int]] = []
    for number, start in enumerate(starts):
        around = scatters[max(0, number - 2) : number + 3]
        sigma = max(scatters[number], median(around), thresholds.spike_floor * span)
        limit = thresholds.spike_sigmas * sigma
        if not limit or blocks[number][-1] <= middles[number] + limit:
            continue
        stop = start + len(blocks[number])
        for place in range(max(start, near), min(stop, size - near)):
            value = values[place]
            if value <= middles[number] + limit:
                continue
            base = max(median(values[place - near : place]), median(values[place + 1 : place + 1 + near]))
            if value - base > limit:
                found.append((value - base, place))
    if not found:
        return None
    clusters = 1 + sum(later - earlier > near for (_, earlier), (_, later) in pairwise(found))
    height, place = max(found)
    course = outline(values, thresholds)
    is_large = height >= thresholds.spike_recovered * (max(course.first, course.levels[0]) - course.best)
    grave = is_large or clusters >= max(thresholds.spike_many, thresholds.spike_many_share * size)
    return Event(
        "spike",
        "warning" if grave else "info",
        steps[place],
        _describe_spike(height, clusters, side),
        say("excess > {sigmas:g} robust sigmas", sigmas=thresholds.spike_sigmas),
        values[place],
    )


def _describe_spike(height: float, clusters: int, side: Literal["above", "below"]) -> str:
    if clusters > 1:
        return (
            say("{height:.3g} above its neighbours; the largest of {count}", height=height, count=clusters)
            if side == "above"
            else say("{height:.3g} below its neighbours; the largest of {count}", height=height, count=clusters)
        )
    return (
        say("{height:.3g} above its neighbours", height=height)
        if side == "above"
        else say("{height:.3g} below its neighbours", height=height)
    )


def find_worsening(
    steps: Sequence[int], values: Sequence[float], thresholds: Thresholds = DEFAULTS
) -> Worsening | None:
    """Return since when a series has been worse than its best for good, if it is at its end.

    `values` must be finite. The rise from the best level to the last must be a share of the whole improvement, beyond
    the noise of levels, and stand out: from the scatter around its own line, or by going straight up.
    """
    if len(values) < thresholds.fewest_points:
        return None
    course = outline(values, thresholds)
    best, final, levels = course.best, course.final, course.levels
    lowest = len(levels) - 1 - levels[::-1].index(best)
    rise = final - best
    drop = max(course.first, levels[0]) - best
    after = levels[lowest:]
    # what had not improved by as much before may as well be slow noise
    sigmas = thresholds.worse_sigmas * (1 if drop >= rise else thresholds.worse_doubt)
    if (
        len(after) <= thresholds.smoothing
        or rise <= thresholds.worse_share * drop
        or rise <= sigmas * course.scatter
        or (
            rise <= thresholds.worse_scatter * _measure_scatter(after)
            and rise <= thresholds.worse_directness * _measure_path(after)
        )
    ):
        return None
    limit = best + thresholds.onset_share * rise
    onset = max(place for place, level in enumerate(levels) if level <= limit)
    lowest_value = min(values)
    return Worsening(
        steps[values.index(lowest_value)],
        lowest_value,
        steps[min(len(steps) - 1, (onset + 1) * course.width)],
        final,
    )


def describe_worsening_rule(thresholds: Thresholds = DEFAULTS, move: Literal["rise", "fall"] = "rise") -> str:
    limits = {
        "share": thresholds.worse_share,
        "sigmas": thresholds.worse_sigmas,
        "scatter": thresholds.worse_scatter,
    }
    if move == "fall":
        return say("fall > {share:.0%} of the gain before it, {sigmas:g} sigmas, {scatter:g}x its scatter", **limits)
    return say("rise > {share:.0%} of the gain before it, {sigmas:g} sigmas, {scatter:g}x its scatter", **limits)


def find_flat(values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> Outline | None:
    """Return the outline of a series that never got better than it began; None where it did, or is too short.

    `values` must be finite. It got better where the first value or the first level lies above the best level by more
    than noise, and by a share of itself; by a smaller share where noise is out of the question (fine-tuning).
    """
    if len(values) < thresholds.flat_points:
        return None
    course = outline(values, thresholds)
    least = thresholds.flat_share * abs(course.first)
    for start, noise in ((course.first, course.noise), (course.levels[0], course.scatter)):
        gain = start - course.best
        if gain > least and gain > thresholds.flat_sigmas * noise:
            return None
    gain = course.levels[0] - course.best
    if gain > thresholds.slow_share * abs(course.first) and gain > thresholds.slow_sigmas * course.scatter:
        return None
    return course


def find_plateau(steps: Sequence[int], values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> Event | None:
    """Return since when a series that had improved gained next to nothing. `values` must be finite."""
    if len(values) < thresholds.flat_points or find_flat(values, thresholds):
        return None
    course = outline(values, thresholds)
    drop = max(course.first, course.levels[0]) - course.best
    limit = course.best + thresholds.plateau_share * drop + course.scatter
    level = next(place for place, level in enumerate(course.levels) if level <= limit)
    # within the first level, the values themselves tell
    onset = level * course.width or next((place for place, value in enumerate(values) if value <= limit), 0)
    share = 1 - onset / len(values)
    if share < thresholds.plateau_length or course.final > limit:
        return None
    return Event(
        "plateau",
        "info",
        steps[min(len(steps) - 1, onset)],
        say("the last {share:.0%} of the points gained next to nothing", share=share),
        say("gain < {share:.0%} of the whole", share=thresholds.plateau_share),
        course.levels[level],
    )


def find_overfitting(
    train: tuple[Sequence[int], Sequence[float]],
    held_out: tuple[Sequence[int], Sequence[float]],
    thresholds: Thresholds = DEFAULTS,
) -> PairJudgement | None:
    """Return how the held-out series worsened, and whether training meanwhile did not: then it is overfitting.

    Each is (steps, finite values).
    """
    worse = find_worsening(*held_out, thresholds)
    if worse is None:
        return None
    steps, values = train
    if len(values) < thresholds.fewest_points:
        return PairJudgement(worse, is_overfitting=False, improves=False)
    before = [value for step, value in zip(steps, values, strict=True) if step <= worse.best_step]
    level = median(before[-thresholds.smoothing :]) if before else values[0]
    final = median(values[-thresholds.smoothing :])
    noise = thresholds.worse_sigmas * outline(values, thresholds).noise
    return PairJudgement(
        worse,
        is_overfitting=final <= level + noise,
        improves=final < level - noise,
    )


def find_jumps(steps: Sequence[int], values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> list[Event]:
    """Return where a learning rate rises at once: a resumed or restarted schedule. `values` must be finite.

    Warm-up, decay in steps or along a curve, and restarts that recur are schedules, not breaks.
    """
    warm_up = max(2, int(thresholds.warm_up_share * len(values)))
    jumps = [
        place for place in range(warm_up, len(values)) if values[place] > thresholds.jump_factor * values[place - 1] > 0
    ]
    if len(jumps) >= thresholds.restarts:
        return []
    return [
        Event(
            "learning_rate_jump",
            "warning",
            steps[place],
            say("from {old:.3g} to {new:.3g} between two points", old=values[place - 1], new=values[place]),
            say(
                "rises more than x{factor:g} at once, fewer than {count} times",
                factor=thresholds.jump_factor,
                count=thresholds.restarts,
            ),
            values[place],
        )
        for place in jumps
    ]


def find_gaps(steps: Sequence[int], times: Sequence[int], thresholds: Thresholds = DEFAULTS) -> list[Event]:
    """Return pauses in time and missing steps that stand out from a series' own rhythm; times in Unix milliseconds.

    What recurs (an evaluation every epoch) is part of the rhythm. Steps whose points were recorded before those of
    smaller steps tell a resume.
    """
    events: list[Event] = []
    if len(steps) < thresholds.fewest_points:
        return events
    for place, pause, usual in _find_outstanding([later - earlier for earlier, later in pairwise(steps)], thresholds):
        events.append(
            Event(
                "missing_steps",
                "warning",
                steps[place + 1],
                say(
                    "no point between the steps {first} and {last} (usually every {usual:g})",
                    first=steps[place],
                    last=steps[place + 1],
                    usual=usual,
                ),
                _describe_gap_rule(thresholds),
                float(pause),
            )
        )
    if not all((times[0], times[-1])):
        return events
    waits = [later - earlier for earlier, later in pairwise(times)]
    for place, pause, usual in _find_outstanding(waits, thresholds):
        if pause >= 1000 * thresholds.gap_seconds:
            events.append(
                Event(
                    "logging_gap",
                    "warning",
                    steps[place + 1],
                    say(
                        "no point for {duration} (usually every {usual})",
                        duration=show_duration(pause / 1000),
                        usual=show_duration(usual / 1000),
                    ),
                    _describe_gap_rule(thresholds),
                    pause / 1000,
                )
            )
    back = [place for place, wait in enumerate(waits) if wait < -1000 * thresholds.gap_seconds]
    if 0 < len(back) < thresholds.gap_rank:
        events.append(
            Event(
                "resumed",
                "info",
                steps[back[0] + 1],
                say("was recorded before the steps in front of it, which were then logged again"),
                say("time goes back by more than {seconds:g} s", seconds=thresholds.gap_seconds),
            )
        )
    return events


def find_stall(times: Sequence[int], now: int, thresholds: Thresholds = DEFAULTS) -> tuple[int, float, float] | None:
    """Return since when a running series is overdue (Unix ms), how long it is silent and its usual interval (seconds).

    None while it is not; `times` in Unix milliseconds, as logged.
    """
    if len(times) < 2 or not times[-1]:
        return None
    waits = [later - earlier for earlier, later in pairwise(times) if later >= earlier]
    usual = median(waits) if waits else 0
    allowed = max(
        thresholds.stall_factor * usual,
        1000 * thresholds.stall_seconds,
        thresholds.gap_outstanding * max(waits, default=0),
    )
    silent = now - max(times[-1], times[0])
    if silent <= allowed:
        return None
    return int(now - silent + allowed), silent / 1000, usual / 1000


def find_full_memory(
    steps: Sequence[int], values: Sequence[float], kind: str = "gpu_memory_full", thresholds: Thresholds = DEFAULTS
) -> Event | None:
    """Return the largest use of a memory (in percent), where it came near the limit."""
    top = max((value for value in values if math.isfinite(value)), default=0.0)
    if top < thresholds.full_memory:
        return None
    step = steps[list(values).index(top)]
    return Event(kind, "info", step, say("up to {top:.4g} %", top=top), f">= {thresholds.full_memory:g} %", top)


def find_idle(steps: Sequence[int], values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> Event | None:
    """Return that a GPU was idle for most of the time; `values` is its load in percent."""
    loads = [value for value in values if math.isfinite(value)]
    if len(loads) < thresholds.idle_points or median(loads) >= thresholds.idle_gpu:
        return None
    detail = say("median load {load:.3g} % of {count} samples", load=median(loads), count=len(loads))
    rule = say("median < {load:g} %", load=thresholds.idle_gpu)
    return Event("gpu_idle", "warning", steps[0], detail, rule, median(loads))


def find_chance_classes(level: float, thresholds: Thresholds = DEFAULTS) -> int | None:
    """Return the number of classes whose chance level (cross entropy ln k) a loss lies at, if it lies at one."""
    known = [*range(2, 21), 100, 200, 365, 1000]
    nearest = min(known, key=lambda count: abs(math.log(count) - level))
    return nearest if abs(math.log(nearest) - level) <= thresholds.chance_share * level else None


def show_duration(seconds: float) -> str:
    """Return a length of time in the two units that matter, as 3 h 20 min."""
    if seconds < 120:
        return say("{seconds:.3g} s", seconds=seconds)
    minutes = round(seconds / 60)
    if minutes < 120:
        return say("{minutes} min", minutes=minutes)
    hours = round(minutes / 60)
    if hours < 48:
        return say("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)
    return say("{days} d {hours} h", days=hours // 24, hours=hours % 24)


def _describe_gap_rule(thresholds: Thresholds) -> str:
    return say(
        "longer than {factor:g}x the usual interval and {outstanding:g}x the interval of rank {rank}",
        factor=thresholds.gap_factor,
        outstanding=thresholds.gap_outstanding,
        rank=thresholds.gap_rank,
    )


def _find_outstanding(intervals: Sequence[int], thresholds: Thresholds) -> list[tuple[int, int, float]]:
    """Return (place, length, usual length) of the intervals that are far longer than all but a few."""
    ordered = sorted(intervals)
    usual = ordered[len(ordered) // 2]
    common = ordered[-thresholds.gap_rank] if len(ordered) >= thresholds.gap_rank else usual
    limit = max(thresholds.gap_factor * usual, thresholds.gap_outstanding * common)
    if usual <= 0 or ordered[-1] <= limit:
        return []
    return [(place, length, usual) for place, length in enumerate(intervals) if length > limit]


def _measure_path(levels: Sequence[float]) -> float:
    """Return the length of all moves up and down."""
    return sum(abs(later - earlier) for earlier, later in pairwise(levels))


def _measure_scatter(levels: Sequence[float]) -> float:
    """Return the standard deviation of levels around the straight line from their first to their last."""
    slope = (levels[-1] - levels[0]) / (len(levels) - 1)
    off = [abs(level - levels[0] - slope * place) for place, level in enumerate(levels)]
    return SIGMA * median(off)
