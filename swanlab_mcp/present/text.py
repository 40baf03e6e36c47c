"""Render answers as compact text for an assistant.

A payload is the JSON form of an ApiResponse, with `code`, `errmsg`, `data` and, if present, `page` and `notes`.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, cast, overload

from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.records import list_columns
from swanlab_mcp.core.secret_masking import make_mask, mask_secrets, may_hold_secret
from swanlab_mcp.core.untrusted import is_plain, neutralise_value, shorten
from swanlab_mcp.operations.budget import count_tokens
from swanlab_mcp.present.code_words import word_code
from swanlab_mcp.present.comparison_text import rearrange
from swanlab_mcp.present.table_text import CONFIG, drop_obvious, fold_dates, fold_usual

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Reply", "Rows", "count_tokens", "fit", "render"]

# a truncated reply has one of these page sizes, so that the next page starts at a multiple of its size
_SIZES = (100, 50, 40, 25, 20, 10, 8, 5, 4, 2, 1)
_DEEPEST = 8
_LONGEST_NAME = 64
_MISSING: Any = object()
# cells are separated by a bar between spaces
_BAR = re.compile(r"(?<![^ ])\|(?![^ ])")
_OURS = ("note:", "all rows:", "usual:")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Rows(Sequence[Any]):
    """A sequence of records that are converted to JSON objects on access, because a reply only shows a few of them."""

    def __init__(self, records: Sequence[BaseModel]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Rows(self._records[index])
        return self._records[index].model_dump(mode="json", exclude_none=True)


class Reply(NamedTuple):
    """A reply as JSON and as text. Both forms contain the same facts and stay within the token budget."""

    structured: dict[str, Any]
    text: str


def fit(
    payload: Mapping[str, Any],
    budget: int,
    *,
    offset: int = 0,
    is_paged: bool = True,
    keep_last: bool = False,
    is_masked: bool = False,
    secrets: Collection[str] = (),
) -> Reply:
    """Return both forms of a payload within `budget` tokens. The payload's `data` may be `Rows`.

    If the payload has a `page`, the items in `data` are rows. Rows are never cut: as many as fit are returned, and
    `page.next` contains the arguments for the next page. `offset` is the position of the first row in the full list. If
    `is_paged` is false, rows contain their own positions, and `keep_last` keeps the last rows instead of the first. In
    a single record, the longest strings are shortened, and notes list them. If `is_masked` is true, likely secrets are
    masked; `secrets` are always masked.
    """
    longest, sizes = budget * 4, dict[str, str]()
    hide = make_mask(secrets)
    # a secret that JSON escapes is not found in JSON, so all strings must be searched
    most = -1 if any(_to_json(one)[1:-1] != one for one in secrets) else longest

    def clean(value: Any, reported: dict[str, str]) -> tuple[Any, str]:
        # most values need no change, and one check of their JSON is faster than three passes over the strings
        text = _to_json(value)
        if len(text) <= most and is_plain(text) and hide(text) == text and not (is_masked and may_hold_secret(text)):
            return value, text
        kept = _limit(value, longest, "", reported, hide)
        kept = neutralise_value(mask_secrets(kept) if is_masked else kept)
        return kept, _to_json(kept)

    def take(rows: Iterable[Any]) -> list[Any]:
        """Return the rows up to the first one that exceeds the budget, because later rows cannot be shown."""
        taken, left = list[Any](), budget
        for row in rows:
            shown, text = clean(row, {} if taken else sizes)
            taken.append(shown)
            # subtract 2 for the braces, so that the total never exceeds the tokens of the list
            left -= count_tokens(text) - 2
            if left < 0:
                break
        return taken

    data: Any = payload.get("data")
    if "page" not in payload or not isinstance(data, (list, dict, Rows)):
        shown, _ = clean(data, sizes)
    elif isinstance(data, dict):
        named = enumerate(cast("dict[str, Any]", data).items())
        records = take({_cut_name(hide(key), longest, number): row} for number, (key, row) in named)
        shown = dict[str, Any]()
        for number, record in enumerate(records):
            for key, row in record.items():
                # two names can become equal when they are masked or shortened
                shown[_describe_apart(key, number) if key in shown else key] = row
    else:
        rows = cast("Sequence[Any]", data)
        shown = take(reversed(rows))[::-1] if keep_last and not is_paged else take(rows)
    safe: dict[str, Any] = {**clean(_limit_notes({**payload, "data": None}, budget), {})[0], "data": shown}
    if _fits(reply := _reply(safe), budget):
        return reply

    def cut(count: int) -> dict[str, Any]:
        if is_paged:
            return _cut(safe, count, offset)
        return _cut_unpaged(safe, count, len(payload["data"]), keep_last=keep_last)

    if "page" in safe and shown:
        # measured as JSON, which is usually longer than the text and faster to produce
        kept = _count_fitting(len(shown), budget, lambda count: _to_json(cut(count)))
        if kept and count_tokens(render(cut(kept))) > budget:
            kept = _count_fitting(kept, budget, lambda count: render(cut(count)))
        if kept:
            return _reply(
                cut(next(size for size in _SIZES if size <= kept and offset % size == 0) if is_paged else kept)
            )
        safe = cut(1)
    return _shorten_texts(safe, budget, sizes)


def render(payload: Mapping[str, Any]) -> str:
    """Render a payload as text: the page, a table or `name: value` lines, and the notes.

    All strings in the payload must already be neutralised (see `core.untrusted`).
    """
    lines: list[str] = []
    page: Mapping[str, Any] = payload.get("page") or {}
    data = payload.get("data")
    if page:
        more = gettext("; next: {arguments}", arguments=page["next"]) if page.get("next") else ""
        order = gettext(", {order}", order=page["order"]) if page.get("order") and page["returned"] > 1 else ""
        lines.append(gettext("{returned} of {total}", returned=page["returned"], total=page["total"]) + order + more)
    if page and isinstance(data, dict):
        lines += _render_table([{"key": key, **row} for key, row in cast("dict[str, dict[str, Any]]", data).items()])
    elif isinstance(data, list):
        lines += _render_table(cast("list[dict[str, Any]]", data))
    elif isinstance(data, dict):
        lines += _render_record(rearrange(cast("dict[str, Any]", data), _format))
    lines += [gettext("note: ") + _cell(note) for note in payload.get("notes") or ()]
    return "\n".join(lines)


def _reply(payload: dict[str, Any]) -> Reply:
    return Reply(payload, render(payload))


def _fits(reply: Reply, budget: int) -> bool:
    return count_tokens(reply.text) <= budget and count_tokens(_to_json(reply.structured)) <= budget


def _count_fitting(most: int, budget: int, write: Callable[[int], str]) -> int:
    """Return the number of rows that fit into the budget, found by binary search."""
    return bisect.bisect_left(range(1, most + 1), 1, key=lambda count: count_tokens(write(count)) > budget)


def _cut(payload: dict[str, Any], count: int, offset: int) -> dict[str, Any]:
    data, page = payload["data"], payload["page"]
    if isinstance(data, dict):
        kept: Any = dict(list(cast("dict[str, Any]", data).items())[:count])
    else:
        kept = data[:count]
    following = f"page={offset // count + 2} size={count}"
    notes = [
        *payload.get("notes", ()),
        ngettext(
            "Cut to {count} row to stay within the output limit.",
            "Cut to {count} rows to stay within the output limit.",
            count,
        ),
    ]
    has_more = offset + count < page["total"]
    reported = {**page, "returned": count, "next": following}
    if not has_more:
        del reported["next"]
    return {**payload, "data": kept, "page": reported, "notes": notes}


def _cut_unpaged(payload: dict[str, Any], count: int, total: int, *, keep_last: bool) -> dict[str, Any]:
    rows = payload["data"]
    kept = rows[-count:] if keep_last else rows[:count]
    note = (
        gettext("Cut to the last {count} of {total} rows to stay within the output limit.", count=count, total=total)
        if keep_last
        else gettext(
            "Cut to the first {count} of {total} rows to stay within the output limit.", count=count, total=total
        )
    )
    page = {**payload["page"], "returned": count}
    return {**payload, "data": kept, "page": page, "notes": [*payload.get("notes", ()), note]}


def _limit_notes(payload: dict[str, Any], budget: int) -> dict[str, Any]:
    notes = cast("list[str]", payload.get("notes") or [])
    most = max(4, budget // 200)
    if len(notes) <= most:
        return payload
    # keep the last notes, because they explain how to continue
    left = ngettext("{count} more note is omitted.", "{count} more notes are omitted.", len(notes) - most + 1)
    return {**payload, "notes": [*notes[: most - 3], left, *notes[-2:]]}


def _shorten_texts(payload: dict[str, Any], budget: int, sizes: Mapping[str, str]) -> Reply:
    """Halve the longest strings, and if necessary lists and objects, until the reply fits into the budget."""
    length = 1 << max(8, len(_to_json(payload)).bit_length())
    shortened: dict[str, str] = {}
    reply = _reply(payload)
    while not _fits(reply, budget) and length > 1:
        length //= 2
        shortened.clear()
        data = _limit(payload["data"], length, "", shortened)
        reported = {**shortened, **sizes}
        notes = [
            gettext("{path} is truncated; full size: {size}.", path=shorten(path, 120), size=size)
            for path, size in list(reported.items())[:10]
        ]
        if len(reported) > len(notes):
            notes.append(
                ngettext(
                    "{count} more field is truncated.", "{count} more fields are truncated.", len(reported) - len(notes)
                )
            )
        notes.append(gettext("Request less data at once, or start the server with a larger --max-output-tokens."))
        reply = _reply({**payload, "data": data, "notes": [*payload.get("notes", ()), *notes]})
    return reply


def _limit(value: Any, length: int, path: str, shortened: dict[str, Any], hide: Callable[[str], str] = str) -> Any:
    """Truncate the strings in a JSON value to `length` characters, and its lists and objects to `length` items.

    `hide` masks each string before it is truncated, because half of a secret would not be recognised.
    """
    if isinstance(value, str):
        text = hide(value)
        if len(text) <= length:
            return text
        shortened[path or "data"] = ngettext("{count} character", "{count} characters", len(text))
        return text[:length] + "…"
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if len(items) > length:
            shortened[path or "data"] = ngettext("{count} item", "{count} items", len(items))
        return [_limit(item, length, path, shortened, hide) for item in items[:length]]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if len(fields) > length:
            shortened[path or "data"] = ngettext("{count} entry", "{count} entries", len(fields))
        kept: dict[str, Any] = {}
        for number, (key, item) in enumerate(list(fields.items())[:length]):
            whole = hide(key)
            name = _cut_name(whole, length, number)
            where = f"{path}.{name}" if path else name
            if name != whole:
                shortened[where] = ngettext("{count} character in a name", "{count} characters in a name", len(whole))
            kept[name] = _limit(item, length, where, shortened, hide)
        return kept
    return value


def _cut_name(name: str, length: int, number: int) -> str:
    """Shorten an entry's name if it is long, and append the entry's number so that the name stays unique."""
    if len(name) <= max(length, _LONGEST_NAME):
        return name
    return _describe_apart(name, number)


def _describe_apart(name: str, number: int) -> str:
    return gettext("{name}… (entry {number})", name=name[:_LONGEST_NAME], number=number)


def _render_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Render a header and one line per row. Columns with a single value are listed before the header."""
    # an empty object in a record carries no information, but deeper empty objects are recorded values
    flat = [_flatten({name: item for name, item in row.items() if item != {}}) for row in rows]
    names = list_columns(flat)
    cells = {name: [_format(_translate(name, row.get(name, _MISSING))) for row in flat] for name in names}
    cells = drop_obvious(cells)
    columns = [name for name in cells if any(cells[name])]
    constant: list[str] = []
    if len(flat) > 1:
        constant = [column for column in columns[1:] if len(set(cells[column])) == 1]
    equal = [f"{_cell(column)} {cells[column][0]}" for column in constant]
    cells, usual = fold_usual(cells, [column for column in columns if column not in constant])
    cells, dates = fold_dates(cells)
    varying = [column for column, some in cells.items() if column not in constant and any(some)]
    lines: list[str] = []
    if equal or dates:
        lines.append(gettext("all rows: ") + " | ".join([*equal, *dates]))
    if usual:
        lines.append(gettext("usual: ") + _cell("; ".join(usual)))
    if varying:
        lines.append(" | ".join(map(_cell, varying)))
        table = map(" | ".join, zip(*(cells[column] for column in varying), strict=True))
        # a row must not look like one of the server's own lines
        ours = (*_OURS, *(word.rstrip() for word in (gettext("note: "), gettext("all rows: "), gettext("usual: "))))
        lines += [f"\\{row}" if row.startswith(ours) else row for row in table]
    return lines


