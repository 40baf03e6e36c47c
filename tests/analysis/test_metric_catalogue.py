from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomllib
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.metric_catalogue import describe_key, find_pairs, split_words

HERE = Path(__file__).parent


def read_table(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


PRACTICE: dict[str, dict[str, str]] = json.loads((HERE / "metric_directions.json").read_text(encoding="utf-8"))
COUNTERS: dict[str, list[str]] = read_table("counter_keys.toml")
KEYS: dict[str, dict[str, str]] = read_table("metric_keys.toml")


@pytest.mark.parametrize("table", [PRACTICE, KEYS], ids=["practice", "further"])
def test_known_framework_keys_are_recognised(table: dict[str, dict[str, str]]) -> None:
    wrong: list[str] = []
    claimed: list[str] = []
    unknown: list[str] = []
    for key, expected in [pair for keys in table.values() for pair in keys.items()]:
        wanted, _, role = expected.partition(" ")
        kind = describe_key(key)
        assert not role or kind.role == role, key
        if wanted == "" and kind.direction:
            claimed.append(key)
        elif kind.direction and kind.direction != wanted.rstrip("?"):
            wrong.append(key)
        elif wanted in ("min", "max") and not kind.direction:
            unknown.append(key)
    counts = [value.split(" ")[0] for keys in table.values() for value in keys.values()]
    assert wrong == []
    assert len(claimed) <= 0.01 * counts.count("")
    assert len(unknown) <= 0.05 * (counts.count("min") + counts.count("max"))


@given(st.text(max_size=80))
def test_any_text_has_a_description(key: str) -> None:
    kind = describe_key(key)
    assert kind.direction in ("min", "max", "")
    assert not kind.direction or kind.rule


WORDS = "train val loss acc error rate neg cost per hour time success score best reward fid lr bits kl std num policy"


@given(st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=5), st.sampled_from([" ", "-", ".", "__", ":"]))
def test_case_and_separators_are_ignored(words: list[str], separator: str) -> None:
    expected = describe_key("_".join(words))
    assert describe_key(separator.join(words)) == expected
    assert describe_key(separator.join(words).upper()) == expected
    assert describe_key(separator.join(word.title() for word in words)) == expected
    assert describe_key(words[0] + "".join(word.title() for word in words[1:])) == expected


@given(
    st.lists(
        st.sampled_from(["train", "val", "loss", "acc", "error", "best", "reward", "fid", "kl", "foo", "layer1"]),
        min_size=1,
    )
)
def test_spreads_and_counts_have_no_direction(words: list[str]) -> None:
    key = "_".join(words)
    for other in (f"{key}_std", f"{key}_stderr", f"{key}/std", f"num_{key}s_seen", f"hparams/{key}"):
        assert describe_key(other).direction == "", other


@pytest.mark.parametrize(
    "key",
    [
        "reward_loss",
        "box_loss",
        "loss_dice",
        "loss_per_token",
        "cost_per_hour",
        "errors_per_second",
        "collisions_per_minute",
        "seconds_per_step",
        "time_to_first_token",
        "p99_latency_ms",
        "neg_log_likelihood",
        "cross_entropy_loss",
        "valLoss",
        "error_rate",
        "goal_not_reached",
        "non_success_rate",
        "fail_to_reach_goal",
        "incorrect_rate",
        "logloss_ctr",
        "val/dssim",
        "loss/reward",
        "测试误差",
        "未到达率",
    ],
)
def test_smaller_is_better(key: str) -> None:
    assert describe_key(key).direction == "min"


@pytest.mark.parametrize(
    "key",
    [
        "valAcc",
        "top5_accuracy",
        "neg_mean_squared_error",
        "negative_cost_per_hour",
        "bits_per_second",
        "tokens/per/second",
        "text_to_image_recall",
        "anomaly_auroc",
        "recall_at_precision",
        "TPR@FPR=0.01",
        "mean_reward/time",
        "best_acc_so_far",
        "rate_of_success",
        "similarity_index",
        "total_reward",
        "log_likelihood",
        "score",
        "collision_free_rate",
        "error_reduction",
        "loss_reduction",
        "rollout/maj@16",
        "clip_t2i_score",
        "return_before_grad",
        "change_f1",
        "test/loss_viewpoint - psnr",
        "episode/score",
        "平均奖励",
    ],
)
def test_larger_is_better(key: str) -> None:
    assert describe_key(key).direction == "max"


@pytest.mark.parametrize(
    "key",
    [
        "loss_scale",
        "loss/weight",
        "acc_threshold",
        "time_to_success",
        "steps_to_success",
        "steps_to_failure",
        "number_of_wins",
        "steps_with_success",
        "argmax_episodic_return",
        "required_success_rate",
        "allowed_error_margin",
        "hits_total",
        "total_collisions",
        "correct_so_far",
        "loss_start_step",
        "reward_index",
        "cache_num_hits_per_model",
        "successes_needed",
        "anomaly_score",
        "best_acc_epoch",
        "best_loss_epoch",
        "loss_D",
        "discriminator cost",
        "delta_loss",
        "policy_loss",
        "kl_loss",
        "entropy_loss",
        "rewards/chosen",
        "logps/rejected",
        "no_collision_rate",
        "1-ssim",
        "1 - acc",
        "opponent_score",
        "white_win_rate",
        "max_turns_reached_rate",
        "disc/loss_msd",
        "Policy / Standard deviation",
        "ttft_seconds_sum",
        "x",
        "指标",
    ],
)
def test_ambiguous_keys_have_no_direction(key: str) -> None:
    assert describe_key(key).direction == ""


