"""Curve shapes with autocorrelated noise."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

__all__ = ["Pen"]


class Pen(random.Random):
    """A source of random curves whose noise is proportional to the curve's range."""

    def noise(self, size: int, scale: float) -> list[float]:
        kept, value = self.choice([0.0, 0.0, 0.4, 0.7]), 0.0
        values: list[float] = []
        for _ in range(size):
            value = kept * value + self.gauss(0, math.sqrt(1 - kept * kept))
            values.append(scale * value)
        return values

    def fall(self, size: int, start: float, end: float, noise: float, rate: float = 0.0) -> list[float]:
        rate = rate or self.uniform(3, 7)
        off = self.noise(size, noise * (start - end))
        return [end + (start - end) * math.exp(-rate * index / size) + one for index, one in enumerate(off)]

    def climb(self, size: int, low: float, high: float, noise: float) -> list[float]:
        middle, width = self.uniform(0.15, 0.4) * size, self.uniform(0.05, 0.12) * size
        off = self.noise(size, noise * (high - low))
        return [low + (high - low) / (1 + math.exp((middle - index) / width)) + one for index, one in enumerate(off)]

    def valley(self, size: int, start: float, low: float, end: float, noise: float, at: float = 0.0) -> list[float]:
        """Return a curve that falls to a minimum and then rises linearly, with noise in proportion to the fall."""
        turn = max(1.0, (at or self.uniform(0.25, 0.5)) * size)
        off = self.noise(size, noise * abs(start - low))
        return [
            (
                low + (start - low) * (1 - index / turn) ** 2
                if index < turn
                else low + (end - low) * (index - turn) / (size - turn)
            )
            + one
            for index, one in enumerate(off)
        ]

    def average(self, values: Sequence[float], window: int) -> list[float]:
        """Return the mean of the last `window` values."""
        return [
            sum(part) / len(part)
            for index in range(len(values))
            if (part := values[max(0, index - window + 1) : index + 1])
        ]
