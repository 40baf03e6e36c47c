"""Write notes about problems on disk: runs without a recorded end, damaged data and skipped folders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.client.local.grouping import Group
from swanlab_mcp.client.local.liveness import guess_fate
from swanlab_mcp.client.local.run_base import Damage, RunBase
from swanlab_mcp.client.values import is_object
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.records import show_time
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = [
    "cap_notes",
    "note_damage",
    "note_earlier",
    "note_open",
    "note_problems",
    "note_ranks",
    "note_remarks",
    "note_shared_ids",
]

# 0 and 1 are JSON (SDK before 0.8), 2 is protobuf, and None means that the start of the file cannot be read
_FORMATS = (None, 0, 1, 2)
_NAMED = 5


def cap_notes(notes: Sequence[str]) -> list[str]:
    """Return the first few notes, followed by a note about the number of omitted notes."""
    if len(notes) <= _NAMED:
        return list(notes)
    return [
        *notes[:_NAMED],
        ngettext("And {count} more note like these.", "And {count} more notes like these.", len(notes) - _NAMED),
    ]


def note_open(name: str, run: RunBase) -> list[str]:
    """Return a note about a run without a recorded end.

    The note contains the probable reason, the evidence and the time of the last data.
    """
    fate = _guess_fate(run)
    if run.is_empty:
        return [
            gettext(
                "{name}: its file has no record yet, because the run has just started or was killed immediately. "
                "{fate}",
                name=name,
                fate=fate,
            )
        ]
    last = show_time(run.ending.last_time)
    if last:
        reported = gettext(
            "{name} has no recorded end. {fate} Data ends at {last}; the SDK buffers writes, so later data may not be "
            "on disk yet.",
            name=name,
            fate=fate,
            last=last,
        )
    else:
        reported = gettext("{name} has no recorded end. {fate}", name=name, fate=fate)
    return [reported]


def note_ranks(name: str, ranks: Sequence[RunBase]) -> list[str]:
    """Return notes about ranks that failed or have no recorded end, with their count and folders."""
    notes: list[str] = []
    for state in ("CRASHED", "ABORTED", "UNKNOWN") if len(ranks) > 1 else ():
        failed = [run for run in ranks if run.state == state]
        if not failed:
            continue
        folders = ", ".join(quote(run.folder.name) for run in failed[:_NAMED])
        notes.append(
            ngettext(
                "{name}: {count} of {total} ranks has no recorded end ({folders}).",
                "{name}: {count} of {total} ranks have no recorded end ({folders}).",
                len(failed),
                name=name,
                total=len(ranks),
                folders=folders,
            )
            if state == "UNKNOWN"
            else gettext(
                "{name}: {count} of {total} ranks {state} ({folders}).",
                name=name,
                count=len(failed),
                total=len(ranks),
                state=state,
                folders=folders,
            )
        )
    return notes


def note_earlier(name: str, sessions: Sequence[Sequence[RunBase]]) -> list[str]:
    """Return a note about ranks that failed in earlier launches. Such failures do not affect the experiment's state."""
    failed = [run for session in sessions for run in session if run.state in ("CRASHED", "ABORTED")]
    if not failed:
        return []
    return [
        ngettext(
            "{name}: in earlier launches, {count} rank failed ({folders}).",
            "{name}: in earlier launches, {count} ranks failed ({folders}).",
            len(failed),
            name=name,
            folders=", ".join(quote(run.folder.name) for run in failed[:_NAMED]),
        )
    ]


def note_shared_ids(groups: Sequence[Group]) -> list[str]:
    """Return a note that explains why some experiments have a folder name as their id instead of the recorded id."""
    split = [one for one in groups if one.reason]
    if not split:
        return []
    ids = {one.runs[0].run_id for one in split}
    listed = ", ".join(quote(cuid, 40) for cuid in list(ids)[:_NAMED])
    why = {
        "seeded": gettext("SDKs before 0.8 generate the id with Python's random module, which the script seeds"),
        "workspace": gettext("their workspaces differ"),
        "address": gettext("their cloud pages differ"),
        "name": gettext("their names differ"),
        "config": gettext("their configs differ"),
        "command": gettext("their commands differ"),
        "metrics": gettext("they have no metric in common"),
        "steps": gettext("their steps start over"),
    }
    reasons = "; ".join(why[reason] for reason in why if any(one.reason == reason for one in split))
    if all(one.cuid == one.runs[0].folder.name for one in split):
        return [
            gettext(
                "Different runs recorded the same id ({ids}): {reasons}. The runs are listed separately. Each id is "
                "the name of the run's (first) folder.",
                ids=listed,
                reasons=reasons,
            )
        ]
    return [
        gettext(
            "Different runs recorded the same id ({ids}): {reasons}. The runs are listed separately. Each id is "
            "the name of the run's (first) folder plus a hash of its path.",
            ids=listed,
            reasons=reasons,
        )
    ]


