"""Which points of a series are asked for, and which of them are shown when they are too many."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from swanlab_mcp.errors import InvalidArgument
from swanlab_mcp.models import Points

__all__ = ["Selection", "reduce_points", "select_points"]


class Selection(NamedTuple):
    """A part of a series; None: not asked for.

    Steps from `start` to `end`, times (Unix milliseconds) from `since` to `until`, all included, the last so many
    minutes; then the first or last so many points, or those around a step.
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
        """Raise InvalidArgument when the parts contradict one another."""
        if self.start is not None and self.end is not None and self.start > self.end:
            raise InvalidArgument(
                f"start={self.start} lies after end={self.end}.", hint="Give the smaller step as start."
            )
        if self.since is not None and self.until is not None and self.since > self.until:
            raise InvalidArgument("start lies after end.", hint="Give the earlier time as start.")
        if self.last_minutes is not None and (self.since is not None or self.until is not None):
            raise InvalidArgument(
                "last_minutes and a time as start or end cannot go together.", hint="Give one of them."
            )
        chosen = [name for name in ("head", "tail", "around") if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise InvalidArgument(f"{' and '.join(chosen)} cannot go together.", hint=f"Give {chosen[0]} alone.")


def select_points(points: Points, selection: Selection, neighbours: int) -> Points:
    """Return the asked part; `neighbours` is how many points stand on each side of `around`."""
    steps, times = points.steps, points.times
    since, until = selection.since, selection.until
    if selection.last_minutes is not None:
        since = max(times, default=0) - round(selection.last_minutes * 60_000)
    places: Sequence[int] = [
        place
        for place, step in enumerate(steps)
        if (selection.start is None or step >= selection.start)
        and (selection.end is None or step <= selection.end)
        and (since is None or times[place] >= since)
        and (until is None or 0 < times[place] <= until)
    ]
    if selection.head is not None:
        places = places[: selection.head]
    elif selection.tail is not None:
        places = places[-selection.tail :]
    elif selection.around is not None:
        step = selection.around
        before = [place for place in places if steps[place] < step][-neighbours:]
        places = before + [place for place in places if steps[place] >= step][: neighbours + 1]
    return _take(points, places)


def reduce_points(points: Points, count: int) -> Points:
    """Return at most `count` points (at least 4): what a curve must not lose, and its outline.

    Kept are the first and last point, the smallest and largest value; every non-finite point, or of very many the ends
    of their stretches, in the end a part of these, the first and last among them; and of equally wide parts the
    smallest and largest.
    """
    size = len(points.steps)
    if size <= count:
        return points
    values = points.values
    finite = [place for place in range(size) if math.isfinite(values[place])]
    kept = {0, size - 1} | set(_choose_non_finite(values, (count - 4) // 2))
    if finite:
        kept |= _find_extremes(finite, values.__getitem__)
        parts = max(1, (count - len(kept)) // 2)
        width = size / parts
        buckets: dict[int, list[int]] = {}
        for place in finite:
            buckets.setdefault(int(place / width), []).append(place)
        for bucket in buckets.values():
            if len(kept) + 2 <= count:
                kept |= _find_extremes(bucket, values.__getitem__)
    return _take(points, sorted(kept))


def _choose_non_finite(values: Sequence[float], count: int) -> list[int]:
    places = [place for place, value in enumerate(values) if not math.isfinite(value)]
    if len(places) <= count:
        return places
    last = len(values) - 1
    places = [
        place
        for place in places
        if place in (0, last) or math.isfinite(values[place - 1]) or math.isfinite(values[place + 1])
    ]
    if len(places) <= count or count < 2:
        return places[:count]
    return [places[round(number * (len(places) - 1) / (count - 1))] for number in range(count)]


def _find_extremes(places: Sequence[int], value: Callable[[int], float]) -> set[int]:
    return {min(places, key=value), max(places, key=value)}


def _take(points: Points, places: Sequence[int]) -> Points:
    return Points(
        [points.steps[place] for place in places],
        [points.values[place] for place in places],
        [points.times[place] for place in places],
        points.is_whole,
    )
