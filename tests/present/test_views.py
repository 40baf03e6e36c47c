"""Check the interactive chart: its clients, its data and its page."""

# a chart's JSON has values of any type
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.client import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID

from swanlab_mcp.core.findings import PlottedCurve
from swanlab_mcp.core.models import Extreme, Points
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.present.interactive import InteractiveCurve, describe_chart
from swanlab_mcp.present.views import CURVES, DATA, REPORT, read_curves, read_report
from swanlab_mcp.server.app import create_server
from swanlab_mcp.settings import Settings
from tests.cli.test_command import environ
from tests.conftest import session, text_of
from tests.fake_swanlab import BEGINNING, State
from tests.server.test_tools import DEMO

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "views.sh"
SUITE = os.environ.get("VIEWS_SUITE", "")
ERAS = ["legacy", "2026-07-28"]
ONE: dict[str, Any] = {"project": "project1", "exp_cuids": ["cuid1"], "keys": ["loss"]}


@asynccontextmanager
async def showing(
    settings: Settings, mode: str = "auto", mime_type: str = APP_MIME_TYPE
) -> AsyncGenerator[Client, None]:
    """Connect an MCP client that can show pages of this type."""
    extensions = [advertise(EXTENSION_ID, {"mimeTypes": [mime_type]})]
    async with Client(create_server(settings), mode=mode, extensions=extensions) as client:
        yield client


