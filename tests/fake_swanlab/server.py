"""The fake on 127.0.0.1, for what must see real HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from tests.fake_swanlab.app import create_app
from tests.fake_swanlab.state import State

__all__ = ["listen", "serve"]


def listen(port: int = 0) -> socket.socket:
    """Return a listening socket of 127.0.0.1; asyncio turns off Nagle's delays only where the protocol is named."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


@contextmanager
def serve(served: State | ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve a state, or any app, on a port (0: a free one) in a thread; yield its base URL."""
    app = create_app(served) if isinstance(served, State) else served
    listener = listen(port)
    # the date is left to those who play a clock
    options = {"log_level": "critical", "lifespan": "off", "ws": "none", "date_header": False}
    config = uvicorn.Config(app, timeout_graceful_shutdown=1, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
