from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.conditions import parse_condition
from swanlab_mcp.client.cache import LIST_LIFETIME
from swanlab_mcp.operations.waiting import make_pauses, wait_for_experiments
from swanlab_mcp.settings import Settings
from tests.conftest import opened, session, text_of
from tests.fake_swanlab import BEGINNING, Fault, State
from tests.run_files import build_file, encode_finish, encode_point, encode_start, write_run

pytestmark = pytest.mark.anyio

LISTED = "/night/runs$"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, is_cached=False)


@pytest.fixture
def state(state: State) -> State:
    """Return two running experiments and one that has already ended."""
    project = state.add_project(state.workspaces[0], "night", cuid="night")
    for name, ending in (("ended", "FINISHED"), ("first", "RUNNING"), ("second", "RUNNING")):
        points = [(step, 1 / (1 + step)) for step in range(10)]
        state.add_experiment(project, name, cuid=name, state=ending, metrics={"val/loss": points})
    return state


def after_the_first_poll(state: State, change: Callable[[], object]) -> None:
    """Call `change` when the list of experiments is requested for the second time."""
    looks = iter(range(100))
    state.faults = [Fault(LISTED, then=lambda: change() if next(looks) == 1 else None)]


async def ask(settings: Settings, **arguments: Any) -> tuple[list[dict[str, Any]], str]:
    async with session(settings) as client:
        result = await client.call_tool("wait_for_experiments", {"project": "night", "timeout": 20, **arguments})
    assert not result.is_error, text_of(result)
    notes = result.structured_content["notes"]
    cursors = [note.partition("cursor=")[2] for note in notes if "cursor=" in note]
    return result.structured_content["data"], cursors[0] if cursors else ""


def find(state: State, cuid: str) -> Any:
    return next(one for one in state.projects[-1].experiments if one.cuid == cuid)


async def test_crash_ends_the_wait(settings: Settings, state: State) -> None:
    after_the_first_poll(state, lambda: setattr(find(state, "first"), "state", "CRASHED"))
    rows, cursor = await ask(settings)
    assert [(row["cuid"], row["condition"], row["state"]) for row in rows] == [("first", "crashed", "CRASHED")]
    assert cursor


async def test_cursor_continues_without_repetition(settings: Settings, state: State) -> None:
    find(state, "first").state = "RUNNING"
    rows, cursor = await ask(settings, timeout=1)
    assert rows == []
    find(state, "first").state = "FINISHED"
    rows, cursor = await ask(settings, cursor=cursor)
    assert [row["cuid"] for row in rows] == ["first"]
    rows, cursor = await ask(settings, cursor=cursor, timeout=1)
    assert rows == []
    find(state, "second").state = "ABORTED"
    rows, _ = await ask(settings, cursor=cursor)
    assert [(row["cuid"], row["condition"]) for row in rows] == [("second", "crashed")]


async def test_altered_or_foreign_cursor_is_refused(settings: Settings, state: State) -> None:
    other = state.add_project(state.workspaces[0], "day", cuid="day")
    state.add_experiment(other, "later", cuid="later", state="RUNNING", created_at=BEGINNING + timedelta(days=9))
    _, foreign = await ask(settings, project="day", timeout=1)
    _, own = await ask(settings, timeout=1)
    moment, _, rest = own.partition(".")
    altered = [own[:-1], own[: len(moment) + 9], f"{int(moment) + 1}.{rest}", f"{moment}..."]
    for cursor in (foreign, *altered, "9" * 16 + "...", "٣...", "-1..."):
        async with session(settings) as client:
            result = await client.call_tool("wait_for_experiments", {"project": "night", "cursor": cursor})
        assert result.is_error, cursor
        assert "This cursor was changed" in text_of(result)


async def test_second_crash_of_a_resumed_run_is_reported(settings: Settings, state: State) -> None:
    _, cursor = await ask(settings, timeout=1)
    find(state, "first").state = "CRASHED"
    rows, cursor = await ask(settings, cursor=cursor)
    find(state, "first").state = "RUNNING"
    resumed, cursor = await ask(settings, cursor=cursor, timeout=1)
    find(state, "first").state = "CRASHED"
    again, _ = await ask(settings, cursor=cursor, timeout=1)
    assert [[row["cuid"] for row in each] for each in (rows, resumed, again)] == [["first"], [], ["first"]]


async def test_deleted_project_ends_the_wait_with_an_error(settings: Settings, state: State) -> None:
    after_the_first_poll(state, state.projects.pop)
    async with session(settings) as client:
        result = await client.call_tool("wait_for_experiments", {"project": "night", "timeout": 600})
    assert result.is_error
    assert "night" in text_of(result)


