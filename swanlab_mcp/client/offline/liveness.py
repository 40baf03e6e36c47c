"""Whether a run without a recorded end still runs: hints with their reasons, never facts."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from swanlab_mcp.untrusted import shorten

__all__ = ["Process", "guess_fate", "look_up_process"]

_FRESH = 10 * 60
_STALE = 2 * 3600
_DELAY = 30 * 60
_TOLERANCE = 60.0
_PROC = Path("/proc")


class Process:
    """A process of this machine: `exists`, and when it began (Unix seconds, None where that is not told)."""

    def __init__(self, *, exists: bool, began: float | None = None) -> None:
        self.exists = exists
        self.began = began


def look_up_process(pid: int) -> Process | None:
    """Return what this machine says about a process id, None where it cannot be asked."""
    if os.name != "posix" or pid <= 0:
        return None  # elsewhere signal 0 would end the process
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return Process(exists=False)
    except PermissionError:
        pass  # somebody else's, but there
    return Process(exists=True, began=_read_start(pid))


def _read_start(pid: int) -> float | None:
    """Return when a process began, after proc(5): field 22 of stat in clock ticks since btime."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = next(line for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime "))
        return int(boot.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, StopIteration, IndexError, ValueError):
        return None


def guess_fate(hostname: object, pid: object, *, started_at: int, written: float, logged: float | None) -> str:
    """Return whether the run probably goes on, and why.

    `started_at` in Unix ms; `written` and `logged` are how many seconds ago its file was last written and its last
    record made (None: it has none). The SDK writes with a delay of up to half an hour, and a copied file looks fresh.
    """
    seen = f"its file was last written {_show_age(written)} ago"
    if logged is not None and logged > 2 * max(written, _FRESH):
        seen += f", its last record was made {_show_age(logged)} ago"
    age = max(written, (logged or 0) - _DELAY)
    is_here = hostname == socket.gethostname()
    process = look_up_process(pid) if is_here and isinstance(pid, int) else None
    if process and process.exists:
        if process.began is None:
            return f"A process with its id {pid} exists on this machine and {seen}: probably still running."
        if not started_at or process.began <= started_at / 1000 + _TOLERANCE:
            return f"Its process {pid} is alive on this machine: probably still running; {seen}."
        return f"Its process id {pid} now belongs to a process that began later: probably killed; {seen}."
    if process:
        if age < _FRESH:
            return f"Its process {pid} is not to be seen on this machine, but {seen}: just killed, or in a container."
        return f"Its process {pid} is gone from this machine (or in a container) and {seen}: probably killed."
    where = f"It ran on {shorten(hostname, 40)}; " if isinstance(hostname, str) and hostname and not is_here else ""
    if age < _FRESH:
        return f"{where}{seen}: probably still running."
    if age < _STALE:
        return f"{where}{seen}: killed, or still running and slow to write."
    return f"{where}{seen}: probably killed."


def _show_age(seconds: float) -> str:
    seconds = max(0, seconds)
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
