"""Exploding curves are found, and curves on a different scale are not mistaken for them."""

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


def test_most_curves_may_explode_if_the_worse_side_is_known() -> None:
    good = [2.5 * math.exp(-step / 60) for step in range(300)]
    boom = good[:100] + [10.0 ** (step / 10) for step in range(200)]
    jump = good[:60] + [1e6] * 240
    assert list_calm([boom, good, jump, boom], worse=1) == [1]
    assert list_calm([[-y for y in one] for one in (boom, good, jump, boom)], worse=-1) == [1]
    assert list_calm([[math.nan], boom, good, [], jump, boom], worse=1) == [2]


def test_curves_that_improve_do_not_explode() -> None:
    never = [1e-5 * (step % 3) for step in range(300)]
    late = [0.0] * 100 + [step / 200 for step in range(200)]
    assert list_calm([never, late, late], worse=-1) == [0, 1, 2]
    short = [2.5, 2.4999]
    assert list_calm([short, [2.5 * math.exp(-step / 60) for step in range(300)]] * 2, worse=1) == [0, 1, 2, 3]
    # a curve that was always larger may measure another quantity
    assert list_calm([[0.001] * 9, [5.0 + step for step in range(9)], [7.0] * 9], worse=1) == [0, 1, 2]
