from __future__ import annotations

import gc
import importlib
import pkgutil
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import hypothesis
import matplotlib as mpl
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

import swanlab_mcp
from swanlab_mcp.client.routing import SwanLabClient, open_client
from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.settings import Settings
from tests.fake_swanlab import State, build_sample_state, create_app, serve

# generate the same examples in every run, because the gate must be deterministic
hypothesis.settings.register_profile("gate", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.register_profile("all", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gate")
# import all modules now, because hypothesis draws constants from the modules that are loaded
for found in pkgutil.walk_packages(swanlab_mcp.__path__, "swanlab_mcp."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)

FONTS = mpl.get_cachedir()
RUNS = Path(__file__).parent / "offline_runs"


# pause the garbage collector while pytest collects the tests, because scanning modules and tests, which stay alive
# anyway, takes up a seventh of the time
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(5000)
    gc.enable()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate each test from the user's keys, folders and proxies."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "work").mkdir()
    monkeypatch.chdir(home / "work")
    monkeypatch.setenv("HOME", str(home))
    for name in (
        "API_KEY",
        "API_HOST",
        "WEB_HOST",
        "ROOT",
        "SAVE_DIR",
        "LOG_DIR",
        "LOGDIR",
        "MCP_MAX_OUTPUT_TOKENS",
        "MCP_OUTPUT",
        "MCP_LANG",
        "HOST",
        "MCP_CONFIRMATION_SECRET",
        "MCP_PROXY_SECRET",
    ):
        monkeypatch.delenv(f"SWANLAB_{name}", raising=False)
    # let child processes reuse matplotlib's font list instead of creating a new one
    monkeypatch.setenv("MPLCONFIGDIR", FONTS)
    # tests expect English messages, whatever the user's locale is
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def state() -> State:
    return build_sample_state()


@pytest.fixture(scope="session")
def fake() -> Iterator[tuple[dict[str, ASGIApp], str]]:
    """Run one HTTP server for all tests. Each test stores the app to serve under the key `app`."""
    served: dict[str, ASGIApp] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await served["app"](scope, receive, send)

    with serve(app) as url:
        yield served, url


@pytest.fixture
def host(fake: tuple[dict[str, ASGIApp], str], state: State) -> str:
    served, url = fake
    served["app"] = create_app(state)
    return url


@pytest.fixture
def settings(host: str) -> Settings:
    return Settings(api_host=host, web_host=host, api_key="test-key", key_source="SWANLAB_API_KEY", backoff=0.001)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[SwanLabClient, None]:
    client: SwanLabClient = open_client(settings)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def session(settings: Settings, mode: str = "auto") -> AsyncGenerator[Any, None]:
    """Return an in-process MCP client for a server with these settings. Tables in replies are converted to records."""
    async with connect(create_server(settings), mode=mode) as client:
        yield RecordReader(client)


class RecordReader:
    """An MCP client that converts tables with columns and rows to records."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def call_tool(self, *given: Any, **named: Any) -> Any:
        result = await self._client.call_tool(*given, **named)
        structured: Any = result.structured_content
        if not structured:
            return result
        data: Any = structured.get("data")
        fields = cast("dict[str, Any]", data if isinstance(data, dict) and not get_table(data)[0] else {})
        read = {name: get_records(one) for name, one in fields.items()} if fields else get_records(data)
        return result.model_copy(update={"structured_content": {**structured, "data": read}})


def get_records(data: Any) -> Any:
    """Convert a table to records without null fields. Return all other data unchanged."""
    columns, rows = get_table(data)
    if not columns:
        return data
    return [{name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows]


def get_table(data: Any) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of a table. Both are empty if the data is not a table."""
    table = cast("dict[str, Any]", data if isinstance(data, dict) else {})
    return (table["columns"], table["rows"]) if {*table} == {"columns", "rows"} else ([], [])


def text_of(result: Any) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")
