from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any, Literal

import anyio
import pytest

from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerUnavailable,
    SwanLabError,
    UnexpectedResponse,
)
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, WorkspaceRef
from swanlab_mcp.settings import Settings
from tests.conftest import opened, session
from tests.fake_swanlab import Fault, Media, Project, State, Variants, create_app, serve

pytestmark = pytest.mark.anyio
ME = "kites-test3"
# long enough for a busy machine
PATIENCE = 30


@pytest.fixture
def many(state: State) -> Project:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(730):
        state.add_experiment(project, f"run-{number}")
    return project


async def test_pages_are_read_in_parallel_and_returned_in_order(
    settings: Settings, state: State, many: Project
) -> None:
    state.latency = 0.01
    async with opened(settings) as client:
        answer = await client.default.list_experiments(ProjectRef(ME, "many"))
    assert [one.cuid for one in answer.data] == [one.cuid for one in many.experiments]
    assert answer.page.total == 730
    assert [call.query["page"] for call in state.get_calls("/runs$")] == list("12345678")
    assert 2 <= state.max_in_flight <= 64


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 20), (40, 20), (45, 7), (95, 30), (700, 50), (725, 5), (730, 10), (900, 20)]
)
@pytest.mark.parametrize("beyond", ["empty", "error"])
async def test_any_offset_and_limit_return_that_slice(
    settings: Settings, state: State, many: Project, offset: int, limit: int, beyond: Any
) -> None:
    state.variants.page_beyond_last = beyond
    async with opened(settings) as client:
        answer = await client.default.list_experiments(ProjectRef(ME, "many"), offset=offset, limit=limit)
    assert [one.cuid for one in answer.data] == [one.cuid for one in many.experiments][offset : offset + limit]
    assert answer.page.total == 730


@pytest.mark.usefixtures("many")
async def test_missing_page_is_an_error(settings: Settings, state: State) -> None:
    state.faults.append(Fault(path="/runs$", query={"page": "3"}, status=500))
    async with opened(settings) as client:
        with pytest.raises(ServerUnavailable, match="500"):
            await client.default.list_experiments(ProjectRef(ME, "many"))
        state.faults.clear()
        assert len((await client.default.list_experiments(ProjectRef(ME, "many"))).data) == 730


@pytest.mark.usefixtures("many")
async def test_short_page_is_an_error(settings: Settings, state: State) -> None:
    state.faults.append(Fault(path="/runs$", query={"page": "3"}, body=b'{"list": [], "total": 730}'))
    async with opened(settings) as client:
        with pytest.raises(UnexpectedResponse, match=r"do not match the reported total \(730\)"):
            await client.default.list_experiments(ProjectRef(ME, "many"))


@pytest.mark.usefixtures("many")
async def test_absurd_totals_cause_few_requests(settings: Settings, state: State) -> None:
    state.projects[-1].wire = {"_count": {"experiments": 10**12}}
    async with opened(settings) as client:
        await client.default.list_projects(WorkspaceRef(ME))
        assert len((await client.default.list_experiments(ProjectRef(ME, "many"))).data) == 730
        assert len(state.get_calls("/runs$")) < 200
        state.calls.clear()
        state.faults.append(Fault(path="/runs$", body=b'{"list": [], "total": 1000000000000}', times=None))
        with pytest.raises(UnexpectedResponse, match="do not match the reported total"):
            await client.default.list_experiments(ProjectRef(ME, "many"))
    assert len(state.get_calls("/runs$")) < 200


@pytest.mark.usefixtures("many")
async def test_list_that_changes_during_the_read_is_read_again(settings: Settings, state: State) -> None:
    state.faults.append(Fault(path="/runs$", query={"page": "3"}, body=b'{"list": [], "total": 730}', times=1))
    async with opened(settings) as client:
        assert len((await client.default.list_experiments(ProjectRef(ME, "many"))).data) == 730


