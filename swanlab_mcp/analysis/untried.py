"""Find what a project has not tried: gaps between numbers, and pairs of values that were never combined."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

from swanlab_mcp.analysis.config_distances import DECADE
from swanlab_mcp.analysis.differences import freeze, is_number

__all__ = ["Coverage", "Uncombined", "find_uncombined", "measure_coverage"]

_OUTSTANDING = 2 - 1e-9  # a gap is at least this many times as wide as the next narrower interval
_MOST_GAPS = 2
_MOST_KEYS = 20
_REPEATED = 2  # only combine keys whose values occur at least this often on average


class Coverage(NamedTuple):
    """The values tried for a key, and the gaps between them.

    If `is_range` is true, `values` contains only the smallest and largest value.
    """

    values: Sequence[Any]
    is_range: bool
    gaps: Sequence[tuple[float, float]] = ()


class Uncombined(NamedTuple):
    """Two values that never occur together, although their frequencies predict `expected` settings with both."""

    first: tuple[str, Any]
    second: tuple[str, Any]
    expected: float


def measure_coverage(values: Sequence[Any], most: int) -> Coverage:
    """Return the values tried for a key, and the gaps between them.

    Numbers are sorted, and more than `most` numbers are reduced to their range. Other values are sorted by decreasing
    frequency.
    """
    counts = Counter(freeze(value) for value in values)
    examples = {freeze(value): value for value in values}
    if not all(map(is_number, values)):
        return Coverage([examples[one] for one, _ in counts.most_common()], is_range=False)
    numbers: list[float] = sorted(examples.values())
    gaps = _find_gaps(numbers)
    return Coverage([numbers[0], numbers[-1]], True, gaps) if len(numbers) > most else Coverage(numbers, False, gaps)


def _find_gaps(numbers: Sequence[float]) -> list[tuple[float, float]]:
    """Return the gaps, which are at least twice as wide as every interval that is not a gap.

    If there is only one interval, it counts as a gap. Positive numbers that span a decade are compared by their
    logarithms, in which case zeros are ignored.
    """
    positive = [one for one in numbers if one > 0]
    is_log = numbers[0] >= 0 and len(positive) > 1 and positive[-1] >= DECADE * positive[0]
    numbers = positive if is_log else numbers
    turn = math.log if is_log else float
    widths = sorted(
        ((turn(high) - turn(low), low, high) for low, high in pairwise(numbers) if not _are_neighbours(low, high)),
        reverse=True,
    )
    outstanding = (
        count
        for count in range(1, min(_MOST_GAPS, len(widths) - 1) + 1)
        if widths[count - 1][0] >= _OUTSTANDING * widths[count][0]
    )
    count = 1 if len(widths) == 1 else next(outstanding, 0)
    return sorted((low, high) for _, low, high in widths[:count])


def _are_neighbours(low: float, high: float) -> bool:
    return float(low).is_integer() and high - low == 1


def find_uncombined(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Uncombined]:
    """Return pairs of values that never occur together, but whose frequencies predict at least one setting with both.

    Pairs with the largest predicted number of settings come first.
    """
    columns: dict[str, tuple[Counter[str], Mapping[str, Any]]] = {}
    for key in keys[:_MOST_KEYS]:
        values = [row[key] for row in rows if key in row]
        counts = Counter(freeze(value) for value in values)
        if len(counts) > 1 and _REPEATED * len(counts) <= len(values):
            columns[key] = counts, {freeze(value): value for value in values}
    found: list[Uncombined] = []
    for first, second in combinations(columns, 2):
        both = [(freeze(row[first]), freeze(row[second])) for row in rows if first in row and second in row]
        together = set(both)
        firsts, seconds = (Counter(pair[side] for pair in both) for side in (0, 1))
        for one, often in firsts.items():
            for two, as_often in seconds.items():
                expected = often * as_often / len(both)
                if (one, two) not in together and expected >= 1:
                    pair = (first, columns[first][1][one]), (second, columns[second][1][two])
                    found.append(Uncombined(*pair, expected))
    return sorted(found, key=lambda one: -one.expected)
