"""The data of the interactive chart next to a picture, bounded in size, with texts cleaned by the caller."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from swanlab_mcp.analysis.selection import reduce_points
from swanlab_mcp.core.i18n import language
from swanlab_mcp.core.models import PlottedCurve, Points
from swanlab_mcp.core.records import is_moment, to_json_value
from swanlab_mcp.core.refs import ExperimentRef

__all__ = ["InteractiveCurve", "describe_chart"]

_LARGEST = 500_000  # bytes of JSON
_MOST_POINTS, _MOST_OF_A_CURVE = 20_000, 4000


class InteractiveCurve(NamedTuple):
    """A curve's points and figures, and its experiment; `began` is in seconds, 0 for unknown."""

    ref: ExperimentRef
    began: float
    points: Points
    row: PlottedCurve


def describe_chart(
    curves: Sequence[InteractiveCurve], clean: Callable[[str], str], *, x_axis: str, smoothing: float, log_y: bool
) -> dict[str, Any]:
    """Return at least one curve as JSON of at most 500 KB; `clean` masks and shortens recorded texts.

    Times are Unix milliseconds; the times of points count from `origin`. A thinned curve keeps its outline; `gaps`
    holds how many finite values each kept point represents.
    """
    experiments = {curve.ref: curve for curve in curves}
    numbers = {key: number for number, key in enumerate(experiments)}
    labels = _label(list(experiments.values()), clean)
    count = min(_MOST_OF_A_CURVE, _MOST_POINTS // len(curves))
    while True:
        chart: dict[str, Any] = {
            "x_axis": x_axis,
            "smoothing": smoothing,
            "log_y": log_y,
            "language": language.get(),
            "experiments": [
                {"name": label, "began": round(curve.began * 1000) or None}
                for label, curve in zip(labels, experiments.values(), strict=True)
            ],
            "curves": [
                {
                    "experiment": numbers[curve.ref],
                    "key": clean(curve.row.key),
                    "non_finite": curve.row.non_finite or 0,
                    **_describe_points(curve.points, count),
                    "events": _list_events(curve),
                }
                for curve in curves
            ],
        }
        if len(json.dumps(chart, ensure_ascii=False, separators=(",", ":")).encode()) <= _LARGEST:
            return chart
        count = count * 3 // 4


def _label(curves: Sequence[InteractiveCurve], clean: Callable[[str], str]) -> list[str]:
    """Return a name for each experiment; equal names get the id, and if necessary the project."""
    names = [clean(curve.row.name) for curve in curves]
    cuids = [clean(curve.row.exp_cuid) for curve in curves]
    places = [clean(f"{curve.ref.workspace}/{curve.ref.project}") for curve in curves]
    same_names, same_ids = Counter(names), Counter(zip(names, cuids, strict=True))
    return [
        name
        if same_names[name] == 1
        else f"{name} ({cuid})"
        if same_ids[name, cuid] == 1
        else f"{name} ({place}/{cuid})"
        for name, cuid, place in zip(names, cuids, places, strict=True)
    ]


def _describe_points(points: Points, count: int) -> dict[str, Any]:
    size = len(points.steps)
    places = reduce_points(Points(range(size), points.values, range(size)), count).steps
    reported: dict[str, Any] = {
        "total": size,
        "sampled": not points.is_whole,
        "steps": [points.steps[place] for place in places],
        # enough digits to distinguish any two float32 values
        "values": [to_json_value(float(f"{points.values[place]:.9g}")) for place in places],
    }
    times = [points.times[place] for place in places]
    origin = next((time for time in times if is_moment(time)), None)
    if origin is not None:
        reported |= {"origin": origin, "times": [time - origin if is_moment(time) else None for time in times]}
    if len(places) < size:
        finite = [0, *accumulate(map(math.isfinite, points.values))]
        seen = [0, *(finite[place + 1] for place in places)]
        reported["gaps"] = [after - before for before, after in pairwise(seen)]
    return reported


def _list_events(curve: InteractiveCurve) -> list[dict[str, Any]]:
    row, points = curve.row, curve.points
    best = row[row.best] if row.best else None
    steps = {"best": best and best.step, "non-finite": row.first_non_finite_step, "worsening": row.worse_since}
    events: list[dict[str, Any]] = []
    for kind, step in steps.items():
        if step is not None:
            place = bisect_left(points.steps, step)
            time = points.times[place]
            value = best.value if best and kind == "best" else points.values[place]
            events.append(
                {"kind": kind, "step": step, "time": time if is_moment(time) else None, "value": to_json_value(value)}
            )
    return events
