"""The server as an entry in an assistant's configuration file: written in place, all else there is left as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.untrusted import neutralise

__all__ = ["ASSISTANTS", "Assistant", "Change", "find_command", "plan_change", "write_change", "write_snippet"]

NAME = "swanlab"
_KEY = {"SWANLAB_API_KEY": "your key"}
_SECRET = 6  # characters
_ROAMING = "AppData/Roaming"
_SUPPORT = "Library/Application Support"


@dataclass(frozen=True)
class Assistant:
    """Where an assistant keeps its servers: the file by platform ("": all others), and the table in it."""

    name: str
    title: str
    table: str = "mcpServers"
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    form: Literal["json", "toml"] = "json"
    says_type: bool = False

    def find_file(self, home: Path, platform: str = sys.platform) -> Path | None:
        """Return the file below a home folder; None where servers are kept elsewhere."""
        name = self.files.get(platform, self.files.get("", ""))
        return home / name if name else None


ASSISTANTS = {
    one.name: one
    for one in (
        Assistant(
            "claude-desktop",
            "Claude Desktop",
            files={
                "darwin": f"{_SUPPORT}/Claude/claude_desktop_config.json",
                "win32": f"{_ROAMING}/Claude/claude_desktop_config.json",
                "": ".config/Claude/claude_desktop_config.json",
            },
        ),
        Assistant("claude-code", "Claude Code", files={"": ".claude.json"}, says_type=True),
        Assistant("cursor", "Cursor", files={"": ".cursor/mcp.json"}),
        Assistant(
            "vscode",
            "VS Code",
            "servers",
            {
                "darwin": f"{_SUPPORT}/Code/User/mcp.json",
                "win32": f"{_ROAMING}/Code/User/mcp.json",
                "": ".config/Code/User/mcp.json",
            },
            says_type=True,
        ),
        Assistant("windsurf", "Windsurf", files={"": ".codeium/windsurf/mcp_config.json"}),
        Assistant("codex", "Codex", "mcp_servers", {"": ".codex/config.toml"}, "toml"),
        Assistant("gemini", "Gemini CLI", files={"": ".gemini/settings.json"}),
        Assistant("cherry-studio", "Cherry Studio", says_type=True),
    )
}


class Change(NamedTuple):
    """What would become of a file; `before` is None where there is none yet, `difference` shows no secret."""

    path: Path
    before: str | None
    after: str
    difference: str


def find_command() -> list[str]:
    """Return the words that start this installation from anywhere; assistants do not have a shell's PATH."""
    python = Path(sys.executable)
    if "archive-v0" in python.parts or "environments-v2" in python.parts:
        # uv makes such environments for one command, and throws them away
        return [shutil.which("uvx") or "uvx", *_tell_source(), "swanlab-mcp-server"]
    script = python.with_name("swanlab-mcp-server.exe" if python.suffix == ".exe" else "swanlab-mcp-server")
    return [str(script)] if script.is_file() else [str(python), "-m", "swanlab_mcp"]


def _tell_source() -> list[str]:
    """Return the words by which uvx finds what is installed here, with its pictures; none: in the registry, without."""
    extra = "[plot]" if find_spec("matplotlib") else ""
    recorded = distribution("swanlab-mcp-server").read_text("direct_url.json")
    if recorded is None:
        return ["--from", f"swanlab-mcp-server{extra}"] if extra else []
    source = json.loads(recorded)
    address = source["url"]
    if version := source.get("vcs_info"):
        address = f"{version['vcs']}+{address}@{version['commit_id']}"
    return ["--from", f"swanlab-mcp-server{extra} @ {address}"]


def write_snippet(assistant: Assistant, command: Sequence[str], *, with_key: bool = False) -> str:
    """Return what a configuration file with this server alone would hold; `with_key` shows where a key goes."""
    entry = _make_entry(assistant, command)
    whole: dict[str, Any] = {assistant.table: {NAME: entry}}
    if with_key and assistant.name == "vscode":
        # it asks once, and keeps the key where other programs cannot read it
        entry["env"] = dict.fromkeys(_KEY, "${input:swanlab-key}")
        asked = {"id": "swanlab-key", "type": "promptString", "description": "SwanLab API key", "password": True}
        whole = {"inputs": [asked], **whole}
    elif with_key:
        entry["env"] = dict(_KEY)
    return _to_toml(assistant, entry) if assistant.form == "toml" else _to_json(whole) + "\n"


