"""Connections: HTTP requests to one server, at most 64 at once; `network` says how they get there."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from swanlab_mcp import __version__
from swanlab_mcp.client.cloud.network import Failure, Network, explain

__all__ = ["BrokenConnection", "Connections", "Request"]

Request = httpx.Request

# so that the pages of a list of 3,000, or 50 calls at once, take one round trip
_AT_ONCE = 64
_AT_ONCE_IN_ALL = 1024
_IDLE = 5.0
_LIMITS = httpx.Timeout(30.0, connect=10.0, pool=None)

_sending: ContextVar[bool] = ContextVar("sending", default=False)


class _Silence(logging.Filter):
    """Keep our requests out of what httpx logs: addresses hold signatures, headers the session."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 whatever it says
        return not _sending.get()


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_Silence())


class BrokenConnection(Exception):
    """A request without a whole response; `kind` names the error, `is_unsent`: the request cannot have arrived."""

    def __init__(self, error: httpx.TransportError) -> None:
        super().__init__(str(error))
        self.kind = type(error).__name__
        self.failure: Failure = explain(error)
        self.is_unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))


class Connections:
    """At most 64 clients of which each carries one request at a time.

    httpx's own pool looks at all its connections for each request, which made a ranking of 3,000 cost 1.3 times as much
    processor time (benchmarks/RESULTS.md), and it never closes what a cancelled request leaves behind. The first free
    client is taken: questions in turn share one connection.
    """

    def __init__(self, base_url: str = "") -> None:
        self._base_url = base_url
        self._clients: list[httpx.AsyncClient] = []
        self._free: list[int] = []
        self._used: dict[int, float] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._idle: asyncio.Task[None] | None = None
        self._closing = set[asyncio.Task[None]]()

    def build_request(self, method: str, path: str | httpx.URL, **content: Any) -> httpx.Request:
        if not self._clients:
            self._add()
        return self._clients[0].build_request(method, path, **content)

    @asynccontextmanager
    async def send(self, request: httpx.Request) -> AsyncGenerator[httpx.Response, None]:
        """Wait for a free client, send the request and yield the response, which is closed afterwards.

        Raises BrokenConnection, also for a body that breaks off.
        """
        async with self._slots, _get_shared_slots():
            if not self._free:
                self._add()
            number = heappop(self._free)
            client = self._clients[number]
            is_whole = False
            try:
                response = await _send_silently(client, request)
                yield response
                await response.aclose()
                is_whole = True
            except httpx.TransportError as error:
                raise BrokenConnection(error) from error
            finally:
                if not is_whole:
                    # a cancelled request may leave its connection open, and httpx never closes that
                    self._replace(number)
                heappush(self._free, number)
                self._used[number] = time.monotonic()
                if self._idle is None:
                    self._idle = asyncio.create_task(self._close_idle())

    async def aclose(self) -> None:
        if self._idle:
            self._idle.cancel()
        for number in range(len(self._clients)):
            self._replace(number)
        await asyncio.gather(*self._closing)

    async def _close_idle(self) -> None:
        """Close connections that were not used for 5 seconds, until none is open; httpx does so at requests only."""
        while self._used:
            await asyncio.sleep(_IDLE / 5)
            for number in [one for one in self._free if time.monotonic() - self._used.get(one, math.inf) > _IDLE]:
                del self._used[number]
                self._replace(number)
        self._idle = None

    def _replace(self, number: int) -> None:
        """Close a client with all its connections, in a task of its own: whoever used it may be cancelled again."""
        old, self._clients[number] = self._clients[number], _make_client(self._base_url)
        task = asyncio.create_task(old.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _add(self) -> None:
        self._clients.append(_make_client(self._base_url))
        self._free.append(len(self._clients) - 1)


def _get_shared_slots() -> asyncio.Semaphore:
    """Return what bounds the requests of all accounts that this event loop serves."""
    loop = asyncio.get_running_loop()
    if loop not in _shared_slots:
        _shared_slots[loop] = asyncio.Semaphore(_AT_ONCE_IN_ALL)
    return _shared_slots[loop]


_shared_slots = WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]()


def _make_client(base_url: str = "") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=base_url,
        # what else a server may send is not decompressed here
        headers={"user-agent": f"swanlab-mcp-server/{__version__}", "accept-encoding": "gzip"},
        timeout=_LIMITS,
        follow_redirects=False,
        # the environment's proxies and certificates are read there
        transport=Network(),
        trust_env=False,
    )


async def _send_silently(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    token = _sending.set(True)
    try:
        return await http.send(request, stream=True)
    finally:
        _sending.reset(token)
