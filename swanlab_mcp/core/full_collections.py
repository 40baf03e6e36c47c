"""Postpone full garbage collections while a call holds a large response, because they would pause all other calls."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["limit_postponement", "postpone"]

# Python runs a full collection after this many collections of younger objects; no call triggers that many
_NEVER = 1 << 30

_holders = set[object]()
_holder: ContextVar[object | None] = ContextVar("holder", default=None)
_usual = gc.get_threshold()


@contextmanager
def limit_postponement() -> Generator[None]:
    """Run one call in a `with` block, so that full garbage collections are postponed at most until the call ends.

    If several calls have postponed them, they resume when the last of these calls ends.
    """
    holder = object()
    token = _holder.set(holder)
    try:
        yield
    finally:
        _holder.reset(token)
        if holder in _holders:
            _holders.discard(holder)
            if not _holders:
                gc.set_threshold(*_usual)


def postpone() -> None:
    """Postpone full garbage collections until the current call ends. Outside a call, do nothing."""
    global _usual  # noqa: PLW0603 the garbage collector is global as well
    holder = _holder.get()
    if holder is None:
        return
    if not _holders:
        _usual = gc.get_threshold()
    _holders.add(holder)
    gc.set_threshold(*_usual[:2], _NEVER)
