"""Whole projects are exported as datasets, and an export can be continued and updated."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.cli import main as cli_main
from tests.fake_swanlab import Fault, State

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
os.execv(sys.argv[1], sys.argv[1:])
"""
SERIES = "series/workspace=kites-test3/project=first/experiment=run{}/series.{}"


@pytest.fixture(autouse=True)
def _world(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "test-key")
    first, second = (state.add_project(state.workspaces[0], name) for name in ("first", "second"))
    for number in range(3):
        state.add_experiment(
            first,
            f"run {number}",
            cuid=f"run{number}",
            config={"lr": number / 10, "note": "=1+1"},
            metrics={"loss": [(0, 1.0), (1, math.nan)], "=odd": [(5, float(number))]},
        )
    state.add_experiment(second, "empty", cuid="run9")


def run(host: str, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as ended:
        cli_main.main(["export", *words, "--host", host, "-o", "out"])
    return ended.value.code, capsys.readouterr().err


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_dataset_has_configs_summaries_and_series(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, reply = run(host, capsys, "kites-test3/*", "--format", "csv")
    assert code == 0, reply
    assert "5 experiments from 3 projects, 5 written: out" in reply
    folder = "workspace=kites-test3/project=first"
    rows = read_csv(Path("out/experiments", folder, "experiments.csv"))
    assert {row["name"] for row in rows} == {"run 0", "run 1", "run 2"}
    assert json.loads(rows[0]["config"])["note"] == "=1+1"
    (summary,) = [
        row
        for row in read_csv(Path("out/summaries", folder, "summaries.csv"))
        if (row["experiment"], row["key"]) == ("run1", "loss")
    ]
    assert (summary["value"], summary["min"], summary["min_step"]) == ("NaN", "1.0", "0")
    points = read_csv(Path("out", SERIES.format(1, "csv")))
    assert {(row["key"], row["step"], row["value"]) for row in points} == {
        ("loss", "0", "1.0"),
        ("loss", "1", "NaN"),
        ("'=odd", "5", "1.0"),
    }


def test_second_export_reads_only_what_changed(host: str, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    assert "4 experiments from 2 projects, 4 written" in run(host, capsys, "kites-test3/*st, kites-test3/second")[1]
    running = state.projects[1].experiments[0]
    running.metrics = {**running.metrics, "loss": [*running.metrics["loss"], (2, 0.5)]}
    state.calls.clear()
    assert "4 experiments from 2 projects, 1 written" in run(host, capsys, "kites-test3/*st, kites-test3/second")[1]
    assert len(read_csv(Path("out", SERIES.format(2, "csv")))) == 4
    changed = [one.body for one in state.get_calls("/scalar/export$")]
    assert [{column["experimentId"] for column in body["columns"]} for body in changed] == [{"run2"}]
    state.calls.clear()
    assert "4 experiments from 2 projects, 0 written" in run(host, capsys, "kites-test3/*st, kites-test3/second")[1]
    kinds = Counter(one.raw_path.rpartition("/")[2] for one in state.calls)
    assert kinds == {"api_key": 1, "kites-test3": 1, "runs": 2, "summaries": 2}


def test_interrupted_export_continues(host: str, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    state.faults.append(Fault("/(column|columns|scalar|metrics)", status=403, skip=6, times=60))
    code, reply = run(host, capsys, "--project", "first")
    assert code == 1
    assert "Incomplete" in reply
    state.faults.clear()
    code, reply = run(host, capsys, "--project", "first")
    assert code == 0, reply
    assert all(read_csv(Path("out", SERIES.format(number, "csv"))) for number in range(3))


def test_export_killed_at_any_request_continues(host: str, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "swanlab_mcp", "export", "kites-test3/*", "--host", host, "-o", "out"]
    for skip in (0, 2, 0):
        killed = Fault("^/storage/", skip=skip)
        state.faults[:] = [killed]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            killed.then = process.kill
        assert process.returncode == -signal.SIGKILL
    state.faults.clear()
    # the kill can interrupt the writing of a file
    left = Path("out", SERIES.format(1, "csv")).parent / ".swanlab-1234.part"
    left.write_text("key,st")
    os.utime(left, (0, 0))
    assert run(host, capsys, "kites-test3/*")[0] == 0
    assert not left.exists()
    for part in Path("out").rglob("*.part"):
        # files from the killed exports are too new to count as abandoned
        part.unlink()
    once = list_files(Path("out"))
    shutil.rmtree("out")
    assert run(host, capsys, "kites-test3/*")[0] == 0
    assert list_files(Path("out")) == once


@pytest.mark.parametrize(
    "named", ["first", "kites-test3/first", "HOST/@kites-test3/first", "HOST/@kites-test3/first/runs"]
)
def test_project_is_exported_by_its_name_path_or_url(host: str, capsys: pytest.CaptureFixture[str], named: str) -> None:
    code, reply = run(host, capsys, named.replace("HOST", host))
    assert (code, reply.splitlines()[0]) == (0, "3 experiments from 1 project, 3 written: out")
    code, reply = run(host, capsys, named.replace("HOST", host))
    assert (code, reply.splitlines()[0]) == (0, "3 experiments from 1 project, 0 written: out")


def test_experiment_comes_before_a_project_of_the_same_name(
    host: str, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    state.add_experiment(state.projects[-1], "first", cuid="same", metrics={"loss": [(0, 1.0)]})
    assert run(host, capsys, "first") == (0, "1 point from 1 metric: out\n")
    code, reply = run(host, capsys, "neither")
    assert code == 1
    assert "out already exists" in reply
    Path("out").unlink()
    code, reply = run(host, capsys, "neither")
    assert code == 1
    assert "neither" in reply


def list_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_file_of_a_concurrent_export_is_kept(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    part = Path("out", SERIES.format(1, "csv")).parent / ".swanlab-1234.part"
    assert run(host, capsys, "kites-test3/first")[0] == 0
    part.write_text("key,st")
    assert run(host, capsys, "kites-test3/first", "--raw-cells")[0] == 0
    assert part.exists()


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_older_points_of_a_concurrent_export_are_replaced(
    host: str, state: State, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    suffix = {"json": "jsonl"}.get(form, form)
    series = Path("out", SERIES.format(1, suffix))
    run(host, capsys, "kites-test3/*st", "--format", form)
    older = series.read_bytes()
    experiment = next(one for project in state.projects for one in project.experiments if one.cuid == "run1")
    experiment.metrics = {**experiment.metrics, "loss": [*experiment.metrics["loss"], (2, 7.0)]}
    assert "1 written" in run(host, capsys, "kites-test3/*st", "--format", form)[1]
    newer = series.read_bytes()
    # the slower export ends after the faster export has left its mark
    series.write_bytes(older)
    assert "1 written" in run(host, capsys, "kites-test3/*st", "--format", form)[1]
    assert series.read_bytes() == newer
    assert "0 written" in run(host, capsys, "kites-test3/*st", "--format", form)[1]


def test_full_disk_is_reported_and_the_export_continues(
    host: str, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    state.projects[1].experiments[0].metrics["loss"] = [(step, float(step)) for step in range(3000)]
    command = [sys.executable, "-m", "swanlab_mcp", "export", "kites-test3/first", "--host", host, "-o", "out"]
    process = subprocess.run([sys.executable, "-c", LIMITED, *command], capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert "cannot be written (File too large)" in process.stderr
    assert not list(Path("out").rglob("*.part"))
    assert run(host, capsys, "kites-test3/first")[0] == 0
    assert len(read_csv(Path("out", SERIES.format(2, "csv")))) == 3001


def test_missing_metrics_leave_experiments_empty(host: str, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    del state.projects[1].experiments[0].metrics["loss"]
    code, reply = run(host, capsys, "kites-test3/*", "--keys", "los*")
    assert code == 0, reply
    assert [len(read_csv(Path("out", SERIES.format(number, "csv")))) for number in range(3)] == [2, 2, 0]
    code, reply = run(host, capsys, "kites-test3/*", "--keys", "lss")
    assert code == 1
    assert "No experiment has a metric that matches lss." in reply


def test_raw_cells_rewrite_the_series(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(host, capsys, "kites-test3/first")
    run(host, capsys, "kites-test3/first", "--raw-cells")
    assert {row["key"] for row in read_csv(Path("out", SERIES.format(1, "csv")))} == {"loss", "=odd"}


def test_unreadable_project_is_named(host: str, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    state.faults.append(Fault("/second/runs", status=403, times=None))
    code, reply = run(host, capsys, "kites-test3/*")
    assert code == 1
    assert "Incomplete: 1 of 3 projects could not be read (kites-test3/second" in reply


def test_folder_of_another_format_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(host, capsys, "kites-test3/first")[0] == 0
    code, reply = run(host, capsys, "kites-test3/first", "--format", "json")
    assert (code, "does not contain a json export" in reply) == (1, True)


def test_other_files_are_never_mixed_with_an_export(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    code, reply = run(host, capsys, "kites-test3/first")
    assert (code, "does not contain a csv export" in reply) == (1, True)
    assert [path.name for path in Path("out").iterdir()] == ["mine.txt"]


def test_json_lines_keep_non_finite_values(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(host, capsys, "kites-test3/first", "--format", "json", "--keys", "lo*")[0] == 0
    lines = Path("out", SERIES.format(1, "jsonl")).read_text().splitlines()
    assert [json.loads(line)["value"] for line in lines] == [1.0, "NaN"]


def test_parquet_dataset_reads_back_by_partition(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    dataset: Any = pytest.importorskip("pyarrow.dataset")
    assert run(host, capsys, "kites-test3/*", "--format", "parquet")[0] == 0
    table = dataset.dataset("out/series", partitioning="hive").to_table()
    rows = table.filter(dataset.field("project") == "first").to_pylist()
    assert {(row["experiment"], row["key"], row["step"]) for row in rows} == {
        (f"run{number}", key, step) for number in range(3) for key, step in (("loss", 0), ("loss", 1), ("=odd", 5))
    }
    assert sum(math.isnan(row["value"]) for row in rows) == 3
    experiments = dataset.dataset("out/experiments", partitioning="hive").to_table().to_pylist()
    assert len(experiments) == 5


def test_partitions_with_unusual_names_read_back(host: str, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    dataset: Any = pytest.importorskip("pyarrow.dataset")
    names = ["a/b", "x=y", "a b", "中文 项目", "50%", "a+b", "back\\slash", "a?b#c", "q'uote\"", "é", "长" * 100]
    for number, name in enumerate(names):
        project = state.add_project(state.workspaces[1], name)
        cuid = "0" * 512 if number == 5 else f"{name.replace('/', '_')[:90]}-{number}"
        state.add_experiment(project, name, cuid=cuid, metrics={"loss": [(0, float(number))]})
    assert run(host, capsys, "kites-test2/*", "--format", "parquet")[0] == 0
    found = {}
    for folder in ("series", "summaries", "experiments"):
        rows = dataset.dataset(f"out/{folder}", partitioning="hive").to_table().to_pylist()
        found[folder] = {(row["project"], row["experiment"]) for row in rows}
    assert found["series"] == found["summaries"] == found["experiments"]
    projects = {project for project, _ in found["series"]}
    assert projects.issuperset(names[:-1])
    assert len(projects) == len(names)
    # Spark decodes escaped bytes one by one
    assert Path("out/series/workspace=kites-test2/project=中文%20项目").is_dir()


def test_log_of_projects_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(host, capsys, "kites-test3/first", "--format", "log")[0] == 2
