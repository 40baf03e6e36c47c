"""Add an entry to a JSON file, leaving all other text unchanged, including comments and trailing commas."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from swanlab_mcp.cli.assistants import NotEditable
from swanlab_mcp.core.i18n import gettext

__all__ = ["edit"]


def edit(text: str, table: str, name: str, make: Any) -> tuple[str, Any, dict[str, Any]]:
    """Return the edited text, the previous entry (None if there was none) and the new entry.

    `make` creates the new entry from the previous entry. Raises ValueError if the text is not valid JSON or cannot be
    edited safely.
    """
    text = text if text.strip() else "{}\n"
    plain = _blank(text)
    read: Any = json.loads(plain)
    whole = cast("dict[str, Any]", read) if isinstance(read, dict) else None
    unit = found[1] if (found := re.search(r"^([ \t]+)\S", text, re.MULTILINE)) else "  "
    servers = None if whole is None else whole.get(table, {})
    if whole is None or not isinstance(servers, dict):
        raise NotEditable(gettext("it has no server list under {table!r}", table=table))
    known = cast("dict[str, Any]", servers).get(name)
    new = cast("dict[str, Any]", make(known))
    if known == new:
        return text, known, new
    start = plain.index("{")
    members = _find_members(plain, start)
    if table not in members:
        edited = _insert(text, start, bool(members), f"{_to_json(table)}: {_to_json({name: new}, unit, 1)}", unit, 1)
    else:
        start = members[table][0]
        inner = _find_members(plain, start)
        if name in inner:
            begin, end = inner[name]
            if text[begin:end] != plain[begin:end]:
                raise NotEditable(gettext("the entry {name!r} contains comments, which would be lost", name=name))
            edited = text[:begin] + _to_json(new, unit, 2) + text[end:]
        else:
            edited = _insert(text, start, bool(inner), f'"{name}": {_to_json(new, unit, 2)}', unit, 2)
    if json.loads(_blank(edited)) != {**whole, table: {**servers, name: new}}:
        raise NotEditable(gettext("it could not be edited without changing other parts"))
    return edited, known, new


def _to_json(value: Any, indent: str = "  ", depth: int = 0) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False).replace("\n", "\n" + indent * depth)


def _insert(text: str, start: int, has_members: bool, member: str, unit: str, depth: int) -> str:
    """Insert a member at the beginning of the object whose opening brace is at `start`."""
    end = "," if has_members else "\n" + unit * (depth - 1)
    return f"{text[: start + 1]}\n{unit * depth}{member}{end}{text[start + 1 :]}"


def _blank(text: str) -> str:
    """Replace comments and trailing commas with spaces, so that positions in the text stay the same."""

    def blank(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0])

    quoted = r'"(?:\\.|[^"\\])*"'
    without = re.sub(rf"{quoted}|//[^\n]*|/\*.*?\*/", blank, text, flags=re.DOTALL)
    return re.sub(rf"{quoted}|,(?=\s*[}}\]])", blank, without, flags=re.DOTALL)


def _find_members(text: str, start: int) -> dict[str, tuple[int, int]]:
    """Return the start and end of each value in the object whose opening brace is at `start`.

    The text must be valid JSON. Raises NotEditable if a key is repeated.
    """
    decoder = json.JSONDecoder()
    found: dict[str, tuple[int, int]] = {}

    def skip(offset: int, characters: str) -> int:
        while text[offset] in characters:
            offset += 1
        return offset

    offset = skip(start + 1, " \t\r\n,")
    while text[offset] != "}":
        name, offset = decoder.raw_decode(text, offset)
        begin = skip(offset, " \t\r\n:")
        _, offset = decoder.raw_decode(text, begin)
        if name in found:
            raise NotEditable(gettext("it contains {name!r} twice", name=name))
        found[name] = (begin, offset)
        offset = skip(offset, " \t\r\n,")
    return found
