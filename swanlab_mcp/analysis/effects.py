"""Find settings that are associated with a result beyond chance, and the settings that vary together with them.

A permutation test on ranks controls a single error rate for all keys in a reply. The strongest association counts as
real if it exceeds the strongest associations in shuffled results. Its effect is then removed, and the remaining keys
are tested again.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from operator import mul
from statistics import fmean
from typing import Any, Literal, NamedTuple

from swanlab_mcp.analysis.differences import find_confounded, freeze, is_number, rank_values
from swanlab_mcp.analysis.thresholds import DEFAULTS, Thresholds

__all__ = ["Effect", "Group", "find_effects"]

Verdict = Literal["real", "cannot tell apart", "not shown", "cannot tell"]
_SHUFFLES = 199
_MOST_SETTINGS = 250  # more settings add little power
_MOST_KEYS = 30
_BINS = 5
_IN_BIN = 4


class Group(NamedTuple):
    """A group of settings with similar values for a key, and their mean result.

    The values range from `low` to `high`. If all values are equal, so are `low` and `high`.
    """

    low: Any
    high: Any
    mean: float
    size: int


class Effect(NamedTuple):
    """The association between a config key and the result.

    `n` is the number of settings that have the key. `strength` is the square root of the fraction of rank variance that
    the key explains, after the effects of earlier keys in the list have been removed. `rho` is the signed rank
    correlation if it explains the result better than groups of values, and otherwise `None`. `together` lists the keys
    that vary together with this key.
    """

    key: str
    verdict: Verdict
    strength: float = 0.0
    n: int = 0
    rho: float | None = None
    groups: Sequence[Group] = ()
    together: Sequence[str] = ()


class _Column(NamedTuple):
    """The values of a key, encoded either as groups of settings or as centred ranks (`weights`).

    `indices` contains the indices of the settings that the column includes.
    """

    key: str
    indices: Sequence[int]
    weights: Sequence[float] = ()
    groups: Sequence[Sequence[int]] = ()

    @property
    def freedom(self) -> tuple[int, int]:
        first = max(1, len(self.groups) - 1)
        return first, len(self.indices) - 1 - first

    def measure(self, results: Sequence[float]) -> tuple[float, float]:
        """Return the fraction of variance that the key explains, and the corresponding normal deviate.

        The normal deviates of different keys are comparable.
        """
        values = list(map(results.__getitem__, self.indices))
        middle = sum(values) / len(values)
        total = sum(map(mul, values, values)) - middle * middle * len(values)
        if total <= 1e-9 * len(values):
            return 0.0, -math.inf
        if self.groups:
            sums = (sum(map(results.__getitem__, group)) for group in self.groups)
            between = sum(one * one / len(group) for one, group in zip(sums, self.groups, strict=True))
            share = (between - middle * middle * len(values)) / total
        else:
            along = sum(map(mul, self.weights, values))
            share = along * along / (sum(map(mul, self.weights, self.weights)) * total)
        share = max(0.0, min(1.0, share))
        return share, _normalise(share, *self.freedom)


def find_effects(
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[float],
    keys: Sequence[str],
    blocks: Sequence[Hashable] = (),
    thresholds: Thresholds = DEFAULTS,
) -> list[Effect]:
    """Return the association of each key with the results, real associations first.

    `rows` contains distinct settings, without repeats. Results are only compared within a block, such as a project. If
    no key is truly associated with the results, at most 5 % of replies call any key "real". The verdict for a key is
    "cannot tell" if even a perfect association could not be distinguished from chance.
    """
    source = random.Random(0)  # noqa: S311 not for secrets: the same data must give the same reply
    if len(rows) > _MOST_SETTINGS:
        kept = sorted(source.sample(range(len(rows)), _MOST_SETTINGS))
        rows, results = [rows[index] for index in kept], [results[index] for index in kept]
        blocks = [blocks[index] for index in kept] if blocks else ()
    parts = _group(range(len(rows)), list(blocks) or [None] * len(rows))
    known = keys[:_MOST_KEYS]
    columns = {key: made for key in known if (made := _make_columns(key, rows, parts))}
    alpha = thresholds.significance
    possible = {key: one for key, one in columns.items() if _can_show(one, alpha / len(columns))}
    outcome = _rank_in_blocks(results, parts)
    shown = _center(results, parts) if len(parts) > 1 else results
    found: list[Effect] = []
    left = dict(possible)
    while left:
        best = _find_real(list(left.values()), outcome, parts, source, alpha)
        if best is None:
            break
        together = [key for key in find_confounded(rows, best.key, list(columns)) if key in columns]
        verdict: Verdict = "cannot tell apart" if together else "real"
        found.append(_describe(best, outcome, shown, rows, verdict)._replace(together=together))
        for key in together:
            if key in left:
                again = [best.key, *(other for other in together if other != key)]
                found.append(_describe_best(left[key], outcome, shown, rows, verdict)._replace(together=again))
        outcome = _remove(outcome, possible[best.key])
        left = {key: one for key, one in left.items() if key not in (best.key, *together)}
    rest = [_describe_best(one, outcome, shown, rows, "not shown") for one in left.values()]
    unclear = [Effect(key, "cannot tell", n=sum(key in row for row in rows)) for key in known if key not in possible]
    named = {one.key for one in found}
    return [
        *found,
        *sorted(rest, key=lambda one: -one.strength),
        *(one for one in unclear if one.key not in named),
    ]


def _find_real(
    columns: Sequence[Sequence[_Column]],
    outcome: Sequence[float],
    blocks: Sequence[Sequence[int]],
    source: random.Random,
    alpha: float,
) -> _Column | None:
    """Return the column with the strongest association, or `None` if chance could explain the association."""
    every = [column for several in columns for column in several]
    scores = [column.measure(outcome)[1] for column in every]
    best = max(range(len(every)), key=scores.__getitem__)
    if scores[best] <= 0:
        return None
    exceeding = 1
    for _ in range(_SHUFFLES):
        shuffled = list(outcome)
        for indices in blocks:
            for index, other in zip(indices, source.sample(indices, len(indices)), strict=True):
                shuffled[index] = outcome[other]
        exceeding += max(column.measure(shuffled)[1] for column in every) >= scores[best] - 1e-9
        if exceeding >= alpha * (_SHUFFLES + 1):
            return None
    return every[best]


def _make_columns(key: str, rows: Sequence[Mapping[str, Any]], blocks: Sequence[Sequence[int]]) -> list[_Column]:
    """Encode a key as ranks and as groups, skipping an encoding that does not suit its values.

    If the key has a single value, settings are grouped by whether they have the key. If all settings have it, return an
    empty list.
    """
    indices = [index for index, row in enumerate(rows) if key in row]
    values: list[Any] = [rows[index][key] for index in indices]
    distinct = len({freeze(value) for value in values})
    if distinct == 1:
        indices, values, distinct = list(range(len(rows))), [row.get(key) for row in rows], 2
        if not any(value is None for value in values):
            return []
    is_numeric = all(map(is_number, values))
    groups = (
        _bin(indices, values)
        if is_numeric and distinct > _BINS
        else _group(indices, [freeze(value) for value in values])
    )
    made: list[_Column] = []
    if is_numeric and distinct > 2 and len(indices) > 3:
        numbers = {index: number for number, index in enumerate(indices)}
        own = [[numbers[index] for index in block if index in numbers] for block in blocks]
        weights = _center(rank_values(values), [block for block in own if block])
        if any(weights):
            made.append(_Column(key, indices, weights=weights))
    if 1 < len(groups) < len(indices) - 1:
        made.append(_Column(key, indices, groups=groups))
    return made


def _group(indices: Sequence[int], marks: Sequence[Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for index, mark in zip(indices, marks, strict=True):
        groups.setdefault(mark, []).append(index)
    return list(groups.values())


def _bin(indices: Sequence[int], values: Sequence[float]) -> list[list[int]]:
    """Divide the indices into bins of neighbouring values, keeping equal values in the same bin.

    If there are too few values for 3 bins, return an empty list.
    """
    count = min(_BINS, len(indices) // _IN_BIN)
    if count < 3:
        return []
    groups: dict[int, list[int]] = {}
    for index, rank in zip(indices, rank_values(values), strict=True):
        groups.setdefault(min(count - 1, int(count * (rank - 0.5) / len(indices))), []).append(index)
    return [groups[number] for number in sorted(groups)]


def _can_show(columns: Sequence[_Column], alpha: float) -> bool:
    """Return whether the results have enough distinct permutations for a p-value of at most `alpha`."""
    largest = 0.0
    for column in columns:
        counts = [len(group) for group in column.groups] or list(Counter(column.weights).values())
        ways = math.lgamma(len(column.indices) + 1) - sum(math.lgamma(count + 1) for count in counts)
        largest = max(largest, ways)
    return math.log(2) - largest <= math.log(alpha)


def _remove(outcome: Sequence[float], columns: Sequence[_Column]) -> list[float]:
    """Return the results with the effect of a key (its group means and trend) removed."""
    left = list(outcome)
    for column in sorted(columns, key=lambda one: not one.groups):
        for group in column.groups:
            middle = fmean([left[index] for index in group])
            for index in group:
                left[index] -= middle
        if column.weights:
            along = sum(weight * left[index] for weight, index in zip(column.weights, column.indices, strict=True))
            slope = along / sum(map(mul, column.weights, column.weights))
            for weight, index in zip(column.weights, column.indices, strict=True):
                left[index] -= slope * weight
    return left


def _describe_best(
    columns: Sequence[_Column],
    outcome: Sequence[float],
    shown: Sequence[float],
    rows: Sequence[Mapping[str, Any]],
    verdict: Verdict,
) -> Effect:
    best = max(columns, key=lambda one: one.measure(outcome)[1])
    return _describe(best, outcome, shown, rows, verdict)


def _describe(
    column: _Column,
    outcome: Sequence[float],
    shown: Sequence[float],
    rows: Sequence[Mapping[str, Any]],
    verdict: Verdict,
) -> Effect:
    share, _ = column.measure(outcome)
    count = len(column.indices)
    if column.weights:
        values = [outcome[index] for index in column.indices]
        rho = math.copysign(math.sqrt(share), sum(map(mul, column.weights, values)))
        return Effect(column.key, verdict, abs(rho), count, rho=rho)
    # subtract the variance that this many groups explain by chance
    share = max(0.0, 1 - (1 - share) * (count - 1) / (count - len(column.groups)))
    groups: list[Group] = []
    for indices in column.groups:
        values: list[Any] = [rows[index].get(column.key) for index in indices]
        low, high = (min(values), max(values)) if all(map(is_number, values)) else (values[0], values[0])
        groups.append(Group(low, high, fmean([shown[index] for index in indices]), len(indices)))
    return Effect(column.key, verdict, math.sqrt(share), count, groups=groups)


def _rank_in_blocks(results: Sequence[float], blocks: Sequence[Sequence[int]]) -> list[float]:
    """Return the centred rank of each result within its block, divided by the size of the block."""
    ranks = [0.0] * len(results)
    for indices in blocks:
        for index, rank in zip(indices, rank_values([results[index] for index in indices]), strict=True):
            ranks[index] = (rank - (len(indices) + 1) / 2) / len(indices)
    return ranks


def _center(values: Sequence[float], blocks: Sequence[Sequence[int]]) -> list[float]:
    """Subtract the mean of each block from the values in that block."""
    centred = list(values)
    for indices in blocks:
        middle = fmean([values[index] for index in indices])
        for index in indices:
            centred[index] -= middle
    return centred


def _normalise(share: float, first: int, second: int) -> float:
    """Convert an explained fraction of variance to a normal deviate (Paulson's approximation of the F distribution)."""
    if second < 1:
        return -math.inf
    a, b = 2 / (9 * first), 2 / (9 * second)
    if share >= 1:
        return (1 - b) / math.sqrt(b)
    root = (share / first / ((1 - share) / second)) ** (1 / 3)
    return ((1 - b) * root - (1 - a)) / math.sqrt(b * root * root + a)
