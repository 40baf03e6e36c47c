"""Read run files left by two unlocked writers, crashes and bad disks."""

from __future__ import annotations

import random
from contextlib import suppress
from struct import pack
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swanlab_mcp.client.local.framing import MAGIC, FragmentReader
from swanlab_mcp.client.local.records import decode_json, decode_protobuf, is_protobuf
from tests.conftest import RUNS

HEADER = MAGIC + b"\x02"
OFFLINE = next((RUNS / "0.10.3-offline").glob("*3hzj7gws/*.swanlab"))
payloads = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=30)


def frame(payload: bytes, kind: int = 1) -> tuple[bytes, bytes]:
    head = pack("<IHB", crc32(bytes((kind,)) + payload), len(payload), kind)
    return head, payload


def read(content: bytes) -> tuple[list[bytes], FragmentReader]:
    reader = FragmentReader(lambda _: True)
    return reader.feed(content, at_end=True), reader


@given(payloads, st.lists(st.integers(1, 500)))
def test_records_are_read_from_any_chunks(records: list[bytes], cuts: list[int]) -> None:
    content = HEADER + b"".join(b"".join(frame(record)) for record in records)
    reader = FragmentReader(lambda _: True)
    found: list[bytes] = []
    for cut in cuts:
        found += reader.feed(content[:cut], at_end=True)
        content = content[cut:]
    found += reader.feed(content, at_end=True)
    assert found == records
    assert (reader.damaged, reader.repaired, reader.unpaired) == (0, 0, 0)


@settings(deadline=None)
@given(payloads, payloads, st.randoms(use_true_random=False))
def test_two_unlocked_writers_keep_all_records(first: list[bytes], second: list[bytes], order: random.Random) -> None:
    # payloads differ by writer, as real records differ by timestamp
    queues = [
        [piece for index, record in enumerate(records) for piece in frame(pack("<BH", writer, index) + record)]
        for writer, records in enumerate((first, second))
    ]
    expected = {
        pack("<BH", writer, index) + record
        for writer, some in enumerate((first, second))
        for index, record in enumerate(some)
    }
    content = HEADER
    while any(queues):
        content += order.choice([queue for queue in queues if queue]).pop(0)
    found, reader = read(content)
    assert set(found) == expected
    assert len(found) == len(expected)
    assert (reader.unpaired, reader.damaged) == (0, 0)


def test_long_interleaved_writes_keep_all_records() -> None:
    # hA0 hB0 dA0 hA1 dB0 hB1 dA1 hA2 …: for a long time no header directly precedes its data
    framed = [[frame(b"%c%d" % (writer, number)) for number in range(40)] for writer in b"AB"]
    content = HEADER + framed[0][0][0] + framed[1][0][0]
    for number in range(40):
        for writer in range(2):
            content += framed[writer][number][1]
            content += framed[writer][number + 1][0] if number < 39 else b""
    found, reader = read(content)
    assert sorted(found) == sorted(data for one in framed for _, data in one)
    assert (reader.unpaired, reader.damaged) == (0, 0)


@given(st.binary(max_size=2000))
def test_any_bytes_are_read_without_an_error(content: bytes) -> None:
    found, _ = read(HEADER + content)
    for payload in found:
        assert crc32(payload) >= 0


def test_record_split_around_another_record_is_assembled() -> None:
    first, last = frame(b"a" * 1000, 2), frame(b"b" * 500, 4)
    middle, other = frame(b"m" * 10, 3), frame(b"other")
    content = HEADER + b"".join(b"".join(one) for one in (first, other, middle, last))
    found, reader = read(content)
    assert found == [b"other", b"a" * 1000 + b"m" * 10 + b"b" * 500]
    assert reader.lost == 0


def test_ends_of_two_split_records_match_their_starts() -> None:
    parts = [frame(b"A-", 2), frame(b"B-", 2), frame(b"B", 4), frame(b"A", 4)]
    reader = FragmentReader(lambda payload: payload in (b"A-A", b"B-B"))
    assert reader.feed(HEADER + b"".join(b"".join(one) for one in parts), at_end=True) == [b"B-B", b"A-A"]


