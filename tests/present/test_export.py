"""The command `export`, run through the CLI."""

# pyarrow is not typed
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.cli import main as cli
from swanlab_mcp.present.export import FORMATS
from tests.conftest import RUNS
from tests.fake_swanlab import LogLine, State

TRUTH = {
    run["id"]: run for run in json.loads((RUNS / "0.10.3-offline" / "truth.json").read_text(encoding="utf-8"))["runs"]
}
CUID = "3hzj7gws"


def export(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", "--log-dir", str(RUNS / "0.10.3-offline"), *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def read_rows(file: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the steps and values of each key from any of the formats."""
    rows: dict[str, list[tuple[int, float]]] = {}
    if file.suffix == ".json":
        written = json.loads(file.read_text(encoding="utf-8"))
        for key, columns in written["series"].items():
            rows[key] = list(zip(columns["steps"], map(float, columns["values"]), strict=True))
            assert len(columns["times"]) == len(columns["steps"])
        return rows
    table: list[dict[str, Any]]
    if file.suffix == ".parquet":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(file).to_pylist()
    else:
        with file.open(encoding="utf-8", newline="") as lines:
            table = list(csv.DictReader(lines))
    assert list(table[0]) == ["key", "step", "time", "value"]
    for row in table:
        rows.setdefault(row["key"], []).append((int(row["step"]), float(row["value"])))
    return rows


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "log"])
def test_every_format_contains_every_point(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(f"local/vision-baselines/{CUID}", "--format", form) == 0
    rows = read_rows(Path(f"{CUID}.{form}"))
    for key, metric in TRUTH[CUID]["metrics"].items():
        assert len(rows[key]) == metric["n"]
        assert rows[key][-1] == (metric["last_step"], metric["last"])
        assert sum(not math.isfinite(value) for _, value in rows[key]) == metric["non_finite"]
        assert [step for step, _ in rows[key]] == sorted(step for step, _ in rows[key])
    out, errors = capsys.readouterr()
    assert out == ""
    points = sum(map(len, rows.values()))
    assert f"{points} points from {len(rows)} metrics: {CUID}.{form}" in errors


def test_chosen_keys_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert export("resnet18-lr1e-3", "--project", "vision-baselines", "--keys", "val/acc,eval/*", "-o", "-") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "key,step,time,value"
    assert {line.split(",")[0] for line in lines[1:]} == {"val/acc", "eval/bleu"}
    assert lines[1].startswith("val/acc,0,2026-11-23T08:00:")
    assert list(Path.cwd().iterdir()) == []


def test_existing_files_are_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path(f"{CUID}.csv").write_text("mine", encoding="utf-8")
    Path("link").symlink_to("nowhere")
    for arguments in ([], ["-o", f"{CUID}.csv"], ["-o", "link"]):
        assert export(f"local/vision-baselines/{CUID}", *arguments) == 1
        assert "already exists and was not overwritten" in capsys.readouterr().err
    assert Path(f"{CUID}.csv").read_text(encoding="utf-8") == "mine"
    assert not Path("nowhere").exists()


def test_unwritable_outputs_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert export(f"local/vision-baselines/{CUID}", "-o", "missing/x.csv") == 1
    assert "missing/x.csv cannot be written because the folder missing does not exist" in capsys.readouterr().err
    assert export(f"local/vision-baselines/{CUID}", "-o", "-", "--format", "parquet") == 1
    assert "Parquet cannot be written to standard output" in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_failed_export_leaves_no_partial_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Path.open

    def open_full(path: Path, mode: str = "r", **how: Any) -> Any:
        if mode == "x":
            whole(path, mode).close()
            return whole(Path("/dev/full"), "w", **how)
        return whole(path, mode, **how)

    monkeypatch.setattr(Path, "open", open_full)
    assert export(f"local/vision-baselines/{CUID}", "-o", "x.csv") == 1
    assert "x.csv cannot be written (No space left on device)" in capsys.readouterr().err
    assert list(Path.cwd().iterdir()) == []


def test_missing_pyarrow_is_reported_before_any_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert export("local/vision-baselines/nothing", "--format", "parquet") == 1
    assert "pyarrow, which is not installed. Use csv or json" in capsys.readouterr().err


def test_unknown_experiments_and_keys_get_suggestions(capsys: pytest.CaptureFixture[str]) -> None:
    assert export("local/vision-baselines/resnet18-lr1e-4") == 1
    assert "Did you mean resnet18-lr1e-3 (3hzj7gws) or " in capsys.readouterr().err
    assert export(f"local/vision-baselines/{CUID}", "--keys", "val/acccc") == 1
    assert "val/acc" in capsys.readouterr().err
    assert export("local/vision-baselines/ifvx5of8") == 1
    assert "has not logged any metrics" in capsys.readouterr().err


def test_damaged_run_is_exported_with_a_note_on_missing_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / f"run-20261123_080020-{CUID}"
    shutil.copytree(next((RUNS / "0.10.3-offline").glob(f"*{CUID}")), folder)
    file = folder / f"run-{CUID}.swanlab"
    content = bytearray(file.read_bytes())
    content[30_000:30_100] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", f"local/vision-baselines/{CUID}", "--log-dir", str(folder.parent), "--format", "json"])
    assert ended.value.code == 0
    output = capsys.readouterr().err
    assert "damaged in 1 place (" in output
    assert "records are missing (gaps in the record numbers)" in output
    assert (
        "missing (gaps in the record numbers)"
        in json.loads(Path(f"{CUID}.json").read_text(encoding="utf-8"))["notes"][0]
    )


def test_log_is_exported_line_by_line_and_never_overwrites_a_file(
    host: str, state: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "test-key")
    monkeypatch.setattr("swanlab_mcp.present.export._LINES", 700)
    command = ["export", "kites-test3/project1/cuid1", "--host", host, "--format", "log"]

    def ask(*more: str) -> int:
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, *more])
        return int(ended.value.code or 0)

    assert ask() == 1
    assert "No log line was recorded for cuid1." in capsys.readouterr().err
    messages = [f"line {number} \x1b[31mred" for number in range(2500)]
    state.projects[0].experiments[0].logs = [LogLine(number, message) for number, message in enumerate(messages)]
    assert ask() == 0
    assert "2500 lines: cuid1.log" in capsys.readouterr().err
    assert Path("cuid1.log").read_text(encoding="utf-8").splitlines() == messages
    assert ask() == 1
    assert ask("-o", "cuid1.log") == 1
    assert "already exists and was not overwritten" in capsys.readouterr().err
    assert ask("-o", "-") == 0
    assert capsys.readouterr().out.startswith("line 0 \\x1b[31mred\nline 1 ")