@pytest.mark.parametrize(
    ("until", "cuids"),
    [
        ("val/loss < 0.2", {"first", "second"}),
        ("step:9", {"first", "second"}),
        ("step >= 9", {"first", "second"}),
        ("step > 8", {"first", "second"}),
        ("val/loss>0.9", {"first", "second"}),
    ],
)
async def test_reached_value_or_step_ends_the_wait(settings: Settings, until: str, cuids: set[str]) -> None:
    rows, _ = await ask(settings, until=until)
    assert {row["cuid"] for row in rows} == cuids
    assert all(row["metric"] == "val/loss" for row in rows)


async def test_nan_ends_the_wait(settings: Settings, state: State) -> None:
    find(state, "second").metrics["val/loss"].append((10, math.nan))
    rows, _ = await ask(settings)
    assert [(row["cuid"], row["condition"], row["metric"]) for row in rows] == [("second", "non_finite", "val/loss")]


async def test_new_experiment_ends_the_wait(settings: Settings, state: State) -> None:
    started = BEGINNING + timedelta(days=2)
    after_the_first_poll(
        state, lambda: state.add_experiment(state.projects[-1], "new", cuid="new", state="RUNNING", created_at=started)
    )
    rows, _ = await ask(settings, until=["any_new"])
    assert [row["cuid"] for row in rows] == ["new"]


async def test_ended_experiment_ends_the_wait_immediately(settings: Settings) -> None:
    rows, _ = await ask(settings, exp_cuids=["ended"])
    assert [(row["cuid"], row["condition"]) for row in rows] == [("ended", "finished")]


async def test_wait_without_running_experiments_ends_immediately(settings: Settings, state: State) -> None:
    find(state, "first").state = find(state, "second").state = "FINISHED"
    rows, _ = await ask(settings)
    assert rows == []
    assert len(state.get_calls(LISTED)) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"until": ["soon"]}, "val/acc >= 0.9"),
        ({"until": ["crash"]}, "Did you mean crashed?"),
        ({"until": ["stall:5"]}, "Did you mean stalled?"),
        ({"until": ["val/los < 1"]}, "Similar names: val/loss"),
        ({"cursor": "x"}, "not returned by"),
    ],
)
async def test_unclear_request_explains_the_arguments(
    settings: Settings, arguments: dict[str, Any], words: str
) -> None:
    async with session(settings) as client:
        result = await client.call_tool("wait_for_experiments", {"project": "night", **arguments})
    assert result.is_error
    assert words in text_of(result)


def log_every(seconds: int, count: int, silent: int) -> list[tuple[int, float, int]]:
    """Return points at regular intervals, the last of them `silent` seconds ago."""
    last = int(time.time()) - silent
    return [(step, 0.5, 1000 * (last - seconds * (count - 1 - step))) for step in range(count)]


@pytest.mark.parametrize(
    ("until", "stalled"), [("stalled", {"second"}), ("stalled:3", {"first", "second"}), ("stalled:100", set[str]())]
)
async def test_stall_is_measured_in_own_intervals(
    settings: Settings, state: State, until: str, stalled: set[str]
) -> None:
    find(state, "first").metrics = {"val/loss": log_every(3600, 20, 5 * 3600)}
    find(state, "second").metrics = {"val/loss": log_every(3600, 20, 50 * 3600)}
    rows, _ = await ask(settings, until=until, timeout=1)
    assert {row["cuid"] for row in rows} == stalled
    assert all((row["metric"], row["step"]) == ("val/loss", 19) for row in rows)


async def test_stall_of_few_points_is_unclear(settings: Settings, state: State) -> None:
    find(state, "first").metrics = {"val/loss": log_every(60, 3, 90_000)}
    find(state, "second").metrics = {"val/loss": log_every(60, 20, 90_000)}
    async with session(settings) as client:
        result = await client.call_tool("wait_for_experiments", {"project": "night", "until": "stalled"})
    assert [(row["cuid"], row["silent"]) for row in result.structured_content["data"]] == [("second", "25 h 0 min")]
    assert "Cannot tell whether 1 experiment stalled: it has fewer than 5 points (first)." in text_of(result)


async def test_healthy_rhythm_is_read_once_in_a_wait(settings: Settings, state: State) -> None:
    for name in ("first", "second"):
        find(state, name).metrics = {"val/loss": log_every(3600, 20, 0)}
    after_the_first_poll(state, lambda: setattr(find(state, "first"), "state", "CRASHED"))
    await ask(settings, until=["stalled", "crashed"])
    assert len(state.get_calls(LISTED)) == 2
    assert len(state.get_calls("/house/metrics/scalar/keys$")) == 2


