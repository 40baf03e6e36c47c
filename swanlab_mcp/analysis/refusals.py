"""Errors for invalid requests, as data; `operations/refusals.py` writes the messages."""

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
    """The request contradicts itself or the recorded data."""


@dataclass(eq=False)
class Contradiction(Refusal):
    """Arguments that exclude each other; the error message suggests using only the first of `names`."""

    kind: Literal["steps", "times", "minutes", "places"]
    names: Sequence[str]
    start: int = 0
    end: int = 0


@dataclass(eq=False)
class UnknownField(Refusal):
    """A field that no experiment has; `near` and `held` are existing fields, including metrics if `may_be_metric`."""

    field: str
    near: Sequence[str]
    held: Sequence[str]
    fixed: Sequence[str]
    may_be_metric: bool = True


@dataclass(eq=False)
class UnsentField(Refusal):
    """A field that SwanLab knows but does not report."""

    field: str


@dataclass(eq=False)
class UnknownState(Refusal):
    """A state unknown to SwanLab, with the known states."""

    state: str
    known: Sequence[str]


@dataclass(eq=False)
class BadTime(Refusal):
    """A text that cannot be read as a time."""

    text: str


@dataclass(eq=False)
class BadDuration(Refusal):
    """A text that is not a duration."""

    text: str


@dataclass(eq=False)
class Incomparable(Refusal):
    """A condition whose value has a different type from the experiments' values, such as `example`."""

    field: str
    op: str
    value: str
    example: Any = None
