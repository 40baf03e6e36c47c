"""References: what metric queries must carry about an experiment, looked up once in a while (wire page, section 5)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.wire import read_project, read_reference
from swanlab_mcp.core.concurrency import SharedAnswers, gather
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef

__all__ = ["References"]

T = TypeVar("T")

_REMEMBERED = 60.0
_MOST_REMEMBERED = 1000


class _Known(NamedTuple):
    """Ids, and when they were looked up (monotonic seconds)."""

    reference: dict[str, Any]
    at: float


class References:
    """The ids of projects and experiments at the server that `transport` reaches."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._known: dict[ProjectRef | ExperimentRef, _Known] = {}
        self._lookups = SharedAnswers[dict[str, Any]]()

    async def ask(self, ref: ExperimentRef, question: Callable[[dict[str, Any]], Awaitable[T]]) -> T:
        """Ask about an experiment; that one looked up earlier has nothing is believed only after another look."""
        since = time.monotonic()
        reference = await self.refer(ref)
        answer = await question(reference)
        known = self._known.get(ref)
        if answer or known is None or known.at >= since:
            return answer
        del self._known[ref]
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
        """Return the ids of a project or experiment: they never change, but after a minute it may be gone."""
        known = self._known.get(ref)
        if known and time.monotonic() - known.at < _REMEMBERED:
            return known.reference
        reference = await self._lookups.ask(ref, question)
        self._known.pop(ref, None)
        self._known[ref] = _Known(reference, time.monotonic())
        if len(self._known) > _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return reference

    def forget(self, ref: ProjectRef | ExperimentRef) -> None:
        """Forget a project with its experiments, or one experiment."""
        gone = [known for known in self._known if ref in (known, known.parent)]
        for known in gone:
            del self._known[known]
