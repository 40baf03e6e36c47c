"""Read a metric's points from SwanLab's JSON, in the usual form and in any other form."""

from __future__ import annotations

import math
from typing import Any

import pytest

from swanlab_mcp.client.cloud.series import read_series
from swanlab_mcp.core.models import Points

NOW = 1_795_420_000_000


def read(points: list[dict[str, Any]], limit: int = 10) -> Points:
    return read_series([{"key": "loss", "metrics": points}], limit)["loss"]


def write(*points: tuple[Any, Any, Any]) -> list[dict[str, Any]]:
    return [{"index": step, "data": value, "timestamp": time} for step, value, time in points]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], Points([], [], [])),
        (write((0, 0.5, NOW), (1, 0.25, NOW + 1)), Points([0, 1], [0.5, 0.25], [NOW, NOW + 1])),
        (write((0, 1, NOW), (1, 0.25, NOW)), Points([0, 1], [1.0, 0.25], [NOW, NOW])),
        (write((1, 0.25, NOW), (0, 0.5, NOW)), Points([0, 1], [0.5, 0.25], [NOW, NOW])),
        (write((0, 0.5, NOW), (0, 0.25, NOW)), Points([0], [0.25], [NOW])),
        (write((0, "NaN", NOW), (1, 0.25, NOW)), Points([0, 1], [math.nan, 0.25], [NOW, NOW])),
        (write((0, 0.5, None), (1, 0.25, -5)), Points([0, 1], [0.5, 0.25], [0, 0])),
        (write((0, 10**400, NOW), (1, 0.25, NOW)), Points([0, 1], [math.inf, 0.25], [NOW, NOW])),
        (write((2**63, 0.5, NOW), (None, 0.5, NOW), (1, None, NOW)), Points([], [], [])),
        ([{"index": 3, "data": 0.5}], Points([3], [0.5], [0])),
    ],
)
def test_points_of_any_form_are_read_in_order(points: list[dict[str, Any]], expected: Points) -> None:
    assert repr(read(points)) == repr(expected)
    assert all(type(value) is float for value in read(points).values)


def test_a_full_sample_may_lack_points() -> None:
    points = write((0, 0.5, NOW), (1, 0.25, NOW))
    assert read(points, 3).is_whole
    assert not read(points, 2).is_whole
