"""Read and decompress the bodies of HTTP responses in bounded memory."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Protocol, cast

from swanlab_mcp.client.cloud.answers import Answer
from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.i18n import gettext

__all__ = ["Response", "read_body", "read_whole"]

_LARGEST_ANSWER = 64 * 2**20
_PIECE = 2**16


class Response(Protocol):
    """An HTTP response whose body has not been read yet."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]: ...

    def aiter_raw(self) -> AsyncIterator[bytes]: ...


async def read_whole(response: Response, what: str) -> Answer:
    """Return a response with its full body, or raise UnexpectedResponse if the decompressed body exceeds 64 MB."""
    content = bytearray()
    async with aclosing(read_body(response, _LARGEST_ANSWER, what)) as pieces:
        async for piece in pieces:
            content += piece
    return Answer(response.status_code, response.headers, bytes(content))


async def read_body(response: Response, limit: int, what: str = "") -> AsyncGenerator[bytes, None]:
    """Yield a decompressed body in small pieces, because httpx would decompress all received data at once.

    Raises UnexpectedResponse if the body has more than `limit` bytes, or is declared as gzip but is not valid gzip.
    """
    what = what or gettext("a download")
    reported = response.headers.get("content-length", "")
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip"):
        raise UnexpectedResponse(
            gettext(
                "SwanLab's response to {what} uses a compression format that the request did not accept.", what=what
            )
        )
    too_large = UnexpectedResponse(
        gettext("SwanLab's response to {what} is larger than {size} MB.", what=what, size=limit // 2**20),
        hint=gettext("Request less data at once."),
    )
    if reported.isdecimal() and int(reported) > limit:
        raise too_large
    gzip = _Gzip() if coding == "gzip" else None
    size = 0
    try:
        async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw())) as chunks:
            async for chunk in chunks:
                for piece in gzip.decompress(chunk) if gzip else (chunk,):
                    size += len(piece)
                    if size > limit:
                        raise too_large
                    yield piece
                    # a decompression bomb must not block other calls or outlast the call's deadline
                    await asyncio.sleep(0)
        if gzip:
            gzip.finish()
    except zlib.error as error:
        raise UnexpectedResponse(
            gettext("SwanLab's response to {what} could not be decompressed.", what=what),
            hint=gettext("Send the request again."),
        ) from error


class _Gzip:
    """Decompresses gzip data in pieces of at most 64 kB. Raises zlib.error for invalid or incomplete data."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)
        self._is_whole = True

    def decompress(self, rest: bytes) -> Iterator[bytes]:
        piece = b""
        while rest or (len(piece) == _PIECE and not self._is_whole):
            if self._decoder.eof:
                self._decoder = zlib.decompressobj(wbits=31)
            piece = self._decoder.decompress(rest, _PIECE)
            rest = self._decoder.unconsumed_tail or self._decoder.unused_data
            self._is_whole = self._decoder.eof
            yield piece

    def finish(self) -> None:
        if not self._is_whole:
            raise zlib.error("the end is missing")
