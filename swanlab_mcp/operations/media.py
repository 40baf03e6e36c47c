from __future__ import annotations

import asyncio
import bisect
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, product
from pathlib import PurePosixPath
from typing import Any, NamedTuple, cast

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import InvalidArgument, NotAvailableOffline, NotFound
from swanlab_mcp.core.html_text import extract_text
from swanlab_mcp.core.i18n import gettext, join_sentences, ngettext
from swanlab_mcp.core.models import ApiResponse, Media, MediaFile, MediaItem, MediaPart, Page, Picture
from swanlab_mcp.core.pictures import prepare_picture
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.core.secret_masking import make_mask
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.arguments import (
    ExpCuid,
    MediaKeys,
    MediaPage,
    MediaPageSize,
    MediaSteps,
    OptionalProject,
    StepsOnly,
    TextStart,
    Username,
)
from swanlab_mcp.operations.keys import match_keys
from swanlab_mcp.operations.listing import add_notes, describe_page, get_slice
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.steps import describe_steps

__all__ = ["get_media"]

_LARGEST_FILE = 20_000_000
_SHOWN_TEXT = 4000
_LARGEST_TABLE = 4_000_000
# saved files of unknown types are read up to this size, and shown if they contain text
_LARGEST_UNKNOWN = 1_000_000
# a text of at most this many bytes is handled faster than a thread is started
_QUICK = 10_000
_MOST_COLUMNS = 200
_MOST_CELLS = 100_000
_KEYS_AT_ONCE = 16
_NAMED = 10
_TYPES = {
    "image": ("png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff"),
    "text": ("txt", "md", "csv", "tsv", "log", "yaml", "yml", "toml", "ini", "cfg", "conf", "py", "sh", "jsonl", "xml"),
    "chart": ("json",),
    "audio": ("wav", "mp3", "flac", "ogg", "m4a", "aac"),
    "video": ("mp4", "webm", "mov", "avi", "mkv"),
    "object3d": ("glb", "gltf", "obj", "stl", "ply", "pcd", "pts"),
    "molecule": ("pdb", "mol", "mol2", "sdf", "xyz", "cif"),
    "html": ("html", "htm"),
}
_READ = ("image", "text", "chart", "html", "notebook")
# the prefix of the keys of files that were stored with `swanlab.save`
_SAVED = "files/"


class _Shown(NamedTuple):
    row: Media
    picture: Picture | None = None
    note: str = ""


async def get_media(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuid: ExpCuid,
    keys: MediaKeys,
    username: Username = "",
    steps: MediaSteps = (),
    text_start: TextStart = 0,
    page: MediaPage = 1,
    size: MediaPageSize = 4,
    steps_only: StepsOnly = False,
) -> ApiResponse[list[Media]]:
    """Get media recorded at a step: images, texts, tables and saved files; for other files only the type and size.

    Use list_metrics with kind 'media' to find the keys. Returns key, step, type, name, size (bytes), caption, and
    `picture` (image number, from 1) or `text`; notes list and count the steps with media.
    Example: {"project": "mnist", "exp_cuid": "lr-0.1", "keys": ["samples*"], "steps": [40]}.
    """
    ref = await resolve_experiment(client, exp_cuid, project, username)
    backend = client.at(ref)
    ref, logged = await ask_about_experiment(client, ref, backend.list_keys)
    chosen = _choose_keys(logged.data.scalars if logged.data else (), logged.data.media if logged.data else (), keys)
    left = chosen[_KEYS_AT_ONCE:]
    chosen = chosen[:_KEYS_AT_ONCE]
    wanted = list(dict.fromkeys(steps)) or [None]
    answers = await gather(*(backend.list_media(ref, key, step=step) for key, step in product(chosen, wanted)))
    parts = [answer.data or MediaPart((), None, ()) for answer in answers]
    notes = [note for answer in answers for note in answer.notes]
    for number, key in enumerate(chosen):
        known = parts[number * len(wanted)].steps
        lacking = ", ".join(str(step) for step in dict.fromkeys(steps) if step not in known)
        reported = {"key": quote(key), "steps": describe_steps(known), "count": len(known)}
        notes.append(
            gettext("Steps with {key}: {steps} ({count}); none at step {lacking}.", lacking=lacking, **reported)
            if lacking
            else gettext("Steps with {key}: {steps} ({count}).", **reported)
        )
    if left:
        following = ", ".join(quote(key) for key in left[:_NAMED])
        following += ", …" if len(left) > _NAMED else ""
        notes.append(
            gettext(
                "Only the first {count} of {total} keys were checked; continue with {names} as keys.",
                count=len(chosen),
                total=len(chosen) + len(left),
                names=following,
            )
        )
    if steps_only:
        total = sum(len(answer.data.steps) for answer in answers[:: len(wanted)] if answer.data)
        note = gettext("Without contents, as requested.")
        return add_notes(ApiResponse(data=[], page=Page(returned=0, total=total)), note, *dict.fromkeys(notes))
    items = [item for part in parts for item in part.items]
    _check_steps(items, parts, steps)
    listed = items[get_slice(page, size)]
    shown, about = await _show(client, ref, listed, text_start)
    notes += [*about, *(one.note for one in shown)]
    link = backend.get_link(ref)
    answer = ApiResponse(
        data=[one.row for one in shown],
        page=Page(returned=len(shown), total=len(items)),
        pictures=[one.picture for one in shown if one.picture],
    )
    paged = describe_page(answer, page, size, gettext("by key and step"))
    return add_notes(paged, *dict.fromkeys(notes), gettext("Page: {link}", link=link) if link else "")


