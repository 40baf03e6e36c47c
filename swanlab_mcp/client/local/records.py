"""Decode the records in a run file: protobuf (swanlab.record.v1) since SDK 0.8, and JSON lines in earlier versions.

The field numbers were determined from files of SDK 0.8.3 to 0.10.3. Unknown fields and records are skipped. Protobuf
omits fields whose value is 0 or 0.0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from struct import Struct
from typing import Any, NamedTuple, cast

from swanlab_mcp.client.values import is_object, read_number
from swanlab_mcp.core.untrusted import parse_json

__all__ = [
    "Finish",
    "Log",
    "Media",
    "MediaEntry",
    "Record",
    "Scalar",
    "Start",
    "decode_json",
    "decode_protobuf",
    "is_json",
    "is_protobuf",
    "read_iso",
    "read_record_number",
]

_DOUBLE = Struct("<d")
# the names of the folders in media/, from the SDK's source (swanlab/sdk/internal/pkg/adapter in 0.10.3)
_MEDIA_FOLDERS = {
    2: "image",
    3: "audio",
    4: "text",
    5: "video",
    6: "echarts",
    7: "object3d",
    8: "molecule",
    9: "html",
}
_MOST_FIELDS = 100_000
_STATES = {0: "RUNNING", 1: "FINISHED", 2: "CRASHED", 3: "ABORTED"}


class Start(NamedTuple):
    """The start of a run. Older formats spread it over several records, each of which is decoded as a Start."""

    project: str = ""
    workspace: str = ""
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    group: str = ""
    job: str = ""
    run_id: str = ""
    started_at: int = 0


class Finish(NamedTuple):
    """The end of a run. Times are in Unix milliseconds."""

    state: str
    error: str
    finished_at: int


class Scalar(NamedTuple):
    """A point. `number` is its 1-based position among the key's points, or 0 if unknown."""

    key: str
    step: int
    value: float
    time: int
    number: int = 0


class MediaEntry(NamedTuple):
    """A media item, stored in media/`folder`/`filename`. If `filename` is "", the record contains the item's text."""

    folder: str
    filename: str
    caption: str


class Media(NamedTuple):
    """The media of a key at a step. `texts` contains the text of each entry, or "" for an entry with a file."""

    key: str
    step: int
    entries: tuple[MediaEntry, ...]
    texts: tuple[str, ...] = ()


class Log(NamedTuple):
    """A log line. `number` is its 1-based line number, or 0 if unknown."""

    line: str
    is_error: bool
    time: int
    number: int


Record = Start | Finish | Scalar | Media | Log


class _Malformed(ValueError):
    """Raised for bytes that are not a valid protobuf message."""


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift > 63:
            raise _Malformed


def _read_fields(data: Any) -> Iterator[tuple[int, Any]]:
    """Yield the number and value of each field. The value of a varint is an int; all other values are bytes.

    Raises _Malformed for invalid data.
    """
    if not isinstance(data, bytes):
        raise _Malformed
    position, end = 0, len(data)
    fields = 0
    try:
        while position < end:
            fields += 1
            if fields > _MOST_FIELDS:
                raise _Malformed
            tag, position = _read_varint(data, position)
            kind = tag & 7
            if kind == 0:
                value, position = _read_varint(data, position)
                yield tag >> 3, value
                continue
            if kind == 2:
                length, position = _read_varint(data, position)
            elif kind == 1:
                length = 8
            elif kind == 5:
                length = 4
            else:
                raise _Malformed
            if position + length > end or not tag >> 3:
                raise _Malformed
            yield tag >> 3, data[position : position + length]
            position += length
    except IndexError:
        raise _Malformed from None


def is_protobuf(payload: bytes) -> bool:
    """Return whether `payload` is a single protobuf message that has a record number."""
    try:
        return {number for number, _ in _read_fields(payload)} >= {1}
    except _Malformed:
        return False


def decode_protobuf(payload: bytes) -> Record | None:
    """Decode a protobuf record. Return `None` if its type is unused. Raises ValueError for invalid bytes."""
    written_at = 0
    for number, value in _read_fields(payload):
        if number == 2:
            written_at = _read_time(value)
        decode = _DECODERS.get(number)
        if decode and isinstance(value, bytes):
            record = decode(value)
            # a record without a time has the time at which it was written, as in the SDK
            if isinstance(record, (Scalar, Log)) and not record.time:
                return record._replace(time=written_at)
            return record
    return None


def read_record_number(payload: bytes) -> int:
    """Return the 1-based number of a record, or 0 if it has none. The SDK's internal records have negative numbers."""
    try:
        return _signed(_read_varint(payload, 1)[0]) if payload.startswith(b"\x08") else 0
    except (IndexError, _Malformed):
        return 0


def _decode_scalar(data: bytes) -> Scalar:
    key, step, value, time = b"", 0, 0.0, 0
    for number, field in _read_fields(data):
        if number == 1:
            key = field
        elif number == 2:
            step = _signed(field)
        elif number == 4:
            time = _read_time(field)
        elif number == 5:
            for inner, double in _read_fields(field):
                if inner == 1 and isinstance(double, bytes) and len(double) == 8:
                    value = _DOUBLE.unpack(double)[0]
    return Scalar(_text(key), step, value, time)


