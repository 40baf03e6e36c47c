from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from swanlab_mcp.analysis.deciding import Curve, read_curve
from swanlab_mcp.analysis.diagnosis import judge
from swanlab_mcp.analysis.events import Event, find_stall
from swanlab_mcp.analysis.hygiene import Lack, check_config, check_curves, find_namesakes
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.operation import choose_densest
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.i18n import gettext, join_sentences
from swanlab_mcp.core.models import ApiResponse, Experiment, Page, Project, Summary
from swanlab_mcp.core.refs import LOCAL, ExperimentRef, ProjectRef, find_near_names
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.arguments import AnyProject, PageNumber, PageSize, Since, Username, WatchedMetrics
from swanlab_mcp.operations.finding import Choice, choose_experiments, list_summarised_keys
from swanlab_mcp.operations.listing import describe_page, get_slice
from swanlab_mcp.operations.moments import is_period, read_moment, read_since
from swanlab_mcp.operations.reading import note_failures, read_all, read_projects
from swanlab_mcp.operations.records import Record, find_record, get_results, read_studies
from swanlab_mcp.operations.scope import list_located, note_skipped
from swanlab_mcp.operations.study import Study
from swanlab_mcp.operations.targets import choose_targets
from swanlab_mcp.operations.verdicts import Verdict, read_verdict

__all__ = ["Happening", "News", "whats_new"]

_PROJECTS = 20
_WATCHED = 20
_JUDGED = 10
_READ_AT_ONCE = 4
_TARGETS = 2
_NAMED = 10
_ENDS = {"FINISHED": "finished", "CRASHED": "crashed", "ABORTED": "aborted"}


@dataclass(frozen=True, slots=True)
class Happening:
    """An event in a project, with its time in Unix milliseconds.

    `best` contains the best values of the watched metrics so far. `event` is the problem or stall of a running
    experiment, and `verdict` is based on all of the experiment's curves.
    """

    moment: int
    what: str
    ref: ProjectRef
    experiment: Experiment
    is_new: bool = False
    best: Sequence[tuple[str, float]] = ()
    record: Record | None = None
    event: Event | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class News:
    """The events on one page (`rows`) and on all pages (`whole`). All times are in Unix milliseconds.

    `now` is this server's time, from which periods such as "24h" are subtracted. For each new experiment, `lacks`
    contains the missing information that will make later analyses harder. `is_one_project` is true if the caller
    requested a single project.
    """

    rows: Sequence[Happening]
    whole: Sequence[Happening]
    since: int
    cursor: int
    unjudged: int = 0
    now: int = 0
    is_demo: bool = False
    lacks: Sequence[Sequence[Lack]] = ()
    is_one_project: bool = False


