"""OfflineClient: the questions about SwanLab, answered from run folders on this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from swanlab_mcp.client import progress
from swanlab_mcp.client.offline.discovery import find_runs
from swanlab_mcp.client.offline.records import MediaEntry
from swanlab_mcp.client.offline.run import Run
from swanlab_mcp.client.offline.series import Series
from swanlab_mcp.errors import NotAvailableOffline, NotFound
from swanlab_mcp.models import (
    ApiResponse,
    Experiment,
    Filter,
    LoggedKeys,
    LogLine,
    LogPart,
    MediaFile,
    MediaItem,
    MediaPart,
    Narrowed,
    Page,
    Points,
    Project,
    Summary,
    User,
    Workspace,
    show_time,
)
from swanlab_mcp.refs import LOCAL
from swanlab_mcp.untrusted import shorten

__all__ = ["OfflineClient"]

_TITLE = "Runs on this machine"
_WORKSPACE = Workspace(name=_TITLE, username=LOCAL, role="OWNER")


class OfflineClient:
    """Answers about the runs in `log_dirs`, as the workspace `local`; reads only, off the event loop."""

    def __init__(self, log_dirs: Sequence[Path]) -> None:
        self._log_dirs = tuple(log_dirs)
        self._runs: dict[Path, Run] = {}
        self._lock = threading.Lock()

    async def get_username(self) -> str:
        return LOCAL

    def get_link(self, username: str, project: str = "", exp_cuid: str = "") -> str:  # noqa: ARG002 no pages here
        return ""

    async def get_user(self) -> ApiResponse[User]:
        raise NotAvailableOffline(
            "Runs on disk do not tell who is signed in to SwanLab.", hint="Set SWANLAB_API_KEY or run `swanlab login`."
        )

    async def get_workspace(self, username: str) -> ApiResponse[Workspace]:
        await self._find(username)
        return ApiResponse(data=_WORKSPACE)

    async def get_project(self, username: str, project: str) -> ApiResponse[Project]:
        experiments, notes = await self._find_project(username, project)
        return ApiResponse(data=_describe_project(project, experiments, detail=True), notes=notes)

    async def list_workspaces(self) -> ApiResponse[list[Workspace]]:
        return _list([_WORKSPACE], 0, None, [])

    async def list_projects(
        self,
        username: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        search: str = "",
        sort: str = "",
        detail: bool = True,
    ) -> ApiResponse[list[Project]]:
        groups, notes = await self._find(username)
        projects = [
            _describe_project(name, experiments, detail=detail)
            for name, experiments in groups.items()
            if search.casefold() in name.casefold()
        ]
        projects.sort(key=lambda project: project.name)
        if sort != "name":
            projects.sort(key=lambda one: (one.createdAt if sort == "create" else one.updatedAt) or "", reverse=True)
        return _list(projects, offset, limit, notes)

    async def list_experiments(
        self, username: str, project: str, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Experiment]]:
        experiments, notes = await self._find_project(username, project)
        ordered = sorted(experiments, key=lambda runs: (-runs[0].started_at, runs[0].run_id))
        shown = ordered[offset : None if limit is None else offset + limit]
        answer = await asyncio.to_thread(_describe_all, shown)
        found = [experiment for experiment, _ in answer]
        notes = [*notes, *(note for _, about in answer for note in about)]
        return ApiResponse(data=found, page=Page(returned=len(found), total=len(ordered)), notes=notes)

    async def narrow_experiments(
        self,
        username: str,
        project: str,
        filters: Sequence[Filter],  # noqa: ARG002 nobody else judges them here
    ) -> ApiResponse[Narrowed]:
        answer = await self.list_experiments(username, project)
        return ApiResponse(data=Narrowed(answer.data or ()), notes=answer.notes)

    async def get_experiment(self, username: str, project: str, exp_cuid: str) -> ApiResponse[Experiment]:
        runs, notes = await self._find_experiment(username, project, exp_cuid)
        experiment, about = await asyncio.to_thread(_describe, runs, whole=True)
        return ApiResponse(data=experiment, notes=[*notes, *about])

    async def get_summary(self, username: str, project: str, exp_cuid: str) -> ApiResponse[Summary]:
        runs, notes = await self._find_experiment(username, project, exp_cuid)
        summary = await asyncio.to_thread(_summarise, runs)
        return ApiResponse(data=summary, notes=[*notes, *_note_state(runs), *_note_damage(runs)])

    async def get_summaries(
        self, username: str, project: str, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        found, notes = await self._find_project(username, project)
        wanted = {experiment.cuid for experiment in experiments}
        chosen = [runs for runs in found if runs[0].run_id in wanted]
        summaries: dict[str, Summary] = {}
        for done, runs in enumerate(chosen, 1):
            await asyncio.to_thread(_refresh, runs)
            summaries[runs[0].run_id] = await asyncio.to_thread(_summarise, runs, keys or None)
            await progress.report(done, len(chosen), "runs")
        damage = [note for runs in chosen for note in _note_damage(runs)]
        return ApiResponse(data=summaries, notes=[*notes, *damage])

    async def list_keys(self, username: str, project: str, exp_cuid: str) -> ApiResponse[LoggedKeys]:
        runs, notes = await self._find_experiment(username, project, exp_cuid)
        scalars = dict.fromkeys(key for run in runs for key in run.series)
        media = dict.fromkeys(key for run in runs for key in run.media)
        return ApiResponse(data=LoggedKeys(list(scalars), list(media)), notes=notes)

    async def read_points(
        self,
        username: str,
        project: str,
        exp_cuid: str,
        keys: Sequence[str],
        *,
        exact: bool,  # noqa: ARG002 a file holds every point
    ) -> ApiResponse[dict[str, Points]]:
        runs, notes = await self._find_experiment(username, project, exp_cuid)
        series = await asyncio.to_thread(_merge, runs, keys)
        points = {key: series[key].to_points() for key in keys if key in series}
        return ApiResponse(data=points, notes=[*notes, *_note_state(runs), *_note_damage(runs)])

    async def read_logs(
        self, username: str, project: str, exp_cuid: str, *, start: int | None, count: int
    ) -> ApiResponse[LogPart]:
        runs, notes = await self._find_experiment(username, project, exp_cuid)
        logs = [line for run in runs for line in run.logs]
        first = max(0, len(logs) - count) if start is None else min(start, len(logs))
        lines = [
            LogLine(
                number=first + place,
                message=log.line,
                level="ERROR" if log.is_error else None,
                time=show_time(log.time) or None,
            )
            for place, log in enumerate(logs[first : first + count])
        ]
        part = LogPart(lines, first, len(logs))
        return ApiResponse(data=part, notes=[*notes, *_note_state(runs), *_note_damage(runs)])

    async def list_media(
        self, username: str, project: str, exp_cuid: str, key: str, *, step: int | None = None
    ) -> ApiResponse[MediaPart]:
        runs, notes = await self._find_experiment(username, project, exp_cuid)
        # of folders that hold the same step the later counts, as for points
        holders = {at: run for run in runs for at in run.media.get(key, {})}
        steps = sorted(holders)
        chosen = step if step is not None else steps[-1] if steps else None
        items: list[MediaItem] = []
        if chosen in holders:
            run = holders[chosen]
            items = [
                MediaItem(key, chosen, _name_item(run, place, entry), entry.caption)
                for place, entry in enumerate(run.media[key][chosen])
            ]
        part = MediaPart(steps, chosen, items)
        return ApiResponse(data=part, notes=[*notes, *_note_state(runs), *_note_damage(runs)])

    async def read_media(
        self, username: str, project: str, exp_cuid: str, items: Sequence[MediaItem], *, limit: int
    ) -> ApiResponse[list[MediaFile]]:
        """Return the files; one that is missing or leads elsewhere has neither content nor size, and a note.

        Raises NotAvailableOffline when none of them can be read.
        """
        runs, notes = await self._find_experiment(username, project, exp_cuid)
        answer = await asyncio.to_thread(_read_all, runs, items, limit)
        problems = [problem for problem in answer if isinstance(problem, str)]
        if problems and len(problems) == len(items):
            raise NotAvailableOffline(
                " ".join(dict.fromkeys(problems)),
                hint="The record is there, its file is not: it may have been moved or deleted.",
            )
        files = [MediaFile(None, None) if isinstance(file, str) else file for file in answer]
        return ApiResponse(data=files, notes=[*notes, *problems])

    async def aclose(self) -> None:
        self._runs.clear()

    async def _find_experiment(self, username: str, project: str, exp_cuid: str) -> tuple[list[Run], list[str]]:
        experiments, notes = await self._find_project(username, project)
        for runs in experiments:
            if runs[0].run_id == exp_cuid:
                await asyncio.to_thread(_refresh, runs)
                return runs, notes
        raise NotFound(f"There is no run {shorten(exp_cuid)!r} in {LOCAL}/{shorten(project)}.")

    async def _find_project(self, username: str, project: str) -> tuple[list[list[Run]], list[str]]:
        groups, notes = await self._find(username)
        if project not in groups:
            raise NotFound(" ".join([f"No run on this machine belongs to a project {shorten(project)!r}.", *notes]))
        return groups[project], notes

    async def _find(self, username: str) -> tuple[dict[str, list[list[Run]]], list[str]]:
        """Return the experiments of each project, each with its run folders in order of their start."""
        if username != LOCAL:
            raise NotFound(f"There is no workspace {shorten(username)!r} here: only runs on this machine are open.")
        found = await asyncio.to_thread(find_runs, self._log_dirs)
        with self._lock:
            runs = [self._runs.setdefault(file, Run(file)) for file in found.files]
        notes = list(found.notes)
        for done, run in enumerate(runs, 1):
            await asyncio.to_thread(run.outline)
            if done % 50 == 0 or done == len(runs):
                await progress.report(done, len(runs), "runs")
        groups: dict[str, dict[str, list[Run]]] = {}
        for run in runs:
            if run.problem:
                notes.append(f"The run in {shorten(run.folder.name)!r} is left out: {run.problem}.")
            else:
                groups.setdefault(run.project, {}).setdefault(run.run_id, []).append(run)
        ordered = {
            project: [sorted(same, key=lambda run: (run.started_at, run.folder.name)) for same in experiments.values()]
            for project, experiments in groups.items()
        }
        return ordered, notes


def _list(items: list[Any], offset: int, limit: int | None, notes: list[str]) -> ApiResponse[Any]:
    shown = items[offset : None if limit is None else offset + limit]
    return ApiResponse(data=shown, page=Page(returned=len(shown), total=len(items)), notes=notes)


def _refresh(runs: Iterable[Run]) -> None:
    for run in runs:
        run.refresh()


def _describe_project(name: str, experiments: list[list[Run]], *, detail: bool) -> Project:
    runs = [run for same in experiments for run in same]
    return Project(
        cuid=name,
        name=name,
        visibility="PRIVATE",
        createdAt=show_time(min((run.started_at for run in runs if run.started_at), default=0)),
        updatedAt=show_time(max(max(run.started_at, run.ending.last_time) for run in runs)) or None,
        group={"type": "PERSON", "username": LOCAL, "name": _TITLE},
        count={"experiments": len(experiments)} if detail else {},
    )


def _describe_all(experiments: list[list[Run]]) -> list[tuple[Experiment, list[str]]]:
    return [_describe(runs, whole=False) for runs in experiments]


def _describe(runs: list[Run], *, whole: bool) -> tuple[Experiment, list[str]]:
    """Return an experiment made of its run folders, the latest speaking for all, and what is to be noted."""
    first, latest = runs[0], runs[-1]
    start, ending = latest.start, latest.ending
    notes = _note_state(runs)
    profile: dict[str, Any] = {}
    try:
        profile = latest.read_profile() if whole else {"config": latest.read_config()}
    except (OSError, ValueError) as error:
        what = f"a file cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        notes.append(f"{_name(latest)}: {what}.")
    experiment = Experiment(
        cuid=latest.run_id,
        name=latest.name,
        description=start.description,
        state=ending.state,
        createdAt=show_time(first.started_at),
        finishedAt=show_time(ending.finished_at) or None,
        profile=profile,
        labels=list(start.tags),
        group=start.group or None,
        job=start.job or None,
        error=(ending.error or None) if whole else None,
    )
    if whole:
        notes += _note_damage(runs)
        if start.workspace:
            notes.append(f"Recorded for the workspace {shorten(start.workspace)!r}.")
        if len(runs) > 1:
            notes.append(f"Recorded in {len(runs)} folders (resumed or shared); they are read as one experiment.")
    return experiment, notes


def _summarise(runs: list[Run], keys: Sequence[str] | None = None) -> Summary:
    return {key: series.summarise() for key, series in _merge(runs, keys).items()}


def _merge(runs: list[Run], keys: Sequence[str] | None = None) -> dict[str, Series]:
    """Return copies of the series of all run folders, put together; `keys` None: of every key."""
    merged: dict[str, Series] = {}
    for run in runs:
        with run.lock:
            for key, series in run.series.items():
                if keys is not None and key not in keys:
                    continue
                whole = merged.setdefault(key, Series())
                for point in zip(series.steps, series.values, series.times, strict=True):
                    whole.add(*point)
    return merged


def _name_item(run: Run, place: int, entry: MediaEntry) -> str:
    return f"{run.folder.name}/{place}/{entry.filename or 'text.txt'}"


def _read_all(runs: list[Run], items: Sequence[MediaItem], limit: int) -> list[MediaFile | str]:
    return [_read_item(runs, item, limit) for item in items]


def _read_item(runs: list[Run], item: MediaItem, limit: int) -> MediaFile | str:
    """Return an item's file, or what is wrong with it; only what was recorded is looked up, never the path itself."""
    where = f"{shorten(item.key)} at step {item.step}"
    for run in runs:
        for place, entry in enumerate(run.media.get(item.key, {}).get(item.step, ())):
            if _name_item(run, place, entry) == item.path:
                try:
                    return MediaFile(*run.read_media(item.key, item.step, place, limit))
                except FileNotFoundError:
                    return f"{where}: its file {shorten(entry.filename)} is not in the run's folder."
                except OSError as error:
                    return f"{where}: its file cannot be read ({error.strerror})."
                except ValueError as error:
                    return f"{where}: {shorten(str(error), 200)}."
    raise NotFound(f"{where} has no such item as {shorten(item.path)!r}.", hint="List the media of that step first.")


def _note_state(runs: list[Run]) -> list[str]:
    latest = runs[-1]
    ending = latest.ending
    if ending.state != "UNKNOWN":
        return []
    if not latest.start.run_id and not latest.start.project:
        return [f"{_name(latest)}: its file holds no record yet: it has just begun, or was killed at once."]
    until = f" Data up to {show_time(ending.last_time)}; the SDK writes with a delay." if ending.last_time else ""
    return [
        f"{_name(latest)}: no end is recorded, so it is still running or was killed (SIGKILL, out of memory).{until}"
    ]


def _note_damage(runs: list[Run]) -> list[str]:
    notes: list[str] = []
    for run in runs:
        reader = run.reader
        if reader.repaired:
            notes.append(
                f"{_name(run)}: {reader.repaired} records that the SDK wrote into one another were put together again."
            )
        missing = reader.damaged + run.unreadable + reader.lost
        if missing:
            notes.append(
                f"{_name(run)}: its file is damaged in {missing} places ({reader.unexplained} bytes cannot be read), "
                "so points may be missing."
            )
    return notes


def _name(run: Run) -> str:
    return f"{shorten(run.name)} ({shorten(run.run_id)})"
