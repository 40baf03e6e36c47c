"""Compare recorded strings in their masked form, so that filters and searches cannot reveal a secret."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

__all__ = ["Hide", "hiding", "make_hide"]

# a function that masks the secrets in a JSON value; the second argument is the name of the value
Hide = Callable[[Any, str], Any]

# creates a `Hide` function for the currently known secrets; `None` leaves all values visible to Python callers
hiding: ContextVar[Callable[[], Hide] | None] = ContextVar("hiding", default=None)


def make_hide() -> Hide:
    """Return a function that masks secrets in the same way as the reply."""
    make = hiding.get()
    return make() if make else _keep


def _keep(value: Any, _name: str) -> Any:
    return value