async def draw(client: Any, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool("plot_metrics", {**ONE, **arguments})
    assert not result.is_error, text_of(result)
    return result.meta[DATA]


@pytest.mark.parametrize("mode", ERAS)
async def test_clients_with_apps_get_chart_data_with_picture_and_text(settings: Settings, mode: str) -> None:
    async with showing(settings, mode) as client:
        tool = next(one for one in (await client.list_tools()).tools if one.name == "plot_metrics")
        assert tool.meta == {"ui": {"resourceUri": CURVES}}
        result = await client.call_tool("plot_metrics", ONE)
        assert result.meta
        (curve,) = result.meta[DATA]["curves"]
    assert [block.type for block in result.content] == ["image", "text"]
    assert result.structured_content is None
    assert (len(curve["steps"]), len(curve["values"]), len(curve["times"])) == (curve["total"],) * 3
    assert curve["origin"] + curve["times"][0] == round(BEGINNING.timestamp() * 1000)
    assert "gaps" not in curve


@pytest.mark.parametrize("mode", ERAS)
async def test_clients_without_apps_get_no_chart_data(settings: Settings, mode: str) -> None:
    async with session(settings, mode) as client:
        plain = await client.call_tool("plot_metrics", ONE)
    async with showing(settings, mode, "text/html") as client:
        other = await client.call_tool("plot_metrics", ONE)
        listed = await client.call_tool("list_projects", {})
    for result in (plain, other, listed):
        assert DATA not in (result.meta or {})
    assert text_of(plain) == text_of(other)


@pytest.mark.parametrize("mode", ERAS)
async def test_page_loads_no_external_resources(mode: str) -> None:
    async with session(DEMO, mode) as client:
        listed = {one.uri: one for one in (await client.list_resources()).resources}[CURVES]
        (content,) = (await client.read_resource(CURVES)).contents
    assert listed.mime_type == content.mime_type == APP_MIME_TYPE
    assert content.meta == {"ui": {"prefersBorder": True}}
    page = content.text
    assert page == read_curves()
    assert len(page.encode()) <= 300_000
    assert "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:" in page
    assert not re.search(
        r"\beval\(|\bFunction\(|innerHTML|insertAdjacentHTML|document\.write|@import|url\(|<link|src=", page
    )
    assert set(re.findall(r"https?://[^\s)]*", page)) == {
        "https://github.com/leeoniya/uPlot",
        'http://www.w3.org/2000/svg";',  # the namespace of SVG elements
    }
    assert "Copyright (c) 2022 Leon Sorokin" in page
    assert (page.count("<script>"), page.count("</script>")) == (1, 1)
    assert "/* scripts */" not in page
    assert "/* styles */" not in page


async def test_ranking_has_a_page_that_requests_its_report() -> None:
    async with showing(DEMO) as client:
        tool = next(one for one in (await client.list_tools()).tools if one.name == "rank_experiments")
        assert tool.meta == {"ui": {"resourceUri": REPORT}}
        (content,) = (await client.read_resource(REPORT)).contents
        result = await client.call_tool("rank_experiments", {"project": "digits-mlp", "metric": "val/acc"})
    assert content.mime_type == APP_MIME_TYPE
    page = content.text
    assert page == read_report()
    assert "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'\"" in page
    assert not re.search(
        r"\beval\(|innerHTML|insertAdjacentHTML|document\.write|@import|url\(|<link|src=|https?://", page
    )
    (link,) = (block for block in result.content if block.type == "resource_link")
    scheme = re.search(r'const SCHEME = "(.*?)"', page)
    assert scheme is not None
    assert link.uri.startswith(scheme[1])


async def test_page_uses_the_servers_data_key_and_words() -> None:
    page = read_curves()
    assert f'const DATA = "{DATA}";' in page
    words = set(re.findall(r'(?:translate|showStatus)\("([\w-]+)"', page)) | set(
        re.findall(r'data-(?:word|label)="(\w+)"', page)
    )
    for language in ("en", "zh"):
        part = re.search(rf"\n  {language}: {{(.*?)\n  }},", page, re.DOTALL)
        assert part is not None
        assert not {word for word in words if not re.search(rf'(?:^|[\s"]){word}"?: ', part[1])}


async def test_page_gets_non_finite_values_events_and_display_options(settings: Settings, state: State) -> None:
    values = [3.0, 2.0, math.nan, math.inf, -math.inf, 1.0]
    state.add_experiment(state.projects[0], "odd", cuid="odd1", metrics={"loss": list(enumerate(values))})
    async with showing(settings) as client:
        data = await draw(client, exp_cuids=["odd1"], smoothing=0.5, log_y=True, x_axis="relative_time")
    (curve,) = data["curves"]
    assert curve["values"] == [3, 2, "NaN", "Infinity", "-Infinity", 1]
    assert curve["non_finite"] == 3
    assert [(one["kind"], one["step"], one["value"]) for one in curve["events"]] == [
        ("best", 5, 1),
        ("non-finite", 2, "NaN"),
    ]
    assert (data["x_axis"], data["smoothing"], data["log_y"]) == ("relative_time", 0.5, True)
    assert data["experiments"][0]["name"] == "odd"
    json.dumps(data, allow_nan=False)


async def test_server_announces_the_apps_extension() -> None:
    async with session(DEMO) as client:
        assert EXTENSION_ID in client.server_capabilities.extensions


async def test_only_the_requested_range_is_drawn(settings: Settings) -> None:
    async with showing(settings) as client:
        (curve,) = (await draw(client, start=40, end=45))["curves"]
    assert curve["steps"] == [40, 41, 42, 43, 44, 45]
    assert curve["total"] == 6


async def test_points_without_a_time_are_marked(settings: Settings, state: State) -> None:
    first = int(BEGINNING.timestamp() * 1000)
    one = state.projects[0].experiments[0]
    one.metrics = {"loss": [(0, 3.0, first), (1, 2.0, 0), (2, 1.0, first + 9000)], "none": [(0, 1.0, 0)]}
    one.wire["createdAt"] = None
    state.variants.needs_created_at = False
    async with showing(settings) as client:
        data = await draw(client, keys=["loss", "none"])
    some, none = data["curves"]
    assert (some["origin"], some["times"]) == (first, [0, None, 9000])
    assert "times" not in none
    assert data["experiments"] == [{"name": "experiment1", "began": None, "n": None}]


async def test_many_points_are_bounded_and_keep_extremes(settings: Settings, state: State) -> None:
    for number in range(12):
        values = [(step * 7919, math.sin(step) * 1e-200 / 3) for step in range(9000)]
        values[4321] = (4321 * 7919, -7.5)
        values[5000] = (5000 * 7919, math.nan)
        state.add_experiment(state.projects[0], f"long {number}", cuid=f"long{number}", metrics={"loss": values})
    async with showing(settings) as client:
        data = await draw(client, exp_cuids=[f"long{number}" for number in range(12)])
    assert 250_000 < len(json.dumps(data, separators=(",", ":"))) <= 500_000
    for curve in data["curves"]:
        assert curve["total"] == 9000
        assert len(curve["steps"]) == len(curve["gaps"]) < 1000
        assert sum(curve["gaps"]) == 8999
        assert -7.5 in curve["values"]
        assert "NaN" in curve["values"]


@pytest.mark.parametrize("mode", ERAS)
async def test_names_are_bounded_escaped_and_masked(settings: Settings, state: State, mode: str) -> None:
    secret = "key-canary-123456"
    state.users[0].api_key = secret
    token = "hf_" + "a" * 30
    for number, name in enumerate([f"run {secret}", f"with {token}", "</script>\x1b[31m\u202e", "n" * 5000]):
        state.add_experiment(state.projects[0], name, cuid=f"hostile{number}", metrics={f"loss {secret}": [(0, 1.0)]})
    given = {"exp_cuids": [f"hostile{number}" for number in range(4)], "keys": ["loss*"]}
    async with showing(replace(settings, api_key=secret), mode) as client:
        data = await draw(client, **given)
    names = [one["name"] for one in data["experiments"]]
    assert names[:3] == ["run ***", "with ***", "</script>\\x1b[31m\\u202e"]
    assert len(names[3]) == 120
    assert {one["key"] for one in data["curves"]} == {"loss ***"}
    assert "canary" not in json.dumps(data)
    async with showing(replace(settings, api_key=secret, show_secrets=True), mode) as client:
        data = await draw(client, **given)
    assert [one["name"] for one in data["experiments"]][:2] == ["run ***", f"with {token}"]


async def test_equal_names_are_distinguished(settings: Settings, state: State) -> None:
    other = state.add_project(state.workspaces[0], "other")
    for project, cuid in ((state.projects[0], "twin1"), (state.projects[0], "twin2"), (other, "twin1")):
        state.add_experiment(project, "twin", cuid=cuid, metrics={"loss": [(0, 1.0)]})
    paths = ["project1/twin1", "project1/twin2", "other/twin1"]
    async with showing(settings) as client:
        data = await draw(client, project="", exp_cuids=[f"kites-test3/{path}" for path in paths])
    assert [one["name"] for one in data["experiments"]] == [
        "project1/twin (kites-test3/project1/twin1)",
        "project1/twin (kites-test3/project1/twin2)",
        "other/twin",
    ]
    assert [one["experiment"] for one in data["curves"]] == [0, 1, 2]


async def test_chart_data_is_sent_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    async with showing(DEMO) as client:
        given = {"project": "digits-mlp", "exp_cuids": ["lr-0.1"], "keys": ["val/loss"]}
        result = await client.call_tool("plot_metrics", given)
    assert [block.type for block in result.content] == ["text"]
    assert result.meta
    assert result.meta[DATA]["curves"][0]["total"] == 40


def describe(values: list[float], times: list[int]) -> dict[str, Any]:
    steps = list(range(len(values)))
    row = PlottedCurve(
        number=1, exp_cuid="c", name="n", key="loss", points=len(values), last=Extreme(step=steps[-1], value=values[-1])
    )
    curve = InteractiveCurve(ExperimentRef("u", "p", "c"), 0, Points(steps, values, times), row)
    return describe_chart([curve], str, {})["curves"][0]


@given(st.lists(st.floats(width=32), min_size=1, max_size=60), st.integers(1, 200))
def test_kept_points_are_exact_and_count_the_omitted_points(values: list[float], times: int) -> None:
    whole = values * times
    shown = describe(whole, [0] * len(whole))
    kept = [whole[step] for step in shown["steps"]]
    assert [float(value) for value in shown["values"]] == pytest.approx(kept, rel=1e-8, nan_ok=True)
    assert shown["total"] == len(whole)
    assert len(kept) <= 4000
    assert ("gaps" in shown) == (len(whole) > 4000)
    if "gaps" in shown:
        assert sum(shown["gaps"]) == sum(map(math.isfinite, whole))


def run_script(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SCRIPT), *arguments]
    given = environ(PYTHON=sys.executable, **{"VIEWS_SUITE": "", **more})
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=given, check=False)


