"""Several questions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["SharedAnswers", "gather"]

T = TypeVar("T")


async def gather(*questions: Coroutine[Any, Any, T]) -> list[T]:
    """Await all at once and return the answers in order; the first failure stops the others."""
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class _Asked(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class SharedAnswers(Generic[T]):
    """Equal questions asked at the same time share one answer; it is given up when nobody waits for it any more."""

    def __init__(self) -> None:
        self._requested: dict[Hashable, _Asked[T]] = {}

    async def ask(self, name: Hashable, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the answer to the question that goes by `name`."""
        requested = self._requested.get(name)
        if requested is None:
            task = asyncio.create_task(question())
            # a failure of one that was given up must not leave a warning behind
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
            requested = self._requested[name] = _Asked(task)
        requested.waiting += 1
        answer = asyncio.shield(requested.task)
        try:
            return await answer
        finally:
            if answer.done() and not answer.cancelled():
                answer.exception()  # one that was cancelled at this very moment must not leave a warning behind
            requested.waiting -= 1
            if not requested.waiting or requested.task.done():
                requested.task.cancel()
                if self._requested.get(name) is requested:
                    del self._requested[name]
