"""Questions that cannot be answered as they are, as data; `operations/refusals.py` words them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["BadTime", "Contradiction", "Incomparable", "Refusal", "UnknownField", "UnknownState"]


class Refusal(Exception):
    """The question contradicts itself, or does not fit what there is."""


@dataclass(eq=False)
class Contradiction(Refusal):
    """Parts of a selection that exclude one another; `names` are the arguments, the first one to keep."""

    kind: Literal["steps", "times", "minutes", "places"]
    names: Sequence[str]
    start: int = 0
    end: int = 0


@dataclass(eq=False)
class UnknownField(Refusal):
    """A field that no experiment has; `near` and `held` are fields that exist."""

    field: str
    near: Sequence[str]
    held: Sequence[str]
    fixed: Sequence[str]


@dataclass(eq=False)
class UnknownState(Refusal):
    """A state that SwanLab does not know, and those that it knows."""

    state: str
    known: Sequence[str]


@dataclass(eq=False)
class BadTime(Refusal):
    """A text that is no time."""

    text: str


@dataclass(eq=False)
class Incomparable(Refusal):
    """A condition whose value has another kind than the experiments' values."""

    field: str
    op: str
    value: str