async def whats_new(
    client: SwanLabClient,
    *,
    project: AnyProject = "",
    since: Since = "24h",
    metrics: WatchedMetrics = (),
    username: Username = "",
    page: PageNumber = 1,
    size: PageSize = 10,
) -> ApiResponse[News]:
    """List events since a given time: new, finished, crashed, stalled or failing experiments, and records.

    Use find_experiments for any other condition. Returns time, what, name, cuid and detail with the verdict of
    diagnose_experiment, newest first; a note contains the cursor to pass as `since` next time.
    Example: {"project": "mnist", "since": "24h"}.
    """
    now = client.now()
    moment = read_since(since, now)
    notes: list[str] = []
    watched = _Watched(set(), set(), {})
    listed, is_whole, is_named = await _list_projects(client, project, username, moment, notes)

    async def choose(ref: ProjectRef) -> Choice:
        return await choose_experiments(client, ref, ())

    async def look_at(ref: ProjectRef) -> list[Happening]:
        """Return the events in one project."""
        choice = chosen[ref]
        experiments = choice.experiments
        notes.extend(choice.notes)

        async def find_changes() -> list[Happening]:
            targets, summaries = await _read_targets(client, ref, experiments, metrics, moment, watched, notes)
            studies = await read_studies(client, ref, choice, targets, summaries, is_alone=len(listed) == 1)
            records = await _find_records(ref, choice, studies, moment)
            return [*_find_changes(ref, experiments, studies, moment), *records]

        found = await gather(find_changes(), _find_troubles(client, ref, experiments, moment, now, notes))
        return [*found[0], *found[1]]

    chosen, failed = await read_projects(listed, choose)
    changes = [one for ref, choice in chosen.items() for one in _find_changes(ref, choice.experiments, (), moment)]
    # diagnose the likely rows early, because most rows are known before records and problems are found
    likely = sorted(changes, key=_rate, reverse=True)[get_slice(page, size)]
    found: list[Any] = await gather(read_projects(list(chosen), look_at), _read_verdicts(client, likely))
    (looked, unread), verdicts = found
    failed |= unread
    notes += [*note_failures(failed, len(listed)), *_explain_watched(metrics, watched)]
    happenings = [one for events in looked.values() for one in events]
    latest = max([moment, *(_find_latest(chosen[ref]) for ref in looked), *(one.moment for one in happenings)])
    # the next call must start from the same time if a project could not be read
    latest = latest if is_whole and not failed else moment
    happenings.sort(key=_rate, reverse=True)
    shown, unjudged = await _judge(client, happenings[get_slice(page, size)], verdicts)
    whole = ApiResponse(data=[*shown], page=Page(returned=len(shown), total=len(happenings)))
    paged = describe_page(whole, page, size, gettext("records first, then the newest"))
    is_demo = client.stopped_clock is not None and is_period(since)
    lacks = _find_lacks([*shown, *happenings], moment) if project else []
    news = News(shown, happenings, moment, latest, unjudged, now, is_demo, lacks, is_named)
    return ApiResponse(data=news, page=paged.page, notes=[*dict.fromkeys(notes), *paged.notes])


def _find_lacks(happenings: Sequence[Happening], since: int) -> list[list[Lack]]:
    """Return the information that is missing from each new experiment, based on its config and on any curves read."""
    new = {one.experiment.cuid: one for one in reversed(happenings) if read_moment(one.experiment.createdAt) > since}
    known = [(one.experiment.name, one.experiment.cuid, one.experiment.profile.get("config")) for one in new.values()]
    return [
        [
            *check_config(config),
            *(_check_curves(one.verdict, one.experiment.state) if one.verdict else ()),
            *find_namesakes(name, config, known),
        ]
        for one, (name, _, config) in zip(new.values(), known, strict=True)
    ]


def _check_curves(verdict: Verdict, state: str) -> list[Lack]:
    return check_curves(verdict.curves, verdict.judgement.roles, is_over=state in _ENDS)


async def _read_verdicts(client: SwanLabClient, rows: Sequence[Happening]) -> dict[ExperimentRef, Verdict]:
    """Read the verdicts of the first few experiments. Experiments with unreadable curves are omitted."""

    async def read(row: Happening) -> Verdict | None:
        ref = _refer(row)
        try:
            return await read_verdict(client.at(ref), ref, row.experiment.state, client.now())
        except SwanLabError:
            return None

    found = await read_all(rows[:_JUDGED], read, at_once=_READ_AT_ONCE)
    return {_refer(row): one for row, one in zip(rows, found, strict=False) if one}


async def _judge(
    client: SwanLabClient, rows: Sequence[Happening], known: Mapping[ExperimentRef, Verdict]
) -> tuple[list[Happening], int]:
    """Add verdicts to the rows of the first few experiments.

    Return the rows and the number of undiagnosed experiments.
    """
    unread = {_refer(one): one for one in rows if not one.verdict and one.what != "record"}
    chosen = list(unread)[:_JUDGED]

    async def read(ref: ExperimentRef) -> Verdict:
        return known.get(ref) or await read_verdict(client.at(ref), ref, unread[ref].experiment.state, client.now())

    known = dict(zip(chosen, await read_all(chosen, read, at_once=_READ_AT_ONCE), strict=True))
    judged = [
        replace(one, verdict=known.get(_refer(one), one.verdict)) if one.what != "record" else one for one in rows
    ]
    return judged, len(unread) - len(chosen)


