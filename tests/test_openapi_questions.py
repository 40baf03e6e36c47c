# `data` is None only after an error, and an error fails the test
# pyright: reportOptionalIterable=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false
"""Check that every analysis tool has an OpenApi method that returns typed records."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from swanlab_mcp import Experiment, OpenApi
from swanlab_mcp.core.findings import (
    AggregatedGroup,
    Comparison,
    Diagnosis,
    ExperimentForecast,
    NewsItem,
    RankedExperiment,
    SimilarExperiment,
)
from swanlab_mcp.core.models import EnvironmentFact
from swanlab_mcp.server.table import TOOLS

DIGITS = "digits-mlp"


@pytest.fixture
def api() -> Iterator[OpenApi]:
    with OpenApi(demo=True) as api:
        yield api


def test_lists_are_complete_and_typed(api: OpenApi) -> None:
    for answer, kind, least in (
        (api.find_experiments("*", [{"field": "config.lr", "op": ">", "value": 0}]), Experiment, 19),
        (api.rank_experiments(DIGITS, "val/acc"), RankedExperiment, 19),
        (api.aggregate_experiments(DIGITS, "state", ["val/acc"], stats=["mean", "sem"]), AggregatedGroup, 4),
        (api.find_similar_experiments(DIGITS, "lr=0.1"), SimilarExperiment, 5),
        (api.find_similar_experiments(DIGITS, {"lr": 0.1}, size=2), SimilarExperiment, 2),
        (api.whats_new(since="2026-11-23T08:00:00Z"), NewsItem, 19),
        (api.get_environment(DIGITS, ["lr-0.1", "lr-1"]), EnvironmentFact, 1),
    ):
        assert answer.code == 200, answer.errmsg
        assert len(answer.data) >= least
        assert all(isinstance(one, kind) for one in answer.data)


def test_single_answers_are_typed(api: OpenApi) -> None:
    assert isinstance(api.compare_experiments(DIGITS, ["lr-0.1", "lr-1"]).data, Comparison)
    assert isinstance(api.diagnose_experiment(DIGITS, "lr-100-wd-0.1").data, Diagnosis)
    forecast = api.forecast_experiment(DIGITS, "lr-0.1", "val/acc", as_of_step=10)
    assert isinstance(forecast.data, ExperimentForecast), forecast.errmsg


def test_invalid_arguments_are_reported_like_a_tool_does(api: OpenApi) -> None:
    answer = api.rank_experiments(DIGITS, "val/acc", mode="largest")
    assert (answer.code, answer.errmsg) == (400, "mode must be one of: auto, min, max.")
    answer = api.aggregate_experiments(DIGITS, stats="average")
    assert answer.code == 400
    assert answer.errmsg.startswith("stats.0 must be one of: mean, sd, sem")
    answer = api.find_experiments(DIGITS, [{"field": "state"}])
    assert (answer.code, answer.errmsg) == (400, "filters.0.op is missing.")
    assert api.rank_experiments("", "val/acc").errmsg.startswith("No project was given")


def test_missing_pandas_is_named(api: OpenApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for found in (api.rank_experiments(DIGITS, "val/acc"), api.compare_experiments(DIGITS, ["lr-0.1", "lr-1"])):
        with pytest.raises(ImportError, match="to_pandas needs pandas"):
            found.data.to_pandas()


# the arguments for each method, the number of rows in the resulting DataFrame, and one of its columns
FRAMES: dict[str, tuple[dict[str, Any], int, str]] = {
    "list_workspaces": ({}, 1, "username"),
    "get_workspace": ({}, 1, "role"),
    "list_projects": ({}, 1, "count.experiments"),
    "get_project": ({"project": DIGITS}, 1, "count.experiments"),
    "list_project_exps": ({"project": DIGITS}, 19, "profile.config.lr"),
    "find_experiments": ({"project": DIGITS, "sort": "metric.val/acc"}, 19, "metrics.val/acc"),
    "get_experiment": ({"project": DIGITS, "exp_cuid": "lr-0.1"}, 1, "profile.config.lr"),
    "get_exp_summary": ({"project": DIGITS, "exp_cuid": "lr-0.1"}, 7, "min.value"),
    "get_environment": ({"project": DIGITS, "exp_cuids": "lr-0.1", "search": "python"}, 4, "value"),
    "get_logs": ({"project": DIGITS, "exp_cuid": "lr-0.1", "count": 7}, 7, "message"),
    "get_media": ({"project": DIGITS, "exp_cuid": "lr-0.1"}, 1, "key"),
    "list_metrics": ({"project": DIGITS, "exp_cuid": "lr-0.1"}, 8, "type"),
    "plot_metrics": ({"project": DIGITS, "exp_cuids": ["lr-0.1", "lr-1"], "keys": "val/acc"}, 2, "max.value"),
    "rank_experiments": ({"project": DIGITS, "metric": "val/acc"}, 19, "value"),
    "aggregate_experiments": ({"project": DIGITS, "group_by": "state"}, 4, "count"),
    "compare_experiments": ({"project": DIGITS, "exp_cuids": ["lr-0.1", "lr-1"], "baseline": "lr-1"}, 2, "config.lr"),
    "diagnose_experiment": ({"project": DIGITS, "exp_cuid": "lr-100-wd-0.1"}, 3, "rule"),
    "find_similar_experiments": ({"project": DIGITS, "config": "lr=0.1"}, 5, "cuid"),
    "forecast_experiment": (
        {"project": DIGITS, "exp_cuid": "lr-0.1", "metric": "val/acc", "as_of_step": 10},
        1,
        "expected",
    ),
    "whats_new": ({"project": DIGITS, "since": "2026-11-23T08:00:00Z"}, 19, "detail"),
    "wait_for_experiments": ({"project": DIGITS, "exp_cuids": "lr-0.1", "until": "finished"}, 1, "condition"),
}
NO_RECORDS = {"get_metrics", "get_exp_state", "create_project", "delete_experiment", "delete_project", "close"}
SAME = {"get_summary", "list_experiments"}
ON_A_SERVER = {"get_user", "get_server_info"}


def test_every_question_has_a_method() -> None:
    methods = {name for name, _ in inspect.getmembers(OpenApi, inspect.isfunction) if not name.startswith("_")}
    assert methods - NO_RECORDS - SAME - ON_A_SERVER == FRAMES.keys()
    assert {one.name for one in TOOLS} <= methods


@pytest.mark.parametrize("method", FRAMES)
def test_answers_convert_to_data_frames(api: OpenApi, method: str) -> None:
    arguments, rows, column = FRAMES[method]
    answer = getattr(api, method)(**arguments)
    assert answer.code == 200, answer.errmsg
    frame = answer.data.to_pandas()
    assert len(frame) == rows
    assert frame[column].notna().any()


def test_answers_from_a_server_convert_to_data_frames(host: str) -> None:
    with OpenApi("test-key", host=host) as api:
        assert len(api.get_user().data.to_pandas()) == 1
        assert len(api.get_server_info().data.to_pandas()) == 1


def test_waiting_may_take_longer_than_other_calls() -> None:
    with OpenApi(demo=True, timeout=1) as api:
        answer = api.wait_for_experiments(DIGITS, timeout=2)
        assert (answer.code, answer.errmsg) == (200, "")


def test_data_frames_have_a_row_per_record(api: OpenApi) -> None:
    frame = api.list_project_exps(DIGITS).data.to_pandas()
    assert len(frame) == 19
    assert "profile.config.lr" in frame.columns
    frame = api.compare_experiments(DIGITS, ["lr-0.1", "lr-1"], metrics="val/acc").data.to_pandas()
    assert list(frame["config.lr"]) == [0.1, 1]
    assert frame["best.val/acc"].notna().all()
    assert len(api.diagnose_experiment(DIGITS, "lr-100-wd-0.1").data.to_pandas()) >= 1
