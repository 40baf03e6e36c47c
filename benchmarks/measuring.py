"""Time several alternatives in turn, so that a busy machine slows all of them equally, and compare the times."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = ["compute_spread", "freeze", "interleave", "interleave_async", "show_ratio", "show_seconds"]


def freeze() -> None:
    """Exclude all existing objects from garbage collection, as the server does after startup."""
    gc.collect()
    gc.freeze()


def interleave(ways: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """Run the alternatives in turn. Return the times of each in seconds, except for the first round (warm-up)."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repetitions + 1):
        for name, measure in ways.items():
            seconds = measure()
            if number:
                times[name].append(seconds)
    return times


async def interleave_async(
    ways: Mapping[str, Callable[[], Awaitable[object]]], repetitions: int
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repetitions + 1):
        for name, run in ways.items():
            began = time.perf_counter()
            await run()
            if number:
                times[name].append(time.perf_counter() - began)
    return times


def compute_spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and the quartiles. For fewer than 4 values, return the minimum and maximum as quartiles."""
    if len(values) < 4:
        return statistics.median(values), min(values), max(values)
    low, middle, high = statistics.quantiles(values, n=4)
    return middle, low, high


def show_seconds(values: Sequence[float]) -> str:
    middle, low, high = compute_spread(values)
    if middle < 1:
        return f"{1000 * middle:.1f} ms ({1000 * low:.1f} to {1000 * high:.1f})"
    return f"{middle:.2f} s ({low:.2f} to {high:.2f})"


def show_ratio(values: Sequence[float], others: Sequence[float]) -> str:
    """Return the ratio of the medians, and the quartiles of the ratios between paired repetitions, as a string."""
    ratio = statistics.median(values) / statistics.median(others)
    _, low, high = compute_spread([value / other for value, other in zip(values, others, strict=True)])
    return f"{ratio:.2f} ({low:.2f} to {high:.2f})"
