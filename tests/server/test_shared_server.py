"""The shared HTTP server: each caller uses their own key and sees only their own data."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import yaml
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult, ResourceTemplateReference
from starlette.types import Receive, Scope, Send

from scripts.nginx import behind_nginx
from swanlab_mcp.cli.parser import read_arguments
from swanlab_mcp.cli.serve import run as run_serve
from swanlab_mcp.core.errors import AuthenticationFailed, RateLimited, SwanLabError
from swanlab_mcp.core.refs import WorkspaceRef
from swanlab_mcp.server import accounts as accounts_module
from swanlab_mcp.server.accounts import Accounts
from swanlab_mcp.server.gateway import Gateway
from swanlab_mcp.server.http import create_http_app
from swanlab_mcp.server.limits import Limits
from swanlab_mcp.server.listening import listen, make_server
from swanlab_mcp.server.table import TOOLS
from swanlab_mcp.settings import Settings, load_settings
from tests.cli.test_command import environ
from tests.conftest import RUNS
from tests.fake_swanlab import Fault, State
from tests.fake_swanlab import serve as serve_fake
from tests.fake_swanlab.server import listen as listen_to_any

pytestmark = pytest.mark.anyio

BEHIND_NGINX = bool(os.environ.get("BEHIND_NGINX"))
ACCEPT = {"accept": "application/json, text/event-stream"}
CALL = {"name": "list_projects", "arguments": {}}


@contextmanager
def serve(settings: Settings, **how: Any) -> Iterator[str]:
    """Serve an app with these settings in a thread. Yield its base URL, or nginx's if BEHIND_NGINX is set."""
    with serve_app(create_http_app(settings, **how)) as url:
        yield url


