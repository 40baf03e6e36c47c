from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.metric_catalogue import describe_key, find_pairs


@given(st.text(max_size=80))
def test_any_text_is_described(key: str) -> None:
    kind = describe_key(key)
    assert kind.direction in ("min", "max", "")
    assert not kind.direction or kind.rule


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
    ],
)
def test_training_and_held_out_keys_are_paired(train: str, held_out: str) -> None:
    assert find_pairs([train, held_out]) == [(train, held_out)]
    assert find_pairs([held_out, "lr", train]) == [(train, held_out)]
