"""Describe a plot's interactive chart as JSON of limited size. The caller provides a function that cleans strings."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from swanlab_mcp.analysis.selection import reduce_points
from swanlab_mcp.core.findings import PlottedCurve
from swanlab_mcp.core.i18n import language
from swanlab_mcp.core.models import Points
from swanlab_mcp.core.records import is_moment, to_json_value
from swanlab_mcp.core.refs import ExperimentRef

__all__ = ["InteractiveCurve", "describe_chart", "label_experiments"]

_LARGEST = 500_000  # bytes of JSON
_MOST_POINTS, _MOST_OF_A_CURVE = 20_000, 4000


class InteractiveCurve(NamedTuple):
    """The points of a curve, and the experiment that logged them. For a group, this is the group's first experiment.

    `began` is the start time of the experiment in Unix seconds, or 0 if it is unknown. If the x axis shows neither
    steps nor times, `xs` contains the x values, with NaN for missing values. `band` contains the lower and upper
    bounds. If `names` is given, each point is an experiment and the points are not connected. `shades` contains the
    numbers that determine the colours of these points.
    """

    ref: ExperimentRef
    began: float
    points: Points
    row: PlottedCurve
    panel: int = 0
    dash: int = 0
    xs: Sequence[float] | None = None
    band: tuple[Sequence[float], Sequence[float]] | None = None
    names: Sequence[str] | None = None
    shades: Sequence[float] | None = None


def describe_chart(
    curves: Sequence[InteractiveCurve], clean: Callable[[str], str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a chart of one or more curves as JSON of at most 500 KB.

    `clean` masks and shortens recorded strings, and `options` contains additional fields of the chart. Times are in
    Unix milliseconds, and the times of points are relative to `origin`. Long curves are thinned out while preserving
    their shape; `gaps` then contains the number of finite values that each remaining point represents.
    """
    experiments = {curve.ref: curve for curve in curves}
    numbers = {key: number for number, key in enumerate(experiments)}
    labels = label_experiments([(curve.ref, curve.row) for curve in experiments.values()], clean)
    count = min(_MOST_OF_A_CURVE, _MOST_POINTS // len(curves))
    while True:
        chart: dict[str, Any] = {
            **options,
            "language": language.get(),
            "experiments": [
                {"name": label, "began": round(curve.began * 1000) or None, "n": curve.row.n}
                for label, curve in zip(labels, experiments.values(), strict=True)
            ],
            "curves": [
                {
                    "experiment": numbers[curve.ref],
                    "key": clean(curve.row.key),
                    "panel": curve.panel,
                    "dash": curve.dash,
                    "non_finite": curve.row.non_finite or 0,
                    **_describe_points(curve, count, clean),
                    "best": _describe_best(curve.row),
                    "better": curve.row.best or "",
                    "events": _list_events(curve),
                }
                for curve in curves
            ],
        }
        if len(json.dumps(chart, ensure_ascii=False, separators=(",", ":")).encode()) <= _LARGEST or count < 2:
            return chart
        count = count * 3 // 4


def label_experiments(
    experiments: Sequence[tuple[ExperimentRef, PlottedCurve]], clean: Callable[[str], str]
) -> list[str]:
    """Return a unique label for each experiment.

    If several experiments have the same name, the id is appended to the name. If the ids are also equal, the project is
    added.
    """
    names = [clean(row.name) for _, row in experiments]
    cuids = [clean(row.exp_cuid) for _, row in experiments]
    paths = [clean(f"{ref.workspace}/{ref.project}") for ref, _ in experiments]
    same_names, same_ids = Counter(names), Counter(zip(names, cuids, strict=True))
    return [
        name
        if same_names[name] == 1
        else f"{name} ({cuid})"
        if same_ids[name, cuid] == 1
        else f"{name} ({path}/{cuid})"
        for name, cuid, path in zip(names, cuids, paths, strict=True)
    ]


def _describe_points(curve: InteractiveCurve, count: int, clean: Callable[[str], str]) -> dict[str, Any]:
    points = curve.points
    size = len(points.steps)
    indices = reduce_points(Points(range(size), points.values, range(size)), count).steps
    reported: dict[str, Any] = {
        "total": size,
        "sampled": not points.is_whole,
        "steps": [points.steps[index] for index in indices],
        "values": [_round(points.values[index]) for index in indices],
    }
    times = [points.times[index] for index in indices]
    origin = next((time for time in times if is_moment(time)), None)
    if origin is not None:
        reported |= {"origin": origin, "times": [time - origin if is_moment(time) else None for time in times]}
    if len(indices) < size:
        finite = [0, *accumulate(map(math.isfinite, points.values))]
        seen = [0, *(finite[index + 1] for index in indices)]
        reported["gaps"] = [after - before for before, after in pairwise(seen)]
    if curve.xs is not None:
        xs = [curve.xs[index] for index in indices]
        reported["xs"] = [x if math.isfinite(x) else None for x in xs]
    if curve.band:
        reported |= {
            end: [_round(bound[index]) for index in indices]
            for end, bound in zip(("low", "high"), curve.band, strict=True)
        }
    if curve.names is not None:
        reported |= {"dots": True, "names": [clean(curve.names[index]) for index in indices]}
    if curve.shades is not None:
        reported["shades"] = [curve.shades[index] for index in indices]
    return reported


def _round(value: float) -> Any:
    """Round a value, but keep enough digits to distinguish any two float32 values."""
    return to_json_value(float(f"{value:.9g}"))


def _describe_best(row: PlottedCurve) -> dict[str, Any] | None:
    best = row[row.best] if row.best else None
    return {"step": best.step, "value": to_json_value(best.value)} if best else None


def _list_events(curve: InteractiveCurve) -> list[dict[str, Any]]:
    row, points = curve.row, curve.points
    if row.n:
        return []
    best = row[row.best] if row.best else None
    steps = {"best": best and best.step, "non-finite": row.first_non_finite_step, "worsening": row.worse_since}
    events: list[dict[str, Any]] = []
    for kind, step in steps.items():
        if step is not None:
            index = bisect_left(points.steps, step)
            time = points.times[index]
            value = best.value if best and kind == "best" else points.values[index]
            events.append(
                {"kind": kind, "step": step, "time": time if is_moment(time) else None, "value": to_json_value(value)}
            )
    return events
