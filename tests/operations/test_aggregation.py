from __future__ import annotations

import math
import random
import statistics
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.aggregation import compute_statistics
from swanlab_mcp.operations import health
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import BEGINNING, State

pytestmark = pytest.mark.anyio

RATES = (0.001, 0.01, 0.1)


@pytest.fixture
def state(state: State) -> State:
    """Return 60 experiments with 3 rates and 2 users. Some are running or crashed, lack the metric or have only NaN."""
    project = state.add_project(state.workspaces[0], "sweep", cuid="sweep")
    source = random.Random(3)
    for number in range(60):
        last = source.random()
        metrics = {"val/acc": [(0, last / 2), (1, last), (2, 0.9 * last)], "odd": [(0, float(number))]}
        if number % 20 == 7:
            metrics = {"odd": [(0, 1.0)]}
        if number % 20 == 8:
            metrics = {"val/acc": [(0, math.nan)]}
        started = BEGINNING + timedelta(days=number % 3)
        ending = "RUNNING" if number % 20 == 5 else "CRASHED" if number % 20 == 6 else "FINISHED"
        state.add_experiment(
            project,
            f"run-{number}",
            cuid=f"run{number}",
            state=ending,
            created_at=started,
            finished_at=None if ending == "RUNNING" else started + timedelta(hours=2),
            config={"optim": {"lr": RATES[number % 3]}},
            metrics=metrics,
            user={"username": ("ada", "bob")[number % 2], "name": "x"},
        )
    return state


async def ask(settings: Settings, **arguments: Any) -> list[dict[str, Any]]:
    async with session(settings) as client:
        result = await client.call_tool("aggregate_experiments", {"project": "sweep", **arguments})
    assert not result.is_error, text_of(result)
    return result.structured_content["data"]


@pytest.mark.parametrize("at", ["best", "last"])
async def test_statistics_equal_those_of_the_standard_library(settings: Settings, state: State, at: str) -> None:
    rows = await ask(
        settings, group_by=["config.optim.lr"], metrics=["val/acc"], at=at, stats=["mean", "sd", "sem", "median"]
    )
    assert len(rows) == 3
    for row in rows:
        members = [
            one
            for one in state.projects[-1].experiments
            if one.config["optim"]["lr"] == row["group"]["config.optim.lr"]
        ]
        points = [[point[1] for point in one.metrics.get("val/acc", [])] for one in members if one.state == "FINISHED"]
        finite = [some for some in points if some and not math.isnan(some[-1])]
        values = [max(some) if at == "best" else some[-1] for some in finite]
        assert (row["count"], row["n"]) == (20, len(values))
        assert row["mean"] == pytest.approx(statistics.fmean(values), rel=1e-9)
        assert row["sd"] == pytest.approx(statistics.stdev(values), rel=1e-9)
        assert row["sem"] == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)), rel=1e-9)
        assert row["median"] == pytest.approx(statistics.median(values), rel=1e-9)
    assert rows == sorted(rows, key=lambda row: -row["mean"])


async def test_excluded_values_are_counted_separately(settings: Settings) -> None:
    (row,) = await ask(settings, metrics=["val/acc"])
    assert row["left_out"] == "6 not finished, 3 no value, 3 NaN or infinite"
    assert row["n"] == 60 - 12
    (row,) = await ask(settings, metrics=["val/acc"], unfinished=True)
    assert row["left_out"] == "3 no value, 3 NaN or infinite"


async def test_broken_training_loss_excludes_the_best_member(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "broken")
    for name, score, end in (("sound", 0.8, 0.5), ("lucky", 0.9, math.nan)):
        metrics = {"val/acc": [(0, 0.1), (9, score)], "train/loss": [(0, 2.0), (9, end)]}
        state.add_experiment(project, name, metrics=metrics)
    (row,) = await ask(settings, project="broken", metrics=["val/acc"])
    assert (row["best"], row["n"], row["max"], row["left_out"]) == ("sound", 1, 0.8, "1 broken")


async def test_diverged_training_loss_excludes_a_member(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "diverged")
    calm = [(step, 2 - step / 40) for step in range(40)]
    for name, score, loss in (
        ("sound", 0.8, calm),
        ("lucky", 0.9, [*calm[:20], *((step, 9.0) for step in range(20, 40))]),
    ):
        state.add_experiment(project, name, metrics={"val/acc": [(0, 0.1), (39, score)], "train/loss": loss})
    (row,) = await ask(settings, project="diverged", metrics=["val/acc"])
    assert (row["best"], row["n"], row["left_out"]) == ("sound", 1, "1 broken")


