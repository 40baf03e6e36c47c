"""Serve MCP on standard input and a given output."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, BinaryIO

import anyio
from mcp.server import MCPServer
from mcp.server.stdio import stdio_server

from swanlab_mcp.server.sdk import get_lowlevel_server

__all__ = ["serve"]


def serve(server: MCPServer[Any], stdout: BinaryIO, then: Callable[[], None]) -> None:
    """Serve on stdin and `stdout` until the input ends, then call `then`: all calls are stopped by now.

    Without a `then` that ends the process, threads that still compute for a stopped call would be waited for.
    """

    async def run() -> None:
        lowlevel = get_lowlevel_server(server)
        async with stdio_server(stdout=anyio.wrap_file(_Output(stdout, encoding="utf-8"))) as (received, sent):
            await lowlevel.run(received, sent, lowlevel.create_initialization_options())
        then()

    anyio.run(run)


class _Output(TextIOWrapper):
    """An output whose reader may be gone: then its input has ended too, and that ends us."""

    def write(self, text: str, /) -> int:
        with suppress(BrokenPipeError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(BrokenPipeError):
            super().flush()
