"""`install` adds one entry to an assistant's configuration, and leaves everything else unchanged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.cli import main as cli
from swanlab_mcp.cli.assistants import ASSISTANTS, Assistant, Entry, write_snippet
from swanlab_mcp.cli.installation import find_command, plan_change, write_change
from swanlab_mcp.core.errors import InvalidArgument
from tests.cli.test_command import ROOT
from tests.conftest import RUNS

EDITABLE = [one for one in ASSISTANTS.values() if one.files]
JSON = [one for one in EDITABLE if one.form == "json"]
CURSOR, VSCODE, CODEX = ASSISTANTS["cursor"], ASSISTANTS["vscode"], ASSISTANTS["codex"]
GOOSE, OPENCODE = ASSISTANTS["goose"], ASSISTANTS["opencode"]
WORDS = ("swanlab-mcp-server", "--demo")
ENTRY = Entry(WORDS)


def load(assistant: Assistant, text: str) -> Any:
    readers = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}
    return readers[assistant.form](text)[assistant.table]


def read_command(entry: dict[str, Any]) -> list[str]:
    """Return the command line that an assistant would start, from any form of entry."""
    command = entry.get("command", entry.get("cmd"))
    return command if isinstance(command, list) else [command, *entry["args"]]


def environ_of(entry: dict[str, Any]) -> dict[str, str]:
    return entry.get("env") or entry.get("environment") or entry.get("envs") or {}


def write_config(assistant: Assistant, text: str | None = None) -> Path:
    path = assistant.find_file(Path.home())
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        path.write_bytes(text.encode())
    return path


def install(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["install", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("assistant", EDITABLE, ids=lambda one: one.name)
def test_installation_writes_a_new_file_and_is_idempotent(
    assistant: Assistant, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(assistant)
    assert install(assistant.name, "--demo") == 0
    shown = capsys.readouterr()
    assert "+" in shown.out
    assert f"{path}: written.\nRestart {assistant.title} to use it.\n" == shown.err
    written = path.read_text("utf-8")
    entry = load(assistant, written)["swanlab"]
    assert read_command(entry) == [*find_command(), "--demo"]
    assert install(assistant.name, "--demo") == 0
    assert "already has this entry" in capsys.readouterr().err
    assert path.read_text("utf-8") == written
    assert not list(path.parent.glob("*backup*"))


@pytest.mark.parametrize("assistant", JSON, ids=lambda one: one.name)
def test_other_entries_and_comments_survive_with_a_backup(assistant: Assistant) -> None:
    text = f"""\
