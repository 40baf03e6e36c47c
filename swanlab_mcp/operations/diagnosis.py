from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.causes import ErrorText, find_error, find_lacking_memory, name_cause, normalise_error
from swanlab_mcp.analysis.curves import keep_finite
from swanlab_mcp.analysis.differences import flatten
from swanlab_mcp.analysis.direction import (
    Role,
    find_pairs,
    find_role,
    has_no_trend,
    is_validation,
)
from swanlab_mcp.analysis.events import (
    Event,
    Worsening,
    describe_worsening_rule,
    find_chance_classes,
    find_flat,
    find_full_memory,
    find_gaps,
    find_idle,
    find_jumps,
    find_non_finite,
    find_overfitting,
    find_plateau,
    find_spikes,
    find_stall,
    find_worsening,
    show_duration,
)
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.client.base import Backend
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.findings import Cause, Crash, Diagnosis, TimelineEvent, round_number
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse, Experiment, LogPart, Points, show_time
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.arguments import ExpCuid, ProjectName, Username
from swanlab_mcp.operations.choice import read_all
from swanlab_mcp.operations.listing import add_notes
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment

__all__ = ["diagnose_experiment"]

# how many keys of each kind are read: of a run with thousands of keys those that tell most
_READ: Mapping[Role, int] = {
    "loss": 8,
    "quality": 6,
    "learning_rate": 1,
    "gradient_norm": 1,
    "throughput": 1,
    "gpu_memory": 8,
    "gpu_load": 8,
    "host_memory": 1,
}
_EVENTS = 10
_LOG_LINES = 1000
_SIMILAR_READ = 20
_SIMILAR_LINES = 200
_LINE = 200
_PATH = 80
_LAST = 10
_CARDS = 2
_NAMED = 10
_EXPLODED = 1e3
_SEVERITIES = ("problem", "warning", "info")


class _Seen(NamedTuple):
    """An event and the keys in which it was seen."""

    event: Event
    keys: tuple[str, ...]


class _Curves(NamedTuple):
    """The points of the keys that were read, as recorded, and their finite part, qualities negated."""

    points: Mapping[str, Points]
    finite: Mapping[str, tuple[Sequence[int], Sequence[float]]]
    roles: Mapping[str, Role]

    def of(self, *roles: Role) -> list[str]:
        return [key for key, role in self.roles.items() if role in roles]

    def restore(self, key: str, value: float) -> float:
        """Return a value of `finite` with the sign that was logged."""
        return -value if self.roles[key] == "quality" else value


async def diagnose_experiment(
    client: SwanLabClient, *, project: ProjectName, exp_cuid: ExpCuid, username: Username = ""
) -> ApiResponse[Diagnosis]:
    """Diagnose one experiment from all its points: is it healthy, what went wrong, when, and why.

    Use it for "why did it crash, become NaN, not learn?"; get_logs shows what it printed. Returns a verdict; events
    with step, size and the rule that found them; for a crash its error, last values and similar crashes; causes with
    evidence and confidence.
    Example: {"project": "mnist", "exp_cuid": "lr-0.1"}.
    """
    ref = await resolve_experiment(client, exp_cuid, project, username)
    backend = client.at(ref)
    ref, answer = await ask_about_experiment(client, ref, backend.get_experiment)
    experiment = answer.data
    assert experiment is not None
    notes = [*answer.notes]
    logged = await backend.list_keys(ref)
    keys, left = _choose_keys(logged.data.scalars if logged.data else ())
    points: dict[str, Points] = {}
    if keys:
        read = await backend.read_points(ref, list(keys), exact=True)
        points = read.data or {}
    # other calls go on meanwhile
    curves = await asyncio.to_thread(_prepare, points, keys)
    seen = await asyncio.to_thread(_find_events, curves, experiment)
    error, similar = await _explain_crash(backend, ref, experiment)
    causes = _find_causes(curves, seen, experiment, error)
    is_grave = any(one.event.severity != "info" for one in seen) or experiment.state in ("CRASHED", "ABORTED")
    events = _tell_events(curves, seen) if is_grave else []
    diagnosis = Diagnosis(
        cuid=ref.cuid,
        name=shorten(experiment.name),
        state=experiment.state,
        verdict=_judge(curves, seen, experiment, error),
        events=events[:_EVENTS],
        causes=causes,
        crash=_describe_crash(curves, error, similar) if error else None,
    )
    if len(events) > _EVENTS:
        notes.append(say("{count} further events, none graver, are left out.", count=len(events) - _EVENTS))
    total = sum(len(one.steps) for one in points.values())
    sampled = any(not one.is_whole for one in points.values())
    names = ", ".join(map(shorten, list(keys)[:_NAMED])) or say("no key")
    names += say(" and {count} more", count=len(keys) - _NAMED) if len(keys) > _NAMED else ""
    notes.append(
        say("Read: a sample of {total:,} points of {names}.", total=total, names=names)
        if sampled
        else say("Read: all {total:,} points of {names}.", total=total, names=names)
    )
    if left:
        notes.append(say("{count} further keys that may tell something were not read.", count=left))
    link = backend.get_link(ref)
    return add_notes(ApiResponse(data=diagnosis), *dict.fromkeys(notes), say("Page: {link}", link=link) if link else "")


