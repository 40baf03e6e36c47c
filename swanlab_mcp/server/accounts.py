"""Who calls a shared server: one client per SwanLab key, so that no caller meets another's session, cache or errors."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial

from swanlab_mcp.client.base import SwanLabClient
from swanlab_mcp.client.routing import open_client
from swanlab_mcp.core.concurrency import SharedAnswers
from swanlab_mcp.core.errors import AuthenticationFailed, RateLimited
from swanlab_mcp.core.i18n import say, speak
from swanlab_mcp.operations.completion import Completer
from swanlab_mcp.operations.deadline import keep_deadline
from swanlab_mcp.settings import Settings

__all__ = ["Account", "Accounts", "caller"]

_VERIFIED_FOR = 3600.0
_VERIFYING_AT_ONCE = 8


@dataclass(eq=False)
class Account:
    """A caller whose key SwanLab has accepted; `verified_at` in monotonic seconds, `calls` are those under way."""

    client: SwanLabClient
    username: str
    verified_at: float
    completer: Completer
    calls: int = 0
    is_dismissed: bool = False


# whose call this is; None where the server works for its own account
caller: ContextVar[Account | None] = ContextVar("caller", default=None)


class Accounts:
    """At most `most` clients, found by a hash of their keys; the least recently used is closed for a new one."""

    def __init__(self, settings: Settings, most: int = 256) -> None:
        with speak(settings.language):
            source = say("the Authorization header")
        self._settings = replace(settings, log_dirs=(), demo=False, problems=(), key_source=source)
        self._most = most
        self._salt = secrets.token_bytes(32)
        self._known: dict[bytes, Account] = {}
        self._verifying = 0
        self._questions = SharedAnswers[Account]()

    @asynccontextmanager
    async def use(self, key: str) -> AsyncGenerator[Account, None]:
        """Yield the account of `key`, which SwanLab's login verifies now or has verified within the hour.

        Raises AuthenticationFailed, RateLimited when too many keys are being verified, and what signing in raises.
        """
        if not (key and key.isascii() and key.isprintable()):
            raise AuthenticationFailed(say("The Authorization header holds no SwanLab API key."))
        digest = hmac.digest(self._salt, key.encode(), hashlib.sha256)
        account = await self._find(digest, key)
        account.calls += 1
        try:
            yield account
        finally:
            account.calls -= 1
            if account.is_dismissed and not account.calls:
                await account.client.aclose()

    async def aclose(self) -> None:
        """Close every client, those in use at the end of their calls."""
        while self._known:
            await self._dismiss(next(iter(self._known)))

    async def _find(self, digest: bytes, key: str) -> Account:
        account = self._known.get(digest)
        if account and time.monotonic() - account.verified_at > _VERIFIED_FOR:
            await self._dismiss(digest)
            account = None
        while account is None or account.is_dismissed:
            account = await self._questions.ask(digest, partial(self._verify, digest, key))
        # the order of the dict is that of the last use
        self._known[digest] = self._known.pop(digest)
        return account

    async def _verify(self, digest: bytes, key: str) -> Account:
        if self._verifying >= _VERIFYING_AT_ONCE:
            raise RateLimited(
                say("Many new callers are signing in at this moment."), hint=say("Try again in a second.")
            )
        self._verifying += 1
        try:
            async with AsyncExitStack() as opened:
                client = open_client(replace(self._settings, api_key=key), is_cached=self._settings.is_cached)
                opened.push_async_callback(client.aclose)
                username = await keep_deadline(client.get_username(), self._settings.timeout)
                opened.pop_all()
        finally:
            self._verifying -= 1
        account = self._known[digest] = Account(client, username, time.monotonic(), Completer(client))
        while len(self._known) > self._most:
            await self._dismiss(next(iter(self._known)))
        return account

    async def _dismiss(self, digest: bytes) -> None:
        account = self._known.pop(digest)
        account.is_dismissed = True
        if not account.calls:
            await account.client.aclose()
