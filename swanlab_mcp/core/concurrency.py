"""Run several coroutines concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["SharedAnswers", "gather", "run_aside", "yield_often"]

T = TypeVar("T")

_SLICE = 500
_MANY = 5000


async def gather(*questions: Coroutine[Any, Any, T]) -> list[T]:
    """Run the coroutines concurrently and return their results in order. The first failure cancels the others."""
    if len(questions) < 2:
        # a task for a single coroutine would take longer than many answers
        return [await question for question in questions]
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def yield_often(items: Iterable[T]) -> AsyncGenerator[T, None]:
    """Yield each item, and let other tasks run after every 500 items."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % _SLICE:
            await asyncio.sleep(0)


async def run_aside(work: Callable[[], T], parts: int) -> T:
    """Call `work` and return its result. Work with over 5,000 `parts` runs in a thread, to keep the event loop free."""
    return await asyncio.to_thread(work) if parts > _MANY else work()


@dataclass
class _Asked(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class SharedAnswers(Generic[T]):
    """Share one task among identical concurrent requests, and cancel the task when no caller is waiting for it."""

    def __init__(self) -> None:
        self._requested: dict[Hashable, _Asked[T]] = {}

    async def ask(self, name: Hashable, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result for `name`, starting `question` unless it is already running."""
        requested = self._requested.get(name)
        if requested is None:
            task = asyncio.create_task(question())
            # retrieve the exception of an abandoned task, otherwise asyncio logs a warning
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
            requested = self._requested[name] = _Asked(task)
        requested.waiting += 1
        answer = asyncio.shield(requested.task)
        try:
            return await answer
        finally:
            if answer.done() and not answer.cancelled():
                answer.exception()  # otherwise asyncio logs a warning if this request is being cancelled
            requested.waiting -= 1
            if not requested.waiting or requested.task.done():
                requested.task.cancel()
                if self._requested.get(name) is requested:
                    del self._requested[name]
