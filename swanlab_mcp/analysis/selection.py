"""Select the requested points from a series, and reduce them to a manageable number."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.refusals import Contradiction
from swanlab_mcp.core.models import Points

__all__ = ["Selection", "reduce_points", "select_points"]


class Selection(NamedTuple):
    """The part of a series to select. `None` means no limit.

    The limits on steps (`start` to `end`) and times (`since` to `until`, in Unix milliseconds) are inclusive and apply
    first. `last_minutes` can be set instead of the limits on times. Of the points that remain, `head` keeps the first
    points, `tail` the last points, and `around` the points nearest to a step.
    """

    start: int | None = None
    end: int | None = None
    head: int | None = None
    tail: int | None = None
    around: int | None = None
    since: int | None = None
    until: int | None = None
    last_minutes: float | None = None

    def check(self) -> None:
        """Raise Contradiction if the limits contradict each other."""
        if self.start is not None and self.end is not None and self.start > self.end:
            raise Contradiction("steps", ("start", "end"), self.start, self.end)
        if self.since is not None and self.until is not None and self.since > self.until:
            raise Contradiction("times", ("start", "end"))
        if self.last_minutes is not None and (self.since is not None or self.until is not None):
            raise Contradiction("minutes", ("last_minutes", "start", "end"))
        chosen = [name for name in ("head", "tail", "around") if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise Contradiction("indices", chosen)


def select_points(points: Points, selection: Selection, neighbours: int) -> Points:
    """Return the selected points. `neighbours` is the number of points to keep on each side of `around`."""
    if selection == Selection():
        return points
    steps, times = points.steps, points.times
    first = 0 if selection.start is None else bisect_left(steps, selection.start)
    stop = len(steps) if selection.end is None else bisect_right(steps, selection.end)
    indices: Sequence[int] = range(first, max(first, stop))
    since, until = selection.since, selection.until
    if selection.last_minutes is not None:
        since = max(times, default=0) - round(selection.last_minutes * 60_000)
    if since is not None or until is not None:
        indices = [
            index
            for index in indices
            if (since is None or times[index] >= since) and (until is None or 0 < times[index] <= until)
        ]
    if selection.head is not None:
        indices = indices[: selection.head]
    elif selection.tail is not None:
        indices = indices[-selection.tail :]
    elif selection.around is not None:
        middle = bisect_left(indices, selection.around, key=steps.__getitem__)
        indices = indices[max(0, middle - neighbours) : middle + neighbours + 1]
    return _take(points, indices)


def reduce_points(points: Points, count: int) -> Points:
    """Reduce a series to at most `count` points, preserving its outline and its NaN and infinite points.

    `count` must be at least 4. The first, last, smallest and largest points are always included. All NaN and infinite
    points are included if they fit. Otherwise, only the first and last of consecutive such points are included, or a
    sample of them. The remaining points are the smallest and largest values in sections of equal width.
    """
    size = len(points.steps)
    if size <= count:
        return points
    values = points.values
    odd = [index for index, value in enumerate(values) if not math.isfinite(value)]
    room = count - 4
    chosen = odd if len(odd) <= room else _choose_non_finite(values, odd, room // 2)
    kept = {0, size - 1, *chosen, *_find_extremes(values, 0, size, odd)}
    parts = max(1, (count - len(kept)) // 2)
    for part in range(parts):
        if len(kept) + 2 <= count:
            kept |= _find_extremes(values, part * size // parts, (part + 1) * size // parts, odd)
    return _take(points, sorted(kept))


def _choose_non_finite(values: Sequence[float], indices: list[int], count: int) -> list[int]:
    last = len(values) - 1
    indices = [
        index
        for index in indices
        if index in (0, last) or math.isfinite(values[index - 1]) or math.isfinite(values[index + 1])
    ]
    if len(indices) <= count or count < 2:
        return indices[:count]
    return [indices[round(number * (len(indices) - 1) / (count - 1))] for number in range(count)]


def _find_extremes(values: Sequence[float], start: int, stop: int, odd: list[int]) -> set[int]:
    """Return the indices of the smallest and largest finite values between `start` and `stop`.

    `odd` contains the indices of all values that are not finite.
    """
    part = values[start:stop]
    is_mixed = bisect_left(odd, start) < bisect_left(odd, stop)
    finite = [value for value in part if math.isfinite(value)] if is_mixed else part
    return {start + part.index(min(finite)), start + part.index(max(finite))} if finite else set()


def _take(points: Points, indices: Sequence[int]) -> Points:
    if isinstance(indices, range) and indices.step == 1:
        part = slice(indices.start, indices.stop)
        return Points(points.steps[part], points.values[part], points.times[part], points.is_whole)
    return Points(
        [points.steps[index] for index in indices],
        [points.values[index] for index in indices],
        [points.times[index] for index in indices],
        points.is_whole,
    )
