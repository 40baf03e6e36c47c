"""Handle conditions on fields that SwanLab can filter by but never sends."""

from __future__ import annotations

from swanlab_mcp.analysis.refusals import BadTime, UnsentField
from swanlab_mcp.core.models import Filter
from swanlab_mcp.core.records import read_time

__all__ = ["UNSENT_FIELDS", "name_answer", "normalise_unsent"]

UNSENT_FIELDS = ("baseline", "pin", "updated")


def normalise_unsent(condition: Filter) -> Filter:
    """Convert a condition on a field that SwanLab never sends into a form that SwanLab can answer.

    SwanLab returns only ids for such a condition and has no strict comparisons, so only booleans and times in whole
    seconds are supported. Conditions on other fields are returned unchanged. Raises UnsentField for an unsupported
    condition, and BadTime for an invalid time.
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
    """Return the key for storing whether an experiment meets a condition on a field that SwanLab never sends."""
    return f"{condition.field} {condition.op} {condition.value}"
