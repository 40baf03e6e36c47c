from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import Experiment, State
from tests.server.test_tools import DEMO, check_forms

pytestmark = pytest.mark.anyio

MORNING = datetime(2026, 1, 1, 8, tzinfo=timezone.utc)


async def ask(settings: Settings, **arguments: Any) -> dict[str, Any]:
    async with session(settings) as client:
        result = await client.call_tool("whats_new", arguments)
    shown = check_forms(result)
    assert count_tokens(text_of(result)) <= 1000
    assert count_tokens(json.dumps(shown, ensure_ascii=False, separators=(",", ":"))) <= 1000
    return shown


def read_cursor(expected: dict[str, Any]) -> str:
    (cursor,) = [note.partition("since=")[2] for note in expected["notes"] if note.startswith("Cursor")]
    return cursor


def add(world: State, name: str, hour: float, value: float, **fields: Any) -> Experiment:
    if not any(project.name == "nightly" for project in world.projects):
        world.add_project(world.workspaces[0], "nightly")
    project = next(project for project in world.projects if project.name == "nightly")
    begin = MORNING + timedelta(hours=hour)
    fields.setdefault("finished_at", begin + timedelta(minutes=30) if fields.get("state") != "RUNNING" else None)
    metrics = {"val/acc": [(step, value * step / 10) for step in range(11)]}
    return world.add_experiment(project, name, cuid=f"c-{name}", created_at=begin, metrics=metrics, **fields)


async def test_experiments_of_the_list_are_not_requested_again(settings: Settings, state: State) -> None:
    for number in range(3):
        add(state, f"run-{number}", number, 0.5)
    await ask(settings, project="nightly", since="2025-12-01")
    assert [call.raw_path for call in state.calls if "/nightly/runs/" in call.raw_path] == []


async def test_demo_lists_events_since_a_time() -> None:
    reply = await ask(DEMO, project="digits-mlp", since="2026-11-23T08:01:00Z")
    rows = reply["data"]
    assert rows[0] == {
        "time": "2026-11-23T08:01:05.189Z",
        "what": "record",
        "name": "width-128-64",
        "cuid": "a7mda5lt",
        "detail": "val/acc 0.986667 at step 26; previous best: 0.984444 in lr-0.1 (l4q9h9qs); "
        "within the noise between repeats",
    }
    assert rows[1]["detail"] == "new; best val/acc 0.98, val/loss 0.0752623; healthy"
    times = [row["time"] for row in rows[1:]]
    assert times == sorted(times, reverse=True)
    assert (
        "Since 2026-11-23T08:01:00.000Z (now: 2026-11-23T09:00:00.000Z): 9 finished, 1 record, 1 crashed, "
        "1 no end recorded, 1 aborted." in reply["notes"]
    )
    assert reply["page"]["next"] == "page=2 size=10"
    later = await ask(DEMO, project="digits-mlp", since=read_cursor(reply))
    assert later["data"] == []
    assert read_cursor(later) == read_cursor(reply) == "2026-11-23T08:02:26.210Z"


async def test_each_experiment_is_reported_once_and_the_cursor_advances(settings: Settings, state: State) -> None:
    add(state, "old", 0, 0.8)
    add(state, "ran-over-night", 1, 0.7, finished_at=MORNING + timedelta(hours=9))
    add(state, "broke", 9, 0.3, state="CRASHED")
    add(state, "stopped", 10, 0.2, state="ABORTED")
    reply = await ask(settings, project="nightly", since="2026-01-01T10:00:00+00:00")
    assert [(row["what"], row["name"]) for row in reply["data"]] == [
        ("aborted", "stopped"),
        ("crashed", "broke"),
        ("finished", "ran-over-night"),
    ]
    assert [row["detail"] for row in reply["data"]] == [
        "new; best val/acc 0.2",
        "new; best val/acc 0.3",
        "best val/acc 0.7",
    ]
    add(state, "better", 11, 0.9)
    later = await ask(settings, project="nightly", since=read_cursor(reply))
    assert [(row["what"], row["name"]) for row in later["data"]] == [("record", "better"), ("finished", "better")]
    assert later["data"][0]["detail"] == "val/acc 0.9 at step 10; previous best: 0.8 in old (c-old)"
    assert (await ask(settings, project="nightly", since=read_cursor(later)))["data"] == []


