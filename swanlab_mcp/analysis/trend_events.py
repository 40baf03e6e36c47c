"""Find events in the trends of an experiment's curves, such as overfitting, divergence and collapse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Literal

from swanlab_mcp.analysis.curves import is_wide, outline
from swanlab_mcp.analysis.deciding import Curve, Roles
from swanlab_mcp.analysis.events import Event, Severity, find_chance_classes
from swanlab_mcp.analysis.policy import find_falls
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.analysis.trends import Worsening, find_worsening, has_improved, measure_drift, measure_trend

__all__ = ["Trends"]


class Trends:
    """The trends of an experiment's curves, each computed at most once."""

    def __init__(self, roles: Roles, curves: Sequence[Curve]) -> None:
        self._roles = roles
        self._curves = curves
        self._broken = {curve.key for curve in curves if not math.isfinite(curve.values[-1])}
        self._worse: dict[str, Worsening | None] = {}
        self._improved: dict[str, bool] = {}

    def worsens(self, curve: Curve) -> Worsening | None:
        if curve.key in self._broken and len(curve.costs) < DEFAULTS.fewest_points:
            return None
        if curve.key not in self._worse:
            course = curve.course if len(curve.costs) >= DEFAULTS.fewest_points else None
            self._worse[curve.key] = find_worsening(curve.finite_steps, curve.costs, DEFAULTS, course)
        return self._worse[curve.key]

    def improves(self, curve: Curve) -> bool:
        """Return whether a curve improved noticeably at any time."""
        if curve.key not in self._improved:
            self._improved[curve.key] = self._has_improved(curve)
        return self._improved[curve.key]

    def _has_improved(self, curve: Curve) -> bool:
        if len(curve.costs) < DEFAULTS.fewest_points:
            return len(curve.costs) > 1 and measure_trend([-cost for cost in curve.costs]) > 1
        if not has_improved(curve.costs, DEFAULTS, curve.course):
            return False
        if curve.kind.role not in ("loss", "error") or is_wide(curve.costs):
            return True
        gain = max(curve.course.first, curve.course.levels[0]) - curve.course.best
        return gain > DEFAULTS.flat_share * abs(curve.course.first)

    @property
    def holds(self) -> bool:
        """Whether at least one held-out metric improved and none worsened."""
        held_out = self._roles.held_out
        return any(map(self.improves, held_out)) and not any(map(self.worsens, held_out))

    def is_doubtful(self, curve: Curve) -> bool:
        """Return whether autocorrelated noise could explain the improvement of a curve without a clear trend."""
        if len(curve.costs) < DEFAULTS.fewest_points or not self.improves(curve):
            return False
        course = curve.course
        gain = max(course.first, course.levels[0]) - course.best
        middle = course.levels[0] / 2 + course.best / 2
        half = next(index for index, level in enumerate(course.levels, 1) if level <= middle)
        # if half of the gain came quickly, noise had only that short time to drift
        limits = (
            DEFAULTS.learned_drift * measure_drift(course.medians, len(course.medians)),
            2 * DEFAULTS.learned_drift * measure_drift(course.medians, half),
        )
        if gain > min(limits):
            return False
        return measure_trend([-value for value in course.medians]) <= DEFAULTS.learned_trend

    def find_events(self) -> list[Event]:
        flat = self._find_never_learned()
        keys = {key for event in flat for key in event.keys}
        found = flat
        for curve in self._roles.rewards:
            found += [] if curve.key in keys else self._judge_reward(curve)
        for curve in self._roles.held_out:
            found += [] if curve.key in keys else self._judge_held_out(curve)
        for curve in () if self._roles.is_policy else self._roles.training:
            found += [] if curve.key in keys else self._judge_training(curve)
        for curve in (*self._roles.parts, *(self._roles.training if self._roles.is_policy else ())):
            worse = self.worsens(curve)
            if worse and not self._roles.is_policy:
                found.append(_describe(curve, worse, "worsening", "info"))
        return found

    def list_too_few(self, curves: Sequence[Curve]) -> list[tuple[str, int]]:
        """Return (key, number of points) for metrics that should decide the verdict but have too few points."""
        deciding = {curve.key: curve for curve in self._roles.deciding}
        single = [
            curve
            for curve in curves
            if curve.is_held_out and len(curve.steps) == 1 and curve.kind.role in ("loss", "error", "quality", "reward")
        ]
        found: list[tuple[str, int]] = []
        for curve in (*deciding.values(), *single):
            count = len(curve.costs)
            is_clear = count >= DEFAULTS.few_points and self.improves(curve)
            if count < DEFAULTS.fewest_points and not is_clear and not self.worsens(curve):
                found.append((curve.key, count))
        return found

    def _find_never_learned(self) -> list[Event]:
        """Return events if rewards show that nothing was learned, falling back to training losses or other metrics."""
        roles = self._roles
        losses = [curve for curve in roles.training if curve.kind.role in ("loss", "error")]
        rewards = [*roles.rewards, *(curve for curve in roles.held_out if curve.kind.role == "reward")]
        judged = rewards or losses or list(roles.held_out) or list(roles.training)
        judged = [
            curve
            for curve in judged
            if curve.kind.must_improve and len(curve.costs) >= DEFAULTS.flat_points and curve.key not in self._broken
        ]
        others = (*roles.held_out, *(curve for curve in roles.training if curve.kind.role == "quality"))
        if not judged or any(self.improves(curve) for curve in (*judged, *others)):
            return self._find_no_generalisation()
        if any(map(_starts_good, self._curves)):
            return []
        return [
            _describe_rise(curve) if curve.kind.role != "reward" and _rises(curve) else _describe_flat(curve)
            for curve in judged
        ]

    def _find_no_generalisation(self) -> list[Event]:
        """Return events if training improved but no held-out metric did.

        The event is a problem if the held-out metric is constant, or if it is a quality metric that never rises above 0
        by more than noise can explain. Otherwise, the event is a warning, and the training loss must also have halved.
        """
        roles = self._roles
        held_out = [curve for curve in roles.held_out if len(curve.costs) >= DEFAULTS.few_points]
        if roles.is_policy or not held_out or any(map(self.improves, held_out)) or any(map(_starts_good, held_out)):
            return []
        is_likely_better = any(map(_starts_worse, held_out))
        found: list[Event] = []
        for curve in held_out:
            if curve.is_constant or _stays_at_zero(curve):
                found.append(_describe_flat(curve, "stuck"))
                continue
            if is_likely_better:
                continue
            pair = roles.pairs.get(curve.key)
            if curve.kind.role == "quality":
                pair = next((one for one in roles.training if one.kind.role == "loss"), None)
                pair = pair if len(curve.costs) >= DEFAULTS.fewest_points else None
            if pair is None or self.worsens(curve) or min(pair.costs) < 0:
                continue
            start = [cost for step, cost in zip(pair.finite_steps, pair.costs, strict=True) if step <= curve.steps[0]]
            before = median(start[-DEFAULTS.smoothing :] or pair.costs[:1])
            after = median(pair.costs[-DEFAULTS.smoothing :])
            if after < DEFAULTS.halved * before:
                facts = {"first": curve.values[0], "last": curve.values[-1], "pair": pair.key}
                facts |= {"pair_first": before, "pair_last": after}
                event = Event("no_generalisation", "warning", curve.finite_steps[0], "no_generalisation", facts=facts)
                found.append(replace(event, keys=(curve.key,)))
        return found

    def _judge_reward(self, curve: Curve) -> list[Event]:
        if len(curve.costs) < DEFAULTS.fewest_points:
            return []
        worse = self.worsens(curve)
        if worse and worse.lost >= DEFAULTS.collapse_share:
            return [_describe(curve, worse, "collapse", "problem")]
        falls = find_falls(curve.course) if len(curve.costs) >= DEFAULTS.unstable_points else []
        if len(falls) >= DEFAULTS.unstable_falls:
            course = curve.course
            facts = {"best": curve.sign * course.best, "last": curve.sign * course.final, "count": len(falls)}
            step = curve.finite_steps[min(len(curve.costs) - 1, falls[0] * course.width)]
            return [Event("unstable", "warning", step, "unstable", (curve.key,), facts=facts)]
        return []

    def _judge_held_out(self, curve: Curve) -> list[Event]:
        worse = self.worsens(curve)
        if worse is None:
            return []
        if self._roles.is_policy:
            return [_describe(curve, worse, "collapse", "problem")] if worse.lost >= DEFAULTS.collapse_share else []
        how: Severity = "info" if self._is_slight(curve, worse) else "problem"
        pair = self._roles.pairs.get(curve.key)
        if pair is None:
            return [_describe(curve, worse, "worsening", how)]
        level, final, noise = _compare_training(pair, worse)
        losses = [one.key for one in self._roles.training if one.kind.role in ("loss", "error")]
        if final > level + noise or self._broken.intersection(losses):
            return [_describe(curve, worse, "divergence", how)]
        event = _describe(curve, worse, "overfitting", how)
        more = {"pair": pair.key, "pair_last": pair.sign * pair.costs[-1], "pair_improves": final < level - noise}
        return [replace(event, facts={**event.facts, **more})]

    def _is_slight(self, curve: Curve, worse: Worsening) -> bool:
        """Return whether other held-out metrics outweigh a worsening.

        At least one held-out metric of the opposite kind (loss or quality) must have improved, and none may have
        worsened. If a loss worsened, its rise must be small, or it must be one component of the loss while another
        component is still good. If a quality metric worsened, its relative drop must be small.
        """
        others = [one for one in self._roles.held_out if (one.kind.role == "loss") != (curve.kind.role == "loss")]
        if not any(self.improves(one) for one in others) or any(map(self.worsens, others)):
            return False
        change = abs(worse.final - worse.best_value) / (abs(worse.best_value) or math.inf)
        if curve.kind.role == "loss":
            parts = [one for one in self._roles.held_out if one.kind.role == "loss" and one is not curve]
            if not curve.kind.is_total and any(self.improves(one) and not self.worsens(one) for one in parts):
                return True
            return max(worse.lost, change) < DEFAULTS.slight_share
        return change < DEFAULTS.worse_share

    def _judge_training(self, curve: Curve) -> list[Event]:
        worse = self.worsens(curve)
        if worse is None:
            return []
        if curve.kind.role in ("loss", "error"):
            outvoted = [one for one in self._roles.held_out if self.improves(one) and not self.worsens(one)]
        else:
            # training minimises the loss, and a quality metric on the same data follows the loss; if it does not, the
            # metric was measured on other data
            is_named = curve.kind.split != "" or bool(self._roles.held_out)
            outvoted = [one for one in self._roles.training if one.kind.role == "loss" and self.improves(one)]
            outvoted = [one for one in outvoted if is_named and not self.worsens(one)]
        is_harmless = bool(outvoted) or not curve.kind.must_improve
        return [_describe(curve, worse, "divergence", "info" if is_harmless else "problem")]


