"""Check that the fake SwanLab implements the documented API, including endpoints that the package does not use yet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.fake_swanlab import (
    BEGINNING,
    Experiment,
    Fault,
    LogLine,
    Media,
    Project,
    State,
    Variants,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http(host: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{host}/api") as client:
        answer = await client.post("/login/api_key", headers={"authorization": "test-key"})
        assert set(answer.json()) == {"sid", "expiredAt", "userInfo"}
        client.headers["cookie"] = f"sid={answer.json()['sid']}"
        yield client


@pytest.fixture
def project(state: State) -> Project:
    return state.projects[0]


@pytest.fixture
def experiment(project: Project) -> Experiment:
    return project.experiments[0]


def refer(experiment: Experiment, **more: Any) -> dict[str, Any]:
    created = int(experiment.created_at.timestamp())
    return {"projectId": "project1", "experimentId": experiment.cuid, "createdAt": created, **more}


async def ask(http: httpx.AsyncClient, path: str, body: Any) -> Any:
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_every_call_needs_a_session(host: str, state: State) -> None:
    async with httpx.AsyncClient(base_url=f"{host}/api") as client:
        assert (await client.get("/group/")).status_code == 401
        wrong = await client.post("/login/api_key", headers={"authorization": "x"})
        assert (wrong.status_code, wrong.json()["message"]) == (401, "API key invalid")
        state.users[0].is_verified = False
        assert (await client.post("/login/api_key", headers={"authorization": "test-key"})).status_code == 403
    assert wrong.headers["traceid"]


async def test_workspaces_and_user_are_returned(http: httpx.AsyncClient, state: State) -> None:
    assert (await http.get("/group/")).json()["list"][0]["role"] == "OWNER"
    assert (await http.get("/user/kites-test3/groups")).json()[1]["type"] == "TEAM"
    assert (await http.get("/user/else/groups")).status_code == 403
    assert (await http.get("/group/kites-test2")).json()["username"] == "kites-test2"
    assert (await http.get("/group/nobody")).status_code == 404
    assert set((await http.get("/user/profile")).json()) == {"bio", "institution", "school", "email", "location", "url"}
    assert (await http.get("/self_hosted/info")).json()["root"] is True
    state.variants.error_codes_are_numbers = True
    assert (await http.get("/group/nobody")).json()["code"] == 404


async def test_projects_are_paged_created_and_deleted(http: httpx.AsyncClient) -> None:
    body = {"username": "kites-test3", "name": "new", "visibility": "PRIVATE"}
    assert (await ask(http, "/project", body))["path"] == "kites-test3/new"
    assert (await http.post("/project", json=body)).status_code == 409
    page = (await http.get("/project/kites-test3", params={"page": 1, "size": 10, "sort": "name"})).json()
    assert [one["name"] for one in page["list"]] == ["new", "project1"]
    assert (page["size"], page["pages"], page["total"]) == (10, 1, 2)
    assert (await http.get("/project/kites-test3", params={"size": 11})).status_code == 400
    assert (await http.get("/project/kites-test3", params={"size": "x"})).status_code == 400
    assert (await http.get("/project/kites-test3", params={"size": 10, "sort": "x"})).status_code == 400
    assert (await http.delete("/project/kites-test3/new")).status_code == 204
    assert (await http.get("/project/kites-test3/new")).status_code == 404
    assert (await http.put("/project/kites-test3/new")).status_code == 405


@pytest.mark.parametrize("status", [403, 404])
async def test_private_projects_of_others_are_hidden(http: httpx.AsyncClient, state: State, status: Any) -> None:
    state.variants.stranger_status = status
    other = state.add_workspace("other", "Other")
    state.add_project(other, "secret", visibility="PRIVATE")
    state.add_project(other, "open")
    assert (await http.get("/project/other/secret")).status_code == status
    assert [one["name"] for one in (await http.get("/project/other")).json()["list"]] == ["open"]
    assert (await http.delete("/project/other/open")).status_code == 403
    assert (await http.delete("/project/other/open/runs/x")).status_code == 403
    assert (await http.post("/project", json={"username": "other", "name": "x"})).status_code == 403


async def test_runs_are_shown_with_their_config_wrapped(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/project/kites-test3/project1/runs", params={"size": 10})).json()["list"][0]
    assert listed["profile"] == {
        "config": {"lr": {"value": 0.001, "desc": "", "sort": 0}, "epochs": {"value": 10, "desc": "", "sort": 1}}
    }
    whole = (await http.get("/project/kites-test3/project1/runs/cuid1")).json()
    assert set(whole["profile"]) == {"config", "metadata", "requirements", "conda"}
    assert (await http.delete("/project/kites-test3/project1/runs/cuid1")).status_code == 204
    assert (await http.get("/project/kites-test3/project1/runs/cuid1")).status_code == 404


async def test_runs_are_filtered_sorted_and_grouped(http: httpx.AsyncClient, state: State, project: Project) -> None:
    for number in range(4):
        state.add_experiment(
            project,
            f"run-{number}",
            config={"lr": number / 10},
            labels=["even"] if number % 2 == 0 else [],
            cluster=f"g{number % 2}",
            metrics={"loss": [(0, 9.0), (1, float(number))]},
            is_pinned=number == 3,
            created_at=BEGINNING + timedelta(hours=number),
        )

    async def names(sorts: Any = (), **item: Any) -> list[str]:
        body = {"filters": [{"active": True, **item}] if item else [], "groups": [], "sorts": list(sorts)}
        return [one["name"] for one in await ask(http, "/project/kites-test3/project1/runs/shows", body)]

    assert await names(key="lr", type="CONFIG", op="LTE", value=[0.1]) == ["run-3", "run-1", "run-0", "experiment1"]
    assert await names(key="loss", type="SCALAR", op="GTE", value=[2]) == ["run-3", "run-2"]
    assert await names(key="labels", type="STABLE", op="IN", value=["even"]) == ["run-3", "run-2", "run-0"]
    assert await names(key="name", type="STABLE", op="CONTAIN", value=["PERI"]) == ["run-3", "experiment1"]
    assert await names(key="name", type="STABLE", op="NEQ", value=["run-1"]) == [
        "run-3",
        "run-2",
        "run-0",
        "experiment1",
    ]
    # 20:28 in UTC+8 is 12:28 UTC
    later = await names(key="createdAt", type="STABLE", op="GTE", value=["2024-11-23T21:28:04.286Z"])
    assert later == ["run-3", "run-2", "run-1"]
    order = [{"key": "lr", "type": "CONFIG", "order": "DESC", "active": True}]
    assert await names(order) == ["run-3", "run-2", "run-1", "experiment1", "run-0"]
    grouped = await ask(
        http, "/project/kites-test3/project1/runs/shows", {"groups": [{"key": "cluster", "type": "STABLE"}]}
    )
    assert [one["name"] for one in grouped["g1"]] == ["run-3", "run-1"]
    assert "profile" not in grouped["g1"][0]
    for item in (
        {"key": "x", "type": "STABLE", "op": "EQ", "value": [1]},
        {"key": "lr", "type": "CONFIG", "op": ">", "value": [1]},
    ):
        answer = await http.post("/project/kites-test3/project1/runs/shows", json={"filters": [item]})
        assert answer.status_code == 400
    await ask(http, "/project/kites-test3/project1/runs/del", {"cuids": [one.cuid for one in project.experiments[:3]]})
    assert [one.name for one in project.experiments] == ["run-0", "experiment1"]


async def test_summaries_take_keys_and_need_created_at(
    http: httpx.AsyncClient, state: State, experiment: Experiment
) -> None:
    answer = await ask(http, "/house/metrics/summaries", {"experiments": [refer(experiment)], "keys": ["loss"]})
    assert list(answer["cuid1"]) == ["loss"]
    assert set(answer["cuid1"]["loss"]) == {"step", "value", "minMax", "min", "max", "avg", "median", "stdDev"}
    old = {"experiments": [{"projectId": "project1", "experimentId": "cuid1"}]}
    assert (await http.post("/house/metrics/summaries", json=old)).status_code == 400
    state.variants.extremes_of_non_finite = "include"
    experiment.metrics = {"x": [(0, 1.0), (1, math.nan)], "y": [(0, math.nan)]}
    answer = await ask(http, "/house/metrics/summaries", {"experiments": [refer(experiment)]})
    assert answer["cuid1"]["x"]["min"] == {"index": 1, "data": "NaN"}
    state.variants.extremes_of_non_finite = "ignore"
    answer = await ask(http, "/house/metrics/summaries", {"experiments": [refer(experiment)]})
    assert answer["cuid1"]["y"]["min"] is None


async def test_scalars_are_sampled_on_three_axes(http: httpx.AsyncClient, state: State, experiment: Experiment) -> None:
    experiment.metrics["long"] = [(step, math.sin(step)) for step in range(5000)]

    async def read(**more: Any) -> list[Any]:
        columns = [refer(experiment, key=key) for key in ("long", "loss", "absent")]
        body = {"projectId": "project1", "xType": "step", "range": [0, 0], "columns": columns, "num": 9999, **more}
        answer = {one["key"]: one["metrics"] for one in await ask(http, "/house/metrics/scalar", body)}
        assert answer["absent"] == []
        return answer["long"]

    points = await read()
    assert len(points) == 1500
    assert (points[0]["index"], points[-1]["index"]) == (0, 4999)
    assert [one["index"] for one in await read(range=[10, 12])] == [10, 11, 12]
    assert (await read(xType="time"))[0]["index"] == (await read())[0]["timestamp"]
    assert (await read(xType="relative_time"))[-1]["index"] == 4999000
    state.variants.relative_time_ms = False
    assert (await read(xType="relative_time"))[-1]["index"] == 4999
    values = await ask(
        http,
        "/house/metrics/scalar/value",
        {"projectId": "project1", "xType": "step", "columns": [refer(experiment, key="loss")]},
    )
    assert values[0]["latest"] == {"index": 47, "data": 0.1907215012216071}


async def test_keys_are_paged_by_cursor(http: httpx.AsyncClient, experiment: Experiment) -> None:
    experiment.metrics = {f"k{number:02d}": [(0, 1.0)] for number in range(5)}
    experiment.media = {"image": [Media(0, ["a.png"])]}
    body: dict[str, Any] = {"experiments": [refer(experiment)], "limit": 3, "cursor": ""}
    first = await ask(http, "/house/metrics/scalar/keys", body)
    second = await ask(http, "/house/metrics/scalar/keys", {**body, "cursor": first["nextCursor"]})
    assert first["keys"] + second["keys"] == sorted(experiment.metrics)
    assert (first["hasMore"], second["hasMore"], second["nextCursor"]) == (True, False, "")
    assert (await ask(http, "/house/metrics/media/keys", body))["keys"] == ["image"]
    found = await ask(
        http, "/house/metrics/scalar/availability", {"keys": ["k01", "zz"], "experiments": [refer(experiment)]}
    )
    assert found == {"k01": ["cuid1"], "zz": []}


async def test_exports_are_csv_behind_presigned_urls(
    http: httpx.AsyncClient, state: State, experiment: Experiment
) -> None:
    experiment.metrics = {"a": [(0, 1.5), (2, math.nan)], "b": [(1, math.inf), (2, -math.inf)]}
    columns = [refer(experiment, key=key, experimentName="e,1") for key in ("a", "b")]
    exported = await ask(http, "/house/metrics/scalar/export", {"projectId": "project1", "columns": columns})
    url = (await ask(http, "/files/presigned/get", {"paths": [exported["cosKey"]]}))["urls"][0]
    assert (await http.get(url)).status_code == 400
    async with httpx.AsyncClient() as plain:
        text = (await plain.get(url)).text
        assert (await plain.get(url.split("?")[0])).status_code == 403
        assert (await plain.get(url.replace("1.csv", "9.csv"))).status_code == 404
        other = (await http.get("/experiment/cuid1/column/csv", params={"key": "a"})).json()["url"]
        assert (await plain.get(other)).text.startswith("step,experiment1-a_step,experiment1-a_timestamp\n0,1.5,")
    table = list(csv.reader(io.StringIO(text)))
    assert table[0] == ["step", "e,1-a_step", "e,1-a_timestamp", "e,1-b_step", "e,1-b_timestamp"]
    start = str(experiment.time_of(0))
    assert table[1] == ["0", "1.5", start, "", ""]
    assert table[3][1::2] == ["nan", "-inf"]
    assert (await http.get("/experiment/cuid1/column/csv", params={"key": "zz"})).status_code == 404
    legacy = (await http.get("/experiment/cuid1/column", params={"size": 10, "search": "b"})).json()
    assert legacy["list"] == [{"key": "b", "name": "b", "type": "FLOAT", "class": "CUSTOM", "error": None}]
    assert (await http.get("/experiment/zz/column")).status_code == 404
    assert state.variants.csv_infinity == "inf"


async def test_media_have_steps_captions_and_presigned_bytes(
    http: httpx.AsyncClient, state: State, experiment: Experiment
) -> None:
    experiment.media = {"image": [Media(0, ["a.png"], ["first"]), Media(5, ["b.png"])]}
    state.files["project1/cuid1/b.png"] = b"PNG"
    body = {"projectId": "project1", "columns": [refer(experiment, key=key) for key in ("image", "none")]}
    latest = await ask(http, "/house/metrics/media", body)
    assert latest == {"steps": [0, 5], "step": 5, "metrics": [{"key": "image", "data": ["b.png"], "more": [{}]}]}
    assert (await ask(http, "/house/metrics/media", {**body, "step": 3}))["metrics"] is None
    every = await ask(http, "/house/metrics/f_media", body)
    assert every[0]["metrics"][0]["more"] == [{"caption": "first"}]
    assert every[1] is None
    urls = (await ask(http, "/resources/presigned/get", {"prefix": "project1/cuid1", "paths": ["b.png"]}))["urls"]
    async with httpx.AsyncClient() as plain:
        assert (await plain.get(urls[0])).content == b"PNG"


@pytest.mark.parametrize(("first", "total", "expected"), [(True, True, (20, 20)), (False, False, (10, 10))])
async def test_logs_come_in_shards(
    http: httpx.AsyncClient, state: State, experiment: Experiment, first: bool, total: bool, expected: Any
) -> None:
    state.variants.logs_filter_first, state.variants.logs_count_total = first, total
    experiment.logs = [LogLine(n, f"line {n}", "ERROR" if n % 100 == 0 else "INFO") for n in range(2000)]
    query = {**refer(experiment), "epoch": 0, "size": 1000}
    whole = (await http.get("/house/metrics/log", params=query)).json()
    assert [line["epoch"] for line in whole["logs"]] == list(range(1000))
    errors = (await http.get("/house/metrics/log", params={**query, "level": "ERROR"})).json()
    assert (len(errors["logs"]), errors["count"]) == expected
    exported = await ask(http, "/house/metrics/log/export", {**refer(experiment), "start": 5, "rows": 2})
    assert state.exports[exported["cosKey"]] == "line 5\nline 6"
    assert (await http.post("/house/metrics/log/export", json={**refer(experiment), "rows": 10**6})).status_code == 400


async def test_clone_has_no_data_under_its_own_ids(
    http: httpx.AsyncClient, state: State, project: Project, experiment: Experiment
) -> None:
    clone = state.add_experiment(project, "clone", clone_of=(project, experiment))
    assert await ask(http, "/house/metrics/summaries", {"experiments": [refer(clone)]}) == {clone.cuid: None}
    rooted = refer(clone, rootProId="project1", rootExpId="cuid1")
    assert (await ask(http, "/house/metrics/summaries", {"experiments": [rooted]}))[clone.cuid]["loss"]


async def test_faults_apply_to_matching_requests(http: httpx.AsyncClient, state: State) -> None:
    state.faults = [Fault(path="/group", status=503, skip=1, times=1), Fault(path="/user/profile", slow_body=0.01)]
    assert [(await http.get("/group/")).status_code for _ in range(3)] == [200, 503, 200]
    assert (await http.get("/user/profile")).json()["bio"] == ""
    assert (await http.post("/house/metrics/scalar", json={})).status_code == 400
    assert (await http.get("/nothing/at/all")).status_code == 404
    assert (await http.get(str(http.base_url).replace("/api", "/elsewhere"))).status_code == 404


async def test_sessions_expire(host: str, state: State) -> None:
    state.session_days = 1
    async with httpx.AsyncClient(base_url=f"{host}/api") as client:
        sid = (await client.post("/login/api_key", headers={"authorization": "test-key"})).json()["sid"]
        client.headers["cookie"] = f"sid={sid}"
        assert (await client.get("/group/")).status_code == 200
        assert math.isfinite(state.sessions[sid].ends)
        state.sessions[sid].ends = 0.0
        assert (await client.get("/group/")).status_code == 401


async def test_viewers_can_read_but_not_write(http: httpx.AsyncClient, state: State) -> None:
    for role, readable in (("VIEWER", 200), ("VISITOR", 404)):
        workspace = state.add_workspace(role.lower(), kites_test3=role)
        state.add_project(workspace, "secret", visibility="PRIVATE")
        state.add_project(workspace, "open")
        assert (await http.get(f"/project/{role.lower()}/secret")).status_code == readable
        assert (await http.delete(f"/project/{role.lower()}/open")).status_code == 403


@pytest.mark.parametrize("status", [403, 404])
async def test_private_metrics_of_others_are_hidden(http: httpx.AsyncClient, state: State, status: Any) -> None:
    state.variants.stranger_status = status
    secret = state.add_project(state.add_workspace("other"), "secret", cuid="secret", visibility="PRIVATE")
    experiment = state.add_experiment(secret, "run", metrics={"loss": [(0, 1.0)]})
    reference = refer(experiment, projectId="secret")
    for path, body in (
        ("summaries", {"experiments": [reference]}),
        ("scalar/keys", {"experiments": [reference]}),
        ("scalar/export", {"projectId": "secret", "columns": [{**reference, "key": "loss"}]}),
    ):
        assert (await http.post(f"/house/metrics/{path}", json=body)).status_code == status
    assert (await http.get("/house/metrics/log", params=reference)).status_code == status
    assert (await http.get(f"/experiment/{experiment.cuid}/column")).status_code == status
    body = {"prefix": f"secret/{experiment.cuid}", "paths": ["a.png"]}
    assert (await http.post("/resources/presigned/get", json=body)).status_code == status


async def test_created_at_must_match_the_experiment_in_seconds(
    http: httpx.AsyncClient, state: State, project: Project, experiment: Experiment
) -> None:
    clone = state.add_experiment(project, "clone", clone_of=(project, experiment))
    rooted = {"rootProId": "project1", "rootExpId": "cuid1"}
    seconds = refer(experiment)["createdAt"]
    for reference, status in (
        (refer(clone, **rooted), 200),
        ({**refer(clone, **rooted), "createdAt": seconds}, 200),
        (refer(experiment), 200),
        ({**refer(experiment), "createdAt": seconds * 1000}, 400),
        ({**refer(experiment), "createdAt": "2024-11-23T12:28:04.286Z"}, 400),
        ({**refer(experiment), "createdAt": seconds + 1}, 400),
    ):
        answer = await http.post("/house/metrics/summaries", json={"experiments": [reference]})
        assert answer.status_code == status


async def test_keys_of_a_clone_need_its_roots_ids(
    http: httpx.AsyncClient, state: State, project: Project, experiment: Experiment
) -> None:
    clone = state.add_experiment(project, "clone", clone_of=(project, experiment))
    own = refer(clone, rootProId="project1", rootExpId="cuid1")
    assert (await ask(http, "/house/metrics/scalar/keys", {"experiments": [own]}))["keys"] == []
    root = {**refer(clone), "experimentId": "cuid1"}
    assert (await ask(http, "/house/metrics/scalar/keys", {"experiments": [root]}))["keys"] == ["acc", "loss"]


@pytest.mark.parametrize("missing", [400, 404, 405])
async def test_old_server_supports_only_legacy_calls(http: httpx.AsyncClient, state: State, missing: Any) -> None:
    state.variants = Variants.old_server(missing)
    reference = {"projectId": "project1", "experimentId": "cuid1"}
    assert (await ask(http, "/house/metrics/summaries", [reference]))["cuid1"]["loss"]["min"]["index"] == 33
    for path in ("house/metrics/summaries", "house/metrics/scalar/keys", "files/presigned/get"):
        assert (await http.post(f"/{path}", json={"experiments": [reference]})).status_code == missing
    assert (await http.get("/user/kites-test3/groups")).status_code == missing
    assert (await http.get("/group/")).status_code == 200
    assert "pages" not in (await http.get("/experiment/cuid1/column")).json()


async def test_statistics_match_the_points(http: httpx.AsyncClient, state: State, experiment: Experiment) -> None:
    experiment.metrics = {"x": [(3, 5.0), (0, 1.0), (1, 2.0), (2, 1.0)], "y": [(0, 1.0), (1, math.inf)]}
    x = (await ask(http, "/house/metrics/summaries", {"experiments": [refer(experiment)]}))["cuid1"]["x"]
    assert (x["step"], x["value"], x["minMax"]) == (3, 5.0, [1.0, 5.0])
    assert (x["min"], x["max"]) == ({"index": 0, "data": 1.0}, {"index": 3, "data": 5.0})
    assert (x["avg"], x["median"], x["stdDev"]) == (2.25, 1.5, pytest.approx(1.6393596))
    state.variants.extremes_of_non_finite = "include"
    y = (await ask(http, "/house/metrics/summaries", {"experiments": [refer(experiment)]}))["cuid1"]["y"]
    assert (y["min"]["data"], y["max"]["data"], y["avg"], y["stdDev"]) == (1.0, "INF", "INF", "NaN")


async def test_points_keep_their_own_times_and_other_axes(
    http: httpx.AsyncClient, state: State, experiment: Experiment
) -> None:
    experiment.metrics = {"x": [(0, 1.0, 1_700_000_000_000), (5, 2.0, 1_700_000_060_000)], "epoch": [(5, 1.0)]}
    body = {"projectId": "project1", "xType": "time", "columns": [refer(experiment, key="x")]}
    points = (await ask(http, "/house/metrics/scalar", body))[0]["metrics"]
    assert [one["index"] for one in points] == [1_700_000_000_000, 1_700_000_060_000]
    other = await ask(http, "/house/metrics/scalar", {**body, "xType": "step", "xKey": "epoch"})
    assert [(one["index"], one["data"]) for one in other[0]["metrics"]] == [(1.0, 2.0)]
    value = await ask(http, "/house/metrics/scalar/value", {**body, "xType": "timestamp"})
    assert value[0]["max"] == {"index": 1_700_000_060_000, "data": 2.0}
    assert (await http.post("/house/metrics/scalar", json={**body, "xType": "other"})).status_code == 400
    state.variants.absent_keys = "left_out"
    gone = {**body, "columns": [refer(experiment, key="absent")]}
    assert await ask(http, "/house/metrics/scalar", gone) == []


@pytest.mark.parametrize("count", [1, 2, 3, 10, 999])
async def test_sample_has_the_requested_size_and_keeps_peaks(
    http: httpx.AsyncClient, experiment: Experiment, count: int
) -> None:
    experiment.metrics = {"x": [(step, 100.0 if step == 500 else 0.0) for step in range(1000)]}
    body = {"projectId": "project1", "xType": "step", "columns": [refer(experiment, key="x")], "num": count}
    points = (await ask(http, "/house/metrics/scalar", body))[0]["metrics"]
    assert len(points) == count
    assert len({one["index"] for one in points}) == count
    assert any(one["data"] == 100.0 for one in points) == (count >= 3)


async def test_csv_tables_quote_names_and_write_infinities(
    http: httpx.AsyncClient, state: State, experiment: Experiment
) -> None:
    state.variants.csv_nan, state.variants.csv_infinity = "NaN", "+Inf"
    experiment.metrics = {"a": [(0, math.inf), (1, -math.inf), (2, math.nan)]}
    columns = [refer(experiment, key="a", experimentName='say "x"\n,')]
    exported = await ask(http, "/house/metrics/scalar/export", {"projectId": "project1", "columns": columns})
    table = list(csv.reader(io.StringIO(state.exports[exported["cosKey"]])))
    assert table[0][1] == 'say "x"\n,-a_step'
    assert [row[1] for row in table[1:]] == ["+Inf", "-Inf", "NaN"]


async def test_file_names_are_encoded_in_presigned_urls(http: httpx.AsyncClient, state: State) -> None:
    state.files["project1/cuid1/图 1#?.png"] = b"PNG"
    answer = await ask(http, "/resources/presigned/get", {"prefix": "project1/cuid1", "paths": ["图 1#?.png"]})
    async with httpx.AsyncClient() as plain:
        assert (await plain.get(answer["urls"][0])).content == b"PNG"


async def test_shards_have_1000_lines_for_any_requested_size(http: httpx.AsyncClient, experiment: Experiment) -> None:
    experiment.logs = [LogLine(n, f"line {n}") for n in range(1500)]
    query = {**refer(experiment), "epoch": 1, "size": 10}
    lines = (await http.get("/house/metrics/log", params=query)).json()["logs"]
    assert [line["epoch"] for line in lines] == list(range(1000, 1010))


async def test_fields_can_be_null_or_new(http: httpx.AsyncClient, project: Project, experiment: Experiment) -> None:
    project.wire = {"group": None, "_count": None}
    experiment.wire = {"labels": None, "novel": 1}
    wire = (await http.get("/project/kites-test3/project1")).json()
    assert (wire["group"], wire["_count"]) == (None, None)
    wire = (await http.get("/project/kites-test3/project1/runs/cuid1")).json()
    assert (wire["labels"], wire["novel"]) == (None, 1)


async def test_malformed_request_returns_400(http: httpx.AsyncClient) -> None:
    path = "/project/kites-test3/project1/runs/shows"
    item = {"key": "createdAt", "type": "STABLE", "op": "GTE", "value": ["yesterday"]}
    assert (await http.post(path, json={"filters": [item]})).status_code == 400
    assert (await http.post(path, json={"filters": [{**item, "value": []}]})).status_code == 400
    assert (await http.post(path, content=b"{")).status_code == 400
    assert (await http.post("/project", json={"username": "kites-test3", "name": "a/b"})).status_code == 400


async def test_names_are_decoded_segment_by_segment_and_logged_raw(http: httpx.AsyncClient, state: State) -> None:
    state.add_project(state.workspaces[0], "a/b %2F")
    answer = await http.get("/project/kites-test3/a%2Fb%20%252F?detail=true")
    assert answer.json()["name"] == "a/b %2F"
    call = state.calls[-1]
    assert call.raw_path == "/api/project/kites-test3/a%2Fb%20%252F"
    assert (call.path, call.raw_query, call.status) == ("/api/project/kites-test3/a/b %2F", "detail=true", 200)
