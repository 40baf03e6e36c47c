"""Random curves like those that frameworks log, each with a practitioner's verdict.

Keys, lengths, noise and shapes vary with the seed, so that rules cannot be fitted to a sample.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["CASES", "Case", "draw"]

Series = tuple[Sequence[int], Sequence[float]]


class Case(NamedTuple):
    """The metrics of one experiment. At least one event of `kinds` must be found, or none if `kinds` is empty."""

    framework: str
    name: str
    metrics: Mapping[str, Series]
    kinds: tuple[str, ...] = ()


_WORSE = ("overfitting", "worsening", "divergence", "collapse")


class _Source(random.Random):
    """A source of random curves."""

    def spread(self, low: float, high: float) -> float:
        """Return a log-uniform number between two bounds."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def loss(self, size: int, start: float, end: float, noise: float) -> list[float]:
        rate = self.uniform(4, 12)
        return [
            end + (start - end) * math.exp(-rate * index / size) + self.gauss(0, noise * (start - end))
            for index in range(size)
        ]

    def turn(self, size: int, start: float, low: float, end: float, noise: float) -> list[float]:
        """Return a loss with a minimum between a quarter and half of the run, then a linear or concave rise."""
        at, bend = self.uniform(0.25, 0.5) * size, self.choice([0.5, 1.0, 1.5])
        return [
            (
                low + (start - low) * math.exp(-6 * index / at) * (1 - index / at)
                if index < at
                else low + (end - low) * ((index - at) / (size - at)) ** bend
            )
            + self.gauss(0, noise * (start - low))
            for index in range(size)
        ]

    def rise(self, size: int, low: float, high: float, noise: float) -> list[float]:
        middle, width = self.uniform(0.15, 0.5) * size, self.uniform(0.04, 0.12) * size
        return [
            low + (high - low) / (1 + math.exp(-(index - middle) / width)) + self.gauss(0, noise * abs(high - low))
            for index in range(size)
        ]

    def fall_after(self, values: Sequence[float], to: float) -> list[float]:
        """Return the values with a drop to a fraction of their level in the second half of the run."""
        size = len(values)
        at, width = int(self.uniform(0.5, 0.75) * size), self.uniform(0.01, 0.1) * size
        level = max(values)
        return [
            value if index < at else value - level * (1 - to) * (1 - math.exp(-(index - at) / width))
            for index, value in enumerate(values)
        ]

    def walk(self, size: int, level: float, noise: float, kept: float) -> list[float]:
        values: list[float] = []
        off = 0.0
        for _ in range(size):
            off = kept * off + self.gauss(0, noise * math.sqrt(1 - kept**2))
            values.append(level + off)
        return values


def _every(values: Sequence[float], spacing: int = 1) -> Series:
    return [spacing * (index + 1) for index in range(len(values))], list(values)


def _fine_tuning(source: _Source) -> list[Case]:
    size, spacing = source.randint(60, 400), source.choice([5, 10, 50])
    train = _every(source.loss(size, source.uniform(1.2, 3), source.uniform(0.2, 0.9), 0.03), spacing)
    evaluations = source.randint(6, 11)
    wide = size * spacing // evaluations
    low = source.uniform(0.4, 0.9)
    good = [low + 0.8 * math.exp(-index / 2) + source.gauss(0, 0.004) for index in range(evaluations)]
    rate = _every([1e-5 * (1 - index / size) for index in range(size)], spacing)
    norm = _every([source.lognormvariate(0, 0.4) for _ in range(size)], spacing)
    base = {"loss": train, "grad_norm": norm, "learning_rate": rate}
    bad = [low + 0.05 * index + source.gauss(0, 0.003) for index in range(evaluations)]
    flat = _every([2.1 + source.gauss(0, 0.1) for _ in range(size)], spacing)
    speed = _every([30 + source.gauss(0, 2) for _ in range(evaluations)], wide)
    return [
        Case("transformers", "fine-tuning", {**base, "eval_loss": _every(good, wide), "eval_runtime": speed}),
        Case("transformers", "few evaluations rise", {**base, "eval_loss": _every(bad, wide)}, _WORSE),
        Case("transformers", "flat loss", {**base, "loss": flat}, ("never_learned",)),
        Case(
            "LLaMA-Factory",
            "preference",
            {
                **base,
                "rewards/chosen": _every([-0.01 * index + source.gauss(0, 0.1) for index in range(size)], spacing),
                "rewards/rejected": _every([-0.03 * index + source.gauss(0, 0.1) for index in range(size)], spacing),
                "rewards/accuracies": _every(source.rise(size, 0.5, 0.9, 0.08), spacing),
            },
        ),
    ]


