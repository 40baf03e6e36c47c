"""All clients have the same methods, results and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from swanlab_mcp.core.errors import NotFound, NotLoggedIn
from swanlab_mcp.core.models import Experiment, Project, Workspace
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, WorkspaceRef
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, opened

LOCAL_REF = ExperimentRef("local", "detector", "ysmvr1h2")
pytestmark = pytest.mark.anyio


class Case(NamedTuple):
    settings: Settings
    ref: ExperimentRef


@pytest.fixture(params=["cloud", "offline", "combined", "demo"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param in ("cloud", "combined"):
        settings: Settings = request.getfixturevalue("settings")
        if request.param == "combined":
            settings = Settings(
                api_host=settings.api_host, api_key="test-key", log_dirs=(RUNS / "0.10.3-offline",), backoff=0.001
            )
            return Case(settings, ExperimentRef("local", "vision-baselines", "3hzj7gws"))
        return Case(settings, ExperimentRef("kites-test3", "project1", "cuid1"))
    if request.param == "demo":
        import swanlab_mcp

        folder = Path(swanlab_mcp.__file__).parent / "demo"
        return Case(Settings(demo=True, log_dirs=(folder,)), ExperimentRef("local", "digits-mlp", "l4q9h9qs"))
    return Case(Settings(log_dirs=(RUNS / "0.10.3-offline",)), ExperimentRef("local", "vision-baselines", "3hzj7gws"))


async def test_each_method_returns_its_model(case: Case) -> None:
    async with opened(case.settings) as client:
        backend, workspace = client.at(case.ref), case.ref.parent.parent
        workspaces = await client.list_workspaces()
        projects = await backend.list_projects(workspace)
        experiments = await backend.list_experiments(case.ref.parent)
        experiment = await backend.get_experiment(case.ref)
        summary = await backend.get_summary(case.ref)
    assert all(isinstance(one, Workspace) for one in workspaces.data)
    assert case.ref.workspace in [one.username for one in workspaces.data]
    assert all(isinstance(one, Project) for one in projects.data)
    assert case.ref.project in [one.name for one in projects.data]
    assert all(isinstance(one, Experiment) for one in experiments.data)
    assert case.ref.cuid in [one.cuid for one in experiments.data]
    assert isinstance(experiment.data, Experiment)
    assert set(experiment.data.profile) >= {"config", "requirements", "metadata"}
    listed = next(one for one in experiments.data if one.cuid == case.ref.cuid)
    assert listed.profile == {"config": experiment.data.profile["config"]}
    assert listed.createdAt == experiment.data.createdAt
    for metric in summary.data.values():
        assert metric.min.value <= metric.max.value
        assert metric.min.step <= metric.step
    assert all(answer.code == 200 and answer.errmsg == "" for answer in (projects, experiments, experiment, summary))


async def test_slice_matches_the_same_part_of_the_list(case: Case) -> None:
    async with opened(case.settings) as client:
        backend = client.at(case.ref)
        whole = (await backend.list_experiments(case.ref.parent)).data
        parts: list[Any] = []
        for offset in range(0, len(whole) + 2, 2):
            answer = await backend.list_experiments(case.ref.parent, offset=offset, limit=2)
            assert answer.page.total == len(whole)
            parts += answer.data
    assert parts == whole


async def test_missing_references_are_not_found(case: Case) -> None:
    async with opened(case.settings) as client:
        backend, workspace = client.at(case.ref), case.ref.parent.parent
        for question in (
            backend.list_experiments(workspace.project("nothing")),
            backend.get_experiment(case.ref.parent.experiment("nothing")),
            backend.get_summary(case.ref.parent.experiment("nothing")),
            backend.get_summary(workspace.project("nothing").experiment(case.ref.cuid)),
            client.at(WorkspaceRef("nobody")).list_projects(WorkspaceRef("nobody")),
        ):
            with pytest.raises((NotFound, NotLoggedIn)) as caught:
                await question
            # without an account, another workspace requires a login
            assert caught.type is NotFound or (case.settings.api_key == "" and "key" in str(caught.value))


async def test_projects_are_searched_and_sorted(case: Case) -> None:
    async with opened(case.settings) as client:
        backend, workspace = client.at(case.ref), case.ref.parent.parent
        found = await backend.list_projects(workspace, search=case.ref.project[1:4].upper(), sort="name")
        assert case.ref.project in [one.name for one in found.data]
        empty = await backend.list_projects(workspace, search="no such name", sort="create")
    assert (empty.data, empty.page.total) == ([], 0)


async def test_local_runs_are_the_default_without_an_account(tmp_path: Path) -> None:
    async with opened(Settings(log_dirs=(RUNS / "0.10.3-offline", tmp_path / "missing"))) as client:
        assert await client.default.get_username() == "local"
        assert client.default.get_link(ProjectRef("local", "vision-baselines")) == ""
        workspaces = await client.list_workspaces()
        projects = await client.default.list_projects(WorkspaceRef("local"))
    assert [one.username for one in workspaces.data] == ["local"]
    assert "Not logged in" in workspaces.notes[-1]
    assert projects.notes == ["The log folder 'missing' does not exist or is not a folder."]


async def test_local_runs_are_added_to_an_account(settings: Settings) -> None:
    both = Settings(api_host=settings.api_host, api_key="test-key", log_dirs=(RUNS / "0.10.3-online",))
    async with opened(both) as client:
        assert await client.default.get_username() == "kites-test3"
        workspaces = await client.list_workspaces()
        assert (await client.default.list_projects(WorkspaceRef("kites-test3"))).data[0].name == "project1"
        found = await client.at(LOCAL_REF).get_experiment(LOCAL_REF)
    assert [one.username for one in workspaces.data] == ["kites-test3", "kites-test2", "local"]
    assert found.notes == ["The run was recorded for workspace 'lab-team'."]