@pytest.mark.usefixtures("many")
async def test_lists_without_page_counts_are_read(settings: Settings, state: State) -> None:
    state.variants.page_counts = False
    async with opened(settings) as client:
        assert len((await client.default.list_experiments(ProjectRef(ME, "many"))).data) == 730


@pytest.mark.usefixtures("many")
async def test_progress_is_reported_page_by_page(settings: Settings) -> None:
    received: list[str] = []

    async def listen(stage: progress.Stage) -> None:
        received.append(str(stage))

    token = progress.listener.set(listen)
    try:
        async with opened(settings) as client:
            await client.default.list_experiments(ProjectRef(ME, "many"))
    finally:
        progress.listener.reset(token)
    assert received == [f"{done} of 8 pages" for done in range(1, 9)]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_failed_read_is_retried_until_it_succeeds(settings: Settings, state: State, status: int) -> None:
    state.faults.append(Fault(path="/runs/cuid1", status=status, times=4))
    state.faults.append(Fault(path="/summaries", status=status, times=4))
    async with opened(settings) as client:
        assert (await client.default.get_experiment(ExperimentRef(ME, "project1", "cuid1"))).data.name == "experiment1"
        assert (await client.default.get_summary(ExperimentRef(ME, "project1", "cuid1"))).data["loss"].step == 47
    assert len(state.get_calls("/summaries")) == 5


async def test_read_fails_after_five_attempts(settings: Settings, state: State) -> None:
    state.faults.append(Fault(path="/runs/cuid1", status=503))
    async with opened(settings) as client:
        with pytest.raises(ServerUnavailable) as caught:
            await client.default.get_experiment(ExperimentRef(ME, "project1", "cuid1"))
    assert caught.value.status == 503
    assert len(state.get_calls("/runs/cuid1")) == 5


async def test_dropped_connection_is_retried(settings: Settings, state: State) -> None:
    state.faults.append(Fault(path="/runs/cuid1", is_dropped=True, times=2))
    async with opened(settings) as client:
        assert (await client.default.get_experiment(ExperimentRef(ME, "project1", "cuid1"))).data.name == "experiment1"


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_respected(settings: Settings, state: State, form: str) -> None:
    later = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=2), usegmt=True)
    wait = "1" if form == "seconds" else later
    state.faults.append(Fault(path="/runs/cuid1", status=429, headers={"retry-after": wait}, times=1))
    async with opened(settings) as client:
        began = time.monotonic()
        await client.default.get_experiment(ExperimentRef(ME, "project1", "cuid1"))
    assert time.monotonic() - began >= 0.9


async def test_long_retry_after_is_reported_without_waiting(settings: Settings, state: State) -> None:
    state.faults.append(Fault(path="/runs/cuid1", status=429, headers={"retry-after": "3600"}))
    async with opened(settings) as client:
        with pytest.raises(RateLimited, match="Wait 3600 seconds"):
            await client.default.get_experiment(ExperimentRef(ME, "project1", "cuid1"))
    assert len(state.get_calls("/runs/cuid1")) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(path="/runs/", body=b"<html>login</html>", headers={"content-type": "text/html"}), "not JSON"),
        (Fault(path="/runs/", status=200), "is empty"),
        (Fault(path="/runs/", is_truncated=True), "not JSON"),
        (Fault(path="/runs/", body=b"[1, 2]"), "not an object"),
        (Fault(path="/runs/", body=b'{"name": "x"}'), "has no cuid"),
        (Fault(path="/runs/", body=b"x" * 30, headers={"content-encoding": "gzip"}), "could not be decompressed"),
        (Fault(path="/runs/", status=302, headers={"location": "https://evil.example.com"}), "returned status 302"),
    ],
)
async def test_invalid_response_is_an_error(settings: Settings, state: State, fault: Fault, message: str) -> None:
    state.faults.append(fault)
    async with opened(settings) as client:
        with pytest.raises(UnexpectedResponse, match=message):
            await client.default.get_experiment(ExperimentRef(ME, "project1", "cuid1"))
        state.faults.clear()
        assert (await client.default.get_experiment(ExperimentRef(ME, "project1", "cuid1"))).code == 200


