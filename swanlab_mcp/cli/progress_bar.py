"""A line on standard error that shows how far a command is, where somebody watches."""

from __future__ import annotations

import os
from itertools import accumulate
from typing import TextIO
from unicodedata import east_asian_width

__all__ = ["ProgressBar"]

_CELLS = 24


class ProgressBar:
    """Shows what is done, the total, and words for it, as they are told by calling it; on a terminal alone.

    The cursor waits at the beginning of the line, and `close` leaves nothing of it, so that what is printed then can be
    read.
    """

    def __init__(self, stream: TextIO, *, is_wanted: bool = True) -> None:
        self._stream = stream
        self._is_shown = is_wanted and stream.isatty()
        self._drawn = 0

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        part = min(1.0, progress / total) if total else 0.0
        self._draw(f"[{'#' * int(_CELLS * part):<{_CELLS}}] {part:4.0%} {message or ''}")

    def close(self) -> None:
        self._draw("")

    def _draw(self, line: str) -> None:
        if not self._is_shown:
            return
        # one column less: in the last one some terminals begin a new line
        most = os.get_terminal_size(self._stream.fileno()).columns - 1
        ends = [end for end in accumulate(map(_measure, line)) if end <= most]
        width = ends[-1] if ends else 0
        self._stream.write(f"{line[: len(ends)]}{' ' * (self._drawn - width)}\r")
        self._stream.flush()
        self._drawn = width


def _measure(character: str) -> int:
    """Return how many columns a terminal gives to a character: Chinese ones take two."""
    return 2 if east_asian_width(character) in "WF" else 1
