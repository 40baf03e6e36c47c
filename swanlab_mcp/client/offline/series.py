"""One metric's points, as they were recorded."""

from __future__ import annotations

import math
from array import array

from swanlab_mcp.models import Extreme, MetricSummary, Points

__all__ = ["Series"]


class Series:
    """Steps, values and Unix milliseconds in file order until `sort`; a step that occurs again replaces the earlier."""

    def __init__(self) -> None:
        self.steps = array("q")
        self.values = array("d")
        self.times = array("q")
        self._is_sorted = True

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, step: int, value: float, time: int) -> None:
        if self.steps and step <= self.steps[-1]:
            self._is_sorted = False
        self.steps.append(step)
        self.values.append(value)
        self.times.append(time)

    def sort(self) -> None:
        """Order the points by step; of equal steps the last recorded stays."""
        if self._is_sorted:
            return
        last = {step: index for index, step in enumerate(self.steps)}
        order = [last[step] for step in sorted(last)]
        self.steps = array("q", (self.steps[index] for index in order))
        self.values = array("d", (self.values[index] for index in order))
        self.times = array("q", (self.times[index] for index in order))
        self._is_sorted = True

    def to_points(self) -> Points:
        self.sort()
        return Points(self.steps, self.values, self.times)

    def summarise(self) -> MetricSummary:
        """Return last, smallest and largest value; on ties the lowest step counts."""
        self.sort()
        low = high = -1
        non_finite, first_non_finite = 0, None
        for index, value in enumerate(self.values):
            if not math.isfinite(value):
                non_finite += 1
                first_non_finite = self.steps[index] if first_non_finite is None else first_non_finite
                continue
            if low < 0 or value < self.values[low]:
                low = index
            if high < 0 or value > self.values[high]:
                high = index
        return MetricSummary(
            step=self.steps[-1] if self.steps else None,
            value=self.values[-1] if self.steps else None,
            min=Extreme(step=self.steps[low], value=self.values[low]) if low >= 0 else None,
            max=Extreme(step=self.steps[high], value=self.values[high]) if high >= 0 else None,
            count=len(self.steps),
            non_finite=non_finite or None,
            first_non_finite_step=first_non_finite,
        )
