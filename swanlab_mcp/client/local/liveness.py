"""Estimate whether a run without a recorded end is still running. Each result is a guess and includes the evidence."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import quote

__all__ = ["Process", "guess_fate", "look_up_process"]

_FRESH = 10 * 60
_STALE = 2 * 3600
_DELAY = 30 * 60
_TOLERANCE = 60.0
_PROC = Path("/proc")


class Process:
    """The state of a process on this machine. `began` is its start time in Unix seconds, or `None` if unknown."""

    def __init__(self, *, exists: bool, began: float | None = None) -> None:
        self.exists = exists
        self.began = began


def look_up_process(pid: int) -> Process | None:
    """Look up the process with this id on this machine. Return `None` if the process cannot be checked."""
    if os.name != "posix" or pid <= 0:
        return None  # on Windows, os.kill with signal 0 would terminate the process
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return Process(exists=False)
    except PermissionError:
        pass  # the process exists, but belongs to another user
    return Process(exists=True, began=_read_start(pid))


def _read_start(pid: int) -> float | None:
    """Return the start time of a process in Unix seconds, or `None` if it is unknown.

    According to proc(5), field 22 in stat is the start time in clock ticks after btime.
    """
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = next(line for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime "))
        return int(boot.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, StopIteration, IndexError, ValueError):
        return None


def guess_fate(hostname: object, pid: object, *, started_at: int, written: float, logged: float | None) -> str:
    """Return a sentence that says whether the run is probably still running, with the evidence.

    `started_at` is in Unix milliseconds. `written` is the number of seconds since the file was last written. `logged`
    is the number of seconds since the last record, or `None` if there is no record. Both are needed, because the SDK
    may delay writes by half an hour and a copied file looks recently written.
    """
    if logged is not None and logged > 2 * max(written, _FRESH):
        seen = gettext(
            "its file was last written {written} ago (last record: {logged} ago)",
            written=_show_age(written),
            logged=_show_age(logged),
        )
    else:
        seen = gettext("its file was last written {written} ago", written=_show_age(written))
    age = max(written, (logged or 0) - _DELAY)
    is_here = hostname == socket.gethostname()
    process = look_up_process(pid) if is_here and isinstance(pid, int) else None
    if process and process.exists:
        if process.began is None:
            return gettext(
                "A process with the run's process id {pid} exists on this machine, and {seen}, so the run is probably "
                "still running.",
                pid=pid,
                seen=seen,
            )
        if not started_at or process.began <= started_at / 1000 + _TOLERANCE:
            return gettext(
                "Its process {pid} exists on this machine, so the run is probably still running; {seen}.",
                pid=pid,
                seen=seen,
            )
        return gettext(
            "Its process id {pid} now belongs to a process that started later, so the run was probably killed; {seen}.",
            pid=pid,
            seen=seen,
        )
    if process:
        if age < _FRESH:
            return gettext(
                "Its process {pid} is not visible on this machine, but {seen}, so it was just killed "
                "or runs in a container.",
                pid=pid,
                seen=seen,
            )
        return gettext(
            "Its process {pid} no longer exists on this machine (or is in a container), and {seen}, so the run was "
            "probably killed.",
            pid=pid,
            seen=seen,
        )
    if isinstance(hostname, str) and hostname and not is_here:
        seen = gettext("It ran on {host}; {seen}", host=quote(hostname, 40), seen=seen)
    # `seen` starts the sentence
    seen = seen[:1].upper() + seen[1:]
    if age < _FRESH:
        return gettext("{seen}, so the run is probably still running.", seen=seen)
    if age < _STALE:
        return gettext("{seen}, so the run was killed, or is still running and slow to write.", seen=seen)
    return gettext("{seen}, so the run was probably killed.", seen=seen)


def _show_age(seconds: float) -> str:
    seconds = max(0, seconds)
    if seconds >= 2 * 86400:
        return gettext("{count:.0f} days", count=seconds / 86400)
    if seconds >= 2 * 3600:
        return gettext("{count:.0f} h", count=seconds / 3600)
    if seconds >= 2 * 60:
        return gettext("{count:.0f} min", count=seconds / 60)
    return gettext("{count:.0f} s", count=seconds)
