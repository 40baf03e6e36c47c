"""Use experiments from several projects and workspaces in a single call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import swanlab_mcp
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import Fault, State

pytestmark = pytest.mark.anyio

FIRST = "kites-test3/first/run1"
SECOND = "kites-test2/second/run2"
SLASHES = "sweeps/lr/0.1"


@pytest.fixture
def across(settings: Settings, state: State) -> Settings:
    """Serve two cloud projects in two workspaces, and the demo's runs on disk."""
    mine, theirs = state.workspaces[:2]
    for workspace, project, name, cuid, lr in (
        (mine, "first", "alpha", "run1", 0.1),
        (mine, "first", SLASHES, "run3", 0.3),
        (theirs, "second", "alpha", "run2", 0.2),
    ):
        known = next((one for one in state.projects if one.name == project), None)
        state.add_experiment(
            known or state.add_project(workspace, project),
            name,
            cuid=cuid,
            config={"lr": lr},
            metadata={"python": f"3.{lr}"},
            metrics={"val/acc": [(step, lr * step) for step in range(round(lr * 100))]},
        )
    return replace(settings, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))


async def call(settings: Settings, tool: str, **arguments: Any) -> dict[str, Any]:
    async with session(settings) as client:
        result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return {**(result.structured_content or {}), "text": text_of(result)}


async def refuse(settings: Settings, tool: str, **arguments: Any) -> str:
    async with session(settings) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    return text_of(result)


async def test_comparison_covers_two_cloud_projects_and_the_disk(across: Settings) -> None:
    url = f"{across.web_host}/@kites-test2/second/runs/run2/chart"
    reply = await call(
        across,
        "compare_experiments",
        project="first",
        exp_cuids=["alpha", url, "local/digits-mlp/lr-0.1"],
        metrics=["val/acc"],
    )
    data = reply["data"]
    assert [one["name"] for one in data["experiments"]] == ["first/alpha", "second/alpha", "digits-mlp/lr-0.1"]
    assert [one["cuid"] for one in data["experiments"]][:2] == [FIRST, SECOND]
    assert data["experiments"][2]["cuid"].startswith("local/digits-mlp/")
    (lr,) = [one for one in data["differences"] if one["name"] == "config.lr"]
    assert lr["values"] == [0.1, 0.2, 0.1]
    (metric,) = data["metrics"]
    assert metric["last"] == [0.9, 3.8, 0.98]
    assert (metric["common_step"], metric["at_common_step"][:2]) == (9, [0.9, 1.8])
    pages = [note for note in reply["notes"] if note.startswith("Pages: ")]
    assert len(pages) == 2


async def test_filters_compare_experiments_of_several_projects(across: Settings) -> None:
    filters = [{"field": "name", "op": "=", "value": "alpha"}]
    reply = await call(across, "compare_experiments", project="*", filters=filters, metrics=["val/acc"])
    assert {one["cuid"] for one in reply["data"]["experiments"]} == {FIRST, SECOND}


async def test_many_equal_experiments_of_many_projects_need_few_lines(across: Settings, state: State) -> None:
    for number in range(6):
        project = state.add_project(state.workspaces[0], f"many{number}")
        state.add_experiment(project, "twin", config={"lr": 1}, metrics={"val/acc": [(0, 0.5 + number / 100)]})
    filters = [{"field": "name", "op": "=", "value": "twin"}]
    reply = await call(across, "compare_experiments", project="*", filters=filters)
    assert "differences" not in reply["text"]
    (pages,) = [note for note in reply["notes"] if note.startswith("Pages: ")]
    assert pages.endswith("/@kites-test3/<project>/runs/<cuid>/chart")


async def test_comparison_within_a_project_keeps_ids_and_requests(across: Settings, state: State) -> None:
    reply = await call(across, "compare_experiments", project="first", exp_cuids=["run1", "run3"])
    assert [one["cuid"] for one in reply["data"]["experiments"]] == ["run1", "run3"]
    assert len(state.calls) == 13


async def test_series_of_several_projects_carry_their_paths(across: Settings) -> None:
    reply = await call(across, "get_metrics", exp_cuids=[FIRST, SECOND], keys=["val/acc"])
    assert [(one["exp_cuid"], one["last_step"]) for one in reply["data"]] == [(FIRST, 9), (SECOND, 19)]


async def test_plot_names_carry_the_project(across: Settings) -> None:
    reply = await call(across, "plot_metrics", project="first", exp_cuids=["alpha", SECOND, "run1"], keys=["val/acc"])
    assert f"1 | {FIRST} | first/alpha | 10 |" in reply["text"]
    assert f"2 | {SECOND} | second/alpha | 20 |" in reply["text"]


async def test_keys_and_facts_of_several_projects_carry_their_paths(across: Settings) -> None:
    local = "local/digits-mlp/lr-0.1"
    keys = await call(across, "list_metrics", project="first", exp_cuids=["alpha", SECOND, local], search="*acc")
    lacking = {one["key"]: one.get("missing_in") for one in keys["data"]}
    assert not lacking["val/acc"]
    assert lacking["train/acc"] == [FIRST, SECOND]
    facts = await call(across, "get_environment", project="first", exp_cuids=["alpha", SECOND], search="python")
    assert facts["data"][0]["values"] == {FIRST: "3.0.1", SECOND: "3.0.2"}


@pytest.mark.parametrize("tool", ["get_experiment", "get_exp_summary", "diagnose_experiment", "get_logs"])
@pytest.mark.parametrize("project", ["", "first"])
async def test_single_experiment_is_found_in_another_project(across: Settings, tool: str, project: str) -> None:
    url = f"{across.web_host}/@kites-test2/second/runs/run2"
    for reference in (SECOND, "kites-test2/second/alpha", url):
        assert (await call(across, tool, project=project, exp_cuid=reference))["code"] == 200


