"""Detect events in single curves: NaN or infinite values, spikes, shocks, plateaus and learning rate jumps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from swanlab_mcp.analysis.deciding import Curve, Roles
from swanlab_mcp.analysis.events import Event, Severity, find_jumps, find_non_finite
from swanlab_mcp.analysis.spikes import find_shock, find_spikes
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.analysis.trends import find_plateau

__all__ = ["find_non_finites", "find_rate_jumps", "find_shapes"]

# if a metric with one of these roles fails, the entire experiment has failed
_VITAL = ("loss", "error", "quality", "reward", "entropy", "gradient_norm", "learning_rate", "adversary")


def find_non_finites(curves: Sequence[Curve]) -> list[Event]:
    """Return an event for each curve that contains NaN or infinite values.

    The severity depends on the meaning of the metric key.
    """
    found: list[Event] = []
    for curve in curves:
        event = find_non_finite(curve.steps, curve.values)
        if event is None:
            continue
        severity = event.severity
        starts_late = math.isfinite(sum(curve.values[event.facts["count"] :])) and event.step == curve.steps[0]
        is_vital = curve.kind.role in _VITAL or (curve.is_held_out and curve.kind.role == "")
        if event.facts["never_computed"]:
            severity = "warning" if is_vital and curve.kind.role != "learning_rate" else "info"
        elif starts_late or (severity == "warning" and curve.kind.role in ("gradient_norm", "learning_rate")):
            # either no episode has ended yet, or mixed-precision training is still adjusting its loss scale
            severity = "info"
        elif not is_vital:
            severity = "warning" if severity == "problem" else "info"
        found.append(replace(event, severity=severity, keys=(curve.key,)))
    return found


def find_shapes(roles: Roles, *, holds: bool = False) -> list[Event]:
    """Return events for spikes, shocks and plateaus.

    `holds` is true if a held-out metric improved and none got worse. Shocks in training metrics are harmless in that
    case.
    """
    found: list[Event] = []
    deciding = {curve.key for curve in roles.deciding}
    for curve in (*roles.deciding, *roles.parts, *roles.information):
        role = curve.kind.role
        if role not in ("loss", "error", "quality", "reward", "gradient_norm") or curve.is_constant:
            continue
        if role in ("loss", "error") and (shock := find_shock(curve.finite_steps, curve.costs, DEFAULTS, curve.course)):
            is_grave = curve.key in deciding and not roles.is_policy and (curve.is_held_out or not holds)
            is_grave = is_grave and shock.is_long
            how: Severity = "warning" if is_grave else "info"
            facts = {"before": curve.sign * shock.before, "peak": curve.sign * shock.value}
            event = Event("shock", how, shock.start, "shock", (curve.key,), shock.peak, shock.end, facts)
            found.append(event)
        spike = find_spikes(curve.finite_steps, curve.costs)
        if spike:
            facts = {"height": spike.height, "value": curve.sign * spike.value, "count": spike.number}
            facts["below"] = curve.sign < 0
            found.append(Event("spike", "info", spike.step, "spike", (curve.key,), spike.step, facts=facts))
        if role in ("loss", "error") and (
            plateau := find_plateau(curve.finite_steps, curve.costs, DEFAULTS, curve.course)
        ):
            facts = {"level": curve.sign * plateau.level, "share": plateau.share}
            found.append(Event("plateau", "info", plateau.step, "plateau", (curve.key,), facts=facts))
    return found


def find_rate_jumps(curve: Curve) -> list[Event]:
    """Return an event for each sudden increase in a learning rate."""
    finite = [(step, value) for step, value in zip(curve.steps, curve.values, strict=True) if math.isfinite(value)]
    steps, values = [step for step, _ in finite], [value for _, value in finite]
    return [replace(event, keys=(curve.key,)) for event in find_jumps(steps, values)]
