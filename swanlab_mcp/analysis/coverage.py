"""Summarise the settings that a search has tried, and find untried neighbours of the best setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from swanlab_mcp.analysis.differences import find_varying, freeze, is_setting

__all__ = ["Coverage", "Tried", "measure_coverage"]

_MOST_KEYS = 12
_FEWEST = 3  # with at least this many values, a best value at either end suggests trying values beyond it
_ABSENT = object()


class Tried(NamedTuple):
    """The values tried for a key, sorted, with the number of runs per value and the value in the best run.

    `end` says whether the best run's value is the smallest or the largest value tried. `twins` contains the keys that
    vary in exactly the same way, so their effects cannot be separated from the effect of this key.
    """

    key: str
    values: Sequence[Any]
    counts: Sequence[int]
    best: Any
    end: Literal["", "smallest", "largest"]
    twins: Sequence[str]


class Coverage(NamedTuple):
    """The varying keys, the numbers of tried and possible combinations of values, and the untried neighbours.

    A neighbour differs from the best setting in the value of a single key.
    """

    tried: Sequence[Tried]
    combinations: int
    possible: int
    neighbours: Sequence[tuple[str, Any]]


def measure_coverage(configs: Sequence[Mapping[str, Any]], best: int) -> Coverage:
    """Return the coverage of a search whose best config is at index `best`.

    Keys that the best config lacks are ignored.
    """
    varying = [key for key in find_varying(configs) if is_setting(key) and key in configs[best]]
    codes = {key: [freeze(config.get(key, _ABSENT)) for config in configs] for key in varying}
    twins: dict[tuple[int, ...], list[str]] = {}
    for key in varying:
        # a key whose values are mostly distinct is a note or depends on other settings
        if 1 < len(set(codes[key])) <= max(_FEWEST, len(configs) // 2):
            numbers = {code: number for number, code in enumerate(dict.fromkeys(codes[key]))}
            twins.setdefault(tuple(numbers[code] for code in codes[key]), []).append(key)
    keys = [names[0] for names in twins.values()][:_MOST_KEYS]
    tried = [_describe(configs, names, best) for names in twins.values()][:_MOST_KEYS]
    seen = {tuple(codes[key][index] for key in keys) for index in range(len(configs))}
    possible = 1
    for one in tried:
        possible *= len(one.values)
    free = [key for key in keys if not any(_determines(codes[other], codes[key]) for other in keys if other != key)]
    own = [codes[key][best] for key in keys]
    neighbours: list[tuple[str, Any]] = []
    for index, (key, one) in enumerate(zip(keys, tried, strict=True)):
        neighbours += [
            (key, value)
            for value in (one.values if key in free else ())
            if (*own[:index], freeze(value), *own[index + 1 :]) not in seen
        ]
    return Coverage(tried, len(seen), possible, neighbours)


def _describe(configs: Sequence[Mapping[str, Any]], names: Sequence[str], best: int) -> Tried:
    key = names[0]
    counts: dict[str, int] = {}
    values: dict[str, Any] = {}
    for config in configs:
        if key in config:
            code = freeze(config[key])
            values[code] = config[key]
            counts[code] = counts.get(code, 0) + 1
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values.values())
    codes = sorted(values, key=values.__getitem__) if numeric else sorted(values)
    own = configs[best][key]
    end: Literal["", "smallest", "largest"] = ""
    if numeric and len(codes) >= _FEWEST:
        ends: dict[str, Literal["", "smallest", "largest"]] = {codes[0]: "smallest", codes[-1]: "largest"}
        end = ends.get(freeze(own), "")
    return Tried(key, [values[code] for code in codes], [counts[code] for code in codes], own, end, names[1:])


def _determines(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether each value of the first key occurs with only one value of the other key."""
    return len(set(zip(one, other, strict=True))) == len(set(one))
