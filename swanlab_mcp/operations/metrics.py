from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from swanlab_mcp.analysis.selection import Selection, reduce_points, select_points
from swanlab_mcp.analysis.system_units import find_unit
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument, NotFound
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse, Page, Points, Series
from swanlab_mcp.core.records import read_time, show_time
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.arguments import (
    Around,
    End,
    ExpCuids,
    Head,
    LastMinutes,
    MaxPoints,
    MetricKeys,
    Mode,
    OptionalProject,
    PageNumber,
    PageSize,
    Start,
    Tail,
    Username,
    XAxis,
)
from swanlab_mcp.operations.budget import count_points, output_tokens
from swanlab_mcp.operations.copies import note_copy
from swanlab_mcp.operations.keys import has_pattern, match_keys, match_known_keys
from swanlab_mcp.operations.listing import add_notes, describe_page, get_slice
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.partial import read_known
from swanlab_mcp.operations.refusals import word_refusals

__all__ = ["get_metrics", "read_selection"]

_SAMPLED_POINTS = 60
_NEIGHBOURS = 5
_CLOCKS = ("step", "time", "relative_time")


class _Bound(NamedTuple):
    """One end of the selected range: a step, a time in Unix milliseconds, or neither if the range is open."""

    step: int | None = None
    time: int | None = None


class _Wanted(NamedTuple):
    """The metric keys that are selected for an experiment.

    `missing` is the error for patterns that match no key, or for an experiment that does not exist.
    """

    ref: ExperimentRef
    keys: Sequence[str]
    missing: NotFound | None = None


class _Found(NamedTuple):
    """The points that were read from an experiment, by key.

    `axis` maps each step to the value of the metric on the x axis. `missing` is the error for keys that do not exist.
    """

    ref: ExperimentRef
    points: Mapping[str, Points]
    axis: Mapping[int, float]
    notes: Sequence[str]
    missing: NotFound | None = None


async def get_metrics(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuids: ExpCuids,
    keys: MetricKeys,
    username: Username = "",
    mode: Mode = "sampled",
    start: Start = None,
    end: End = None,
    head: Head = None,
    tail: Tail = None,
    around: Around = None,
    last_minutes: LastMinutes = None,
    max_points: MaxPoints = 0,
    x_axis: XAxis = "step",
    page: PageNumber = 0,
    size: PageSize = 100,
) -> ApiResponse[list[Series]]:
    """Get metric values over steps (curves) for one or several experiments in one call.

    Use get_exp_summary for last and extreme values, plot_metrics for a picture. Pass at most one of head, tail and
    around. Returns for each experiment and key the steps, the values (also "NaN" and "Infinity"), `source` ('all
    points' or 'sample'), the number of points in the range and in the series, and how many are not finite.
    Example: {"project": "mnist", "exp_cuids": ["lr-0.1", "lr-1"], "keys": ["val/loss"], "max_points": 20}.
    """
    selection = read_selection(start, end, head, tail, around, last_minutes)
    resolve = partial(resolve_experiment, client, project=project, username=username)
    known, unknown = await read_known(exp_cuids, resolve)
    notes = [str(error) for error in unknown]
    label = attrgetter("cuid" if len({one.parent for one in known}) == 1 else "path")
    wanted = await progress.follow("experiments", *(_choose(client, ref, label, keys) for ref in dict.fromkeys(known)))
    rows = list(dict.fromkeys((one.ref, key) for one in wanted for key in one.keys))
    if not rows:
        raise next(one.missing for one in wanted if one.missing)
    if output_tokens.get() is not None and len(rows) > size:
        page = page or 1  # series that cannot fit into any reply are not read
    shown = rows[get_slice(page, size)]
    refs = list(dict.fromkeys(ref for ref, _ in shown))
    read = partial(_read, client, label=label, selection=selection, is_exact=mode == "exact", x_axis=x_axis)
    found = await progress.follow("experiments", *(read(ref, [key for of, key in shown if of == ref]) for ref in refs))
    missing = [one.missing for one in (*wanted, *found) if one.missing]
    found, repeated = _drop_repeated(found)
    series: list[Series] = []
    notes += [note for one in found for note in one.notes]
    fitting = count_points(len(shown) if mode == "exact" else 1, has_axis=x_axis != "step")
    count = max_points or (_SAMPLED_POINTS if mode == "sampled" else fitting)
    count = min((one for one in (count, fitting) if one), default=None)
    for one in found:
        cuid = label(one.ref)
        for key, points in one.points.items():
            part = select_points(points, selection, _NEIGHBOURS)
            kept = _take_first(part, count) if mode == "exact" else reduce_points(part, max(4, count or 0))
            row = _describe(cuid, key, part, kept, one.axis, x_axis)
            if points.is_whole and len(part.steps) < len(points.steps):
                row = row.model_copy(update={"series_total": len(points.steps)})
            if mode == "exact" and len(kept.steps) < len(part.steps):
                row = row.model_copy(update={"next_start": part.steps[len(kept.steps)]})
            series.append(row)
            notes += _note_points(cuid, key, part)
            gaps = sum(step not in one.axis for step in kept.steps) if x_axis not in _CLOCKS else 0
            if gaps:
                notes.append(
                    gettext(
                        "{key} of {cuid}: {axis} has no value at {count} steps (x is NaN there).",
                        key=quote(key),
                        cuid=quote(cuid),
                        axis=quote(x_axis),
                        count=gaps,
                    )
                )
    if missing and not series:
        raise missing[0]
    read_refs = {one.ref for one in found}
    copies = [await note_copy(client, ref) for ref in read_refs if len(read_refs) == 1]
    notes = [_note_cuts(series, head), *notes, *copies, *(str(error) for error in missing)]
    whole = ApiResponse(data=series, page=Page(returned=len(series), total=len(rows) - repeated))
    return add_notes(describe_page(whole, page, size, gettext("in the requested order")), *dict.fromkeys(notes))


