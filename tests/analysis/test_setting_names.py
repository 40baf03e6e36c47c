from __future__ import annotations

from typing import Any

import pytest

from swanlab_mcp.analysis.config_distances import build_space
from swanlab_mcp.analysis.setting_names import is_known_setting, simplify_key

SETTINGS = ("lr", "batch_size", "weight_decay", "optimizer", "scheduler", "warmup_steps", "clip", "steps", "layers")
VALUES = (0.003, 32, 0.01, "adamw", "cosine", 500, 1.0, 5000, 4)
CHANGED = (0.03, 64, 0.1, "sgd", "linear", 100, 5.0, 1000, 8)
# the same settings as arguments of each framework, with values in its own form, in the order of SETTINGS
FRAMEWORKS: dict[str, dict[str, Any]] = {
    "transformers": {
        "learning_rate": 0.003,
        "per_device_train_batch_size": 32,
        "weight_decay": 0.01,
        "optim": "adamw_torch",
        "lr_scheduler_type": "cosine",
        "warmup_steps": 500,
        "max_grad_norm": 1.0,
        "max_steps": 5000,
        "num_hidden_layers": 4,
    },
    "lightning": {
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003, "weight_decay": 0.01}},
        "trainer": {"max_steps": 5000, "gradient_clip_val": 1.0},
        "data": {"init_args": {"batch_size": 32}},
        "model": {"init_args": {"scheduler": "cosine", "warmup": 500, "num_layers": 4}},
    },
    "detectron2": {
        "SOLVER": {
            "BASE_LR": 0.003,
            "IMS_PER_BATCH": 32,
            "WEIGHT_DECAY": 0.01,
            "OPTIMIZER": "ADAMW",
            "MAX_ITER": 5000,
            "LR_SCHEDULER_NAME": "cosine",
            "WARMUP_ITERS": 500,
            "CLIP_GRADIENTS": {"CLIP_VALUE": 1.0},
        },
        "MODEL": {"NUM_LAYERS": 4},
    },
    "fairseq": {
        "optimization": {"lr": [0.003], "clip_norm": 1.0, "max_update": 5000},
        "dataset": {"batch_size": 32},
        "optimizer": {"_name": "adamw", "weight_decay": 0.01},
        "lr_scheduler": {"_name": "cosine", "warmup_updates": 500},
        "model": {"encoder_layers": 4},
    },
    "verl": {
        "actor_rollout_ref": {
            "actor": {
                "optim": {"lr": 0.003, "weight_decay": 0.01, "optimizer": "AdamW", "lr_warmup_steps": 500},
                "grad_clip": 1.0,
                "lr_scheduler_type": "cosine",
            }
        },
        "data": {"train_batch_size": 32},
        "trainer": {"total_training_steps": 5000},
        "model": {"num_layers": 4},
    },
    "mmengine": {
        "optim_wrapper": {
            "optimizer": {"type": "AdamW", "lr": 0.003, "weight_decay": 0.01},
            "clip_grad": {"max_norm": 1.0},
        },
        "train_dataloader": {"batch_size": 32},
        "param_scheduler": {"type": "cosine", "warmup_iters": 500},
        "train_cfg": {"max_iters": 5000},
        "model": {"backbone": {"depth": 4}},
    },
    "hydra": {
        "optimizer": {"_target_": "torch.optim.AdamW", "learning_rate": 0.003, "wd": 0.01},
        "scheduler": {"_target_": "cosine", "warmup": {"steps": 500}},
        "trainer": {"gradient_clipping": 1.0, "numSteps": 5000},
        "hparams": {"batchSize": 32, "n_layers": 4},
    },
    "logarithms": {
        "log10_lr": -2.5228787452803374,
        "log2_batch_size": 5,
        "wdecay": "0.01",
        "opt_cls": "adamw",
        "sched_kind": "cosine",
        "warm_up_steps": 500,
        "max_gradient_norm": 1.0,
        "nb_steps": 5000,
        "n_blocks": 4,
    },
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_arguments_of_frameworks_name_the_same_settings(framework: str) -> None:
    plain = dict(zip(SETTINGS, VALUES, strict=True))
    changed = [{**plain, name: value} for name, value in zip(SETTINGS, CHANGED, strict=True)]
    space = build_space([FRAMEWORKS[framework], plain, *changed])
    assert {name.replace(" ", "_") for name in space.varying} == set(SETTINGS)
    assert [index for index in range(1, 11) if space.is_near_duplicate(0, index)] == [1]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("peft.r", "lora rank"),
        ("clip_coef", "clip range"),
        ("num_boost_round", "trees"),
        ("max_seq_length", "sequence length"),
        ("optimizer.lr_value", "lr"),
        ("sgd.stepsize", "lr"),
        ("loader.mbs", "batch size"),
        ("l2_coeff", "weight decay"),
        ("model.drop_p", "dropout"),
        ("hidden_layer_size", "hidden size"),
    ],
)
def test_other_framework_names_are_known(key: str, name: str) -> None:
    assert simplify_key(key) == name
    assert is_known_setting(key)


@pytest.mark.parametrize(
    "key",
    [
        *("eval_batch_size", "val_batch_size", "lora_alpha", "num_samples", "warmup_ratio", "lr_decay", "save_steps"),
        *("eval_steps", "text_encoder_lr", "grad_norm_type", "acc", "class_weight", "batch_size_type", "target"),
    ],
)
def test_other_settings_keep_their_names(key: str) -> None:
    assert not is_known_setting(key)


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("B", 64, "batch_size"),
        ("arch.channels", 128, "hidden_size"),
        ("n_filters", 128, "hidden_size"),
        ("L", 4, "num_layers"),
        ("regularization", 0.01, "weight_decay"),
        ("T", 512, "seq_len"),
    ],
)
def test_short_name_means_the_setting_that_the_config_lacks(key: str, value: float, name: str) -> None:
    usual = {"lr": 0.1, "batch_size": 64, "hidden_size": 128, "num_layers": 4, "weight_decay": 0.01, "seq_len": 512}
    halved = [usual | {one: value / 2} for one, value in usual.items()]
    renamed = {one: given for one, given in usual.items() if one != name} | {key: value}
    space = build_space([renamed, usual, *halved])
    assert [index for index in range(1, 8) if space.is_near_duplicate(0, index)] == [1]


@pytest.mark.parametrize("key", ["keep_prob", "dropout_keep_prob", "dropout_keep", "no_dropout", "dropout.keep"])
@pytest.mark.parametrize("value", [0.1, 0.5, 0.9])
def test_keep_probability_is_not_dropout(key: str, value: float) -> None:
    others = [{"lr": 0.1, "width": 64, "dropout": one / 10} for one in range(1, 10)]
    space = build_space([{"lr": 0.1, "width": 64, key: value}, *others])
    assert not any(space.is_near_duplicate(0, index) for index in range(1, 10))


def test_usual_key_keeps_its_name_next_to_a_rare_one() -> None:
    space = build_space([{"iters": 100, "phase_1": {"iters": 10}}, {"iters": 100}, {"max_steps": 100}, {"steps": 200}])
    assert space.is_near_duplicate(1, 2)
    assert not space.is_near_duplicate(1, 3)


def test_classes_of_projects_keep_their_paths() -> None:
    space = build_space([{"model": "nets.first.Net"}, {"model": "nets.second.Net"}])
    assert not space.is_near_duplicate(0, 1)
