"""Compare recorded texts as replies show them, so that filters and searches cannot reveal a masked secret."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

__all__ = ["Hide", "hiding", "make_hide"]

# masks the secrets in a JSON value that was recorded under a name
Hide = Callable[[Any, str], Any]

# creates that function for the currently known secrets; None lets Python callers see all values
hiding: ContextVar[Callable[[], Hide] | None] = ContextVar("hiding", default=None)


def make_hide() -> Hide:
    """Return the function that masks values in the same way as the reply."""
    make = hiding.get()
    return make() if make else _keep


def _keep(value: Any, _name: str) -> Any:
    return value