def _decode_start(data: bytes) -> Start:
    texts: dict[int, str] = {}
    tags: list[str] = []
    started_at = 0
    for number, field in _read_fields(data):
        if number == 6:
            tags.append(_text(field))
        elif number == 12:
            started_at = _read_time(field)
        elif isinstance(field, bytes):
            texts[number] = _text(field)
    return Start(
        project=texts.get(1, ""),
        workspace=texts.get(2, ""),
        name=texts.get(4, ""),
        description=texts.get(5, ""),
        tags=tuple(tags),
        group=texts.get(7, ""),
        job=texts.get(8, ""),
        run_id=texts.get(10, ""),
        started_at=started_at,
    )


def _decode_finish(data: bytes) -> Finish:
    state, error, finished_at = 0, "", 0
    for number, field in _read_fields(data):
        if number == 1:
            state = _signed(field)
        elif number == 2:
            error = _text(field)
        elif number == 3:
            finished_at = _read_time(field)
    return Finish(_STATES.get(state, "UNKNOWN"), error, finished_at)


def _decode_media(data: bytes) -> Media:
    fields = dict(_read_fields(data))
    folder = _MEDIA_FOLDERS.get(_signed(fields.get(3, 0)), "unknown")
    entries: list[MediaEntry] = []
    for number, item in _read_fields(fields.get(5, b"")):
        if number == 1:
            about = dict(_read_fields(item))
            entries.append(MediaEntry(folder, _text(about.get(1, b"")), _text(about.get(4, b""))))
    return Media(_text(fields.get(1, b"")), _signed(fields.get(2, 0)), tuple(entries))


def _decode_log(data: bytes) -> Log:
    fields = dict(_read_fields(data))
    number = _signed(fields.get(4, 0))
    return Log(_text(fields.get(1, b"")), fields.get(2, 0) == 1, _read_time(fields.get(3)), number)


_DECODERS: dict[int, Callable[[bytes], Record]] = {
    10: _decode_start,
    11: _decode_finish,
    13: _decode_scalar,
    14: _decode_media,
    16: _decode_log,
}


def _read_time(data: Any) -> int:
    """Convert a google.protobuf.Timestamp to Unix milliseconds. Return 0 if the timestamp is missing."""
    if not isinstance(data, bytes):
        return 0
    seconds = nanos = 0
    for number, field in _read_fields(data):
        if number == 1:
            seconds = _signed(field)
        elif number == 2:
            nanos = _signed(field)
    return seconds * 1000 + nanos // 1_000_000


def _signed(value: Any) -> int:
    if not isinstance(value, int):
        raise _Malformed
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        raise _Malformed
    return value.decode(errors="replace")


def decode_json(payload: bytes) -> Record | None:
    """Decode a record written by SDK 0.6.2 to 0.7.20. Return `None` if its type is unused. Raises ValueError."""
    record: Any = parse_json(payload)
    if not is_object(record) or not is_object(record.get("data")):
        raise ValueError("not a record")
    data: dict[str, Any] = record["data"]
    time = read_iso(data.get("create_time"))
    match record.get("model_type"):
        case "Scalar":
            metric: Any = data.get("metric")
            value = read_number(metric.get("data")) if is_object(metric) else None
            if value is None:
                raise ValueError("not a point")
            time = read_iso(metric.get("create_time"))
            return Scalar(_string(data, "key"), int(data["step"]), value, time, _read_ordinal(data))
        case "Header":
            return Start(started_at=time)
        case "Project":
            return Start(project=_string(data, "name"), workspace=_string(data, "workspace"))
        case "Experiment":
            tags: Any = data.get("tags")
            return Start(
                name=_string(data, "name"),
                description=_string(data, "description"),
                tags=tuple(map(str, cast("list[Any]", tags))) if isinstance(tags, list) else (),
                run_id=_string(data, "id"),
            )
        case "Media":
            return _read_media(data)
        case "Log":
            return Log(_string(data, "message"), data.get("level") == "ERROR", time, _read_ordinal(data))
        case "Footer":
            return Finish("FINISHED" if data.get("success") else "CRASHED", "", time)
        case _:
            return None


def is_json(payload: bytes) -> bool:
    """Return whether the bytes are exactly one JSON value."""
    try:
        json.loads(payload, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _read_media(data: dict[str, Any]) -> Media:
    """Decode a media record. A text item is stored in the record, and any other item is a file in media/<kid>/."""
    metric: Any = data.get("metric")
    items, captions = _read_list(metric, "data"), _read_list(metric, "more")
    files = _read_list(data, "buffers_name")
    entries: list[MediaEntry] = []
    texts: list[str] = []
    for index, item in enumerate(items):
        about: Any = captions[index] if index < len(captions) else None
        is_file = item in files
        caption = _string(about, "caption") if is_object(about) else ""
        entries.append(MediaEntry(_string(data, "kid"), str(item) if is_file else "", caption))
        texts.append("" if is_file else str(item))
    return Media(_string(data, "key"), int(data["step"]), tuple(entries), tuple(texts))


def _read_list(data: Any, field: str) -> list[Any]:
    value: Any = data.get(field) if is_object(data) else None
    return cast("list[Any]", value) if isinstance(value, list) else []


def _string(data: dict[str, Any], field: str) -> str:
    value = data.get(field)
    return "" if value is None else str(value)


def _read_ordinal(data: dict[str, Any]) -> int:
    number = data.get("epoch")
    return number if isinstance(number, int) else 0


def read_iso(moment: Any) -> int:
    try:
        parsed = datetime.fromisoformat(str(moment).replace("Z", "+00:00"))
    except (ValueError, OverflowError):
        return 0
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp() * 1000)
