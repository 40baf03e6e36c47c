from __future__ import annotations

import json
import math
import random
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.leaderboard import Reason, Result, order_results, set_apart
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
def test_every_result_has_a_position_with_the_best_first(found: list[Result], mode: Any) -> None:
    reasons = set_apart(found)
    order = order_results(found, reasons, mode)
    assert sorted(order) == list(range(len(found)))
    is_apart = [bool(reasons[index]) for index in order]
    assert is_apart == sorted(is_apart)
    values = [found[index].value or 0.0 for index in order if not reasons[index]]
    assert values == sorted(values, reverse=mode == "max")
    assert all(math.isfinite(value) for value in values)


def test_excluded_results_have_reasons() -> None:
    found = [
        Result(1.0, 5, 1.0, 100, "FINISHED"),
        Result(1.0, 5, 1.0, 100, "FINISHED"),
        Result(1.0, 5, 1.0, 30, "FINISHED"),
        Result(1.0, 5, math.nan, 100, "FINISHED"),
        Result(None, None, None, None, "FINISHED"),
        Result(1.0, 5, 1.0, 100, "ABORTED"),
        Result(1.0, 5, 1.0, 100, "UNKNOWN"),
    ]
    reasons = set_apart(found)
    assert [one and one.kind for one in reasons] == [
        None, None, "short", "non-finite", "missing", "aborted", "no end",
    ]  # fmt: skip
    assert reasons[2] == Reason("short", 30, 100)
    assert set_apart(found, by_state=False, by_length=False)[2] is None


async def rank(settings: Settings, **arguments: Any) -> dict[str, Any]:
    async with session(settings) as client:
        result = await client.call_tool("rank_experiments", arguments)
    return check_forms(result)


async def test_demo_ranking_reports_seed_noise() -> None:
    reply = await rank(DEMO, project="digits-mlp", metric="val/acc")
    rows, notes = reply["data"], "\n".join(reply["notes"])
    assert (rows[0]["name"], rows[0]["value"], rows[0]["step"]) == ("width-128-64", 0.986667, 26)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 4, 6, 7, 7, 9, 10]
    assert all(row["within_noise"] for row in rows[1:])
    assert "within_noise" not in rows[0]
    assert len(rows[0]["config"]) <= 6
    assert "best_val_acc" not in rows[0]["config"]
    assert "'acc' in the key: larger is better" in notes
    assert "from 2 of 11 settings (df 4)" in notes
    assert "Listed after the 15 ranked experiments: 1 crashed, 1 no end recorded, 1 aborted, 1 broken." in notes
    assert reply["page"] == {
        "returned": 10,
        "total": 19,
        "order": "by val/acc (best), largest first",
        "next": "page=2 size=10",
    }


async def test_loss_is_ranked_ascending_and_nan_is_not_ranked() -> None:
    reply = await rank(DEMO, project="digits-mlp", metric="val/loss", page=2)
    assert (await rank(DEMO, project="digits-mlp", metric="val/loss"))["data"][0]["name"] == "lr-0.1"
    apart = {row["name"]: row["apart"] for row in reply["data"] if "apart" in row}
    assert apart["lr-100-wd-0.1"] == "NaN or infinite"
    assert apart["cosine-128-64-ckpt"] == "crashed"
    assert apart["aug-256-128-long"] == "no end recorded"
    assert not any("rank" in row for row in reply["data"] if "apart" in row)


async def test_repeats_are_ranked_as_a_setting_with_a_verdict() -> None:
    reply = await rank(DEMO, project="digits-mlp", metric="val/acc", by_seed=True, size=100)
    wide, second = reply["data"][:2]
    assert (wide["rank"], wide["n"], wide["deviation"]) == (1, 3, 0.00463)
    assert (wide["name"], wide["best"]) == ("hidden=[128, 64]", "width-128-64")
    assert (wide["cuid"], wide["value"], wide["best_value"]) == ("a7mda5lt", 0.981481, 0.986667)
    assert wide["cuids"] == ["uy621mbi", "uj0w5xcw", "a7mda5lt"]
    assert (second["best"], second["verdict"]) == ("lr-0.1", "within noise")
    assert second["low"] < second["difference"] < 0 < second["high"]
    by_best = {row.get("best", row["name"]): row for row in reply["data"]}
    assert (by_best["lr-0.3"]["verdict"], by_best["lr-0.3"]["why"]) == ("cannot tell", "only one seed")
    assert by_best["lr-1"]["verdict"] == "real"
    notes = "\n".join(reply["notes"])
    assert "studentised range, 95 % confidence for all 11 together" in notes
    assert "Settings that share seeds or folds are compared as paired samples. Weak evidence: few repeats." in notes
    # rows are settings here, so the note counts settings
    assert "Listed after the 11 ranked settings: 1 crashed, 1 no end recorded, 1 aborted, 1 broken." in notes


