"""A simulated night of experiments: a scripted agent with these tools saves GPU time and keeps the best run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swanlab_mcp.settings import Settings
from tests.conftest import session
from tests.evals.night import BEST, DUPLICATES, LENGTH, build_night, run_agent
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