@contextmanager
def serve_app(app: Any) -> Iterator[str]:
    listener = listen("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    port = listener.getsockname()[1]
    try:
        if BEHIND_NGINX:
            with tempfile.TemporaryDirectory() as folder, behind_nginx([port], Path(folder)) as url:
                yield url
        else:
            yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def bearer(key: str = "test-key") -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def message(method: str = "tools/call", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def ask(url: str, *, key: str | None = "test-key", body: Any = None, **headers: str) -> httpx.Response:
    """Send a raw handshake-era request, without a session or initialize."""
    shown = {**ACCEPT, **(bearer(key) if key is not None else {}), **headers}
    return httpx.post(f"{url}/mcp", json=body or message(**CALL), headers=shown, timeout=30)


def names(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [project["name"] for project in response.json()["result"]["structuredContent"]["data"]]


@pytest.fixture
def team(state: State) -> State:
    """Return a fake SwanLab with a colleague who has their own account, workspace and private project."""
    state.add_user("colleague", api_key="other-key")
    workspace = state.add_workspace("colleague", kind="PERSON", colleague="OWNER")
    state.add_experiment(state.add_project(workspace, "secret", visibility="PRIVATE"), "run-canary")
    return state


@pytest.fixture
def url(settings: Settings, team: State) -> Iterator[str]:  # noqa: ARG001 adds a second account
    with serve(settings) as served:
        yield served


@asynccontextmanager
async def connected(url: str, key: str = "test-key", **how: Any) -> Any:
    async with (
        httpx2.AsyncClient(headers=bearer(key), timeout=30) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), **how) as client,
    ):
        yield client


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
async def test_both_protocol_eras_are_served_by_http(url: str, mode: str) -> None:
    async with connected(url, mode=mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [entry.name for entry in TOOLS]
        result = await client.call_tool("list_projects", {})
        text = await client.read_resource("swanlab://kites-test3/project1")
    assert result.structured_content["data"][0]["name"] == "project1"
    assert "experiment1" in text.contents[0].text


def test_each_request_gets_a_json_response_without_a_session(url: str) -> None:
    answer = ask(url)
    assert names(answer) == ["project1"]
    assert answer.headers["content-type"] == "application/json"
    assert "mcp-session-id" not in answer.headers
    assert "set-cookie" not in answer.headers


def test_callers_see_only_their_own_data(url: str, team: State) -> None:
    assert names(ask(url)) == ["project1"]
    assert names(ask(url, key="other-key")) == ["secret"]
    assert names(ask(url)) == ["project1"]
    peek = ask(url, body=message(name="list_project_exps", arguments={"project": "colleague/secret"}))
    assert peek.json()["result"]["isError"] is True
    assert "run-canary" not in peek.text
    assert team.logins == 2


async def test_parallel_callers_get_their_own_replies(url: str, team: State) -> None:
    for number in range(6):
        team.add_user(f"user{number}", api_key=f"key-{number}")
        workspace = team.add_workspace(f"user{number}", kind="PERSON", **{f"user{number}": "OWNER"})
        team.add_project(workspace, f"of-{number}", visibility="PRIVATE")
    async with httpx.AsyncClient(timeout=30) as http:
        # each key logs in first: more than 8 parallel newcomers have to wait
        for number in range(6):
            names(await http.post(f"{url}/mcp", json=message(**CALL), headers={**ACCEPT, **bearer(f"key-{number}")}))
        callers = [number % 6 for number in range(48)]
        answers = await asyncio.gather(
            *(
                http.post(f"{url}/mcp", json=message(**CALL), headers={**ACCEPT, **bearer(f"key-{number}")})
                for number in callers
            )
        )
    assert [names(answer) for answer in answers] == [[f"of-{number}"] for number in callers]
    assert team.logins == 6


def test_requests_need_a_key_that_swanlab_accepts(url: str, team: State) -> None:
    none = ask(url, key=None)
    assert none.status_code == 401
    assert "www-authenticate" not in none.headers
    assert "your own SwanLab API key" in none.json()["error"]["message"]
    assert team.calls == []
    wrong = ask(url, key="key-canary")
    assert wrong.status_code == 401
    assert "www-authenticate" not in wrong.headers
    assert "refused the API key" in wrong.json()["error"]["message"]
    assert "canary" not in wrong.text
    assert ask(url, key=None, authorization="Basic dGVzdC1rZXk=").status_code == 401
    assert ask(url, key="a\tb").status_code == 401
    twice = [("authorization", "Bearer test-key"), ("authorization", "Bearer other-key"), *ACCEPT.items()]
    # nginx itself refuses a repeated header
    assert httpx.post(f"{url}/mcp", json=message(**CALL), headers=twice).status_code == (400 if BEHIND_NGINX else 401)
    team.users[1].is_verified = False
    assert ask(url, key="other-key").status_code == 403
    assert names(ask(url)) == ["project1"]


def test_unavailable_swanlab_gives_503_and_not_401(url: str, team: State) -> None:
    team.faults.append(Fault("login", status=503, times=5))
    down = ask(url)
    assert down.status_code == 503
    assert down.headers["retry-after"] == "2"
    assert names(ask(url)) == ["project1"]


def test_server_key_and_runs_are_private_unless_shared(settings: Settings, team: State) -> None:
    own = dataclasses.replace(settings, log_dirs=(RUNS / "0.10.3-offline",))
    body = message(name="list_workspaces", arguments={})
    with serve(own) as url:
        assert ask(url, key=None).status_code == 401
        reply = ask(url, key="other-key", body=body).json()["result"]["structuredContent"]["data"]
        assert [one["username"] for one in reply] == ["colleague"]
    with serve(own, shared_key=True) as url:
        reply = ask(url, key=None, body=body).json()["result"]["structuredContent"]["data"]
        assert [one["username"] for one in reply] == ["kites-test3", "kites-test2", "local"]
        assert names(ask(url, key="other-key")) == ["secret"]
        reply = ask(url, key="other-key", body=body).json()["result"]["structuredContent"]["data"]
        assert [one["username"] for one in reply] == ["colleague"]
        assert ask(url, key="wrong").status_code == 401
    assert team.users[0].api_key == "test-key"


def test_demo_requires_and_checks_no_key() -> None:
    import swanlab_mcp

    demo = Settings(demo=True, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))
    with serve(demo) as url:
        for key in (None, "any"):
            assert names(ask(url, key=key)) == ["digits-mlp"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:8000"}, 421),
        ({"host": "["}, 421),
        ({"host": "mcp.example.org:8443"}, 200),
        ({"host": "localhost"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "https://mcp.example.org.evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "file://localhost"}, 403),
        ({"origin": "https://MCP.example.org"}, 200),
        ({"origin": "http://localhost:3000"}, 200),
    ],
)
def test_foreign_host_and_origin_headers_are_refused(settings: Settings, headers: dict[str, str], status: int) -> None:
    with serve(settings, allowed_hosts=["mcp.example.org"]) as url:
        assert ask(url, **headers).status_code == status


def test_health_is_public_and_other_paths_are_refused(url: str) -> None:
    health = httpx.get(f"{url}/health", headers={"host": "10.0.0.7"})
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert httpx.get(f"{url}/").status_code == 404
    assert httpx.get(f"{url}/.well-known/oauth-protected-resource").status_code == 404
    for method in ("GET", "DELETE"):
        refused = httpx.request(method, f"{url}/mcp", headers=bearer())
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        assert httpx.request(method, f"{url}/mcp", headers=bearer("wrong")).status_code == 401


def test_oversized_and_endless_bodies_are_refused(settings: Settings) -> None:
    limits = Limits(body=2000, body_seconds=0.2)
    with serve(settings, limits=limits) as url:
        assert ask(url, body=message(name="x" * 3000)).status_code == 413

        def pieces() -> Iterator[bytes]:
            for _ in range(100):
                yield b" " * 100

        headers = {**ACCEPT, **bearer(), "content-type": "application/json"}
        assert httpx.post(f"{url}/mcp", content=pieces(), headers=headers).status_code == 413
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            head = (
                "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer test-key\r\ncontent-length: 9\r\n\r\n"
            )
            slow.sendall(head.encode() + b"{")
            # nginx closes the connection of a slow body
            assert (b"" if BEHIND_NGINX else b" 408 ") in slow.recv(1000)
        assert names(ask(url)) == ["project1"]


def test_excess_parallel_calls_get_retry_after(settings: Settings, team: State) -> None:
    released = threading.Event()
    uncached = dataclasses.replace(settings, is_cached=False)
    with serve(uncached, limits=Limits(requests=2, requests_per_caller=1)) as url, ExitStack() as stack:
        assert names(ask(url)) == ["project1"]
        assert names(ask(url, key="other-key")) == ["secret"]
        stack.callback(released.set)
        team.faults.append(Fault("project/kites-test3$", until=released))
        team.faults.append(Fault("project/colleague$", until=released))
        held: list[httpx.Response] = []
        threads = [threading.Thread(target=lambda key=key: held.append(ask(url, key=key))) for key in KEYS]
        team.arrived.clear()
        threads[0].start()
        team.arrived.wait()
        busy = ask(url)
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
        assert "Too many of your calls are running" in busy.json()["error"]["message"]
        team.arrived.clear()
        threads[1].start()
        team.arrived.wait()
        team.add_user("third", api_key="third-key")
        full = ask(url, key="third-key")
        assert full.status_code == 503
        assert "The server is busy" in full.json()["error"]["message"]
        assert httpx.get(f"{url}/health").status_code == 200
        released.set()
        for thread in threads:
            thread.join()
        assert sorted(names(one) for one in held) == [["project1"], ["secret"]]
        assert names(ask(url)) == ["project1"]


KEYS = ("test-key", "other-key")


def test_disconnected_caller_stops_its_work(settings: Settings, team: State) -> None:
    released = threading.Event()
    with serve(dataclasses.replace(settings, is_cached=False), limits=Limits(requests=1)) as url:
        assert names(ask(url)) == ["project1"]
        team.faults.append(Fault("project/kites-test3$", until=released, times=1))
        team.arrived.clear()
        host, port = url.removeprefix("http://").split(":")
        busy = httpx.Response(503)
        body = json.dumps(message(**CALL)).encode()
        head = (
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer test-key\r\ncontent-type: application/json"
            f"\r\naccept: application/json, text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(head.encode() + body)
            team.arrived.wait()
        # the only slot is free again before SwanLab responds
        tries = (ask(url) for _ in range(200))
        assert names(next((one for one in tries if one.status_code != 503), busy)) == ["project1"]
        released.set()


# --- clients per key ---


@pytest.fixture
def keys(state: State) -> list[str]:
    for number in range(5):
        state.add_user(f"user{number}", api_key=f"key-{number}")
    return [f"key-{number}" for number in range(5)]


async def test_least_recently_used_client_is_closed_for_a_new_client(
    settings: Settings, state: State, keys: list[str]
) -> None:
    known = Accounts(settings, most=2)
    async with known.use(keys[0]) as first, known.use(keys[1]) as second:
        assert (first.username, second.username) == ("user0", "user1")
    async with known.use(keys[0]) as again:
        assert again is first
    async with known.use(keys[2]):
        pass
    assert (first.is_dismissed, second.is_dismissed) == (False, True)
    assert state.logins == 3
    async with known.use(keys[1]) as newer:
        assert newer is not second
    assert state.logins == 4
    await known.aclose()
    assert newer.is_dismissed


async def test_caches_of_all_callers_share_a_budget(settings: Settings, keys: list[str]) -> None:
    known = Accounts(settings, cache_bytes=5000)
    used: list[Any] = []
    for key in keys:
        async with known.use(key) as account:
            used.append(account)
            await account.client.list_workspaces()
        assert sum(one.client.cached_bytes for one in used) <= 5000
    assert used[-1].client.cached_bytes > 0
    assert used[0].client.cached_bytes == 0
    assert not any(one.is_dismissed for one in used)
    await known.aclose()


async def test_caches_of_dismissed_accounts_leave_the_budget_to_the_others(settings: Settings, keys: list[str]) -> None:
    known = Accounts(settings, most=1, cache_bytes=5000)
    for key in keys:
        async with known.use(key) as account:
            await account.client.list_workspaces()
        assert account.client.cached_bytes > 0
    await known.aclose()


async def test_client_in_use_is_closed_only_after_its_call(settings: Settings, state: State, keys: list[str]) -> None:
    known = Accounts(settings, most=1)
    released = threading.Event()
    state.faults.append(Fault("project/kites-test3$", until=released))
    async with known.use(keys[0]) as first:
        state.arrived.clear()
        question = asyncio.create_task(first.client.default.list_projects(WorkspaceRef("kites-test3")))
        await asyncio.to_thread(state.arrived.wait)
        async with known.use(keys[1]):
            pass
        assert first.is_dismissed
        released.set()
        assert (await question).data[0].name == "project1"
    assert len(state.get_calls("project/kites-test3$")) == 1
    await known.aclose()


async def test_account_index_stores_no_key_and_no_refused_account(settings: Settings, keys: list[str]) -> None:
    known = Accounts(settings)
    for key in ("wrong", "wrong", "", "ключ"):
        with pytest.raises(AuthenticationFailed):
            async with known.use(key):
                pass
    assert not known._known
    async with known.use(keys[0]) as account:
        pass
    assert "key-0" not in repr(known.__dict__) + repr(account)
    await known.aclose()


async def test_key_is_verified_again_after_an_hour(
    settings: Settings, state: State, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Accounts(settings)
    async with known.use(keys[0]):
        pass
    state.users = [user for user in state.users if user.api_key != keys[0]]
    async with known.use(keys[0]):
        pass
    monkeypatch.setattr(accounts_module, "_VERIFIED_FOR", -1.0)
    with pytest.raises(AuthenticationFailed):
        async with known.use(keys[0]):
            pass
    await known.aclose()


async def test_known_key_is_verified_again_while_new_logins_wait(
    settings: Settings, state: State, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Accounts(settings)
    async with known.use(keys[0]):
        pass
    release = threading.Event()
    fault = Fault("login", until=release)
    state.faults.append(fault)

    async def log_in(number: int) -> None:
        with contextlib.suppress(SwanLabError):
            async with known.use(f"invented-{number}", f"192.0.2.{number}"):
                pass

    attack = [asyncio.create_task(log_in(number)) for number in range(60)]
    while fault.hits < 40:
        await asyncio.sleep(0.01)
        assert not any(one.done() for one in attack)
    state.faults.clear()
    monkeypatch.setattr(accounts_module, "_VERIFIED_FOR", -1.0)
    async with known.use(keys[0]) as account:
        assert account.username
    assert not any(one.done() for one in attack[:40])
    release.set()
    await asyncio.gather(*attack)
    await known.aclose()


async def test_equal_keys_share_a_login_and_excess_new_keys_must_wait(settings: Settings, state: State) -> None:
    known = Accounts(settings)
    for number in range(80):
        state.add_user(f"user{number}", api_key=f"key-{number}")

    async def log_in(key: str) -> str:
        try:
            async with known.use(key) as account:
                return account.username
        except RateLimited:
            return "busy"

    assert await asyncio.gather(*(log_in("key-0") for _ in range(20))) == ["user0"] * 20
    assert state.logins == 1
    answers = await asyncio.gather(*(log_in(f"key-{number}") for number in range(80)))
    assert answers == [*(f"user{number}" for number in range(65)), *["busy"] * 15]
    await known.aclose()


# --- real processes ---


@contextmanager
def started(*arguments: str, **more: str) -> Iterator[str]:
    """Start the command on a free port, yield its base URL, and stop it with SIGTERM."""
    command = [sys.executable, "-m", "swanlab_mcp", "serve", "--transport", "http", "--http-port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ(**more)) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("serving MCP on http://127.0.0.1:"), line
        try:
            yield line.split()[-1].removesuffix("/mcp")
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
            assert process.wait(timeout=30) == 128 + signal.SIGTERM
            assert rest == ""


@contextmanager
def balanced(*backends: str) -> Iterator[tuple[str, list[str]]]:
    """Start a round-robin proxy. Yield its URL, and the list of workers that got the requests."""
    turns = itertools.cycle(backends)
    taken: list[str] = []

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (part := await receive())["type"] == "http.request":
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        taken.append(next(turns))
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.request(
                scope["method"], f"{taken[-1]}{scope['path']}", content=body, headers=scope["headers"]
            )
        await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.headers.raw})
        await send({"type": "http.response.body", "body": answer.content})

    with serve_fake(proxy) as url:
        yield url, taken


def pass_turns(url: str, taken: list[str], worker: str) -> None:
    """Route the next request to a different worker."""
    while taken[-1] != worker:
        httpx.get(f"{url}/health")


SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_two_workers_behind_a_load_balancer_need_no_shared_state(host: str, team: State, mode: str) -> None:
    made = team.add_project(team.workspaces[1], "mnist")
    team.add_experiment(made, "a", cuid="cuid-a")
    questions: list[str] = []

    async def agree(_context: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action="accept", content={"agreed": True})

    arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a"]}
    options = ("--host", host, "--allow-writes")
    with (
        started(*options, SWANLAB_MCP_CONFIRMATION_SECRET=SECRET) as one,
        started(*options, SWANLAB_MCP_CONFIRMATION_SECRET=SECRET) as two,
        balanced(one, two) as (url, taken),
    ):
        async with connected(url, mode=mode, elicitation_callback=agree) as client:
            for _ in range(3):
                assert (await client.call_tool("list_projects", {})).structured_content["data"][0]["name"] == "project1"
            dry = await client.call_tool("delete_experiments", arguments)
            token, giver = dry.structured_content["data"]["confirmation"], taken[-1]
            async with connected(url, key="other-key", mode=mode) as other:
                theirs = await other.call_tool("delete_experiments", {**arguments, "confirmation": token})
                assert theirs.is_error
            assert len(made.experiments) == 1
            await asyncio.to_thread(pass_turns, url, taken, giver)
            turn = len(taken)
            done = await client.call_tool("delete_experiments", {**arguments, "confirmation": token})
            assert done.structured_content["data"]["done"] is True
            assert taken[turn] != giver
            for _ in range(2):
                again = await client.call_tool("delete_experiments", {**arguments, "confirmation": token})
                assert again.is_error
    assert made.experiments == []
    assert len(team.get_calls("runs/cuid-a$")) > 1
    assert len([call for call in team.calls if call.method == "DELETE"]) == 1
    # without sessions, elicitation is impossible in the handshake era
    assert len(questions) == (mode != "legacy")
    assert taken.count(one) >= 4
    assert taken.count(two) >= 4


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_completion_and_resources_use_the_callers_key_with_a_shared_account(
    settings: Settings, team: State, mode: str
) -> None:
    expected = {"test-key": ["kites-test3", "kites-test2"], "other-key": ["colleague"]}
    assert team.users[0].api_key == "test-key"
    with serve(settings, shared_key=True) as url:
        for key in (*expected, *expected):
            async with connected(url, key=key, mode=mode) as client:
                reference = ResourceTemplateReference(uri="swanlab://{username}/{project}")
                answer = await client.complete(reference, {"name": "username", "value": ""})
                assert answer.completion.values == expected[key]
                reply = (await client.read_resource("swanlab://workspaces")).contents[0].text
                assert [name for name in ("kites-test3", "kites-test2", "colleague") if name in reply] == expected[key]


async def test_confirmation_and_request_state_are_valid_only_for_their_account(settings: Settings, team: State) -> None:
    made = team.add_project(team.workspaces[1], "mnist")
    team.add_experiment(made, "a", cuid="cuid-a")
    made.workspace.roles["colleague"] = "MEMBER"
    agreed = {"action": "accept", "content": {"agreed": True}}
    how = {"mode": "2026-07-28", "elicitation_callback": lambda *_: None}
    own = dataclasses.replace(settings, allow_writes=True, confirmation_secret=SECRET)
    with serve(own) as url:
        async with connected(url, **how) as mine, connected(url, key="other-key", **how) as theirs:
            arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a"]}
            dry = await mine.call_tool("delete_experiments", arguments)
            arguments["confirmation"] = dry.structured_content["data"]["confirmation"]
            call = {"name": "delete_experiments", "arguments": arguments, "allow_input_required": True}
            question = await mine.session.call_tool(**call)
            answers = {name: ElicitResult.model_validate(agreed) for name in question.input_requests}
            refused = await theirs.session.call_tool(**call)
            assert "not issued for these arguments, this server and this account" in refused.content[0].text
            with pytest.raises(MCPError, match="requestState"):
                await theirs.session.call_tool(**call, input_responses=answers, request_state=question.request_state)
            assert len(made.experiments) == 1
            done = await mine.session.call_tool(**call, input_responses=answers, request_state=question.request_state)
            assert done.structured_content["data"]["done"] is True
    assert made.experiments == []


def test_insecure_configurations_do_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "swanlab_mcp", "serve", "--transport", "http", "--http-host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ(), check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "0.0.0.0 needs --allowed-host NAME" in done.stderr

    def refuse(*words: str, **more: str) -> str:
        """Run the same command with these arguments in this process, and return its error message."""
        arguments = read_arguments(["serve", "--transport", "http", *words])
        settings = load_settings(host=arguments.host, allow_writes=arguments.allow_writes, environ=environ(**more))
        assert run_serve(settings, arguments, None) == 2
        shown = capsys.readouterr()
        assert not shown.out
        return shown.err

    assert "needs --allowed-host" in refuse("--http-host", "mcp.example.org")
    assert "set SWANLAB_MCP_CONFIRMATION_SECRET to at least" in refuse("--allow-writes")
    weak = refuse("--allow-writes", SWANLAB_MCP_CONFIRMATION_SECRET="short-canary")
    assert "at least 32 random characters" in weak
    assert "canary" not in weak
    assert "has none: set SWANLAB_API_KEY" in refuse("--shared-key")
    assert "not -1" in refuse("--rate", "-1")
    assert "app://obsidian.md, not '*'" in refuse("--allowed-origin", "*")
    assert "/nowhere/audit cannot be written" in refuse("--audit", "/nowhere/audit")
    assert "not encrypted" in refuse("--host", "http://swanlab.example.com")


def test_used_port_is_reported() -> None:
    with listen_to_any() as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "swanlab_mcp", "serve", "--demo", "--transport", "http", "--http-port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ(), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot listen on 127.0.0.1:{port}: ")


def test_keys_and_sessions_do_not_reach_the_log(host: str) -> None:
    command = [sys.executable, "-m", "swanlab_mcp", "serve", "--transport", "http", "--http-port", "0", "--host", host]
    with subprocess.Popen(
        [*command, "--log-level", "DEBUG"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ()
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        while not line.startswith("serving MCP on "):
            line = process.stderr.readline()
        url = line.split()[-1].removesuffix("/mcp")
        assert names(ask(url)) == ["project1"]
        assert ask(url, key="key-canary").status_code == 401
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
    assert out == ""
    for secret in ("test-key", "key-canary", "sid-canary"):
        assert secret not in errors


async def test_failing_app_is_an_error_and_frees_its_slot() -> None:
    async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
        raise SwanLabError("broken")

    gateway = Gateway(broken, None, limits=Limits(requests=1))

    async def send(_part: Any) -> None:
        raise AssertionError

    scope = {"type": "http", "path": "/mcp", "method": "POST", "headers": [(b"host", b"localhost")]}
    for _ in range(2):
        parts = [{"type": "http.request", "body": json.dumps(message()).encode()}]

        async def receive(parts: list[Any] = parts) -> Any:
            return parts.pop() if parts else await asyncio.get_running_loop().create_future()

        with pytest.raises(SwanLabError, match="broken"):
            await gateway(dict(scope), receive, send)


def test_systemd_unit_and_compose_file_start_an_existing_command() -> None:
    root = Path(__file__).parents[2]
    compose = yaml.safe_load((root / "deploy" / "compose.yml").read_text(encoding="utf-8"))
    unit = (root / "deploy" / "swanlab-mcp@.service").read_text(encoding="utf-8")
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    program, *started, options = line.replace("%i", "1").split()
    assert (program, options) == ("ExecStart=/opt/swanlab-mcp/bin/swanlab-mcp-server", "$OPTIONS")
    for words in (compose["services"]["mcp"]["command"].split(), started):
        arguments = read_arguments(words)
        assert (arguments.command, arguments.transport) == ("serve", "http")
        assert arguments.allowed_host == ["mcp.example.org"]
        assert (arguments.shared_key, arguments.allow_writes) == (False, False)
    assert (root / "deploy" / compose["services"]["mcp"]["build"] / "Dockerfile").is_file()
    # matplotlib needs a writable cache
    assert compose["services"]["mcp"]["read_only"] is True
    assert "/tmp" in compose["services"]["mcp"]["tmpfs"]


@pytest.mark.parametrize("name", [b"host", b"origin"])
async def test_duplicate_security_headers_are_refused(name: bytes) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(part: Any) -> None:
        sent.append(part)

    values = [b"http://localhost", b"http://evil.example"] if name == b"origin" else [b"localhost", b"evil.example"]
    for pair in (values, values[::-1]):
        headers = [(b"host", b"localhost")] * (name == b"origin") + [(name, value) for value in pair]
        scope = {"type": "http", "path": "/mcp", "method": "POST", "headers": headers}
        await Gateway(app, None)(scope, receive, send)
        assert sent.pop(0)["status"] in (403, 421)
        sent.clear()


async def test_body_with_an_excessive_length_is_refused_immediately() -> None:
    async def never(*_: Any) -> None:
        raise AssertionError

    sent: list[Any] = []

    async def send(part: Any) -> None:
        sent.append(part)

    headers = [(b"host", b"localhost"), (b"content-length", b"1048577")]
    await Gateway(never, None)({"type": "http", "path": "/mcp", "method": "POST", "headers": headers}, never, send)
    assert sent[0]["status"] == 413


async def test_caller_that_disconnects_during_the_body_reaches_no_app() -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError

    parts = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"{", "more_body": True}]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop()

    async def send(part: Any) -> None:
        sent.append(part)

    scope = {"type": "http", "path": "/mcp", "method": "POST", "headers": [(b"host", b"localhost")]}
    await Gateway(app, None)(scope, receive, send)
    assert sent[0]["status"] == 400
