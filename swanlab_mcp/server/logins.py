"""Limit the number of SwanLab logins in total and per address, and remember recently refused keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from cachetools import TTLCache

from swanlab_mcp.core.errors import AuthenticationFailed, PermissionDenied, RateLimited, SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.server.limits import Refusals

__all__ = ["Logins"]

_NEW_AT_ONCE = 40
_KNOWN_AT_ONCE = 8
_AT_ONCE_OF_ADDRESS = 20
_WAITING_OF_ADDRESS = 64
_LONGEST_WAIT = 10.0
_REFUSED_FOR = 30.0


class _Address(asyncio.Semaphore):
    """The logins from one address. At most 20 run at once, and at most 64 are running or waiting."""

    waiting = 0


class Logins:
    """Limits logins. Separate slots are reserved for reverifying known keys.

    A refused key is remembered for 30 seconds, during which it is refused without another login. If an address has more
    than 10 refusals within a minute, further refusals are delayed by up to 5 seconds. The delays slow down attempts
    to guess keys, and keep slots free for other callers.
    """

    def __init__(self) -> None:
        self._new = asyncio.Semaphore(_NEW_AT_ONCE)
        self._known = asyncio.Semaphore(_KNOWN_AT_ONCE)
        self._addresses = WeakValueDictionary[str, _Address]()
        self._refused = TTLCache[bytes, SwanLabError](10_000, ttl=_REFUSED_FOR)
        self._refusals = Refusals()

    @asynccontextmanager
    async def take(self, digest: bytes, address: str, *, is_known: bool) -> AsyncGenerator[None, None]:
        """Hold a slot while the caller logs in. `digest` is a hash of the key.

        Raises RateLimited if no slot is free in time. For a recently refused key, raises the same error again.
        """
        if before := self._refused.get(digest):
            raise type(before)(before.message, hint=before.hint, status=before.status)
        try:
            async with self._queue(address, is_known=is_known):
                yield
        except (AuthenticationFailed, PermissionDenied) as error:
            self._refused[digest] = type(error)(error.message, hint=error.hint, status=error.status)
            await self._refusals.delay(address)
            raise

    @asynccontextmanager
    async def _queue(self, address: str, *, is_known: bool) -> AsyncGenerator[None, None]:
        if is_known:
            async with self._known:
                yield
            return
        own = self._addresses.get(address) or _Address(_AT_ONCE_OF_ADDRESS)
        self._addresses[address] = own
        if own.waiting >= _WAITING_OF_ADDRESS:
            raise _describe_busy()
        own.waiting += 1
        try:
            async with own:
                try:
                    await asyncio.wait_for(self._new.acquire(), _LONGEST_WAIT)
                except asyncio.TimeoutError as error:
                    raise _describe_busy() from error
                try:
                    yield
                finally:
                    self._new.release()
        finally:
            own.waiting -= 1


def _describe_busy() -> RateLimited:
    return RateLimited(gettext("Many new clients are logging in right now."), hint=gettext("Try again in a second."))
