from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.alignment import align_values
from swanlab_mcp.analysis.differences import (
    associate,
    compute_spearman,
    find_confounded,
    find_varying,
    flatten,
    identify_settings,
    is_setting,
)
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import State
from tests.server.test_tools import DEMO

pytestmark = pytest.mark.anyio

TEN = "lr-0.1 lr-1 lr-0.3 lr-0.01 lr-0.001 width-16 batch-8 wd-0.01 uint8-input cosine-128-64-ckpt".split()  # noqa: SIM905

leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
configs = st.dictionaries(
    st.text("abc", min_size=1, max_size=2), leaves | st.dictionaries(st.text("xy", min_size=1, max_size=2), leaves)
)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("lr", True),
        ("model.name", True),
        ("data.path", True),
        ("dataset_name", True),
        ("epochs", True),
        ("best_model", True),
        ("seed", False),
        ("train.random_seed", False),
        ("randomState", False),
        ("best_val_acc", False),
        ("best_epoch", False),
        ("final.loss", False),
        ("output_dir", False),
        ("logging.path", False),
        ("run_name", False),
        ("experimentId", False),
        ("timestamp", False),
    ],
)
def test_seeds_results_and_output_paths_are_not_settings(key: str, expected: bool) -> None:
    assert is_setting(key) is expected


@given(st.lists(configs, min_size=1, max_size=5))
def test_varying_keys_differ_between_configs(several: list[dict[str, Any]]) -> None:
    flat = [flatten(config) for config in several]
    varying = set(find_varying(flat))
    for key in {key for config in flat for key in config} - varying:
        assert len({json.dumps(config.get(key)) for config in flat}) == 1
    assert find_varying([flat[0]] * 3) == []
    assert len(identify_settings(flat)) == len(flat)


def test_repeats_differ_only_in_seed_and_output() -> None:
    several: list[dict[str, Any]] = [
        {"lr": 0.1, "seed": 0, "best_acc": 0.9},
        {"lr": 1, "seed": 0},
        {"lr": 0.1, "seed": 1, "output_dir": "x"},
        {"lr": 1.0, "seed": 5},
        {"seed": 1},
        {"seed": 2},
    ]
    keys = identify_settings(several)
    assert keys[0] == keys[2] != keys[1] == keys[3]
    # without settings, repeats cannot be recognised
    assert keys[4:] == [None, None]


numbers = st.lists(st.integers(-1000, 1000), min_size=5, max_size=30)


@given(numbers, st.integers(1, 50), st.integers(-50, 50))
def test_rank_correlation_depends_only_on_ranks(values: list[int], scale: int, shift: int) -> None:
    if len(set(values)) < 2:
        assert compute_spearman(values, values) == 0
        return
    assert compute_spearman(values, values) == pytest.approx(1)
    assert compute_spearman(values, [-(scale * value**3) + shift for value in values]) == pytest.approx(-1)
    other = values[::-1]
    assert -1 <= compute_spearman(values, other) <= 1
    assert compute_spearman(values, other) == pytest.approx(compute_spearman(other, values))


def test_rank_correlation_matches_textbook_values() -> None:
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert compute_spearman(iq, hours) == pytest.approx(-29 / 165)


def test_associations_find_influential_settings_and_name_confounded_keys() -> None:
    several: list[dict[str, Any]] = [
        {"lr": lr, "twin": lr * 2, "net": net, "bump": bump, "note": f"n{index}"}
        for index, (lr, net, bump) in enumerate(
            [(0.1, "a", 1), (0.2, "b", 2), (0.3, "a", 3), (0.4, "b", 1), (0.5, "a", 2), (0.6, "b", 3), (0.7, "a", 1)]
        )
    ]
    rising = [config["lr"] for config in several]
    found = {one.key: one for one in associate(several, rising, ["lr", "twin", "net", "note"])}
    assert found["lr"].text == "rho +1.00"
    assert find_confounded(several, "lr", ["lr", "twin", "net", "note"]) == ["twin"]
    assert found["net"].strength < 0.5
    assert "note" not in found
    # the middle value is best, which a rank correlation cannot show
    hill = [5.0 if config["bump"] == 2 else 1.0 + config["lr"] / 10 for config in several]
    best = associate(several, hill, ["bump", "net"])[0]
    assert (best.key, best.method) == ("bump", "group means")
    assert best.strength > 0.6
    assert associate(several[:4], hill[:4], ["lr"]) == []


