"""References: what metric queries must carry about an experiment, looked up once in a while (wire page, section 5)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.wire import read_project, read_reference
from swanlab_mcp.core.concurrency import SharedAnswers, gather

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
        self._known: dict[tuple[str, ...], _Known] = {}
        self._lookups = SharedAnswers[dict[str, Any]]()

    async def ask(
        self, username: str, project: str, exp_cuid: str, question: Callable[[dict[str, Any]], Awaitable[T]]
    ) -> T:
        """Ask about an experiment; that one looked up earlier has nothing is believed only after another look."""
        since = time.monotonic()
        reference = await self.refer(username, project, exp_cuid)
        answer = await question(reference)
        known = self._known.get((username, project, exp_cuid))
        if answer or known is None or known.at >= since:
            return answer
        del self._known[username, project, exp_cuid]
        return await question(await self.refer(username, project, exp_cuid))

    async def refer(self, username: str, project: str, exp_cuid: str) -> dict[str, Any]:
        """Return what metric queries carry: ids, creation time, and the root's ids of a clone (section 5)."""

        async def look_up() -> dict[str, Any]:
            item, project_id = await gather(
                self._transport.get("project", username, project, "runs", exp_cuid),
                self.find_project_id(username, project),
            )
            return read_reference(item, project_id)

        return await self._look_up((username, project, exp_cuid), look_up)

    async def find_project_id(self, username: str, project: str) -> str:
        async def look_up() -> dict[str, Any]:
            return {"projectId": read_project(await self._transport.get("project", username, project)).cuid}

        return (await self._look_up((username, project), look_up))["projectId"]

    async def _look_up(
        self, place: tuple[str, ...], question: Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    ) -> dict[str, Any]:
        """Return the ids of a project or experiment: they never change, but after a minute it may be gone."""
        known = self._known.get(place)
        if known and time.monotonic() - known.at < _REMEMBERED:
            return known.reference
        reference = await self._lookups.ask(place, question)
        self._known.pop(place, None)
        self._known[place] = _Known(reference, time.monotonic())
        if len(self._known) > _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return reference

    def forget(self, *place: str) -> None:
        """Forget a project, or one experiment of it."""
        self._known = {known: one for known, one in self._known.items() if known[: len(place)] != place}
