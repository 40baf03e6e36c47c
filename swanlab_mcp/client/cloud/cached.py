"""A client for SwanLab's HTTP API that caches responses (see `client/cache.py`)."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from functools import partial, wraps
from typing import Any, TypeVar, cast

from swanlab_mcp.client.base import FIRST, FurtherKeys
from swanlab_mcp.client.cache import CAPACITY, AnswerCache, Part, weigh_parts
from swanlab_mcp.client.cloud.api import CloudClient
from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.core.models import ApiResponse, Experiment, Filter, LoggedKeys, Narrowed, Page, Summary
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, WorkspaceRef

__all__ = ["CachedClient"]

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Coroutine[Any, Any, Any]])


def _kept(fetch: Method) -> Method:
    """Cache the responses of a method by its name and arguments.

    The first argument, if any, must be a reference to a workspace, project or experiment.
    """
    _, *parameters = inspect.signature(fetch).parameters.values()

    @wraps(fetch)
    async def ask(self: CachedClient, *args: Any, **kwargs: Any) -> Any:
        # calls that only differ in how they pass an argument share a cache key; `Signature.bind` is much slower
        given = [*args, *(kwargs.get(one.name, one.default) for one in parameters[len(args) :])]
        named = [tuple(cast("list[Any]", one)) if isinstance(one, list) else one for one in given]
        ref: Any = named[0] if named else None
        return await self.answers.ask((fetch.__name__, *named), ref, partial(fetch, self, *args, **kwargs))

    return cast("Method", ask)


def _changing(write: Method) -> Method:
    """Drop all cached responses after each call to a method, even if the call fails."""

    @wraps(write)
    async def change(self: CachedClient, *args: Any, **kwargs: Any) -> Any:
        try:
            return await write(self, *args, **kwargs)
        finally:
            self.answers.forget()

    return cast("Method", change)


class CachedClient(CloudClient):
    """A client for SwanLab's HTTP API that caches the responses for one account."""

    def __init__(
        self,
        transport: Transport,
        web_host: str,
        *,
        clock: Callable[[], float] = time.time,
        capacity: int = CAPACITY,
    ) -> None:
        super().__init__(transport, web_host)
        self.answers = AnswerCache(clock, capacity)

    get_user = _kept(CloudClient.get_user)
    get_workspace = _kept(CloudClient.get_workspace)
    get_project = _kept(CloudClient.get_project)
    list_workspaces = _kept(CloudClient.list_workspaces)
    list_projects = _kept(CloudClient.list_projects)
    get_summary = _kept(CloudClient.get_summary)
    read_points = _kept(CloudClient.read_points)
    read_logs = _kept(CloudClient.read_logs)
    list_media = _kept(CloudClient.list_media)
    read_media = _kept(CloudClient.read_media)
    delete_experiment = _changing(CloudClient.delete_experiment)
    delete_project = _changing(CloudClient.delete_project)
    create_project = _changing(CloudClient.create_project)

    async def list_experiments(
        self, ref: ProjectRef, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Experiment]]:
        """Return a slice of the complete list if the list is cached. Otherwise, fetch only the slice."""
        whole = self.answers.recall(_name_list(ref), ref)
        if whole and (offset or limit is not None):
            items = cast("list[Experiment]", whole.data or [])
            stretch = items[offset : None if limit is None else offset + limit]
            return ApiResponse(data=stretch, page=Page(returned=len(stretch), total=len(items)), notes=whole.notes)

        def is_whole(answer: ApiResponse[list[Experiment]]) -> bool:
            total = answer.page and answer.page.total
            return not offset and (limit is None or total == len(answer.data or ()))

        return await self.answers.ask(
            _name_list(ref, offset, limit),
            ref,
            partial(super().list_experiments, ref, offset=offset, limit=limit),
            lambda answer, requested: self.answers.see(ref, answer.data or (), requested, is_whole=is_whole(answer)),
            lambda answer: [Part(_name_list(ref, offset, None if is_whole(answer) else limit), ref, answer)],
        )

    async def narrow_experiments(
        self,
        ref: ProjectRef,
        filters: Sequence[Filter],
        keys: Sequence[str] = (),
        further: FurtherKeys | None = None,
        known: Sequence[Experiment] = (),
    ) -> ApiResponse[Narrowed]:
        """Fetch the experiments and their summaries together, or only the summaries if the list is cached."""
        if filters and not self.answers.recall(_name_list(ref), ref):
            answer = await self.answers.ask(
                ("narrowed", ref, repr(filters)),
                ref,
                partial(super().narrow_experiments, ref, filters, known=known),
                lambda answer, requested: self.answers.see(
                    ref, answer.data.experiments, requested, is_whole=answer.data.is_whole
                ),
            )
            narrowed = answer.data or Narrowed((), {})
        elif keys and not self.answers.knows(ref):
            return await self.answers.ask(
                ("summarised", ref, *keys, further),
                ref,
                partial(super().narrow_experiments, ref, (), keys, further),
                lambda answer, requested: self.answers.see(ref, answer.data.experiments, requested, is_whole=True),
                lambda answer: _take_apart(ref, answer.data),
            )
        else:
            # the full list contains every match of any filter
            answer = await self.list_experiments(ref)
            narrowed = Narrowed(answer.data or (), {})
        if not keys or not narrowed.experiments:
            return ApiResponse(data=narrowed, notes=answer.notes)
        if further:
            first = await self.get_summaries(ref, narrowed.experiments[:FIRST])
            keys = further.add(keys, first.data or {})
        reported = await self.get_summaries(ref, narrowed.experiments, keys)
        return ApiResponse(
            data=narrowed._replace(summaries=reported.data or {}, keys=keys), notes=[*answer.notes, *reported.notes]
        )

    async def get_experiment(self, ref: ExperimentRef) -> ApiResponse[Experiment]:
        return await self.answers.ask(
            ("experiment", ref),
            ref,
            partial(super().get_experiment, ref),
            lambda answer, requested: self.answers.see(ref.parent, (answer.data,), requested),
        )

    async def list_keys(self, ref: ExperimentRef, *, with_media: bool = True) -> ApiResponse[LoggedKeys]:
        whole = ("list_keys", ref)
        if not with_media and (known := self.answers.recall(whole, ref)):
            return known
        name = whole if with_media else (*whole, "scalar")
        return await self.answers.ask(name, ref, partial(super().list_keys, ref, with_media=with_media))

    async def get_summaries(
        self, ref: ProjectRef, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        """Fetch only the summaries that the cache lacks. Callers must not modify the returned summaries."""
        prefix = _name_summaries(ref, keys)
        names = {one.cuid: (prefix, one.cuid) for one in experiments}
        known: dict[str, Summary] = {
            cuid: answer.data or {} for cuid, answer in self.answers.find_all(ref, names).items()
        }
        if len(known) == len(names):
            return ApiResponse(data=known)
        lacking = [one for one in experiments if one.cuid not in known]
        starts = self.answers.begin_all(ref, [one.cuid for one in lacking])
        fresh = await self.answers.share(
            ("summaries", ref, tuple((cuid, start.look) for cuid, start in starts.items()), *keys),
            partial(super().get_summaries, ref, lacking, keys),
        )
        size = weigh_parts(fresh.data or {})
        now = self.answers.begin_all(ref, starts)
        for cuid, summary in (fresh.data or {}).items():
            known[cuid] = summary
            if cuid in starts and now[cuid].look == starts[cuid].look and not fresh.notes:
                self.answers.keep(names[cuid], ApiResponse(data=dict(summary)), starts[cuid], size)
        return ApiResponse(data={cuid: known[cuid] for cuid in names if cuid in known}, notes=[*fresh.notes])

    async def keep(
        self,
        ref: ExperimentRef,
        name: Hashable,
        question: Callable[[], Coroutine[Any, Any, ApiResponse[T]]],
        weigh: Callable[[T], int],
    ) -> ApiResponse[T]:
        whole = ("kept", ref, name)
        return await self.answers.ask(
            whole, ref, question, take_apart=lambda answer: (Part(whole, ref, answer, weigh(answer.data)),)
        )

    def require_writable(self, ref: WorkspaceRef) -> None:
        """Clear the cache before a write, because the write must be based on the current state."""
        self.answers.forget()
        super().require_writable(ref)

    async def aclose(self) -> None:
        self.answers.forget()
        await super().aclose()


def _name_list(ref: ProjectRef, offset: int = 0, limit: int | None = None) -> Hashable:
    return "experiments", ref, offset, limit


def _name_summaries(ref: ProjectRef, keys: Sequence[str]) -> str:
    """Return a name for the summaries of `keys` in a project.

    Each summary is cached under this name and its experiment's cuid.
    """
    # one string for all summaries, because longer tuples are slow to hash
    return repr(("summaries", ref.workspace, ref.project, *keys))


def _take_apart(ref: ProjectRef, narrowed: Narrowed) -> Iterable[Part]:
    """Split a combined response into parts, as if the list and the summaries had been requested separately."""
    experiments = list(narrowed.experiments)
    listed = ApiResponse(data=experiments, page=Page(returned=len(experiments), total=len(experiments)))
    for summaries, keys in ((narrowed.first, ()), (narrowed.summaries, narrowed.keys)):
        size, prefix = weigh_parts(dict(summaries)), _name_summaries(ref, keys)
        for cuid, summary in summaries.items():
            yield Part((prefix, cuid), ref.experiment(cuid), ApiResponse(data=dict(summary)), size)
    # the list comes last, because the most recently cached part is evicted last
    yield Part(_name_list(ref), ref, listed)
