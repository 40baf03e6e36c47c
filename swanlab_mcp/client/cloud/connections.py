"""Send HTTP requests to one server, at most 64 at a time. The `network` module chooses proxies and certificates."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from swanlab_mcp import __version__
from swanlab_mcp.client.cloud.endpoints import name_endpoint
from swanlab_mcp.client.cloud.network import Failure, Network, explain
from swanlab_mcp.core.observation import SentRequest, notify

__all__ = ["BrokenConnection", "Connections", "Request"]

Request = httpx.Request

# enough to read a list of 3,000 items, or to answer 50 concurrent calls, in one round trip
_AT_ONCE = 64
_AT_ONCE_IN_ALL = 1024
_IDLE_IN_ALL = 256
_IDLE = 5.0
_TIMEOUTS = httpx.Timeout(30.0, connect=10.0, pool=None).as_dict()
# this package decompresses only gzip
_HEADERS = {"accept": "*/*", "accept-encoding": "gzip", "user-agent": f"swanlab-mcp-server/{__version__}"}

_sending: ContextVar[bool] = ContextVar("sending", default=False)


class _Silence(logging.Filter):
    """Hides our requests from httpx's logs, because URLs may contain signatures and headers contain the session id."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 all records are hidden
        return not _sending.get()


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_Silence())


class BrokenConnection(Exception):
    """Raised if a request did not receive a complete response.

    `kind` is the name of the underlying error. `is_unsent` is true if the request certainly never reached the server.
    """

    def __init__(self, error: httpx.TransportError) -> None:
        super().__init__(str(error))
        self.kind = type(error).__name__
        self.failure: Failure = explain(error)
        self.is_unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))


class Connections:
    """A pool of at most 64 transports, each of which handles one request at a time.

    httpx's own pool checks all connections for each request, which made ranking 3,000 experiments take 1.3 times as
    much CPU time (benchmarks/RESULTS.md). It also never closes the connection of a cancelled request. In this pool, a
    request takes the first free transport, so sequential requests share one connection. An httpx client is not used,
    because its cookies, redirects and authentication are not needed.
    """

    def __init__(self, base_url: str = "") -> None:
        self._base_url = base_url.rstrip("/")
        self._prefix = "".join(self._base_url.partition("://")[2].partition("/")[1:])
        self._transports: list[Network] = []
        self._free: list[int] = []
        self._used: dict[int, float] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._idle: asyncio.Task[None] | None = None
        self._closing = set[asyncio.Task[None]]()

    def build_request(
        self, method: str, path: str | httpx.URL, headers: Mapping[str, str] | None = None, **content: Any
    ) -> httpx.Request:
        url = self._base_url + path if isinstance(path, str) else path
        extensions = {"timeout": _TIMEOUTS}
        return httpx.Request(method, url, headers={**_HEADERS, **(headers or {})}, extensions=extensions, **content)

    @asynccontextmanager
    async def send(self, request: httpx.Request) -> AsyncGenerator[httpx.Response, None]:
        """Send a request on the first free transport, and close the response when the `with` block exits.

        Raises BrokenConnection if the request fails or the body ends too early.
        """
        shared = _get_shared()
        async with self._slots, shared.slots:
            if not self._free:
                self._add()
            number = heappop(self._free)
            shared.idle.pop((self, number), None)
            is_whole, status, started = False, 0, time.time()
            try:
                response = await _send_silently(self._transports[number], request)
                status = response.status_code
                yield response
                await response.aclose()
                is_whole = True
            except httpx.TransportError as error:
                raise BrokenConnection(error) from error
            finally:
                endpoint = name_endpoint(request.url.path, self._prefix)
                notify(SentRequest(request.method, endpoint, status, started, time.time() - started))
                if not is_whole:
                    # a cancelled request may leave its connection open, and httpx never closes it
                    self._replace(number)
                heappush(self._free, number)
                self._used[number] = time.monotonic()
                shared.idle[self, number] = None
                while len(shared.idle) > _IDLE_IN_ALL:
                    oldest, its_number = next(iter(shared.idle))
                    oldest.close(its_number)
                if self._idle is None:
                    self._idle = asyncio.create_task(self._close_idle())

    async def aclose(self) -> None:
        if self._idle:
            self._idle.cancel()
        for number in range(len(self._transports)):
            self.close(number)
        await asyncio.gather(*self._closing)

    async def _close_idle(self) -> None:
        """Keep closing connections that have been idle for 5 seconds, until none is open.

        httpx only closes idle connections during requests.
        """
        while self._used:
            await asyncio.sleep(_IDLE / 5)
            for number in [one for one in self._free if time.monotonic() - self._used.get(one, math.inf) > _IDLE]:
                self.close(number)
        self._idle = None

    def close(self, number: int) -> None:
        """Close the connection of an idle transport."""
        self._used.pop(number, None)
        _get_shared().idle.pop((self, number), None)
        self._replace(number)

    def _replace(self, number: int) -> None:
        """Close a transport in a separate task, because the current task may be cancelled again."""
        old, self._transports[number] = self._transports[number], Network()
        task = asyncio.create_task(old.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _add(self) -> None:
        self._transports.append(Network())
        self._free.append(len(self._transports) - 1)


class _Shared:
    """The request limit and the idle connections that all accounts share.

    The connection that has been idle longest comes first.
    """

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(_AT_ONCE_IN_ALL)
        self.idle: dict[tuple[Connections, int], None] = {}


def _get_shared() -> _Shared:
    loop = asyncio.get_running_loop()
    if loop not in _shared:
        _shared[loop] = _Shared()
    return _shared[loop]


_shared = WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared]()


async def _send_silently(transport: Network, request: httpx.Request) -> httpx.Response:
    token = _sending.set(True)
    try:
        response = await transport.handle_async_request(request)
    except httpx.TransportError as error:
        error.request = request
        raise
    finally:
        _sending.reset(token)
    response.request = request
    return response
