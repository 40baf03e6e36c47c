"""Access to the only private name that we use from the MCP SDK.

`MCPServer` cannot serve on our own streams: `run_stdio_async` always creates its streams, and drops unreadable messages
without a response. `MCPServer` also cannot register a handler for `logging/setLevel`. The low-level server inside
`MCPServer` can do both. In mcp 2.3, the low-level server is the private attribute `_lowlevel_server`.
"""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.lowlevel.server import Server

__all__ = ["get_lowlevel_server"]


def get_lowlevel_server(server: MCPServer[Any]) -> Server[Any]:
    return server._lowlevel_server  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] no public way
