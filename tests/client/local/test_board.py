"""Read runs recorded by SDK 0.2 to 0.6.1 in local mode: a database with names and states, and JSON lines in logs/."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.cli.main import main
from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, WorkspaceRef
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.run_files import write_run

pytestmark = pytest.mark.anyio

RECORDED = RUNS / "0.4.5-local"
MOMENT = "2024-05-01T08:00:00.000000+00:00"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)


def write_database(
    folder: Path, runs: list[dict[str, Any]], *, has_folders: bool = True, wal: bool = False
) -> sqlite3.Connection:
    """Write a database like swanboard's, with the columns that the client reads."""
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / "runs.swanlab", isolation_level=None)
    if wal:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE project (id INTEGER PRIMARY KEY, name VARCHAR(100))")
    connection.execute(
        "CREATE TABLE experiment (id INTEGER PRIMARY KEY, project_id INTEGER, run_id TEXT, name TEXT, "
        "description TEXT, status INTEGER, create_time TEXT, finish_time TEXT)"
    )
    folders = ", folder TEXT" if has_folders else ""
    connection.execute(
        f"CREATE TABLE tag (id INTEGER PRIMARY KEY, experiment_id INTEGER, name TEXT, type TEXT{folders})"
    )
    connection.execute("INSERT INTO project VALUES (1, 'old')")
    for number, run in enumerate(runs, 1):
        row = (number, 1, run["folder"], run["name"], "", run.get("status", 1), MOMENT, run.get("finished"))
        connection.execute("INSERT INTO experiment VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        for location, key in enumerate(run.get("keys", ())):
            named = (number, key, "line", *([str(location)] if has_folders else ()))
            columns = "experiment_id, name, type" + folders.replace(" TEXT", "")
            connection.execute(f"INSERT INTO tag ({columns}) VALUES ({', '.join('?' * len(named))})", named)
    return connection


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Make writes fail beyond `size` bytes, as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_metric(folder: Path, data: list[Any], *, name: str = "1000.log", more: Any = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"index": step, "data": value, "create_time": MOMENT, **({"more": more} if more else {})})
        for step, value in enumerate(data)
    ]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


async def test_runs_of_sdk_0_4_5_are_read() -> None:
    client = OfflineClient([RECORDED])
    (project,) = (await client.list_projects(WorkspaceRef("local"))).data or []
    assert (project.name, project.count) == ("mnist-old", {"experiments": 3})
    listed = {one.name: one for one in (await client.list_experiments(ProjectRef("local", "mnist-old"))).data or []}
    assert {name: one.state for name, one in listed.items()} == dict.fromkeys(
        ("lr-0.05", "lr-0.2", "lr-0.3"), "CRASHED"
    )
    assert listed["lr-0.05"].description == "first try"
    assert listed["lr-0.2"].profile["config"] == {
        "lr": 0.2,
        "epochs": 10,
        "seed": 42,
        "model": {"layers": 2, "name": "cnn"},
    }
    cuid = listed["lr-0.3"].cuid
    points = (
        await client.read_points(ExperimentRef("local", "mnist-old", cuid), ["train/loss", "val/acc"], exact=True)
    ).data or {}
    assert (list(points["train/loss"].steps), list(points["train/loss"].values)) == ([0], [2.294318829919848])
    assert list(points["val/acc"].values) == [0.09999999999999998]
    logs = (await client.read_logs(ExperimentRef("local", "mnist-old", cuid), start=0, count=100)).data
    assert logs is not None
    assert "epoch 0: loss 2.3000" in [line.message for line in logs.lines]
    assert logs.lines[-2].message == "    self.cursor().execute('COMMIT')"
    whole = (await client.get_experiment(ExperimentRef("local", "mnist-old", "run-20261128_122734-91413978"))).data
    assert whole is not None
    assert "self.cursor().execute('COMMIT')" in (whole.error or "")
    assert whole.profile["metadata"]["hostname"] == "gpu-node-01"


