"""Random curves of kinds that the other files lack, each labelled by hand before the rules were run on it.

The kinds include few points, unequal logging intervals, humps, restarts, curricula, spikes, several losses, and rewards
with their KL and length. Run `python -m tests.evals.verdicts kinds`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tests.evals.curves import Case, Series
from tests.evals.shapes import Pen

__all__ = ["draw_kinds"]

_WORSE = ("overfitting", "worsening", "divergence", "collapse")
_FLAT = ("never_learned", "no_generalisation")


def _at(values: Sequence[float], spacing: int = 1, first: int = 0) -> Series:
    return [first + spacing * index for index in range(len(values))], list(values)


def _overfitting(pen: Pen) -> list[Case]:
    size = pen.randint(30, 120)
    down = _at(pen.fall(size, 2.0, 0.2, 0.02))
    equal = pen.valley(size, 2.0, 1.0, 1.9, 0.02)
    slow = pen.valley(2 * size, 1.3, 1.0, 1.3, 0.03, at=0.5)
    few = pen.valley(10, 0.62, 0.41, 0.7, 0.02, at=0.2)
    stopped = [*pen.fall(size, 1.0, 0.4, 0.015), *(0.4 + pen.gauss(0.004, 0.008) for _ in range(8))]
    boosted = pen.valley(300, 0.69, 0.3, 0.5, 0.003, at=0.3)
    early = pen.valley(120, 0.69, 0.3, 0.303, 0.001, at=0.92)
    return [
        Case("lightning", "equal gain and loss", {"train_loss": down, "val_loss": _at(equal)}, _WORSE),
        Case(
            "keras", "slow overfitting", {"loss": _at(pen.fall(2 * size, 2, 0.4, 0.02)), "val_loss": _at(slow)}, _WORSE
        ),
        Case(
            "Informer",
            "ten evaluations",
            {"train loss": _at(pen.fall(10, 0.5, 0.1, 0.01)), "vali loss": _at(few)},
            _WORSE,
        ),
        Case(
            "lightning",
            "early stopped",
            {"train_loss": _at(pen.fall(size + 8, 1, 0.3, 0.01)), "val_loss": _at(stopped)},
        ),
        Case(
            "xgboost",
            "overfitted",
            {"train-logloss": _at(pen.fall(300, 0.69, 0.01, 0.002)), "eval-logloss": _at(boosted)},
            _WORSE,
        ),
        Case(
            "xgboost",
            "stopped in time",
            {"train-logloss": _at(pen.fall(120, 0.69, 0.2, 0.002)), "eval-logloss": _at(early)},
        ),
        Case("中文", "过拟合", {"训练集损失": down, "验证集损失": _at(pen.valley(size, 1.5, 0.8, 1.4, 0.02))}, _WORSE),
    ]


def _generalising(pen: Pen) -> list[Case]:
    size = pen.randint(150, 400)
    at = pen.uniform(0.4, 0.6) * size
    hump = [
        5 * math.exp(-(((index - 0.6 * at) / (0.35 * at)) ** 2))
        + 2.3 / (1 + math.exp((index - at) / 8))
        + abs(pen.gauss(0, 0.02))
        for index in range(size)
    ]
    late = [0.98 / (1 + math.exp(-(index - at) / 8)) + pen.gauss(0, 0.004) for index in range(size)]
    quick = _at([abs(one) for one in pen.fall(size, 3.0, 0.001, 0.001, rate=25)])
    chance = [0.1 + pen.gauss(0, 0.01) for _ in range(size)]
    return [
        Case(
            "grokking", "hump, then it generalises", {"train/loss": quick, "val/loss": _at(hump), "val/acc": _at(late)}
        ),
        Case("grokking", "never generalises", {"train/loss": quick, "val/acc": _at(chance)}, _FLAT),
        Case(
            "SimCLR",
            "contrastive loss falls",
            {"train/contrastive_loss": _at(pen.fall(size, math.log(256), 1.2, 0.02))},
        ),
        Case(
            "SimCLR",
            "contrastive loss at ln(256)",
            {"train/contrastive_loss": _at([math.log(256) + pen.gauss(0, 0.004) for _ in range(size)])},
            _FLAT,
        ),
    ]


def _speech(pen: Pen) -> list[Case]:
    size = pen.randint(40, 80)
    wait = [3.0 + 20 * math.exp(-index) for index in range(size // 5)]
    loss = [one + pen.gauss(0, 0.03) for one in wait] + pen.fall(size - len(wait), 3.0, 0.4, 0.02)
    wer = [1.0] * len(wait) + pen.fall(size - len(wait), 1.0, 0.15, 0.01)
    stuck = [3.0 + 20 * math.exp(-index) + pen.gauss(0, 0.01) for index in range(size)]
    few = [0.42, 0.33, 0.29, 0.27, 0.255, 0.25, 0.247, 0.244]
    return [
        Case("CTC", "waits, then learns", {"train/loss_ctc": _at(loss), "valid/wer": _at(wer)}),
        Case("CTC", "only blanks", {"train/loss_ctc": _at(stuck), "valid/wer": _at([1.0] * size)}, _FLAT),
        Case(
            "Whisper",
            "eight evaluations fall",
            {
                "loss": _at(pen.fall(200, 1.0, 0.1, 0.03), 25),
                "eval_wer": _at([one + pen.gauss(0, 0.003) for one in few], 600),
            },
        ),
        Case(
            "Whisper",
            "eight evaluations rise",
            {
                "loss": _at(pen.fall(200, 1.0, 0.02, 0.03), 25),
                "eval_wer": _at([0.25 + 0.015 * n + pen.gauss(0, 0.002) for n in range(8)], 600),
            },
            _WORSE,
        ),
    ]


def _language_models(pen: Pen) -> list[Case]:
    size = pen.randint(800, 2500)
    power = [3.0 + 8 * (index + 10) ** -0.35 + pen.gauss(0, 0.03) for index in range(size)]
    spiky = list(power)
    for _ in range(pen.randint(2, 5)):
        start = pen.randint(size // 5, size - 60)
        for index in range(start, start + 25):
            spiky[index] += 3 * math.exp(-(index - start) / 6)
    lost = list(power)
    for index in range(at := int(pen.uniform(0.5, 0.8) * size), size):
        lost[index] = 7.2 - 1.5 * math.exp(-(index - at) / 30) + pen.gauss(0, 0.05)
    evaluated = _at([3.2 + 2 * (n + 1) ** -0.8 for n in range(pen.randint(5, 9))], size // 9, size // 9)
    step = [one - 0.25 * (index > size // 3) for index, one in enumerate(power)]
    stages = [
        2.0 * math.exp(-(index % (size // 4)) / (size / 20)) + 0.5 + 0.1 * (4 * index // size) + pen.gauss(0, 0.03)
        for index in range(size)
    ]
    saw = [
        0.4
        + 1.6 * math.exp(-4 * index / size)
        + 0.25 * (1 - (index % (size // 5)) / (size / 5)) * (index > size // 5)
        + pen.gauss(0, 0.02)
        for index in range(size)
    ]
    gradual = _at(pen.fall(size // 40, 2.5, 0.7, 0.02), 40)
    rates = _at([1e-3 * (1 + math.cos(math.pi * (index % (size // 5)) / (size / 5))) / 2 for index in range(size)])
    return [
        Case(
            "Megatron",
            "recovered spikes",
            {"lm loss": _at(spiky), "grad-norm": _at([pen.lognormvariate(0, 0.3) for _ in range(size)])},
        ),
        Case("Megatron", "spike that stays", {"lm loss": _at(lost)}, _WORSE),
        Case(
            "nanotron",
            "other logging intervals",
            {"train/loss": _at(power, 10), "eval/loss": evaluated, "lr": _at([1e-4] * (size // 3), 30)},
        ),
        Case(
            "nanotron",
            "one evaluation at the end",
            {"train/loss": _at(power), "eval/loss": ([size], [3.3]), "eval/acc": ([size], [0.4])},
        ),
        Case(
            "torchtune",
            "resumed with a gap",
            {"loss": ([*range(size // 2), *range(size, size + size - size // 2)], power), "lr": _at([2e-5] * size)},
            ("missing_steps",),
        ),
        Case("torchtune", "second epoch steps down", {"loss": _at(step)}),
        Case("curriculum", "harder stages", {"train/loss": _at(stages), "val/loss": gradual}),
        Case("SGDR", "warm restarts", {"train/loss": _at(saw), "val/loss": gradual, "lr": rates}),
    ]


def _preferences(pen: Pen) -> list[Case]:
    size = pen.randint(100, 300)
    reward = pen.climb(size, 0.1, 0.8, 0.04)
    base = {
        "critic/score/mean": _at(reward),
        "actor/kl_loss": _at([0.0005 * index + abs(pen.gauss(0, 0.001)) for index in range(size)]),
        "actor/entropy": _at([0.6 * math.exp(-2 * index / size) + pen.gauss(0, 0.01) for index in range(size)]),
        "response_length/mean": _at([500 + 500 * index / size + pen.gauss(0, 20) for index in range(size)]),
        "actor/pg_loss": _at([pen.gauss(0, 0.02) for _ in range(size)]),
    }
    hacked = _at(
        [0.3 + 0.25 * min(1, n / 8) - 0.4 * max(0.0, n / 30 - 0.4) + pen.gauss(0, 0.01) for n in range(30)], size // 30
    )
    fallen = [one if index < 0.6 * size else 0.05 + abs(pen.gauss(0, 0.02)) for index, one in enumerate(reward)]
    dpo = {
        "train/loss": _at(pen.fall(size, 0.693, 0.4, 0.04)),
        "train/rewards/chosen": _at([-0.01 * index + pen.gauss(0, 0.1) for index in range(size)]),
        "train/rewards/margins": _at(pen.climb(size, 0, 2, 0.05)),
    }
    growing = _at([500 * (1 + 7 * (index > 0.7 * size)) + pen.gauss(0, 20) for index in range(size)])
    lost = _at([0.6 * math.exp(-12 * index / size) for index in range(size)])
    return [
        Case("GRPO", "reward, KL and length grow", base),
        Case("GRPO", "validation falls while the reward rises", {**base, "val-core/math/acc/mean@4": hacked}, _WORSE),
        Case("GRPO", "reward collapses", {**base, "critic/score/mean": _at(fallen)}, _WORSE),
        Case("GRPO", "entropy collapses", {**base, "actor/entropy": lost}, ("entropy_collapse",)),
        Case("GRPO", "answers explode", {**base, "response_length/mean": growing}, ("length_explosion",)),
        Case("DPO", "chosen rewards fall", {**dpo, "eval/loss": _at(pen.fall(9, 0.69, 0.48, 0.01), size // 9)}),
        Case(
            "DPO",
            "overfitted",
            {**dpo, "eval/loss": _at(pen.valley(16, 0.69, 0.52, 0.95, 0.01, at=0.3), size // 16)},
            _WORSE,
        ),
    ]


def _control(pen: Pen) -> list[Case]:
    size = pen.randint(120, 400)
    smooth = pen.average(pen.climb(size, -200, 250, 0.15), 20)
    fallen = pen.average(
        [
            one if index < 0.55 * size else 15 + pen.gauss(0, 10)
            for index, one in enumerate(pen.climb(size, 20, 450, 0.1))
        ],
        10,
    )
    level = [pen.gauss(-200, 15) for _ in range(size)]
    growing = _at([1 + index / 20 + abs(pen.gauss(0, 0.5)) for index in range(size)], 2048)
    score = [
        one if index < 0.6 * len(smooth) else 5 + pen.gauss(0, 2)
        for index, one in enumerate(pen.climb(size, 2, 90, 0.05))
    ]
    return [
        Case("sb3", "moving average rises", {"rollout/ep_rew_mean": _at(smooth, 2048), "train/value_loss": growing}),
        Case(
            "sb3",
            "moving average collapses",
            {"rollout/ep_rew_mean": _at(fallen, 2048), "train/value_loss": growing},
            _WORSE,
        ),
        Case("sb3", "never rises", {"rollout/ep_rew_mean": _at(level, 2048), "train/loss": growing}, _FLAT),
        Case(
            "SAC",
            "critic loss grows",
            {
                "eval/return_mean": _at(pen.climb(size, 0, 3000, 0.06)),
                "losses/qf_loss": growing,
                "losses/alpha": _at([math.exp(-index / 50) for index in range(size)]),
            },
        ),
        Case(
            "offline RL",
            "normalized score collapses",
            {"d4rl_normalized_score": _at(score), "critic_loss": growing},
            _WORSE,
        ),
    ]


def _vision(pen: Pen) -> list[Case]:
    size = pen.randint(60, 200)
    parts = {
        f"train/{name}_loss": _at(pen.fall(size, 2 * high, high / 2, 0.01))
        for name, high in (("box", 1.0), ("cls", 2.0), ("dfl", 1.2))
    }
    held = {
        f"val/{name}_loss": _at(pen.fall(size, 2 * high, high * 0.7, 0.015))
        for name, high in (("box", 1.0), ("cls", 2.0), ("dfl", 1.2))
    }
    quality = {
        "metrics/mAP50-95(B)": _at(pen.climb(size, 0.01, 0.5, 0.02)),
        "metrics/mAP50(B)": _at(pen.climb(size, 0.02, 0.7, 0.02)),
    }
    peak = [one - 0.2 * max(0.0, index / size - 0.5) for index, one in enumerate(pen.climb(size, 0.01, 0.5, 0.01))]
    bad = {"val/cls_loss": _at(pen.valley(size, 4.0, 1.6, 3.2, 0.02)), "metrics/mAP50-95(B)": _at(peak)}
    closing = {
        key: (steps, [one - 0.25 * one * (index > size - 11) for index, one in enumerate(values)])
        for key, (steps, values) in parts.items()
    }
    adversaries = {
        "loss_G": _at([1 + index / size + pen.gauss(0, 0.2) for index in range(size)]),
        "loss_D": _at([0.7 - 0.3 * index / size + pen.gauss(0, 0.1) for index in range(size)]),
    }
    fid = pen.fall(size // 4, 250, 20, 0.01)
    mode = pen.valley(40, 200, 30, 150, 0.02, at=0.5)
    noisy = _at([0.12 + 0.8 * math.exp(-index / 6) + abs(pen.gauss(0, 0.02)) for index in range(20 * size)])
    vae = {
        "train/loss": _at(pen.fall(size, 200, 90, 0.01)),
        "train/recon_loss": _at(pen.fall(size, 195, 65, 0.01)),
        "train/kl": _at(pen.climb(size, 5, 25, 0.02)),
    }
    plateau = [*pen.climb(size, 0.1, 0.78, 0.006), *(0.78 + pen.gauss(0, 0.003) for _ in range(size))]
    return [
        Case("ultralytics", "healthy", {**parts, **held, **quality}),
        Case("ultralytics", "mosaic closes", {**closing, **held, **quality}),
        Case("ultralytics", "mAP falls", {**parts, **held, **quality, **bad}, _WORSE),
        Case("GAN", "FID falls", {**adversaries, "Metrics/fid50k_full": _at(fid, 4)}),
        Case("GAN", "FID rises", {**adversaries, "Metrics/fid50k_full": _at(mode, 4)}, _WORSE),
        Case("diffusion", "noisy loss", {"train/loss_simple": noisy, "val/fid": _at(fid, 80)}),
        Case("VAE", "KL rises", vae),
        Case("timm", "plateau", {"train_loss": _at(pen.fall(2 * size, 6, 1.5, 0.01)), "eval_top1": _at(plateau)}),
        Case(
            "MONAI",
            "noisy Dice",
            {
                "train_loss": _at(pen.fall(size, 0.9, 0.15, 0.02)),
                "val_mean_dice": _at(pen.climb(size, 0.1, 0.85, 0.06)),
            },
        ),
        Case(
            "recommender",
            "recall falls",
            {
                "train_loss": _at(pen.fall(size, 1, 0.1, 0.01)),
                "recall@20": _at([-one for one in pen.valley(size, -0.02, -0.2, -0.13, 0.01)]),
            },
            _WORSE,
        ),
    ]


def _others(pen: Pen) -> list[Case]:
    size = pen.randint(80, 300)
    wide = [10 ** (1 - 6 * index / size + pen.gauss(0, 0.12)) for index in range(4 * size)] if size else []
    high = _at([2.3 + pen.gauss(0, 0.25) for _ in range(size)])
    broken = pen.fall(size, 2, 0.5, 0.02)
    broken[int(0.7 * size) :] = [math.nan] * (size - int(0.7 * size))
    scaled = [math.inf, math.inf, *(pen.lognormvariate(0, 0.3) for _ in range(size - 2))]
    distilled = {
        "train/kd_loss": _at(pen.fall(size, 4, 1.2, 0.02)),
        "train/ce_loss": _at(pen.fall(size, 5, 1.8, 0.02)),
        "val/acc": _at(pen.climb(size // 4, 0.1, 0.75, 0.01), 4),
    }
    tasks = {
        "loss": _at(pen.fall(size, 6, 2, 0.01)),
        "loss_seg": _at(pen.fall(size, 3, 0.5, 0.02)),
        "loss_depth": _at([1.0 + 0.2 * index / size + pen.gauss(0, 0.03) for index in range(size)]),
        "val/miou": _at(pen.climb(size // 5, 0.1, 0.7, 0.01), 5),
    }
    return [
        Case("PINN", "six decades", {"loss": _at(wide[:size])}),
        Case(
            "Keras",
            "rate too high",
            {"loss": high, "val_accuracy": _at([0.1 + pen.gauss(0, 0.005) for _ in range(size)])},
            _FLAT,
        ),
        Case("fairseq", "becomes NaN", {"train/loss": _at(broken)}, ("non_finite",)),
        Case(
            "fairseq", "loss scale settles", {"train/loss": _at(pen.fall(size, 9, 3, 0.01)), "train/gnorm": _at(scaled)}
        ),
        Case("distillation", "healthy", distilled),
        Case("multi-task", "a part rises", tasks),
    ]


_DRAWN: Sequence[Callable[[Pen], list[Case]]] = (
    _overfitting, _generalising, _speech, _language_models, _preferences, _control, _vision, _others,
)  # fmt: skip


def draw_kinds(seed: int) -> list[Case]:
    """Return 51 experiments drawn with this seed."""
    return [case for number, draw in enumerate(_DRAWN) for case in draw(Pen(1000 * seed + number))]
