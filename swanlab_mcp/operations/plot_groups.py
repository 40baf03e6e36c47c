"""Group the experiments in a plot, either by a config key or as repeats that differ only in their seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from swanlab_mcp.analysis.differences import find_varying, flatten, freeze, identify_settings, is_setting
from swanlab_mcp.analysis.setting_names import find_same_settings
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Experiment
from swanlab_mcp.core.refs import find_near_names
from swanlab_mcp.core.untrusted import quote

__all__ = ["REPEATS", "PlotGroup", "find_config_values", "group_experiments"]

REPEATS = "seed"
_NAMED_BY = 3  # the name of a setting contains at most this many keys


class PlotGroup(NamedTuple):
    """A group of experiments.

    `pairs` contains the config keys that define the group, with their values ("" if an experiment lacks the key).
    `indices` contains the indices of the experiments in the group.
    """

    pairs: Sequence[tuple[str, Any]]
    indices: Sequence[int]


def group_experiments(experiments: Sequence[Experiment], by: str) -> list[PlotGroup]:
    """Return the groups, ordered by their first members.

    If `by` is "seed", each group contains the repeats of one setting. Raises NotFound if no experiment has the config
    key.
    """
    configs = [flatten(one.profile.get("config")) for one in experiments]
    if by != REPEATS:
        values = find_config_values(experiments, by)
        return [
            PlotGroup([(by.removeprefix("config."), values[indices[0]])], indices)
            for indices in _collect([freeze(value) for value in values])
        ]
    # if no settings were recorded, there is no evidence that two experiments are repeats
    codes = [index if code is None else code for index, code in enumerate(identify_settings(configs))]
    groups = _collect(codes)
    pairs = _name_settings([configs[indices[0]] for indices in groups])
    return [PlotGroup(one, indices) for one, indices in zip(pairs, groups, strict=True)]


def _name_settings(configs: Sequence[Mapping[str, Any]]) -> list[list[tuple[str, Any]]]:
    """For each config, return the values that differ from the most common values, with their keys."""
    columns: dict[tuple[int, ...], str] = {}
    for key in find_varying(configs):
        if is_setting(key):
            codes = [freeze(config.get(key, "")) for config in configs]
            # if several keys always change together, only the first of them is used
            columns.setdefault(tuple(map(codes.index, codes)), key)
    usual: dict[str, int] = {}
    for column, key in columns.items():
        index, count = Counter(column).most_common(1)[0]
        usual[key] = index if count > 1 else -1
    named: list[list[tuple[str, Any]]] = []
    for index, config in enumerate(configs):
        keys = [key for column, key in columns.items() if column[index] != usual[key]] or list(usual)[:1]
        named.append([(key, config.get(key, "")) for key in keys[:_NAMED_BY]])
    return named


def find_config_values(experiments: Sequence[Experiment], name: str) -> list[Any]:
    """Return each experiment's value of a config key, or "" if the experiment lacks the key.

    Raises NotFound if no experiment has the key.
    """
    key = name.removeprefix("config.")
    configs = [flatten(one.profile.get("config")) for one in experiments]
    if not any(key in config for config in configs):
        known = list(dict.fromkeys(one for config in configs for one in config))
        near = find_same_settings(key, known) or find_near_names(key, known) or known[:10]
        raise NotFound(
            gettext("No experiment has a config key {key}.", key=quote(key)),
            hint=gettext("Similar names: {names}.", names=", ".join(map(quote, near))) if near else "",
        )
    return [config.get(key, "") for config in configs]


def _collect(codes: Sequence[Any]) -> list[list[int]]:
    groups: dict[Any, list[int]] = {}
    for index, code in enumerate(codes):
        groups.setdefault(code, []).append(index)
    return list(groups.values())
