"""Files inside a run folder, opened only where they really are inside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from swanlab_mcp.core.i18n import say

__all__ = ["read_inside"]

# a link in place of the file is refused, and a named pipe must not be waited for
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_inside(folder: Path, part: str, *names: str, limit: int) -> tuple[bytes | None, int]:
    """Return content and size in bytes of `folder/part/names…`; the content None where it is larger than `limit`.

    Raises FileNotFoundError or another OSError, and ValueError where a name or link leads out of `folder/part` or what
    is there is no plain file.
    """
    shown = "/".join((part, *names))
    refused = say("{path} leads out of the run's folder or is no plain file, and was not read", path=shown)
    if any(not name or Path(name).name != name or "\\" in name or "\0" in name for name in names):
        raise ValueError(refused)
    root = folder.resolve() / part
    path = root.joinpath(*names)
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode) or not path.resolve().is_relative_to(root):
        raise ValueError(refused)
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size > limit:
            return None, size
        content = file.read(limit + 1)
    return (content if len(content) <= limit else None), max(size, len(content))
