"""What a metric's key tells: whether small or large is good, what it measures, and of which data split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from swanlab_mcp.core.i18n import say

__all__ = [
    "Direction",
    "Role",
    "find_pairs",
    "find_role",
    "has_no_trend",
    "infer_direction",
    "is_validation",
    "split_words",
]

Role = Literal[
    "loss", "quality", "learning_rate", "gradient_norm", "throughput", "gpu_memory", "gpu_load", "host_memory", ""
]


def _read(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DOWN = _read(
    """
    loss losses error errors err eer mae mse rmse rmsle mape smape nmse nll bce ce crossentropy perplexity ppl wer
    cer ter per der fid kid lpips latency time seconds duration delay runtime cost regret brier ece mce bpc bpb bits
    fpr fnr hamming distance divergence chamfer hausdorff ate rpe failure failures violation violations collision
    collisions toxicity hallucination hallucinations drop overfit gap
    """
)
_UP = _read(
    """
    acc accuracy accuracies top1 top5 f1 f2 fbeta auc auroc auprc roc ap map mar iou miou dice jaccard precision
    recall sensitivity specificity tpr tnr bleu rouge rougel rouge1 rouge2 meteor cider spice chrf comet bertscore
    reward rewards return returns rew success win winrate elo psnr ssim r2 ndcg mrr hit hits kappa mcc correlation
    pearson spearman plcc srcc elbo loglikelihood likelihood similarity margin margins agreement throughput fps
    goodput mfu em gain improvement explained coherence exact
    """
)
# what such a word belongs to is a setting or a by-product, not a result
_NEUTRAL = _read("scale std stddev weight weights coef coefficient lambda threshold lr")
# these decide only where nothing else does: an FID score is still an FID
_WEAK_UP = frozenset({"score", "scores"})
_FLIP = frozenset({"neg", "negative", "minus"})
_TIMES = _read("s sec secs second seconds ms millis us ns min minute minutes hour hours time")
# what is known as small where it stands alone, but is a good that flows where it is counted by time
_FLOWS = frozenset({"bit", "bits", "distance"})
_COUNTS = _TIMES | _read("step steps epoch epochs episode episodes iteration iterations")
_CHOSEN = _read("best first last top peak")
# a high score of these is not known to be good
_AMBIGUOUS = _read("anomaly outlier novelty ood risk fraud uncertainty difficulty")
_TRAIN = frozenset({"train", "training", "trn"})
_VALIDATION = frozenset({"val", "valid", "validation", "eval", "evaluation", "dev"})
_TEST = frozenset({"test", "testing"})
_SPLITS = (("validation", _VALIDATION), ("test", _TEST), ("train", _TRAIN))
_PARTS = _VALIDATION | _TEST | _TRAIN | {"epoch", "step"}
# these need not fall: they balance one another, or are added to what is learnt
_NO_TREND = _read(
    """
    policy actor critic value entropy kl generator discriminator gan adversarial adv gen disc g d aux reg
    regularization
    """
)
_HARDWARE = re.compile(r"__swanlab__\.(?:gpu|npu|dcu|mlu|xpu|gcu|rocm|metax|dlp)\.[\d.\-]+\.(mem\.)?(?:pct|ptc)$")
_SPLIT = re.compile(r"[^0-9A-Za-z]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CHINESE = {
    "损失": "loss",
    "误差": "error",
    "错误率": "error",
    "困惑度": "perplexity",
    "延迟": "latency",
    "耗时": "time",
    "准确率": "accuracy",
    "正确率": "accuracy",
    "精度": "accuracy",
    "精确率": "precision",
    "召回率": "recall",
    "奖励": "reward",
    "回报": "return",
    "胜率": "winrate",
    "吞吐": "throughput",
    "学习率": "learning rate",
    "梯度范数": "grad norm",
    "训练": "train",
    "验证": "val",
    "测试": "test",
}
_CHINESE_TERM = re.compile("|".join(sorted(_CHINESE, key=len, reverse=True)))
_DIGITS = re.compile(r"\d+$")


class Direction(NamedTuple):
    """`mode` is "min", "max", or "" where the key does not tell; `reason` says why; `is_speed`: so many per time."""

    mode: Literal["min", "max", ""]
    reason: str
    is_speed: bool = False


def split_words(key: str) -> list[str]:
    """Return a key's words in lower case: split at everything but letters and digits, and in camelCase.

    Chinese terms come as the English ones.
    """
    key = _CHINESE_TERM.sub(lambda match: f" {_CHINESE[match[0]]} ", key)
    return [word.lower() for word in _SPLIT.split(key) if word]


def infer_direction(key: str) -> Direction:
    """Tell from a metric key whether small or large values are good; the last word that is known decides."""
    words = _join_known(split_words(key))
    if "per" in words[1:-1]:
        place = words.index("per", 1)
        numerator, denominator = words[place - 1], words[place + 1]
        if numerator in _TIMES:
            told = say("'{first} per {second}' is a time: smaller is better", first=numerator, second=denominator)
            return Direction("min", told)
        is_down = _find_known(numerator) in _DOWN - _FLOWS
        if denominator in _TIMES and not is_down:
            return Direction("max", say("'per {unit}' is a speed: larger is better", unit=denominator), is_speed=True)
        words = words[:place]
    for place in range(len(words) - 1, -1, -1):
        word = words[place]
        if word in _NEUTRAL:
            return Direction("", say("'{word}' tells neither", word=word))
        known = _find_known(word)
        if known:
            is_down = (known in _DOWN) != bool(_FLIP.intersection(words[:place]))
            counted = "" if is_down else _find_count(words, place)
            if words[-1] in ("epoch", "step") and _CHOSEN.intersection(words[:place]):
                counted = words[-1]
            if counted:
                return Direction("", say("'{unit}' may be what is counted, not '{word}'", unit=counted, word=known))
            if is_down:
                return Direction("min", say("'{word}' in the key: smaller is better", word=known))
            return Direction("max", say("'{word}' in the key: larger is better", word=known))
    weak = _WEAK_UP.intersection(words)
    ambiguous = _AMBIGUOUS.intersection(words)
    if weak and ambiguous:
        return Direction("", say("a high score of '{word}' may be good or bad", word=min(ambiguous)))
    if weak:
        return Direction("max", say("'{word}' in the key: larger is better", word=min(weak)))
    return Direction("", say("no word of the key tells"))


def find_role(key: str) -> Role:
    """Tell what a key measures, as far as its words say; "" where they do not."""
    hardware = _HARDWARE.match(key)
    if hardware:
        return "gpu_memory" if hardware[1] else "gpu_load"
    if key.startswith("__swanlab__"):
        return "host_memory" if key == "__swanlab__.mem.pct" else ""
    words = split_words(key)
    joined = "_".join(words)
    if "grad" in joined and "norm" in joined:
        return "gradient_norm"
    if "learning_rate" in joined or "lr" in words:
        return "learning_rate"
    direction = infer_direction(key)
    if "throughput" in words or direction.is_speed:
        return "throughput"
    if not direction.mode:
        return ""
    if direction.mode == "min":
        return "loss" if {"loss", "losses", "nll", "perplexity", "ppl", "entropy"}.intersection(words) else ""
    return "quality"


def has_no_trend(key: str) -> bool:
    """Tell whether a loss of this name need not fall when all is well."""
    return bool(_NO_TREND.intersection(_join_known(split_words(key))))


def is_validation(key: str) -> bool:
    """Tell whether a key is about data that was not trained on."""
    return bool((_VALIDATION | _TEST).intersection(split_words(key)))


def find_pairs(keys: Sequence[str]) -> list[tuple[str, str]]:
    """Return (train key, validation key) of keys that differ in the split alone; test data where nothing else is."""
    found: list[tuple[str, str]] = []
    by_rest: dict[tuple[str, ...], dict[str, str]] = {}
    for key in keys:
        words = split_words(key)
        kinds = [kind for kind, names in _SPLITS if names.intersection(words)]
        rest = tuple(word for word in words if word not in _PARTS)
        by_rest.setdefault(rest, {}).setdefault(kinds[0] if kinds else "plain", key)
    for kinds in by_rest.values():
        train = kinds.get("train") or kinds.get("plain")
        held_out = kinds.get("validation") or kinds.get("test")
        if train and held_out:
            found.append((train, held_out))
    return found


def _find_count(words: Sequence[str], place: int) -> str:
    """Return the word of a key that counts on the way to the one at `place`, as in time_to_success or acc_step."""
    if words[-1] == "step":
        return words[-1]
    if "to" not in words[1:place]:
        return ""
    before = words[words.index("to", 1) - 1]
    return before if before in _COUNTS else ""


def _find_known(word: str) -> str:
    bare = _DIGITS.sub("", word)
    return next((one for one in (word, bare) if one in _DOWN or one in _UP), "")


def _join_known(words: Iterable[str]) -> list[str]:
    """Join what splitting tears apart, as in mAP, mIoU and cross_entropy."""
    joined: list[str] = []
    for word in words:
        is_short = bool(joined) and (len(joined[-1]) <= 2 or joined[-1] == "cross")
        if is_short and (joined[-1] + word in (_DOWN | _UP)):
            joined[-1] += word
        else:
            joined.append(word)
    return joined