def _choose_keys(logged: Sequence[str]) -> tuple[dict[str, Role], int]:
    """Return the keys that are read with their roles, and how many of these roles are left out."""
    found = {key: find_role(key) for key in logged}
    paired = {key for pair in find_pairs([key for key, role in found.items() if role]) for key in pair}
    chosen: dict[str, Role] = {}
    for role, most in _READ.items():
        some = sorted((key for key in found if found[key] == role), key=lambda key: key not in paired)
        chosen |= dict.fromkeys(some[:most], role)
    return chosen, sum(bool(role) for role in found.values()) - len(chosen)


def _prepare(points: Mapping[str, Points], roles: Mapping[str, Role]) -> _Curves:
    finite: dict[str, tuple[Sequence[int], Sequence[float]]] = {}
    for key, some in points.items():
        steps, values = keep_finite(some.steps, some.values)
        finite[key] = (steps, [-value for value in values] if roles[key] == "quality" else values)
    return _Curves(points, finite, {key: roles[key] for key in points if points[key].steps})


def _find_events(curves: _Curves, experiment: Experiment) -> list[_Seen]:
    found: dict[tuple[str, int], _Seen] = {}

    def add(event: Event | None, *keys: str) -> None:
        if event is None:
            return
        known = found.get((event.kind, event.step))
        if known is None:
            found[event.kind, event.step] = _Seen(event, keys)
        else:
            # the same at the same step in several metrics is one event
            found[event.kind, event.step] = _Seen(known.event, tuple(dict.fromkeys((*known.keys, *keys))))

    for key in curves.of("loss", "quality", "gradient_norm", "learning_rate"):
        add(find_non_finite(curves.points[key].steps, curves.points[key].values), key)
    flat = _find_never_learned(curves)
    for key, event in flat.items():
        add(event, key)
    for key in curves.of("loss", "quality", "gradient_norm"):
        if key not in flat and curves.finite[key][0]:
            side = "below" if curves.roles[key] == "quality" else "above"
            spike = find_spikes(*curves.finite[key], side=side)
            # gradients and batch accuracies have heavy tails when all is well
            add(spike if curves.roles[key] == "loss" else spike and spike._replace(severity="info"), key)
            if curves.roles[key] == "loss":
                add(find_plateau(*curves.finite[key]), key)
    for event, keys in _find_worsenings(curves, flat):
        add(event, *keys)
    for key in curves.of("learning_rate"):
        for event in find_jumps(*curves.finite[key]):
            add(event, key)
    for key in curves.of("gpu_memory"):
        add(find_full_memory(curves.points[key].steps, curves.points[key].values), key)
    for key in curves.of("host_memory"):
        add(find_full_memory(curves.points[key].steps, curves.points[key].values, "host_memory_full"), key)
    for key in curves.of("gpu_load"):
        add(find_idle(curves.points[key].steps, curves.points[key].values), key)
    logged = curves.of("loss", "quality", "gradient_norm", "throughput")
    if logged:
        densest = max(logged, key=lambda key: len(curves.points[key].steps))
        points = curves.points[densest]
        for event in find_gaps(points.steps, points.times):
            add(event, densest)
        if experiment.state in ("RUNNING", "UNKNOWN"):
            add(_find_stall(points), densest)
    return sorted(found.values(), key=lambda one: one.event.step)


