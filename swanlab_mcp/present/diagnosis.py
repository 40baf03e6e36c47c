"""Build the reply for a diagnosis: the verdict, the events, their causes and the crash."""

from __future__ import annotations

from collections.abc import Sequence

from swanlab_mcp.analysis.events import Event
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.core.findings import Crash, Diagnosis, TimelineEvent, round_number
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.records import show_time
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.diagnosis import DiagnosedExperiment
from swanlab_mcp.operations.listing import add_notes
from swanlab_mcp.present.cause_words import describe_cause
from swanlab_mcp.present.event_words import SEVERITIES, describe_event, describe_rule, list_grave, name_event
from swanlab_mcp.present.hygiene_words import note_lacks

__all__ = ["publish"]

_EVENTS = 10
_NAMED_EVENTS = 3
_NAMED_KEYS = 10
_EVENT_KEYS = 8
_LINE = 200
_SHORT_LINE = 120
_PATH = 80


def publish(answer: ApiResponse[DiagnosedExperiment]) -> ApiResponse[Diagnosis]:
    """Return a diagnosis as a record in the caller's language."""
    found = answer.data
    assert found is not None
    experiment, judgement = found.experiment, found.judgement
    is_grave = judgement.health in ("problem", "warning") or experiment.state in ("CRASHED", "ABORTED")
    events = _order(judgement.events) if is_grave else []
    diagnosis = Diagnosis(
        cuid=experiment.cuid,
        name=shorten(experiment.name),
        state=experiment.state,
        health=judgement.health,
        verdict=_word_verdict(found),
        events=[_publish_event(found, event) for event in events[:_EVENTS]],
        causes=[describe_cause(one) for one in found.explanations],
        crash=_publish_crash(found),
        last=_list_last(found),
    )
    notes = [*answer.notes]
    if len(events) > _EVENTS:
        notes.append(
            ngettext(
                "{count} less severe event is omitted.",
                "{count} less severe events are omitted.",
                len(events) - _EVENTS,
            )
        )
    if found.curves:
        notes.append(_note_points(found))
    if found.left:
        notes.append(
            ngettext(
                "{count} more key that may be relevant was not read.",
                "{count} more keys that may be relevant were not read.",
                found.left,
            )
        )
    notes += filter(None, [note_lacks(found.lacks)])
    if found.link:
        notes.append(gettext("Page: {link}", link=found.link))
    return add_notes(ApiResponse(data=diagnosis), *dict.fromkeys(notes))


def _order(events: Sequence[Event]) -> list[Event]:
    """Return the events to show (the most severe ones), followed by the others. Each group is in step order."""
    gravest = sorted(events, key=lambda event: SEVERITIES.index(event.severity))[:_EVENTS]
    return [
        *(event for event in events if event in gravest),
        *(event for event in events if event not in gravest),
    ]


def _publish_event(found: DiagnosedExperiment, event: Event) -> TimelineEvent:
    keys = [shorten(key) for key in event.keys[:_EVENT_KEYS]]
    if len(event.keys) > _EVENT_KEYS:
        keys.append("…")
    return TimelineEvent(
        kind=event.kind,
        severity=event.severity,
        key=", ".join(keys),
        step=None if event.is_hardware else event.step,
        peak_step=event.peak if event.kind == "shock" else None,
        end_step=event.end if event.kind == "shock" else None,
        time=show_time(found.get_time(event)) or None,
        detail=describe_event(event),
        rule=describe_rule(event),
    )


def _list_last(found: DiagnosedExperiment) -> dict[str, float]:
    shown = found.choose_last_values() if found.error and not found.rank else {}
    return {shorten(one.key): round_number(one.values[-1]) for one in found.curves if one.key not in shown}


