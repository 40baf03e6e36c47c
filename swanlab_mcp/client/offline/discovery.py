"""Run files in log folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Discovery", "find_runs"]

_DEPTH = 2


class Discovery(NamedTuple):
    """The run files found, and what kept others from being found."""

    files: list[Path]
    notes: list[str]


def find_runs(log_dirs: Sequence[Path]) -> Discovery:
    """Find run files by their names in log folders and up to two levels below; links are not followed."""
    files: list[Path] = []
    notes: list[str] = []
    for folder in log_dirs:
        if not folder.is_dir():
            notes.append(f"The log folder {folder.name!r} does not exist or is no folder.")
            continue
        found = list(_search(folder, _DEPTH, notes))
        if not found and (folder / "runs.swanlab").is_file():
            notes.append(
                f"{folder.name!r} holds only a dashboard's database (runs.swanlab, SDK before 0.6.2 or mode 'local' "
                "without record files); its runs cannot be read. SwanLab's own dashboard (swanboard) shows them."
            )
        files += found
    return Discovery(list(dict.fromkeys(files)), notes)


def _search(folder: Path, depth: int, notes: list[str]) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        notes.append(f"The folder {folder.name!r} cannot be read ({error.strerror}).")
        return
    for entry in entries:
        if entry.is_symlink():
            continue
        is_run = entry.name == "backup.swanlab" or (entry.name.startswith("run-") and entry.suffix == ".swanlab")
        if is_run and entry.is_file():
            yield entry
        elif depth and entry.is_dir() and entry.name not in ("files", "media", "logs", "console", "debug"):
            yield from _search(entry, depth - 1, notes)
