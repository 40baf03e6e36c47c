"""Read an experiment from its run folders. A resumed or multi-rank experiment has several folders."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from swanlab_mcp.client.copies import FailedRank, LocalCopy
from swanlab_mcp.client.local.background import Work
from swanlab_mcp.client.local.grouping import Group, split_sessions
from swanlab_mcp.client.local.notes import (
    note_damage,
    note_earlier,
    note_open,
    note_problems,
    note_ranks,
    note_remarks,
    note_shared_ids,
)
from swanlab_mcp.client.local.records import MediaEntry
from swanlab_mcp.client.local.run_base import RunBase
from swanlab_mcp.client.local.series import Series, Tally
from swanlab_mcp.core.errors import NotAvailableOffline, NotFound
from swanlab_mcp.core.i18n import gettext, join_sentences, ngettext
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
)
from swanlab_mcp.core.records import show_time
from swanlab_mcp.core.refs import LOCAL, ProjectRef
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["LocalExperiment"]

_NAMED = 5
# most severe first
_SEVERITY = {"CRASHED": 0, "ABORTED": 1, "UNKNOWN": 2, "RUNNING": 3, "FINISHED": 4}
# describing an experiment reads at most this many bytes
_QUICK = 32 << 20
_FRESH = 600


class LocalExperiment:
    """An experiment that consists of one or more run folders, in the order in which they were started.

    The latest start determines the metadata. The worst end among its ranks, which have one folder each, determines the
    state. `broken` lists folders that were never readable. Methods read files, so call them in a thread. Methods with
    `work` raise Stopped if the caller is no longer waiting, and NotAvailableOffline if no folder can be read.
    """

    def __init__(self, group: Group, broken: Sequence[RunBase] = ()) -> None:
        self._broken = broken
        self.group = group
        self.runs = group.runs
        self.cuid = group.cuid
        self.started_at = self.runs[0].started_at
        *self._earlier, self._ranks = split_sessions(self.runs)
        # the latest name, and the same name as it appears in notes
        self._shown: tuple[str | None, str] = (None, "")

    @property
    def _latest(self) -> RunBase:
        """Return the latest folder that contains a start record."""
        return next((run for run in reversed(self.runs) if not run.is_empty), self.runs[-1])

    @property
    def _deciding(self) -> RunBase:
        """Return the folder that determines the state. Its rank has the worst end or, in a tie, the earliest end."""
        if len(self._ranks) == 1:
            return self._ranks[0]
        return min(self._ranks, key=lambda run: (_SEVERITY[run.ending.state], run.ending.finished_at))

    def _finished_at(self) -> str | None:
        ends = [run.finish.finished_at for run in self._ranks if run.finish]
        return show_time(max(ends)) or None if len(ends) == len(self._ranks) else None

    @property
    def _name(self) -> str:
        name = self._latest.name
        if self._shown[0] != name:
            self._shown = name, f"{quote(name)} ({quote(self.cuid)})"
        return self._shown[1]

    @property
    def last_time(self) -> int:
        """Return the latest recorded time in Unix milliseconds."""
        return max(max(run.started_at, run.ending.last_time) for run in self.runs)

    @property
    def is_open(self) -> bool:
        return any(run.state == "UNKNOWN" for run in self._ranks)

    def describe(self, work: Work, *, is_whole: bool = False) -> tuple[Experiment, list[str]]:
        """Return the experiment and notes. If `is_whole` is true, include its full profile and its error."""
        experiment, notes = self._describe(work, is_whole=is_whole)
        if is_whole:
            notes = [*self.note_state(), *notes, *note_damage(self._name, self.runs)]
            if workspace := self._latest.start.workspace:
                notes.append(gettext("The run was recorded for workspace {name!r}.", name=shorten(workspace)))
            notes += self._note_folders()
        else:
            notes += [*note_ranks(self._name, self._ranks), *note_remarks(self._name, self.runs)]
        return experiment, notes

    def read_whole(self, work: Work) -> Experiment:
        """Return the experiment with its full profile and its error."""
        return self._describe(work, is_whole=True)[0]

    def _describe(self, work: Work, *, is_whole: bool) -> tuple[Experiment, list[str]]:
        latest = self._latest
        notes: list[str] = []
        if is_whole and sum(run.unread for run in self.runs) <= _QUICK:
            self._refresh(work)
        profile: dict[str, Any] = {}
        try:
            profile = latest.files.read_profile() if is_whole else {"config": latest.files.read_config()}
        except (OSError, ValueError) as error:
            notes.append(
                gettext("{name}: a file cannot be read ({why}).", name=self._name, why=error.strerror)
                if isinstance(error, OSError)
                else gettext("{name}: {problem}.", name=self._name, problem=error)
            )
        start, ending = latest.start, self._deciding.ending
        experiment = Experiment(
            cuid=self.cuid,
            name=latest.name,
            description=start.description,
            state=ending.state,
            createdAt=show_time(self.started_at),
            finishedAt=self._finished_at(),
            profile=profile,
            labels=list(start.tags),
            group=start.group or None,
            job=start.job or None,
            error=(ending.error or None) if is_whole else None,
        )
        return experiment, notes

    def describe_copy(self, work: Work, *, with_step: bool) -> LocalCopy:
        """Describe this local copy of a run. If `with_step` is true, include the last step if it is quick to read."""
        latest = self._latest
        last_step: int | None = None
        if with_step and sum(run.unread for run in self.runs) <= _QUICK:
            summary, _ = self.summarise(None, work)
            steps = [
                one.step for key, one in summary.items() if one.step is not None and not key.startswith("__swanlab__")
            ]
            last_step = max(steps, default=None)
        root = latest.files.root or latest.folder.parent
        return LocalCopy(
            ProjectRef(LOCAL, latest.project).experiment(self.cuid),
            latest.run_id,
            latest.name,
            self._deciding.ending.state,
            last_step,
            latest.start.workspace,
            str(latest.folder.relative_to(root.parent)) if latest.folder.is_relative_to(root.parent) else "",
            time.time() - max(run.written_at for run in self.runs) < _FRESH,
            latest.is_legacy,
            not latest.can_resume,
        )

    def describe_failed_rank(self, work: Work) -> FailedRank | None:
        """Return the failed rank that determines the state. Return `None` if none failed or there is a single rank."""
        rank = self._deciding
        if len(self._ranks) < 2 or rank.ending.state not in ("CRASHED", "ABORTED"):
            return None
        tallies = rank.read_tallies(None, work)
        return FailedRank(rank.folder.name, {key: one.last for key, one in tallies.items() if one.last})

    def _note_folders(self) -> list[str]:
        """Return notes about the folders, and the reason why other folders with the same recorded id are excluded."""
        if len(self._ranks) < len(self.runs) and len(self._ranks) > 1:
            return [
                gettext(
                    "Recorded in {count} folders by several launches, the last with {ranks} ranks; "
                    "they are read as one experiment.",
                    count=len(self.runs),
                    ranks=len(self._ranks),
                ),
                *note_earlier(self._name, self._earlier),
                *note_shared_ids([self.group]),
            ]
        if len(self.runs) > 1:
            return [
                gettext(
                    "The run was resumed or shared between processes; its {count} folders are read as one experiment.",
                    count=len(self.runs),
                ),
                *note_shared_ids([self.group]),
            ]
        return note_shared_ids([self.group])

    def summarise(
        self, keys: Collection[str] | None, work: Work, *, is_listed: bool = False
    ) -> tuple[Summary, list[str]]:
        """Return the summary of `keys`, or of all keys if it is `None`, and notes.

        If `is_listed` is true, omit notes about a missing end, because the list adds such notes itself.
        """
        merged: dict[str, Tally] = {}
        overlapping: list[str] = []
        work.total += sum(run.unread for run in self.runs)
        for run in self.runs:
            for key, tally in run.read_tallies(keys, work).items():
                if (known := merged.setdefault(key, tally)) is not tally:
                    is_later = not known.last or tally.first is None or tally.first > known.last[0]
                    overlapping += [] if is_later else [key]
                    known.merge(tally)
        self._check()
        notes = self.note_defects() if is_listed and self.is_open else self.note()
        if overlapping:
            series, about = self._merge(overlapping, work)
            merged |= {key: one.tally() for key, one in series.items()}
            notes += about
        return {key: tally.summarise() for key, tally in merged.items()}, notes

    def read_points(self, keys: Collection[str], work: Work) -> tuple[dict[str, Points], list[str]]:
        points, about = self.read_series(keys, work)
        return points, [*self.note(), *about]

    def read_series(self, keys: Collection[str], work: Work) -> tuple[dict[str, Points], list[str]]:
        """Return the points of each key, and a note if several folders contain the same steps."""
        if len(self.runs) > 1:
            series, about = self._merge(keys, work)
            return {key: series[key].to_points() for key in keys if key in series}, about
        work.total += self.runs[0].unread
        points = self.runs[0].read_points(keys, work)
        self._check()
        return points, []

    def _merge(self, keys: Collection[str], work: Work) -> tuple[dict[str, Series], list[str]]:
        """Merge the series from all folders. The second result is a note if several folders contain the same steps."""
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
        # a resumed run may restart from its last checkpoint, and ranks may log the same metric
        note = ngettext(
            "{name}: {count} point has the same step in several folders; the point from the later folder is used.",
            "{name}: {count} points have the same step in several folders; the points from the later folder are used.",
            same,
            name=self._name,
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
        deciding = self._deciding
        # the failed rank comes last, because users check the last lines first
        ordered = sorted(self.runs, key=lambda run: run is deciding) if len(self._ranks) > 1 else self.runs
        totals = [run.count_lines() for run in ordered]
        total = sum(totals)
        first = max(0, total - count) if start is None else min(start, total)
        lines: list[LogLine] = []
        before = 0
        ranges: list[str] = []
        for run, own in zip(ordered, totals, strict=True):
            start = max(first - before, 0)
            if own:
                ranges.append(
                    gettext(
                        "{first} to {last}: {folder} ({state})",
                        first=before,
                        last=before + own - 1,
                        folder=quote(run.folder.name),
                        state=run.ending.state,
                    )
                )
            if start < own and len(lines) < count:
                logs = run.read_lines(start, min(own - start, count - len(lines)), work)
                lines += [
                    LogLine(
                        number=before + start + index,
                        message=log.line,
                        level="ERROR" if log.is_error else None,
                        time=show_time(log.time) or None,
                    )
                    for index, log in enumerate(logs)
                ]
            before += own
        is_split = ranges and len(self._ranks) > 1
        about = [gettext("Lines by rank: {ranges}.", ranges="; ".join(ranges[-_NAMED:]))] if is_split else []
        return LogPart(lines, first, total), [*self.note(), *about]

    def list_media(self, key: str, step: int | None, work: Work) -> tuple[MediaPart, list[str]]:
        self._refresh(work)
        # if several folders contain the same step, the later folder takes precedence, as for points
        holders = {at: (run, entries) for run in self.runs for at, entries in run.list_media(key).items()}
        steps = sorted(holders)
        chosen = step if step is not None else steps[-1] if steps else None
        items: list[MediaItem] = []
        if chosen is not None and chosen in holders:
            run, entries = holders[chosen]
            items = [
                MediaItem(key, chosen, _name_item(run, index, entry), entry.caption)
                for index, entry in enumerate(entries)
            ]
        return MediaPart(steps, chosen, items), self.note()

    def read_media(self, items: Sequence[MediaItem], limit: int, work: Work) -> tuple[list[MediaFile], list[str]]:
        """Return the files and notes. A missing or refused file has no content or size, and is mentioned in a note.

        Raises NotAvailableOffline if no file can be read.
        """
        self._refresh(work)
        answers = [self._read_item(item, limit, work) for item in items]
        problems = [answer for answer in answers if isinstance(answer, str)]
        if problems and len(problems) == len(items):
            raise NotAvailableOffline(join_sentences(*dict.fromkeys(problems)))
        files = [MediaFile(None, None) if isinstance(answer, str) else answer for answer in answers]
        return files, [*note_problems(self._name, [*self.runs, *self._broken]), *problems]

    def _read_item(self, item: MediaItem, limit: int, work: Work) -> MediaFile | str:
        """Return an item's file, or an error message. Only recorded files are opened, never `item.path` itself."""
        key, step = quote(item.key), item.step
        for run in self.runs:
            for index, entry in enumerate(run.list_media(item.key).get(item.step, ())):
                if _name_item(run, index, entry) == item.path:
                    try:
                        return MediaFile(*run.read_media(item.key, item.step, index, limit, work))
                    except FileNotFoundError:
                        return gettext(
                            "{key} at step {step}: its file {name} is no longer in the run's folder (moved or "
                            "deleted).",
                            key=key,
                            step=step,
                            name=quote(entry.filename),
                        )
                    except OSError as error:
                        return gettext(
                            "{key} at step {step}: its file cannot be read ({why}).",
                            key=key,
                            step=step,
                            why=error.strerror,
                        )
                    except ValueError as error:
                        return gettext(
                            "{key} at step {step}: {problem}.", key=key, step=step, problem=shorten(str(error), 200)
                        )
        raise NotFound(
            gettext("{key} at step {step} has no item {path!r}.", key=key, step=step, path=shorten(item.path)),
            hint=gettext("List the media at that step first."),
        )

    def _refresh(self, work: Work, keys: Collection[str] = ()) -> None:
        work.total += sum(run.unread for run in self.runs)
        for run in self.runs:
            run.refresh(keys, work)
        self._check()

    def _check(self) -> None:
        if all(run.problem for run in self.runs):
            raise NotAvailableOffline(
                gettext(
                    "The run {name} can no longer be read: {problem}.",
                    name=self._name,
                    problem=self._latest.problem,
                ),
                hint=gettext("Check whether its folder was moved, deleted or locked."),
            )

    def note(self) -> list[str]:
        """Return the notes that apply to all data from the experiment."""
        return [*self.note_state(), *self.note_defects()]

    def note_defects(self) -> list[str]:
        """Return notes about lost or repaired data, and about unreadable folders."""
        return [*note_damage(self._name, self.runs), *note_problems(self._name, [*self.runs, *self._broken])]

    def note_state(self) -> list[str]:
        """Return notes about ranks that failed, and about ranks or runs without a recorded end."""
        deciding = self._deciding
        is_open = deciding.state == "UNKNOWN"
        return [*note_ranks(self._name, self._ranks), *(note_open(self._name, deciding) if is_open else ())]


def _name_item(run: RunBase, index: int, entry: MediaEntry) -> str:
    return f"{run.folder.name}/{index}/{entry.filename or 'text.txt'}"
