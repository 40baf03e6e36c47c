"""Check means, bands and limits of curves against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.bands import choose_limits, measure_band

Value = st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf))
Curve = st.lists(st.tuples(st.integers(0, 60), Value), min_size=1, max_size=30, unique_by=lambda point: point[0])


@given(st.lists(Curve, min_size=1, max_size=5))
def test_band_equals_numpy_with_unequal_steps_gaps_and_early_ends(drawn: list[list[tuple[int, float]]]) -> None:
    curves = [tuple(zip(*sorted(points), strict=True)) for points in drawn]
    finite = [(np.array(xs), np.array(ys)) for xs, ys in curves]
    finite = [(xs[np.isfinite(ys)], ys[np.isfinite(ys)]) for xs, ys in finite]
    finite = [(xs, ys) for xs, ys in finite if len(xs)]
    deviation, extremes = (measure_band(curves, spread) for spread in ("sd", "minmax"))
    positions = sorted({float(x) for xs, _ in finite for x in xs})
    assert deviation.xs == extremes.xs == positions
    for index, x in enumerate(positions):
        values = np.array([np.interp(x, xs, ys) for xs, ys in finite if xs[0] <= x <= xs[-1]])
        spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
        margin = 1e-6
        assert deviation.counts[index] == len(values)
        assert deviation.means[index] == pytest.approx(np.mean(values), abs=margin)
        assert deviation.highs[index] - deviation.means[index] == pytest.approx(spread, abs=margin)
        assert extremes.lows[index] == pytest.approx(np.min(values), abs=margin)
        assert extremes.highs[index] == pytest.approx(np.max(values), abs=margin)


def test_long_bands_keep_both_ends() -> None:
    band = measure_band([(range(5000), [1.0] * 5000)])
    assert len(band.xs) == 1000
    assert (band.xs[0], band.xs[-1]) == (0, 4999)


def test_limits_exclude_first_points_that_squash_the_rest() -> None:
    curve = [1000.0, 300.0, *(1 / (1 + step / 50) for step in range(200))]
    low, high = choose_limits(curve, [curve[-1]])
    assert low == min(curve)
    assert 0.9 < high < 2
    assert choose_limits(curve, [1000.0])[1] == 1000


def test_limits_of_ordinary_curves_include_every_point() -> None:
    line = [float(step) for step in range(100)]
    assert choose_limits(line) == (0, 99)
    assert choose_limits([2.0] * 5) == (2, 2)
    assert choose_limits([math.nan]) == (0, 1)
