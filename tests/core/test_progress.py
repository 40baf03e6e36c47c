"""Long calls report progress over MCP or on a terminal, without affecting the reply."""

from __future__ import annotations

import asyncio
import inspect
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from dataclasses import replace
from fcntl import ioctl
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.core import progress
from swanlab_mcp.settings import Settings
from tests.cli.test_command import environ, run
from tests.client.cloud.test_faults import CALLS, THREE, build_world
from tests.conftest import session, text_of
from tests.fake_swanlab import Experiment, LogLine, State
from tests.run_files import encode_finish, encode_point, write_run

pytestmark = pytest.mark.anyio


@pytest.fixture
def state() -> State:
    state = build_world()
    get_small(state).logs = [LogLine(number, f"line {number}") for number in range(4500)]
    return state


def get_small(state: State) -> Experiment:
    return next(one for project in state.projects for one in project.experiments if one.cuid == "small0")


async def follow(settings: Settings, tool: str, arguments: dict[str, Any]) -> list[tuple[float, float, str]]:
    """Call a tool, check that its progress reports are valid MCP, and return them."""
    received: list[tuple[float, float, str]] = []

    async def listen(done: float, total: float | None, message: str | None) -> None:
        assert total is not None
        assert message is not None
        received.append((done, total, message))

    async with session(settings) as client:
        result = await client.call_tool(tool, arguments, progress_callback=listen)
        assert not result.is_error, text_of(result)
    counts = [done for done, _, _ in received]
    assert counts == sorted(set(counts))
    assert all(done <= total for done, total, _ in received)
    assert not received or received[-1][0] == received[-1][1]
    return received


LONG = {
    "list_project_exps": ({"project": "many", "page": 0}, ["3 of 3 pages"]),
    "rank_experiments": ({"project": "many", "metric": "loss"}, ["5 of 5 pages", "410 of 410 summaries"]),
    "get_metrics": ({**THREE, "keys": ["*"], "mode": "exact"}, ["3 of 3 experiments"] * 3),
    "plot_metrics": ({**THREE, "keys": ["loss"]}, ["3 of 3 experiments"] * 2),
    "list_metrics": (THREE, ["3 of 3 experiments"]),
    "get_environment": (THREE, ["3 of 3 experiments"]),
    "compare_experiments": ({**THREE, "metrics": ["loss"]}, ["3 of 3 experiments"] * 2),
    "get_logs": (
        {"project": "small", "exp_cuid": "small0", "start": 0, "search": "line 4"},
        ["4 of 4 log chunks"],
    ),
    "whats_new": ({"username": "kites-test3", "since": "2024-11-01"}, ["3 of 3 projects"] * 2),
}


@pytest.mark.parametrize("tool", LONG)
async def test_long_call_reports_progress_up_to_its_total(settings: Settings, tool: str) -> None:
    arguments, ends = LONG[tool]
    reply = await follow(settings, tool, arguments)
    ended = [message for _, _, message in reply if message.split()[0] == message.split()[2]]
    assert [one for one in ended if one in ends] == ends, reply


@pytest.mark.parametrize("tool", CALLS)
async def test_reported_progress_only_increases(settings: Settings, tool: str) -> None:
    await follow(replace(settings, is_cached=False), tool, CALLS[tool])


async def test_large_run_on_disk_reports_progress_in_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.background._TICK", 0.001)
    records = [encode_point(step + 1, "loss", step, 1.0) for step in range(12_000)]
    write_run(tmp_path / "runs", "long", [*records, encode_finish()])
    (file,) = tmp_path.glob("runs/*/*.swanlab")
    size = file.stat().st_size
    given = {"username": "local", "project": "made", "exp_cuid": "long"}
    reply = await follow(Settings(log_dirs=(tmp_path / "runs",)), "get_exp_summary", given)
    assert reply[-1][2] == f"{size / 2**20:.1f} of {size / 2**20:.1f} MB"


shapes = st.lists(st.tuples(st.sampled_from(["pages", "bytes"]), st.integers(1, 9)), min_size=1, max_size=4)


@given(shapes, st.randoms(use_true_random=True))
def test_parallel_stages_share_a_count(shapes: list[tuple[str, int]], order: Any) -> None:
    received: list[tuple[float, float, str]] = []

    async def listen(*one: Any) -> None:
        received.append(one)

    async def work() -> None:
        progress.listener.set(progress.Course(listen))
        stages = [progress.Stage(what, total) for what, total in shapes]
        steps = [stage for stage in stages for _ in range(stage.total)]
        order.shuffle(steps)
        for stage in steps:
            await stage.advance()

    anyio.run(work)
    counts = [done for done, _, _ in received]
    assert counts == sorted(set(counts))
    assert received[-1][0] == received[-1][1]


async def test_several_tasks_report_their_count_and_a_single_task_its_own_progress() -> None:
    received: list[str] = []

    async def listen(stage: progress.Stage) -> None:
        received.append(str(stage))

    async def ask(number: int) -> int:
        await progress.Stage("pages", 1).advance()
        return number

    progress.listener.set(listen)
    assert await progress.follow("experiments", ask(1)) == [1]
    assert received == ["1 of 1 pages"]
    assert await progress.follow("experiments", ask(1), ask(2)) == [1, 2]
    assert received[1:] == ["1 of 2 experiments", "2 of 2 experiments"]


