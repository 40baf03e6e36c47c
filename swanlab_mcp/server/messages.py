"""Validate JSON-RPC messages, repair common client mistakes, and create error responses for invalid messages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, cast

from swanlab_mcp.core.i18n import gettext

__all__ = ["Call", "read_message"]

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS = -32700, -32600, -32602
_DEEPEST = 100
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_ID = re.compile(rb'\s*:\s*("(?:[^"\\]|\\.){0,200}"|-?\d{1,18}(?![\d.eE]))')
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LONG_NUMBER = re.compile(rb"\d{400}")


@dataclass
class Call:
    """The id and method of a message. For a tool call, `tool` and `arguments` are set, too."""

    id: str | int | None = None
    method: str = ""
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)


class _Malformed(Exception):
    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


def read_message(body: bytes) -> tuple[bytes, Call, Any]:
    """Return a message that the SDK accepts, the call that it contains, and an error response.

    The error response is None if the message is valid. Three mistakes are repaired: a byte order mark is removed,
    unpaired surrogates are replaced with U+FFFD, and an id such as 5.0 is converted to an integer.
    """
    call = Call()
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        value = _parse(body)
        if isinstance(value, list):
            return body, call, _refuse_batch(cast("list[Any]", value))
        is_changed = _check(value, call)
        text = json.dumps(value, ensure_ascii=False) if is_changed or rb"\ud" in body.lower() else ""
        if _SURROGATE.search(text):
            text, is_changed = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text), True
    except _Malformed as error:
        if call.id is None:
            call.id = _find_id(body)
        return body, call, _make_error(call.id, error.code, error.message)
    return (text.encode() if is_changed else body), call, None


def _parse(body: bytes) -> Any:
    if _LONG_NUMBER.search(body):
        raise _Malformed(INVALID_PARAMS, gettext("The message contains a number with hundreds of digits."))
    if _measure_depth(body) > _DEEPEST:
        raise _Malformed(
            INVALID_PARAMS, gettext("The message is nested more than {depth} levels deep.", depth=_DEEPEST)
        )
    try:
        return json.loads(body.decode())
    except ValueError as error:
        raise _Malformed(PARSE_ERROR, gettext("The message is not JSON: {why}.", why=error)) from error


def _check(value: Any, call: Call) -> bool:
    """Fill in `call` from a message. Return whether the id was converted to an integer.

    Raises _Malformed if the message is not valid JSON-RPC.
    """
    if not isinstance(value, dict):
        raise _Malformed(INVALID_REQUEST, gettext("A JSON-RPC message must be an object."))
    message = cast("dict[str, Any]", value)
    is_changed = False
    if "id" in message:
        sent = message["id"]
        if isinstance(sent, float) and sent.is_integer():
            sent = message["id"] = int(sent)
            is_changed = True
        if not isinstance(sent, (str, int)) or isinstance(sent, bool):
            raise _Malformed(INVALID_REQUEST, gettext("The id of a request must be a string or an integer."))
        call.id = sent
    if message.get("jsonrpc") != "2.0":
        raise _Malformed(INVALID_REQUEST, gettext("The message has no {field}.", field='"jsonrpc": "2.0"'))
    if "method" not in message and ("result" in message or "error" in message):
        return is_changed
    if not isinstance(message.get("method"), str):
        raise _Malformed(INVALID_REQUEST, gettext("The method of a request must be a string."))
    call.method = message["method"]
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise _Malformed(INVALID_PARAMS, gettext("The params of a request must be an object."))
    if call.method == "tools/call":
        reported = cast("dict[str, Any]", params)
        call.tool = reported["name"] if isinstance(reported.get("name"), str) else ""
        call.arguments = reported["arguments"] if isinstance(reported.get("arguments"), dict) else {}
    return is_changed


def _find_id(body: bytes) -> str | int | None:
    """Return the id from the outermost object of a message that is not valid JSON, or None if there is no id."""
    depth = 0
    found: dict[int, bytes] = {}
    for token in _TOKEN.finditer(body):
        if token[0] in b"[{":
            depth += 1
        elif token[0] in b"]}":
            depth -= 1
        elif token[0] == b'"id"' and (value := _ID.match(body, token.end())):
            found.setdefault(depth, value[1])
    try:
        number = json.loads(found[min(found)])
    except ValueError:
        return None
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", number) if isinstance(number, str) else number


def _refuse_batch(messages: list[Any]) -> Any:
    """Return an error response for each request in a batch, because MCP no longer supports batches."""
    text = gettext("Batches are not supported: send one message per request.")
    ids = [cast("dict[str, Any]", one).get("id") for one in messages if isinstance(one, dict)]
    errors = [_make_error(one, INVALID_REQUEST, text) for one in ids if isinstance(one, (str, int))]
    return errors or _make_error(None, INVALID_REQUEST, text)


def _measure_depth(body: bytes) -> int:
    """Return the nesting depth of a JSON document, ignoring brackets inside strings."""
    depth = deepest = 0
    for mark in re.finditer(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', body, re.DOTALL):
        first = mark[0][:1]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


def _make_error(number: str | int | None, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
