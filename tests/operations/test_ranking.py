from __future__ import annotations

import json
import math
import random
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.leaderboard import Result, order_results, set_apart
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import Fault, State, Variants
from tests.server.test_tools import DEMO, check_forms

pytestmark = pytest.mark.anyio

results = st.builds(
    Result,
    st.none() | st.floats(),
    st.integers(0, 100),
    st.floats(),
    st.integers(0, 100),
    st.sampled_from(["FINISHED", "RUNNING", "CRASHED", "UNKNOWN"]),
)


@given(st.lists(results), st.sampled_from(["min", "max"]))
def test_every_result_has_one_place_and_the_best_come_first(found: list[Result], mode: Any) -> None:
    reasons = set_apart(found)
    order = order_results(found, reasons, mode)
    assert sorted(order) == list(range(len(found)))
    is_apart = [bool(reasons[place]) for place in order]
    assert is_apart == sorted(is_apart)
    values = [found[place].value or 0.0 for place in order if not reasons[place]]
    assert values == sorted(values, reverse=mode == "max")
    assert all(math.isfinite(value) for value in values)


def test_the_reasons_tell_what_is_wrong() -> None:
    found = [
        Result(1.0, 5, 1.0, 100, "FINISHED"),
        Result(1.0, 5, 1.0, 100, "FINISHED"),
        Result(1.0, 5, 1.0, 30, "FINISHED"),
        Result(1.0, 5, math.nan, 100, "FINISHED"),
        Result(None, None, None, None, "FINISHED"),
        Result(1.0, 5, 1.0, 100, "ABORTED"),
        Result(1.0, 5, 1.0, 100, "UNKNOWN"),
    ]
    assert [str(one or "") for one in set_apart(found)] == [
        "",
        "",
        "short: ends at step 30, others at 100",
        "NaN or infinite",
        "without the metric",
        "aborted",
        "no end recorded",
    ]
    assert set_apart(found, by_state=False, by_length=False)[2] is None


async def rank(settings: Settings, **arguments: Any) -> dict[str, Any]:
    async with session(settings) as client:
        result = await client.call_tool("rank_experiments", arguments)
    return check_forms(result)


async def test_the_demo_is_ranked_with_seed_noise_told() -> None:
    told = await rank(DEMO, project="digits-mlp", metric="val/acc")
    rows, notes = told["data"], "\n".join(told["notes"])
    assert (rows[0]["name"], rows[0]["value"], rows[0]["step"]) == ("width-128-64", 0.986667, 26)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 4, 6, 7, 7, 9, 10]
    assert all(row["within_noise"] for row in rows[1:])
    assert "within_noise" not in rows[0]
    assert len(rows[0]["config"]) <= 6
    assert "best_val_acc" not in rows[0]["config"]
    assert "'acc' in the key: larger is better" in notes
    assert "from 2 of 12 settings (df 4)" in notes
    assert "Set apart, after the 16 ranked: 1 crashed, 1 no end recorded, 1 aborted." in notes
    assert told["page"] == {
        "returned": 10,
        "total": 19,
        "order": "by val/acc (best), largest first",
        "next": "page=2 size=10",
    }


async def test_a_loss_is_ranked_from_below_and_nan_is_set_apart() -> None:
    told = await rank(DEMO, project="digits-mlp", metric="val/loss", page=2)
    assert (await rank(DEMO, project="digits-mlp", metric="val/loss"))["data"][0]["name"] == "lr-0.1"
    apart = {row["name"]: row["apart"] for row in told["data"] if "apart" in row}
    assert apart["lr-100-wd-0.1"] == "NaN or infinite"
    assert apart["cosine-128-64-ckpt"] == "crashed"
    assert apart["aug-256-128-long"] == "no end recorded"
    assert not any("rank" in row for row in told["data"] if "apart" in row)


