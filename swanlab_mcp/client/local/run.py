"""Read a run folder. The record file is read once; later calls read only appended data."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from swanlab_mcp.client.local.background import Work
from swanlab_mcp.client.local.extremes import Extremes, read_extremes
from swanlab_mcp.client.local.folder import Refused
from swanlab_mcp.client.local.framing import FragmentReader
from swanlab_mcp.client.local.log_lines import LogLines, cut_line, order_lines
from swanlab_mcp.client.local.points import JsonPoints, ProtobufPoints
from swanlab_mcp.client.local.records import (
    Finish,
    Log,
    Media,
    MediaEntry,
    Record,
    Scalar,
    Start,
    decode_json,
    decode_protobuf,
    is_json,
    is_protobuf,
    read_record_number,
)
from swanlab_mcp.client.local.run_base import Damage, Ending, RunBase, explain
from swanlab_mcp.client.local.run_files import STAMP
from swanlab_mcp.client.local.series import Series
from swanlab_mcp.core.i18n import gettext

__all__ = ["Damage", "Ending", "Run"]

_CHUNK = 1 << 18
_ENDS = (1 << 13, 1 << 17)
_FIRST_RECORDS, _ERROR_LINES = 20, 20
_KEPT_POINTS = 2_000_000
_MOST_KEYS, _MOST_MEDIA = 100_000, 1_000_000
_UNORDERED, _COMPARED = 64, 256
_LOG_TAG = b"\x82\x01"
_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
_WIDEST = range(-(1 << 63), 1 << 63)


class NotARunFile(ValueError):
    """Raised for a file that does not start with the signature of a run file and contains no record."""


class Run(RunBase):
    """A run folder with a record file: `run-<id>.swanlab` from SDK 0.8 and later, or `backup.swanlab` before that.

    `outline()` reads only the start and end of the file. At most two million points are kept in memory, in addition to
    the points of the requested keys.
    """

    def __init__(self, file: Path, root: Path | None = None) -> None:
        super().__init__(file, file.parent, root)
        self.is_legacy = file.name == "backup.swanlab"
        self.files.stores_none_as_empty = not self.is_legacy
        self._decode = decode_json if self.is_legacy else decode_protobuf
        self._is_record = is_json if self.is_legacy else is_protobuf
        self._outline_stamp: STAMP | None = None
        self._extremes: tuple[STAMP, Extremes] | None = None
        self._clear()

    def _clear(self) -> None:
        self.reader = FragmentReader(self._is_record)
        self._points = (JsonPoints if self.is_legacy else ProtobufPoints)(self._find_series)
        self.start = Start()
        self.finish: Finish | None = None
        self.series: dict[str, Series] = {}
        self.media: dict[str, dict[int, tuple[MediaEntry, ...]]] = {}
        self.error_lines: list[str] = []
        self._lines = LogLines()
        self._media_count = 0
        self._last_time = 0
        self._unreadable = 0
        self._numbered = 0
        self._last_number = 0
        self._wanted: Collection[str] = ()
        self._is_full = False
        self._offset = 0
        self._head = b""
        self._read_stamp: STAMP | None = None
        self.kept = 0

    @property
    def run_id(self) -> str:
        recorded = self.start.run_id or self.file.stem.removeprefix("run-")
        return self.label if self.is_legacy and not self.start.run_id else recorded

    @property
    def is_rank(self) -> bool:
        return self.label.startswith(self.file.stem.removeprefix("run-") + "-")

    @property
    def can_resume(self) -> bool:
        return not self.is_legacy or bool(self.address)  # SDKs before 0.8 resume only runs in the cloud

    @property
    def address(self) -> str:
        with suppress(OSError, ValueError):
            return self.read_extremes().address
        return ""

    @property
    def is_marked(self) -> bool:  # type: ignore[override]  # the base class has a plain field
        return self.reader.is_marked

    @property
    def version(self) -> int | None:  # type: ignore[override]  # the base class has a plain field
        return self.reader.version

    def identify(self, size: int | None = None) -> tuple[Any, ...] | None:
        with suppress(OSError, Refused):  # the reason is reported when the file is read
            return self.files.sample(self.file.name, size=size)
        return None

    def _find_last_time(self) -> int:
        return max(self._last_time, self._points.last_time)

    @property
    def unread(self) -> int:
        return max(0, (self._stamp[0] if self._stamp else 0) - self._offset)

    def assess_damage(self) -> Damage:
        with self.lock:
            reader = self.reader
            missing = self._lines.numbering.missing + sum(one.numbering.missing for one in self.series.values())
            return Damage(
                reader.records - self._unreadable,
                reader.repaired,
                max(reader.damaged, reader.lost) + self._unreadable,
                reader.unexplained,
                missing + max(0, self._last_number - self._numbered),
                reader.oversized,
            )

    @property
    def is_known(self) -> bool:
        return self._outline_stamp is not None or self._read_stamp is not None

    def is_current(self) -> bool:
        try:
            stamp = self.files.stamp(self.file.name)
        except (OSError, Refused):
            return False
        return not self.problem and stamp in (self._read_stamp, self._outline_stamp)

    def outline(self) -> None:
        """Read the project, name, times and final state from both ends of the file, unless they are already known.

        If they are known and another thread is reading the file, return without waiting for that thread.
        """
        if not self.lock.acquire(blocking=self._outline_stamp is None and self._read_stamp is None):
            return
        try:
            stamp = self._look()
            if stamp is None or (stamp in (self._read_stamp, self._outline_stamp) and not self.problem):
                return
            if self._offset and 0 <= stamp[0] - self._offset <= _CHUNK:
                self._read_on(stamp, Work())
                return
            # use a separate object, because data that this object has already read remains valid
            ends = Run(self.file, self.files.root)
            with self.files.open(self.file.name) as file:
                ends._read_ends(file, stamp[0])
            self.start, self.finish, self.error_lines = ends.start, ends.finish, ends.error_lines
            self._last_time = ends.ending.last_time
            self._outline_stamp, self.problem = stamp, ""
        except (OSError, Refused, NotARunFile) as error:
            self.problem = explain(error)
        finally:
            self.lock.release()

    def _read_ends(self, file: BinaryIO, size: int) -> None:
        reader, payloads = self.reader, list[bytes]()
        for length in _ENDS:
            self._clear()
            file.seek(0)
            reader = FragmentReader(self._is_record)
            payloads = reader.feed(file.read(length), at_end=length >= size)
            if length >= size:
                self._check_mark(reader, payloads)
                self._take_outline(payloads)
                return
            self._take_outline(payloads[:_FIRST_RECORDS])
            if self.start.project:
                break
        self._check_mark(reader, payloads)
        for length in _ENDS:
            # the next, longer part contains the same lines again
            self.error_lines = []
            file.seek(max(0, size - length))
            reader = FragmentReader(self._is_record, at_start=False)
            self._take_outline(reader.feed(file.read(length), at_end=True))
            if self.finish:
                return

    def read_extremes(self) -> Extremes:
        """Return the metrics at the start and end of the file, cached until the file changes. Raises OSError."""
        stamp = self.files.stamp(self.file.name)
        if self._extremes is None or self._extremes[0] != stamp:
            with self.files.open(self.file.name) as file:
                self._extremes = stamp, read_extremes(file, stamp[0], is_legacy=self.is_legacy)
        return self._extremes[1]

    def _check_mark(self, reader: FragmentReader, payloads: list[bytes]) -> None:
        if not reader.is_marked and not any(map(self._is_record, payloads)):
            raise NotARunFile(gettext("the file does not start with SwanLab's signature and contains no record"))

    def _take_outline(self, payloads: list[bytes]) -> None:
        for payload in self._points.take(payloads):
            self._take(payload)

    def _read_lines_again(self, start: int, count: int, work: Work) -> list[Log]:
        lines: list[Log] = []
        seen = 0
        for payload in self._read_again(work):
            record = self._decode_if(payload, Log)
            if isinstance(record, Log):
                if start <= seen < start + count:
                    lines.append(record)
                seen += 1
        return order_lines(lines)

    def _forget_wanted(self) -> None:
        self._is_full, self._wanted = True, ()

    def _look(self) -> STAMP | None:
        """Return the size, time and inode of the file. If it is inaccessible, set `problem` and return `None`."""
        try:
            self._stamp = self.files.stamp(self.file.name)
        except (OSError, Refused) as error:
            self.problem = explain(error)
            return None
        return self._stamp

    def _refresh(self, wanted: Collection[str], work: Work) -> None:
        stamp = self._look()
        if stamp is None:
            return
        if any(key in self.series and not self.series[key].is_kept for key in wanted):
            self._restart()
        if not self._is_full:
            self._wanted = {*self._wanted, *wanted}
        elif wanted:
            self._wanted = wanted
        if stamp != self._read_stamp or self.problem:
            self._read_on(stamp, work)

    def _restart(self) -> None:
        """Drop all data that was read. Keep the outline, because other threads may be using it."""
        start, finish, wanted, last_time = self.start, self.finish, self._wanted, self._last_time
        self._clear()
        self.start, self.finish, self._wanted, self._last_time = start, finish, wanted, last_time

    def _read_on(self, stamp: STAMP, work: Work) -> None:
        if not self._offset:
            self._restart()
        work.total = max(work.total, work.done + stamp[0] - self._offset)
        try:
            # read no more than the known size, because requesting a full chunk would dominate the time of a poll
            with self.files.open(self.file.name) as file:
                if stamp[0] < self._offset or file.read(len(self._head)) != self._head:
                    # the file was replaced by another file, which may have the same inode
                    wanted = self._wanted
                    self._clear()
                    self._wanted = wanted
                self._read_stamp = (self._offset, 0, stamp[2])
                file.seek(self._offset)
                while chunk := file.read(min(_CHUNK, stamp[0] - self._offset)):
                    self._head += chunk[: _COMPARED - len(self._head)]
                    self._offset += len(chunk)
                    self._take_all(self.reader.feed(chunk))
                    self._bound_memory()
                    work.advance(len(chunk))
                    if not chunk.strip(b"\0"):
                        self._skip_hole(file, stamp[0])
            self._take_all(self.reader.feed(b"", at_end=True))
        except (OSError, Refused) as error:
            self.problem = explain(error)
            return
        self._read_stamp, self._outline_stamp, self.problem = stamp, None, ""

    def _skip_hole(self, file: BinaryIO, size: int) -> None:
        """Skip a hole in a sparse file, because reading gigabytes of zeros takes minutes."""
        if hasattr(os, "SEEK_DATA"):
            try:
                start = os.lseek(file.fileno(), self._offset, os.SEEK_DATA)
            except OSError:
                start = size  # no data follows
            start = min(start, size)
            self.reader.skip(start - self._offset)
            self._offset = start
            file.seek(start)

    def _bound_memory(self) -> None:
        for series in self.series.values():
            series.tidy()
        self.kept = sum(series.held for series in self.series.values())
        if self._is_full or self.kept > _KEPT_POINTS:
            self._is_full = True
            for key, series in self.series.items():
                if series.is_kept and key not in self._wanted:
                    series.release()
            self.kept = sum(series.held for series in self.series.values())

    def _find_series(self, key: str) -> Series:
        series = self.series.get(key)
        if series is None and len(self.series) >= _MOST_KEYS:
            # drop the points of further keys, because a file with countless keys would fill the memory
            return Series(is_kept=False)
        if series is None:
            series = self.series[key] = Series(is_kept=not self._is_full or key in self._wanted)
        return series

    def _take_all(self, payloads: list[bytes]) -> None:
        others = self._points.take(payloads)
        if not self.is_legacy:
            # two threads may swap a few records, so the largest number is in one of the last records
            self._numbered += len(payloads) - sum(read_record_number(payload) <= 0 for payload in others)
            for payload in (*others, *payloads[-_UNORDERED:]):
                self._last_number = max(self._last_number, read_record_number(payload))
        for payload in others:
            self._take(payload)

    def _take(self, payload: bytes) -> None:
        try:
            record: Record | None = self._decode(payload)
        except _UNREADABLE:
            self._unreadable += 1
            return
        if isinstance(record, Scalar):
            if record.step not in _WIDEST or record.time not in _WIDEST:
                self._unreadable += 1
                return
            self._last_time = max(self._last_time, record.time)
            series = self._find_series(record.key)
            series.add(record.step, record.value, record.time)
            series.numbering.add(record.number)
        elif isinstance(record, Media):
            self._media_count += 1
            if self._media_count > _MOST_MEDIA:
                self._unreadable += 1
                return
            self.media.setdefault(record.key, {})[record.step] = record.entries
        elif isinstance(record, Log):
            self._last_time = max(self._last_time, record.time)
            self._lines.add(record)
            if self.is_legacy:
                self._lines.numbering.add(record.number)
            if record.is_error:
                self.error_lines = [*self.error_lines, cut_line(record.line)][-_ERROR_LINES:]
        elif isinstance(record, Start):
            known = {field: value for field, value in record._asdict().items() if value}
            self.start = self.start._replace(**known)
        elif isinstance(record, Finish):
            self.finish = record

    def _read_again(self, work: Work) -> Iterator[bytes]:
        """Read the payloads again, for data that is no longer in memory. Raises OSError and Stopped."""
        reader = FragmentReader(self._is_record)
        left = self._offset
        with self.files.open(self.file.name) as file:
            while left and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield from reader.feed(chunk, at_end=not left)
                work.advance(len(chunk))

    def _decode_if(self, payload: bytes, kind: type[Log | Media]) -> Record | None:
        """Decode a payload that may be a `kind` record, or return `None`. `kind` may be Media only for legacy files."""
        mark = f'"{kind.__name__}"'.encode() if self.is_legacy else _LOG_TAG
        if mark not in payload:
            return None
        with suppress(*_UNREADABLE):
            return self._decode(payload)
        return None

    def _read_text(self, key: str, step: int, index: int, work: Work) -> str:
        # media texts are stored in their records, and are not kept in memory
        text = ""
        with self.lock:
            for payload in self._read_again(work):
                record = self._decode_if(payload, Media)
                if isinstance(record, Media) and (record.key, record.step) == (key, step):
                    text = record.texts[index]
        return text