@pytest.mark.usefixtures("state")
async def test_stall_is_reported_once(settings: Settings) -> None:
    rows, cursor = await ask(settings, until="stalled")
    assert {row["cuid"] for row in rows} == {"first", "second"}
    rows, _ = await ask(settings, until=["crashed", "stalled"], cursor=cursor, timeout=1)
    assert rows == []


async def test_short_outage_does_not_end_the_wait(settings: Settings, state: State) -> None:
    looks = iter(range(100))
    crash = Fault(LISTED, then=lambda: setattr(find(state, "first"), "state", "CRASHED") if next(looks) == 1 else None)
    state.faults = [Fault(LISTED, skip=1, times=4, status=503), crash]
    rows, _ = await ask(settings)
    assert [row["cuid"] for row in rows] == ["first"]


async def test_outage_at_the_end_is_reported(settings: Settings, state: State) -> None:
    state.faults = [Fault(LISTED, skip=1, status=503)]
    async with session(settings) as client:
        result = await client.call_tool("wait_for_experiments", {"project": "night", "timeout": 1})
    assert not result.is_error
    assert "The last request failed, so newer changes are unknown." in text_of(result)
    assert "cursor=" in text_of(result)


async def test_long_cursor_drops_ended_experiments_and_repeats_nothing(settings: Settings, state: State) -> None:
    project = state.projects[-1]
    for number in range(300):
        state.add_experiment(project, f"many-{number}", cuid=f"many{number}", state="RUNNING", metrics={})
    _, cursor = await ask(settings, timeout=1)
    for one in project.experiments:
        one.state = "FINISHED" if one.cuid.startswith("many") else one.state
    seen: list[str] = []
    while True:
        rows, cursor = await ask(settings, cursor=cursor, timeout=1)
        assert len(cursor) <= 4000
        seen += [row["cuid"] for row in rows]
        if not rows:
            break
    assert len(seen) == len(set(seen)) == 300


async def test_cancelled_wait_leaves_no_task_and_sends_no_request(settings: Settings, state: State) -> None:
    listed, loop = asyncio.Event(), asyncio.get_running_loop()
    state.faults = [Fault(LISTED, then=lambda: loop.call_soon_threadsafe(listed.set))]
    before = asyncio.all_tasks()
    async with opened(settings) as client:
        wait = asyncio.create_task(wait_for_experiments(client, project="night", timeout=1800))
        await listed.wait()
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
    assert asyncio.all_tasks() == before
    assert len(state.get_calls(LISTED)) == 1


def test_polls_are_few_and_a_change_is_noticed_within_30_seconds() -> None:
    pauses = make_pauses()
    moments = list(accumulate(next(pauses) for _ in range(200)))
    assert max(later - earlier for earlier, later in pairwise([0.0, *moments])) + LIST_LIFETIME <= 30
    assert next(make_pauses()) >= 1
    assert sum(moment <= 1800 for moment in moments) <= 185


async def test_run_on_disk_is_followed_across_restarts(tmp_path: Path) -> None:
    records = [encode_start("abcd1234"), *(encode_point(step + 1, "val/loss", step, 0.5) for step in range(9))]
    write_run(tmp_path, "abcd1234", records)
    settings = Settings(log_dirs=(tmp_path,))
    arguments: dict[str, Any] = {"project": "local/made", "timeout": 1}
    rows, cursor = await ask(settings, **arguments)
    assert rows == []
    shutil.rmtree(next(tmp_path.iterdir()))
    write_run(tmp_path, "abcd1234", [*records, encode_finish()])
    rows, _ = await ask(settings, **arguments, cursor=cursor)
    assert [(row["cuid"], row["condition"]) for row in rows] == [("abcd1234", "finished")]


async def test_run_on_disk_grows_during_the_wait(tmp_path: Path) -> None:
    records = [encode_start("abcd1234"), encode_point(1, "val/loss", 0, 0.5)]
    file = write_run(tmp_path, "abcd1234", records)
    longer = build_file([*records, encode_point(2, "val/loss", 1, 0.05)])

    async def grow() -> None:
        # usually after the first poll, which sees the short file
        await asyncio.sleep(0.5)
        file.write_bytes(longer)

    growing = asyncio.create_task(grow())
    rows, _ = await ask(Settings(log_dirs=(tmp_path,)), project="local/made", timeout=20, until=["val/loss < 0.1"])
    await growing
    assert [(row["cuid"], row["condition"]) for row in rows] == [("abcd1234", "val/loss < 0.1")]


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    found = parse_condition(text)
    assert found is None or found.text == text
