"""Accept arguments in the formats that assistants send, and describe invalid values in this package's own words."""

from __future__ import annotations

from typing import Any, cast

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, from_json

from swanlab_mcp.core.i18n import gettext, ngettext

__all__ = [
    "ZERO_IS_ABSENT",
    "Inlined",
    "describe_fault",
    "read_bound",
    "read_config",
    "read_filter_value",
    "read_objects",
    "read_words",
]

_LARGEST_STEP = 10**18

# in an Annotated type, this marker means that 0 is treated as if the argument were omitted
ZERO_IS_ABSENT = object()


class Inlined:
    """A marker for Annotated types that inlines the record's schema, because many MCP hosts cannot follow a `$ref`.

    If `is_brief` is true, the field descriptions are omitted, because another tool's schema contains them.
    """

    def __init__(self, *, is_brief: bool = False) -> None:
        self.is_brief = is_brief

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        if self.is_brief:
            fields = {name: {**about} for name, about in schema["properties"].items()}
            for about in fields.values():
                about.pop("description", None)
            schema = {**schema, "properties": fields}
        return schema


def read_words(value: Any) -> Any:
    """Return a list of strings and numbers, given as a list, a single item or JSON text.

    Items of the list may be JSON text themselves. Other values are returned unchanged.
    """
    return _read_list(value, "[")


def read_objects(value: Any) -> Any:
    """Return a list of objects, given in any format that `read_words` accepts.

    The objects in a nested list are alternatives. Each of them gets the 1-based index of its nested list as `either`.
    """
    read = _read_list(value, "[{")
    if not isinstance(read, list):
        return read
    items: list[Any] = []
    for number, item in enumerate(cast("list[Any]", read), start=1):
        if item == []:
            raise PydanticCustomError("no_alternatives", "an empty list")
        for one in cast("list[Any]", item) if isinstance(item, list) else [item]:
            is_object = isinstance(item, list) and isinstance(one, dict)
            items.append({**cast("dict[str, Any]", one), "either": number} if is_object else one)
    return items


def read_bound(value: Any) -> Any:
    """Return a step as an int. A string is returned unchanged, because `read_selection` validates it."""
    if value is None or isinstance(value, str):
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # compared before conversion: an integer may be too large for a float
    if not is_number or not abs(value) <= _LARGEST_STEP or value != int(value):
        raise PydanticCustomError("step_or_time", "not a step or a time")
    return int(value)


def read_config(value: Any) -> Any:
    """Parse a config, given as an object, as JSON text, or as text such as "lr=0.01, optimizer=adam"."""
    if isinstance(value, str) and value.strip():
        parsed = _parse(value, "{")
        if isinstance(parsed, str):
            pairs = [part.partition("=") for part in parsed.split(",") if part.strip()]
            if not all(sign and key.strip() for key, sign, _ in pairs):
                raise PydanticCustomError("config", "not a config")
            parsed = {key.strip(): _parse_word(text.strip()) for key, _, text in pairs}
        return parsed
    return value or {}


def _parse_word(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return text


def read_filter_value(value: Any, validate: Any, *, needs_value: bool) -> Any:
    """Validate a value that may have several types, and raise a single error instead of one error per type."""
    if not needs_value:
        if value in (None, ""):
            return ""
        raise PydanticCustomError("no_filter_value", "no value")
    if value is None:
        raise PydanticCustomError("missing", "missing")
    try:
        return validate(value)
    except ValueError as error:
        raise PydanticCustomError("filter_value", "not a value") from error


def _read_list(value: Any, brackets: str) -> Any:
    value = _parse(value, brackets)
    kinds = (str, int, float, dict) if "{" in brackets else (str, int, float)
    if isinstance(value, kinds) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, (list, tuple)):
        return cast("Any", value)
    items: list[Any] = []
    for item in cast("list[Any]", value):
        parsed = _parse(item, brackets)
        items += parsed if isinstance(parsed, list) and isinstance(item, str) else [parsed]
    return items


def _parse(value: Any, brackets: str) -> Any:
    if not isinstance(value, str) or value.lstrip()[:1] not in tuple(brackets):
        return value
    try:
        return from_json(value)
    except ValueError:
        return value


def describe_fault(fault: ErrorDetails) -> str:
    """Return a phrase that describes an invalid value, to be placed after the argument's name."""
    given = {name: _simplify(value) for name, value in fault.get("ctx", {}).items()}
    kind = fault["type"]
    if kind in _BOUNDS:
        return _describe_bound(kind, given)
    match kind:
        case "missing":
            return gettext("is missing")
        case "string_type" | "string_unicode":
            return gettext("must be text")
        case "bool_type" | "bool_parsing":
            return gettext("must be true or false")
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return gettext("must be a whole number")
        case "float_type" | "float_parsing" | "finite_number":
            return gettext("must be a number")
        case "list_type" | "sequence_str" | "is_instance_of":
            return gettext("must be a list")
        case "model_type" | "model_attributes_type" | "dict_type":
            return gettext("must be an object with named fields")
        case "literal_error":
            expected = given["expected"].replace(" or ", ", ").replace("'', ", "").replace("'", "")
            return gettext("must be one of: {expected}", expected=expected)
        case "step_or_time":
            return gettext("must be a step like 1000 or a time like 2026-11-23T08:00")
        case "config":
            return gettext("must be JSON or text like lr=0.01, optimizer=adam")
        case "no_filter_value":
            return gettext("must be omitted with is-null and not-null")
        case "no_alternatives":
            return gettext("must not contain an empty list; [[a, b], c] means (a or b) and c")
        case "filter_value":
            return gettext("must be text, a number, true, false, or a list of such values")
        case _:
            return gettext("has an invalid form")


_BOUNDS = {
    *("greater_than", "greater_than_equal", "less_than", "less_than_equal", "string_pattern_mismatch"),
    *("string_too_long", "string_too_short", "too_long", "too_short"),
}


def _describe_bound(kind: str, given: dict[str, Any]) -> str:
    match kind:
        case "greater_than":
            return gettext("must be greater than {gt}", **given)
        case "greater_than_equal":
            return gettext("must be at least {ge}", **given)
        case "less_than":
            return gettext("must be less than {lt}", **given)
        case "less_than_equal":
            return gettext("must be at most {le}", **given)
        case "string_pattern_mismatch":
            return gettext("must match the pattern {pattern}", **given)
        case "string_too_long":
            return ngettext(
                "must have at most {count} character", "must have at most {count} characters", given["max_length"]
            )
        case "string_too_short":
            return ngettext(
                "must have at least {count} character", "must have at least {count} characters", given["min_length"]
            )
        case "too_long":
            return ngettext(
                "must have at most {count} item, not {actual}",
                "must have at most {count} items, not {actual}",
                given["max_length"],
                actual=given["actual_length"],
            )
        case _:
            return ngettext(
                "must have at least {count} item, not {actual}",
                "must have at least {count} items, not {actual}",
                given["min_length"],
                actual=given["actual_length"],
            )


def _simplify(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