def _refer(row: Happening) -> ExperimentRef:
    return row.ref.experiment(row.experiment.cuid)


def _rate(row: Happening) -> tuple[bool, int]:
    return row.what == "record", row.moment


def _find_latest(choice: Choice) -> int:
    """Return the latest start or end time among a project's experiments, or 0 if there are none."""
    moments = [read_moment(text) for one in choice.experiments for text in (one.createdAt, one.finishedAt)]
    return max(moments, default=0)


class _Watched(NamedTuple):
    """The requested metrics that were found, those that are missing in a project, and the keys to suggest instead."""

    found: set[str]
    absent: set[str]
    logged: dict[str, None]


def _explain_watched(metrics: Sequence[str], watched: _Watched) -> list[str]:
    notes: list[str] = []
    for key in dict.fromkeys(metrics):
        if key in watched.absent - watched.found:
            near = find_near_names(key, list(watched.logged)) or list(watched.logged)[:_NAMED]
            reported = gettext("Similar names: {names}.", names=", ".join(quote(one) for one in near)) if near else ""
            notes.append(join_sentences(gettext("No experiment has a metric {key!r}.", key=shorten(key)), reported))
        elif not describe_key(key).direction:
            notes.append(
                gettext(
                    "It is unknown whether larger or smaller values of {key} are better, so new records are "
                    "not reported for it.",
                    key=quote(key),
                )
            )
    return notes


async def _list_projects(
    client: SwanLabClient, project: Sequence[str], username: str, moment: int, notes: list[str]
) -> tuple[list[ProjectRef], bool, bool]:
    """Return the projects that may have changed since `moment`, most recently updated first.

    The second value is false if some projects could not be listed. The third is true if the caller requested a single
    project.
    """
    if not project:
        project, username = ["*"], username or await client.default.get_username()
    located, failures = await list_located(client, project, username)
    notes += failures
    changed = [one for one in located if one.listed is None or _may_have_changed(one.ref, one.listed, moment)]
    changed.sort(key=lambda one: (one.listed.updatedAt if one.listed else None) or "9", reverse=True)
    notes += note_skipped(_PROJECTS, changed)
    is_named = len(located) == 1 and located[0].listed is None
    return [one.ref for one in changed[:_PROJECTS]], not failures, is_named


def _may_have_changed(ref: ProjectRef, listed: Project, moment: int) -> bool:
    """Return whether a project may have changed since `moment`.

    A project's update time is ignored for runs on disk. It is also ignored while an experiment is running, because a
    stall does not change it.
    """
    is_dated = ref.workspace != LOCAL and listed.updatedAt and not listed.count.get("runningExps")
    return not is_dated or read_moment(listed.updatedAt) >= moment


async def _read_targets(
    client: SwanLabClient,
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    metrics: Sequence[str],
    moment: int,
    watched: _Watched,
    notes: list[str],
) -> tuple[list[str], Mapping[str, Summary]]:
    """Return the metrics to check for new records, and the summaries of all experiments for these metrics."""
    recent = [one for one in experiments if _is_active(one, moment)]
    if not recent:
        return [], {}

    targets = list(metrics) or choose_targets(await list_summarised_keys(client, ref, recent), _TARGETS)
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
        logged = await list_summarised_keys(client, ref, recent)
        watched.logged.update(dict.fromkeys(key for key in logged if not key.startswith("__swanlab__")))
    return targets, summaries


def _is_active(experiment: Experiment, moment: int) -> bool:
    """Return whether an experiment may have changed since `moment`."""
    is_open = experiment.state not in _ENDS and not experiment.finishedAt
    return is_open or max(read_moment(experiment.createdAt), read_moment(experiment.finishedAt)) > moment


