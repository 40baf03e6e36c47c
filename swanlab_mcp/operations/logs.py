from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.resources import files
from subprocess import DEVNULL

import anyio
from anyio.lowlevel import RunVar

from swanlab_mcp import core
from swanlab_mcp.analysis.causes import find_first_traceback
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import run_aside
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse, LogLine, LogPart, Page
from swanlab_mcp.core.secret_masking import make_mask
from swanlab_mcp.core.untrusted import neutralise, quote, shorten
from swanlab_mcp.operations.arguments import (
    ExpCuid,
    LogContext,
    LogFromTraceback,
    LogLevel,
    LogPattern,
    LogSearch,
    LogStart,
    LogTail,
    OptionalProject,
    Username,
)
from swanlab_mcp.operations.budget import count_fitting
from swanlab_mcp.operations.copies import note_copy
from swanlab_mcp.operations.listing import add_notes
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment

__all__ = ["get_logs"]

_SEARCHED = 20_000
_PATTERN_SECONDS = 3.0
_SEARCHES_AT_ONCE = 4
# masking this many characters takes about as long as handling one record
_CHARACTERS_PER_PART = 20
_searches = RunVar[anyio.CapacityLimiter]("searches")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# any other level counts as a warning, because unusual levels deserve attention
_SEVERITY = {"": 0, "DEBUG": 0, "INFO": 0, "ERROR": 2, "CRITICAL": 2, "FATAL": 2}
_LEVELS = {"all": 0, "warn": 1, "error": 2}


