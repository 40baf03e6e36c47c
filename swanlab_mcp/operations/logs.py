from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from swanlab_mcp.client import SwanLabClient
from swanlab_mcp.models import ApiResponse, LogLine, LogPart, Page
from swanlab_mcp.operations.arguments import (
    ExpCuid,
    LogContext,
    LogLevel,
    LogSearch,
    LogStart,
    LogTail,
    ProjectName,
    Username,
)
from swanlab_mcp.operations.location import ask_about_experiment, locate_experiment
from swanlab_mcp.untrusted import shorten

__all__ = ["get_logs"]

_SEARCHED = 20_000
_FOUND = 200
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


async def get_logs(
    client: SwanLabClient,
    *,
    project: ProjectName,
    exp_cuid: ExpCuid,
    username: Username = "",
    count: LogTail = 100,
    start: LogStart = None,
    search: LogSearch = "",
    context: LogContext = 2,
    level: LogLevel = "all",
) -> ApiResponse[list[LogLine]]:
    """Get what an experiment printed: its last lines, a stretch from `start` on, or lines that hold a text.

    Use it for "why did it crash?" (the end of the log) or to find a message; a recorded traceback is in get_experiment
    too. Colours and rewritten progress bars are folded; a line printed several times in a row stands once with
    `repeated`. Returns number (from 0), message, level unless INFO, and time (UTC) per line, oldest first.
    Example: {"project": "digits-mlp", "exp_cuid": "cosine-128-64-ckpt", "search": "error", "context": 5}.
    """
    place = await locate_experiment(client, exp_cuid, project, username)
    wanted = _SEARCHED if search or level != "all" else count
    cuid, answer = await ask_about_experiment(
        client, place, partial(client.read_logs, place.username, place.project, start=start, count=wanted)
    )
    part = answer.data or LogPart((), 0, 0)
    stop = part.start + len(part.lines)
    notes = [*answer.notes]
    lines = [line.model_copy(update={"message": _clean(line.message)}) for line in part.lines]
    if not part.total:
        notes.append(f"No log line was recorded for {shorten(cuid)}.")
    elif not lines:
        notes.append(f"start={start} lies beyond the end: the log has the lines 0 to {part.total - 1}.")
    elif search or level != "all":
        lines, found = _filter(lines, search, level, context)
        what = f" with {shorten(search)!r}" if search else ""
        notes.append(f"{found} lines{what} among the lines {part.start} to {stop - 1}.")
        if found > _FOUND:
            notes.append(f"Only the last {_FOUND} of them are shown; a longer text finds fewer.")
        if part.start and start is None:
            notes.append(f"The lines before {part.start} were not searched; give start=0 to begin there.")
    if start is not None and stop < part.total and lines:
        notes.append(f"The log goes on: start={stop}.")
    elif start is None and part.start and not (search or level != "all"):
        notes.append(f"These are the last lines of {part.total}; earlier ones: start={max(0, part.start - count)}.")
    folded = _fold(lines)
    page = Page(returned=len(folded), total=len(folded), order="oldest first")
    return ApiResponse(data=folded, page=page, notes=notes)


def _clean(message: str) -> str:
    """Return what a terminal would show in the end: without colours, and of a rewritten line its last form."""
    text = _ESCAPES.sub("", message).rstrip("\r\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _filter(lines: list[LogLine], search: str, level: str, context: int) -> tuple[list[LogLine], int]:
    """Return the lines that hold the text with those around them, and how many hold it."""
    wanted = search.casefold()
    found = [
        place
        for place, line in enumerate(lines)
        if wanted in line.message.casefold() and (level == "all" or line.level is not None)
    ]
    shown = {
        near
        for place in found[-_FOUND:]
        for near in range(max(0, place - context), min(len(lines), place + context + 1))
    }
    return [lines[place] for place in sorted(shown)], len(found)


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
