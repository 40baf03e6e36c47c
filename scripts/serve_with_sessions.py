"""Serve the demo over HTTP with sessions and streams, which the conformance suite requires and the server lacks."""

from __future__ import annotations

import socket
import sys

import uvicorn

from swanlab_mcp.server.app import create_server
from swanlab_mcp.settings import load_settings

app = create_server(load_settings(demo=True)).streamable_http_app()
listener = socket.create_server(("127.0.0.1", 0))
print(f"serving MCP on http://127.0.0.1:{listener.getsockname()[1]}/mcp", file=sys.stderr, flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)).run(sockets=[listener])