async def test_repeats_are_ranked_as_one_setting_with_a_verdict() -> None:
    told = await rank(DEMO, project="digits-mlp", metric="val/acc", by_seed=True, size=100)
    by_name = {row["name"]: row for row in told["data"]}
    wide = by_name["width-128-64-seed2"]
    assert (wide["rank"], wide["n"], wide["deviation"]) == (1, 3, 0.00463)
    assert wide["cuids"] == ["uy621mbi", "uj0w5xcw", "a7mda5lt"]
    assert by_name["lr-0.1-seed2"]["verdict"] == "within noise"
    assert by_name["lr-0.001"]["verdict"] == "real"
    notes = "\n".join(told["notes"])
    assert "Second minus first:" in notes
    assert "not corrected for many comparisons" in notes


async def test_each_page_of_settings_is_judged_against_the_first() -> None:
    second = await rank(DEMO, project="digits-mlp", metric="val/acc", by_seed=True, page=2, size=5)
    assert [row["rank"] for row in second["data"]] == [6, 7, 8, 9, 10]
    assert [row["verdict"] for row in second["data"]] == ["cannot tell", "real", "real", "real", "real"]
    assert any(note.startswith("Second minus first:") for note in second["notes"])


async def test_progress_is_compared_at_the_same_step() -> None:
    told = await rank(DEMO, project="digits-mlp", metric="val/loss", at="step:30", size=100)
    by_name = {row["name"]: row for row in told["data"]}
    assert by_name["cosine-128-64-ckpt"]["step"] == 30
    assert by_name["cosine-128-64-ckpt"]["rank"] > 0
    assert by_name["wd-0.01"]["apart"] == "not there yet: ends at step 27"
    assert by_name["lr-100-wd-0.1"]["apart"] == "NaN or infinite"
    smoothed = await rank(DEMO, project="digits-mlp", metric="val/loss", at="smoothed", size=1)
    assert smoothed["data"][0]["value"] == 0.0690151
    begun = await rank(DEMO, project="digits-mlp", metric="val/loss", at="step:0", size=1)
    assert begun["data"][0]["apart"].startswith("begins later: at step 1")
    last = await rank(DEMO, project="digits-mlp", metric="val/loss", at="last", size=1, unfinished=True)
    assert last["data"][0]["value"] == 0.0708036


async def test_an_unknown_direction_gives_both_ends_and_asks() -> None:
    told = await rank(DEMO, project="digits-mlp", metric="grad_norm")
    assert [row["end"] for row in told["data"]] == ["smallest"] * 5 + ["largest"] * 5
    assert not any("rank" in row for row in told["data"])
    assert any("Ask the user, then give mode=min or mode=max." in note for note in told["notes"])
    decided = await rank(DEMO, project="digits-mlp", metric="grad_norm", mode="min")
    assert decided["data"][0]["rank"] == 1
    assert "Direction: as asked." in decided["notes"]


@pytest.fixture
def thousands(state: State) -> None:
    project = state.add_project(state.workspaces[0], "thousands")
    source = random.Random(3)
    for number in range(3000):
        lr, seed = 10 ** source.uniform(-4, -1), number % 3
        value = 1 - abs(math.log10(lr) + 2.5) / 10 + source.gauss(0, 0.002)
        state.add_experiment(
            project,
            f"resnet50-imagenet-sweep-{number:04d}",
            cuid=f"cuid-of-21-chars-{number:04d}",
            state="RUNNING" if number == 7 else "FINISHED",
            config={
                "optimizer": {"lr": round(lr, 3), "name": "adamw"},
                "batch_size": 2 ** (number % 4 + 5),
                "seed": seed,
                "dropout": number % 5 / 10,
                "model": "resnet50",
                "warmup_steps": 500 * (number % 3),
            },
            metrics={"val/acc": [(0, 0.1), (500, 2.0 if number == 7 else value), (1000, value - 0.01)]},
        )


async def test_of_an_empty_project_no_summaries_are_asked(settings: Settings, state: State) -> None:
    state.add_project(state.workspaces[0], "empty")
    async with session(settings) as client:
        result = await client.call_tool("rank_experiments", {"project": "empty", "metric": "val/acc"})
    assert "The project holds no experiments yet." in text_of(result)
    assert not state.get_calls("/metrics/")


