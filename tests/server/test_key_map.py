"""The keys of people who log in at a proxy stay on the server, and only the proxy can name a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.server.key_map import KeyMap
from swanlab_mcp.server.limits import Refused
from swanlab_mcp.settings import Settings
from tests.cli.test_command import environ
from tests.fake_swanlab import State
from tests.server.test_reloading import hang_up, started
from tests.server.test_shared_server import ask, names, serve, team

__all__ = ["team"]

HEADER, SECRET = "x-forwarded-email", "p" * 32
LINES = "# people of the lab\n\nme@example.org test-key\nColleague@example.org\tother-key\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(LINES)
    file.chmod(0o600)
    return file


def test_each_person_uses_their_own_key(settings: Settings, team: State, path: Path) -> None:
    with serve(settings, key_map=KeyMap(str(path), HEADER, "")) as url:
        # the token is the proxy's, not SwanLab's
        for sent in ({}, {"authorization": "Bearer token-of-the-proxy"}):
            assert names(ask(url, key=None, **{HEADER: "me@example.org", **sent})) == ["project1"]
            assert names(ask(url, key=None, **{HEADER: "colleague@EXAMPLE.org", **sent})) == ["secret"]
        stranger = ask(url, key=None, **{HEADER: "stranger@example.org"})
        assert (stranger.status_code, "stranger@example.org" in stranger.text) == (403, True)
        both = ask(url, key=None, **{HEADER: "me@example.org, colleague@example.org"})
        assert both.status_code == 403
        # callers with their own key need no proxy
        assert names(ask(url, key="other-key")) == ["secret"]
        assert ask(url, key=None).status_code == 401
    assert team.logins == 2


def test_only_the_proxy_names_a_person(settings: Settings, team: State, path: Path) -> None:
    named = {HEADER: "me@example.org"}
    with serve(settings, key_map=KeyMap(str(path), HEADER, SECRET)) as url:
        for sent in (
            {},
            {"x-proxy-secret": "q" * 32},
            {"x-proxy-secret": ""},
            {"x-proxy-secret": f"{SECRET}, {SECRET}"},
        ):
            refused = ask(url, key="test-key", **named, **sent)
            assert (refused.status_code, SECRET in refused.text) == (401, False)
        assert team.logins == 0
        assert names(ask(url, key=None, **named, **{"x-proxy-secret": SECRET})) == ["project1"]


@pytest.mark.parametrize(
    ("address", "is_trusted"), [("127.0.0.1", True), ("::1", True), ("10.0.0.7", False), ("", False)]
)
def test_without_a_secret_only_this_machine_is_the_proxy(path: Path, address: str, *, is_trusted: bool) -> None:
    keys = KeyMap(str(path), HEADER, "")
    if is_trusted:
        assert keys.find({HEADER: "me@example.org"}, address) == "test-key"
    else:
        with pytest.raises(Refused, match="may send x-forwarded-email"):
            keys.find({HEADER: "me@example.org"}, address)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o666])
def test_file_that_others_can_read_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(InvalidArgument, match="Other users can read or change") as raised:
        KeyMap(str(path), HEADER, "")
    assert "chmod 600" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("me@example.org", 1),
        ("# x\nme key-canary more", 2),
        ("a k\nA key-canary", 2),
        ("a key-\N{CJK UNIFIED IDEOGRAPH-4E2D}", 1),
    ],
)
def test_invalid_line_is_named_without_its_content(path: Path, text: str, line: int) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgument, match=f"Line {line} of") as raised:
        KeyMap(str(path), HEADER, "")
    assert "canary" not in str(raised.value)
    assert "canary" not in repr(raised.value.__cause__)


def test_keys_are_reloaded_and_never_shown(host: str, team: State, path: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    options = ("--key-map", str(path), "--audit", str(audit))
    assert team.users
    with started(host, *options) as (server, url):
        assert ask(url, key=None, **{HEADER: "new@example.org"}).status_code == 403
        path.write_text(f"{LINES}new@example.org other-key\n")
        assert hang_up(server, 2) == ["reloaded: certificates", "reloaded: keys"]
        assert names(ask(url, key=None, **{HEADER: "new@example.org"})) == ["secret"]
        path.chmod(0o644)
        report = hang_up(server, 2)[1]
        assert report.startswith("not reloaded, keys: Other users can read")
        assert names(ask(url, key=None, **{HEADER: "new@example.org"})) == ["secret"]
        server.terminate()
        logged = server.stderr.read() + audit.read_text(encoding="utf-8") + report
    assert "other-key" not in logged
    assert "new@example.org" not in logged


def test_open_address_requires_the_secret_of_the_proxy(path: Path) -> None:
    command = [sys.executable, "-m", "swanlab_mcp", "serve", "--transport", "http", "--key-map", str(path)]
    opened = ["--http-host", "0.0.0.0", "--allowed-host", "mcp.example.org"]

    def start(*options: str, **more: str) -> Any:
        return subprocess.run([*command, *options], capture_output=True, text=True, env=environ(**more), check=False)

    missing = start(*opened)
    assert (missing.returncode, "set SWANLAB_MCP_PROXY_SECRET" in missing.stderr) == (2, True)
    short = start(*opened, SWANLAB_MCP_PROXY_SECRET="short")
    assert (short.returncode, "at least 32" in short.stderr) == (2, True)
    path.chmod(0o644)
    unsafe = start()
    assert (unsafe.returncode, "Other users can read" in unsafe.stderr) == (2, True)
