"""Limit the data lost to crashes, bad disks and two unlocked writers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.client.local.framing import MAGIC, FragmentReader
from swanlab_mcp.client.local.records import is_protobuf
from swanlab_mcp.client.local.run import Damage, Run
from swanlab_mcp.core.refs import ExperimentRef, WorkspaceRef
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.run_files import build_file, encode_bytes, encode_varint, frame

pytestmark = pytest.mark.anyio

HEADER = MAGIC + b"\x02"
CUID = "3hzj7gws"
OFFLINE = next((RUNS / "0.10.3-offline").glob(f"*{CUID}/*.swanlab"))
INTERLEAVED = next((RUNS / "0.10.3-interleaved").glob("*/run-*.swanlab"))
LEGACY = next((RUNS / "0.6.10-offline").glob("*qlfjz4v46753i05lwsjba/*.swanlab"))
FILES = [OFFLINE, LEGACY, INTERLEAVED]


def is_record(payload: bytes) -> bool:
    return is_protobuf(payload) or (payload.startswith(b'{"model_type"') and payload.endswith(b"}}\n"))


def read(content: bytes, check: Callable[[bytes], bool] = is_record) -> tuple[list[bytes], FragmentReader]:
    reader = FragmentReader(check)
    return reader.feed(content, at_end=True), reader


WHOLE = {file: (file.read_bytes(), read(file.read_bytes(), lambda _: True)[0]) for file in FILES}


@pytest.mark.parametrize("spacing", [3, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_flipped_bit_loses_at_most_a_record_and_adds_no_record(file: Path, spacing: int) -> None:
    # flip one bit in every third byte; 6 KB cover every kind of record, and a hole in the interleaved file
    content = WHOLE[file][0][: 6_000 if file is not INTERLEAVED else 26_000]
    whole, before = read(content)
    for index in range(0, len(content), spacing if file is not INTERLEAVED else 11 * spacing):
        spoiled = bytearray(content)
        spoiled[index] ^= 1 << index % 8
        found, reader = read(bytes(spoiled))
        assert len(found) >= len(whole) - 1, index
        assert set(found) <= set(whole), index
        if len(found) < len(whole):
            after = reader.damaged + reader.lost + reader.unpaired + reader.torn
            assert after > before.damaged + before.lost + before.unpaired, index


@given(st.sampled_from(FILES), st.data())
def test_truncated_file_keeps_its_first_records_and_is_not_damaged(file: Path, data: st.DataObject) -> None:
    content, whole = WHOLE[file]
    end = data.draw(st.integers(0, len(content)))
    found, reader = read(content[:end])
    assert found == whole[: len(found)]
    assert (reader.damaged, reader.unexplained, reader.lost) == (0, 0, 0)
    # the rest of the file reads as if it had not been split
    assert found + reader.feed(content[end:], at_end=True) == whole


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_file_growing_by_bytes_reads_like_the_finished_file(file: Path) -> None:
    content = WHOLE[file][0][:26_000]
    reader = FragmentReader(is_record)
    found: list[bytes] = []
    for index in range(len(content)):
        found += reader.feed(content[index : index + 1], at_end=True)
    whole, at_once = read(content)
    assert found == whole
    assert (reader.repaired, reader.damaged, reader.lost) == (at_once.repaired, at_once.damaged, at_once.lost)


def make_record(writer: int, number: int, size: int) -> bytes:
    """Return a protobuf message with a number and a text."""
    text = f"{writer}.{number} ".encode() * (size // 4 + 1)
    text = text[:size]
    return b"\x08" + encode_varint(number + 1) + b"\x52" + bytes((size & 0x7F | 0x80, size >> 7)) + text


def write_many(writer: int, sizes: list[int], offset: int) -> tuple[list[bytes], list[bytes]]:
    """Return the payloads of one writer and the byte strings that record them, both in order."""
    records = [make_record(writer, number, size) for number, size in enumerate(sizes)]
    writes: list[bytes] = []
    for record in records:
        writes += frame(record, offset + sum(map(len, writes)))
    return records, writes


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([40, 200, 30, 64, 90, 41, 200, 33], [77]),
        ([40, 200, 30, 64], [77, 500]),
        # the first writer's third record exceeds its block and is split
        ([200, 9_000, 9_000, 60], [77]),
        ([200, 60], [9_000, 9_000]),
    ],
)
def test_two_unlocked_writers_keep_all_records_at_any_split_point(first: list[int], second: list[int]) -> None:
    start = 32768 - 10_000 if max(first + second) > 1000 else 7
    filler = make_record(9, 0, 16_000) if start > 7 else b""
    prefix = HEADER + b"".join(frame(filler, 7))
    records, writes = write_many(1, first, len(prefix) + (start - 7 if not filler else 7_000))
    others, other_writes = write_many(2, second, len(prefix) + (start - 7 if not filler else 7_000))
    expected = sorted([*([filler] if filler else []), *records, *others])

    def merge(indices: list[int]) -> bytes:
        merged = list(writes)
        for index, write in reversed(list(zip(indices, other_writes, strict=True))):
            merged.insert(index, write)
        return prefix + b"".join(merged)

    def each(count: int, lowest: int) -> list[list[int]]:
        if not count:
            return [[]]
        return [[index, *rest] for index in range(lowest, len(writes) + 1) for rest in each(count - 1, index)]

    for indices in each(len(other_writes), 0):
        found, reader = read(merge(indices))
        assert sorted(found) == expected, indices
        assert (reader.damaged, reader.unpaired, reader.lost) == (0, 0, 0), indices


@pytest.fixture(params=[OFFLINE, LEGACY], ids=["protobuf", "json"])
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Copy a run, and return the copy's file."""
    file: Path = request.param
    shutil.copytree(file.parent, tmp_path / "runs" / file.parent.name)
    return tmp_path / "runs" / file.parent.name / file.name


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
async def test_damage_is_reported_with_the_number_of_missing_records(copied: Path, share: float) -> None:
    whole = Run(copied)
    whole.refresh()
    sound = whole.assess_damage()
    assert sound == Damage(sound.records, 0, 0, 0, 0)
    content = bytearray(copied.read_bytes())
    index = int(len(content) * share)
    content[index : index + 600] = bytes(600)
    copied.write_bytes(content)
    run = Run(copied)
    run.refresh()
    damage = run.assess_damage()
    assert damage.unreadable == 1
    assert 600 <= damage.unread < 1600
    lost = sound.records - damage.records
    # before 0.8, columns have no number, and if a key's last point is missing, there is no gap
    assert lost > 0
    assert (damage.missing <= lost) if run.is_legacy else (damage.missing == lost)
    assert damage.missing or share == 0.9
    client = OfflineClient([copied.parent.parent])
    for answer in (
        await client.get_summary(ExperimentRef("local", "vision-baselines", run.run_id)),
        await client.read_points(ExperimentRef("local", "vision-baselines", run.run_id), ["train/loss"], exact=True),
        await client.get_experiment(ExperimentRef("local", "vision-baselines", run.run_id)),
    ):
        note = next(note for note in answer.notes if "damaged" in note)
        assert f"{damage.records} records read, its file is damaged in 1 place ({damage.unread} bytes" in note
        what = "points and log lines" if run.is_legacy else "records"
        shown = f"at least {damage.missing} {what} are missing" if damage.missing else "no gaps in the record numbers"
        assert shown in note


