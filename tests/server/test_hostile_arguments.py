"""Call every tool, prompt, resource and completion with hostile arguments: 28,000 calls, 5,000 of them in the gate.

`pytest --no-cov tests/server/test_hostile_arguments.py` makes all calls in one process.

Calls go through the SDK's in-memory client to a complete server, whose requests go over real HTTP to the fake SwanLab.
The fake logs the requested paths. The calls are the same in every run.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

import jsonschema
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from mcp import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, PromptReference, ResourceTemplateReference

from swanlab_mcp.core.untrusted import neutralise
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.server.prompts import PROMPTS
from swanlab_mcp.server.table import TOOLS
from swanlab_mcp.settings import Settings
from tests.cli.test_command import INITIALIZE, environ, send
from tests.conftest import RUNS, session, text_of
from tests.fake_swanlab import Call, LogLine, Media, State

pytestmark = pytest.mark.anyio

CALLS = 90  # calls of each tool in one portion
PORTIONS = [0, *(pytest.param(number, marks=pytest.mark.exhaustive) for number in range(1, 15))]
OTHERS = 700  # calls of prompts, of resources and of completion
BUDGET = 3000
LONGEST_ERROR = 4000

# the only endpoints that tools may request; `{}` is a name
ENDPOINTS = {
    "POST /api/login/api_key",
    "GET /api/group/",
    "GET /api/user/{}/groups",
    "GET /api/project/{}",
    "GET /api/project/{}/{}",
    "GET /api/project/{}/{}/runs",
    "GET /api/project/{}/{}/runs/{}",
    "POST /api/project/{}/{}/runs/shows",
    "POST /api/house/metrics/summaries",
    "POST /api/house/metrics/scalar",
    "POST /api/house/metrics/scalar/keys",
    "POST /api/house/metrics/scalar/export",
    "POST /api/house/metrics/media",
    "POST /api/house/metrics/media/keys",
    "POST /api/files/presigned/get",
    "POST /api/resources/presigned/get",
    "GET /api/house/metrics/log",
    "GET /storage/{}/{}",
    "GET /storage/{}/{}/{}",
}
PARAMETERS = {
    *("page", "size", "detail", "search", "sort", "signature"),
    *("projectId", "experimentId", "createdAt", "epoch", "rootProId", "rootExpId"),
}

TEXTS = [
    "",
    " ",
    ".",
    "..",
    "../..",
    "../../login/api_key",
    "..\\..\\etc",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fgroup",
    "%252e%252e",
    "a/../b",
    "a/b/c",
    "a/b/c/d/e",
    "/",
    "//",
    "//evil.example/x",
    "/etc/passwd",
    "project1/",
    "project1/../project2",
    "project1?size=1",
    "project1#top",
    "project1;x=1",
    "project1%00",
    "project1\x00",
    "a\x00b",
    "\x1b[2J\x1b]0;owned\x07",
    "\r\nx-header: 1",
    "a\r\n\r\nGET / HTTP/1.1",
    "\u202eevil\u2066",
    "\u2028line\u2029",
    "\ufeff\u200b",
    "\ud800",
    "x\udfff",
    "名前" * 30,
    "😀" * 40,
    "e\u0301" * 40,
    "@",
    "@@",
    "@a/b",
    "@kites-test3/project1/runs",
    "http://",
    "https://@",
    "https://[::1",
    "http://evil.example/@kites-test3/project1/runs/cuid1/chart",
    "https://user:pass@evil.example:99999/@a/b",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "{host}/@kites-test3/%2e%2e/runs/%2e%2e/chart",
    "{host}/@kites-test3/project1/runs/..%2f..%2fgroup/chart",
    "{host}/@%00/a%0d%0ab",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "%s%n%x",
    "{0.__class__}",
    "'; DROP TABLE runs; --",
    "<script>alert(1)</script>",
    "]]>",
    "[",
    "(",
    "(?P<x",
    "(a+)+$",
    "*" * 60,
    "a" * 300,
    "(" * 500,
    "[a-" * 100,
    "\\",
    "local",
    "local/..",
    "NaN",
    "-1",
    "1e999",
    "step:999999999999",
    "step:-1",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "999999w",
    "null",
    "true",
    "[]",
    '{"a": 1}',
    '["loss"]',
    "[" * 500,
    "1" * 5000,
]
LARGE = ["x" * 100_000, "../" * 30_000, "\x00" * 50_000, "\ud800" * 5000, "😀" * 50_000, "名" * 100_000, "{" * 100_000]
NUMBERS = [
    0,
    -1,
    1,
    2,
    3,
    47,
    2000,
    10**6,
    2**31,
    2**53 + 1,
    2**63,
    -(2**63),
    10**30,
    10**400,
    0.5,
    -0.0,
    1e308,
    5e-324,
]
NUMBERS += [float("nan"), float("inf"), float("-inf")]


def nest(depth: int, *, as_list: bool) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


ODD = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {"\x00": "\ud800"},
    ["loss", 1, None, {}],
    [".."] * 3,
    nest(50, as_list=True),
    nest(50, as_list=False),
    nest(150, as_list=True),
]
MANY = [["x"] * 10_000, list(range(10_000)), [{"field": "name", "op": "=", "value": "x"}] * 10_000, [[]] * 10_000]

GOOD: dict[str, Sequence[Any]] = {
    "project": [
        "project1",
        "kites-test3/project1",
        "local/vision-baselines",
        "{host}/@kites-test3/project1",
        "missing",
    ],
    "exp_cuid": ["cuid1", "experiment1", "odd/..", "kites-test3/project1/cuid1", "missing"],
    "exp_cuids": [["cuid1"], ["cuid1", "odd1"], ["experiment1", "missing"]],
    "username": ["", "kites-test3", "kites-test2", "local", "missing"],
    "keys": [["loss"], ["*"], ["acc", "loss"], ["missing"], ["texts"]],
    "start": [0, 5, "2024-11-23"],
    "end": [40, "2024-11-24"],
    "metrics": [["loss"], [], ["acc", "missing"]],
    "metric": ["loss", "acc", "missing"],
    "filters": [
        [],
        [{"field": "config.lr", "op": ">", "value": 0}],
        [{"field": "state", "op": "in", "value": ["FINISHED"]}],
        [{"field": "metric.loss", "op": "<", "value": 1e9}, {"field": "created", "op": ">", "value": "2024-01-01"}],
    ],
    "sort": ["", "name", "created", "config.lr", "metric.loss"],
    "since": ["24h", "2024-01-01", "52w"],
    "at": ["best", "last", "smoothed", "step:5"],
    "pattern": ["", "err.*"],
    "search": ["", "e"],
    "timeout": [1],
}


MEDIA = {"exp_cuid": "odd1", "keys": ["texts"], "steps": [1]}


def pick_good(tool: str, name: str, schema: dict[str, Any], luck: random.Random) -> Any:
    if tool == "get_media" and name in MEDIA:
        return MEDIA[name]
    if name in GOOD:
        return GOOD[name][0] if luck.random() < 0.7 else luck.choice(GOOD[name])
    if "enum" in schema:
        return luck.choice(schema["enum"])
    return {"string": "x", "integer": 2, "number": 0.5, "boolean": True, "array": []}[schema["type"]]


def pick_hostile(schema: dict[str, Any], luck: random.Random) -> Any:
    """Return a hostile value, usually of the right type."""
    kind, chance = schema["type"], luck.random()
    if chance < 0.02:
        return luck.choice(LARGE + MANY)
    if kind == "array" and chance < 0.8:
        if schema["items"]["type"] == "object":
            field = luck.choice(["config.", "metric.", ""]) + luck.choice(TEXTS)
            value = luck.choice([luck.choice(TEXTS), luck.choice(NUMBERS), [luck.choice(TEXTS)], luck.choice(ODD)])
            op = luck.choice(["=", "!=", ">", "in", "not-in", "contains", "~", 1])
            return [{"field": field, "op": op, "value": value}, *luck.choice([[], [], [{}], ["x"]])]
        return [luck.choice(TEXTS + NUMBERS[:4]) for _ in range(luck.choice([1, 1, 2, 5, 30]))]
    if kind in ("integer", "number") and chance < 0.8:
        return luck.choice(NUMBERS)
    return luck.choice(TEXTS if kind == "string" and chance < 0.8 else TEXTS + NUMBERS + ODD)


def make_calls(tool: Any, luck: random.Random, count: int, host: str) -> Iterator[dict[str, Any]]:
    """Yield arguments that are all hostile or, to get past the first check, valid except for one or two."""
    properties, required = tool.input_schema.get("properties", {}), tool.input_schema.get("required", ())
    for _ in range(count):
        optional = [name for name in properties if name not in required]
        # without a project, most calls would end at the first check, and without a timeout, a wait would take long
        named = [name for name in ("project", "timeout") if name in optional and luck.random() < 0.9]
        optional = [name for name in optional if name not in named]
        names = [*required, *named, *luck.sample(optional, min(len(optional), luck.randint(0, 3)))]
        bad = names if luck.random() < 0.6 else luck.sample(names, min(len(names), luck.choice([0, 1, 1, 1, 2])))
        arguments = {name: pick_good(tool.name, name, properties[name], luck) for name in names}
        arguments |= {name: pick_hostile(properties[name], luck) for name in bad}
        if luck.random() < 0.05:
            arguments[luck.choice(TEXTS)] = luck.choice(ODD)
        if luck.random() < 0.03 and arguments:
            del arguments[luck.choice(list(arguments))]
        yield {
            name: value.replace("{host}", host) if isinstance(value, str) else value
            for name, value in arguments.items()
        }


@pytest.fixture
def state(state: State) -> State:
    project = state.projects[0]
    state.add_project(state.workspaces[1], "..", cuid="dots")
    state.add_project(state.workspaces[0], "a/b", cuid="slashes")
    odd = state.add_experiment(project, "odd/..", cuid="odd1", config={"lr": 1, "nested": {"a": [1, 2]}})
    odd.metrics = {"loss": [(0, float("nan")), (1, 2.0)], "..": [(0, 1.0)], "x\x00": [(1, 1.0)]}
    odd.media = {"texts": [Media(1, ["a.txt"], ["caption"])]}
    odd.logs = [LogLine(0, "err: a\x1b[31m", "ERROR"), LogLine(0, "(a+)+$" * 20)]
    state.files = {"project1/odd1/a.txt": b"text"}
    return state


@pytest.fixture
def crowded(settings: Settings) -> Settings:
    """Return settings for the fake SwanLab and runs on disk."""
    return replace(settings, log_dirs=(RUNS / "0.10.3-offline",), max_output_tokens=BUDGET)


def collect_texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in collect_texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in collect_texts(item)]
    # a number is also a name
    return [str(value)] if isinstance(value, (str, int, float)) else []


def check_requests(calls: Sequence[Call], given: Sequence[Any], state: State) -> None:
    """Fail unless every request is for an allowed endpoint, and contains only names that exist or were passed in."""
    known = {"local", "exports", "project1", "cuid1", "odd1"}
    known |= {one.username for one in state.workspaces} | {one.name for one in state.projects}
    for call in calls:
        parts = call.raw_path.split("/")
        matching = [
            pattern.split(" ")[1].split("/")
            for pattern in ENDPOINTS
            if pattern.split(" ")[0] == call.method and fits(pattern.split(" ")[1].split("/"), parts)
        ]
        assert matching, f"{call.method} {call.raw_path}"
        assert set(call.query) <= PARAMETERS, call.raw_query
        names = [unquote(part) for wanted, part in zip(matching[0], parts, strict=True) if wanted == "{}"]
        for name in names:
            assert name not in ("", ".", ".."), call.raw_path
            assert not any(character < " " or character == "\x7f" for character in name), call.raw_path
            is_known = name in known or call.raw_path.startswith("/storage/")
            assert is_known or any(
                name in text or name in unquote(text) for one in reversed(given) for text in collect_texts(one)
            ), call.raw_path


def fits(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    return len(pattern) == len(parts) and all(
        wanted in ("{}", part) for wanted, part in zip(pattern, parts, strict=True)
    )


def check_message(result: Any) -> str:
    """Return a result's text. Fail unless it is serialisable."""
    wire = result.model_dump_json(by_alias=True, exclude_none=True)
    assert json.loads(wire.encode())
    text = text_of(result)
    assert neutralise(text) == text
    return text


