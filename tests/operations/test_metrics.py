"""Series from SwanLab and from disk match the request."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.refusals import Contradiction
from swanlab_mcp.analysis.selection import Selection, reduce_points, select_points
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.models import Points
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, opened, session, text_of
from tests.fake_swanlab import Experiment, Fault, Media, State, Variants

pytestmark = pytest.mark.anyio
ME = "kites-test3"
WEIRD = ["train/loss", "a b", "准确率", "50%", 'say "hi"', "x,y", "plain"]
LOCAL = Settings(log_dirs=(RUNS / "0.10.3-offline",))

values = st.lists(st.floats(width=32), min_size=1, max_size=300)


def make_points(numbers: list[float]) -> Points:
    return Points(range(len(numbers)), numbers, [0] * len(numbers))


@given(values, st.integers(4, 60))
def test_sampling_keeps_ends_extremes_and_non_finite_values(numbers: list[float], count: int) -> None:
    kept = reduce_points(make_points(numbers), count)
    assert list(kept.steps) == sorted(set(kept.steps))
    assert all(repr(numbers[step]) == repr(value) for step, value in zip(kept.steps, kept.values, strict=True))
    assert {kept.steps[0], kept.steps[-1]} == {0, len(numbers) - 1}
    finite = [value for value in numbers if math.isfinite(value)]
    shown = [value for value in kept.values if math.isfinite(value)]
    if finite:
        assert (min(shown), max(shown)) == (min(finite), max(finite))
    odd = {step for step, value in enumerate(numbers) if not math.isfinite(value)}
    if len(odd) <= count - 4:
        assert odd <= set(kept.steps)
    if odd and count >= 8:
        assert {min(odd), max(odd)} <= set(kept.steps)
    assert len(kept.steps) <= count or len(numbers) <= count


@given(values, st.integers(0, 300), st.integers(0, 300), st.integers(1, 50))
def test_selection_returns_the_requested_range(numbers: list[float], one: int, other: int, count: int) -> None:
    points = make_points(numbers)
    start, end = sorted((one, other))
    steps = [step for step in points.steps if start <= step <= end]
    assert list(select_points(points, Selection(start, end), 5).steps) == steps
    assert list(select_points(points, Selection(start, end, head=count), 5).steps) == steps[:count]
    assert list(select_points(points, Selection(start, end, tail=count), 5).steps) == steps[-count:]
    near = list(select_points(points, Selection(around=one), 5).steps)
    assert (
        near == [step for step in points.steps if step < one][-5:] + [step for step in points.steps if step >= one][:6]
    )


@pytest.mark.parametrize("selection", [Selection(5, 4), Selection(head=1, tail=1), Selection(tail=1, around=3)])
def test_contradictory_arguments_are_refused(selection: Selection) -> None:
    with pytest.raises(Contradiction):
        selection.check()


CURVES = ExperimentRef(ME, "project1", "curves1")


async def read_points(
    client: SwanLabClient, ref: ExperimentRef, keys: Sequence[str], *, exact: bool
) -> dict[str, Points]:
    return (await client.default.read_points(ref, keys, exact=exact)).data or {}


@pytest.fixture
def experiment(state: State) -> Experiment:
    long = [(step, math.sin(step / 50)) for step in range(0, 9000, 3)]
    long[1000] = (3000, math.nan)
    long[2000] = (6000, -math.inf)
    metrics = {key: [(step, float(step * index)) for step in range(5)] for index, key in enumerate(WEIRD, 1)}
    return state.add_experiment(
        state.projects[0], "curves", cuid="curves1", metrics={"long": long, **metrics, "empty": []}
    )


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    "spelling", [("nan", "inf", "NaN"), ("NaN", "+Inf", "INF"), ("NAN", "INF", "Infinity"), ("nan", "inf", "bare")]
)
async def test_cloud_returns_the_planted_points(
    settings: Settings, state: State, experiment: Experiment, exact: bool, spelling: Any
) -> None:
    state.variants.csv_nan, state.variants.csv_infinity, state.variants.spelling = spelling
    async with opened(settings) as client:
        found = await read_points(client, CURVES, [*WEIRD, "none", "empty"], exact=exact)
        long = (await read_points(client, CURVES, ["long"], exact=exact))["long"]
    assert list(found) == [*WEIRD, "empty"]
    for key in WEIRD:
        assert list(zip(found[key].steps, found[key].values, strict=True)) == experiment.metrics[key]
        assert list(found[key].times) == [experiment.time_of(step) for step in range(5)]
    assert not found["empty"].steps
    assert long.is_whole is exact
    if exact:
        assert repr(list(zip(long.steps, long.values, strict=True))) == repr(experiment.metrics["long"])
    else:
        assert len(long.steps) == 1500


async def test_keys_are_requested_in_batches_of_sixteen_and_returned_in_order(settings: Settings, state: State) -> None:
    metrics = {f"k{number:02d}": [(0, float(number))] for number in range(40)}
    state.add_experiment(state.projects[0], "wide", cuid="wide1", metrics=metrics)
    keys = list(reversed(metrics))
    async with opened(settings) as client:
        found = await read_points(client, ExperimentRef(ME, "project1", "wide1"), keys, exact=False)
    assert list(found) == keys
    assert sorted(len(call.body["columns"]) for call in state.get_calls("/metrics/scalar$")) == [8, 16, 16]


@pytest.mark.parametrize("keys", [["loss"], ["lo*"]])
async def test_name_and_id_of_an_experiment_return_its_series_once(
    settings: Settings, state: State, keys: Sequence[str]
) -> None:
    project = state.add_project(state.workspaces[0], "named")
    state.add_experiment(project, "one", cuid="one1", metrics={"loss": [(0, 2.0), (1, 1.0)]})
    async with session(settings) as client:
        result = await client.call_tool(
            "get_metrics", {"project": "named", "exp_cuids": ["one", "one1"], "keys": list(keys)}
        )
    assert [row["exp_cuid"] for row in result.structured_content["data"]] == ["one1"]
    assert result.structured_content["page"]["total"] == 1


async def test_2100_keys_are_listed_page_by_page(settings: Settings, state: State) -> None:
    metrics = {f"k{number:04d}": [(0, 1.0)] for number in range(2100)}
    state.add_experiment(state.projects[0], "wide", cuid="wide1", metrics=metrics)
    async with opened(settings) as client:
        logged = (await client.default.list_keys(ExperimentRef(ME, "project1", "wide1"))).data
    assert logged
    assert logged.scalars == list(metrics)
    assert len(state.get_calls("/scalar/keys")) == 2


async def test_clone_has_the_points_of_its_root(settings: Settings, state: State, experiment: Experiment) -> None:
    project = state.projects[0]
    clones = state.add_project(state.workspaces[0], "clones")
    state.add_experiment(clones, "clone", cuid="clone1", clone_of=(project, experiment))
    async with opened(settings) as client:
        logged = (await client.default.list_keys(ExperimentRef(ME, "clones", "clone1"))).data
        assert logged
        assert "plain" in logged.scalars
        for exact in (True, False):
            found = await read_points(client, ExperimentRef(ME, "clones", "clone1"), ["plain"], exact=exact)
            assert list(found["plain"].values) == [value for _, value, *_ in experiment.metrics["plain"]]


@pytest.mark.usefixtures("experiment")
async def test_download_carries_no_session_and_is_complete_or_an_error(settings: Settings, state: State) -> None:
    async with opened(settings) as client:
        await read_points(client, CURVES, ["long"], exact=True)
        download = state.get_calls("^/storage/")[0]
        assert not {"cookie", "authorization"} & set(download.headers)
        for fault, expected in (
            (Fault(path="^/storage/", is_dropped=True), "closed the connection during a download"),
            (Fault(path="^/storage/", status=403), "returned status 403 for a download"),
            (Fault(path="^/storage/", body=b"x,y\n1,2\n"), "not a table with a step column"),
            (Fault(path="^/storage/", body=b"step\n"), "lacks the metric 'long'"),
            (Fault(path="/presigned/", body=b'{"urls": []}'), "contains no URL"),
            (Fault(path="/presigned/", body=b'{"urls": ["http://evil.example.com/x"]}'), "unencrypted"),
            (Fault(path="/scalar/export", body=b"{}"), "has no cosKey"),
            (Fault(path="/scalar/keys", body=b"[]"), "did not return a list of metric keys"),
        ):
            state.faults = [fault]
            key = "empty" if "keys" in fault.path else "long"
            with pytest.raises(Exception, match=expected) as caught:
                await read_points(client, CURVES, [key], exact=True)
            assert "canary" not in str(caught.value)
        state.faults = [Fault(path="/metrics/scalar$", body=b'[{"metrics": []}]')]
        with pytest.raises(UnexpectedResponse, match="has no key"):
            await read_points(client, CURVES, ["long"], exact=False)


@pytest.mark.usefixtures("experiment")
@pytest.mark.parametrize("variants", [Variants(), Variants.old_server()], ids=["current", "old"])
async def test_truncated_export_is_requested_again_and_then_an_error(
    settings: Settings, state: State, variants: Variants
) -> None:
    state.variants = variants
    async with opened(replace(settings, is_cached=False)) as client:
        whole = (await read_points(client, CURVES, ["long"], exact=True))["long"]
        for fault in (
            Fault("^/storage/", is_truncated=True),
            # truncated within the last value
            Fault("^/storage/", rewrite=lambda body: body[: body.rindex(b",") - 5]),
            # truncated after a complete line and after the header, with a matching length
            Fault("^/storage/", rewrite=lambda body: b"".join(body.splitlines(keepends=True)[:-1])),
            Fault("^/storage/", rewrite=lambda body: body.splitlines(keepends=True)[0]),
        ):
            state.faults = [replace(fault, times=1)]
            state.calls.clear()
            again = (await read_points(client, CURVES, ["long"], exact=True))["long"]
            assert (again.steps, repr(again.values)) == (whole.steps, repr(whole.values))
            assert len(state.get_calls("^/storage/")) == 2
            state.faults = [fault]
            with pytest.raises(UnexpectedResponse, match="'long' lacks points: the metric's summary ends at step 8997"):
                await read_points(client, CURVES, ["long"], exact=True)


async def test_points_newer_than_the_summary_raise_no_error(
    settings: Settings, state: State, experiment: Experiment
) -> None:
    points: list[tuple[int, float]] = [(0, 1.0)]
    experiment.metrics["plain"] = points
    # each request finds one more point, regardless of the order of the requests
    state.faults = [Fault("/(export|summaries)$", skip=1, then=lambda: points.append((len(points), 1.0)))]
    async with opened(replace(settings, is_cached=False)) as client:
        for _ in range(5):
            assert (await read_points(client, CURVES, ["plain"], exact=True))["plain"].steps


@pytest.mark.usefixtures("experiment")
async def test_sampled_series_is_labelled_and_keeps_its_ends(settings: Settings) -> None:
    arguments = {"project": "project1", "exp_cuids": ["curves"], "keys": ["long", "plain"]}
    async with session(settings) as client:
        result = await client.call_tool("get_metrics", arguments)
    long, plain = result.structured_content["data"]
    assert (long["source"], plain["source"]) == ("sample", "all points")
    assert (long["returned"], plain["returned"]) == (len(long["steps"]), 5)
    assert "total" not in long
    assert (plain["total"], plain["steps"], plain["values"]) == (5, [0, 1, 2, 3, 4], [0, 7, 14, 21, 28])
    assert len(long["steps"]) <= 60
    assert (long["steps"][0], long["steps"][-1]) == (0, 8997)
    assert "note: long of curves1: from a sample, so NaN between its points may be missing." in text_of(result)
    assert "plain | [0,1,2,3,4] | [0,7,14,21,28]" in text_of(result)


@pytest.mark.parametrize(
    ("part", "steps"),
    [
        ({"tail": 2}, [8994, 8997]),
        ({"head": 2}, [0, 3]),
        ({"start": 2997, "end": 3003}, [2997, 3000, 3003]),
        ({"around": 3000, "start": 2990, "end": 3010}, [2991, 2994, 2997, 3000, 3003, 3006, 3009]),
    ],
)
@pytest.mark.parametrize("mode", ["sampled", "exact"])
@pytest.mark.usefixtures("experiment")
async def test_range_of_a_long_series_is_exact(settings: Settings, part: Any, steps: Any, mode: str) -> None:
    arguments = {"project": "project1", "exp_cuids": ["curves1"], "keys": ["long"], "mode": mode, **part}
    async with session(settings) as client:
        result = await client.call_tool("get_metrics", arguments)
    series = result.structured_content["data"][0]
    assert series["steps"] == steps
    assert series["source"] == "all points"
    if 3000 in steps:
        assert series["values"][steps.index(3000)] == "NaN"
        assert (series["non_finite"], series["first_non_finite_step"]) == (1, 3000)


async def test_exact_points_continue_without_loss(settings: Settings, experiment: Experiment) -> None:
    found: list[int] = []
    arguments: dict[str, Any] = {"project": "project1", "exp_cuids": ["curves1"], "keys": ["long"], "mode": "exact"}
    async with session(settings) as client:
        for _ in range(20):
            result = await client.call_tool("get_metrics", arguments)
            assert count_tokens(json.dumps(result.structured_content, separators=(",", ":"))) <= 8000
            found += result.structured_content["data"][0]["steps"]
            following = [note for note in result.structured_content.get("notes", []) if "continue with start=" in note]
            if not following:
                break
            arguments["start"] = int(following[0].rstrip(".").rpartition("=")[2])
    assert found == [step for step, *_ in experiment.metrics["long"]]


@pytest.mark.parametrize(("mode", "max_points"), [("exact", 2000), ("exact", 700), ("sampled", 2000)])
async def test_reply_never_contains_more_points_than_fit(
    settings: Settings, experiment: Experiment, mode: str, max_points: int
) -> None:
    found: list[int] = []
    arguments: dict[str, Any] = {"project": "project1", "exp_cuids": ["curves1"], "keys": ["long"], "mode": mode}
    async with session(settings) as client:
        for _ in range(20):
            result = await client.call_tool("get_metrics", {**arguments, "max_points": max_points, "x_axis": "time"})
            assert count_tokens(json.dumps(result.structured_content, separators=(",", ":"))) <= 8000
            row = result.structured_content["data"][0]
            assert len(row["steps"]) == len(row["values"]) == len(row["times"]) > 100
            found += row["steps"]
            following = [note for note in result.structured_content.get("notes", []) if "continue with start=" in note]
            if mode == "sampled" or not following:
                break
            arguments["start"] = int(following[0].rstrip(".").rpartition("=")[2])
    if mode == "exact":
        assert found == [step for step, *_ in experiment.metrics["long"]]


async def test_sample_keeps_the_true_extremes(settings: Settings, state: State) -> None:
    wave = [(step, math.sin(step / 200)) for step in range(8000)]
    wave[4321], wave[5432] = (4321, 50.0), (5432, -50.0)
    state.add_experiment(state.projects[0], "wave", cuid="wave1", metrics={"wave": wave})
    arguments = {"project": "project1", "exp_cuids": ["wave1"], "keys": ["wave"], "max_points": 20}
    async with session(replace(settings, is_cached=False)) as client:
        row = (await client.call_tool("get_metrics", arguments)).structured_content["data"][0]
        assert {4321: 50.0, 5432: -50.0}.items() <= dict(zip(row["steps"], row["values"], strict=True)).items()
        state.variants.extremes = "bare"
        result = await client.call_tool("get_metrics", arguments)
    assert "wave of wave1: extremes between the sampled points may be missing." in text_of(result)


async def test_time_range_and_last_minutes_select_points(settings: Settings, state: State) -> None:
    one = state.add_experiment(
        state.projects[0], "timed", cuid="timed1", metrics={"loss": [(step, 1.0) for step in range(0, 3600, 60)]}
    )
    begin = one.created_at.replace(microsecond=0)
    base = {"project": "project1", "exp_cuids": ["timed1"], "keys": ["loss"]}

    async def ask(**more: Any) -> Any:
        return (await client.call_tool("get_metrics", {**base, **more})).structured_content["data"][0]["steps"]

    async with session(settings) as client:
        tenth = begin + timedelta(seconds=601)
        assert (await ask(start=tenth.isoformat()))[0] == 660
        assert (await ask(end=tenth.astimezone(timezone(timedelta(hours=8))).isoformat()))[-1] == 600
        assert await ask(start="60", end="120") == [60, 120]
        assert await ask(last_minutes=2) == [3420, 3480, 3540]
        for arguments, expected in (
            ({"start": "soon"}, "'soon' is not a step or a time"),
            ({"start": "2026-01-02", "end": "2026-01-01"}, "start is after end"),
            ({"start": "2026-01-02", "last_minutes": 3}, "cannot be combined"),
            ({"last_minutes": -1}, "'last_minutes'"),
        ):
            result = await client.call_tool("get_metrics", {**base, **arguments})
            assert result.is_error
            assert expected in text_of(result)


async def test_x_axis_can_be_time_or_another_metric(settings: Settings, state: State) -> None:
    metrics = {"loss": [(0, 3.0), (10, 2.0), (20, 1.0)], "epoch": [(0, 0.0), (20, 1.0)]}
    state.add_experiment(state.projects[0], "axes", cuid="axes1", metrics=metrics)
    base = {"project": "project1", "exp_cuids": ["axes1"], "keys": ["loss"]}
    async with session(settings) as client:
        relative = await client.call_tool("get_metrics", {**base, "x_axis": "relative_time"})
        epoch = await client.call_tool("get_metrics", {**base, "x_axis": "epoch"})
        wrong = await client.call_tool("get_metrics", {**base, "x_axis": "epohc"})
    assert relative.structured_content["data"][0]["x"] == [0, 10, 20]
    assert epoch.structured_content["data"][0]["x"] == [0, "NaN", 1]
    assert "loss of axes1: epoch has no value at 1 steps (x is NaN there)." in text_of(epoch)
    assert "No metric in this experiment matches 'epohc'. Similar keys (of 2 logged): epoch" in text_of(wrong)


async def test_experiment_without_the_key_does_not_hide_the_others(settings: Settings, state: State) -> None:
    state.add_experiment(state.projects[0], "one", cuid="one1", metrics={"val/loss": [(0, 1.0)]})
    state.add_experiment(state.projects[0], "two", cuid="two1", metrics={"val_loss": [(0, 2.0)]})
    base = {"project": "project1", "exp_cuids": ["one1", "two1"]}
    async with session(settings) as client:
        for key, listed in (
            ("val/loss", "Similar keys (of 1 logged): val_loss."),
            ("val/*", "Logged keys (1): val_loss."),
        ):
            result = await client.call_tool("get_metrics", {**base, "keys": [key]})
            assert [row["exp_cuid"] for row in result.structured_content["data"]] == ["one1"]
            assert f"two1: No metric in this experiment matches '{key}'. {listed}" in text_of(result)


@pytest.mark.parametrize("page", [0, 1])
async def test_missing_key_adds_no_page(settings: Settings, page: int) -> None:
    arguments = {"project": "project1", "exp_cuids": ["cuid1"], "keys": ["loss", "nope"], "page": page}
    async with session(settings) as client:
        result = await client.call_tool("get_metrics", arguments)
    shown = result.structured_content["page"]
    assert (shown["returned"], shown["total"]) == (1, 2)
    assert "next" not in shown


async def test_request_count_is_small(settings: Settings, state: State) -> None:
    metrics = {f"k{number:02d}": [(step, float(step)) for step in range(10)] for number in range(80)}
    for name in ("wide1", "wide2"):
        state.add_experiment(state.projects[0], name, cuid=name, metrics=metrics)
    arguments: dict[str, Any] = {"project": "project1", "exp_cuids": ["wide1"], "keys": list(metrics)[:16]}

    async def count(tool: str, **more: Any) -> int:
        state.calls.clear()
        assert not (await client.call_tool(tool, {**arguments, **more})).is_error
        return len([call for call in state.calls if "/login/" not in call.raw_path])

    async with session(replace(settings, is_cached=False)) as client:
        # experiment, project, summary, export, its URL; then the external storage
        assert await count("get_metrics", mode="exact") == 5 + 1
        assert len(state.get_calls("^/storage/")) == 1
        # the experiment and the project are known from the previous call
        assert await count("get_metrics", mode="exact") == 3 + 1
        assert await count("get_metrics", exp_cuids=["wide1", "wide2"]) == 1 + 2
        state.max_in_flight = 0
        assert await count("get_metrics", keys=list(metrics), max_points=5) == 5
        assert state.max_in_flight <= 4
        # if a reply cannot hold all rows, only the first page is read
        state.projects[0].experiments[0].metrics = {f"k{number:04d}": [(0, 1.0)] for number in range(2000)}
        assert await count("get_metrics", exp_cuids=["wide2"], keys=["*"], max_points=5) == 2 + 7
        result = await client.call_tool("get_metrics", {**arguments, "exp_cuids": ["wide2", "wide2"], "keys": ["*"]})
        assert result.structured_content["page"]["total"] == 2000
        assert result.structured_content["page"]["next"].startswith("page=2 size=")


@pytest.mark.usefixtures("experiment")
async def test_invalid_series_requests_are_explained(settings: Settings) -> None:
    base = {"project": "project1", "exp_cuids": ["curves1"], "keys": ["plain"]}
    async with session(settings) as client:
        changes: tuple[tuple[dict[str, Any], str], ...] = (
            ({"keys": ["plian"]}, "Similar keys (of 9 logged): plain"),
            ({"keys": ["zz*"]}, "No metric in this experiment matches 'zz*'"),
            ({"start": 5, "end": 1}, "start=5 is after end=1"),
            ({"head": 1, "tail": 1}, "head and tail cannot be combined"),
            ({"head": -1}, "'head'"),
            ({"exp_cuids": []}, "'exp_cuids'"),
            ({"exp_cuids": ["cruves"]}, "Did you mean curves (curves1)?"),
        )
        for change, expected in changes:
            result = await client.call_tool("get_metrics", {**base, **change})
            assert result.is_error
            assert expected in text_of(result)
        outside = await client.call_tool("get_metrics", {**base, "start": 100})
        empty = await client.call_tool("get_metrics", {**base, "keys": ["empty"]})
    assert "note: plain of curves1: no points in the requested range." in text_of(outside)
    assert "note: empty of curves1: no points in the requested range." in text_of(empty)


async def test_runs_on_disk_give_the_same_results() -> None:
    arguments = {"project": "vision-baselines", "exp_cuids": ["resnet18-lr1e-3", "resnet18-oom"], "keys": ["val/*"]}
    async with session(LOCAL) as client:
        result = await client.call_tool("get_metrics", {**arguments, "x_axis": "time"})
        page = await client.call_tool("get_metrics", {**arguments, "page": 2, "size": 3})
        missing = await client.call_tool("get_metrics", {**arguments, "exp_cuids": ["resnet18-dry-run"]})
    rows = result.structured_content["data"]
    assert [(row["exp_cuid"], row["key"], row["total"]) for row in rows] == [
        ("3hzj7gws", "val/loss", 12),
        ("3hzj7gws", "val/acc", 12),
        ("0lytvwvt", "val/loss", 8),
        ("0lytvwvt", "val/acc", 8),
    ]
    assert rows[0]["times"][0].startswith("2026-11-23T08:00:2")
    assert len(rows[0]["times"]) == len(rows[0]["steps"])
    assert [row["key"] for row in page.structured_content["data"]] == ["val/acc"]
    assert "It has logged no metric" in text_of(missing)


async def test_keys_are_listed_by_kind_with_experiments_that_lack_them(settings: Settings, state: State) -> None:
    project = state.projects[0]
    media = {"image": [Media(0, ["a.png"])]}
    metrics = {"__swanlab__.cpu": [(0, 1.0)], "train/loss": [(0, 1.0)]}
    state.add_experiment(project, "one", cuid="one1", metrics=metrics, media=media)
    state.add_experiment(project, "two", cuid="two1", metrics={"train/loss": [(0, 1.0)], "Val/Loss": [(0, 1.0)]})
    arguments = {"project": "project1", "exp_cuids": ["one", "two"]}

    async def ask(**more: Any) -> Any:
        result = await client.call_tool("list_metrics", {**arguments, **more})
        return result.structured_content

    async with session(settings) as client:
        assert (await ask(search="LOSS"))["data"] == [
            {"key": "train/loss", "type": "SCALAR"},
            {"key": "Val/Loss", "type": "SCALAR", "missing_in": ["one1"]},
        ]
        assert (await ask(kind="media"))["data"] == [{"key": "image", "type": "MEDIA", "missing_in": ["two1"]}]
        assert (await ask(kind="system"))["data"] == [
            {"key": "__swanlab__.cpu", "type": "SCALAR", "system": True, "missing_in": ["two1"]}
        ]
        assert len((await ask(kind="all"))["data"]) == 4
        assert [row["key"] for row in (await ask(search="val/*"))["data"]] == ["Val/Loss"]
        empty = await ask(search="lsos")
    assert empty["data"] == []
    assert empty["notes"][0].startswith("No custom keys match 'lsos'; 4 keys were logged.")


async def test_each_series_reports_its_next_start(settings: Settings, state: State) -> None:
    metrics = {f"k{rate}": [(step, 1.0) for step in range(0, 100 * rate, rate)] for rate in (1, 10)}
    state.add_experiment(state.projects[0], "rates", cuid="rates1", metrics=metrics)
    base: dict[str, Any] = {"project": "project1", "exp_cuids": ["rates1"], "mode": "exact", "max_points": 30}
    async with session(settings) as client:
        both = await client.call_tool("get_metrics", {**base, "keys": ["k1", "k10"]})
        head = await client.call_tool("get_metrics", {**base, "keys": ["k1"], "head": 40})
        rest = await client.call_tool("get_metrics", {**base, "keys": ["k1"], "head": 10, "start": 30})
    assert [row["next_start"] for row in both.structured_content["data"]] == [30, 300]
    assert "2 series were cut at different steps. Request each again, with its next_start as start." in text_of(both)
    assert "1 of 1 series is cut; continue with start=30 head=10." in text_of(head)
    assert "next_start" not in rest.structured_content["data"][0]


async def test_brackets_in_keys_are_literal(settings: Settings, state: State) -> None:
    metrics = {"loss[1]": [(0, 1.0)], "loss1": [(0, 2.0)], "a[0]/x": [(0, 3.0)]}
    state.add_experiment(state.projects[0], "odd", cuid="odd1", metrics=metrics)
    base: dict[str, Any] = {"project": "project1", "exp_cuids": ["odd1"]}
    async with session(settings) as client:
        for keys, expected in ((["loss[1]"], ["loss[1]"]), (["a[0]*"], ["a[0]/x"]), (["loss?1*"], ["loss[1]"])):
            result = await client.call_tool("get_metrics", {**base, "keys": keys})
            assert [row["key"] for row in result.structured_content["data"]] == expected
        listed = await client.call_tool("list_metrics", {**base, "search": "a[0]*"})
        unknown = await client.call_tool("get_metrics", {**base, "keys": ["[l]oss1"]})
    assert [row["key"] for row in listed.structured_content["data"]] == ["a[0]/x"]
    assert "No metric in this experiment matches '[l]oss1'" in text_of(unknown)


async def test_2000_keys_are_listed_as_searchable_groups(settings: Settings, state: State) -> None:
    metrics = {f"layer{number % 20}/w{number}": [(0, 1.0)] for number in range(2000)} | {"loss": [(0, 1.0)]}
    state.add_experiment(state.projects[0], "wide", cuid="wide1", metrics=metrics)
    arguments = {"project": "project1", "exp_cuids": ["wide"]}
    async with session(settings) as client:
        result = await client.call_tool("list_metrics", arguments)
        opened_group = await client.call_tool("list_metrics", {**arguments, "search": "layer0/*"})
        keys: list[str] = []
        for page in range(1, 22):
            paged = await client.call_tool("list_metrics", {**arguments, "page": page})
            keys += [row["key"] for row in paged.structured_content["data"]]
    rows = result.structured_content["data"]
    assert len(rows) == 21
    assert {"key": "layer0/", "type": "SCALAR", "count": 100} in rows
    assert {"key": "loss", "type": "SCALAR"} in rows
    assert "2001 keys in 21 groups" in result.structured_content["notes"][0]
    assert len(opened_group.structured_content["data"]) == 100
    assert sorted(keys) == sorted(metrics)


async def test_keys_of_runs_on_disk_include_media() -> None:
    arguments = {"project": "vision-baselines", "exp_cuids": ["resnet18-lr1e-3", "resnet18-dry-run"], "kind": "media"}
    async with session(LOCAL) as client:
        result = await client.call_tool("list_metrics", arguments)
        empty = await client.call_tool("list_metrics", {**arguments, "exp_cuids": ["resnet18-dry-run"]})
    assert {row["key"] for row in result.structured_content["data"]} == {
        "sample/input",
        "sample/answer",
        "eval/per_class",
    }
    assert all(row["missing_in"] == ["ifvx5of8"] for row in result.structured_content["data"])
    assert "No metric has been logged." in text_of(empty)


async def test_system_metrics_have_units(settings: Settings, state: State) -> None:
    keys = {"gpu.0.mem.pct": "%", "gpu.0.mem.value": "MB", "gpu.0.power": "W", "network.recv": "KB/s", "cpu.odd": None}
    metrics = {f"__swanlab__.{key}": [(0, 1.0), (1, 2.0)] for key in keys}
    state.add_experiment(state.projects[0], "hot", cuid="hot1", metrics={**metrics, "power": [(0, 1.0)]})
    wanted = {f"__swanlab__.{key}": unit for key, unit in keys.items()} | {"power": None}
    one = {"project": "project1", "exp_cuid": "hot1"}
    several = {"project": "project1", "exp_cuids": ["hot1"]}
    async with session(settings) as client:
        listed = (await client.call_tool("list_metrics", {**several, "kind": "all"})).structured_content["data"]
        read = (await client.call_tool("get_metrics", {**several, "keys": ["*"]})).structured_content["data"]
        summary = (await client.call_tool("get_exp_summary", one)).structured_content["data"]
        last = (await client.call_tool("diagnose_experiment", one)).structured_content["data"]["last"]
    assert {row["key"]: row.get("unit") for row in listed} == wanted
    assert {row["key"]: row.get("unit") for row in read} == wanted
    assert {key: row.get("unit") for key, row in summary.items()} == wanted
    assert last == {"__swanlab__.gpu.0.mem.pct": 2.0, "power": 1.0}
