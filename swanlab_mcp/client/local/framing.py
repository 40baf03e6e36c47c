"""Read record payloads from a run file, even if a crash or two unsynchronized writers damaged the file.

A run file uses LevelDB's log format with little-endian integers. The following details were determined from files
written by SDK 0.6.5 to 0.10.3:

- The file header consists of `:SWL`, u16 0xE1D6 and u8 version.
- A fragment consists of u32 CRC-32 of type and data, u16 length, u8 type (1 whole, 2 first, 3 middle, 4 last), and the
  data.
- Up to 6 zero bytes pad a block to 32768 bytes.

The SDK writes the header and the data of a fragment separately, and two threads write without a lock. The data may
therefore be far away from its header. The bytes between intact fragments are called a hole. Headers found in holes are
matched by CRC with data found in holes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from typing import NamedTuple
from zlib import crc32

__all__ = ["FragmentReader"]

MAGIC = b":SWL\xd6\xe1"
HEADER_SIZE = 7

_FRAGMENT = Struct("<IHB")
_TYPE = re.compile(rb"[\x01-\x04]", re.DOTALL)
_LONGEST = 32768 - HEADER_SIZE
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_BEGUN = {kind: crc32(bytes((kind,))) for kind in range(5)}
_COMMON = 4096
_PENDING = 32
_OPEN = 4
_NEAR = 24_576
_LARGEST = 8 << 20
_TOKENS = 500
_WIDEST_HOLE = 1 << 20
_SEARCHED = 4096
_EFFORT = 1 << 28


class _Header(NamedTuple):
    """The header of a fragment whose data has not been found yet."""

    crc: int
    length: int
    kind: int


class FragmentReader:
    """Read record payloads from a run file that is still growing, in the order in which they appear in the file.

    `is_record` returns whether assembled bytes are a complete record. It is needed to separate two split records whose
    parts are interleaved. If `at_start` is false, reading starts in the middle of a file, so no file header is
    expected. `is_marked` is false if the file does not start with the signature of a run file. Such a file is either
    damaged at the start or not a run file.

    The counters are:

    - `records`: records that were read
    - `repaired`: fragments that were read although their data was separated from their header
    - `damaged`: holes that could not be explained, with `unexplained` bytes in total
    - `unpaired`: headers whose data has not been found yet
    - `lost`: parts of split records that could not be assembled
    - `oversized`: records that were too large to read
    """

    def __init__(self, is_record: Callable[[bytes], bool], *, at_start: bool = True) -> None:
        self._is_record = is_record
        self._data = b""
        self._scanned = 0
        self._pending: list[_Header] = []
        self._open: list[_Parts] = []
        self._offset = 0
        self._effort = _EFFORT
        self._begun = not at_start
        self.version: int | None = None
        self.is_marked = True
        self.consumed = 0
        self.records = 0
        self.repaired = 0
        self.damaged = 0
        self.unexplained = 0
        self.lost = 0
        self.oversized = 0

    @property
    def unpaired(self) -> int:
        return len(self._pending)

    @property
    def torn(self) -> int:
        """Return the number of bytes at the end of the data that may belong to an incomplete fragment."""
        return len(self._data)

    def feed(self, chunk: bytes, *, at_end: bool = False) -> list[bytes]:
        """Process the next bytes of the file, and return the payloads that they complete.

        `at_end` is true if the file currently has no more data. Everything except an incomplete fragment is then final.
        """
        self._data += chunk
        payloads: list[bytes] = []
        position = 0
        if not self._begun:
            start = self._data[:HEADER_SIZE]
            self.is_marked = MAGIC.startswith(start[: len(MAGIC)])
            if self.is_marked and len(start) < HEADER_SIZE:
                return payloads
            self._begun = True
            if self.is_marked:
                self.version, position = start[-1], HEADER_SIZE
        position = self._read(position, payloads, at_end=at_end)
        self.consumed += position
        self._data = self._data[position:]
        self._scanned = max(0, self._scanned - position)
        return payloads

    def skip(self, count: int) -> None:
        """Skip `count` bytes without data in a sparse file."""
        self.consumed += count
        if count:
            self.damaged += 1
            self.unexplained += count

    def _read(self, position: int, payloads: list[bytes], *, at_end: bool) -> int:
        data = self._data
        end = len(data)
        unpack = _FRAGMENT.unpack_from
        while position < end:
            is_torn = position + HEADER_SIZE > end
            if not is_torn:
                crc, length, kind = unpack(data, position)
                stop = position + HEADER_SIZE + length
                if stop <= end and 1 <= kind <= 4:
                    part = data[position + HEADER_SIZE : stop]
                    if crc32(part, _BEGUN[kind]) == crc:
                        if kind != _WHOLE:
                            self._offset = self.consumed + position
                        self._assemble(kind, part, payloads)
                        position = stop
                        continue
                is_torn = stop > end and 1 <= kind <= 4 and length <= _LONGEST
            self._offset = self.consumed + position
            # try pending headers only between intact fragments, because trying them at every fragment would be slow
            if self._pending and (length := self._take_pending(data, position, payloads)):
                position += length
                continue
            if is_torn and not at_end:
                break
            following = self._find_fragment(data, position, at_end=at_end)
            if following is None and end - position > _WIDEST_HOLE:
                following = end - _LONGEST - HEADER_SIZE
            if following is None:
                return self._settle_tail(data, position, payloads) if at_end else position
            self._explain(data[position:following], payloads)
            position = following
        return position

    def _find_fragment(self, data: bytes, position: int, *, at_end: bool) -> int | None:
        """Return the start of the next intact fragment after `position`, or `None` if there is none yet.

        The range that was searched is remembered, so that it is not searched again.
        """
        end = len(data)
        for match in _TYPE.finditer(data, max(position + 1, self._scanned) + 6):
            start = match.start() - 6
            crc, length, _kind = _FRAGMENT.unpack_from(data, start)
            stop = start + HEADER_SIZE + length
            if length > (_LONGEST if self._effort > 0 else _COMMON):
                continue
            if stop > end:
                if at_end:
                    continue
                self._scanned = start
                return None
            self._effort -= length
            if crc32(data[start + 6 : stop]) == crc:
                self._scanned = 0
                return start
        if not at_end:
            self._scanned = max(position + 1, end - 6)
        return None

    def _take_pending(self, data: bytes, position: int, payloads: list[bytes]) -> int:
        """Read the data of a pending header at `position`. Return its length, or 0 if no pending header matches."""
        for index, header in enumerate(self._pending):
            if header.length and _matches(header, data, position):
                del self._pending[index]
                self.repaired += 1
                self._assemble(header.kind, data[position : position + header.length], payloads)
                return header.length
        return 0

    def _explain(self, hole: bytes, payloads: list[bytes]) -> None:
        """Split a hole into padding, separated headers and separated data. Count it as damaged if that fails."""
        tokens = _split_hole(hole, 0, self._pending, [_TOKENS])
        if tokens is not None:
            for token in tokens:
                self._take(token, hole, payloads)
            return
        header = _read_header(hole, 0)
        start = 0
        if header:
            self._add_pending(header)
            start = HEADER_SIZE
        found = self._search(hole, start, payloads)
        self.damaged += 1
        self.unexplained += len(hole) - found

    def _search(self, hole: bytes, start: int, payloads: list[bytes]) -> int:
        """Search a damaged hole for the data of pending headers, and return the number of bytes found.

        In a wide hole, only the two ends are searched.
        """
        found = 0
        for header in list(self._pending):
            offsets = range(start, len(hole) - header.length + 1)
            if len(hole) > _SEARCHED:
                offsets = (start, len(hole) - header.length)
            for offset in offsets:
                self._effort -= header.length
                if self._effort < 0:
                    return found
                if header.length and offset >= 0 and _matches(header, hole, offset):
                    self._pending.remove(header)
                    self.repaired += 1
                    self._assemble(header.kind, hole[offset : offset + header.length], payloads)
                    found += header.length
                    break
        return found

    def _settle_tail(self, data: bytes, position: int, payloads: list[bytes]) -> int:
        """Read the data of pending headers at the end of the file, and return the position where that data ends."""
        tokens = _split_hole(data[position:], 0, self._pending, [_TOKENS], partly=True) or []
        last = max((index for index, token in enumerate(tokens) if token.header and not token.is_header), default=-1)
        for token in tokens[: last + 1]:
            self._take(token, data[position:], payloads)
        return position + (tokens[last].stop if last >= 0 else 0)

    def _take(self, token: _Token, hole: bytes, payloads: list[bytes]) -> None:
        if token.header is None:
            return
        if token.is_header:
            self._add_pending(token.header)
            return
        self._pending.remove(token.header)
        self.repaired += 1
        self._assemble(token.header.kind, hole[token.start : token.stop], payloads)

    def _add_pending(self, header: _Header) -> None:
        self._pending.append(header)
        if len(self._pending) > _PENDING:
            del self._pending[0]
            self.lost += 1

    def _assemble(self, kind: int, part: bytes, payloads: list[bytes]) -> None:
        if kind == _WHOLE:
            payloads.append(part)
            self.records += 1
            return
        # the parts of a record are close together, so distant parts belong to different, damaged records
        near = [one for one in self._open if self._offset - one.end <= _NEAR]
        self.lost += len(self._open) - len(near)
        self._open = near
        end = self._offset + HEADER_SIZE + len(part)
        if kind == _FIRST:
            near.append(_Parts(part, end))
            if len(near) > _OPEN:
                del near[0]
                self.lost += 1
        elif kind == _MIDDLE and near:
            near[-1].add(part, end)
            if near[-1].size > _LARGEST:
                del near[-1]
                self.oversized += 1
        else:
            record = self._complete(near, part) if kind == _LAST else None
            if record is None:
                self.lost += 1
                return
            payloads.append(record)
            self.records += 1

    def _complete(self, near: list[_Parts], part: bytes) -> bytes | None:
        """Return the record that ends with `part`, or `None` if `part` completes none of the started records.

        Because checking is slow, each started record is checked only a few times before it counts as lost.
        """
        for index in reversed(range(len(near))):
            begun = near[index]
            record = b"".join([*begun.data, part])
            if self._is_record(record):
                del near[index]
                return record
            begun.judged += 1
            if begun.judged == _OPEN:
                del near[index]
                self.lost += 1
        return None


class _Parts:
    """The first parts of a split record. `end` is the position in the file at which the last of these parts ends."""

    def __init__(self, part: bytes, end: int) -> None:
        self.data = [part]
        self.size = len(part)
        self.end = end
        self.judged = 0

    def add(self, part: bytes, end: int) -> None:
        self.data.append(part)
        self.size += len(part)
        self.end = end


class _Token(NamedTuple):
    """A byte range in a hole. It contains padding (if `header` is `None`), a header, or the data for a header."""

    start: int
    stop: int
    header: _Header | None
    is_header: bool


def _matches(header: _Header, data: bytes, position: int) -> bool:
    stop = position + header.length
    return stop <= len(data) and crc32(data[position:stop], _BEGUN[header.kind]) == header.crc


def _read_header(data: bytes, position: int) -> _Header | None:
    if position + HEADER_SIZE > len(data):
        return None
    crc, length, kind = _FRAGMENT.unpack_from(data, position)
    return _Header(crc, length, kind) if 1 <= kind <= 4 and length <= _LONGEST else None


def _split_hole(
    hole: bytes, position: int, pending: list[_Header], effort: list[int], *, partly: bool = False
) -> list[_Token] | None:
    """Split the hole into tokens, starting at `position`. Return `None` if that is not possible.

    If `partly` is true, the end of the hole may remain unexplained. `effort` limits the number of attempts.
    """
    if position == len(hole):
        return []
    effort[0] -= 1
    if effort[0] < 0:
        return [] if partly else None
    choices: list[tuple[_Token, list[_Header]]] = []
    for index, header in enumerate(pending):
        if header.length and _matches(header, hole, position):
            token = _Token(position, position + header.length, header, is_header=False)
            choices.append((token, [*pending[:index], *pending[index + 1 :]]))
            break
    found = _read_header(hole, position)
    if found:
        token = _Token(position, position + HEADER_SIZE, found, is_header=True)
        choices.append((token, [*pending, found]))
    zeros = 0
    while zeros < HEADER_SIZE - 1 and position + zeros < len(hole) and hole[position + zeros] == 0:
        zeros += 1
    if zeros:
        choices.append((_Token(position, position + zeros, None, is_header=False), pending))
    for token, left in choices:
        rest = _split_hole(hole, token.stop, left, effort, partly=partly)
        if rest is not None:
            return [token, *rest]
    return [] if partly else None
