"""Use plot_metrics from an assistant, and on the command line with `-o`."""

from __future__ import annotations

import base64
import io
import math
import os
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from mcp import Client
from mcp.client import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from PIL import Image

import swanlab_mcp
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.present.views import DATA
from swanlab_mcp.server.app import create_server
from swanlab_mcp.settings import Settings
from tests.cli.test_command import run
from tests.conftest import session, text_of
from tests.fake_swanlab import BEGINNING, State

pytestmark = pytest.mark.anyio

DEMO = Settings(demo=True, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))


async def plot(client: Any, **arguments: Any) -> tuple[bytes, str]:
    """Return the picture and the text in a reply of plot_metrics."""
    result = await client.call_tool("plot_metrics", arguments)
    assert not result.is_error, text_of(result)
    assert result.structured_content is None
    assert [block.type for block in result.content] == ["image", "text"]
    picture, text = result.content
    assert picture.mime_type == "image/png"
    png = base64.b64decode(picture.data)
    assert Image.open(io.BytesIO(png)).size == (1000, 560)
    assert len(png) <= 200_000
    return png, text.text


def read_rows(text: str) -> list[dict[str, str]]:
    """Return the table in a reply, including columns that all rows share."""
    lines = [line for line in text.splitlines()[1:] if not line.startswith("note: ")]
    shared: dict[str, str] = {}
    if lines[0].startswith("all rows: "):
        shared = dict(cell.split(" ", 1) for cell in lines.pop(0).removeprefix("all rows: ").split(" | "))
    names = lines[0].split(" | ")
    return [{**shared, **dict(zip(names, line.split(" | "), strict=True))} for line in lines[1:]]


@pytest.fixture
def curves(state: State) -> State:
    project = state.projects[0]
    late = [(step, 2.0 - step / 10_000) for step in range(0, 10_000, 5)]
    late[1200:] = [(step, math.nan) for step, _ in late[1200:]]
    state.add_experiment(project, "late nan", cuid="nan1", metrics={"loss": late, "acc": [(0, 0.5), (9, 0.4)]})
    bottomed = [(step, 2.0 - step / 50) for step in range(90)] + [
        (step, 0.22 + (step - 90) / 10) for step in range(90, 120)
    ]
    state.add_experiment(project, "diverges", cuid="div1", metrics={"loss": bottomed})
    return state


async def test_parallel_charts_share_a_thread_and_leave_others_free() -> None:
    # otherwise waiting charts would occupy all threads
    async with session(DEMO) as client, anyio.create_task_group() as group:
        for key in ("train/loss", "val/loss", "val/acc"):
            group.start_soon(partial(plot, client, project="digits-mlp", exp_cuids=["lr-0.1"], keys=[key]))
    assert [one.name for one in threading.enumerate() if one.name.startswith("drawer")] == ["drawer_0"]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_text_lists_figures_of_every_curve(settings: Settings, curves: State, mode: str) -> None:
    assert curves.projects
    async with session(settings, mode) as client:
        _, text = await plot(client, project="project1", exp_cuids=["late nan", "div1", "cuid1"], keys=["loss"])
    late, diverging, healthy = read_rows(text)
    assert (late["number"], late["exp_cuid"], late["name"], late["key"]) == ("1", "nan1", "late nan", "loss")
    assert (late["points"], late["first_non_finite_step"], late["non_finite"]) == ("2000", "6000", "800")
    assert (late["last.step"], late["last.value"], late["min.step"]) == ("9995", "NaN", "5995")
    assert late["worse_since"] == healthy["worse_since"] == ""
    assert 90 <= int(diverging["worse_since"]) <= 95
    assert (diverging["min.step"], diverging["min.value"], diverging["last.value"]) == ("89", "0.22", "3.12")
    assert healthy["best"] == "min"
    assert text.count("note: Pages: http") == 1


async def test_system_metrics_have_units(settings: Settings, state: State) -> None:
    metrics = {"__swanlab__.gpu.0.temp": [(0, 40.0), (1, 61.0)], "loss": [(0, 1.0), (1, 0.5)]}
    state.add_experiment(state.projects[0], "hot", cuid="hot1", metrics=metrics)
    async with session(settings) as client:
        _, text = await plot(client, project="project1", exp_cuids=["hot1"], keys=[*metrics])
    assert [(row["key"], row["unit"]) for row in read_rows(text)] == [("__swanlab__.gpu.0.temp", "°C"), ("loss", "")]


