"""Find missing or ambiguous information that will make it hard to answer later questions about an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from swanlab_mcp.analysis.deciding import Curve, Roles
from swanlab_mcp.analysis.differences import flatten, freeze, is_result, is_seed, is_setting
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.thresholds import DEFAULTS

__all__ = ["Lack", "LackKind", "check_config", "check_curves", "find_namesakes"]

LackKind = Literal["no config", "no seed", "results in config", "no validation", "no common steps", "same names"]


# rules and words for metrics that usually measure new outputs or episodes, even if the key names no split
_RESULTS = frozenset({"distance to the truth", "overlap or similarity", "score"})
_RESULT_WORDS = frozenset({"ap", "m ap", "elo", "success", "win rate"})


class Lack(NamedTuple):
    """Missing or ambiguous information. `names` contains the affected config keys, metrics or experiments."""

    kind: LackKind
    names: Sequence[str] = ()


def check_config(config: Any, logged: Iterable[str] = (), command: str = "") -> list[Lack]:
    """Check whether a config is empty, lacks a seed, or contains results.

    A seed in the command is sufficient. A config key that is also a logged metric counts as a result.
    """
    flat = flatten(config)
    if not flat:
        return [Lack("no config")]
    found: list[Lack] = []
    if "seed" not in command.casefold() and not any(is_seed(key) for key in flat):
        found.append(Lack("no seed"))
    metrics = {key for key in logged if describe_key(key).direction}
    results = [key for key, value in flat.items() if _is_number(value) and (is_result(key) or key in metrics)]
    if results:
        found.append(Lack("results in config", results))
    return found


def check_curves(curves: Sequence[Curve], roles: Roles, *, is_over: bool) -> list[Lack]:
    """Check whether an ended experiment has no validation metric, or no training points at its validation steps."""
    if not is_over:
        return []
    trained = [one for one in roles.training if len(one.steps) >= DEFAULTS.fewest_points]
    if roles.is_policy or not trained:
        return []
    if not any(curve.is_held_out or curve in roles.held_out or _may_be_held_out(curve) for curve in curves):
        return [Lack("no validation")]
    for one in roles.held_out:
        longest = max(trained, key=lambda curve: len(curve.steps))
        is_known = one.is_whole and longest.is_whole and len(one.steps) >= DEFAULTS.few_points
        if is_known and not {*one.steps}.intersection(longest.steps):
            return [Lack("no common steps", (longest.key, one.key))]
    return []


def _may_be_held_out(curve: Curve) -> bool:
    kind = curve.kind
    return not kind.split and (kind.rule in _RESULTS or kind.word in _RESULT_WORDS)


def find_namesakes(name: str, config: Any, others: Iterable[tuple[str, str, Any]]) -> list[Lack]:
    """Find other experiments that have the same name but different settings.

    `others` contains (name, id, config) tuples.
    """
    same = [(cuid, settings) for other, cuid, settings in others if other == name and settings is not config]
    own: Mapping[str, str] = _get_settings(config) if same else {}
    alike = [cuid for cuid, settings in same if _get_settings(settings) != own]
    return [Lack("same names", alike)] if alike else []


def _get_settings(config: Any) -> Mapping[str, str]:
    return {key: freeze(value) for key, value in flatten(config).items() if is_setting(key)}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