def _choose_keys(scalars: Sequence[str], media: Sequence[str], keys: Sequence[str]) -> list[str]:
    plain = [key for key in keys if key in scalars and key not in media]
    if plain:
        raise InvalidArgument(
            gettext("{key!r} is a numeric metric, not media.", key=shorten(plain[0])), hint=gettext("Use get_metrics.")
        )
    return match_keys(media, keys, "media")


def _check_steps(items: Sequence[MediaItem], parts: Sequence[MediaPart], steps: Sequence[int]) -> None:
    """Raise NotFound, suggesting the nearest steps, if a requested step has no media for any key."""
    found = {item.step for item in items}
    known = sorted({step for part in parts for step in part.steps})
    for step in steps:
        if step not in found:
            index = bisect.bisect_left(known, step)
            near = known[max(0, index - 2) : index + 2]
            raise NotFound(
                gettext("No such media were logged at step {step}.", step=step),
                hint=gettext("Nearest steps with media: {steps}.", steps=", ".join(map(str, near))) if near else "",
            )


async def _show(
    client: SwanLabClient, ref: ExperimentRef, items: Sequence[MediaItem], text_start: int
) -> tuple[list[_Shown], list[str]]:
    """Return one row per item, and the notes about reading the files.

    The items are grouped by size limit, and each group is read with a single request.
    """
    kinds = [_find_kind(item) for item in items]
    files: dict[MediaItem, MediaFile] = {}
    notes: list[str] = []

    async def read(limit: int) -> None:
        group = [item for item, kind in zip(items, kinds, strict=True) if _limit_size(kind) == limit]
        if group:
            try:
                answer = await client.at(ref).read_media(ref, group, limit=limit)
            except NotAvailableOffline as error:
                if len(group) == len(items):
                    raise
                notes.append(str(error))
                return
            files.update(zip(group, answer.data or (), strict=False))
            notes.extend(answer.notes)

    await gather(read(_LARGEST_FILE), read(_LARGEST_UNKNOWN), read(0))
    hide = make_mask(client.get_secrets())
    shown: list[_Shown] = []
    pictures = 0
    for index, (item, kind) in enumerate(zip(items, kinds, strict=True)):
        file = files.get(item, MediaFile(None, None))
        describe = partial(_describe, item, kind, file, text_start, hide)
        is_quick = kind in ("text", "unknown") and len(file.content or b"") <= _QUICK
        one = describe() if is_quick else await asyncio.to_thread(describe)
        if notes and file == (None, None):
            one = one._replace(note="")  # the note from reading the file already gives the reason
        if one.picture:
            pictures += 1
            row = one.row.model_copy(update={"picture": pictures})
            one = one._replace(row=row, picture=one.picture._replace(row=index))
        shown.append(one)
    return shown, notes


def _describe(item: MediaItem, kind: str, file: MediaFile, text_start: int, hide: Callable[[str], str]) -> _Shown:
    name = PurePosixPath(item.path).name
    if kind == "unknown":
        kind = "text" if file.content is not None and _is_text(file.content) else "file"
    row = Media(
        key=item.key, step=item.step, type=kind, name=name or None, size=file.size, caption=item.caption or None
    )
    where = {"name": quote(name), "step": item.step}
    if kind not in _READ:
        return _Shown(row)
    if file.content is None:
        most = _LARGEST_FILE // 1_000_000
        note = gettext("{name} at step {step}: larger than {most} MB, so it is not shown.", most=most, **where)
        return _Shown(row, note=note)
    if kind == "image":
        picture = prepare_picture(file.content)
        if isinstance(picture, str):
            return _Shown(row, note=gettext("{name} at step {step}: {reason}.", reason=picture, **where))
        return _Shown(row, picture)
    # mask secrets before cutting the text, because half of a secret would not be recognised
    text = hide(file.content.decode("utf-8", errors="replace"))
    if kind == "html":
        text = extract_text(text)
    elif kind == "notebook":
        kind, text = "text", _read_notebook(text) or text
    table = _read_table(text) if kind == "chart" and len(text) <= _LARGEST_TABLE else None
    if table:
        kind, part, total = "table", *_slice(table.write_lines(), text_start, text_start + _SHOWN_TEXT)
    else:
        part, total = text[text_start : text_start + _SHOWN_TEXT], len(text)
    end = text_start + len(part)
    row = row.model_copy(update={"type": kind, "text": part})
    cut = table.left_out if table else ""
    notes = [gettext("{name} at step {step}: {left_out} omitted.", left_out=cut, **where)] if cut else []
    if end < total:
        notes.append(
            gettext(
                "{name} at step {step}: {total} characters in total; continue with text_start={end}.",
                total=total,
                end=end,
                **where,
            )
        )
    return _Shown(row, note=join_sentences(*notes))


