"""Report the progress of the current call from the code that does the work to the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, TypeVar

from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.i18n import gettext

__all__ = ["Course", "Listener", "Stage", "follow", "listener"]

T = TypeVar("T")


@dataclass(eq=False)
class Stage:
    """A stage of a call in which `done` of `total` units are finished. `what` is the unit, such as pages or bytes."""

    what: str
    total: int
    done: int = 0

    def __str__(self) -> str:
        if self.what == "bytes":
            return gettext("{done:.1f} of {total:.1f} MB", done=self.done / 2**20, total=self.total / 2**20)
        return gettext("{done} of {total} {what}", done=self.done, total=self.total, what=_name(self.what))

    async def advance(self, count: int = 1) -> None:
        """Add `count` finished units and report the stage to the listener."""
        self.done += count
        await self.report()

    async def report(self) -> None:
        report = listener.get()
        if report is not None:
            await report(self)


Listener = Callable[[Stage], Awaitable[None]]

listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


async def follow(what: str, *questions: Coroutine[Any, Any, T]) -> list[T]:
    """Run the coroutines concurrently, as `gather` does, and report how many have finished.

    If there are several coroutines, progress reported inside them is discarded.
    """
    report = listener.get()
    if report is None or len(questions) < 2:
        return await gather(*questions)
    stage = Stage(what, len(questions))

    async def ask(question: Coroutine[Any, Any, T]) -> T:
        # a task has its own copy of the context
        listener.set(None)
        answer = await question
        stage.done += 1
        await report(stage)
        return answer

    try:
        return await gather(*map(ask, questions))
    finally:
        for question in questions:
            # a task that is cancelled before its first step never awaits its coroutine
            if getcoroutinestate(question) == CORO_CREATED:
                question.close()


class Course:
    """Combine the sequential or concurrent stages of a call into a single progress count.

    As MCP requires, the count only increases and ends at the total. `report` receives the count, the total known so
    far, and a description of the stage that advanced. A megabyte counts as much as a page.
    """

    def __init__(self, report: Callable[[float, float, str], Awaitable[None]]) -> None:
        self._report = report
        self._stages: list[Stage] = []
        self._reported = 0.0

    async def __call__(self, stage: Stage) -> None:
        if stage not in self._stages:
            self._stages.append(stage)
        done = sum(_weigh(one, one.done) for one in self._stages)
        if done > self._reported:
            self._reported = done
            await self._report(done, sum(_weigh(one, one.total) for one in self._stages), str(stage))


def _name(what: str) -> str:
    names = {
        "pages": gettext("pages"),
        "experiments": gettext("experiments"),
        "projects": gettext("projects"),
        "summaries": gettext("summaries"),
        "log chunks": gettext("log chunks"),
        "metric batches": gettext("metric batches"),
        "files": gettext("files"),
        "runs": gettext("runs"),
        "lines": gettext("lines"),
        "metrics written": gettext("metrics written"),
        "seconds": gettext("seconds"),
    }
    return names[what]


def _weigh(stage: Stage, count: int) -> float:
    return count / 2**20 if stage.what == "bytes" else count
