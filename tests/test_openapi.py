# `data` is None only after an error, and an error fails the test
# pyright: reportOptionalIterable=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false
# pyright: reportArgumentType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import swanlab_mcp
from swanlab_mcp import OpenApi
from tests.conftest import RUNS
from tests.fake_swanlab import Fault, LogLine, State


def test_public_names_are_sorted_and_complete() -> None:
    assert sorted(swanlab_mcp.__all__) == swanlab_mcp.__all__
    assert all(getattr(swanlab_mcp, name) for name in swanlab_mcp.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        swanlab_mcp.Nothing  # noqa: B018


def test_lists_of_any_length_are_complete(host: str, state: State) -> None:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(345):
        state.add_experiment(project, f"run-{number}")
    with OpenApi("test-key", host=host) as api:
        answer = api.list_project_exps("many")
    assert answer.data is not None
    assert [one.name for one in answer.data] == [f"run-{number}" for number in reversed(range(345))]
    assert answer.page is None


def test_user_is_an_alias_of_username(host: str, state: State) -> None:
    project = state.add_project(state.workspaces[1], "theirs")
    state.add_experiment(project, "one", cuid="their1")
    with OpenApi("test-key", host=host) as api:
        assert api.get_experiment("theirs", "their1", user="kites-test2").code == 200
        assert api.get_experiment("theirs", "their1", "kites-test2").code == 200
        with pytest.raises(TypeError, match="two names for the same argument"):
            api.get_experiment("theirs", "their1", username="a", user="b")


def test_null_fields_of_a_profile_are_kept(host: str, state: State) -> None:
    profile = {"config": {"warmup": None, "layers": [None, 2]}, "metadata": None, "requirements": None, "conda": None}
    state.add_experiment(state.projects[0], "bare", cuid="bare", wire={"profile": profile})
    with OpenApi("test-key", host=host) as api:
        answer = api.get_experiment("project1", "bare")
        assert answer.data is not None
        assert answer.data.profile == profile
        assert answer.model_dump(mode="json")["data"]["profile"] == profile
        assert json.loads(answer.model_dump_json())["data"]["profile"] == profile


@pytest.mark.parametrize(("status", "expected"), [(403, 403), (404, 404), (418, 418), (302, 302)])
def test_http_error_returns_its_status(host: str, state: State, status: int, expected: int) -> None:
    state.faults.append(Fault(path="/project/", status=status, body=b'{"code": "X", "message": "no \\u001b[31mway"}'))
    with OpenApi("test-key", host=host) as api:
        answer = api.get_experiment("project1", "cuid1")
    assert (answer.code, answer.data) == (expected, None)
    assert "trace-" in answer.errmsg
    assert "x1b[31mway" in answer.errmsg
    assert "\x1b" not in answer.errmsg


def test_missing_response_is_code_0_with_the_cause() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with OpenApi("test-key", host=closed, timeout=0.3) as api:
        answer = api.list_projects()
    assert (answer.code, answer.data) == (0, None)
    assert "within 0.3 seconds" in answer.errmsg


def test_missing_key_explains_how_to_log_in() -> None:
    answer = OpenApi().list_workspaces()
    assert answer.code == 401
    assert "SWANLAB_API_KEY" in answer.errmsg
    assert "--demo" in answer.errmsg


def test_programming_errors_raise(host: str) -> None:
    with OpenApi("test-key", host=host) as api:
        with pytest.raises(TypeError, match="project must be a str, not int"):
            api.list_project_exps(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            api.get_experiment("project1")  # type: ignore[call-arg]
        assert api.list_projects(None).code == 200  # type: ignore[arg-type]


def test_client_works_inside_a_running_loop_and_after_close(host: str) -> None:
    api = OpenApi("test-key", host=host)

    async def notebook() -> int:
        return api.list_projects().code

    assert asyncio.run(notebook()) == 200
    api.close()
    assert api.list_projects().code == 200
    api.close()


def test_client_reads_runs_on_disk_without_an_account() -> None:
    with OpenApi(log_dir=RUNS / "0.10.3-offline") as api:
        projects = api.list_projects().data
        assert projects is not None
        assert {one.name: one.count for one in projects} == {
            "vision-baselines": {"experiments": 5},
            "nlp-finetune": {"experiments": 1},
        }
        assert api.get_exp_summary("local/vision-baselines", "resnet18-lr1e-3").data["train/loss"]["step"] == 239  # type: ignore[index]


def test_metrics_are_joined_by_step_without_pandas(host: str, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    metrics = {"loss": [(0, 3.0), (1, 2.0), (2, 1.0)], "val/loss": [(1, 2.5)], "step": []}
    state.add_experiment(state.projects[0], "curves", cuid="c1", metrics=metrics)
    with OpenApi("test-key", host=host) as api:
        answer = api.get_metrics("c1", ["loss", "val/loss"], project="project1")
        assert answer.data == {"step": [0, 1, 2], "loss": [3.0, 2.0, 1.0], "val/loss": [None, 2.5, None]}
        state.projects[0].experiments[0].metrics["step"] = [(0, 0.0), (2, 20.0)]
        named = api.get_metrics("c1", ["loss", "step"], project="project1").data
        assert named == {"step": [0, 1, 2], "loss": [3.0, 2.0, 1.0], "metric/step": [0.0, None, 20.0]}
        assert answer.page is None
        assert api.get_metrics("kites-test3/project1/c1", "loss").data["loss"] == [3.0, 2.0, 1.0]
        assert api.get_metrics("c1", "los", project="project1").code == 404


def test_single_users_workspaces_and_projects_are_read(host: str, state: State) -> None:
    state.users[0].profile = {"bio": "trains models", "institution": None}
    with OpenApi("test-key", host=host) as api:
        user, workspace, project = api.get_user(), api.get_workspace("kites-test2"), api.get_project("project1")
        assert (user.data["username"], user.data["name"], user.data.bio) == (
            "kites-test3",
            "Kites Test",
            "trains models",
        )
        assert user.data.institution == ""
        assert (workspace.data["name"], workspace.data.get("role")) == ("hello-openapi", "MEMBER")
        assert project.data["count"]["experiments"] == 1
        assert "Did you mean kites-test2" in api.get_workspace("kites-tst2").errmsg
        assert "Did you mean project1" in api.get_project("project2").errmsg
    local = OpenApi(log_dir=RUNS / "0.10.3-offline")
    assert local.get_user().code == 501
    assert "Runs on disk do not record the SwanLab user" in local.get_user().errmsg
    assert local.get_workspace().data["role"] == "OWNER"
    assert local.get_project("nlp-finetune").data["count"] == {"experiments": 1}


def test_media_include_their_images() -> None:
    with OpenApi(log_dir=RUNS / "0.10.3-offline") as api:
        answer = api.get_media("vision-baselines", "resnet18-lr1e-3", "sample/*", steps=[0, 100])
        assert [(one.key, one.step, one.type) for one in answer.data][:2] == [
            ("sample/input", 0, "image"),
            ("sample/input", 100, "image"),
        ]
        assert answer.pictures[0].mime_type == "image/png"
        assert answer.pictures[0].content.startswith(b"\x89PNG")
        assert api.get_media("vision-baselines", exp_id="resnet18-lr1e-3", keys=["zzz"]).code == 404


def test_every_method_accepts_exp_id(host: str) -> None:
    with OpenApi("test-key", host=host) as api:
        assert api.get_exp_state("project1", "cuid1").data == "FINISHED"
        assert api.get_exp_state("project1", exp_cuid="cuid1").data == "FINISHED"
        assert len(api.get_metrics(exp_cuid="cuid1", keys="acc", project="project1").data["acc"]) == 48
        assert api.get_exp_summary("project1", exp_id="cuid1", keys=["l*"]).data.keys() == {"loss"}
        assert api.get_logs("project1", exp_id="cuid1").data == []


def test_metrics_are_a_data_frame_with_pandas(host: str) -> None:
    with OpenApi("test-key", host=host) as api:
        frame = api.get_metrics("cuid1", "loss", project="project1").data
    assert type(frame) is pd.DataFrame
    assert list(frame.index) == list(range(48))
    assert list(frame) == ["loss"]


def test_newer_official_method_names_work(host: str) -> None:
    with OpenApi("test-key", host=host) as api:
        assert api.list_experiments("project1").data == api.list_project_exps("project1").data
        assert api.get_summary("project1", "cuid1").data == api.get_exp_summary("project1", "cuid1").data
        assert api.get_exp_state("project1", "cuid1").data == "FINISHED"
        assert api.get_exp_state("project1", "nope").code == 404


def test_exp_id_is_an_alias_of_exp_cuid(host: str) -> None:
    with OpenApi("test-key", host=host) as api:
        assert api.get_experiment("project1", exp_id="cuid1").code == 200
        assert api.get_exp_summary("project1", exp_id="cuid1").data.keys() == {"loss", "acc"}
        with pytest.raises(TypeError, match="exp_cuid is missing"):
            api.get_exp_summary("project1")
        with pytest.raises(TypeError, match="two names"):
            api.get_exp_summary("project1", "cuid1", exp_id="cuid2")


def test_keys_logs_and_finds_are_complete_lists(host: str, state: State) -> None:
    metrics = {f"k{number:04d}": [(0, float(number))] for number in range(1200)}
    logs = [LogLine(number, f"line {number}") for number in range(50)]
    state.add_experiment(state.projects[0], "wide", cuid="w1", metrics=metrics, logs=logs)
    with OpenApi("test-key", host=host) as api:
        assert [one.key for one in api.list_metrics("project1", "w1").data] == list(metrics)
        assert [one["number"] for one in api.get_logs("project1", exp_id="w1", count=2).data] == [48, 49]
        assert [one.message for one in api.get_logs("project1", "w1", search="LINE 7").data][2] == "line 7"
        wanted = [{"field": "metric.k0007", "op": "=", "value": 7}]
        assert [one.name for one in api.find_experiments("project1", wanted).data] == ["wide"]
        assert api.find_experiments("project1", sort="nothing").code == 400


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"count": 0}, "count=0 is too small. Request at least 1 line."),
        ({"start": -1}, "start=-1 is too small. Lines are numbered from 0."),
        ({"level": "warning"}, "Unknown level 'warning'. Levels: all, warn, error."),
    ],
)
def test_invalid_log_requests_return_400(host: str, arguments: dict[str, Any], expected: str) -> None:
    with OpenApi("test-key", host=host) as api:
        answer = api.get_logs("project1", "cuid1", **arguments)
    assert (answer.code, answer.data, answer.errmsg) == (400, None, expected)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"field": "name", "op": "==", "value": 1}, "filters.1.op must be one of: =, !="),
        ({"field": "name", "op": "="}, "filters.1.value is missing"),
    ],
)
def test_invalid_filter_returns_400(host: str, condition: dict[str, Any], expected: str) -> None:
    with OpenApi("test-key", host=host) as api:
        answer = api.find_experiments("project1", [{"field": "name", "op": "!=", "value": "x"}, condition])
    assert (answer.code, answer.data) == (400, None)
    assert expected in answer.errmsg


def test_reprs_hide_the_key(host: str) -> None:
    api = OpenApi("key-canary", host=host)
    assert "canary" not in repr(api) + repr(vars(api))


def test_interpreter_exits_without_close(host: str) -> None:
    code = f"from swanlab_mcp import OpenApi; print(OpenApi('test-key', host={host!r}).list_projects().code)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout == "200\n"
    assert done.stderr == ""