async def test_each_page_of_settings_is_compared_with_the_first() -> None:
    second = await rank(DEMO, project="digits-mlp", metric="val/acc", by_seed=True, page=2, size=5)
    assert [row["rank"] for row in second["data"]] == [6, 7, 8, 9, 10]
    assert [row["verdict"] for row in second["data"]] == ["cannot tell", "cannot tell", "real", "real", "real"]


async def test_progress_is_compared_at_the_same_step() -> None:
    reply = await rank(DEMO, project="digits-mlp", metric="val/loss", at="step:30", size=100)
    by_name = {row["name"]: row for row in reply["data"]}
    assert by_name["cosine-128-64-ckpt"]["step"] == 30
    assert by_name["cosine-128-64-ckpt"]["rank"] > 0
    assert by_name["wd-0.01"]["apart"] == "step not reached yet: ends at step 27"
    assert by_name["lr-100-wd-0.1"]["apart"] == "NaN or infinite"
    smoothed = await rank(DEMO, project="digits-mlp", metric="val/loss", at="smoothed", size=1)
    assert smoothed["data"][0]["value"] == 0.0690151
    early = await rank(DEMO, project="digits-mlp", metric="val/loss", at="step:0", size=1)
    assert early["data"][0]["apart"].startswith("starts at a later step: at step 1")
    last = await rank(DEMO, project="digits-mlp", metric="val/loss", at="last", size=1, unfinished=True)
    assert last["data"][0]["value"] == 0.0708036


async def test_unknown_direction_shows_both_ends_and_requests_a_mode() -> None:
    reply = await rank(DEMO, project="digits-mlp", metric="grad_norm")
    assert [row["end"] for row in reply["data"]] == ["smallest"] * 5 + ["largest"] * 5
    assert not any("rank" in row for row in reply["data"])
    assert any("Ask the user, then pass mode=min or mode=max." in note for note in reply["notes"])
    decided = await rank(DEMO, project="digits-mlp", metric="grad_norm", mode="min")
    assert decided["data"][0]["rank"] == 1
    assert "Direction: as requested." in decided["notes"]


@pytest.fixture
def thousands(state: State) -> None:
    project = state.add_project(state.workspaces[0], "thousands")
    source = random.Random(3)
    for number in range(3000):
        lr, seed = 10 ** source.uniform(-4, -1), number // 60
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


async def test_empty_project_needs_no_summary_requests(settings: Settings, state: State) -> None:
    state.add_project(state.workspaces[0], "empty")
    async with session(settings) as client:
        result = await client.call_tool("rank_experiments", {"project": "empty", "metric": "val/acc"})
    assert "The project has no experiments yet." in text_of(result)
    assert not state.get_calls("/metrics/")


@pytest.mark.usefixtures("thousands")
async def test_summaries_are_requested_while_pages_load(settings: Settings, state: State) -> None:
    requested = threading.Event()
    state.faults = [
        Fault("/thousands/runs$", query={"page": "30"}, until=requested),
        Fault("/metrics/summaries$", then=requested.set),
    ]
    async with session(settings) as client:
        result = await client.call_tool("rank_experiments", {"project": "thousands", "metric": "val/acc"})
    assert check_forms(result)["page"]["total"] == 3000
    # 10 batches, and one request each for the first and the leading experiments, whose keys show the training losses
    assert [fault.hits for fault in state.faults] == [1, 12]


@pytest.mark.usefixtures("thousands")
@pytest.mark.parametrize("form", ["current", "legacy"])
async def test_ranking_thousands_gives_a_small_reply(settings: Settings, state: State, form: Any) -> None:
    state.variants = Variants(summaries=form)
    async with session(settings) as client:
        result = await client.call_tool("rank_experiments", {"project": "thousands", "metric": "val/acc"})
    shown = check_forms(result)
    assert shown["page"]["total"] == 3000
    values = [row["value"] for row in shown["data"]]
    assert values == sorted(values, reverse=True)
    assert shown["data"][0]["config"]["optimizer.lr"] == pytest.approx(10**-2.5, abs=0.002)
    assert next(iter(shown["data"][0]["config"])) == "optimizer.lr"
    assert count_tokens(text_of(result)) <= 1500
    assert count_tokens(json.dumps(shown, ensure_ascii=False, separators=(",", ":"))) <= 1500
    notes = "\n".join(shown["notes"])
    assert "between repeats (they differ only in seed), from" in notes
    assert "Listed after the 2999 ranked experiments: 1 running." in notes
    assert "cuid-of-21-chars-0007, running) has the best value: 2." in notes