def plan_change(assistant: Assistant, command: Sequence[str], path: Path) -> Change:
    """Return what the file becomes with the server in it, all else as it is, comments too.

    Raises InvalidArgument where that is not certain: no such folder, not valid, another entry that cannot be edited.
    """
    advice = say("Put this there by hand:") + f"\n{write_snippet(assistant, command)}"
    if not path.parent.is_dir():
        raise InvalidArgument(
            say(
                "{assistant} seems not to be installed: there is no folder {folder}.",
                assistant=assistant.title,
                folder=path.parent,
            ),
            hint=advice,
        )
    before: str | None = None
    try:
        before = path.read_bytes().decode("utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            say("{name} cannot be read ({kind}).", name=path, kind=type(error).__name__), hint=advice
        ) from error
    entry = _make_entry(assistant, command)
    mark = "\ufeff" if before and before.startswith("\ufeff") else ""
    text, newline = (before or "").removeprefix("\ufeff"), "\n"
    if "\n" in text and text.count("\n") == text.count("\r\n"):
        text, newline = text.replace("\r\n", "\n"), "\r\n"
    edit = _edit_toml if assistant.form == "toml" else _edit_json
    try:
        edited, secrets = edit(text, assistant, entry)
    except ValueError as error:
        raise InvalidArgument(
            say("{path} is left as it is: {why}.", path=path, why=neutralise(str(error))), hint=advice
        ) from error
    after = mark + edited.replace("\n", newline)
    # neither lines around nor texts of the line itself: they may be the keys of other servers
    lines = unified_diff(text.splitlines(), edited.splitlines(), str(path), str(path), n=0, lineterm="")
    difference = "\n".join(lines)
    for secret in sorted(secrets, key=len, reverse=True):
        difference = difference.replace(secret, "…")
    return Change(path, before, before if before is not None and edited == text else after, neutralise(difference))


def write_change(change: Change) -> Path | None:
    """Write the file and return the backup of what was there; None: there was nothing. Raises InvalidArgument."""
    path = change.path.resolve()
    try:
        backup = _make_backup(path) if change.before is not None else None
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(change.after)
        if backup:
            shutil.copymode(path, name)
        # whole or not at all: an assistant may read it now
        Path(name).replace(path)
    except OSError as error:
        raise InvalidArgument(
            say("{path} was not written: {why}.", path=path, why=error.strerror), hint=say("Use --print instead.")
        ) from error
    return backup


def _make_backup(path: Path) -> Path:
    number = 1
    while (backup := path.with_name(f"{path.name}.backup-{number}")).exists():
        number += 1
    shutil.copy2(path, backup)
    return backup


def _make_entry(assistant: Assistant, command: Sequence[str]) -> dict[str, Any]:
    kind = {"type": "stdio"} if assistant.says_type else {}
    return {**kind, "command": command[0], "args": list(command[1:])}


def _to_json(value: Any, indent: str = "  ", depth: int = 0) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False).replace("\n", "\n" + indent * depth)


def _to_toml(assistant: Assistant, entry: Mapping[str, Any]) -> str:
    def show(value: Any) -> str:
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value).items()
            return "{ " + ", ".join(f"{name} = {show(item)}" for name, item in fields) + " }"
        return json.dumps(value, ensure_ascii=False)

    lines = [f"[{assistant.table}.{NAME}]", *(f"{name} = {show(value)}" for name, value in entry.items())]
    return "\n".join(lines) + "\n"


