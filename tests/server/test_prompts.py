"""Prompts: tasks that a user picks from a menu."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import MCPError
from mcp.types import INVALID_PARAMS, PromptReference

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.server.prompts import PROMPTS, write_prompt
from swanlab_mcp.server.table import TOOLS
from swanlab_mcp.settings import Settings
from tests.conftest import session
from tests.fake_swanlab import State

pytestmark = pytest.mark.anyio

GIVEN = {"project": "digits-mlp", "exp_cuid": "lr-1"}


async def read(client: Any, name: str, **arguments: str) -> str:
    result = await client.get_prompt(name, arguments)
    (message,) = result.messages
    assert message.role == "user"
    return message.content.text


def needed(entry: Any) -> dict[str, str]:
    return {name: GIVEN[name] for name, _, is_required in entry.arguments if is_required}


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
async def test_prompts_are_listed_and_written_in_both_languages(settings: Settings, mode: str) -> None:
    async with session(settings, mode) as client:
        listed = (await client.list_prompts()).prompts
        assert [one.name for one in listed] == [
            "triage_project",
            "compare_experiments",
            "explain_crash",
            "weekly_report",
            "research_loop",
        ]
        for prompt, entry in zip(listed, PROMPTS, strict=True):
            assert prompt.title
            assert prompt.description
            assert all(argument.description for argument in prompt.arguments)
            required = [argument.name for argument in prompt.arguments if argument.required]
            assert required == list(needed(entry))
            english = await read(client, prompt.name, **needed(entry))
            chinese = await read(client, prompt.name, **needed(entry), language="zh")
            assert english.isascii()
            assert "A good answer" in english
            assert english.endswith("Answer in English.")
            assert "好的回答" in chinese
            assert chinese.endswith("用中文回答。")
            assert "{" not in english + chinese


@pytest.mark.parametrize("entry", PROMPTS, ids=lambda entry: entry.name)
def test_tools_named_in_prompts_exist(entry: Any) -> None:
    named = {language: set(re.findall(r"[a-z]+(?:_[a-z]+)+", text)) for language, text in entry.texts.items()}
    arguments = {name for name, _, _ in entry.arguments} | {"by_seed"}
    assert named["en"] == named["zh"]
    assert len(named["en"] - arguments) >= 4
    assert named["en"] - arguments <= {tool.name for tool in TOOLS}


async def test_prompts_contain_given_arguments_and_omit_the_others(settings: Settings) -> None:
    async with session(settings) as client:
        bare = await read(client, "compare_experiments", project="p")
        full = await read(
            client, "compare_experiments", project="p", username="team", exp_cuids="a, b", metric="val/acc"
        )
        week = await read(client, "weekly_report")
        team = await read(client, "weekly_report", username="team", since="2026-11-16")
        zh = await read(client, "weekly_report", username="team", language="zh")
        named = await read(client, "explain_crash", project="p", username="team", exp_cuid="x", language="zh")
    assert 'SwanLab project "p".' in bare
    assert "The experiments:" not in bare
    assert '"p" (workspace "team")' in full
    assert '- The experiments: "a, b".\n- The metric that decides: "val/acc".' in full
    assert "the user's whole workspace in SwanLab" in week
    assert "- From when on" not in week
    assert 'the whole workspace "team"' in team
    assert '"2026-11-16"' in team
    assert '整个工作空间 "team"' in zh
    assert '"p"（工作空间 "team"）' in named
    assert '中的实验 "x" 为什么失败' in named


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "'project' and 'exp_cuid' are missing"),
        ({"project": "p"}, "'exp_cuid' is missing"),
        ({"project": " ", "exp_cuid": "x"}, "'project' is missing"),
        (
            {"project": "p", "exp_cuid": "x", "exp_cuids": "y"},
            "Unknown argument 'exp_cuids' (did you mean 'exp_cuid'?)",
        ),
        ({"project": "p", "exp_cuid": "x", "language": "fr"}, "Unknown language='fr'. Use en or zh."),
        ({"project": "p" * 3000, "exp_cuid": "x"}, "'project' has more than 2048 characters"),
    ],
)
async def test_invalid_prompt_arguments_are_explained(
    settings: Settings, mode: str, arguments: dict[str, str], expected: str
) -> None:
    async with session(settings, mode) as client:
        with pytest.raises(MCPError) as caught:
            await read(client, "explain_crash", **arguments)
    assert caught.value.error.code == INVALID_PARAMS
    assert expected in caught.value.error.message


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_unknown_prompt_lists_the_available_prompts(settings: Settings, mode: str) -> None:
    async with session(settings, mode) as client:
        with pytest.raises(MCPError) as caught:
            await read(client, "explain_crashes")
    assert caught.value.error.code == INVALID_PARAMS
    assert caught.value.error.message.startswith("Unknown prompt 'explain_crashes'. Known names: triage_project, ")


async def test_prompt_arguments_are_completed_like_resource_parts(settings: Settings, state: State) -> None:
    state.add_project(state.workspaces[1], "theirs")
    reference = PromptReference(name="triage_project")
    async with session(settings) as client:
        answer = await client.complete(reference, {"name": "language", "value": "z"})
        assert answer.completion.values == ["zh"]
        answer = await client.complete(
            reference, {"name": "project", "value": "the"}, context_arguments={"username": "kites-test2"}
        )
        assert answer.completion.values == ["theirs"]


@given(st.sampled_from(PROMPTS), st.text(min_size=1, max_size=60), st.sampled_from(["en", "zh"]))
def test_names_in_prompts_stay_quoted_on_their_line(entry: Any, name: str, language: str) -> None:
    plain = {argument: "x" for argument, _, _ in entry.arguments if argument != "language"}
    try:
        text = write_prompt(entry, {**plain, "project": name, "language": language})
    except InvalidArgument:
        assert not name.strip()
        return
    assert text.count("\n") == write_prompt(entry, {**plain, "language": language}).count("\n")
    assert not any(character < " " and character != "\n" for character in text)
