"""Find spikes and shocks in a series of costs (smaller is better).

A spike is a short rise. A shock is a longer rise from which the series recovered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from swanlab_mcp.analysis.curves import SIGMA, Outline, outline, to_scale
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = ["Shock", "Spike", "find_shock", "find_spikes"]


class Spike(NamedTuple):
    """The largest spike in a series, with its value and its height above the neighbouring points.

    `number` is the total number of spikes.
    """

    step: int
    height: float
    value: float
    number: int


class Shock(NamedTuple):
    """A rise from which a series took many points to recover.

    `start`, `peak` and `end` are steps. `value` is the highest cost, and `before` is the typical cost before the rise.
    If `is_long` is true, the shock lasted for at least 5 % of the series.
    """

    start: int
    peak: int
    end: int
    value: float
    before: float
    is_long: bool


def find_spikes(steps: Sequence[int], costs: Sequence[float], thresholds: Thresholds = DEFAULTS) -> Spike | None:
    """Return the largest spike and the number of spikes, or `None` if there are none. `costs` must be finite.

    A spike rises above the values before and after it. The first tenth of the series is skipped, because the values are
    still settling there.
    """
    size = len(costs)
    near = thresholds.spike_neighbours
    if size < max(thresholds.fewest_points, 4 * near):
        return None
    values = to_scale(costs, thresholds)
    width = min(2048, max(32, size // 200))
    starts = range(0, max(1, size - width // 2), width)
    blocks = [sorted(values[start : (start + width) if start != starts[-1] else size]) for start in starts]
    middles = [block[len(block) // 2] for block in blocks]
    scatters = [
        SIGMA * median([abs(value - middle) for value in block]) for block, middle in zip(blocks, middles, strict=True)
    ]
    span = max(max(middles) - min(middles), *scatters)
    skipped = max(near, int(thresholds.spike_settling * size))
    found: list[tuple[float, int]] = []
    for number, start in enumerate(starts):
        around = scatters[max(0, number - 2) : number + 3]
        sigma = max(scatters[number], median(around), thresholds.spike_floor * span)
        limit = thresholds.spike_sigmas * sigma
        if not limit or blocks[number][-1] <= middles[number] + limit:
            continue
        stop = start + len(blocks[number])
        for index in range(max(start, skipped), min(stop, size - near)):
            value = values[index]
            if value <= middles[number] + limit:
                continue
            base = max(median(values[index - near : index]), median(values[index + 1 : index + 1 + near]))
            if value - base > limit:
                found.append((value - base, index))
    if not found:
        return None
    count = 1 + sum(later - earlier > near for (_, earlier), (_, later) in pairwise(found))
    _, index = max(found)
    base = max(median(costs[index - near : index]), median(costs[index + 1 : index + 1 + near]))
    return Spike(steps[index], costs[index] - base, costs[index], count)


def find_shock(
    steps: Sequence[int], costs: Sequence[float], thresholds: Thresholds = DEFAULTS, course: Outline | None = None
) -> Shock | None:
    """Return the largest shock, or `None` if there is none. `costs` must be finite.

    A shock exceeds the noise and lasts for several points. It undoes at least half of the improvement so far, and it
    ends near the earlier best level. Shorter rises can be hidden in the smoothed levels, so the block medians are
    searched as well. In a long series, medians of smaller blocks are also searched.
    """
    if len(costs) < thresholds.shock_points:
        return None
    scaled = to_scale(costs, thresholds)
    if course is None:
        course = outline(scaled, thresholds)
    shock = _find_hump(steps, costs, course, course.levels, thresholds)
    # with a width of 1, the medians are the raw values, including their noise
    if shock is None and course.width > 1:
        shock = _find_hump(steps, costs, course, course.medians, thresholds)
    if shock or len(costs) <= thresholds.fine_levels:
        return shock
    fine = outline(scaled, replace(thresholds, levels=thresholds.fine_levels))
    return _find_hump(steps, costs, fine, fine.medians, thresholds)


def _find_hump(
    steps: Sequence[int], costs: Sequence[float], course: Outline, levels: Sequence[float], thresholds: Thresholds
) -> Shock | None:
    """Return the largest rise of the smoothed series that was followed by a recovery, or `None`."""
    settled = max(1, int(thresholds.spike_settling * len(levels)))
    lowest = levels[0]
    best: tuple[float, int, int] | None = None
    trough = 0
    for index, level in enumerate(levels):
        if level < lowest:
            lowest, trough = level, index
        elif index >= settled and (best is None or level - lowest > best[0]):
            best = (level - lowest, trough, index)
    if best is None:
        return None
    height, trough, peak = best
    gained = max(course.first, *levels[: trough + 1]) - levels[trough]
    back = levels[trough] + thresholds.shock_back * height
    end = next((index for index in range(peak, len(levels)) if levels[index] <= back), None)
    if (
        end is None
        or gained <= thresholds.learned_sigmas * course.scatter
        or height <= thresholds.spike_recovered * gained
        or height <= thresholds.spike_sigmas * course.scatter
    ):
        return None
    start = max(index for index in range(trough, peak) if levels[index] <= back)
    width = course.width
    is_long = (end - start) * thresholds.levels >= thresholds.smoothing * len(levels)
    if levels is course.medians and start < settled:
        return None
    # a shorter rise counts as a spike
    if not is_long and (end - start - 1) * width <= thresholds.spike_neighbours:
        return None
    stretch = range(start * width, min(len(costs), (end + 1) * width))
    top = max(stretch, key=lambda index: costs[index])
    before = median(costs[max(0, (trough - 1) * width) : (trough + 1) * width + 1])
    first, last = min(len(steps) - 1, (start + 1) * width), min(len(steps) - 1, end * width)
    return Shock(steps[first], steps[top], steps[last], costs[top], before, is_long)
