"""Questions about several projects, whole workspaces, and everything."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import swanlab_mcp
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import BEGINNING, Fault, State

pytestmark = pytest.mark.anyio

DEMO = Path(swanlab_mcp.__file__).parent / "demo"
RATES = (0.001, 0.01, 0.1)
EVERY = "kites-test*/sweep*"


@pytest.fixture(params=[10, pytest.param(250, marks=pytest.mark.exhaustive)])
def world(request: pytest.FixtureRequest, settings: Settings, state: State) -> Settings:
    """Serve 12 projects in two workspaces. The last project logs no val/acc."""
    source = random.Random(7)
    for number in range(12):
        project = state.add_project(state.workspaces[number % 2], f"sweep{number:02d}")
        for index in range(request.param):
            accuracy = source.random()
            started = BEGINNING + timedelta(hours=index)
            ending = ("FINISHED", "FINISHED", "CRASHED", "FINISHED", "RUNNING")[index % 5]
            state.add_experiment(
                project,
                f"run-{index}",
                cuid=f"c{number:02d}x{index}",
                state=ending,
                created_at=started,
                finished_at=None if ending == "RUNNING" else started + timedelta(hours=1 + index % 3),
                config={"lr": RATES[index % 3], "only": index} if number == 3 else {"lr": RATES[index % 3]},
                metrics={"loss" if number == 11 else "val/acc": [(0, accuracy / 2), (1, accuracy), (2, accuracy)]},
                user={"username": ("ada", "bob")[index % 2], "name": "x"},
            )
    return settings


async def call(settings: Settings, tool: str, **arguments: Any) -> dict[str, Any]:
    async with session(settings) as client:
        result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return {**(result.structured_content or {}), "text": text_of(result)}


def members(state: State) -> list[tuple[str, Any]]:
    """Return all experiments of the 12 projects with their paths."""
    return [
        (f"{project.workspace.username}/{project.name}/{one.cuid}", one)
        for project in state.projects
        if project.name.startswith("sweep")
        for one in project.experiments
    ]


async def test_pages_over_all_projects_lose_no_experiment(world: Settings, state: State) -> None:
    crashed = {path for path, one in members(state) if one.state == "CRASHED"}
    found: list[str] = []
    page = 1
    async with session(world) as client:
        while True:
            arguments = {
                "project": EVERY,
                "filters": [{"field": "state", "op": "=", "value": "CRASHED"}],
                "sort": "created",
                "page": page,
                "size": 20,
            }
            reply = (await client.call_tool("find_experiments", arguments)).structured_content
            found += [row["cuid"] for row in reply["data"]]
            if "next" not in reply["page"]:
                break
            page += 1
    assert len(found) == len(set(found)) == len(crashed)
    assert set(found) == crashed


async def test_ranking_of_all_projects_equals_a_sort_of_the_results(world: Settings, state: State) -> None:
    reply = await call(world, "rank_experiments", project=EVERY, metric="val/acc", size=20)
    wanted = sorted(
        (
            (-one.metrics["val/acc"][-1][1], path)
            for path, one in members(state)
            if one.state == "FINISHED" and "val/acc" in one.metrics
        ),
    )
    assert [row["cuid"] for row in reply["data"]] == [path for _, path in wanted[:20]]
    assert any(
        note == "1 project without the metric val/acc is omitted: kites-test2/sweep11." for note in reply["notes"]
    )
    assert count_tokens(reply["text"]) < 8000


@pytest.mark.parametrize(
    "projects", [EVERY, "kites-test3/sweep*, kites-test2/sweep*", '["kites-test3/sweep*", "kites-test2/sweep*"]']
)
async def test_aggregation_over_workspaces_equals_the_members(world: Settings, state: State, projects: str) -> None:
    reply = await call(
        world,
        "aggregate_experiments",
        project=projects,
        group_by=["config.lr"],
        metrics=["val/acc"],
        stats=["sd", "mean"],
    )
    for row in reply["data"]:
        rate = row["group"].get("config.lr")
        values = [
            one.metrics["val/acc"][-1][1]
            for _, one in members(state)
            if one.config["lr"] == rate and one.state == "FINISHED" and "val/acc" in one.metrics
        ]
        if rate in RATES:
            assert row["n"] == len(values)
            assert math.isclose(row["mean"], statistics.fmean(values), rel_tol=1e-9)
            assert math.isclose(row["sd"], statistics.stdev(values), rel_tol=1e-9)


@pytest.mark.parametrize("at", ["best", "last"])
async def test_statistics_equal_those_of_pandas(world: Settings, state: State, at: str) -> None:
    reply = await call(
        world,
        "aggregate_experiments",
        project=EVERY,
        group_by=["project", "user"],
        metrics=["val/acc"],
        stats=["mean", "sd", "sem", "min", "median", "max"],
        at=at,
        size=100,
    )
    table = pd.DataFrame(
        {
            "project": path.rpartition("/")[0],
            "user": one.user["username"],
            "value": (max if at == "best" else list.pop)([value for _, value in one.metrics["val/acc"]]),
        }
        for path, one in members(state)
        if one.state == "FINISHED" and "val/acc" in one.metrics
    )
    wanted = table.groupby(["project", "user"])["value"].agg(["count", "mean", "std", "sem", "min", "median", "max"])
    rows = {(row["group"]["project"], row["group"]["user"]): row for row in reply["data"] if row["n"]}
    assert len(rows) == len(wanted) == 22
    names = {"mean": "mean", "sd": "std", "sem": "sem", "min": "min", "median": "median", "max": "max"}
    for key, expected in wanted.iterrows():
        row = rows[key]
        assert row["n"] == expected["count"]
        for name, theirs in names.items():
            # a single value has no sd
            assert row.get(name, math.nan) == pytest.approx(expected[theirs], rel=1e-9, abs=0, nan_ok=True), (key, name)


async def test_training_losses_of_each_project_are_checked(world: Settings, state: State) -> None:
    losses = ("loss", "train/loss", "train_loss", "train/ce_loss")
    for number, loss in enumerate(losses):
        project = state.add_project(state.workspaces[0], f"named{number}")
        for name, end in (("sound", 0.5), ("lucky", math.nan)):
            state.add_experiment(project, name, metrics={"val/acc": [(0, 0.1), (9, 0.8)], loss: [(0, 2.0), (9, end)]})
    both = replace(world, log_dirs=(DEMO,))
    arguments = {"group_by": ["project"], "metrics": ["val/acc"], "size": 50}
    (alone,) = (await call(both, "aggregate_experiments", project="local/digits-mlp", **arguments))["data"]
    for filters in ([], [{"field": "name", "op": "!=", "value": "another"}]):
        reply = await call(both, "aggregate_experiments", project="*", filters=filters, **arguments)
        left = {row["group"]["project"]: row.get("left_out") for row in reply["data"]}
        assert [left[f"kites-test3/named{number}"] for number in range(len(losses))] == ["1 broken"] * len(losses)
        assert left["local/digits-mlp"] == alone.get("left_out")


@pytest.mark.parametrize("count", [3, 60])
async def test_ranking_checks_the_losses_of_each_project(settings: Settings, state: State, count: int) -> None:
    for number, loss in enumerate(("loss", "train/loss", "train_loss", "train/ce_loss")):
        project = state.add_project(state.workspaces[0], f"named{number}")
        for index in range(count):
            metrics = {"val/acc": [(0, 0.1), (9, 0.5 + index / 1000)], loss: [(0, 2.0), (9, 0.5)]}
            state.add_experiment(project, f"sound{index}", metrics=metrics)
        lucky = {"val/acc": [(0, 0.1), (9, 0.9 - number / 100)], loss: [(0, 2.0), (9, math.nan)]}
        state.add_experiment(project, "lucky", metrics=lucky)
    reply = await call(settings, "rank_experiments", project="kites-test3/named*", metric="val/acc", size=1)
    assert reply["data"][0]["name"] == f"sound{count - 1}"
    assert any(f"after the {4 * count} ranked experiments: 4 broken." in note for note in reply["notes"])


async def test_crashes_are_counted_by_project(world: Settings, state: State) -> None:
    filters = [{"field": "state", "op": "=", "value": "CRASHED"}]
    reply = await call(world, "aggregate_experiments", project=EVERY, group_by=["project"], filters=filters)
    wanted = Counter(path.rpartition("/")[0] for path, one in members(state) if one.state == "CRASHED")
    assert {row["group"]["project"]: row["count"] for row in reply["data"]} == wanted


async def test_requests_grow_only_with_pages(world: Settings, state: State) -> None:
    async with session(world) as client:
        await client.call_tool("list_workspaces", {})
        state.calls.clear()
        arguments = {"project": EVERY, "metrics": ["val/acc"], "group_by": ["state"]}
        await client.call_tool("aggregate_experiments", arguments)
    pages = sum(-(-len(one.experiments) // 100) for one in state.projects if one.name.startswith("sweep"))
    kinds = Counter(one.raw_path.rpartition("/")[2] for one in state.calls)
    assert kinds["runs"] >= pages
    # the points of at most 100 suspicious experiments are read, in two requests each
    closely = kinds["keys"] + kinds["scalar"]
    assert closely <= 200
    assert len(state.calls) - closely <= 12 * (math.ceil(len(members(state)) / 1200) * 2 + 2) + 4


async def test_unreadable_project_is_named_and_the_others_are_answered(world: Settings, state: State) -> None:
    state.faults.append(Fault("/sweep05/runs", status=403, times=None))
    for tool, arguments in (
        ("find_experiments", {"filters": [{"field": "config.lr", "op": "=", "value": "0.1"}]}),
        ("rank_experiments", {"metric": "val/acc"}),
        ("aggregate_experiments", {"group_by": ["project"]}),
    ):
        reply = await call(world, tool, project=EVERY, **arguments)
        (note,) = [one for one in reply["notes"] if one.startswith("Incomplete: 1 of 12 projects could not be read")]
        assert "kites-test2/sweep05" in note
        assert reply["data"]
        assert "sweep05/" not in json.dumps(reply["data"])


async def test_misspelt_project_gets_similar_names(world: Settings) -> None:
    reply = await call(world, "find_experiments", project="kites-test3/sweep00, kites-test3/sweep002", size=5)
    (note,) = [one for one in reply["notes"] if one.startswith("Incomplete")]
    assert "Did you mean" in note
    async with session(world) as client:
        result = await client.call_tool("find_experiments", {"project": "kites-test3/zz*"})
    assert result.is_error
    assert "No project matches 'kites-test3/zz*'" in text_of(result)


async def test_field_of_one_project_filters_all(world: Settings) -> None:
    reply = await call(
        world, "find_experiments", project=EVERY, filters=[{"field": "config.only", "op": "<", "value": 2}]
    )
    assert {row["cuid"] for row in reply["data"]} == {"kites-test2/sweep03/c03x0", "kites-test2/sweep03/c03x1"}


async def test_name_without_a_project_finds_an_experiment_anywhere(world: Settings, state: State) -> None:
    state.add_experiment(state.projects[-1], "needle", cuid="needle1")
    both = replace(world, log_dirs=(DEMO,))
    filters = [{"field": "name", "op": "=", "value": "needle"}]
    reply = await call(both, "find_experiments", project="*", filters=filters)
    assert [row["cuid"] for row in reply["data"]] == ["kites-test2/sweep11/needle1"]
    assert [note.partition("/@")[2] for note in reply["notes"] if note.startswith("Pages: ")] == [
        "kites-test2/<project>/runs/<cuid>/chart"
    ]
    filters = [{"field": "name", "op": "=", "value": "lr-0.1"}]
    reply = await call(both, "find_experiments", project="*", filters=filters)
    (path,) = [row["cuid"] for row in reply["data"]]
    assert (await call(both, "get_experiment", exp_cuid=path))["data"]["name"] == "lr-0.1"


async def test_run_in_cloud_and_on_disk_counts_once(world: Settings, state: State) -> None:
    disk = replace(world, log_dirs=(DEMO,))
    local = await call(disk, "find_experiments", project="local/digits-mlp")
    twin = local["data"][0]
    project = state.add_project(state.workspaces[0], "digits-mlp")
    state.add_experiment(project, twin["name"], cuid=twin["cuid"])
    reply = await call(disk, "aggregate_experiments", project="*/digits-mlp")
    assert [row["count"] for row in reply["data"]] == [len(local["data"])]
    assert "1 run is both in the cloud and on this machine; only the copy in the cloud counts." in reply["notes"]


async def test_other_run_with_the_same_id_is_not_hidden(world: Settings, state: State) -> None:
    disk = replace(world, log_dirs=(DEMO,))
    local = await call(disk, "find_experiments", project="local/digits-mlp")
    project = state.add_project(state.workspaces[0], "digits-mlp")
    state.add_experiment(project, "another training", cuid=local["data"][0]["cuid"])
    reply = await call(disk, "aggregate_experiments", project="*/digits-mlp")
    assert [row["count"] for row in reply["data"]] == [len(local["data"]) + 1]


async def test_equal_configs_in_two_projects_are_not_repeats(world: Settings) -> None:
    reply = await call(
        world,
        "rank_experiments",
        project="kites-test3/sweep00,kites-test2/sweep01",
        metric="val/acc",
        by_seed=True,
        size=50,
    )
    paths = [path for row in reply["data"] for path in row.get("cuids", [])]
    assert paths
    for row in reply["data"]:
        assert len({path.rpartition("/")[0] for path in row.get("cuids", [])}) <= 1


async def test_news_of_all_projects_need_few_requests(world: Settings, state: State) -> None:
    reply = await call(world, "whats_new", project=EVERY, since="2024-11-01T00:00:00Z", size=5)
    assert len(reply["data"]) == 5
    kinds = Counter(one.raw_path.partition("/metrics/")[2] for one in state.calls)
    running = sum(one.state == "RUNNING" for _, one in members(state))
    # one request for the keys of each project, and at most one for its summaries
    assert kinds["summaries"] <= 2 * 12 + 5
    assert kinds["scalar/keys"] <= running + 5
    assert not kinds["media/keys"]


async def test_news_of_all_workspaces_keep_the_cursor_after_a_failure(world: Settings, state: State) -> None:
    since = "2024-11-01T00:00:00Z"
    reply = await call(world, "whats_new", project=EVERY, since=since, size=5)
    assert len({row["project"] for row in reply["data"]}) >= 1
    assert all("/" in row["project"] for row in reply["data"])
    assert not any(f"since={since[:19]}" in note for note in reply["notes"])
    state.faults.append(Fault("/sweep05/runs", status=403, times=None))
    reply = await call(world, "whats_new", project=EVERY, since=since, size=5)
    assert any("kites-test2/sweep05" in note for note in reply["notes"] if note.startswith("Incomplete"))
    assert any(f"since={since[:19]}" in note for note in reply["notes"])
