"""Run long work in a thread, with progress reports and cancellation."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import SwanLabError

__all__ = ["Batch", "Overdue", "Stopped", "Work", "find_and_answer", "run_in_thread"]

T = TypeVar("T")
Question = TypeVar("Question")
F = TypeVar("F")
_TICK = 0.5


class Stopped(Exception):
    """Raised when the caller has stopped waiting for the work."""


class Overdue(Exception):
    """Raised when a part of the work exceeds its time limit."""


class Work:
    """The progress of a long task. `done` of `total` units are finished, and `what` is the unit (bytes or runs).

    If `whole` is given, this task is a part of it and also advances its progress. `seconds` is the time limit.
    """

    def __init__(self, whole: Work | None = None, seconds: float = math.inf) -> None:
        self._whole = whole
        self._until = time.monotonic() + seconds
        self.what = "bytes"
        self.done = 0
        self.total = 0
        self._is_stopped = False

    def stop(self) -> None:
        self._is_stopped = True

    def advance(self, size: int) -> None:
        """Count `size` units as done. Raises Stopped if the caller stopped waiting, or Overdue if the time is up."""
        self.done += size
        if self._whole:
            self._whole.total = max(self._whole.total, self._whole.done + size)
            self._whole.advance(size)
        if self._is_stopped:
            raise Stopped
        if time.monotonic() > self._until:
            raise Overdue


async def run_in_thread(do: Callable[..., T], *given: Any) -> T:
    """Run `do(*given, work=Work())` in a thread, report its progress, and return its result.

    After a cancellation, the next call to `work.advance()` raises Stopped.
    """
    work = Work()
    context = copy_context()
    # asyncio.to_thread would need a task
    task = asyncio.get_running_loop().run_in_executor(None, lambda: context.run(do, *given, work=work))
    stage = progress.Stage(work.what, 0)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_TICK)
            if work.done and not task.done():
                stage.what, stage.done, stage.total = work.what, work.done, max(work.done, work.total)
                await stage.report()
    finally:
        work.stop()
        task.cancel()
    answer = task.result()
    if stage.done:
        stage.done = stage.total = max(work.done, stage.total)
        await stage.report()
    return answer


async def find_and_answer(find: Callable[..., F], answer: Callable[..., T]) -> tuple[F, T]:
    """Call `find`, pass its result to `answer`, and return both results.

    Both run in the same thread, unless `find` is slow. Then `answer` runs in a second thread.
    """

    def find_first(*, work: Work) -> tuple[F, list[T]]:
        found = find(work=work)
        if work.done:
            # the progress of the search is complete, so the answer needs a separate Work
            return found, []
        work.what, work.total = "bytes", 0
        return found, [answer(found, work=work)]

    found, answers = await run_in_thread(find_first)
    return found, answers[0] if answers else await run_in_thread(answer, found)


class Batch(Generic[Question, T]):
    """Answer concurrent requests with a single call to `answer` in a thread, because switching threads is slow."""

    def __init__(self, answer: Callable[..., Sequence[T | SwanLabError]]) -> None:
        self._answer = answer
        self._waiting: tuple[list[Question], asyncio.Task[Sequence[T | SwanLabError]]] | None = None

    async def ask(self, question: Question) -> T:
        """Return the answer to a request, or raise the exception that `answer` returned for it."""
        if self._waiting is None:
            questions: list[Question] = []
            self._waiting = questions, asyncio.create_task(self._start(questions))
        questions, task = self._waiting
        index = len(questions)
        questions.append(question)
        # cancelling one caller must not cancel the others
        answer = (await asyncio.shield(task))[index]
        if isinstance(answer, SwanLabError):
            raise answer
        return answer

    async def _start(self, questions: list[Question]) -> Sequence[T | SwanLabError]:
        self._waiting = None
        return await run_in_thread(self._answer, questions)
