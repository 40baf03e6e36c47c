"""What commands share: progress on a terminal, and new files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from swanlab_mcp.cli.progress_bar import ProgressBar
from swanlab_mcp.core.i18n import say
from swanlab_mcp.settings import wants_plain_output

__all__ = ["watch", "write"]


def watch(*, is_wanted: bool = True) -> closing[ProgressBar]:
    return closing(ProgressBar(sys.stderr, is_wanted=is_wanted and not wants_plain_output()))


def write(output: Path, pictures: Sequence[bytes]) -> int:
    """Write the first content to `output` and further ones beside it, numbered; never over a file."""
    if not pictures:
        print(say("There is no picture in this answer."), file=sys.stderr)
        return 1
    for number, picture in enumerate(pictures, 1):
        path = output if number == 1 else output.with_stem(f"{output.stem}-{number}")
        try:
            with path.open("xb") as file:
                file.write(picture)
        except OSError as error:
            print(say("{path} was not written: {why}.", path=path, why=error.strerror), file=sys.stderr)
            return 1
        print(say("{path}: {count} bytes", path=path, count=len(picture)), file=sys.stderr)
    return 0
