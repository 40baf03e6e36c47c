"""Choose the config keys that deserve a column in a list of experiments."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, cast

from swanlab_mcp.analysis.differences import find_varying, flatten

__all__ = ["MOST_COLUMNS", "ConfigColumns", "choose_columns", "list_keys", "pick_keys"]

MOST_COLUMNS = 8
_NAMED = 8


class ConfigColumns(NamedTuple):
    """The dotted keys to show, most informative first, and the keys left out.

    `varying` counts the other keys that differ; `further` names the first few. `constant` counts the equal keys.
    """

    shown: tuple[str, ...]
    further: tuple[str, ...]
    varying: int
    constant: int


def choose_columns(configs: Sequence[Any], most: int = MOST_COLUMNS) -> ConfigColumns:
    """Return the keys in which configs differ: settings before seeds and paths, most varying first.

    If there are at most `most` keys, all are returned; for a single config, the first `most`.
    """
    flat = [flatten(config) for config in configs]
    known = list_keys(configs)
    if len(known) <= most:
        return ConfigColumns(tuple(known), (), 0, 0)
    differing = find_varying(flat) if len(flat) > 1 else known
    left = differing[most:]
    return ConfigColumns(tuple(differing[:most]), tuple(left[:_NAMED]), len(left), len(known) - len(differing))


def list_keys(configs: Sequence[Any]) -> list[str]:
    """Return the distinct dotted keys of all configs."""
    return list(dict.fromkeys(key for config in configs for key in flatten(config)))


def pick_keys(config: Any, keys: Collection[str], prefix: str = "") -> Any:
    """Return the part of a nested config that these dotted keys name; a key includes everything below it."""
    if not isinstance(config, Mapping):
        return config
    kept: dict[Any, Any] = {}
    for key, value in cast("Mapping[Any, Any]", config).items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if path in keys:
            kept[key] = value
        elif isinstance(value, Mapping) and any(one.startswith(f"{path}.") for one in keys):
            part = pick_keys(cast("Any", value), keys, path)
            if part:
                kept[key] = part
    return kept
