"""Write the output of commands: text, progress and new files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from swanlab_mcp.cli.progress_bar import ProgressBar
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.untrusted import neutralise
from swanlab_mcp.present.new_file import open_new
from swanlab_mcp.settings import wants_plain_output

__all__ = ["refuse_suffix", "report", "show", "watch", "write"]


def show(text: str) -> None:
    """Print to standard output, with terminal control characters escaped."""
    print(neutralise(text))


def report(text: str) -> None:
    """Print to standard error, with terminal control characters escaped."""
    print(neutralise(text), file=sys.stderr)


def watch(*, is_wanted: bool = True) -> closing[ProgressBar]:
    return closing(ProgressBar(sys.stderr, is_wanted=is_wanted and not wants_plain_output()))


def refuse_suffix(path: Path, known: Sequence[str]) -> None:
    """Raise InvalidArgument if `path` has a suffix that is not in `known`."""
    if path.suffix and path.suffix.lower() not in known:
        raise InvalidArgument(
            gettext("{path} has the suffix of another format.", path=path),
            hint=gettext("Use one of: {names}.", names=", ".join(known)),
        )


def write(output: Path, contents: Sequence[bytes], *, is_forced: bool = False) -> int:
    """Write the first item to `output` and any further items to numbered files in the same folder.

    Return the exit code: 0 for success or 1 for an error. Existing files are replaced only if `is_forced` is true.
    """
    for number, content in enumerate(contents, 1):
        path = output if number == 1 else output.with_stem(f"{output.stem}-{number}")
        try:
            with open_new(path, is_text=False, is_forced=is_forced) as file:
                file.write(content)
        except InvalidArgument as error:
            report(str(error))
            return 1
        report(ngettext("{path}: {count} byte", "{path}: {count} bytes", len(content), path=path))
    return 0
