"""The one private name of the MCP SDK that we use.

`MCPServer` has no public way to serve streams of ours (`run_stdio_async` makes its own, and drops a message that it
cannot read without an answer), nor to register a handler for `logging/setLevel`; the low-level server that it wraps has
both. With mcp 2.3 it is `_lowlevel_server`.
"""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.lowlevel.server import Server

__all__ = ["get_lowlevel_server"]


def get_lowlevel_server(server: MCPServer[Any]) -> Server[Any]:
    return server._lowlevel_server  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
