"""Diagnose an experiment from its curves: find events, rate their severity, and name the metrics that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from swanlab_mcp.analysis.curve_events import find_non_finites, find_rate_jumps, find_shapes
from swanlab_mcp.analysis.deciding import Curve, Roles, assign_roles
from swanlab_mcp.analysis.events import Event, Severity, find_due
from swanlab_mcp.analysis.operation import choose_densest, describe_stall, find_hardware, find_pauses
from swanlab_mcp.analysis.policy import find_policy_signs
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.analysis.trend_events import Trends

__all__ = ["Diagnosis", "Judgement", "judge"]

Health = Literal["healthy", "warning", "problem", "not_judged"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The diagnosis of an experiment: its events in step order and the overall verdict (`health`).

    `judged` lists the keys that decided the verdict. `too_few` lists the keys with too few points for a verdict, with
    their number of points. `doubtful` lists the rewards whose improvement may only be autocorrelated noise.
    """

    health: Health
    events: tuple[Event, ...]
    judged: tuple[str, ...]
    too_few: tuple[tuple[str, int], ...]
    is_measured: bool
    improves: bool
    roles: Roles
    doubtful: tuple[str, ...] = ()


class Diagnosis:
    """The events in an experiment's curves. Only a stall depends on the current time, so it is added later."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        self._curves = [curve for curve in curves if curve.steps]
        self._roles = assign_roles(self._curves)
        self._trends = Trends(self._roles, self._curves)
        self._events = self._find_events()
        self._densest = choose_densest(self._curves)
        self._due = find_due(self._densest.times) if self._densest else None
        self._calm = self._rate(self._events)

    def judge(self, *, is_running: bool = False, now: int = 0) -> Judgement:
        """Rate the events. If the experiment is running, `now` is the current time in Unix milliseconds."""
        stall = describe_stall(self._densest, self._due, now) if is_running and self._densest else None
        return self._rate([*self._events, stall]) if stall else self._calm

    def _find_events(self) -> list[Event]:
        curves, roles, trends = self._curves, self._roles, self._trends
        events = [
            *find_non_finites(curves),
            *trends.find_events(),
            *find_shapes(roles, holds=trends.holds),
            *(find_policy_signs(curves)),
            *find_hardware(curves),
            *find_pauses(curves),
        ]
        jumps = [event for curve in curves if curve.kind.role == "learning_rate" for event in find_rate_jumps(curve)]
        worse = [event.step for event in events if event.kind in ("divergence", "shock")]
        # a jump that causes no damage is part of the schedule
        return events + [
            replace(jump, severity="warning") if any(step >= jump.step for step in worse) else jump for jump in jumps
        ]

    def _rate(self, events: Sequence[Event]) -> Judgement:
        curves, roles, trends = self._curves, self._roles, self._trends
        merged = _merge(events)
        few = trends.list_too_few(curves)
        merged += [
            Event("not_judged", "info", 0, "few_points", (key,), facts={"count": count})
            for key, count in few
            if not any(key in event.keys for event in merged if event.severity != "info")
        ]
        severities = {event.severity for event in merged}
        doubtful = [] if severities - {"info"} else [curve.key for curve in roles.rewards if trends.is_doubtful(curve)]
        merged += [Event("not_judged", "info", 0, "slow_noise", (key,)) for key in doubtful]
        # a GAN may log only the losses of its two networks, which balance each other
        adversaries = [curve for curve in curves if curve.kind.role == "adversary" and not curve.is_constant]
        sure = [curve for curve in roles.deciding if len(curve.costs) >= DEFAULTS.fewest_points]
        undecided = bool(doubtful) and len(doubtful) == len(sure)
        sure = sure or [curve for curve in adversaries if len(curve.costs) >= DEFAULTS.fewest_points]
        health: Health = (
            "problem" if "problem" in severities
            else "warning" if "warning" in severities
            else "healthy" if sure and not undecided
            else "not_judged"
        )  # fmt: skip
        return Judgement(
            health,
            tuple(sorted(merged, key=lambda event: event.step)),
            tuple(curve.key for curve in (sure or roles.deciding or adversaries)),
            tuple(few),
            any(curve.kind.role in ("loss", "error", "quality", "reward") for curve in curves),
            any(trends.improves(curve) for curve in roles.deciding),
            roles,
            tuple(doubtful),
        )


def judge(curves: Sequence[Curve]) -> Judgement:
    """Diagnose an experiment that is not running from its curves."""
    return Diagnosis(curves).judge()


def _merge(events: Sequence[Event]) -> list[Event]:
    """Merge events of the same kind at the same step into a single event with several keys."""
    found: dict[tuple[str, int], Event] = {}
    order: tuple[Severity, ...] = ("problem", "warning", "info")
    for event in sorted(events, key=lambda event: order.index(event.severity)):
        known = found.get((event.kind, event.step))
        keys = tuple(dict.fromkeys((*known.keys, *event.keys))) if known else event.keys
        found[event.kind, event.step] = replace(known or event, keys=keys)
    return list(found.values())
