"""Decide whether this worker is ready for requests. It is ready if SwanLab is reachable, except during a shutdown."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from swanlab_mcp.core.concurrency import SharedAnswers
from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.untrusted import neutralise

__all__ = ["Readiness"]

_KEPT = 5.0


class Readiness:
    """Checks whether SwanLab is reachable, at most every 5 seconds. The demo has no `probe` and is always ready."""

    def __init__(self, probe: Callable[[], Awaitable[None]] | None) -> None:
        self._probe = probe
        self._questions = SharedAnswers[str]()
        self._known = ("", float("-inf"))
        self.is_ending = False

    async def find_problem(self) -> str:
        """Return the reason why this worker should not receive requests, or "" if it is ready."""
        if self.is_ending:
            return "draining"
        problem, since = self._known
        if self._probe and time.monotonic() - since > _KEPT:
            problem = await self._questions.ask("probe", self._ask)
            self._known = (problem, time.monotonic())
        return problem

    async def _ask(self) -> str:
        assert self._probe
        try:
            await self._probe()
        except SwanLabError as error:
            return neutralise(error.message)
        return ""
