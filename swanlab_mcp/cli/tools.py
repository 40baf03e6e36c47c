"""`tools`: list the tools."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from swanlab_mcp.cli.output import show
from swanlab_mcp.cli.serve import start_server
from swanlab_mcp.cli.tool_words import TOOL_WORDS
from swanlab_mcp.settings import Settings

__all__ = ["run"]


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print each tool with its arguments and the first line of its description, in the user's language."""
    return asyncio.run(_list_tools(start_server(settings, arguments)))


async def _list_tools(server: Any) -> int:
    from swanlab_mcp.server.app import connect

    async with connect(server) as client:
        tools = (await client.list_tools()).tools
    for tool in tools:
        arguments = " ".join(
            name if name in tool.input_schema.get("required", ()) else f"[{name}]"
            for name in tool.input_schema.get("properties", {})
        )
        show(f"{tool.name} {arguments}".rstrip())
        show(f"    {TOOL_WORDS[tool.name]()}")
    return 0