def _render_record(record: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, value in _flatten(record).items():
        if isinstance(value, str) and "\n" in value:
            # mark every line, so that recorded text cannot be mistaken for text from the server
            lines += [f"{_cell(name)}:", *(f"| {line}" for line in value.split("\n"))]
        elif _is_table(value):
            # indent the lines, so that a recorded name cannot be mistaken for text from the server
            lines += [f"{_cell(name)}:", *(f"  {line}" for line in _render_table(value))]
        elif value != "":
            lines.append(f"{_cell(name)}: {_format(_translate(name, value))}")
    return lines


def _translate(name: str, value: Any) -> Any:
    return word_code(name, value) if isinstance(value, str) else value


def _is_table(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    rows = cast("list[Any]", value) if isinstance(value, list) else []
    return bool(rows) and all(isinstance(row, dict) for row in rows)


def _flatten(value: Mapping[str, Any], prefix: str = "", depth: int = 1) -> dict[str, Any]:
    """Return nested values by dotted key. A key that contains a dot is quoted if it equals the path of a nested value.

    In recorded configs, such keys are always quoted, because the nested value may be missing from the reply.
    """
    flat: dict[str, Any] = {}
    dotted = [key for key in value if "." in key]
    for key, item in value.items():
        if key in dotted:
            continue
        if isinstance(item, dict) and item and depth < _DEEPEST:
            flat |= _flatten(cast("dict[str, Any]", item), f"{prefix}{key}.", depth + 1)
        else:
            flat[f"{prefix}{key}"] = item
    if not dotted:
        return flat
    for key in dotted:
        own = _flatten({"": value[key]}, depth=depth)
        names = {f"{prefix}{key}{path}": leaf for path, leaf in own.items()}
        if prefix.startswith(CONFIG) or names.keys() & flat.keys():
            names = {f'{prefix}"{key}"{path}': leaf for path, leaf in own.items()}
        flat |= names
    return flat


def _format(value: Any) -> str:
    if value is _MISSING:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return _cell(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list) and all(_is_number(item) for item in cast("list[Any]", value)):
        return f"[{','.join(_format(item) for item in cast('list[Any]', value))}]"
    return _cell(_to_json(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or value in ("NaN", "Infinity", "-Infinity")


def _cell(text: str) -> str:
    if text.isprintable() and "|" not in text:
        return text
    return _BAR.sub(r"\\|", text.replace("\r", "").replace("\n", "\\n").replace("\t", "\\t"))


def _to_json(value: Any) -> str:
    return _JSON.encode(value)
