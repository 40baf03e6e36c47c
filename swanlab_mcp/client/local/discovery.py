"""Find runs in log folders, and report folders that look like runs but cannot be read."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.untrusted import shorten

__all__ = ["Discovery", "Found", "RunFinder"]

_DEPTH = 3
_MOST_FOLDERS = 20_000
_SETTLED = 2_000_000_000
_STAMP = tuple[int, int] | None
_RUN_FOLDER = re.compile(r"run-\d{8}_\d{6}-.")


class Found(NamedTuple):
    """The log folder `root` that contains a run. `is_board` is true for a run folder from an SDK before 0.6.2."""

    root: Path
    is_board: bool = False


class Discovery(NamedTuple):
    """The runs found, keyed by the path of their record file or run folder, and notes about skipped folders."""

    runs: dict[Path, Found]
    notes: list[str]


class RunFinder:
    """Finds run files by name, searching log folders up to three levels deep without following links.

    The folders are searched again only if a folder that could contain more runs has changed.
    """

    def __init__(self, log_dirs: Sequence[Path]) -> None:
        self._log_dirs = tuple(log_dirs)
        self._seen: dict[Path, _STAMP] = {}
        self._found = Discovery({}, [])

    def find(self) -> Discovery:
        if self._seen and all(_stamp_of(folder) == stamp for folder, stamp in self._seen.items()):
            return self._found
        began = time.time_ns()
        runs: dict[Path, Found] = {}
        notes: list[str] = []
        seen: dict[Path, _STAMP] = {}
        for folder in self._log_dirs:
            search = _Search(seen)
            if folder.is_dir():
                runs = {path: Found(folder, is_board) for path, is_board in search.find(folder, _DEPTH)} | runs
                notes += search.note(folder)
            else:
                seen[folder] = _stamp_of(folder)
                notes.append(
                    gettext("The log folder {name!r} does not exist or is not a folder.", name=shorten(folder.name))
                )
        # if a folder has just changed, its timestamp may not reveal the next change
        is_settled = all(stamp is None or stamp[0] < began - _SETTLED for stamp in seen.values())
        self._seen = seen if is_settled else {}
        self._found = Discovery(runs, notes)
        return self._found


def _stamp_of(folder: Path) -> _STAMP:
    """Return the times (in ns) at which a folder's entries and its permissions last changed, or `None` on an error."""
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_ctime_ns


class _Search:
    """A search of one log folder."""

    def __init__(self, seen: dict[Path, _STAMP]) -> None:
        self._seen = seen
        self._folders = 0
        self._found = 0
        self._without_record: list[str] = []
        self._unreadable: list[str] = []

    def find(self, folder: Path, depth: int) -> Iterator[tuple[Path, bool]]:
        self._folders += 1
        if self._folders > _MOST_FOLDERS:
            return
        files: list[str] = []
        folders: list[str] = []
        stamp = _stamp_of(folder)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif entry.name.endswith(".swanlab") and entry.is_file(follow_symlinks=False):
                        files.append(entry.name)
        except FileNotFoundError:
            return  # deleted during the search
        except OSError as error:
            self._seen[folder] = stamp
            self._unreadable.append(
                gettext("The folder {name!r} cannot be read ({why}).", name=shorten(folder.name), why=error.strerror)
            )
            return
        runs = sorted(name for name in files if name == "backup.swanlab" or name.startswith("run-"))
        if runs:
            self._found += len(runs)
            yield from ((folder / name, False) for name in runs)
            return
        self._seen[folder] = stamp
        if _RUN_FOLDER.match(folder.name):
            # SDK 0.6.2 and later create these folders as well, but leave them empty
            if any(_has_entries(folder / name) for name in ("logs", "console") if name in folders):
                self._found += 1
                yield folder, True
            else:
                self._without_record.append(folder.name)
        elif depth:
            for name in sorted(folders):
                if not name.startswith("."):
                    yield from self.find(folder / name, depth - 1)

    def note(self, folder: Path) -> list[str]:
        """Return notes about the skipped files and folders in a log folder."""
        notes = list(self._unreadable)
        if self._without_record:
            notes.append(
                ngettext(
                    "{count} run folder contains no record ({name!r}): the run has just started, or was recorded in "
                    "the cloud by an SDK before 0.6.2 or without a backup.",
                    "{count} run folders contain no record (e.g. {name!r}): the runs have just started, or were "
                    "recorded in the cloud by an SDK before 0.6.2 or without a backup.",
                    len(self._without_record),
                    name=shorten(self._without_record[0]),
                )
            )
        if self._folders > _MOST_FOLDERS:
            notes.append(
                gettext(
                    "Only the first {count} folders below {name!r} were searched; pass a folder that "
                    "contains runs as --log-dir.",
                    count=_MOST_FOLDERS,
                    name=shorten(folder.name),
                )
            )
        return notes


def _has_entries(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False
