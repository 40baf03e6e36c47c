"""Select the tools that a request may use: all tools, only read-only tools, or the tools listed in the request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.refs import find_near_names
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.server.table import ToolEntry

__all__ = ["offered", "select_entries", "select_tools"]

# the names of the tools that the current request may use, or None if all tools are allowed
offered: ContextVar[frozenset[str] | None] = ContextVar("offered", default=None)


def select_tools(entries: Sequence[ToolEntry], names: Iterable[str]) -> tuple[ToolEntry, ...]:
    """Return the entries with the given names, or all entries if `names` is empty.

    Raises InvalidArgument if a name is unknown.
    """
    wanted = {name.strip() for name in names} - {""}
    known = [entry.name for entry in entries]
    for name in sorted(wanted - {*known}):
        near = find_near_names(name, known)
        raise InvalidArgument(
            gettext("Unknown tool {name}.", name=quote(name)),
            hint=gettext("Similar names: {names}.", names=", ".join(near))
            if near
            else gettext("Known names: {names}.", names=", ".join(known)),
        )
    return tuple(entry for entry in entries if entry.name in wanted or not wanted)


def select_entries(entries: Sequence[ToolEntry]) -> Sequence[ToolEntry]:
    """Return the entries that the current request may use."""
    names = offered.get()
    return entries if names is None else [entry for entry in entries if entry.name in names]