def check_result(result: Any, check: Any) -> None:
    text = check_message(result)
    assert "nternal error" not in text
    assert "did not finish within" not in text
    if result.is_error:
        assert set(result.structured_content) == {"code", "errmsg", "data"}, text
        assert result.structured_content["code"] in (0, 400, 404, 501), text
        assert result.structured_content["errmsg"] == text
        assert len(text) <= LONGEST_ERROR
        assert "\n" not in text
    else:
        assert count_tokens(text) <= BUDGET
        assert (result.structured_content is None) == (check is None)
        if check is not None:
            check.validate(result.structured_content)
            assert count_tokens(json.dumps(result.structured_content, ensure_ascii=False)) <= BUDGET * 1.2


@pytest.mark.parametrize("portion", PORTIONS)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda entry: entry.name)
async def test_no_argument_breaks_a_tool_or_leaves_its_endpoints(
    crowded: Settings, state: State, tool: Any, portion: int
) -> None:
    # a request from an abandoned call may still arrive during later calls
    recent: deque[Any] = deque(maxlen=100)
    async with session(crowded) as client:
        listed = next(one for one in (await client.list_tools()).tools if one.name == tool.name)
        check = jsonschema.Draft202012Validator(listed.output_schema) if listed.output_schema else None
        # a picture takes as long as a hundred other calls
        count = CALLS // 5 if tool.name == "plot_metrics" else CALLS
        for arguments in make_calls(listed, random.Random(f"{tool.name} {portion}"), count, crowded.web_host):
            # the client sends an infinite number as null, which means the default
            if tool.wait and arguments.get("timeout") in (None, "", float("inf"), float("-inf")):
                arguments["timeout"] = 1
            recent.append(arguments)
            before = len(state.calls)
            result = await client.call_tool(tool.name, arguments)
            try:
                check_result(result, check)
                check_requests(state.calls[before:], list(recent), state)
            except AssertionError as error:
                raise AssertionError(f"{tool.name} {arguments!r:.2000}") from error
    assert state.calls, "no call reached SwanLab, so the test is void"


