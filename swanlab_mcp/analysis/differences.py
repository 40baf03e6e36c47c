"""Compare configs: find keys that differ, keys that identify a setting, and keys associated with a result."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import correlation, fmean
from typing import Any, NamedTuple, cast

from swanlab_mcp.analysis.metric_catalogue import describe_key, split_words
from swanlab_mcp.analysis.setting_names import is_bookkeeping, is_known_setting
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = [
    "MOST_GROUPS",
    "Association",
    "associate",
    "compute_spearman",
    "find_confounded",
    "find_ignored",
    "find_varying",
    "flatten",
    "freeze",
    "identify_settings",
    "is_number",
    "is_result",
    "is_seed",
    "is_setting",
    "order_settings",
    "rank_values",
]

# an association lists the means of at most this many groups, largest groups first
MOST_GROUPS = 4
_LARGEST = 1e300
_SCALARS = frozenset({int, float, bool, type(None)})
_SEEDS = frozenset({"seed", "seeds", "rng"})
_FOLDS = frozenset({"fold", "folds", "kfold", "cv", "replicate", "replica", "trial"})
# a key with one of these words is a setting, as in "cv.n_splits" or "num_trials"
_AMOUNTS = frozenset(
    {"n", "num", "nums", "number", "count", "total", "max", "min", "size", "type", "method", "strategy"}
)
_OUTCOMES = frozenset({"best", "final", "result", "results"})
_PLACES = frozenset({"dir", "path", "folder", "file", "name", "id", "uuid"})
_PLACED = frozenset({"output", "out", "log", "logging", "save", "checkpoint", "checkpoints", "ckpt", "run", "exp"})
_PLACED_TOO = frozenset({"experiment", "wandb", "swanlab", "tensorboard", "work"})


class Association(NamedTuple):
    """The association between a config key and a result across `n` experiments.

    `strength` ranges from 0 to 1. `text` contains the signed rank correlation, or the mean results of the largest
    groups. In the second case, `groups` is the total number of groups.
    """

    key: str
    method: str
    strength: float
    n: int
    text: str
    groups: int = 0


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten a nested config into a dict with dotted keys.

    A key that itself contains a dot is quoted (a."b.c") if a nested key has the same spelling but a different value.
    """
    flat: dict[str, Any] = {}
    dotted: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        for name, item in cast("dict[Any, Any]", value).items():
            key = str(name)
            if "." in key:
                dotted.append((key, item))
            path = f"{prefix}.{key}" if prefix else key
            if isinstance(item, dict) and item:
                flat |= flatten(item, path)
            else:
                flat[path] = item
    for key, item in dotted if dotted and len(flat) < _count_leaves(value) else ():
        flat |= _quote_key(cast("dict[Any, Any]", value), key, item, prefix)
    return flat


def _flatten_item(path: str, item: Any) -> dict[str, Any]:
    return flatten(item, path) if isinstance(item, dict) and item else {path: item}


def _count_leaves(value: Any) -> int:
    if not isinstance(value, dict) or not value:
        return 1
    return sum(map(_count_leaves, cast("dict[Any, Any]", value).values()))


def _quote_key(config: Mapping[Any, Any], key: str, item: Any, prefix: str) -> dict[str, Any]:
    """Flatten the value of a key that contains a dot, and quote the key if a nested key has the same spelling.

    The result includes the values of nested keys with the same spelling. It is empty if no quotes are needed.
    """
    others: dict[str, Any] = {}
    for name, other in config.items():
        if "." not in str(name):
            others |= _flatten_item(f"{prefix}.{name}" if prefix else str(name), other)
    own = _flatten_item(f"{prefix}.{key}" if prefix else key, item)
    if all(path not in others or freeze(others[path]) == freeze(leaf) for path, leaf in own.items()):
        return {}
    return {path: others[path] for path in own if path in others} | _flatten_item(
        f'{prefix}."{key}"' if prefix else f'"{key}"', item
    )


@lru_cache(4096)
def is_seed(key: str) -> bool:
    """Return whether a config key is a random seed, a fold number or the index of a repeat."""
    words = split_words(key)
    joined = "_".join(words)
    if _SEEDS.intersection(words) or "random_state" in joined:
        return True
    is_fold = bool(_FOLDS.intersection(words)) or re.search(r"(^|_)split_(id|idx|index|no)$", joined)
    return bool(is_fold) and not _AMOUNTS.intersection(words) and "splits" not in words


@lru_cache(4096)
def is_result(key: str) -> bool:
    """Return whether a config key is a result, such as best_val_acc or best_epoch."""
    words = split_words(key)
    measured = describe_key(key).direction or {"epoch", "step"}.intersection(words)
    return bool(_OUTCOMES.intersection(words) and measured)


