"""Compare recorded texts as replies show them, so that filters and searches cannot find out a masked secret."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

__all__ = ["Hide", "hiding", "make_hide"]

# returns a JSON value, recorded under a name, with its secrets masked
Hide = Callable[[Any, str], Any]

# makes the function for the secrets that are known at the time; None: Python callers see all values
hiding: ContextVar[Callable[[], Hide] | None] = ContextVar("hiding", default=None)


def make_hide() -> Hide:
    """Return the function that masks values like this call's reply."""
    make = hiding.get()
    return make() if make else _keep


def _keep(value: Any, _name: str) -> Any:
    return value
