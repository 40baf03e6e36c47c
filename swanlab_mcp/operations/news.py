from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.events import find_stall
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.durations import show_duration
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.findings import NewsItem
from swanlab_mcp.core.i18n import join_sentences, say
from swanlab_mcp.core.models import ApiResponse, Experiment, Extreme, Page, Points, Summary, read_time, show_time
from swanlab_mcp.core.refs import LOCAL, ProjectRef, find_near_names
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.arguments import AnyProject, PageNumber, PageSize, Since, Username, WatchedMetrics
from swanlab_mcp.operations.choice import list_chosen, read_all
from swanlab_mcp.operations.listing import add_notes, get_slice, tell_page
from swanlab_mcp.operations.location import ask_about_workspace, resolve_workspace
from swanlab_mcp.operations.targets import choose_targets

__all__ = ["whats_new"]

_AGO = re.compile(r"(\d{1,6})\s?([mhdw])")
_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PROJECTS = 20
_WATCHED = 20
_TARGETS = 2
_ASKED_FOR_KEYS = 3
_NAME = 40
_NAMED = 10
_ENDS = {"FINISHED": "finished", "CRASHED": "crashed", "ABORTED": "aborted"}


class _Happening(NamedTuple):
    """A row with its moment in Unix milliseconds."""

    moment: int
    item: NewsItem


async def whats_new(
    client: SwanLabClient,
    *,
    project: AnyProject = "",
    since: Since = "24h",
    metrics: WatchedMetrics = (),
    username: Username = "",
    page: PageNumber = 1,
    size: PageSize = 10,
) -> ApiResponse[list[NewsItem]]:
    """List what happened in a project or workspace since a time: new, finished, crashed, stalled, records.

    Use find_experiments for any other condition. Returns time, what, name, cuid and detail, newest first; a note
    holds the cursor to pass as `since` next time.
    Example: {"project": "mnist", "since": "24h"}.
    """
    now = client.now()
    moment = _read_since(since, now)
    notes: list[str] = []
    watched = _Watched(set(), set(), {})

    async def look_at(named: tuple[str, str]) -> tuple[int, list[_Happening]]:
        """Return the latest moment that SwanLab tells of a project, and what happened in it."""
        ref, choice = await list_chosen(client, *named, ())
        experiments = choice.experiments
        notes.extend(choice.notes)
        latest = max((_read_moment(text) for one in experiments for text in (one.createdAt, one.finishedAt)), default=0)
        targets, summaries = await _read_targets(client, ref, experiments, metrics, moment, watched, notes)
        return latest, [
            *_find_changes(ref, experiments, targets, summaries, moment),
            *await _find_stalls(client, ref, experiments, moment, now, notes),
            *await _find_records(client, ref, experiments, targets, summaries, moment),
        ]

    looked = await read_all(await _list_projects(client, project, username, moment, notes), look_at, "projects")
    notes += _explain_watched(metrics, watched)
    happenings = [one for _, found in looked for one in found]
    latest = max([moment, *(last for last, _ in looked)])
    happenings.sort(key=lambda one: (one.item.what == "record", one.moment), reverse=True)
    rows = [one.item for one in happenings]
    if len({row.project for row in rows}) < 2:
        rows = [row.model_copy(update={"project": None}) for row in rows]
    shown = rows[get_slice(page, size)]
    whole = ApiResponse(data=shown, page=Page(returned=len(shown), total=len(rows)), notes=list(dict.fromkeys(notes)))
    counts = Counter(row.what for row in rows)
    words = {
        "new": say("new"),
        "finished": say("finished"),
        "crashed": say("crashed"),
        "aborted": say("aborted"),
        "stalled": say("stalled"),
        "no end recorded": say("no end recorded"),
        "record": say("record"),
    }
    happened = say(", ").join(
        say("{count} {reason}", count=count, reason=words[what]) for what, count in counts.most_common()
    )
    cursor = show_time(max([latest, *(one.moment for one in happenings)]))
    stopped = say("The demo's clock is at {time}.", time=show_time(now)) if client.stopped_clock else ""
    return add_notes(
        tell_page(whole, page, size, say("records first, then the newest")),
        say("Since {time}: {counts}.", time=show_time(moment), counts=happened)
        if happened
        else say("Since {time}: nothing.", time=show_time(moment)),
        *([stopped] if stopped and _AGO.fullmatch(since.strip()) else []),
        say("Cursor for the next call: since={cursor}", cursor=cursor),
    )


class _Watched(NamedTuple):
    """Of the metrics that were asked for: those that were found, those that a project lacks, and what it has."""

    found: set[str]
    absent: set[str]
    logged: dict[str, None]


