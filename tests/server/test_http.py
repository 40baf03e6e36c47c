"""HTTP on the shared server: paths, browsers, OAuth probes and nearly valid JSON-RPC messages."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from swanlab_mcp.settings import Settings
from tests.server.test_shared_server import ACCEPT, CALL, ask, bearer, message, names, serve, team, url

__all__ = ["team", "url"]


def post(url: str, body: bytes, **headers: str) -> httpx.Response:
    sent = {**ACCEPT, **bearer(), "content-type": "application/json", **headers}
    return httpx.post(f"{url}/mcp", content=body, headers=sent, timeout=30)


def test_trailing_slash_is_served_without_a_redirect(url: str) -> None:
    answer = httpx.post(f"{url}/mcp/", json=message(**CALL), headers={**ACCEPT, **bearer()}, timeout=30)
    assert names(answer) == ["project1"]


@pytest.mark.parametrize("accept", [None, "", "*/*", "application/*", "application/json"])
def test_request_without_accept_header_is_served(url: str, accept: str | None) -> None:
    request = httpx.Request("POST", f"{url}/mcp", json=message(**CALL), headers=bearer())
    if accept is not None:
        request.headers["accept"] = accept
    with httpx.Client(timeout=30) as http:
        assert names(http.send(request)) == ["project1"]


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/register",
        "/authorize",
        "/token",
    ],
)
def test_oauth_probes_get_the_advice_to_send_a_key(url: str, path: str) -> None:
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{url}{path}")
        assert answer.status_code == 404
        assert "send your SwanLab API key as a bearer token" in answer.json()["error_description"]
        assert "www-authenticate" not in answer.headers


def test_invalid_key_is_refused_before_the_method_is_checked(url: str) -> None:
    for method in ("GET", "DELETE", "PUT"):
        assert httpx.request(method, f"{url}/mcp").status_code == 401
        assert httpx.request(method, f"{url}/mcp", headers=bearer("wrong")).status_code == 401
        assert httpx.request(method, f"{url}/mcp", headers=bearer()).status_code == 405


def preflight(url: str, origin: str) -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,mcp-protocol-version",
    }
    return httpx.options(f"{url}/mcp", headers=headers)


@pytest.mark.parametrize("origin", ["http://localhost:6274", "https://mcp.example.org", "app://obsidian.md", "null"])
def test_allowed_origin_can_call(settings: Settings, origin: str) -> None:
    with serve(settings, allowed_hosts=["mcp.example.org"], allowed_origins=["app://obsidian.md", "null"]) as url:
        answer = preflight(url, origin)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "authorization" in answer.headers["access-control-allow-headers"]
        called = ask(url, origin=origin)
        assert names(called) == ["project1"]
        assert called.headers["access-control-allow-origin"] == origin
        refused = ask(url, key="wrong", origin=origin)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)


def test_other_origins_are_refused_with_the_name_of_the_option(url: str) -> None:
    for origin in ("https://evil.example", "app://evil", "null", "http://localhost.evil.example"):
        answer = preflight(url, origin)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    assert "--allowed-origin" in ask(url, origin="app://obsidian.md").json()["error"]["message"]
    assert httpx.options(f"{url}/mcp").status_code == 204


SURROGATE = json.dumps(message(name="list_projects", arguments={"search": "@"})).replace("@", "\\ud83d").encode()


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (SURROGATE, 1),
        (b'{"jsonrpc":"2.0","id":5.0,"method":"tools/list"}', 5),
        (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":"a","method":"tools/list"}', "a"),
        (json.dumps(message(name="list_projects", arguments={"search": "\\ud800"})).encode(), 1),
    ],
)
def test_repairable_message_gets_its_result(url: str, body: bytes, number: Any) -> None:
    answer = post(url, body)
    assert answer.status_code == 200
    assert answer.json()["id"] == number
    assert "result" in answer.json()


@pytest.mark.parametrize(
    ("body", "code", "number"),
    [
        (b'{"id":7,"method":"tools/list"}', -32600, 7),
        (b'{"jsonrpc":"1.0","id":7,"method":"tools/list"}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":3}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/list","params":[]}', -32602, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/list"', -32700, 7),
        (b'{"jsonrpc":"2.0","id":5.5,"method":"tools/list"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"tools/list"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":8,"method":"tools/call","params":' + b"[" * 400 + b"]" * 400 + b"}", -32602, 8),
        (b'{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"a":' + b"9" * 5000 + b"}}", -32602, 8),
        (b"[" * 100_000, -32602, None),
        (b"\xff\xfe", -32700, None),
        (b"", -32700, None),
        (b"null", -32600, None),
        (b"[]", -32600, None),
    ],
)
def test_malformed_message_gets_an_error_with_its_id(url: str, body: bytes, code: int, number: Any) -> None:
    answer = post(url, body)
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["id"]) == (code, number)
    assert names(ask(url)) == ["project1"]


def test_each_request_of_a_batch_gets_an_error(url: str) -> None:
    answer = post(url, json.dumps([message(), {**message(), "id": "b"}, {"jsonrpc": "2.0", "method": "x"}]).encode())
    assert [(one["id"], one["error"]["code"]) for one in answer.json()] == [(1, -32600), ("b", -32600)]


def test_half_surrogates_are_repaired_in_the_2026_era(url: str) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = json.dumps(message(name="list_projects", arguments={"search": "@"}, _meta=meta)).replace("@", "\\udc00")
    shown = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "list_projects"}
    answer = post(url, body.encode(), **shown)
    assert answer.json()["id"] == 1, answer.text
    assert answer.json()["result"]["isError"] is False


def test_rate_limit_per_key_returns_the_time_to_wait(settings: Settings, team: Any) -> None:  # noqa: ARG001
    from swanlab_mcp.server.limits import Limits

    with serve(settings, limits=Limits(rate=3)) as url:
        for _ in range(3):
            assert ask(url).status_code == 200
        refused = ask(url)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert ask(url, key="other-key").status_code == 200


@pytest.mark.exhaustive
def test_request_on_an_open_connection_takes_at_most_10_ms(url: str) -> None:
    with httpx.Client(headers={**ACCEPT, **bearer()}, timeout=30) as http:
        took: list[float] = []
        for _ in range(40):
            started = time.perf_counter()
            assert http.post(f"{url}/mcp", json=message("ping")).status_code == 200
            took.append(time.perf_counter() - started)
    # Nagle's algorithm with delayed acknowledgements once took 45 ms
    assert sorted(took)[len(took) // 2] < 0.03