@pytest.mark.parametrize(
    ("key", "role", "must_improve"),
    [
        ("train/loss", "loss", True),
        ("perplexity", "loss", True),
        ("val/bpb", "loss", True),
        ("cross_entropy", "loss", True),
        ("val_mae", "error", True),
        ("fid", "error", True),
        ("val/acc", "quality", True),
        ("critic/rewards/mean", "reward", True),
        ("aux/reward", "reward", True),
        ("policy/return", "reward", True),
        ("rewards/format_reward_func/mean", "reward", True),
        ("Episode_Reward/action_rate_l2", "reward", False),
        ("critic/vf_loss", "loss", False),
        ("train/policy_gradient_loss", "information", False),
        ("Loss/D", "adversary", False),
        ("train/kl", "balance", False),
        ("actor/entropy", "entropy", False),
        ("explained_variance", "information", False),
        ("rewards/rejected", "information", False),
        ("response_length/mean", "length", False),
        ("n_updates", "counter", False),
        ("step_time", "time", False),
        ("optim/learning_rate", "learning_rate", False),
        ("train/gradNorm", "gradient_norm", False),
        ("samples_per_sec", "speed", False),
        ("perf/mfu/actor", "speed", False),
        ("__swanlab__.gpu.0.mem.ptc", "gpu_memory", False),
        ("__swanlab__.gpu.12.pct", "gpu_load", False),
        ("__swanlab__.npu.0-1.mem.ptc", "gpu_memory", False),
        ("__swanlab__.gpu.0.mem.value", "", False),
        ("__swanlab__.mem.pct", "host_memory", False),
        ("epoch", "counter", False),
    ],
)
def test_keys_map_to_roles(key: str, role: str, must_improve: bool) -> None:
    kind = describe_key(key)
    assert (kind.role, kind.must_improve) == (role, must_improve)


def test_splits_statistics_and_families_are_separated() -> None:
    kind = describe_key("val-core/math/acc/best@32/mean")
    assert (kind.split, kind.statistic, kind.family) == ("validation", "best", ("core", "math", "acc"))
    assert describe_key("acc/best@8/std").statistic == "std"
    assert describe_key("critic/score/max").family == describe_key("critic/score/mean").family
    assert describe_key("valid_0_rmse").family == describe_key("training_rmse").family == ("rmse",)
    assert [describe_key(key).split for key in ("val/loss", "eval_acc", "test.f1", "train/loss", "value")] == [
        "validation", "validation", "test", "train", "",
    ]  # fmt: skip


def test_totals_are_separated_from_their_parts() -> None:
    totals = ["loss", "train/loss", "total_loss", "mean_loss", "loss/train/total", "eval_loss", "train_loss_epoch"]
    assert all(describe_key(key).is_total for key in totals)
    assert not any(describe_key(key).is_total for key in ("loss_cls", "train/box_loss", "value_loss", "nll", "acc"))


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("train/loss", "eval/loss"),
        ("train-auc", "test-auc"),
        ("training_rmse", "valid_0_rmse"),
        ("validation_0-logloss", "validation_1-logloss"),
        ("loss", "val_loss"),
        ("learn/Logloss", "test/Logloss"),
        ("train_loss", "valid_loss"),
        ("Loss/train", "Loss/test"),
        ("训练/损失", "验证/损失"),
        ("训练损失", "验证损失"),
        ("train/total_loss", "val/loss"),
        ("epoch/accuracy", "epoch/val_accuracy"),
        ("train_loss_epoch", "val_loss"),
        ("train/ssimloss", "val/ssimloss"),
    ],
)
def test_training_and_held_out_keys_are_paired(train: str, held_out: str) -> None:
    assert find_pairs([train, held_out]) == [(train, held_out)]
    assert find_pairs([held_out, "lr", train]) == [(train, held_out)]


def test_pairs_prefer_validation_data_and_whole_epochs() -> None:
    assert find_pairs(["loss/train", "loss/test", "loss/val"]) == [("loss/train", "loss/val")]
    assert find_pairs(["train/acc_step", "train/acc_epoch", "val/acc"]) == [("train/acc_epoch", "val/acc")]
    assert find_pairs(["loss", "train_loss", "eval_loss", "train_runtime", "eval_runtime"]) == [("loss", "eval_loss")]
    assert find_pairs(["val/loss", "val/acc"]) == []


def test_camel_case_words_are_split_and_translated() -> None:
    assert split_words("trainLoss@10/ROC-AUC") == ["train", "loss", "10", "roc", "auc"]
    assert split_words("训练损失") == ["train", "loss"]


@pytest.mark.parametrize("name", COUNTERS)
def test_counters_and_settings_have_no_direction(name: str) -> None:
    kinds = {key: describe_key(key) for key in COUNTERS[name]}
    claimed = [key for key, kind in kinds.items() if kind.direction and kind.role not in ("time", "speed")]
    # in other fields these are results: an error rate, the recall at a cut-off, the mean reward of a batch
    assert claimed in ([], ["nerf/far"], ["recall_k"], ["reward_model_batch"])
