"""Chinese replies contain no English text from the server, and the same figures and names as the English replies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.causes import find_lacking_memory, name_cause
from swanlab_mcp.analysis.deciding import read_curve
from swanlab_mcp.analysis.diagnosis import judge
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.core.i18n import use_language
from swanlab_mcp.present.cause_words import describe_trouble
from swanlab_mcp.present.direction_words import describe_direction
from swanlab_mcp.present.event_words import describe_event, describe_rule
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.core.test_i18n import read_catalogue
from tests.examples import IN_DEMO, read_examples
from tests.fake_swanlab import State
from tests.server.test_tools import DEMO

pytestmark = pytest.mark.anyio

FINISHED = {"field": "state", "op": "=", "value": "FINISHED"}
PROJECT = {"project": "digits-mlp"}
ONE = {**PROJECT, "exp_cuid": "lr-0.1"}
TWO = {**PROJECT, "exp_cuids": ["lr-0.1", "lr-1"]}
LOCAL_NAME = "Runs on this machine"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SENTENCE = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]{2,}){2}")
# a translation must keep code, options, states, arguments and figures
NAMES = re.compile(r"`[^`]*`|--[a-z-]+|[A-Z]{2,}[A-Z_]*|[a-z]+(?:_[a-z]+)+|[a-z_]+=|\d+(?:[.:]\d+)*")
# fields with text from the server; all other text is the same in every language
OURS = {
    "notes", "order", "verdict", "detail", "rule", "cause", "evidence", "apart", "how", "action", "errmsg", "why",
    "reason", "differs", "left_out",
}  # fmt: skip
# values listed in the output schema
KINDS = {"real", "within noise", "cannot tell", "baseline", "better", "worse", "no difference shown"}

ANSWERS: list[tuple[str, dict[str, Any]]] = [
    *read_examples(IN_DEMO).items(),
    ("list_projects", {"search": "nothing", "sort": "name"}),
    ("list_project_exps", {**PROJECT, "page": 9}),
    ("find_experiments", {**PROJECT, "sort": "config.lr", "filters": [FINISHED]}),
    ("get_experiment", {**ONE, "profile": ["config", "conda"]}),
    ("get_environment", {**TWO, "search": "gpus"}),
    ("get_exp_summary", ONE),
    ("get_logs", {**ONE, "count": 3}),
    ("get_logs", {**ONE, "search": "epoch", "count": 3}),
    ("get_logs", {**ONE, "from_traceback": True}),
    ("get_logs", {**ONE, "start": 999_999}),
    ("list_metrics", {**TWO, "search": "lsos"}),
    ("get_metrics", {**TWO, "keys": ["val/loss"], "mode": "exact", "max_points": 4}),
    ("get_metrics", {**TWO, "keys": ["val/loss"], "start": 900_000}),
    ("plot_metrics", {**TWO, "keys": ["val/loss"], "smoothing": 0.5}),
    ("rank_experiments", {**PROJECT, "metric": "val/acc", "filters": [FINISHED]}),
    ("rank_experiments", {**PROJECT, "metric": "val/loss", "by_seed": True}),
    ("rank_experiments", {**PROJECT, "metric": "val/loss", "baseline": "lr-0.1", "at": "val/acc", "page": 0}),
    ("rank_experiments", {**PROJECT, "metric": "val/acc", "page": 0}),
    ("rank_experiments", {**PROJECT, "metric": "val/acc", "at": "step:50"}),
    ("rank_experiments", {**PROJECT, "metric": "grad_norm"}),
    ("aggregate_experiments", {**PROJECT, "group_by": ["state"]}),
    ("compare_experiments", {**PROJECT, "exp_cuids": ["lr-0.01", "lr-0.1", "lr-0.3", "lr-1", "batch-8", "width-16"]}),
    ("diagnose_experiment", {**PROJECT, "exp_cuid": "lr-1"}),
    ("diagnose_experiment", {**PROJECT, "exp_cuid": "cosine-128-64-ckpt"}),
    ("diagnose_experiment", {**PROJECT, "exp_cuid": "tiny-40-images"}),
    ("diagnose_experiment", {**PROJECT, "exp_cuid": "uint8-input"}),
    ("diagnose_experiment", {**PROJECT, "exp_cuid": "lr-100-wd-0.1"}),
    ("find_similar_experiments", {**PROJECT, "exp_cuid": "lr-0.1"}),
    ("find_similar_experiments", {**PROJECT, "config": "lr=300, speed=7"}),
    ("forecast_experiment", {**PROJECT, "exp_cuid": "lr-1", "metric": "val/loss", "as_of_step": 16}),
    ("whats_new", {**PROJECT, "since": "2020-01-01"}),
    ("wait_for_experiments", {**PROJECT, "exp_cuids": ["lr-1"]}),
    ("get_media", {**ONE, "keys": ["*"]}),
]

ERRORS: list[tuple[str, dict[str, Any]]] = [
    ("list_projects", {"username": "nobody"}),
    ("list_project_exps", {"project": "digits"}),
    ("get_experiment", {**PROJECT, "exp_cuid": "lr-0.2"}),
    ("get_experiment", {**PROJECT, "exp_cuid": "https://swanlab.cn/@a/b/runs/c"}),
    ("find_experiments", {**PROJECT, "sort": "config.lrr"}),
    ("find_experiments", {**PROJECT, "sort": "metric.val/los"}),
    ("find_experiments", {**PROJECT, "filters": [{"field": "state", "op": "=", "value": "DONE"}]}),
    ("find_experiments", {**PROJECT, "filters": [{"field": "created", "op": ">", "value": "soon"}]}),
    ("find_experiments", {**PROJECT, "filters": [{"field": "config.lr", "op": ">", "value": "high"}]}),
    ("get_logs", {**ONE, "search": "a", "pattern": "b"}),
    ("get_logs", {**ONE, "pattern": "("}),
    ("get_logs", {**ONE, "from_traceback": True, "level": "error"}),
    ("get_metrics", {**TWO, "keys": ["val/los"]}),
    ("get_metrics", {**TWO, "keys": ["val/loss"], "start": "soon"}),
    ("get_metrics", {**TWO, "keys": ["val/loss"], "start": 9, "end": 3}),
    ("get_metrics", {**TWO, "keys": ["val/loss"], "head": 9, "tail": 3}),
    ("plot_metrics", {**TWO, "keys": ["val/loss"], "start": 900_000}),
    ("rank_experiments", {**PROJECT, "metric": "val/los"}),
    ("compare_experiments", {**PROJECT, "exp_cuids": ["lr-1"]}),
    ("forecast_experiment", {**ONE, "metric": "val/loss"}),
    ("whats_new", {**PROJECT, "since": "soon"}),
    ("get_media", {**ONE, "keys": ["val/loss"]}),
    ("get_media", {**ONE, "keys": ["val/confusion"], "steps": [7]}),
]


def test_translation_keeps_figures_names_and_arguments() -> None:
    for message in read_catalogue():
        # Chinese has a single plural form
        english = message.id[-1] if message.pluralizable else message.id
        chinese = message.string[0] if message.pluralizable else message.string
        lost = Counter(NAMES.findall(english)) - Counter(NAMES.findall(chinese))
        assert not lost, message.id


async def ask_twice(settings: Settings, tool: str, arguments: dict[str, Any]) -> tuple[Any, Any]:
    """Return the English and the Chinese reply."""
    answers: list[Any] = []
    for name in ("en", "zh"):
        async with session(replace(settings, language=name)) as client:
            answers.append(await client.call_tool(tool, arguments))
    return answers[0], answers[1]


def pair_texts(english: Any, chinese: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield pairs of server texts, and require everything else to be equal."""
    if isinstance(english, dict):
        assert english.keys() == chinese.keys()
        for key in english:
            yield from pair_texts(english[key], chinese[key], key)
    elif isinstance(english, list):
        assert len(english) == len(chinese)
        for one, other in zip(english, chinese, strict=True):
            yield from pair_texts(one, other, name)
    elif english == LOCAL_NAME or (name in OURS and english and english not in KINDS):
        yield english, chinese
    else:
        assert english == chinese, name


