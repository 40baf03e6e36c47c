"""Exploding curves: they are found, and curves of another size are not."""

from __future__ import annotations

import math

from swanlab_mcp.analysis.bands import list_calm


def test_exploding_curves_are_not_calm() -> None:
    good = [2.5 * math.exp(-step / 60) for step in range(300)]
    boom = good[:200] + [10.0 ** (step / 10) for step in range(100)]
    late = [*good[:-1], 1e9]
    assert list_calm([good, boom, good]) == [0, 2]
    assert list_calm([boom, good]) == [1]
    assert list_calm([late, good]) == [1]
    assert list_calm([good, [-y for y in boom[200:]] + good[:200], good]) == [0, 2]


def test_curves_of_another_size_are_calm() -> None:
    good = [2.5 * math.exp(-step / 60) for step in range(300)]
    larger = [1000 * value for value in good]
    assert list_calm([good, [5000 + value for value in larger]]) == [0, 1]
    assert list_calm([[1.0] * 9, good]) == [0, 1]
    assert list_calm([[], [math.nan]]) == [0, 1]
    assert list_calm([]) == []
