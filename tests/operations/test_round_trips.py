"""Questions about many projects need few requests and few round trips."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from swanlab_mcp import OpenApi
from tests.fake_swanlab import BEGINNING, Fault, LogLine, State
from tests.fake_swanlab.state import Project

ALL_PAGES = ("/runs$", 12)
LISTS = ("/(group/|groups|project/kites-test[23])$", 4)
# of 250 experiments in 4 projects
SUMMARIES = ("/summaries$", 4)
# also of the first experiments of each project, which name the training losses
SUMMARIES_WITH_LOSSES = ("/summaries$", 8)
QUESTIONS: dict[str, tuple[str, dict[str, Any], tuple[tuple[str, int], ...]]] = {
    "counts": ("aggregate_experiments", {"group_by": ["user"]}, (ALL_PAGES,)),
    "statistics": ("aggregate_experiments", {"metrics": ["val/acc"]}, (ALL_PAGES, SUMMARIES_WITH_LOSSES)),
    "filters": (
        "find_experiments",
        {"filters": [{"field": "config.lr", "op": "=", "value": "0.1"}]},
        (ALL_PAGES,),
    ),
    "own experiments": ("find_experiments", {"filters": [{"field": "user", "op": "=", "value": "me"}]}, (ALL_PAGES,)),
    "order by a metric": ("find_experiments", {"sort": "metric.val/acc"}, (ALL_PAGES, SUMMARIES)),
    "filter by a metric": (
        "find_experiments",
        {"filters": [{"field": "metric.val/acc", "op": ">=", "value": 249 / 250}]},
        # SwanLab filters the lists, and omits the config of the match in each project
        (("/shows$", 4), ("/(runs/[^/]+|summaries)$", 8)),
    ),
    "filtered statistics": (
        "aggregate_experiments",
        {"metrics": ["val/acc"], "filters": [{"field": "config.lr", "op": "=", "value": "0.1"}]},
        (ALL_PAGES, SUMMARIES_WITH_LOSSES),
    ),
    "nothing new": ("whats_new", {"since": "2024-11-25T00:00:00Z"}, (ALL_PAGES,)),
}


@pytest.fixture(scope="module")
def world() -> State:
    """Return 12 projects with 250 experiments in two workspaces; four projects are called deep."""
    state = State()
    state.add_user("kites-test3")
    spaces = [state.add_workspace(name, kites_test3="OWNER") for name in ("kites-test3", "kites-test2")]
    for number in range(12):
        project = state.add_project(spaces[number % 2], f"{'deep' if number < 4 else 'more'}{number}")
        for index in range(250):
            state.add_experiment(
                project,
                f"run-{index}",
                finished_at=BEGINNING + timedelta(days=1),
                config={"lr": (0.1, 0.2)[index % 2]},
                metrics={"val/acc": [(0, index / 250)], "train/loss": [(0, 0.5)]},
            )
    return state


@pytest.fixture
def state(world: State) -> Iterator[State]:
    world.calls.clear()
    yield world
    world.faults.clear()


@pytest.fixture
def api(host: str) -> Iterator[OpenApi]:
    # if a request is missing, the others wait until this timeout
    with OpenApi("test-key", host=host, timeout=10) as api:
        yield api


@contextmanager
def in_one_round(state: State, *rounds: tuple[str, int]) -> Iterator[None]:
    """Delay the responses of each round until all of its requests have arrived, and check their number."""
    state.calls.clear()
    for path, count in rounds:
        state.faults.append(hold(path, count))
    yield
    assert [fault.hits for fault in state.faults] == [count for _, count in rounds]
    assert len(state.calls) == sum(count for _, count in rounds)
    state.faults.clear()


def hold(path: str, count: int) -> Fault:
    """Return a fault that delays the next `count` requests to a path until the last of them arrives."""
    arrived, is_complete = itertools.count(1), threading.Event()

    def arrive() -> None:
        if next(arrived) >= count:
            is_complete.set()

    return Fault(path, times=count, then=arrive, until=is_complete)


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_about_everything_takes_three_round_trips(question: str, state: State, api: OpenApi) -> None:
    name, arguments, rounds = QUESTIONS[question]
    assert api.list_workspaces().code == 200
    with in_one_round(state, LISTS, *rounds):
        answer = getattr(api, name)("*/deep*", **arguments)
    assert answer.code == 200, answer.errmsg


@pytest.fixture
def twins(state: State) -> Iterator[Project]:
    """Return a project with two settings and two seeds for each."""
    project = state.add_project(state.workspaces[0], "twins")
    for number in range(4):
        metrics = {"val/acc": [(step, number / 9 + step / 99) for step in range(9)], "train/loss": [(0, 0.5), (8, 0.1)]}
        config = {"lr": (0.1, 0.2)[number % 2], "seed": number}
        ended = BEGINNING + timedelta(days=2)
        state.add_experiment(project, f"twin-{number}", finished_at=ended, config=config, metrics=metrics)
    yield project
    state.projects.remove(project)


@pytest.mark.usefixtures("twins")
def test_ranking_checks_points_and_commands_in_one_more_round(state: State, api: OpenApi) -> None:
    assert api.get_user().code == 200
    # the summaries of all and of the first experiments, then each one's points and command, and the leaders' keys
    rounds = (("/(twins|runs)$", 2), ("/summaries$", 2), ("/(scalar|runs/[^/]+|summaries)$", 9))
    with in_one_round(state, *rounds):
        answer = api.rank_experiments("twins", "val/acc", by_seed=True)
    assert [row.n for row in answer.data] == [2, 2]


def test_diagnosis_reads_keys_log_and_namesakes_in_one_round(state: State, api: OpenApi, twins: Project) -> None:
    crashed = twins.experiments[0]
    crashed.state, crashed.logs = "CRASHED", [LogLine(0, "RuntimeError: CUDA out of memory")]
    # looks up the project's id
    assert api.get_summary("twins", twins.experiments[1].cuid).code == 200
    rounds = (
        ("/runs/[^/]+$", 1),
        ("/(scalar/keys|runs/shows|metrics/log)$", 3),
        ("/(metrics/scalar|runs|.*export)$", 2),
    )
    with in_one_round(state, *rounds):
        answer = api.diagnose_experiment(project="twins", exp_cuid=crashed.cuid)
    assert answer.data.crash


@pytest.mark.usefixtures("twins")
def test_news_reads_verdicts_while_it_looks_for_records(state: State, api: OpenApi) -> None:
    assert api.list_workspaces().code == 200
    # a verdict needs keys, then points
    rounds = (("/runs$", 1), ("/(summaries|keys)$", 5), ("/scalar$", 4))
    with in_one_round(state, LISTS, *rounds):
        answer = api.whats_new("*/twins", since="2024-11-23T00:00:00Z", metrics="val/acc")
    assert [row.what for row in answer.data] == ["finished"] * 4


def test_first_question_reads_the_own_workspace_with_the_list(state: State, api: OpenApi) -> None:
    lists = ("/(group/|groups|project/kites-test3)$", 3)
    with in_one_round(state, ("/login/", 1), lists, ("/project/kites-test2$", 1), ALL_PAGES):
        assert api.find_experiments("*/deep*").code == 200


def test_question_about_a_workspace_takes_three_round_trips(state: State, api: OpenApi) -> None:
    assert api.get_user().code == 200
    with in_one_round(state, ("/project/kites-test3$", 1), ("/runs$", 6)):
        answer = api.aggregate_experiments("kites-test3/deep*", group_by="user")
    assert answer.data[0].count == 500


def test_requests_about_three_thousand_experiments_are_few(state: State, api: OpenApi) -> None:
    answer = api.aggregate_experiments("*", group_by="project", metrics="val/acc")
    assert [one.count for one in answer.data] == [250] * 12
    kinds = Counter(one.raw_path.rpartition("/")[2] for one in state.calls)
    assert kinds == {
        "api_key": 1,
        "": 1,
        "groups": 1,
        "kites-test2": 1,
        "kites-test3": 1,
        "runs": 36,
        # one more for each project, whose first experiments name the training losses
        "summaries": 24,
    }


def test_diagnosis_reads_the_experiment_once(state: State, api: OpenApi) -> None:
    ref = state.projects[0].experiments[0].cuid
    assert api.diagnose_experiment("kites-test3/deep0", ref).code == 200
    assert [one.raw_path.endswith(f"/runs/{ref}") for one in state.calls].count(True) == 1


def test_list_that_grew_or_shrank_is_complete(state: State, api: OpenApi) -> None:
    project = state.projects[0]
    whole = project.experiments
    for beyond in ("empty", "error"):
        state.variants.page_beyond_last = beyond
        for count in (250, 40, 220, 200, 201):
            project.experiments = whole[:count]
            assert api.list_projects("kites-test3").code == 200
            for now in (count, 150, 210, 250):
                project.experiments = whole[:now]
                found = api.list_project_exps("deep0").data
                assert [one.cuid for one in found] == [one.cuid for one in whole[:now]]
    project.experiments = whole
