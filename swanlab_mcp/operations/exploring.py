"""Find the settings in a project that are associated with the result, and the values that were never tried."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from swanlab_mcp.analysis.config_distances import ConfigSpace, build_space
from swanlab_mcp.analysis.differences import freeze
from swanlab_mcp.analysis.effects import Effect, find_effects
from swanlab_mcp.analysis.leaderboard import Reason
from swanlab_mcp.analysis.noise import compute_mean
from swanlab_mcp.analysis.setting_names import is_bookkeeping, is_known_setting
from swanlab_mcp.analysis.standings import Field
from swanlab_mcp.analysis.untried import Coverage, Uncombined, find_uncombined, measure_coverage
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.models import Experiment
from swanlab_mcp.core.refs import ProjectRef, Scope
from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.operations.finding import Choice
from swanlab_mcp.operations.reached import read_reached
from swanlab_mcp.operations.study import Study

__all__ = ["TriedSettings", "explore", "list_open_settings"]

_VALUES = 6


@dataclass(frozen=True, slots=True)
class TriedSettings:
    """The settings tried in a project, and how strongly they are associated with a metric.

    If the metric's `direction` is unknown (""), the last value is used instead of the best value. `settings` is the
    number of distinct settings; repeats of a setting are averaged. `apart` contains one reason for each experiment that
    has no comparable result. `coverage` contains the values that were tried for each key, and `constant` contains the
    settings that have the same value in all experiments.
    """

    metric: str
    direction: str
    experiments: int
    settings: int
    apart: Sequence[Reason]
    effects: Sequence[Effect]
    coverage: Mapping[str, Coverage]
    uncombined: Sequence[Uncombined]
    constant: Sequence[tuple[str, Any]]
    projects: int = 1


def list_open_settings(space: ConfigSpace) -> list[str]:
    """Return the names of the settings that vary, well-known settings first.

    Bookkeeping keys and keys with secret values are omitted.
    """
    names: list[str] = []
    for name in space.scales:
        values = [row[name] for row in space.rows if name in row]
        key = space.keys[name]
        if not is_bookkeeping(key, values) and all(mask_secrets(value, key) == value for value in values):
            names.append(name)
    return sorted(names, key=lambda name: not is_known_setting(space.keys[name]))


async def explore(
    client: SwanLabClient, ref: Scope, choice: Choice, metric: str, direction: Literal["min", "max", ""]
) -> TriedSettings:
    """Return the settings that were tried, and how strongly they are associated with the metric.

    Effects are computed only from experiments that finished and are not broken. The coverage includes the values from
    all experiments.
    """
    space = await asyncio.to_thread(build_space, [one.profile.get("config") for one in choice.experiments])
    field: Field | None = None
    if metric:
        mode = direction or "min"
        reached = await read_reached(client, ref, choice, metric, "best" if direction else "last")
        study = Study(client, ref, choice, reached, metric)
        await study.check_health(mode, by_state=True)
        field = study.make_field(mode, by_state=True)
    return await asyncio.to_thread(_describe, ref, choice.experiments, space, field, metric, direction)


def _describe(
    ref: Scope,
    experiments: Sequence[Experiment],
    space: ConfigSpace,
    field: Field | None,
    metric: str,
    direction: str,
) -> TriedSettings:
    names = list_open_settings(space)
    homes = ["" if isinstance(ref, ProjectRef) else str(ref.experiment(one.cuid).parent) for one in experiments]
    rows, results, blocks = _average(space, field, homes)
    effects = find_effects(rows, results, names, blocks)
    coverage = {name: measure_coverage([row[name] for row in space.rows if name in row], _VALUES) for name in names}
    constant = [
        (key, space.usual[key])
        for name, key in space.keys.items()
        if name not in space.scales and len({freeze(row[name]) for row in space.rows if name in row}) == 1
    ]
    constant.sort(key=lambda one: not is_known_setting(one[0]))
    return TriedSettings(
        metric,
        direction,
        len(experiments),
        len(rows),
        [reason for reason in field.reasons if reason] if field else [],
        [
            one._replace(key=space.keys[one.key], together=[space.keys[other] for other in one.together])
            for one in effects
        ],
        {space.keys[name]: one for name, one in coverage.items()},
        [_rename(one, space.keys) for one in find_uncombined(space.rows, names)],
        [(key, value) for key, value in constant if mask_secrets(value, key) == value],
        len(set(homes)),
    )


def _average(
    space: ConfigSpace, field: Field | None, homes: Sequence[str]
) -> tuple[list[Mapping[str, Any]], list[float], list[Hashable]]:
    """Return the config, the mean result and the project of each distinct setting.

    If a key was renamed during the project, all configs use the same name for it. The mean is taken over the repeats of
    the setting.
    """
    values: dict[Hashable, tuple[int, list[float]]] = {}
    for setting in field.settings if field else ():
        index = setting.indices[0]
        row = space.rows[index]
        key = homes[index], tuple((name, freeze(row[name])) for name in space.scales if name in row)
        values.setdefault(key, (index, []))[1].extend(field.get_values(setting) if field else ())
    indices = [index for index, _ in values.values()]
    results = [compute_mean(several) for _, several in values.values()]
    return [space.rows[index] for index in indices], results, [homes[index] for index in indices]


def _rename(pair: Uncombined, keys: Mapping[str, str]) -> Uncombined:
    (first, one), (second, two) = pair.first, pair.second
    return pair._replace(first=(keys[first], one), second=(keys[second], two))
