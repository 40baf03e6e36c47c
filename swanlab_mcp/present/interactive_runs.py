"""Describe the runs in an interactive chart: their differing settings and their results."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swanlab_mcp.analysis.differences import find_varying, flatten, freeze, is_setting
from swanlab_mcp.core.records import to_json_value
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.operations.hiding import Hide, make_hide
from swanlab_mcp.present.plot_lines import Line, choose_value

__all__ = ["describe_runs"]

_MOST_KEYS = 6  # at most this many axes fit side by side


def describe_runs(lines: Sequence[Line], names: Sequence[str], clean: Callable[[str], str]) -> dict[str, Any]:
    """Return each experiment's values for the settings that differ, and its best value for each metric.

    If it is unknown whether lower or higher is better, the last value is used. `lines` contains the experiments' lines,
    and `names` contains the experiments' names in the same order.
    """
    experiments = {line.experiment.ref: line.experiment for line in lines}
    configs = [flatten(one.found.profile.get("config")) for one in experiments.values()]
    keys = [key for key in find_varying(configs) if is_setting(key) and _has_several(configs, key)][:_MOST_KEYS]
    hide = make_hide()
    metrics = dict.fromkeys(line.key for line in lines)
    results: dict[tuple[ExperimentRef, str], float] = {
        (line.experiment.ref, line.key): choose_value(line) for line in lines
    }
    best = {line.key: line.row.best or "" for line in lines if math.isfinite(results[line.experiment.ref, line.key])}
    return {
        "keys": [clean(key) for key in keys],
        "metrics": [{"key": clean(key), "best": best.get(key, "")} for key in metrics],
        "rows": [
            {
                "name": name,
                "config": [_show(config, key, clean, hide) for key in keys],
                "values": [to_json_value(results.get((ref, key))) for key in metrics],
            }
            for (ref, name, config) in zip(experiments, names, configs, strict=True)
        ],
    }


def _has_several(configs: Sequence[Mapping[str, Any]], key: str) -> bool:
    return len({freeze(config[key]) for config in configs if key in config}) > 1


def _show(config: Mapping[str, Any], key: str, clean: Callable[[str], str], hide: Hide) -> Any:
    value = hide(config.get(key), key)
    if value is None or isinstance(value, bool | int | float):
        return to_json_value(value)
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
