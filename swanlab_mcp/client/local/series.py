"""Keep the recorded points of a metric in memory, or only their tally if there are too many points."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left

from swanlab_mcp.core.models import Extreme, MetricSummary, Points

__all__ = ["Numbering", "Series", "Tally"]

_FEW = 10_000


class Tally:
    """The count, first and last step, and smallest and largest finite value of points that arrive in any order.

    If several steps have the smallest or largest value, the first of them is used. The caller must remove repeated
    steps, because each would be counted twice.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: int | None = None
        self.last: tuple[int, float] | None = None
        self.low: tuple[float, int] | None = None
        self.high: tuple[float, int] | None = None
        self.non_finite = 0
        self.first_non_finite: int | None = None

    def add(self, steps: array[int], values: array[float]) -> None:
        """Add points, which must be in step order."""
        if not steps:
            return
        self.count += len(steps)
        self.first = steps[0] if self.first is None else min(self.first, steps[0])
        if self.last is None or steps[-1] >= self.last[0]:
            self.last = steps[-1], values[-1]
        finite_steps, finite = steps, values
        # a finite sum proves that all values are finite, and is ten times as fast as checking each value
        if not math.isfinite(sum(values)):
            indices = [index for index, value in enumerate(values) if math.isfinite(value)]
            odd = len(values) - len(indices)
            if odd:
                index = next(index for index, value in enumerate(values) if not math.isfinite(value))
                known = self.first_non_finite
                self.first_non_finite = steps[index] if known is None else min(known, steps[index])
            self.non_finite += odd
            finite_steps = array("q", (steps[index] for index in indices))
            finite = array("d", (values[index] for index in indices))
        if finite:
            low, high = min(finite), max(finite)
            self._compare((low, finite_steps[finite.index(low)]), (high, finite_steps[finite.index(high)]))

    def merge(self, later: Tally) -> None:
        """Add the tally of other points. The two tallies must not have a step in common."""
        self.count += later.count
        if later.first is not None:
            self.first = later.first if self.first is None else min(self.first, later.first)
        if later.last is not None and (self.last is None or later.last[0] >= self.last[0]):
            self.last = later.last
        self._compare(later.low, later.high)
        self.non_finite += later.non_finite
        odd = [step for step in (self.first_non_finite, later.first_non_finite) if step is not None]
        self.first_non_finite = min(odd, default=None)

    def _compare(self, low: tuple[float, int] | None, high: tuple[float, int] | None) -> None:
        if low and (self.low is None or low < self.low):
            self.low = low
        if high and (self.high is None or (-high[0], high[1]) < (-self.high[0], self.high[1])):
            self.high = high

    def summarise(self) -> MetricSummary:
        return MetricSummary(
            step=self.last[0] if self.last else None,
            value=self.last[1] if self.last else None,
            min=Extreme(step=self.low[1], value=self.low[0]) if self.low else None,
            max=Extreme(step=self.high[1], value=self.high[0]) if self.high else None,
            count=self.count,
            non_finite=self.non_finite or None,
            first_non_finite_step=self.first_non_finite,
        )


class Numbering:
    """Counts numbered records. A gap in the numbers shows that records were lost."""

    def __init__(self) -> None:
        self._count = 0
        self._first = 0
        self._last = 0

    def add(self, number: int) -> None:
        """Count a record by its number. A record without a number is passed as 0 and is ignored."""
        if number > 0:
            self._count += 1
            self._first = min(number, self._first or number)
            self._last = max(number, self._last)

    @property
    def missing(self) -> int:
        """Return the number of records that are missing between the first and the last record."""
        return max(0, self._last - self._first + 1 - self._count) if self._count else 0


class Series:
    """The points of a metric in step order. A repeated step replaces the earlier point.

    Times are in Unix milliseconds. `settle()` inserts points that arrived out of order. After `release()`, points are
    only counted, not kept.
    """

    def __init__(self, *, is_kept: bool = True) -> None:
        self.steps = array("q")
        self.values = array("d")
        self.times = array("q")
        self.is_kept = is_kept
        self.newest = -(1 << 63) - 1
        self.numbering = Numbering()
        self._late: list[tuple[int, float, int]] = []
        self._let_go = Tally()
        # the tally of the points in memory that were already counted, so that only new points have to be counted
        self._counted = Tally()

    def __len__(self) -> int:
        self.settle()
        return len(self.steps) + self._let_go.count

    def add(self, step: int, value: float, time: int) -> None:
        """Add a point. Raises OverflowError for a step beyond 64 bits."""
        if step > self.newest:
            self.steps.append(step)
            self.values.append(value)
            self.times.append(time)
            self.newest = step
        else:
            self._late.append((step, value, time))

    @property
    def held(self) -> int:
        """Return the number of points in memory."""
        return len(self.steps) + len(self._late)

    def tidy(self) -> None:
        """Call `settle()` if enough points were added since the last call to make it worthwhile."""
        if not self.is_kept or len(self._late) > _FEW + len(self.steps) // 8:
            self.settle()

    def settle(self) -> None:
        """Insert late points in step order, and drop all points if only the tally is kept.

        If a step was recorded several times, the last recorded point is used.
        """
        if self._late:
            self._insert({step: (value, time) for step, value, time in self._late})
            self._late.clear()
        if not self.is_kept and self.steps:
            self._let_go.add(self.steps, self.values)
            self._counted = Tally()
            self.steps, self.values, self.times = array("q"), array("d"), array("q")

    def _insert(self, late: dict[int, tuple[float, int]]) -> None:
        self._counted = Tally()
        steps, values, times = array("q"), array("d"), array("q")
        start = 0
        for step in sorted(late):
            index = bisect_left(self.steps, step, start)
            steps += self.steps[start:index]
            values += self.values[start:index]
            times += self.times[start:index]
            value, time = late[step]
            steps.append(step)
            values.append(value)
            times.append(time)
            start = index + (index < len(self.steps) and self.steps[index] == step)
        self.steps = steps + self.steps[start:]
        self.values = values + self.values[start:]
        self.times = times + self.times[start:]

    def release(self) -> None:
        """Drop the points, and from now on keep only the tally."""
        self.is_kept = False
        self.settle()

    def to_points(self) -> Points:
        """Return a copy of the points. The series must not have been released."""
        assert self.is_kept
        self.settle()
        return Points(self.steps[:], self.values[:], self.times[:])

    def tally(self) -> Tally:
        """Return the tally of all points that were added so far."""
        self.settle()
        known = self._counted.count
        self._counted.add(self.steps[known:], self.values[known:])
        tally = Tally()
        for part in (self._let_go, self._counted):
            if part.count:
                tally.merge(part)
        return tally