def _publish_crash(found: DiagnosedExperiment) -> Crash | None:
    error = found.error
    if error is None:
        return None
    return Crash(
        error=shorten(error.line, _LINE),
        frames=[frame if len(frame) <= _PATH else f"…{frame[-_PATH:]}" for frame in error.frames],
        rank=found.rank.folder if found.rank else None,
        last_step=found.last_step,
        last_values={key: round_number(value) for key, value in found.choose_last_values().items()},
        similar=[f"{shorten(one.name, 40)} ({one.cuid})" for one in found.similar[:5]],
    )


def _note_points(found: DiagnosedExperiment) -> str:
    total = sum(len(curve.steps) for curve in found.curves)
    names = ", ".join(quote(curve.key) for curve in found.curves[:_NAMED_KEYS])
    if len(found.curves) > _NAMED_KEYS:
        names += gettext(" and {count} more", count=len(found.curves) - _NAMED_KEYS)
    if any(not curve.is_whole for curve in found.curves):
        return ngettext(
            "Analyzed a sample of {count:,} point from {names}.",
            "Analyzed a sample of {count:,} points from {names}.",
            total,
            names=names,
        )
    return ngettext(
        "Analyzed the {count:,} point from {names}.", "Analyzed all {count:,} points from {names}.", total, names=names
    )


def _word_verdict(found: DiagnosedExperiment) -> str:
    """Return the verdict on one line: how the run ended, then the most severe events or "healthy"."""
    state = found.experiment.state
    parts = [_describe_end(found)] if state in ("CRASHED", "ABORTED") else []
    grave = [name_event(event) for event in list_grave(found.judgement.events)]
    if grave:
        more = [gettext("{count} more", count=len(grave) - _NAMED_EVENTS)] if len(grave) > _NAMED_EVENTS else []
        return gettext("; ").join([*parts, *grave[:_NAMED_EVENTS], *more])
    return gettext("; ").join([*parts, _word_health(found), *_word_few(found)])


def _word_health(found: DiagnosedExperiment) -> str:
    judgement = found.judgement
    if judgement.health == "healthy":
        if found.experiment.state in ("CRASHED", "ABORTED"):
            return gettext("healthy until then")
        return gettext("healthy so far") if found.experiment.state in ("RUNNING", "UNKNOWN") else gettext("healthy")
    if not found.logged:
        return gettext("cannot tell: no metric was logged")
    if not judgement.is_measured:
        return gettext("cannot tell: none of the logged metrics is known to improve as a model learns")
    if judgement.doubtful:
        return gettext(
            "cannot tell: the changes in {key} may be autocorrelated noise", key=quote(judgement.doubtful[0])
        )
    sizes = {curve.key: len(curve.costs) for curve in found.curves}
    longest = max((sizes[key] for key in judgement.judged), default=0)
    if not longest:
        return gettext("cannot tell: the logged metrics are constant or have no finite value")
    text = ngettext(
        "cannot tell: only {count} point was logged, but {needed} are needed",
        "cannot tell: only {count} points were logged, but {needed} are needed",
        longest,
        needed=DEFAULTS.fewest_points,
    )
    return text + gettext("; the values are improving so far") if judgement.improves else text


def _word_few(found: DiagnosedExperiment) -> list[str]:
    """Return a list with a note about metrics that have too few points. The list is empty unless the run is healthy."""
    few = found.judgement.too_few
    if not few or found.judgement.health != "healthy":
        return []
    key, count = few[0]
    text = ngettext(
        "{key} has only {count} point: not judged", "{key} has only {count} points: not judged", count, key=quote(key)
    )
    return [text + gettext(" and {count} more", count=len(few) - 1) if len(few) > 1 else text]


def _describe_end(found: DiagnosedExperiment) -> str:
    end = gettext("crashed") if found.experiment.state == "CRASHED" else gettext("aborted")
    error = found.error
    if error is None:
        return end
    words = {"end": end, "error": shorten(error.line, _SHORT_LINE)}
    if error.later:
        return ngettext(
            "{end}; the last error is {count} line before the end: {error}",
            "{end}; the last error is {count} lines before the end: {error}",
            error.later,
            **words,
        )
    return gettext("{end}: {error}", **words)
