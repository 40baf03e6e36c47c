"""Build the reply about news in one or more projects: one row per event, and notes with the counts and the cursor."""

from __future__ import annotations

from collections import Counter

from swanlab_mcp.core.durations import show_duration
from swanlab_mcp.core.findings import NewsItem
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.records import show_time
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.listing import add_notes
from swanlab_mcp.operations.news import Happening, News
from swanlab_mcp.operations.records import Record
from swanlab_mcp.operations.verdicts import Verdict
from swanlab_mcp.present.event_words import list_grave, name_event
from swanlab_mcp.present.hygiene_words import note_lacks_of_many

__all__ = ["publish"]

_NAME = 40


def publish(answer: ApiResponse[News]) -> ApiResponse[list[NewsItem]]:
    """Return the events as rows, and notes with the counts and the cursor, in the caller's language."""
    news = answer.data
    assert news is not None
    # decided by the caller's argument: if several projects were named, each row must name its project
    rows = [_publish_row(one, is_one=news.is_one_project) for one in news.rows]
    counts = Counter(one.what for one in news.whole)
    happened = gettext(", ").join(
        gettext("{count} {reason}", count=count, reason=_name(what)) for what, count in counts.most_common()
    )
    since, now = show_time(news.since), show_time(news.now)
    return add_notes(
        ApiResponse(data=rows, page=answer.page, notes=answer.notes),
        ngettext(
            "{count} more experiment on this page was not diagnosed.",
            "{count} more experiments on this page were not diagnosed.",
            news.unjudged,
        )
        if news.unjudged
        else "",
        gettext("Since {time} (now: {now}): {counts}.", time=since, now=now, counts=happened)
        if happened
        else gettext(
            "Since {time} (now: {now}) there were no events: no new, finished, crashed, aborted, stalled or failing "
            "experiments, and no new records.",
            time=since,
            now=now,
        ),
        note_lacks_of_many(news.lacks),
        gettext("The demo's clock shows {time}.", time=now) if news.is_demo else "",
        gettext("Cursor for the next call: since={cursor}", cursor=show_time(news.cursor)),
    )


def _name(what: str) -> str:
    return {
        "new": gettext("new"),
        "finished": gettext("finished"),
        "crashed": gettext("crashed"),
        "aborted": gettext("aborted"),
        "stalled": gettext("stalled"),
        "problem": gettext("problem"),
        "no end recorded": gettext("no end recorded"),
        "record": gettext("record"),
    }[what]


def _publish_row(one: Happening, *, is_one: bool) -> NewsItem:
    return NewsItem(
        time=show_time(one.moment),
        what=one.what,
        project=None if is_one else shorten(str(one.ref)),
        name=shorten(one.experiment.name, _NAME),
        cuid=one.experiment.cuid,
        detail=_word_record(one.record) if one.record else _word_detail(one),
    )


def _word_detail(one: Happening) -> str:
    if one.event:
        if one.event.kind != "stalled":
            return name_event(one.event)
        silent = show_duration(one.event.facts["seconds"])
        return gettext("no points since step {step}, {duration} ago", step=one.event.step, duration=silent)
    best = ", ".join(f"{quote(key, _NAME)} {value:.6g}" for key, value in one.best)
    parts = [
        gettext("new") if one.is_new else "",
        gettext("best {values}", values=best) if best else "",
        _word_verdict(one.verdict, one.experiment.state) if one.verdict else "",
    ]
    return gettext("; ").join(part for part in parts if part)


def _word_verdict(verdict: Verdict, state: str) -> str:
    """Return the most severe event, or a text such as "healthy so far".

    Returns "" if there is not enough data for a verdict.
    """
    grave = list_grave(verdict.judgement.events)
    if grave:
        more = [gettext("{count} more", count=len(grave) - 1)] if len(grave) > 1 else []
        return gettext("; ").join([name_event(grave[0]), *more])
    if verdict.judgement.health != "healthy":
        return ""
    if state in ("CRASHED", "ABORTED"):
        return gettext("healthy until then")
    return gettext("healthy so far") if state in ("RUNNING", "UNKNOWN") else gettext("healthy")


def _word_record(record: Record) -> str:
    known = {
        "key": quote(record.key, _NAME),
        "value": record.value,
        "old": record.old,
        "name": quote(record.old_holder.name, _NAME),
        "cuid": record.old_holder.cuid,
    }
    text = (
        gettext("{key} {value:.6g}; previous best: {old:.6g} in {name} ({cuid})", **known)
        if record.step is None
        else gettext(
            "{key} {value:.6g} at step {step}; previous best: {old:.6g} in {name} ({cuid})", step=record.step, **known
        )
    )
    if record.within_noise:
        text += gettext("; within the noise between repeats")
    return text + gettext("; values of single training batches") if record.is_batch else text
