"""Read runs that are still being recorded, or that never ended."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.client.local.liveness import look_up_process
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, WorkspaceRef
from swanlab_mcp.core.snapshots import hold_snapshot, snapshot
from swanlab_mcp.operations.verdicts import read_verdict
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.run_files import BEGAN, build_file, encode_finish, encode_log, encode_point, encode_start, write_run

pytestmark = pytest.mark.anyio


async def test_growing_run_is_followed_to_its_end(tmp_path: Path) -> None:
    records = [encode_start("grows")]
    records += [encode_point(step + 1, "loss", step, 1 / (step + 1), BEGAN + 1000 * step) for step in range(200)]
    content = build_file([*records, encode_log(201, "done", 1), encode_finish()])
    file = write_run(tmp_path, "grows", [])
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        counts: list[int] = []
        for end in range(1000, len(content), 1000):
            file.write_bytes(content[:end])
            reply = await client.call_tool("get_exp_summary", {"project": "local/made", "exp_cuid": "grows"})
            found = reply.structured_content["data"]["loss"]
            assert found["value"] == 1 / (found["step"] + 1)
            counts.append(found["count"])
            (note,) = (one for one in reply.structured_content["notes"] if "no recorded end" in one)
            last = found["step"]
            assert f"Data ends at 2026-11-23T08:0{last // 60}:{last % 60:02d}.000Z; the SDK buffers" in note
        assert counts == sorted(set(counts))
        file.write_bytes(content)
        reply = await client.call_tool("get_experiment", {"project": "local/made", "exp_cuid": "grows"})
        assert reply.structured_content["data"]["state"] == "FINISHED"
        assert "notes" not in reply.structured_content
        reply = await client.call_tool("get_logs", {"project": "local/made", "exp_cuid": "grows"})
        assert reply.structured_content["data"][0]["message"] == "done"


async def test_a_call_checks_each_record_for_changes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        losses = [encode_point(step + 1, "val/loss", step, 1 / (step + 1 + number)) for step in range(20)]
        write_run(tmp_path, f"run{number}", [encode_start(f"run{number}"), *losses, encode_finish()])
    checked: Counter[str] = Counter()
    look = os.lstat

    def count(path: Any, **given: Any) -> os.stat_result:
        checked[Path(path).name] += 1
        return look(path, **given)

    monkeypatch.setattr(os, "lstat", count)
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        for _ in range(3):
            checked.clear()
            await client.call_tool("rank_experiments", {"project": "local/made", "metric": "val/loss"})
            assert [checked[f"run-run{number}.swanlab"] for number in range(4)] == [1] * 4


async def test_a_reader_without_a_snapshot_leaves_no_old_stamp(tmp_path: Path) -> None:
    healthy = [encode_point(step + 1, "train/loss", step, 2 / (step + 1), BEGAN + 1000 * step) for step in range(200)]
    broken = [encode_point(step + 1, "train/loss", step, math.nan, BEGAN + 1000 * step) for step in range(200, 250)]
    file = write_run(tmp_path, "grows", healthy)
    client, ref = OfflineClient([tmp_path]), ProjectRef("local", "made").experiment("grows")

    async def diagnose(state: str) -> tuple[str, list[int]]:
        verdict = await read_verdict(client, ref, state, BEGAN + 200_000)
        return verdict.judgement.health, [len(curve.steps) for curve in verdict.curves]

    with hold_snapshot():
        call = snapshot.get()
        await client.list_experiments(ref.parent)
        assert (await client.get_experiment(ref)).data.state == "UNKNOWN"
        file.write_bytes(build_file([encode_start("grows"), *healthy, *broken, encode_finish()]))
        snapshot.set(None)
        assert (await client.get_summary(ref)).data["train/loss"].count == 250
        snapshot.set(call)
        await diagnose("UNKNOWN")
    with hold_snapshot():
        assert await diagnose("FINISHED") == ("problem", [250])


async def test_verdict_follows_the_database_of_an_old_run(tmp_path: Path) -> None:
    shutil.copytree(RUNS / "0.5.9-local", tmp_path / "runs")
    database = next(tmp_path.rglob("runs.swanlab"))
    whole = database.read_bytes()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("update experiment set status=0")
        connection.execute("delete from tag")
    keys: list[list[str]] = []
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        for content in (None, whole):
            if content:
                database.write_bytes(content)
            listed = await client.call_tool("find_experiments", {"project": "*", "username": "local"})
            row = listed.structured_content["data"][0]
            reply = await client.call_tool("diagnose_experiment", {"exp_cuid": row["cuid"], "username": "local"})
            keys.append(reply.structured_content["data"])
    assert keys[0] != keys[1]
    assert "val/acc" in str(keys[1])


async def test_open_run_is_noted_once_while_its_age_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        write_run(tmp_path, name, [encode_start(name), encode_point(1, "loss", 0, 1.0)])
    seconds = itertools.count(time.time() + 5, 0.2)
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        filters = [{"field": "name", "op": "!=", "value": "x"}]
        reply = await client.call_tool("compare_experiments", {"project": "local/made", "filters": filters})
    notes = [note for note in reply.structured_content["notes"] if "no recorded end" in note]
    assert len(notes) == 2


async def test_verdict_follows_a_record_that_grows_after_its_end(tmp_path: Path) -> None:
    healthy = [encode_point(step + 1, "val/loss", step, 1 / (step + 1), BEGAN + 1000 * step) for step in range(60)]
    broken = [encode_point(step + 1, "val/loss", step, math.nan, BEGAN + 1000 * step) for step in range(60, 99)]
    file = write_run(tmp_path, "resumed", [])
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        for records, has_problem in ((healthy, False), (healthy, False), ([*healthy, *broken], True)):
            content = build_file([encode_start("resumed"), *records, encode_finish()])
            if content != file.read_bytes():
                file.write_bytes(content)
            reply = await client.call_tool("diagnose_experiment", {"project": "local/made", "exp_cuid": "resumed"})
            assert ("non_finite" in reply.structured_content["data"]["verdict"]) is has_problem


async def test_new_run_is_listed_before_its_first_record(tmp_path: Path) -> None:
    file = write_run(tmp_path, "new", [])
    content = file.read_bytes()
    file.write_bytes(b"")
    client = OfflineClient([tmp_path])
    assert [project.name for project in (await client.list_projects(WorkspaceRef("local"))).data or []] == ["(unknown)"]
    file.write_bytes(content[:20])
    answer = await client.get_experiment(ExperimentRef("local", "(unknown)", "new"))
    assert "its file has no record yet" in answer.notes[0]
    file.write_bytes(content)
    assert [project.name for project in (await client.list_projects(WorkspaceRef("local"))).data or []] == ["made"]


async def test_points_and_lines_out_of_order_are_sorted(tmp_path: Path) -> None:
    steps = [5, 3, 9, 1, 7, 3, 0]
    records = [encode_point(number, "loss", step, float(number)) for number, step in enumerate(steps, 1)]
    records += [encode_log(8, "second", 2), encode_log(9, "first", 1), encode_log(10, "third", 3)]
    write_run(tmp_path, "mixed", records)
    client = OfflineClient([tmp_path])
    points = (await client.read_points(ExperimentRef("local", "made", "mixed"), ["loss"], exact=True)).data
    assert points is not None
    # step 3 was recorded twice: the later value counts
    assert (list(points["loss"].steps), list(points["loss"].values)) == ([0, 1, 3, 5, 7, 9], [7, 4, 6, 1, 5, 3])
    logs = (await client.read_logs(ExperimentRef("local", "made", "mixed"), start=None, count=10)).data
    assert logs is not None
    assert [line.message for line in logs.lines] == ["first", "second", "third"]


def write_open_run(folder: Path, *, hostname: str, pid: Any, moment: str, age: float = 0, legacy: bool = False) -> None:
    """Write a run without records, whose file was last written `age` seconds ago."""
    run = folder / f"run-{moment}-open"
    (run / "files").mkdir(parents=True)
    about = {"hostname": hostname, "pid": pid}
    metadata = about if legacy else {"runtime": about}
    (run / "files" / "swanlab-metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    file = run / ("backup.swanlab" if legacy else "run-open.swanlab")
    file.write_bytes(b"")
    written = time.time() - age
    os.utime(file, (written, written))


async def read_first_note(folder: Path) -> str:
    answer = await OfflineClient([folder]).get_experiment(ExperimentRef("local", "(unknown)", "open"))
    assert answer.data is not None
    assert answer.data.state == "UNKNOWN"
    return answer.notes[0]


def now() -> str:
    return f"{datetime.now().astimezone():%Y%m%d_%H%M%S}"


@pytest.mark.parametrize("legacy", [False, True])
async def test_live_process_suggests_a_running_run(tmp_path: Path, legacy: bool) -> None:
    write_open_run(tmp_path, hostname=socket.gethostname(), pid=os.getpid(), moment=now(), age=90_000, legacy=legacy)
    reply = await read_first_note(tmp_path)
    assert f"Its process {os.getpid()} exists on this machine, so the run is probably still running" in reply
    assert "last written 25 h ago" in reply


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc for the start of a process")
async def test_process_started_after_the_run_suggests_a_kill(tmp_path: Path) -> None:
    write_open_run(tmp_path, hostname=socket.gethostname(), pid=os.getpid(), moment="20200101_000000", age=9000)
    assert "now belongs to a process that started later, so the run was probably killed" in await read_first_note(
        tmp_path
    )


def run_process() -> int:
    """Return the id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    return ended.pid


