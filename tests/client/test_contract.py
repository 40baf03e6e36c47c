"""One contract for every client: the same questions, the same kinds of answers and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from swanlab_mcp.core.errors import NotFound, NotLoggedIn
from swanlab_mcp.core.models import Experiment, Project, Workspace
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, opened

pytestmark = pytest.mark.anyio


class Case(NamedTuple):
    settings: Settings
    username: str
    project: str
    cuid: str


@pytest.fixture(params=["cloud", "offline", "combined", "demo"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param in ("cloud", "combined"):
        settings: Settings = request.getfixturevalue("settings")
        if request.param == "combined":
            settings = Settings(
                api_host=settings.api_host, api_key="test-key", log_dirs=(RUNS / "0.10.3-offline",), backoff=0.001
            )
            return Case(settings, "local", "vision-baselines", "3hzj7gws")
        return Case(settings, "kites-test3", "project1", "cuid1")
    if request.param == "demo":
        import swanlab_mcp

        folder = Path(swanlab_mcp.__file__).parent / "demo"
        return Case(Settings(demo=True, log_dirs=(folder,)), "local", "digits-mlp", "l4q9h9qs")
    return Case(Settings(log_dirs=(RUNS / "0.10.3-offline",)), "local", "vision-baselines", "3hzj7gws")


async def test_the_five_questions_are_answered_with_their_models(case: Case) -> None:
    async with opened(case.settings) as client:
        workspaces = await client.list_workspaces()
        projects = await client.list_projects(case.username)
        experiments = await client.list_experiments(case.username, case.project)
        experiment = await client.get_experiment(case.username, case.project, case.cuid)
        summary = await client.get_summary(case.username, case.project, case.cuid)
    assert all(isinstance(one, Workspace) for one in workspaces.data)
    assert case.username in [one.username for one in workspaces.data]
    assert all(isinstance(one, Project) for one in projects.data)
    assert case.project in [one.name for one in projects.data]
    assert all(isinstance(one, Experiment) for one in experiments.data)
    assert case.cuid in [one.cuid for one in experiments.data]
    assert isinstance(experiment.data, Experiment)
    assert set(experiment.data.profile) >= {"config", "requirements", "metadata"}
    listed = next(one for one in experiments.data if one.cuid == case.cuid)
    assert listed.profile == {"config": experiment.data.profile["config"]}
    assert listed.createdAt == experiment.data.createdAt
    for metric in summary.data.values():
        assert metric.min.value <= metric.max.value
        assert metric.min.step <= metric.step
    assert all(answer.code == 200 and answer.errmsg == "" for answer in (projects, experiments, experiment, summary))


async def test_a_stretch_is_the_same_part_of_the_whole_list(case: Case) -> None:
    async with opened(case.settings) as client:
        whole = (await client.list_experiments(case.username, case.project)).data
        parts: list[Any] = []
        for offset in range(0, len(whole) + 2, 2):
            answer = await client.list_experiments(case.username, case.project, offset=offset, limit=2)
            assert answer.page.total == len(whole)
            parts += answer.data
    assert parts == whole


async def test_what_is_not_there_is_not_found(case: Case) -> None:
    async with opened(case.settings) as client:
        for question in (
            client.list_experiments(case.username, "nothing"),
            client.get_experiment(case.username, case.project, "nothing"),
            client.get_summary(case.username, case.project, "nothing"),
            client.get_summary(case.username, "nothing", case.cuid),
            client.list_projects("nobody"),
        ):
            with pytest.raises((NotFound, NotLoggedIn)) as caught:
                await question
            # without an account, another workspace is a matter of signing in
            assert caught.type is NotFound or (case.settings.api_key == "" and "key" in str(caught.value))


async def test_projects_are_searched_and_sorted(case: Case) -> None:
    async with opened(case.settings) as client:
        found = await client.list_projects(case.username, search=case.project[1:4].upper(), sort="name")
        assert case.project in [one.name for one in found.data]
        nothing = await client.list_projects(case.username, search="no such name", sort="create")
    assert (nothing.data, nothing.page.total) == ([], 0)


async def test_without_an_account_the_local_runs_are_the_default(tmp_path: Path) -> None:
    async with opened(Settings(log_dirs=(RUNS / "0.10.3-offline", tmp_path / "missing"))) as client:
        assert await client.get_username() == "local"
        assert client.get_link("local", "vision-baselines") == ""
        workspaces = await client.list_workspaces()
        projects = await client.list_projects("local")
    assert [one.username for one in workspaces.data] == ["local"]
    assert "Not signed in" in workspaces.notes[-1]
    assert projects.notes == ["The log folder 'missing' does not exist or is no folder."]


async def test_with_an_account_the_local_runs_stand_beside_it(settings: Settings) -> None:
    both = Settings(api_host=settings.api_host, api_key="test-key", log_dirs=(RUNS / "0.10.3-online",))
    async with opened(both) as client:
        assert await client.get_username() == "kites-test3"
        workspaces = await client.list_workspaces()
        assert (await client.list_projects("kites-test3")).data[0].name == "project1"
        found = await client.get_experiment("local", "detector", "ysmvr1h2")
    assert [one.username for one in workspaces.data] == ["kites-test3", "kites-test2", "local"]
    assert found.notes == ["Recorded for the workspace 'lab-team'."]
