"""Explain why no experiment meets a set of conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from swanlab_mcp.analysis.filtering import Candidate, list_clauses, measure_distance, passes, read_field
from swanlab_mcp.analysis.unsent_fields import UNSENT_FIELDS
from swanlab_mcp.core.models import Filter

__all__ = ["Miss", "explain_miss"]


class Miss(NamedTuple):
    """The clause that excludes the most experiments. Without this clause, `without` experiments would match.

    If no experiment meets the clause, `closest` is the experiment that comes closest, and `value` is its value. If
    `is_empty` is true, no experiment has a value for any field in the clause.
    """

    clause: Sequence[Filter]
    without: int
    is_never_met: bool = False
    closest: Candidate | None = None
    value: Any = None
    is_empty: bool = False


def explain_miss(candidates: Sequence[Candidate], filters: Sequence[Filter]) -> Miss | None:
    """Return the clause that explains why no candidate matches, or `None` if there are no candidates or no filters."""
    clauses = list_clauses(filters)
    if not candidates or not clauses:
        return None
    met = [[any(passes(one, condition) for condition in clause) for one in candidates] for clause in clauses]
    without = [
        sum(all(row[index] for other, row in enumerate(met) if other != number) for index in range(len(candidates)))
        for number in range(len(clauses))
    ]
    never = [number for number, row in enumerate(met) if not any(row)]
    number = max(never or range(len(clauses)), key=lambda one: without[one])
    clause = clauses[number]
    if not never:
        return Miss(clause, without[number])
    # search among candidates that meet the other conditions, if there are any
    others = [
        one
        for index, one in enumerate(candidates)
        if all(row[index] for other, row in enumerate(met) if other != number)
    ]
    found = [
        (distance, index, condition)
        for condition in clause
        for index, one in enumerate(others or candidates)
        if (distance := measure_distance(one, condition)) is not None
    ]
    if not found:
        is_empty = all(
            condition.field not in UNSENT_FIELDS and read_field(one, condition.field) is None
            for condition in clause
            for one in candidates
        )
        return Miss(clause, without[number], is_never_met=True, is_empty=is_empty)
    _, index, condition = min(found, key=lambda one: one[:2])
    closest = (others or candidates)[index]
    return Miss(clause, without[number], True, closest, read_field(closest, condition.field))
