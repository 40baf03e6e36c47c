"""The only private name from the MCP SDK that we use.

`MCPServer` has no public way to serve our own streams, because `run_stdio_async` creates its own and drops an
unreadable message without a response. Nor can it register a handler for `logging/setLevel`. The low-level server that
it wraps can do both. In mcp 2.3 this is `_lowlevel_server`.
"""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.lowlevel.server import Server

__all__ = ["get_lowlevel_server"]


def get_lowlevel_server(server: MCPServer[Any]) -> Server[Any]:
    return server._lowlevel_server  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] no public way