@pytest.mark.usefixtures("thousands")
async def test_oversized_ranking_is_refused_with_advice(settings: Settings) -> None:
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
    assert "at most 100 can be read at once. Narrow the filters" in text_of(result)
    assert check_forms(fewer)["data"][0]["step"] == 500


async def test_invalid_rankings_are_explained(settings: Settings, state: State) -> None:
    state.add_project(state.workspaces[0], "empty")
    async with session(settings) as client:
        for arguments, expected in (
            ({"project": "project1", "metric": "los"}, "has a metric 'los'. Similar names: loss."),
            ({"project": "project1", "metric": "zzz"}, "Similar names: "),
            ({"project": "project1", "metric": "loss", "at": "middle"}, "at=middle is not best, last, smoothed"),
            ({"project": "project1", "metric": "loss", "at": "val/acc"}, "at must be best, last, smoothed, step:N or"),
            ({"project": "project1", "metric": "loss", "baseline": "nobody"}, "setting is called 'nobody'"),
            ({"project": "project1", "metric": "loss", "mode": "best"}, "'mode'"),
        ):
            result = await client.call_tool("rank_experiments", arguments)
            assert result.is_error
            assert expected in text_of(result)
        empty = await client.call_tool("rank_experiments", {"project": "empty", "metric": "loss"})
        none = await client.call_tool(
            "rank_experiments",
            {"project": "project1", "metric": "loss", "filters": [{"field": "state", "op": "=", "value": "CRASHED"}]},
        )
    assert "The project has no experiments yet." in text_of(empty)
    assert "match the filters" in text_of(none)


async def test_noise_is_unknown_without_repeats(settings: Settings) -> None:
    reply = await rank(settings, project="project1", metric="loss")
    assert reply["data"][0]["rank"] == 1
    assert any(note.startswith("Noise: cannot tell") for note in reply["notes"])


@pytest.mark.parametrize("extremes", ["bare", "absent"])
async def test_servers_with_fewer_extremes_are_ranked_or_explained(
    settings: Settings, state: State, extremes: Any
) -> None:
    state.variants = Variants(extremes=extremes)
    reply = await rank(settings, project="project1", metric="loss")
    if extremes == "bare":
        assert "value" in reply["data"][0]
    else:
        assert "rank" in reply["data"][0] or "at=last" in reply["data"][0]["apart"]


class Sweep:
    """A project of the fake SwanLab to which tests add experiments."""

    def __init__(self, state: State, name: str = "repeats") -> None:
        self.state, self.project = state, state.add_project(state.workspaces[0], name)

    def add(self, name: str, score: float, config: dict[str, Any], **fields: Any) -> None:
        metrics = {"val/acc": [(0, 0.1), (10, score), (20, score - 0.001)], **fields.pop("more", {})}
        self.state.add_experiment(self.project, name, config=config, metrics=metrics, **fields)

    async def rank(self, settings: Settings, **arguments: Any) -> dict[str, Any]:
        return await rank(settings, project=self.project.name, metric="val/acc", **{"by_seed": True} | arguments)


async def test_long_texts_that_differ_late_are_not_shown_as_equal(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "paths")
    for number in range(3):
        config = {"init_from": f"/data/checkpoints/of/the/pretraining/run-{number}/" + "x" * 40, "lr": 0.1}
        state.add_experiment(project, f"n{number}", config=config, metrics={"loss": [(0, 1.0 + number)]})
    async with session(settings) as client:
        result = await client.call_tool("rank_experiments", {"project": "paths", "metric": "loss"})
    shown = [row["config"]["init_from"] for row in result.structured_content["data"]]
    assert len({*shown}) == 3
    assert all(f"run-{number}" in text for number, text in enumerate(shown))


@pytest.fixture
def sweep(state: State) -> Sweep:
    return Sweep(state)


@pytest.mark.parametrize("key", ["seed", "fold", "cv", "split_id", "replicate", "trial_id", "data.split_idx"])
async def test_seed_like_keys_make_repeats(settings: Settings, sweep: Sweep, key: str) -> None:
    for number in range(3):
        sweep.add(f"run-{number}", 0.8 + number / 100, {"lr": 0.1, key: number})
    (row,) = (await sweep.rank(settings))["data"]
    assert (row["n"], row["value"]) == (3, 0.81)


async def test_fold_counts_are_settings(settings: Settings, sweep: Sweep) -> None:
    for number in (5, 10):
        sweep.add(f"run-{number}", 0.8, {"lr": 0.1, "n_folds": number})
    assert [row["n"] for row in (await sweep.rank(settings))["data"]] == [1, 1]