@given(
    st.lists(st.text("ab", max_size=90) | st.lists(st.integers(), max_size=30) | st.floats(), min_size=2, max_size=5)
)
def test_shortened_values_stay_distinct(values: list[Any]) -> None:
    shown = align_values(values, 40)
    assert len({json.dumps(one) for one in shown}) >= len({json.dumps(one) for one in values})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # a text is the prefix of another text
        (["x" * 60, "x" * 60 + "tail"], ["…xxxxxxxxxx", "…xxxxxxxxxxtail"]),
        # two texts share a prefix that the third lacks
        (["a" * 50 + "1", "a" * 50 + "2", "b"], ["…aaaaaaaaaa1", "…aaaaaaaaaa2", "b"]),
        ([0.1234567891, 0.1234567892], [0.1234567891, 0.1234567892]),
        ([0.123456789, 0.2], [0.123457, 0.2]),
    ],
)
def test_long_values_are_cut_to_their_differences(values: list[Any], expected: list[Any]) -> None:
    assert align_values(values, 40) == expected


async def compare(settings: Settings, **arguments: Any) -> dict[str, Any]:
    async with session(settings) as client:
        result = await client.call_tool("compare_experiments", arguments)
    assert not result.is_error, text_of(result)
    assert result.structured_content["code"] == 200
    return {**result.structured_content, "text": text_of(result)}


async def test_comparison_of_two_shows_only_differences() -> None:
    reply = await compare(DEMO, project="digits-mlp", exp_cuids=["lr-0.1", "lr-1"], metrics=["val/acc"])
    data = reply["data"]
    assert [one["name"] for one in data["experiments"]] == ["lr-0.1", "lr-1"]
    assert data["differences"] == [
        {"name": "config.lr", "values": [0.1, 1.0]},
        {"name": "runtime.command", "values": ["…its.py lr-0.1", "…its.py lr-1"]},
    ]
    assert data["metrics"] == [
        {
            "key": "val/acc",
            "better": "larger",
            "last": [0.98, 0.0888889],
            "best": [0.984444, 0.148889],
            "best_step": [20, 2],
        }
    ]
    assert "associations" not in data
    assert "Equal in all experiments: 13 config keys and 61 facts about the environment." in reply["notes"]
    assert "2 config keys also differ, but are not settings: best_epoch, best_val_acc." in reply["notes"]
    assert "\n  config.lr | [0.1,1]\n" in reply["text"]


async def test_comparison_of_ten_stays_within_the_budget() -> None:
    reply = await compare(DEMO, project="digits-mlp", exp_cuids=TEN)
    data, text = reply["data"], reply.pop("text")
    assert count_tokens(text) <= 1500
    assert count_tokens(json.dumps(reply, ensure_ascii=False, separators=(",", ":"))) <= 1500
    assert [metric["key"] for metric in data["metrics"]] == ["val/acc", "val/loss"]
    assert data["metrics"][0]["common_step"] == 27
    assert data["metrics"][0]["at_common_step"][7] == data["metrics"][0]["last"][7]
    assert data["associations"][0]["key"] == "preprocess"
    # aborted and crashed runs do not count
    assert data["associations"][0]["n"] == 8
    assert all(len(one["values"]) == 10 for one in data["differences"])


async def test_filters_choose_the_compared_experiments() -> None:
    chosen = [{"field": "group", "op": "=", "value": "lr-sweep"}]
    reply = await compare(DEMO, project="digits-mlp", filters=chosen, metrics=["train/loss"])
    assert len(reply["data"]["experiments"]) == 6
    assert reply["data"]["metrics"][0]["last"][0] == "NaN"
    (broken,) = [note for note in reply["notes"] if note.endswith("its best values are from before that.")]
    assert broken.startswith("lr-100-wd-0.1: train/loss became NaN or infinite at step")
    assert reply["data"]["associations"][0]["n"] == 5
    apart = "The associations exclude 1 experiment that is broken, unfinished, short or without a finite value."
    assert apart in reply["notes"]


