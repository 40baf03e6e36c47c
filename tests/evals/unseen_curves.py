"""Random curves of ten frameworks that the other files lack, each labelled by hand before the rules were run on it.

Run `python -m tests.evals.verdicts unseen`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tests.evals.curves import Case, Series
from tests.evals.shapes import Pen

__all__ = ["draw_unseen"]

_WORSE = ("overfitting", "worsening", "divergence", "collapse")
_FLAT = ("never_learned", "no_generalisation")


def _at(values: Sequence[float], spacing: int = 1, first: int = 0) -> Series:
    return [first + spacing * index for index in range(len(values))], list(values)


def _self_supervised(pen: Pen) -> list[Case]:
    """DINO: the loss falls below ln(65536), and then rises a little with the teacher's temperature."""
    size = pen.randint(100, 300)
    top = math.log(65536)
    fall = pen.fall(size, top, 6.0, 0.01, rate=8)
    warm = [one + 0.9 * min(1.0, index / (0.3 * size)) for index, one in enumerate(fall)]
    level = [top - 0.003 + pen.gauss(0, 0.002) for _ in range(size)]
    common = {
        "train/teacher_temp": _at([0.04 + 0.03 * min(1.0, index / (0.3 * size)) for index in range(size)]),
        "train/momentum": _at([1 - 0.004 * (1 + math.cos(math.pi * index / size)) / 2 for index in range(size)]),
        "train/wd": _at([0.04 + 0.36 * index / size for index in range(size)]),
    }
    accuracy = pen.climb(size // 10, 8, 70, 0.01)
    fallen = [one if index < 0.6 * len(accuracy) else 3 + pen.gauss(0, 0.5) for index, one in enumerate(accuracy)]
    chance = [0.1 + abs(pen.gauss(0, 0.02)) for _ in range(max(12, size // 10))]
    return [
        Case(
            "DINO",
            "loss rises with the temperature",
            {**common, "train/total_loss": _at(warm), "knn_top1": _at(accuracy, 10)},
        ),
        Case(
            "DINO",
            "collapsed from the start",
            {**common, "train/total_loss": _at(level), "knn_top1": _at(chance, 10)},
            _FLAT,
        ),
        Case(
            "DINO", "features collapse", {**common, "train/total_loss": _at(fall), "knn_top1": _at(fallen, 10)}, _WORSE
        ),
    ]


def _world_models(pen: Pen) -> list[Case]:
    """DreamerV3: scores are of single episodes at irregular steps, and some losses rise while the policy improves."""
    size = pen.randint(150, 500)
    steps = [0]
    for _ in range(size - 1):
        steps.append(steps[-1] + pen.randint(200, 1000))
    losses = {
        "train/loss/image": _at(pen.fall(size, 4000, 60, 0.01)),
        "train/loss/dyn": _at([1 + 4 * index / size + abs(pen.gauss(0, 0.3)) for index in range(size)]),
        "train/loss/reward": _at([0.3 + 0.4 * index / size + abs(pen.gauss(0, 0.05)) for index in range(size)]),
        "train/loss/policy": _at([pen.gauss(0, 0.3) for _ in range(size)]),
        "fps/train": _at([abs(pen.gauss(800, 40)) for _ in range(size)]),
        "episode/length": (steps, [pen.uniform(100, 1000) for _ in range(size)]),
    }
    high = [max(0.0, one + pen.gauss(0, 0.25) * one) for one in pen.climb(size, 1, 18, 0.03)]
    fallen = [one if index < 0.65 * size else abs(pen.gauss(1, 0.6)) for index, one in enumerate(high)]
    low = [abs(pen.gauss(0.5, 0.3)) for _ in range(size)]
    return [
        Case("DreamerV3", "score rises", {**losses, "episode/score": (steps, high)}),
        Case("DreamerV3", "score collapses", {**losses, "episode/score": (steps, fallen)}, _WORSE),
        Case("DreamerV3", "score stays at chance", {**losses, "episode/score": (steps, low)}, _FLAT),
    ]


def _splatting(pen: Pen) -> list[Case]:
    """3D Gaussian splatting: opacities are reset every 3,000 iterations, and few test views are rendered."""
    size = 300
    calm = [0.03 + 0.17 * math.exp(-index / 25) + abs(pen.gauss(0, 0.008)) for index in range(size)]
    reset = [one + (0.12 * math.exp(-(index % 30) / 2) if 30 <= index < 150 else 0.0) for index, one in enumerate(calm)]
    grown = [1e5 + 1.4e6 * (1 - math.exp(-index / 60)) for index in range(size)]
    few = [24.1 + pen.gauss(0, 0.1), 27.3, 28.4 + pen.gauss(0, 0.1)]
    rising = [20 + 9 * (1 - math.exp(-index / 5)) + pen.gauss(0, 0.05) for index in range(30)]
    sparse = [
        18 + 4 * (1 - math.exp(-index / 2)) - 0.16 * max(0, index - 7) + pen.gauss(0, 0.06) for index in range(30)
    ]
    lost = [one if index < 200 else math.nan for index, one in enumerate(calm)]
    return [
        Case(
            "3DGS",
            "opacity resets",
            {
                "train_loss_patches/total_loss": _at(reset, 100),
                "total_points": _at(grown, 100),
                "test/loss_viewpoint - psnr": _at(rising, 1000),
            },
        ),
        Case(
            "3DGS",
            "three evaluations",
            {"train_loss_patches/total_loss": _at(calm, 100), "test/psnr": ([2000, 7000, 30000], few)},
        ),
        Case(
            "3DGS",
            "sparse views overfit",
            {"train_loss_patches/total_loss": _at(calm, 100), "test/psnr": _at(sparse, 1000)},
            _WORSE,
        ),
        Case("3DGS", "becomes NaN", {"train_loss_patches/total_loss": _at(lost, 100)}, ("non_finite",)),
    ]


def _potentials(pen: Pen) -> list[Case]:
    """MACE: in the second stage, energies have more weight, so energy errors fall and force errors rise a little."""
    size = pen.randint(120, 300)
    at = int(0.75 * size)
    energy = [one * (1 if index < at else 0.35) for index, one in enumerate(pen.fall(size, 60, 4, 0.01))]
    force = [one + (1.5 if index >= at else 0.0) for index, one in enumerate(pen.fall(size, 180, 22, 0.01))]
    train = pen.fall(size, 3.0, 0.02, 0.005)
    bad = pen.valley(size, 180, 35, 90, 0.015)
    return [
        Case(
            "MACE",
            "second stage",
            {"train_loss": _at(train), "valid/rmse_e_per_atom": _at(energy), "valid/rmse_f": _at(force)},
        ),
        Case(
            "MACE",
            "small data overfits",
            {
                "train_loss": _at(train),
                "valid/rmse_e_per_atom": _at(pen.valley(size, 60, 9, 30, 0.015)),
                "valid/rmse_f": _at(bad),
            },
            _WORSE,
        ),
    ]


def _sparse_autoencoders(pen: Pen) -> list[Case]:
    """SAELens: the penalty warms up, so the total loss rises while the reconstruction is learned."""
    size = pen.randint(300, 900)
    warm = [min(1.0, index / (0.15 * size)) for index in range(size)]
    mse = [one + 0.03 * weight for one, weight in zip(pen.fall(size, 1.0, 0.12, 0.01, rate=25), warm, strict=True)]
    l1 = [
        0.25 * weight * (1 + 0.4 * math.exp(-index / (0.3 * size))) + pen.gauss(0, 0.002)
        for index, weight in enumerate(warm)
    ]
    total = [one + other for one, other in zip(mse, l1, strict=True)]
    common = {
        "metrics/l0": _at([600 * math.exp(-4 * index / size) + 50 + pen.gauss(0, 4) for index in range(size)]),
        "sparsity/dead_features": _at([40 * index / size + abs(pen.gauss(0, 3)) for index in range(size)]),
    }
    exploded = [
        one if index < 0.6 * size else one * math.exp(min(6.0, (index - 0.6 * size) / 20))
        for index, one in enumerate(mse)
    ]
    return [
        Case(
            "SAELens",
            "penalty warms up",
            {
                **common,
                "losses/mse_loss": _at(mse),
                "losses/l1_loss": _at(l1),
                "losses/overall_loss": _at(total),
                "metrics/explained_variance": _at(pen.climb(size, 0.1, 0.85, 0.01)),
            },
        ),
        Case(
            "SAELens",
            "reconstruction explodes",
            {
                **common,
                "losses/mse_loss": _at(exploded),
                "losses/overall_loss": _at([a + b for a, b in zip(exploded, l1, strict=True)]),
            },
            _WORSE,
        ),
    ]


def _federated(pen: Pen) -> list[Case]:
    """Flower: accuracy oscillates between rounds because different clients take part."""
    rounds = pen.randint(60, 150)
    swing = [
        one + 0.04 * math.sin(index * 2.1) + pen.gauss(0, 0.02)
        for index, one in enumerate(pen.climb(rounds, 0.1, 0.74, 0.01))
    ]
    fall = [one + abs(pen.gauss(0, 0.08)) for one in pen.fall(rounds, 2.3, 0.8, 0.02)]
    away = [one if index < 0.4 * rounds else one + 0.09 * (index - 0.4 * rounds) for index, one in enumerate(fall)]
    drop = [
        one if index < 0.4 * rounds else max(0.1, one - 0.02 * (index - 0.4 * rounds))
        for index, one in enumerate(swing)
    ]
    ten = [0.31, 0.45, 0.53, 0.57, 0.6, 0.61, 0.625, 0.63, 0.635, 0.638]
    worse = [0.61, 0.6, 0.585, 0.57, 0.55, 0.54, 0.52, 0.5, 0.47, 0.44]
    return [
        Case("Flower", "clients differ", {"distributed_loss": _at(fall), "centralized_accuracy": _at(swing)}),
        Case(
            "Flower",
            "global model diverges",
            {"centralized_loss": _at(away), "centralized_accuracy": _at(drop)},
            _WORSE,
        ),
        Case("Flower", "ten rounds rise", {"centralized_accuracy": _at([one + pen.gauss(0, 0.002) for one in ten])}),
        Case(
            "Flower",
            "ten rounds fall",
            {
                "distributed_loss": _at(pen.fall(10, 2, 0.5, 0.01)),
                "centralized_accuracy": _at([one + pen.gauss(0, 0.002) for one in worse]),
            },
            _WORSE,
        ),
    ]


def _legged_robots(pen: Pen) -> list[Case]:
    """rsl_rl: the terrain gets harder in stages, and the reward dips each time."""
    size = pen.randint(300, 1500)
    climb = pen.climb(size, -2, 25, 0.015)
    level = [5 * min(1.0, index / (0.7 * size)) for index in range(size)]
    dips = [
        one
        - 3.5 * math.exp(-((index - 0.5 * size) % (0.2 * size)) / (0.03 * size)) * (0.5 * size < index < 0.95 * size)
        for index, one in enumerate(climb)
    ]
    common = {
        "Curriculum/terrain_levels": _at(level),
        "Loss/value_function": _at([0.02 + 0.1 * index / size + abs(pen.gauss(0, 0.02)) for index in range(size)]),
        "Loss/surrogate": _at([pen.gauss(-0.005, 0.003) for _ in range(size)]),
        "Policy/mean_noise_std": _at([1.0 * math.exp(-2 * index / size) for index in range(size)]),
        "Train/mean_episode_length": _at(pen.climb(size, 20, 980, 0.01)),
        "Episode_Reward/action_rate_l2": _at(
            [-0.05 - 0.1 * index / size + pen.gauss(0, 0.005) for index in range(size)]
        ),
        "Episode_Termination/base_contact": _at(pen.fall(size, 1, 0.05, 0.02)),
    }
    broken = [one if index < 0.7 * size else -2 + pen.gauss(0, 0.5) for index, one in enumerate(climb)]
    lying = [-1.5 + pen.gauss(0, 0.1) for _ in range(size)]
    return [
        Case("rsl_rl", "harder terrain", {**common, "Train/mean_reward": _at(dips)}),
        Case("rsl_rl", "policy breaks", {**common, "Train/mean_reward": _at(broken)}, _WORSE),
        Case("rsl_rl", "never stands up", {**common, "Train/mean_reward": _at(lying)}, _FLAT),
    ]


def _embeddings(pen: Pen) -> list[Case]:
    """Sentence Transformers: a correlation is logged every tenth of an epoch."""
    size = pen.randint(60, 200)
    loss = _at(pen.fall(size, 2.5, 0.4, 0.04), 100)
    best = [0.72 + 0.12 * (1 - math.exp(-index / 2)) + pen.gauss(0, 0.002) for index in range(20)]
    worse = [one - 0.009 * max(0, index - 6) for index, one in enumerate(best)]
    start = 0.846
    tiny = [start + 0.002 * (1 - math.exp(-index / 3)) + pen.gauss(0, 0.0006) for index in range(20)]
    key = "eval_sts-dev_spearman_cosine"
    return [
        Case("SentenceTransformers", "correlation rises", {"loss": loss, key: _at(best, 1000)}),
        Case("SentenceTransformers", "correlation falls", {"loss": loss, key: _at(worse, 1000)}, _WORSE),
        Case("SentenceTransformers", "already good", {"loss": loss, key: _at(tiny, 1000)}),
    ]


def _autoregressive_images(pen: Pen) -> list[Case]:
    """VQGAN: the discriminator starts late, which changes the meaning of the generator's loss."""
    size = pen.randint(200, 600)
    at = int(0.4 * size)
    rec = [one + 0.02 * (index >= at) for index, one in enumerate(pen.fall(size, 0.9, 0.18, 0.01))]
    generator = [one if index < at else one + 0.8 + pen.gauss(0, 0.15) for index, one in enumerate(rec)]
    disc = [0.0 if index < at else 1.0 - 0.2 * (index - at) / size + pen.gauss(0, 0.08) for index in range(size)]
    common = {
        "train/g_loss": _at(generator),
        "train/disc_loss": _at(disc),
        "train/perplexity": _at(pen.climb(size, 20, 900, 0.02)),
    }
    dead = [one if index < 0.5 * size else 0.6 + abs(pen.gauss(0, 0.02)) for index, one in enumerate(rec)]
    return [
        Case(
            "VQGAN", "discriminator starts", {**common, "train/rec_loss": _at(rec), "val/rec_loss": _at(rec[::10], 10)}
        ),
        Case(
            "VQGAN",
            "reconstruction breaks",
            {**common, "train/rec_loss": _at(dead), "val/rec_loss": _at(dead[::10], 10)},
            _WORSE,
        ),
    ]


def _flow_matching(pen: Pen) -> list[Case]:
    """F5-TTS: the noise of the random time hides most of the gain."""
    size = pen.randint(1500, 4000)
    loss = [0.62 + 0.25 * math.exp(-5 * index / size) + pen.gauss(0, 0.07) for index in range(size)]
    lost = [one if index < 0.6 * size else one + 0.4 for index, one in enumerate(loss)]
    wer = [0.03 + 0.6 * math.exp(-index / 3) + abs(pen.gauss(0, 0.003)) for index in range(16)]
    return [
        Case("F5-TTS", "noise hides the gain", {"loss": _at(loss), "eval/wer": _at(wer, size // 16)}),
        Case("F5-TTS", "loss jumps for good", {"loss": _at(lost)}, _WORSE),
    ]


_DRAWN: Sequence[Callable[[Pen], list[Case]]] = (
    _self_supervised, _world_models, _splatting, _potentials, _sparse_autoencoders, _federated, _legged_robots,
    _embeddings, _autoregressive_images, _flow_matching,
)  # fmt: skip


def draw_unseen(seed: int) -> list[Case]:
    """Return 28 experiments drawn with this seed."""
    return [case for number, draw in enumerate(_DRAWN) for case in draw(Pen(1000 * seed + number))]
