"""How much an answer may hold where an assistant pays for it; without a limit in Python."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["count_points", "output_tokens"]

output_tokens: ContextVar[int | None] = ContextVar("output_tokens", default=None)

# as render.count_tokens judges: 2.5 characters each; a step and a value with their commas in JSON
_CHARACTERS_PER_TOKEN = 2.5
_CHARACTERS_PER_POINT = 30
_CHARACTERS_PER_EXTRA = 27
_CHARACTERS_PER_ROW = 500
_FEWEST = 10


def count_points(rows: int, *, has_axis: bool) -> int | None:
    """Return how many points each of so many series may have for the answer to fit, None without a limit."""
    tokens = output_tokens.get()
    if tokens is None:
        return None
    characters = tokens * _CHARACTERS_PER_TOKEN * 0.9 / max(1, rows) - _CHARACTERS_PER_ROW
    each = _CHARACTERS_PER_POINT + (_CHARACTERS_PER_EXTRA if has_axis else 0)
    return max(_FEWEST, int(characters / each))