@pytest.mark.parametrize(
    ("loss", "how"),
    [
        ([2.0, 1.0, math.nan, math.nan], "became NaN or infinite"),
        ([2.0, *[1.0 - n / 20 for n in range(15)], *[4.0] * 15], "rose after step 14"),
    ],
)
async def test_chosen_metrics_do_not_hide_a_broken_training_loss(
    settings: Settings, state: State, loss: list[float], how: str
) -> None:
    project = state.add_project(state.workspaces[0], "broken")
    steady = [2 - step / 40 for step in range(30)]
    for name, values, score in (("sound", steady, 0.8), ("lucky", loss, 0.9)):
        metrics = {"val/acc": [(0, 0.1), (9, score)], "train/loss": list(enumerate(values))}
        state.add_experiment(project, name, cuid=name, metrics=metrics)
    reply = await compare(settings, project="broken", exp_cuids=["sound", "lucky"], metrics=["val/acc"])
    assert [one["key"] for one in reply["data"]["metrics"]] == ["val/acc"]
    (note,) = [note for note in reply["notes"] if note.endswith("its best values are from before that.")]
    assert note.startswith("lucky: train/loss ")
    assert how in note


@pytest.fixture
def study(state: State) -> None:
    project = state.add_project(state.workspaces[0], "study")
    for number in range(60):
        state.add_experiment(
            project,
            f"run-{number}",
            cuid=f"run{number:02d}",
            config={f"option{other}": number + other for other in range(20)} | {"hf_token": f"hf_secret_{number // 4}"},
            metadata={"git": {"commit": f"c{number}"}, "python": "3.11"},
            requirements="\n".join(f"package{other}=={number}.{other}" for other in range(9)),
            metrics={
                "score/acc": [(0, -1.0), (10 + number % 2, number / 100)],
                "loss": [(0, 1.0), (5, math.nan if number == 1 else 0.5)],
                "mystery": [(0, 1.0), (5, 2.0)],
            }
            if number != 2
            else {},
        )


@pytest.mark.usefixtures("study")
async def test_omitted_differences_are_counted_and_secrets_masked(settings: Settings) -> None:
    reply = await compare(
        settings, project="study", exp_cuids=["run-0", "run-1", "run-2"], metrics=["score/acc", "loss", "mystery"]
    )
    data, notes = reply["data"], "\n".join(reply["notes"])
    assert "secret" not in json.dumps(reply)
    names = [one["name"] for one in data["differences"]]
    assert names[-6:-5] == ["git.commit"]
    assert "8 more config keys differ: option" in notes
    assert "4 more facts about the environment differ (see get_environment): package." in notes
    acc, loss, mystery = data["metrics"]
    assert acc["last"] == [0, 0.01, None]
    assert (acc["common_step"], acc["at_common_step"]) == (10, [0, -1.0, None])
    assert loss["last"] == [0.5, "NaN", None]
    assert (mystery["better"], "best" in mystery) == ("unknown", False)
    assert f"Pages: {settings.web_host}/@kites-test3/study/runs/<cuid>/chart" in notes


@pytest.mark.usefixtures("study")
async def test_associations_report_their_sample_size(settings: Settings) -> None:
    reply = await compare(settings, project="study", exp_cuids=[f"run-{number}" for number in range(8)])
    first = reply["data"]["associations"][0]
    # one experiment has no points, and the loss of another became NaN
    assert (first["strength"], first["n"], len(first["varies_with"])) == (1.0, 6, 3)
    assert "secret" not in reply["text"]
    apart = "The associations exclude 2 experiments that are broken, unfinished, short or without a finite value."
    assert apart in reply["notes"]


async def test_associations_exclude_crashed_and_killed_experiments(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "killed")
    states = ["FINISHED"] * 5 + ["CRASHED", "ABORTED", "RUNNING"]
    for number, ended in enumerate(states):
        score = number / 10 if ended == "FINISHED" else 0.0
        metrics = {"val/acc": [(0, 0.0), (10, score)]}
        state.add_experiment(project, f"run-{number}", config={"width": number}, metrics=metrics, state=ended)
    names = [f"run-{number}" for number in range(len(states))]
    reply = await compare(settings, project="killed", exp_cuids=names)
    (width,) = reply["data"]["associations"]
    assert (width["how"], width["n"]) == ("rank correlation: rho +1.00", 5)
    assert any(note.startswith("The associations exclude 3 experiments") for note in reply["notes"])
    reply = await compare(settings, project="killed", exp_cuids=names[1:])
    assert "associations" not in reply["data"]
    assert any(note.endswith("so fewer than 5 are left.") for note in reply["notes"])