def test_missing_browser_tools_skip_with_a_reason(tmp_path: Path) -> None:
    done = run_script()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("views: skipped, ")
    if shutil.which("node") and shutil.which("chromium"):
        assert "no folder was given" in done.stdout
        assert "contains no host page" in run_script(str(tmp_path)).stdout


@pytest.mark.skipif(not SUITE, reason="needs VIEWS_SUITE, the folder of an installed host page")
def test_chart_works_in_a_browser_inside_an_mcp_apps_host() -> None:
    done = run_script(SUITE)
    assert done.returncode == 0, done.stderr
    for name in ("view", "report"):
        found = re.search(rf"^{name}: (\d+) of (\d+) ", done.stdout, re.MULTILINE)
        assert found is not None, done.stdout
        assert found[1] == found[2] != "0"


def add_sweep(state: State) -> list[str]:
    """Add two settings with three seeds each. One run ends early."""
    cuids: list[str] = []
    for number, (lr, seed) in enumerate(itertools.product((0.5, 0.1), range(3))):
        cuids.append(f"run{number}")
        points = [(step, lr * (step + 1) + seed) for step in range(5 if number else 3)]
        config = {"lr": lr, "seed": seed, "api_key": f"secret-{number}", "note": f"n{number % 2}"}
        metrics = {"loss": points, "accuracy": [(step, value / 10) for step, value in points]}
        metrics["epoch"] = [(step, step / 2) for step, _ in points if step != 1]
        state.add_experiment(state.projects[0], f"r{number}", cuid=cuids[-1], config=config, metrics=metrics)
    return cuids