def _find_stall(points: Points) -> Event | None:
    stall = find_stall(points.times, int(time.time() * 1000))
    if stall is None:
        return None
    _, silent, usual = stall
    detail = (
        say(
            "no point for {duration} (usually every {usual})",
            duration=show_duration(silent),
            usual=show_duration(usual),
        )
        if usual
        else say("no point for {duration}", duration=show_duration(silent))
    )
    rule = say(
        "silent > {factor:g}x the usual interval and {duration}",
        factor=DEFAULTS.stall_factor,
        duration=show_duration(DEFAULTS.stall_seconds),
    )
    return Event("stalled", "problem", points.steps[-1], detail, rule, silent)


def _find_never_learned(curves: _Curves) -> dict[str, Event]:
    """Return the losses that never got better, of training if there are any; without losses the qualities.

    None where a quality was good from the beginning: then the model was trained already.
    """
    losses = [key for key in curves.of("loss") if not has_no_trend(key)]
    judged = (
        [key for key in losses if not is_validation(key)]
        or losses
        or (curves.of("quality") if not curves.of("loss") else [])
    )
    begins_good = any(
        -values[0] >= DEFAULTS.trained_accuracy
        for key in curves.of("quality")
        if (values := curves.finite[key][1]) and -min(values) <= 1
    )
    found: dict[str, Event] = {}
    for key in judged:
        steps, values = curves.finite[key]
        course = find_flat(values) if values else None
        if course is None or begins_good:
            continue
        is_loss = curves.roles[key] == "loss"
        classes = find_chance_classes(course.final) if is_loss else None
        # a level passed by chance is no chance level
        classes = classes if classes == find_chance_classes(course.best) else None
        names = ("first", "best", "last")
        levels = {
            name: curves.restore(key, value)
            for name, value in zip(names, (values[0], course.best, course.final), strict=True)
        }
        found[key] = Event(
            "never_learned",
            "problem",
            steps[0],
            say(
                "began at {first:.4g}, best level {best:.4g}, ended at {last:.4g}, the chance level ln({classes}) of "
                "{classes} classes",
                classes=classes,
                **levels,
            )
            if classes
            else say("began at {first:.4g}, best level {best:.4g}, ended at {last:.4g}", **levels),
            say(
                "gain < {share:.0%} or < {sigmas:g} sigmas of noise",
                share=DEFAULTS.flat_share,
                sigmas=DEFAULTS.flat_sigmas,
            ),
            course.final,
            "chance" if classes else "",
        )
    return found


