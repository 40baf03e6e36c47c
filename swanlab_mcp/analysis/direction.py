"""Word what `metric_catalogue` knows of a key, for callers that do not read it themselves yet."""

from __future__ import annotations

from typing import Literal, NamedTuple

from swanlab_mcp.analysis.metric_catalogue import MetricKind, describe_key, find_pairs, split_words
from swanlab_mcp.core.i18n import say

__all__ = [
    "Direction",
    "Role",
    "find_pairs",
    "find_role",
    "has_no_trend",
    "infer_direction",
    "is_validation",
    "split_words",
]

Role = Literal[
    "loss", "quality", "learning_rate", "gradient_norm", "throughput", "gpu_memory", "gpu_load", "host_memory", ""
]
_ROLES: dict[str, Role] = {
    "loss": "loss",
    "error": "loss",
    "quality": "quality",
    "reward": "quality",
    "speed": "throughput",
    "learning_rate": "learning_rate",
    "gradient_norm": "gradient_norm",
    "gpu_memory": "gpu_memory",
    "gpu_load": "gpu_load",
    "host_memory": "host_memory",
}


class Direction(NamedTuple):
    """`mode` is "min", "max", or "" if the key leaves it open; `reason` says why; `is_speed`: so many per time."""

    mode: Literal["min", "max", ""]
    reason: str
    is_speed: bool = False


def infer_direction(key: str) -> Direction:
    """Return whether small or large values of a metric are better, and the reason as a sentence."""
    kind = describe_key(key)
    return Direction(kind.direction, _give_reason(kind), kind.rule == "per time")


def find_role(key: str) -> Role:
    """Return what a key measures, "" if that is unknown or cannot be judged."""
    kind = describe_key(key)
    if kind.role == "adversary" or kind.rule == "policy-gradient loss":
        return "loss"
    return _ROLES.get(kind.role, "")


def has_no_trend(key: str) -> bool:
    """Return whether a metric of this name need not improve when all is well."""
    return not describe_key(key).must_improve


def is_validation(key: str) -> bool:
    """Return whether a key is about data that was not trained on."""
    return describe_key(key).split in ("validation", "test")


def _give_reason(kind: MetricKind) -> str:
    if not kind.word:
        return say("no word of the key tells")
    if kind.rule == "per time":
        return say("'per {unit}' is a speed: larger is better", unit=kind.word.removeprefix("per "))
    if kind.rule == "time per unit":
        first, _, second = kind.word.partition(" per ")
        return say("'{first} per {second}' is a time: smaller is better", first=first, second=second)
    if kind.direction == "min":
        return say("'{word}' in the key: smaller is better", word=kind.word)
    if kind.direction == "max":
        return say("'{word}' in the key: larger is better", word=kind.word)
    return say("'{word}' tells neither", word=kind.word)
