"""Reply forms: text only for hosts that pass JSON to the model, text and JSON for all others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from mcp import Client
from mcp.types import Implementation
from pydantic import BaseModel

import swanlab_mcp
from swanlab_mcp.core import findings
from swanlab_mcp.core.findings import Comparison, Crash, Diagnosis
from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.server.table import TOOLS
from swanlab_mcp.settings import Settings, load_settings
from tests.conftest import text_of
from tests.server.test_arguments import EXAMPLES

pytestmark = pytest.mark.anyio

DEMO = Settings(demo=True, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))
FLAT = [getattr(findings, name) for name in findings.__all__ if name not in ("Comparison", "Diagnosis", "Crash")]
FLAT = [one for one in FLAT if isinstance(one, type)]
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


@pytest.mark.parametrize("tool", [tool for tool in EXAMPLES if tool not in RECORDS])
async def test_lists_of_analysis_tools_are_columns_and_rows(tool: str) -> None:
    async with connect(create_server(DEMO)) as client:
        result = await client.call_tool(tool, EXAMPLES[tool])
    data: Any = result.structured_content["data"]
    lists = [data, *data.values()] if isinstance(data, dict) else [data]
    assert not any(isinstance(one, list) and any(isinstance(row, dict) for row in one) for one in lists)
    tables = [one for one in lists if isinstance(one, dict) and {*one} == {"columns", "rows"}]
    assert all(len(row) == len(table["columns"]) for table in tables for row in table["rows"])
    assert data or tool == "wait_for_experiments", "the example shows nothing"
    assert json.dumps(data, allow_nan=False)


@pytest.mark.parametrize("tool", sorted(RECORDS))
async def test_tools_of_swanlabs_own_api_keep_its_records(tool: str) -> None:
    async with connect(create_server(DEMO)) as client:
        data: Any = (await client.call_tool(tool, EXAMPLES[tool])).structured_content["data"]
    assert "columns" not in data
    assert data
    assert isinstance(data, dict) or all(isinstance(one, dict) for one in data)


async def test_lists_of_a_single_record_are_tables() -> None:
    async with connect(create_server(DEMO)) as client:
        result = await client.call_tool("compare_experiments", EXAMPLES["compare_experiments"])
    data: dict[str, Any] = result.structured_content["data"]
    assert sum(isinstance(one, dict) and {*one} == {"columns", "rows"} for one in data.values()) >= 3


async def test_events_and_causes_of_a_diagnosis_are_tables() -> None:
    given = {"project": "digits-mlp", "exp_cuid": "q4r4e5tb"}
    async with connect(create_server(DEMO)) as client:
        result = await client.call_tool("diagnose_experiment", given)
    data: Any = result.structured_content["data"]
    assert data["events"]["columns"][:3] == ["kind", "severity", "key"]
    assert data["causes"]["columns"] == ["cause", "confidence", "evidence"]


@pytest.mark.parametrize("record", [Comparison, Diagnosis, Crash, *FLAT])
def test_only_single_records_contain_lists_of_records(record: type[BaseModel]) -> None:
    """Lists in a single record become tables, so no row of a table may contain another list of records."""
    held = [
        part
        for field in record.model_fields.values()
        for part in get_args(field.annotation)
        if isinstance(part, type) and issubclass(part, BaseModel) and get_origin(field.annotation) is list
    ]
    assert not held or record in (Comparison, Diagnosis)
    assert all(one in FLAT for one in held)


def test_environment_sets_the_reply_form_and_an_invalid_value_is_a_problem() -> None:
    assert load_settings(environ={}).output == "auto"
    assert load_settings(environ={"SWANLAB_MCP_OUTPUT": "Text"}).output == "text"
    assert load_settings(environ={"SWANLAB_MCP_OUTPUT": "text"}, output="both").output == "both"
    wrong = load_settings(environ={"SWANLAB_MCP_OUTPUT": "json"})
    assert wrong.output == "auto"
    assert "SWANLAB_MCP_OUTPUT='json' is not auto, text or both" in wrong.problems[0]
