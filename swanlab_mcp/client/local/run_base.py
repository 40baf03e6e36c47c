"""The base class for run folders of all SDK versions, with a run's name, times, end, series, media and log lines."""

from __future__ import annotations

import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from swanlab_mcp.client.local.background import Work
from swanlab_mcp.client.local.extremes import Extremes
from swanlab_mcp.client.local.log_lines import LogLines
from swanlab_mcp.client.local.records import Finish, Log, MediaEntry, Start
from swanlab_mcp.client.local.run_files import STAMP, RunFiles
from swanlab_mcp.client.local.saved_files import PREFIX, SavedFile, list_saved, read_saved
from swanlab_mcp.client.local.series import Series, Tally
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import LoggedKeys, Points
from swanlab_mcp.core.untrusted import quote

__all__ = ["Damage", "Ending", "RunBase", "explain"]

_AGREEING = 10.0  # seconds
_FOLDER = re.compile(r"run-(\d{8}_\d{6})-([^/\\]+)")


class Ending(NamedTuple):
    """The end of a run. `state` is UNKNOWN if no end was recorded. Times are in Unix milliseconds."""

    state: str
    error: str
    finished_at: int
    last_time: int


class Damage(NamedTuple):
    """The data that was lost because of unsynchronized writers, a crash or a faulty disk.

    `unread` is the number of bytes that cannot be repaired, in `unreadable` parts of the file. `missing` is the
    number of missing record numbers. Before SDK 0.8, only points and log lines are numbered. Records lost at the end
    leave no gap in the numbers. `oversized` is the number of records above the size limit.
    """

    records: int = 0
    repaired: int = 0
    unreadable: int = 0
    unread: int = 0
    missing: int = 0
    oversized: int = 0


