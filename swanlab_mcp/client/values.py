"""Pure functions that read values from the JSON in SwanLab's API and in run files."""

from __future__ import annotations

import math
from typing import Any, TypeGuard, cast

from swanlab_mcp.core.untrusted import DEEPEST, limit_value

__all__ = ["is_object", "read_number", "restore_none", "unwrap_config"]

_SPELLED = {
    "nan": math.nan,
    "inf": math.inf,
    "+inf": math.inf,
    "-inf": -math.inf,
    "infinity": math.inf,
    "+infinity": math.inf,
    "-infinity": -math.inf,
}
_PLAIN = frozenset({str, float, bool, type(None)})
_SMALL = 1 << 62
_WRAPPING = {"value", "desc", "sort"}


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def unwrap_config(config: Any, depth: int = DEEPEST) -> Any:
    """Replace SwanLab's `{"value", "desc", "sort"}` wrappers in a config with their values, at any depth.

    Only an object that consists of `value` and at least one of `desc` and `sort` is a wrapper. The same pass truncates
    values that are nested too deeply (see `limit_value`).
    """
    if type(config) in _PLAIN or (type(config) is int and -_SMALL < config < _SMALL):
        return config
    if not depth or type(config) is int:
        return limit_value(config, depth)
    if is_object(config):
        # plain values skip the function call, because a project's configs contain hundreds of thousands of them
        if "value" in config and len(config) > 1 and config.keys() <= _WRAPPING:
            value = config["value"]
            return value if type(value) in _PLAIN else unwrap_config(value, depth - 1)
        return {
            key: value if type(value) in _PLAIN else unwrap_config(value, depth - 1) for key, value in config.items()
        }
    if isinstance(config, list):
        return [unwrap_config(value, depth - 1) for value in cast("list[Any]", config)]
    return config


def restore_none(config: dict[str, Any]) -> dict[str, Any]:
    """Restore top-level None values in an unwrapped config. SDK 0.8 and later store them as {}."""
    if {} not in config.values():
        return config
    return {key: None if value == {} else value for key, value in config.items()}


def read_number(value: Any) -> float | None:
    """Convert a number, or a string that means NaN or infinity, to a float. Return `None` for any other value."""
    if isinstance(value, str):
        return _SPELLED.get(value.strip().lower())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
