"""The command starts in unusual environments, and reports settings that it cannot use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swanlab_mcp.cli.main import main
from swanlab_mcp.cli.parser import find_language_option
from swanlab_mcp.settings import DEFAULT_API_HOST, Settings, load_settings
from tests.cli.test_command import ROOT
from tests.conftest import RUNS, session, text_of
from tests.fake_swanlab import Fault, State

PLACEHOLDERS = [
    "${input:swanlab-key}",
    "${SWANLAB_API_KEY}",
    "$SWANLAB_API_KEY",
    "%SWANLAB_API_KEY%",
    "{{key}}",
    "<key>",
]


def check(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit):
        main(["check", *words])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    return shown.out


@pytest.mark.parametrize("value", [*PLACEHOLDERS, "your key", "YOUR_API_KEY"])
def test_placeholder_key_is_reported_and_never_sent(
    value: str, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", value)
    shown = check(capsys, "--host", host)
    assert f"problem: SWANLAB_API_KEY={value!r} is an unfilled placeholder" in shown
    assert "API key: none found" in shown


@pytest.mark.parametrize("value", [*PLACEHOLDERS, "https://${env:SWANLAB_HOST}"])
def test_placeholder_host_prevents_every_request(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "key")
    monkeypatch.setenv("SWANLAB_API_HOST", value)
    assert f"login: failed. SWANLAB_API_HOST={value!r} is an unfilled placeholder" in check(capsys)
    monkeypatch.delenv("SWANLAB_API_HOST")
    assert f"login: failed. --host={value!r} is an unfilled placeholder" in check(capsys, "--host", value)


@pytest.mark.parametrize("value", ["${workspaceFolder}/swanlog", "$HOME/swanlog", "%USERPROFILE%/swanlog"])
def test_placeholder_log_folder_is_reported_unless_it_exists(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWANLAB_LOG_DIR", value)
    assert f"problem: SWANLAB_LOG_DIR={value!r} is an unfilled placeholder" in check(capsys)
    Path(value).mkdir(parents=True)
    assert "is an unfilled placeholder" not in check(capsys)


def test_unusual_key_and_host_are_kept() -> None:
    found = load_settings(environ={"SWANLAB_API_KEY": "aB3$x%y<z", "SWANLAB_API_HOST": "https://swan.example.com"})
    assert (found.api_key, found.api_host, found.problems) == ("aB3$x%y<z", "https://swan.example.com", ())


def test_empty_variables_and_options_are_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("API_KEY", "API_HOST", "WEB_HOST", "HOST", "ROOT", "SAVE_DIR", "LOG_DIR", "LOGDIR", "MCP_LANG")
    found = load_settings(environ={f"SWANLAB_{name}": " " for name in names} | {"HOME": ""})
    assert (found.api_host, found.problems, found.host_problem) == (DEFAULT_API_HOST, (), "")
    words = ("--lang", "", "--host", "", "--log-dir", "", "--timeout", "", "--max-output-tokens", "")
    assert "problem" not in check(capsys, *words)


@pytest.mark.parametrize("value", ["swan.example.com", "http://10.0.0.5:8000", "not a host"])
@pytest.mark.parametrize("name", ["SWANLAB_HOST", "SWANLAB_WEB_HOST", "SWANLAB_SERVER_HOST"])
def test_other_host_variable_is_reported_and_the_key_is_not_sent(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "key-canary")
    monkeypatch.setenv(name, value)
    shown = check(capsys)
    assert f"login: failed. {name}={value} suggests another host, so no requests are sent to " in shown
    assert f"set SWANLAB_API_HOST, or unset {name}." in shown
    assert "login: works" not in shown
    monkeypatch.setenv("SWANLAB_API_HOST", "https://swan.example.com")
    assert load_settings().host_problem == ""
    monkeypatch.delenv("SWANLAB_API_HOST")
    monkeypatch.setenv(name, "https://swanlab.cn")
    assert load_settings().host_problem == ""


@pytest.mark.anyio
async def test_first_answer_names_the_variable_of_an_ignored_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "key-canary")
    monkeypatch.setenv("SWANLAB_WEB_HOST", "https://swan.example.com")
    async with session(load_settings()) as client:
        answer = await client.call_tool("list_workspaces", {})
    assert answer.is_error
    assert "SWANLAB_WEB_HOST=https://swan.example.com suggests another host" in text_of(answer)


@pytest.mark.parametrize("name", ["SWANLAB_BOARD_HOST", "SWANLAB_DASHBOARD_HOST"])
def test_address_of_the_local_dashboard_does_not_block_requests(name: str) -> None:
    assert load_settings(environ={name: "0.0.0.0", "SWANLAB_API_KEY": "key"}).host_problem == ""


def test_pages_of_a_self_hosted_login_may_be_on_another_host(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine swan.example.com\n login x\n password key\n", encoding="utf-8")
    found = load_settings(environ={"SWANLAB_ROOT": str(tmp_path), "SWANLAB_WEB_HOST": "https://pages.example.com"})
    assert (found.api_host, found.web_host) == ("https://swan.example.com", "https://pages.example.com")
    assert found.host_problem == ""


def test_ignored_path_prefix_is_reported_with_the_used_address(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "The path /swan/lab of" not in check(capsys, "--host", f"{host}/api")
    shown = check(capsys, "--host", f"{host}/swan/lab/")
    assert f"The path /swan/lab in the host {host}/swan/lab/ is ignored: requests go to {host}/api." in shown


@pytest.mark.parametrize(("status", "body"), [(404, b"<html>Not Found</html>"), (200, b"<html>Welcome</html>")])
def test_failed_login_names_an_ignored_path_prefix(
    status: int,
    body: bytes,
    settings: Settings,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    host = settings.api_host
    monkeypatch.setenv("SWANLAB_API_KEY", settings.api_key)
    state.faults = [Fault(path="/login/", status=status, body=body)]
    with pytest.raises(SystemExit):
        main(["call", "list_projects", "--host", f"{host}/swan/lab"])
    shown = capsys.readouterr().err
    assert f"{host}/api/login/api_key" in shown
    assert f"The path /swan/lab in the host {host}/swan/lab is ignored: requests go to {host}/api." in shown


def run(code: str, folder: Path) -> str:
    """Run Python code in a process with an empty environment, and return its output."""
    done = subprocess.run(
        [sys.executable, "-c", f"import os, sys, tempfile\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_deleted_working_directory_is_reported(tmp_path: Path) -> None:
    words = ["check", "--log-dir", str(RUNS / "0.10.3-offline"), "--log-dir", "relative"]
    code = "place = tempfile.mkdtemp(); os.chdir(place); os.rmdir(place)\n"
    shown = run(f"{code}from swanlab_mcp.cli.main import main; main({words})", tmp_path)
    assert "problem: The working directory cannot be read" in shown
    assert "problem: relative is ignored" in shown
    assert "runs found: 6 experiments" in shown


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="needs root to switch users")
def test_unknown_user_without_home_can_load_settings(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    code = "from swanlab_mcp.settings import load_settings; import pwd; os.setgid(54321); os.setuid(54321)\n"
    shown = run(f"{code}found = load_settings(log_dirs=['~/x']); print(found.problems, found.key_source)", tmp_path)
    assert "The working directory cannot be read" in shown
    assert "~/x is ignored" in shown


@pytest.mark.parametrize(
    ("words", "language"),
    [([], ""), (["check"], ""), (["--lang", "zh"], "zh"), (["--lang=en", "check"], "en"), (["--lang"], "")],
)
def test_language_option_is_found_in_any_arguments(words: list[str], language: str) -> None:
    assert find_language_option(words) == language
