"""Simulate a night of experiments, in which a scripted agent uses the tools to save GPU time and keep the best run."""

from __future__ import annotations

import re
from dataclasses import replace
from statistics import median

import pytest

from swanlab_mcp.settings import Settings
from tests.conftest import session
from tests.evals.night import BEST, DUPLICATES, LENGTH, build_night, run_agent
from tests.evals.night_cases import NIGHT_CASES, build_evening
from tests.evals.runner import Case, play
from tests.fake_swanlab import State

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", [11, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(10))])
async def test_agent_keeps_the_best_run_and_saves_half_of_the_gpu_time(
    settings: Settings, state: State, seed: int
) -> None:
    night = build_night(state, seed)
    async with session(replace(settings, is_cached=False)) as client:
        kept, calls = await run_agent(client, night)
    assert kept == [BEST]
    assert not DUPLICATES.keys() & night.started.keys()
    assert night.used <= 0.5 * LENGTH * len(night.plans)
    assert calls <= 60
    assert len(state.projects[-1].experiments) + len(DUPLICATES) == 40


@pytest.mark.parametrize("case", NIGHT_CASES, ids=lambda case: case.name)
async def test_questions_of_a_night_are_answered(settings: Settings, state: State, case: Case) -> None:
    build_evening(state)
    async with session(replace(settings, is_cached=False)) as client:
        verdict = await play(client, case)
    assert not verdict.faults, verdict.text


@pytest.mark.exhaustive
async def test_half_of_the_answers_take_less_than_500_tokens(settings: Settings, state: State) -> None:
    build_evening(state)
    async with session(replace(settings, is_cached=False)) as client:
        tokens = [(await play(client, case)).tokens for case in NIGHT_CASES]
    chinese = [case for case in NIGHT_CASES if re.search(r"[\u4e00-\u9fff]{3}", case.question)]
    assert (len(NIGHT_CASES), len(chinese)) == (24, 12)
    assert all(case.name.endswith("-zh") == (case in chinese) for case in NIGHT_CASES)
    assert median(tokens) < 500
