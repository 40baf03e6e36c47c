"""The shared server's limits, which apply in total, per key and per address."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import TTLCache

from swanlab_mcp.core.i18n import gettext, ngettext

if TYPE_CHECKING:
    from swanlab_mcp.server.accounts import Account

__all__ = ["RETRY_AFTER", "Limits", "Rates", "Refusals", "Refused", "Slots"]

RETRY_AFTER = "2"
_FREE_REFUSALS = 10
_LONGEST_DELAY = 5.0


@dataclass
class Limits:
    """The shared server's limits. All parts of a server share one instance, so a change takes effect immediately.

    `rate` is in requests per minute per key, and 0 means no limit.

    If there are more than `connections` connections in total, or more than `connections_per_address` from one address,
    the server closes the oldest connection that is waiting for a header, a body or the next request.

    The server reads at most `large_bodies` request bodies larger than `large_body` bytes at the same time.
    """

    header_seconds: float = 10.0
    idle_seconds: float = 5.0
    write_seconds: float = 20.0
    connections: int = 512
    connections_per_address: int = 256
    body: int = 1 << 20
    body_seconds: float = 10.0
    large_body: int = 1 << 16
    large_bodies: int = 32
    requests: int = 64
    requests_per_caller: int = 16
    rate: int = 0

    @property
    def requests_without_key(self) -> int:
        """The maximum number of concurrent requests without a key. All other slots require a key."""
        return max(1, self.requests * 3 // 4)


# the default reason for a refusal with each status, used as a label in the metrics
_REASONS = {
    400: "disconnected", 401: "key", 403: "access", 404: "path", 405: "method", 408: "slow_body", 413: "large_body",
    421: "host", 429: "rate", 503: "busy",
}  # fmt: skip


class Refused(Exception):
    """Raised to refuse a request with an HTTP status before MCP handles it. `reason` is a label in the metrics."""

    def __init__(self, status: int, message: str, *, reason: str = "", **headers: str) -> None:
        self.status = status
        self.message = message
        self.reason = reason or _REASONS[status]
        self.headers = headers
        super().__init__(message)


class Slots:
    """Limits the number of requests in progress, in total and per account. `None` means the server's own account."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken: dict[Account | None, int] = {}

    @property
    def taken(self) -> int:
        return sum(self._taken.values())

    @contextmanager
    def take(self, account: Account | None) -> Generator[None]:
        """Hold a slot for a request from `account`. Raises Refused if no slot is free."""
        limits, own = self._limits, self._taken.get(account, 0)
        if self.taken >= limits.requests or (account is None and own >= limits.requests_without_key):
            raise Refused(
                503,
                gettext("The server is busy; try again in {seconds} seconds.", seconds=RETRY_AFTER),
                **{"retry-after": RETRY_AFTER},
            )
        if account is not None and own >= limits.requests_per_caller:
            raise Refused(
                503,
                gettext("Too many of your calls are running; try again in {seconds} seconds.", seconds=RETRY_AFTER),
                reason="busy_caller",
                **{"retry-after": RETRY_AFTER},
            )
        self._taken[account] = own + 1
        try:
            yield
        finally:
            self._taken[account] -= 1
            if not self._taken[account]:
                del self._taken[account]


class Rates:
    """Limits the rate of requests per caller with a token bucket of `limits.rate` tokens that refills in one minute."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        # a bucket is full again after a minute without requests, so it can be discarded
        self._left = TTLCache[str, tuple[float, float]](10_000, ttl=60, timer=clock)

    def count(self, caller: str) -> None:
        """Count a request. If the caller has no tokens left, raise Refused (429) with the time to wait."""
        rate = self._limits.rate
        if not rate:
            return
        now = self._clock()
        left, since = self._left.get(caller, (float(rate), now))
        left = min(rate, left + (now - since) * rate / 60)
        if left < 1:
            seconds = math.ceil((1 - left) * 60 / rate)
            raise Refused(
                429,
                ngettext(
                    "Your key may send {rate} requests a minute; try again in {count} second.",
                    "Your key may send {rate} requests a minute; try again in {count} seconds.",
                    seconds,
                    rate=rate,
                ),
                **{"retry-after": str(seconds)},
            )
        self._left[caller] = (left - 1, now)


class Refusals:
    """Delays refusals for callers with more than 10 refused requests within a minute.

    The delay grows with each refusal, up to 5 seconds, so that a caller that keeps repeating refused requests does not
    slow down other callers.
    """

    def __init__(self) -> None:
        self._counts = TTLCache[str, int](10_000, ttl=60)

    async def delay(self, caller: str) -> None:
        """Count a refusal, and wait until its response may be sent."""
        count = self._counts[caller] = self._counts.get(caller, 0) + 1
        if count > _FREE_REFUSALS:
            await asyncio.sleep(min(_LONGEST_DELAY, (count - _FREE_REFUSALS) / 4))
