"""Write run files in the format of SDK 0.10.3, with the records that a test needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from struct import pack
from zlib import crc32

BEGAN = 1_795_420_800_000  # 2026-11-23T08:00:00Z


def encode_varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def encode_bytes(field: int, data: bytes) -> bytes:
    return encode_varint(field << 3 | 2) + encode_varint(len(data)) + data


def encode_time(milliseconds: int) -> bytes:
    seconds, rest = divmod(milliseconds, 1000)
    return b"\x08" + encode_varint(seconds) + (b"\x10" + encode_varint(rest * 1_000_000) if rest else b"")


def encode_record(number: int, kind: int, body: bytes, written: int = BEGAN) -> bytes:
    return b"\x08" + encode_varint(number) + encode_bytes(2, encode_time(written)) + encode_bytes(kind, body)


def encode_start(run_id: str, project: str = "made", began: int = BEGAN, name: str = "", workspace: str = "") -> bytes:
    texts = {1: project, 2: workspace, 4: name or run_id, 10: run_id}
    body = b"".join(encode_bytes(field, text.encode()) for field, text in texts.items())
    return encode_record(-1, 10, body + encode_bytes(12, encode_time(began)))


def encode_point(number: int, key: str, step: int, value: float, time: int = BEGAN) -> bytes:
    body = encode_bytes(1, key.encode()) + (b"\x10" + encode_varint(step) if step else b"") + b"\x18\x01"
    body += encode_bytes(4, encode_time(time)) + encode_bytes(5, b"\x09" + pack("<d", value) if value else b"")
    return encode_record(number, 13, body)


def encode_log(number: int, line: str, index: int) -> bytes:
    body = encode_bytes(1, line.encode()) + encode_bytes(3, encode_time(BEGAN)) + b"\x20" + encode_varint(index)
    return encode_record(number, 16, body)


def encode_finish(state: int = 1, error: str = "") -> bytes:
    body = b"\x08" + encode_varint(state) + (encode_bytes(2, error.encode()) if error else b"")
    return encode_record(-2, 11, body + encode_bytes(3, encode_time(BEGAN + 60_000)))


def frame(payload: bytes, offset: int) -> list[bytes]:
    """Return the byte strings that the SDK writes for a payload at an offset, including padding and headers."""
    writes: list[bytes] = []
    kind = 1
    left = payload
    while left:
        room = 32768 - offset % 32768
        if room < 7:
            writes.append(bytes(room))
            offset += room
            room = 32768
        part, left = left[: room - 7], left[room - 7 :]
        kind = (4 if kind in (2, 3) else 1) if not left else (3 if kind in (2, 3) else 2)
        writes += [pack("<IHB", crc32(bytes((kind,)) + part), len(part), kind), part]
        offset += 7 + len(part)
    return writes


def build_file(records: Iterable[bytes]) -> bytes:
    content = b":SWL\xd6\xe1\x02"
    for record in records:
        content += b"".join(frame(record, len(content)))
    return content


def write_run(folder: Path, run_id: str, records: Sequence[bytes], *, moment: str = "20261123_080000") -> Path:
    """Create a run folder in `folder` with a start record and the given records, and return the record file."""
    run = folder / f"run-{moment}-{run_id}"
    run.mkdir(parents=True)
    file = run / f"run-{run_id}.swanlab"
    file.write_bytes(build_file([encode_start(run_id), *records]))
    return file
