from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.filtering import Candidate, check_comparable, passes, read_field, sort_candidates
from swanlab_mcp.analysis.refusals import Refusal
from swanlab_mcp.core.models import Experiment, Filter
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.fake_swanlab import BEGINNING, Fault, State
from tests.server.test_tools import DEMO

pytestmark = pytest.mark.anyio

values = st.none() | st.integers(-50, 50) | st.floats(width=32) | st.text("ab1", max_size=3)


def make(value: Any, **fields: Any) -> Candidate:
    return Candidate(Experiment(cuid="c", **fields), {} if value is None else {"x": value}, {})


def ask(op: Any, value: Any, field: str = "config.x") -> Filter:
    return Filter(field=field, op=op, value=value)


@given(values, values.filter(lambda value: value is not None))
def test_operators_and_their_negations_are_opposites(actual: Any, wanted: Any) -> None:
    candidate = make(actual)
    assert passes(candidate, ask("=", wanted)) != passes(candidate, ask("!=", wanted))
    assert passes(candidate, ask("in", [wanted, "zz"])) != passes(candidate, ask("not-in", [wanted, "zz"]))
    if actual is None:
        assert passes(candidate, ask("!=", wanted))


@given(st.floats(), st.floats(allow_nan=False))
def test_numbers_compare_numerically_and_nan_never_matches(actual: float, wanted: float) -> None:
    assert passes(make(actual), ask(">", wanted)) == (actual > wanted)
    assert passes(make(actual), ask("<=", wanted)) == (actual <= wanted)
    assert passes(make(str(actual)), ask(">=", str(wanted))) == (actual >= wanted)
    assert not (math.isnan(actual) and passes(make(actual), ask("<", wanted)))


@given(st.lists(values), st.booleans())
def test_unordered_values_sort_last(numbers: list[Any], descending: bool) -> None:
    ordered = sort_candidates([make(number) for number in numbers], "config.x", descending=descending)
    found = [read_field(one, "config.x") for one in ordered]
    is_odd = [value is None or str(value).lower() == "nan" for value in found]
    assert is_odd == sorted(is_odd)
    plain = [float(value) for value in found if isinstance(value, (int, float)) and value == value]
    assert plain == sorted(plain, reverse=descending)


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("=", "2024-11-23T12:28:04Z", True),
        ("=", "2024-11-23T20:28:04+08:00", True),
        (">", "2024-11-23", True),
        ("<", "2024-11-23T20:28:04", True),
        ("<", "2024-11-23T20:28:04+08:00", False),
        ("in", ["2024-11-23T12:28:04", "2020-01-01"], True),
        ("=", "2024-11-23", True),
        ("!=", "2024-11-23", False),
        ("=", "2024-11-22", False),
        ("=", "2024-11-23T00:00:00", False),
    ],
)
def test_times_default_to_utc(op: str, value: Any, expected: bool) -> None:
    candidate = make(None, createdAt="2024-11-23T12:28:04.000Z")
    assert passes(candidate, ask(op, value, "created")) is expected
    assert not passes(make(None), ask(">", "2024-11-23", "finished"))


@pytest.mark.parametrize(
    ("op", "value", "field"), [(">", "abc", "config.x"), ("<", "soon", "created"), (">", [1], "config.x")]
)
def test_incomparable_values_are_refused(op: str, value: Any, field: str) -> None:
    with pytest.raises(Refusal):
        check_comparable([make(5, createdAt="2024-11-23T12:28:04.000Z")], ask(op, value, field))


def test_text_among_numbers_does_not_prevent_the_comparison() -> None:
    candidates = [make("auto"), make(5), make(None)]
    check_comparable(candidates, ask(">", 1))
    assert [passes(one, ask(">", 1)) for one in candidates] == [False, True, False]


