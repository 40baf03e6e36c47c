"""More random curves, each with a practitioner's verdict: 7 kinds for each of 15 frameworks.

Keys, noise and shapes differ from those of `curves.py`. Run `python -m tests.evals.verdicts further`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.evals.curves import Case, Series

__all__ = ["draw_further"]

_WORSE = ("overfitting", "worsening", "divergence", "collapse")
_KINDS: Mapping[str, tuple[str, ...]] = {
    "healthy": (),
    "plateau": (),
    "overfit": _WORSE,
    "diverged": ("divergence", "worsening", "non_finite"),
    "collapsed": _WORSE,
    "never learned": ("never_learned",),
    "NaN": ("non_finite",),
}


class Keys(NamedTuple):
    """A framework's metrics: training `losses`, held-out losses and qualities, and uninformative metrics."""

    framework: str
    losses: Sequence[str]
    held_out_losses: Sequence[str] = ()
    qualities: Sequence[str] = ()
    others: Sequence[str] = ()
    # evaluations per run
    evaluations: tuple[int, int] = (20, 120)


_SUPERVISED = (
    Keys("fastai", ["train_loss"], ["valid_loss"], ["error_rate"], ["epoch", "time"], (15, 60)),
    Keys("PaddlePaddle", ["TRAIN/loss"], ["EVAL/loss"], ["EVAL/top1_acc"], ["TRAIN/lr", "TRAIN/ips"]),
    Keys("fairseq", ["train/nll_loss"], ["valid/nll_loss"], ["valid/bleu"], ["train/wps", "train/ups", "train/gnorm"]),
    Keys("ESPnet", ["train/loss"], ["valid/loss"], ["valid/acc", "valid/cer"], ["train/optim0_lr0"], (20, 100)),
    Keys("nnU-Net", ["train_losses"], ["val_losses"], ["ema_fg_dice"], ["epoch_end_timestamps"], (60, 500)),
    Keys("MONAI", ["train_loss"], [], ["val_mean_dice"], ["learning_rate"], (20, 150)),
    Keys("PyG", ["Loss/train"], ["Loss/val"], ["Acc/val"], ["Time/epoch"], (50, 300)),
    Keys("RecBole", ["train/train_loss"], [], ["valid/recall@10", "valid/ndcg@10"], ["train/epoch"], (25, 100)),
    Keys("SpeechBrain", ["train loss"], ["valid loss"], ["valid WER"], ["lr"], (15, 60)),
    Keys("mmpretrain", ["loss"], [], ["accuracy/top1"], ["data_time", "memory", "lr"], (20, 100)),
    Keys("中文", ["训练损失"], ["验证损失"], ["验证准确率"], ["学习率"], (20, 100)),
    Keys(
        "torchtitan", ["loss_metrics/global_avg_loss"], ["validation_metrics/loss"], [], ["throughput(tps)"], (15, 40)
    ),
)
_POLICIES = (
    Keys("RLlib", ["learners/default_policy/total_loss"], [], ["env_runners/episode_return_mean"], ["num_env_steps"]),
    Keys("Tianshou", ["update/loss"], [], ["test/returns_stat/mean"], ["update/gradient_step"]),
    Keys("SKRL", ["Loss / Value loss"], [], ["Reward / Total reward (mean)"], ["Learning / Learning rate"]),
)


class _Pen(random.Random):
    """A source of random curves with autocorrelated noise and many shapes."""

    def noise(self, size: int, scale: float) -> list[float]:
        """Return autocorrelated noise that shrinks or grows by up to half during the run."""
        kept, growth, value = self.choice([0.0, 0.0, 0.3, 0.6, 0.8]), self.uniform(-0.5, 0.5), 0.0
        values: list[float] = []
        for index in range(size):
            value = kept * value + self.gauss(0, math.sqrt(1 - kept * kept))
            values.append(scale * value * (1 + growth * index / size))
        return values

    def course(self, size: int) -> list[float]:
        """Return a curve that falls from 1 to about 0: a power law, an exponential, schedule steps or an S-curve."""
        shape = self.choice(["power", "exponential", "steps", "s"])
        if shape == "power":
            rate, bend = self.uniform(5, 60) / size, self.uniform(0.4, 1.0)
            values = [(1 + rate * index * 3) ** -bend for index in range(size)]
        elif shape == "exponential":
            rate = self.uniform(3, 10) / size
            values = [math.exp(-rate * index) for index in range(size)]
        elif shape == "steps":
            ends = sorted(self.uniform(0.3, 0.95) for _ in range(2))
            values = [0.6 * math.exp(-12 * index / size) + 0.4 - 0.2 * sum(index > end * size for end in ends)
                      for index in range(size)]  # fmt: skip
        else:
            middle, width = self.uniform(0.15, 0.5) * size, self.uniform(0.04, 0.12) * size
            values = [1 / (1 + math.exp((index - middle) / width)) for index in range(size)]
        low, high = min(values), max(values)
        return [(value - low) / (high - low) for value in values]

    def settle(self, size: int) -> list[float]:
        """Return a curve that reaches its final value early and stays level."""
        rate = self.uniform(15, 40) / size
        return [math.exp(-rate * index) for index in range(size)]

    def turn(self, size: int) -> list[float]:
        """Return a curve that reverses between 20 % and 60 % of the run and then loses a quarter to all of its gain."""
        at, back = self.uniform(0.2, 0.6) * size, self.uniform(0.25, 1.0)
        bend, pace = self.choice([0.6, 1.0, 1.4]), self.uniform(4, 8)
        return [
            math.exp(-pace * index / at) if index < at else back * ((index - at) / (size - at)) ** bend
            for index in range(size)
        ]

    def lose(self, values: Sequence[float]) -> list[float]:
        """Return a curve that permanently loses half to all of its gain, abruptly or over a tenth of the run."""
        size = len(values)
        at, width, back = self.uniform(0.4, 0.8) * size, self.uniform(0.005, 0.1) * size, self.uniform(0.5, 1.0)
        return [
            value if index < at else value + back * (1 - value) * (1 - math.exp(-(index - at) / width))
            for index, value in enumerate(values)
        ]

    def explode(self, *courses: Sequence[float]) -> list[list[float]]:
        """Return curves that diverge at the same time, exponentially or abruptly, to a level above the start."""
        at, jump = self.uniform(0.3, 0.8), self.uniform(1.0, 3.0)
        is_sudden, rate, top = self.random() < 0.5, self.uniform(0.05, 0.3), self.uniform(2, 50)

        def rise(share: float) -> float:
            return jump if is_sudden else min(top, 0.05 * math.exp(min(50, rate * 100 * (share - at))))

        return [
            [
                value + (rise(index / len(course)) if index >= at * len(course) else 0.0)
                for index, value in enumerate(course)
            ]
            for course in courses
        ]


