"""Detect events in a series from its steps, values and times.

The `present` package turns the events into sentences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, Literal

from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = [
    "Event",
    "Kind",
    "Severity",
    "find_chance_classes",
    "find_due",
    "find_full_memory",
    "find_gaps",
    "find_idle",
    "find_jumps",
    "find_non_finite",
    "find_stall",
    "measure_stall",
]

Severity = Literal["problem", "warning", "info"]
Kind = Literal[
    "non_finite", "never_learned", "overfitting", "divergence", "worsening", "collapse", "unstable",
    "no_generalisation", "entropy_collapse", "length_explosion", "all_clipped", "shock", "spike", "plateau",
    "not_judged", "learning_rate_jump", "logging_gap", "missing_steps", "resumed", "stalled", "gpu_idle",
    "gpu_memory_full", "host_memory_full",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """An event at `step` in the metrics `keys`, measured in the first of these metrics.

    `facts` contains the measured values with their original sign, and `rule` is the name of a rule in docs/verdicts.md.
    For a rise that ended, `peak` and `end` are the steps at which it peaked and ended.
    """

    kind: Kind
    severity: Severity
    step: int
    rule: str
    keys: tuple[str, ...] = ()
    peak: int | None = None
    end: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_hardware(self) -> bool:
        """Whether the event concerns a system metric, whose steps are only sample numbers."""
        return bool(self.keys) and self.keys[0].startswith("__swanlab__")


def find_non_finite(steps: Sequence[int], values: Sequence[float]) -> Event | None:
    """Return an event for the first NaN or infinite value, or `None` if all values are finite.

    The event includes the number of such values and whether they continue until the end of the series.
    """
    if math.isfinite(sum(values)):
        return None
    odd = [index for index, value in enumerate(values) if not math.isfinite(value)]
    if not odd:
        return None
    first = odd[0]
    lasts = odd[-1] == len(values) - 1
    is_whole = len(odd) == len(values)
    facts = {
        "value": values[first],
        "count": len(odd),
        "total": len(values),
        "to_end": lasts and len(odd) == len(values) - first,
        "never_computed": is_whole,
    }
    severity: Severity = "problem" if lasts and not is_whole else "warning"
    return Event("non_finite", severity, steps[first], "non_finite", facts=facts)


def find_jumps(steps: Sequence[int], values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> list[Event]:
    """Return an event for each sudden increase in a learning rate, which suggests that the run was resumed.

    `values` must be finite. Warm-up and recurring restarts are ignored, because they belong to the schedule.
    """
    warm_up = max(2, int(thresholds.warm_up_share * len(values)))
    jumps = [
        index for index in range(warm_up, len(values)) if values[index] > thresholds.jump_factor * values[index - 1] > 0
    ]
    if len(jumps) >= thresholds.restarts:
        return []
    return [
        Event(
            "learning_rate_jump", "info", steps[index], "jump", facts={"old": values[index - 1], "new": values[index]}
        )
        for index in jumps
    ]


def find_gaps(steps: Sequence[int], times: Sequence[int], thresholds: Thresholds = DEFAULTS) -> list[Event]:
    """Return events for pauses and missing steps that break the usual rhythm of a series.

    `times` are in Unix milliseconds. Recurring pauses, such as an evaluation in every epoch, are part of the rhythm. If
    a step's timestamp is much earlier than the previous step's, the run is assumed to have been resumed.
    """
    events: list[Event] = []
    if len(steps) < thresholds.fewest_points:
        return events
    for index, pause, usual in _find_outstanding([later - earlier for earlier, later in pairwise(steps)], thresholds):
        facts = {"first": steps[index], "last": steps[index + 1], "usual": usual, "length": pause}
        events.append(Event("missing_steps", "warning", steps[index + 1], "gap", facts=facts))
    if not all((times[0], times[-1])):
        return events
    waits = [later - earlier for earlier, later in pairwise(times)]
    for index, pause, usual in _find_outstanding(waits, thresholds):
        if pause >= 1000 * thresholds.gap_seconds:
            facts = {"seconds": pause / 1000, "usual": usual / 1000}
            events.append(Event("logging_gap", "warning", steps[index + 1], "gap", facts=facts))
    back = [index for index, wait in enumerate(waits) if wait < -1000 * thresholds.gap_seconds]
    if 0 < len(back) < thresholds.gap_rank:
        events.append(Event("resumed", "info", steps[back[0] + 1], "resumed"))
    return events


def find_stall(times: Sequence[int], now: int, thresholds: Thresholds = DEFAULTS) -> tuple[int, float, float] | None:
    """Return (due, silence, interval) if a running series is overdue, and otherwise `None`.

    `due` is the time in Unix milliseconds at which the series became overdue. `silence` is the time since the last
    point and `interval` is the usual interval, both in seconds. `times` are in Unix milliseconds, in logged order.
    """
    return measure_stall(times, find_due(times, thresholds=thresholds), now)


def measure_stall(times: Sequence[int], known: tuple[float, float] | None, now: int) -> tuple[int, float, float] | None:
    """Return the same as `find_stall`. `known` is the result of `find_due` for these times."""
    if known is None or now <= known[0]:
        return None
    due, usual = known
    return int(due), (now - max(times[-1], times[0])) / 1000, usual


def find_due(
    times: Sequence[int], factor: float | None = None, thresholds: Thresholds = DEFAULTS
) -> tuple[float, float] | None:
    """Return the time at which the next point becomes overdue and the usual interval, or `None` if they are unknown.

    The time is in Unix milliseconds, the interval in seconds. `factor` is the number of usual intervals without a point
    that counts as a stall. A pause that is no longer than an earlier pause is not a stall.
    """
    if len(times) < 2 or not times[-1]:
        return None
    waits = [later - earlier for earlier, later in pairwise(times) if later >= earlier]
    usual, longest = median(waits) if waits else 0, max(waits, default=0)
    if factor is None:
        limits = (
            thresholds.stall_factor * usual,
            1000 * thresholds.stall_seconds,
            thresholds.gap_outstanding * longest,
        )
    else:
        limits = (factor * usual, longest)
    return max(times[-1], times[0]) + max(limits), usual / 1000


def find_full_memory(
    steps: Sequence[int],
    values: Sequence[float],
    kind: Literal["gpu_memory_full", "host_memory_full"] = "gpu_memory_full",
    thresholds: Thresholds = DEFAULTS,
) -> Event | None:
    """Return an event if the memory usage, given in percent, came close to the limit, and otherwise `None`."""
    top = max((value for value in values if math.isfinite(value)), default=0.0)
    if top < thresholds.full_memory:
        return None
    return Event(kind, "info", steps[list(values).index(top)], "full_memory", facts={"top": top})


def find_idle(steps: Sequence[int], values: Sequence[float], thresholds: Thresholds = DEFAULTS) -> Event | None:
    """Return an event if a GPU was mostly idle, and otherwise `None`. `values` contains the GPU's load in percent."""
    loads = [value for value in values if math.isfinite(value)]
    if len(loads) < thresholds.idle_points or median(loads) >= thresholds.idle_gpu:
        return None
    return Event("gpu_idle", "warning", steps[0], "idle", facts={"load": median(loads), "count": len(loads)})


def find_chance_classes(level: float, thresholds: Thresholds = DEFAULTS) -> int | None:
    """Return the number of classes k for which a cross-entropy loss is at chance level (ln k), or `None`."""
    known = [*range(2, 21), 100, 200, 365, 1000]
    nearest = min(known, key=lambda count: abs(math.log(count) - level))
    return nearest if abs(math.log(nearest) - level) <= thresholds.chance_share * level else None


def _find_outstanding(intervals: Sequence[int], thresholds: Thresholds) -> list[tuple[int, int, float]]:
    """Return (index, length, usual length) for each exceptionally long interval."""
    ordered = sorted(intervals)
    usual = ordered[len(ordered) // 2]
    common = ordered[-thresholds.gap_rank] if len(ordered) >= thresholds.gap_rank else usual
    limit = max(thresholds.gap_factor * usual, thresholds.gap_outstanding * common)
    if usual <= 0 or ordered[-1] <= limit:
        return []
    return [(index, length, usual) for index, length in enumerate(intervals) if length > limit]
