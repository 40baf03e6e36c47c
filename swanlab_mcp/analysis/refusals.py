"""Errors for invalid requests. `operations/refusals.py` writes their messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "BadDuration",
    "BadTime",
    "Contradiction",
    "Incomparable",
    "Refusal",
    "UnknownField",
    "UnknownState",
    "UnsentField",
]


class Refusal(Exception):
    """Base class of errors for requests that contradict themselves or the recorded data."""


@dataclass(eq=False)
class Contradiction(Refusal):
    """Mutually exclusive arguments. The error message suggests using only the first of `names`."""

    kind: Literal["steps", "times", "minutes", "indices"]
    names: Sequence[str]
    start: int = 0
    end: int = 0


@dataclass(eq=False)
class UnknownField(Refusal):
    """A field that no experiment has.

    `near` contains similar fields, `held` contains fields from the configs, and `fixed` contains the fields that every
    experiment has. If `may_be_metric` is true, metrics are valid fields as well.
    """

    field: str
    near: Sequence[str]
    held: Sequence[str]
    fixed: Sequence[str]
    may_be_metric: bool = True


@dataclass(eq=False)
class UnsentField(Refusal):
    """A field that SwanLab can filter by but never sends."""

    field: str


@dataclass(eq=False)
class UnknownState(Refusal):
    """A state that SwanLab does not use. `known` contains the valid states."""

    state: str
    known: Sequence[str]


@dataclass(eq=False)
class BadTime(Refusal):
    """A string that cannot be parsed as a time."""

    text: str


@dataclass(eq=False)
class BadDuration(Refusal):
    """A string that cannot be parsed as a duration."""

    text: str


@dataclass(eq=False)
class Incomparable(Refusal):
    """A condition whose value has a different type from the experiments' values. `example` is one of these values."""

    field: str
    op: str
    value: str
    example: Any = None
