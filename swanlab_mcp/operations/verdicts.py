"""Read and diagnose an experiment's curves, so that all tools reach the same verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.deciding import Curve, choose_keys, read_curve
from swanlab_mcp.analysis.diagnosis import Diagnosis, Judgement
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


class _Examined(NamedTuple):
    """The part of a verdict that does not depend on the current time."""

    diagnosis: Diagnosis
    curves: Sequence[Curve]
    left: int
    logged: int


async def read_verdict(
    backend: Backend, ref: ExperimentRef, state: str, now: int, *, exact: bool = True, with_hardware: bool = True
) -> Verdict:
    """Read an experiment's curves and diagnose them as of `now`, in Unix milliseconds.

    If `exact` is false, each curve is sampled down to at most 1,500 points.
    """

    async def examine() -> ApiResponse[_Examined]:
        curves, left, logged = await _read_curves(backend, ref, exact=exact, with_hardware=with_hardware)
        # runs in a thread, so that it does not block other calls
        diagnosis = await asyncio.to_thread(Diagnosis, curves)
        return ApiResponse(data=_Examined(diagnosis, curves, left, logged))

    if state == "RUNNING":
        # the curves of a running experiment change, so they are cached only for as long as the backend caches them
        answer = await examine()
    else:
        answer = await backend.keep(ref, ("verdict", exact, with_hardware), examine, _weigh)
    assert answer.data is not None
    diagnosis, curves, left, logged = answer.data
    judgement = diagnosis.judge(is_running=state in ("RUNNING", "UNKNOWN"), now=now)
    return Verdict(judgement, curves, left, logged)


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


def _weigh(examined: _Examined) -> int:
    return sum(_CURVE + _POINT * len(curve.steps) for curve in examined.curves)
