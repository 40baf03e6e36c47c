"""Limit the size of replies to assistants, which have a token budget. Python callers have no limit."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar

__all__ = ["count_fitting", "count_points", "count_showable", "count_tokens", "output_tokens"]

output_tokens: ContextVar[int | None] = ContextVar("output_tokens", default=None)

# `count_tokens` also assumes 2.5 characters per token; in JSON, a point is a step and a value with commas
_CHARACTERS_PER_TOKEN = 2.5
_CHARACTERS_PER_POINT = 30
_CHARACTERS_PER_EXTRA = 27
_CHARACTERS_PER_ROW = 500
_FEWEST = 10
_TOKENS_PER_LINE = 4
_TOKENS_OF_NOTES = 600
# the JSON of an experiment or a project is longer than 80 characters, even without optional fields
_FEWEST_TOKENS_PER_RECORD = 30


def count_tokens(text: str) -> int:
    """Return a deliberately high estimate of the number of tokens in a text.

    The estimate is 1 token per 2.5 ASCII characters, and more than 1 token for every other character.
    """
    if text.isascii():
        return int(len(text) / 2.5) + 1
    ascii_count = len(text.encode("ascii", "ignore"))
    wide_count = len(text.encode("utf-16-le", "surrogatepass")) // 2 - len(text)
    return int(ascii_count / 2.5 + (len(text) - ascii_count - wide_count) * 1.3 + wide_count * 3) + 1


def count_points(rows: int, *, has_axis: bool) -> int | None:
    """Return the number of points per series that fit into the reply if it contains `rows` series.

    Returns `None` if there is no limit. If `has_axis` is true, space is reserved for the values on a custom x axis.
    """
    tokens = output_tokens.get()
    if tokens is None:
        return None
    characters = tokens * _CHARACTERS_PER_TOKEN * 0.9 / max(1, rows) - _CHARACTERS_PER_ROW
    each = _CHARACTERS_PER_POINT + (_CHARACTERS_PER_EXTRA if has_axis else 0)
    return max(_FEWEST, int(characters / each))


def count_showable(page: int) -> int | None:
    """Return a number of records that is too large for any reply and is a multiple of the page size `page`.

    Returns `None` if there is no limit.
    """
    tokens = output_tokens.get()
    return None if tokens is None else page * (tokens // (_FEWEST_TOKENS_PER_RECORD * page) + 1)


def count_fitting(rows: Iterable[str]) -> int:
    """Return how many rows fit into the reply, starting with the first row.

    Each row is given as JSON. The result is at least 1 if there are any rows. Without a limit, all rows fit.
    """
    tokens = output_tokens.get()
    left = None if tokens is None else tokens * 0.95 - min(_TOKENS_OF_NOTES, tokens / 4)
    count = 0
    for row in rows:
        if left is not None:
            left -= count_tokens(row) + _TOKENS_PER_LINE
            if left < 0 and count:
                break
        count += 1
    return count
