"""If a server returns a web page instead of SwanLab's response, every error names the page's address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.responses import HTMLResponse

from swanlab_mcp.settings import Settings
from tests.client.cloud.test_faults import CALLS, build_world
from tests.conftest import session, text_of
from tests.fake_swanlab import Fault, State, create_app, serve

pytestmark = pytest.mark.anyio

LOGIN = "/api/login/api_key"
PREFIX = "/swan"


@pytest.fixture
def state() -> State:
    return build_world()


@pytest.fixture(params=[200, 302, 404, 502])
def proxy(request: pytest.FixtureRequest, state: State) -> Iterator[str]:
    """Serve SwanLab below a path prefix, its login also without the prefix, and a web page at every other path."""
    fake = create_app(state)
    page = HTMLResponse("<!DOCTYPE html><html><body>Welcome</body></html>", request.param)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path == LOGIN:
            await fake(scope, receive, send)
        elif path.startswith(f"{PREFIX}/"):
            below = path.removeprefix(PREFIX)
            await fake({**scope, "path": below, "raw_path": below.encode()}, receive, send)
        else:
            await page(scope, receive, send)

    with serve(app) as url:
        yield url


async def test_each_tool_names_the_address_behind_a_path_prefix(settings: Settings, proxy: str) -> None:
    async with session(replace(settings, api_host=proxy, backoff=0)) as client:
        for tool, arguments in CALLS.items():
            answer = await client.call_tool(tool, arguments)
            assert answer.is_error, tool
            assert re.search(rf"The response is a web page at {proxy}/api/\S+\.", text_of(answer)), text_of(answer)


async def test_chinese_error_names_the_address(settings: Settings, state: State) -> None:
    state.faults = [Fault.html("/runs")]
    async with session(replace(settings, language="zh")) as client:
        answer = await client.call_tool("list_project_exps", {"project": "small"})
    assert f"响应是一个网页：{settings.api_host}/api/project/kites-test3/small/runs" in text_of(answer)


@pytest.mark.parametrize("status", [401, 403, 404, 200])
async def test_login_names_the_address(settings: Settings, state: State, status: int) -> None:
    state.faults = [Fault.html(LOGIN, status)]
    async with session(settings) as client:
        answer = await client.call_tool("list_projects", {})
    assert f"{settings.api_host}{LOGIN}" in text_of(answer)
    assert settings.api_key not in text_of(answer)


async def test_empty_response_names_the_address_and_json_does_not(settings: Settings, state: State) -> None:
    given = {"project": "small", "exp_cuid": "small0"}
    async with session(replace(settings, is_cached=False)) as client:
        state.faults = [Fault(path="/small0$", body=b"")]
        empty = text_of(await client.call_tool("get_experiment", given))
        state.faults = [Fault(path="/small0$", status=403, body=b'{"message": "no"}')]
        refused = text_of(await client.call_tool("get_experiment", given))
    assert f"is empty. The response came from {settings.api_host}/api/" in empty
    assert "returned status 403" in refused
    assert settings.api_host not in refused


@pytest.mark.parametrize("status", [200, 403, 503])
async def test_page_of_the_storage_names_its_host_without_the_signed_address(
    settings: Settings, state: State, status: int
) -> None:
    state.faults = [Fault.html("^/storage/", status)]
    given = {"project": "small", "exp_cuids": ["small0"], "keys": ["loss"], "mode": "exact"}
    async with session(replace(settings, backoff=0)) as client:
        answer = await client.call_tool("get_metrics", given)
    assert answer.is_error
    assert "web page" in text_of(answer)
    assert (f"The response is a web page at {settings.api_host}" in text_of(answer)) == (status != 200)
    assert "presigned-canary" not in repr(answer)
    assert "/storage/" not in repr(answer)