async def test_best_direction_follows_from_the_key_or_is_empty(settings: Settings, state: State) -> None:
    state.projects[0].experiments[0].metrics["lr"] = [(0, 0.1), (1, 0.2)]
    async with session(settings) as client:
        _, text = await plot(client, project="project1", exp_cuids=["cuid1"], keys=["loss", "acc", "lr"])
    assert {row["key"]: row["best"] for row in read_rows(text)} == {"loss": "min", "acc": "max", "lr": ""}


async def test_all_points_of_long_series_count(settings: Settings, state: State) -> None:
    spike = [(step, 1.0) for step in range(5000)]
    spike[3333] = (3333, -7.5)
    state.projects[0].experiments[0].metrics["loss"] = spike
    async with session(settings) as client:
        _, text = await plot(client, project="project1", exp_cuids=["cuid1"], keys=["loss"])
    (row,) = read_rows(text)
    assert (row["points"], row["min.step"], row["min.value"]) == ("5000", "3333", "-7.5")


async def test_only_the_requested_range_is_drawn(settings: Settings) -> None:
    async with session(settings) as client:
        _, text = await plot(client, project="project1", exp_cuids=["cuid1"], keys=["loss"], start=40, end=45)
        (row,) = read_rows(text)
        assert (row["points"], row["last.step"]) == ("6", "45")
        until = f"{BEGINNING:%Y-%m-%dT%H:%M:}09Z"
        _, text = await plot(client, project="project1", exp_cuids=["cuid1"], keys=["loss"], end=until)
        assert read_rows(text)[0]["last.step"] == "4"
        result = await client.call_tool(
            "plot_metrics", {"project": "project1", "exp_cuids": ["cuid1"], "keys": ["loss"], "start": 900}
        )
    assert result.is_error
    assert "There are no points to draw. loss of experiment1 (cuid1): no points in the requested range." in text_of(
        result
    )


async def test_axes_smoothing_and_scale_change_the_picture_but_not_the_figures(settings: Settings) -> None:
    pictures: set[bytes] = set()
    tables: set[str] = set()
    async with session(settings) as client:
        for how in (
            {},
            {"x_axis": "time"},
            {"x_axis": "relative_time"},
            {"smoothing": 0.9},
            {"log_y": True},
        ):
            png, text = await plot(client, project="project1", exp_cuids=["cuid1"], keys=["loss"], **how)
            pictures.add(png)
            tables.add(str(read_rows(text)))
    assert len(pictures) == 5
    assert len(tables) == 1


async def test_hidden_curves_and_values_get_notes(settings: Settings, state: State) -> None:
    project = state.projects[0]
    state.add_experiment(project, "实验一", cuid="zh1", metrics={"loss": [(0, 3e6), (1, 0.0), (2, 1e6)], "empty": []})
    given = {"project": "project1", "exp_cuids": ["cuid1", "zh1"], "keys": ["loss"]}
    async with session(settings) as client:
        _, text = await plot(client, **given)
        assert "Curve 2 is more than 100 times as large as curve 1" in text
        assert ("#2" in text) == ("no installed font can display" in text)
        _, text = await plot(client, **given, log_y=True)
        assert "1 value at or below 0 is not shown on the logarithmic axis." in text
        assert "100 times" not in text
        _, text = await plot(client, **given, smoothing=0.5)
        assert "smoothed (0.5)" in text
        _, text = await plot(client, **(given | {"keys": ["loss", "acc"]}))
        assert "note: '实验一' (zh1) has not logged acc." in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"keys": ["lsos"]}, "Similar keys (of 2 logged): loss"),
        ({"keys": ["loss"], "exp_cuids": ["cuid9"]}, "There is no experiment 'cuid9'"),
        ({"keys": ["loss"], "exp_cuids": []}, "'exp_cuids'"),
        ({"keys": ["loss"], "smoothing": 1}, "'smoothing'"),
        ({"keys": ["loss"], "x_axis": "epoch"}, "No metric in this experiment matches 'epoch'"),
        ({"keys": ["loss"], "start": 9, "end": 1}, "start=9 is after end=1"),
        ({"keys": ["loss"], "start": "soon"}, "not a step or a time"),
        ({"keys": ["minus"], "log_y": True}, "log_y needs values above 0"),
        ({"keys": ["k*"]}, "The arguments select 25 curves, but one picture can clearly show at most 20"),
    ],
)
async def test_impossible_plots_are_explained(
    settings: Settings, state: State, arguments: dict[str, Any], expected: str
) -> None:
    metrics = state.projects[0].experiments[0].metrics
    if arguments["keys"] != ["lsos"]:
        metrics |= {"minus": [(0, -1.0)], **{f"k{number}": [(0, 1.0)] for number in range(25)}}
    async with session(settings) as client:
        result = await client.call_tool("plot_metrics", {"project": "project1", "exp_cuids": ["cuid1"], **arguments})
    assert result.is_error
    assert expected in text_of(result)


