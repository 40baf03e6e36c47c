"""Published schemas match validation, load in every host, are fully described and stay within the budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import swanlab_mcp
from swanlab_mcp.server.table import ADMIN_TOOLS, EVERY_TOOL, TOOLS, WRITE_TOOLS
from swanlab_mcp.settings import Settings
from tests.conftest import session
from tests.examples import IN_DEMO, read_examples

pytestmark = pytest.mark.anyio

DEMO = Settings(demo=True, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))
# o200k tokens in the names, descriptions and input schemas of all tools except those for administrators
MOST_TOKENS = 8000


@pytest.fixture
async def tools() -> list[Any]:
    async with session(replace(DEMO, allow_writes=True, admin_tools=True)) as client:
        return (await client.list_tools()).tools


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema within a schema."""
    yield node
    for inner in (*node.get("properties", {}).values(), *node.get("anyOf", ())):
        yield from walk(inner)
    if "items" in node:
        yield from walk(node["items"])


async def test_input_schemas_follow_the_common_rules_of_hosts(tools: list[Any]) -> None:
    known = {"type", "properties", "required", "items", "anyOf", "enum", "default", "description"}
    for tool in tools:
        assert tool.input_schema["type"] == "object"
        for node in walk(tool.input_schema):
            assert set(node) <= known, (tool.name, node)
            assert isinstance(node.get("type", ""), str), (tool.name, node)
            assert ("type" in node) != ("anyOf" in node), (tool.name, node)
            assert node.get("type") != "null"
            assert "" not in node.get("enum", ())
            assert node.get("type") != "array" or "items" in node, (tool.name, node)
            assert node.get("default") is not None or "default" not in node
            assert node.get("type") != "object" or node["properties"] is not None


async def test_output_schemas_match_the_envelope(tools: list[Any]) -> None:
    pictures = {entry.name for entry in TOOLS if entry.shows_pictures}
    schemas = {json.dumps(tool.output_schema) for tool in tools if tool.name not in pictures}
    assert len(schemas) == 1
    assert set(json.loads(schemas.pop())["properties"]) == {"code", "errmsg", "data", "page", "notes"}
    assert all(tool.output_schema is None for tool in tools if tool.name in pictures)


async def test_every_tool_and_argument_has_a_full_description(tools: list[Any]) -> None:
    assert [tool.name for tool in tools] == [entry.name for entry in EVERY_TOOL]
    read_only = {entry.name for entry in EVERY_TOOL if entry.read_only}
    words: list[int] = []
    for tool in tools:
        assert tool.title
        assert "Example: {" in tool.description
        assert "Returns" in tool.description
        assert any(f"{other.name}" in tool.description for other in EVERY_TOOL if other.name != tool.name)
        assert tool.annotations.read_only_hint is (True if tool.name in read_only else None)
        words += [len(about["description"].split()) for about in tool.input_schema["properties"].values()]
    assert sum(words) / len(words) >= 8
    assert min(words) >= 5


async def test_tool_list_stays_within_its_budget(tools: list[Any]) -> None:
    import bpe_openai  # pyright: ignore[reportMissingTypeStubs] has none; takes a second to import

    admin = {entry.name for entry in ADMIN_TOOLS}
    kept = [tool for tool in tools if tool.name not in admin]
    listed = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in kept]
    counted = [{key: tool[key] for key in ("name", "description", "inputSchema")} for tool in listed]
    text = json.dumps(counted, ensure_ascii=False, separators=(",", ":"))
    tokens = len(bpe_openai.get_encoding("o200k_base").encode(text))
    assert tokens <= MOST_TOKENS


async def test_examples_in_descriptions_work_in_the_demo() -> None:
    async with session(DEMO) as client:
        for tool, example in read_examples(IN_DEMO).items():
            result = await client.call_tool(tool, example)
            assert not result.is_error, (tool, result.content)
        for tool, example in read_examples({}, WRITE_TOOLS).items():
            assert "Invalid arguments" not in str((await client.call_tool(tool, example)).content)
