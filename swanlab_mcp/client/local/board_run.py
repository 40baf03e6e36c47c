"""Read a run that SDK 0.2 to 0.6.1 recorded in local mode.

Metrics are stored as JSON lines in logs/, printed lines in console/, and media files in media/.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from io import SEEK_END
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

from swanlab_mcp.client.local.background import Work
from swanlab_mcp.client.local.board import BOARD, Board, BoardEntry, Tag
from swanlab_mcp.client.local.folder import Entry, is_plain_name, read_lines
from swanlab_mcp.client.local.log_lines import LogLines
from swanlab_mcp.client.local.records import Finish, Log, MediaEntry, Start, read_iso
from swanlab_mcp.client.local.run_base import Damage, RunBase, explain
from swanlab_mcp.client.local.series import Series
from swanlab_mcp.client.values import is_object, read_number
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import parse_json, quote

__all__ = ["BoardRun"]

_ERROR_LOG = "error.log"
_KEPT_POINTS = 2_000_000
_ERROR_LINES = 40
_LONGEST_RECORD = 1 << 20
_LARGEST_JSON = 32 << 20
_LARGEST_ERROR = 1 << 20
_ADVANCED = 1 << 16
_TAIL = 1 << 12
_WIDEST = range(-(1 << 63), 1 << 63)
_FILES = ("image", "audio")
_CREATED = re.compile(r'"create_time": *"([^"]{10,40})"')
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?")


class _Read(NamedTuple):
    """The state of a metric's files when they were last read, with the numbers of readable and unreadable records."""

    tag: Tag
    files: tuple[Entry, ...]
    records: int
    unreadable: int
    last_time: int


