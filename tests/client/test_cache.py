"""Cached responses: limits on requests per conversation and on the age of data."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from swanlab_mcp.client.cloud.cached import CachedClient
from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.models import Experiment as Record
from swanlab_mcp.core.models import Filter
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, WorkspaceRef
from swanlab_mcp.operations.diagnosis import diagnose_experiment
from swanlab_mcp.server.table import TOOLS
from swanlab_mcp.settings import Settings, load_settings
from tests.conftest import opened, session, text_of
from tests.fake_swanlab import BEGINNING, Experiment, Fault, LogLine, Project, State

pytestmark = pytest.mark.anyio
ME = "kites-test3"
ENDED = BEGINNING + timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sweep(state: State) -> Project:
    project = state.add_project(state.workspaces[0], "sweep")
    for number in range(6):
        losses = [(step, 1 / (1 + step) + number / 10) for step in range(30)]
        one = state.add_experiment(
            project,
            f"run {number}",
            cuid=f"run{number}",
            config={"lr": number},
            metrics={"val/loss": losses},
            finished_at=ENDED,
        )
        one.logs = [LogLine(index, f"line {index}") for index in range(30)]
    return project


@pytest.fixture
async def client(settings: Settings, clock: Clock) -> Any:
    client = open_cached(settings, clock=clock)
    yield client
    await client.aclose()


def open_cached(settings: Settings, **options: Any) -> Any:
    return SwanLabClient(CachedClient(Transport(settings), settings.web_host, **options), None, signed_in=True)


def find(project: Project, cuid: str) -> Experiment:
    return next(one for one in project.experiments if one.cuid == cuid)


async def read_last_step(client: SwanLabClient, cuid: str = "run1") -> int:
    return (await client.default.get_summary(ExperimentRef(ME, "sweep", cuid))).data["val/loss"].step


async def read_states(client: SwanLabClient) -> set[str]:
    return {one.state for one in (await client.default.list_experiments(ProjectRef(ME, "sweep"))).data}


async def count(state: State, question: Any) -> tuple[int, Any]:
    before = len(state.calls)
    answer = await question
    return len(state.calls) - before, answer


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize(
    ("operation", "arguments", "later"),
    [
        ("rank_experiments", {"metric": "val/loss"}, 1),
        ("rank_experiments", {"metric": "val/loss", "at": "step:9"}, 1),
        ("compare_experiments", {"metrics": ["val/loss"]}, 1),
        ("compare_experiments", {"exp_cuids": ["run1", "run2"]}, 0),
        ("diagnose_experiment", {"exp_cuid": "run1"}, 1),
        ("diagnose_experiment", {"exp_cuid": "run 1"}, 2),
    ],
)
async def test_repeated_verdict_is_cached_and_later_costs_at_most_two_requests(
    client: SwanLabClient, clock: Clock, state: State, operation: str, arguments: Any, later: int
) -> None:
    (ask,) = (entry.operation for entry in TOOLS if entry.name == operation)
    first = await ask(client, project="sweep", **arguments)
    for seconds, most in ((0, 0), (14, 0), (60, later)):
        clock.now += seconds
        requests, again = await count(state, ask(client, project="sweep", **arguments))
        assert again == first
        assert requests <= most


@pytest.mark.parametrize("is_cached", [True, False])
async def test_repeated_tool_call_sends_no_request_unless_the_cache_is_off(
    settings: Settings, state: State, is_cached: bool
) -> None:
    arguments = {"project": "project1", "exp_cuid": "experiment1"}
    async with session(replace(settings, is_cached=is_cached)) as assistant:
        first = await assistant.call_tool("get_exp_summary", arguments)
        requests, again = await count(state, assistant.call_tool("get_exp_summary", arguments))
    assert text_of(again) == text_of(first)
    assert (requests == 0) is is_cached
    assert load_settings(is_cached=is_cached, environ={}).is_cached is is_cached
    assert load_settings(is_cached=is_cached, demo=True).is_cached is is_cached


async def test_running_experiment_is_requested_again_after_15_seconds(
    client: SwanLabClient, clock: Clock, state: State, sweep: Project
) -> None:
    one = find(sweep, "run1")
    one.state, one.finished_at = "RUNNING", None
    await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))
    assert await read_last_step(client) == 29
    one.metrics = {"val/loss": [(40, 0.1)]}
    clock.now += 14
    assert await read_last_step(client) == 29
    clock.now += 1
    assert await read_last_step(client) == 40
    for _ in range(2):
        requests, _ = await count(state, client.default.list_experiments(ProjectRef(ME, "sweep")))
        assert requests == 1
        clock.now += 15


@pytest.mark.parametrize("ended", [None, timedelta(seconds=-59), timedelta(seconds=5)])
async def test_recently_ended_experiment_may_still_get_points(
    client: SwanLabClient, clock: Clock, sweep: Project, ended: timedelta | None
) -> None:
    one = find(sweep, "run1")
    one.finished_at = None if ended is None else datetime.fromtimestamp(clock.now, timezone.utc) + ended
    await client.default.list_experiments(ProjectRef(ME, "sweep"))
    await read_last_step(client)
    one.metrics = {"val/loss": [(40, 0.1)]}
    clock.now += 15
    assert await read_last_step(client) == 40


async def test_clone_ends_when_its_root_does(client: SwanLabClient, clock: Clock, state: State, sweep: Project) -> None:
    root = find(sweep, "run1")
    root.state, root.finished_at = "RUNNING", None
    state.add_experiment(sweep, "clone", cuid="clone", clone_of=(sweep, root), finished_at=ENDED)
    await client.default.get_experiment(ExperimentRef(ME, "sweep", "clone"))
    await read_last_step(client, "clone")
    root.metrics = {"val/loss": [(40, 0.1)]}
    clock.now += 15
    assert await read_last_step(client, "clone") == 40


async def test_ended_experiment_is_cached_for_10_minutes(
    client: SwanLabClient, clock: Clock, state: State, sweep: Project
) -> None:
    async def ask() -> None:
        await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))
        await client.default.get_summary(ExperimentRef(ME, "sweep", "run1"))
        await client.default.read_points(ExperimentRef(ME, "sweep", "run1"), ["val/loss"], exact=True)
        await client.default.list_keys(ExperimentRef(ME, "sweep", "run1"))
        await client.default.read_logs(ExperimentRef(ME, "sweep", "run1"), start=None, count=5)
        await client.default.list_media(ExperimentRef(ME, "sweep", "run1"), "val/loss")
        await client.default.get_summaries(ProjectRef(ME, "sweep"), listed, ["val/loss"])

    listed = (await client.default.list_experiments(ProjectRef(ME, "sweep"))).data
    await ask()
    clock.now += 599
    assert await count(state, ask()) == (0, None)
    find(sweep, "run1").metrics = {"val/loss": [(40, 0.1)]}
    clock.now += 1
    assert await read_last_step(client) == 40
    clock.now -= 1000
    requests, _ = await count(state, client.default.get_experiment(ExperimentRef(ME, "sweep", "run1")))
    assert requests == 1, "a clock that was set back makes the age unknown"


@pytest.mark.parametrize("how", ["list", "stretch", "filter", "experiment"])
async def test_state_change_drops_all_cached_data_of_an_experiment(
    client: SwanLabClient, clock: Clock, sweep: Project, how: str
) -> None:
    one = find(sweep, "run1")
    listed = (await client.default.list_experiments(ProjectRef(ME, "sweep"))).data
    await read_last_step(client)
    await client.default.get_summaries(ProjectRef(ME, "sweep"), listed, ["val/loss"])
    await client.default.read_points(ExperimentRef(ME, "sweep", "run1"), ["val/loss"], exact=True)
    clock.now += 15
    one.state, one.finished_at, one.metrics = "RUNNING", None, {"val/loss": [(40, 0.1)]}
    match how:
        case "list":
            await client.default.list_experiments(ProjectRef(ME, "sweep"))
        case "stretch":
            await client.default.list_experiments(ProjectRef(ME, "sweep"), offset=0, limit=10)
        case "filter":
            await client.default.narrow_experiments(
                ProjectRef(ME, "sweep"), [Filter(field="state", op="=", value="RUNNING")]
            )
        case _:
            await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))
    assert await read_last_step(client) == 40
    assert (await client.default.get_summaries(ProjectRef(ME, "sweep"), listed, ["val/loss"])).data["run1"][
        "val/loss"
    ].step == 40
    points = (await client.default.read_points(ExperimentRef(ME, "sweep", "run1"), ["val/loss"], exact=True)).data[
        "val/loss"
    ]
    assert list(points.steps) == [40]
    assert (await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))).data.state == "RUNNING"
    assert await read_states(client) == {"FINISHED", "RUNNING"}


async def test_changed_experiment_gets_a_new_verdict(client: SwanLabClient, clock: Clock, sweep: Project) -> None:
    async def diagnose() -> Any:
        answer = await diagnose_experiment(client, project="sweep", exp_cuid="run1")
        assert answer.data is not None
        return answer.data.judgement.health

    assert await diagnose() != "problem"
    one = find(sweep, "run1")
    one.metrics = {"val/loss": [(step, math.nan if step > 50 else 1.0 / (1 + step)) for step in range(100)]}
    assert await diagnose() != "problem"
    clock.now += 15
    # a changed name shows that SwanLab's data changed
    one.name = "renamed"
    await client.default.list_experiments(ProjectRef(ME, "sweep"))
    assert await diagnose() == "problem"


@pytest.mark.parametrize("field", ["name", "description", "show", "labels", "group", "job"])
async def test_change_of_any_field_drops_the_cached_list(client: SwanLabClient, sweep: Project, field: str) -> None:
    async def read() -> list[Any]:
        listed = (await client.default.list_experiments(ProjectRef(ME, "sweep"))).data
        return [getattr(one, field) for one in listed if one.cuid == "run1"]

    before = await read()
    one, name = find(sweep, "run1"), {"group": "cluster"}.get(field, field)
    setattr(one, name, {bool: False, list: ["new"]}.get(type(getattr(one, name)), "new"))
    assert await read() == before
    changed = (await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))).data
    assert await read() == [getattr(changed, field)] != before


async def test_state_change_of_an_experiment_drops_the_cached_list(client: SwanLabClient, sweep: Project) -> None:
    for one in sweep.experiments:
        one.state, one.finished_at = "RUNNING", None
    assert await read_states(client) == {"RUNNING"}
    assert (await client.default.list_projects(WorkspaceRef(ME))).data[0].count["runningExps"] == 6
    find(sweep, "run1").state = "CRASHED"
    assert (await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))).data.state == "CRASHED"
    assert await read_states(client) == {"RUNNING", "CRASHED"}
    assert (await client.default.list_projects(WorkspaceRef(ME))).data[0].count["runningExps"] == 5


async def test_deleted_experiments_and_projects_leave_the_cache(
    client: SwanLabClient, clock: Clock, state: State, sweep: Project
) -> None:
    await client.default.list_experiments(ProjectRef(ME, "sweep"))
    await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))
    await client.default.get_experiment(ExperimentRef(ME, "sweep", "run2"))
    sweep.experiments = [one for one in sweep.experiments if one.cuid not in ("run1", "run3")]
    with pytest.raises(NotFound):
        await client.default.get_experiment(ExperimentRef(ME, "sweep", "run3"))
    assert len((await client.default.list_experiments(ProjectRef(ME, "sweep"))).data) == 4
    with pytest.raises(NotFound):
        await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))
    state.projects.remove(sweep)
    clock.now += 15
    with pytest.raises(NotFound):
        await client.default.list_experiments(ProjectRef(ME, "sweep"))
    with pytest.raises(NotFound):
        await client.default.get_experiment(ExperimentRef(ME, "sweep", "run2"))


async def test_names_and_ids_are_distinguished_with_a_partial_list(client: SwanLabClient, sweep: Project) -> None:
    sweep.experiments[0].name = "run1"
    await client.default.list_experiments(ProjectRef(ME, "sweep"), limit=1)
    assert (await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))).data.name == "run 1"
    await client.default.list_experiments(ProjectRef(ME, "sweep"))
    assert (await client.default.get_experiment(ExperimentRef(ME, "sweep", "run1"))).data.name == "run 1"


async def test_cache_contains_a_bounded_number_of_projects(client: SwanLabClient, state: State, sweep: Project) -> None:
    await client.default.list_experiments(ProjectRef(ME, "sweep"))
    for number in range(100):
        state.add_project(state.workspaces[0], f"other {number}")
        await client.default.list_experiments(ProjectRef(ME, f"other {number}"))
    assert not client.default.answers.knows(ProjectRef(ME, "sweep"))
    assert (await client.default.get_summary(ExperimentRef(ME, "sweep", sweep.experiments[0].cuid))).data


async def test_new_experiment_is_listed_once_it_was_seen(client: SwanLabClient, state: State, sweep: Project) -> None:
    await client.default.list_experiments(ProjectRef(ME, "sweep"))
    state.add_experiment(sweep, "late", cuid="late")
    await client.default.get_experiment(ExperimentRef(ME, "sweep", "late"))
    assert "late" in {one.cuid for one in (await client.default.list_experiments(ProjectRef(ME, "sweep"))).data}


def hold_list(state: State, sweep: Project, run_state: str) -> tuple[threading.Event, threading.Event]:
    """Hold the next request for the list, whose response shows run1 in the state `run_state`.

    Return an event that is set when the request arrives, and an event that releases the response.
    """
    arrived, released = threading.Event(), threading.Event()
    one = find(sweep, "run1")
    row = {"cuid": one.cuid, "name": one.name, "state": run_state, "createdAt": "2026-01-01T00:00:00Z"}
    body = json.dumps({"list": [row], "total": 1}).encode()
    state.faults.append(
        Fault("/sweep/runs$", query={"size": "100"}, times=1, then=arrived.set, until=released, body=body)
    )
    return arrived, released


async def test_older_response_that_arrives_later_is_ignored(
    client: SwanLabClient, state: State, sweep: Project
) -> None:
    arrived, released = hold_list(state, sweep, "RUNNING")
    early = asyncio.ensure_future(client.default.list_experiments(ProjectRef(ME, "sweep")))
    await asyncio.to_thread(arrived.wait)
    late = await client.default.list_experiments(ProjectRef(ME, "sweep"), limit=10)
    assert {one.state for one in late.data or ()} == {"FINISHED"}
    released.set()
    assert {one.state for one in (await early).data or ()} == {"RUNNING"}
    assert await read_states(client) == {"FINISHED"}


async def test_response_in_flight_during_a_reset_is_not_cached(
    client: SwanLabClient, state: State, sweep: Project
) -> None:
    arrived, released = hold_list(state, sweep, "RUNNING")
    pending = asyncio.ensure_future(client.default.list_experiments(ProjectRef(ME, "sweep")))
    await asyncio.to_thread(arrived.wait)
    client.default.require_writable(WorkspaceRef(ME))
    released.set()
    assert {one.state for one in (await pending).data or ()} == {"RUNNING"}
    assert await read_states(client) == {"FINISHED"}


async def test_slices_and_filters_use_the_cached_list(client: SwanLabClient, state: State, sweep: Project) -> None:
    whole = (await client.default.list_experiments(ProjectRef(ME, "sweep"))).data
    requests, answer = await count(state, client.default.list_experiments(ProjectRef(ME, "sweep"), offset=2, limit=3))
    assert (requests, answer.data, answer.page.total) == (0, whole[2:5], len(sweep.experiments))
    narrowed = client.default.narrow_experiments(ProjectRef(ME, "sweep"), [Filter(field="name", op="=", value="run 1")])
    requests, answer = await count(state, narrowed)
    assert (requests, answer.data.experiments) == (0, whole)
    requests, _ = await count(state, client.default.list_experiments(ProjectRef(ME, "project1")))
    assert requests == 1, "another project is another list"


async def test_slice_that_covers_the_list_is_cached_as_the_list(
    client: SwanLabClient, clock: Clock, state: State, sweep: Project
) -> None:
    first = await client.default.list_experiments(ProjectRef(ME, "sweep"), limit=300)
    requests, whole = await count(state, client.default.list_experiments(ProjectRef(ME, "sweep")))
    assert (requests, whole) == (0, first)
    assert (await client.default.get_summary(ExperimentRef(ME, "sweep", "run1"))).data
    sweep.experiments.remove(find(sweep, "run1"))
    clock.now += 15
    assert len((await client.default.list_experiments(ProjectRef(ME, "sweep"), limit=300)).data) == 5
    with pytest.raises(NotFound):
        await client.default.get_summary(ExperimentRef(ME, "sweep", "run1"))


async def test_combined_response_is_cached_and_refreshed_in_parts(
    client: SwanLabClient, clock: Clock, state: State, sweep: Project
) -> None:
    one = find(sweep, "run1")
    one.state, one.finished_at = "RUNNING", None
    together = (await client.default.narrow_experiments(ProjectRef(ME, "sweep"), (), ["val/loss"])).data
    assert {cuid: summary["val/loss"].step for cuid, summary in together.summaries.items()} == dict.fromkeys(
        [experiment.cuid for experiment in sweep.experiments], 29
    )
    requests, listed = await count(state, client.default.list_experiments(ProjectRef(ME, "sweep")))
    assert (requests, listed.data) == (0, together.experiments)
    requests, reply = await count(
        state, client.default.get_summaries(ProjectRef(ME, "sweep"), listed.data, ["val/loss"])
    )
    assert (requests, reply.data) == (0, together.summaries)
    clock.now += 15
    one.metrics = {"val/loss": [(40, 0.1)]}
    requests, again = await count(state, client.default.narrow_experiments(ProjectRef(ME, "sweep"), (), ["val/loss"]))
    assert requests == 2, "the list, and the summary of the running experiment"
    assert again.data.summaries["run1"]["val/loss"].step == 40
    assert again.data.summaries["run2"] == together.summaries["run2"]


@pytest.mark.usefixtures("sweep")
async def test_summaries_of_a_combined_response_are_evicted_before_the_list(settings: Settings, state: State) -> None:
    size = 10**9
    for _ in range(2):
        client = open_cached(settings, capacity=size)
        await client.default.narrow_experiments(ProjectRef(ME, "sweep"), (), ["val/loss"])
        size = client.default.answers.size - 1
        assert (await count(state, client.default.list_experiments(ProjectRef(ME, "sweep"))))[0] == 0
        await client.aclose()


async def test_changed_list_keeps_summaries_of_listed_experiments_only(settings: Settings, state: State) -> None:
    many = state.add_project(state.workspaces[0], "many")
    for number in range(250):
        state.add_experiment(many, "", cuid=f"{number}", metrics={"val/loss": [(number, 0.5)]})
    gone = many.experiments[0].cuid
    state.faults = [Fault("/many/runs$", query={"page": "2"}, times=1, then=lambda: many.experiments.pop(0))]
    async with opened(settings) as client:
        narrowed = (await client.default.narrow_experiments(ProjectRef(ME, "many"), (), ["val/loss"])).data
    assert len(narrowed.experiments) == 249
    assert gone not in narrowed.summaries
    assert {cuid: summary["val/loss"].step for cuid, summary in narrowed.summaries.items()} == {
        one.cuid: int(one.cuid) for one in narrowed.experiments
    }


async def test_equal_parallel_calls_share_a_request(settings: Settings, state: State, sweep: Project) -> None:
    row = Record(cuid="run1", createdAt=f"{find(sweep, 'run1').created_at:%Y-%m-%dT%H:%M:%SZ}")
    questions: list[Any] = [
        lambda client: client.default.list_experiments(ProjectRef(ME, "sweep")),
        lambda client: client.default.narrow_experiments(
            ProjectRef(ME, "sweep"), [Filter(field="name", op="=", value="run 1")]
        ),
        lambda client: client.default.narrow_experiments(ProjectRef(ME, "sweep"), (), ["val/loss"]),
        lambda client: client.default.get_experiment(ExperimentRef(ME, "sweep", "run1")),
        lambda client: client.default.get_summaries(ProjectRef(ME, "sweep"), [row], ["val/loss"]),
        lambda client: client.default.read_points(ExperimentRef(ME, "sweep", "run1"), ["val/loss"], exact=False),
        lambda client: client.list_workspaces(),
        lambda client: client.default.get_workspace(WorkspaceRef(ME)),
        lambda client: client.default.get_user(),
        lambda client: client.default.get_project(ProjectRef(ME, "sweep")),
    ]
    state.latency = 0.01
    for question in questions:
        costs: list[int] = []
        for callers in (1, 5):
            client = open_cached(settings)
            await client.default.get_username()
            requests, answers = await count(state, asyncio.gather(*(question(client) for _ in range(callers))))
            assert all(answer.data == answers[0].data for answer in answers)
            costs.append(requests)
            await client.aclose()
        assert costs[0] == costs[1] > 0


async def test_every_waiting_caller_gets_progress(client: SwanLabClient, state: State) -> None:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(250):
        state.add_experiment(project, f"run {number}")
    received: dict[str, list[int]] = {"a": [], "b": []}

    async def ask(name: str) -> int:
        async def listen(stage: progress.Stage) -> None:
            assert (stage.total, stage.what) == (3, "pages")
            received[name].append(stage.done)

        progress.listener.set(listen)
        return len((await client.default.list_experiments(ProjectRef(ME, "many"))).data)

    assert await asyncio.gather(ask("a"), ask("b")) == [250, 250]
    assert received == {"a": [1, 2, 3], "b": [1, 2, 3]}


async def test_cancelled_caller_does_not_cancel_the_others(client: SwanLabClient, state: State) -> None:
    gate = threading.Event()
    state.faults.append(Fault(path="/runs$", until=gate))
    first = asyncio.ensure_future(client.default.list_experiments(ProjectRef(ME, "project1")))
    second = asyncio.ensure_future(client.default.list_experiments(ProjectRef(ME, "project1")))
    while not state.get_calls("/runs$"):
        await asyncio.to_thread(state.arrived.wait, 5)
        await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert len((await second).data) == 1


@pytest.mark.usefixtures("sweep")
async def test_callers_cannot_change_each_others_responses(client: SwanLabClient) -> None:
    first = await client.default.list_experiments(ProjectRef(ME, "sweep"))
    first.data.clear()
    first.notes.append("mine")
    again = await client.default.list_experiments(ProjectRef(ME, "sweep"))
    assert (len(again.data), again.notes) == (6, [])


async def test_errors_are_not_cached(client: SwanLabClient, state: State, sweep: Project) -> None:
    with pytest.raises(NotFound):
        await client.default.get_experiment(ExperimentRef(ME, "sweep", "later"))
    state.add_experiment(sweep, "later", cuid="later")
    assert (await client.default.get_experiment(ExperimentRef(ME, "sweep", "later"))).data.name == "later"


async def test_least_recently_used_response_is_evicted_at_the_limit(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "long")
    for cuid in "abc":
        state.add_experiment(project, cuid, cuid=cuid, metrics={"loss": [(step, 0.5) for step in range(1000)]})

    async def ask(cuids: str, **options: Any) -> tuple[str, float]:
        """Return the requested experiments, and the size of the cache in bytes."""
        requested = ""
        async with aclosing(open_cached(settings, **options)) as client:
            for cuid in cuids:
                ref = ExperimentRef(ME, "long", cuid)
                requested += (
                    cuid if (await count(state, client.default.read_points(ref, ["loss"], exact=False)))[0] else ""
                )
            return requested, client.default.answers.size

    requested, size = await ask("aa")
    assert requested == "a"
    assert (await ask("abacab", capacity=2.5 * size))[0] == "abcb"
    assert (await ask("aa", capacity=0.5 * size))[0] == "aa"
