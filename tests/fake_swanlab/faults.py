"""Faults that the fake server injects into responses."""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Protocol

import anyio
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive

__all__ = ["Dropped", "Fault", "spoil"]

_CHUNK = 65536


class Dropped(Exception):
    """Raised to close the connection while a response is being sent."""


class Event(Protocol):
    def is_set(self) -> bool: ...


@dataclass
class Fault:
    """A fault in the responses to matching requests.

    `path` is a regular expression that is searched in the undecoded path. After `skip` unaffected requests, the fault
    applies to the next `times` matching requests, or to all of them if `times` is None.

    `then` is called when a request arrives. The response is delayed by `delay` seconds and until `until` is set. The
    second half of the body is held until `body_until` is set. If `hung_up` is given, no response is sent, and `hung_up`
    is set when the client closes the connection. `status`, `headers` and `body` replace parts of the response. The
    other fields modify it, for example by truncating the body, replacing every float with NaN or adding whitespace.
    """

    path: str = ""
    method: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0
    times: int | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0.0
    until: Event | None = None
    body_until: Event | None = None
    hung_up: threading.Event | None = None
    then: Callable[[], object] | None = None
    rewrite: Callable[[bytes], bytes] | None = None
    slow_body: float = 0.0
    is_dropped: bool = False
    is_truncated: bool = False
    has_bare_nan: bool = False
    padding: int = 0
    is_length_told: bool = False
    gzip_padding: int = 0
    hits: int = 0

    @classmethod
    def redirect(cls, path: str, url: str, status: int = 302, **more: Any) -> Fault:
        return cls(path=path, status=status, headers={"location": url}, **more)

    @classmethod
    def html(cls, path: str, status: int = 200, **more: Any) -> Fault:
        page = b"<!doctype html><html><body>Sign in</body></html>"
        return cls(path=path, status=status, headers={"content-type": "text/html"}, body=page, **more)

    @classmethod
    def retry_after(cls, path: str, wait: float | datetime, status: int = 429, **more: Any) -> Fault:
        """Return a fault with a Retry-After header, in seconds for a number and as an HTTP date for a UTC datetime."""
        shown = format_datetime(wait, usegmt=True) if isinstance(wait, datetime) else f"{wait:g}"
        return cls(path=path, status=status, headers={"retry-after": shown}, **more)

    def takes(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        if self.method not in ("", method) or not re.search(self.path, path):
            return False
        if any(query.get(name) != value for name, value in self.query.items()) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.hits += 1
        return True

    async def wait(self, receive: Receive) -> None:
        if self.then:
            self.then()
        if self.delay:
            await anyio.sleep(self.delay)
        await _wait(self.until)
        if self.hung_up:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.hung_up.set()


async def _wait(event: Event | None) -> None:
    pause = 0.002
    while event and not event.is_set():  # polled, because the event can belong to another thread or event loop
        await anyio.sleep(pause)
        # increase the pause, because many requests can wait in parallel
        pause = min(0.05, 1.5 * pause)


def spoil(response: Response, fault: Fault) -> Response:
    """Return the response with the fault applied."""
    body, status = bytes(response.body), response.status_code
    headers = {"content-type": "application/json", "traceid": response.headers["traceid"]}
    if fault.has_bare_nan:
        body = re.sub(rb"(?<=[:\[,] )-?\d+\.\d+(e[-+]?\d+)?(?=[,}\]])", b"NaN", body)
        return Response(body, status, headers)
    if fault.rewrite:
        return Response(fault.rewrite(body), status, headers)
    if fault.is_truncated:
        return Response(body[: len(body) // 2], status, headers)
    if fault.gzip_padding:
        return Response(_compress(body, fault.gzip_padding), status, {**headers, "content-encoding": "gzip"})
    if fault.padding:
        if fault.is_length_told:
            headers["content-length"] = str(len(body) + fault.padding)
        return StreamingResponse(_pad(body, fault.padding), status, headers)
    if not (fault.is_dropped or fault.slow_body or fault.body_until):
        return response

    async def stream() -> AsyncIterator[bytes]:
        yield body[: len(body) // 2]
        if fault.is_dropped:
            raise Dropped
        await anyio.sleep(fault.slow_body)
        await _wait(fault.body_until)
        yield body[len(body) // 2 :]

    return StreamingResponse(stream(), status, {**headers, "content-length": str(len(body))})


async def _pad(body: bytes, size: int) -> AsyncIterator[bytes]:
    yield body
    for start in range(0, size, _CHUNK):
        yield b" " * min(_CHUNK, size - start)


def _compress(body: bytes, size: int) -> bytes:
    # write a single gzip member, because some clients ignore a second one; compress in pieces to save memory
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(body)]
    pieces += [packer.compress(b" " * min(_CHUNK, size - start)) for start in range(0, size, _CHUNK)]
    return b"".join([*pieces, packer.flush()])
