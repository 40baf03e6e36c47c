"""Estimate whether a reply is small enough to write without a thread."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, cast

from pydantic import BaseModel

from swanlab_mcp.analysis.deciding import Curve
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.operations.verdicts import Verdict

__all__ = ["is_small"]

# writing a reply of this size takes about 2 ms, so a thread would hardly help other calls
_FEW = 1000
_SHORT = 10_000
_SCALARS = frozenset({int, float, bool, type(None)})


def is_small(answer: ApiResponse[Any]) -> bool:
    """Return whether an answer contains few values and short strings.

    Writing a small answer directly is faster than handing it to a thread.
    """
    values: list[Any] = [answer.data, answer.notes]
    characters = 0
    for value in values:
        kind = cast("Any", type(value))
        if kind in _SCALARS:
            continue
        if kind is str:
            characters += len(value)
        elif kind is dict and len(value) <= _FEW:
            values += value
            values += value.values()
        elif kind in (list, tuple) and len(value) <= _FEW:
            values += value
        elif kind is Curve:
            return False
        elif isinstance(value, Verdict):
            # replies contain the events of a verdict, but not its curves
            values.append(value.judgement.events)
        elif isinstance(value, BaseModel):
            values += vars(value).values()
        elif issubclass(kind, tuple) and len(value) <= _FEW:
            values += value
        elif is_dataclass(form := cast("Any", kind)):
            values += [getattr(value, one.name) for one in fields(form)]
        else:
            return False
        if len(values) > _FEW or characters > _SHORT:
            return False
    return True
