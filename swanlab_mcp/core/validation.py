"""What is wrong with a value, in the language of the call; pydantic itself speaks English only."""

from __future__ import annotations

from typing import Any

from pydantic_core import ErrorDetails

from swanlab_mcp.core.i18n import language, say

__all__ = ["tell_fault"]


def tell_fault(fault: ErrorDetails) -> str:
    """Return what pydantic says about a value, without a full stop; in its own words where we have none."""
    if language.get() == "en":
        return fault["msg"]
    given = {name: _simplify(value) for name, value in fault.get("ctx", {}).items()}
    match fault["type"]:
        case "missing":
            return say("Field required")
        case "string_type":
            return say("Input should be a valid string")
        case "bool_type" | "bool_parsing":
            return say("Input should be a valid boolean")
        case "int_type" | "int_parsing" | "int_from_float":
            return say("Input should be a valid integer")
        case "int_parsing_size":
            return say("Unable to parse input string as an integer, exceeded maximum size")
        case "float_type" | "float_parsing":
            return say("Input should be a valid number")
        case "list_type" | "sequence_str" | "is_instance_of":
            return say("Input should be a valid list")
        case "model_type":
            return say("Input should be a valid dictionary or instance of {class_name}", **given)
        case "literal_error":
            return say("Input should be one of: {expected}", expected=given["expected"].replace(" or ", ", "))
        case "greater_than":
            return say("Input should be greater than {gt}", **given)
        case "greater_than_equal":
            return say("Input should be greater than or equal to {ge}", **given)
        case "less_than":
            return say("Input should be less than {lt}", **given)
        case "less_than_equal":
            return say("Input should be less than or equal to {le}", **given)
        case "string_pattern_mismatch":
            return say("String should match pattern '{pattern}'", **given)
        case "string_too_long":
            return say("String should have at most {max_length} characters", **given)
        case "string_too_short":
            return say("String should have at least {min_length} characters", **given)
        case "too_long":
            return say("Value should have at most {max_length} items, not {actual_length}", **given)
        case "too_short":
            return say("Value should have at least {min_length} items, not {actual_length}", **given)
        case _:
            return fault["msg"]


def _simplify(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