@pytest.mark.parametrize(("age", "expected"), [(9000, "no longer exists on this machine"), (5, "is not visible")])
async def test_ended_process_suggests_a_kill(tmp_path: Path, age: float, expected: str) -> None:
    pid = run_process()
    write_open_run(tmp_path, hostname=socket.gethostname(), pid=pid, moment=now(), age=age)
    note = await read_first_note(tmp_path)
    assert f"Its process {pid} {expected}" in note
    assert "killed" in note


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (30, "its file was last written 30 s ago, so the run is probably still running"),
        (3600, "its file was last written 60 min ago, so the run was killed, or is still running and slow to write"),
        (10_000, "its file was last written 3 h ago, so the run was probably killed"),
        (1_000_000, "its file was last written 12 days ago, so the run was probably killed"),
    ],
)
async def test_file_age_is_the_only_hint_on_another_machine(tmp_path: Path, age: float, expected: str) -> None:
    write_open_run(tmp_path, hostname="gpu-node-99", pid=os.getpid(), moment=now(), age=age)
    assert re.search("It ran on gpu-node-99; " + expected.replace("30 s", r"3\d s"), await read_first_note(tmp_path))


async def test_copied_file_does_not_look_alive(tmp_path: Path) -> None:
    source = next((RUNS / "0.10.3-offline").glob("*vhfakm9z"))
    shutil.copytree(source, tmp_path / source.name, copy_function=shutil.copyfile)
    answer = await OfflineClient([tmp_path]).get_experiment(ExperimentRef("local", "vision-baselines", "vhfakm9z"))
    assert re.search(r"last record: .* ago\), so the run was probably killed", answer.notes[0]), answer.notes


