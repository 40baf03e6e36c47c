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
from tests.fake_swanlab import BEGINNING, Fault, State

ALL_PAGES = ("/runs$", 12)
LISTS = ("/(group/|groups|project/kites-test[23])$", 4)
# the summaries of 250 experiments, and those that name the training losses, in 4 projects
SUMMARIES = ("/summaries$", 8)
QUESTIONS: dict[str, tuple[str, dict[str, Any], tuple[tuple[str, int], ...]]] = {
    "counts": ("aggregate_experiments", {"group_by": ["user"]}, (ALL_PAGES,)),
    "statistics": ("aggregate_experiments", {"metrics": ["val/acc"]}, (ALL_PAGES, SUMMARIES)),
    "filters": (
        "find_experiments",
        {"filters": [{"field": "config.lr", "op": "=", "value": "0.1"}]},
        (ALL_PAGES,),
    ),
    "filtered statistics": (
        "aggregate_experiments",
        {"metrics": ["val/acc"], "filters": [{"field": "config.lr", "op": "=", "value": "0.1"}]},
        (ALL_PAGES, SUMMARIES),
    ),
}


@pytest.fixture(scope="module")
def world() -> State:
    """Return 12 projects of 250 experiments in two workspaces; four of them are called deep."""
    state = State()
    state.add_user("kites-test3")
    spaces = [state.add_workspace(name, kites_test3="OWNER") for name in ("kites-test3", "kites-test2")]
    for number in range(12):
        project = state.add_project(spaces[number % 2], f"{'deep' if number < 4 else 'more'}{number}")
        for place in range(250):
            state.add_experiment(
                project,
                f"run-{place}",
                finished_at=BEGINNING + timedelta(days=1),
                config={"lr": (0.1, 0.2)[place % 2]},
                metrics={"val/acc": [(0, place / 250)], "train/loss": [(0, 0.5)]},
            )
    return state


@pytest.fixture
def state(world: State) -> Iterator[State]:
    world.calls.clear()
    yield world
    world.faults.clear()


@pytest.fixture
def api(host: str) -> Iterator[OpenApi]:
    # a missing request would be awaited until then
    with OpenApi("test-key", host=host, timeout=10) as api:
        yield api


@contextmanager
def in_one_round(state: State, *rounds: tuple[str, int]) -> Iterator[None]:
    """Answer no request to a path of a round before all requests of the round have arrived."""
    state.calls.clear()
    for path, count in rounds:
        state.faults.append(hold(path, count))
    yield
    assert [fault.hits for fault in state.faults] == [count for _, count in rounds]
    assert len(state.calls) == sum(count for _, count in rounds)
    state.faults.clear()


def hold(path: str, count: int) -> Fault:
    arrived, is_complete = itertools.count(1), threading.Event()

    def arrive() -> None:
        if next(arrived) >= count:
            is_complete.set()

    return Fault(path, times=None, then=arrive, until=is_complete)


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_about_everything_takes_three_round_trips(question: str, state: State, api: OpenApi) -> None:
    name, arguments, rounds = QUESTIONS[question]
    assert api.list_workspaces().code == 200
    with in_one_round(state, LISTS, *rounds):
        answer = getattr(api, name)("*/deep*", **arguments)
    assert answer.code == 200, answer.errmsg


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