def _find_worsenings(curves: _Curves, flat: Mapping[str, Event]) -> list[tuple[Event, tuple[str, ...]]]:
    found: list[tuple[Event, tuple[str, ...]]] = []
    paired: set[str] = set()
    roles: tuple[Role, ...] = ("loss", "quality")
    for role in roles:
        keys = [key for key in curves.of(role) if curves.finite[key][0] and not has_no_trend(key)]
        for train, held_out in find_pairs(keys):
            paired.add(held_out)
            judged = find_overfitting(curves.finite[train], curves.finite[held_out])
            if judged is None or train in flat:
                continue
            if not judged.is_overfitting:
                found.append((_describe_worsening("divergence", judged.worsening, "", role), (held_out,)))
                continue
            end = {"key": shorten(train), "value": curves.restore(train, curves.finite[train][1][-1])}
            course = (
                say("; {key} still improves, ends at {value:.4g}", **end)
                if judged.improves
                else say("; {key} does not worsen, ends at {value:.4g}", **end)
            )
            event = _describe_worsening("overfitting", judged.worsening, course, role)
            found.append((event._replace(trait="improves" if judged.improves else ""), (held_out,)))
        for key in keys:
            worse = None if key in paired or key in flat else find_worsening(*curves.finite[key])
            if worse:
                kind = "worsening" if is_validation(key) else "divergence"
                extra = ""
                if kind == "worsening":
                    extra = say("; overfitting or divergence: no training metric to tell")
                found.append((_describe_worsening(kind, worse, extra, role), (key,)))
    return found


def _describe_worsening(kind: str, worse: Worsening, extra: str, role: Role) -> Event:
    is_main = role == "loss"
    best, final = (value if is_main else -value for value in (worse.best_value, worse.final))
    share = f" ({(final - best) / abs(best):+.0%})" if is_main and best else ""
    course = {"best": best, "at": worse.best_step, "since": worse.onset_step, "final": final}
    return Event(
        kind,
        "problem" if is_main else "warning",
        worse.onset_step,
        (
            say(
                "best {best:.4g} at step {at}, worse for good from step {since} on, level at the end {final:.4g}",
                **course,
            )
            if is_main
            else say(
                "best {best:.4g} at step {at}, falls for good from step {since} on, level at the end {final:.4g}",
                **course,
            )
        )
        + share
        + extra,
        describe_worsening_rule(move="rise" if is_main else "fall"),
        final,
    )


def _tell_events(curves: _Curves, seen: Sequence[_Seen]) -> list[TimelineEvent]:
    """Return events in order of their steps; of too many the gravest."""
    gravest = sorted(seen, key=lambda one: _SEVERITIES.index(one.event.severity))[:_EVENTS]
    told: list[TimelineEvent] = []
    for one in [*(some for some in seen if some in gravest), *(some for some in seen if some not in gravest)]:
        points = curves.points[one.keys[0]]
        place = bisect_left(points.steps, one.event.step)
        moment = show_time(points.times[place]) if place < len(points.times) else ""
        told.append(
            TimelineEvent(
                kind=one.event.kind,
                severity=one.event.severity,
                key=", ".join(shorten(key) for key in one.keys),
                step=None if _is_hardware(one) else one.event.step,
                time=moment or None,
                detail=one.event.detail,
                rule=one.event.rule,
            )
        )
    return told


def _is_hardware(one: _Seen) -> bool:
    """Tell whether an event is of a system metric, whose steps only count its samples."""
    return one.keys[0].startswith("__swanlab__")


async def _explain_crash(
    backend: Backend, ref: ExperimentRef, experiment: Experiment
) -> tuple[ErrorText | None, list[str]]:
    """Return the error of a crashed or aborted experiment, and which other crashes have the same error line."""
    if experiment.state not in ("CRASHED", "ABORTED"):
        return None, []
    error = await _read_error(backend, ref, experiment, _LOG_LINES)
    if error is None or error.later or experiment.state != "CRASHED":
        return error, []
    listed = (await backend.list_experiments(ref.parent)).data or []
    others = [one for one in listed if one.state == "CRASHED" and one.cuid != experiment.cuid]
    others = sorted(others, key=lambda one: one.createdAt, reverse=True)[:_SIMILAR_READ]

    async def ask(other: Experiment) -> ErrorText | None:
        other_ref = ref.parent.experiment(other.cuid)
        whole = await backend.get_experiment(other_ref)
        return await _read_error(backend, other_ref, whole.data or other, _SIMILAR_LINES)

    errors = await read_all(others, ask)
    wanted = normalise_error(error.line)
    return error, [
        f"{shorten(one.name, 40)} ({one.cuid})"
        for one, other in zip(others, errors, strict=True)
        if other and not other.later and normalise_error(other.line) == wanted
    ]