def _explain_watched(metrics: Sequence[str], watched: _Watched) -> list[str]:
    notes: list[str] = []
    for key in dict.fromkeys(metrics):
        if key in watched.absent - watched.found:
            near = find_near_names(key, list(watched.logged)) or list(watched.logged)[:_NAMED]
            told = say("Near ones: {names}.", names=", ".join(shorten(one) for one in near)) if near else ""
            notes.append(join_sentences(say("No experiment has a metric {key!r}.", key=shorten(key)), told))
        elif not describe_key(key).direction:
            notes.append(say("The direction of {key} is not known, so no records are judged.", key=shorten(key)))
    return notes


def _read_since(since: str, now: int) -> int:
    """Return the moment in Unix milliseconds; raises InvalidArgument."""
    ago = _AGO.fullmatch(since.strip())
    if ago:
        return now - int(ago[1]) * _UNITS[ago[2]]
    moment = _read_moment(since)
    if not moment:
        raise InvalidArgument(
            say("{text!r} is not a time.", text=shorten(since)),
            hint=say("Write it like 2026-11-23T08:00:00Z, 24h or 7d."),
        )
    return moment


def _read_moment(text: str | None) -> int:
    parsed = read_time(text) if text else None
    return round(parsed.timestamp() * 1000) if parsed else 0


async def _list_projects(
    client: SwanLabClient, project: str, username: str, moment: int, notes: list[str]
) -> list[tuple[str, str]]:
    """Return (project, workspace) of those that may have changed since, the most recently updated first."""
    if project:
        return [(project, username)]
    ref = await resolve_workspace(client, username)
    answer = await ask_about_workspace(client, ref, client.at(ref).list_projects)
    notes += answer.notes
    listed = answer.data or []
    # without a time of its update a project may have changed
    # and a running experiment may be silent: no update tells of a stall, and no file of what still runs
    changed = [
        one
        for one in listed
        if ref.workspace == LOCAL
        or not one.updatedAt
        or _read_moment(one.updatedAt) >= moment
        or one.count.get("runningExps")
    ]
    changed.sort(key=lambda one: one.updatedAt or "9", reverse=True)
    if len(changed) > _PROJECTS:
        left = ", ".join(shorten(one.name, _NAME) for one in changed[_PROJECTS:][:10])
        notes.append(
            say(
                "Only the {count} most recently updated of {total} changed or running projects were looked at; "
                "left out: {names}.",
                count=_PROJECTS,
                total=len(changed),
                names=left,
            )
        )
    return [(one.name, ref.workspace) for one in changed[:_PROJECTS]]


async def _read_targets(
    client: SwanLabClient,
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    metrics: Sequence[str],
    moment: int,
    watched: _Watched,
    notes: list[str],
) -> tuple[list[str], Mapping[str, Summary]]:
    """Return the metrics whose records count, and every experiment's summary of them."""
    recent = [one for one in experiments if _is_active(one, moment)]
    if not recent:
        return [], {}

    async def list_keys(experiment: Experiment) -> Sequence[str]:
        answer = await client.at(ref).list_keys(ref.experiment(experiment.cuid))
        return answer.data.scalars if answer.data else ()

    targets = list(metrics)
    if not targets:
        logged = await read_all(recent[:_ASKED_FOR_KEYS], list_keys)
        targets = choose_targets(dict.fromkeys(key for keys in logged for key in keys), _TARGETS)
    if not targets:
        return [], {}
    answer = await client.at(ref).get_summaries(ref, experiments, targets)
    notes += answer.notes
    summaries = answer.data or {}
    found = {key for summary in summaries.values() for key in summary}
    watched.found.update(found.intersection(metrics))
    absent = set(metrics) - found
    if absent:
        watched.absent.update(absent)
        logged = await read_all(recent[:_ASKED_FOR_KEYS], list_keys)
        watched.logged.update(
            dict.fromkeys(key for keys in logged for key in keys if not key.startswith("__swanlab__"))
        )
    return targets, summaries


def _is_active(experiment: Experiment, moment: int) -> bool:
    """Tell whether anything can have happened to an experiment since."""
    is_open = experiment.state not in _ENDS and not experiment.finishedAt
    return is_open or max(_read_moment(experiment.createdAt), _read_moment(experiment.finishedAt)) > moment


