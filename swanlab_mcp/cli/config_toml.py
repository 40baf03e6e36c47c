"""Add an entry to a TOML file, leaving all other text unchanged, including comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from swanlab_mcp.cli.assistants import NotEditable
from swanlab_mcp.core.i18n import gettext

__all__ = ["edit", "write_table"]


def edit(text: str, table: str, name: str, make: Any) -> tuple[str, Any, dict[str, Any]]:
    """Return the edited text, the previous entry (None if there was none) and the new entry.

    `make` creates the new entry from the previous entry. Raises NotEditable if the text is not valid TOML or cannot be
    edited safely.
    """
    try:
        document: Any = tomlkit.parse(text)
    except TOMLKitError as error:
        raise NotEditable(str(error)) from error
    before: dict[str, Any] = document.unwrap()
    servers: Any = document.get(table, {})
    if not isinstance(servers, Mapping):
        raise NotEditable(gettext("it has no server list under {table!r}", table=table))
    known = before.get(table, {}).get(name)
    new = cast("dict[str, Any]", make(known))
    if new == known:
        return text, known, new
    if known is None and (table not in document or isinstance(servers, Table)):
        # append to the end of the file, as the assistants do, even if other tables follow the server list
        gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
        edited = text + gap + write_table(table, name, new)
    else:
        fresh: Any = tomlkit.inline_table()
        entry = fresh if known is None else document[table][name]
        for key, value in new.items():
            if key not in entry or entry[key] != value:
                entry[key] = value
        if known is None:
            document[table][name] = entry
        edited = tomlkit.dumps(document)
    after: dict[str, Any] = tomlkit.parse(edited).unwrap()
    if repr(after) != repr({**before, table: {**before.get(table, {}), name: after[table][name]}}):
        raise NotEditable(gettext("it could not be edited without changing other parts"))
    return edited, known, new


def write_table(table: str, name: str, fields: Mapping[str, Any]) -> str:
    """Return an entry as a TOML table. Nested tables are written inline."""
    entry = tomlkit.table()
    for key, value in fields.items():
        if isinstance(value, Mapping):
            inner: Any = tomlkit.inline_table()
            inner.update(value)
            entry[key] = inner
        else:
            entry[key] = value
    outer = tomlkit.table(is_super_table=True)
    outer[name] = entry
    document = tomlkit.document()
    document[table] = outer
    return tomlkit.dumps(document)
