# data is None only after an error, which fails the test
# pyright: reportOptionalIterable=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false
"""Every question has a method that returns typed records."""

from __future__ import annotations

import sys
from collections.abc import Iterator

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


def test_frames_have_a_row_per_record(api: OpenApi) -> None:
    frame = api.list_project_exps(DIGITS).data.to_pandas()
    assert len(frame) == 19
    assert "profile.config.lr" in frame.columns
    frame = api.compare_experiments(DIGITS, ["lr-0.1", "lr-1"], metrics="val/acc").data.to_pandas()
    assert list(frame["config.lr"]) == [0.1, 1]
    assert frame["best.val/acc"].notna().all()
    assert len(api.diagnose_experiment(DIGITS, "lr-100-wd-0.1").data.to_pandas()) >= 1
