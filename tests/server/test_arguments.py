"""Accept arguments in the forms that hosts and models send, and explain refused values."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

import swanlab_mcp
from swanlab_mcp.server.table import TOOLS
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.examples import IN_DEMO, read_examples

pytestmark = pytest.mark.anyio

DEMO = Settings(demo=True, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))
PROJECT = {"project": "digits-mlp"}
ONE = {**PROJECT, "exp_cuid": "lr-0.1"}
TWO = {**PROJECT, "exp_cuids": ["lr-0.1", "lr-1"]}
CURVES = {**TWO, "keys": ["val/loss"]}
EXAMPLES = read_examples(IN_DEMO, [entry for entry in TOOLS if not entry.shows_pictures])
# shared by the tests of a tool
FEWEST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}


async def ask(tool: str, arguments: dict[str, Any]) -> Any:
    async with session(DEMO) as client:
        return await client.call_tool(tool, arguments)


def drop_ages(text: str) -> str:
    """Return a reply without the age of the demo's files, which changes between two calls."""
    return re.sub(r"last written [^,:]+ ago", "last written", text)


async def check_same(tool: str, arguments: dict[str, Any], plain: dict[str, Any]) -> None:
    async with session(DEMO) as client:
        result, expected = await asyncio.gather(client.call_tool(tool, arguments), client.call_tool(tool, plain))
    assert not expected.is_error, text_of(expected)
    assert drop_ages(text_of(result)) == drop_ages(text_of(expected))