async def test_limits_of_the_check_for_broken_runs_are_named(
    settings: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_READ", 1)
    project = state.add_project(state.workspaces[0], "many")
    grown = [(step, 9.0 if step > 20 else 2 - step / 40) for step in range(40)]
    for number in range(6):
        metrics = {"val/acc": [(0, 0.1), (39, 0.5)], "train/loss": grown}
        state.add_experiment(project, f"run-{number}", metrics=metrics)
    async with session(settings) as client:
        reply = await client.call_tool("aggregate_experiments", {"project": "many", "metrics": ["val/acc"]})
    assert "6 experiments may have diverged, but the points of only 1 were checked; add filters." in text_of(reply)


async def test_counts_and_hours_need_no_metric(settings: Settings) -> None:
    filters = [{"field": "state", "op": "=", "value": "CRASHED"}]
    rows = await ask(settings, group_by=["user"], filters=filters)
    assert {row["group"]["user"]: (row["count"], row["hours"]) for row in rows} == {"ada": (3, 6.0)}


async def test_runs_of_seconds_do_not_show_zero_hours(settings: Settings, state: State) -> None:
    run = next(one for one in state.projects[-1].experiments if one.name == "run-0")
    run.finished_at = run.created_at + timedelta(seconds=5)
    rows = await ask(settings, filters=[{"field": "name", "op": "=", "value": "run-0"}])
    assert rows[0]["hours"] == 0.0014


async def test_two_fields_make_a_group_for_each_pair(settings: Settings) -> None:
    rows = await ask(settings, group_by=["day", "user"])
    assert len(rows) == 6
    assert sum(row["count"] for row in rows) == 60


async def test_known_metric_is_aggregated_without_the_unknown_one(settings: Settings) -> None:
    async with session(settings) as client:
        result = await client.call_tool(
            "aggregate_experiments", {"project": "sweep", "metrics": ["val/acc", "odd", "vall/acc"]}
        )
    assert [row["metric"] for row in result.structured_content["data"]] == ["val/acc", "odd"]
    assert "has a metric 'vall/acc'. Similar names: val/acc." in text_of(result)


async def test_measured_values_cannot_form_groups(settings: Settings) -> None:
    async with session(settings) as client:
        result = await client.call_tool("aggregate_experiments", {"project": "sweep", "group_by": ["metric.val/acc"]})
    assert result.is_error
    assert "cannot be grouped by the metric metric.val/acc" in text_of(result)


@pytest.mark.parametrize("field", ["created", "finished", "duration"])
async def test_times_cannot_form_groups_but_periods_can(settings: Settings, field: str) -> None:
    async with session(settings) as client:
        result = await client.call_tool("aggregate_experiments", {"project": "sweep", "group_by": [field]})
    assert result.is_error
    assert f"cannot be grouped by {field}. Group by day, week or month" in text_of(result)


async def test_suggestions_name_only_fields_that_form_groups(settings: Settings) -> None:
    async with session(settings) as client:
        result = await client.call_tool("aggregate_experiments", {"project": "sweep", "group_by": ["wekk"]})
    assert "Did you mean week?" in text_of(result)
    assert "Fields: workspace, project, " in text_of(result)
    assert "metric.<key>" not in text_of(result)


async def test_many_groups_need_few_columns_and_name_their_next_page(settings: Settings, state: State) -> None:
    for number, one in enumerate(state.projects[-1].experiments):
        one.config["width"] = number % 9
    arguments = {"project": "sweep", "group_by": ["config.width", "user"], "metrics": ["val/acc"]}
    async with session(settings) as client:
        first = await client.call_tool("aggregate_experiments", arguments)
        second = await client.call_tool("aggregate_experiments", {**arguments, "page": 2, "size": 10})
        whole = await client.call_tool("aggregate_experiments", {**arguments, "page": 1, "size": 5})
        stats = ["mean", "sd", "sem", "min", "median", "max"]
        wide = await client.call_tool("aggregate_experiments", {**arguments, "stats": stats})
    assert "6 of 18, best mean of val/acc first; next: page=2 size=6" in text_of(wide)
    assert count_tokens(text_of(wide)) <= 500
    assert "10 of 18, best mean of val/acc first; next: page=2 size=10" in text_of(first)
    assert count_tokens(text_of(first)) <= 500
    assert "median" not in first.structured_content["data"][0]
    assert "median" in whole.structured_content["data"][0]
    groups = [str(row["group"]) for one in (first, second) for row in one.structured_content["data"]]
    assert len(groups) == len(set(groups)) == 18


async def test_states_appear_once(settings: Settings) -> None:
    async with session(settings) as client:
        reply = await client.call_tool("aggregate_experiments", {"project": "sweep", "group_by": ["state"]})
    assert "group.state | count | hours" in text_of(reply)
    assert {row["states"] for row in reply.structured_content["data"]} == {"54 FINISHED", "3 RUNNING", "3 CRASHED"}


async def test_best_member_has_a_name_that_identifies_it(settings: Settings, state: State) -> None:
    (row,) = await ask(settings, metrics=["val/acc"])
    (best,) = [one for one in state.projects[-1].experiments if one.name == row["best"]]
    state.add_experiment(state.projects[-1], best.name, cuid="namesake")
    (row,) = await ask(settings, metrics=["val/acc"])
    assert row["best"] == best.cuid
    (row,) = await ask(settings, project=["sweep", "kites-test3/*"], metrics=["val/acc"])
    assert row["best"] == f"kites-test3/sweep/{best.cuid}"


async def test_hours_without_an_end_are_counted_with_metrics_too(settings: Settings) -> None:
    async with session(settings) as client:
        reply = await client.call_tool("aggregate_experiments", {"project": "sweep", "metrics": ["val/acc", "odd"]})
    assert "3 experiments without a recorded end are not included in hours." in text_of(reply)


async def test_experiments_are_counted_by_workspace(settings: Settings) -> None:
    (row,) = await ask(settings, group_by=["workspace"])
    assert (row["group"], row["count"]) == ({"workspace": "kites-test3"}, 60)


async def test_unknown_field_or_metric_gets_suggestions(settings: Settings) -> None:
    async with session(settings) as client:
        field = await client.call_tool("aggregate_experiments", {"project": "sweep", "group_by": ["config.optim.lrr"]})
        metric = await client.call_tool("aggregate_experiments", {"project": "sweep", "metrics": ["val/ac"]})
    assert field.is_error
    assert "config.optim.lr" in text_of(field)
    assert metric.is_error
    assert "val/acc" in text_of(metric)


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=30))
def test_statistics_of_any_values_lie_within_their_range(values: list[float]) -> None:
    found = compute_statistics(values)
    assert found.mean is not None
    assert found.sd is not None
    assert math.isfinite(found.sd)
    slack = 1e-9 * max(abs(value) for value in values)
    assert min(values) - slack <= found.mean <= max(values) + slack