@pytest.mark.parametrize("pid", [0, -1, "12", None, 1 << 70, True])
async def test_invalid_process_id_is_not_an_error(tmp_path: Path, pid: Any) -> None:
    write_open_run(tmp_path, hostname=socket.gethostname(), pid=pid, moment="99999999_999999", age=9000)
    assert "killed" in await read_first_note(tmp_path)


async def test_invalid_metadata_is_not_an_error(tmp_path: Path) -> None:
    write_open_run(tmp_path, hostname="x", pid=1, moment=now(), age=9000)
    metadata = next(tmp_path.glob("run-*/files/swanlab-metadata.json"))
    for content in ("[1]", "{", '{"runtime": 3}'):
        metadata.write_text(content, encoding="utf-8")
        assert "probably killed" in await read_first_note(tmp_path)


def test_unknown_process_start_is_not_guessed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.liveness._PROC", tmp_path)
    own = look_up_process(os.getpid())
    assert own is not None
    assert (own.exists, own.began) == (True, None)

    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)
    foreign = look_up_process(4)
    assert foreign is not None
    assert foreign.exists


async def test_live_process_without_proc_is_a_weaker_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.liveness._PROC", tmp_path)
    write_open_run(tmp_path, hostname=socket.gethostname(), pid=os.getpid(), moment=now())
    assert f"A process with the run's process id {os.getpid()} exists on this machine" in await read_first_note(
        tmp_path
    )


async def test_guess_without_a_known_machine_starts_a_sentence(tmp_path: Path) -> None:
    write_open_run(tmp_path, hostname="", pid=0, moment=now(), age=10_000)
    assert (
        "killed immediately. Its file was last written 3 h ago, so the run was probably killed."
        in await read_first_note(tmp_path)
    )


async def test_many_open_runs_share_a_note(tmp_path: Path) -> None:
    for number in range(7):
        write_run(tmp_path, f"open{number}", [encode_point(1, "loss", 0, 1.0)])
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        output = text_of(await client.call_tool("list_project_exps", {"project": "local/made"}))
        found = await client.call_tool("find_experiments", {"project": "local/made", "sort": "metric.loss"})
    assert output.count("note:") == 1
    assert "7 runs have no recorded end: they are still running or were killed (" in output
    assert text_of(found).count("no recorded end") == 1


async def test_only_open_runs_in_the_answer_are_noted(tmp_path: Path) -> None:
    for name, loss in (("low", 0.1), ("high", 0.9)):
        write_run(tmp_path, name, [encode_point(1, "loss", 0, loss)])
    write_run(tmp_path, "done", [encode_point(1, "loss", 0, 0.5), encode_finish(1)])
    given = {"project": "local/made", "filters": [{"field": "metric.loss", "op": ">", "value": 0.3}]}
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        found = text_of(await client.call_tool("find_experiments", {**given, "sort": "metric.loss"}))
        none = [{"field": "metric.loss", "op": ">", "value": 5}]
        nothing = text_of(await client.call_tool("find_experiments", {**given, "filters": none}))
        ranked = text_of(await client.call_tool("rank_experiments", {**given, "metric": "loss"}))
        both = text_of(await client.call_tool("find_experiments", {**given, "project": ["local/made", "local/none"]}))
    for output in (found, ranked, both):
        assert "(high) has no recorded end" in output
        assert "(low) has no recorded end" not in output
    assert "no recorded end" not in nothing