class BoardRun(RunBase):
    """A run folder. The database in its parent folder contains the run's name, its state and its metric names."""

    is_numbered = False

    def __init__(self, folder: Path, root: Path, board: Board) -> None:
        super().__init__(folder, folder, root)
        self._board = board
        self._entry: BoardEntry | None = None
        self._is_known = False
        self._read_tags: dict[str, _Read] = {}
        self._console: tuple[Entry, ...] = ()
        self._wanted: Collection[str] = ()
        self._latest = 0
        # the reason why a file could not be read, by folder in logs/; the key "" stands for console/
        self._faults: dict[str, str] = {}
        self.remark = ""

    @property
    def run_id(self) -> str:
        return self.label

    @property
    def name(self) -> str:
        return self.start.name or self.folder.name

    @property
    def is_known(self) -> bool:
        return self._is_known

    @property
    def is_empty(self) -> bool:
        # if the database is unreadable, the start is unknown, but logs/ and console/ can still be read
        return not (self._entry or self.size)

    @property
    def stamp(self) -> object:
        # the names of the metrics and the state are in the database
        return self._stamp, self._entry

    def is_current(self) -> bool:
        return self._is_known and self.finish is not None and not self.problem and self._board.is_current()

    def identify(self, size: int | None = None) -> tuple[Any, ...] | None:  # noqa: ARG002 copies share the start
        """Return values that only a copy of the folder would share, or `None` if the database does not list the run."""
        entry = self._entry
        return (self.folder.name, entry.project, entry.name, entry.created) if entry else None

    def outline(self) -> None:
        self._entry = entry = self._board.read().get(self.folder.name)
        self.remark = self._describe()
        try:
            files = [one for part in ("logs", "console") for one in self._list_files(part)]
            error = self._read_error()
        except (OSError, ValueError) as fault:
            self.problem = explain(fault)
            return
        self.problem = ""
        self._is_known = True
        changed = max((one.changed for _, entries in files for one in entries), default=0)
        self._stamp = sum(one.size for _, entries in files for one in entries), changed, 0
        if entry is None:
            self.finish = Finish("CRASHED", error, 0) if error else None
        else:
            self.start = Start(
                project=entry.project,
                name=entry.name,
                description=entry.description,
                run_id=self.label,
                started_at=read_iso(entry.created),
            )
            # SDK 0.5 and later store the same status for a crashed run as for a finished run
            state = "CRASHED" if error or entry.status == -1 else "FINISHED" if entry.status == 1 else ""
            self.finish = Finish(state, error, read_iso(entry.finished)) if state else None
        if self.finish is None:
            self._latest = self._read_latest(files)

    def _describe(self) -> str:
        """Return the first problem with the database or a file, or "" if there is none."""
        if self._board.problem or self._entry:
            return self._board.problem or next(iter(self._faults.values()), "")
        return gettext("its database {name} does not list the run, so the run's name is missing", name=BOARD)

    def assess_damage(self) -> Damage:
        read = self._read_tags.values()
        return Damage(records=sum(one.records for one in read), unreadable=sum(one.unreadable for one in read))

    def _read_lines_again(self, start: int, count: int, work: Work) -> list[Log]:
        lines = islice(self._read_console(work), start, start + count)
        return [Log(line, is_error=False, time=0, number=start + index) for index, line in enumerate(lines)]

    def _find_last_time(self) -> int:
        return max((one.last_time for one in self._read_tags.values()), default=self._latest)

    def _read_latest(self, folders: Collection[tuple[str, tuple[Entry, ...]]]) -> int:
        """Return the last time recorded in the newest file. The file's own time may have changed when it was copied."""
        newest = max(
            ((one.changed, len(one.name), one.name, folder) for folder, files in folders if folder for one in files),
            default=None,
        )
        if newest is None:
            return 0
        with suppress(OSError, ValueError), self.files.open("logs", newest[3], newest[2]) as file:
            file.seek(max(0, file.seek(0, SEEK_END) - _TAIL))
            times = _CREATED.findall((file.read(_TAIL) or b"").decode("ascii", errors="replace"))
            return max(map(read_iso, times), default=0)
        return 0

    def _forget_wanted(self) -> None:
        self._wanted = ()

    def _list_files(self, part: str) -> list[tuple[str, tuple[Entry, ...]]]:
        """Return each metric folder in logs/ with its files, or the files in console/ with "" as the folder name."""
        entries = self.files.list(part)
        if part == "console":
            return [
                ("", tuple(one for one in entries if not (one.is_folder or one.target) and one.name.endswith(".log")))
            ]
        return [
            (
                folder.name,
                tuple(
                    one for one in self.files.list(part, folder.name) if not one.target and _SLICE.fullmatch(one.name)
                ),
            )
            for folder in entries
            if folder.is_folder
        ]

    def _refresh(self, wanted: Collection[str], work: Work) -> None:
        try:
            folders = self._list_files("logs")
            ((_, console),) = self._list_files("console")
        except (OSError, ValueError) as error:
            self.problem = explain(error)
            return
        self._wanted = {*self._wanted, *wanted}
        tags = self._name_tags([name for name, _ in folders])
        former = {read.tag.key for folder, read in self._read_tags.items() if folder in tags}
        for key in former - {tag.key for tag in tags.values()}:
            self.series.pop(key, None)
            self.media.pop(key, None)
        for folder, files in folders:
            key = tags[folder].key
            series = self.series.get(key)
            is_short = key in self._wanted and series is not None and not series.is_kept
            known = self._read_tags.get(folder)
            is_same = known is not None and (known.tag, known.files) == (tags[folder], files)
            if files and (not is_same or is_short or folder in self._faults):
                self._faults.pop(folder, None)
                self._read_tags[folder] = self._read_tag(tags[folder], folder, files, work)
                self._bound_memory()
        if console != self._console or "" in self._faults:
            self._faults.pop("", None)
            self._lines = LogLines()
            for index, line in enumerate(self._read_console(work, console)):
                self._lines.add(Log(line, is_error=False, time=0, number=index))
            self._console = console
        self.remark = self._describe()

    def _name_tags(self, folders: Collection[str]) -> dict[str, Tag]:
        """Return the key of the metric in each folder. If the key is not in the database, use the folder's name.

        SDK 0.2 names the folder after the key, and later versions use a number.
        """
        known = self._entry.tags if self._entry else {}
        return {folder: known.get(folder) or Tag(unquote(folder), "") for folder in folders}

    def _bound_memory(self) -> None:
        self.kept = sum(series.held for series in self.series.values())
        if self.kept > _KEPT_POINTS:
            for key, series in self.series.items():
                if series.is_kept and key not in self._wanted:
                    series.release()
            self.kept = sum(series.held for series in self.series.values())

    def _read_tag(self, tag: Tag, folder: str, files: tuple[Entry, ...], work: Work) -> _Read:
        key, series = tag.key, Series()
        media: dict[int, tuple[MediaEntry, ...]] = {}
        stored: set[str] | None = None
        unreadable = last_time = 0
        for record in self._read_records(folder, files, work):
            read = _read_record(record)
            if read is None:
                unreadable += 1
                continue
            step, data, time, more = read
            value = read_number(data)
            last_time = max(last_time, time)
            if value is not None:
                series.add(step, value, time)
                continue
            if not isinstance(data, (str, list)):
                unreadable += 1
                continue
            if stored is None:
                stored = self._list_stored(folder)
            media[step] = _list_items(data, more, folder, stored, is_file=tag.type in _FILES)
        self.series.pop(key, None)
        self.media.pop(key, None)
        # a metric has a single type, so records of another type were not written by the SDK
        if len(media) > len(series):
            self.media[key] = media
            unreadable += len(series)
        else:
            self.series[key] = series
            unreadable += len(media)
        return _Read(tag, files, max(len(series), len(media)), unreadable, last_time)

    def _list_stored(self, folder: str) -> set[str]:
        try:
            return {one.name for one in self.files.list("media", folder) if not one.target}
        except (OSError, ValueError) as error:
            self._faults[folder] = _name_fault(f"media/{folder}", error)
            return set()

    def _read_records(self, folder: str, files: Collection[Entry], work: Work) -> Iterator[Any]:
        """Yield the records of a metric, or `None` for each unreadable record."""
        for entry in sorted(files, key=lambda one: (len(one.name), one.name)):
            yield from self._read_file(folder, entry, work)

    def _read_file(self, folder: str, entry: Entry, work: Work) -> Iterator[Any]:
        try:
            if entry.name.endswith(".json"):
                yield from self._read_slice(folder, entry.name)
                work.advance(entry.size)
            else:
                yield from self._read_log(folder, entry.name, work)
        except (OSError, ValueError) as error:
            self._faults[folder] = _name_fault(f"logs/{folder}/{entry.name}", error)
            yield None

    def _read_log(self, folder: str, name: str, work: Work) -> Iterator[Any]:
        done = 0
        with self.files.open("logs", folder, name) as file:
            for line in read_lines(file, _LONGEST_RECORD):
                done += len(line or b"") + 1
                if done > _ADVANCED:
                    work.advance(done)
                    done = 0
                if line is None or line.strip():
                    yield _parse(line)

    def _read_slice(self, folder: str, name: str) -> list[Any]:
        """Return the records in a file from SDK 0.2, which contains a single JSON object."""
        content, _ = self.files.read("logs", folder, name, limit=_LARGEST_JSON)
        whole = _parse(content)
        data: Any = whole.get("data") if is_object(whole) else whole
        return cast("list[Any]", data) if isinstance(data, list) else [None]

    def _read_console(self, work: Work, files: Collection[Entry] | None = None) -> Iterator[str]:
        """Yield the printed lines in order, followed by the lines of the error log."""
        for entry in sorted(self._console if files is None else files, key=lambda one: (one.name == _ERROR_LOG, one)):
            yield from self._read_printed(entry.name, work)

    def _read_printed(self, name: str, work: Work) -> Iterator[str]:
        try:
            with self.files.open("console", name) as file:
                for line in read_lines(file, _LONGEST_RECORD):
                    work.advance(len(line or b""))
                    yield (line or b"").decode("utf-8", errors="replace").rstrip("\r")
        except (OSError, ValueError) as error:
            self._faults[""] = _name_fault(f"console/{name}", error)

    def _read_error(self) -> str:
        try:
            content, _ = self.files.read("console", _ERROR_LOG, limit=_LARGEST_ERROR)
        except FileNotFoundError:
            return ""
        lines = (content or b"").decode("utf-8", errors="replace").strip().splitlines()
        return "\n".join(lines[1 if lines and _MOMENT.fullmatch(lines[0]) else 0 :][-_ERROR_LINES:])

    def _read_text(self, key: str, step: int, index: int, work: Work) -> str:
        with self.lock:
            for folder, tag in self._name_tags(self._read_tags).items():
                if tag.key != key:
                    continue
                for record in self._read_records(folder, self._read_tags[folder].files, work):
                    read = _read_record(record)
                    if read and read[0] == step and read_number(read[1]) is None:
                        return str(_list(read[1])[index])
        return ""


