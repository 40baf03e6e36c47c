"""Find possible causes of an experiment's events, and collect the evidence for each cause."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from swanlab_mcp.analysis.causes import ErrorText, find_lacking_memory, name_cause
from swanlab_mcp.analysis.deciding import Curve
from swanlab_mcp.analysis.differences import flatten
from swanlab_mcp.analysis.events import Event
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.trends import has_improved

__all__ = ["Evidence", "Explanation", "explain", "find_rates"]

Confidence = Literal["high", "medium", "low"]
_CONFIDENCE: tuple[Confidence, ...] = ("high", "medium", "low")
_EXPLODED = 1e3
_GROWN = 10
_NEAR = 0.05  # share of the steps by which the detected start of a divergence may be off


@dataclass(frozen=True, slots=True)
class Evidence:
    """An observation that supports a cause."""

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Explanation:
    """A possible cause, with its confidence and the supporting evidence."""

    cause: str
    confidence: Confidence
    evidence: tuple[Evidence, ...]


def explain(
    curves: Sequence[Curve],
    events: Sequence[Event],
    *,
    state: str,
    rates: Mapping[str, float],
    error: ErrorText | None = None,
    log_lines: int = 0,
    on_disk: bool = False,
) -> list[Explanation]:
    """Return the possible causes, most likely first.

    `rates` contains the learning rates from the config. `on_disk` is true if the experiment was read from local files.
    This affects how a crash without a recorded error is explained, because only the cloud treats silence as a crash.
    """
    grave = [event for event in events if event.severity != "info"]
    kinds = {event.kind: event for event in reversed(events)}
    kinds |= {event.kind: event for event in reversed(grave)}
    is_grave = {event.kind for event in grave}
    by_key = {curve.key: curve for curve in curves}
    rate = _find_rate(curves, rates)
    found: list[Explanation] = []
    if error:
        found.append(_explain_error(kinds, error))
    if "non_finite" in is_grave:
        found.append(_explain_non_finite(by_key, kinds["non_finite"], rate))
    if "never_learned" in kinds:
        found.append(_explain_never_learned(by_key, kinds["never_learned"], rate))
    if "overfitting" in is_grave:
        event = kinds["overfitting"]
        name = "training_improves" if event.facts["pair_improves"] else "training_level"
        found.append(Explanation("memorises", "medium", (Evidence(name, {"key": event.keys[0]}),)))
    if "divergence" in is_grave:
        found.append(_explain_divergence(kinds, rates))
    if "collapse" in is_grave:
        event = kinds["collapse"]
        signs = [Evidence("event", {"event": kinds[kind]}) for kind in _POLICY_SIGNS if kind in kinds]
        evidence = (Evidence("worsens_from", {"key": event.keys[0], "step": event.step}), *signs)
        found.append(Explanation("policy_collapsed", "medium" if signs else "low", evidence))
    if "gpu_idle" in kinds:
        found.append(Explanation("gpu_waits", "low", (Evidence("event", {"event": kinds["gpu_idle"]}),)))
    if "stalled" in kinds:
        evidence = [Evidence("no_end" if state == "UNKNOWN" else "still_running")]
        evidence.append(Evidence("event", {"event": kinds["stalled"]}))
        if "host_memory_full" in kinds:
            evidence.append(Evidence("host_memory", {"event": kinds["host_memory_full"]}))
        found.append(Explanation("hangs", "medium", tuple(evidence)))
    if state == "CRASHED" and error is None:
        found.append(_explain_silence(curves, log_lines, "unexplained" if on_disk else "silence"))
    return sorted(found, key=lambda one: _CONFIDENCE.index(one.confidence))


_POLICY_SIGNS = ("entropy_collapse", "length_explosion", "all_clipped")


def find_rates(config: Any) -> dict[str, float]:
    """Return the learning rates in a config, by dotted key."""
    return {
        key: float(value)
        for key, value in flatten(config).items()
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and describe_key(key).role == "learning_rate"
    }


def _find_rate(curves: Sequence[Curve], rates: Mapping[str, float]) -> tuple[Evidence, ...]:
    """Return a learning rate as evidence, or an empty tuple if none is known.

    The learning rates in the config take precedence over logged learning rates.
    """
    logged = {
        curve.key: max(values)
        for curve in curves
        if curve.kind.role == "learning_rate" and (values := [value for value in curve.values if math.isfinite(value)])
    }
    first = next(iter((rates or logged).items()), None)
    return (Evidence("rate", {"key": first[0], "value": first[1]}),) if first else ()


def _explain_error(kinds: Mapping[str, Event], error: ErrorText) -> Explanation:
    named = name_cause(error.line)
    memory = find_lacking_memory(error.line)
    evidence = [Evidence("error_line", {"line": error.line})]
    if error.later:
        evidence.append(Evidence("lines_follow", {"count": error.later}))
    if memory == "gpu" and "gpu_memory_full" in kinds:
        evidence.append(Evidence("gpu_memory", {"event": kinds["gpu_memory_full"]}))
    elif memory and "host_memory_full" in kinds:
        evidence.append(Evidence("host_memory", {"event": kinds["host_memory_full"]}))
    if not named:
        return Explanation("unknown_error", "low", tuple(evidence))
    confidence: Confidence = "low" if error.later else "high" if error.frames else "medium"
    return Explanation(f"error_{named}", confidence, tuple(evidence))


def _explain_non_finite(curves: Mapping[str, Curve], event: Event, rate: tuple[Evidence, ...]) -> Explanation:
    if event.facts["never_computed"]:
        return Explanation("never_computed", "medium", (Evidence("all_non_finite", {"key": event.keys[0]}),))
    first = event.step
    for key in sorted(event.keys, key=lambda key: curves[key].kind.role != "loss"):
        curve = curves[key]
        pairs = zip(curve.steps, curve.values, strict=True)
        before = [value for step, value in pairs if step < first and math.isfinite(value)]
        tail = before[-3:]
        usual = sorted(before)[len(before) // 2] if before else 0.0
        if tail and usual and (max(map(abs, tail)) > _EXPLODED * abs(usual) or abs(usual) > 1e9):
            grown = Evidence("value_before", {"key": key, "value": tail[-1], "step": first})
            return Explanation("exploded", "medium", (grown, *rate))
    grown = [key for key, curve in curves.items() if curve.kind.role == "gradient_norm" and _grew(curve, first)]
    if grown:
        return Explanation(
            "gradient_exploded", "medium", (Evidence("rose_tenfold", {"key": grown[0], "step": first}), *rate)
        )
    cause = "single_bad_value" if event.facts["count"] == 1 else "bad_values"
    return Explanation(cause, "low", (Evidence("no_growth", {"step": first}), *rate))


def _grew(curve: Curve, until: int) -> bool:
    pairs = zip(curve.steps, curve.values, strict=True)
    before = [value for step, value in pairs if step <= until and math.isfinite(value)]
    return len(before) > 10 and max(before[-5:]) > _GROWN * sorted(before)[len(before) // 2]


def _explain_never_learned(curves: Mapping[str, Curve], event: Event, rate: tuple[Evidence, ...]) -> Explanation:
    key = event.keys[0]
    curve = curves[key]
    first, last = curve.costs[0], curve.sign * event.facts["last"]
    if curve.kind.role != "reward" and min(curve.costs) == first and last > first + abs(first) * 0.01:
        best = Evidence("best_at_first", {"key": key, "value": curve.sign * first})
        return Explanation("rate_too_high", "medium", (best, *rate))
    classes = event.facts["classes"]
    if classes:
        flat = [
            one.key
            for one in curves.values()
            if one.kind.role == "gradient_norm" and len(one.costs) >= 2 and not has_improved(one.costs)
        ]
        evidence = [Evidence("at_chance", {"key": key, "classes": classes})]
        evidence += [Evidence("also_flat", {"key": flat[0]})] if flat else []
        return Explanation("no_signal", "medium", (*evidence, *rate, Evidence("check_batch")))
    cause = "reward_never_found" if curve.kind.role == "reward" else "flat"
    return Explanation(cause, "low", (Evidence("is_flat", {"key": key}), *rate))


def _explain_divergence(kinds: Mapping[str, Event], rates: Mapping[str, float]) -> Explanation:
    event = kinds["divergence"]
    jump = kinds.get("learning_rate_jump")
    if jump and jump.step <= event.step + _NEAR * ((event.end or event.step) - event.step):
        return Explanation("rate_jumped", "medium", (Evidence("jump_before", {"event": jump, "later": event.step}),))
    rate = next(iter(rates.items()), None)
    evidence = [Evidence("worsens_from", {"key": event.keys[0], "step": event.step})]
    evidence += [Evidence("rate", {"key": rate[0], "value": rate[1]})] if rate else []
    return Explanation("unstable", "low", tuple(evidence))


def _explain_silence(curves: Sequence[Curve], log_lines: int, name: str) -> Explanation:
    steps = [curve.steps[-1] for curve in curves if not curve.key.startswith("__swanlab__")]
    evidence = [Evidence("no_error", {"count": log_lines})]
    evidence += [Evidence("data_stop", {"step": max(steps)})] if steps else []
    return Explanation(name, "medium", tuple(evidence))
