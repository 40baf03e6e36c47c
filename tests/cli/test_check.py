"""`check` ends, and says why something does not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from swanlab_mcp.cli.main import main
from tests.cli.test_command import run
from tests.conftest import RUNS
from tests.fake_swanlab.server import listen


def check(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit):
        main(["check", *words])
    return capsys.readouterr().out


def test_a_silent_host_costs_the_timeout() -> None:
    with listen() as listener:
        host = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = run("check", "--host", host, "--timeout", "0.5", SWANLAB_API_KEY="key")
    assert done.returncode == 1
    assert done.stdout.endswith(
        f"login: failed. {host} was silent for 0.5 s: check the address, the port and any firewall.\n"
    )


@pytest.mark.parametrize("kind", ["missing", "a file", "empty", "others", "one run"])
def test_a_folder_without_runs_says_why(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "place"
    reasons = {
        "missing": "There is no such folder.",
        "a file": "It is a file, not a folder.",
        "empty": "It is empty.",
        "others": "None of its 2 entries is a run",
        "one run": "",
    }
    if kind == "a file":
        place.touch()
    elif kind != "missing":
        place.mkdir()
    if kind == "others":
        (place / "notes.txt").touch()
        (place / "data").mkdir()
    if kind == "one run":
        place = next(path.parent for path in sorted((RUNS / "0.10.3-offline").rglob("*.swanlab")))
    shown = check(capsys, "--log-dir", str(place))
    assert (
        f"runs on disk: {place}\n    {reasons[kind]}" in shown
        if reasons[kind]
        else "runs found: 1 experiments" in shown
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


def test_control_characters_of_names_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = check(capsys, "--log-dir", str(tmp_path / "\x1b[31mred\udcff"))
    assert "\x1b" not in shown
    assert "\\x1b[31mred\\udcff" in shown
