"""CachedClient: answers of one account kept for as long as they can be believed, and equal questions asked once.

Lists, and what belongs to an experiment that runs or of which nothing is known, live for 15 seconds. What belongs to
one that ended lives for 10 minutes, or until any answer shows it changed. An answer that was asked for before a change
was seen is never kept.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from pydantic import BaseModel

from swanlab_mcp.core import progress
from swanlab_mcp.core.concurrency import SharedAnswers
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import say
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
    read_time,
)
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, Ref, WorkspaceRef
from swanlab_mcp.core.untrusted import shorten

if TYPE_CHECKING:
    from swanlab_mcp.client.base import Backend

__all__ = ["CachedClient"]

T = TypeVar("T")

_SHORT = 15.0
_LONG = 600.0
_SETTLING = 60.0
_ENDED = {"FINISHED", "CRASHED", "ABORTED"}
_BYTES = 64_000_000
_MOST_ENTRIES = 20_000
_ENTRY = 1000  # an answer's frame and its name
_MOST_PROJECTS = 100
_WEIGHED = 64
_DEEPEST = 12

_Place = tuple[str, str, str]


class _Sighting(NamedTuple):
    """How an experiment looks in the newest answer; `asked` numbers the question, `ended` is in Unix seconds."""

    name: str
    look: Hashable
    ended: float | None
    asked: int


class _Start(NamedTuple):
    """What was known when a question was asked."""

    look: Hashable
    at: float
    lifetime: float
    asked: int


class _Part(NamedTuple):
    """What is kept of an answer under a name; `size` in bytes, None: to be weighed."""

    name: Hashable
    place: _Place | None
    answer: ApiResponse[Any]
    size: int | None = None


class _Entry(NamedTuple):
    answer: Any
    start: _Start
    size: int


class CachedClient:
    """Put before the client of one account; nothing is shared between two of them.

    `clock` tells Unix seconds (a monotonic one would stand still while a laptop sleeps); `capacity` is in bytes.
    """

    def __init__(self, client: Backend, *, clock: Callable[[], float] = time.time, capacity: int = _BYTES) -> None:
        self._client = client
        self._clock = clock
        self._capacity = capacity
        self._size = 0
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str], dict[str, _Sighting]] = OrderedDict()
        self._wholes: set[tuple[str, str]] = set()
        self._asked = 0
        self._changes = 0
        self._forgotten = 0
        self._shared = SharedAnswers[Any]()
        self._listeners: dict[Hashable, list[progress.Listener]] = {}

    async def get_username(self) -> str:
        return await self._client.get_username()

    def get_link(self, ref: Ref) -> str:
        return self._client.get_link(ref)

    async def get_user(self) -> ApiResponse[User]:
        return await self._ask(("user",), None, self._client.get_user)

    async def get_workspace(self, ref: WorkspaceRef) -> ApiResponse[Workspace]:
        return await self._ask(("workspace", ref), None, lambda: self._client.get_workspace(ref))

    async def get_project(self, ref: ProjectRef) -> ApiResponse[Project]:
        place = (ref.workspace, ref.project, "")
        return await self._ask(("project", place), place, lambda: self._client.get_project(ref))

    async def list_workspaces(self) -> ApiResponse[list[Workspace]]:
        return await self._ask(("workspaces",), None, self._client.list_workspaces)

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
        how: dict[str, Any] = {"offset": offset, "limit": limit, "search": search, "sort": sort, "detail": detail}
        name = ("projects", ref, *how.values())
        return await self._ask(name, None, lambda: self._client.list_projects(ref, **how))

    async def list_experiments(
        self, ref: ProjectRef, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Experiment]]:
        place = (ref.workspace, ref.project, "")
        whole = self._recall(("experiments", place, 0, None), place)
        if whole and (offset or limit is not None):
            items = cast("list[Experiment]", whole.data or [])
            stretch = items[offset : None if limit is None else offset + limit]
            return ApiResponse(data=stretch, page=Page(returned=len(stretch), total=len(items)), notes=whole.notes)

        def is_whole(answer: ApiResponse[list[Experiment]]) -> bool:
            told = answer.page and answer.page.total
            return not offset and (limit is None or told == len(answer.data or ()))

        return await self._ask(
            ("experiments", place, offset, limit),
            place,
            lambda: self._client.list_experiments(ref, offset=offset, limit=limit),
            lambda answer, asked: self._see(place, answer.data or (), asked, is_whole=is_whole(answer)),
            lambda answer: [_Part(("experiments", place, offset, None if is_whole(answer) else limit), place, answer)],
        )

    async def narrow_experiments(
        self, ref: ProjectRef, filters: Sequence[Filter], keys: Sequence[str] = ()
    ) -> ApiResponse[Narrowed]:
        """Ask for experiments and summaries together only where nothing is known: else some of them are enough."""
        place = (ref.workspace, ref.project, "")
        if filters and not self._recall(("experiments", place, 0, None), place):
            answer = await self._ask(
                ("narrowed", place, repr(filters)),
                place,
                lambda: self._client.narrow_experiments(ref, filters),
                lambda answer, asked: self._see(place, answer.data.experiments, asked, is_whole=answer.data.is_whole),
            )
            narrowed = answer.data or Narrowed((), {})
        elif keys and place[:2] not in self._seen:
            return await self._ask(
                ("summarised", place, *keys),
                place,
                lambda: self._client.narrow_experiments(ref, (), keys),
                lambda answer, asked: self._see(place, answer.data.experiments, asked, is_whole=True),
                lambda answer: self._take_apart(place, answer.data, keys),
            )
        else:
            # the whole list holds all that meet any filters
            answer = await self.list_experiments(ref)
            narrowed = Narrowed(answer.data or (), {})
        if not keys or not narrowed.experiments:
            return ApiResponse(data=narrowed, notes=answer.notes)
        told = await self.get_summaries(ref, narrowed.experiments, keys)
        return ApiResponse(data=narrowed._replace(summaries=told.data or {}), notes=[*answer.notes, *told.notes])

    async def get_experiment(self, ref: ExperimentRef) -> ApiResponse[Experiment]:
        return await self._ask_about(
            (ref.workspace, ref.project, ref.cuid),
            ("experiment",),
            lambda: self._client.get_experiment(ref),
            lambda answer, asked: self._see((ref.workspace, ref.project, ""), (answer.data,), asked),
        )

    async def get_summary(self, ref: ExperimentRef) -> ApiResponse[Summary]:
        return await self._ask_about(
            (ref.workspace, ref.project, ref.cuid),
            ("summary",),
            lambda: self._client.get_summary(ref),
        )

    async def get_summaries(
        self, ref: ProjectRef, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        """Ask only about those of which no summary is known any more."""
        names: dict[str, tuple[Hashable, _Place]] = {
            one.cuid: (
                ("summaries", one.cuid, ref.workspace, ref.project, *keys),
                (ref.workspace, ref.project, one.cuid),
            )
            for one in experiments
        }
        known: dict[str, Summary] = {
            cuid: dict(answer.data or {}) for cuid, name in names.items() if (answer := self._find(*name)) is not None
        }
        lacking = [one for one in experiments if one.cuid not in known]
        notes: list[str] = []
        if lacking:
            starts = {one.cuid: self._begin(names[one.cuid][1]) for one in lacking}
            fresh = await self._share(
                ("summaries", ref, tuple((cuid, start.look) for cuid, start in starts.items()), *keys),
                lambda: self._client.get_summaries(ref, lacking, keys),
            )
            notes += fresh.notes
            size = _weigh(fresh.data) // len(lacking) + _ENTRY
            for cuid, summary in (fresh.data or {}).items():
                known[cuid] = summary
                if cuid in starts and not fresh.notes and self._begin(names[cuid][1]).look == starts[cuid].look:
                    self._keep(names[cuid][0], ApiResponse(data=dict(summary)), starts[cuid], size)
        return ApiResponse(data={cuid: known[cuid] for cuid in names if cuid in known}, notes=notes)

    async def read_points(
        self, ref: ExperimentRef, keys: Sequence[str], *, exact: bool
    ) -> ApiResponse[dict[str, Points]]:
        return await self._ask_about(
            (ref.workspace, ref.project, ref.cuid),
            ("points", exact, *keys),
            lambda: self._client.read_points(ref, keys, exact=exact),
        )

    async def list_keys(self, ref: ExperimentRef) -> ApiResponse[LoggedKeys]:
        return await self._ask_about(
            (ref.workspace, ref.project, ref.cuid), ("keys",), lambda: self._client.list_keys(ref)
        )

    async def read_logs(self, ref: ExperimentRef, *, start: int | None, count: int) -> ApiResponse[LogPart]:
        return await self._ask_about(
            (ref.workspace, ref.project, ref.cuid),
            ("logs", start, count),
            lambda: self._client.read_logs(ref, start=start, count=count),
        )

    async def list_media(self, ref: ExperimentRef, key: str, *, step: int | None = None) -> ApiResponse[MediaPart]:
        return await self._ask_about(
            (ref.workspace, ref.project, ref.cuid),
            ("media", key, step),
            lambda: self._client.list_media(ref, key, step=step),
        )

    async def read_media(
        self, ref: ExperimentRef, items: Sequence[MediaItem], *, limit: int
    ) -> ApiResponse[list[MediaFile]]:
        return await self._ask_about(
            (ref.workspace, ref.project, ref.cuid),
            ("files", limit, *items),
            lambda: self._client.read_media(ref, items, limit=limit),
        )

    def get_secrets(self) -> tuple[str, ...]:
        return self._client.get_secrets()

    def require_writable(self, ref: WorkspaceRef) -> None:
        """Forget first: a change is judged by what is there now."""
        self.forget()
        self._client.require_writable(ref)

    async def delete_experiment(self, ref: ExperimentRef) -> None:
        try:
            await self._client.delete_experiment(ref)
        finally:
            self.forget()

    async def delete_project(self, ref: ProjectRef) -> None:
        try:
            await self._client.delete_project(ref)
        finally:
            self.forget()

    async def create_project(self, ref: ProjectRef, *, visibility: str, description: str) -> ApiResponse[Project]:
        try:
            return await self._client.create_project(ref, visibility=visibility, description=description)
        finally:
            self.forget()

    async def aclose(self) -> None:
        self.forget()
        await self._client.aclose()

    def forget(self) -> None:
        """Drop all answers, those that are under way too: whatever was changed by us must show at once."""
        self._changes += 1
        self._forgotten += 1
        self._size = 0
        self._entries.clear()
        self._seen.clear()
        self._wholes.clear()

    def _take_apart(self, place: _Place, narrowed: Narrowed, keys: Sequence[str]) -> Iterable[_Part]:
        """Return what is kept of experiments and summaries that came together, as if each had been asked for."""
        experiments = list(narrowed.experiments)
        listed = ApiResponse(data=experiments, page=Page(returned=len(experiments), total=len(experiments)))
        size = _weigh(narrowed.summaries) // max(1, len(narrowed.summaries)) + _ENTRY
        for cuid, summary in narrowed.summaries.items():
            yield _Part(
                ("summaries", cuid, *place[:2], *keys), (*place[:2], cuid), ApiResponse(data=dict(summary)), size
            )
        # the last goes last where there is no room
        yield _Part(("experiments", place, 0, None), place, listed)

    async def _ask_about(
        self,
        place: _Place,
        what: tuple[Hashable, ...],
        question: Callable[[], Coroutine[Any, Any, ApiResponse[T]]],
        see: Callable[[Any, int], bool] | None = None,
    ) -> ApiResponse[T]:
        """Ask about one experiment; what was seen as a name is no id, and SwanLab need not be asked."""
        seen = self._seen.get(place[:2], {})
        if place[:2] in self._wholes and place[2] not in seen and any(one.name == place[2] for one in seen.values()):
            raise NotFound(say("{name!r} is the name of an experiment, not its id.", name=shorten(place[2])))
        return await self._ask((place, *what), place, question, see)

    async def _ask(
        self,
        name: Hashable,
        place: _Place | None,
        question: Callable[[], Coroutine[Any, Any, ApiResponse[T]]],
        see: Callable[[Any, int], bool] | None = None,
        take_apart: Callable[[Any], Iterable[_Part]] | None = None,
    ) -> ApiResponse[T]:
        """Return the answer that is kept under `name`, or ask; `see` takes note of states, False: others are newer.

        Of an answer that is several, `take_apart` makes what is kept in its place.
        """
        known = self._recall(name, place)
        if known is not None:
            return known
        begun = self._begin(place)

        async def fetch() -> ApiResponse[T]:
            try:
                answer = await question()
            except NotFound:
                self._lose(place)
                raise
            is_newest = self._begin(place).look == begun.look
            if see and not see(answer, begun.asked):
                is_newest = False
            if is_newest:
                for part in take_apart(answer) if take_apart else [_Part(name, place, answer)]:
                    self._keep(part.name, part.answer, self._begin(part.place)._replace(at=begun.at), part.size)
            return answer

        # who asks after a change was seen must not get an answer to an earlier question
        return _copy(await self._share((name, begun.look), fetch))

    async def _share(self, name: Hashable, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask once for all who ask the same at the same time; each is told how far it is for as long as it waits."""
        mine = progress.listener.get()
        waiting = self._listeners.setdefault(name, [])

        async def tell(stage: progress.Stage) -> None:
            for listener in tuple(waiting):
                await listener(stage)

        async def ask() -> T:
            progress.listener.set(tell)
            return await question()

        if mine:
            waiting.append(mine)
        try:
            return await self._shared.ask(name, ask)
        finally:
            if mine:
                waiting.remove(mine)
            if not waiting:
                self._listeners.pop(name, None)

    def _begin(self, place: _Place | None) -> _Start:
        self._asked += 1
        now = self._clock()
        if place is None or not place[2]:
            return _Start(self._changes, now, _SHORT, self._asked)
        seen = self._seen.get(place[:2], {}).get(place[2])
        # the last points of an experiment may arrive after its end
        is_settled = seen is not None and seen.ended is not None and now - seen.ended >= _SETTLING
        return _Start((self._forgotten, seen and seen.look), now, _LONG if is_settled else _SHORT, self._asked)

    def _recall(self, name: Hashable, place: _Place | None) -> ApiResponse[Any] | None:
        answer = self._find(name, place)
        return None if answer is None else _copy(answer)

    def _find(self, name: Hashable, place: _Place | None) -> ApiResponse[Any] | None:
        """Return the answer itself, which nobody may change."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        now = self._begin(place)
        age = now.at - entry.start.at
        if now.look != entry.start.look or not 0 <= age < min(entry.start.lifetime, now.lifetime):
            self._drop(name)
            return None
        self._entries.move_to_end(name)
        return entry.answer

    def _keep(self, name: Hashable, answer: ApiResponse[Any], start: _Start, size: int | None = None) -> None:
        """Keep an answer that nobody else holds."""
        self._drop(name)
        entry = _Entry(answer, start, _weigh(answer) + _ENTRY if size is None else size)
        if entry.size > self._capacity:
            return
        self._entries[name] = entry
        self._size += entry.size
        while self._size > self._capacity or len(self._entries) > _MOST_ENTRIES:
            self._drop(next(iter(self._entries)))

    def _drop(self, name: Hashable) -> None:
        entry = self._entries.pop(name, None)
        if entry:
            self._size -= entry.size

    def _see(self, place: _Place, experiments: Iterable[Experiment], asked: int, *, is_whole: bool = False) -> bool:
        """Take note of how experiments look; return False where an answer to a later question says otherwise."""
        known = self._seen.pop(place[:2], {})
        found = {name: _look_at(one, asked) for one in experiments for name in (one.cuid, one.slug) if name}
        newer = {name: one for name, one in known.items() if one.asked > asked}
        is_newest = all(found[name].look == one.look if name in found else not is_whole for name, one in newer.items())
        changed = {
            name for name in found if name in known and name not in newer and found[name].look != known[name].look
        }
        gone = known.keys() - found.keys() - newer.keys() if is_whole else set[str]()
        # a list that is kept as whole lacks them
        unlisted = not is_whole and found.keys() - known.keys() and ("experiments", place, 0, None) in self._entries
        if changed or gone or unlisted:
            self._changes += 1
        self._seen[place[:2]] = {**known, **found, **newer}
        for name in gone:
            del self._seen[place[:2]][name]
        if is_whole:
            self._wholes.add(place[:2])
        if len(self._seen) > _MOST_PROJECTS:
            self._wholes.discard(self._seen.popitem(last=False)[0])
        return is_newest

    def _lose(self, place: _Place | None) -> None:
        """Forget how an experiment, or those of a project, looked: SwanLab says that there is none."""
        if place is None:
            return
        project, cuid = place[:2], place[2]
        lost = self._seen.get(project, {}).pop(cuid, None) if cuid else self._seen.pop(project, None)
        if lost:
            self._changes += 1


def _look_at(experiment: Experiment, asked: int) -> _Sighting:
    look = (
        experiment.state,
        experiment.finishedAt,
        experiment.name,
        experiment.description,
        tuple(experiment.labels),
        experiment.group,
        experiment.job,
    )
    # a clone's metrics are those of its root, which may go on
    has_ended = experiment.state in _ENDED and not experiment.rootExpId
    end = read_time(experiment.finishedAt) if has_ended and experiment.finishedAt else None
    return _Sighting(experiment.name, look, end.timestamp() if end else None, asked)


def _copy(answer: ApiResponse[T]) -> ApiResponse[T]:
    """Return an answer whose lists may be changed by whoever gets it."""
    data: Any = answer.data
    if isinstance(data, (list, dict)):
        data = cast("Any", data).copy()
    return answer.model_copy(update={"data": data, "notes": list(answer.notes)})


def _weigh(value: Any, depth: int = 0) -> int:
    """Estimate how many bytes a value holds; of many parts some are weighed."""
    size = sys.getsizeof(value)
    if depth > _DEEPEST:
        return size
    parts: list[Any] = []
    if isinstance(value, BaseModel):
        parts = [vars(value)]
    elif isinstance(value, dict):
        parts = list(cast("dict[str, Any]", value).values())
    elif isinstance(value, (list, tuple)):
        parts = list(cast("Sequence[Any]", value))
    some = parts[:: len(parts) // _WEIGHED + 1]
    return size + sum(_weigh(part, depth + 1) for part in some) * len(parts) // max(1, len(some))
