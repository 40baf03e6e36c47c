"""The names of settings in configs: common names of the same setting, and names of records that are no settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from swanlab_mcp.analysis.metric_catalogue import split_words

__all__ = ["LOGARITHM", "is_bookkeeping", "is_known_setting", "simplify_key", "split_key"]

# different names for the same setting; the first name in each list is the canonical one
_SYNONYMS = (
    (
        "lr",
        "learning rate",
        "base lr",
        "init lr",
        "initial lr",
        "lr init",
        "base learning rate",
        "eta",
        "step size",
        "lr0",
    ),
    ("weight decay", "wd", "l2", "l2 reg", "l2 penalty", "reg lambda", "lambda l2"),
    (
        "batch size",
        "bs",
        "bsz",
        "batchsize",
        "batch",
        "train batch size",
        "per device train batch size",
        "minibatch size",
    ),
    ("epochs", "num epochs", "n epochs", "max epochs", "num train epochs", "epoch", "nepochs"),
    ("steps", "max steps", "num steps", "total steps", "train steps", "max iters", "iterations", "num iterations"),
    ("dropout", "dropout rate", "drop rate", "p drop", "dropout p", "dropout prob"),
    ("optimizer", "optim", "optimiser", "opt", "optimizer name", "optimizer type", "optim name", "optim type"),
    (
        "scheduler",
        "lr scheduler",
        "lr scheduler type",
        "schedule",
        "sched",
        "lr schedule",
        "scheduler name",
        "scheduler type",
    ),
    ("warmup steps", "warmup", "num warmup steps", "warmup iters"),
    ("hidden size", "hidden dim", "hidden", "d model", "width", "dim", "embed dim", "n embd", "hidden units"),
    ("layers", "num layers", "n layers", "n layer", "depth", "num hidden layers", "num blocks"),
    ("heads", "num heads", "n heads", "n head", "num attention heads"),
    ("model", "model name", "arch", "architecture", "backbone", "model type", "network", "model name or path"),
    ("dataset", "data", "dataset name", "task", "data name"),
    ("clip", "grad clip", "clip grad", "max grad norm", "gradient clip val", "gradient clipping", "clip norm"),
    ("momentum", "mom"),
    ("activation", "act", "act fn", "activation function", "hidden act"),
    ("label smoothing", "smoothing", "label smoothing factor"),
    ("accumulation", "gradient accumulation steps", "grad accum", "accum steps", "accumulate grad batches"),
    ("loss", "loss fn", "criterion", "loss name", "loss type", "objective"),
)
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
    return _NAMES.get(last, last)


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