@pytest.mark.parametrize(("op", "count"), [("<", 2), (">", 0), ("!=", 2), ("in", 0)])
async def test_integers_beyond_float_range_are_compared(crowded: Settings, op: str, count: int) -> None:
    arguments = {"project": "project1", "filters": [{"field": "config.lr", "op": op, "value": 10**400}]}
    async with session(crowded) as client:
        result = await client.call_tool("find_experiments", arguments)
    assert not result.is_error, text_of(result)
    assert len(result.structured_content["data"]) == count


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
one_call = st.sampled_from(TOOLS).flatmap(
    lambda entry: st.tuples(
        st.just(entry.name),
        st.dictionaries(
            st.sampled_from(["project", "exp_cuid", "exp_cuids", "keys", "metric", "username", "search", "page"]),
            st.text() | json_values | st.lists(st.text(), max_size=3) | st.sampled_from(["project1", "cuid1"]),
        ),
    )
)


@given(calls=st.lists(one_call, min_size=10, max_size=20))
@examples(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_no_generated_text_breaks_a_tool(
    crowded: Settings, state: State, calls: Sequence[tuple[str, dict[str, Any]]]
) -> None:
    state.calls.clear()
    async with session(crowded) as client:
        for name, arguments in calls:
            result = await client.call_tool(name, arguments)
            assert "nternal error" not in check_message(result)
    check_requests(state.calls, calls, state)


def check_refusal(error: MCPError, longest: int = LONGEST_ERROR) -> None:
    """Fail unless a protocol error has a serialisable message that explains it."""
    message = error.error.message
    assert error.error.code in (INVALID_PARAMS, INTERNAL_ERROR, -32002), message
    assert json.dumps(message, ensure_ascii=False).encode()
    # the SDK's message repeats the client's URI
    assert neutralise(message) == message or message.startswith("Unknown resource: ")
    assert 0 < len(message) <= longest
    assert not message.startswith(("Internal", "Error executing", "Error reading", "Error creating"))


async def test_no_argument_breaks_a_prompt(crowded: Settings, state: State) -> None:
    luck = random.Random("prompts")
    written = 0
    async with session(crowded) as client:
        for _ in range(OTHERS):
            entry = luck.choice(PROMPTS)
            given = {name: luck.choice([*TEXTS, *LARGE[:2], "project1"]) for name, _, _ in entry.arguments}
            given["language"] = luck.choice(["en", "zh", "", "", luck.choice(TEXTS)])
            if luck.random() < 0.1:
                given[luck.choice(TEXTS)] = "x"
            try:
                result = await client.get_prompt(entry.name, given)
            except MCPError as error:
                check_refusal(error)
                continue
            written += 1
            assert json.loads(result.model_dump_json().encode())
            (message,) = result.messages
            assert neutralise(message.content.text) == message.content.text
            # arguments are quoted, so they add no line
            assert message.content.text.count("\n") <= entry.texts["en"].count("\n") + 7
    assert written > OTHERS / 4
    assert not state.calls


async def test_no_uri_breaks_a_resource_or_leaves_its_endpoints(crowded: Settings, state: State) -> None:
    luck = random.Random("resources")
    read = 0
    async with session(crowded) as client:
        for _ in range(OTHERS):
            parts = [
                luck.choice([*TEXTS, "kites-test3", "project1", "cuid1"])
                for _ in range(luck.choice([1, 2, 2, 3, 3, 4]))
            ]
            if luck.random() < 0.5:
                parts = [*["kites-test3", "project1"][: len(parts) - 1], luck.choice([parts[-1], "project1", "cuid1"])]
            raw = luck.random() < 0.3
            shown = [part.encode(errors="replace").decode() for part in parts]
            address = "swanlab://" + "/".join(shown if raw else [quote(part, safe="") for part in shown])
            before = len(state.calls)
            try:
                result = await client.read_resource(address)
            except MCPError as error:
                # the SDK repeats an unknown URI in full
                check_refusal(error, LONGEST_ERROR + len(address))
            else:
                read += 1
                assert json.loads(result.model_dump_json().encode())
                assert all(count_tokens(content.text) <= BUDGET for content in result.contents)
            check_requests(state.calls[before:], [address, *parts], state)
    assert read > 10


async def test_no_typed_text_breaks_completion(crowded: Settings, state: State) -> None:
    luck = random.Random("completion")
    template = ResourceTemplateReference(uri="swanlab://{username}/{project}/{exp_cuid}")
    completed = 0
    async with session(crowded) as client:
        for _ in range(OTHERS):
            reference = luck.choice([template, PromptReference(name="explain_crash"), PromptReference(name="..")])
            argument = {"name": luck.choice(["username", "project", "exp_cuid", "language", ".."])}
            argument["value"] = luck.choice(["", "e", *TEXTS, *LARGE[:2]])
            chosen = {
                "username": luck.choice(["kites-test3", "local", *TEXTS]),
                "project": luck.choice(["project1", *TEXTS]),
            }
            before = len(state.calls)
            try:
                result = await client.complete(reference, argument, context_arguments=chosen)
            except MCPError as error:
                check_refusal(error)
            else:
                completed += 1
                assert json.loads(result.model_dump_json().encode())
                assert len(result.completion.values) <= 100
            check_requests(state.calls[before:], [argument, chosen], state)
    assert completed > OTHERS / 4


def test_garbage_on_the_wire_does_not_end_the_server() -> None:
    """The SDK drops invalid messages without a reply, but the next call must still work."""

    def call(number: int, arguments: str) -> str:
        request = json.dumps(
            {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "list_projects"}}
        )
        return f'{request[:-2]}, "arguments": {arguments}}}}}\n'

    odd = [
        '{"search": "\\ud800"}',
        '{"page": NaN}',
        '{"page": 1e999}',
        f'{{"page": {"9" * 5000}}}',
        "[]",
        '"x"',
        "null",
    ]
    odd += [f'{{"search": {"[" * 100_000}{"]" * 100_000}}}', json.dumps({"search": "x" * 3_000_000})]
    lines = [call(number, arguments) for number, arguments in enumerate(odd, 2)]
    lines += [
        "not json\n",
        "[]\n",
        '{"jsonrpc": "2.0"}\n',
        "\n",
        "null\n",
        '{"jsonrpc": "2.0", "id": 77, "method": "x"}\n',
    ]
    command = [sys.executable, "-m", "swanlab_mcp", "--demo"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ()
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        begin = send(INITIALIZE, {"method": "notifications/initialized"})
        server.stdin.write((begin + "".join(lines)).encode() + b"\xff\xfe\x00\n" + call(99, "{}").encode())
        server.stdin.flush()
        answers: dict[int, Any] = {}
        while not {3, 4, 10, 99} <= answers.keys():
            answer = json.loads(server.stdout.readline())
            assert answer["jsonrpc"] == "2.0"
            answers[answer["id"]] = answer
        server.stdin.close()
        assert server.wait(timeout=30) == 0
        assert b"Traceback" not in server.stderr.read()
    assert answers[99]["result"]["structuredContent"]["data"][0]["name"] == "digits-mlp"
    # these are valid messages with invalid arguments
    for number in (3, 4, 10):
        assert answers[number]["result"]["isError"]
        assert "Invalid arguments" in answers[number]["result"]["content"][0]["text"]
