"""Convert the `Refusal` exceptions of the `analysis` package to error messages."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from swanlab_mcp.analysis.refusals import (
    BadDuration,
    BadTime,
    Contradiction,
    Incomparable,
    Refusal,
    UnknownField,
    UnknownState,
    UnsentField,
)
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext, join_sentences
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["word_refusals"]

_EXAMPLE = 60


@contextmanager
def word_refusals() -> Generator[None, None, None]:
    """Convert `Refusal` exceptions to InvalidArgument errors that describe the problem and suggest valid arguments."""
    try:
        yield
    except Refusal as refusal:
        raise _word(refusal) from refusal


def _word(refusal: Refusal) -> InvalidArgument:
    match refusal:
        case Contradiction():
            return _word_contradiction(refusal)
        case UnknownField():
            return _word_unknown_field(refusal)
        case UnknownState(state, known):
            return InvalidArgument(
                gettext("Unknown state {state!r}.", state=shorten(state)),
                hint=gettext("States: {names}.", names=", ".join(known)),
            )
        case BadTime(text):
            return InvalidArgument(
                gettext("{text!r} is not a time.", text=shorten(text)),
                hint=gettext(
                    "Write it like 2026-11-23, 2026-11-23T08:00:00+08:00, or with < and > like 7d (7 days ago)."
                ),
            )
        case BadDuration(text):
            return InvalidArgument(
                gettext("{text!r} is not a duration.", text=shorten(text)),
                hint=gettext("Write it like 90m, 12h or 2d, or as a number of seconds."),
            )
        case UnsentField(field):
            instead = (
                gettext("Filters on this field need <, <=, > or >= and a time in whole seconds.")
                if field == "updated"
                else gettext("Filters on this field need = or != and the value true or false.")
            )
            return InvalidArgument(
                gettext("SwanLab does not report the experiment field {field!r}.", field=field), hint=instead
            )
        case Incomparable(field, op, value, example):
            return InvalidArgument(
                gettext(
                    "{field} {op} {value!r} compares different types of values.",
                    field=quote(field),
                    op=op,
                    value=shorten(value),
                ),
                hint=gettext("Its values look like {example}.", example=_show(example))
                if example is not None
                else gettext(
                    "Compare numeric fields with a number, and 'created' and 'finished' with an ISO 8601 time."
                ),
            )
        case _:
            raise AssertionError("unreachable: every refusal has its words")


def _word_contradiction(refusal: Contradiction) -> InvalidArgument:
    match refusal.kind:
        case "steps":
            return InvalidArgument(
                gettext("start={start} is after end={end}.", start=refusal.start, end=refusal.end),
                hint=gettext("Pass the smaller step as start."),
            )
        case "times":
            return InvalidArgument(gettext("start is after end."), hint=gettext("Pass the earlier time as start."))
        case "minutes":
            return InvalidArgument(
                gettext("last_minutes cannot be combined with a time as start or end."), hint=gettext("Pass only one.")
            )
        case "indices":
            return InvalidArgument(
                gettext("{names} cannot be combined.", names=gettext(" and ").join(refusal.names)),
                hint=gettext("Pass only {name}.", name=refusal.names[0]),
            )


def _word_unknown_field(refusal: UnknownField) -> InvalidArgument:
    known = [*refusal.fixed, "config.<key>", *(["metric.<key>"] if refusal.may_be_metric else [])]
    hints = [gettext("Fields: {names}.", names=", ".join(known))]
    if refusal.near:
        hints.insert(
            0, gettext("Did you mean {names}?", names=gettext(" or ").join(quote(name) for name in refusal.near))
        )
    elif refusal.held:
        hints.insert(0, gettext("The configs contain {names}.", names=", ".join(quote(name) for name in refusal.held)))
    return InvalidArgument(
        gettext("Unknown field {field!r}.", field=shorten(refusal.field)), hint=join_sentences(*hints)
    )


def _show(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    return shorten(value.isoformat() if isinstance(value, datetime) else json.dumps(value, default=str), _EXAMPLE)
