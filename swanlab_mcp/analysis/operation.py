"""Check how an experiment is running, based on its hardware metrics and the timing of its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swanlab_mcp.analysis.deciding import Curve
from swanlab_mcp.analysis.events import Event, find_full_memory, find_gaps, find_idle, measure_stall

__all__ = ["choose_densest", "describe_stall", "find_hardware", "find_pauses"]


def find_hardware(curves: Sequence[Curve]) -> list[Event]:
    """Return events for full memory and idle GPUs."""
    found: list[Event] = []
    for curve in curves:
        event = None
        if curve.kind.role == "gpu_memory":
            event = find_full_memory(curve.steps, curve.values)
        elif curve.kind.role == "host_memory":
            event = find_full_memory(curve.steps, curve.values, "host_memory_full")
        elif curve.kind.role == "gpu_load":
            event = find_idle(curve.steps, curve.values)
        if event:
            found.append(replace(event, keys=(curve.key,)))
    return found


def choose_densest(curves: Sequence[Curve]) -> Curve | None:
    """Return the logged metric with the most points, which shows pauses best, or `None` if there is none."""
    logged = [curve for curve in curves if not curve.key.startswith("__swanlab__")]
    return max(logged, key=lambda curve: len(curve.steps), default=None)


def find_pauses(curves: Sequence[Curve]) -> list[Event]:
    """Return events for gaps between points."""
    densest = choose_densest(curves)
    if densest is None:
        return []
    found = find_gaps(densest.steps, densest.times or [0] * len(densest.steps))
    return [replace(event, keys=(densest.key,)) for event in found]


def describe_stall(densest: Curve, due: tuple[float, float] | None, now: int) -> Event | None:
    """Return an event if a running experiment has stalled.

    `due` is the result of `find_due` for its densest curve, and `now` is the current time in Unix milliseconds.
    """
    stall = measure_stall(densest.times, due, now)
    if stall is None:
        return None
    facts = {"seconds": stall[1], "usual": stall[2]}
    return Event("stalled", "problem", densest.steps[-1], "stalled", (densest.key,), facts=facts)
