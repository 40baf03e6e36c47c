"""Cache the responses for one account, and merge identical concurrent requests.

Lists and responses about a running or unknown experiment are cached for 15 seconds. Responses about a finished
experiment are cached for 10 minutes, or until another response shows that the experiment has changed. If a change is
detected while a request is pending, its response is not cached.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast

from cachetools import LRUCache
from pydantic import BaseModel

from swanlab_mcp.core import progress
from swanlab_mcp.core.concurrency import SharedAnswers
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Experiment
from swanlab_mcp.core.observation import CacheRead, notify
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, Ref
from swanlab_mcp.core.untrusted import shorten

__all__ = ["CAPACITY", "LIST_LIFETIME", "AnswerCache", "Part", "Start", "weigh_parts"]

T = TypeVar("T")

CAPACITY = 64_000_000  # bytes

LIST_LIFETIME = 15.0
_LONG = 600.0
_SETTLING = 60.0
_ENDED = {"FINISHED", "CRASHED", "ABORTED"}
_ENTRY = 1000  # overhead of a cached response in bytes
_SMALLEST = 3200  # limits the cache to 20,000 responses
_MOST_PROJECTS = 100
_WEIGHED = 64
_DEEPEST = 12
# fields that never change after an experiment ends, and fields that depend on the request; all other fields can change
_FIXED = {"cuid", "slug", "createdAt", "user", "profile", "error", "metrics", "facts", "rootProId", "rootExpId"}
_CHANGEABLE = [name for name in Experiment.model_fields if name not in _FIXED]


class _Sighting(NamedTuple):
    """The latest known state of an experiment.

    `requested` is the sequence number of the request that returned this state. `ended` is the end of the experiment in
    Unix seconds, or `None` if the experiment may still be running.
    """

    name: str
    look: Hashable
    ended: float | None
    requested: int


@dataclass
class _Project:
    """The known experiments in a project, indexed by id and by slug. `is_whole` is true if the list is complete."""

    sightings: dict[str, _Sighting] = field(default_factory=dict[str, _Sighting])
    is_whole: bool = False


class Start(NamedTuple):
    """The state of the cache when a request starts. The response is checked against this state when it arrives."""

    look: Hashable
    at: float
    lifetime: float
    requested: int


class Part(NamedTuple):
    """A part of a response that is cached under its own name. `size` is in bytes, or `None` to estimate it."""

    name: Hashable
    ref: Ref | None
    answer: ApiResponse[Any]
    size: int | None = None


class _Entry(NamedTuple):
    answer: ApiResponse[Any]
    start: Start
    size: int


class AnswerCache:
    """A cache of the responses for one account. Accounts never share a cache.

    `clock` returns Unix time in seconds instead of monotonic time, because a monotonic clock may stop while a laptop
    sleeps. `capacity` is in bytes.
    """

    def __init__(self, clock: Callable[[], float] = time.time, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._entries = LRUCache[Hashable, _Entry](capacity, getsizeof=lambda entry: entry.size)
        self._projects = LRUCache[ProjectRef, _Project](_MOST_PROJECTS)
        self._requested = 0
        self._changes = 0
        self._forgotten = 0
        self._shared = SharedAnswers[Any]()
        self._listeners: dict[Hashable, list[progress.Listener]] = {}

    @property
    def size(self) -> float:
        """Return the estimated size of all responses in bytes."""
        return self._entries.currsize

    def knows(self, ref: ProjectRef) -> bool:
        """Return whether a recent response contained an experiment in the project."""
        return ref in self._projects

    def forget(self) -> None:
        """Drop all cached and pending responses, so that a change made by this client is visible immediately."""
        self._changes += 1
        self._forgotten += 1
        self._entries = LRUCache[Hashable, _Entry](self._entries.maxsize, getsizeof=lambda entry: entry.size)
        self._projects = LRUCache[ProjectRef, _Project](_MOST_PROJECTS)

    async def ask(
        self,
        name: Hashable,
        ref: Ref | None,
        question: Callable[[], Coroutine[Any, Any, ApiResponse[T]]],
        see: Callable[[Any, int], bool] | None = None,
        take_apart: Callable[[Any], Iterable[Part]] | None = None,
    ) -> ApiResponse[T]:
        """Return the response cached under `name`, or await `question` and cache its response.

        `see` records the experiment states in the response. If it returns false, a newer response exists, and this
        response is not cached. `take_apart` splits the response into parts that are cached separately.
        """
        if isinstance(ref, ExperimentRef):
            self._refuse_name(ref)
        known = self.recall(name, ref)
        notify(CacheRead(is_hit=known is not None))
        if known is not None:
            return known
        begun = self.begin(ref)

        async def fetch() -> ApiResponse[T]:
            try:
                answer = await question()
            except NotFound:
                self._lose(ref)
                raise
            is_newest = self.begin(ref).look == begun.look
            if see and not see(answer, begun.requested):
                is_newest = False
            if is_newest:
                for part in take_apart(answer) if take_apart else [Part(name, ref, answer)]:
                    self.keep(part.name, part.answer, self.begin(part.ref)._replace(at=begun.at), part.size)
            return answer

        # a request made after a change must not share the response to a request made before it
        return _copy(await self.share((name, begun.look), fetch))

    async def share(self, name: Hashable, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Merge identical concurrent calls into a single request, and report the request's progress to every caller."""
        mine = progress.listener.get()
        waiting = self._listeners.setdefault(name, [])

        async def report(stage: progress.Stage) -> None:
            for listener in tuple(waiting):
                await listener(stage)

        async def ask() -> T:
            progress.listener.set(report)
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

    def begin(self, ref: Ref | None) -> Start:
        """Record the cache's state for `ref` before a request is sent."""
        if isinstance(ref, ExperimentRef):
            return self.begin_all(ref.parent, (ref.cuid,))[ref.cuid]
        self._requested += 1
        return Start(self._changes, self._clock(), LIST_LIFETIME, self._requested)

    def begin_all(self, ref: ProjectRef, cuids: Iterable[str]) -> dict[str, Start]:
        """Record the cache's state for each experiment before a request is sent, and return the states by cuid."""
        self._requested += 1
        now, seen = self._clock(), self._get_sightings(ref)
        return {cuid: self._start(seen.get(cuid), now) for cuid in cuids}

    def _start(self, seen: _Sighting | None, now: float) -> Start:
        return Start((self._forgotten, seen and seen.look), now, _get_lifetime(seen, now), self._requested)

    def recall(self, name: Hashable, ref: Ref | None) -> ApiResponse[Any] | None:
        """Return a copy of the response cached under `name`, or `None` if it is missing or outdated."""
        answer = self.find(name, ref)
        return None if answer is None else _copy(answer)

    def find(self, name: Hashable, ref: Ref | None) -> ApiResponse[Any] | None:
        """Return the cached response, or `None` if it is missing or outdated. The caller must not change it."""
        now = self.begin(ref)
        return self._find(name, now.look, now.at, now.lifetime)

    def find_all(self, ref: ProjectRef, names: Mapping[str, Hashable]) -> dict[str, ApiResponse[Any]]:
        """Return the cached responses about several experiments by cuid. The caller must not change them."""
        now, seen = self._clock(), self._get_sightings(ref)
        found: dict[str, ApiResponse[Any]] = {}
        for cuid, name in names.items():
            sighting = seen.get(cuid)
            look = self._forgotten, sighting and sighting.look
            answer = self._find(name, look, now, _get_lifetime(sighting, now))
            if answer is not None:
                found[cuid] = answer
        return found

    # plain values instead of a Start, because a ranking checks thousands of entries
    def _find(self, name: Hashable, look: Hashable, now: float, lifetime: float) -> ApiResponse[Any] | None:
        try:
            answer, start, _ = self._entries[name]
        except KeyError:
            return None
        age = now - start.at
        if look != start.look or not (0 <= age < start.lifetime and age < lifetime):
            del self._entries[name]
            return None
        return answer

    def keep(self, name: Hashable, answer: ApiResponse[Any], start: Start, size: int | None = None) -> None:
        """Cache a response. Callers must not modify it afterwards."""
        entry = _Entry(answer, start, max(_SMALLEST, _weigh(answer) + _ENTRY if size is None else size))
        # remove the old entry first, so that the new entry is evicted last
        self._entries.pop(name, None)
        if entry.size <= self._entries.maxsize:
            self._entries[name] = entry

    def see(
        self, ref: ProjectRef, experiments: Iterable[Experiment], requested: int, *, is_whole: bool = False
    ) -> bool:
        """Record the states of experiments. Return False if the response to a later request contradicts them."""
        project = self._projects.get(ref) or _Project()
        known = project.sightings
        found = {name: _look_at(one, requested) for one in experiments for name in (one.cuid, one.slug) if name}
        newer = {name: one for name, one in known.items() if one.requested > requested}
        is_newest = all(found[name].look == one.look if name in found else not is_whole for name, one in newer.items())
        changed = {
            name for name in found if name in known and name not in newer and found[name].look != known[name].look
        }
        gone = known.keys() - found.keys() - newer.keys() if is_whole else set[str]()
        # a complete list in the cache does not contain these experiments
        unlisted = not is_whole and found.keys() - known.keys() and project.is_whole
        if changed or gone or unlisted:
            self._changes += 1
        sightings = {name: one for name, one in {**known, **found, **newer}.items() if name not in gone}
        self._projects[ref] = _Project(sightings, is_whole or project.is_whole)
        return is_newest

    def _get_sightings(self, ref: ProjectRef) -> dict[str, _Sighting]:
        project = self._projects.get(ref)
        return project.sightings if project else {}

    def _refuse_name(self, ref: ExperimentRef) -> None:
        """Raise NotFound, without sending a request, if the given id is actually the name of a listed experiment."""
        project = self._projects.get(ref.parent)
        if not project or not project.is_whole or ref.cuid in project.sightings:
            return
        if any(one.name == ref.cuid for one in project.sightings.values()):
            raise NotFound(gettext("{name!r} is the name of an experiment, not its id.", name=shorten(ref.cuid)))

    def _lose(self, ref: Ref | None) -> None:
        """Drop the recorded state of an experiment or a project that SwanLab no longer finds."""
        if isinstance(ref, ExperimentRef):
            lost = self._get_sightings(ref.parent).pop(ref.cuid, None)
        elif isinstance(ref, ProjectRef):
            lost = self._projects.pop(ref, None)
        else:
            return
        if lost:
            self._changes += 1