@pytest.mark.parametrize("body", [b'{"list": 5, "total": 1}', b'{"list": [1], "total": 1}', b'{"list": []}', b"5"])
async def test_invalid_list_is_an_error(settings: Settings, state: State, body: bytes) -> None:
    state.faults.append(Fault(path="/runs$", body=body))
    async with opened(settings) as client:
        with pytest.raises(UnexpectedResponse):
            await client.default.list_experiments(ProjectRef(ME, "project1"))


@pytest.mark.parametrize(
    ("status", "kind"), [(400, InvalidArgument), (403, PermissionDenied), (404, NotFound), (409, SwanLabError)]
)
async def test_each_http_status_raises_its_error(settings: Settings, state: State, status: int, kind: type) -> None:
    state.faults.append(Fault(path="/runs/", status=status, body=b"<html>"))
    async with opened(settings) as client:
        with pytest.raises(kind) as caught:
            await client.default.get_experiment(ExperimentRef(ME, "project1", "cuid1"))
    assert caught.value.status == status


@pytest.mark.parametrize("calls", ["both", "legacy", "current"])
@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("missing", [400, 404, 405])
async def test_workspaces_combine_both_lists_and_the_personal_workspace(
    settings: Settings, state: State, calls: Any, listed: bool, missing: Any
) -> None:
    state.variants.groups_call, state.variants.missing_status = calls, missing
    state.variants.personal_workspace_listed = listed
    async with opened(settings) as client:
        found = (await client.list_workspaces()).data
    assert [(one.username, one.role) for one in found] == [(ME, "OWNER"), ("kites-test2", "MEMBER")]


async def test_failed_workspace_list_is_an_error(settings: Settings, state: State) -> None:
    state.faults.append(Fault(path="/group", status=404))
    async with opened(settings) as client:
        with pytest.raises(NotFound):
            await client.list_workspaces()
        state.faults = [Fault(path="/groups", status=500)]
        with pytest.raises(ServerUnavailable):
            await client.list_workspaces()


@pytest.mark.parametrize("form", ["current", "legacy"])
@pytest.mark.parametrize("extremes", ["index", "step", "bare", "absent"])
@pytest.mark.parametrize("spelling", ["NaN", "INF", "Infinity"])
async def test_every_summary_format_is_read(
    settings: Settings, state: State, form: Any, extremes: Any, spelling: Any
) -> None:
    state.variants.summaries, state.variants.extremes, state.variants.spelling = form, extremes, spelling
    nan, inf = math.nan, math.inf
    state.projects[0].experiments[0].metrics = {
        "a": [(0, 3.0), (1, 1.0), (2, nan)],
        "b": [(0, -1.0), (7, -inf)],
        "c": [],
    }
    async with opened(settings) as client:
        summary = (await client.default.get_summary(ExperimentRef(ME, "project1", "cuid1"))).data
        again = (await client.default.get_summary(ExperimentRef(ME, "project1", "cuid1"))).data
    assert list(summary) == ["a", "b"] == list(again)
    assert (summary["a"].step, math.isnan(summary["a"].value)) == (2, True)
    assert (summary["b"].step, summary["b"].value) == (7, -inf)
    assert (summary["a"].min.value, summary["a"].max.value) == (1.0, 3.0)
    assert (summary["a"].min.step, summary["a"].max.step) == ((1, 0) if extremes in ("index", "step") else (None, None))
    # at most one failed attempt in the current format, because the client remembers the server's format
    assert len(state.get_calls("/summaries")) == (2 if form == "current" else 3)


async def test_clone_is_requested_by_its_roots_ids(settings: Settings, state: State) -> None:
    root = state.projects[0]
    clones = state.add_project(state.workspaces[0], "clones")
    state.add_experiment(clones, "clone", cuid="clone1", clone_of=(root, root.experiments[0]))
    async with opened(settings) as client:
        assert (await client.default.get_summary(ExperimentRef(ME, "clones", "clone1"))).data["loss"].min.step == 33
    sent = state.get_calls("/summaries")[0].body["experiments"][0]
    assert sent["rootProId"] == "project1"
    assert sent["rootExpId"] == "cuid1"
    assert isinstance(sent["createdAt"], int)


