"""References: what metric queries must carry about an experiment, looked up once in a while (wire page, section 5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from cachetools import TTLCache

from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.cloud.wire import read_project, read_reference
from swanlab_mcp.core.concurrency import SharedAnswers, gather
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef

__all__ = ["References"]

T = TypeVar("T")

_REMEMBERED = 60.0
_MOST_REMEMBERED = 1000


class References:
    """The ids of projects and experiments at the server that `transport` reaches."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        # ids never change, but after a minute the project or experiment may be gone
        self._known = TTLCache[ProjectRef | ExperimentRef, dict[str, Any]](_MOST_REMEMBERED, _REMEMBERED)
        self._lookups = SharedAnswers[dict[str, Any]]()

    async def ask(self, ref: ExperimentRef, question: Callable[[dict[str, Any]], Awaitable[T]]) -> T:
        """Ask about an experiment; that one looked up earlier has nothing is believed only after another look."""
        was_known = ref in self._known
        answer = await question(await self.refer(ref))
        if answer or not was_known:
            return answer
        self._known.pop(ref, None)
        return await question(await self.refer(ref))

    async def refer(self, ref: ExperimentRef) -> dict[str, Any]:
        """Return what metric queries carry: ids, creation time, and the root's ids of a clone (section 5)."""

        async def look_up() -> dict[str, Any]:
            item, project_id = await gather(
                self._transport.get("project", ref.workspace, ref.project, "runs", ref.cuid),
                self.find_project_id(ref.parent),
            )
            return read_reference(item, project_id)

        return await self._look_up(ref, look_up)

    async def find_project_id(self, ref: ProjectRef) -> str:
        async def look_up() -> dict[str, Any]:
            return {"projectId": read_project(await self._transport.get("project", ref.workspace, ref.project)).cuid}

        return (await self._look_up(ref, look_up))["projectId"]

    async def _look_up(
        self, ref: ProjectRef | ExperimentRef, question: Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    ) -> dict[str, Any]:
        """Return the ids of a project or experiment, known ones without a request."""
        known = self._known.get(ref)
        if known is None:
            known = self._known[ref] = await self._lookups.ask(ref, question)
        return known

    def forget(self, ref: ProjectRef | ExperimentRef) -> None:
        """Forget a project with its experiments, or one experiment."""
        for known in list(self._known):
            if ref in (known, known.parent):
                self._known.pop(known, None)