@pytest.mark.parametrize(
    ("actual", "op", "value", "expected"),
    [
        ("2_1", "!=", "21", True),
        ("2_1", "=", 21, False),
        ("01", "=", "1", False),
        ("01", "in", ["1", "2"], False),
        ("1.0", "not-in", ["1"], True),
        ("1.0", "=", 1, True),
        (1, "=", "1.0", True),
        ("2_1", ">", 20, False),
    ],
)
def test_texts_equal_texts_and_numeric_texts_equal_numbers(actual: Any, op: str, value: Any, expected: bool) -> None:
    assert passes(make(actual), ask(op, value)) is expected


@pytest.mark.parametrize(
    ("held", "wanted", "expected"),
    [
        (["baseline"], "B", True),
        (["baseline"], "c", False),
        ([21, True], 2, False),
        ([21], "21", True),
        ([2], 2.0, True),
    ],
)
def test_list_contains_parts_of_its_texts(held: list[Any], wanted: Any, expected: bool) -> None:
    assert passes(make(held), ask("contains", wanted)) is expected


@pytest.fixture
def many(state: State) -> None:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(250):
        state.add_experiment(
            project,
            f"run-{number}",
            cuid=f"run{number:03d}",
            state="CRASHED" if number % 50 == 0 else "FINISHED",
            labels=["even"] if number % 2 == 0 else ["odd", "x"],
            cluster=f"g{number % 3}",
            config={"lr": number / 100, "model": {"depth": number % 5, "name": "ResNet"}, "flag": number > 100},
            created_at=BEGINNING + timedelta(hours=number),
            metrics={"loss": [(0, 9.0), (1, math.nan if number == 7 else float(number))]} if number != 9 else {},
        )


async def find(settings: Settings, filters: list[tuple[str, str, Any]], **more: Any) -> list[str]:
    conditions = [{"field": field, "op": op, "value": value} for field, op, value in filters]
    async with session(settings) as client:
        arguments = {"project": "many", "filters": conditions, "page": 1, **more}
        result = await client.call_tool("find_experiments", arguments)
    assert not result.is_error, text_of(result)
    return [row["name"].removeprefix("run-") for row in result.structured_content["data"]]


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([("state", "=", "CRASHED")], ["200", "150", "100", "50", "0"]),
        ([("state", "=", "crashed")], ["200", "150", "100", "50", "0"]),
        ([("state", "not-in", ["Finished", "running"])], ["200", "150", "100", "50", "0"]),
        ([("created", "=", "2024-11-23")], [str(number) for number in reversed(range(12))]),
        ([("config.lr", ">", 2.46), ("labels", "contains", "odd")], ["249", "247"]),
        ([("config.lr", ">", 2.46), ("labels", "contains", "D")], ["249", "247"]),
        ([("config.model.depth", "in", [1, 2]), ("config.lr", "<", 0.07)], ["6", "2", "1"]),
        ([("config.model.name", "contains", "resnet"), ("name", "=", "run-3")], ["3"]),
        ([("config.flag", "=", True), ("config.lr", "<=", 1.02)], ["102", "101"]),
        ([("metric.loss", "<", 3)], ["2", "1", "0"]),
        ([("group", "=", "g1"), ("metric.loss", ">=", 247)], ["247"]),
        ([("created", ">", (BEGINNING + timedelta(hours=247)).isoformat())], ["249", "248"]),
        ([("created", "<", "2024-11-23T21:28:05+08:00")], ["1", "0"]),
        ([("labels", "not-in", ["even", "odd"])], []),
    ],
)
async def test_filters_find_planted_experiments(settings: Settings, filters: Any, expected: list[str]) -> None:
    assert await find(settings, filters) == expected