async def test_experiment_without_metrics_has_an_empty_summary(settings: Settings, state: State) -> None:
    state.projects[0].experiments[0].metrics = {}
    async with opened(settings) as client:
        assert (await client.default.get_summary(ExperimentRef(ME, "project1", "cuid1"))).data == {}


@pytest.mark.parametrize("wrapped", [True, False])
async def test_config_is_unwrapped_at_every_depth(settings: Settings, state: State, wrapped: bool) -> None:
    config = {"lr": 0.1, "model": {"depth": 2, "value": {"deep": [1, {"x": 2}]}}, "value": 3, "none": None}
    state.projects[0].experiments[0].config = config
    state.variants.wrapped_config = wrapped
    async with opened(settings) as client:
        assert (await client.default.get_experiment(ExperimentRef(ME, "project1", "cuid1"))).data.profile[
            "config"
        ] == config


async def test_names_are_single_path_segments(settings: Settings, state: State) -> None:
    odd = state.add_project(state.workspaces[0], "a/b ?#%2e..")
    state.add_experiment(odd, "one", cuid="odd1")
    async with opened(settings) as client:
        assert (await client.default.get_experiment(ExperimentRef(ME, "a/b ?#%2e..", "odd1"))).data.name == "one"
        with pytest.raises(InvalidArgument, match="does not allow the name"):
            await client.default.list_experiments(ProjectRef(ME, ".."))
    paths = {call.raw_path for call in state.calls if "odd1" in call.raw_path}
    assert paths == {"/api/project/kites-test3/a%2Fb%20%3F%23%252e../runs/odd1"}


async def test_null_and_missing_fields_are_read(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "bare", description=None)
    fields = {"description": None, "user": None, "has_profile": False, "labels": ["x"], "cluster": "g", "job": "train"}
    state.add_experiment(project, "bare", cuid="bare1", state="RUNNING", slug="bare-slug", **fields)
    async with opened(settings) as client:
        found = (await client.default.get_experiment(ExperimentRef(ME, "bare", "bare-slug"))).data
        assert (await client.default.list_projects(WorkspaceRef(ME), search="bare")).data[0].description == ""
    assert (found.cuid, found.description, found.user, found.profile) == ("bare1", "", {}, {})
    assert (found.labels, found.group, found.job, found.slug) == (["x"], "g", "train", "bare-slug")


async def test_projects_are_searched_sorted_and_counted_by_swanlab(settings: Settings, state: State) -> None:
    state.add_project(state.workspaces[0], "alpha")
    async with opened(settings) as client:
        assert [one.name for one in (await client.default.list_projects(WorkspaceRef(ME), sort="name")).data] == [
            "alpha",
            "project1",
        ]
        assert [one.name for one in (await client.default.list_projects(WorkspaceRef(ME), search="ALPH")).data] == [
            "alpha"
        ]
        assert (await client.default.list_projects(WorkspaceRef(ME), detail=False)).data[0].count == {}


@pytest.mark.parametrize(
    ("metadata", "shown"),
    [
        ({"swanlab": {"version": "0.10.3"}}, None),
        ({"swanlab": {"version": "0.8.0"}}, None),
        ({"swanlab": {"version": "0.7.20"}}, {}),
        ({"swanlab": "odd"}, None),
    ],
)
async def test_none_that_a_new_sdk_stored_as_an_object_is_null(
    settings: Settings, state: State, metadata: dict[str, Any], shown: Any
) -> None:
    nested = {"none": None, "empty": {}}
    config = {"stored": {}, "nested": nested}
    state.add_experiment(state.projects[0], "new", cuid="new", config=config, metadata=metadata)
    async with session(settings) as client:
        answer = await client.call_tool("get_experiment", {"project": "project1", "exp_cuid": "new"})
    assert answer.structured_content["data"]["profile"]["config"] == {"stored": shown, "nested": nested}