async def test_settings_are_counted_and_named_as_settings(settings: Settings, sweep: Sweep) -> None:
    for number in range(4):
        sweep.add(f"run-{number}", 0.8 + number / 10, {"lr": 0.1 * (1 + number // 2), "seed": number % 2})
    sweep.add("run-4", 0.9, {"lr": 0.1, "seed": 2}, state="CRASHED")
    reply = await sweep.rank(settings)
    # the crashed run repeats the second setting, but is excluded from its mean and listed under its own name
    shown = [(row["name"], row.get("best"), row["value"], row.get("n"), row.get("apart")) for row in reply["data"]]
    assert shown == [
        ("lr=0.2", "run-3", 1.05, 2, None),
        ("lr=0.1", "run-1", 0.85, 2, None),
        ("run-4", None, 0.9, None, "crashed"),
    ]
    assert any(note.startswith("Listed after the 2 ranked settings: 1 crashed.") for note in reply["notes"])


async def test_clones_equal_seeds_and_identical_series_count_once(settings: Settings, sweep: Sweep) -> None:
    sweep.add("a", 0.80, {"lr": 0.1, "seed": 0}, cuid="origin")
    origin = sweep.project, sweep.project.experiments[0]
    sweep.add("copy of a", 0.80, {"lr": 0.1, "seed": 0}, cuid="clone", clone_of=origin)
    sweep.add("a", 0.90, {"lr": 0.1, "seed": 1})
    sweep.add("a", 0.92, {"lr": 0.1, "seed": 1})
    sweep.add("a", 0.92, {"lr": 0.1, "seed": 2})
    sweep.add("a", 0.94, {"lr": 0.1, "seed": 3})
    (row,) = (await sweep.rank(settings))["data"]
    # 0.8 twice (a clone), 0.9 and 0.92 with equal seeds, a duplicate series of 0.92, and 0.94
    assert (len(row["cuids"]), row["n"], row["clones"]) == (6, 3, ["clone"])
    each = await sweep.rank(settings, by_seed=False)
    assert {row["cuid"]: row.get("clone_of") for row in each["data"]}["clone"] == "origin"


@pytest.mark.parametrize("origin", ["command", "commit"])
async def test_equal_seeds_with_other_commands_or_commits_are_not_merged(
    settings: Settings, sweep: Sweep, origin: str
) -> None:
    for number in range(2):
        facts = {"command": f"python train.py --wd 0.{number + 1}"}
        facts = facts if origin == "command" else {"git": {"commit": f"c{number}"}}
        sweep.add(f"run-{number}", 0.8 + number / 20, {"lr": 0.1, "seed": 0}, metadata=facts)
    rows = (await sweep.rank(settings))["data"]
    assert [row["value"] for row in rows] == [0.85, 0.8]
    assert rows[1]["why"].startswith("cannot tell: same config, different command")


@pytest.mark.parametrize("seed", [None, -1, True])
async def test_missing_seeds_are_not_equal_seeds(settings: Settings, sweep: Sweep, seed: Any) -> None:
    for number in range(3):
        sweep.add(f"run-{number}", 0.8 + number / 100, {"lr": 0.1, "seed": seed})
    assert [row["n"] for row in (await sweep.rank(settings))["data"]] == [3]


async def test_seeds_and_folds_are_read_from_the_command(settings: Settings, sweep: Sweep) -> None:
    for number in range(3):
        command = f"python train.py --seed 7 --n_folds 3 --lr 0.1 fold={number // 2}"
        sweep.add(f"swan-{number}", 0.8 + number / 100, {"lr": 0.1}, metadata={"command": command})
    assert [row["n"] for row in (await sweep.rank(settings))["data"]] == [2]


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"command": "python train.py --lr 0.{number}"}},
        {"metadata": {"git": {"commit": "c{number}"}}},
        {"name": "variant-{letter}"},
        {"name": "depth-{number}-seed-7"},
    ],
)
async def test_equal_configs_with_other_commands_commits_or_names_are_not_repeats(
    settings: Settings, sweep: Sweep, fields: dict[str, Any]
) -> None:
    for number in range(3):
        own = json.loads(json.dumps(fields).replace("{number}", str(number + 1)).replace("{letter}", "abc"[number]))
        sweep.add(own.pop("name", f"run-{number}"), 0.8 + number / 100, {"lr": 0.1, "seed": number}, **own)
    for number in range(4):
        sweep.add(f"other-{number}", 0.5 + number / 100, {"lr": 9, "seed": number})
    rows = (await sweep.rank(settings))["data"]
    assert [row["n"] for row in rows] == [1, 1, 1, 4]
    assert rows[1]["verdict"] == "cannot tell"
    assert rows[1]["why"].startswith("cannot tell: same config, different command")


