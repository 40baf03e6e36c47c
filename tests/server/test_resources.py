"""Resources that users attach to a conversation, and completion of their URIs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mcp import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, ResourceTemplateReference

import swanlab_mcp
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import Fault, State

pytestmark = pytest.mark.anyio

DEMO = Settings(demo=True, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))
PROJECT = "swanlab://{username}/{project}"
EXPERIMENT = "swanlab://{username}/{project}/{exp_cuid}"
REPORT = "swanlab-report://{username}/{project}"


async def read(client: Any, *parts: str) -> str:
    result = await client.read_resource("swanlab://" + "/".join(quote(part, safe="") for part in parts))
    (content,) = result.contents
    assert content.mime_type == "text/plain"
    return content.text


async def complete(client: Any, name: str, value: str, **chosen: str) -> Any:
    reference = ResourceTemplateReference(uri=EXPERIMENT)
    answer = await client.complete(reference, {"name": name, "value": value}, context_arguments=chosen)
    return answer.completion


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
async def test_resources_match_the_tools_replies(settings: Settings, mode: str) -> None:
    async with session(settings, mode) as client:
        listed = [one.uri for one in (await client.list_resources()).resources]
        assert listed == ["ui://swanlab/curves.html", "ui://swanlab/report.html", "swanlab://workspaces"]
        templates = (await client.list_resource_templates()).resource_templates
        assert [one.uri_template for one in templates] == [PROJECT, EXPERIMENT, REPORT]
        assert all(one.title and one.description for one in templates)
        for parts, tool, arguments in (
            (("workspaces",), "list_workspaces", {"page": 0}),
            (("kites-test3", "project1"), "list_project_exps", {"project": "kites-test3/project1", "page": 0}),
            (
                ("kites-test3", "project1", "cuid1"),
                "get_experiment",
                {"project": "kites-test3/project1", "exp_cuid": "cuid1"},
            ),
        ):
            assert await read(client, *parts) == text_of(await client.call_tool(tool, arguments))
        completion = await complete(client, "username", "kites-test2")
        assert (completion.values, completion.total, completion.has_more) == (["kites-test2"], 1, False)


@pytest.mark.parametrize("name", ["a/b", "with space", "实验 一", "50% & more, really?#1", "a..b", "/abs", 'it\'s "x"'])
async def test_any_name_works_percent_encoded(settings: Settings, state: State, name: str) -> None:
    project = state.add_project(state.workspaces[0], name)
    state.add_experiment(project, f"run of {name}", cuid="odd1")
    async with session(settings) as client:
        assert f"run of {name}" in await read(client, "kites-test3", name)
        assert "cuid: odd1" in await read(client, "kites-test3", name, f"run of {name}")


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize(
    ("parts", "code", "expected"),
    [
        (("kites-test3", "Project-1"), INVALID_PARAMS, "Did you mean project1?"),
        (("kites-tst2", "project1"), INVALID_PARAMS, "Did you mean kites-test2 or kites-test3?"),
        (("kites-test3", "project1", "experiment2"), INVALID_PARAMS, "Did you mean experiment1 (cuid1)?"),
        (("kites-test3", ".."), INTERNAL_ERROR, "SwanLab does not allow the name"),
        (("kites-test3", "project1", "a\x00b"), INTERNAL_ERROR, "SwanLab does not allow the name"),
        (("kites-test3", " "), INTERNAL_ERROR, "No project was given"),
    ],
)
async def test_missing_resources_get_the_tools_errors(
    settings: Settings, mode: str, parts: tuple[str, ...], code: int, expected: str
) -> None:
    async with session(settings, mode) as client:
        with pytest.raises(MCPError) as caught:
            await read(client, *parts)
    assert caught.value.error.code == code
    assert expected in caught.value.error.message


async def test_failing_host_is_an_error_and_not_an_empty_resource(settings: Settings, state: State) -> None:
    state.faults.append(Fault(path="/project/", status=500))
    async with session(settings) as client:
        with pytest.raises(MCPError, match="500"):
            await read(client, "kites-test3", "project1")
        with pytest.raises(MCPError, match="500") as caught:
            await complete(client, "exp_cuid", "", username="kites-test3", project="project1")
    assert caught.value.error.code == INTERNAL_ERROR


async def test_resource_without_key_and_runs_explains_the_setup() -> None:
    async with session(Settings()) as client:
        with pytest.raises(MCPError, match="SWANLAB_API_KEY"):
            await read(client, "workspaces")


async def test_resources_are_bounded_masked_and_neutralised(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(230):
        state.add_experiment(project, f"实验 {number}\x1b[31m", config={"备注": "训练" * 10, "hf_token": "abc-canary"})
    small = Settings(api_host=settings.api_host, api_key="test-key", max_output_tokens=1500)
    async with session(small) as client:
        text = await read(client, "kites-test3", "many")
        one = await read(client, "kites-test3", "many", project.experiments[0].cuid)
    assert count_tokens(text) <= 1500
    assert "of 230" in text
    assert "next: page=2 size=" in text
    for shown in (text, one):
        assert "\\x1b[31m" in shown
        assert "\x1b" not in shown
        assert "canary" not in shown


async def test_every_part_is_completed_from_its_prefix(settings: Settings, state: State) -> None:
    for name in ("digits-mlp", "mnist", "MLP-big", "a/b"):
        state.add_project(state.workspaces[0], name)
    digits = state.projects[1]
    state.add_experiment(digits, "lr-0.1", cuid="abc111")
    state.add_experiment(digits, "twin", cuid="abc222")
    state.add_experiment(digits, "twin", cuid="xyz333")
    at = {"username": "kites-test3", "project": "digits-mlp"}
    async with session(settings) as client:
        assert (await complete(client, "username", "")).values == ["kites-test3", "kites-test2"]
        assert (await complete(client, "username", "TEST2")).values == ["kites-test2"]
        assert (await complete(client, "project", "mlp", username="kites-test3")).values == ["MLP-big", "digits-mlp"]
        assert (await complete(client, "project", "/", username="kites-test3")).values == ["a/b"]
        assert "mnist" in (await complete(client, "project", "")).values
        assert (await complete(client, "exp_cuid", "", **at)).values == ["xyz333", "abc222", "lr-0.1"]
        assert (await complete(client, "exp_cuid", "lr", **at)).values == ["lr-0.1"]
        assert (await complete(client, "exp_cuid", "ABC1", **at)).values == ["abc111"]
        # a name that several experiments share is ambiguous
        assert sorted((await complete(client, "exp_cuid", "tw", **at)).values) == ["abc222", "xyz333"]
        assert (await complete(client, "exp_cuid", "nothing", **at)).values == []
        assert (await complete(client, "something", "x")).values == []


async def test_every_completed_value_is_readable(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "odd/项目")
    for number, name in enumerate(("a/b", "twin", "twin", "空 格", "hidden\u202e", "")):
        state.add_experiment(project, name, cuid=f"odd{number}")
    async with session(settings) as client:
        values = (await complete(client, "exp_cuid", "", username="kites-test3", project="odd/项目")).values
        assert len(values) == 6
        for value in values:
            assert "cuid: odd" in await read(client, "kites-test3", "odd/项目", value)


async def test_completion_is_bounded_and_counts_the_rest(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(230):
        state.add_experiment(project, f"run-{number}")
        state.add_project(state.workspaces[1], f"project-{number}")
    async with session(settings) as client:
        runs = await complete(client, "exp_cuid", "run", username="kites-test3", project="many")
        projects = await complete(client, "project", "", username="kites-test2")
    for completion in (runs, projects):
        assert (len(completion.values), completion.total, completion.has_more) == (100, 230, True)


async def test_deleted_experiment_is_not_offered(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "few")
    for name in ("keep", "drop"):
        state.add_experiment(project, name, cuid=f"{name}1")
    async with session(replace(settings, allow_writes=True)) as client:
        chosen = {"username": "kites-test3", "project": "few"}
        assert sorted((await complete(client, "exp_cuid", "", **chosen)).values) == ["drop", "keep"]
        arguments = {**chosen, "exp_cuids": ["drop1"]}
        dry = await client.call_tool("delete_experiments", arguments)
        token = dry.structured_content["data"]["confirmation"]
        await client.call_tool("delete_experiments", {**arguments, "confirmation": token})
        assert (await complete(client, "exp_cuid", "", **chosen)).values == ["keep"]


async def test_keystrokes_of_a_name_request_the_list_once(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(230):
        state.add_experiment(project, f"run-{number}")
    async with session(settings) as client:
        counts: list[int] = []
        for typed in ("", "r", "run", "run-22"):
            found = await complete(client, "exp_cuid", typed, username="kites-test3", project="many")
            counts.append(len(state.get_calls("/runs")))
        assert found.total == 11
        assert counts == [3, 3, 3, 3]
        other = await complete(client, "exp_cuid", "", username="kites-test3", project="project1")
        assert other.values == ["experiment1"]


async def test_completion_names_the_invalid_part(settings: Settings) -> None:
    async with session(settings, "2026-07-28") as client:
        with pytest.raises(MCPError, match="Did you mean project1") as caught:
            await complete(client, "exp_cuid", "", username="kites-test3", project="project2")
        with pytest.raises(MCPError, match="No project was given"):
            await complete(client, "exp_cuid", "")
    assert caught.value.error.code == INVALID_PARAMS


async def test_runs_on_disk_are_completed_and_read() -> None:
    async with session(DEMO) as client:
        assert (await complete(client, "username", "loc")).values == ["local"]
        assert (await complete(client, "project", "dig")).values == ["digits-mlp"]
        values = (await complete(client, "exp_cuid", "lr-100", project="digits-mlp")).values
        assert values
        assert "state: " in await read(client, "local", "digits-mlp", values[0])


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_ranking_links_to_a_report_that_is_made_when_it_is_read(
    settings: Settings, state: State, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = state.add_project(state.workspaces[0], "a b+c")
    for number in range(2):
        points = [(step, number + step / 100) for step in range(50)]
        state.add_experiment(project, f"run-{number}", cuid=f"r{number}", metrics={"val/acc": points})
    async with session(settings, mode) as client:
        result = await client.call_tool("rank_experiments", {"project": "a b+c", "metric": "val/acc"})
        (link,) = [one for one in result.content if one.type == "resource_link"]
        assert (link.name, link.mime_type) == ("Report on a b+c", "text/html")
        (page,) = (await client.read_resource(link.uri)).contents
        part = await client.call_tool("rank_experiments", {"project": "a b+c", "metric": "val/acc", "page": 2})
    assert page.mime_type == "text/html"
    assert "Best by val/acc" in page.text
    assert [one.type for one in part.content] == ["text"]
    assert list(tmp_path.rglob("*.html")) == []
