from __future__ import annotations

import asyncio
import os
from datetime import datetime, timezone
from pathlib import Path

import pytest

from swanlab_mcp.core.errors import (
    AuthenticationFailed,
    InvalidArgument,
    NotLoggedIn,
    PermissionDenied,
    UnexpectedResponse,
)
from swanlab_mcp.core.refs import ExperimentRef, WorkspaceRef
from swanlab_mcp.settings import DEFAULT_API_HOST, Settings, load_settings, normalise_host
from tests.conftest import opened
from tests.fake_swanlab import Fault, State

pytestmark = pytest.mark.anyio


def write_netrc(folder: Path, machine: str, key: str, login: str = "https://swanlab.cn") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".netrc").write_text(f"machine {machine}\n  login {login}\n  password {key}\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("api.swanlab.cn", "https://api.swanlab.cn"),
        ("https://API.swanlab.cn/", "https://api.swanlab.cn"),
        ("https://swan.example.com:8443/api", "https://swan.example.com:8443"),
        ("http://127.0.0.1:8000/api/", "http://127.0.0.1:8000"),
        ("https://swan.example.com:443", "https://swan.example.com"),
        ("http://[::1]:80", "http://[::1]"),
        ("host:9000", "https://host:9000"),
    ],
)
def test_host_is_normalised_to_scheme_name_and_port(given: str, expected: str) -> None:
    assert normalise_host(given) == expected


@pytest.mark.parametrize("given", ["", "https://", "ftp://x", "https://a b", "https://x:99999", "https://x:y"])
def test_invalid_host_is_refused(given: str) -> None:
    with pytest.raises(InvalidArgument, match="not a usable SwanLab host"):
        normalise_host(given)


def test_call_timeout_defaults_to_45_seconds() -> None:
    assert load_settings().timeout == load_settings(demo=True).timeout == 45
    assert load_settings(timeout=7).timeout == load_settings(demo=True, timeout=7).timeout == 7


def test_key_precedence_is_argument_environment_project_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = Path.home()
    assert load_settings().key_source == ""
    write_netrc(home / "elsewhere", "https://api.swanlab.cn", "user-key")
    monkeypatch.setenv("SWANLAB_SAVE_DIR", str(home / "elsewhere"))
    assert load_settings().api_key == "user-key"
    write_netrc(home / "root", "https://api.swanlab.cn/api", "root-key")
    monkeypatch.setenv("SWANLAB_ROOT", str(home / "root"))
    assert load_settings().api_key == "root-key"
    write_netrc(Path(".swanlab"), "https://api.swanlab.cn", "project-key")
    found = load_settings()
    assert (found.api_key, found.key_source) == ("project-key", "./.swanlab/.netrc")
    monkeypatch.setenv("SWANLAB_API_KEY", "environment-key")
    assert load_settings().api_key == "environment-key"
    assert load_settings(api_key="argument-key").api_key == "argument-key"


def test_key_file_sets_its_host_and_web_host() -> None:
    write_netrc(Path.home() / ".swanlab", "https://swan.example.com/api", "k", "https://web.example.com")
    found = load_settings()
    assert (found.api_host, found.web_host, found.api_key) == (
        "https://swan.example.com",
        "https://web.example.com",
        "k",
    )


def test_key_is_never_used_for_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    write_netrc(Path.home() / ".swanlab", "https://swan.example.com", "their-key")
    monkeypatch.setenv("SWANLAB_API_HOST", "other.example.com/api")
    found = load_settings()
    assert (found.api_host, found.web_host, found.api_key) == ("https://other.example.com",) * 2 + ("",)
    assert "belongs to https://swan.example.com" in found.problems[0]
    assert load_settings(host="swan.example.com").api_key == "their-key"


def test_environment_key_is_not_sent_to_a_host_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_netrc(Path.home() / ".swanlab", "https://swan.example.com", "their-key")
    monkeypatch.setenv("SWANLAB_API_KEY", "my-key")
    assert load_settings().api_host == DEFAULT_API_HOST


def test_web_host_is_configurable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWANLAB_WEB_HOST", "pages.example.com/")
    assert load_settings().web_host == "https://pages.example.com"
    monkeypatch.setenv("SWANLAB_WEB_HOST", "ftp://x")
    assert "SWANLAB_WEB_HOST is ignored" in load_settings().problems[0]


@pytest.mark.parametrize(
    "content", [b"machine", b"\xff\xfe\x00", b"nonsense here", b"machine ftp://x login a password b"]
)
def test_unreadable_key_file_is_a_reported_problem(content: bytes) -> None:
    folder = Path.home() / ".swanlab"
    folder.mkdir()
    (folder / ".netrc").write_bytes(content)
    found = load_settings()
    assert found.api_key == ""
    assert "~/.swanlab/.netrc" in found.problems[0]
    assert str(Path.home()) not in found.problems[0]


def test_log_folders_come_from_options_environment_or_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().log_dirs == ()
    Path("swanlog").mkdir()
    assert load_settings().log_dirs == (Path.cwd() / "swanlog",)
    monkeypatch.setenv("SWANLAB_LOGDIR", "old")
    assert load_settings().log_dirs == (Path.cwd() / "old",)
    monkeypatch.setenv("SWANLAB_LOG_DIR", os.pathsep.join(["a", "~/b"]))
    assert load_settings().log_dirs == (Path.cwd() / "a", Path.home() / "b")
    assert load_settings(log_dirs=["c"]).log_dirs == (Path.cwd() / "c",)


