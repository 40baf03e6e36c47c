from __future__ import annotations

import math
from collections.abc import Sequence

from swanlab_mcp.analysis.selection import Selection, reduce_points, select_points
from swanlab_mcp.client import SwanLabClient
from swanlab_mcp.errors import NotFound
from swanlab_mcp.models import ApiResponse, Page, Points, Series, show_time
from swanlab_mcp.operations.arguments import (
    Around,
    EndStep,
    ExpCuids,
    Head,
    MaxPoints,
    MetricKeys,
    Mode,
    PageNumber,
    PageSize,
    ProjectName,
    StartStep,
    Tail,
    Username,
    WithTimes,
)
from swanlab_mcp.operations.keys import has_pattern, match_keys
from swanlab_mcp.operations.listing import add_notes, get_stretch, tell_page
from swanlab_mcp.operations.location import ask_about_experiment, locate_experiment
from swanlab_mcp.refs import Reference
from swanlab_mcp.untrusted import shorten

__all__ = ["get_metrics"]

_SAMPLED_POINTS = 60
_EXACT_POINTS = 400
_FEWEST_POINTS = 10
_NEIGHBOURS = 5


async def get_metrics(
    client: SwanLabClient,
    *,
    project: ProjectName,
    exp_cuids: ExpCuids,
    keys: MetricKeys,
    username: Username = "",
    mode: Mode = "sampled",
    start: StartStep = None,
    end: EndStep = None,
    head: Head = None,
    tail: Tail = None,
    around: Around = None,
    max_points: MaxPoints = 0,
    times: WithTimes = False,
    page: PageNumber = 0,
    size: PageSize = 100,
) -> ApiResponse[list[Series]]:
    """Get the values of metrics over steps (curves), of one or several experiments in one call.

    Use it to see how a run went; get_exp_summary tells last and extreme values in fewer tokens. 'sampled' keeps the
    first and last point, extremes and NaN stretches, for the shape; 'exact' gives every point, from `start` on. Returns
    one row per experiment and key: steps and values (same length; also "NaN", "Infinity", "-Infinity"), `source` ('all
    points', or 'sample' where SwanLab sent 1,500 of more), points and steps of the asked part, and non-finite ones.
    Example: {"project": "digits-mlp", "exp_cuids": ["lr-0.1", "lr-1"], "keys": ["val/loss"], "max_points": 20}.
    """
    selection = Selection(start, end, head, tail, around)
    selection.check()
    offset, limit = get_stretch(page, size)
    stop = None if limit is None else offset + limit
    wanted: list[tuple[Reference, str, str]] = []
    notes: list[str] = []
    for exp_cuid in dict.fromkeys(exp_cuids):
        place = await locate_experiment(client, exp_cuid, project, username)
        cuid, found = await _find_keys(client, place, keys)
        wanted += [(place, cuid, key) for key in found]
    shown = wanted[offset:stop]
    count = max_points or (
        _SAMPLED_POINTS if mode == "sampled" else max(_FEWEST_POINTS, _EXACT_POINTS // max(1, len(shown)))
    )
    series: list[Series] = []
    for place, cuid in dict.fromkeys((place, cuid) for place, cuid, _ in shown):
        asked = [key for at, one, key in shown if (at, one) == (place, cuid)]
        answer = await client.read_points(place.username, place.project, cuid, asked, exact=mode == "exact")
        points = answer.data or {}
        cut = [key for key, some in points.items() if not some.is_whole]
        if cut and any(part is not None for part in selection):
            # a part of a sample is not the part that was asked for
            answer = await client.read_points(place.username, place.project, cuid, cut, exact=True)
            points |= answer.data or {}
        notes += answer.notes
        for key in asked:
            part = select_points(points.get(key, Points()), selection, _NEIGHBOURS)
            kept = reduce_points(part, count) if mode == "sampled" else _take_first(part, count)
            series.append(_describe(cuid, key, part, kept, times=times))
            notes += _note_points(cuid, key, part, kept, is_exact=mode == "exact")
    whole = ApiResponse(data=series, page=Page(returned=len(series), total=len(wanted)))
    return add_notes(tell_page(whole, page, size, "in the order asked"), *dict.fromkeys(notes))


async def _find_keys(client: SwanLabClient, place: Reference, keys: Sequence[str]) -> tuple[str, list[str]]:
    """Return the experiment's id and its keys that are meant; raises NotFound with near keys."""
    cuid, answer = await ask_about_experiment(
        client, place, lambda cuid: client.list_keys(place.username, place.project, cuid)
    )
    logged: Sequence[str] = answer.data.scalars if answer.data else ()
    found = match_keys(logged, keys)
    if not has_pattern(keys):
        found = list(dict.fromkeys(keys))
    if not found:
        raise NotFound(f"The experiment {shorten(cuid)} has logged no metric (yet).")
    return cuid, found


def _take_first(points: Points, count: int) -> Points:
    return Points(points.steps[:count], points.values[:count], points.times[:count], points.is_whole)


def _describe(cuid: str, key: str, part: Points, kept: Points, *, times: bool) -> Series:
    odd = [step for step, value in zip(part.steps, part.values, strict=True) if not math.isfinite(value)]
    return Series(
        exp_cuid=cuid,
        key=key,
        steps=list(kept.steps),
        values=list(kept.values),
        times=[show_time(time) for time in kept.times] if times else None,
        source="all points" if part.is_whole else "sample",
        total=len(part.steps) if part.is_whole else None,
        first_step=part.steps[0] if part.steps else None,
        last_step=part.steps[-1] if part.steps else None,
        non_finite=len(odd) or None,
        first_non_finite_step=odd[0] if odd else None,
    )


def _note_points(cuid: str, key: str, part: Points, kept: Points, *, is_exact: bool) -> list[str]:
    name = f"{shorten(key)} of {shorten(cuid)}"
    if not part.steps:
        return [f"{name}: no points in the asked part."]
    if not part.is_whole:
        return [f"{name}: from a sample; extremes or NaN between its points may be missing. mode=exact reads them all."]
    if is_exact and len(kept.steps) < len(part.steps):
        return [
            f"{name}: {len(kept.steps)} of {len(part.steps)} points; continue with start={part.steps[len(kept.steps)]}."
        ]
    return []