def drop_clock(answer: dict[str, Any]) -> dict[str, Any]:
    """Remove the note with the age of a run."""
    return {**answer, "notes": [note for note in answer.get("notes", ()) if "gpu-node-01" not in note]}


def read_figures(text: str) -> list[str]:
    return sorted(re.findall(r"\d+(?:[.:]\d+)*", text))


def check_text(english: str, chinese: str, data: str = "") -> None:
    """Check a text from the server, which may quote `data`."""
    assert read_figures(english) == read_figures(chinese)
    own = chinese.replace(data, "") if data else chinese
    assert not SENTENCE.search(own), own
    assert CHINESE.search(own) or not re.search(r"[A-Za-z] [A-Za-z]", own), own


@pytest.mark.parametrize(("tool", "arguments"), ANSWERS)
async def test_reply_has_the_same_content_in_chinese(tool: str, arguments: dict[str, Any]) -> None:
    english, chinese = await ask_twice(DEMO, tool, arguments)
    assert not english.is_error, text_of(english)
    error = ((chinese.structured_content or {}).get("data") or {}) if tool == "diagnose_experiment" else {}
    quoted = error.get("crash", {}).get("error", "")
    if english.structured_content:
        for one, other in pair_texts(*map(drop_clock, (english.structured_content, chinese.structured_content))):
            check_text(one, other, quoted)
    notes = [line for line in text_of(chinese).splitlines() if line.startswith("说明：")]
    assert all(not SENTENCE.search(line) for line in notes)
    assert bool(notes) == ("\nnote: " in text_of(english))


