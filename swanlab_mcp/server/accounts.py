"""The accounts on the shared server. Each SwanLab key has its own client, session and cache."""

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
from typing import TYPE_CHECKING

from swanlab_mcp.client.routing import SwanLabClient, open_client
from swanlab_mcp.core.concurrency import SharedAnswers
from swanlab_mcp.core.errors import AuthenticationFailed
from swanlab_mcp.core.i18n import gettext, use_language
from swanlab_mcp.operations.deadline import keep_deadline
from swanlab_mcp.server.audit import hash_key
from swanlab_mcp.server.logins import Logins
from swanlab_mcp.settings import Settings

if TYPE_CHECKING:
    from swanlab_mcp.operations.completion import Completer

__all__ = ["Account", "Accounts", "caller"]

_VERIFIED_FOR = 3600.0


@dataclass(eq=False)
class Account:
    """A caller whose key SwanLab has accepted.

    `verified_at` is a `time.monotonic()` value. `calls` is the number of calls in progress. `name` identifies the
    account in the audit log. `cached_bytes` is the size of the account's cache after the last call.
    """

    client: SwanLabClient
    username: str
    verified_at: float
    completer: Completer
    name: str = ""
    calls: int = 0
    cached_bytes: float = 0
    is_dismissed: bool = False


# the account making the current call, or None if the call uses the server's own account
caller: ContextVar[Account | None] = ContextVar("caller", default=None)


class Accounts:
    """Keeps up to `most` accounts, identified by a hash of the key. The least recently used account is evicted first.

    If the caches exceed `cache_bytes` in total, the caches of the least recently used accounts are cleared.
    """

    def __init__(self, settings: Settings, most: int = 1024, cache_bytes: int = 160 * 10**6) -> None:
        with use_language(settings.language):
            source = gettext("the Authorization header")
        self._settings = replace(settings, log_dirs=(), demo=False, problems=(), key_source=source)
        self._most = most
        self._salt = secrets.token_bytes(32)
        self._cache_bytes = cache_bytes
        # a running total of `cached_bytes`, because summing it after each call would be slow with many accounts
        self._cached = 0.0
        self._known: dict[bytes, Account] = {}
        self._logins = Logins()
        self._questions = SharedAnswers[Account]()

    @property
    def count(self) -> int:
        return len(self._known)

    @asynccontextmanager
    async def use(self, key: str, address: str = "") -> AsyncGenerator[Account, None]:
        """Yield the account for `key`. Log in to SwanLab first, unless the key was verified within the last hour.

        Raises AuthenticationFailed for an invalid key, RateLimited if `address` logs in too often, and any other
        error from the login.
        """
        if not (key and key.isascii() and key.isprintable()):
            raise AuthenticationFailed(gettext("The Authorization header contains no SwanLab API key."))
        digest = hmac.digest(self._salt, key.encode(), hashlib.sha256)
        account = await self._find(digest, key, address)
        account.calls += 1
        try:
            yield account
        finally:
            account.calls -= 1
            self._limit_caches(account)
            if account.is_dismissed and not account.calls:
                await account.client.aclose()

    def _limit_caches(self, used: Account) -> None:
        self._count_cache(used)
        for account in self._known.values():
            if self._cached <= self._cache_bytes:
                break
            if account.cached_bytes:
                account.client.forget()
                self._count_cache(account)

    def _count_cache(self, account: Account) -> None:
        held = 0 if account.is_dismissed else account.client.cached_bytes
        self._cached += held - account.cached_bytes
        account.cached_bytes = held

    async def aclose(self) -> None:
        """Close all clients. A client with calls in progress is closed when the last call ends."""
        while self._known:
            await self._dismiss(next(iter(self._known)))

    async def _find(self, digest: bytes, key: str, address: str) -> Account:
        account = self._known.get(digest)
        is_known = account is not None
        if account and time.monotonic() - account.verified_at > _VERIFIED_FOR:
            await self._dismiss(digest)
            account = None
        while account is None or account.is_dismissed:
            verify = partial(self._verify, digest, key, address, is_known=is_known)
            account = await self._questions.ask(digest, verify)
        # move the account to the end, because the dict is ordered from least to most recently used
        self._known[digest] = self._known.pop(digest)
        return account

    async def _verify(self, digest: bytes, key: str, address: str, *, is_known: bool) -> Account:
        from swanlab_mcp.operations.completion import Completer  # noqa: PLC0415 not needed at startup

        async with self._logins.take(digest, address, is_known=is_known), AsyncExitStack() as opened:
            client = open_client(replace(self._settings, api_key=key), is_cached=self._settings.is_cached)
            opened.push_async_callback(client.aclose)
            username = await keep_deadline(client.default.get_username(), self._settings.timeout)
            opened.pop_all()
        account = Account(client, username, time.monotonic(), Completer(client), hash_key(key))
        self._known[digest] = account
        while len(self._known) > self._most:
            await self._dismiss(next(iter(self._known)))
        return account

    async def _dismiss(self, digest: bytes) -> None:
        account = self._known.pop(digest)
        account.is_dismissed = True
        self._count_cache(account)
        if not account.calls:
            await account.client.aclose()