def read_selection(
    start: int | str | None,
    end: int | str | None,
    head: int | None = None,
    tail: int | None = None,
    around: int | None = None,
    last_minutes: float | None = None,
) -> Selection:
    """Parse the arguments that select a range of points.

    Raises InvalidArgument if an argument is invalid or if arguments contradict each other.
    """
    first, last = _read_bound(start), _read_bound(end)
    selection = Selection(first.step, last.step, head, tail, around, first.time, last.time, last_minutes)
    with word_refusals():
        selection.check()
    return selection


def _read_bound(bound: int | str | None) -> _Bound:
    if bound is None or isinstance(bound, int):
        return _Bound(step=bound)
    if re.fullmatch(r"-?\d{1,18}", bound.strip()):
        return _Bound(step=int(bound))
    moment = read_time(bound)
    if moment is None:
        raise InvalidArgument(
            gettext("{text!r} is not a step or a time.", text=shorten(bound)),
            hint=gettext("Write a step like 1000, a time like 2026-11-23T08:00 (UTC) or 2026-11-23T16:00+08:00."),
        )
    return _Bound(time=int(moment.timestamp() * 1000))


async def _choose(
    client: SwanLabClient, ref: ExperimentRef, label: Callable[[ExperimentRef], str], keys: Sequence[str]
) -> _Wanted:
    """Return the keys to read from an experiment. The logged keys are fetched only if `keys` contains a pattern."""
    if not has_pattern(keys):
        return _Wanted(ref, list(dict.fromkeys(keys)))
    try:
        ref, answer = await ask_about_experiment(client, ref, client.at(ref).list_keys)
    except NotFound as error:
        return _Wanted(ref, (), error)
    found, missing = match_known_keys(answer.data.scalars if answer.data else (), keys)
    return _Wanted(ref, found, missing and _name(missing, label(ref)))


async def _read(
    client: SwanLabClient,
    ref: ExperimentRef,
    keys: Sequence[str],
    *,
    label: Callable[[ExperimentRef], str],
    selection: Selection,
    is_exact: bool,
    x_axis: str,
) -> _Found:
    is_metric = x_axis not in _CLOCKS
    requested: list[str] = [*keys, *([x_axis] if is_metric and x_axis not in keys else [])]
    backend = client.at(ref)
    try:
        ref, answer = await ask_about_experiment(client, ref, backend.read_points, requested, exact=is_exact)
    except NotFound as error:
        return _Found(ref, {}, {}, (), error)
    cuid = label(ref)
    points, notes = dict(answer.data or {}), [*answer.notes]
    cut = [key for key, some in points.items() if not some.is_whole]
    if cut and (selection != Selection() or is_metric):
        # a range of a sample contains too few points, and two samples have few steps in common
        answer = await backend.read_points(ref, cut, exact=True)
        points |= answer.data or {}
    elif cut:
        summary = (await backend.get_summary(ref)).data or {}
        for key in cut:
            extremes = [one for one in (summary[key].min, summary[key].max) if one] if key in summary else []
            points[key] = _add_points(points[key], {one.step: one.value for one in extremes if one.step is not None})
            if len(extremes) < 2 or any(one.step is None for one in extremes):
                notes.append(
                    gettext(
                        "{key} of {cuid}: extremes between the sampled points may be missing.",
                        key=quote(key),
                        cuid=quote(cuid),
                    )
                )
    missing: NotFound | None = None
    absent = [key for key in requested if key not in points]
    if absent:
        logged = (await backend.list_keys(ref, with_media=False)).data
        try:
            match_keys(logged.scalars if logged else (), absent)
        except NotFound as error:
            missing = _name(error, cuid)
            if x_axis in absent:
                raise missing from error
    axis: dict[int, float] = {}
    if is_metric:
        axis = dict(zip(points[x_axis].steps, points[x_axis].values, strict=True))
    elif x_axis == "relative_time":
        experiment = (await backend.get_experiment(ref)).data
        began = read_time(experiment.createdAt) if experiment else None
        if began is None:
            raise InvalidArgument(
                gettext("The start time of {cuid} is unknown.", cuid=quote(cuid)), hint=gettext("Use x_axis='time'.")
            )
        axis = {-1: began.timestamp() * 1000}
    return _Found(ref, {key: points[key] for key in keys if key in points}, axis, notes, missing)


