"""`check` always terminates, and explains failures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swanlab_mcp.cli.main import main
from tests.cli.test_command import environ, start
from tests.conftest import RUNS
from tests.fake_swanlab.server import listen


def check(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit):
        main(["check", *words])
    return capsys.readouterr().out


def test_silent_host_times_out() -> None:
    with listen() as listener:
        host = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = start("check", "--host", host, "--timeout", "0.5", SWANLAB_API_KEY="key")
    assert done.returncode == 1
    assert done.stdout.endswith(
        f"login: failed. {host} did not respond within 0.5 s: check the address, the port and any firewall.\n"
    )


# a system resolver that fails immediately, or hangs
RESOLVER = """
import socket, sys, time
def resolve(host, *_, **__):
    time.sleep(float(sys.argv[1]))
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
socket.getaddrinfo = resolve
from swanlab_mcp.cli.main import main
main(["check", "--host", "https://x.invalid", "--timeout", sys.argv[2]])
"""


@pytest.mark.parametrize(
    ("wait", "seconds", "expected"),
    [
        ("0", "30", "The name x.invalid cannot be resolved: check its spelling and the DNS."),
        ("50", "0.5", "https://x.invalid did not respond within 0.5 s: check the address, the port and any firewall."),
    ],
)
def test_unresolvable_host_is_named_and_a_hanging_resolver_is_abandoned(wait: str, seconds: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESOLVER, wait, seconds],
        capture_output=True,
        text=True,
        timeout=40,
        env=environ(SWANLAB_API_KEY="key"),
        check=False,
    )
    assert done.returncode == 1
    assert expected in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["missing", "a file", "empty", "others", "one run"])
def test_folder_without_runs_is_explained(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "place"
    reasons = {
        "missing": "The folder does not exist.",
        "a file": "It is a file, not a folder.",
        "empty": "It is empty.",
        "others": "None of its 2 entries is a run",
        "one run": "",
    }
    if kind == "a file":
        folder.touch()
    elif kind != "missing":
        folder.mkdir()
    if kind == "others":
        (folder / "notes.txt").touch()
        (folder / "data").mkdir()
    if kind == "one run":
        folder = next(path.parent for path in sorted((RUNS / "0.10.3-offline").rglob("*.swanlab")))
    shown = check(capsys, "--log-dir", str(folder))
    assert (
        f"runs on disk: {folder}\n    {reasons[kind]}" in shown
        if reasons[kind]
        else "runs found: 1 experiment in 1 project," in shown
    )


def test_proxies_and_certificates_are_shown_without_passwords(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:canary@proxy.example:1")
    monkeypatch.setenv("NO_PROXY", "localhost, ::1")
    monkeypatch.setenv("SSL_CERT_DIR", "/certificates")
    shown = check(capsys, "--host", host)
    assert "network: HTTPS_PROXY=http://…@proxy.example:1\n" in shown
    assert "network: NO_PROXY=localhost,::1\n" in shown
    assert "network: SSL_CERT_DIR=/certificates\n" in shown
    assert "canary" not in shown


def test_control_characters_in_names_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = check(capsys, "--log-dir", str(tmp_path / "\x1b[31mred\udcff"))
    assert "\x1b" not in shown
    assert "\\x1b[31mred\\udcff" in shown