async def _read_error(backend: Backend, ref: ExperimentRef, experiment: Experiment, lines: int) -> ErrorText | None:
    if experiment.error:
        found = find_error(experiment.error.splitlines())
        # what is recorded as the error is no log that goes on
        return found._replace(later=0) if found else ErrorText(experiment.error.strip().splitlines()[-1])
    answer = await backend.read_logs(ref, start=None, count=lines)
    part = answer.data or LogPart((), 0, 0)
    return find_error([line.message for line in part.lines])


def _describe_crash(curves: _Curves, error: ErrorText, similar: Sequence[str]) -> Crash:
    # the fullest of many GPUs tell
    cards = sorted(curves.of("gpu_memory"), key=lambda key: -max(curves.finite[key][1], default=0.0))
    reserved = [*curves.of("learning_rate", "gradient_norm"), *cards[:_CARDS], *curves.of("host_memory")]
    results = curves.of("loss", "quality")[: _LAST - len(reserved)]
    told = [*results, *reserved, *cards[_CARDS:]][:_LAST]
    values = {key: round_number(curves.points[key].values[-1]) for key in told}
    steps = [curves.points[key].steps[-1] for key in curves.of("loss", "quality")]
    return Crash(
        error=shorten(error.line, _LINE),
        frames=[frame if len(frame) <= _PATH else f"…{frame[-_PATH:]}" for frame in error.frames],
        last_step=max(steps, default=None),
        last_values=values,
        similar=list(similar[:5]),
    )


def _find_causes(
    curves: _Curves, seen: Sequence[_Seen], experiment: Experiment, error: ErrorText | None
) -> list[Cause]:
    """Return possible causes, the likeliest first; a crash of which nothing tells the cause says so."""
    kinds = {one.event.kind: one for one in reversed(seen)}
    causes: list[Cause] = []
    if error:
        causes += _find_crash_causes(kinds, error)
    if "non_finite" in kinds:
        causes.append(_explain_non_finite(curves, kinds["non_finite"], experiment))
    if "never_learned" in kinds:
        causes.append(_explain_never_learned(curves, kinds["never_learned"], experiment))
    if "overfitting" in kinds:
        one = kinds["overfitting"]
        key = shorten(one.keys[0])
        evidence = (
            say("{key} worsens while training still improves", key=key)
            if one.event.trait == "improves"
            else say("{key} worsens while training does not worsen", key=key)
        )
        causes.append(Cause(cause=say("the model memorises its training data"), confidence="medium", evidence=evidence))
    if "divergence" in kinds:
        causes.append(_explain_divergence(kinds, experiment))
    if "gpu_idle" in kinds:
        evidence = kinds["gpu_idle"].event.detail
        causes.append(Cause(cause=say("the GPU waits: data loading or the CPU"), confidence="low", evidence=evidence))
    if "stalled" in kinds:
        full = kinds.get("host_memory_full")
        evidence = [
            say("no end is recorded") if experiment.state == "UNKNOWN" else say("its state is still RUNNING"),
            kinds["stalled"].event.detail,
            *([say("the machine's memory {detail}", detail=full.event.detail)] if full else []),
        ]
        causes.append(
            Cause(
                cause=say("it hangs, or was killed without a word (SIGKILL, lack of memory, pre-emption)"),
                confidence="medium",
                evidence=say("; ").join(evidence),
            )
        )
    order = ("high", "medium", "low")
    causes.sort(key=lambda one: order.index(one.confidence))
    if not causes and experiment.state == "CRASHED":
        evidence = say("no error in the last {count} log lines, and no event in the metrics", count=_LOG_LINES)
        return [Cause(cause=say("not enough evidence"), confidence="low", evidence=evidence)]
    return causes


