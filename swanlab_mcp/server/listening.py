"""Listen for HTTP connections to the shared server, and enforce the connection and time limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from swanlab_mcp.server.addresses import Proxies, group_address
from swanlab_mcp.server.gateway import PATH, Gateway
from swanlab_mcp.server.limits import Limits

__all__ = ["listen", "make_server", "serve_http"]

_FILES = 8192
_BACKLOG = 2048


class _Connections:
    """The open connections. If a new connection exceeds a limit, one connection is closed.

    The closed connection is the oldest one whose request has advanced the least, or the new connection if all others
    are busy.
    """

    def __init__(self, limits: Limits, proxies: Proxies) -> None:
        self.limits = limits
        self._proxies = proxies
        self._files = _raise_file_limit()
        self._open: dict[_Connection, str] = {}
        self._counts = Counter[str]()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[_Connection]:
        return iter(tuple(self._open))

    def add(self, new: _Connection) -> None:
        peer = new.client[0] if new.client else ""
        address = self._open[new] = group_address(peer)
        self._counts[address] += 1
        # connections from a proxy are shared by all callers behind it, so the limit per address does not apply
        if self._counts[address] > self.limits.connections_per_address and not self._proxies.trusts(peer):
            self._close_one(new, address)
        elif len(self._open) > min(self.limits.connections, self._files // 2):
            self._close_one(new, "")

    def remove(self, old: _Connection) -> None:
        if (address := self._open.pop(old, None)) is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]

    def _close_one(self, new: _Connection, address: str) -> None:
        """Close the oldest connection whose request has advanced the least, or `new` if all others are busy.

        If `address` is not empty, consider only connections from that address.
        """
        closed, least = new, _BUSY
        for one, at in self._open.items():
            if one is not new and address in ("", at) and one.progress < least:
                closed, least = one, one.progress
                if least == _NO_HEADER:
                    break
        self.remove(closed)
        closed.transport.abort()


_NO_HEADER, _BODY, _IDLE, _BUSY = range(4)


class _Connection(H11Protocol):
    """uvicorn's connection, with time limits for receiving each header and for sending responses."""

    def __init__(self, connections: _Connections, **how: Any) -> None:
        super().__init__(**how)
        self.timeout_keep_alive = int(connections.limits.idle_seconds)
        self._all = connections
        self._is_last = False
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    @property
    def progress(self) -> int:
        """How far the current request has advanced. Connections with the lowest value are closed first."""
        if self.cycle is None:  # pyright: ignore[reportUnnecessaryComparison] uvicorn starts with None
            return _NO_HEADER
        if self.cycle.response_complete:
            return _IDLE
        return _BODY if self.cycle.more_body else _BUSY

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] as uvicorn's
        super().connection_made(transport)
        # asyncio sets this option only on sockets with an explicit TCP protocol number; without the option, each
        # response is delayed by 40 ms
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._all.add(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_last:
            self.shutdown()
        self._watch()

    def shutdown(self) -> None:
        """Close the connection after at most one more request: a proxy may send one before it notices the shutdown."""
        self._is_last = True
        if self.progress in (_BODY, _BUSY):
            self.cycle.keep_alive = False
            self.cycle.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]

    def close_unless_busy(self) -> None:
        if self.progress in (_NO_HEADER, _IDLE):
            super().shutdown()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.remove(self)
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._all.limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _watch(self) -> None:
        """Start or stop the timer for receiving a header. Receiving part of a header does not restart the timer."""
        if self.progress in (_BODY, _BUSY):
            self._stop_timer()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(self._all.limits.header_seconds, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._header_timer:
            self._header_timer.cancel()
            self._header_timer = None


class _Server(uvicorn.Server):
    def __init__(
        self,
        app: Gateway,
        config: uvicorn.Config,
        connections: _Connections,
        drain: float,
        reload: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._connections = connections
        self._drain = drain
        self._reload = reload

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle SIGHUP in addition to uvicorn's signals.

        SIGHUP reloads the server's files if there is a `reload` function, and otherwise stops the server.
        """
        number = getattr(signal, "SIGHUP", None)
        with super().capture_signals():
            if number is None or threading.current_thread() is not threading.main_thread():
                yield
                return
            before = signal.signal(number, self._reload_soon if self._reload else self.handle_exit)
            try:
                yield
            finally:
                signal.signal(number, before)

    def _reload_soon(self, _number: int, _frame: object) -> None:
        assert self._reload
        asyncio.get_running_loop().call_soon_threadsafe(self._reload)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # do not log cancelled requests as errors, because their callers still receive a response
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._app.readiness.is_ending = True
        asyncio.get_running_loop().call_later(self._drain, self._stop)
        await self._accept_waiting(sockets or [])
        await super().shutdown(sockets)

    def _stop(self) -> None:
        self._app.stop()
        for connection in self._connections:
            connection.close_unless_busy()

    async def _accept_waiting(self, sockets: list[socket.socket]) -> None:
        """Accept the connections in the listen backlog, because closing the listening socket would reset them."""
        loop = asyncio.get_running_loop()
        for listener in sockets:
            with contextlib.suppress(NotImplementedError):  # Windows
                loop.remove_reader(listener)
        # let the event loop create the transports of connections that it has already accepted
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for listener in sockets:
            with contextlib.suppress(OSError):  # the backlog is empty
                while True:
                    accepted, _ = listener.accept()
                    accepted.setblocking(False)
                    await loop.connect_accepted_socket(self._make_connection, accepted)

    def _make_connection(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. If `port` is 0, the system chooses a free port.

    Raises OSError if the address is unavailable and OverflowError if the port is out of range.
    """
    return socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG
    )


def make_server(app: Gateway, drain: float = 0.5, reload: Callable[[], None] | None = None) -> uvicorn.Server:
    """Return a uvicorn server that runs `app` and enforces its limits.

    On shutdown, calls in progress have `drain` seconds to finish. SIGHUP calls `reload`, or stops the server if
    `reload` is None.
    """
    connections = _Connections(app.limits, app.proxies)
    if app.metrics:
        app.metrics.add_gauge("open_connections", "Open connections of callers", connections.__len__)

    class Connection(_Connection):
        def __init__(self, **how: Any) -> None:
            super().__init__(connections, **how)

    config = uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType] a scope is any mapping here
        http=Connection,
        loop="asyncio",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=math.ceil(drain + 0.5),
    )
    return _Server(app, config, connections, drain, reload)


def serve_http(app: Gateway, host: str, port: int, drain: float, reload: Callable[[], None] | None) -> None:
    """Serve until SIGINT or SIGTERM arrives, then give calls in progress `drain` seconds to finish.

    SIGHUP calls `reload`, or stops the server if `reload` is None. After the server has stopped, uvicorn raises the
    signal again for the previous handler. Raises OSError if the address is unavailable.
    """
    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    sys.stderr.write(f"serving MCP on http://{shown}:{listener.getsockname()[1]}{PATH}\n")
    sys.stderr.flush()
    make_server(app, drain, reload).run(sockets=[listener])


def _raise_file_limit() -> int:
    """Raise the limit on open files to the system's maximum, but at most 8,192. Return the new limit."""
    try:
        import resource  # noqa: PLC0415 not on Windows
    except ImportError:
        return 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return min(soft, _FILES) if soft != resource.RLIM_INFINITY else _FILES