def test_output_limit_is_configurable_and_an_invalid_value_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWANLAB_MCP_MAX_OUTPUT_TOKENS", "500")
    assert load_settings().max_output_tokens == 500
    monkeypatch.setenv("SWANLAB_MCP_MAX_OUTPUT_TOKENS", "many")
    found = load_settings()
    assert found.max_output_tokens == 8000
    assert "'many' is not a whole number" in found.problems[0]


def test_reprs_hide_the_key() -> None:
    assert "canary" not in repr(load_settings(api_key="canary"))


async def test_unencrypted_host_gets_no_key_unless_allowed() -> None:
    settings = load_settings(api_key="k", host="http://swan.example.com")
    async with opened(settings) as client:
        with pytest.raises(InvalidArgument, match="--allow-insecure-host"):
            await client.list_workspaces()
    assert load_settings(host="http://swan.example.com", allow_insecure_host=True).host_problem == ""
    assert load_settings(host="http://localhost:8000").host_problem == ""


async def test_invalid_host_is_reported_at_the_first_call() -> None:
    async with opened(load_settings(api_key="k", host="https://x:y")) as client:
        with pytest.raises(InvalidArgument, match="not a usable SwanLab host"):
            await client.list_workspaces()


async def test_unreachable_socks_proxy_is_reported(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    async with opened(settings) as client:
        with pytest.raises(Exception, match="from ALL_PROXY cannot be reached"):
            await client.list_workspaces()


async def test_a_hundred_parallel_callers_share_a_login(settings: Settings, state: State) -> None:
    state.latency = 0.01
    async with opened(settings) as client:
        await asyncio.gather(
            *(client.default.get_experiment(ExperimentRef("kites-test3", "project1", "cuid1")) for _ in range(100))
        )
    assert state.logins == 1
    assert state.max_in_flight <= 64


async def test_expired_session_is_renewed_once_for_all_callers(settings: Settings, state: State) -> None:
    async with opened(settings) as client:
        await client.default.list_projects(WorkspaceRef("kites-test3"))
        state.end_sessions()
        await asyncio.gather(*(client.default.list_projects(WorkspaceRef("kites-test3")) for _ in range(20)))
    assert state.logins == 2


async def test_session_is_renewed_7_days_before_it_expires(
    settings: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.session_days = 30
    now = datetime.now(timezone.utc).timestamp()
    async with opened(settings) as client:
        await client.default.list_projects(WorkspaceRef("kites-test3"))
        monkeypatch.setattr("time.time", lambda: now + 22.9 * 86400)
        await client.default.list_projects(WorkspaceRef("kites-test3"))
        assert state.logins == 1
        monkeypatch.setattr("time.time", lambda: now + 23.1 * 86400)
        await client.default.list_projects(WorkspaceRef("kites-test3"))
    assert state.logins == 2


async def test_wrong_clock_does_not_cause_a_login_for_every_request(settings: Settings, state: State) -> None:
    state.session_days = -1000
    async with opened(settings) as client:
        for _ in range(3):
            await client.default.list_projects(WorkspaceRef("kites-test3"))
    assert state.logins == 1


async def test_session_refused_twice_is_an_error(settings: Settings, state: State) -> None:
    state.faults.append(Fault(path="/project/", status=401))
    async with opened(settings) as client:
        with pytest.raises(AuthenticationFailed, match="refused twice"):
            await client.default.list_projects(WorkspaceRef("kites-test3"))
    assert state.logins == 2


async def test_refused_key_names_its_source(settings: Settings, state: State) -> None:
    state.users[0].api_key = "another"
    async with opened(settings) as client:
        with pytest.raises(AuthenticationFailed, match="refused the API key from SWANLAB_API_KEY") as caught:
            await client.list_workspaces()
    assert "test-key" not in str(caught.value)
    assert caught.value.trace_id


async def test_unverified_account_is_reported(settings: Settings, state: State) -> None:
    state.users[0].is_verified = False
    async with opened(settings) as client:
        with pytest.raises(PermissionDenied, match="Account not verified"):
            await client.list_workspaces()


async def test_key_with_invalid_characters_is_not_sent(settings: Settings, state: State) -> None:
    odd = Settings(api_host=settings.api_host, api_key="clé\n", key_source="SWANLAB_API_KEY")
    async with opened(odd) as client:
        with pytest.raises(AuthenticationFailed, match="characters that are invalid in a key"):
            await client.list_workspaces()
    assert state.calls == []


async def test_missing_key_fails_before_any_request(settings: Settings, state: State) -> None:
    async with opened(Settings(api_host=settings.api_host)) as client:
        with pytest.raises(NotLoggedIn):
            await client.list_workspaces()
    assert state.calls == []


@pytest.mark.parametrize("body", [b"{}", b'{"sid": "a\\nb", "userInfo": {"username": "u"}}', b"[]"])
async def test_login_response_without_a_session_is_an_error(settings: Settings, state: State, body: bytes) -> None:
    state.faults.append(Fault(path="/login", body=body))
    async with opened(settings) as client:
        with pytest.raises(UnexpectedResponse, match="contains no session"):
            await client.list_workspaces()
