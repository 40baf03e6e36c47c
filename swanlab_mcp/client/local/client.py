"""The backend for run folders on this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from cachetools import LRUCache

from swanlab_mcp.client.base import FIRST, FurtherKeys
from swanlab_mcp.client.copies import FailedRank, LocalCopy
from swanlab_mcp.client.local.background import Batch, Work, find_and_answer, run_in_thread
from swanlab_mcp.client.local.catalogue import Catalogue, describe_project, miss_project
from swanlab_mcp.client.local.experiment import LocalExperiment
from swanlab_mcp.client.local.notes import note_shared_ids
from swanlab_mcp.client.local.overview import describe_all, note_each, note_states, summarise_all
from swanlab_mcp.core.errors import NotAvailableOffline, NotFound, SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import (
    ApiResponse,
    Experiment,
    Filter,
    LoggedKeys,
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
)
from swanlab_mcp.core.refs import LOCAL, ExperimentRef, ProjectRef, Ref, WorkspaceRef
from swanlab_mcp.core.server_info import ServerInfo, ServerRows
from swanlab_mcp.core.untrusted import shorten

__all__ = ["OfflineClient"]

T = TypeVar("T")
_KEPT = 32_000_000  # bytes


_Stamps = tuple[object, ...]


class _Kept(NamedTuple):
    """A cached result, valid as long as the files' sizes and times match `stamps`. `size` is in bytes."""

    stamps: _Stamps
    answer: ApiResponse[Any]
    size: int