@pytest.mark.parametrize("size", [1, 6, 9000])
async def test_damaged_file_header_loses_only_the_damaged_records(copied: Path, size: int) -> None:
    whole = Run(copied)
    counts = {key: tally.count for key, tally in whole.read_tallies().items()}
    copied.write_bytes(bytes(size) + copied.read_bytes()[size:])
    client = OfflineClient([copied.parent.parent])
    (project,) = (await client.list_projects(WorkspaceRef("local"))).data or []
    assert project.name == ("vision-baselines" if size < 7 else "(unknown)")
    answer = await client.get_summary(ExperimentRef("local", project.name, whole.run_id))
    assert answer.data is not None
    lost = sum(counts.values()) - sum(summary.count or 0 for summary in answer.data.values())
    assert (lost > 0) == (size > 7)
    assert any("the start of its file is damaged" in note for note in answer.notes)


async def test_unknown_format_is_reported(copied: Path) -> None:
    content = bytearray(copied.read_bytes())
    content[6] = 3
    copied.write_bytes(content)
    answer = await OfflineClient([copied.parent.parent]).get_summary(
        ExperimentRef("local", "vision-baselines", Run(copied).run_id)
    )
    assert "has the unknown format 3" in answer.notes[0]


def test_halves_of_damaged_records_are_not_joined() -> None:
    # the first record loses its second half, and the next split record loses its first half
    sizes = [100] * 900
    records, writes = write_many(1, sizes, len(HEADER))
    heads = [index for index, write in enumerate(writes) if len(write) == 7 and write[6] in (2, 4)]
    assert len(heads) >= 4
    for lost in (heads[1], heads[2]):
        writes[lost + 1] = bytes(len(writes[lost + 1]))
    found, reader = read(HEADER + b"".join(writes))
    assert set(found) <= set(records)
    assert len(found) == len(records) - 2
    assert reader.lost == 2


