"""Runs on disk get the same verdicts as the same runs in the cloud."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.evals.curves import Series
from tests.evals.further_curves import draw_further
from tests.evals.kinds_curves import draw_kinds
from tests.evals.unseen_curves import draw_unseen
from tests.fake_swanlab import State
from tests.run_files import BEGAN, encode_finish, encode_point, write_run

pytestmark = pytest.mark.anyio

# fields that differ between disk and cloud by design
_OWN = ("link", "cuid", "project")
_EVERY = 6


def write_metrics(folder: Path, name: str, metrics: Mapping[str, Series]) -> None:
    """Write a run with its points in step order, as training code logs them."""
    points = sorted(
        (step, key, value)
        for key, (steps, values) in metrics.items()
        for step, value in zip(steps, values, strict=True)
    )
    records = [
        encode_point(number, key, step, value, BEGAN + 1000 * step)
        for number, (step, key, value) in enumerate(points, start=1)
    ]
    write_run(folder, name, [*records, encode_finish()])


def drop_own(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: drop_own(value) for key, value in data.items() if key not in _OWN}
    return [drop_own(one) for one in data] if isinstance(data, list) else data


async def diagnose_both(
    settings: Settings, state: State, folder: Path, runs: Mapping[str, Mapping[str, Series]]
) -> dict[str, list[dict[str, Any]]]:
    project = state.add_project(state.workspaces[0], "study")
    for name, metrics in runs.items():
        write_metrics(folder, name, metrics)
        points = {
            key: [(step, value, BEGAN + 1000 * step) for step, value in zip(steps, values, strict=True)]
            for key, (steps, values) in metrics.items()
        }
        state.add_experiment(project, name, cuid=name, metrics=points)
    found: dict[str, list[dict[str, Any]]] = {}
    async with session(dataclasses.replace(settings, log_dirs=(folder,))) as client:
        for name in runs:
            for path in ("study", "local/made"):
                result = await client.call_tool("diagnose_experiment", {"project": path, "exp_cuid": name})
                assert not result.is_error, text_of(result)
                found.setdefault(name, []).append(drop_own(result.structured_content["data"]))
    return found


@pytest.mark.parametrize("draw", [draw_kinds, draw_unseen, draw_further])
async def test_runs_on_disk_get_the_verdicts_of_the_cloud(
    settings: Settings, state: State, tmp_path: Path, draw: Any
) -> None:
    runs = {f"case{number}": case.metrics for number, case in enumerate(draw(7)[::_EVERY])}
    for name, (cloud, disk) in (await diagnose_both(settings, state, tmp_path, runs)).items():
        assert disk == cloud, name


async def test_non_finite_values_on_disk_get_the_verdicts_of_the_cloud(
    settings: Settings, state: State, tmp_path: Path
) -> None:
    steps = list(range(60))
    falling = [2 - step / 40 for step in steps]
    odd = {"last": range(50, 60), "one": (30,), "all": range(60), "first": (0, 1), "two": (20, 40)}
    runs: dict[str, dict[str, Series]] = {}
    for key in ("train/loss", "val/acc", "grad_norm", "loss_D"):
        for number, (when, indices) in enumerate(odd.items()):
            bad = (math.nan, math.inf, -math.inf)[number % 3]
            values = [bad if step in indices else falling[step] for step in steps]
            runs[f"r{len(runs)}{when}"] = {"loss": (steps, falling), key: (steps, values)}
    for name, (cloud, disk) in (await diagnose_both(settings, state, tmp_path, runs)).items():
        assert disk == cloud, (name, runs[name].keys())


async def test_rankings_on_disk_exclude_the_same_runs_as_in_the_cloud(
    settings: Settings, state: State, tmp_path: Path
) -> None:
    steps = list(range(60))
    falling, rising = [2 - step / 40 for step in steps], [step / 100 for step in steps]
    lost = [math.nan if step > 40 else 0.5 + step % 3 for step in steps]
    project = state.add_project(state.workspaces[0], "study")
    keys = ("none", "loss_D", "grad_norm", "train/policy_gradient_loss", "critic/vf_loss", "val/acc")
    calm: dict[str, Series] = dict.fromkeys(keys, (steps, rising))
    for key in keys:
        name = key.replace("/", "-")
        metrics: dict[str, Series] = {**calm, "train/loss": (steps, falling), key: (steps, lost)}
        write_metrics(tmp_path, name, metrics)
        points = {one: list(zip(*series, strict=True)) for one, series in metrics.items()}
        state.add_experiment(project, name, cuid=name, metrics=points)
    apart: list[dict[str, str]] = []
    async with session(dataclasses.replace(settings, log_dirs=(tmp_path,))) as client:
        for path in ("study", "local/made"):
            result = await client.call_tool("rank_experiments", {"project": path, "metric": "val/acc"})
            rows = result.structured_content["data"]
            apart.append({row["name"]: row["apart"] for row in rows if "apart" in row})
    assert apart[0] == apart[1]
    assert len(apart[0]) == len(keys) - 1