@pytest.mark.parametrize("zeros", range(1, 7))
def test_padding_is_not_damage(zeros: int) -> None:
    content = HEADER + b"".join(frame(b"one")) + bytes(zeros) + b"".join(frame(b"two"))
    found, reader = read(content)
    assert found == [b"one", b"two"]
    assert (reader.damaged, reader.unexplained) == (0, 0)


def test_parts_without_start_or_end_are_counted() -> None:
    content = HEADER + b"".join(b"".join(frame(b"x", kind)) for kind in (4, 3, 2, 2, 2, 2, 2, 1))
    found, reader = read(content)
    assert found == [b"x"]
    assert reader.lost == 3


def test_headers_without_data_are_bounded() -> None:
    lonely = b"".join(pack("<IHB", number, 5, 1) + b"".join(frame(b"ok")) for number in range(50))
    found, reader = read(HEADER + lonely)
    assert found == [b"ok"] * 50
    assert reader.unpaired == 32
    assert reader.lost == 18


def test_other_file_types_are_recognised() -> None:
    for content in (b"PK\x03\x04aaaaaaaa", b":SWX", b"x"):
        found, reader = read(content)
        assert (found, reader.is_marked) == ([], False)
    found, reader = read(b":SW")
    assert (found, reader.is_marked) == ([], True)


def test_version_is_returned() -> None:
    assert read(HEADER)[1].version == 2


@pytest.mark.parametrize("seed", range(5))
def test_flipped_bit_loses_at_most_a_record(seed: int) -> None:
    content = bytearray(OFFLINE.read_bytes())
    whole, _ = read(bytes(content))
    choice = random.Random(seed)
    for _ in range(20):
        spoiled = bytearray(content)
        index = choice.randrange(7, len(spoiled))
        spoiled[index] ^= 1 << choice.randrange(8)
        found, reader = read(bytes(spoiled))
        assert len(found) >= len(whole) - 1
        assert set(found) <= set(whole)
        assert len(found) == len(whole) or reader.damaged + reader.unpaired + reader.lost + reader.torn


def test_zeroed_page_loses_only_its_records() -> None:
    content = OFFLINE.read_bytes()
    whole, _ = read(content)
    found, reader = read(content[:16384] + bytes(4096) + content[20480:])
    assert len(whole) - 70 <= len(found) < len(whole)
    assert set(found) <= set(whole)
    assert reader.damaged == 1


def test_garbage_in_the_middle_is_skipped() -> None:
    noise = random.Random(1).randbytes(200_000)
    records = [b"before %d" % number for number in range(50)]
    framed = [b"".join(frame(record)) for record in records]
    found, reader = read(HEADER + b"".join(framed[:25]) + noise + b"".join(framed[25:]))
    assert found == records
    assert reader.damaged == 1
    assert reader.unexplained > 190_000


def test_endless_garbage_is_not_kept_in_memory() -> None:
    reader = FragmentReader(lambda _: True)
    noise = random.Random(2)
    reader.feed(HEADER)
    for _ in range(40):
        reader.feed(noise.randbytes(65536))
    assert reader.torn < 2 << 20
    assert reader.feed(b"".join(frame(b"after")), at_end=True) == [b"after"]


def test_truncated_file_never_looks_damaged() -> None:
    content = OFFLINE.read_bytes()
    whole, _ = read(content)
    before = 0
    for end in sorted(random.Random(3).sample(range(7, len(content)), 60)):
        found, reader = read(content[:end])
        assert found == whole[: len(found)]
        assert len(found) >= before
        assert (reader.damaged, reader.unexplained) == (0, 0)
        before = len(found)


@given(st.binary(max_size=200))
def test_any_payload_is_parsed_or_rejected(payload: bytes) -> None:
    with suppress(ValueError):
        decode_protobuf(payload)
    with suppress(ValueError, KeyError, TypeError):
        decode_json(payload)
    assert is_protobuf(payload) in (True, False)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_damaged_record_is_read_or_rejected(noise: bytes, data: st.DataObject) -> None:
    whole, _ = read(OFFLINE.read_bytes()[:4000])
    payload = bytearray(data.draw(st.sampled_from(whole)))
    index = data.draw(st.integers(0, len(payload) - 1))
    payload[index : index + len(noise)] = noise
    with suppress(ValueError):
        decode_protobuf(bytes(payload))