def test_hostile_hole_takes_bounded_time() -> None:
    # every second position looks like a fragment of 32 KB
    hole = b"\x7f\x01" * (1 << 18)
    record = b"after"
    reader = FragmentReader(lambda _: True)
    reader._effort = 1 << 20  # pyright: ignore[reportPrivateUsage] lowered to run out soon
    found = reader.feed(HEADER + hole + b"".join(frame(record, 7)), at_end=True)
    assert found == [record]
    assert reader._effort < 0  # pyright: ignore[reportPrivateUsage]
    assert reader.damaged >= 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "more", "caption"]), inner),
    max_leaves=5,
)
NAMES = ["metric", "key", "kid", "step", "epoch", "create_time", "buffers_name", "name", "tags", "level", "message"]
KINDS = ["Scalar", "Media", "Log", "Header", "Project", "Experiment", "Footer", "Column", "Other"]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES), json_values)), max_size=5))
def test_any_json_record_is_handled(records: list[tuple[str, dict[str, Any]]]) -> None:
    payloads = [json.dumps({"model_type": kind, "data": data}).encode() for kind, data in records]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "backup.swanlab"
        file.write_bytes(build_file([*payloads, b"[1]", b"{", b'{"model_type": 1, "data": {}}']))
        run = Run(file)
        run.outline()
        points = run.read_points(list(run.list_keys().scalars))
        run.read_tallies()
        for key in run.list_keys().media:
            for step, entries in run.list_media(key).items():
                for index in range(len(entries)):
                    with suppress(OSError, ValueError):
                        run.read_media(key, step, index, limit=100)
        assert not run.problem
        assert run.assess_damage().unreadable >= 2
        assert all(len(one.steps) == len(one.values) == len(one.times) for one in points.values())


numbers = st.integers(0, (1 << 64) - 1)
fields = st.lists(
    st.tuples(st.integers(1, 20), numbers | st.binary(max_size=12) | st.just(b"\x08\x01\x10\x02")), max_size=6
)


@given(st.lists(st.tuples(st.sampled_from([10, 11, 13, 14, 16]), fields), max_size=5))
def test_any_protobuf_record_is_handled(records: list[tuple[int, list[tuple[int, int | bytes]]]]) -> None:
    payloads: list[bytes] = []
    for kind, said in records:
        body = b"".join(
            encode_bytes(field, value) if isinstance(value, bytes) else encode_varint(field << 3) + encode_varint(value)
            for field, value in said
        )
        payloads.append(b"\x08\x01" + encode_bytes(kind, body))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "run-x.swanlab"
        file.write_bytes(build_file(payloads))
        run = Run(file)
        run.outline()
        points = run.read_points(list(run.list_keys().scalars))
        run.read_tallies()
        run.read_lines(0, 10)
        assert not run.problem
        assert all(len(one.steps) == len(one.values) == len(one.times) for one in points.values())


def test_unusual_points_of_older_sdks_are_read(tmp_path: Path) -> None:
    def point(value: Any, **more: Any) -> bytes:
        metric = {"index": 0, "data": value, "create_time": "2026-11-23T08:00:58.255674+00:00"}
        data = {"metric": metric, "key": "a", "step": 1, "epoch": 1} | more
        return json.dumps({"model_type": "Scalar", "data": data}).encode() + b"\n"

    file = tmp_path / "backup.swanlab"
    odd_time = {"metric": {"data": 4, "create_time": "2026-99-99T08:00:58.255674+00:00"}, "key": "late", "step": 3}
    file.write_bytes(
        build_file(
            [
                point(1.5),
                point("NaN", step=2, epoch=2),
                point("INF", step=3, epoch=3),
                point(2, step=5, epoch=5),
                point(1, key='q"\\', step=-4),
                point(1.25, key="中", step=7),
                json.dumps({"model_type": "Scalar", "data": odd_time}).encode(),
                point(1, metric={"index": 0, "data": 3, "create_time": "2026-13-23T08:00:58.255674+00:00"}, key="m"),
            ]
        )
    )
    run = Run(file)
    found = run.read_points(["a", 'q"\\', "中", "late", "m"])
    assert repr(list(found["a"].values)) == "[1.5, nan, inf, 2.0]"
    assert found["a"].times[0] == found["中"].times[0] == 1_795_420_858_255
    assert (found['q"\\'].steps[0], found["中"].values[0], found["late"].times[0]) == (-4, 1.25, 0)
    # the fourth point of `a` has number 5
    assert run.assess_damage() == Damage(8, 0, 0, 0, 1)


async def test_lists_filters_and_news_report_damage(tmp_path: Path) -> None:
    folder = tmp_path / INTERLEAVED.parent.name
    shutil.copytree(INTERLEAVED.parent, folder)
    content = bytearray(INTERLEAVED.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    (folder / INTERLEAVED.name).write_bytes(content)
    key = "train/loss"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("list_metrics", {"exp_cuids": ["0fixrilp"]}),
        ("find_experiments", {"filters": [{"field": f"metric.{key}", "op": ">", "value": -1e9}]}),
        ("whats_new", {"since": "2026-11-01", "metrics": [key]}),
        ("whats_new", {"since": "2026-11-01"}),
    ]
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        for tool, arguments in calls:
            result = await client.call_tool(tool, {"project": "stress", **arguments})
            assert not result.is_error, text_of(result)
            assert text_of(result).count("its file is damaged in") == 1, tool