@pytest.mark.parametrize(("tool", "arguments"), ERRORS)
async def test_errors_are_in_chinese(tool: str, arguments: dict[str, Any]) -> None:
    english, chinese = await ask_twice(DEMO, tool, arguments)
    assert english.is_error
    assert chinese.is_error
    check_text(text_of(english), text_of(chinese))


async def test_dry_run_is_described_in_chinese(settings: Settings, state: State) -> None:
    made = state.add_project(state.workspaces[0], "mnist")
    for name in ("a", "b"):
        state.add_experiment(made, name, cuid=f"cuid-{name}")
    writable = replace(settings, allow_writes=True, language="zh")
    async with session(writable) as client:
        reply = await client.call_tool("create_project", {"project": "new-one"})
        again = {"project": "new-one", "confirmation": reply.structured_content["data"]["confirmation"]}
        other = await client.call_tool("create_project", {**again, "visibility": "PUBLIC"})
        delete = {"project": "mnist", "username": "kites-test3"}
        whole = await client.call_tool("delete_project", delete)
        some = await client.call_tool("delete_experiments", {**delete, "exp_cuids": ["cuid-a"]})
        taken = await client.call_tool("create_project", {"project": "mnist"})
    assert reply.structured_content["data"]["action"] == "创建私有项目 kites-test3/new-one"
    assert reply.structured_content["notes"][0].startswith("预演：什么都没有改。")
    assert "不是本服务器针对这些参数和当前账号给出的" in text_of(other)
    assert whole.structured_content["data"]["action"] == "永久删除项目 kites-test3/mnist，连同其中的 2 个实验"
    assert some.structured_content["data"]["action"].startswith("永久删除 kites-test3/mnist 中的 1 个实验，")
    assert "已经存在" in text_of(taken)


series = st.lists(st.floats(0, 10) | st.sampled_from([50.0, float("nan")]), min_size=20, max_size=60)


@given(series)
def test_events_are_worded_in_both_languages(values: list[float]) -> None:
    steps = [index * (1 if index < 15 else 40) for index in range(len(values))]
    curves = [read_curve(key, steps, values) for key in ("loss", "val/acc", "reward", "lr", "actor/entropy")]
    for event in judge(curves).events:
        english = (describe_event(event), describe_rule(event))
        with use_language("zh"):
            for one, other in zip(english, (describe_event(event), describe_rule(event)), strict=True):
                check_text(one, other)


@pytest.mark.parametrize(
    "key",
    ["tokens_per_second", "seconds_per_step", "val/loss", "val/acc", "score", "fid", "neg_mean_squared_error"],
)
def test_reasons_of_a_direction_are_in_chinese(key: str) -> None:
    kind = describe_key(key)
    english = describe_direction(kind)
    assert ("smaller is better" if kind.direction == "min" else "larger is better") in english
    with use_language("zh"):
        check_text(english, describe_direction(kind), kind.word)


@pytest.mark.parametrize(
    ("line", "memory"),
    [
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried", "gpu"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", "host"),
        ("RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.", "host"),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", ""),
        ("MyOwnError: something", ""),
    ],
)
def test_memory_kind_does_not_depend_on_the_language(line: str, memory: str) -> None:
    assert find_lacking_memory(line) == memory
    with use_language("zh"):
        assert find_lacking_memory(line) == memory
        assert bool(CHINESE.search(describe_trouble(name_cause(line)))) == (not line.startswith("MyOwnError"))
