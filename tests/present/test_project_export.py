"""Whole projects become datasets that can be continued and updated."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.cli import main as cli_main
from tests.fake_swanlab import Fault, State

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
    assert "5 experiments of 3 projects, 5 written: out" in reply
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
    assert "4 experiments of 2 projects, 4 written" in run(host, capsys, "kites-test3/*st, kites-test3/second")[1]
    running = state.projects[1].experiments[0]
    running.metrics = {**running.metrics, "loss": [*running.metrics["loss"], (2, 0.5)]}
    state.calls.clear()
    assert "4 experiments of 2 projects, 1 written" in run(host, capsys, "kites-test3/*st, kites-test3/second")[1]
    assert len(read_csv(Path("out", SERIES.format(2, "csv")))) == 4


def test_interrupted_export_continues(host: str, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    state.faults.append(Fault("/(column|columns|scalar|metrics)", status=403, skip=6, times=60))
    code, reply = run(host, capsys, "--project", "first")
    assert code == 1
    assert "Incomplete" in reply
    state.faults.clear()
    code, reply = run(host, capsys, "--project", "first")
    assert code == 0, reply
    assert all(read_csv(Path("out", SERIES.format(number, "csv"))) for number in range(3))


def test_unreadable_project_is_named(host: str, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    state.faults.append(Fault("/second/runs", status=403, times=None))
    code, reply = run(host, capsys, "kites-test3/*")
    assert code == 1
    assert "Incomplete: 1 of 3 projects could not be read (kites-test3/second" in reply


def test_folder_of_another_format_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(host, capsys, "kites-test3/first")[0] == 0
    code, reply = run(host, capsys, "kites-test3/first", "--format", "json")
    assert (code, "does not hold an export as json" in reply) == (1, True)


def test_other_files_are_never_mixed_with_an_export(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    code, reply = run(host, capsys, "kites-test3/first")
    assert (code, "does not hold an export" in reply) == (1, True)
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


def test_log_of_projects_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(host, capsys, "kites-test3/first", "--format", "log")[0] == 2
