from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from swanlab_mcp.client import SwanLabClient
from swanlab_mcp.errors import InvalidArgument
from swanlab_mcp.models import ApiResponse, LogLine, LogPart, Page
from swanlab_mcp.operations.arguments import (
    ExpCuid,
    LogContext,
    LogFromTraceback,
    LogLevel,
    LogPattern,
    LogSearch,
    LogStart,
    LogTail,
    ProjectName,
    Username,
)
from swanlab_mcp.operations.location import ask_about_experiment, locate_experiment
from swanlab_mcp.untrusted import shorten

if TYPE_CHECKING:
    import regex

__all__ = ["get_logs"]

_SEARCHED = 20_000
_FOUND = 200
_PATTERN_SECONDS = 2.0
_TRACEBACK = "Traceback (most recent call last)"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# what is not listed counts as a warning: it is something else than usual
_SEVERITY = {"": 0, "DEBUG": 0, "INFO": 0, "ERROR": 2, "CRITICAL": 2, "FATAL": 2}
_LEVELS = {"all": 0, "warn": 1, "error": 2}

Judge = Callable[[str], bool]


async def get_logs(
    client: SwanLabClient,
    *,
    project: ProjectName,
    exp_cuid: ExpCuid,
    username: Username = "",
    count: LogTail = 100,
    start: LogStart = None,
    search: LogSearch = "",
    pattern: LogPattern = "",
    context: LogContext = 2,
    level: LogLevel = "all",
    from_traceback: LogFromTraceback = False,
) -> ApiResponse[list[LogLine]]:
    """Get what an experiment printed: its last lines, a stretch from `start` on, or lines with a text or pattern.

    Use diagnose_experiment for why it crashed. Returns lines, oldest first: number (from 0), message, level unless
    INFO, time, `repeated`.
    Example: {"project": "mnist", "exp_cuid": "lr-0.1", "search": "error", "context": 5}.
    """
    _check(count, start, level)
    judge = _read_judge(search, pattern)
    is_search = judge is not None or level != "all"
    if from_traceback and is_search:
        raise InvalidArgument(
            "from_traceback cannot go together with search, pattern or level.", hint="Give from_traceback alone."
        )
    place = await locate_experiment(client, exp_cuid, project, username)
    wanted = _SEARCHED if is_search or from_traceback else count
    cuid, answer = await ask_about_experiment(
        client, place, partial(client.read_logs, place.username, place.project, start=start, count=wanted)
    )
    part = answer.data or LogPart((), 0, 0)
    stop = part.start + len(part.lines)
    notes = [*answer.notes]
    lines: Sequence[LogLine] = part.lines
    if not part.total:
        notes.append(f"No log line was recorded for {shorten(cuid)}.")
    elif not lines:
        notes.append(f"start={start} lies beyond the end: the log has the lines 0 to {part.total - 1}.")
    elif is_search:
        lines, found = await asyncio.to_thread(_filter, lines, judge, level, context)
        what = f" with {shorten(search or pattern)!r}" if judge else ""
        notes.append(f"{found} lines{what} among the lines {part.start} to {stop - 1}.")
        if found > _FOUND:
            notes.append(f"Only the last {_FOUND} of them are shown; a longer text finds fewer.")
    elif from_traceback:
        lines = _cut_before_traceback(lines)[:count]
        if lines:
            stop = lines[-1].number + 1
            where = f"{part.start} to {part.start + len(part.lines) - 1}"
            notes.append(f"From the first traceback among the lines {where} on.")
        else:
            notes.append(f"There is no traceback among the lines {part.start} to {stop - 1}.")
    if part.start and start is None and (is_search or from_traceback):
        notes.append(f"The lines before {part.start} were not searched; give start=0 to begin there.")
    if stop < part.total and (start is not None or from_traceback) and part.lines:
        notes.append(f"The log goes on: start={stop}.")
    elif start is None and part.start and not (is_search or from_traceback):
        notes.append(f"These are the last lines of {part.total}; earlier ones: start={max(0, part.start - count)}.")
    folded = _fold(line.model_copy(update={"message": _clean(line.message)}) for line in lines)
    page = Page(returned=len(folded), total=len(folded), order="oldest first")
    return ApiResponse(data=folded, page=page, notes=notes)


def _check(count: int, start: int | None, level: str) -> None:
    """Raise InvalidArgument for what a Python caller may give although no tool call can."""
    if count < 1:
        raise InvalidArgument(f"count={count} is too small.", hint="Give 1 or more lines.")
    if start is not None and start < 0:
        raise InvalidArgument(f"start={start} is too small.", hint="Lines are numbered from 0.")
    if level not in _LEVELS:
        raise InvalidArgument(f"There is no level {shorten(level)!r}.", hint=f"Levels: {', '.join(_LEVELS)}.")


def _read_judge(search: str, pattern: str) -> Judge | None:
    """Return what tells whether a line is looked for, None where any is. Raises InvalidArgument."""
    if search and pattern:
        raise InvalidArgument("search and pattern cannot go together.", hint="Give one of them.")
    if search:
        wanted = search.casefold()
        return lambda message: wanted in message.casefold()
    if not pattern:
        return None
    import regex

    try:
        expression = regex.compile(pattern, regex.IGNORECASE)
    except (regex.error, RecursionError, OverflowError) as error:
        raise InvalidArgument(
            f"pattern={shorten(pattern)!r} is not a regular expression: {shorten(str(error))}.",
            hint="Escape special characters with a backslash, or give the text as search.",
        ) from error
    return _Budget(expression).search


class _Budget:
    """A regular expression that may search for a few seconds in all: some patterns would run for years."""

    def __init__(self, expression: regex.Pattern[str]) -> None:
        self._expression = expression
        self._left = _PATTERN_SECONDS

    def search(self, message: str) -> bool:
        # other calls go on meanwhile, because the search lets go of the interpreter
        began = time.monotonic()
        try:
            return self._expression.search(message, timeout=max(self._left, 0.001), concurrent=True) is not None
        except TimeoutError as error:
            raise InvalidArgument(
                f"The pattern {shorten(self._expression.pattern)!r} takes too long to search for.",
                hint="Write it without repetitions inside repetitions, or give a plain text as search.",
            ) from error
        finally:
            self._left -= time.monotonic() - began


def _clean(message: str) -> str:
    """Return what a terminal would show in the end: without colours, and of a rewritten line its last form."""
    text = _ESCAPES.sub("", message).rstrip("\r\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _filter(lines: Sequence[LogLine], judge: Judge | None, level: str, context: int) -> tuple[list[LogLine], int]:
    """Return the lines that are looked for with those around them, and how many are looked for."""
    lowest = _LEVELS[level]
    found = [
        place
        for place, line in enumerate(lines)
        if _SEVERITY.get((line.level or "").upper(), 1) >= lowest and (judge is None or judge(_clean(line.message)))
    ]
    shown = {
        near
        for place in found[-_FOUND:]
        for near in range(max(0, place - context), min(len(lines), place + context + 1))
    }
    return [lines[place] for place in sorted(shown)], len(found)


def _cut_before_traceback(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    place = next((place for place, line in enumerate(lines) if _TRACEBACK in line.message), len(lines))
    return lines[place:]


def _fold(lines: Iterable[LogLine]) -> list[LogLine]:
    folded: list[LogLine] = []
    for line in lines:
        last = folded[-1] if folded else None
        following = last.number + (last.repeated or 1) if last else -1
        if last and line.number == following and (line.message, line.level) == (last.message, last.level):
            folded[-1] = last.model_copy(update={"repeated": (last.repeated or 1) + 1})
        else:
            folded.append(line)
    return folded
