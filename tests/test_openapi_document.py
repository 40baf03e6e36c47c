"""Run every example in SwanLab's OpenApi documentation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from swanlab_mcp import ApiResponse, Experiment, OpenApi, Project
from tests.fake_swanlab import BEGINNING, State


@pytest.fixture
def my_api(host: str) -> Iterator[OpenApi]:
    with OpenApi(api_key="test-key", host=host) as api:
        yield api


def test_workspaces_are_dicts_of_name_username_and_role(my_api: OpenApi) -> None:
    answer = my_api.list_workspaces()
    assert answer.data == [
        {"name": "workspace1", "username": "kites-test3", "role": "OWNER"},
        {"name": "hello-openapi", "username": "kites-test2", "role": "MEMBER"},
    ]
    assert answer.data[0]["name"] == "workspace1"
    assert answer.code == 200
    assert answer.errmsg == ""


def test_other_key_uses_another_account(host: str, state: State) -> None:
    state.add_user("stranger", api_key="other_api_key")
    with OpenApi(api_key="other_api_key", host=host) as other_api:
        assert other_api.list_workspaces().data == [{"name": "stranger", "username": "stranger", "role": "OWNER"}]


def test_project_experiments_match_the_document(my_api: OpenApi) -> None:
    data = my_api.list_project_exps(project="project1").data
    assert data is not None
    assert [one.model_dump() for one in data] == [
        {
            "cuid": "cuid1",
            "name": "experiment1",
            "description": "This is a test experiment",
            "state": "FINISHED",
            "show": True,
            "createdAt": "2024-11-23T12:28:04.286Z",
            "finishedAt": None,
            "user": {"username": "kites-test3", "name": "Kites Test"},
            "profile": {"config": {"lr": 0.001, "epochs": 10}},
        }
    ]
    assert data.items[0].name == "experiment1"


def test_experiment_has_its_full_profile(my_api: OpenApi) -> None:
    my_exp = my_api.get_experiment(project="project1", exp_cuid="cuid1").data
    assert isinstance(my_exp, Experiment)
    assert my_exp.cuid == "cuid1"
    assert my_exp.state == "FINISHED"
    assert my_exp.user["username"] == "kites-test3"
    assert my_exp.profile["conda"] == "name: base"
    assert my_exp.profile["requirements"].startswith("torch")


def test_model_fields_are_readable_in_three_ways_and_dumped(my_api: OpenApi) -> None:
    api_response: ApiResponse[Experiment] = my_api.get_experiment(project="project1", exp_cuid="cuid1")
    my_exp = api_response.data
    assert my_exp is not None
    assert my_exp.createdAt == my_exp["createdAt"] == my_exp.get("createdAt") == "2024-11-23T12:28:04.286Z"
    assert my_exp.model_dump()["createdAt"] == "2024-11-23T12:28:04.286Z"
    assert not isinstance(my_exp, dict)


def test_model_has_only_its_fields_as_items(my_api: OpenApi) -> None:
    my_exp = my_api.get_experiment(project="project1", exp_cuid="cuid1").data
    assert my_exp is not None
    assert my_exp.get("copy", "default") == "default"
    assert "copy" not in my_exp
    assert "cuid" in my_exp
    assert "cuid" in my_exp.keys()  # noqa: SIM118 the example tests keys()
    with pytest.raises(KeyError):
        my_exp["model_dump"]


def test_summary_is_a_dict_of_dicts(my_api: OpenApi) -> None:
    data = my_api.get_exp_summary(project="project1", exp_cuid="cuid1").data
    assert data is not None
    spec = {name: data["loss"][name] for name in ("step", "value", "min", "max")}
    assert spec == {
        "step": 47,
        "value": 0.1907215012216071,
        "min": {"step": 33, "value": 0.1745886406861026},
        "max": {"step": 0, "value": 0.7108771095136294},
    }
    assert data["loss"]["max"]["value"] == 0.7108771095136294
    assert set(data["loss"]) - set(spec) == {"avg", "median", "stdDev"}
    assert data["loss"]["min"]["step"] == 33


def test_projects_match_the_document(my_api: OpenApi, state: State) -> None:
    project = state.projects[0]
    for number in range(3):
        state.add_experiment(project, f"more-{number}", created_at=BEGINNING + timedelta(days=number))
    data = my_api.list_projects().data
    assert data is not None
    my_project: Project = data[0]
    assert my_project.group["name"] == "workspace1"
    assert my_project.model_dump() == {
        "cuid": "project1",
        "name": "project1",
        "description": "Description 1",
        "visibility": "PUBLIC",
        "createdAt": "2024-11-23T12:28:04.286Z",
        "updatedAt": None,
        "group": {"type": "PERSON", "username": "kites-test3", "name": "workspace1"},
        "count": {"experiments": 4, "contributors": 1, "children": 0, "runningExps": 0},
    }
    assert my_api.list_projects(username="kites-test3", detail=False).data[0].count == {}  # type: ignore[index]