async def test_commands_that_differ_in_seed_output_and_name_are_repeats(settings: Settings, sweep: Sweep) -> None:
    for number in range(3):
        command = f"python train.py base_s{number} --seed {number} --output_dir=out/{number} --lr 0.1"
        sweep.add(f"base_s{number}", 0.8 + number / 100, {"lr": 0.1, "seed": number}, metadata={"command": command})
    assert [row["n"] for row in (await sweep.rank(settings))["data"]] == [3]


@pytest.mark.parametrize("name", ["cv{n}s0-0.1", "seed{n}_fold2-0.1", "s1cv{n}-lr0.1", "base-fold{n}seed3"])
async def test_seeds_and_folds_joined_in_names_make_repeats(settings: Settings, sweep: Sweep, name: str) -> None:
    for number in range(3):
        sweep.add(name.replace("{n}", str(number)), 0.8 + number / 100, {"lr": 0.1})
    sweep.add(name.replace("{n}", "0").replace("0.1", "0.3") + "-wide", 0.5, {"lr": 0.1})
    reply = await sweep.rank(settings)
    assert [row["n"] for row in reply["data"]] == [3, 1]
    assert any("between repeats (their configs are equal)" in note for note in reply["notes"])


async def test_groups_make_repeats_on_request(settings: Settings, sweep: Sweep) -> None:
    for number in range(6):
        where = {"cluster": f"g{number // 3}", "job": f"j{number % 2}"}
        sweep.add(f"{'abcdef'[number]}", 0.8 + number / 100, {"note": number}, **where)
    assert [row["n"] for row in (await sweep.rank(settings))["data"]] == [1] * 6
    assert [row["n"] for row in (await sweep.rank(settings, repeats_by="group"))["data"]] == [3, 3]
    by_job = await sweep.rank(settings, repeats_by="job", by_seed=False)
    assert any("between experiments with the same job (groups with repeats: 2 of 2" in note for note in by_job["notes"])


async def test_every_setting_is_compared_with_a_baseline(settings: Settings, sweep: Sweep) -> None:
    for number in range(4):
        sweep.add(f"base-seed{number}", 0.80 + number / 1000, {"lr": 0.1, "seed": number})
        sweep.add(f"up-seed{number}", 0.90 + (number * 7 % 4) / 1000, {"lr": 0.2, "seed": number})
        sweep.add(f"down-seed{number}", 0.70 + (number * 3 % 4) / 1000, {"lr": 0.3, "seed": number})
        sweep.add(f"near-seed{number}", 0.8003 + (number * 5 % 3) / 1000, {"lr": 0.4, "seed": number})
    sweep.add("single", 0.8018, {"lr": 0.5, "seed": 0})
    for baseline in ("base-seed2", "base", "lr=0.1"):
        rows = (await sweep.rank(settings, baseline=baseline))["data"]
        by_name = {row["name"]: row for row in rows}
        assert by_name["lr=0.1"]["verdict"] == "baseline"
        assert by_name["lr=0.2"]["verdict"] == "better"
        assert by_name["lr=0.2"]["low"] > 0
        assert by_name["lr=0.3"]["verdict"] == "worse"
        assert by_name["lr=0.4"]["verdict"] == "no difference shown"
        assert by_name["lr=0.5"]["verdict"] == "no difference shown"
    sweep.add("stopped", 0.8, {"lr": 7}, state="CRASHED")
    async with session(settings) as client:
        arguments = {"project": "repeats", "metric": "val/acc", "baseline": "stopped"}
        result = await client.call_tool("rank_experiments", arguments)
    assert "The baseline stopped is not ranked" in text_of(result)


async def test_without_repeats_a_baseline_decides_nothing(settings: Settings, sweep: Sweep) -> None:
    for number in range(4):
        sweep.add(f"run-{number}", 0.8 + number / 100, {"lr": number})
    rows = (await sweep.rank(settings, baseline="run-0"))["data"]
    assert [row["verdict"] for row in rows] == ["cannot tell"] * 3 + ["baseline"]


async def test_more_seeds_are_recommended_if_they_would_decide(settings: Settings, sweep: Sweep) -> None:
    source = random.Random(2)
    for number in range(8):
        sweep.add(f"base-{number}", 0.80 + source.gauss(0, 0.01), {"lr": 0.1, "seed": number})
    for number in range(2):
        sweep.add(f"other-{number}", 0.815 + number / 500, {"lr": 0.2, "seed": number})
    rows = (await sweep.rank(settings, baseline="base-0"))["data"]
    other = next(row for row in rows if row["name"] == "lr=0.2")
    assert other["verdict"] == "no difference shown"
    assert "more seed" in other["why"]
    assert other["why"].endswith(("for lr=0.2", "each"))


