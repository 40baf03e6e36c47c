"""Read the files in a run folder other than the record file: config, metadata, requirements and media."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

from cachetools import LRUCache

from swanlab_mcp.client.local.folder import Entry, list_inside, open_inside, read_inside, refuse
from swanlab_mcp.client.local.yaml_subset import NotReadable, parse_yaml
from swanlab_mcp.client.values import restore_none, unwrap_config
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.snapshots import snapshot
from swanlab_mcp.core.untrusted import limit_value, parse_json

__all__ = ["STAMP", "RunFiles"]

T = TypeVar("T")
STAMP = tuple[int, int, int]
_LARGEST_FILE = 4 << 20
_SAMPLED = 1 << 16
_KEPT = 2 << 20  # size limits of files in bytes
_LARGEST_KEPT = 1 << 16


class _Kept(NamedTuple):
    stamp: STAMP
    value: Any


_kept = LRUCache[tuple[str, str], _Kept](_KEPT, getsizeof=lambda kept: 256 + kept.stamp[0])
_keeping = threading.Lock()


class RunFiles:
    """The files in a run folder. `folder` is `root` or inside it, and no folder between them may be a link.

    Every method raises OSError or ValueError if a file cannot be read.
    """

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        # SDK 0.8 and later store None as {}
        self.stores_none_as_empty = False
        # folders whose files may be read even through a link
        self.link_targets: Sequence[Path] = ()
        self.folder = folder
        self._path = str(folder)
        self.root = root or folder
        self._parts = folder.relative_to(self.root).parts
        self._config: tuple[STAMP, dict[str, Any]] | None = None
        # the snapshot of a call, and the stamps of the files that it looked at
        self._looks: tuple[object, dict[tuple[str, ...], STAMP]] = (None, {})

    def open(self, *parts: str) -> BinaryIO:
        return open_inside(self.root, *self._parts, *parts)

    def stamp(self, *parts: str) -> STAMP:
        """Return the size, modification time and inode of a file. Only `open` checks the file's parent folders."""
        call = snapshot.get()
        if call is None:
            # a tool call at the same time must not continue with an older stamp
            self._looks = (None, {})
            return self._look(parts)
        # read once, because another call may replace the tuple
        looks = self._looks
        if looks[0] is not call:
            looks = self._looks = (call, {})
        # if two threads look at the same time, both use the first stamp
        return looks[1].get(parts) or looks[1].setdefault(parts, self._look(parts))

    def _look(self, parts: tuple[str, ...]) -> STAMP:
        # use strings as paths for speed, because every call checks every run
        about = os.lstat("/".join((self._path, *parts)))
        if not stat.S_ISREG(about.st_mode):
            raise refuse(*parts)
        return about.st_size, about.st_mtime_ns, about.st_ino

    def list(self, *parts: str) -> list[Entry]:
        """Return the entries of a folder, or [] if it does not exist."""
        try:
            return list_inside(self.root, *self._parts, *parts)
        except FileNotFoundError:
            return []

    def read(self, *parts: str, limit: int) -> tuple[bytes | None, int]:
        """Return the content and size of a file. The content is `None` if the file exceeds `limit` bytes."""
        return read_inside(self.root, *self._parts, *parts, limit=limit)

    def sample(self, *parts: str, size: int | None = None) -> tuple[int, bytes]:
        """Return the size of a file, and a hash of its start and end. If `size` is given, ignore bytes beyond it."""
        with self.open(*parts) as opened:
            whole = opened.seek(0, os.SEEK_END)
            size = whole if size is None else min(size, whole)
            digest = sha256()
            for start in (0, max(0, size - _SAMPLED)):
                opened.seek(start)
                digest.update(opened.read(min(_SAMPLED, size)))
        return size, digest.digest()

    def read_config(self) -> dict[str, Any]:
        """Return the unwrapped content of files/config.yaml, or {} if it does not exist."""
        try:
            stamp = self.stamp("files", "config.yaml")
        except FileNotFoundError:
            return {}
        if self._config is None or self._config[0] != stamp:
            self._config = stamp, self._parse_config()
        return self._config[1]

    def _parse_config(self) -> dict[str, Any]:
        text = self._read_text("config.yaml")
        if text is None:
            return {}
        try:
            config = unwrap_config(parse_yaml(text))
        except NotReadable as error:
            raise ValueError(gettext("{name} cannot be read as YAML", name="files/config.yaml")) from error
        if not isinstance(config, dict):
            return {}
        fields = cast("dict[str, Any]", config)
        return restore_none(fields) if self.stores_none_as_empty else fields

    def read_profile(self) -> dict[str, Any]:
        """Return the config, metadata, requirements and conda environment, omitting those without a file."""
        profile: dict[str, Any] = {}
        if config := self.read_config():
            profile["config"] = config
        if metadata := self.read_metadata():
            profile["metadata"] = metadata
        for part, name in (("requirements", "requirements.txt"), ("conda", "conda.yaml")):
            text = self._read_kept(name, lambda text: text)
            if text is not None:
                profile[part] = text
        return profile

    def read_metadata(self) -> dict[str, Any]:
        """Return the content of files/swanlab-metadata.json, or {} if it does not exist."""
        return self._read_kept("swanlab-metadata.json", _parse_metadata) or {}

    def _read_kept(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Parse a file in files/. Return `None` if it does not exist. Small files are cached until they change."""
        try:
            stamp = self.stamp("files", name)
        except FileNotFoundError:
            return None
        with _keeping:
            kept = _kept.get((self._path, name))
        if kept and kept.stamp == stamp:
            return kept.value
        text = self._read_text(name)
        value = None if text is None else parse(text)
        if value is not None and stamp[0] <= _LARGEST_KEPT:
            with _keeping:
                _kept[self._path, name] = _Kept(stamp, value)
        return value

    def _read_text(self, name: str) -> str | None:
        """Return the text of a file in files/, or `None` if it does not exist."""
        try:
            content, _ = self.read("files", name, limit=_LARGEST_FILE)
        except FileNotFoundError:
            return None
        if content is None:
            raise ValueError(
                gettext("files/{name} is larger than {size} MB and was not read", name=name, size=_LARGEST_FILE >> 20)
            )
        return content.decode("utf-8", errors="replace")


def _parse_metadata(text: str) -> dict[str, Any]:
    try:
        metadata: Any = limit_value(parse_json(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(gettext("{name} cannot be read as JSON", name="files/swanlab-metadata.json")) from error
    return cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {}
