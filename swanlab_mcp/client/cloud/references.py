"""Look up the ids that metric queries require for an experiment, and cache them briefly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from cachetools import TTLCache

from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.cloud.wire import read_project, read_reference
from swanlab_mcp.core.concurrency import SharedAnswers, gather
from swanlab_mcp.core.models import Experiment, Project
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef

__all__ = ["References"]

T = TypeVar("T")

_REMEMBERED = 60.0
_MOST_REMEMBERED = 1000
_MOST_LISTED = 20_000


class References:
    """The ids of projects and experiments on the server that `transport` connects to."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        # ids never change, but the project or experiment may be deleted in the meantime
        self._known = TTLCache[ProjectRef | ExperimentRef, dict[str, Any]](_MOST_REMEMBERED, _REMEMBERED)
        # for these experiments, only the project's id must be looked up
        self._read = TTLCache[ProjectRef | ExperimentRef, dict[str, Any]](_MOST_REMEMBERED, _REMEMBERED)
        # experiments in these projects need no lookup
        self._listed = TTLCache[ProjectRef, dict[str, dict[str, Any]]](_MOST_LISTED, _REMEMBERED, getsizeof=len)
        # if the length of a list is known, all pages are requested at once
        self._lengths = TTLCache[ProjectRef, int](_MOST_REMEMBERED, _REMEMBERED)
        self._lookups = SharedAnswers[dict[str, Any]]()

    def remember(self, ref: ProjectRef, references: Sequence[dict[str, Any]]) -> None:
        """Remember the ids of the listed experiments in a project, unless all are known or there are too many."""
        known = self._listed.get(ref, {})
        if len(references) <= _MOST_LISTED and not all(one["experimentId"] in known for one in references):
            self._listed[ref] = {one["experimentId"]: one for one in references}

    def remember_experiments(self, ref: ProjectRef, experiments: Sequence[Experiment]) -> None:
        """Remember the ids of listed experiments, unless the list is long."""
        if len(experiments) > _MOST_REMEMBERED:
            return
        if known := self._known.get(ref):
            self.remember(ref, [read_reference(one, known["projectId"]) for one in experiments])
            return
        for one in experiments:
            self.remember_experiment(ref.experiment(one.cuid), one)

    def remember_experiment(self, ref: ExperimentRef, experiment: Experiment) -> None:
        """Remember the ids of an experiment, even if its project's id is unknown."""
        self._read[ref] = read_reference(experiment, "")

    def remember_projects(self, projects: Mapping[ProjectRef, Project]) -> None:
        """Remember the id and the number of experiments of each listed project."""
        for ref, one in projects.items():
            count = one.count.get("experiments")
            if one.cuid and isinstance(count, int):
                self._known[ref] = {"projectId": one.cuid}
                self._lengths[ref] = count

    def get_length(self, ref: ProjectRef) -> int:
        """Return the last known number of experiments in a project, or 0 if it is unknown."""
        return self._lengths.get(ref, 0)

    async def ask(self, ref: ExperimentRef, question: Callable[[dict[str, Any]], Awaitable[T]]) -> T:
        """Call `question` with an experiment's ids. If cached ids give an empty result, look up the ids and retry."""
        was_known = ref in self._known or ref in self._read or ref.cuid in self._listed.get(ref.parent, {})
        answer = await question(await self.refer(ref))
        if answer or not was_known:
            return answer
        self.forget(ref)
        return await question(await self.refer(ref))

    async def refer(self, ref: ExperimentRef) -> dict[str, Any]:
        """Return the reference that metric queries require: ids, creation time and, for a clone, the original's ids."""

        async def look_up() -> dict[str, Any]:
            if read := self._read.get(ref):
                return {**read, "projectId": await self.find_project_id(ref.parent)}
            item, project_id = await gather(
                self._transport.get("project", ref.workspace, ref.project, "runs", ref.cuid),
                self.find_project_id(ref.parent),
            )
            return read_reference(item, project_id)

        listed = self._listed.get(ref.parent, {}).get(ref.cuid)
        return listed or await self._look_up(ref, look_up)

    async def find_project_id(self, ref: ProjectRef) -> str:
        async def look_up() -> dict[str, Any]:
            return {"projectId": read_project(await self._transport.get("project", ref.workspace, ref.project)).cuid}

        return (await self._look_up(ref, look_up))["projectId"]

    async def _look_up(
        self, ref: ProjectRef | ExperimentRef, question: Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    ) -> dict[str, Any]:
        """Return the cached ids of a project or experiment, or call `question` to look them up."""
        known = self._known.get(ref)
        if known is None:
            known = self._known[ref] = await self._lookups.ask(ref, question)
        return known

    def forget(self, ref: ProjectRef | ExperimentRef) -> None:
        """Forget the ids of an experiment, or of a project and all its experiments."""
        for kept in (self._known, self._read):
            for known in list(kept):
                if ref in (known, known.parent):
                    kept.pop(known, None)
        if isinstance(ref, ProjectRef):
            self._listed.pop(ref, None)
            self._lengths.pop(ref, None)
        else:
            self._listed.get(ref.parent, {}).pop(ref.cuid, None)
