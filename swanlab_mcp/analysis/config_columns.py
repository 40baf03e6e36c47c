"""Choose which config keys to show as columns in a list of experiments."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, cast

from swanlab_mcp.analysis.differences import find_varying, flatten, order_settings

__all__ = ["MOST_COLUMNS", "ConfigColumns", "choose_columns", "list_keys", "pick_in_order", "pick_keys"]

MOST_COLUMNS = 8
_NAMED = 8
# longer strings, such as chat templates, would fill the page
_LONGEST = 200


class ConfigColumns(NamedTuple):
    """The dotted config keys to show, most informative first, and a summary of the omitted keys.

    `varying` is the number of omitted keys whose values differ between configs, and `further` contains the first few of
    these keys. `constant` is the number of omitted keys that have the same value in every config.
    """

    shown: tuple[str, ...]
    further: tuple[str, ...]
    varying: int
    constant: int


def choose_columns(configs: Sequence[Any], most: int = MOST_COLUMNS) -> ConfigColumns:
    """Choose at most `most` keys whose values differ between the configs, most informative first.

    Keys with long string values are skipped. If the configs have at most `most` keys and no long strings, all keys are
    chosen. For a single config, its most informative keys are chosen.
    """
    flat = [flatten(config) for config in configs]
    known = list_keys(configs)
    long = {key for config in flat for key, value in config.items() if isinstance(value, str) and len(value) > _LONGEST}
    if len(known) <= most and not long:
        return ConfigColumns(tuple(known), (), 0, 0)
    differing = find_varying(flat) if len(flat) > 1 else order_settings(flat[0])
    shown = [key for key in differing if key not in long][:most]
    left = [key for key in differing if key not in shown]
    return ConfigColumns(tuple(shown), tuple(left[:_NAMED]), len(left), len(known) - len(differing))


def list_keys(configs: Sequence[Any]) -> list[str]:
    """Return the dotted keys of all configs without duplicates."""
    return list(dict.fromkeys(key for config in configs for key in flatten(config)))


def pick_in_order(config: Any, keys: Sequence[str]) -> Any:
    """Return the parts of a nested config that the dotted `keys` select, in the order of `keys`.

    The syntax of the keys is described in `pick_keys`.
    """
    if not isinstance(config, Mapping):
        return config
    picked: dict[Any, Any] = {}
    fields = cast("Mapping[Any, Any]", config)
    for key in keys:
        # a key without dots has only one spelling, so the other fields need not be checked
        is_plain = "." not in key and key in fields
        _merge(picked, {key: fields[key]} if is_plain else pick_keys(fields, (key,)))
    return picked


def _merge(target: dict[Any, Any], part: Mapping[Any, Any]) -> None:
    for key, value in part.items():
        known = target.get(key)
        if isinstance(known, dict) and isinstance(value, Mapping):
            _merge(cast("dict[Any, Any]", known), cast("Mapping[Any, Any]", value))
        else:
            # copy the value, because merging must not modify the config
            target[key] = deepcopy(value)


def pick_keys(config: Any, keys: Collection[str], prefix: str = "") -> Any:
    """Return the parts of a nested config that the dotted `keys` select.

    A key that refers to a nested object selects everything in that object. A key that itself contains a dot may be
    quoted (a."b.c"). The quotes are required if a nested key has the same spelling but a different value.
    """
    if not isinstance(config, Mapping):
        return config
    kept: dict[Any, Any] = {}
    fields = cast("Mapping[Any, Any]", config)
    leaves = flatten(dict(fields), prefix) if any("." in str(key) for key in fields) else {}
    for key, value in fields.items():
        paths = _spell(str(key), prefix, leaves)
        if any(path in keys for path in paths):
            kept[key] = value
        elif isinstance(value, Mapping):
            for path in paths:
                if any(one.startswith(f"{path}.") for one in keys):
                    part = pick_keys(cast("Any", value), keys, path)
                    if part:
                        kept[key] = part
    return kept


def _spell(key: str, prefix: str, leaves: Collection[str]) -> list[str]:
    """Return the dotted paths by which users may refer to a key."""
    before = f"{prefix}." if prefix else ""
    if "." not in key:
        return [before + key]
    quoted = f'{before}"{key}"'
    is_quoted = any(leaf == quoted or leaf.startswith(f"{quoted}.") for leaf in leaves)
    return [quoted] if is_quoted else [quoted, before + key]