def test_cloud_experiments_are_exported(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SWANLAB_API_KEY", "test-key")
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", "kites-test3/project1/cuid1", "--host", host, "-o", "cloud.csv"])
    assert ended.value.code == 0, capsys.readouterr().err
    rows = read_rows(Path("cloud.csv"))
    assert rows
    assert all(points for points in rows.values())


def test_csv_formula_cells_are_escaped_unless_raw(
    host: str, state: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "test-key")
    keys = ["=1+1", "@cmd", "-x", "+x", "\uff1d1", "loss"]
    state.add_experiment(state.projects[0], "odd", cuid="odd1", metrics={key: [(0, 1.0)] for key in keys})
    for words, mark in (([], "'"), (["--raw-cells"], "")):
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", "kites-test3/project1/odd1", "--host", host, "-o", "-", *words])
        shown = capsys.readouterr()
        assert ended.value.code == 0, shown.err
        found = [row["key"] for row in csv.DictReader(shown.out.splitlines())]
        assert sorted(found) == sorted([*(mark + key for key in keys[:-1]), "loss"])


def test_only_project_needs_no_name(
    host: str, state: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "test-key")

    def run(*words: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", "experiment1", *words])
        return ended.value.code, capsys.readouterr().err

    code, reply = run("--host", host, "-o", "one.csv")
    assert code == 0, reply
    assert read_rows(Path("one.csv")).keys() == {"loss", "acc"}
    state.add_experiment(state.add_project(state.workspaces[0], "another"), "experiment1")
    code, reply = run("--host", host, "-o", "two.csv")
    assert code == 1
    assert "2 experiments are named 'experiment1'" in reply


def test_only_project_of_the_demo_needs_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--demo", "export", "lr-0.1", "-o", "demo.csv"])
    assert ended.value.code == 0, capsys.readouterr().err
    assert "val/acc" in read_rows(Path("demo.csv"))