async def test_points_without_a_time_are_counted_and_not_drawn(settings: Settings, state: State) -> None:
    first = int(BEGINNING.timestamp() * 1000)
    one = state.projects[0].experiments[0]
    one.metrics = {"loss": [(0, 3.0, first), (1, 2.0, 0), (2, 1.0, first + 9000)], "none": [(0, 1.0, 0), (1, 2.0, 0)]}
    given = {"project": "project1", "exp_cuids": ["cuid1"]}
    async with session(replace(settings, is_cached=False)) as client:
        _, text = await plot(client, **given, keys=["loss"], x_axis="time")
        assert "1 point without a recorded time is not drawn." in text
        assert read_rows(text)[0]["points"] == "3"
        result = await client.call_tool("plot_metrics", {**given, "keys": ["none"], "x_axis": "time"})
        assert "No times are recorded for these points. Use x_axis='step'." in text_of(result)
        one.wire["createdAt"] = None
        state.variants.needs_created_at = False
        result = await client.call_tool("plot_metrics", {**given, "keys": ["loss"], "x_axis": "relative_time"})
        assert "The start time of cuid1 is unknown." in text_of(result)


async def test_missing_key_is_reported_and_the_others_are_drawn(settings: Settings, state: State) -> None:
    state.add_experiment(state.projects[0], "bare", cuid="bare1")
    async with session(settings) as client:
        _, text = await plot(client, project="project1", exp_cuids=["cuid1", "bare1"], keys=["loss"])
    assert [row["exp_cuid"] for row in read_rows(text)] == ["cuid1"]
    assert "note: bare (bare1) has not logged loss." in text


async def test_equal_names_are_distinguished_in_the_picture(settings: Settings, state: State) -> None:
    loss = [(0, 1.0), (1, 2.0)]
    for cuid in ("twin1", "twin2"):
        state.add_experiment(state.projects[0], "twin", cuid=cuid, metrics={"loss": loss, "acc": loss})
    async with session(replace(settings, is_cached=False)) as client:
        same, _ = await plot(client, project="project1", exp_cuids=["twin1", "twin2"], keys=["loss"])
        state.projects[0].experiments[0].name = "other"
        other, _ = await plot(client, project="project1", exp_cuids=["twin1", "twin2"], keys=["loss"])
        both, _ = await plot(client, project="project1", exp_cuids=["twin1", "twin2"], keys=["loss", "acc"])
    assert len({same, other, both}) == 3


async def test_missing_matplotlib_gives_sparklines_and_an_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    async with session(DEMO) as client:
        result = await client.call_tool(
            "plot_metrics", {"project": "digits-mlp", "exp_cuids": ["lr-0.1", "lr-100-wd-0.1"], "keys": ["val/loss"]}
        )
    assert [block.type for block in result.content] == ["text"]
    text = text_of(result)
    assert "pip install 'swanlab-mcp-server[plot]'" in text
    good, bad = read_rows(text)
    assert good["sparkline"].startswith("█")
    assert bad["sparkline"].endswith("xxxx")
    assert bad["first_non_finite_step"] == "9"


