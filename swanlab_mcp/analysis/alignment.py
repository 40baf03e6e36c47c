"""Shorten values for display without making different values look the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from swanlab_mcp.core.untrusted import shorten

__all__ = ["align_values"]

_CONTEXT = 10
_DIGITS = 6
_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True, default=str)


def align_values(values: Sequence[Any], width: int) -> list[Any]:
    """Shorten each value to about `width` characters while keeping different values distinct.

    If long strings would look the same, each string is shown from shortly before the point where the strings start to
    differ. Numbers are rounded unless rounding would make different numbers look equal. Values that still look the same
    are numbered.
    """
    exact = [_write(value) for value in values]
    shown = [_show(value, text, width) for value, text in zip(values, exact, strict=True)]
    alike = _find_alike(shown, exact)
    if not alike:
        return shown
    for indices in alike:
        shared = max(0, _count_shared([exact[index] for index in indices]) - _CONTEXT)
        for index in indices:
            is_number = isinstance(values[index], float)
            cut = f"…{exact[index][shared:]}" if shared else exact[index]
            shown[index] = values[index] if is_number else shorten(cut, width)
    for indices in _find_alike(shown, exact):
        numbers = {text: number for number, text in enumerate(dict.fromkeys(exact[index] for index in indices), 1)}
        for index in indices:
            shown[index] = f"{shown[index]} ({numbers[exact[index]]})"
    return shown


def _write(value: Any) -> str:
    if isinstance(value, str):
        return value
    return _JSON.encode(value)


def _show(value: Any, text: str, width: int) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    is_nested = text[:1] in ("[", "{") and len(text) > width
    return shorten(text, width) if isinstance(value, str) or is_nested else value


def _find_alike(shown: Sequence[Any], exact: Sequence[str]) -> list[list[int]]:
    """Group different values that look the same, and return the indices in each group."""
    groups: dict[str, list[int]] = {}
    for index, one in enumerate(shown):
        groups.setdefault(_write(one), []).append(index)
    return [indices for indices in groups.values() if len({exact[index] for index in indices}) > 1]


def _count_shared(texts: Sequence[str]) -> int:
    """Return the length of the longest common prefix of the strings."""
    # a prefix shared by the first and last strings in sorted order is shared by all strings
    first, last = min(texts), max(texts)
    for index, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return index
    return min(len(first), len(last))
