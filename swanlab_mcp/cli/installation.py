"""Add the server to an assistant's configuration file, leaving all other text unchanged."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from difflib import unified_diff
from functools import partial
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

from swanlab_mcp.cli.assistants import NAME, Assistant, Entry, write_snippet
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import neutralise

__all__ = ["Change", "find_command", "plan_change", "write_change"]


class Change(NamedTuple):
    """A planned change to a file.

    `before` and `after` are the contents of the file, and `before` is None if the file does not exist. `difference` is
    a diff without secrets to show to the user, or "" if nothing changes.
    """

    path: Path
    before: str | None
    after: str
    difference: str


def find_command() -> list[str]:
    """Return the command that starts this installation of the server.

    The command uses full paths, because assistants do not know the PATH of the user's shell.
    """
    python = Path(sys.executable)
    if "archive-v0" in python.parts or "environments-v2" in python.parts:
        # use uvx, because uv may delete this cached environment at any time
        return [shutil.which("uvx") or "uvx", *_describe_source(), "swanlab-mcp-server"]
    script = python.with_name("swanlab-mcp-server.exe" if python.suffix == ".exe" else "swanlab-mcp-server")
    return [str(script)] if script.is_file() else [str(python), "-m", "swanlab_mcp"]


def _describe_source() -> list[str]:
    """Return the `--from` option that makes uvx use the same source and extras as this installation.

    Return an empty list if the package was installed from the registry without extras.
    """
    extra = "[plot]" if find_spec("matplotlib") else ""
    recorded = distribution("swanlab-mcp-server").read_text("direct_url.json")
    if recorded is None:
        return ["--from", f"swanlab-mcp-server{extra}"] if extra else []
    source = json.loads(recorded)
    address = source["url"]
    if version := source.get("vcs_info"):
        address = f"{version['vcs']}+{address}@{version['commit_id']}"
    return ["--from", f"swanlab-mcp-server{extra} @ {address}"]


def plan_change(assistant: Assistant, entry: Entry, path: Path) -> Change:
    """Plan the change that adds the server to the file at `path`, keeping all other text, including comments.

    Raises InvalidArgument if the folder is missing, if the file is invalid, or if an existing entry cannot be edited
    safely.
    """
    advice = gettext("Add this by hand:") + f"\n{write_snippet(assistant, entry)}"
    try:
        if not path.parent.is_dir():
            raise InvalidArgument(
                gettext(
                    "{assistant} does not seem to be installed: the folder {folder} does not exist.",
                    assistant=assistant.title,
                    folder=path.parent,
                ),
                hint=advice,
            )
        before = path.read_bytes().decode("utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            gettext("{name} cannot be read ({kind}).", name=path, kind=type(error).__name__), hint=advice
        ) from error
    mark = "\ufeff" if before and before.startswith("\ufeff") else ""
    text, newline = (before or "").removeprefix("\ufeff"), "\n"
    if "\n" in text and text.count("\n") == text.count("\r\n"):
        text, newline = text.replace("\r\n", "\n"), "\r\n"
    editor = import_module(f"swanlab_mcp.cli.config_{assistant.form}")
    try:
        edited, known, new = editor.edit(text, assistant.table, NAME, partial(assistant.describe, entry))
    except (ValueError, RecursionError) as error:
        why = gettext("it is nested too deeply") if isinstance(error, RecursionError) else neutralise(str(error))
        raise InvalidArgument(gettext("{path} was not changed: {why}.", path=path, why=why), hint=advice) from error
    if before is not None and edited == text:
        return Change(path, before, before, "")
    return Change(path, before, mark + edited.replace("\n", newline), _compare(path, known, new, entry))


def _compare(path: Path, known: Any, new: Mapping[str, Any], entry: Entry) -> str:
    """Return a diff of the server's entry. Values set by the user are hidden, because they may be secret."""
    public = {*entry.command, *entry.environ.values(), "stdio", "local", "custom", NAME}
    sides = [
        [] if side is None else json.dumps(_hide(side, public), indent=2, ensure_ascii=False).splitlines()
        for side in (known, new)
    ]
    name = f"{path} ({NAME})"
    return neutralise("\n".join(unified_diff(sides[0], sides[1], name, name, n=99, lineterm="")))


def _hide(value: Any, public: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _hide(item, public) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_hide(item, public) for item in cast("list[Any]", value)]
    return "…" if isinstance(value, str) and value not in public else value


def write_change(change: Change) -> Path | None:
    """Write the file. Return the path of the backup, or None if the file is new.

    Raises InvalidArgument if the file cannot be written.
    """
    path = change.path.resolve()
    try:
        backup = _make_backup(path) if change.before is not None else None
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(change.after)
        if backup:
            shutil.copymode(path, name)
        # replace the file atomically, because an assistant may be reading it
        Path(name).replace(path)
    except (OSError, UnicodeEncodeError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidArgument(
            gettext("{path} was not written: {why}.", path=path, why=why), hint=gettext("Use --print instead.")
        ) from error
    return backup


def _make_backup(path: Path) -> Path:
    number = 1
    while (backup := path.with_name(f"{path.name}.backup-{number}")).exists():
        number += 1
    shutil.copy2(path, backup)
    return backup
