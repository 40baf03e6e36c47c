"""A progress line on standard error, for terminals."""

from __future__ import annotations

import os
from itertools import accumulate
from typing import TextIO
from unicodedata import east_asian_width

__all__ = ["ProgressBar"]

_CELLS = 24


class ProgressBar:
    """Shows a progress bar with a message if the stream is a terminal. Call the object to update the progress.

    The cursor stays at the start of the line, so that other output overwrites the progress bar. `close` erases the
    progress bar.
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
        # leave the last column empty, because some terminals wrap the line after it
        most = os.get_terminal_size(self._stream.fileno()).columns - 1
        ends = [end for end in accumulate(map(_measure, line)) if end <= most]
        width = ends[-1] if ends else 0
        self._stream.write(f"{line[: len(ends)]}{' ' * (self._drawn - width)}\r")
        self._stream.flush()
        self._drawn = width


def _measure(character: str) -> int:
    """Return the width of a character in terminal columns, for example 2 for a Chinese character."""
    return 2 if east_asian_width(character) in "WF" else 1