def _drop_repeated(found: Sequence[_Found]) -> tuple[list[_Found], int]:
    """Drop series that were requested twice, once by the experiment's name and once by its id.

    Returns the remaining series and the number of dropped series.
    """
    kept: list[_Found] = []
    seen: set[tuple[ExperimentRef, str]] = set()
    for one in found:
        points = {key: some for key, some in one.points.items() if (one.ref, key) not in seen}
        seen.update((one.ref, key) for key in points)
        kept.append(one._replace(points=points))
    return kept, sum(len(one.points) for one in found) - len(seen)


def _add_points(points: Points, others: Mapping[int, float]) -> Points:
    """Add the true minimum and maximum to a sample, because SwanLab returns them separately."""
    known = dict(zip(points.steps, zip(points.values, points.times, strict=True), strict=True))
    known |= {step: (value, 0) for step, value in others.items() if step not in known}
    steps = sorted(known)
    return Points(steps, [known[step][0] for step in steps], [known[step][1] for step in steps], is_whole=False)


def _name(error: NotFound, cuid: str) -> NotFound:
    return NotFound(gettext("{cuid}: {error}", cuid=quote(cuid), error=error.message), hint=error.hint)


def _take_first(points: Points, count: int | None) -> Points:
    return Points(points.steps[:count], points.values[:count], points.times[:count], points.is_whole)


def _describe(cuid: str, key: str, part: Points, kept: Points, axis: Mapping[int, float], x_axis: str) -> Series:
    odd = [step for step, value in zip(part.steps, part.values, strict=True) if not math.isfinite(value)]
    x: list[float] | None = None
    if x_axis == "relative_time":
        x = [(time - axis[-1]) / 1000 if time else math.nan for time in kept.times]
    elif x_axis not in _CLOCKS:
        x = [axis.get(step, math.nan) for step in kept.steps]
    return Series(
        exp_cuid=cuid,
        key=key,
        unit=find_unit(key),
        steps=list(kept.steps),
        values=list(kept.values),
        times=[show_time(time) for time in kept.times] if x_axis == "time" else None,
        x=x,
        source="all points" if part.is_whole else "sample",
        returned=len(kept.steps),
        total=len(part.steps) if part.is_whole else None,
        first_step=part.steps[0] if part.steps else None,
        last_step=part.steps[-1] if part.steps else None,
        non_finite=len(odd) or None,
        first_non_finite_step=odd[0] if odd else None,
    )


def _note_points(cuid: str, key: str, part: Points) -> list[str]:
    which = {"key": quote(key), "cuid": quote(cuid)}
    if not part.steps:
        return [gettext("{key} of {cuid}: no points in the requested range.", **which)]
    if not part.is_whole:
        sampled = gettext(
            "{key} of {cuid}: from a sample, so NaN between its points may be missing. mode=exact reads all points.",
            **which,
        )
        return [sampled]
    return []


def _note_cuts(series: Sequence[Series], head: int | None) -> str:
    """Return a note that explains how to continue truncated series, or "" if no series is truncated."""
    cut = [one for one in series if one.next_start is not None]
    if not cut:
        return ""
    starts = {one.next_start for one in cut}
    returned = {one.returned for one in cut}
    rest = "" if head is None else f" head={head - min(returned)}"
    if len(starts) == 1 and (head is None or len(returned) == 1):
        return ngettext(
            "{count} of {total} series is cut; continue with {arguments}.",
            "{count} of {total} series are cut; continue with {arguments}.",
            len(cut),
            total=len(series),
            arguments=f"start={starts.pop()}{rest}",
        )
    if head is None:
        return gettext(
            "{count} series were cut at different steps. Request each again, with its next_start as start.",
            count=len(cut),
        )
    return gettext(
        "{count} series were cut at different steps. Request each again, with its next_start as start, and "
        "reduce head by the number of returned points.",
        count=len(cut),
    )
