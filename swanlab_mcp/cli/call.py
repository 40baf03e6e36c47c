"""`call`: one tool call, printed."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from swanlab_mcp.cli.output import watch, write
from swanlab_mcp.cli.serve import start_server
from swanlab_mcp.core.i18n import say
from swanlab_mcp.settings import Settings

__all__ = ["run"]


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Call the tool and print its reply: 0 done, 1 the reply is an error, 2 wrong usage."""
    server = start_server(settings, arguments)
    how: dict[str, Any] = {"as_json": arguments.json, "output": arguments.output}
    return asyncio.run(_call(server, arguments.tool, arguments.argument, **how))


async def _call(server: Any, tool: str, words: Sequence[str], *, as_json: bool, output: Path | None) -> int:
    from swanlab_mcp.server.app import connect

    async with connect(server) as client:
        known = {entry.name: entry for entry in (await client.list_tools()).tools}
        if tool not in known:
            print(
                say("There is no tool {tool!r}. There are: {names}.", tool=tool, names=", ".join(known)),
                file=sys.stderr,
            )
            return 2
        odd = [word for word in words if "=" not in word]
        if odd:
            print(say("Arguments are written name=value; {word!r} is not.", word=odd[0]), file=sys.stderr)
            return 2
        values = _read_values(words, known[tool].input_schema.get("properties", {}))
        with watch() as bar:
            result = await client.call_tool(tool, values, progress_callback=bar)
    text = "\n".join(block.text for block in result.content if block.type == "text")
    if as_json and result.structured_content is None:
        print(say("{tool} answers with pictures and text; leave --json out.", tool=tool), file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(result.structured_content, ensure_ascii=False, separators=(",", ":")))
    else:
        print(text, file=sys.stderr if result.is_error else sys.stdout)
    if result.is_error:
        return 1
    pictures = [base64.b64decode(block.data) for block in result.content if block.type == "image"]
    return write(output, pictures) if output else 0


def _read_values(words: Sequence[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments from `name=value` words: lists as JSON, with commas, or by repeating the name."""
    values: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if properties.get(name, {}).get("type") == "array" and not text.startswith("["):
            values[name] = [*values.get(name, []), *filter(None, text.split(","))]
        else:
            values[name] = text
    return values