@pytest.mark.usefixtures("thousands")
async def test_summaries_are_asked_for_while_pages_are_on_their_way(settings: Settings, state: State) -> None:
    asked = threading.Event()
    state.faults = [
        Fault("/thousands/runs$", query={"page": "30"}, until=asked),
        Fault("/metrics/summaries$", then=asked.set),
    ]
    async with session(settings) as client:
        result = await client.call_tool("rank_experiments", {"project": "thousands", "metric": "val/acc"})
    assert check_forms(result)["page"]["total"] == 3000
    assert [fault.hits for fault in state.faults] == [1, 10]


@pytest.mark.usefixtures("thousands")
@pytest.mark.parametrize("form", ["current", "legacy"])
async def test_thousands_are_ranked_in_one_small_answer(settings: Settings, state: State, form: Any) -> None:
    state.variants = Variants(summaries=form)
    async with session(settings) as client:
        result = await client.call_tool("rank_experiments", {"project": "thousands", "metric": "val/acc"})
    told = check_forms(result)
    assert told["page"]["total"] == 3000
    values = [row["value"] for row in told["data"]]
    assert values == sorted(values, reverse=True)
    assert told["data"][0]["config"]["optimizer.lr"] == pytest.approx(10**-2.5, abs=0.002)
    assert next(iter(told["data"][0]["config"])) == "optimizer.lr"
    assert count_tokens(text_of(result)) <= 1500
    assert count_tokens(json.dumps(told, ensure_ascii=False, separators=(",", ":"))) <= 1500
    notes = "\n".join(told["notes"])
    assert "between repeats (they differ only in seed), from" in notes
    assert "Set apart, after the 2999 ranked: 1 running." in notes
    assert "cuid-of-21-chars-0007, running) has the best value: 2." in notes


@pytest.mark.usefixtures("thousands")
async def test_what_is_too_much_to_read_is_refused_with_what_to_do(settings: Settings) -> None:
    async with session(settings) as client:
        result = await client.call_tool(
            "rank_experiments", {"project": "thousands", "metric": "val/acc", "at": "step:500"}
        )
        fewer = await client.call_tool(
            "rank_experiments",
            {
                "project": "thousands",
                "metric": "val/acc",
                "at": "step:700",
                "filters": [{"field": "name", "op": "in", "value": ["resnet50-imagenet-sweep-0001"]}],
            },
        )
    assert result.is_error
    assert "at most 100 at once. Choose fewer with filters" in text_of(result)
    assert check_forms(fewer)["data"][0]["step"] == 500


async def test_wrong_questions_are_told_what_is_true(settings: Settings, state: State) -> None:
    state.add_project(state.workspaces[0], "empty")
    async with session(settings) as client:
        for arguments, told in (
            ({"project": "project1", "metric": "los"}, "has a metric 'los'. Near ones: loss."),
            ({"project": "project1", "metric": "zzz"}, "Near ones: "),
            ({"project": "project1", "metric": "loss", "at": "middle"}, "'at'"),
            ({"project": "project1", "metric": "loss", "mode": "best"}, "'mode'"),
        ):
            result = await client.call_tool("rank_experiments", arguments)
            assert result.is_error
            assert told in text_of(result)
        empty = await client.call_tool("rank_experiments", {"project": "empty", "metric": "loss"})
        none = await client.call_tool(
            "rank_experiments",
            {"project": "project1", "metric": "loss", "filters": [{"field": "state", "op": "=", "value": "CRASHED"}]},
        )
    assert "The project holds no experiments yet." in text_of(empty)
    assert "meet the filters" in text_of(none)


async def test_one_experiment_without_repeats_cannot_be_told_from_noise(settings: Settings) -> None:
    told = await rank(settings, project="project1", metric="loss")
    assert told["data"][0]["rank"] == 1
    assert any(note.startswith("Noise: cannot tell") for note in told["notes"])


@pytest.mark.parametrize("extremes", ["bare", "absent"])
async def test_servers_that_tell_less_about_extremes_are_ranked_or_say_so(
    settings: Settings, state: State, extremes: Any
) -> None:
    state.variants = Variants(extremes=extremes)
    told = await rank(settings, project="project1", metric="loss")
    if extremes == "bare":
        assert "value" in told["data"][0]
    else:
        assert "rank" in told["data"][0] or "at=last" in told["data"][0]["apart"]