def _find_changes(
    ref: ProjectRef, experiments: Sequence[Experiment], studies: Sequence[Study], moment: int
) -> list[Happening]:
    """Return an event for each experiment that started or ended since `moment`."""
    found: list[Happening] = []
    results = [(study.metric, get_results(study)[0]) for study in studies]
    for index, experiment in enumerate(experiments):
        created, finished = read_moment(experiment.createdAt), read_moment(experiment.finishedAt)
        is_new = created > moment
        if finished > moment and experiment.state in _ENDS:
            when, what = finished, _ENDS[experiment.state]
        elif is_new:
            when, what = created, "no end recorded" if experiment.state == "UNKNOWN" else "new"
        else:
            continue
        reached = [(key, some[index].value) for key, some in results]
        best = [(key, value) for key, value in reached if value is not None and math.isfinite(value)]
        found.append(Happening(when, what, ref, experiment, is_new and what != "new", best))
    return found


async def _find_troubles(
    client: SwanLabClient,
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    moment: int,
    now: int,
    notes: list[str],
) -> list[Happening]:
    """Return an event for each running experiment that stalled or started to fail since `moment`."""
    running = [one for one in experiments if one.state == "RUNNING"]
    running.sort(key=lambda one: one.createdAt, reverse=True)
    if len(running) > _WATCHED:
        notes.append(
            gettext(
                "Only the newest {count} of {total} running experiments were checked for stalls and problems.",
                count=_WATCHED,
                total=len(running),
            )
        )

    async def read(experiment: Experiment) -> Verdict:
        backend, one = client.at(ref), ref.experiment(experiment.cuid)
        # a sample includes the last point, and its longer intervals can only delay the detection of a stall
        sampled = await read_verdict(backend, one, experiment.state, now, exact=False, with_hardware=False)
        if sampled.is_whole or sampled.judgement.health != "problem":
            return sampled
        return await read_verdict(backend, one, experiment.state, now, with_hardware=False)

    found: list[Happening] = []
    verdicts = await read_all(running[:_WATCHED], read, at_once=_READ_AT_ONCE)
    for experiment, verdict in zip(running, verdicts, strict=False):
        events = [event for event in verdict.judgement.events if event.severity == "problem"]
        for event in events:
            stall = _find_stall(verdict, now) if event.kind == "stalled" else None
            if stall and stall > moment:
                found.append(Happening(stall, "stalled", ref, experiment, event=event, verdict=verdict))
        new = await asyncio.to_thread(_find_new_problem, verdict, moment)
        if new:
            found.append(Happening(new[0], "problem", ref, experiment, event=new[1], verdict=verdict))
    return found


def _find_stall(verdict: Verdict, now: int) -> int | None:
    densest = choose_densest(verdict.curves)
    stall = find_stall(densest.times, now) if densest else None
    return stall[0] if stall else None


def _find_new_problem(verdict: Verdict, since: int) -> tuple[int, Event] | None:
    """Return the first problem that was not yet visible at `since`, with the time of the last point.

    A problem is only detected after it has lasted for a while, so its first step may be earlier than `since`. Returns
    `None` if there is no new problem.
    """
    problems = [one for one in verdict.judgement.events if one.severity == "problem" and one.kind != "stalled"]
    last = max((max(curve.times, default=0) for curve in verdict.curves), default=0)
    if not problems or last <= since:
        return None
    before = judge([_cut(curve, since) for curve in verdict.curves])
    known = {event.kind for event in before.events if event.severity == "problem"}
    return next(((last, event) for event in problems if event.kind not in known), None)


def _cut(curve: Curve, until: int) -> Curve:
    """Return the part of a curve that was recorded up to `until`."""
    count = sum(when <= until for when in curve.times) if curve.times else len(curve.steps)
    return read_curve(curve.key, curve.steps[:count], curve.values[:count], curve.times[:count])


async def _find_records(ref: ProjectRef, choice: Choice, studies: Sequence[Study], moment: int) -> list[Happening]:
    """Return an event for each metric in which an experiment set a new record since `moment`."""
    experiments = choice.experiments
    new = [read_moment(one.createdAt) > moment for one in experiments]
    active = [_is_active(one, moment) for one in experiments]
    records = [await find_record(study, new, active, moment) for study in studies]
    return [Happening(one.moment, "record", ref, one.holder, record=one) for one in records if one]
