"""Every request with an id over stdio gets a result or an error, and the next call works."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR

from swanlab_mcp.server.messages import read_message
from tests.cli.test_command import INITIALIZE, environ, send


class Server:
    """The command, running with the demo and exchanging messages line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._calls = 1000

    def send(self, line: bytes) -> None:
        self._stdin.write(line + b"\n")
        self._stdin.flush()

    def receive(self) -> dict[str, Any]:
        return json.loads(self._stdout.readline())

    def check_next_call(self) -> None:
        self._calls += 1
        self.send(call(str(self._calls).encode()))
        answer = self.receive()
        assert answer["id"] == self._calls
        assert answer["result"]["structuredContent"]["data"][0]["name"] == "digits-mlp"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    command = [sys.executable, "-m", "swanlab_mcp", "--demo"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ()
    ) as process:
        speaking = Server(process)
        speaking.send(send(INITIALIZE, {"method": "notifications/initialized"}).encode().strip())
        assert "result" in speaking.receive()
        yield speaking
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def call(number: bytes, arguments: bytes = b"{}", head: bytes = b'"jsonrpc": "2.0", ') -> bytes:
    params = b'{"name": "list_projects", "arguments": ' + arguments + b"}"
    return b'{"method": "tools/call", "params": ' + params + b", " + head + b'"id": ' + number + b"}"


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (call(b"5", rb'{"search": "\ud800"}'), 5),
        (call(b'"a\\ud83d"', b"{}"), "a\ufffd"),
        (call(b"5.0"), 5),
        (b"\xef\xbb\xbf" + call(b"6"), 6),
    ],
    ids=["surrogate", "surrogate in id", "5.0", "BOM"],
)
def test_repairable_request_gets_its_result(server: Server, line: bytes, number: object) -> None:
    server.send(line)
    answer = server.receive()
    assert (answer["id"], "result" in answer) == (number, True)
    server.check_next_call()


@pytest.mark.parametrize(
    ("line", "number", "code"),
    [
        (call(b"1", b'{"search": ' + b"[" * 400 + b"]" * 400 + b"}"), 1, INVALID_PARAMS),
        (call(b"2", b'{"search": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}"), 2, INVALID_PARAMS),
        (call(b"3", b"[" * 100_000 + b"]" * 100_000), 3, INVALID_PARAMS),
        (call(b"7", head=b""), 7, INVALID_REQUEST),
        (call(b"8", b'{"page": ' + b"9" * 5000 + b"}"), 8, INVALID_PARAMS),
        (call(b"9", b'{"search": "\xff\xfe"}'), 9, PARSE_ERROR),
        (call(b'"four"', b"{")[:-1], "four", PARSE_ERROR),
        (call(b"5", b'{"id": 6, "search": oops}'), 5, PARSE_ERROR),
        (call(b"5.5"), None, INVALID_REQUEST),
        (call(b"true"), None, INVALID_REQUEST),
        (call(b"null"), None, INVALID_REQUEST),
        (call(b"[1]"), None, INVALID_REQUEST),
        (call(b"6", head=b'"jsonrpc": "1.0", '), 6, INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 7}', 7, INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 8, "method": "tools/list", "params": []}', 8, INVALID_PARAMS),
        (b"not json", None, PARSE_ERROR),
        (b"[]", None, INVALID_REQUEST),
        (b"17", None, INVALID_REQUEST),
        (b"\xff\xfe\x00", None, PARSE_ERROR),
    ],
)
def test_other_malformed_requests_get_an_error_with_their_id(
    server: Server, line: bytes, number: object, code: int
) -> None:
    server.send(line)
    answer = server.receive()
    assert (answer["id"], answer["error"]["code"]) == (number, code)
    server.check_next_call()


def test_each_request_of_a_batch_gets_an_error(server: Server) -> None:
    server.send(b"[" + call(b"21") + b", 5, " + call(b"22") + b"]")
    answers = [server.receive() for _ in range(2)]
    assert [(answer["id"], answer["error"]["code"]) for answer in answers] == [
        (21, INVALID_REQUEST),
        (22, INVALID_REQUEST),
    ]
    server.check_next_call()


def test_blank_lines_and_replies_without_a_request_are_ignored(server: Server) -> None:
    server.send(b"")
    server.send(b'{"jsonrpc": "2.0", "id": 99, "result": {"a": "\\ud800"}}')
    server.check_next_call()


@given(st.binary(max_size=300))
def test_no_input_line_breaks_the_reader(raw: bytes) -> None:
    _, _, refusal = read_message(raw)
    assert refusal is None or json.dumps(refusal)
