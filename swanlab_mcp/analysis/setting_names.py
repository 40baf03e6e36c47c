"""The names of settings in configs: common names of the same setting, and names of records that are no settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from swanlab_mcp.analysis.metric_catalogue import split_words

__all__ = ["AMBIGUOUS", "LOGARITHM", "NEUTRAL", "is_bookkeeping", "is_known_setting", "simplify_key", "split_key"]

# different names for the same setting, without neutral words; the first name in each list is the canonical one
_SYNONYMS = (
    (
        "lr",
        "learning rate",
        "lrate",
        "learn rate",
        "lr rate",
        "base lr",
        "lr init",
        "lr peak",
        "eta",
        "step size",
        "lr0",
    ),
    ("weight decay", "wd", "l2", "l2 reg", "l2 penalty", "l2 lambda", "reg lambda", "lambda l2", "weight decay rate"),
    ("batch size", "bs", "bsz", "batchsize", "batch", "minibatch size", "minibatch"),
    ("epochs", "epoch", "nepochs", "nepoch"),
    ("steps", "iters", "iterations", "updates", "nsteps", "niters"),
    (
        "dropout",
        "dropout rate",
        "drop rate",
        "p drop",
        "dropout p",
        "p dropout",
        "dropout prob",
        "drop prob",
        "drop",
        "hidden dropout",
        "hidden dropout prob",
        "pdrop",
    ),
    (
        "optimizer",
        "optim",
        "optimiser",
        "opt",
        "optimizer name",
        "optimizer type",
        "optim name",
        "optim type",
        "optimizer class",
    ),
    (
        "scheduler",
        "lr scheduler",
        "lr scheduler type",
        "schedule",
        "sched",
        "lr schedule",
        "scheduler name",
        "scheduler type",
        "lr decay style",
    ),
    ("warmup steps", "warmup", "warmup iters", "lr warmup steps", "lr warmup", "lr warmup iters"),
    (
        "hidden size",
        "hidden dim",
        "hidden",
        "d model",
        "width",
        "dim",
        "embed dim",
        "embedding dim",
        "emb dim",
        "embd",
        "hidden units",
        "hidden channels",
        "units",
        "embedding size",
        "embed size",
    ),
    ("layers", "layer", "depth", "hidden layers", "blocks"),
    ("heads", "head", "attention heads", "attn heads"),
    ("model", "model name", "arch", "architecture", "backbone", "model type", "network", "model name or path"),
    ("dataset", "data", "dataset name", "task", "data name"),
    (
        "clip",
        "grad clip",
        "clip grad",
        "max grad norm",
        "grad norm",
        "gradient clip val",
        "gradient clip",
        "gradient clipping",
        "clip norm",
        "clip grad norm",
        "grad clip norm",
    ),
    ("momentum", "mom"),
    ("activation", "act", "act fn", "activation function", "hidden act", "activation fn"),
    ("label smoothing", "smoothing", "label smoothing factor"),
    (
        "accumulation",
        "gradient accumulation steps",
        "gradient accumulation",
        "grad accum",
        "accum steps",
        "grad accum steps",
        "accumulation steps",
        "accumulate grad batches",
    ),
    ("loss", "loss fn", "criterion", "loss name", "loss type", "objective"),
    ("amp", "mixed precision", "autocast", "fp16", "half", "use amp", "use fp16", "use mixed precision", "enable amp"),
)
# words that do not change which setting a name means: initial_lr, num_train_epochs, per_device_train_batch_size
NEUTRAL = frozenset(
    {
        *("train", "training", "trainer", "initial", "init", "start", "starting", "peak", "max", "maximum", "base"),
        *("default", "n", "num", "number", "total", "per", "device", "gpu", "micro", "mini", "global", "effective"),
        *("model", "optimizer", "optim", "opt", "adam", "adamw", "sgd", "of"),
    }
)
# names with several meanings: the setting that they mean in a config without it
AMBIGUOUS = {
    "alpha": "lr",
    "decay": "weight decay",
    "lambda": "weight decay",
    "reg": "weight decay",
    "size": "hidden size",
}
_CANONICAL = frozenset(names[0] for names in _SYNONYMS)
_NAMES = {other: names[0] for names in _SYNONYMS for other in names}
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
# last parts of keys that mean little without their parent
_VAGUE = frozenset(
    {"name", "type", "kind", "value", "size", "rate", "dim", "num", "n", "p", "class", "class path", "target"}
)
LOGARITHM = re.compile(r"^(?:neg )?(?:log10|log2|log|ln)\b ?|\b(?:log10|log2|log|ln)$")
# words of keys that record where, when and by whom a run was started
_RECORDS = frozenset(
    {
        *("host", "hostname", "node", "ip", "port", "pid", "user", "username", "machine"),
        *("started", "created", "launched", "timestamp", "datetime", "date"),
        *("uuid", "guid", "url", "uri", "commit", "sha", "hash"),
    }
)
# counts of the parameters of a model follow from other settings
_PARAMETERS = frozenset({"param", "params", "parameter", "parameters"})
_COUNTS = frozenset({"n", "num", "number", "count", "total", "trainable"})
_PATH = re.compile(r"(?:[~.]{0,2}/|[A-Za-z]:[\\/]|[a-z][a-z0-9+]*://)")
# Unix seconds and milliseconds since 2001
_TIMES = (range(10**9, 4 * 10**9), range(10**12, 4 * 10**12))


@lru_cache(4096)
def simplify_key(key: str) -> str:
    """Return the common name of a setting: `optim.learning_rate` and `lr` are "lr"."""
    parts = [
        " ".join(words)
        for part in key.split(".")
        if (words := [word for word in split_key(part) if word not in _WRAPPERS])
    ]
    if not parts:
        return key
    last = LOGARITHM.sub("", parts[-1]).strip() or parts[-1]
    if last in _VAGUE and len(parts) > 1:
        last = _NAMES.get(
            f"{parts[-2]} {last}",
            parts[-2] if last in ("name", "type", "kind", "value", "class") else f"{parts[-2]} {last}",
        )
    return _find_name(last) or last


def _find_name(name: str) -> str | None:
    """Return the canonical name of a setting, also with neutral words around a known name."""
    if name in _NAMES:
        return _NAMES[name]
    words = [word for word in name.split() if word not in NEUTRAL]
    return _NAMES.get(" ".join(words)) if words else None


def split_key(key: str) -> list[str]:
    return [word for word in split_words(key) if word]


@lru_cache(4096)
def is_known_setting(key: str) -> bool:
    """Return whether a key is a usual name of a setting that decides a training, such as a learning rate."""
    return simplify_key(key) in _CANONICAL


def is_bookkeeping(key: str, values: Sequence[Any]) -> bool:
    """Return whether a key and its varying values are a record of a run, not a choice: hosts, times, paths, sizes."""
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
    # a float may be an infinity
    return isinstance(value, (int, float)) and any(one.start <= value < one.stop for one in _TIMES)
