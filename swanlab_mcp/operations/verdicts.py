"""Read and diagnose an experiment's curves, so that all tools reach the same verdict."""

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

# estimated bytes in memory per curve and per point, including derived series
_CURVE = 5000
_POINT = 150


class Verdict(NamedTuple):
    """An experiment's diagnosis, and the curves that it is based on.

    `left` is the number of relevant keys that were not read, and `logged` is the number of metrics that the experiment
    logged.
    """

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
    """Read an experiment's curves and diagnose them as of `now`, in Unix milliseconds.

    If `exact` is false, each curve is sampled down to at most 1,500 points.
    """

    async def judge_curves() -> ApiResponse[Verdict]:
        curves, left, logged = await _read_curves(backend, ref, exact=exact, with_hardware=with_hardware)
        # runs in a thread, so that it does not block other calls
        judgement = await asyncio.to_thread(partial(judge, curves, is_running=is_running, now=now))
        return ApiResponse(data=Verdict(judgement, curves, left, logged))

    is_running = state in ("RUNNING", "UNKNOWN")
    if is_running:
        # the verdict on a running experiment depends on the current time, so it is not cached
        answer = await judge_curves()
    else:
        answer = await backend.keep(ref, ("verdict", exact, with_hardware), judge_curves, _weigh)
    assert answer.data is not None
    return answer.data


async def _read_curves(
    backend: Backend, ref: ExperimentRef, *, exact: bool, with_hardware: bool
) -> tuple[list[Curve], int, int]:
    """Return the curves to diagnose, the number of relevant keys not read, and the number of logged metrics."""
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