def weigh_parts(parts: Sequence[Any] | dict[Any, Any]) -> int:
    """Estimate the average size in bytes of a part that is cached as a separate response."""
    return _weigh(parts) // max(1, len(parts)) + _ENTRY


def _get_lifetime(seen: _Sighting | None, now: float) -> float:
    # an experiment's last points may arrive after its end
    is_settled = seen is not None and seen.ended is not None and now - seen.ended >= _SETTLING
    return _LONG if is_settled else LIST_LIFETIME


def _look_at(experiment: Experiment, requested: int) -> _Sighting:
    values: list[Any] = [getattr(experiment, name) for name in _CHANGEABLE]
    look = tuple(tuple(cast("list[Any]", value)) if isinstance(value, list) else value for value in values)
    # a clone has the metrics of its root, which may still be running
    has_ended = experiment.state in _ENDED and not experiment.rootExpId
    end = read_time(experiment.finishedAt) if has_ended and experiment.finishedAt else None
    return _Sighting(experiment.name, look, end.timestamp() if end else None, requested)


def _copy(answer: ApiResponse[T]) -> ApiResponse[T]:
    """Copy a response so that the caller may modify its data and notes."""
    data: Any = answer.data
    if isinstance(data, (list, dict)):
        data = cast("Any", data).copy()
    return answer.model_copy(update={"data": data, "notes": list(answer.notes)})


def _weigh(value: Any, depth: int = 0) -> int:
    """Estimate the size of a value in bytes from a sample of its parts."""
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