// mine, do not touch
{{
    "theme": "dark", /* "servers": {{ */
    "{assistant.table}": {{
        // "swanlab": off for now
        "other": {{"command": "run // this", "env": {{"KEY": "secret, ]"}},}},
    }},
}}
"""
    path = write_config(assistant, text)
    path.chmod(0o600)
    assert install(assistant.name, "--demo") == 0
    written = path.read_text("utf-8")
    added = written.split("\n")
    for line in text.split("\n"):
        assert line in added
        added.remove(line)
    assert added[0] == '        "swanlab": {'
    assert '"KEY": "secret, ]"' in written
    assert path.stat().st_mode & 0o777 == 0o600
    backup = path.with_name(f"{path.name}.backup-1")
    assert backup.read_text("utf-8") == text
    assert backup.stat().st_mode & 0o777 == 0o600


def test_diff_shows_no_secret_of_any_server(capsys: pytest.CaptureFixture[str]) -> None:
    old = {"command": "old", "args": [], "env": {"SWANLAB_API_KEY": "key-canary"}, "disabled": True}
    servers = {"other": {"env": {"TOKEN": "token-canary"}}, "swanlab": old}
    path = write_config(CURSOR, json.dumps({"mcpServers": servers}))
    assert install("cursor", "--host", "https://swanlab.example.com") == 0
    shown = capsys.readouterr()
    assert "canary" not in shown.out + shown.err
    entry = load(CURSOR, path.read_text("utf-8"))
    assert entry["other"] == servers["other"]
    assert entry["swanlab"]["env"] == old["env"]
    assert entry["swanlab"]["disabled"] is True
    assert entry["swanlab"]["args"][-2:] == ["--host", "https://swanlab.example.com"]


def test_print_writes_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(CURSOR, "{}")
    assert install("cursor", "--print") == 0
    assert '+  "command": ' in capsys.readouterr().out
    assert path.read_text("utf-8") == "{}"
    assert install("cherry-studio", "--demo") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["mcpServers"]["swanlab"]["args"][-1] == "--demo"
    assert "import this in its settings" in shown.err


def test_options_are_repeated_in_full_and_the_key_is_never_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "key-canary")
    path = write_config(CODEX, 'model = "x"  # mine\n')
    Path("runs").mkdir()
    words = ["--log-dir", "runs", "--timeout", "90", "--max-output-tokens", "4000", "--show-secrets"]
    assert install("codex", *words) == 0
    written = path.read_text("utf-8")
    assert written.startswith('model = "x"  # mine\n\n[mcp_servers.swanlab]\n')
    given_words = ["--log-dir", str(Path.cwd() / "runs"), "--show-secrets", "--timeout", "90"]
    assert load(CODEX, written)["swanlab"]["args"][-7:] == [*given_words, "--max-output-tokens", "4000"]
    shown = capsys.readouterr()
    assert "The entry does not contain the key: run `swanlab login`" in shown.err
    assert "canary" not in shown.out + shown.err + written


@pytest.mark.parametrize(
    ("assistant", "text", "why"),
    [
        (CURSOR, "{not json", "was not changed"),
        (CURSOR, "[]", "has no server list under 'mcpServers'"),
        (CURSOR, '{"mcpServers": []}', "has no server list"),
        (CURSOR, '{"mcpServers": {}, "mcpServers": {}}', "contains 'mcpServers' twice"),
        (CURSOR, '{"mcpServers": {"swanlab": {"command": "x" /* mine */}}}', "contains comments, which would be lost"),
        (CODEX, "mcp_servers = 1\n", "has no server list"),
        (GOOSE, "extensions:\n  swanlab:\n    cmd: x\n", "already has a different entry named 'swanlab'"),
        (GOOSE, "extensions: {other: {cmd: x}}\n", "has no server list"),
        (GOOSE, "- 1\n", "contains no settings"),
        (GOOSE, "a: [", "was not changed"),
        (CURSOR, "[" * 100_000, "is nested too deeply"),
        (CODEX, "= 1", "was not changed"),
        (CURSOR, "\udcff", "cannot be read"),
    ],
)
def test_ambiguous_files_are_left_unchanged(
    assistant: Assistant, text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(assistant, "")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = path.read_bytes()
    assert install(assistant.name, "--demo") == 1
    shown = capsys.readouterr()
    assert why in shown.err
    assert "Add this by hand:" in shown.err
    assert "swanlab" in shown.err
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path]


def test_missing_and_unknown_assistants_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert install("windsurf") == 1
    assert "Windsurf does not seem to be installed" in capsys.readouterr().err
    assert install("emacs") == 2
    assert "Known assistants: claude-desktop, claude-code, cursor" in capsys.readouterr().err


def test_unwritable_file_is_reported(tmp_path: Path) -> None:
    change = plan_change(CURSOR, ENTRY, tmp_path / "mcp.json")
    with pytest.raises(InvalidArgument, match="was not written"):
        write_change(change._replace(path=tmp_path / "none" / "mcp.json"))


def test_links_line_endings_and_bom_are_preserved(tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.json"
    target.write_bytes('\ufeff{\r\n\t"a": 1\r\n}\r\n'.encode())
    link = tmp_path / "mcp.json"
    link.symlink_to(target)
    backup = write_change(plan_change(CURSOR, ENTRY, link))
    assert link.is_symlink()
    written = target.read_bytes().decode()
    assert written.startswith('\ufeff{\r\n\t"mcpServers": {\r\n\t\t"swanlab"')
    assert written.count("\n") == written.count("\r\n")
    assert backup == tmp_path / "dotfiles.json.backup-1"
    other = write_change(plan_change(CURSOR, Entry(("other",)), link))
    assert other == tmp_path / "dotfiles.json.backup-2"


names = st.text(st.sampled_from('ab"\\/*,{}[]: é中'), max_size=6)
plain = st.none() | st.booleans() | st.integers() | names
values = plain | st.lists(plain, max_size=3) | st.dictionaries(names, plain | st.dictionaries(names, plain, max_size=2))


@given(st.dictionaries(names, values, max_size=4), st.dictionaries(names, values, max_size=3), st.integers(0, 4))
def test_any_configuration_keeps_its_entries(others: dict[str, Any], servers: dict[str, Any], indent: int) -> None:
    whole = {**others, "mcpServers": servers}
    text = json.dumps(whole, indent=indent or None, ensure_ascii=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mcp.json"
        path.write_text(text, encoding="utf-8")
        change = plan_change(CURSOR, ENTRY, path)
    entry = {"command": WORDS[0], "args": [*WORDS[1:]]}
    assert json.loads(change.after) == {**whole, "mcpServers": {**servers, "swanlab": entry}}


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_assistant_has_its_own_file_on_each_platform(platform: str) -> None:
    files = [one.find_file(Path("home"), platform) for one in EDITABLE]
    assert len(set(files)) == len(EDITABLE)
    assert all(file is not None and file.parts[0] == "home" and len(file.parts) > 1 for file in files)


def test_command_starts_this_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3.11"))
    assert find_command() == [str(tmp_path / "python3.11"), "-m", "swanlab_mcp"]
    (tmp_path / "swanlab-mcp-server").touch()
    assert find_command() == [str(tmp_path / "swanlab-mcp-server")]
    # uv's environments for a single command are temporary
    monkeypatch.setattr(sys, "executable", "/home/u/.cache/uv/archive-v0/abc/bin/python")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(PathDistribution, "read_text", lambda _self, _name: None)
    assert find_command() == ["uvx", "--from", "swanlab-mcp-server[plot]", "swanlab-mcp-server"]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert find_command() == ["uvx", "swanlab-mcp-server"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"url": "file:///src/a%20b", "dir_info": {}}, "file:///src/a%20b"),
        (
            {"url": "https://git.example/x", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "git+https://git.example/x@c0ffee",
        ),
    ],
)
def test_uvx_entry_keeps_a_non_registry_source(
    source: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/home/u/.cache/uv/archive-v0/abc/bin/python")
    monkeypatch.setattr(PathDistribution, "read_text", lambda _self, _name: json.dumps(source))
    assert find_command()[1:] == ["--from", f"swanlab-mcp-server[plot] @ {expected}", "swanlab-mcp-server"]


@pytest.mark.parametrize("assistant", ASSISTANTS.values(), ids=lambda one: one.name)
def test_snippets_are_valid_and_contain_no_key_by_default(assistant: Assistant) -> None:
    entry = load(assistant, write_snippet(assistant, ENTRY))["swanlab"]
    assert read_command(entry) == [*WORDS]
    assert environ_of(entry) == {}
    shown = write_snippet(assistant, ENTRY, with_key=True)
    assert environ_of(load(assistant, shown)["swanlab"]).keys() == {"SWANLAB_API_KEY"}
    assert ("promptString" in shown) == (assistant is VSCODE)


@pytest.mark.parametrize(
    ("assistant", "text", "kept"),
    [
        (CODEX, "# mine\nmcp_servers = { other = { command = 'x' } }  # inline\n", "# inline"),
        (
            CODEX,
            "[mcp_servers.swanlab]\ncommand = 'x' # old\nstartup_timeout_sec = 9\n\n[tui]\nx = nan\n",
            "startup_timeout_sec = 9",
        ),
        (CODEX, "[mcp_servers.swanlab.env]\nSWANLAB_API_KEY = 'canary'\n", "canary"),
        (
            GOOSE,
            "# mine\nextensions:\n    # first\n    other:\n        cmd: x\nGOOSE_MODEL: m\n",
            "    # first\n    other:\n",
        ),
        (GOOSE, "GOOSE_MODEL: m", "GOOSE_MODEL: m\n"),
        (OPENCODE, '{"mcp": {"swanlab": {"command": ["old"], "enabled": false}}}', '"enabled": false'),
    ],
)
def test_toml_yaml_and_existing_entries_keep_their_fields(
    assistant: Assistant, text: str, kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(assistant, text)
    assert install(assistant.name, "--demo") == 0
    shown = capsys.readouterr()
    assert "canary" not in shown.out + shown.err
    written = path.read_text("utf-8")
    assert kept in written
    assert read_command(load(assistant, written)["swanlab"]) == [*find_command(), "--demo"]


def start_entry(assistant: Assistant) -> str:
    """Run `check` as an assistant would start the entry (in the root folder, with only its variables)."""
    path = assistant.find_file(Path.home())
    assert path is not None
    entry = load(assistant, path.read_text("utf-8"))["swanlab"]
    words = [*read_command(entry), "check"]
    environment = {"PYTHONPATH": str(ROOT), **environ_of(entry)}
    done = subprocess.run(words, capture_output=True, text=True, cwd="/", env=environment, timeout=60, check=False)
    assert done.stderr == ""
    return re.sub(r" in \d+ ms", "", done.stdout)


def find_lines(shown: str) -> list[str]:
    kinds = ("host:", "API key: none", "runs on disk:", "runs found:", "login: works")
    return [line for line in re.sub(r" in \d+ ms", "", shown).splitlines() if line.startswith(kinds)]


def test_entry_finds_the_same_settings_as_check(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(CURSOR)
    netrc = Path(".swanlab/.netrc")
    netrc.parent.mkdir()
    netrc.write_text(f"machine {host}\n  login https://pages.example.com\n  password test-key\n", encoding="utf-8")
    (Path.cwd() / "swanlog").symlink_to(RUNS / "0.10.3-offline")
    monkeypatch.setenv("SWANLAB_WEB_HOST", "https://pages.example.com")
    for environ in ({}, {"SWANLAB_API_HOST": host}, {"SWANLAB_LOG_DIR": "swanlog", "SWANLAB_MCP_LANG": "en"}):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            cli.main(["check"])
        expected = find_lines(capsys.readouterr().out)
        assert len(expected) == 4
        assert install("cursor") == 0
        assert "Warning" not in capsys.readouterr().err
        assert find_lines(start_entry(CURSOR)) == expected


def test_broken_entry_is_not_written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_config(CURSOR)
    for words, expected in (
        (["--host", "http://swan.example.com"], "--allow-insecure-host"),
        (["--log-dir", "missing"], "missing is not a folder; no file was written."),
    ):
        assert install("cursor", *words) == 1
        assert expected in capsys.readouterr().err
    monkeypatch.setenv("SWANLAB_HOST", "https://swan.example.com")
    assert install("cursor") == 1
    assert not path.exists()


def test_proxies_and_certificates_are_copied_without_passwords(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(CURSOR)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:canary@proxy.example:1")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:1")
    monkeypatch.setenv("NO_PROXY", "localhost,::1")
    monkeypatch.setenv("SSL_CERT_FILE", "certificates.pem")
    assert install("cursor", "--host", "https://swan.example.com") == 0
    shown = capsys.readouterr()
    assert "HTTPS_PROXY is not in the entry" in shown.err
    path = CURSOR.find_file(Path.home())
    assert path is not None
    entry = load(CURSOR, path.read_text("utf-8"))["swanlab"]
    assert entry["env"] == {
        "HTTP_PROXY": "http://proxy.example:1",
        "NO_PROXY": "localhost,::1",
        "SSL_CERT_FILE": str(Path("certificates.pem").absolute()),
    }
    assert "canary" not in shown.out + shown.err + json.dumps(entry)
