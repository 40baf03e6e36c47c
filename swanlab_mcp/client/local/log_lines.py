"""Keep a run's newest printed lines, up to a limit on their number and total size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from swanlab_mcp.client.local.records import Log
from swanlab_mcp.client.local.series import Numbering

__all__ = ["LogLines", "cut_line", "order_lines"]

_KEPT_LINES = 20_000
_KEPT_CHARACTERS = 64 << 20
_LONGEST = 1 << 16


class LogLines:
    """The newest log lines, in the order in which they were recorded. `count` includes dropped lines."""

    def __init__(self) -> None:
        self.count = 0
        self.numbering = Numbering()
        self._kept: deque[Log] = deque()
        self._size = 0

    def add(self, log: Log) -> None:
        log = log._replace(line=cut_line(log.line))
        self._kept.append(log)
        self._size += len(log.line)
        self.count += 1
        while len(self._kept) > _KEPT_LINES or self._size > _KEPT_CHARACTERS:
            self._size -= len(self._kept.popleft().line)

    def get(self, start: int, count: int) -> list[Log] | None:
        """Return `count` lines starting at index `start`, or `None` if the first of them was dropped."""
        first = self.count - len(self._kept)
        return order_lines(self._kept)[start - first : start - first + count] if start >= first else None


def cut_line(line: str) -> str:
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"


def order_lines(lines: Iterable[Log]) -> list[Log]:
    """Return log lines in the order in which they were printed."""
    return sorted(lines, key=lambda line: line.number)
