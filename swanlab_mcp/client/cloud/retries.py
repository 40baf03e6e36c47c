"""Retry failed requests up to four times, and respect the delays that SwanLab requests."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from swanlab_mcp.client.cloud.answers import Answer, read_retry_after
from swanlab_mcp.client.cloud.connections import BrokenConnection
from swanlab_mcp.core.errors import ServerUnavailable
from swanlab_mcp.core.i18n import gettext

__all__ = ["describe_doubt", "exchange"]

log = logging.getLogger(__name__)

_TRIES = 5
_LONGEST_WAIT = 20.0
_RETRIED = {429, 500, 502, 503, 504}


async def exchange(
    send: Callable[[], Awaitable[Answer]], what: str, server: str, *, backoff: float, is_repeatable: bool = True
) -> Answer:
    """Call `send` until it returns a final response, at most five times.

    If SwanLab asks for delays, wait up to 20 seconds in total. Raises ServerUnavailable if the connection fails.
    """
    waited = 0.0
    for attempt in range(1, _TRIES + 1):
        try:
            answer = await send()
        except BrokenConnection as error:
            failure = _judge(error, what, server, is_repeatable=is_repeatable, is_last=attempt == _TRIES)
            if failure:
                raise failure from error
            requested = 0.0
        else:
            requested = read_retry_after(answer.headers) or 0.0
            waited += requested
            if answer.status not in _RETRIED or not is_repeatable or attempt == _TRIES or waited > _LONGEST_WAIT:
                return answer
        # jitter spreads out the retries of requests that failed together
        delay = max(backoff * 2 ** (attempt - 1) * random.uniform(0.75, 1.25), requested)  # noqa: S311 not a secret
        log.info("%s: try %d of %d failed, next in %.1f s", what, attempt, _TRIES, delay)
        await asyncio.sleep(delay)
    raise AssertionError("unreachable: the last try returns or raises")


def describe_doubt() -> str:
    return gettext("It is unknown whether this was done: check before retrying.")


def _judge(
    error: BrokenConnection, what: str, server: str, *, is_repeatable: bool, is_last: bool
) -> ServerUnavailable | None:
    """Return the exception to raise for a broken connection, or `None` if the request may be retried."""
    failure = error.failure
    if failure.message:
        return ServerUnavailable(failure.message, hint=failure.hint, status=0)
    if not is_repeatable and not error.is_unsent:
        message = gettext(
            "{server} closed the connection during {what} ({kind}).", server=server, what=what, kind=error.kind
        )
        return ServerUnavailable(message, hint=describe_doubt(), status=0)
    if is_last:
        message = gettext(
            "{server} did not answer after {tries} tries ({kind}).", server=server, tries=_TRIES, kind=error.kind
        )
        return ServerUnavailable(message, hint=failure.hint, status=0)
    return None
