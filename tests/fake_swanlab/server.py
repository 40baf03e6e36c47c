"""Run the fake server on 127.0.0.1, for tests that need real HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.fake_swanlab.app import create_app
from tests.fake_swanlab.state import State

__all__ = ["listen", "serve", "serve_each"]


def listen(port: int = 0) -> socket.socket:
    """Return a socket that listens on 127.0.0.1.

    The protocol is explicit, because otherwise asyncio would not disable Nagle's algorithm.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


@contextmanager
def serve(served: State | ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve a state or an ASGI app in a thread, and yield the base URL. With port 0, a free port is chosen."""
    with _run(create_app(served) if isinstance(served, State) else served, [listen(port)]) as urls:
        yield urls[0]


@contextmanager
def serve_each(states: Sequence[State]) -> Iterator[list[str]]:
    """Serve each state on its own port in a single thread, and yield the base URLs."""
    listeners = [listen() for _ in states]
    apps = {one.getsockname()[1]: create_app(state) for one, state in zip(listeners, states, strict=True)}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await apps[scope["server"][1]](scope, receive, send)

    with _run(app, listeners) as urls:
        yield urls


@contextmanager
def _run(app: ASGIApp, listeners: list[socket.socket]) -> Iterator[list[str]]:
    # uvicorn sends no Date header, because tests with a simulated clock set the header
    options = {"log_level": "critical", "lifespan": "off", "ws": "none", "date_header": False}
    config = uvicorn.Config(app, timeout_graceful_shutdown=1, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=(listeners,), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
    finally:
        server.should_exit = True
        thread.join()
        for listener in listeners:
            listener.close()