_SLICE = re.compile(r"[^_].*\.(?:log|json)")


def _name_fault(path: str, error: Exception) -> str:
    if isinstance(error, OSError):
        return gettext("{path} cannot be read ({why})", path=quote(path), why=error.strerror or type(error).__name__)
    return str(error)


def _parse(content: bytes | None) -> Any:
    if content is None:
        return None
    try:
        return parse_json(content)
    except (ValueError, RecursionError):
        return None


def _read_record(record: Any) -> tuple[int, Any, int, list[Any]] | None:
    """Return the step, data, time and captions of a record, or `None` if the record is invalid."""
    if not is_object(record) or record.get("data") is None:
        return None
    try:
        step = int(cast("Any", record.get("index")))
    except (TypeError, ValueError, OverflowError):
        return None
    if step not in _WIDEST:
        return None
    return step, record["data"], read_iso(record.get("create_time")), _list(record.get("more"))


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _list_items(
    data: Any, more: list[Any], folder: str, stored: Collection[str], *, is_file: bool
) -> tuple[MediaEntry, ...]:
    """Return the items at a step. If `is_file` is true, items are file names even if the files are missing."""
    entries: list[MediaEntry] = []
    for index, item in enumerate(_list(data)):
        about = more[index] if index < len(more) else None
        caption = str(about.get("caption") or "") if is_object(about) else ""
        is_name = isinstance(item, str) and (item in stored or (is_file and is_plain_name(item)))
        entries.append(MediaEntry(folder, item if is_name else "", caption))
    return tuple(entries)