def _find_changes(
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    targets: Sequence[str],
    summaries: Mapping[str, Summary],
    moment: int,
) -> list[_Happening]:
    """Return one row per experiment that began or ended since."""
    found: list[_Happening] = []
    for experiment in experiments:
        created, finished = _read_moment(experiment.createdAt), _read_moment(experiment.finishedAt)
        is_new = created > moment
        if finished > moment and experiment.state in _ENDS:
            when, what = finished, _ENDS[experiment.state]
        elif is_new:
            when, what = created, "no end recorded" if experiment.state == "UNKNOWN" else "new"
        else:
            continue
        reached = [
            f"{shorten(key, _NAME)} {extreme.value:.6g}"
            for key in targets
            if (extreme := _get_best(summaries.get(experiment.cuid, {}), key))
        ]
        details = [say("new")] if is_new and what != "new" else []
        details += [say("best {values}", values=", ".join(reached))] if reached else []
        found.append(_Happening(when, _describe(ref, experiment, when, what, say("; ").join(details))))
    return found


async def _find_stalls(
    client: SwanLabClient,
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    moment: int,
    now: int,
    notes: list[str],
) -> list[_Happening]:
    """Return the running experiments that fell silent since."""
    running = [one for one in experiments if one.state == "RUNNING"]
    running.sort(key=lambda one: one.createdAt, reverse=True)
    if len(running) > _WATCHED:
        notes.append(
            say(
                "Only the {count} newest of {total} running experiments were checked for stalls.",
                count=_WATCHED,
                total=len(running),
            )
        )

    async def read_times(experiment: Experiment) -> Points:
        logged = await client.at(ref).list_keys(ref.experiment(experiment.cuid))
        scalars: Sequence[str] = logged.data.scalars if logged.data else ()
        custom = [key for key in scalars if not key.startswith("__swanlab__")][:1]
        if not custom:
            return Points()
        # the sample keeps the last point; the intervals that it lengthens make the check more patient, never hastier
        answer = await client.at(ref).read_points(ref.experiment(experiment.cuid), custom, exact=False)
        return (answer.data or {}).get(custom[0], Points())

    found: list[_Happening] = []
    for experiment, points in zip(running, await read_all(running[:_WATCHED], read_times), strict=False):
        stall = find_stall(points.times, now) if points.steps else None
        if stall and stall[0] > moment:
            silent = show_duration(stall[1])
            detail = say("no point since step {step}, {duration} ago", step=points.steps[-1], duration=silent)
            found.append(_Happening(stall[0], _describe(ref, experiment, stall[0], "stalled", detail)))
    return found


async def _find_records(
    client: SwanLabClient,
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    targets: Sequence[str],
    summaries: Mapping[str, Summary],
    moment: int,
) -> list[_Happening]:
    """Return for each metric the experiment that beat since then all that went before."""
    found: list[_Happening] = []
    for key in targets:
        sign = -1 if describe_key(key).direction == "max" else 1
        best = {one.cuid: extreme for one in experiments if (extreme := _get_best(summaries.get(one.cuid, {}), key))}
        ranked = sorted((one for one in experiments if one.cuid in best), key=lambda one: sign * best[one.cuid].value)
        if len(ranked) < 2 or not _is_active(ranked[0], moment):
            continue
        top, value = ranked[0], best[ranked[0].cuid]
        # the record before: of those that were there before, the best
        before = next((one for one in ranked[1:] if _read_moment(one.createdAt) <= moment), None)
        if before is None or value.value == best[before.cuid].value:
            continue
        answer = await client.at(ref).read_points(ref.experiment(top.cuid), [key], exact=True)
        when = _find_time((answer.data or {}).get(key, Points()), value, sign)
        if when <= moment:
            continue
        told = {
            "key": shorten(key, _NAME),
            "value": value.value,
            "old": best[before.cuid].value,
            "name": shorten(before.name, _NAME),
            "cuid": before.cuid,
        }
        detail = (
            say("{key} {value:.6g}; before: {old:.6g} of {name} ({cuid})", **told)
            if value.step is None
            else say("{key} {value:.6g} at step {step}; before: {old:.6g} of {name} ({cuid})", step=value.step, **told)
        )
        found.append(_Happening(when, _describe(ref, top, when, "record", detail)))
    return found


def _find_time(points: Points, best: Extreme, sign: int) -> int:
    """Return when a best value was reached, in Unix milliseconds; 0 where it is not among the points."""
    reached = [
        when for value, when in zip(points.values, points.times, strict=True) if sign * value <= sign * best.value
    ]
    return min(reached, default=0)


def _get_best(summary: Summary, key: str) -> Extreme | None:
    mode = describe_key(key).direction
    metric = summary.get(key)
    extreme = metric and (metric.min if mode == "min" else metric.max if mode == "max" else None)
    return extreme if extreme and math.isfinite(extreme.value) else None


def _describe(ref: ProjectRef, experiment: Experiment, moment: int, what: str, detail: str) -> NewsItem:
    return NewsItem(
        time=show_time(moment),
        what=what,
        project=shorten(ref.project),
        name=shorten(experiment.name, _NAME),
        cuid=experiment.cuid,
        detail=detail,
    )
