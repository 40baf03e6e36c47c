"""Open files in a folder one path component at a time, so that no link, pipe or race can lead out of the folder."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import quote

__all__ = ["Entry", "Refused", "is_plain_name", "list_inside", "open_inside", "read_inside", "read_lines", "refuse"]

# refuse links, and never block on named pipes
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FOLDER_FLAGS = _FLAGS | getattr(os, "O_DIRECTORY", 0)
_CHUNK = 1 << 18
_MOST_ENTRIES = 100_000
_BY_STEPS = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")


# the errors for a link (EMLINK on some systems), a path component that is not a folder, and a socket
_REFUSALS = (errno.ELOOP, errno.EMLINK, errno.ENOTDIR, errno.ENXIO)


class Entry(NamedTuple):
    """A plain file, folder or link. `size` is in bytes, and `changed` is the modification time in nanoseconds."""

    name: str
    is_folder: bool
    size: int
    changed: int
    # the target of a link, or "" for a file or folder
    target: str = ""


class Refused(ValueError):
    """Raised for a path that is not a plain file inside the folder."""


def is_plain_name(name: str) -> bool:
    """Return whether `name` is a plain file name that cannot refer to another folder."""
    return bool(name) and name not in (".", "..") and not any(character in name for character in "/\\\0")


def refuse(*parts: str) -> Refused:
    path = quote("/".join(parts[-2:]))
    return Refused(gettext("{path} is outside the run's folder or is not a regular file, and was not read", path=path))


def open_inside(root: Path, *parts: str) -> BinaryIO:
    """Open `root/parts…` without buffering. Only `root` itself may be a link.

    Raises OSError if the file cannot be opened, and Refused for a link, a pipe, a device or a path
    that leads out of `root`.
    """
    refused = refuse(*parts)
    if not parts or not all(map(is_plain_name, parts)):
        raise refused
    descriptor = _open_by_steps(root, parts, refused) if _BY_STEPS else _open_checked(root.joinpath(*parts), refused)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refused
    return os.fdopen(descriptor, "rb", buffering=0)


def read_inside(root: Path, *parts: str, limit: int) -> tuple[bytes | None, int]:
    """Return the content and size of `root/parts…`. The content is `None` if the file exceeds `limit` bytes."""
    with open_inside(root, *parts) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            return None, size
        content = bytearray()
        # an unbuffered file may return fewer bytes than requested
        while len(content) <= limit and (part := file.read(limit + 1 - len(content))):
            content += part
    return (bytes(content) if len(content) <= limit else None), max(size, len(content))


def list_inside(root: Path, *parts: str) -> list[Entry]:
    """Return up to 100,000 plain files, folders and links in `root/parts…`. Raises the same errors as `open_inside`."""
    refused = refuse(*parts)
    if not all(map(is_plain_name, parts)):
        raise refused
    # a system that can open files by component can also list a folder by its descriptor
    descriptor = _open_by_steps(root, parts, refused, _FOLDER_FLAGS) if _BY_STEPS else None
    found: list[Entry] = []
    try:
        with os.scandir(root.joinpath(*parts) if descriptor is None else descriptor) as entries:
            for entry in islice(entries, _MOST_ENTRIES):
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISLNK(about.st_mode):
                    target = os.readlink(entry.name, dir_fd=descriptor)
                    found.append(Entry(entry.name, is_folder=False, size=0, changed=0, target=target))
                if stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode):
                    is_folder = stat.S_ISDIR(about.st_mode)
                    found.append(Entry(entry.name, is_folder, about.st_size, about.st_mtime_ns))
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return sorted(found)


def read_lines(file: BinaryIO, longest: int) -> Iterator[bytes | None]:
    """Yield the lines of a file without line endings. Yield `None` for a line longer than `longest` bytes."""
    rest = b""
    is_skipped = False
    while chunk := file.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield None if is_skipped or len(line) > longest else line
            is_skipped = False
        if len(rest) > longest:
            rest, is_skipped = b"", True
    if rest or is_skipped:
        yield None if is_skipped else rest


def _open_by_steps(root: Path, parts: tuple[str, ...], refused: Refused, last: int = _FLAGS) -> int:
    descriptor = os.open(root, _FOLDER_FLAGS & ~os.O_NOFOLLOW)
    for index, part in enumerate(parts, 1):
        try:
            following = os.open(part, last if index == len(parts) else _FOLDER_FLAGS, dir_fd=descriptor)
        except OSError as error:
            if error.errno in _REFUSALS:
                raise refused from error
            raise
        finally:
            os.close(descriptor)
        descriptor = following
    return descriptor


def _open_checked(path: Path, refused: Refused) -> int:
    """Open a file on a system that cannot open it one path component at a time, such as Windows."""
    if not stat.S_ISREG(path.lstat().st_mode) or path.resolve() != path.parent.resolve() / path.name:
        raise refused
    return os.open(path, _FLAGS)
