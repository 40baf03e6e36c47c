"""Find the runs on this machine, group them into experiments, and limit the memory that they use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from swanlab_mcp.client.local.background import Work
from swanlab_mcp.client.local.board import Board
from swanlab_mcp.client.local.board_run import BoardRun
from swanlab_mcp.client.local.discovery import Discovery, Found, RunFinder
from swanlab_mcp.client.local.experiment import LocalExperiment
from swanlab_mcp.client.local.grouping import Group, drop_copies, group_runs, is_named, name_groups
from swanlab_mcp.client.local.notes import cap_notes
from swanlab_mcp.client.local.run import Run
from swanlab_mcp.client.local.run_base import RunBase
from swanlab_mcp.core.errors import InvalidArgument, NotAvailableOffline, NotFound
from swanlab_mcp.core.i18n import gettext, join_sentences, language
from swanlab_mcp.core.models import Project
from swanlab_mcp.core.records import show_time
from swanlab_mcp.core.refs import LOCAL, ExperimentRef
from swanlab_mcp.core.snapshots import snapshot
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["Catalogue", "describe_project", "miss_project"]

T = TypeVar("T")

_KEPT_POINTS = 4_000_000
_READERS = 4
_NAMED = 5
_CANDIDATES = 10
_MOST_HYPHENS = 12


class Catalogue:
    """All runs in the log folders. Its methods read files, so they must be called in a thread."""

    def __init__(self, log_dirs: Sequence[Path], link_targets: Sequence[Path] = ()) -> None:
        self._link_targets = tuple(link_targets)
        self._finder = RunFinder(log_dirs)
        self._runs: dict[Path, RunBase] = {}
        self._boards: dict[Path, Board] = {}
        # the result of the last search, and its runs by the ids in their names
        self._named: tuple[Discovery | None, dict[str, list[Path]]] = (None, {})
        self._lock = threading.Lock()
        # the snapshot of the last call that opened all runs, and these runs
        self._opened: tuple[object, _Opened] = (None, _Opened([], []))

    @property
    def runs(self) -> list[RunBase]:
        with self._lock:
            return list(self._runs.values())

    def clear(self) -> None:
        with self._lock:
            self._runs.clear()
            self._opened = None, _Opened([], [])

    def list_projects(self, *, work: Work) -> tuple[dict[str, list[LocalExperiment]], list[str]]:
        """Return the experiments by project, and notes about runs that were skipped."""
        opened = self._open_runs("", work)
        return opened.experiments, opened.note()

    def find_experiment(self, project: str, exp_cuid: str, *, work: Work) -> LocalExperiment:
        """Return the experiment whose id, recorded id or folder name is `exp_cuid`.

        Raises NotFound if there is none, InvalidArgument if there are several, and NotAvailableOffline if the files
        cannot be read.
        """
        opened = self._open_runs(exp_cuid, work)
        groups = _group(_sort_by_project(opened.runs).get(project, {}))
        found = [group for group in groups if group.cuid == exp_cuid] or [
            group for group in groups if any(is_named(run, exp_cuid) for run in group.runs)
        ]
        found = found or _find_by_rank(groups, exp_cuid)
        broken = [run for run in opened.runs if run.problem and is_named(run, exp_cuid)]
        if len(found) == 1:
            (group,) = found
            return LocalExperiment(group, [run for run in broken if run.run_id == group.runs[0].run_id])
        if found:
            raise _refuse_ambiguous(exp_cuid, project, found)
        if broken:
            raise NotAvailableOffline(
                gettext("The run {cuid!r} exists, but {problem}.", cuid=shorten(exp_cuid), problem=broken[0].problem),
                hint=gettext("Check the permissions and contents of its folder."),
            )
        if not groups and all(run.project != project for run in opened.runs):
            raise miss_project(project, opened.note())
        raise NotFound(
            gettext(
                "There is no run {cuid!r} in {project}.", cuid=shorten(exp_cuid), project=quote(f"{LOCAL}/{project}")
            )
        )

    def find_experiments(self, refs: Sequence[ExperimentRef], *, work: Work) -> list[LocalExperiment]:
        """Do the same as `find_experiment` for several experiments, searching the folders only once."""
        opened = self._open_runs("", work)
        return [
            opened.by_id.get((ref.project, ref.cuid)) or self.find_experiment(ref.project, ref.cuid, work=work)
            for ref in refs
        ]

    def find_recorded(self, run_ids: Collection[str]) -> dict[str, list[LocalExperiment]]:
        """Return the experiments by recorded id, opening only folders whose names contain one of the ids."""
        wanted = set(run_ids)
        with self._lock:
            found = self._finder.find()
            if self._named[0] is not found:
                self._named = found, _index_names(found)
            paths = dict.fromkeys(path for run_id in wanted for path in self._named[1].get(run_id, ()))
            runs = [self._runs.get(path) or self._create(path, found.runs[path]) for path in paths]
            self._runs |= {run.file: run for run in runs}
        for run in runs:
            if not run.is_current():
                run.outline()
        recorded: dict[str, list[LocalExperiment]] = {}
        for groups in _group_all(drop_copies([run for run in runs if run.run_id in wanted])).values():
            for group in groups:
                recorded.setdefault(group.runs[0].run_id, []).append(LocalExperiment(group))
        return recorded

    def answer_each(
        self, experiments: Sequence[LocalExperiment], question: Callable[[LocalExperiment, Work], T], *, work: Work
    ) -> list[T]:
        """Call `question` for each experiment, and return the results in order. Release memory between the calls."""
        answers: list[T] = []
        used: list[RunBase] = []
        for experiment in experiments:
            answers.append(question(experiment, work))
            used += experiment.runs
            if self.holds_much(used):
                self.bound_memory(used)
                used = []
        self.bound_memory(used)
        return answers

    def bound_memory(self, used: Sequence[RunBase]) -> None:
        """Release points, starting with the least recently used runs, until the limit on points in memory is met."""
        with self._lock:
            for run in used:
                if run.file in self._runs:
                    self._runs[run.file] = self._runs.pop(run.file)
            kept = sum(run.kept for run in self._runs.values())
            idle = [run for run in self._runs.values() if run.kept and run not in used]
        for run in idle:
            if kept <= _KEPT_POINTS:
                return
            kept -= run.release()

    def holds_much(self, used: Sequence[RunBase]) -> bool:
        """Return whether the runs use more than half of the memory available for points."""
        return sum(run.kept for run in used) > _KEPT_POINTS // 2

    def _create(self, path: Path, about: Found) -> RunBase:
        run = self._create_plain(path, about)
        run.files.link_targets = self._link_targets
        return run

    def _create_plain(self, path: Path, about: Found) -> RunBase:
        if not about.is_board:
            return Run(path, about.root)
        board = self._boards.get(path.parent)
        if board is None:
            board = self._boards[path.parent] = Board(path.parent, about.root)
        return BoardRun(path, about.root, board)

    def _open_runs(self, exp_cuid: str, work: Work) -> _Opened:
        """Find all runs, and read their projects, names, times and states.

        If `exp_cuid` is given, known runs that cannot match it are skipped. In a snapshot, all runs are read only once.
        """
        call, (known, opened) = snapshot.get(), self._opened
        if call is not None and known is call:
            return opened
        opened = self._open_again(exp_cuid, work)
        if call is not None and not exp_cuid:
            self._opened = call, opened
        return opened

    def _open_again(self, exp_cuid: str, work: Work) -> _Opened:
        work.what = "runs"
        with self._lock:
            found = self._finder.find()
            if self._runs.keys() != found.runs.keys():
                # keep the order of use, because points that were not used recently are released first
                kept = {file: run for file, run in self._runs.items() if file in found.runs}
                self._runs = kept | {
                    path: self._create(path, about) for path, about in found.runs.items() if path not in kept
                }
            runs = [self._runs[path] for path in found.runs]
        if exp_cuid:
            # other folders with the same recorded id may belong to the experiment
            recorded = {run.run_id for run in runs if is_named(run, exp_cuid)}
            meant = [run for run in runs if not run.is_known or run.run_id in recorded]
        else:
            meant = runs
        stale = [run for run in meant if not run.is_current()]
        work.total = len(stale)
        if len(stale) < _READERS:
            for run in stale:
                run.outline()
            return _Opened(drop_copies(runs), found.notes)
        with ThreadPoolExecutor(_READERS, initializer=_enter_call, initargs=(language.get(), snapshot.get())) as pool:
            try:
                for _ in pool.map(_outline, stale):
                    work.advance(1)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return _Opened(drop_copies(runs), found.notes)


class _Opened:
    """All runs, including unreadable runs, and notes about their folders."""

    def __init__(self, runs: list[RunBase], notes: list[str]) -> None:
        self.runs, self.notes = runs, notes

    @cached_property
    def experiments(self) -> dict[str, list[LocalExperiment]]:
        """The experiments by project."""
        return {
            project: [LocalExperiment(group) for group in groups] for project, groups in _group_all(self.runs).items()
        }

    @cached_property
    def by_id(self) -> dict[tuple[str, str], LocalExperiment]:
        """The experiments by project and id."""
        return {(project, one.cuid): one for project, some in self.experiments.items() for one in some}

    def note(self) -> list[str]:
        problems = [
            gettext(
                "The run in {folder!r} is skipped: {problem}.", folder=shorten(run.folder.name), problem=run.problem
            )
            for run in self.runs
            if run.problem
        ]
        return [*self.notes, *cap_notes(problems)]


def describe_project(name: str, experiments: Sequence[LocalExperiment], *, detail: bool) -> Project:
    return Project(
        cuid=name,
        name=name,
        visibility="",
        createdAt=show_time(min((one.started_at for one in experiments if one.started_at), default=0)),
        updatedAt=show_time(max(one.last_time for one in experiments)) or None,
        group={"type": "PERSON", "username": LOCAL, "name": gettext("Runs on this machine")},
        count={"experiments": len(experiments)} if detail else {},
    )


def miss_project(project: str, notes: Sequence[str]) -> NotFound:
    reported = gettext("No run on this machine belongs to a project {project!r}.", project=shorten(project))
    return NotFound(join_sentences(reported, *notes))


def _index_names(found: Discovery) -> dict[str, list[Path]]:
    named: dict[str, list[Path]] = {}
    for path in found.runs:
        for run_id in set(_list_ids(path)):
            named.setdefault(run_id, []).append(path)
    return named


def _list_ids(path: Path) -> Iterator[str]:
    """Yield every id that the name of a record file or its folder may contain. Hyphens separate the parts of a name."""
    for name in (path.stem, path.name, path.parent.name):
        parts = name.split("-", _MOST_HYPHENS)
        for start in range(1, len(parts)):
            for end in range(start + 1, len(parts) + 1):
                yield "-".join(parts[start:end])


def _enter_call(name: str, call: object | None) -> None:
    """Let a thread use the language and the snapshot of a call."""
    language.set(name)
    snapshot.set(call)


def _outline(run: RunBase) -> None:
    run.outline()


def _group_all(runs: Sequence[RunBase]) -> dict[str, list[Group]]:
    """Return the experiments by project."""
    return {project: _group(same) for project, same in _sort_by_project(runs).items()}


def _group(same: Mapping[str, Sequence[RunBase]]) -> list[Group]:
    return name_groups(group for parts in same.values() for group in group_runs(parts))


def _sort_by_project(runs: Sequence[RunBase]) -> dict[str, dict[str, list[RunBase]]]:
    """Return the readable runs grouped by project and recorded id.

    A run file may contain no records, for example because the rank was killed immediately. Its folder is then assigned
    to the project of the run whose id is in the file's name.
    """
    found: dict[str, dict[str, list[RunBase]]] = {}
    empty: list[RunBase] = []
    for run in runs:
        if not run.problem and run.is_empty and run.can_resume:
            empty.append(run)
        elif not run.problem:
            found.setdefault(run.project, {}).setdefault(run.run_id, []).append(run)
    for run in empty:
        projects = [project for project, same in found.items() if run.run_id in same]
        project = projects[0] if len(projects) == 1 else run.project
        found.setdefault(project, {}).setdefault(run.run_id, []).append(run)
    return found


def _find_by_rank(groups: Sequence[Group], name: str) -> list[Group]:
    """If exactly one experiment has a rank with this name, return a list with that experiment, otherwise [].

    This is needed because an experiment is listed under the name of its latest rank.
    """
    named = [group for group in groups if any(run.start.name == name for run in group.runs)]
    return [group for group in named if len(named) == 1 and any(run.is_rank for run in group.runs)]


def _refuse_ambiguous(exp_cuid: str, project: str, found: Sequence[Group]) -> InvalidArgument:
    candidates = "; ".join(
        gettext(
            "{cuid} ({name}, started {time})",
            cuid=quote(group.cuid),
            name=quote(group.runs[-1].name, 40),
            time=show_time(group.runs[0].started_at),
        )
        for group in found[:_CANDIDATES]
    )
    if len(found) > _CANDIDATES:
        candidates += gettext(" and {count} more", count=len(found) - _CANDIDATES)
    path, cuid = quote(f"{LOCAL}/{project}"), shorten(exp_cuid)
    is_recorded = any(run.run_id == exp_cuid for group in found for run in group.runs)
    return InvalidArgument(
        gettext(
            "{count} experiments in {project} have the recorded id {cuid!r}.",
            count=len(found),
            project=path,
            cuid=cuid,
        )
        if is_recorded
        else gettext(
            "{count} experiments in {project} have a folder {cuid!r}.", count=len(found), project=path, cuid=cuid
        ),
        hint=gettext("Pass one of these ids: {candidates}.", candidates=candidates),
    )