def test_check_counts_runs_of_the_old_local_mode(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--log-dir", str(RECORDED), "check"])
    assert "3 experiments in 1 project" in capsys.readouterr().out


async def test_series_texts_and_images_are_read(tmp_path: Path) -> None:
    run = tmp_path / "run-20240501_080000-a"
    keys = ["loss", "odd", "sample", "text"]
    write_database(tmp_path, [{"folder": run.name, "name": "first", "keys": keys, "finished": MOMENT}]).close()
    write_metric(run / "logs" / "0", [1.0, 0.5])
    lines = [json.dumps({"index": step, "data": 0.1, "create_time": MOMENT}) for step in (2, 3)]
    (run / "logs" / "0" / "2000.log").write_text("\n".join(lines), encoding="utf-8")
    write_metric(run / "logs" / "1", ["NaN", 2, "INF", None, {}])
    write_metric(run / "logs" / "2", [["image-step0.png"]], more=[{"caption": "a cat"}])
    write_metric(run / "logs" / "3", [["one\ntwo", "three"]], more=[{"caption": "words"}, None])
    (run / "media" / "2").mkdir(parents=True)
    (run / "media" / "2" / "image-step0.png").write_bytes(PIXEL)
    client = OfflineClient([tmp_path])
    (listed,) = (await client.list_experiments(ProjectRef("local", "old"))).data or []
    assert (listed.state, listed.cuid) == ("FINISHED", "a")
    summary = (await client.get_summary(ExperimentRef("local", "old", "a"))).data or {}
    assert (summary["loss"].count, summary["loss"].value, summary["odd"].non_finite) == (4, 0.1, 2)
    keyed = (await client.list_keys(ExperimentRef("local", "old", "a"))).data
    assert keyed is not None
    assert (keyed.scalars, keyed.media) == (["loss", "odd"], ["sample", "text"])
    async with session(Settings(log_dirs=(tmp_path,))) as opened:
        given = {"project": "local/old", "exp_cuid": "a", "keys": ["*"]}
        output = text_of(await opened.call_tool("get_media", given))
    assert "a cat" in output
    assert "one" in output
    assert "three" in output


async def test_sdk_0_2_names_folders_after_metrics_and_writes_json(tmp_path: Path) -> None:
    run = tmp_path / "run-20240401_080000-b"
    database = [{"folder": run.name, "name": "older", "keys": ["train/loss"]}]
    write_database(tmp_path, database, has_folders=False).close()
    folder = run / "logs" / "train%2Floss"
    folder.mkdir(parents=True)
    points = [{"index": str(step), "data": 1.0 / (step + 1), "create_time": MOMENT} for step in range(3)]
    (folder / "1000.json").write_text(json.dumps({"data": points}), encoding="utf-8")
    (folder / "_summary.json").write_text('{"max": 1, "min": 0.3, "num": 3}', encoding="utf-8")
    summary = (await OfflineClient([tmp_path]).get_summary(ExperimentRef("local", "old", "b"))).data or {}
    assert (summary["train/loss"].count, summary["train/loss"].step) == (3, 2)


@pytest.mark.parametrize(
    ("status", "error", "state"), [(0, "", "UNKNOWN"), (1, "boom", "CRASHED"), (-1, "", "CRASHED")]
)
async def test_state_comes_from_the_database_or_the_error_log(
    tmp_path: Path, status: int, error: str, state: str
) -> None:
    run = tmp_path / "run-20240501_080000-c"
    write_database(tmp_path, [{"folder": run.name, "name": "c", "status": status}]).close()
    (run / "console").mkdir(parents=True)
    (run / "console" / "2024-05-01.log").write_text("hello\n", encoding="utf-8")
    if error:
        (run / "console" / "error.log").write_text(f"2024-05-01 08:00:00.1\n{error}\n", encoding="utf-8")
    experiment = (await OfflineClient([tmp_path]).get_experiment(ExperimentRef("local", "old", "c"))).data
    assert experiment is not None
    assert (experiment.state, experiment.error) == (state, error or None)


async def test_write_ahead_log_is_read_without_creating_files(tmp_path: Path) -> None:
    run = tmp_path / "made" / "run-20240501_080000-d"
    database = [{"folder": run.name, "name": "killed", "status": 0, "keys": ["loss"]}]
    with closing(write_database(tmp_path / "made", database, wal=True)):
        # copied while open, as a killed process leaves the files
        shutil.copytree(tmp_path / "made", tmp_path / "copy")
    (tmp_path / "copy" / "runs.swanlab-shm").unlink()
    write_metric(tmp_path / "copy" / run.name / "logs" / "0", [3.0, 2.0])
    before = sorted(tmp_path.glob("copy/**/*"))
    stamps = [path.stat().st_mtime_ns for path in before]
    assert (tmp_path / "copy" / "runs.swanlab").stat().st_size < 8192
    client = OfflineClient([tmp_path / "copy"])
    (listed,) = (await client.list_experiments(ProjectRef("local", "old"))).data or []
    assert (listed.name, listed.state) == ("killed", "UNKNOWN")
    summary = (await client.get_summary(ExperimentRef("local", "old", listed.cuid))).data or {}
    assert summary["loss"].value == 2.0
    assert sorted(tmp_path.glob("copy/**/*")) == before
    assert [path.stat().st_mtime_ns for path in before] == stamps


@pytest.mark.parametrize("how", ["missing", "full"])
async def test_unusable_temporary_folder_is_named_and_only_names_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    run = tmp_path / "here" / "run-20240501_080000-a"
    write_database(tmp_path / "here", [{"folder": run.name, "name": "one", "keys": ["loss"]}]).close()
    write_metric(run / "logs" / "0", [1.0, 0.5])
    temporary = tmp_path / "temporary"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    async with session(Settings(log_dirs=(tmp_path / "here",))) as client:
        given = {"project": "local/(unknown)", "exp_cuid": "a"}
        if how == "full":
            temporary.mkdir()
            with limit_file_size(4096):
                summary = text_of(await client.call_tool("get_exp_summary", given))
        else:
            summary = text_of(await client.call_tool("get_exp_summary", given))
            temporary.mkdir()
        later = text_of(await client.call_tool("get_exp_summary", {**given, "project": "local/old"}))
    why = "File too large" if how == "full" else "No such file or directory"
    assert f"its database runs.swanlab cannot be copied to a temporary folder ({why}); set TMPDIR" in summary
    assert "0 | 1 | 0.5" in summary
    assert "loss | 1 | 0.5" in later
    assert "TMPDIR" not in later
    assert list(temporary.iterdir()) == []


async def test_list_says_that_a_freshly_copied_old_run_was_killed(tmp_path: Path) -> None:
    write_database(tmp_path, [{"folder": "run-20240501_080000-a", "name": "one", "status": 0, "keys": ["miou"]}])
    write_metric(tmp_path / "run-20240501_080000-a" / "logs" / "0", [0.1, 0.2])
    answer = await OfflineClient([tmp_path]).list_experiments(ProjectRef("local", "old"))
    (note,) = answer.notes
    assert "(last record: " in note
    assert "probably killed. Data ends at 2024-05-01T08:00:00.000Z" in note


async def test_missing_image_is_not_text_and_unreadable_records_are_counted(tmp_path: Path) -> None:
    run = tmp_path / "run-20240501_080000-a"
    with closing(write_database(tmp_path, [{"folder": run.name, "name": "one", "keys": ["loss", "img"]}])) as database:
        database.execute("UPDATE tag SET type = 'image' WHERE name = 'img'")
    write_metric(run / "logs" / "0", [1.0, {"not": "a value"}, 0.5])
    write_metric(run / "logs" / "1", [["image-step0-ab.png"]])
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        given = {"project": "local/old", "exp_cuid": "a"}
        media = text_of(await client.call_tool("get_media", {**given, "keys": ["img"]}))
        summary = text_of(await client.call_tool("get_exp_summary", given))
    assert "img at step 0: its file image-step0-ab.png is no longer in the run's folder (moved or deleted)." in media
    assert "one (a): 3 records read, 1 unreadable." in summary


async def test_unreadable_file_of_an_old_run_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    run = tmp_path / "run-20240501_080000-a"
    write_database(tmp_path, [{"folder": run.name, "name": "one", "keys": ["loss", "acc"]}]).close()
    write_metric(run / "logs" / "0", [1.0, 0.5])
    (run / "logs" / "1" / "1000.log").mkdir(parents=True)
    write_metric(run / "logs" / "2", [["image-step0-ab.png"]])
    (run / "media").mkdir()
    (run / "media" / "2").symlink_to(tmp_path)
    (run / "console" / "2024-05-01.log").mkdir(parents=True)
    (run / "console" / "2024-05-02.log").write_text("printed\n", encoding="utf-8")
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        given = {"project": "local/old", "exp_cuid": "a"}
        summary = text_of(await client.call_tool("get_exp_summary", given))
        log = text_of(await client.call_tool("get_logs", given))
    assert "loss | 1 | 0.5" in summary
    assert "1/1000.log is outside the run's folder or is not a regular file, and was not read" in summary
    assert "printed" in log


async def test_growing_run_is_followed(tmp_path: Path) -> None:
    run = tmp_path / "run-20240501_080000-e"
    write_database(tmp_path, [{"folder": run.name, "name": "e", "status": 0, "keys": ["loss"]}]).close()
    write_metric(run / "logs" / "0", [1.0])
    client = OfflineClient([tmp_path])
    assert ((await client.get_summary(ExperimentRef("local", "old", "e"))).data or {})["loss"].count == 1
    with (run / "logs" / "0" / "1000.log").open("a", encoding="utf-8") as file:
        file.write('{"index": 1, "data": 0.5}\n{"index": 2, "da')
    answer = await client.get_summary(ExperimentRef("local", "old", "e"))
    assert (answer.data or {})["loss"].count == 2


@pytest.mark.parametrize("content", [b"SQLite format 3\0", b"SQLite format 3\0" + bytes(4096), b"", os.urandom(9000)])
async def test_only_names_are_lost_with_a_broken_database(tmp_path: Path, content: bytes) -> None:
    run = tmp_path / "run-20240501_080000-f"
    (tmp_path / "runs.swanlab").write_bytes(content)
    write_metric(run / "logs" / "0", [1.0, 2.0])
    client = OfflineClient([tmp_path])
    (listed,) = (await client.list_experiments(ProjectRef("local", "(unknown)"))).data or []
    answer = await client.get_summary(ExperimentRef("local", "(unknown)", listed.cuid))
    assert (answer.data or {})["0"].count == 2
    assert any("runs.swanlab" in note for note in answer.notes)
    async with session(Settings(log_dirs=(tmp_path,))) as opened:
        output = text_of(await opened.call_tool("find_experiments", {"project": "local/*"}))
    assert output.count("its database runs.swanlab cannot be read") == 1
    # the files were just written, but the records are old
    assert "probably killed. Data ends at 2024-05-01T08:00:00.000Z" in output


@pytest.mark.parametrize("how", ["view", "texts", "rows", "generated"])
def test_hostile_database_is_bounded(tmp_path: Path, how: str) -> None:
    """A hostile database takes little time and memory, and results in an error or truncated data."""
    from swanlab_mcp.client.local.board import Board

    run = "run-20240501_080000-g"
    with closing(write_database(tmp_path, [{"folder": run, "name": "g"}])) as connection:
        if how == "view":
            connection.execute("DROP TABLE experiment")
            connection.execute(
                "CREATE VIEW experiment AS WITH RECURSIVE c(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM c) "
                "SELECT id, 1 AS project_id, 'x' AS run_id, 'y' AS name FROM c"
            )
        elif how == "texts":
            connection.execute("UPDATE experiment SET name = ?", ["x" * 900_000])
        elif how == "rows":
            connection.execute(
                "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 110000) "
                "INSERT INTO tag (experiment_id, name, type, folder) SELECT 1, 'k' || x, 'line', x FROM c"
            )
        else:
            connection.execute("DROP TABLE project")
            connection.execute("CREATE TABLE project (id INTEGER, name TEXT AS (hex(zeroblob(100000000))))")
            connection.execute("INSERT INTO project (id) VALUES (1)")
    board = Board(tmp_path, tmp_path)
    entries = board.read()
    if how == "texts":
        assert len(entries[run].name) == 10_000
    elif how == "rows":
        assert len(entries[run].tags) == 100_000
    else:
        assert entries == {}
        assert "cannot be read" in board.problem


@pytest.mark.parametrize("location", ["runs.swanlab", "logs", "logs/0", "logs/0/1000.log", "console"])
async def test_links_are_not_followed(tmp_path: Path, location: str) -> None:
    run = "run-20240501_080000-h"
    secret = tmp_path / "elsewhere"
    write_database(secret, [{"folder": run, "name": "secret", "keys": ["secret"]}]).close()
    write_metric(secret / "logs" / "0", [7.0])
    (secret / "console").mkdir()
    (secret / "console" / "1.log").write_text("secret line\n", encoding="utf-8")
    here = tmp_path / "here"
    write_metric(here / run / "logs" / "0", [1.0])
    write_metric(here / run / "logs" / "1", [1.0])
    (here / run / "console").mkdir()
    target = here / location if location == "runs.swanlab" else here / run / location
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    target.symlink_to(secret / location)
    async with session(Settings(log_dirs=(here,))) as client:
        given = {"project": "local/(unknown)", "exp_cuid": "h"}
        answers = [
            await client.call_tool("list_projects", {"username": "local"}),
            await client.call_tool("get_exp_summary", given),
            await client.call_tool("get_logs", given),
        ]
    output = "".join(map(text_of, answers))
    assert "secret" not in output
    assert "| 7 |" not in output


async def test_records_of_newer_sdks_next_to_a_database_are_read_once(tmp_path: Path) -> None:
    file = write_run(tmp_path, "one", [])
    (file.parent / "logs" / "0").mkdir(parents=True)
    write_database(tmp_path, [{"folder": file.parent.name, "name": "one"}]).close()
    client = OfflineClient([tmp_path])
    assert [project.name for project in (await client.list_projects(WorkspaceRef("local"))).data or []] == ["made"]
    assert len((await client.list_experiments(ProjectRef("local", "made"))).data or []) == 1
