from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.forecast import draw_trainings
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import State

pytestmark = pytest.mark.anyio

RUNNING = {"project": "sweep", "exp_cuid": "running", "metric": "val/loss"}


@pytest.fixture
def state(state: State) -> State:
    """Return a project with 14 finished runs of 80 steps, and a running experiment that is halfway through."""
    project = state.add_project(state.workspaces[0], "sweep", cuid="sweep")
    *finished, running = draw_trainings(7, 15)
    for number, one in enumerate(finished):
        points = list(zip(one.steps, one.values, strict=True))
        state.add_experiment(
            project, f"run-{number}", cuid=f"run{number}", config=one.config, metrics={"val/loss": points}
        )
    seen = list(zip(running.steps[:40], running.values[:40], strict=True))
    metrics = {"val/loss": seen, "odd": [(step, value) for step, value in seen]}
    state.add_experiment(project, "running", cuid="running", state="RUNNING", config=running.config, metrics=metrics)
    return state


async def ask(settings: Settings, **changes: Any) -> dict[str, Any]:
    async with session(settings) as client:
        result = await client.call_tool("forecast_experiment", {**RUNNING, **changes})
    assert not result.is_error, text_of(result)
    return result.structured_content["data"]


async def refuse(settings: Settings, **changes: Any) -> str:
    async with session(settings) as client:
        result = await client.call_tool("forecast_experiment", {**RUNNING, **changes})
    assert result.is_error
    return text_of(result)


async def test_running_experiment_is_forecast_to_the_usual_end(settings: Settings) -> None:
    found = await ask(settings)
    assert (found["step"], found["until_step"], found["cohort_size"]) == (39, 79, 14)
    end = draw_trainings(7, 15)[-1].values[-1]
    assert found["low"] <= end <= found["high"]
    assert found["rank_now"].endswith("/15")
    assert found["advice"] in ("keep", "kill")


async def test_finished_experiment_shows_how_good_the_forecast_was(settings: Settings) -> None:
    found = await ask(settings, exp_cuid="run3", as_of_step=30)
    assert (found["step"], found["until_step"], found["cohort_size"]) == (30, 79, 13)
    assert found["actual"] == pytest.approx(draw_trainings(7, 15)[3].values[-1], rel=1e-3)


async def test_nan_metric_gets_the_advice_to_kill(settings: Settings, state: State) -> None:
    running = next(one for one in state.projects[-1].experiments if one.cuid == "running")
    running.metrics["val/loss"] = [*running.metrics["val/loss"], (40, math.nan)]
    found = await ask(settings)
    assert found["advice"] == "kill"
    assert "NaN" in found["reason"]


async def test_broken_experiment_is_not_in_the_cohort(settings: Settings, state: State) -> None:
    project = state.projects[-1]
    points = [(step, 0.5 if step < 60 else math.nan) for step in range(80)]
    state.add_experiment(project, "broken", cuid="broken", config={"lr": 0.1}, metrics={"val/loss": points})
    found = await ask(settings)
    assert "broken" not in found["cohort"]
    assert (found["cohort_size"], found["rank_now"].partition("/")[2]) == (14, "15")


async def test_few_finished_experiments_give_no_advice(settings: Settings, state: State) -> None:
    del state.projects[-1].experiments[1:-4]
    found = await ask(settings)
    assert (found["advice"], found["cohort_size"]) == ("cannot tell", 0)
    assert "chance_best" not in found
    assert "Fewer than 5" in found["reason"]


async def test_unknown_direction_gives_no_advice(settings: Settings, state: State) -> None:
    for one in state.projects[-1].experiments:
        one.metrics["odd"] = one.metrics["val/loss"]
    found = await ask(settings, metric="odd")
    assert found["advice"] == "cannot tell"
    assert "mode=min" in found["reason"]
    assert (await ask(settings, metric="odd", mode="min"))["advice"] in ("keep", "kill")


async def test_impossible_forecast_explains_what_to_do(settings: Settings) -> None:
    assert "at least 3" in await refuse(settings, as_of_step=1)
    assert "larger until_step" in await refuse(settings, until_step=20)
    assert "already at step 79" in await refuse(settings, exp_cuid="run3")
    assert "has a metric 'val/los'" in await refuse(settings, metric="val/los")
