"""The assistants that `install` supports, with the location and format of their configuration files."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

__all__ = ["ASSISTANTS", "NAME", "Assistant", "Entry", "NotEditable", "write_snippet"]

NAME = "swanlab"
_KEY = "SWANLAB_API_KEY"
_ROAMING = "AppData/Roaming"
_SUPPORT = "Library/Application Support"


class NotEditable(ValueError):
    """Raised if a file cannot be edited without risking its other contents."""


class Entry(NamedTuple):
    """The command that starts the server, and its environment variables. The variables contain no secrets."""

    command: tuple[str, ...]
    environ: Mapping[str, str] = {}


@dataclass(frozen=True)
class Assistant:
    """An assistant and the way it stores its list of MCP servers.

    `table` is the key of the server list in the file. `files` maps each value of `sys.platform` to the path of the file
    in the home folder, and the key "" applies to all other platforms. `form` is the format of the file, and `shape`
    selects the fields of an entry.
    """

    name: str
    title: str
    table: str = "mcpServers"
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    form: Literal["json", "toml", "yaml"] = "json"
    shape: Literal["plain", "typed", "opencode", "zed", "goose"] = "plain"

    def find_file(self, home: Path, platform: str = sys.platform) -> Path | None:
        """Return the path of the configuration file, or None if the assistant does not store servers in a file."""
        name = self.files.get(platform, self.files.get("", ""))
        return home / name if name else None

    @property
    def environ_field(self) -> str:
        return {"opencode": "environment", "goose": "envs"}.get(self.shape, "env")

    def describe(self, entry: Entry, known: Any = None) -> dict[str, Any]:
        """Return the entry with the fields that this assistant expects.

        `known` is the existing entry, if there is one. Fields that the user added to the existing entry are kept.
        """
        command, *words = entry.command
        fields: dict[str, Any] = {"command": command, "args": words}
        if self.shape == "typed":
            fields = {"type": "stdio", **fields}
        elif self.shape == "opencode":
            fields = {"type": "local", "command": [command, *words]}
        elif self.shape == "zed":
            fields = {"source": "custom", **fields}
        elif self.shape == "goose":
            fields = {"name": NAME, "type": "stdio", "cmd": command, "args": words}
        kept = cast("dict[str, Any]", known) if isinstance(known, dict) else {}
        if self.shape in ("opencode", "goose"):
            fields["enabled"] = kept.get("enabled", True)
        if self.shape == "goose":
            fields["timeout"] = kept.get("timeout", 300)
        held: dict[str, Any] = kept.get(self.environ_field) or {}
        environ = {**held, **entry.environ}
        return {**kept, **fields, **({self.environ_field: environ} if environ else {})}


def _by_platform(mac: str, windows: str, other: str) -> dict[str, str]:
    return {"darwin": mac, "win32": windows, "": other}


ASSISTANTS = {
    one.name: one
    for one in (
        Assistant(
            "claude-desktop",
            "Claude Desktop",
            files=_by_platform(
                f"{_SUPPORT}/Claude/claude_desktop_config.json",
                f"{_ROAMING}/Claude/claude_desktop_config.json",
                ".config/Claude/claude_desktop_config.json",
            ),
        ),
        Assistant("claude-code", "Claude Code", files={"": ".claude.json"}, shape="typed"),
        Assistant("cursor", "Cursor", files={"": ".cursor/mcp.json"}),
        Assistant(
            "vscode",
            "VS Code",
            "servers",
            _by_platform(
                f"{_SUPPORT}/Code/User/mcp.json", f"{_ROAMING}/Code/User/mcp.json", ".config/Code/User/mcp.json"
            ),
            shape="typed",
        ),
        Assistant("windsurf", "Windsurf", files={"": ".codeium/windsurf/mcp_config.json"}),
        Assistant("codex", "Codex", "mcp_servers", {"": ".codex/config.toml"}, "toml"),
        Assistant("gemini", "Gemini CLI", files={"": ".gemini/settings.json"}),
        Assistant("opencode", "OpenCode", "mcp", {"": ".config/opencode/opencode.json"}, shape="opencode"),
        Assistant("qwen", "Qwen Code", files={"": ".qwen/settings.json"}),
        Assistant(
            "zed",
            "Zed",
            "context_servers",
            {"win32": f"{_ROAMING}/Zed/settings.json", "": ".config/zed/settings.json"},
            shape="zed",
        ),
        Assistant("lm-studio", "LM Studio", files={"": ".lmstudio/mcp.json"}),
        Assistant(
            "goose",
            "Goose",
            "extensions",
            {"win32": f"{_ROAMING}/Block/goose/config/config.yaml", "": ".config/goose/config.yaml"},
            "yaml",
            "goose",
        ),
        Assistant("cherry-studio", "Cherry Studio", shape="typed"),
    )
}


def write_snippet(assistant: Assistant, entry: Entry, *, with_key: bool = False) -> str:
    """Return the contents of a configuration file that lists only this server.

    If `with_key` is true, the file contains a placeholder for the API key.
    """
    whole: dict[str, Any] = {}
    if with_key and assistant.name == "vscode":
        # VS Code prompts for the key once and stores it securely
        entry = Entry(entry.command, {_KEY: "${input:swanlab-key}", **entry.environ})
        requested = {"id": "swanlab-key", "type": "promptString", "description": "SwanLab API key", "password": True}
        whole = {"inputs": [requested]}
    elif with_key:
        entry = Entry(entry.command, {_KEY: "your key", **entry.environ})
    fields = assistant.describe(entry)
    if assistant.form == "toml":
        from swanlab_mcp.cli.config_toml import write_table

        return write_table(assistant.table, NAME, fields)
    if assistant.form == "yaml":
        from swanlab_mcp.cli.config_yaml import write_block

        return f"{assistant.table}:\n{write_block(NAME, fields, '  ')}"
    return json.dumps({**whole, assistant.table: {NAME: fields}}, indent=2, ensure_ascii=False) + "\n"