@pytest.mark.usefixtures("many")
async def test_sorting_by_a_metric_puts_nan_and_missing_last(settings: Settings, state: State) -> None:
    low = [("config.lr", "<=", 0.1)]
    assert await find(settings, low, sort="metric.loss") == ["0", "1", "2", "3", "4", "5", "6", "8", "10", "9", "7"]
    assert await find(settings, low, sort="metric.loss", descending=True) == [
        "10", "8", "6", "5", "4", "3", "2", "1", "0", "9", "7",
    ]  # fmt: skip
    assert len(state.get_calls("/summaries")) == 2


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("shows_profile", [True, False])
@pytest.mark.parametrize(
    ("filters", "expected", "narrowed"),
    [
        ([("created", ">", "2024-12-04T02:28:04+08:00")], ["249", "248", "247", "246"], "created"),
        ([("created", "<=", (BEGINNING + timedelta(hours=1)).isoformat())], ["1", "0"], "created"),
        ([("state", "in", ["CRASHED"]), ("config.model.depth", "=", 0)], ["200", "150", "100", "50", "0"], "state"),
        ([("config.lr", ">", 2.47), ("labels", "=", "odd")], ["249"], "config.lr, labels"),
        ([("metric.loss", ">", 247), ("name", "contains", "RUN-24")], ["249", "248"], "metric.loss"),
    ],
)
async def test_server_side_filtering_gives_the_same_result(
    settings: Settings, state: State, filters: Any, expected: list[str], narrowed: str, shows_profile: bool
) -> None:
    state.variants.shows_profile = shows_profile
    state.projects[1].experiments[20].is_pinned = True  # returned for any filter
    assert await find(settings, filters) == expected
    shown = state.get_calls("/runs/shows$")
    assert len(shown) == 1
    assert not state.get_calls("/runs$")
    conditions = [{"field": field, "op": op, "value": value} for field, op, value in filters]
    async with session(settings) as client:
        result = await client.call_tool("find_experiments", {"project": "many", "filters": conditions})
    count = "1 experiment matches" if len(expected) == 1 else f"{len(expected)} experiments match"
    output = f"{count} the filters. SwanLab filtered by {narrowed}; this server then checked every filter."
    assert output in text_of(result)
    assert all(set(row["profile"]) == {"config"} for row in result.structured_content["data"])


@pytest.mark.usefixtures("many")
async def test_unsupported_server_side_filters_read_the_full_list(settings: Settings, state: State) -> None:
    filters = [("state", "=", "CRASHED")]
    crashed = ["200", "150", "100", "50", "0"]
    state.variants.lacking = ("/runs/shows$",)
    assert await find(settings, filters) == crashed
    state.variants.lacking = ()
    # an empty result is verified, since a server can filter wrongly
    state.faults = [Fault(path="/runs/shows$", body=b"[]")]
    assert await find(settings, filters) == crashed
    # reading many matches without profiles costs more than reading the list
    state.faults = []
    assert len(await find(settings, [("created", ">", "2024-01-01")], page=1, size=20)) == 20
    assert not state.get_calls("/runs/run")


@pytest.mark.usefixtures("many")
async def test_rows_include_the_queried_metrics(settings: Settings) -> None:
    async with session(settings) as client:
        arguments = {"project": "many", "sort": "metric.loss", "descending": True, "page": 1, "size": 2}
        result = await client.call_tool("find_experiments", arguments)
    assert [row["metrics"] for row in result.structured_content["data"]] == [{"loss": 249.0}, {"loss": 248.0}]
    assert result.structured_content["page"]["order"] == "by metric.loss, largest first"
    assert text_of(result).startswith("2 of 250, by metric.loss, largest first; next: page=2 size=2\n")


