from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.direction import find_pairs, find_role, has_no_trend, infer_direction, is_validation


@pytest.mark.parametrize(
    "key",
    [
        "loss",
        "train/loss",
        "loss/train",
        "eval_loss",
        "valLoss",
        "box_loss",
        "train_loss_epoch",
        "reward_loss",
        "top1_error",
        "error_rate",
        "perplexity",
        "eval/wer",
        "FID",
        "fid_score",
        "p99_latency_ms",
        "seconds_per_step",
        "bits_per_byte",
        "loss_per_token",
        "cost_per_hour",
        "errors_per_second",
        "collisions_per_minute",
        "time_to_first_token",
        "train_loss_step",
        "nll",
        "neg_log_likelihood",
        "cross_entropy",
        "test.RMSE",
        "验证/损失",
        "测试误差",
    ],
)
def test_small_is_good_for_losses_errors_and_times(key: str) -> None:
    direction = infer_direction(key)
    assert direction.mode == "min"
    assert "smaller is better" in direction.reason


@pytest.mark.parametrize(
    "key",
    [
        "acc",
        "val/acc",
        "测试准确率",
        "平均奖励",
        "valAcc",
        "accuracy",
        "top5_accuracy",
        "F1",
        "f1_score",
        "ROC_AUC",
        "eval/bleu",
        "rougeL",
        "mAP50",
        "metrics/mAP50-95(B)",
        "val/mIoU",
        "IoU",
        "episode_return",
        "ep_rew_mean",
        "rewards/margins",
        "samples_per_sec",
        "tokens/per/second",
        "bits_per_second",
        "negative_cost_per_hour",
        "text_to_image_recall",
        "val_acc_epoch",
        "anomaly_auroc",
        "hit@10",
        "log_likelihood",
        "PSNR",
        "score",
    ],
)
def test_large_is_good_for_qualities_and_speeds(key: str) -> None:
    direction = infer_direction(key)
    assert direction.mode == "max"
    assert "larger is better" in direction.reason


@pytest.mark.parametrize(
    "key",
    [
        "lr",
        "learning_rate",
        "epoch",
        "grad_norm",
        "loss_scale",
        "loss_std",
        "loss/weight",
        "acc_threshold",
        "kl",
        "time_to_success",
        "steps_to_success",
        "anomaly_score",
        "best_acc_epoch",
        "best_loss_epoch",
        "val/acc_step",
        "x",
        "指标",
    ],
)
def test_what_the_words_do_not_tell_is_left_open(key: str) -> None:
    assert infer_direction(key).mode == ""
    assert infer_direction(key).reason


WORDS = (
    "train val loss acc error rate neg cost per hour second time to success score best epoch step reward fid lr bits"
)


@given(
    st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=5), st.sampled_from([" ", "/", "-", ".", "__", ":"])
)
def test_case_and_separators_do_not_matter(words: list[str], separator: str) -> None:
    expected = infer_direction("_".join(words))
    assert expected.reason
    assert infer_direction(separator.join(words)) == expected
    assert infer_direction(separator.join(words).upper()) == expected
    assert infer_direction(separator.join(word.title() for word in words)) == expected
    camel = words[0] + "".join(word.title() for word in words[1:])
    assert infer_direction(camel) == expected


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("train/loss", "loss"),
        ("perplexity", "loss"),
        ("cross_entropy", "loss"),
        ("val/acc", "quality"),
        ("train/lr", "learning_rate"),
        ("optim/learning_rate", "learning_rate"),
        ("grad_norm", "gradient_norm"),
        ("train/gradNorm", "gradient_norm"),
        ("samples_per_sec", "throughput"),
        ("throughput", "throughput"),
        ("__swanlab__.gpu.0.mem.ptc", "gpu_memory"),
        ("__swanlab__.gpu.12.pct", "gpu_load"),
        ("__swanlab__.npu.1.mem.pct", "gpu_memory"),
        ("__swanlab__.npu.0-1.mem.ptc", "gpu_memory"),
        ("__swanlab__.gpu.0.mem.value", ""),
        ("__swanlab__.mem.pct", "host_memory"),
        ("__swanlab__.cpu.pct", ""),
        ("latency", ""),
        ("epoch", ""),
    ],
)
def test_keys_tell_what_they_measure(key: str, role: str) -> None:
    assert find_role(key) == role


def test_training_and_held_out_metrics_of_one_kind_are_pairs() -> None:
    keys = ["train/loss", "val/loss", "train_acc", "test_acc", "lr", "eval/bleu"]
    assert find_pairs(keys) == [("train/loss", "val/loss"), ("train_acc", "test_acc")]
    assert find_pairs(["loss", "val_loss"]) == [("loss", "val_loss")]
    assert find_pairs(["loss/train", "loss/test", "loss/val"]) == [("loss/train", "loss/val")]
    assert find_pairs(["train_loss_epoch", "val_loss"]) == [("train_loss_epoch", "val_loss")]
    assert find_pairs(["val/loss", "val/acc"]) == []


def test_splits_and_losses_that_need_not_fall_are_known() -> None:
    assert [is_validation(key) for key in ("val/loss", "eval_acc", "test.f1", "train/loss", "value")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert has_no_trend("policy_loss")
    assert has_no_trend("loss/D")
    assert not has_no_trend("cross_entropy_loss")


def test_chinese_terms_are_read_as_the_english_ones() -> None:
    assert (find_role("训练损失"), find_role("准确率"), find_role("学习率")) == ("loss", "quality", "learning_rate")
    assert is_validation("验证损失")
    assert find_pairs(["训练损失", "验证损失"]) == [("训练损失", "验证损失")]
