"""One run folder: its record file, read once and then only what was appended, and the files beside it."""

from __future__ import annotations

import json
import os
import re
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml

from swanlab_mcp.client.offline.folder import read_inside
from swanlab_mcp.client.offline.framing import FragmentReader, NotARunFile
from swanlab_mcp.client.offline.records import (
    Finish,
    Log,
    Media,
    MediaEntry,
    Record,
    Scalar,
    Start,
    decode_json,
    decode_protobuf,
    is_protobuf,
)
from swanlab_mcp.client.offline.series import Series
from swanlab_mcp.client.wire import unwrap_config

__all__ = ["Ending", "Run"]

_CHUNK = 1 << 20
_HEAD = 1 << 16
_TAIL = 1 << 17
_LARGEST_FILE = 4 << 20
_ERROR_LINES = 20
_FOLDER = re.compile(r"run-(\d{8}_\d{6})-([^/\\]+)")
_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
_STAMP = tuple[int, int, int]


class Ending(NamedTuple):
    """How a run ended, as far as its file tells: `state` UNKNOWN without a finish record; times in Unix ms."""

    state: str
    error: str
    finished_at: int
    last_time: int


class Run:
    """A run folder with its record file: `run-<id>.swanlab` (SDK 0.8 and later) or `backup.swanlab` (before).

    `outline()` reads head and tail of the file, `refresh()` all of it. Nothing is written, and of the folder's files
    only known names that are regular files inside it are opened.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.folder = file.parent
        self.lock = threading.Lock()
        self.is_legacy = file.name == "backup.swanlab"
        self._decode = decode_json if self.is_legacy else decode_protobuf
        self._is_record = _is_json if self.is_legacy else is_protobuf
        self._read_stamp: _STAMP | None = None
        self._outline_stamp: _STAMP | None = None
        self._clear()

    def _clear(self) -> None:
        self.reader = FragmentReader(self._is_record)
        self.start = Start()
        self.finish: Finish | None = None
        self.series: dict[str, Series] = {}
        self.media: dict[str, dict[int, tuple[MediaEntry, ...]]] = {}
        self.logs: list[Log] = []
        self.error_lines: list[str] = []
        self.last_time = 0
        self.unreadable = 0
        self.problem = ""
        self._offset = 0

    @property
    def run_id(self) -> str:
        named = _FOLDER.fullmatch(self.folder.name)
        recorded = self.start.run_id or self.file.stem.removeprefix("run-")
        if not self.start.run_id and self.is_legacy:
            return named[2] if named else self.folder.name
        return recorded

    @property
    def project(self) -> str:
        return self.start.project or "(unknown)"

    @property
    def name(self) -> str:
        return self.start.name or self.run_id

    @property
    def started_at(self) -> int:
        """Return the start in Unix milliseconds, from the folder's name (local time) while the file is empty."""
        named = _FOLDER.fullmatch(self.folder.name)
        if self.start.started_at or not named:
            return self.start.started_at
        return int(datetime.strptime(named[1], "%Y%m%d_%H%M%S").astimezone().timestamp() * 1000)

    @property
    def ending(self) -> Ending:
        if self.finish is None:
            return Ending("UNKNOWN", "", 0, self.last_time)
        error = self.finish.error or ("\n".join(self.error_lines) if self.finish.state == "CRASHED" else "")
        return Ending(self.finish.state, error, self.finish.finished_at, max(self.last_time, self.finish.finished_at))

    def outline(self) -> None:
        """Learn project, name, times and end from the head and the tail of the file, unless they are known."""
        with self.lock:
            stamp = self._stamp()
            if stamp is None or stamp in (self._read_stamp, self._outline_stamp):
                return
            if self._offset or stamp[0] <= _HEAD + _TAIL:
                self._read_on(stamp)
                return
            try:
                with self.file.open("rb") as file:
                    head = file.read(_HEAD)
                    file.seek(-_TAIL, os.SEEK_END)
                    tail = file.read(_TAIL)
                reader = FragmentReader(self._is_record)
                for payload in reader.feed(head):
                    self._take(payload, points=False)
                reader = FragmentReader(self._is_record, at_start=False)
                for payload in reader.feed(tail, at_end=True):
                    self._take(payload, points=False)
            except (OSError, NotARunFile) as error:
                self.problem = _explain(error)
            self._outline_stamp = stamp

    def refresh(self) -> None:
        """Read what has been appended since the last time; all of it again when the file was replaced."""
        with self.lock:
            stamp = self._stamp()
            if stamp is not None and stamp != self._read_stamp:
                self._read_on(stamp)

    def _stamp(self) -> _STAMP | None:
        try:
            about = self.file.stat()
        except OSError as error:
            self.problem = _explain(error)
            return None
        return about.st_size, about.st_mtime_ns, about.st_ino

    def _read_on(self, stamp: _STAMP) -> None:
        replaced = self._read_stamp is not None and (stamp[2] != self._read_stamp[2] or stamp[0] < self._offset)
        if replaced or not self._offset:
            self._clear()
        self._outline_stamp = None
        try:
            with self.file.open("rb") as file:
                file.seek(self._offset)
                while chunk := file.read(_CHUNK):
                    self._offset += len(chunk)
                    for payload in self.reader.feed(chunk):
                        self._take(payload)
            for payload in self.reader.feed(b"", at_end=True):
                self._take(payload)
        except (OSError, NotARunFile) as error:
            self.problem = _explain(error)
        self._read_stamp = stamp

    def _take(self, payload: bytes, *, points: bool = True) -> None:
        try:
            record: Record | None = self._decode(payload)
        except _UNREADABLE:
            self.unreadable += 1
            return
        if isinstance(record, Scalar):
            self.last_time = max(self.last_time, record.time)
            if points:
                series = self.series.get(record.key)
                if series is None:
                    series = self.series[record.key] = Series()
                series.add(record.step, record.value, record.time)
        elif isinstance(record, Media):
            self.media.setdefault(record.key, {})[record.step] = record.entries
        elif isinstance(record, Log):
            self.last_time = max(self.last_time, record.time)
            if points:
                self.logs.append(record)
            if record.is_error:
                self.error_lines = [*self.error_lines, record.line][-_ERROR_LINES:]
        elif isinstance(record, Start):
            known = {field: value for field, value in record._asdict().items() if value}
            self.start = self.start._replace(**known)
        elif isinstance(record, Finish):
            self.finish = record

    def read_config(self) -> dict[str, Any]:
        """Return files/config.yaml unwrapped; raises OSError or ValueError with what is wrong."""
        text = self._read_text("config.yaml")
        if text is None:
            return {}
        try:
            config = unwrap_config(_parse_yaml(text))
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise ValueError("files/config.yaml cannot be read as YAML") from error
        return cast("dict[str, Any]", config) if isinstance(config, dict) else {}

    def read_profile(self) -> dict[str, Any]:
        """Return config, metadata, requirements and conda, as far as their files are there; raises as above."""
        profile: dict[str, Any] = {}
        if config := self.read_config():
            profile["config"] = config
        metadata = self._read_text("swanlab-metadata.json")
        if metadata is not None:
            try:
                profile["metadata"] = json.loads(metadata)
            except (ValueError, RecursionError) as error:
                raise ValueError("files/swanlab-metadata.json cannot be read as JSON") from error
        for part, name in (("requirements", "requirements.txt"), ("conda", "conda.yaml")):
            text = self._read_text(name)
            if text is not None:
                profile[part] = text
        return profile

    def _read_text(self, name: str) -> str | None:
        """Return a file of `files/`, None if there is none; a link, a device or a huge file is not read."""
        try:
            content, _ = read_inside(self.folder, "files", name, limit=_LARGEST_FILE)
        except FileNotFoundError:
            return None
        if content is None:
            raise ValueError(f"files/{name} is larger than {_LARGEST_FILE >> 20} MB and was not read")
        return content.decode("utf-8", errors="replace")

    def read_media(self, key: str, step: int, place: int, limit: int) -> tuple[bytes | None, int]:
        """Return content and size of one item of media, without its content where it is larger than `limit` bytes.

        Raises OSError or ValueError with what is wrong.
        """
        entry = self.media[key][step][place]
        if entry.filename:
            return read_inside(self.folder, "media", entry.folder, entry.filename, limit=limit)
        content = self._find_text(key, step, place).encode("utf-8", errors="replace")
        return (content if len(content) <= limit else None), len(content)

    def _find_text(self, key: str, step: int, place: int) -> str:
        """Return a text that stands in its record; it is looked for in the file, since texts are not kept in memory."""
        text = ""
        reader = FragmentReader(self._is_record)
        with self.file.open("rb") as file:
            while chunk := file.read(_CHUNK):
                for payload in reader.feed(chunk):
                    with suppress(*_UNREADABLE):
                        record = self._decode(payload) if b'"Media"' in payload else None
                        if isinstance(record, Media) and (record.key, record.step) == (key, step):
                            text = record.texts[place] if place < len(record.texts) else ""
        return text


_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _parse_yaml(text: str) -> Any:
    """Return YAML without aliases: no config needs them, and a few of them can stand for gigabytes."""
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_SafeLoader)):
        raise ValueError("aliases are not read")
    return yaml.load(text, Loader=_SafeLoader)  # noqa: S506 it is a safe loader


def _is_json(payload: bytes) -> bool:
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return True


def _explain(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"its file cannot be read ({error.strerror or type(error).__name__})"
    return str(error)
