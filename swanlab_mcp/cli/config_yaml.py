"""Add an entry to a YAML file, leaving all other text unchanged, including comments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import yaml

from swanlab_mcp.cli.assistants import NotEditable
from swanlab_mcp.core.i18n import gettext

__all__ = ["edit", "write_block"]


def edit(text: str, table: str, name: str, make: Any) -> tuple[str, Any, dict[str, Any]]:
    """Return the edited text, the previous entry (None if there was none) and the new entry.

    `make` creates the new entry from the previous entry. Raises NotEditable if the text is not valid YAML or cannot be
    edited safely.
    """
    before = _load(text)
    servers = before.get(table)
    if not isinstance(servers, (dict, type(None))):
        raise NotEditable(gettext("it has no server list under {table!r}", table=table))
    known = cast("dict[str, Any]", servers or {}).get(name)
    new = cast("dict[str, Any]", make(known))
    if new == known:
        return text, known, new
    if known is not None:
        # an existing entry is not edited, because comments and anchors make it hard to find the end of the entry
        raise NotEditable(gettext("it already has a different entry named {name!r}", name=name))
    heading = re.search(rf"^{table}:[ \t]*(?:#[^\n]*)?\n", text, re.MULTILINE)
    if heading and servers:
        unit = re.match(r"(?:[ \t]*(?:#[^\n]*)?\n)*( +)", text[heading.end() :])
        offset, block = heading.end(), write_block(name, new, unit[1] if unit else "  ")
        edited = text[:offset] + block + text[offset:]
    elif servers is None and table not in before:
        gap = "" if not text or text.endswith("\n") else "\n"
        edited = f"{text}{gap}{table}:\n{write_block(name, new, '  ')}"
    else:
        raise NotEditable(gettext("it has no server list under {table!r}", table=table))
    if _load(edited) != {**before, table: {**(servers or {}), name: new}}:
        raise NotEditable(gettext("it could not be edited without changing other parts"))
    return edited, known, new


def write_block(name: str, fields: Mapping[str, Any], unit: str) -> str:
    """Return an entry as a YAML block. The values are written as JSON, because JSON is valid YAML."""
    lines = [f"{unit}{name}:"]
    lines += [f"{unit}{unit}{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(lines) + "\n"


def _load(text: str) -> dict[str, Any]:
    try:
        read: Any = yaml.safe_load(text) if text.strip() else {}
    except yaml.YAMLError as error:
        raise NotEditable(str(error).partition("\n")[0]) from error
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise NotEditable(gettext("it contains no settings"))
    return cast("dict[str, Any]", read)