async def test_single_pair_of_repeats_gives_no_verdict(settings: Settings, sweep: Sweep) -> None:
    for number in range(2):
        sweep.add(f"a-{number}", 0.8 + number / 100, {"lr": 0.1, "seed": number})
    sweep.add("b", 0.5, {"lr": 0.2, "seed": 0})
    reply = await sweep.rank(settings)
    assert reply["data"][1]["verdict"] == "cannot tell"
    assert reply["data"][1]["why"].startswith("cannot tell: only one pair of repeats")
    ungrouped = await sweep.rank(settings, by_seed=False)
    assert not any(row.get("within_noise") for row in ungrouped["data"])
    assert any("cannot tell. There is only one pair of repeats" in note for note in ungrouped["notes"])


async def test_settings_without_a_difference_get_no_verdict(settings: Settings, sweep: Sweep) -> None:
    source = random.Random(5)
    for number in range(60):
        sweep.add(f"s{number}", 0.8 + source.gauss(0, 0.01), {"lr": number // 3, "seed": number % 3})
    rows = (await sweep.rank(settings, size=100))["data"]
    assert [row["verdict"] for row in rows[1:]] == ["within noise"] * 19


@pytest.mark.parametrize(
    "loss", [[1.0, 0.5, math.nan, math.nan], [2.0, *[1.0 - n / 20 for n in range(15)], *[4.0] * 15]]
)
@pytest.mark.parametrize("by_seed", [False, True])
async def test_broken_run_is_not_ranked_first(
    settings: Settings, sweep: Sweep, loss: list[float], *, by_seed: bool
) -> None:
    steady = [(step, 2 - step / 40) for step in range(40)]
    broken = list(enumerate(loss))
    sweep.add("good", 0.8, {"lr": 0.1}, more={"train/loss": steady})
    sweep.add("fine", 0.7, {"lr": 0.2}, more={"train/loss": steady})
    sweep.add("lucky", 0.9, {"lr": 9.0}, more={"train/loss": broken})
    reply = await sweep.rank(settings, by_seed=by_seed)
    assert [row.get("best", row["name"]) for row in reply["data"]] == ["good", "fine", "lucky"]
    assert reply["data"][2]["apart"].startswith("broken: train/loss ")
    assert any("lucky" in note and "best value: 0.9" in note for note in reply["notes"])


async def test_ranked_metric_with_an_earlier_nan_is_excluded(settings: Settings, sweep: Sweep) -> None:
    sweep.add("good", 0.8, {"lr": 0.1})
    sweep.add("odd", 0.9, {"lr": 0.2}, more={"val/acc": [(0, 0.1), (10, math.nan), (20, 0.9), (30, 0.8)]})
    reply = await sweep.rank(settings, by_seed=False)
    assert reply["data"][0]["name"] == "good"
    assert reply["data"][1]["apart"] == "broken: val/acc became NaN or infinite at step 10"


async def test_losses_may_rise_with_a_reward_but_never_become_nan(settings: Settings, sweep: Sweep) -> None:
    for number in range(3):
        reward = [(step, (3 - number) * step / 10) for step in range(60)]
        # the loss of a value function grows with the returns
        loss = [(step, 0.1 + value * value) for step, value in reward]
        policy = [(step, math.nan if number == 1 and step > 40 else 0.01) for step in range(60)]
        more = {"rollout/ep_rew_mean": reward, "train/loss": loss, "train/policy_gradient_loss": policy}
        more |= {"train/loss": policy} if number == 1 else {}
        sweep.add(f"run-{number}", 0.9 - number / 10, {"lr": number}, more=more)
    for metric in ("rollout/ep_rew_mean", "val/acc"):
        reply = await rank(settings, project="repeats", metric=metric)
        assert [row["name"] for row in reply["data"]] == ["run-0", "run-2", "run-1"]
        assert reply["data"][2]["apart"] == "broken: train/loss became NaN or infinite at step 41"
        assert any("With a reward metric, rising losses do not count as divergence." in note for note in reply["notes"])


async def test_policy_losses_that_become_nan_are_broken(settings: Settings, sweep: Sweep) -> None:
    for number in range(2):
        loss = [(step, math.nan if number and step > 40 else 0.01) for step in range(60)]
        more = {"actor/pg_loss": loss, "critic/score/mean": [(step, number + step / 60) for step in range(60)]}
        sweep.add(f"run-{number}", 0.8 + number / 10, {"lr": number}, more=more)
    reply = await sweep.rank(settings, by_seed=False)
    assert reply["data"][1]["apart"] == "broken: actor/pg_loss became NaN or infinite at step 41"


@pytest.mark.parametrize("count", [3, 110])
@pytest.mark.parametrize("key", ["loss_D", "train/grad_norm", "train/policy_gradient_loss", "critic/vf_loss"])
async def test_losses_that_need_not_fall_are_checked_for_nan(
    settings: Settings, sweep: Sweep, key: str, count: int
) -> None:
    falling = [(step, 2 - step / 40) for step in range(60)]
    lost = [(step, math.nan if step > 40 else 0.5) for step in range(60)]
    for number in range(count):
        other = lost if number == 1 else [(step, 0.5 + step % 3) for step in range(60)]
        sweep.add(f"run-{number:03d}", 0.9 - number / 1000, {"lr": number}, more={"train/loss": falling, key: other})
    reply = await sweep.rank(settings, by_seed=False, size=100, page=1 if count < 100 else 2)
    broken = {row["name"]: row["apart"] for row in reply["data"] if "apart" in row}
    assert broken.keys() == {"run-001"}
    # among many runs, points are not read if the last values already show a breakage
    has_step = count < 100 or "norm" in key
    words = "became NaN or infinite at step 41" if has_step else "has NaN or infinite values"
    assert broken["run-001"] == f"broken: {key} {words}"
    assert any(f"Checked for NaN only: {key}." in note for note in reply["notes"])


async def test_gradient_norms_that_recover_are_healthy(settings: Settings, sweep: Sweep) -> None:
    # mixed-precision training skips steps with an infinite norm
    for number in range(3):
        norm = [(step, math.inf if step in (0, 1, 30 * number) else 0.5) for step in range(60)]
        loss = [(step, 2 - step / 40) for step in range(60)]
        sweep.add(f"run-{number}", 0.9 - number / 10, {"lr": number}, more={"train/loss": loss, "grad_norm": norm})
    reply = await sweep.rank(settings, by_seed=False)
    assert not any("apart" in row for row in reply["data"])


async def test_non_finite_values_in_the_deciding_metric_are_excluded(settings: Settings, sweep: Sweep) -> None:
    test = [(step, step / 100) for step in range(40)]
    for number in range(3):
        held_out = [(step, math.nan if number == 1 and step > 30 else 2 - step / 40) for step in range(40)]
        sweep.add(f"run-{number}", 0.8, {"lr": number}, more={"test/f1": test, "val/loss": held_out})
    reply = await rank(settings, project="repeats", metric="test/f1", at="val/loss")
    broken = {row["name"]: row["apart"] for row in reply["data"] if "apart" in row}
    assert broken == {"run-1": "broken: val/loss became NaN or infinite at step 31"}


async def test_every_page_excludes_the_same_broken_runs(settings: Settings, sweep: Sweep) -> None:
    steady = [(step, 2 - step / 40) for step in range(40)]
    grown = [*steady[:30], *((step, 9.0) for step in range(30, 40))]
    passing = [*steady[:20], (20, math.nan), *steady[21:]]
    kinds = {4: [*steady[:-1], (39, math.nan)], 9: grown, 14: passing}
    for number in range(18):
        loss = kinds.get(number, steady)
        sweep.add(f"run-{number:02d}", 0.9 - number / 100, {"lr": number}, more={"train/loss": loss})
    pages = [await sweep.rank(settings, by_seed=False, page=page, size=3) for page in range(1, 7)]
    rows = [row for expected in pages for row in expected["data"]]
    assert [row["name"] for row in rows if "apart" in row] == ["run-04", "run-09", "run-14"]
    assert [row["rank"] for row in rows if "apart" not in row] == list(range(1, 16))
    for expected in pages:
        assert "Listed after the 15 ranked experiments: 3 broken." in expected["notes"]
        assert "Checked for NaN and divergence: val/acc, train/loss." in expected["notes"]


async def test_many_runs_check_all_summaries_and_few_series(settings: Settings, state: State, sweep: Sweep) -> None:
    steady = [(step, 2 - step / 40) for step in range(40)]
    grown = [*steady[:30], *((step, 9.0) for step in range(30, 40))]
    for number in range(130):
        loss = {120: grown, 125: [*steady[:-1], (39, math.nan)]}.get(number, steady)
        sweep.add(f"run-{number:03d}", 0.9 - number / 1000, {"lr": number}, more={"train/loss": loss})
    reply = await sweep.rank(settings, by_seed=False, size=3)
    assert "Listed after the 128 ranked experiments: 2 broken." in reply["notes"]
    note = "Checked val/acc, train/loss for NaN and divergence (last values of 130 experiments, all points of 4)."
    assert note in reply["notes"]
    # the losses are read together with the ranked metric, without looking up any experiment
    assert [len(state.get_calls(path)) for path in ("/metrics/summaries$", "/metrics/scalar$")] == [3, 4]
    assert not state.get_calls(r"/runs/\w+$")


async def test_leader_of_many_runs_never_hides_a_passing_nan(settings: Settings, sweep: Sweep) -> None:
    steady = [(step, 2 - step / 40) for step in range(40)]
    passing = [*steady[:20], (20, math.nan), *steady[21:]]
    for number in range(110):
        loss = passing if number < 5 else steady
        sweep.add(f"run-{number:03d}", 0.9 - number / 1000, {"lr": number}, more={"train/loss": loss})
    pages = [await sweep.rank(settings, by_seed=False, page=page, size=55) for page in (1, 2)]
    assert pages[0]["data"][0]["name"] == "run-005"
    apart = [row["name"] for reply in pages for row in reply["data"] if "apart" in row]
    assert apart == [f"run-{number:03d}" for number in range(5)]
    for reply in pages:
        assert "Listed after the 105 ranked experiments: 5 broken." in reply["notes"]


async def test_points_are_read_again_for_a_loss_that_only_leading_runs_logged(settings: Settings, sweep: Sweep) -> None:
    for number in range(110):
        is_leading = 50 <= number < 55
        more = {"train/loss": [(0, 1.0), (10, 0.5)]}
        if is_leading:
            more["loss"] = [(0, 1.0), (5, math.nan if number == 54 else 0.7), (10, 0.5)]
        sweep.add(f"run-{number:03d}", 0.5 + number / 1000 + 0.2 * is_leading, {"lr": number}, more=more)
    reply = await sweep.rank(settings, by_seed=False)
    assert "Listed after the 109 ranked experiments: 1 broken." in reply["notes"]


async def test_losses_that_only_leading_runs_logged_are_checked(settings: Settings, sweep: Sweep) -> None:
    lost = [(0, 1.0), (10, math.nan)]
    for number in range(110):
        # the leading experiments are neither the newest nor the oldest
        is_leading = 50 <= number < 55
        more = {"train/loss": lost if number == 51 else [(0, 1.0), (10, 0.5)]} if is_leading else {}
        sweep.add(f"run-{number:03d}", 0.5 + number / 1000 + 0.2 * is_leading, {"lr": number}, more=more)
    reply = await sweep.rank(settings, by_seed=False, filters=[{"field": "name", "op": "!=", "value": "run-000"}])
    assert any(note.startswith("Listed after the 108 ranked experiments: 1 broken") for note in reply["notes"])
    note = "Checked val/acc, train/loss for NaN and divergence (last values of 109 experiments, all points of 3)."
    assert note in reply["notes"]


async def test_noise_of_one_setting_is_singular(settings: Settings, sweep: Sweep) -> None:
    for number in range(3):
        sweep.add(f"run-{number}", 0.8 + number / 100, {"lr": 0.1, "seed": number})
    reply = await sweep.rank(settings)
    assert any("from 1 of 1 setting (df 2)" in note for note in reply["notes"])


async def test_values_are_taken_at_the_best_step_of_another_metric(settings: Settings, sweep: Sweep) -> None:
    test = [(0, 0.2), (10, 0.6), (20, 0.9)]
    sweep.add("a", 0.8, {"lr": 0.1}, more={"test/acc": test})
    sweep.add("b", 0.7, {"lr": 0.2}, more={"test/acc": [(0, 0.2), (12, 0.9)]})
    reply = await rank(settings, project="repeats", metric="test/acc", at="val/acc")
    found = {row["name"]: (row["value"], row["step"]) for row in reply["data"]}
    assert found == {"a": (0.6, 10), "b": (0.2, 0)}
    assert "Values: test/acc at the step where val/acc was best." in reply["notes"]


async def test_training_batches_are_ranked_by_smoothed_values(settings: Settings, sweep: Sweep) -> None:
    source = random.Random(3)
    for name, level in (("worse", 0.5), ("better", 0.4)):
        points = [(step, abs(source.gauss(level, 0.1))) for step in range(400)]
        # one lucky batch
        points[300] = (300, 0.001 if name == "worse" else 0.01)
        sweep.add(name, 0.8, {"lr": level}, more={"train/loss": points})
    reply = await rank(settings, project="repeats", metric="train/loss")
    assert [row["name"] for row in reply["data"]] == ["better", "worse"]
    assert 0.3 < reply["data"][0]["value"] < 0.5
    assert any("the best mean of 40 consecutive points" in note for note in reply["notes"])