@pytest.mark.usefixtures("many")
async def test_cancelled_call_stops_its_requests(settings: Settings, state: State) -> None:
    async with opened(settings) as client:
        await client.default.get_username()
        state.latency, state.arrived = 30, threading.Event()
        question = asyncio.ensure_future(client.default.list_experiments(ProjectRef(ME, "many")))
        await asyncio.to_thread(state.arrived.wait)
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        state.latency = 0
        assert len((await client.default.list_experiments(ProjectRef(ME, "many"))).data) == 730


async def test_sequential_calls_share_a_connection_and_parallel_calls_have_64(settings: Settings, state: State) -> None:
    connections: list[Any] = []
    app = create_app(state)

    async def count(scope: Any, receive: Any, send: Any) -> None:
        connections.append(scope["client"])
        await app(scope, receive, send)

    with serve(count) as host:
        async with opened(replace(settings, api_host=host)) as client:

            def ask_at_once(many: int) -> list[asyncio.Future[Any]]:
                return [
                    asyncio.ensure_future(client.default.list_projects(WorkspaceRef(ME), search=str(one)))
                    for one in range(many)
                ]

            for _ in range(3):
                state.latency, state.arrived = 30, threading.Event()
                questions = ask_at_once(80)
                await asyncio.to_thread(state.arrived.wait)
                for question in questions:
                    question.cancel()
                await asyncio.wait(questions)
                assert all(question.cancelled() for question in questions)
            state.latency = 0.05
            questions = ask_at_once(160)
            await asyncio.sleep(0)
            for question in questions[::2]:
                question.cancel()
            # the clients also have to log in again
            state.end_sessions()
            with anyio.fail_after(PATIENCE):
                assert len(await asyncio.gather(*questions[1::2])) == 80
                state.latency = 0
                connections.clear()
                for _ in range(5):
                    await client.default.list_projects(WorkspaceRef(ME))
                assert len(set(connections)) == 1
                state.latency = 0.05
                await asyncio.gather(*ask_at_once(160))
    # one connection can be closed in the meantime
    assert 64 <= len(set(connections)) < 80


@pytest.mark.usefixtures("many")
async def test_first_failure_stops_the_other_requests(settings: Settings, state: State) -> None:
    arrived, gone = threading.Event(), threading.Event()
    state.faults = [
        Fault("/many/runs", query={"page": "2"}, status=403, until=arrived),
        Fault("/many/runs", query={"page": "3"}, then=arrived.set, hung_up=gone),
    ]
    async with opened(settings) as client:
        with anyio.fail_after(PATIENCE), pytest.raises(PermissionDenied):
            await client.default.list_experiments(ProjectRef(ME, "many"))
    assert await asyncio.to_thread(gone.wait, PATIENCE)


async def test_client_sends_no_request_before_the_first_call(settings: Settings, state: State) -> None:
    async with opened(settings):
        pass
    assert state.calls == []


@pytest.mark.parametrize("form", ["current", "legacy"])
async def test_summaries_of_500_experiments_take_few_requests(settings: Settings, state: State, form: Any) -> None:
    state.variants.summaries = form
    project = state.add_project(state.workspaces[0], "many")
    for number in range(500):
        state.add_experiment(project, f"run-{number}", metrics={"loss": [(0, float(number))], "acc": [(0, 1.0)]})
    async with opened(settings) as client:
        experiments = (await client.default.list_experiments(ProjectRef("kites-test3", "many"))).data
        state.calls.clear()
        found = (await client.default.get_summaries(ProjectRef("kites-test3", "many"), experiments, ["loss"])).data
    assert {one.name: found[one.cuid]["loss"].value for one in experiments} == {
        f"run-{number}": number for number in range(500)
    }
    assert all(set(summary) == {"loss"} for summary in found.values())
    # the project and two batches, each of which an old server refuses once
    assert len(state.calls) == (3 if form == "current" else 5)