def _compare_training(pair: Curve, worse: Worsening) -> tuple[float, float, float]:
    """Return the training metric's level at the held-out metric's best step, its final level, and its noise."""
    before = [cost for step, cost in zip(pair.finite_steps, pair.costs, strict=True) if step <= worse.best_step]
    level = median(before[-DEFAULTS.smoothing :]) if before else pair.costs[0]
    final = median(pair.costs[-DEFAULTS.smoothing :])
    noise = DEFAULTS.worse_sigmas * outline(pair.costs).noise if len(pair.costs) >= DEFAULTS.fewest_points else 0.0
    return level, final, noise


def _describe(
    curve: Curve, worse: Worsening, kind: Literal["overfitting", "divergence", "worsening", "collapse"], how: Severity
) -> Event:
    facts = {
        "best": curve.sign * worse.best_value,
        "best_step": worse.best_step,
        "last": curve.sign * worse.final,
        "falls": curve.sign < 0,
    }
    last = curve.finite_steps[-1]
    rule = f"worse_{worse.rule}"
    return Event(kind, how, worse.onset_step, rule, (curve.key,), end=last, facts=facts)


def _starts_good(curve: Curve) -> bool:
    """Return whether an accuracy was already high at the start, as with a pretrained model."""
    if curve.kind.role != "quality" or curve.kind.direction != "max" or not curve.costs:
        return False
    return -curve.course.levels[0] >= DEFAULTS.trained_accuracy and -min(curve.costs) <= 1


