"""Read `runs.swanlab`, the SQLite database that SDK 0.2 to 0.6.1 writes in local mode.

The database contains the names and states of the runs, and the names of their metrics. It is copied to a private
temporary folder and opened there with `mode=ro&immutable=1`, so the user's folder is neither locked nor changed. SQLite
ignores the write-ahead log of an immutable database. The committed pages in the log are therefore merged into the copy,
because a killed run exists only in the log. A link or pipe in place of the file is refused. Limits on size, time, rows
and text length protect against a malicious database.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from struct import Struct
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import quote

from swanlab_mcp.client.local.run_files import STAMP, RunFiles
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import shorten

__all__ = ["BOARD", "Board", "BoardEntry", "Tag"]

BOARD = "runs.swanlab"
_LARGEST = 128 << 20
_SECONDS = 10.0
_STEPS_PER_CHECK = 10_000
_LONGEST_TEXT = 10_000
_LONGEST_VALUE = 1 << 20
_LIMIT_LENGTH = 0  # sqlite3.SQLITE_LIMIT_LENGTH
_ROWS = {"project": 1000, "experiment": 20_000, "tag": 100_000}
_COLUMNS = {
    "project": ("id", "name"),
    "experiment": ("id", "project_id", "run_id", "name", "description", "status", "create_time", "finish_time"),
    "tag": ("experiment_id", "name", "folder", "type"),
}
_NUMBERS = ("id", "project_id", "experiment_id", "status")
_WAL_HEADER = Struct(">IIIIIIII")
_WAL_FRAME = Struct(">IIIIII")
_WAL_MAGIC = (0x377F0682, 0x377F0683)


class Tag(NamedTuple):
    """The key of a metric, and its type as stored in the database."""

    key: str
    type: str


class BoardEntry(NamedTuple):
    """A run in the database. `tags` maps the name of each folder in logs/ to its metric."""

    project: str
    name: str
    description: str
    status: int | None
    created: str
    finished: str
    tags: dict[str, Tag]


class Board:
    """The database in `folder`. `problem` is the reason why it cannot be read, or "" if it is readable or missing."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._files = RunFiles(folder, root)
        self._lock = threading.Lock()
        self._stamp: tuple[STAMP | None, STAMP | None] | None = None
        self._entries: dict[str, BoardEntry] = {}
        self.problem = ""

    def is_current(self) -> bool:
        return self._stamp is not None and self._stamp == self._look()

    def read(self) -> dict[str, BoardEntry]:
        """Return the runs in the database by folder name."""
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._entries, self.problem = {}, ""
                if stamp[0]:
                    self._read()
            return self._entries

    def _look(self) -> tuple[STAMP | None, STAMP | None]:
        return self._stamp_of(BOARD), self._stamp_of(f"{BOARD}-wal")

    def _stamp_of(self, name: str) -> STAMP | None:
        try:
            return self._files.stamp(name)
        except (OSError, ValueError):
            return None

    def _read(self) -> None:
        try:
            content = self._read_file(BOARD)
            log = self._read_file(f"{BOARD}-wal") if self._stamp and self._stamp[1] else b""
            with _open_copy(content, log) as connection:
                self._entries = _read_entries(connection)
        except _NotCopied as error:
            # retry in the next call
            self._stamp = None
            self.problem = gettext(
                "its database {name} cannot be copied to a temporary folder ({why}); set TMPDIR to a folder with free "
                "space",
                name=BOARD,
                why=shorten(str(error)),
            )
        except (OSError, ValueError, sqlite3.Error, KeyError) as error:
            why = (error.strerror or type(error).__name__) if isinstance(error, OSError) else shorten(str(error))
            self.problem = gettext("its database {name} cannot be read ({why})", name=BOARD, why=why)

    def _read_file(self, name: str) -> bytes:
        content, _ = self._files.read(name, limit=_LARGEST)
        if content is None:
            raise ValueError(gettext("it is larger than {size} MB", size=_LARGEST >> 20))
        if not content and name == BOARD:
            raise ValueError(gettext("it is empty"))
        return content


class _NotCopied(Exception):
    """Raised when the temporary folder is missing, full or not writable."""


