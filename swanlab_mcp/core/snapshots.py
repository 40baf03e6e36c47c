"""Let all parts of a tool call see each file as it was when the call first looked at it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["hold_snapshot", "renew_snapshot", "snapshot"]

# identifies the current snapshot; without one, every look at a file is a new look
snapshot: ContextVar[object | None] = ContextVar("snapshot", default=None)


@contextmanager
def hold_snapshot() -> Generator[None, None, None]:
    """Take a snapshot that lasts until the end of the `with` block."""
    token = snapshot.set(object())
    try:
        yield
    finally:
        snapshot.reset(token)


def renew_snapshot() -> None:
    """Replace the current snapshot, so that a call that waits for changes sees them."""
    if snapshot.get() is not None:
        snapshot.set(object())
