from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from swanlab_mcp.core.errors import ServerUnavailable
from swanlab_mcp.core.full_collections import limit_postponement
from swanlab_mcp.core.i18n import gettext, ngettext

__all__ = ["keep_deadline"]

T = TypeVar("T")


async def keep_deadline(question: Coroutine[Any, Any, T], seconds: float, *, is_write: bool = False) -> T:
    """Await an operation for at most `seconds`. Raises ServerUnavailable (status 0) if it takes longer.

    `is_write` is true for an operation that makes a change. If such an operation times out after its request was sent,
    it raises its own error, which says whether the change is known to have been made.
    """
    try:
        with limit_postponement():
            return await asyncio.wait_for(question, seconds)
    except asyncio.TimeoutError as error:
        raise ServerUnavailable(
            ngettext(
                "The call did not finish within {count:g} second. No changes were made.",
                "The call did not finish within {count:g} seconds. No changes were made.",
                seconds,
            )
            if is_write
            else ngettext(
                "The call did not finish within {count:g} second.",
                "The call did not finish within {count:g} seconds.",
                seconds,
            ),
            hint=gettext("Try again, request less data at once, or start the server with a longer --timeout."),
            status=0,
        ) from error
