"""Interpret config keys: map them to common setting names, and recognise records that are not settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from swanlab_mcp.analysis.metric_catalogue import split_words

__all__ = [
    "AMBIGUOUS",
    "LOGARITHM",
    "NEUTRAL",
    "find_same_settings",
    "is_bookkeeping",
    "is_known_setting",
    "simplify_key",
    "split_key",
]

# synonyms for settings, without neutral words; each line starts with the canonical name
_SYNONYMS = (
    "lr, learning rate, lrate, learn rate, lr rate, lr init, lr peak, eta, eta0, step size, stepsize, lr0",
    "weight decay, wd, l2, l2 reg, l2 penalty, l2 lambda, l2 leaf reg, reg lambda, lambda l2, weight decay rate",
    "weight decay, l2 coef, l2 coeff, l2 weight, l2 strength, l2 regularization, l2 norm",
    "l1, l1 reg, l1 penalty, reg alpha, lambda l1",
    "batch size, bs, bsz, batchsize, batch, minibatch size, minibatch, batch sz, ims per batch, samples per gpu",
    "batch size, bsize, mbs, mb size",
    "epochs, nepochs",
    "steps, iters, iterations, updates, timesteps, nsteps, niters",
    "dropout, dropout rate, drop rate, p drop, dropout p, p dropout, dropout prob, drop prob, drop, pdrop",
    "dropout, hidden dropout, hidden dropout prob, dropout probability, dropout ratio, drop ratio, drop p",
    "optimizer, optim, optimiser, opt",
    "scheduler, lr scheduler, schedule, sched, lr schedule, lr sched, lr policy, param scheduler, lr annealing",
    "scheduler, lr decay style, lr decay type, lr scheduler decay type, decay method",
    "warmup steps, warmup, warmup iters, warmup updates, lr warmup steps, lr warmup, lr warmup iters",
    "warmup steps, lr warmup updates, t warmup",
    "hidden size, hidden dim, hidden, d model, width, dim, embed dim, embedding dim, emb dim, embd, dmodel, nhid",
    "hidden size, hidden units, hidden channels, hidden features, units, embedding size, embed size, emb size, emsize",
    "hidden size, hidden layer size, hidden width, layer size",
    "layers, depth, hidden layers, blocks, nlayers",
    "heads, attention heads, attn heads, nheads",
    "sequence length, seq len, seq length, sequence len, max seq len, max seq length, max length, max len, seqlen",
    "sequence length, block size, context length, context size, context window, ctx, ctx len, cutoff len",
    "model, arch, architecture, backbone, network, model name or path",
    "dataset, data, task",
    "clip, grad clip, clip grad, max grad norm, grad norm, gradient clip val, clip norm, clip grad norm",
    "clip, grad clip norm, grad norm clip, clipnorm, clip value, max norm, clip grad by norm, clipping threshold",
    "momentum, mom",
    "activation, act, act fn, activation function, hidden act, activation fn",
    "label smoothing, smoothing, label smoothing factor",
    "accumulation, gradient accumulation steps, gradient accumulation, accum steps, accumulate grad batches, accum",
    "accumulation, gradient accumulation iters, accum iter, accum grad, cumulative iters, update freq, acc steps",
    "accumulation, grad acc, grad acc steps",
    "loss, loss fn, criterion, objective",
    "amp, mixed precision, autocast, fp16, half, use amp, use fp16, use mixed precision, enable amp",
    "lora rank, lora r, lora dim, peft r, peft rank",
    "discount, gamma, discount factor, discount rate",
    "gae lambda, gae lam, lam",
    "clip range, clip coef, clip param, clip ratio, cliprange, clip epsilon, clip eps, ppo clip, epsilon clip",
    "entropy coefficient, ent coef, entropy coeff, entropy coef, entropy cost, entropy weight, entropy bonus",
    "kl coefficient, kl coef, kl coeff, kl loss coef, kl penalty coef, kl beta, kl weight",
    "value coefficient, vf coef, vf coeff, vf loss coeff, value loss coef, value coef, value loss coeff, critic coef",
    "trees, estimators, boost round, boosting rounds",
    "subsample, bagging fraction",
    "column subsample, colsample bytree, feature fraction, rsm",
    "leaf samples, min child samples, min data in leaf",
)
# words that do not change the meaning of a name, as in initial_lr, num_train_epochs, per_device_train_batch_size
NEUTRAL = frozenset(
    {
        *("train", "training", "trainer", "initial", "init", "start", "starting", "peak", "max", "maximum", "base"),
        *("default", "n", "nb", "num", "number", "count", "total", "per", "device", "gpu"),
        *("micro", "mini", "global", "local", "effective"),
        *("model", "optimizer", "optim", "opt", "adam", "adamw", "sgd", "of", "encoder"),
    }
)
# ambiguous names, with the setting that each name means if the config contains no other name for that setting
AMBIGUOUS = {
    "alpha": "lr",
    "b": "batch size",
    **dict.fromkeys(("decay", "lambda", "reg", "regularization", "ridge"), "weight decay"),
    **dict.fromkeys(("size", "nf"), "hidden size"),
    **{f"{of}{one}": "hidden size" for of in ("", "base ", "n ", "num ") for one in ("channel", "filter", "neuron")},
    "l": "layers",
    **dict.fromkeys(("m", "mu"), "momentum"),
    **dict.fromkeys(("context", "t"), "sequence length"),
    "ls": "label smoothing",
}
# interchangeable words in names
_WORDS = {
    **dict.fromkeys(("accumulation", "accumulate", "accumulated", "accumulative"), "accum"),
    **dict.fromkeys(("gradient", "gradients"), "grad"),
    **dict.fromkeys(("dimension", "dimensions"), "dim"),
    "clipping": "clip",
    "hid": "hidden",
    "wdecay": "weight decay",
}
_WRAPPERS = frozenset(
    {
        "config",
        "cfg",
        "args",
        "arg",
        "hparams",
        "hparam",
        "params",
        "hyperparameters",
        "hyperparams",
        "hyper",
        "parameters",
    }
)
# last parts that only name the value of their parent (optimizer.name); _VAGUE parts need their parent (batch.size)
_CHOICES = frozenset(
    {"name", "type", "kind", "value", "class", "cls", "class path", "class name", "target", "component", "algorithm"}
)
_CHOSEN = frozenset({"optimizer", "scheduler", "model", "dataset", "loss", "activation"})
_VAGUE = frozenset({"size", "rate", "dim", "num", "n", "p"})
LOGARITHM = re.compile(r"^(?:neg )?(?:log10|log2|log|ln)\b ?|\b(?:log10|log2|log|ln)$")
# words in keys that record where, when and by whom a run was started
_RECORDS = frozenset(
    {
        *("host", "hostname", "node", "ip", "port", "pid", "user", "username", "machine"),
        *("started", "created", "launched", "timestamp", "datetime", "date"),
        *("uuid", "guid", "url", "uri", "commit", "sha", "hash"),
    }
)
# the parameter count of a model follows from other settings
_PARAMETERS = frozenset({"param", "params", "parameter", "parameters"})
_COUNTS = frozenset({"n", "num", "number", "count", "total", "trainable"})
_PATH = re.compile(r"(?:[~.]{0,2}/|[A-Za-z]:[\\/]|[a-z][a-z0-9+]*://)")
# Unix seconds and milliseconds since 2001
_TIMES = (range(10**9, 4 * 10**9), range(10**12, 4 * 10**12))


def _normalise(words: Sequence[str]) -> str:
    """Return a name in the singular, with interchangeable words replaced by a common form."""
    known = [_WORDS.get(word, word) for word in words]
    singular = [word[:-1] if word.endswith("s") and len(word) > 3 and word[-2] != "s" else word for word in known]
    return " ".join(singular).replace("warm up", "warmup")


_LISTS = [names.split(", ") for names in _SYNONYMS]
_CANONICAL = frozenset(names[0] for names in _LISTS)
_NAMES = {_normalise(other.split()): names[0] for names in _LISTS for other in names}
_JOINED = {name.replace(" ", ""): common for name, common in _NAMES.items()}


@lru_cache(4096)
def simplify_key(key: str) -> str:
    """Return the common name for a setting, such as "lr" for both `optim.learning_rate` and `lr`."""
    parts = [
        _normalise(words)
        for part in key.split(".")
        if (words := [word for word in split_key(part) if word not in _WRAPPERS])
    ]
    while len(parts) > 1 and parts[-1] in _CHOICES:
        parts.pop()
    if not parts:
        return key
    last = LOGARITHM.sub("", parts[-1]).strip() or parts[-1]
    pair = f"{parts[-2]} {last}" if len(parts) > 1 else last
    if pair in _NAMES:
        return _NAMES[pair]
    return _find_name(last) or (pair if last in _VAGUE else last)


def _find_name(name: str) -> str | None:
    """Return the canonical name of a setting, or `None` if the name is unknown.

    Neutral words in the name are ignored, including a trailing word such as "name" or "value".
    """
    *words, last = name.split()
    if not words and name in _JOINED:
        return _JOINED[name]
    found = _NAMES.get(name) or _NAMES.get(" ".join(word for word in name.split() if word not in NEUTRAL))
    if found or not words or last not in _CHOICES:
        return found
    found = _find_name(" ".join(words))
    return found if found in _CHOSEN or last == "value" else None


def split_key(key: str) -> list[str]:
    return [word for word in split_words(key) if word]


@lru_cache(4096)
def is_known_setting(key: str) -> bool:
    """Return whether a key refers to a well-known training setting, such as a learning rate."""
    return simplify_key(key) in _CANONICAL


def find_same_settings(name: str, keys: Sequence[str]) -> list[str]:
    """Return the config keys that are synonyms of `name`, such as lr for learning_rate.

    If `name` is not a well-known setting, return an empty list.
    """
    return [key for key in keys if simplify_key(key) == simplify_key(name)] if is_known_setting(name) else []


def is_bookkeeping(key: str, values: Sequence[Any]) -> bool:
    """Return whether a key records a fact about a run, such as a host, time, path or size, instead of a choice."""
    if is_known_setting(key):
        return False
    words = set(split_words(key))
    if _RECORDS & words or (_PARAMETERS & words and (_COUNTS & words or words <= {*_PARAMETERS, "model"})):
        return True
    first = next((value for value in values if value is not None), None)
    check = _is_path if isinstance(first, str) else _is_time
    return first is not None and all(value is None or check(value) for value in values)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and _PATH.match(value) is not None


def _is_time(value: Any) -> bool:
    # compare without converting, because a float may be infinite
    return isinstance(value, (int, float)) and any(one.start <= value < one.stop for one in _TIMES)
