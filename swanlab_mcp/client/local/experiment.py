"""One experiment on disk: all its run folders (resumed or shared runs have several), read as one."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from swanlab_mcp.client.local.background import Work
from swanlab_mcp.client.local.liveness import guess_fate
from swanlab_mcp.client.local.records import MediaEntry
from swanlab_mcp.client.local.run import Run
from swanlab_mcp.client.local.series import Series, Tally
from swanlab_mcp.client.wire import is_object
from swanlab_mcp.core.errors import NotAvailableOffline, NotFound
from swanlab_mcp.core.i18n import join_sentences, say
from swanlab_mcp.core.models import (
    Experiment,
    LoggedKeys,
    LogLine,
    LogPart,
    MediaFile,
    MediaItem,
    MediaPart,
    Points,
    Summary,
    show_time,
)
from swanlab_mcp.core.untrusted import shorten

__all__ = ["LocalExperiment"]

# a state and a config are told without reading more than this
_QUICK = 32 << 20
# 0 and 1: JSON (SDK before 0.8), 2: protobuf; None: the beginning of the file cannot be read
_FORMATS = (None, 0, 1, 2)


class LocalExperiment:
    """An experiment made of its run folders, in order of their start; the latest speaks for all.

    `broken` are those that could not be read from the beginning.
    Every method reads files and belongs into a thread. Those that take `work` raise Stopped, and NotAvailableOffline
    when no folder can be read.
    """

    def __init__(self, runs: Sequence[Run], broken: Sequence[Run] = ()) -> None:
        self._broken = broken
        self.runs = sorted(runs, key=lambda run: (run.started_at, run.folder.name))
        self.cuid = self.runs[0].run_id
        self.started_at = self.runs[0].started_at

    @property
    def _latest(self) -> Run:
        return self.runs[-1]

    @property
    def _name(self) -> str:
        return f"{shorten(self._latest.name)} ({shorten(self.cuid)})"

    @property
    def last_time(self) -> int:
        """Return the latest recorded time in Unix milliseconds."""
        return max(max(run.started_at, run.ending.last_time) for run in self.runs)

    @property
    def is_open(self) -> bool:
        return self._latest.ending.state == "UNKNOWN"

    def describe(self, work: Work, *, is_whole: bool = False) -> tuple[Experiment, list[str]]:
        """Return the experiment, with its whole profile and its error if asked, and what is to be noted."""
        latest = self._latest
        notes: list[str] = []
        if is_whole and sum(run.unread for run in self.runs) <= _QUICK:
            self._refresh(work)
        profile: dict[str, Any] = {}
        try:
            profile = latest.read_profile() if is_whole else {"config": latest.read_config()}
        except (OSError, ValueError) as error:
            notes.append(
                say("{name}: a file cannot be read ({why}).", name=self._name, why=error.strerror)
                if isinstance(error, OSError)
                else say("{name}: {problem}.", name=self._name, problem=error)
            )
        start, ending = latest.start, latest.ending
        experiment = Experiment(
            cuid=self.cuid,
            name=latest.name,
            description=start.description,
            state=ending.state,
            createdAt=show_time(self.started_at),
            finishedAt=show_time(ending.finished_at) or None,
            profile=profile,
            labels=list(start.tags),
            group=start.group or None,
            job=start.job or None,
            error=(ending.error or None) if is_whole else None,
        )
        if is_whole:
            notes = [*self.note_state(), *notes, *self._note_damage()]
            if start.workspace:
                notes.append(say("Recorded for the workspace {name!r}.", name=shorten(start.workspace)))
            if len(self.runs) > 1:
                notes.append(
                    say(
                        "Recorded in {count} folders (resumed or shared); they are read as one experiment.",
                        count=len(self.runs),
                    )
                )
        return experiment, notes

    def summarise(self, keys: Collection[str] | None, work: Work) -> tuple[Summary, list[str]]:
        """Return the summary of the keys (None: of all), and notes."""
        merged: dict[str, Tally] = {}
        overlapping: list[str] = []
        self._refresh(work)
        for run in self.runs:
            for key, tally in run.read_tallies(keys, work).items():
                known = merged.setdefault(key, Tally())
                if known.last and tally.first is not None and tally.first <= known.last[0]:
                    overlapping.append(key)
                known.merge(tally)
        notes = self.note()
        if overlapping:
            series, about = self._merge(overlapping, work)
            merged |= {key: one.tally() for key, one in series.items()}
            notes += about
        return {key: tally.summarise() for key, tally in merged.items()}, notes

    def read_points(self, keys: Collection[str], work: Work) -> tuple[dict[str, Points], list[str]]:
        if len(self.runs) > 1:
            series, about = self._merge(keys, work)
            return {key: series[key].to_points() for key in keys if key in series}, [*self.note(), *about]
        self._refresh(work, keys)
        points = self.runs[0].read_points(keys, work)
        self._check()
        return points, self.note()

    def _merge(self, keys: Collection[str], work: Work) -> tuple[dict[str, Series], list[str]]:
        """Return the series of all folders put together, and a note where they hold the same steps."""
        merged: dict[str, Series] = {}
        recorded = 0
        self._refresh(work, keys)
        for run in self.runs:
            for key, points in run.read_points(keys, work).items():
                whole = merged.setdefault(key, Series())
                recorded += len(points.steps)
                for point in zip(points.steps, points.values, points.times, strict=True):
                    whole.add(*point)
        same = recorded - sum(len(series) for series in merged.values())
        note = say(
            "{name}: {count} points have the same step in several folders; the one of the later folder counts.",
            name=self._name,
            count=same,
        )
        return merged, [note] if same else []

    def list_keys(self, work: Work) -> tuple[LoggedKeys, list[str]]:
        self._refresh(work)
        found = [run.list_keys() for run in self.runs]
        scalars = dict.fromkeys(key for one in found for key in one.scalars)
        media = dict.fromkeys(key for one in found for key in one.media)
        return LoggedKeys(list(scalars), list(media)), self.note_defects()

    def read_logs(self, start: int | None, count: int, work: Work) -> tuple[LogPart, list[str]]:
        self._refresh(work)
        totals = [run.count_lines() for run in self.runs]
        total = sum(totals)
        first = max(0, total - count) if start is None else min(start, total)
        lines: list[LogLine] = []
        before = 0
        for run, own in zip(self.runs, totals, strict=True):
            place = max(first - before, 0)
            if place < own and len(lines) < count:
                logs = run.read_lines(place, min(own - place, count - len(lines)), work)
                lines += [
                    LogLine(
                        number=before + place + index,
                        message=log.line,
                        level="ERROR" if log.is_error else None,
                        time=show_time(log.time) or None,
                    )
                    for index, log in enumerate(logs)
                ]
            before += own
        return LogPart(lines, first, total), self.note()

    def list_media(self, key: str, step: int | None, work: Work) -> tuple[MediaPart, list[str]]:
        self._refresh(work)
        # of folders that hold the same step the later counts, as for points
        holders = {at: (run, entries) for run in self.runs for at, entries in run.list_media(key).items()}
        steps = sorted(holders)
        chosen = step if step is not None else steps[-1] if steps else None
        items: list[MediaItem] = []
        if chosen is not None and chosen in holders:
            run, entries = holders[chosen]
            items = [
                MediaItem(key, chosen, _name_item(run, place, entry), entry.caption)
                for place, entry in enumerate(entries)
            ]
        return MediaPart(steps, chosen, items), self.note()

    def read_media(self, items: Sequence[MediaItem], limit: int, work: Work) -> tuple[list[MediaFile], list[str]]:
        """Return the files; one that is missing or leads elsewhere has neither content nor size, and a note.

        Raises NotAvailableOffline when none of them can be read.
        """
        self._refresh(work)
        answers = [self._read_item(item, limit, work) for item in items]
        problems = [answer for answer in answers if isinstance(answer, str)]
        if problems and len(problems) == len(items):
            raise NotAvailableOffline(
                join_sentences(*dict.fromkeys(problems)),
                hint=say("That it was logged is recorded; its file may have been moved or deleted."),
            )
        files = [MediaFile(None, None) if isinstance(answer, str) else answer for answer in answers]
        return files, [*self._note_problems(), *problems]

    def _read_item(self, item: MediaItem, limit: int, work: Work) -> MediaFile | str:
        """Return an item's file, or what is wrong with it; only what was recorded is opened, never the path itself."""
        key, step = shorten(item.key), item.step
        for run in self.runs:
            for place, entry in enumerate(run.list_media(item.key).get(item.step, ())):
                if _name_item(run, place, entry) == item.path:
                    try:
                        return MediaFile(*run.read_media(item.key, item.step, place, limit, work))
                    except FileNotFoundError:
                        return say(
                            "{key} at step {step}: its file {name} is not in the run's folder.",
                            key=key,
                            step=step,
                            name=shorten(entry.filename),
                        )
                    except OSError as error:
                        return say(
                            "{key} at step {step}: its file cannot be read ({why}).",
                            key=key,
                            step=step,
                            why=error.strerror,
                        )
                    except ValueError as error:
                        return say(
                            "{key} at step {step}: {problem}.", key=key, step=step, problem=shorten(str(error), 200)
                        )
        raise NotFound(
            say("{key} at step {step} has no such item as {path!r}.", key=key, step=step, path=shorten(item.path)),
            hint=say("List the media of that step first."),
        )

    def _refresh(self, work: Work, keys: Collection[str] = ()) -> None:
        work.total += sum(run.unread for run in self.runs)
        for run in self.runs:
            run.refresh(keys, work)
        self._check()

    def _check(self) -> None:
        if all(run.problem for run in self.runs):
            raise NotAvailableOffline(
                say(
                    "The run {name} cannot be read any more: {problem}.",
                    name=self._name,
                    problem=self._latest.problem,
                ),
                hint=say("Look whether its folder was moved, deleted or locked."),
            )

    def note(self) -> list[str]:
        """Return what is to be said beside any figure of the experiment."""
        return [*self.note_state(), *self.note_defects()]

    def note_defects(self) -> list[str]:
        """Return what is missing or was mended."""
        return [*self._note_damage(), *self._note_problems()]

    def note_state(self) -> list[str]:
        """Return why the end is not known, what speaks for which, and until when there are data."""
        if not self.is_open:
            return []
        latest = self._latest
        fate = self._guess_fate()
        if not latest.start.run_id and not latest.start.project:
            return [
                say(
                    "{name}: its file holds no record yet: it has just begun, or was killed at once. {fate}",
                    name=self._name,
                    fate=fate,
                )
            ]
        last = show_time(latest.ending.last_time)
        if last:
            told = say(
                "{name}: no end is recorded. A guess: {fate} "
                "Data up to {last}; the SDK buffers, so later ones may not be on disk yet.",
                name=self._name,
                fate=fate,
                last=last,
            )
        else:
            told = say("{name}: no end is recorded. A guess: {fate}", name=self._name, fate=fate)
        return [told]

    def _guess_fate(self) -> str:
        latest = self._latest
        try:
            metadata = latest.read_metadata()
        except (OSError, ValueError):
            metadata = {}
        runtime: Any = metadata.get("runtime")
        about = runtime if is_object(runtime) else metadata
        now, last = time.time(), latest.ending.last_time
        return guess_fate(
            about.get("hostname"),
            about.get("pid"),
            started_at=latest.started_at,
            written=now - latest.written_at,
            logged=now - last / 1000 if last else None,
        )

    def _note_damage(self) -> list[str]:
        notes: list[str] = []
        for run in self.runs:
            damage = run.assess_damage()
            if not run.reader.is_marked:
                notes.append(
                    say(
                        "{name}: the beginning of its file is damaged, so name, project and start may be missing.",
                        name=self._name,
                    )
                )
            if run.reader.version not in _FORMATS:
                notes.append(
                    say(
                        "{name}: its file says that it has format {version}, which is not known here; "
                        "what is told of it may be wrong or incomplete.",
                        name=self._name,
                        version=run.reader.version,
                    )
                )
            if not (damage.places or damage.repaired or damage.missing):
                continue
            parts: list[str] = []
            if damage.places:
                parts.append(
                    say(
                        "its file is damaged in {places} places ({bytes} bytes cannot be read)",
                        places=damage.places,
                        bytes=damage.unread,
                    )
                )
            if damage.repaired:
                parts.append(
                    say("{count} that the SDK wrote into one another were put together again", count=damage.repaired)
                )
            if not damage.missing:
                parts.append(say("no gap in their numbers"))
            elif run.is_legacy:
                parts.append(
                    say("at least {count} points and log lines are missing by their numbers", count=damage.missing)
                )
            else:
                parts.append(say("at least {count} records are missing by their numbers", count=damage.missing))
            notes.append(
                say(
                    "{name}: {count} records read, {parts}.",
                    name=self._name,
                    count=damage.records,
                    parts=say("; ").join(parts),
                )
            )
        return notes

    def _note_problems(self) -> list[str]:
        every = [*self.runs, *self._broken]
        return [
            say(
                "{name}: of its {count} folders {folder!r} is left out: {problem}.",
                name=self._name,
                count=len(every),
                folder=shorten(run.folder.name),
                problem=run.problem,
            )
            for run in every
            if run.problem
        ]


def _name_item(run: Run, place: int, entry: MediaEntry) -> str:
    return f"{run.folder.name}/{place}/{entry.filename or 'text.txt'}"