async def test_username_does_not_hide_a_path_to_another_workspace(across: Settings) -> None:
    reply = await call(across, "get_experiment", project="first", username="kites-test3", exp_cuid=SECOND)
    assert reply["data"]["cuid"] == "run2"


async def test_name_with_slashes_is_still_found(across: Settings) -> None:
    reply = await call(across, "get_experiment", project="first", exp_cuid=SLASHES)
    assert reply["data"]["cuid"] == "run3"
    reply = await call(across, "compare_experiments", project="first", exp_cuids=[SLASHES, "alpha", SECOND])
    assert [one["cuid"] for one in reply["data"]["experiments"]] == ["kites-test3/first/run3", FIRST, SECOND]


async def test_id_or_unique_name_needs_no_project(across: Settings, state: State) -> None:
    state.add_experiment(state.projects[-1], "only one", cuid="run8")
    for reference in ("run2", "only one", "batch-8"):
        assert (await call(across, "get_experiment", exp_cuid=reference))["code"] == 200
    reply = await call(across, "get_metrics", exp_cuids=["run1", "run2"], keys=["val/acc"])
    assert [one["exp_cuid"] for one in reply["data"]] == [FIRST, SECOND]


async def test_path_of_a_project_with_slashes_in_its_name(across: Settings, state: State) -> None:
    state.add_experiment(state.add_project(state.workspaces[1], "deep/er"), "one", cuid="run7")
    reply = await call(across, "find_experiments", project="*", filters=[{"field": "name", "op": "=", "value": "one"}])
    (path,) = [row["cuid"] for row in reply["data"]]
    assert (await call(across, "get_experiment", exp_cuid=path))["data"]["cuid"] == "run7"


async def test_ambiguous_name_lists_the_paths(across: Settings) -> None:
    for tool, arguments in (
        ("get_experiment", {"exp_cuid": "alpha"}),
        ("get_metrics", {"exp_cuids": ["alpha"], "keys": ["val/acc"]}),
        ("compare_experiments", {"exp_cuids": ["alpha", SECOND]}),
    ):
        reply = await refuse(across, tool, **arguments)
        assert f"2 experiments are named 'alpha'. Pass one of these paths: {FIRST}, {SECOND}." in reply
    assert (await call(across, "get_experiment", exp_cuid="alpha", username="kites-test2"))["data"]["cuid"] == "run2"
    assert "No project was given" in await refuse(across, "compare_experiments")


async def test_workspace_of_a_name_without_a_project_is_checked(across: Settings, state: State) -> None:
    for username in ("@kites-test2", f"{across.web_host}/@kites-test2"):
        reply = await call(across, "get_experiment", exp_cuid="alpha", username=username)
        assert reply["data"]["cuid"] == "run2"
    state.calls.clear()
    for username in ("a\x00b", "\x1b[2J", "..", "https://other.example/@kites-test2"):
        await refuse(across, "get_experiment", exp_cuid="alpha", username=username)
    assert {one.raw_path for one in state.calls} <= {"/api/login/api_key"}


async def test_unknown_name_counts_the_searched_projects(across: Settings, state: State) -> None:
    assert "No experiment in the 4 projects of this account" in await refuse(across, "get_logs", exp_cuid="nothing")
    state.faults.append(Fault("/first/runs", status=500, times=None))
    reply = await refuse(across, "get_experiment", exp_cuid="nothing")
    assert "No experiment" not in reply
    assert (await call(across, "get_experiment", exp_cuid="run2"))["data"]["cuid"] == "run2"


async def test_unknown_path_error_names_the_searched_projects(across: Settings) -> None:
    reply = await refuse(across, "get_experiment", project="first", exp_cuid="kites-test2/second/run9")
    assert (
        "no experiment at the path kites-test2/second/run9, and no experiment with that name in kites-test3/first"
        in reply
    )
    assert "Did you mean alpha (run2)?" in reply
    reply = await refuse(across, "get_experiment", exp_cuid="kites-test2/second/run9")
    assert "no experiment 'run9' in kites-test2/second" in reply


async def test_deletions_refuse_other_projects(across: Settings, state: State) -> None:
    writing = replace(across, allow_writes=True)
    url = f"{across.web_host}/@kites-test2/second/runs/run2"
    for arguments, reason in (
        ({"project": "first", "exp_cuids": [url]}, "names the project kites-test2/second"),
        ({"project": "first", "exp_cuids": [SECOND]}, "no experiment"),
        ({"project": "", "username": "kites-test3", "exp_cuids": [SECOND]}, "names the project"),
        ({"project": "", "exp_cuids": [FIRST, SECOND]}, "several projects"),
    ):
        assert reason in await refuse(writing, "delete_experiments", **arguments)
    assert not [one for one in state.calls if one.method == "DELETE"]


async def test_clone_names_its_original(across: Settings, state: State) -> None:
    second = next(one for one in state.projects if one.name == "second")
    first = next(one for one in state.projects if one.name == "first")
    state.add_experiment(second, "copy", cuid="copy1", clone_of=(first, first.experiments[-1]))
    reply = await call(across, "get_experiment", exp_cuid="copy1")
    assert "This is a clone; its metrics are those of alpha (kites-test3/first/run1)." in reply["notes"]
    first.experiments.pop()
    reply = await call(across, "get_experiment", exp_cuid="copy1")
    assert "This is a clone of run1, which could not be read." in reply["notes"]