@pytest.mark.usefixtures("many")
async def test_invalid_filter_names_valid_alternatives(settings: Settings) -> None:
    async with session(settings) as client:
        for condition, expected in (
            ({"field": "config.lrr", "op": "=", "value": 1}, "Did you mean config.lr"),
            ({"field": "stat", "op": "=", "value": 1}, "Did you mean state"),
            ({"field": "lr", "op": "=", "value": 1}, "Did you mean config.lr"),
            ({"field": "depth", "op": "=", "value": 1}, "Did you mean config.model.depth"),
            ({"field": "los", "op": "=", "value": 1}, "Did you mean metric.loss"),
            ({"field": "config.zzzzzz", "op": "=", "value": 1}, "The configs contain config.lr, config.model.depth, "),
            ({"field": "metric.lss", "op": ">", "value": 1}, "Similar names: loss."),
            ({"field": "config.lr", "op": ">", "value": "high"}, "compares different types"),
            ({"field": "created", "op": ">", "value": "yesterday"}, "'yesterday' is not a time"),
            ({"field": "state", "op": "in", "value": ["failed"]}, "RUNNING, FINISHED, CRASHED, ABORTED, OFFLINE"),
            ({"field": "state", "op": "~", "value": 1}, "'filters.0.op'"),
            ({"field": "state", "op": "="}, "'filters.0.value' is missing"),
        ):
            result = await client.call_tool("find_experiments", {"project": "many", "filters": [condition]})
            assert result.is_error
            assert expected in text_of(result)
        empty = await client.call_tool(
            "find_experiments",
            {"project": "many", "filters": [{"field": "state", "op": "=", "value": "RUNNING"}]},
        )
    assert "note: 0 of the 250 experiments match the filters, which this server applied." in text_of(empty)


async def test_unknown_field_suggests_the_metric_before_longer_config_keys() -> None:
    async with session(DEMO) as client:
        for tool, arguments in (
            ("find_experiments", {"filters": [{"field": "vall/acc", "op": ">", "value": 0.9}]}),
            ("rank_experiments", {"metric": "vall/acc"}),
        ):
            result = await client.call_tool(tool, {"project": "digits-mlp", **arguments})
            assert result.is_error
            near = text_of(result).split("Did you mean ")[-1].split("Similar names: ")[-1]
            assert near.removeprefix("metric.").startswith("val/acc")


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("tag", "labels?"),
        ("runtime", "duration?"),
        ("date", "created or "),
        ("author", "user?"),
        ("machine", "host?"),
        ("hidden_runs", "show or config.hidden?"),
        ("accuracy", "metric.train/acc or metric.val/acc?"),
        ("loss", "metric.train/loss or metric.val/loss?"),
        ("learningRate", "config.lr?"),
        ("config.learningrate", "config.lr?"),
        ("config.learning_rate", "config.lr?"),
        ("config.bs", "config.batch_size?"),
        ("config.weightdecay", "config.weight_decay?"),
        ("config.wd", "config.weight_decay?"),
    ],
)
async def test_other_words_for_a_field_suggest_it(field: str, meant: str) -> None:
    async with session(DEMO) as client:
        arguments = {"project": "digits-mlp", "filters": [{"field": field, "op": "=", "value": 1}]}
        result = await client.call_tool("find_experiments", arguments)
    assert f"Unknown field '{field}'. Did you mean {meant}" in text_of(result)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"sort": "craeted"}, "Did you mean created"),
        ({"filters": [{"field": "stat", "op": "=", "value": "x"}]}, "Did you mean state"),
        ({"filters": [{"field": "config.lr", "op": "=", "value": 1}], "sort": "metric.loss"}, ""),
    ],
)
async def test_fields_are_checked_in_an_empty_project(
    settings: Settings, state: State, arguments: dict[str, Any], expected: str
) -> None:
    state.add_project(state.workspaces[0], "bare")
    async with session(settings) as client:
        result = await client.call_tool("find_experiments", {"project": "bare", **arguments})
    assert result.is_error is bool(expected)
    assert expected in text_of(result)


async def test_runs_on_disk_are_found_the_same_way() -> None:
    async with session(Settings(log_dirs=(RUNS / "0.10.3-offline",))) as client:
        result = await client.call_tool(
            "find_experiments",
            {
                "project": "vision-baselines",
                "filters": [{"field": "metric.train/loss", "op": "<", "value": 0.2}],
                "sort": "created",
            },
        )
    assert [row["name"] for row in result.structured_content["data"]] == ["resnet18-lr1e-3", "resnet18-preempted"]