async def get_logs(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
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
    """Get an experiment's log: its last lines, the lines from `start` on, or the lines that match a text or pattern.

    Use diagnose_experiment for why it crashed. Returns lines, oldest first, with number (from 0), message, time, level
    unless INFO, and `repeated` for a line printed several times in a row. A note says how to continue.
    Example: {"project": "mnist", "exp_cuid": "lr-0.1", "search": "error", "context": 5}.
    """
    _check(count, start, level)
    _check_search(search, pattern, level, from_traceback=from_traceback)
    is_search = bool(search or pattern) or level != "all"
    ref = await resolve_experiment(client, exp_cuid, project, username)
    wanted = _SEARCHED if is_search or from_traceback else count
    ref, answer = await ask_about_experiment(client, ref, client.at(ref).read_logs, start=start, count=wanted)
    answer = add_notes(answer, await note_copy(client, ref, only_differences=True))
    # mask secrets before searching, because a search could otherwise reveal a secret letter by letter
    logged = answer.data or LogPart((), 0, 0)
    size = sum(len(line.message) for line in logged.lines)
    part = await run_aside(partial(_hide, logged, make_mask(client.get_secrets())), size // _CHARACTERS_PER_PART)
    if not part.lines:
        reported = gettext("No log line was recorded for {cuid}.", cuid=quote(ref.cuid))
        if part.total:
            reported = gettext(
                "start={start} is past the end: the log has lines 0 to {last}.",
                start=start,
                last=part.total - 1,
            )
        return _answer([], [*answer.notes, reported])
    if is_search:
        indices = await _find(part.lines, search, pattern, level)
        rows, notes = _show_found(part, indices, count, context, is_first=start is not None)
        notes = [_count_found(part, len(indices), search or pattern), *notes]
    elif from_traceback:
        rows, notes = _show_traceback(part, count)
        if not rows:
            experiment = (await client.at(ref).get_experiment(ref)).data
            if experiment and experiment.error:
                last = experiment.error.strip().splitlines()[-1]
                notes.append(
                    gettext(
                        "The SDK recorded how the run ended: {error}. get_experiment shows the full text.",
                        error=quote(last, 300),
                    )
                )
    else:
        rows, notes = _show_part(part, count, is_tail=start is None)
    if part.start and start is None and (is_search or from_traceback):
        notes.append(
            gettext(
                "The lines before {line} were not searched; pass start=0 to search from the first line.",
                line=part.start,
            )
        )
    return _answer(rows, [*answer.notes, *notes])


def _count_found(part: LogPart, count: int, text: str) -> str:
    bounds = {"first": part.start, "last": part.start + len(part.lines) - 1}
    return (
        ngettext(
            "{count} line in the range {first} to {last} contains {text!r}.",
            "{count} lines in the range {first} to {last} contain {text!r}.",
            count,
            text=shorten(text),
            **bounds,
        )
        if text
        else ngettext(
            "{count} line in the range {first} to {last} matches.",
            "{count} lines in the range {first} to {last} match.",
            count,
            **bounds,
        )
    )


def _answer(rows: list[LogLine], notes: list[str]) -> ApiResponse[list[LogLine]]:
    return ApiResponse(
        data=rows, page=Page(returned=len(rows), total=len(rows), order=gettext("oldest first")), notes=notes
    )


def _show_part(part: LogPart, count: int, *, is_tail: bool) -> tuple[list[LogLine], list[str]]:
    """Return the lines that fit into the reply, and notes about how to continue.

    If `is_tail` is true, the last lines are kept; otherwise the first lines are kept.
    """
    rows = _fit(_fold(map(_clean_line, part.lines)), keep_last=is_tail)
    first, stop = rows[0].number, _find_stop(rows)
    if is_tail and first:
        earlier = max(0, first - count)
        return rows, [
            gettext(
                "These are the last of {total} lines; for earlier lines, pass start={start} count={count}.",
                total=part.total,
                start=earlier,
                count=first - earlier,
            )
        ]
    return rows, _describe_next(part, stop)


def _show_traceback(part: LogPart, count: int) -> tuple[list[LogLine], list[str]]:
    stretch = {"first": part.start, "last": part.start + len(part.lines) - 1}
    begin = find_first_traceback([line.message for line in part.lines])
    if begin is None:
        return [], [gettext("Lines {first} to {last} contain no traceback.", **stretch)]
    rows = _fit(_fold(map(_clean_line, part.lines[begin : begin + count])), keep_last=False)
    reported = gettext("Starts at the first traceback in lines {first} to {last}.", **stretch)
    return rows, [reported, *_describe_next(part, _find_stop(rows))]


def _show_found(
    part: LogPart, indices: Sequence[int], count: int, context: int, *, is_first: bool
) -> tuple[list[LogLine], list[str]]:
    """Return the first or last `count` matches with their context, and notes about how to continue.

    If `is_first` is true, the first matches are returned; otherwise the last. Matches that do not fit into the reply
    are dropped.
    """
    chosen = indices[:count] if is_first else indices[-count:]
    near = {
        index for found in chosen for index in range(max(0, found - context), min(len(part.lines), found + context + 1))
    }
    rows = _fit(_fold(_clean_line(part.lines[index]) for index in sorted(near)), keep_last=not is_first)
    if not rows:
        stop = part.start + len(part.lines)
        return [], _describe_next(part, stop) if is_first else []
    first, stop = rows[0].number - part.start, _find_stop(rows) - part.start
    shown = sum(first <= index < stop for index in indices)
    if not is_first:
        if shown == len(indices):
            return rows, []
        return rows, [
            ngettext(
                "Only the last {count} match is shown; pass start={start} to start with the first match.",
                "Only the last {count} matches are shown; pass start={start} to start with the first match.",
                shown,
                start=part.start,
            )
        ]
    following = next((index for index in indices if index >= stop), len(part.lines)) + part.start
    return rows, [
        gettext("To continue the search, pass start={start}.", start=following)
    ] if following < part.total else []


def _describe_next(part: LogPart, stop: int) -> list[str]:
    return [gettext("The log continues; pass start={start}.", start=stop)] if stop < part.total else []


def _fit(rows: list[LogLine], *, keep_last: bool) -> list[LogLine]:
    """Return as many complete lines as fit into the reply, but at least one.

    If `keep_last` is true, the last lines are kept; otherwise the first lines are kept.
    """
    ordered = rows[::-1] if keep_last else rows
    count = count_fitting(neutralise(row.model_dump_json(exclude_none=True)) for row in ordered)
    return rows[len(rows) - count :] if keep_last else rows[:count]


def _find_stop(rows: Sequence[LogLine]) -> int:
    return rows[-1].number + (rows[-1].repeated or 1)


def _check(count: int, start: int | None, level: str) -> None:
    """Raise InvalidArgument for values that the tool's schema rejects but that Python callers can pass."""
    if count < 1:
        raise InvalidArgument(
            gettext("count={count} is too small.", count=count), hint=gettext("Request at least 1 line.")
        )
    if start is not None and start < 0:
        raise InvalidArgument(
            gettext("start={start} is too small.", start=start), hint=gettext("Lines are numbered from 0.")
        )
    if level not in _LEVELS:
        raise InvalidArgument(
            gettext("Unknown level {level!r}.", level=shorten(level)),
            hint=gettext("Levels: {names}.", names=", ".join(_LEVELS)),
        )


def _check_search(search: str, pattern: str, level: str, *, from_traceback: bool) -> None:
    """Raise InvalidArgument if mutually exclusive arguments are combined."""
    if search and pattern:
        raise InvalidArgument(gettext("search and pattern cannot be combined."), hint=gettext("Pass only one."))
    if from_traceback and (search or pattern or level != "all"):
        raise InvalidArgument(
            gettext("from_traceback cannot be combined with search, pattern or level."),
            hint=gettext("Pass only from_traceback."),
        )


async def _match_pattern(pattern: str, messages: Sequence[str]) -> set[int]:
    """Return the indices of the messages that match the pattern.

    The search runs in a separate process with limits on time and memory. Raises InvalidArgument if the pattern is
    invalid or the search exceeds these limits.
    """
    request = json.dumps({"pattern": pattern, "lines": messages}).encode()
    done = None
    async with _get_searches():
        with anyio.move_on_after(_PATTERN_SECONDS):
            command = [sys.executable, "-I", str(files(core) / "search_process.py")]
            done = await anyio.run_process(command, input=request, check=False, stderr=DEVNULL, start_new_session=True)
    if done is None or done.returncode:
        raise InvalidArgument(
            gettext("The pattern {pattern!r} takes too much time or memory.", pattern=shorten(pattern)),
            hint=gettext("Rewrite it without nested quantifiers, or pass plain text as search."),
        )
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise InvalidArgument(
            gettext(
                "pattern={pattern!r} is not a regular expression: {error}.",
                pattern=shorten(pattern),
                error=shorten(answer["error"]),
            ),
            hint=gettext("Escape special characters with a backslash, or pass the text as search."),
        )
    return set(answer["indices"])


def _get_searches() -> anyio.CapacityLimiter:
    """Return the limiter for concurrent search processes. Each event loop has its own limiter."""
    try:
        return _searches.get()
    except LookupError:
        _searches.set(limiter := anyio.CapacityLimiter(_SEARCHES_AT_ONCE))
        return limiter


def _clean(message: str) -> str:
    """Return the message as a terminal would finally show it, without colours and without overwritten text."""
    text = _ESCAPES.sub("", message).rstrip("\r\n")
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _hide(part: LogPart, hide: Callable[[str], str]) -> LogPart:
    lines = [
        line if (message := hide(line.message)) == line.message else line.model_copy(update={"message": message})
        for line in part.lines
    ]
    return part._replace(lines=lines)


def _clean_line(line: LogLine) -> LogLine:
    message = _clean(line.message)
    return line if message == line.message else line.model_copy(update={"message": message})


async def _find(lines: Sequence[LogLine], search: str, pattern: str, level: str) -> list[int]:
    """Return the indices of lines at or above this log level that contain the text or match the pattern."""
    lowest = _LEVELS[level]
    wanted = search.casefold()

    def select() -> dict[int, str]:
        messages = (
            (index, _clean(line.message))
            for index, line in enumerate(lines)
            if _SEVERITY.get((line.level or "").upper(), 1) >= lowest
        )
        return {index: message for index, message in messages if not wanted or wanted in message.casefold()}

    selected = await asyncio.to_thread(select)
    if not pattern:
        return list(selected)
    matching = await _match_pattern(pattern, list(selected.values()))
    return [index for number, index in enumerate(selected) if number in matching]


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