class OfflineClient:
    """Read-only access to the runs in `log_dirs`, as the workspace `local`. Files are never read in the event loop.

    Links among the saved files may point into the run folder, the project folder or one of the `link_targets`.
    """

    def __init__(self, log_dirs: Sequence[Path], link_targets: Sequence[Path] = ()) -> None:
        self._catalogue = Catalogue(log_dirs, link_targets)
        self._kept = LRUCache[Hashable, _Kept](_KEPT, getsizeof=lambda kept: kept.size)
        self._stamps = Batch[ExperimentRef, _Stamps](self._read_stamps)

    async def get_username(self) -> str:
        return LOCAL

    def get_link(self, ref: Ref) -> str:  # noqa: ARG002 local runs have no pages
        return ""

    async def get_user(self) -> ApiResponse[User]:
        raise NotAvailableOffline(
            gettext("Runs on disk do not record the SwanLab user."),
            hint=gettext("Set SWANLAB_API_KEY or run `swanlab login`."),
        )

    async def get_workspace(self, ref: WorkspaceRef) -> ApiResponse[Workspace]:
        await run_in_thread(self._find, ref)
        return ApiResponse(data=_describe_workspace(), notes=[_note_unrecorded()])

    async def get_project(self, ref: ProjectRef) -> ApiResponse[Project]:
        experiments, notes = await run_in_thread(self._find_project, ref)
        project = describe_project(ref.project, experiments, detail=True)
        return ApiResponse(data=project, notes=[*notes, _note_unrecorded()])

    async def list_workspaces(self) -> ApiResponse[list[Workspace]]:
        return _list([_describe_workspace()], 0, None, [])

    async def list_projects(
        self,
        ref: WorkspaceRef,
        *,
        offset: int = 0,
        limit: int | None = None,
        search: str = "",
        sort: str = "",
        detail: bool = True,
    ) -> ApiResponse[list[Project]]:
        groups, notes = await run_in_thread(self._find, ref)
        projects = [
            describe_project(name, experiments, detail=detail)
            for name, experiments in groups.items()
            if search.casefold() in name.casefold()
        ]
        projects.sort(key=lambda project: project.name)
        if sort != "name":
            projects.sort(key=lambda one: (one.createdAt if sort == "create" else one.updatedAt) or "", reverse=True)
        return _list(projects, offset, limit, notes)

    async def list_experiments(
        self, ref: ProjectRef, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Experiment]]:
        def describe(found: _Found, *, work: Work) -> tuple[list[Experiment], list[str]]:
            ordered = _order(found.experiments)
            listed = ordered[offset : None if limit is None else offset + limit]
            experiments, about = describe_all(listed, work=work)
            return experiments, [
                *found.notes,
                *note_each(listed, about),
                *note_shared_ids([one.group for one in ordered]),
            ]

        found, (shown, notes) = await find_and_answer(partial(self._find_project, ref), describe)
        return ApiResponse(data=shown, page=Page(returned=len(shown), total=len(found.experiments)), notes=notes)

    async def narrow_experiments(
        self,
        ref: ProjectRef,
        filters: Sequence[Filter],  # noqa: ARG002 the caller applies them
        keys: Sequence[str] = (),
        further: FurtherKeys | None = None,
        known: Sequence[Experiment] = (),  # noqa: ARG002 only saves requests to the cloud
    ) -> ApiResponse[Narrowed]:
        def narrow(found: _Found, *, work: Work) -> tuple[Narrowed, list[str]]:
            chosen, notes = keys, found.notes
            ordered = _order(found.experiments)
            experiments, about = describe_all(ordered, work=work)
            summaries: dict[str, Summary] = {}
            if further:
                chosen = further.add(keys, summarise_all(self._catalogue, ordered[:FIRST], (), work=work).summaries)
            if chosen:
                summaries, defects, omitted = summarise_all(self._catalogue, ordered, chosen, work=work)
                about = {cuid: list(dict.fromkeys([*own, *defects.get(cuid, ())])) for cuid, own in about.items()}
                notes = [*notes, *omitted]
            note = partial(_note_some, ordered, about, note_states(ordered))
            return Narrowed(experiments, summaries, keys=chosen, note=note), notes

        _, (narrowed, notes) = await find_and_answer(partial(self._find_project, ref), narrow)
        return ApiResponse(data=narrowed, notes=notes)

    async def list_members(self, ref: ProjectRef, condition: Filter) -> None:  # noqa: ARG002 run files record no pins
        return None

    async def get_experiment(self, ref: ExperimentRef) -> ApiResponse[Experiment]:
        def describe(experiment: LocalExperiment, work: Work) -> tuple[Experiment, list[str]]:
            return experiment.describe(work, is_whole=True)

        return await self._ask(ref, describe)

    async def get_experiments(self, refs: Sequence[ExperimentRef]) -> list[Experiment]:
        return await self._ask_each(refs, LocalExperiment.read_whole)

    async def get_summary(self, ref: ExperimentRef) -> ApiResponse[Summary]:
        return await self._ask(ref, lambda one, work: one.summarise(None, work))

    async def get_summaries(
        self, ref: ProjectRef, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        wanted = {experiment.cuid for experiment in experiments}

        def summarise(found: _Found, *, work: Work) -> tuple[dict[str, Summary], list[str]]:
            chosen = [one for one in found.experiments if one.cuid in wanted]
            summaries, about, omitted = summarise_all(self._catalogue, chosen, keys, work=work)
            return summaries, [*found.notes, *omitted, *note_each(chosen, about)]

        _, (summaries, notes) = await find_and_answer(partial(self._find_project, ref), summarise)
        return ApiResponse(data=summaries, notes=notes)

    async def list_keys(
        self,
        ref: ExperimentRef,
        *,
        with_media: bool = True,  # noqa: ARG002 both are read together
    ) -> ApiResponse[LoggedKeys]:
        return await self._ask(ref, lambda one, work: one.list_keys(work))

    async def read_points(
        self,
        ref: ExperimentRef,
        keys: Sequence[str],
        *,
        exact: bool,  # noqa: ARG002 files contain every point
    ) -> ApiResponse[dict[str, Points]]:
        return await self._ask(ref, lambda one, work: one.read_points(keys, work))

    async def read_series(
        self,
        refs: Sequence[ExperimentRef],
        keys: Sequence[str],
        *,
        exact: bool,  # noqa: ARG002 files contain every point
    ) -> list[dict[str, Points]]:
        return await self._ask_each(refs, lambda one, work: one.read_series(keys, work)[0])

    async def read_logs(self, ref: ExperimentRef, *, start: int | None, count: int) -> ApiResponse[LogPart]:
        return await self._ask(ref, lambda one, work: one.read_logs(start, count, work))

    async def list_media(self, ref: ExperimentRef, key: str, *, step: int | None = None) -> ApiResponse[MediaPart]:
        return await self._ask(ref, lambda one, work: one.list_media(key, step, work))

    async def read_media(
        self, ref: ExperimentRef, items: Sequence[MediaItem], *, limit: int
    ) -> ApiResponse[list[MediaFile]]:
        return await self._ask(ref, lambda one, work: one.read_media(items, limit, work))

    async def find_failed_rank(self, ref: ExperimentRef) -> FailedRank | None:
        """Return the failed rank that determines a multi-rank experiment's state, or `None` if there is none."""
        return (await self._ask(ref, lambda one, work: (one.describe_failed_rank(work), []))).data

    async def find_copies(self, run_ids: Collection[str], *, with_steps: bool) -> dict[str, list[LocalCopy]]:
        """Look up local experiments by their recorded ids, and describe them. Several experiments may share an id."""

        def describe(*, work: Work) -> dict[str, list[LocalCopy]]:
            return {
                run_id: [one.describe_copy(work, with_step=with_steps) for one in found]
                for run_id, found in self._catalogue.find_recorded(run_ids).items()
            }

        return await run_in_thread(describe)

    @property
    def writes(self) -> int:
        return 0

    def get_secrets(self) -> tuple[str, ...]:
        return ()

    async def keep(
        self,
        ref: ExperimentRef,
        name: Hashable,
        question: Callable[[], Coroutine[Any, Any, ApiResponse[T]]],
        weigh: Callable[[T], int],
    ) -> ApiResponse[T]:
        # read the stamps first, so that the result is dropped if a file changes in the meantime
        stamps = await self._stamps.ask(ref)
        kept = self._kept.get((ref, name))
        if kept and kept.stamps == stamps:
            return kept.answer
        answer = await question()
        if answer.data is not None:
            size = weigh(answer.data)
            if size <= _KEPT:
                self._kept[ref, name] = _Kept(stamps, answer, size)
        return answer

    def require_writable(self, ref: WorkspaceRef) -> NoReturn:
        raise NotAvailableOffline(
            gettext(
                "The workspace {username!r} contains runs on this machine's disk, which this server never changes.",
                username=shorten(ref.workspace),
            ),
            hint=gettext("Pass a SwanLab workspace as username, or delete the run's folder by hand."),
        )

    async def delete_experiment(self, ref: ExperimentRef) -> None:
        self.require_writable(ref.parent.parent)

    async def delete_project(self, ref: ProjectRef) -> None:
        self.require_writable(ref.parent)

    async def create_project(
        self,
        ref: ProjectRef,
        *,
        visibility: str,  # noqa: ARG002 read-only
        description: str,  # noqa: ARG002 read-only
    ) -> ApiResponse[Project]:
        self.require_writable(ref.parent)

    async def get_server_info(self) -> ApiResponse[ServerInfo]:
        raise NotAvailableOffline(gettext("Runs on disk do not belong to a SwanLab server."))

    async def list_on_server(
        self,
        rows: ServerRows,  # noqa: ARG002 no server
        *,
        offset: int = 0,  # noqa: ARG002 no server
        limit: int | None = None,  # noqa: ARG002 no server
    ) -> ApiResponse[list[Any]]:
        return ApiResponse(data=[], notes=(await self.get_server_info()).notes)

    async def aclose(self) -> None:
        self._catalogue.clear()
        self._kept.clear()

    async def _ask(
        self,
        ref: ExperimentRef,
        question: Callable[[LocalExperiment, Work], tuple[T, list[str]]],
    ) -> ApiResponse[T]:
        def answer(experiment: LocalExperiment, *, work: Work) -> tuple[T, list[str]]:
            found = question(experiment, work)
            self._catalogue.bound_memory(experiment.runs)
            return found

        _, (data, about) = await find_and_answer(partial(self._find_experiment, ref), answer)
        return ApiResponse(data=data, notes=about)

    async def _ask_each(self, refs: Sequence[ExperimentRef], question: Callable[[LocalExperiment, Work], T]) -> list[T]:
        if not refs:
            return []

        # use one thread for all experiments, because switching threads costs more than most calls
        def answer(experiments: list[LocalExperiment], *, work: Work) -> list[T]:
            return self._catalogue.answer_each(experiments, question, work=work)

        return (await find_and_answer(partial(self._catalogue.find_experiments, refs), answer))[1]

    def _read_stamps(self, refs: Sequence[ExperimentRef], *, work: Work) -> list[_Stamps | SwanLabError]:
        """Return the sizes and times of each experiment's files, or the exception if the experiment cannot be found."""

        def read(ref: ExperimentRef) -> _Stamps | SwanLabError:
            try:
                return tuple((run.file, run.stamp) for run in self._find_experiment(ref, work=work).runs)
            except SwanLabError as error:
                return error

        return [read(ref) for ref in refs]

    def _find_experiment(self, ref: ExperimentRef, *, work: Work) -> LocalExperiment:
        _check_workspace(ref.workspace)
        return self._catalogue.find_experiment(ref.project, ref.cuid, work=work)

    def _find_project(self, ref: ProjectRef, *, work: Work) -> _Found:
        groups, notes = self._find(ref.parent, work=work)
        if ref.project not in groups:
            raise miss_project(ref.project, notes)
        return _Found(groups[ref.project], notes)

    def _find(self, ref: WorkspaceRef, *, work: Work) -> tuple[dict[str, list[LocalExperiment]], list[str]]:
        _check_workspace(ref.workspace)
        return self._catalogue.list_projects(work=work)


class _Found(NamedTuple):
    """The experiments in a project, and notes about runs that were skipped."""

    experiments: list[LocalExperiment]
    notes: list[str]


def _check_workspace(username: str) -> None:
    if username != LOCAL:
        raise NotFound(
            gettext(
                "There is no workspace {username!r}: only runs on this machine are available.",
                username=shorten(username),
            )
        )


def _list(items: list[Any], offset: int, limit: int | None, notes: list[str]) -> ApiResponse[Any]:
    shown = items[offset : None if limit is None else offset + limit]
    return ApiResponse(data=shown, page=Page(returned=len(shown), total=len(items)), notes=notes)


def _note_unrecorded() -> str:
    return gettext("Visibility and members are not available offline: a run's files do not record them.")


def _describe_workspace() -> Workspace:
    return Workspace(name=gettext("Runs on this machine"), username=LOCAL, role="OWNER")


def _order(experiments: Sequence[LocalExperiment]) -> list[LocalExperiment]:
    return sorted(experiments, key=lambda one: (-one.started_at, one.cuid))


async def _note_some(
    ordered: Sequence[LocalExperiment],
    about: Mapping[str, Sequence[str]],
    states: Mapping[str, Sequence[str]],
    cuids: Collection[str],
) -> list[str]:
    """Return the notes about the experiments with these ids."""
    wanted = set(cuids)
    chosen = [one for one in ordered if one.cuid in wanted]

    def note(*, work: Work | None = None) -> list[str]:  # noqa: ARG001 run_in_thread passes it
        return [*note_each(chosen, about, states), *note_shared_ids([one.group for one in chosen])]

    # evidence about runs without a recorded end must be read from files
    is_read = all(one.cuid in states for one in chosen if one.is_open)
    return note() if is_read else await run_in_thread(note)