@lru_cache(4096)
def is_setting(key: str) -> bool:
    """Return whether a config key is a training setting instead of a seed, result, date, host name or output path."""
    words = split_words(key)
    if is_seed(key) or is_result(key) or words[-1:] in (["timestamp"], ["date"], ["datetime"], ["hostname"]):
        return False
    return not (_PLACES.intersection(words[-1:]) and (_PLACED | _PLACED_TOO).intersection(words))


def find_varying(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ between configs or that are missing from some configs.

    Settings are sorted by three criteria: well-known names first, then keys whose values repeat, then keys with more
    variation. Facts about a run, such as its host, time, paths, parameter count or notes, come after the settings.
    """
    return _order_varying(configs, _list_keys(configs))


def order_settings(config: Mapping[str, Any]) -> list[str]:
    """Return a config's keys, with well-known settings first and seeds, results and run records last."""
    return sorted(
        config, key=lambda key: (not is_setting(key), is_bookkeeping(key, [config[key]]), not is_known_setting(key))
    )


def find_ignored(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the varying keys that do not distinguish settings, such as seeds, times and output paths."""
    return _order_varying(configs, [key for key in _list_keys(configs) if not is_setting(key)])


def _list_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for config in configs for key in config))


def _order_varying(configs: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    values = {key: _freeze_all([config.get(key) for config in configs]) for key in keys}
    # most keys are constant, and a set is faster than a Counter
    varying = [key for key in keys if len(set(values[key])) > 1]
    return sorted(varying, key=lambda key: _rank_information(configs, key, Counter(values[key])))


def _rank_information(
    configs: Sequence[Mapping[str, Any]], key: str, count: Counter[str]
) -> tuple[bool, bool, bool, bool, int, int]:
    """Return the sort key for a varying config key.

    Settings come before run records, well-known names before other names, and repeated values before unique values.
    Ties are sorted by variation and then by the number of configs that contain the key, highest first.
    """
    is_known = is_known_setting(key)
    # a string that differs in every config is a name or a note and says little about the settings
    is_note = not is_known and len(count) == len(configs) > 2 and not _is_numeric(configs, key)
    is_record = is_note or is_bookkeeping(key, [config.get(key) for config in configs])
    is_repeated = 2 * len(count) <= len(configs)
    equal = max(count.values()) - len(configs)
    having = [key in one for one in configs].count(True)
    return not is_setting(key), is_record, not is_known, not is_repeated, equal, -having


def identify_settings(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...] | None]:
    """Return a key for each config, so that configs with equal settings have equal keys.

    The key of a config without settings is `None`, because it is unknown whether such experiments are repeats.
    """
    deciding = [key for key in _list_keys(configs) if is_setting(key)]
    if deciding and all(map(set(deciding).issubset, configs)):
        return list(zip(*(_freeze_all([config[key] for config in configs]) for key in deciding), strict=True))
    # one flat tuple, because nested tuples slow down the garbage collector
    return [
        tuple([part for key in deciding if key in config for part in (key, freeze(config[key]))]) or None
        for config in configs
    ]


def compute_spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation, or 0 if either variable is constant. Ties share their mean rank."""
    return _correlate_ranks(rank_values(first), rank_values(second))


def _correlate_ranks(first: Sequence[float], second: Sequence[float]) -> float:
    if len({*first}) < 2 or len({*second}) < 2:
        return 0.0
    return max(-1.0, min(1.0, correlation(first, second)))


def associate(
    configs: Sequence[Mapping[str, Any]],
    results: Sequence[float],
    keys: Sequence[str],
    thresholds: Thresholds = DEFAULTS,
) -> list[Association]:
    """Return the association between each key and the results, strongest first.

    The strength for a numeric key is Spearman's rank correlation. For other keys, experiments with equal values form
    groups. The strength is then the square root of the fraction of rank variance between the groups, adjusted for the
    number of groups. Groups are also used for a numeric key if they show a stronger association.

    An association does not imply a causal effect. The effects of keys that vary together cannot be separated (see
    `find_confounded`).
    """
    found: list[Association] = []
    all_ranks = rank_values(results)
    for key in keys:
        indices = [index for index, config in enumerate(configs) if key in config]
        values = [configs[index][key] for index in indices]
        groups: dict[str, list[int]] = {}
        for index, value in enumerate(_freeze_all(values)):
            groups.setdefault(value, []).append(index)
        is_numeric = all(map(is_number, values))
        if len(indices) < thresholds.associated or len(groups) < 2 or (len(groups) == len(values) and not is_numeric):
            continue
        outcome = [results[index] for index in indices]
        ranks = all_ranks if len(indices) == len(results) else rank_values(outcome)
        rho = _correlate_ranks(rank_values(values), ranks) if is_numeric else 0.0
        between = _measure_groups(ranks, list(groups.values()))
        # if middle values are best, the rank correlation is near 0, but the groups show the association
        if abs(rho) >= between:
            found.append(Association(key, "rank correlation", abs(rho), len(indices), f"rho {rho:+.2f}"))
            continue
        text = "; ".join(
            f"{_show(value)}: {fmean([outcome[index] for index in group]):.4g} (n={len(group)})"
            for value, group in sorted(groups.items(), key=lambda item: -len(item[1]))[:MOST_GROUPS]
        )
        found.append(Association(key, "group means", between, len(indices), text, len(groups)))
    return sorted(found, key=lambda one: -one.strength)


def find_confounded(
    configs: Sequence[Mapping[str, Any]], key: str, keys: Sequence[str], thresholds: Thresholds = DEFAULTS
) -> list[str]:
    """Return the keys in `keys` that vary so closely with `key` that their effects cannot be separated."""
    return [
        other
        for other in keys
        if other != key and _measure_strength(configs, key, other) >= thresholds.strong_association
    ]


def _measure_strength(configs: Sequence[Mapping[str, Any]], key: str, other: str) -> float:
    """Return how strongly two keys vary together, from 0 to 1. At 1, one key determines the other."""
    pairs = [(config[key], config[other]) for config in configs if key in config and other in config]
    if len(pairs) < 3:
        return 0.0
    if all(is_number(value) for pair in pairs for value in pair):
        return abs(compute_spearman([one for one, _ in pairs], [two for _, two in pairs]))
    for numbers, groups in ((0, 1), (1, 0)):
        if all(is_number(pair[numbers]) for pair in pairs) and not any(is_number(pair[groups]) for pair in pairs):
            indices: dict[str, list[int]] = {}
            for index, pair in enumerate(pairs):
                indices.setdefault(freeze(pair[groups]), []).append(index)
            return _measure_groups(rank_values([pair[numbers] for pair in pairs]), list(indices.values()))
    one, two = ([freeze(pair[side]) for pair in pairs] for side in (0, 1))
    joint = len(set(zip(one, two, strict=True)))
    kinds = max(len(set(one)), len(set(two)))
    return 1.0 if min(len(set(one)), len(set(two))) > 1 and joint == kinds < len(pairs) else 0.0


def _measure_groups(ranks: Sequence[float], groups: Sequence[Sequence[int]]) -> float:
    """Return the square root of epsilon squared, the fraction of the rank variance that lies between groups.

    If every group contains a single value, return 0.
    """
    middle = fmean(ranks)
    total = sum((rank - middle) ** 2 for rank in ranks)
    between = sum(len(group) * (fmean([ranks[index] for index in group]) - middle) ** 2 for group in groups)
    free = len(ranks) - len(groups)
    if not total or not free:
        return 0.0
    return math.sqrt(max(0.0, 1 - (1 - between / total) * (len(ranks) - 1) / free))


def _show(value: str) -> str:
    return value.removesuffix(".0").strip('"')


def rank_values(values: Sequence[float]) -> list[float]:
    """Return the 1-based ranks of the values. Equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for index in order[start:stop]:
            ranks[index] = (start + stop + 1) / 2
        start = stop
    return ranks


def is_number(value: Any) -> bool:
    # compare without converting, because an integer may be too large for a float; type() excludes bool
    return type(value) in (int, float) and abs(value) < _LARGEST


def _is_numeric(configs: Sequence[Mapping[str, Any]], key: str) -> bool:
    return all(is_number(config[key]) for config in configs if key in config)


def freeze(value: Any) -> str:
    """Return a string that is the same for equal values. The numbers 1 and 1.0 count as equal."""
    if type(value) is str:
        return f'"{value}"'
    return _freeze_scalar(value) if type(value) in _SCALARS else _write(value)


def _freeze_all(values: Sequence[Any]) -> list[str]:
    return [*map(_freeze_scalar if _SCALARS.issuperset(map(type, values)) else freeze, values)]


@lru_cache(4096, typed=True)
def _freeze_scalar(value: Any) -> str:
    if is_number(value):
        # convert -0.0 to 0.0, because they are equal
        return repr(float(value) or 0.0)
    return repr(value) if type(value) is float else _write(value)


def _write(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
