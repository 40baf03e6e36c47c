"""Reply forms: text only for hosts that pass JSON to the model, text and JSON for all others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import Implementation

import swanlab_mcp
from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.server.table import TOOLS
from swanlab_mcp.settings import Settings, load_settings
from tests.conftest import text_of
from tests.server.test_arguments import NEEDED

pytestmark = pytest.mark.anyio

DEMO = Settings(demo=True, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))
RECORDS = {"list_workspaces", "list_projects", "list_project_exps", "get_experiment", "get_exp_summary"}


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize(
    ("output", "name", "has_json"),
    [
        ("auto", "claude-code", False),
        ("auto", "codex-mcp-client", False),
        ("auto", "opencode", False),
        ("auto", "gemini-cli-mcp-client", False),
        ("auto", "Visual Studio Code", True),
        ("auto", "claude-ai", True),
        ("text", "Visual Studio Code", False),
        ("both", "claude-code", True),
    ],
)
async def test_reply_form_follows_the_setting_and_the_client_name(
    mode: str, output: str, name: str, has_json: bool
) -> None:
    about = Implementation(name=name, version="1")
    async with Client(create_server(replace(DEMO, output=output)), mode=mode, client_info=about) as client:
        tools = (await client.list_tools()).tools
        result = await client.call_tool("list_projects", {})
        failed = await client.call_tool("list_projects", {"size": 1000})
    pictures = sum(entry.shows_pictures for entry in TOOLS)
    assert sum(tool.output_schema is not None for tool in tools) == (len(TOOLS) - pictures if has_json else 0)
    assert (result.structured_content is not None) == has_json
    assert (failed.structured_content is not None) == has_json
    assert "digits-mlp" in text_of(result)


@pytest.mark.parametrize("tool", NEEDED)
async def test_lists_of_analysis_tools_are_columns_and_rows(tool: str) -> None:
    async with connect(create_server(DEMO)) as client:
        result = await client.call_tool(tool, NEEDED[tool])
    data: Any = result.structured_content["data"]
    if tool in RECORDS:
        assert isinstance(data, dict) or all(isinstance(one, dict) for one in data)
    elif tool not in ("compare_experiments", "diagnose_experiment", "forecast_experiment", "wait_for_experiments"):
        assert all(len(row) == len(data["columns"]) for row in data["rows"])
        assert json.dumps(data, allow_nan=False)


def test_environment_sets_the_reply_form_and_an_invalid_value_is_a_problem() -> None:
    assert load_settings(environ={}).output == "auto"
    assert load_settings(environ={"SWANLAB_MCP_OUTPUT": "Text"}).output == "text"
    assert load_settings(environ={"SWANLAB_MCP_OUTPUT": "text"}, output="both").output == "both"
    wrong = load_settings(environ={"SWANLAB_MCP_OUTPUT": "json"})
    assert wrong.output == "auto"
    assert "SWANLAB_MCP_OUTPUT='json' is not auto, text or both" in wrong.problems[0]
