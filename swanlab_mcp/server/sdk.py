"""Access the only private attribute of the MCP SDK that this package uses.

`MCPServer` cannot use streams that we provide, because `run_stdio_async` always creates its own and drops unreadable
messages without a response. `MCPServer` also cannot register a handler for `logging/setLevel`. The low-level server
inside `MCPServer` can do both. In mcp 2.3, the low-level server is the private attribute `_lowlevel_server`.
"""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.lowlevel.server import Server

__all__ = ["get_lowlevel_server"]


def get_lowlevel_server(server: MCPServer[Any]) -> Server[Any]:
    return server._lowlevel_server  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] no public API