async def find_fewest(tool: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a tool's arguments, and the smallest subset of its example's arguments that it accepts."""
    if tool in FEWEST:
        return FEWEST[tool]
    async with session(DEMO) as client:
        (listed,) = [one for one in (await client.list_tools()).tools if one.name == tool]
        wanted = {*listed.input_schema.get("required", ()), "project", "timeout"}
        fewest = {name: value for name, value in EXAMPLES[tool].items() if name in wanted}
        refused = (await client.call_tool(tool, fewest)).is_error
    FEWEST[tool] = listed.input_schema["properties"], EXAMPLES[tool] if refused else fewest
    return FEWEST[tool]


@pytest.mark.parametrize("filling", [None, ""])
@pytest.mark.parametrize("tool", EXAMPLES)
async def test_null_and_empty_text_mean_an_omitted_argument(tool: str, filling: Any) -> None:
    known, fewest = await find_fewest(tool)
    await check_same(tool, {**dict.fromkeys(known, filling), **fewest}, fewest)


def fill_strictly(schema: dict[str, Any]) -> Any:
    """Return the value that a model sends for an argument that it does not need but has to fill in."""
    if "enum" in schema:
        return schema.get("default", schema["enum"][0])
    fillings: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}
    return fillings[schema["type"]]


@pytest.mark.parametrize("tool", EXAMPLES)
async def test_strict_mode_fillers_mean_omitted_arguments(tool: str) -> None:
    known, fewest = await find_fewest(tool)
    filled = {name: fill_strictly(schema) for name, schema in known.items()}
    # false and 0 have a meaning here, so models fill in the published default
    filled |= {
        name: schema["default"]
        for name, schema in known.items()
        if name in ("context", "detail", "page") and "default" in schema
    }
    await check_same(tool, {**filled, **fewest}, fewest)


@pytest.mark.parametrize("name", ["head", "tail", "last_minutes", "size"])
@pytest.mark.parametrize("zero", [0, 0.0, "0"])
async def test_zero_means_omitted_if_it_is_invalid(name: str, zero: Any) -> None:
    await check_same("get_metrics", {**CURVES, name: zero}, CURVES)


async def test_step_and_line_zero_are_values() -> None:
    for zero in (0, "0"):
        result = await ask("get_metrics", {**CURVES, "around": zero})
        assert result.structured_content != (await ask("get_metrics", CURVES)).structured_content
        lines = (await ask("get_logs", {**ONE, "start": zero, "count": 1})).structured_content["data"]
        assert [line["number"] for line in lines] == [0]


@pytest.mark.parametrize(
    ("tool", "arguments", "plain"),
    [
        ("get_metrics", {**CURVES, "keys": "val/loss"}, CURVES),
        ("get_metrics", {**CURVES, "keys": '["val/loss"]'}, CURVES),
        ("get_metrics", {**CURVES, "keys": ['["val/loss"]']}, CURVES),
        ("get_metrics", {**CURVES, "exp_cuids": '["lr-0.1", "lr-1"]'}, CURVES),
        ("get_metrics", {**CURVES, "start": 5, "max_points": "8"}, {**CURVES, "start": "5", "max_points": 8}),
        ("get_metrics", {**CURVES, "start": 5.0, "end": 20}, {**CURVES, "start": "5", "end": "20"}),
        ("get_experiment", {**ONE, "profile": "config"}, {**ONE, "profile": ["config"]}),
        ("list_projects", {"detail": "true", "page": "1", "size": 5.0}, {"size": 5}),
    ],
)
async def test_texts_lists_and_numbers_are_accepted_in_every_form(
    tool: str, arguments: dict[str, Any], plain: dict[str, Any]
) -> None:
    await check_same(tool, arguments, plain)


async def test_filters_are_accepted_in_every_form() -> None:
    condition = {"field": "config.lr", "op": ">", "value": 0.5}
    plain = {**PROJECT, "filters": [condition]}
    for filters in (condition, json.dumps(condition), [json.dumps(condition)], json.dumps([condition])):
        await check_same("find_experiments", {**PROJECT, "filters": filters}, plain)
    await check_same("find_experiments", {**PROJECT, "filters": [{**condition, "value": "0.5"}]}, plain)


async def test_numbers_are_valid_names(settings: Settings) -> None:
    async with session(settings) as client:
        result = await client.call_tool("list_project_exps", {"project": 2024})
    assert "'2024'" in text_of(result)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("list_projects", {"size": 101}, "'size' must be at most 100"),
    ("list_projects", {"size": "many"}, "'size' must be a whole number"),
    ("list_projects", {"detail": "maybe"}, "'detail' must be true or false"),
    ("list_projects", {"search": ["x"]}, "'search' must be text"),
    ("get_metrics", {**CURVES, "keys": {"a": 1}}, "'keys' must be a list"),
    ("get_metrics", {**CURVES, "keys": []}, "'keys' must have at least 1 item, not 0"),
    ("get_metrics", {**CURVES, "start": 10**400}, "'start' must be a step like 1000 or a time"),
    ("get_metrics", {**CURVES, "end": -(10**400)}, "'end' must be a step like 1000 or a time"),
    ("get_metrics", {**CURVES, "start": True}, "'start' must be a step like 1000 or a time"),
    ("get_metrics", {**CURVES, "around": "x"}, "'around' must be a whole number"),
    ("find_experiments", {**PROJECT, "filters": [5]}, "'filters.0' must be an object with named fields"),
    (
        "find_experiments",
        {**PROJECT, "filters": [{"field": "state", "op": "=", "value": {}}]},
        "'filters.0.value' must be text, a number, true, false, or a list of such values",
    ),
    (
        "find_experiments",
        {**PROJECT, "filters": [{"field": "state", "op": "=", "value": 1, "case": 1}]},
        "unknown field 'filters.0.case'",
    ),
    ("list_project_exps", {"project": None}, "'project' must be text"),
]


@pytest.mark.parametrize(("tool", "arguments", "expected"), WRONG)
async def test_invalid_value_is_explained_in_plain_terms(tool: str, arguments: dict[str, Any], expected: str) -> None:
    result = await ask(tool, arguments)
    assert result.is_error
    assert text_of(result).startswith(f"Invalid arguments: {expected}")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("find_experiments", PROJECT),
        ("list_metrics", {**PROJECT, "exp_cuids": "lr-0.1"}),
        ("get_exp_summary", ONE),
        ("get_environment", {**PROJECT, "exp_cuids": "lr-0.1"}),
    ],
)
async def test_size_without_a_page_gives_the_first_page(name: str, arguments: dict[str, Any]) -> None:
    for given in ({"size": 2}, {"size": 2, "page": 0}, {"size": "2", "page": None}):
        result = await ask(name, {**arguments, **given})
        assert result.structured_content["page"]["returned"] == 2
        assert result.structured_content["page"]["next"] == "page=2 size=2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("list_experiments", "Similar names: list_project_exps, find_experiments"),
        ("listExperiments", "Similar names: list_project_exps"),
        ("get_summary", "Similar names: get_exp_summary"),
        ("get_experiment_logs", "Similar names: get_experiment, get_logs"),
        ("swanlab_list_projects", "Similar names: list_projects"),
        ("get_metric", "get_metrics"),
        ("qqqq", "Known names: list_workspaces"),
        ("create_project", "start the server with --allow-writes"),
        ("delete_experiments", "start the server with --allow-writes"),
        ("delete_experiment", "start the server with --allow-writes"),
        ("get_server", "start the server with --admin-tools"),
    ],
)
async def test_unknown_tool_gets_suggestions(name: str, expected: str) -> None:
    result = await ask(name, {})
    assert result.is_error
    assert expected in text_of(result)


@pytest.mark.parametrize("name", ["toolCallId", "tool_call_id", "_meta", "__pregel_store", "sessionId"])
async def test_extra_host_arguments_are_named_with_advice(name: str) -> None:
    for tool in TOOLS:
        result = await ask(tool.name, {**EXAMPLES.get(tool.name, {}), name: "call-1"})
        assert result.is_error
        assert f"{name!r} is not an argument of this tool" in text_of(result)
        assert "omit it and call again" in text_of(result)
