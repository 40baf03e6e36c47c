"""Estimate whether a reply is small enough to be serialised without a worker thread."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

from pydantic import BaseModel

from swanlab_mcp.analysis.deciding import Curve
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.operations.news import Happening, News
from swanlab_mcp.operations.ranking import Ranking
from swanlab_mcp.operations.verdicts import Verdict

__all__ = ["is_small"]

# writing a reply of this size takes about 2 ms, so a thread would hardly help other calls
_FEW = 1000
_SHORT = 10_000
_FEW_RANKED = 200
_SCALARS = frozenset({int, float, bool, type(None)})


def is_small(answer: ApiResponse[Any]) -> bool:
    """Return whether an answer contains a small number of values and little text.

    Writing a small answer directly is faster than handing it to a thread.
    """
    containers: list[Any] = [(answer.data, *answer.notes)]
    count = characters = 0
    for container in containers:
        parts = _list_parts(container)
        if parts is None or (count := count + len(parts)) > _FEW:
            return False
        for part in parts:
            kind = cast("Any", type(part))
            if kind is str:
                characters += len(part)
            elif kind not in _SCALARS:
                containers.append(part)
        if characters > _SHORT:
            return False
    return True


def _list_parts(value: Any) -> Collection[Any] | None:
    """Return the values in a container that a reply would include, or `None` if there may be too many of them."""
    if isinstance(value, BaseModel):
        return vars(value).values()
    if isinstance(value, dict):
        entries = cast("dict[Any, Any]", value)
        return [*entries, *entries.values()] if len(entries) <= _FEW else None
    if isinstance(value, Verdict):
        # replies contain the events of a verdict, but not its curves
        return (value.judgement.events,)
    if isinstance(value, News):
        return (value.rows, value.lacks)
    if isinstance(value, Happening):
        return (value.experiment.name, value.best, value.event, value.verdict)
    if isinstance(value, Ranking):
        return _list_ranked(value) if len(value.experiments) <= _FEW_RANKED else None
    if isinstance(value, (list, tuple)):
        return cast("Sequence[Any]", value)
    if is_dataclass(value) and not isinstance(value, Curve):
        return [getattr(value, one.name) for one in fields(value)]
    return None


def _list_ranked(ranking: Ranking) -> list[Any]:
    """Return the names and config values in the rows of a ranking."""
    rows = [
        (ranking.experiments[row.run_index].name, *(part.field.configs[row.run_index].get(key) for key in part.columns))
        for part in ranking.parts
        for row in part.rows
    ]
    return [*rows, *ranking.names]
