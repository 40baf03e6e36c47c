"""If one of several keys or experiments is unknown, the reply covers the others, and a note names the unknown one."""

from __future__ import annotations

from typing import Any

import pytest

from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import State

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _project(state: State) -> None:
    project = state.add_project(state.workspaces[0], "study")
    for number in range(3):
        state.add_experiment(
            project,
            f"run-{number}",
            cuid=f"run{number}",
            config={"lr": number},
            metrics={
                "val/acc": [(step, number + step / 100) for step in range(50)],
                "best_val_acc": [(step, number + 1.0) for step in range(50)],
                "loss": [(0, 1.0), (49, 0.5)],
            },
        )


async def call(settings: Settings, tool: str, **arguments: Any) -> dict[str, Any]:
    async with session(settings) as client:
        result = await client.call_tool(tool, {"project": "study", **arguments})
    assert not result.is_error, text_of(result)
    return {**(result.structured_content or {}), "text": text_of(result)}


async def refuse(settings: Settings, tool: str, **arguments: Any) -> str:
    async with session(settings) as client:
        result = await client.call_tool(tool, {"project": "study", **arguments})
    assert result.is_error
    return text_of(result)


KEYS = {"get_metrics": "keys", "plot_metrics": "keys", "compare_experiments": "metrics"}


@pytest.mark.parametrize("tool", [*KEYS, "list_metrics", "get_environment"])
async def test_unknown_experiment_is_noted_and_the_others_are_answered(settings: Settings, tool: str) -> None:
    keys = {KEYS[tool]: ["loss"]} if tool in KEYS else {}
    reply = await call(settings, tool, exp_cuids=["run-0", "rum-1", "run-2"], **keys)
    assert "note: There is no experiment 'rum-1' in kites-test3/study. Did you mean run-1 (run1)" in reply["text"]
    if tool == "get_metrics":
        assert [one["exp_cuid"] for one in reply["data"]] == ["run0", "run2"]
    if tool == "compare_experiments":
        assert reply["data"]["metrics"][0]["last"] == [0.5, 0.5]


@pytest.mark.parametrize("tool", [*KEYS, "list_metrics", "get_environment"])
async def test_only_unknown_experiments_are_an_error(settings: Settings, tool: str) -> None:
    keys = {KEYS[tool]: ["loss"]} if tool in KEYS else {}
    assert "no experiment 'rum-1'" in await refuse(settings, tool, exp_cuids=["rum-1", "rum-2"], **keys)


async def test_comparison_with_one_known_experiment_names_the_unknown(settings: Settings) -> None:
    assert "no experiment 'rum-1'" in await refuse(settings, "compare_experiments", exp_cuids=["run-0", "rum-1"])


@pytest.mark.parametrize("tool", [*KEYS, "get_exp_summary"])
@pytest.mark.parametrize("pattern", [[], ["lo*"]])
async def test_unknown_key_is_noted_and_the_others_are_answered(
    settings: Settings, tool: str, pattern: list[str]
) -> None:
    if pattern and tool == "compare_experiments":
        pytest.skip("metrics take no wildcards")
    whose = {"exp_cuid": "run-0"} if tool == "get_exp_summary" else {"exp_cuids": ["run-0", "run-1"]}
    reply = await call(settings, tool, **whose, **{KEYS.get(tool, "keys"): [*pattern, "loss", "val/los", "vall/acc"]})
    notes = [line for line in reply["text"].splitlines() if line.startswith("note:") and "val/los" in line]
    assert notes
    assert "vall/acc" in reply["text"]
    assert "val/acc" in notes[0]
    assert "loss" in reply["text"]
    if tool == "get_exp_summary":
        assert [*reply["data"]] == ["loss"]
    if tool == "compare_experiments":
        assert [one["key"] for one in reply["data"]["metrics"]] == ["loss"]


@pytest.mark.parametrize("tool", [*KEYS, "get_exp_summary"])
async def test_only_unknown_keys_are_an_error(settings: Settings, tool: str) -> None:
    whose = {"exp_cuid": "run-0"} if tool == "get_exp_summary" else {"exp_cuids": ["run-0", "run-1"]}
    reply = await refuse(settings, tool, **whose, **{KEYS.get(tool, "keys"): ["val/los", "vall/acc"]})
    assert "val/los" in reply


@pytest.mark.parametrize(
    ("part", "total"),
    [({"head": 3}, 3), ({"tail": 4}, 4), ({"around": 20}, 11), ({"start": "40"}, 10), ({}, 50)],
)
async def test_part_of_a_series_reports_the_total_of_the_series(
    settings: Settings, part: dict[str, Any], total: int
) -> None:
    reply = await call(settings, "get_metrics", exp_cuids=["run-0"], keys=["val/acc"], **part)
    (row,) = reply["data"]
    assert (row["total"], row.get("series_total", row["total"])) == (total, 50)
