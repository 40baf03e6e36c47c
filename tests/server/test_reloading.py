"""On SIGHUP, the shared server reloads its files, but a command in a terminal ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.test_command import environ
from tests.client.cloud.test_network import answering, make_certificate
from tests.fake_swanlab import State
from tests.server.test_observability import accepts
from tests.server.test_shared_server import ask, names
from tests.server.test_shutdown import PATIENCE, serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@contextmanager
def started(host: str, *options: str, stdin: Any = subprocess.DEVNULL, **more: str) -> Generator[tuple[Any, str]]:
    """Start the shared server, and yield its process and base URL."""
    command = [sys.executable, "-m", "swanlab_mcp", "serve", "--transport", "http", "--http-port", "0", "--host", host]
    environment = environ(**more)
    pipes: Any = {"stdin": stdin, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, *options], text=True, env=environment, **pipes) as server:
        try:
            assert server.stderr
            yield server, server.stderr.readline().split()[-1].removesuffix("/mcp")
        finally:
            server.kill()


def hang_up(server: Any, lines: int) -> list[str]:
    """Send SIGHUP, and return what the server reports."""
    server.send_signal(signal.SIGHUP)
    return [server.stderr.readline().strip() for _ in range(lines)]


def test_limits_are_reloaded_and_an_invalid_file_changes_nothing(host: str, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text("rate = 1000\nbody = 2000\n")
    with started(host, "--limits", str(limits)) as (server, url):
        assert [ask(url).status_code for _ in range(3)] == [200] * 3
        for wrong, why in (
            ("rate = 'many'", "The limit rate must be a whole number of at least 0."),
            ("rates = 1", "Unknown limit rates. Similar names: rate."),
            ("rate", "is not TOML"),
            ("idle_seconds = nan", "The limit idle_seconds must be a number of at least 0.1."),
        ):
            limits.write_text(wrong)
            report = hang_up(server, 2)
            assert report[0] == "reloaded: certificates"
            assert report[1].startswith("not reloaded, limits: ")
            assert why in report[1]
        assert ask(url).status_code == 200
        limits.write_text("rate = 1\n")
        assert hang_up(server, 2) == ["reloaded: certificates", "reloaded: limits"]
        assert [ask(url).status_code for _ in range(2)] == [200, 429]
        # a limit that is no longer in the file has its default again
        assert ask(url, body={"text": "x" * 3000}).status_code != 413


def test_replaced_certificates_are_used_after_a_reload(tmp_path: Path) -> None:
    _, other = make_certificate(tmp_path)
    bundle = other.rename(tmp_path / "bundle.pem")
    context, path = make_certificate(tmp_path)
    refusal = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
    with (
        answering(refusal, context) as (port, _),
        started(f"https://127.0.0.1:{port}", SSL_CERT_FILE=str(bundle)) as (server, url),
    ):
        untrusted = ask(url)
        assert (untrusted.status_code, "is not trusted" in untrusted.text) == (503, True)
        bundle.write_text("no certificate")
        (report,) = hang_up(server, 1)
        assert report.startswith("not reloaded, certificates: ")
        assert "is not trusted" in ask(url).text
        bundle.write_bytes(path.read_bytes())
        assert hang_up(server, 1) == ["reloaded: certificates"]
        assert ask(url).status_code == 401


def test_calls_continue_during_a_reload(host: str, state: State) -> None:
    with started(host) as (server, url):
        for _ in range(3):
            assert names(ask(url)) == ["project1"]
            assert hang_up(server, 1) == ["reloaded: certificates"]
    assert state.logins == 1


def test_shared_server_in_a_terminal_ends_when_the_terminal_closes(host: str) -> None:
    main_end, terminal = os.openpty()
    try:
        with started(host, stdin=terminal) as (server, url):
            assert httpx.get(f"{url}/health").status_code == 200
            server.send_signal(signal.SIGHUP)
            assert server.wait(PATIENCE) == 129
    finally:
        os.close(main_end)
        os.close(terminal)


def test_server_on_standard_input_ends_with_a_message(host: str) -> None:
    with serving(host) as server:
        server.send_signal(signal.SIGHUP)
        assert server.wait(PATIENCE) == 129
        assert server.stderr.read() == "Stopped by SIGHUP.\n"


def test_invalid_limits_prevent_the_start(tmp_path: Path) -> None:
    for text, why in ((None, "cannot be read: No such file"), ("request = 1", "Similar names: requests")):
        limits = tmp_path / "limits.toml"
        if text:
            limits.write_text(text)
        command = [sys.executable, "-m", "swanlab_mcp", "--demo", "serve", "--transport", "http", "--limits", limits]
        done = subprocess.run(command, capture_output=True, text=True, env=environ(), check=False)
        assert (done.returncode, why in done.stderr) == (2, True), done.stderr


def test_request_on_a_connection_from_before_the_end_is_answered(host: str) -> None:
    with started(host, "--drain", "60") as (server, url):
        address, port = url.removeprefix("http://").split(":")
        with socket.create_connection((address, int(port))) as fresh, httpx.Client() as kept:
            assert kept.get(f"{url}/health").status_code == 200
            server.send_signal(signal.SIGTERM)
            while accepts(url):
                pass
            fresh.sendall(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
            answer = fresh.makefile("rb").read()
            assert b"draining" in answer
            assert re.search(rb"(?i)connection: close", answer)
            last = kept.get(f"{url}/ready")
            assert (last.json()["reason"], last.headers["connection"]) == ("draining", "close")
        assert server.wait(PATIENCE) == 143


def test_hangup_during_the_start_reloads_after_it(host: str, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    # the server reads a pipe, so it waits for the test
    os.mkfifo(limits)
    changed = tmp_path / "changed.toml"
    changed.write_text("rate = 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "swanlab_mcp", "serve", "--transport", "http", "--http-port", "0", "--host", host]
    pipes: Any = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, "--limits", limits], text=True, env=environ(), **pipes) as server:
        try:
            with limits.open("w") as pipe:
                server.send_signal(signal.SIGHUP)
                pipe.write("rate = 1000\n")
                changed.replace(limits)
            assert server.stderr
            lines = [server.stderr.readline().strip() for _ in range(3)]
            assert lines[:2] == ["reloaded: certificates", "reloaded: limits"]
            url = lines[2].split()[-1].removesuffix("/mcp")
            assert [ask(url).status_code for _ in range(2)] == [200, 429]
        finally:
            server.kill()
