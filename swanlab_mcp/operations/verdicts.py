"""Read the curves of an experiment and diagnose them, in the same way for every question."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from swanlab_mcp.analysis.deciding import Curve, choose_keys, read_curve
from swanlab_mcp.analysis.diagnosis import Judgement, judge
from swanlab_mcp.client.base import Backend
from swanlab_mcp.core.models import ApiResponse, Points
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.operations.reading import read_every_point

__all__ = ["Verdict", "read_verdict"]

# estimated bytes in memory, including the series that are derived from a curve
_CURVE = 5000
_POINT = 150


class Verdict(NamedTuple):
    """The verdict on an experiment with `logged` metrics, and its curves; `left` relevant keys were not read."""

    judgement: Judgement
    curves: Sequence[Curve]
    left: int
    logged: int

    @property
    def is_whole(self) -> bool:
        return all(curve.is_whole for curve in self.curves)


async def read_verdict(
    backend: Backend, ref: ExperimentRef, state: str, now: int, *, exact: bool = True, with_hardware: bool = True
) -> Verdict:
    """Read the curves of an experiment and diagnose them as of `now` (Unix milliseconds).

    With `exact` False, at most 1,500 points per curve are read.
    """

    async def judge_curves() -> ApiResponse[Verdict]:
        curves, left, logged = await _read_curves(backend, ref, exact=exact, with_hardware=with_hardware)
        # in a thread, so that other calls continue meanwhile
        judgement = await asyncio.to_thread(partial(judge, curves, is_running=is_running, now=now))
        return ApiResponse(data=Verdict(judgement, curves, left, logged))

    is_running = state in ("RUNNING", "UNKNOWN")
    if is_running:
        # the verdict on a running experiment depends on the time
        answer = await judge_curves()
    else:
        answer = await backend.keep(ref, ("verdict", exact, with_hardware), judge_curves, _weigh)
    assert answer.data is not None
    return answer.data


async def _read_curves(
    backend: Backend, ref: ExperimentRef, *, exact: bool, with_hardware: bool
) -> tuple[list[Curve], int, int]:
    """Return the curves that decide the verdict, the number of relevant keys not read, and the number logged."""
    listed = await backend.list_keys(ref, with_media=False)
    scalars = listed.data.scalars if listed.data else ()
    keys, left = choose_keys(scalars)
    keys = [key for key in keys if with_hardware or not key.startswith("__swanlab__")]
    points: Mapping[str, Points] = {}
    if keys:
        read = await (read_every_point(backend, ref, keys) if exact else backend.read_points(ref, keys, exact=False))
        points = read.data or {}
    curves = [
        read_curve(key, one.steps, one.values, one.times, is_whole=one.is_whole)
        for key in keys
        if (one := points.get(key)) is not None and one.steps
    ]
    return curves, left, sum(not key.startswith("__swanlab__") for key in scalars)


def _weigh(verdict: Verdict) -> int:
    return sum(_CURVE + _POINT * len(curve.steps) for curve in verdict.curves)
