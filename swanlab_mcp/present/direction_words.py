"""Explain why smaller or larger values of a metric are better."""

from __future__ import annotations

from swanlab_mcp.analysis.metric_catalogue import MetricKind
from swanlab_mcp.core.i18n import gettext

__all__ = ["describe_direction"]


def describe_direction(kind: MetricKind) -> str:
    """Return the reason why smaller or larger values of a metric are better, or "" if unknown."""
    if kind.rule == "per time":
        return gettext("'per {unit}' is a speed: larger is better", unit=kind.word.removeprefix("per "))
    if kind.rule == "time per unit":
        first, _, second = kind.word.partition(" per ")
        return gettext("'{first} per {second}' is a time: smaller is better", first=first, second=second)
    if kind.direction == "min":
        return gettext("'{word}' in the key: smaller is better", word=kind.word)
    return gettext("'{word}' in the key: larger is better", word=kind.word) if kind.direction == "max" else ""