def _find_crash_causes(kinds: Mapping[str, _Seen], error: ErrorText) -> list[Cause]:
    named = name_cause(error.line)
    memory = find_lacking_memory(error.line)
    evidence = [say("error line: {line}", line=shorten(error.line, 120))]
    if error.later:
        evidence.append(say("{count} lines of log follow it, so it may have been handled", count=error.later))
    if memory == "gpu" and "gpu_memory_full" in kinds:
        evidence.append(say("GPU memory {detail}", detail=kinds["gpu_memory_full"].event.detail))
    elif memory and "host_memory_full" in kinds:
        evidence.append(say("the machine's memory {detail}", detail=kinds["host_memory_full"].event.detail))
    told = say("; ").join(evidence)
    if not named:
        return [Cause(cause=say("an exception of no known kind"), confidence="low", evidence=told)]
    confidence = "low" if error.later else "high" if error.frames else "medium"
    return [Cause(cause=named, confidence=confidence, evidence=told)]


def _explain_non_finite(curves: _Curves, one: _Seen, experiment: Experiment) -> Cause:
    first = one.event.step
    for key in sorted(one.keys, key=lambda key: curves.roles[key] != "loss"):
        steps, values = curves.finite[key]
        before = [value for step, value in zip(steps, values, strict=True) if step < first]
        tail = before[-3:]
        usual = sorted(before)[len(before) // 2] if before else 0.0
        if tail and usual and (max(map(abs, tail)) > _EXPLODED * abs(usual) or abs(usual) > 1e9):
            evidence = say(
                "{key} was {value:.3g} just before step {step}",
                key=shorten(key),
                value=curves.restore(key, tail[-1]),
                step=first,
            )
            return Cause(
                cause=say("training exploded: learning rate too high or no gradient clipping"),
                confidence="medium",
                evidence=evidence + _tell_rate(curves, experiment),
            )
    grown = [key for key in curves.of("gradient_norm") if _grew(curves.finite[key], first)]
    if grown:
        evidence = say("{key} rose at least tenfold before step {step}", key=shorten(grown[0]), step=first)
        return Cause(
            cause=say("the gradient exploded"),
            confidence="medium",
            evidence=evidence + _tell_rate(curves, experiment),
        )
    return Cause(
        cause=say("a single bad value: a batch, a division, a logarithm of 0, or half precision"),
        confidence="low",
        evidence=say("no growth before step {step}", step=first) + _tell_rate(curves, experiment),
    )


def _grew(curve: tuple[Sequence[int], Sequence[float]], until: int) -> bool:
    before = [value for step, value in zip(*curve, strict=True) if step <= until]
    return len(before) > 10 and max(before[-5:]) > 10 * sorted(before)[len(before) // 2]


def _explain_never_learned(curves: _Curves, one: _Seen, experiment: Experiment) -> Cause:
    key = one.keys[0]
    _, values = curves.finite[key]
    rate = _tell_rate(curves, experiment)
    best = min(values)
    if best == values[0] and one.event.value is not None and one.event.value > values[0] + abs(values[0]) * 0.01:
        evidence = say(
            "{key} was best at its first point ({value:.4g})", key=shorten(key), value=curves.restore(key, best)
        )
        return Cause(
            cause=say("learning rate too high: the first updates made it worse, and it never recovered"),
            confidence="medium",
            evidence=evidence + rate,
        )
    norms = [key for key in curves.of("gradient_norm") if curves.finite[key][1] and find_flat(curves.finite[key][1])]
    classes = find_chance_classes(one.event.value or 0.0)
    if classes and one.event.trait == "chance":
        evidence = say("{key} stays at chance, ln({classes})", key=shorten(key), classes=classes)
        if norms:
            evidence += say("; ") + say("{key} does not change either", key=shorten(norms[0]))
        return Cause(
            cause=say("inputs or labels carry no signal, or nothing is trained (frozen, dead units, learning rate)"),
            confidence="medium",
            evidence=evidence + rate + say("; ") + say("look at a batch and its labels"),
        )
    return Cause(
        cause=say("not enough evidence: learning rate, data or a loss that need not fall"),
        confidence="low",
        evidence=say("{key} is flat", key=shorten(key)) + rate,
    )


def _explain_divergence(kinds: Mapping[str, _Seen], experiment: Experiment) -> Cause:
    one = kinds["divergence"]
    jump = kinds.get("learning_rate_jump")
    if jump and jump.event.step <= one.event.step:
        return Cause(
            cause=say("the learning rate jumped: a resumed or restarted schedule"),
            confidence="medium",
            evidence=say(
                "learning rate {detail} at step {step}, before step {later}",
                detail=jump.event.detail,
                step=jump.event.step,
                later=one.event.step,
            ),
        )
    rates = [f"{key}={value:.4g}" for key, value in _read_rates(experiment).items()]
    evidence = say("{key} worsens from step {step} on", key=shorten(one.keys[0]), step=one.event.step)
    return Cause(
        cause=say("training became unstable: learning rate too high, or bad data from there on"),
        confidence="low",
        evidence=evidence + (say("; ") + rates[0] if rates else ""),
    )


def _tell_rate(curves: _Curves, experiment: Experiment) -> str:
    """Return the learning rate as evidence, from the config or its series; "" where neither tells."""
    rates = [f"{shorten(key, 40)}={value:.4g}" for key, value in _read_rates(experiment).items()]
    rates += [f"{shorten(key)}={max(curves.finite[key][1]):.4g}" for key in curves.of("learning_rate")]
    return say("; ") + rates[0] if rates else ""


def _read_rates(experiment: Experiment) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in flatten(experiment.profile.get("config")).items()
        if find_role(key) == "learning_rate" and isinstance(value, (int, float)) and math.isfinite(value)
    }


def _judge(curves: _Curves, seen: Sequence[_Seen], experiment: Experiment, error: ErrorText | None) -> str:
    """Return the verdict in one line: the end first, then the gravest events, "healthy" if there are none."""
    parts: list[str] = []
    if experiment.state in ("CRASHED", "ABORTED"):
        parts.append(_describe_end(experiment, error))
    for severity in ("problem", "warning"):
        parts += [_name_event(one) for one in seen if one.event.severity == severity]
    if parts:
        more = [say("{count} more", count=len(parts) - 3)] if len(parts) > 3 else []
        return say("; ").join([*parts[:3], *more])
    judged = curves.of("loss", "quality")
    longest = max((len(curves.points[key].steps) for key in judged), default=0)
    if not judged:
        return say("cannot tell: no loss, accuracy or the like was logged")
    if longest < DEFAULTS.fewest_points:
        return say(
            "cannot tell: only {count} points were logged, {needed} are needed",
            count=longest,
            needed=DEFAULTS.fewest_points,
        )
    return say("healthy so far") if experiment.state in ("RUNNING", "UNKNOWN") else say("healthy")


def _describe_end(experiment: Experiment, error: ErrorText | None) -> str:
    end = say("crashed") if experiment.state == "CRASHED" else say("aborted")
    if error is None:
        return end
    told = {"end": end, "error": shorten(error.line, 120)}
    if error.later:
        return say("{end}; last error {count} lines before the end: {error}", count=error.later, **told)
    return say("{end}: {error}", **told)


def _name_event(one: _Seen) -> str:
    event = {"kind": one.event.kind, "key": shorten(one.keys[0])}
    if _is_hardware(one):
        return say("{kind} in {key}", **event)
    if one.event.severity == "problem":
        return say("{kind} in {key} from step {step}", step=one.event.step, **event)
    return say("{kind} in {key} at step {step}", step=one.event.step, **event)
