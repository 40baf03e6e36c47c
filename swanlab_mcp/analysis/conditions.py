"""Parse wait conditions, and find the experiments that meet them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from swanlab_mcp.core.models import Experiment, MetricSummary
from swanlab_mcp.core.records import read_time

__all__ = ["PLAIN", "Condition", "Met", "find_met", "parse_condition"]

PLAIN = ("finished", "crashed", "non_finite", "stalled", "any_new")
_STATES = {"finished": ("FINISHED",), "crashed": ("CRASHED", "ABORTED")}
_NUMBERED = re.compile(r"(?P<kind>step|stalled)\s*:\s*(?P<value>[0-9]{1,15})")
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_METRIC = re.compile(r"\s*(?P<key>.+?)\s*(?P<op>>=|<=|>|<)\s*(?P<value>[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")


class Condition(NamedTuple):
    """A condition to wait for, parsed from `text`.

    `kind` is "finished", "crashed", "non_finite", "stalled", "any_new", "step" or "metric". If `kind` is "stalled",
    `value` is the number of usual logging intervals that must pass without a new point. If `value` is 0, stalls are
    detected by the same rule as in a diagnosis.
    """

    text: str
    kind: str
    key: str = ""
    op: str = ""
    value: float = 0.0


class Met(NamedTuple):
    """An experiment that meets a condition.

    `key`, `value` and `step` describe the metric that met the condition, if any. `silent` is the number of seconds
    since a stalled experiment logged its last point.
    """

    condition: Condition
    experiment: Experiment
    key: str = ""
    value: float | None = None
    step: int | None = None
    silent: float | None = None


def parse_condition(text: str) -> Condition | None:
    """Parse a condition such as "finished", "step:1000" or "val/acc >= 0.9", or return `None` for any other format.

    "step >= 1000" always refers to the step, even if a metric is named "step". If a trainer logs the step as a metric,
    the metric has the same value as the step.
    """
    plain = text.strip().casefold()
    if plain in PLAIN:
        return Condition(text, plain)
    numbered = _NUMBERED.fullmatch(plain)
    if numbered:
        return Condition(text, numbered["kind"], value=float(numbered["value"]))
    found = _METRIC.fullmatch(text)
    if not found:
        return None
    try:
        key, op, value = found["key"], found["op"], float(found["value"])
    except ValueError:
        return None
    if key.casefold() == "step" and op.startswith(">"):
        return Condition(text, "step", value=value if op == ">=" else math.floor(value) + 1)
    return Condition(text, "metric", key, op, value)


def find_met(
    condition: Condition, experiment: Experiment, summary: Mapping[str, MetricSummary], newest: int
) -> Met | None:
    """Return how an experiment meets a condition, or `None` if it does not.

    An experiment is new if it was created after `newest` (Unix milliseconds). A metric condition is checked against the
    metric's last value and, if the summary contains it, the metric's minimum or maximum. Stalls are not checked here,
    because checking them requires the times of the points.
    """
    if condition.kind in _STATES:
        return Met(condition, experiment) if experiment.state in _STATES[condition.kind] else None
    if condition.kind == "any_new":
        created = read_time(experiment.createdAt)
        return Met(condition, experiment) if created and round(1000 * created.timestamp()) > newest else None
    if condition.kind == "non_finite":
        return _find_non_finite(condition, experiment, summary)
    if condition.kind == "step":
        reached = [(one.step, key) for key, one in summary.items() if one.step is not None and not key.startswith("__")]
        last, key = max(reached, default=(-1, ""))
        return Met(condition, experiment, key, step=last) if last >= condition.value else None
    one = summary.get(condition.key)
    if one is None:
        return None
    extreme = one.max if condition.op.startswith(">") else one.min
    candidates = [(extreme.value, extreme.step)] if extreme else []
    for value, step in [*candidates, (one.value, one.step)]:
        if value is not None and _COMPARED[condition.op](value, condition.value):
            return Met(condition, experiment, condition.key, value, step)
    return None


def _find_non_finite(condition: Condition, experiment: Experiment, summary: Mapping[str, MetricSummary]) -> Met | None:
    for key, one in summary.items():
        if key.startswith("__"):
            continue
        if one.non_finite or (one.value is not None and not math.isfinite(one.value)):
            return Met(condition, experiment, key, one.value, one.first_non_finite_step or one.step)
    return None