def _space(values: Sequence[float], spacing: int) -> Series:
    return [spacing * (index + 1) for index in range(len(values))], list(values)


def _scale(course: Sequence[float], start: float, end: float, noise: Sequence[float]) -> list[float]:
    gain = start - end
    return [end + gain * value + gain * off for value, off in zip(course, noise, strict=True)]


def _draw_supervised(pen: _Pen, keys: Keys, kind: str) -> Case:
    evaluations = pen.randint(*keys.evaluations)
    per_epoch = pen.choice([1, 1, 5, 20])
    size = evaluations * per_epoch
    quiet, loud = pen.uniform(0.003, 0.02), pen.uniform(0.01, 0.06)
    metrics: dict[str, Series] = {}
    train, held_out = pen.course(size), pen.course(evaluations)
    if kind == "plateau":
        train, held_out = pen.settle(size), pen.settle(evaluations)
    quality = list(held_out)
    if kind == "overfit":
        held_out = pen.turn(evaluations)
        quality = held_out if not keys.held_out_losses else pen.settle(evaluations)
    elif kind == "diverged":
        train, held_out = pen.explode(train, held_out)
        quality = [min(1.0, value) for value in held_out]
    elif kind == "collapsed":
        quality = held_out = pen.lose(pen.settle(evaluations))
    start = pen.uniform(1, 8)
    for number, key in enumerate(keys.losses):
        values = _scale(train, start, start * pen.uniform(0.02, 0.4), pen.noise(size, loud))
        if kind == "never learned":
            values = [start + off for off in pen.noise(size, loud * start)]
        if kind == "NaN" and not number:
            at = int(pen.uniform(0.2, 0.9) * size)
            values = [*values[:at], *[math.nan] * (size - at)]
        metrics[key] = _space(values, 1)
    for key in keys.held_out_losses:
        values = _scale(held_out, start, start * pen.uniform(0.1, 0.5), pen.noise(evaluations, quiet))
        if kind == "never learned":
            values = [start + off for off in pen.noise(evaluations, loud * start)]
        metrics[key] = _space(values, per_epoch)
    for key in keys.qualities:
        is_error = key.lower().endswith(("error_rate", "wer", "cer"))
        top, bottom = pen.uniform(0.5, 0.98), pen.uniform(0.01, 0.3)
        first, last = (top, bottom) if is_error else (bottom, top)
        values = _scale(quality, first, last, pen.noise(evaluations, quiet))
        if kind == "never learned":
            values = [first + off for off in pen.noise(evaluations, 0.02)]
        metrics[key] = _space(values, per_epoch)
    for key in keys.others:
        metrics[key] = _space([pen.uniform(0.5, 2) * (1 + index / size) for index in range(size)], 1)
    return Case(keys.framework, kind, metrics, _KINDS[kind])


def _draw_policy(pen: _Pen, keys: Keys, kind: str) -> Case:
    size = pen.randint(80, 600)
    loud = pen.uniform(0.02, 0.1)
    scale, floor = math.exp(pen.uniform(0, 6)), pen.uniform(-0.5, 0.3)
    course = pen.settle(size) if kind == "plateau" else pen.course(size)
    if kind in ("collapsed", "overfit", "diverged"):
        course, kind = pen.lose(pen.settle(size)), "collapsed"
    reward = [scale * (floor + 1 - value + off) for value, off in zip(course, pen.noise(size, loud), strict=True)]
    if kind == "never learned":
        reward = [scale * (floor + off) for off in pen.noise(size, loud)]
    loss = [scale * abs(0.3 + off) for off in pen.noise(size, 0.2)]
    if kind == "NaN":
        at = int(pen.uniform(0.2, 0.9) * size)
        loss = [*loss[:at], *[math.nan] * (size - at)]
    metrics = {keys.qualities[0]: _space(reward, 1000), keys.losses[0]: _space(loss, 1000)}
    metrics |= {key: _space([float(index) for index in range(size)], 1000) for key in keys.others}
    return Case(keys.framework, kind, metrics, _KINDS[kind])


def draw_further(seed: int) -> list[Case]:
    """Return one case for each framework and kind, drawn with one seed."""
    cases: list[Case] = []
    drawers: list[tuple[Sequence[Keys], Callable[[_Pen, Keys, str], Case]]] = [
        (_SUPERVISED, _draw_supervised), (_POLICIES, _draw_policy)
    ]  # fmt: skip
    for every, draw in drawers:
        for keys in every:
            cases += [draw(_Pen(f"{seed} {keys.framework} {kind}"), keys, kind) for kind in _KINDS]
    return cases
