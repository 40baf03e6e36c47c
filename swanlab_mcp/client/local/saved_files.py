"""List and read the files that `swanlab.save` stored in files/, as copies or as links to the user's own files.

A link is listed with its target. The target is read only if it is inside the run folder, the project folder or a folder
that the user allows. Hidden folders inside these folders are excluded. The project folder is the parent of a log folder
named `swanlog`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from swanlab_mcp.client.local.folder import read_inside
from swanlab_mcp.client.local.run_files import RunFiles
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import quote

__all__ = ["PREFIX", "SavedFile", "list_saved", "read_saved"]

PREFIX = "files/"
_OWN = ("config.yaml", "swanlab-metadata.json", "requirements.txt", "conda.yaml")
_MOST = 200
_DEPTH = 4
_LOG_FOLDER = "swanlog"


class SavedFile(NamedTuple):
    """A saved file. `parts` is its path in files/, and `target` is the target of a link, or "" for a copy."""

    parts: tuple[str, ...]
    target: str

    @property
    def key(self) -> str:
        return PREFIX + "/".join(self.parts)


def list_saved(files: RunFiles) -> list[SavedFile]:
    """Return at most 200 saved files. Raises OSError or ValueError if a folder cannot be read."""
    found: list[SavedFile] = []
    for saved in _walk(files, ()):
        found.append(saved)
        if len(found) == _MOST:
            break
    return found


def read_saved(files: RunFiles, saved: SavedFile, limit: int) -> tuple[bytes | None, int]:
    """Return the content and size of a saved file. Raises OSError or ValueError if it cannot be read."""
    if not saved.target:
        return files.read("files", *saved.parts, limit=limit)
    link = files.folder.joinpath("files", *saved.parts)
    target = Path(os.path.realpath(link.parent / saved.target))
    is_hidden = False
    for root in _list_roots(files):
        if target.is_relative_to(root):
            inside = target.relative_to(root).parts
            if inside and not any(part.startswith(".") for part in inside):
                return _read_target(root, inside, saved.target, limit)
            is_hidden = is_hidden or bool(inside)
    if is_hidden:
        raise ValueError(
            gettext(
                "it is a link to {target}, which is hidden or below a hidden folder (--allow-link-targets FOLDER "
                "allows the files directly in a hidden FOLDER)",
                target=quote(saved.target, 200),
            )
        )
    raise ValueError(
        gettext(
            "it is a link to {target}, outside the run's and the project's folders (--allow-link-targets FOLDER "
            "allows it)",
            target=quote(saved.target, 200),
        )
    )


def _read_target(root: Path, inside: tuple[str, ...], target: str, limit: int) -> tuple[bytes | None, int]:
    try:
        # open one path component at a time, to refuse a folder that was replaced by a link in the meantime
        return read_inside(root, *inside, limit=limit)
    except FileNotFoundError:
        raise ValueError(gettext("it is a link to {target}, which does not exist", target=quote(target, 200))) from None


def _walk(files: RunFiles, parts: tuple[str, ...]) -> Iterator[SavedFile]:
    for entry in files.list("files", *parts):
        if entry.is_folder:
            if len(parts) < _DEPTH:
                yield from _walk(files, (*parts, entry.name))
        elif parts or entry.name not in _OWN:
            yield SavedFile((*parts, entry.name), entry.target)


def _list_roots(files: RunFiles) -> list[Path]:
    roots = [files.folder.resolve()]
    for folder in files.folder.resolve().parents:
        if folder.name == _LOG_FOLDER and folder.parent not in (Path(folder.anchor), Path.home()):
            roots.append(folder.parent)
            break
    return [*roots, *(folder.resolve() for folder in files.link_targets)]
