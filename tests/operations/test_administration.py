"""get_server_info describes a self-hosted server to a root key and refuses every other key."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from swanlab_mcp import OpenApi
from swanlab_mcp.cli.parser import read_arguments
from swanlab_mcp.cli.serve import run as run_serve
from swanlab_mcp.settings import Settings
from tests.conftest import session
from tests.fake_swanlab import Fault, State

pytestmark = pytest.mark.anyio


@pytest.fixture
def admin(settings: Settings, state: State) -> Settings:
    # two people have the same name, and so do two projects in different workspaces
    for number in range(3):
        state.add_user(f"ann{number}", "Ann", api_key=f"key-{number}")
        state.add_project(state.add_workspace(f"ann{number}", kind="PERSON"), "mnist", visibility="PRIVATE")
    return dataclasses.replace(settings, admin_tools=True)


async def ask(settings: Settings, **arguments: Any) -> Any:
    async with session(settings) as client:
        result = await client.call_tool("get_server_info", arguments)
        return result.structured_content


async def test_root_key_gets_plan_seats_counts_and_usage(admin: Settings) -> None:
    usage = {"users": 4, "experiments": 1, "storage": 1_000_000}
    about = {"plan": "free", "expired": False, "seats": 10, "users": 4, "projects": 4, "workspaces": 5, "usage": usage}
    assert (await ask(admin))["data"] == about


async def test_root_key_lists_users_projects_and_workspaces_of_everyone(admin: Settings) -> None:
    async with session(admin) as client:
        users = (await client.call_tool("get_server_info", {"rows": "users", "size": 2})).structured_content
        names = {
            rows: [
                one.get("cuid") or one["username"]
                for one in (await client.call_tool("get_server_info", {"rows": rows})).structured_content["data"]
            ]
            for rows in ("users", "projects", "workspaces")
        }
    assert users["page"] == {"returned": 2, "total": 4, "order": "in SwanLab's order", "next": "page=2 size=2"}
    assert names["users"] == ["kites-test3", "ann0", "ann1", "ann2"]
    assert len(set(names["projects"])) == 4
    assert names["workspaces"] == ["kites-test3", "kites-test2", "ann0", "ann1", "ann2"]


@pytest.mark.parametrize("rows", ["", "users"])
async def test_other_keys_are_refused_before_anything_is_requested(admin: Settings, state: State, rows: str) -> None:
    reply = await ask(dataclasses.replace(admin, api_key="key-1"), rows=rows)
    assert reply["code"] == 403
    assert "not a root key" in reply["errmsg"]
    assert [call.path for call in state.get_calls("self_hosted")] == ["/api/self_hosted/info"]


@pytest.mark.parametrize("answer", [{"status": 404}, {"body": b'{"enabled": false}'}])
async def test_cloud_has_no_administrators(admin: Settings, state: State, answer: dict[str, Any]) -> None:
    state.faults = [Fault("/self_hosted/info", **answer)]
    reply = await ask(admin)
    assert reply["code"] == 404
    assert "not self-hosted" in reply["errmsg"]


async def test_expired_licence_is_reported_without_counts(admin: Settings, state: State) -> None:
    state.self_hosted.expired = True
    reply = await ask(admin)
    assert reply["data"] == {"plan": "free", "expired": True, "seats": 10}
    assert "has expired" in str(reply["notes"])


async def test_tool_requires_its_option(settings: Settings) -> None:
    reply = await ask(settings)
    assert reply["code"] == 400
    assert "--admin-tools" in reply["errmsg"]


def test_openapi_has_the_same_answers(admin: Settings) -> None:
    with OpenApi(api_key="test-key", host=admin.api_host) as api:
        about, users = api.get_server_info().data, api.get_server_info("users").data
    assert about
    assert users
    assert about.users == 4
    assert [one.username for one in users][1:] == ["ann0", "ann1", "ann2"]


def test_shared_key_excludes_the_tool(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = read_arguments(["serve", "--transport", "http", "--shared-key", "--admin-tools"])
    assert run_serve(Settings(api_key="root-key", admin_tools=arguments.admin_tools), arguments, None) == 2
    assert "users to everyone" in capsys.readouterr().err
