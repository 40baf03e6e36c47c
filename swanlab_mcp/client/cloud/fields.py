"""Pure functions that read fields from SwanLab's JSON. They raise UnexpectedResponse for an unexpected type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from swanlab_mcp.client.values import is_object, read_number
from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.records import is_moment

__all__ = [
    "LARGEST_STEP",
    "get_integer",
    "get_items",
    "get_labels",
    "get_moment",
    "get_number",
    "get_object",
    "get_optional_text",
    "get_text",
    "get_texts",
    "read_list",
    "refuse",
    "require",
]

LARGEST_STEP = 2**63


def read_list(answer: Any, what: str) -> list[dict[str, Any]]:
    """Return the objects in a response, which is either a list or a page with the field `list`.

    Raises UnexpectedResponse for any other response.
    """
    items: Any = answer.get("list") if is_object(answer) else answer
    if not isinstance(items, list):
        raise UnexpectedResponse(
            gettext("SwanLab did not return a list of {what}.", what=what),
            hint=gettext("Try again; if the error persists, report it."),
        )
    if set(map(type, cast("list[Any]", items))) - {dict}:
        raise UnexpectedResponse(
            gettext("SwanLab's list of {what} contains items that are not objects.", what=what),
            hint=gettext("Try again; if the error persists, report it."),
        )
    return cast("list[dict[str, Any]]", items)


def require(item: Mapping[str, Any], field: str, what: str) -> str:
    value = item.get(field)
    if not isinstance(value, str) or not value:
        raise UnexpectedResponse(
            gettext("SwanLab's response about {what} has no {field}.", what=what, field=field),
            hint=gettext("Try again; if the error persists, report it."),
        )
    return value


def get_text(value: Any) -> str:
    return value if type(value) is str else get_optional_text(value) or ""


def get_optional_text(value: Any) -> str | None:
    """Return a string, or `None` for null and the empty string. Raises UnexpectedResponse for any other type."""
    # isinstance with a union is slower, because the union would be built for every string in thousands of experiments
    if value is not None and not isinstance(value, str):
        raise refuse(value, gettext("a text"))
    return value or None


def get_items(value: Any) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise refuse(value, gettext("a list"))
    return cast("list[Any]", value or [])


def get_object(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise refuse(value, gettext("an object"))
    return cast("dict[str, Any]", value or {})


def refuse(value: Any, wanted: str) -> UnexpectedResponse:
    kind = type(value).__name__
    return UnexpectedResponse(
        gettext("SwanLab's response contains {kind} instead of {wanted}.", kind=kind, wanted=wanted),
        hint=gettext("Try again; if the error persists, report it."),
    )


def get_texts(value: Any, fields: tuple[str, ...]) -> dict[str, str]:
    found = get_object(value)
    return {field: get_text(found[field]) for field in fields if found.get(field) is not None}


def get_labels(value: Any) -> list[str]:
    return [get_text(label.get("name") if is_object(label) else label) for label in get_items(value)]


def get_number(value: Any) -> float | None:
    if value is None or type(value) is float:
        return value
    number = read_number(value)
    if number is None:
        raise refuse(value, gettext("a number"))
    return number


def get_integer(value: Any) -> int | None:
    if type(value) is int:
        return value if abs(value) < LARGEST_STEP else None
    number = get_number(value)
    return int(number) if number is not None and abs(number) < LARGEST_STEP else None


def get_moment(value: Any) -> int:
    moment = value if type(value) is int else get_integer(value) or 0
    return moment if is_moment(moment) else 0