class RunBase(ABC):
    """A run folder, identified by `file`. Each subclass reads one file format.

    `outline()` reads only a small part of the files, and `refresh()` reads all new data. Neither method writes
    anything, and both open only regular files with known names inside the folder. `problem` is the reason why the
    record cannot be read, or "". `kept` is the number of points in memory. Methods with a `work` argument raise Stopped
    if the caller is no longer waiting.
    """

    is_legacy = False
    # False if the format does not number its records
    is_numbered = True
    # False if the file does not start with the signature of a run file
    is_marked = True
    version: int | None = None
    # an additional note about the run
    remark = ""

    def __init__(self, file: Path, folder: Path, root: Path | None = None) -> None:
        self.file = file
        self.folder = folder
        self.files = RunFiles(folder, root)
        self._named = _FOLDER.fullmatch(folder.name)
        self.lock = threading.Lock()
        self._stamp: STAMP | None = None
        self.problem = ""
        self.kept = 0
        self.start = Start()
        self.finish: Finish | None = None
        self.series: dict[str, Series] = {}
        self.media: dict[str, dict[int, tuple[MediaEntry, ...]]] = {}
        self.error_lines: list[str] = []
        self._lines = LogLines()
        self._moment = 0.0

    @property
    def label(self) -> str:
        """Return the run id in the folder name. For a rank of a distributed run, the host and process are appended."""
        return self._named[2] if self._named else self.folder.name

    @property
    def run_id(self) -> str:
        return self.start.run_id or self.label

    @property
    def is_rank(self) -> bool:
        """Return whether the run was recorded by several processes (`parallel="shared"`), each in a separate folder."""
        return False

    @property
    def is_empty(self) -> bool:
        """Return whether the run's start is missing on disk, perhaps because it has not been written yet."""
        return not (self.start.run_id or self.start.project)

    @property
    def can_resume(self) -> bool:
        """Return whether the SDK may have resumed the run."""
        return False

    @property
    def address(self) -> str:
        """Return the URL that SDK 0.6 and 0.7 print for the run's page in the cloud, or "" if there is none."""
        return ""

    @property
    def project(self) -> str:
        return self.start.project or "(unknown)"

    @property
    def name(self) -> str:
        return self.start.name or self.run_id

    @property
    def started_at(self) -> int:
        """Return the start time in Unix milliseconds, or 0 if it is unknown.

        The local time in the folder name is used until a record contains the start.
        """
        if self.start.started_at or not self._named:
            return self.start.started_at
        try:
            return int(datetime.strptime(self._named[1], "%Y%m%d_%H%M%S").astimezone().timestamp() * 1000)
        except (ValueError, OverflowError):
            return 0

    @property
    def state(self) -> str:
        return self.finish.state if self.finish else "UNKNOWN"

    @property
    def ending(self) -> Ending:
        last_time = self._find_last_time()
        if self.finish is None:
            return Ending("UNKNOWN", "", 0, last_time)
        error = self.finish.error or ("\n".join(self.error_lines) if self.finish.state == "CRASHED" else "")
        return Ending(self.finish.state, error, self.finish.finished_at, max(last_time, self.finish.finished_at))

    @property
    def written_at(self) -> float:
        """Return when the record was last written, in Unix seconds, or 0 if the file has not been checked."""
        return self._stamp[1] / 1e9 if self._stamp else 0

    def take_moment(self) -> float:
        """Return the current time for computing ages in notes.

        The time is updated only every 10 seconds, so that equivalent notes in a reply have the same text and can be
        merged.
        """
        now = time.time()
        if not self.written_at <= self._moment <= now < self._moment + _AGREEING:
            self._moment = now
        return self._moment

    @property
    def size(self) -> int:
        """Return the record's size in bytes, as of the last check."""
        return self._stamp[0] if self._stamp else 0

    @property
    def stamp(self) -> object:
        """Return a value that differs if the run has changed, as of the last check."""
        return self._stamp

    @property
    def unread(self) -> int:
        """Return the number of bytes that have not been read yet."""
        return 0

    @property
    @abstractmethod
    def is_known(self) -> bool:
        """Return whether at least the outline of the record has been read."""

    @abstractmethod
    def is_current(self) -> bool:
        """Return whether the record is unchanged since it was last read."""

    @abstractmethod
    def identify(self, size: int | None = None) -> tuple[Any, ...] | None:
        """Return values that only a copy of the run would share, or `None` if they are unknown.

        If `size` is given, return the values for a copy that was made when the record file had this size.
        """

    @abstractmethod
    def outline(self) -> None:
        """Read the project, name, times and final state from a small part of the files, unless already known."""

    def read_extremes(self) -> Extremes:
        """Return the metrics at the start and end of the record. Raises OSError if it cannot be read."""
        return Extremes({}, {})

    def assess_damage(self) -> Damage:
        return Damage()

    def refresh(self, wanted: Collection[str] = (), work: Work | None = None) -> None:
        """Read the data that was recorded since the last call, and keep all points of the `wanted` keys in memory."""
        with self.lock:
            self._refresh(wanted, work or Work())

    def read_points(self, keys: Collection[str], work: Work | None = None) -> dict[str, Points]:
        """Return a copy of the points of each logged key in `keys`."""
        with self.lock:
            self._refresh(keys, work or Work())
            return {key: self.series[key].to_points() for key in keys if key in self.series}

    def read_tallies(self, keys: Collection[str] | None = None, work: Work | None = None) -> dict[str, Tally]:
        """Return the summary statistics of the logged keys in `keys`, or of all logged keys if `keys` is `None`."""
        with self.lock:
            self._refresh((), work or Work())
            return {key: series.tally() for key, series in self.series.items() if keys is None or key in keys}

    def count_lines(self, work: Work | None = None) -> int:
        """Return the current number of log lines."""
        with self.lock:
            self._refresh((), work or Work())
            return self._lines.count

    def read_lines(self, start: int, count: int, work: Work | None = None) -> list[Log]:
        """Return `count` log lines starting at index `start`. Lines that are no longer in memory are read again."""
        with self.lock:
            kept = self._lines.get(start, count)
            return self._read_lines_again(start, count, work or Work()) if kept is None else kept

    def list_keys(self) -> LoggedKeys:
        with self.lock:
            saved = [key for key in self._list_saved() if key not in self.series and key not in self.media]
            return LoggedKeys(list(self.series), [*self.media, *saved])

    def list_media(self, key: str) -> dict[int, tuple[MediaEntry, ...]]:
        """Return the media of a key by step. Each file that `swanlab.save` stored has its own key and a single item."""
        with self.lock:
            if key in self.media or not key.startswith(PREFIX):
                return dict(self.media.get(key, {}))
            saved = self._list_saved().get(key)
        if saved is None:
            return {}
        caption = gettext("link to {target}", target=quote(saved.target, 200)) if saved.target else ""
        return {0: (MediaEntry("files", "/".join(saved.parts), caption),)}

    def read_media(
        self, key: str, step: int, index: int, limit: int, work: Work | None = None
    ) -> tuple[bytes | None, int]:
        """Return the content and size of a media item. The content is `None` if the item exceeds `limit` bytes.

        Raises OSError or ValueError if the item cannot be read, and Stopped if the caller is no longer waiting.
        """
        if key not in self.media:
            return read_saved(self.files, self._list_saved()[key], limit)
        entry = self.media[key][step][index]
        if entry.filename:
            return self.files.read("media", entry.folder, entry.filename, limit=limit)
        content = self._read_text(key, step, index, work or Work()).encode("utf-8", errors="replace")
        return (content if len(content) <= limit else None), len(content)

    def _list_saved(self) -> dict[str, SavedFile]:
        try:
            return {saved.key: saved for saved in list_saved(self.files)}
        except (OSError, ValueError):
            return {}  # the folder's problem is reported when its config is read

    def release(self) -> int:
        """Release all points in memory, and return their number. Do nothing if the run is being read.

        A later request for points reads the file again.
        """
        if not self.lock.acquire(blocking=False):
            return 0
        try:
            released, self.kept = self.kept, 0
            for series in self.series.values():
                series.release()
            self._forget_wanted()
        finally:
            self.lock.release()
        return released

    @abstractmethod
    def _find_last_time(self) -> int: ...

    @abstractmethod
    def _refresh(self, wanted: Collection[str], work: Work) -> None: ...

    @abstractmethod
    def _read_lines_again(self, start: int, count: int, work: Work) -> list[Log]: ...

    @abstractmethod
    def _read_text(self, key: str, step: int, index: int, work: Work) -> str:
        """Return the text of a media item that was not recorded as a file."""

    @abstractmethod
    def _forget_wanted(self) -> None:
        """Forget which keys must stay in memory, because their points have just been released."""


def explain(error: Exception) -> str:
    if isinstance(error, OSError):
        return gettext("its file cannot be read ({why})", why=error.strerror or type(error).__name__)
    return str(error)
