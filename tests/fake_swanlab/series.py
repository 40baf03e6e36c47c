"""Compute statistics, samples and CSV tables from the points of a metric."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fake_swanlab.state import Reading, Variants

__all__ = ["Statistics", "compute_statistics", "sample", "write_csv"]


@dataclass
class Statistics:
    """The statistics of a metric. Each one is None if there are no points to compute it from.

    The minimum and maximum are reported at the first step with that value.
    """

    last: Reading
    low: Reading | None = None
    high: Reading | None = None
    avg: float | None = None
    median: float | None = None
    deviation: float | None = None


def compute_statistics(points: Sequence[Reading], *, include_non_finite: bool) -> Statistics:
    """Compute the statistics of points sorted by step. Ignore non-finite values unless `include_non_finite` is true."""
    counted = points if include_non_finite else [point for point in points if math.isfinite(point.value)]
    found = Statistics(points[-1])
    if not counted:
        return found
    values = [point.value for point in counted]
    nan = next((point for point in counted if math.isnan(point.value)), None)
    found.low = nan or min(counted, key=lambda point: point.value)
    found.high = nan or max(counted, key=lambda point: point.value)
    if nan:
        found.avg = found.median = found.deviation = math.nan
        return found
    # divide before adding, so that the sum of large values does not overflow
    found.avg = math.fsum(value / len(values) for value in values) if all(map(math.isfinite, values)) else sum(values)
    found.median = statistics.median(values)
    spread = [value - found.avg for value in values]
    found.deviation = math.hypot(*spread) / math.sqrt(len(values)) if math.isfinite(found.avg) else math.nan
    return found


def sample(points: Sequence[Reading], count: int) -> list[Reading]:
    """Downsample to at most `count` points with LTTB, which keeps the point with the largest triangle per bucket."""
    if len(points) <= count:
        return list(points)
    if count < 3:
        return [points[0], points[-1]][:count]
    width = (len(points) - 2) / (count - 2)
    edges = [1 + int(bucket * width) for bucket in range(count - 1)]
    kept = [points[0]]
    for bucket in range(count - 2):
        start, stop = edges[bucket], edges[bucket + 1]
        after = points[stop : edges[bucket + 2]] if bucket + 2 < len(edges) else points[-1:]
        step = sum(point.step for point in after) / len(after)
        value = sum(point.value for point in after) / len(after)
        previous, best, largest = kept[-1], points[start], -1.0
        for point in points[start:stop]:
            area = abs(
                (previous.step - step) * (point.value - previous.value)
                - (previous.step - point.step) * (value - previous.value)
            )
            # this is false for NaN, so non-finite values tend to get lost, as in common implementations
            if area > largest:
                best, largest = point, area
        kept.append(best)
    return [*kept, points[-1]]


def write_csv(columns: Sequence[tuple[str, Sequence[Reading]]], variants: Variants) -> str:
    """Return a CSV table with one row per step, and a value column and a time column per name.

    As in SwanLab's exports, the name of a value column ends in `_step`.
    """
    series = [{point.step: point for point in points} for _, points in columns]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["step", *(f"{name}_{part}" for name, _ in columns for part in ("step", "timestamp"))])
    for step in sorted({step for points in series for step in points}):
        cells: list[str] = [str(step)]
        for points in series:
            point = points.get(step)
            cells += [_spell(point.value, variants), str(point.timestamp)] if point else ["", ""]
        table.writerow(cells)
    return text.getvalue()


def _spell(value: float, variants: Variants) -> str:
    if math.isnan(value):
        return variants.csv_nan
    if math.isinf(value):
        return variants.csv_infinity if value > 0 else f"-{variants.csv_infinity.lstrip('+')}"
    return repr(value)