def _find_kind(item: MediaItem) -> str:
    suffix = PurePosixPath(item.path).suffix.lower().removeprefix(".")
    kind = next((kind for kind, suffixes in _TYPES.items() if suffix in suffixes), "file")
    if not item.key.startswith(_SAVED):
        return kind
    # a JSON file that the user saved is shown as text, because only JSON files from the SDK can be charts
    return "notebook" if suffix == "ipynb" else {"chart": "text", "file": "unknown"}.get(kind, kind)


def _limit_size(kind: str) -> int:
    return _LARGEST_FILE if kind in _READ else _LARGEST_UNKNOWN if kind == "unknown" else 0


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _read_notebook(text: str) -> str:
    """Return the sources of all cells in a Jupyter notebook, without their outputs.

    Returns "" if the text is not a notebook.
    """
    try:
        notebook: Any = json.loads(text) if len(text) <= _LARGEST_TABLE else None
    except (ValueError, RecursionError):
        return ""
    cells: list[str] = []
    for cell in _get_objects(notebook, "cells") if isinstance(notebook, dict) else ():
        source: Any = cell.get("source")
        lines = cast("list[Any]", source) if isinstance(source, list) else [source]
        cells.append(f"# {cell.get('cell_type')}\n{''.join(line for line in lines if isinstance(line, str))}")
    return "\n\n".join(cells)


class _Table(NamedTuple):
    """A recorded table, reduced to a maximum number of columns and cells before it is formatted."""

    names: Sequence[str]
    rows: Sequence[dict[str, Any]]
    columns: int
    height: int

    def write_lines(self) -> Iterator[str]:
        yield " | ".join(map(_write_cell, self.names))
        for row in self.rows:
            yield "\n" + " | ".join(_write_cell(row.get(name, "")) for name in self.names)

    @property
    def left_out(self) -> str:
        """A phrase with the numbers of omitted columns and rows, or "" if the table is complete."""
        columns, rows = self.columns - len(self.names), self.height - len(self.rows)
        return ", ".join(
            [
                *([ngettext("{count} column", "{count} columns", columns)] if columns else []),
                *([ngettext("{count} row", "{count} rows", rows)] if rows else []),
            ]
        )


def _write_cell(value: Any) -> str:
    """Return the text of a table cell.

    A string is written as it was logged, unless it could be mistaken for several cells. Such strings and all other
    values are written as JSON.
    """
    is_plain = isinstance(value, str) and not any(mark in value for mark in "|\r\n")
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def _read_table(text: str) -> _Table | None:
    """Return a table that the SDK recorded as rows of cells, or `None` if the text is anything else."""
    try:
        table: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(table, dict) or cast("dict[str, Any]", table).get("_swanLab") != "table":
        return None
    rows = _get_objects(table, "rowData")
    # drop duplicate column names, whose cells would be repeated, and add columns that occur only in cells
    fields = (str(column.get("field")) for column in _get_objects(table, "colDefs"))
    names = list(dict.fromkeys(chain(fields, chain.from_iterable(rows))))
    shown = names[:_MOST_COLUMNS]
    return _Table(shown, rows[: _MOST_CELLS // max(1, len(shown))], len(names), len(rows))


def _slice(parts: Iterable[str], start: int, end: int) -> tuple[str, int]:
    """Return a slice of the joined parts and their total length, without joining all parts."""
    kept: list[str] = []
    length = 0
    for part in parts:
        if length < end and length + len(part) > start:
            kept.append(part[max(0, start - length) : end - length])
        length += len(part)
    return "".join(kept), length


def _get_objects(table: Any, field: str) -> list[dict[str, Any]]:
    values: Any = table.get(field)
    return [one for one in cast("list[Any]", values) if isinstance(one, dict)] if isinstance(values, list) else []
