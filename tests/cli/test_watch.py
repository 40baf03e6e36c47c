"""Watch experiments of the fake SwanLab and on disk from the command line."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from swanlab_mcp.cli.main import main
from tests.cli.test_command import environ, run, start
from tests.conftest import RUNS
from tests.fake_swanlab import State
from tests.fake_swanlab.state import Experiment

WRITE = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
KEY = "test-key"


@pytest.fixture
def state(state: State) -> State:
    """Return two running experiments. The name of the second is a command that a shell would run."""
    project = state.add_project(state.workspaces[0], "night", cuid="night")
    for cuid, name in (("first", "first"), ("second", "$(touch ran); `touch ran`\x1b[31m")):
        points = [(step, 1 / (1 + step)) for step in range(10)]
        state.add_experiment(project, name, cuid=cuid, state="RUNNING", metrics={"val/loss": points})
    return state


def watch(host: str, *words: str, run: Callable[..., CompletedProcess[str]] = run) -> CompletedProcess[str]:
    return run("--no-cache", "--host", host, "watch", "night", *words, SWANLAB_API_KEY=KEY)


def find_cursor(text: str) -> str:
    return text.partition("--cursor ")[2].split()[0]


def find(state: State, cuid: str) -> Experiment:
    return next(one for one in state.projects[-1].experiments if one.cuid == cuid)


@pytest.mark.parametrize(
    ("ending", "code"), [("FINISHED", 0), ("CRASHED", 3), ("ABORTED", 3), ("NaN", 4), ("stalled", 5)]
)
def test_exit_code_says_what_happened(host: str, state: State, ending: str, code: int) -> None:
    before = watch(host, "--wait", "0.1")
    assert before.returncode == 6
    assert "Watching 2 running experiments of kites-test3/night." in before.stderr
    if ending == "NaN":
        find(state, "first").metrics["val/loss"] = [(0, math.nan)]
    elif ending != "stalled":
        find(state, "first").state = ending
    until = ["--until", "stalled"] if ending == "stalled" else []
    done = watch(host, "--cursor", find_cursor(before.stderr), *until)
    assert done.returncode == code, done.stderr
    assert "kites-test3/night/first" in done.stdout


@pytest.mark.usefixtures("state")
def test_command_gets_facts_without_a_shell(host: str) -> None:
    program = f"{sys.executable} -c '{WRITE}'"
    done = watch(host, "--until", "val/loss < 0.2", "--experiment", "second", "--exec", program, run=start)
    assert done.returncode == 0, done.stderr
    arguments, environment = json.loads(done.stdout.splitlines()[-1])
    assert arguments == ["metric", "kites-test3/night/second"]
    facts = {name: value for name, value in environment.items() if name.startswith("SWANLAB_WATCH_")}
    assert facts["SWANLAB_WATCH_METRIC"] == "val/loss"
    assert float(facts["SWANLAB_WATCH_VALUE"]) == 0.1
    assert facts["SWANLAB_WATCH_NAME"].startswith("$(touch ran); `touch ran`")
    assert "\x1b" not in done.stdout + facts["SWANLAB_WATCH_NAME"]
    assert not list(Path().rglob("ran"))


def test_follow_continues_until_nothing_runs(host: str, state: State) -> None:
    cursor = find_cursor(watch(host, "--wait", "0.1").stderr)
    find(state, "first").state = "FINISHED"
    find(state, "second").state = "CRASHED"
    done = watch(host, "--cursor", cursor, "--follow")
    assert done.returncode == 3
    assert len(done.stdout.splitlines()) == 2
    assert watch(host).returncode == 7


def test_failed_command_is_reported_and_keeps_the_exit_code(host: str, state: State) -> None:
    find(state, "first").state = "CRASHED"
    done = watch(host, "--experiment", "first", "--exec", f"{sys.executable} -c 'raise SystemExit(9)'")
    assert done.returncode == 3
    assert "--exec ended with code 9." in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--exec", "no-such-program-x"], "the program 'no-such-program-x' does not exist"),
        (["--exec", "'open"], "has an open quotation mark"),
        (["--until", "finish"], "Did you mean finished?"),
        (["--cursor", "x"], "not returned by"),
    ],
)
def test_wrong_usage_is_reported_before_waiting(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--demo", "watch", "digits-mlp", *words])
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


def test_runs_on_disk_are_watched(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--log-dir", str(RUNS / "0.10.3-offline"), "watch", "local/vision-baselines", "--experiment", "3hzj7gws"])
    output = capsys.readouterr()
    assert ended.value.code == 4, output.err
    assert "local/vision-baselines/3hzj7gws" in output.out


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_ends_the_watch_with_its_cursor(host: str, name: str) -> None:
    command = [sys.executable, "-m", "swanlab_mcp", "--host", host, "watch", "night"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ(SWANLAB_API_KEY=KEY)) as process:
        assert process.stderr
        assert "Watching 2" in process.stderr.readline()
        os.kill(process.pid, getattr(signal, name))
        said = process.stderr.read()
    assert process.returncode == 128 + getattr(signal, name)
    assert f"Stopped by {name}. Continue with --cursor 1" in said


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("action", ["SIG_DFL", "SIG_IGN"])
def test_signal_also_ends_a_program_that_hangs(host: str, state: State, action: str) -> None:
    find(state, "first").state = "CRASHED"
    hang = f"import signal, time; signal.signal(15, signal.{action}); print(7, flush=True); time.sleep(600)"
    words = ["watch", "night", "--experiment", "first", "--exec", f"{sys.executable} -c '{hang}'"]
    command = [sys.executable, "-m", "swanlab_mcp", "--no-cache", "--host", host, *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environ(SWANLAB_API_KEY=KEY)) as process:
        assert process.stdout
        assert process.stderr
        while process.stdout.readline() != "7\n":
            assert process.poll() is None
        process.terminate()
        # the pipes close only when the program has ended too
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_events_after_a_signal_are_neither_lost_nor_repeated(host: str, state: State) -> None:
    before = find_cursor(watch(host, "--wait", "0.1").stderr)
    find(state, "first").state = find(state, "second").state = "CRASHED"
    hang = f"{sys.executable} -c 'import time; print(7, flush=True); time.sleep(600)'"
    words = ["--no-cache", "--host", host, "watch", "night", "--cursor", before, "--exec", hang]
    command = [sys.executable, "-m", "swanlab_mcp", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environ(SWANLAB_API_KEY=KEY)) as process:
        assert process.stdout
        seen = process.stdout.readline()
        while process.stdout.readline() != "7\n":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    done = watch(host, "--cursor", find_cursor(said))
    assert done.returncode == 3, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert {one for one in ("first", "second") if f"night/{one}" in seen + done.stdout} == {"first", "second"}
