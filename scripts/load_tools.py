"""Load the server's tools with the MCP client of an agent framework: python scripts/load_tools.py FRAMEWORK PYTHON.

Run this script in the framework's environment. PYTHON is an interpreter that can import swanlab_mcp. The script prints
the version of the framework and the number of loaded tools. It fails if a tool is missing or has lost an argument.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

COMMAND = [sys.argv[2] if len(sys.argv) > 2 else sys.executable, "-m", "swanlab_mcp", "--demo"]
Loaded = dict[str, set[str]]


async def with_session(use: Callable[[Any], Awaitable[Any]]) -> Any:
    """Connect to the server with the MCP SDK from this environment, and return the result of `use(session)`."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:])
    async with stdio_client(parameters) as (received, sent), ClientSession(received, sent) as session:
        await session.initialize()
        return await use(session)


async def load_google_genai() -> Loaded:
    from google.genai import _mcp_utils

    async def use(session: Any) -> Loaded:
        tools = [_mcp_utils.mcp_to_gemini_tool(one) for one in (await session.list_tools()).tools]
        declared = [one for tool in tools for one in tool.function_declarations]
        return {one.name: find_names(one) for one in declared}

    def find_names(declaration: Any) -> set[str]:
        if declaration.parameters_json_schema:
            return set(declaration.parameters_json_schema.get("properties", {}))
        return set((declaration.parameters.properties or {}) if declaration.parameters else {})

    return await with_session(use)


async def load_autogen() -> Loaded:
    from autogen_ext.tools.mcp import StdioServerParams, mcp_server_tools

    tools = await mcp_server_tools(StdioServerParams(command=COMMAND[0], args=COMMAND[1:]))
    return {tool.name: set(tool.schema["parameters"].get("properties", {})) for tool in tools}


async def load_dspy() -> Loaded:
    import dspy

    async def use(session: Any) -> Loaded:
        tools = [dspy.Tool.from_mcp_tool(session, one) for one in (await session.list_tools()).tools]
        return {tool.name: set(tool.args or {}) for tool in tools}

    return await with_session(use)


async def load_semantic_kernel() -> Loaded:
    from semantic_kernel import Kernel
    from semantic_kernel.connectors.mcp import MCPStdioPlugin

    async with MCPStdioPlugin(name="swanlab", command=COMMAND[0], args=COMMAND[1:]) as plugin:
        functions = Kernel().add_plugin(plugin, "swanlab").functions
        # prompts are loaded as functions, too
        return {name: {one.name for one in function.metadata.parameters} for name, function in functions.items()}


async def load_openai_agents() -> Loaded:
    from agents.mcp import MCPServerStdio
    from agents.mcp.util import MCPUtil

    async with MCPServerStdio(params={"command": COMMAND[0], "args": COMMAND[1:]}) as server:
        tools = [
            MCPUtil.to_function_tool(one, server, convert_schemas_to_strict=True) for one in await server.list_tools()
        ]
        for tool in tools:
            check_strict(tool.name, tool.params_json_schema)
        call = next(one for one in await server.list_tools() if one.name == "get_metrics")
        strict = next(one.params_json_schema for one in tools if one.name == "get_metrics")
        wanted = {"project": "digits-mlp", "exp_cuids": ["lr-0.1"], "keys": ["val/loss"]}
        filled = {name: fill(schema) for name, schema in strict["properties"].items()} | wanted
        result = await server.call_tool(call.name, filled)
        if getattr(result, "is_error", None) or getattr(result, "isError", None):
            raise RuntimeError(f"get_metrics {json.dumps(filled)}: {result.content}")
        return {tool.name: set(tool.params_json_schema["properties"]) for tool in tools}


def check_strict(name: str, schema: dict[str, Any]) -> None:
    """Raise RuntimeError unless every object in a schema requires all its properties and allows no others."""
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != set(schema.get("properties", {}))
    ):
        raise RuntimeError(f"{name} was not converted to a strict schema: {schema}")
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    for one in [*inner, schema["items"]] if "items" in schema else inner:
        check_strict(name, one)


def fill(schema: dict[str, Any]) -> Any:
    """Return the value that a model would send for an optional argument that a strict schema makes required."""
    if "enum" in schema:
        return schema.get("default", schema["enum"][0])
    return {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}[schema["type"]]


async def load_mcp_use() -> Loaded:
    from mcp_use import MCPClient
    from mcp_use.agents.adapters.langchain_adapter import LangChainAdapter

    client = MCPClient.from_dict({"mcpServers": {"swanlab": {"command": COMMAND[0], "args": COMMAND[1:]}}})
    try:
        await client.create_all_sessions()
        adapter = LangChainAdapter()
        await adapter.create_all(client)
        return {tool.name: set(tool.args) for tool in adapter.tools}
    finally:
        await client.close_all_sessions()


async def load_langchain() -> Loaded:
    from langchain_mcp_adapters.client import MultiServerMCPClient

    client = MultiServerMCPClient({"swanlab": {"transport": "stdio", "command": COMMAND[0], "args": COMMAND[1:]}})
    return {tool.name: set(tool.args) for tool in await client.get_tools()}


async def load_pydantic_ai() -> Loaded:
    from fastmcp.client.transports import StdioTransport
    from pydantic_ai.mcp import MCPToolset
    from pydantic_ai.profiles.google import GoogleJsonSchemaTransformer
    from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer

    async with MCPToolset(StdioTransport(COMMAND[0], COMMAND[1:])) as toolset:
        tools = {tool.name: tool.inputSchema for tool in await toolset.list_tools()}
        for schema in tools.values():
            OpenAIJsonSchemaTransformer(schema, strict=True).walk()
            GoogleJsonSchemaTransformer(schema).walk()
        return {name: set(schema["properties"]) for name, schema in tools.items()}


FRAMEWORKS: dict[str, Callable[[], Awaitable[Loaded]]] = {
    "google-genai": load_google_genai,
    "autogen-ext": load_autogen,
    "dspy": load_dspy,
    "semantic-kernel": load_semantic_kernel,
    "openai-agents": load_openai_agents,
    "mcp-use": load_mcp_use,
    "langchain-mcp-adapters": load_langchain,
    "pydantic-ai-slim": load_pydantic_ai,
}


async def find_expected() -> Loaded:
    async def use(session: Any) -> Loaded:
        listed = [one.model_dump(mode="json", by_alias=True) for one in (await session.list_tools()).tools]
        return {one["name"]: set(one["inputSchema"].get("properties", {})) for one in listed}

    return await with_session(use)


async def main(framework: str) -> int:
    loaded, expected = await FRAMEWORKS[framework](), await find_expected()
    lost = {name: sorted(arguments - loaded.get(name, set())) for name, arguments in expected.items()}
    lost = {name: arguments for name, arguments in lost.items() if arguments or name not in loaded}
    kept = len(expected) - len(lost)
    print(f"{framework} {version(framework)}: {kept} of {len(expected)} tools" + (f", lost {lost}" if lost else ""))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