def test_unwritable_matplotlib_cache_gives_sparklines_and_the_reason() -> None:
    program = (
        "import tempfile; tempfile.tempdir = '/dev/null/none'; from swanlab_mcp.cli.main import main; "
        "main('--demo call plot_metrics project=digits-mlp exp_cuids=lr-0.1 keys=val/loss'.split())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MPLCONFIGDIR": "/dev/null/none"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "| █" in done.stdout
    assert "note: matplotlib cannot start (OSError), so sparklines replace the picture." in done.stdout
    assert "MPLCONFIGDIR" in done.stdout


async def test_runs_on_disk_are_drawn() -> None:
    async with session(DEMO) as client:
        png, text = await plot(
            client, project="digits-mlp", exp_cuids=["lr-0.1", "lr-1"], keys=["*/acc"], x_axis="relative_time"
        )
    assert png
    assert {row["key"] for row in read_rows(text)} == {"train/acc", "val/acc"}


def test_command_writes_the_picture_and_never_overwrites_a_file(tmp_path: Path) -> None:
    file = tmp_path / "chart.png"
    call = ["--demo", "call", "plot_metrics", "project=digits-mlp", "exp_cuids=lr-0.1", "keys=val/loss"]
    done = run(*call, "-o", str(file))
    assert done.returncode == 0
    assert done.stdout.startswith("1 of 1\nnumber | exp_cuid")
    assert done.stderr == f"{file}: {file.stat().st_size} bytes\n"
    written = file.read_bytes()
    assert Image.open(io.BytesIO(written)).size == (1000, 560)
    again = run(*call, "-o", str(file))
    assert (again.returncode, again.stderr) == (
        2,
        f"{file} already exists and was not overwritten. Name another file with -o.\n",
    )
    assert file.read_bytes() == written
    assert f"the folder {tmp_path / 'no'} does not exist" in run(*call, "-o", str(tmp_path / "no" / "x.png")).stderr


def test_command_reports_missing_pictures_and_json(tmp_path: Path) -> None:
    done = run("--demo", "call", "list_projects", "-o", str(tmp_path / "x.png"))
    assert (done.returncode, done.stderr) == (1, "The result contains no image, so no file was written.\n")
    done = run("--demo", "call", "plot_metrics", "project=digits-mlp", "exp_cuids=lr-0.1", "keys=lr", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "omit --json" in done.stderr


@pytest.fixture
def sweep(state: State) -> State:
    """Return ten settings with five seeds each; the last seed of each ends early."""
    project = state.add_project(state.workspaces[0], "sweep")
    for rate in range(10):
        for seed in range(5):
            steps = range(60 if seed == 4 else 100)
            state.add_experiment(
                project, f"r{rate}s{seed}", cuid=f"r{rate}s{seed}", config={"lr": 0.1 * (rate + 1), "seed": seed},
                metrics={
                    "val/loss": [(step, (rate + 1 + seed / 10) / (1 + step)) for step in steps],
                    "epoch": [(step, step / 10) for step in steps],
                },
            )  # fmt: skip
    return state


ALL = [f"r{rate}s{seed}" for rate in range(10) for seed in range(5)]


@pytest.mark.parametrize("by", ["seed", "lr", "config.lr"])
async def test_groups_of_seeds_are_means_with_bands(settings: Settings, sweep: State, by: str) -> None:
    assert sweep.projects
    async with session(settings) as client:
        _, text = await plot(client, project="sweep", exp_cuids=ALL, keys=["val/loss"], group_by=by)
    rows = read_rows(text)
    assert len(rows) == 10
    assert count_tokens(text) <= 700
    ends = np.array([(3 + seed / 10) / 100 for seed in range(4)])
    row = rows[2]
    assert (row["n"], row["n_last"], row["last.step"]) == ("5", "4", "99")
    assert row["name"].startswith("lr=0.3")
    assert float(row["last.value"]) == pytest.approx(ends.mean(), rel=1e-5)
    assert float(row["low"]) == pytest.approx(ends.mean() - ends.std(ddof=1), rel=1e-5)
    assert float(row["high"]) == pytest.approx(ends.mean() + ends.std(ddof=1), rel=1e-5)


async def test_band_can_be_the_smallest_and_largest_value(settings: Settings, sweep: State) -> None:
    assert sweep.projects
    given = {"project": "sweep", "exp_cuids": ALL[:10], "keys": ["val/loss"], "group_by": "lr"}
    async with session(settings) as client:
        spread, _ = await plot(client, **given)
        extremes, text = await plot(client, **given, band="minmax")
    assert spread != extremes
    assert (read_rows(text)[0]["low"], read_rows(text)[0]["high"]) == ("0.01", "0.013")


async def test_metric_or_config_can_be_the_x_axis(settings: Settings, sweep: State) -> None:
    assert sweep.projects
    given = {"project": "sweep", "exp_cuids": ALL[:20], "keys": ["val/loss"]}
    pictures: set[bytes] = set()
    async with session(settings) as client:
        for how in ({}, {"x_axis": "epoch"}, {"x_axis": "epoch", "log_x": True}, {"x_axis": "config.lr"}):
            png, text = await plot(client, **given, **how)
            pictures.add(png)
        assert len(pictures) == 4
        row = read_rows(text)[6]
        assert (row["name"], row["x"], row["min.value"], row["min.step"]) == ("r1s1", "0.2", "0.021", "99")
        coloured, _ = await plot(client, **given, x_axis="config.lr", group_by="seed")
        assert coloured not in pictures


async def test_results_can_be_drawn_over_another_result(settings: Settings, sweep: State) -> None:
    project = sweep.projects[-1]
    for number, losses in enumerate([[3.0, 1.0, 2.0], [5.0, 4.0, 6.0], [math.nan]]):
        metrics = {"val/loss": list(enumerate(losses)), "epoch": [(0, 1.0), (1, number + 7.0)]}
        sweep.add_experiment(project, f"x{number}", cuid=f"x{number}", config={"lr": number}, metrics=metrics)
    given = {"project": project.name, "exp_cuids": ["x0", "x1", "x2"], "keys": ["epoch"]}
    async with session(settings) as client:
        png, text = await plot(client, **given, x_axis="metric.val/loss")
        coloured, _ = await plot(client, **given, x_axis="metric.val/loss", group_by="lr")
        _, last = await plot(client, **{**given, "keys": ["val/loss"]}, x_axis="metric.epoch")
    assert [(row["name"], row["x"], row["last.value"]) for row in read_rows(text)] == [
        ("x0", "1", "7"),
        ("x1", "4", "8"),
    ]
    assert "1 experiment without a finite value for val/loss is not drawn." in text
    assert png != coloured
    assert [row["x"] for row in read_rows(last)] == ["7", "8", "9"]


@pytest.mark.parametrize("by", ["config.seed", "metric.epoch"])
async def test_third_number_colours_points_on_a_scale(settings: Settings, sweep: State, by: str) -> None:
    project = sweep.projects[-1]
    sweep.add_experiment(project, "bare", cuid="bare", config={"lr": 0.3}, metrics={"val/loss": [(0, 1.0), (1, 0.5)]})
    given = {"project": "sweep", "exp_cuids": ["bare", *ALL[:10]], "keys": ["val/loss"], "x_axis": "config.lr"}
    async with session(settings) as client:
        png, text = await plot(client, **given, group_by=by)
        plain, _ = await plot(client, **given)
        grouped, _ = await plot(client, **given, group_by="seed")
    shown = ["", *(("0123" + "4") * 2 if by == "config.seed" else ["9.9", "9.9", "9.9", "9.9", "5.9"] * 2)]
    assert [row["colour"] for row in read_rows(text)] == shown
    assert f"1 experiment without a finite value for {by.removeprefix('metric.')} is shown in grey." in text
    assert len({png, plain, grouped}) == 3
    # the bar shows the colours of its two ends, which other pictures lack
    for picture, is_scaled in ((png, True), (plain, False), (grouped, False)):
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        colours: Any = image.getcolors(image.width * image.height)
        ends = [(0x44, 0x01, 0x54), (0xA0, 0xDA, 0x39)]
        near = [
            sum(count for count, one in colours if max(abs(a - b) for a, b in zip(one, end, strict=True)) < 24)
            for end in ends
        ]
        assert (min(near) > 50) == is_scaled


async def test_groups_count_only_the_experiments_that_are_drawn(settings: Settings, sweep: State) -> None:
    project = sweep.projects[-1]
    for number, config in enumerate([{"opt": "sgd"}, {"opt": "sgd", "lr": 1}, {"opt": "adam", "lr": 2}]):
        sweep.add_experiment(
            project, f"o{number}", cuid=f"o{number}", config=config, metrics={"val/loss": [(0, 1.0), (1, 1.0 + number)]}
        )
    given = {"project": "sweep", "exp_cuids": ["o0", "o1", "o2"], "keys": ["val/loss"], "x_axis": "config.lr"}
    capabilities = [advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})]
    async with Client(create_server(settings), extensions=capabilities) as client:
        result = await client.call_tool("plot_metrics", {**given, "group_by": "opt"})
    assert result.meta
    curves = result.meta[DATA]["curves"]
    assert [(one["name"], one["n"]) for one in result.meta[DATA]["experiments"]] == [("opt=sgd", 1), ("opt=adam", 1)]
    assert [one["names"] for one in curves] == [["o1"], ["o2"]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"group_by": "metric.epoch"}, "metric.epoch can only colour points, but this plot has curves."),
        ({"x_axis": "config.lr", "group_by": "metric.epcoh"}, "Similar keys (of 2 logged): epoch"),
        ({"x_axis": "metric.val/los"}, "Similar keys (of 2 logged): val/loss"),
        ({"group_by": "learning"}, "No experiment has a config key learning. Similar names: lr, seed."),
        ({"x_axis": "epcoh"}, "Similar keys (of 2 logged): epoch"),
        ({"x_axis": "config.sed"}, "No experiment has a config key sed. Similar names: seed."),
        ({}, "The arguments select 50 curves"),
    ],
)
async def test_impossible_groups_and_axes_are_explained(
    settings: Settings, sweep: State, arguments: dict[str, Any], expected: str
) -> None:
    assert sweep.projects
    async with session(settings) as client:
        given = {"project": "sweep", "exp_cuids": ALL if not arguments else ALL[:5], "keys": ["val/loss"]}
        result = await client.call_tool("plot_metrics", {**given, **arguments})
    assert result.is_error
    assert expected in text_of(result)
