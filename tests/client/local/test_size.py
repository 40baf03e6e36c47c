"""Large runs and many runs use bounded memory, report progress, and stop when their call stops."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.client.local.background import Batch, Stopped, Work, run_in_thread
from swanlab_mcp.client.local.points import ProtobufPoints
from swanlab_mcp.client.local.records import Scalar, decode_protobuf
from swanlab_mcp.client.local.run import Run
from swanlab_mcp.client.local.series import Series, Tally
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef
from tests.run_files import BEGAN, encode_bytes, encode_finish, encode_log, encode_point, encode_record, write_run

pytestmark = pytest.mark.anyio

floats = st.floats() | st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf])
points = st.lists(st.tuples(st.integers(-9, 99), floats), max_size=40)


def describe(tally: Tally) -> tuple[Any, ...]:
    return (
        tally.count,
        tally.first,
        repr(tally.last),
        tally.low,
        tally.high,
        tally.non_finite,
        tally.first_non_finite,
    )


@given(points, st.integers(0, 40))
def test_tally_matches_kept_and_released_points(logged: list[tuple[int, float]], kept_until: int) -> None:
    # the SDK never records a key's step twice in a file
    unique = list(dict(logged).items())
    kept, released = Series(), Series()
    for index, (step, value) in enumerate(unique):
        if index == kept_until:
            released.release()
        kept.add(step, value, BEGAN)
        released.add(step, value, BEGAN)
        if index % 3 == 0:
            released.settle()
        if index % 4 == 1:
            assert kept.tally().count == released.tally().count == index + 1
    ordered = sorted(unique)
    finite = [(value, step) for step, value in ordered if math.isfinite(value)]
    odd = [step for step, value in ordered if not math.isfinite(value)]
    expected = (
        len(ordered),
        ordered[0][0] if ordered else None,
        repr(ordered[-1] if ordered else None),
        min(finite, default=None),
        min(finite, key=lambda one: (-one[0], one[1]), default=None),
        len(odd),
        min(odd, default=None),
    )
    assert describe(kept.tally()) == describe(released.tally()) == expected
    assert len(kept) == len(released) == len(ordered)
    assert list(kept.to_points().steps) == [step for step, _ in ordered]


@given(points)
def test_last_value_of_a_repeated_step_counts(logged: list[tuple[int, float]]) -> None:
    series = Series()
    for index, (step, value) in enumerate(logged):
        series.add(step, value, index)
    read = series.to_points()
    last = {step: (value, index) for index, (step, value) in enumerate(logged)}
    assert list(read.steps) == sorted(last)
    assert repr([*zip(read.values, read.times, strict=True)]) == repr([last[step] for step in sorted(last)])


@given(
    st.text(max_size=150),
    st.integers(-5, 5) | st.integers(-(1 << 63), (1 << 63) - 1),
    floats,
    st.integers(0, 1 << 35) | st.integers(BEGAN, BEGAN + 10_000),
)
def test_fast_and_full_parsers_read_the_same_point(key: str, step: int, value: float, time: int) -> None:
    payload = encode_point(7, key, step, value, time)
    found: dict[str, Series] = {}
    others = ProtobufPoints(lambda name: found.setdefault(name, Series())).take([payload])
    record = decode_protobuf(payload)
    assert isinstance(record, Scalar)
    if others:
        assert others == [payload]
    else:
        ((name, series),) = found.items()
        read = series.to_points()
        assert repr((name, read.steps[0], read.values[0], read.times[0])) == repr(record[:4])
    # a plain key at a plain step uses the fast parser
    is_plain = key.isascii() and key.isprintable() and 1 < len(key) < 60
    assert not others or not is_plain or not 0 <= step < 1 << 35 or time < 1000


def test_unusually_encoded_point_is_read(tmp_path: Path) -> None:
    key = "k" * 200
    with_unknown = encode_point(4, "odd", 3, 1.5)
    records = [
        encode_point(1, key, 1, 2.5),
        encode_point(2, "neg", -3, 0.5),
        encode_point(3, "zero", 0, 0.0),
        with_unknown + encode_bytes(99, b"new field"),
        # a point without a time uses its record's time, as in the SDK
        encode_record(5, 13, encode_bytes(1, b"untimed") + b"\x18\x01", BEGAN + 5),
    ]
    run = Run(write_run(tmp_path, "odd", records))
    found = run.read_points([key, "neg", "zero", "odd", "untimed"])
    assert {name: (one.steps[0], one.values[0]) for name, one in found.items()} == {
        key: (1, 2.5),
        "neg": (-3, 0.5),
        "zero": (0, 0.0),
        "odd": (3, 1.5),
        "untimed": (0, 0.0),
    }
    assert found["untimed"].times[0] == BEGAN + 5
    assert run.assess_damage().missing == 0


def test_backward_steps_are_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.series._FEW", 50)
    monkeypatch.setattr("swanlab_mcp.client.local.run._CHUNK", 4096)
    records = [encode_point(number + 1, "loss", 2000 - number, float(number)) for number in range(2000)]
    run = Run(write_run(tmp_path, "backwards", records))
    points = run.read_points(["loss"])["loss"]
    assert run.kept == 2000
    assert list(points.steps) == list(range(1, 2001))
    assert list(points.values) == [2000.0 - step for step in range(1, 2001)]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Return a run with 3,000 points for three keys, and 300 lines."""
    records = [
        encode_point(number + 1, "abc"[number % 3], number // 3, math.inf if number == 30 else math.sin(number))
        for number in range(3000)
    ]
    records += [encode_log(3001 + number, f"line {number}", number + 1) for number in range(300)]
    return write_run(tmp_path / "runs", "large", [*records, encode_finish()])


async def test_points_beyond_the_limit_are_evicted_and_read_again(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Run(large)
    expected = whole.read_points(["a", "b", "c"])
    assert whole.kept == 3000
    monkeypatch.setattr("swanlab_mcp.client.local.run._KEPT_POINTS", 500)
    monkeypatch.setattr("swanlab_mcp.client.local.run._CHUNK", 4096)
    client = OfflineClient([large.parent.parent])
    summary = (await client.get_summary(ExperimentRef("local", "made", "large"))).data
    run: Run = next(iter(client._catalogue.runs))
    assert run.kept <= 500
    assert summary == {key: tally.summarise() for key, tally in whole.read_tallies().items()}
    assert (await client.read_points(ExperimentRef("local", "made", "large"), ["b"], exact=True)).data == {
        "b": expected["b"]
    }
    assert run.kept == 1000
    assert (await client.read_points(ExperimentRef("local", "made", "large"), ["a", "c"], exact=True)).data == {
        key: expected[key] for key in "ac"
    }
    assert (await client.get_summary(ExperimentRef("local", "made", "large"))).data == summary
    # the last requested series is still in memory
    offset = run._offset
    monkeypatch.setattr(run, "_read_on", None)
    assert (await client.read_points(ExperimentRef("local", "made", "large"), ["c"], exact=True)).data == {
        "c": expected["c"]
    }
    assert run._offset == offset


def test_replaced_large_file_is_read_again_in_full(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.run._KEPT_POINTS", 500)
    monkeypatch.setattr("swanlab_mcp.client.local.run._CHUNK", 4096)
    run = Run(large)
    assert len(run.read_points(["a"])["a"].steps) == 1000
    records = [encode_point(number + 1, "ab"[number % 2], number, 1.0) for number in range(3000)]
    for other in (write_run(large.parents[2], "other", records), write_run(large.parents[2], "less", records[:2000])):
        other.replace(large)
        assert len(run.read_points(["a"])["a"].steps) in (1500, 1000)
        assert run.read_tallies()["b"].count in (1500, 1000)
        assert run.start.run_id in ("other", "less")
    # another run with the same inode, longer than the part already read
    longer = write_run(large.parents[2], "longer", records * 2).read_bytes()
    large.write_bytes(longer)
    assert len(run.read_points(["a"])["a"].steps) == 1500
    assert run.start.run_id == "longer"
    # the same file, shorter than the part already read
    large.write_bytes(large.read_bytes()[:9000])
    assert 0 < len(run.read_points(["a"])["a"].steps) < 100


async def test_points_of_unused_runs_are_evicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        write_run(tmp_path, name, [encode_point(step + 1, "loss", step, 1.0) for step in range(100)])
    monkeypatch.setattr("swanlab_mcp.client.local.catalogue._KEPT_POINTS", 250)
    client = OfflineClient([tmp_path])
    for name in ("one", "two", "one", "three"):
        await client.get_summary(ExperimentRef("local", "made", name))
    kept = {run.run_id: run.kept for run in client._catalogue.runs}
    assert kept == {"one": 100, "two": 0, "three": 100}
    points = (await client.read_points(ExperimentRef("local", "made", "two"), ["loss"], exact=True)).data
    assert points is not None
    assert len(points["loss"].steps) == 100
    # a run keeps its points while it is read
    busy = next(run for run in client._catalogue.runs if run.run_id == "two")
    with busy.lock:
        await client.get_summary(ExperimentRef("local", "made", "three"))
        assert busy.kept == 100


async def test_log_lines_beyond_the_limit_are_read_again(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.log_lines._KEPT_LINES", 50)
    client = OfflineClient([large.parent.parent])
    for start, count in ((0, 3), (100, 20), (240, 20), (249, 3), (290, 20), (None, 5)):
        part = (await client.read_logs(ExperimentRef("local", "made", "large"), start=start, count=count)).data
        assert part is not None
        first = 295 if start is None else start
        assert (part.start, part.total) == (first, 300)
        assert [line.message for line in part.lines] == [
            f"line {number}" for number in range(first, min(300, first + count))
        ]


def test_stopped_read_resumes_at_its_offset(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Run(large).read_points(["a"])
    monkeypatch.setattr("swanlab_mcp.client.local.run._CHUNK", 4096)
    run = Run(large)
    for parts in range(1, 4):
        work = Work()
        work.stop()
        with pytest.raises(Stopped):
            run.refresh(work=work)
        assert run._offset == 4096 * parts
    assert run.read_points(["a"]) == expected


async def test_cancelled_call_stops_its_work() -> None:
    started, ended = threading.Event(), threading.Event()

    def toil(*, work: Work) -> None:
        try:
            while True:
                work.advance(1)
                started.set()
        except Stopped:
            ended.set()
            raise

    call = asyncio.ensure_future(run_in_thread(toil))
    assert await asyncio.to_thread(started.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await asyncio.to_thread(ended.wait, 10)


async def test_progress_is_reported_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.background._TICK", 0.001)
    heard = threading.Event()
    received: list[tuple[int, int, str]] = []

    async def listen(stage: progress.Stage) -> None:
        received.append((stage.done, stage.total, stage.what))
        heard.set()

    def toil(*, work: Work) -> str:
        work.total = 10
        work.advance(4)
        assert heard.wait(10)
        work.advance(6)
        return "done"

    token = progress.listener.set(listen)
    try:
        assert await run_in_thread(toil) == "done"
    finally:
        progress.listener.reset(token)
    assert list(dict.fromkeys(received)) == [(4, 10, "bytes"), (10, 10, "bytes")]


async def test_error_in_a_thread_reaches_the_caller() -> None:
    def fail(*, work: Work) -> None:
        raise ValueError(work.what)

    with pytest.raises(ValueError, match="bytes"):
        await run_in_thread(fail)


async def test_listing_reads_the_ends_of_changed_runs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        records = [encode_point(step + 1, "loss", step, 1.0) for step in range(3000 if number < 3 else 3)]
        write_run(tmp_path / "runs", f"run{number:02}", [*records, encode_finish()])
    grown = tmp_path / "runs" / "run-20261123_080000-run29" / "run-run29.swanlab"
    opened_files: list[str] = []
    opened = os.open

    def watch(name: Any, *how: Any, **named: Any) -> int:
        if str(name).endswith(".swanlab"):
            opened_files.append(str(name))
        return opened(name, *how, **named)

    monkeypatch.setattr(os, "open", watch)
    client = OfflineClient([tmp_path / "runs"])
    listed = (await client.list_experiments(ProjectRef("local", "made"))).data or []
    assert {one.state for one in listed} == {"FINISHED"}
    assert sorted(opened_files) == sorted(f"run-run{number:02}.swanlab" for number in range(30))
    assert all(run.kept == 0 for run in client._catalogue.runs)
    opened_files.clear()
    grown.write_bytes(grown.read_bytes() + b"\x00")
    opened_files.clear()
    assert (await client.list_experiments(ProjectRef("local", "made"))).data == listed
    assert opened_files == ["run-run29.swanlab"]


async def test_long_last_record_is_found(tmp_path: Path) -> None:
    records = [encode_point(step + 1, "loss", step, 1.0) for step in range(5000)]
    error = "Traceback " + "x" * 20_000
    finish = encode_record(-2, 11, b"\x08\x02" + encode_bytes(2, error.encode()))
    write_run(tmp_path, "crashed", [*records, finish, encode_log(5001, "bye", 1)])
    (listed,) = (await OfflineClient([tmp_path]).list_experiments(ProjectRef("local", "made"))).data or []
    assert listed.state == "CRASHED"


async def test_listing_does_not_wait_for_a_run_being_read(large: Path) -> None:
    client = OfflineClient([large.parent.parent])
    before = (await client.list_experiments(ProjectRef("local", "made"))).data
    run: Run = next(iter(client._catalogue.runs))
    large.write_bytes(large.read_bytes() + b"\x00")
    with run.lock:
        assert (await client.list_experiments(ProjectRef("local", "made"))).data == before


async def test_listing_does_not_resume_a_stopped_read(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.run._CHUNK", 4096)
    client = OfflineClient([large.parent.parent])
    before = (await client.list_experiments(ProjectRef("local", "made"))).data
    run: Run = next(iter(client._catalogue.runs))
    work = Work()
    work.stop()
    with pytest.raises(Stopped):
        run.refresh(work=work)
    large.write_bytes(large.read_bytes() + b"\x00")
    assert (await client.list_experiments(ProjectRef("local", "made"))).data == before
    assert run._offset == 4096
    assert (await client.get_summary(ExperimentRef("local", "made", "large"))).data == {
        key: tally.summarise() for key, tally in Run(large).read_tallies().items()
    }


async def test_concurrent_questions_share_a_thread_but_not_an_error_or_a_cancellation() -> None:
    calls: list[list[int]] = []

    def answer(questions: list[int], *, work: Work) -> list[int | NotFound]:  # noqa: ARG001 Batch passes it
        calls.append(list(questions))
        return [NotFound("odd") if question % 2 else question for question in questions]

    batch = Batch[int, int](answer)
    tasks = [asyncio.ensure_future(batch.ask(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in answers] == [asyncio.CancelledError, NotFound, int, NotFound]
    assert answers[2] == 2
    assert calls == [[0, 1, 2, 3]]
    assert await batch.ask(6) == 6
    assert calls[1:] == [[6]]