@pytest.mark.parametrize("band", ["sd", "minmax"])
async def test_page_gets_means_and_bands_of_groups(settings: Settings, state: State, band: str) -> None:
    cuids = add_sweep(state)
    async with showing(settings) as client:
        data = await draw(client, exp_cuids=cuids, group_by="lr", band=band)
    assert [(one["name"], one["n"]) for one in data["experiments"]] == [("lr=0.5", 3), ("lr=0.1", 3)]
    assert (data["is_grouped"], data["band"], data["x_axis"]) == (True, band, "step")
    values = np.array([[0.1 * (step + 1) + seed for step in range(5)] for seed in range(3)])
    ends = (
        (values.min(0), values.max(0))
        if band == "minmax"
        else values.mean(0) + np.outer((-1, 1), values.std(0, ddof=1))
    )
    curve = data["curves"][1]
    assert curve["steps"] == [0, 1, 2, 3, 4]
    for name, expected in (("values", values.mean(0)), ("low", ends[0]), ("high", ends[1])):
        assert curve[name] == pytest.approx(expected)
    assert [one["name"] for one in data["runs"]["rows"]] == [f"r{number}" for number in range(6)]


async def test_group_is_one_row_if_its_first_member_lacks_a_metric(settings: Settings, state: State) -> None:
    cuids = add_sweep(state)
    points = [(step, 1.0) for step in range(5)]
    state.add_experiment(
        state.projects[0], "new", cuid="first", config={"lr": 0.5, "seed": 9}, metrics={"loss": points}
    )
    async with showing(settings) as client:
        data = await draw(client, exp_cuids=["first", *cuids], keys=["loss", "accuracy"], group_by="lr")
    assert [one["name"] for one in data["experiments"]] == ["lr=0.5", "lr=0.1"]
    assert {(one["experiment"], one["key"]) for one in data["curves"]} == {
        (index, key) for index in (0, 1) for key in ("loss", "accuracy")
    }


async def test_page_gets_the_panels_of_the_picture(settings: Settings, state: State) -> None:
    cuids = add_sweep(state)
    async with showing(settings) as client:
        data = await draw(client, exp_cuids=cuids[:2], keys=["loss", "accuracy"])
    assert [(one["key"], one["panel"]) for one in data["curves"]] == [("accuracy", 0), ("loss", 1)] * 2


async def test_page_gets_x_values_from_a_metric(settings: Settings, state: State) -> None:
    cuids = add_sweep(state)
    async with showing(settings) as client:
        data = await draw(client, exp_cuids=cuids[1:2], x_axis="epoch", log_x=True)
        grouped = await draw(client, exp_cuids=cuids, x_axis="relative_time", group_by="lr")
    assert (data["x_axis"], data["x_name"], data["log_x"]) == ("given", "epoch", True)
    assert data["curves"][0]["xs"] == [0, None, 1, 1.5, 2]
    assert grouped["x_name"] == "seconds since the start"
    assert len(grouped["curves"][0]["xs"]) == len(grouped["curves"][0]["values"])


async def test_page_gets_settings_and_results_of_runs(settings: Settings, state: State) -> None:
    cuids = add_sweep(state)
    async with showing(settings) as client:
        data = await draw(client, exp_cuids=cuids, keys=["loss", "epoch"], x_axis="config.lr")
    runs = data["runs"]
    assert runs["keys"] == ["lr", "note", "api_key"]
    assert runs["metrics"] == [{"key": "epoch", "best": ""}, {"key": "loss", "best": "min"}]
    assert runs["rows"][4] == {"name": "r4", "config": [0.1, "n0", "***"], "values": [2, 1.1]}
    points = data["curves"][1]
    assert (points["xs"], points["names"][0], points["dots"]) == ([0.5] * 3 + [0.1] * 3, "r0", True)
    assert "secret" not in json.dumps(data)