async def test_cancelled_questions_are_not_left_unstarted() -> None:
    async def listen(_: progress.Stage) -> None: ...

    async def ask() -> None: ...

    progress.listener.set(listen)
    questions = [ask(), ask()]
    following = asyncio.ensure_future(progress.follow("experiments", *questions))
    await asyncio.sleep(0)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert [inspect.getcoroutinestate(one) for one in questions] == [inspect.CORO_CLOSED] * 2


# --- terminal ---


def run_on_terminal(*arguments: str, columns: int = 80, how: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run the command with a terminal as standard error. Return its exit code, output and terminal output."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    got = bytearray()

    def read() -> None:
        # some systems raise an error at the end of a terminal
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:
                return
            if not part:
                return
            got.extend(part)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        done = run(*arguments, terminal=terminal, **{"TERM": "xterm", "SWANLAB_API_KEY": "test-key", **(how or {})})
    reader.join()
    os.close(master)
    return done.returncode, done.stdout, got.decode()


def lay(text: str) -> str:
    """Return a text with one character per column, padding wide characters to two."""
    return "".join(f"{one}\0" if east_asian_width(one) in "WF" else one for one in text)


def show(got: str) -> list[str]:
    """Return the lines that remain on a terminal."""
    lines: list[str] = []
    for line in got.split("\n"):
        shown = ""
        for part in map(lay, line.split("\r")):
            shown = part + shown[len(part) :]
        lines.append(shown.replace("\0", "").rstrip())
    return [line for line in lines if line]


def test_terminal_bar_is_drawn_and_then_erased(host: str) -> None:
    code, output, got = run_on_terminal("--host", host, "call", "list_project_exps", "project=many", "page=0")
    assert code == 0
    assert output.startswith("100 of 410")
    assert "pages" not in output
    assert "[########################] 100% 3 of 3 pages" in got
    assert show(got) == []


def test_error_after_the_bar_is_readable(host: str) -> None:
    code, output, got = run_on_terminal("--host", host, "call", "rank_experiments", "project=many", "metric=odd")
    assert (code, output) == (1, "")
    assert "5 of 5 pages" in got
    assert show(got) == ["No experiment in the project has a metric 'odd'. Similar names: loss."]


@pytest.mark.parametrize(("language", "columns", "widest"), [("en", 30, 29), ("zh", 38, 37)])
def test_bar_fits_a_narrow_terminal(host: str, language: str, columns: int, widest: int) -> None:
    words = ("--host", host, "--lang", language, "call", "rank_experiments", "project=many", "metric=odd")
    got = run_on_terminal(*words, columns=columns)[2]
    drawn = [part for part in got.split("\r") if part.startswith("[")]
    assert drawn
    assert max(sum(2 if east_asian_width(one) == "W" else 1 for one in part.rstrip()) for part in drawn) == widest


@pytest.mark.parametrize("columns", [40, 45, 80])
def test_chinese_bar_fits_its_line_and_is_erased(columns: int) -> None:
    words = ("--demo", "--lang", "zh", "call", "compare_experiments", "project=digits-mlp", "metrics=val/acc")
    code, _, got = run_on_terminal(*words, columns=columns)
    drawn = [lay(part) for part in got.split("\r") if part.strip()]
    assert code == 0
    assert "实" in got
    assert max(len(part.rstrip()) for part in drawn) < columns
    assert show(got) == []


@pytest.mark.parametrize("how", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_plain_output_has_no_bar(host: str, how: dict[str, str]) -> None:
    words = ("--host", host, "call", "list_project_exps", "project=many")
    assert run_on_terminal(*words, how=how)[2] == ""


def test_export_and_report_show_progress(tmp_path: Path) -> None:
    table, page = tmp_path / "points.csv", tmp_path / "page.html"
    code, output, got = run_on_terminal("--demo", "export", "qjruw96b", "--project", "digits-mlp", "-o", str(table))
    assert (code, output) == (0, "")
    assert re.search(r"\[#{24}\] 100% (\d+) of \1 metrics written", got)
    assert show(got)[0].endswith(f"metrics: {table}")
    code, output, got = run_on_terminal("--demo", "report", "digits-mlp", "-o", str(page))
    assert (code, output) == (0, "")
    assert "19 of 19 experiments" in got
    assert show(got)[0] == f"{page}: {page.stat().st_size} bytes"


def test_no_bar_is_drawn_without_a_terminal(host: str) -> None:
    done = run("--host", host, "call", "list_project_exps", "project=many", SWANLAB_API_KEY="test-key")
    assert (done.returncode, done.stderr) == (0, "")


# --- closed pipes ---


@pytest.mark.parametrize("form", ["csv", "json", "log"])
def test_export_to_a_closed_pipe_ends_silently(host: str, state: State, form: str) -> None:
    experiment = get_small(state)
    experiment.metrics = {"loss": [(step, 1 / (1 + step)) for step in range(20_000)]}
    experiment.logs = [LogLine(number, "x" * 100) for number in range(3000)]
    command = [sys.executable, "-m", "swanlab_mcp", "--host", host, "export", "small0", "--project", "small"]
    command += ["--format", form, "-o", "-"]
    given = environ(SWANLAB_API_KEY="test-key")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=given) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


@pytest.mark.parametrize("arguments", [["tools"], ["check"], ["call", "list_projects"]])
def test_short_output_to_a_closed_pipe_ends_silently(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "swanlab_mcp", "--demo", *arguments]
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, env=environ(), check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
