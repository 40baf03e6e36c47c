"""Every tool, prompt, resource and completion with arguments that nobody should send: 22,000 calls through MCP clients.

All calls go through the SDK's in-memory client to the whole server, and what they ask of SwanLab goes over real HTTP to
the fake, whose log tells which paths were asked for. The calls are the same in every run.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from swanlab_mcp.render import count_tokens
from swanlab_mcp.settings import Settings
from swanlab_mcp.untrusted import neutralise
from tests.conftest import RUNS, text_of
from tests.fake_swanlab import Call, LogLine, Media, State

pytestmark = pytest.mark.anyio

CALLS = 1400  # of each tool
BUDGET = 3000
LONGEST_ERROR = 4000

# what the tools may ask of SwanLab: `{}` stands for a name, and nothing but these may ever be asked for
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
}


MEDIA = {"exp_cuid": "odd1", "keys": ["texts"], "steps": [1]}


def pick_good(tool: str, name: str, schema: dict[str, Any], luck: random.Random) -> Any:
    if tool == "get_media" and name in MEDIA:
        return MEDIA[name]
    if name in GOOD:
        return GOOD[name][0] if luck.random() < 0.7 else luck.choice(GOOD[name])
    if "enum" in schema:
        return luck.choice(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {"string": "x", "integer": 2, "number": 0.5, "boolean": True, "array": []}[luck.choice(kinds)]


def pick_hostile(schema: dict[str, Any], luck: random.Random) -> Any:
    """Return what an argument should not be: mostly of the right kind, else of any."""
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
    """Yield arguments: most of them good, so that the bad ones get past the first check."""
    properties, required = tool.input_schema.get("properties", {}), tool.input_schema.get("required", ())
    for _ in range(count):
        optional = [name for name in properties if name not in required]
        names = [*required, *luck.sample(optional, min(len(optional), luck.randint(0, 3)))]
        bad = luck.sample(names, min(len(names), luck.choice([0, 1, 1, 1, 1, 2, 4])))
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
    """The fake SwanLab and runs on disk, side by side."""
    return Settings(
        api_host=settings.api_host,
        web_host=settings.web_host,
        api_key=settings.api_key,
        key_source=settings.key_source,
        backoff=settings.backoff,
        log_dirs=(RUNS / "0.10.3-offline",),
        max_output_tokens=BUDGET,
    )


def collect_texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in collect_texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in collect_texts(item)]
    return [value] if isinstance(value, str) else []


def check_requests(calls: Sequence[Call], asked: Any, state: State) -> None:
    """Fail unless every request went to an endpoint that is meant, for a name that was asked for or that exists."""
    known = {"local", "exports", "project1", "cuid1", "odd1"}
    known |= {one.username for one in state.workspaces} | {one.name for one in state.projects}
    given = [unquote(text) for text in collect_texts(asked)] + collect_texts(asked)
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
            is_asked = name in known or any(name in text for text in given)
            assert is_asked or call.raw_path.startswith("/storage/"), call.raw_path


def fits(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    return len(pattern) == len(parts) and all(
        wanted in ("{}", part) for wanted, part in zip(pattern, parts, strict=True)
    )


def check_message(result: Any) -> str:
    """Fail unless a result can be sent as it is; return its text."""
    wire = result.model_dump_json(by_alias=True, exclude_none=True)
    assert json.loads(wire.encode())
    text = text_of(result)
    assert neutralise(text) == text
    return text


def check_result(result: Any, schema: dict[str, Any] | None) -> None:
    text = check_message(result)
    assert "nternal error" not in text
    if result.is_error:
        assert set(result.structured_content) == {"code", "errmsg", "data"}, text
        assert result.structured_content["code"] in (0, 400, 404, 501), text
        assert result.structured_content["errmsg"] == text
        assert len(text) <= LONGEST_ERROR
        assert "\n" not in text
    else:
        assert count_tokens(text) <= BUDGET
        assert (result.structured_content is None) == (schema is None)
        if schema is not None:
            jsonschema.Draft202012Validator(schema).validate(result.structured_content)
            assert count_tokens(json.dumps(result.structured_content, ensure_ascii=False)) <= BUDGET * 1.2
