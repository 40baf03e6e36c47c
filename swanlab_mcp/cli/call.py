"""`call`: call a tool once and print the reply."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from swanlab_mcp.cli.output import refuse_suffix, report, show, watch, write
from swanlab_mcp.cli.serve import start_server
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import neutralise_value
from swanlab_mcp.present.new_file import refuse_existing
from swanlab_mcp.settings import Settings

__all__ = ["run"]

_SUFFIXES = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg"),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "image/bmp": (".bmp",),
    "image/tiff": (".tif", ".tiff"),
}


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Call the tool and print the reply. Exit codes: 0 for success, 1 if the reply is an error, 2 for a usage error."""
    if arguments.output:
        try:
            refuse_suffix(arguments.output, sorted({suffix for names in _SUFFIXES.values() for suffix in names}))
            refuse_existing(arguments.output)
        except InvalidArgument as error:
            report(str(error))
            return 2
    # request both text and JSON, because --json decides which of them is printed
    server = start_server(replace(settings, output="both"), arguments)
    how: dict[str, Any] = {"as_json": arguments.json, "output": arguments.output}
    return asyncio.run(_call(server, arguments.tool, arguments.argument, **how))


async def _call(server: Any, tool: str, words: Sequence[str], *, as_json: bool, output: Path | None) -> int:
    from swanlab_mcp.server.app import connect

    async with connect(server) as client:
        known = {entry.name: entry for entry in (await client.list_tools()).tools}
        if tool not in known:
            # call the tool anyway, because the error suggests similar names or the option that enables the tool
            refused = await client.call_tool(tool, {})
            report("\n".join(block.text for block in refused.content if block.type == "text"))
            return 2
        odd = [word for word in words if "=" not in word]
        if odd:
            report(gettext("Write arguments as name=value, not {word!r}.", word=odd[0]))
            return 2
        values = _read_values(words, known[tool].input_schema.get("properties", {}))
        with watch() as bar:
            result = await client.call_tool(tool, values, progress_callback=bar)
    text = "\n".join(block.text for block in result.content if block.type == "text")
    if as_json and result.structured_content is None:
        report(gettext("{tool} returns pictures and text; omit --json.", tool=tool))
        return 2
    if as_json:
        value = neutralise_value(result.structured_content)
        print(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    elif result.is_error:
        report(text)
    else:
        show(text)
    if result.is_error:
        return 1
    return _write(output, [block for block in result.content if block.type == "image"]) if output else 0


def _write(output: Path, pictures: Sequence[Any]) -> int:
    if not pictures:
        report(gettext("The result contains no image, so no file was written."))
        return 1
    kinds = [_SUFFIXES.get(picture.mime_type, ()) for picture in pictures]
    try:
        for suffixes in kinds:
            refuse_suffix(output, suffixes)
    except InvalidArgument as error:
        report(str(error))
        return 1
    return write(output, [base64.b64decode(picture.data) for picture in pictures])


def _read_values(words: Sequence[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Parse `name=value` arguments. Lists can be JSON arrays, comma-separated values or repeated names."""
    values: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if properties.get(name, {}).get("type") == "array" and not text.startswith("["):
            values[name] = [*values.get(name, []), *filter(None, text.split(","))]
        else:
            values[name] = text
    return values