def _edit_json(text: str, assistant: Assistant, entry: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the text with the entry, and the texts it held, which may be secret. Raises ValueError where in doubt."""
    text = text if text.strip() else "{}\n"
    plain = _blank(text)
    read: Any = json.loads(plain)
    whole = cast("dict[str, Any]", read) if isinstance(read, dict) else None
    unit = found[1] if (found := re.search(r"^([ \t]+)\S", text, re.MULTILINE)) else "  "
    servers = None if whole is None else whole.get(assistant.table, {})
    if whole is None or not isinstance(servers, dict):
        raise ValueError(say("it does not hold servers under {table!r}", table=assistant.table))
    known = cast("dict[str, Any]", servers).get(NAME)
    kept = cast("dict[str, Any]", known) if isinstance(known, dict) else {}
    if known == {**kept, **entry}:
        return text, []
    # what the user has set beside, like the environment, stays
    new = {**kept, **entry}
    start = plain.index("{")
    members = _find_members(plain, start)
    if assistant.table not in members:
        edited = _insert(
            text, start, bool(members), f"{_to_json(assistant.table)}: {_to_json({NAME: new}, unit, 1)}", unit, 1
        )
    else:
        start = members[assistant.table][0]
        inner = _find_members(plain, start)
        if NAME in inner:
            begin, end = inner[NAME]
            if text[begin:end] != plain[begin:end]:
                raise ValueError(say("the entry {name!r} holds comments, which would be lost", name=NAME))
            edited = text[:begin] + _to_json(new, unit, 2) + text[end:]
        else:
            edited = _insert(text, start, bool(inner), f'"{NAME}": {_to_json(new, unit, 2)}', unit, 2)
    if json.loads(_blank(edited)) != {**whole, assistant.table: {**servers, NAME: new}}:
        raise ValueError(say("it could not be edited without changing other parts"))
    return edited, list(_find_texts(whole))


def _find_texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value that is long enough to be a secret."""
    if isinstance(value, dict):
        for item in cast("dict[str, Any]", value).values():
            yield from _find_texts(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _find_texts(item)
    elif isinstance(value, str) and len(value) >= _SECRET:
        yield json.dumps(value, ensure_ascii=False)[1:-1]


def _insert(text: str, start: int, has_members: bool, member: str, unit: str, depth: int) -> str:
    """Put a member first into the object that opens at `start`."""
    end = "," if has_members else "\n" + unit * (depth - 1)
    return f"{text[: start + 1]}\n{unit * depth}{member}{end}{text[start + 1 :]}"


def _blank(text: str) -> str:
    """Return JSON with comments and with commas before a closing bracket turned into as many spaces."""

    def blank(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0])

    quoted = r'"(?:\\.|[^"\\])*"'
    without = re.sub(rf"{quoted}|//[^\n]*|/\*.*?\*/", blank, text, flags=re.DOTALL)
    return re.sub(rf"{quoted}|,(?=\s*[}}\]])", blank, without, flags=re.DOTALL)


def _find_members(text: str, start: int) -> dict[str, tuple[int, int]]:
    """Return where the values stand of the object that opens at `start` of valid JSON. Raises ValueError for twins."""
    decoder = json.JSONDecoder()
    found: dict[str, tuple[int, int]] = {}

    def skip(place: int, characters: str) -> int:
        while text[place] in characters:
            place += 1
        return place

    place = skip(start + 1, " \t\r\n,")
    while text[place] != "}":
        name, place = decoder.raw_decode(text, place)
        begin = skip(place, " \t\r\n:")
        _, place = decoder.raw_decode(text, begin)
        if name in found:
            raise ValueError(say("it holds {name!r} twice", name=name))
        found[name] = (begin, place)
        place = skip(place, " \t\r\n,")
    return found


def _edit_toml(text: str, assistant: Assistant, entry: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the text with the entry at its end. Raises ValueError where in doubt, and before Python 3.11."""
    if find_spec("tomllib") is None:
        raise ValueError(say("this Python cannot read TOML"))
    tomllib: Any = import_module("tomllib")
    whole = tomllib.loads(text)
    servers = whole.get(assistant.table, {})
    if NAME in servers:
        known = servers[NAME]
        if isinstance(known, dict) and known == {**known, **entry}:
            return text, []
        raise ValueError(say("it holds another entry {name!r}", name=NAME))
    gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
    edited = text + gap + _to_toml(assistant, entry)
    if tomllib.loads(edited) != {**whole, assistant.table: {**servers, NAME: dict(entry)}}:
        raise ValueError(say("it could not be edited without changing other parts"))
    return edited, []