async def test_experiment_deleted_in_the_meantime_is_not_found(settings: Settings, state: State) -> None:
    questions: list[Callable[[Any], Any]] = [
        lambda client: client.default.get_summary(ExperimentRef("kites-test3", "project1", "cuid1")),
        lambda client: client.default.list_keys(ExperimentRef("kites-test3", "project1", "cuid1")),
        lambda client: client.default.read_points(
            ExperimentRef("kites-test3", "project1", "cuid1"), ["loss"], exact=True
        ),
        lambda client: client.default.read_points(
            ExperimentRef("kites-test3", "project1", "cuid1"), ["loss"], exact=False
        ),
        lambda client: client.default.list_media(ExperimentRef("kites-test3", "project1", "cuid1"), "image"),
        lambda client: client.default.read_logs(ExperimentRef("kites-test3", "project1", "cuid1"), start=None, count=5),
    ]
    experiment = state.projects[0].experiments[0]
    async with opened(settings) as client:
        for question in questions:
            await question(client)
            state.projects[0].experiments.remove(experiment)
            with pytest.raises(NotFound):
                await question(client)
            state.projects[0].experiments.append(experiment)
            await question(client)


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_keys_and_points_of_old_servers_are_read(
    settings: Settings, state: State, status: Literal[400, 404, 405]
) -> None:
    state.variants = Variants.old_server(status)
    metrics = {"loss": [(0, 3.0), (7, math.nan)], "a b/准": [(0, 1.0)], "empty": []}
    media = {"image": [Media(0, ["a.png"])]}
    state.add_experiment(state.projects[0], "old", cuid="old1", metrics=metrics, media=media)
    async with opened(settings) as client:
        for _ in range(2):
            keys = (await client.default.list_keys(ExperimentRef("kites-test3", "project1", "old1"))).data
            assert (list(keys.scalars), list(keys.media)) == (list(metrics), ["image"])
            for exact in (True, False):
                wanted = ["a b/准", "loss", "none", "empty"]
                found = (
                    await client.default.read_points(
                        ExperimentRef("kites-test3", "project1", "old1"), wanted, exact=exact
                    )
                ).data
                assert list(found) == ["a b/准", "loss", "empty"]
                assert repr(list(zip(found["loss"].steps, found["loss"].values, strict=True))) == repr(metrics["loss"])
        # a refused endpoint is not requested again
        state.calls.clear()
        await client.default.list_keys(ExperimentRef("kites-test3", "project1", "old1"))
        assert not state.get_calls("/house/")
        with pytest.raises(SwanLabError, match="does not return log lines; it may be too old"):
            await client.default.read_logs(ExperimentRef("kites-test3", "project1", "old1"), start=None, count=5)
        state.variants.lacking = (*state.variants.lacking, "/column")
    async with opened(settings) as client:
        with pytest.raises(SwanLabError, match=r"does not return metric keys; it may be too old\. get_exp_summary"):
            await client.default.list_keys(ExperimentRef("kites-test3", "project1", "old1"))


async def test_recreated_project_is_requested_by_its_new_id(settings: Settings, state: State) -> None:
    async def ask(client: Any) -> str:
        listed = (await client.default.list_experiments(ProjectRef("kites-test3", "project1"))).data
        assert (await client.default.get_summaries(ProjectRef("kites-test3", "project1"), listed)).data
        return state.get_calls("/summaries$")[-1].body["experiments"][0]["projectId"]

    async with opened(settings) as client:
        assert await ask(client) == "project1"
        await client.default.delete_project(ProjectRef("kites-test3", "project1"))
        made = await client.default.create_project(
            ProjectRef("kites-test3", "project1"), visibility="PRIVATE", description=""
        )
        state.add_experiment(next(one for one in state.projects if one.cuid == made.data.cuid), "run", cuid="new1")
        assert await ask(client) == made.data.cuid != "project1"
