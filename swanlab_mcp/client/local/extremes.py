"""Read the start and end of a record file, to find out whether two folders belong to the same training run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from swanlab_mcp.client.local.framing import FragmentReader
from swanlab_mcp.client.local.points import JsonPoints, ProtobufPoints
from swanlab_mcp.client.local.records import (
    Log,
    Record,
    Scalar,
    Start,
    decode_json,
    decode_protobuf,
    is_json,
    is_protobuf,
)
from swanlab_mcp.client.local.series import Series

__all__ = ["Extremes", "Opening", "read_extremes"]

_PART = 1 << 18
_SYSTEM = "__swanlab__."
_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
_WIDEST = range(-(1 << 63), 1 << 63)
# the line that `init` prints in SDK 0.6 and 0.7 if the cloud accepts the run
_ADDRESS = re.compile(r"swanlab:\s+(?:[^\w\s]+\s+)?View run at\s*(\S*)\s*")
# the line that `init` prints in offline and local mode instead
_OFFLINE = re.compile(r"swanlab:\s+(?:[^\w\s]+\s+)?(?:Backing up run|Run `swanlab (?:sync|watch))")


class Opening(NamedTuple):
    """A metric's first step, and how many of its points are in the part read from the start of the file."""

    step: int
    points: int


class Extremes(NamedTuple):
    """The metrics found at the start and at the end of a record file, excluding system metrics.

    `first` describes each metric found at the start. `last` contains the last step of each metric found at the end.
    `address` is the URL that SDK 0.6 and 0.7 print for the run's page in the cloud, or "" if there is none.
    """

    first: dict[str, Opening]
    last: dict[str, int]
    address: str = ""


def read_extremes(file: BinaryIO, size: int, *, is_legacy: bool) -> Extremes:
    """Read the start and the end of a file of `size` bytes. Raises OSError if reading fails."""
    check = is_json if is_legacy else is_protobuf
    payloads = FragmentReader(check).feed(file.read(_PART), at_end=True)
    opening = _read_series(payloads, is_legacy=is_legacy)
    address = _find_address(payloads) if is_legacy else ""
    closing = opening
    if size > _PART:
        file.seek(size - _PART)
        payloads = FragmentReader(check, at_start=False).feed(file.read(_PART), at_end=True)
        closing = _read_series(payloads, is_legacy=is_legacy)
    first = {key: Opening(series.to_points().steps[0], len(series)) for key, series in opening.items()}
    return Extremes(first, {key: series.newest for key, series in closing.items()}, address)


def _decode(payload: bytes, *, is_legacy: bool) -> Record | None:
    try:
        return decode_json(payload) if is_legacy else decode_protobuf(payload)
    except _UNREADABLE:
        return None


def _read_series(payloads: Sequence[bytes], *, is_legacy: bool) -> dict[str, Series]:
    found: dict[str, Series] = {}

    def find_series(key: str) -> Series:
        return found.setdefault(key, Series())

    points = (JsonPoints if is_legacy else ProtobufPoints)(find_series)
    for payload in points.take(payloads):
        record = _decode(payload, is_legacy=is_legacy)
        if isinstance(record, Scalar) and record.step in _WIDEST and record.time in _WIDEST:
            find_series(record.key).add(record.step, record.value, record.time)
    return {key: series for key, series in found.items() if len(series) and not key.startswith(_SYSTEM)}


def _find_address(payloads: Sequence[bytes]) -> str:
    """Return the URL that the SDK printed during `init`, or "".

    Later lines are ignored, because they were printed by the training script.
    """
    lines: list[str] = []
    for payload in payloads:
        record = _decode(payload, is_legacy=True)
        if isinstance(record, Log):
            lines.append(record.line)
        elif not isinstance(record, Start):
            break
    for index, line in enumerate(lines):
        if _OFFLINE.match(line):
            return ""
        if found := _ADDRESS.fullmatch(line):
            # a long URL continues on the next lines
            address = found[1]
            for further in lines[index + 1 :]:
                if further.startswith("swanlab:"):
                    break
                address += further.strip()
            return address if address.startswith(("http://", "https://")) else ""
    return ""
