"""Explain why no experiment matches the filters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from swanlab_mcp.analysis.filtering import Candidate
from swanlab_mcp.analysis.misses import explain_miss
from swanlab_mcp.core.durations import show_duration
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import Filter
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["note_miss"]

_TEXT = 60


def note_miss(candidates: Sequence[Candidate], filters: Sequence[Filter]) -> list[str]:
    """Return a list with a note that says which condition excludes all experiments and which value is closest.

    The list is empty if no single condition explains the result.
    """
    miss = explain_miss(candidates, filters)
    if miss is None:
        return []
    condition = gettext(" or ").join(
        f"{quote(one.field)} {one.op} {shorten(str(one.value), _TEXT)}".strip() for one in miss.clause
    )
    if not miss.is_never_met:
        return [
            ngettext(
                "No experiment meets all conditions; without {condition}, {count} experiment matches.",
                "No experiment meets all conditions; without {condition}, {count} experiments match.",
                miss.without,
                condition=condition,
            )
        ]
    if miss.is_empty:
        return [
            ngettext(
                "No experiment meets {condition}, because the {count} experiment has no value for it.",
                "No experiment meets {condition}, because none of the {count} experiments has a value for it.",
                len(candidates),
                condition=condition,
            )
        ]
    if miss.closest is None:
        return [gettext("No experiment meets {condition}.", condition=condition)]
    one = miss.closest.experiment
    return [
        gettext(
            "No experiment meets {condition}; the closest value is {value}, in {name} ({cuid}).",
            condition=condition,
            value=_show(miss.clause[0].field, miss.value),
            name=quote(one.name),
            cuid=quote(one.cuid, 400),
        )
    ]


def _show(field: str, value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, float):
        return show_duration(value) if field == "duration" else f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(quote(one) for one in cast("list[Any]", value))
    return quote(value)