def _guess_fate(run: RunBase) -> str:
    try:
        metadata = run.files.read_metadata()
    except (OSError, ValueError):
        metadata = {}
    runtime: Any = metadata.get("runtime")
    about = runtime if is_object(runtime) else metadata
    now, last = run.take_moment(), run.ending.last_time
    return guess_fate(
        about.get("hostname"),
        about.get("pid"),
        started_at=run.started_at,
        written=now - run.written_at,
        logged=now - last / 1000 if last else None,
    )


def _count_losses(damage: Damage, run: RunBase) -> list[str]:
    """Return phrases that say how much of a run's data is unreadable, restored or missing."""
    parts: list[str] = []
    if damage.unreadable and not run.is_numbered:
        parts.append(gettext("{unreadable} unreadable", unreadable=damage.unreadable))
    elif damage.unreadable:
        parts.append(
            ngettext(
                "its file is damaged in {count} place ({bytes} bytes cannot be read)",
                "its file is damaged in {count} places ({bytes} bytes cannot be read)",
                damage.unreadable,
                bytes=damage.unread,
            )
        )
    if damage.repaired:
        parts.append(
            ngettext(
                "{count} record interleaved by the SDK was restored",
                "{count} records interleaved by the SDK were restored",
                damage.repaired,
            )
        )
    if not damage.missing:
        parts += [gettext("no gaps in the record numbers")] if run.is_numbered else []
    elif run.is_legacy:
        parts.append(
            ngettext(
                "at least {count} point or log line is missing (a gap in the record numbers)",
                "at least {count} points and log lines are missing (gaps in the record numbers)",
                damage.missing,
            )
        )
    else:
        parts.append(
            ngettext(
                "at least {count} record is missing (a gap in the record numbers)",
                "at least {count} records are missing (gaps in the record numbers)",
                damage.missing,
            )
        )
    return parts


def note_remarks(name: str, runs: Sequence[RunBase]) -> list[str]:
    """Return notes about problems with files other than a run's record, such as its database."""
    return [gettext("{name}: {problem}.", name=name, problem=run.remark) for run in runs if run.remark]


def note_damage(name: str, runs: Sequence[RunBase]) -> list[str]:
    """Return notes about damaged data and unknown file formats."""
    notes = note_remarks(name, runs)
    for run in runs:
        damage = run.assess_damage()
        if not run.is_marked:
            notes.append(
                gettext(
                    "{name}: the start of its file is damaged, so name, project and start time may be missing.",
                    name=name,
                )
            )
        if run.version not in _FORMATS:
            notes.append(
                gettext(
                    "{name}: its file has the unknown format {version}; its data may be wrong or incomplete.",
                    name=name,
                    version=run.version,
                )
            )
        if damage.oversized:
            notes.append(
                ngettext(
                    "{name}: {count} record exceeds the size limit and is skipped.",
                    "{name}: {count} records exceed the size limit and are skipped.",
                    damage.oversized,
                    name=name,
                )
            )
        if not (damage.unreadable or damage.repaired or damage.missing):
            continue
        notes.append(
            ngettext(
                "{name}: {count} record read, {parts}.",
                "{name}: {count} records read, {parts}.",
                damage.records,
                name=name,
                parts=gettext("; ").join(_count_losses(damage, run)),
            )
        )
    return notes


def note_problems(name: str, every: Sequence[RunBase]) -> list[str]:
    """Return notes about unreadable folders, including the reasons."""
    return [
        gettext(
            "{name}: {folder!r}, one of its {count} folders, is skipped: {problem}.",
            name=name,
            count=len(every),
            folder=shorten(run.folder.name),
            problem=run.problem,
        )
        for run in every
        if run.problem
    ]