async def test_first_and_equal_results_set_no_record(settings: Settings, state: State) -> None:
    add(state, "first", 5, 0.8)
    first = await ask(settings, project="nightly", since="2026-01-01T12:00:00Z")
    assert [row["what"] for row in first["data"]] == ["finished"]
    add(state, "equal", 9, 0.8)
    reply = await ask(settings, project="nightly", since="2026-01-01T14:00:00Z", metrics=["val/acc"])
    assert [row["what"] for row in reply["data"]] == ["finished"]


async def test_record_of_a_running_experiment_is_reported_once(settings: Settings, state: State) -> None:
    add(state, "old", 0, 0.5)
    running = add(state, "running", 1, 0.9, state="RUNNING")
    before = await ask(settings, project="nightly", since="2026-01-01T09:00:05Z")
    assert [row["what"] for row in before["data"] if row["name"] == "running"] == ["record", "stalled"]
    after = await ask(settings, project="nightly", since=read_cursor(before))
    assert after["data"] == []
    assert running.state == "RUNNING"


async def test_silent_running_experiment_is_stalled_once(settings: Settings, state: State) -> None:
    stuck = add(state, "stuck", 1, 0.9, state="RUNNING")
    stuck.metrics = {"__swanlab__.cpu": [(0, 1.0)], "loss": [(step, 1.0) for step in range(100)]}
    add(state, "bare", 1, 0.9, state="RUNNING").metrics = {}
    reply = await ask(settings, project="nightly", since="2026-01-01T09:00:30Z")
    (stalled,) = [row for row in reply["data"] if row["what"] == "stalled"]
    assert stalled["name"] == "stuck"
    assert stalled["time"] == "2026-01-01T09:11:39.000Z"
    assert stalled["detail"].startswith("no points since step 99, ")
    assert (await ask(settings, project="nightly", since=read_cursor(reply)))["data"] == []


async def test_whole_workspace_is_searched(settings: Settings, state: State) -> None:
    add(state, "run", 1, 0.5, state="FINISHED")
    for number in range(25):
        project = state.add_project(state.workspaces[0], f"p{number:02d}", updated_at=MORNING + timedelta(hours=number))
        state.add_experiment(project, "one", created_at=MORNING + timedelta(hours=number))
    reply = await ask(settings, since="2026-01-01T07:00:00Z", size=5)
    assert reply["data"][0]["project"] == "kites-test3/p24"
    assert any(note.startswith("Incomplete: only the first 20 of ") for note in reply["notes"])
    recent = await ask(settings, since="2026-01-02T06:00:00Z")
    assert [row["project"] for row in recent["data"]] == ["kites-test3/p24", "kites-test3/p23"]


async def test_stall_is_found_in_a_workspace_without_updates(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "live", updated_at=MORNING + timedelta(hours=1))
    stuck = state.add_experiment(project, "stuck", cuid="c-stuck", created_at=MORNING + timedelta(hours=1))
    stuck.state, stuck.finished_at = "RUNNING", None
    stuck.metrics = {"loss": [(step, 1.0) for step in range(100)]}
    since = "2026-01-01T09:05:00Z"
    single = await ask(settings, project="live", since=since)
    reply = await ask(settings, since=since)
    for one in (single, reply):
        assert [row["name"] for row in one["data"] if row["what"] == "stalled"] == ["stuck"]


async def test_unknown_metrics_and_directions_are_reported(settings: Settings, state: State) -> None:
    add(state, "old", 0, 0.5)
    better = add(state, "new", 9, 0.9)
    better.metrics = {**better.metrics, "foo": [(0, 1.0)]}
    reply = await ask(settings, project="nightly", since="2026-01-01T12:00:00Z", metrics=["val/ac", "foo", "val/acc"])
    assert "No experiment has a metric 'val/ac'. Similar names: val/acc." in reply["notes"]
    assert (
        "It is unknown whether larger or smaller values of foo are better, so new records are not reported for it."
        in reply["notes"]
    )
    assert [row["what"] for row in reply["data"]] == ["record", "finished"]
    assert sum("val/acc" in note for note in reply["notes"]) == 1