def _rises(curve: Curve) -> bool:
    """Return whether a metric that never improved kept getting worse until the end."""
    medians = curve.course.medians
    quarter = max(1, len(medians) // 4)
    return (
        measure_trend(medians) > DEFAULTS.learned_trend
        and measure_trend(medians[quarter:]) > 0
        and median(medians[-quarter:]) > median(medians[:quarter])
    )


def _describe_rise(curve: Curve) -> Event:
    course = curve.course
    index = min(len(curve.costs) - 1, course.lowest * course.width)
    best = min(range(len(curve.costs)), key=lambda index: curve.costs[index])
    final = median(curve.costs[-max(1, course.width * DEFAULTS.smoothing) :])
    worse = Worsening(curve.finite_steps[best], curve.costs[best], curve.finite_steps[index], final, math.inf, "start")
    return _describe(curve, worse, "divergence", "problem")


def _starts_worse(curve: Curve) -> bool:
    """Return whether almost all values are better than the first few, which makes a gain likely but not certain."""
    if len(curve.costs) < DEFAULTS.fewest_points:
        return False
    first, later = curve.costs[: DEFAULTS.smoothing // 2 + 1], curve.costs[DEFAULTS.smoothing // 2 + 1 :]
    return sum(cost < median(first) for cost in later) >= DEFAULTS.worse_order * len(later)


def _stays_at_zero(curve: Curve) -> bool:
    """Return whether a quality metric is so noisy that it cannot be distinguished from 0."""
    if curve.kind.role != "quality" or curve.sign > 0 or len(curve.costs) < DEFAULTS.flat_points:
        return False
    return max(0.0, -curve.course.best) <= DEFAULTS.zero_sigmas * curve.course.noise


def _describe_flat(curve: Curve, rule: str = "never_learned") -> Event:
    course = outline(curve.costs)
    classes = find_chance_classes(course.final) if curve.kind.role == "loss" and course.final > 0 else None
    # if the curve passed through the chance level, the match is a coincidence
    classes = classes if classes and classes == find_chance_classes(course.best) else None
    facts = {
        "first": curve.sign * curve.costs[0],
        "best": curve.sign * course.best,
        "last": curve.sign * course.final,
        "classes": classes,
    }
    return Event("never_learned", "problem", curve.finite_steps[0], rule, (curve.key,), facts=facts)