def _epochs(source: _Source) -> list[Case]:
    size = source.randint(25, 150)
    train, accuracy = source.loss(size, 2.0, 0.1, 0.01), source.rise(size, 0.2, 0.98, 0.01)
    good = {
        "accuracy": _every(accuracy),
        "loss": _every(train),
        "val_accuracy": _every(source.rise(size, 0.2, 0.9, 0.015)),
        "val_loss": _every(source.loss(size, 2.0, 0.5, 0.015)),
    }
    noisy = source.uniform(0.005, 0.02)
    bad = _every(source.turn(size, 2.0, 0.5, source.uniform(0.8, 1.5), noisy))
    part = source.choice(["wer", "cer", "mae", "rmse", "log_loss"])
    errors = {f"train/{part}": _every(train), f"val/{part}": bad}
    drop = source.fall_after(source.rise(size, 0.2, 0.9, 0.01), 0.5)
    names = ("train/box_loss", "train/cls_loss", "train/dfl_loss", "val/box_loss", "val/cls_loss", "val/dfl_loss")
    boxes = {name: _every(source.loss(size, 3, 1, 0.02)) for name in names}
    boxes["metrics/mAP50(B)"] = _every(source.rise(size, 0.01, 0.6, 0.03))
    level = {**boxes, "train/box_loss": _every([1.5 + source.gauss(0, 0.05) for _ in range(size)])}
    nan = {**good, "loss": _every([*train[: size // 2], *[math.nan] * (size - size // 2)])}
    return [
        Case("Keras", "epochs", good),
        Case("Keras", "overfits", {**good, "val_loss": bad}, _WORSE),
        Case("Keras", "NaN", nan, ("non_finite",)),
        Case("Lightning", f"overfits {part}", errors, _WORSE),
        Case("timm", "accuracy drops", {"train_loss": _every(train), "eval_top1": _every(drop)}, _WORSE),
        Case("ultralytics", "detection", boxes),
        Case("ultralytics", "a part stays level", level),
    ]


def _boosting(source: _Source) -> list[Case]:
    size = source.randint(100, 1500)
    one, other = source.choice(
        [("validation_0-logloss", "validation_1-logloss"), ("training_l2", "valid_0_l2"), ("learn/RMSE", "test/RMSE")]
    )
    train, held_out = source.loss(size, 1, 0.1, 0.001), source.loss(size, 1, 0.4, 0.001)
    bad = source.turn(size, 1, 0.4, source.uniform(0.5, 0.7), 0.001)
    return [
        Case("boosting", "learns", {one: _every(train), other: _every(held_out)}),
        Case("boosting", "overfits", {one: _every(train), other: _every(bad)}, _WORSE),
    ]


def _policies(source: _Source) -> list[Case]:
    size = source.randint(80, 800)
    key = source.choice(["rollout/ep_rew_mean", "charts/episodic_return", "episode_reward_mean", "eval/mean_reward"])
    scale = source.spread(1, 1000)
    reward = [scale * value for value in source.rise(size, 0.05, 1, source.uniform(0.02, 0.12))]
    value_loss = [scale * value for value in source.rise(size, 0.05, 1, 0.2)]
    others = {
        "train/value_loss": _every(value_loss),
        "train/policy_gradient_loss": _every([source.gauss(-0.01, 0.01) for _ in range(size)]),
        "train/entropy_loss": _every([-1 + 0.5 * index / size + source.gauss(0, 0.02) for index in range(size)]),
        "train/explained_variance": _every(source.walk(size, 0.5, 0.3, 0.9)),
        "time/fps": _every([1000 - 300 * index / size for index in range(size)]),
    }
    flat = [scale * value for value in source.walk(size, 1, 0.2, source.choice([0.0, 0.3]))]
    drop = source.fall_after(reward, 0.3)
    return [
        Case("stable-baselines3", "learns", {key: _every(reward), **others}),
        Case("stable-baselines3", "never rises", {key: _every(flat), **others}, ("never_learned",)),
        Case("stable-baselines3", "collapses", {key: _every(drop), **others}, _WORSE),
    ]


def _language_policies(source: _Source) -> list[Case]:
    size = source.randint(100, 400)
    key = source.choice(["critic/score/mean", "train/reward", "reward", "reward/mean"])
    reward = source.rise(size, 0.1, 0.7, source.uniform(0.03, 0.1))
    entropy = [0.6 * math.exp(-2 * index / size) + abs(source.gauss(0, 0.01)) for index in range(size)]
    base = {
        key: _every(reward),
        "actor/pg_loss": _every([source.gauss(0, 0.02) for _ in range(size)]),
        "actor/entropy": _every(entropy),
        "actor/grad_norm": _every([source.lognormvariate(-1, 0.3) for _ in range(size)]),
        "response_length/mean": _every([500 + 2 * index + source.gauss(0, 30) for index in range(size)]),
        "perf/throughput": _every([900 - index + source.gauss(0, 40) for index in range(size)]),
    }
    silent = [max(1e-6, value * math.exp(-12 * max(0, index / size - 0.4))) for index, value in enumerate(entropy)]
    many = {f"timing_s/step{number}": _every([source.gauss(5, 1) for _ in range(size)]) for number in range(60)}
    validation = source.fall_after(source.rise(max(20, size // 5), 0.1, 0.6, 0.02), 0.4)
    hidden = {**many, **base, "val-core/math/acc/mean@8": _every(validation, 5)}
    cut = {**base, "completions/clipped_ratio": _every([min(1, 3 * index / size) for index in range(size)])}
    return [
        Case("verl", "learns", base),
        Case("verl", "entropy collapses", {**base, "actor/entropy": _every(silent)}, ("entropy_collapse",)),
        Case("verl", "validation collapses among many keys", hidden, _WORSE),
        Case("TRL", "all answers are cut", cut, ("all_clipped",)),
    ]


def _pre_training(source: _Source) -> list[Case]:
    size = source.randint(500, 3000)
    loss = [2 + 9 * (1 + index) ** -0.35 + source.gauss(0, 0.03) for index in range(size)]
    spiky = list(loss)
    for _ in range(source.randint(2, 6)):
        spiky[source.randrange(size // 5, size - 10)] += source.uniform(0.5, 3)
    rate = [3e-4 * min(1, index / 100) * (1 + math.cos(math.pi * index / size)) / 2 for index in range(size)]
    at = int(source.uniform(0.4, 0.7) * size)
    blown = [*loss[:at], *(loss[at] * 1.02 ** (index / size * 400) for index in range(size - at))]
    restarts = [
        0.5 + 1.5 * math.exp(-index / size * 3) + 0.4 * ((index % (size // 4)) < size // 40) + source.gauss(0, 0.02)
        for index in range(size)
    ]
    lost = [value + (1.5 if index > at else 0) for index, value in enumerate(loss)]
    return [
        Case("Megatron", "pre-training", {"lm loss": _every(spiky), "learning rate": _every(rate)}),
        Case("nanoGPT", "pre-training", {"train/loss": _every(loss), "lr": _every(rate)}),
        Case("nanoGPT", "explodes", {"train/loss": _every(blown)}, ("divergence",)),
        Case("NeMo", "jumps and stays", {"reduced_train_loss": _every(lost)}, ("divergence",)),
        Case("timm", "warm restarts", {"train_loss": _every(restarts)}),
    ]


def _others(source: _Source) -> list[Case]:
    size = source.randint(60, 400)
    balance = {
        "loss_D": _every(source.walk(size, 0.7, 0.1, 0.5)),
        "loss_G": _every([1 + 0.5 * index / size + source.gauss(0, 0.2) for index in range(size)]),
        "fid": _every(source.loss(max(12, size // 10), 200, 20, 0.02), 10),
    }
    decades = [10 ** (2 - 6 * index / size + source.gauss(0, 0.1)) for index in range(size)]
    absent = {"val/dice/class3": _every([math.nan] * size), "train/loss": _every(source.loss(size, 1, 0.1, 0.02))}
    return [
        Case("GAN", "balance", balance),
        Case("PINN", "four decades", {"loss": _every(decades), "pde_loss": _every(decades)}),
        Case("segmentation", "an absent class", absent, ("non_finite",)),
    ]


CASES: tuple[Callable[[_Source], list[Case]], ...] = (
    _fine_tuning,
    _epochs,
    _boosting,
    _policies,
    _language_policies,
    _pre_training,
    _others,
)


def draw(seed: int) -> list[Case]:
    """Return the cases of all frameworks for one seed."""
    return [case for make in CASES for case in make(_Source(seed))]