async def test_since_accepts_durations(settings: Settings, state: State) -> None:
    add(state, "run", 1, 0.5)
    for since in ("24h", "90m", "7 d", "2w"):
        reply = await ask(settings, project="nightly", since=since)
        assert reply["page"]["total"] in (0, 1)
    async with session(settings) as client:
        for arguments, expected in (
            ({"since": "yesterday"}, "'yesterday' is not a time"),
            ({"project": "nightli"}, "Did you mean nightly?"),
            ({"username": "nobody-here"}, "There is no workspace 'nobody-here'"),
        ):
            result = await client.call_tool("whats_new", arguments)
            assert result.is_error
            assert expected in text_of(result)


async def test_partial_check_of_running_experiments_is_reported(settings: Settings, state: State) -> None:
    for number in range(22):
        add(state, f"r{number}", number / 10, 0.5, state="RUNNING")
    reply = await ask(settings, project="nightly", since="2026-01-01T07:00:00Z", size=5)
    assert "Only the newest 20 of 22 running experiments were checked for stalls and problems." in reply["notes"]


def turn(count: int, at: int) -> list[float]:
    """Return a loss that falls until a point, then rises."""
    return [2 - index / at if index < at else 1 + (index - at) / 20 for index in range(count)]


async def test_ended_experiment_has_the_verdict_of_diagnose_experiment(settings: Settings, state: State) -> None:
    add(state, "old", 0, 0.8)
    over = add(state, "over", 9, 0.9)
    over.metrics = {
        "train/loss": [(step, 2 - step / 60) for step in range(100)],
        "val/loss": list(enumerate(turn(100, 40))),
    }
    fine = add(state, "fine", 10, 0.7)
    fine.metrics = {"train/loss": [(step, 2 - step / 60) for step in range(100)]}
    reply = await ask(settings, project="nightly", since="2026-01-01T12:00:00Z")
    details = {row["name"]: row["detail"] for row in reply["data"] if row["what"] == "finished"}
    async with session(settings) as client:
        result = await client.call_tool("diagnose_experiment", {"project": "nightly", "exp_cuid": "c-over"})
    verdict = result.structured_content["data"]["verdict"]
    assert verdict.startswith("overfitting in val/loss: best at step 40")
    assert details["over"].endswith(verdict)
    assert details["fine"].endswith("healthy")


async def test_broken_run_sets_no_record(settings: Settings, state: State) -> None:
    add(state, "old", 0, 0.5)
    broken = add(state, "broken", 9, 0.9)
    broken.metrics = {**broken.metrics, "train/loss": [(0, 1.0), (1, 0.5), (2, float("nan"))]}
    add(state, "good", 9.1, 0.8)
    reply = await ask(settings, project="nightly", since="2026-01-01T12:00:00Z", metrics=["val/acc"])
    records = [(row["name"], row["detail"]) for row in reply["data"] if row["what"] == "record"]
    assert records == [("good", "val/acc 0.8 at step 10; previous best: 0.5 in old (c-old)")]


async def test_problem_of_a_running_experiment_is_reported_once(settings: Settings, state: State) -> None:
    going = add(state, "going", 1, 0.5, state="RUNNING")
    going.metrics = {
        "train/loss": [(step, 2 - step / 60) for step in range(90)],
        "val/loss": list(enumerate(turn(90, 40))),
    }
    # a point each second since nine o'clock: the first 45 show no overfitting yet
    reply = await ask(settings, project="nightly", since="2026-01-01T09:00:45Z")
    (problem,) = [row for row in reply["data"] if row["what"] == "problem"]
    assert problem["detail"].startswith("overfitting in val/loss: best at step 40")
    again = await ask(settings, project="nightly", since=problem["time"])
    assert [row for row in again["data"] if row["what"] == "problem"] == []


async def test_future_times_are_refused_with_the_time_of_the_server() -> None:
    async with session(DEMO) as client:
        result = await client.call_tool("whats_new", {"project": "digits-mlp", "since": "2026-11-23T09:30:00Z"})
        soon = await client.call_tool("whats_new", {"project": "digits-mlp", "since": "2026-11-23T09:05:00Z"})
    assert result.is_error
    assert "since=2026-11-23T09:30:00.000Z is in the future. This server's clock shows 2026-11-23T09:00" in text_of(
        result
    )
    assert "no new, finished, crashed, aborted, stalled or failing experiments, and no new records" in text_of(soon)
