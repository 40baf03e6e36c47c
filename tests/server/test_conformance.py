"""Messages conform to MCP, according to the schemas of both protocol eras and, if installed, the conformance suite."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import PromptReference, ResourceTemplateReference, methods

from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.server.prompts import PROMPTS
from swanlab_mcp.settings import Settings
from tests.cli.test_command import environ
from tests.client.cloud.test_faults import CALLS, build_world
from tests.fake_swanlab import create_app
from tests.fake_swanlab import serve as serve_fake
from tests.server.test_shared_server import ACCEPT, bearer, message, serve

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "conformance.sh"
SUITE = os.environ.get("CONFORMANCE_SUITE", "")
ERAS = ["2025-06-18", "2025-11-25", "2026-07-28"]
MODERN = "2026-07-28"


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with serve(dataclasses.replace(settings, allow_writes=True)) as served:
        yield served


def exchange(url: str, era: str, method: str, **params: Any) -> dict[str, Any]:
    """Send a raw request in the format of a protocol era, and return the full response."""
    headers = {**ACCEPT, **bearer(), "mcp-protocol-version": era}
    if era == MODERN:
        about = {"name": "test", "version": "1"}
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": era,
            "io.modelcontextprotocol/clientInfo": about,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers["mcp-method"] = method
        if name := params.get("name") or params.get("uri"):
            headers["mcp-name"] = name
    return httpx.post(f"{url}/mcp", json=message(method, **params), headers=headers, timeout=30).json()


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("tools/list", {}),
    ("prompts/list", {}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("tools/call", {"name": "list_projects", "arguments": {}}),
    ("tools/call", {"name": "list_projects", "arguments": {"odd": 1}}),
    ("tools/call", {"name": "delete_project", "arguments": {"project": "project1"}}),
    (
        "tools/call",
        {"name": "plot_metrics", "arguments": {"project": "project1", "exp_cuids": ["cuid1"], "keys": ["*"]}},
    ),
    ("resources/read", {"uri": "swanlab://kites-test3/project1/cuid1"}),
    ("prompts/get", {"name": "weekly_report", "arguments": {"project": "project1"}}),
    (
        "completion/complete",
        {
            "ref": {"type": "ref/resource", "uri": "swanlab://{username}/{project}"},
            "argument": {"name": "project", "value": "pro"},
            "context": {"arguments": {"username": "kites-test3"}},
        },
    ),
]


@pytest.mark.parametrize("era", ERAS)
def test_every_result_type_is_valid_in_both_protocol_eras(url: str, era: str) -> None:
    for method, params in REQUESTS:
        answer = exchange(url, era, method, **params)
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == 1
        assert "error" not in answer, (method, answer)
        methods.validate_server_result(method, era, answer["result"])
        assert ("resultType" in answer["result"]) == (era == MODERN)


@pytest.mark.parametrize("era", ERAS)
def test_tool_schemas_are_valid_and_replies_match_them(url: str, era: str) -> None:
    tools = {tool["name"]: tool for tool in exchange(url, era, "tools/list")["result"]["tools"]}
    assert "delete_project" in tools
    for tool in tools.values():
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", tool["name"])
        for schema in (tool["inputSchema"], tool.get("outputSchema", {"type": "object"})):
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
            assert "$ref" not in str(schema)
    for method, params in REQUESTS:
        if method == "tools/call" and "outputSchema" in tools[params["name"]]:
            shown = exchange(url, era, method, **params)["result"]["structuredContent"]
            jsonschema.Draft202012Validator(tools[params["name"]]["outputSchema"]).validate(shown)


@pytest.mark.parametrize("era", ERAS)
def test_unknown_methods_resources_and_prompts_are_protocol_errors(url: str, era: str) -> None:
    assert exchange(url, era, "odd/method")["error"]["code"] == -32601
    assert exchange(url, era, "resources/read", uri="swanlab://kites-test3/nothing")["error"]["code"] == -32602
    assert exchange(url, era, "prompts/get", name="explain_crash", arguments={})["error"]["code"] == -32602


async def ask_everything(client: Client) -> dict[str, Any]:
    """Return all lists that the server offers, and at least one result of each type."""
    answers: dict[str, Any] = {
        "tools": await client.list_tools(),
        "prompts": await client.list_prompts(),
        "resources": await client.list_resources(),
        "templates": await client.list_resource_templates(),
    }
    writes: dict[str, dict[str, Any]] = {
        "create_project": {"project": "new"},
        "delete_experiments": {"project": "small", "exp_cuids": ["small0"]},
        "delete_project": {"project": "small"},
    }
    for tool, arguments in {**CALLS, **writes}.items():
        answers[tool] = await client.call_tool(tool, arguments)
        answers[f"{tool}, wrongly asked"] = await client.call_tool(tool, {**arguments, "project": 5, "odd": 1})
    texts = {"language": "zh", "since": "2024-11-01"}
    for prompt in PROMPTS:
        given = {name: texts.get(name, "small") for name, _, _ in prompt.arguments}
        answers[prompt.name] = await client.get_prompt(prompt.name, given)
    for address in ("swanlab://workspaces", "swanlab://kites-test3/small", "swanlab://kites-test3/small/small0"):
        answers[address] = await client.read_resource(address)
    template = ResourceTemplateReference(uri="swanlab://{username}/{project}")
    arguments = {"username": "kites-test3"}
    answers["project"] = await client.complete(template, {"name": "project", "value": "s"}, context_arguments=arguments)
    answers["language"] = await client.complete(
        PromptReference(name=PROMPTS[0].name), {"name": "language", "value": ""}
    )
    return {name: answer.model_dump(mode="json") for name, answer in answers.items()}


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_command_replies_match_the_in_memory_server(settings: Settings, mode: str) -> None:
    with serve_fake(create_app(build_world())) as host:
        own = dataclasses.replace(settings, api_host=host, web_host=host, allow_writes=True)
        async with connect(create_server(own), mode=mode) as client:
            expected = await ask_everything(client)
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "swanlab_mcp", "--allow-writes", "--host", host],
            env=environ(SWANLAB_API_KEY="test-key"),
        )
        async with Client(stdio_client(parameters), mode=mode) as client:
            answers = await ask_everything(client)
    # confirmations differ between calls
    # the news contains the server's time
    hidden = {name: re.sub(r"now: [0-9T:.-]+Z", "now", str(answer)) for name, answer in answers.items()}
    unlike = {
        name for name, answer in expected.items() if re.sub(r"now: [0-9T:.-]+Z", "now", str(answer)) != hidden[name]
    }
    assert unlike == {"create_project", "delete_experiments", "delete_project"}
    for name in unlike:
        for structured in (expected[name]["structured_content"], answers[name]["structured_content"]):
            assert structured["data"].pop("confirmation")
            assert structured["data"].pop("confirm_before")
        assert answers[name]["structured_content"] == expected[name]["structured_content"]


def test_baseline_entries_have_reasons_and_real_scenarios() -> None:
    text = SCRIPT.with_name("conformance-baseline.yml").read_text(encoding="utf-8")
    names = yaml.safe_load(text)["server"]
    assert len(names) == len(set(names))
    # only scenarios that need features of the suite's own server
    assert all(
        re.match("tools-call-|elicitation-|resources-(read|templates|(un)?subscribe)|prompts-get-", one)
        for one in names
    )
    assert text.count("  # these ") == 3


def run_script(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SCRIPT), *arguments]
    given = environ(PYTHON=sys.executable, **{"CONFORMANCE_SUITE": "", **more})
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=given, check=False)


def test_missing_conformance_tools_skip_with_a_reason(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    lacking = run_script(PATH=str(Path(bash).parent)) if shutil.which("node") is None else run_script()
    assert (lacking.returncode, lacking.stderr) == (0, "")
    assert lacking.stdout.startswith("conformance: skipped, ")
    if shutil.which("node"):
        assert "no folder was given" in lacking.stdout
        assert "contains no suite" in run_script(str(tmp_path)).stdout


@pytest.mark.skipif(not SUITE, reason="needs CONFORMANCE_SUITE, the folder of an installed suite")
def test_mcp_conformance_suite_and_inspector_pass() -> None:
    done = run_script(SUITE)
    assert done.returncode == 0, done.stderr
    assert "skipped" not in done.stdout
    assert re.search(r"the server: 1[3-9] checks pass, 19 scenarios fail as listed", done.stdout)
    assert "the shared server: 9 scenarios pass" in done.stdout
    assert done.stdout.count(": 0 errors, ") == 4
