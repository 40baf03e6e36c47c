"""How far the running call is; the edge listens, the clients report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

__all__ = ["Listener", "listener", "report"]

Listener = Callable[[int, int, str], Awaitable[None]]

listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


async def report(done: int, total: int, what: str) -> None:
    """Tell whoever asked that `done` of `total` parts (`what`: "pages", "runs") are there."""
    tell = listener.get()
    if tell is not None:
        await tell(done, total, what)