@pytest.mark.usefixtures("study")
async def test_invalid_comparisons_are_explained(settings: Settings, state: State) -> None:
    state.add_project(state.workspaces[1], "theirs")
    state.add_experiment(state.projects[-1], "their run", cuid="their1")
    async with session(settings) as client:
        for arguments, expected in (
            ({"exp_cuids": ["run-0"]}, "at least 2 experiments; the arguments select 1"),
            ({"exp_cuids": ["run-0", "run00"]}, "at least 2 experiments; the arguments select 1"),
            ({}, "60 experiments are too many to compare; at most 50"),
            ({"exp_cuids": ["run-0", "run-99"]}, "Did you mean"),
            ({"exp_cuids": ["run-0", "run-1"], "metrics": ["los"]}, "Similar names: loss"),
            ({"exp_cuids": ["run-77", "kites-test2/theirs/their1"], "project": ""}, "run-77"),
            (
                {"exp_cuids": ["run-0"], "filters": [{"field": "name", "op": "=", "value": "run-1"}]},
                "cannot be combined",
            ),
        ):
            result = await client.call_tool("compare_experiments", {"project": "study", **arguments})
            assert result.is_error
            assert expected in text_of(result)


@pytest.mark.usefixtures("study")
async def test_experiments_without_metrics_are_compared_by_their_configs(settings: Settings, state: State) -> None:
    for experiment in state.projects[-1].experiments:
        experiment.metrics = {}
    reply = await compare(settings, project="study", exp_cuids=["run-0", "run-1"])
    assert "metrics" not in reply["data"]
    assert any(note.startswith("No logged metric has a known direction") for note in reply["notes"])


@pytest.mark.parametrize("count", [2, 6])
async def test_system_metrics_have_units(settings: Settings, state: State, count: int) -> None:
    project = state.add_project(state.workspaces[0], "machines")
    names = [f"machine-{number}" for number in range(count)]
    for number, name in enumerate(names):
        power = {"__swanlab__.gpu.0.power": [(0, 1.0), (1, 200.0 + number)], "loss": [(0, 1.0)]}
        state.add_experiment(project, name, metrics=power)
    reply = await compare(settings, project="machines", exp_cuids=names, metrics=["__swanlab__.gpu.0.power", "loss"])
    assert [(one["key"], one.get("unit")) for one in reply["data"]["metrics"]] == [
        ("__swanlab__.gpu.0.power", "W"),
        ("loss", None),
    ]
    assert [line for line in reply["text"].splitlines() if "__swanlab__.gpu.0.power" in line and "W" in line]


async def test_many_runs_are_easy_to_read() -> None:
    every = [{"field": "created", "op": ">", "value": "2020-01-01"}]
    reply = await compare(DEMO, project="digits-mlp", filters=every, metrics=["val/acc"])
    lines = [line.strip() for line in reply["text"].splitlines()]
    assert "17 | l4q9h9qs | lr-0.1 | FINISHED | 0.984444 | 20 | 0.98 | 0.982222" in lines
    assert "config.lr | 0.1 | 5: 0.05; 14: 100; 15: 1; 16: 0.3; 18: 0.01; 19: 0.001" in lines
    assert "config.batch_size | 32 | 5,11: 8; 14: 128" in lines
    assert any(line.startswith("runtime.command | ") and line.endswith("of 18 other values") for line in lines)
    (hidden,) = [one for one in reply["data"]["associations"] if one["key"] == "hidden"]
    assert hidden["how"].endswith("; 4 of 5 values")
    assert count_tokens(reply["text"]) < 1600
    reply = await compare(DEMO, project="digits-mlp", filters=every, metrics=["val/acc"], baseline="lr-0.01")
    lines = [line.strip() for line in reply["text"].splitlines()]
    assert [one["name"] for one in reply["data"]["experiments"] if one.get("baseline")] == ["lr-0.01"]
    assert any(line.startswith("config.lr | 0.01 | 1,2,3,4,6") for line in lines)