@contextmanager
def _open_copy(content: bytes, log: bytes) -> Generator[sqlite3.Connection, None, None]:
    """Open a private copy of the database that includes the committed pages of its write-ahead log."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(TemporaryDirectory(prefix="swanlab-mcp-", ignore_cleanup_errors=True))
            copy = Path(folder, BOARD)
            _write_joined(copy, content, log)
        except OSError as error:
            raise _NotCopied(error.strerror or type(error).__name__) from error
        address = f"{copy.as_uri()}?mode=ro&immutable=1"
        yield stack.enter_context(closing(sqlite3.connect(address, uri=True)))


def _write_joined(path: Path, content: bytes, log: bytes) -> None:
    with path.open("wb") as copy:
        copy.write(content)
        if len(log) < _WAL_HEADER.size:
            return
        magic, _, page_size, _, *salts, _, _ = _WAL_HEADER.unpack_from(log)
        if magic not in _WAL_MAGIC or not 512 <= page_size <= 65_536:
            return
        for number, start in _read_committed(log, page_size, salts).items():
            offset = (number - 1) * page_size
            if offset <= _LARGEST:
                copy.seek(offset)
                copy.write(memoryview(log)[start : start + page_size])


def _read_committed(log: bytes, page_size: int, salts: list[int]) -> dict[int, int]:
    """Return the log offset of each page's latest committed version, keyed by page number."""
    committed: dict[int, int] = {}
    pending: dict[int, int] = {}
    for start in range(_WAL_HEADER.size, len(log) - _WAL_FRAME.size - page_size + 1, _WAL_FRAME.size + page_size):
        number, size, *frame_salts, _, _ = _WAL_FRAME.unpack_from(log, start)
        if frame_salts != salts or not number:
            break
        pending[number] = start + _WAL_FRAME.size
        if size:
            committed |= pending
            pending.clear()
    return committed


def _read_entries(connection: sqlite3.Connection) -> dict[str, BoardEntry]:
    _restrict(connection)
    projects = {row["id"]: _text(row["name"]) for row in _select(connection, "project")}
    tags: dict[Any, dict[str, Tag]] = {}
    for row in _select(connection, "tag"):
        key = _text(row["name"])
        folder = _text(row.get("folder")) or quote(key, safe="")
        tags.setdefault(row["experiment_id"], {})[folder] = Tag(key, _text(row.get("type")))
    return {
        _text(row["run_id"]): BoardEntry(
            project=projects.get(row.get("project_id"), ""),
            name=_text(row["name"]),
            description=_text(row.get("description")),
            status=row["status"] if isinstance(row.get("status"), int) else None,
            created=_text(row.get("create_time")),
            finished=_text(row.get("finish_time")),
            tags=tags.get(row["id"], {}),
        )
        for row in _select(connection, "experiment")
    }


def _restrict(connection: sqlite3.Connection) -> None:
    """Limit the size of values and the CPU time of queries, and allow reading only the three known tables."""
    connection.execute("PRAGMA trusted_schema=OFF")
    set_limit: Any = getattr(connection, "setlimit", None)  # since Python 3.11
    if set_limit is not None:
        set_limit(_LIMIT_LENGTH, _LONGEST_VALUE)
    # limit the CPU time instead of the elapsed time, so that a normal database is readable on a busy machine
    deadline = time.thread_time() + _SECONDS
    connection.set_progress_handler(lambda: time.thread_time() > deadline, _STEPS_PER_CHECK)

    def allow(action: int, name: str | None, detail: str | None, *_: Any) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            is_allowed = detail == "substr"
        else:
            is_allowed = action == sqlite3.SQLITE_SELECT or (action == sqlite3.SQLITE_READ and name in _COLUMNS)
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY

    connection.set_authorizer(allow)


def _select(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, with all known columns that exist. Old SDK versions lack some of the columns."""
    there = {column[0] for column in connection.execute(f"SELECT * FROM {table} LIMIT 0").description}  # noqa: S608 our own names
    columns = [column for column in _COLUMNS[table] if column in there]
    cut = ", ".join(column if column in _NUMBERS else f"substr({column}, 1, {_LONGEST_TEXT})" for column in columns)
    for row in connection.execute(f"SELECT {cut} FROM {table} LIMIT {_ROWS[table]}"):  # noqa: S608 our own names
        yield dict(zip(columns, row, strict=True))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
