"""Write new files under a temporary name and rename them once they are complete.

Existing files are only overwritten if `is_forced` is true.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext

__all__ = ["open_new", "refuse_existing", "remove_unfinished"]

_unfinished: set[Path] = set()


def refuse_existing(path: Path, advice: str = "") -> None:
    """Raise InvalidArgument if no new file can be created at `path`. Call this before doing any expensive work.

    `advice` replaces the default hint if the file already exists.
    """
    try:
        is_taken = path.exists() or path.is_symlink()
        is_possible = path.parent.is_dir()
        if not is_taken:
            # a name that is too long is only rejected when it is used
            path.lstat()
    except FileNotFoundError:
        is_taken, is_possible = False, path.parent.is_dir()
    except OSError as error:
        raise _refuse(path, error) from error
    if is_taken:
        raise InvalidArgument(
            gettext("{path} already exists and was not overwritten.", path=path),
            hint=advice or gettext("Name another file with -o."),
        )
    if not is_possible or not os.access(path.parent, os.W_OK):
        raise InvalidArgument(
            gettext(
                "{path} cannot be written because the folder {folder} does not exist.", path=path, folder=path.parent
            ),
            hint=gettext("Name another file with -o."),
        )


@contextmanager
def open_new(path: Path, *, is_text: bool, is_forced: bool = False) -> Generator[Any, None, None]:
    """Open a file that is renamed to `path` once it is complete, so that an error leaves no incomplete file behind.

    If `is_forced` is false, an existing file at `path` is never replaced. Raises InvalidArgument if the file cannot be
    written.
    """
    part = path.with_name(f".swanlab-{secrets.token_hex(4)}.part")
    try:
        with (
            part.open("x", encoding="utf-8", newline="", errors="backslashreplace")
            if is_text
            else part.open("xb") as file
        ):
            _unfinished.add(part)
            yield file
        if is_forced:
            part.replace(path)
        else:
            _publish(part, path)
    except OSError as error:
        raise _refuse(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        _unfinished.discard(part)


def remove_unfinished() -> None:
    """Remove incomplete files after a signal has interrupted writing."""
    for part in _unfinished:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _publish(part: Path, path: Path) -> None:
    try:
        # fails if another process has created the file since the check
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # the file system does not support links
        refuse_existing(path)
        part.replace(path)


def _refuse(path: Path, error: OSError) -> InvalidArgument:
    return InvalidArgument(
        gettext("{path} cannot be written ({why}).", path=path, why=error.strerror or type(error).__name__),
        hint=gettext("Name another file with -o."),
    )
