"""Conditions on the fields by which SwanLab filters, although it never sends their values."""

from __future__ import annotations

from swanlab_mcp.analysis.refusals import BadTime, UnsentField
from swanlab_mcp.core.models import Filter
from swanlab_mcp.core.records import read_time

__all__ = ["UNSENT_FIELDS", "name_answer", "normalise_unsent"]

UNSENT_FIELDS = ("baseline", "pin", "updated")


def normalise_unsent(condition: Filter) -> Filter:
    """Return a condition on a field that SwanLab never sends in the form that it can answer.

    SwanLab has no strict order and answers with ids only, so it can decide truths and an order of whole seconds. Raises
    UnsentField for other conditions, and BadTime.
    """
    field, op, value = condition.field, condition.op, condition.value
    if field == "updated":
        if op not in ("<", "<=", ">", ">=") or isinstance(value, list):
            raise UnsentField(field)
        moment = read_time(str(value))
        if moment is None:
            raise BadTime(str(value))
        if moment.microsecond:
            raise UnsentField(field)
        return condition
    if field not in UNSENT_FIELDS:
        return condition
    truth = {"true": True, "false": False}.get(str(value).strip().casefold())
    if op not in ("=", "!=") or truth is None:
        raise UnsentField(field)
    return condition.model_copy(update={"op": "=", "value": truth == (op == "=")})


def name_answer(condition: Filter) -> str:
    """Return the name of SwanLab's answer to a condition on a field that it never sends."""
    return f"{condition.field} {condition.op} {condition.value}"
