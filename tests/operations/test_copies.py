from __future__ import annotations

import os
import shlex
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.operations import copies
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.fake_swanlab import Experiment, Fault, State

pytestmark = pytest.mark.anyio

# recorded online with SDK 0.10.3 for the workspace lab-team; finished, with steps up to 149
RUN = "ysmvr1h2"


def age(folder: Path, seconds: float) -> None:
    written = time.time() - seconds
    for path in folder.rglob("*"):
        os.utime(path, (written, written))


@pytest.fixture
def both(settings: Settings, tmp_path: Path) -> Settings:
    """Return the settings of an account that also has runs on this machine."""
    log_dir = tmp_path / "swanlog"
    shutil.copytree(RUNS / "0.10.3-online", log_dir)
    age(log_dir, 86400)
    return replace(settings, log_dirs=(log_dir,))


def add(world: State, steps: int, **fields: Any) -> Experiment:
    project = world.add_project(world.workspaces[0], "sweep")
    metrics = {"loss": [(step, 1.0 - step / 1000) for step in range(steps)]}
    return world.add_experiment(project, "both", cuid=RUN, metrics=metrics, **fields)


async def read_notes(settings: Settings, **arguments: Any) -> list[str]:
    async with session(settings) as client:
        result = await client.call_tool("get_experiment", arguments)
    assert not result.is_error, text_of(result)
    notes: list[str] = result.structured_content["notes"]
    return notes


async def ask(settings: Settings, tool: str, **arguments: Any) -> str:
    async with session(settings) as client:
        result = await client.call_tool(tool, {"project": "sweep"} | arguments)
    assert not result.is_error, text_of(result)
    return "\n".join(note for note in result.structured_content["notes"] if note.startswith("This run is also "))


async def test_missing_steps_in_the_cloud_are_reported(both: Settings, state: State) -> None:
    add(state, 20, state="CRASHED")
    expected = (
        f"This run is also on this machine (local/detector/{RUN}). "
        "The cloud has data up to step 19, the disk up to 149: "
    )
    for tool, arguments in (
        ("get_experiment", {"exp_cuid": RUN}),
        ("diagnose_experiment", {"exp_cuid": RUN}),
        ("get_exp_summary", {"exp_cuid": RUN}),
        ("list_metrics", {"exp_cuids": [RUN]}),
        ("get_metrics", {"exp_cuids": [RUN], "keys": ["loss"]}),
        ("get_metrics", {"exp_cuids": ["both"], "keys": ["loss"]}),
    ):
        note = await ask(both, tool, **arguments)
        assert note.startswith(expected), tool
        assert f"swanlab sync swanlog/run-20261123_080258-{RUN} --id {RUN}` uploads the rest." in note
        assert note.endswith("The cloud reports CRASHED, the disk FINISHED.")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("list_project_exps", {}),
        ("find_experiments", {"sort": "created"}),
        ("rank_experiments", {"metric": "loss", "unfinished": True}),
        ("compare_experiments", {"exp_cuids": [RUN, "other"]}),
    ],
)
async def test_lists_report_copies_that_differ(
    both: Settings, state: State, tool: str, arguments: dict[str, Any]
) -> None:
    one = add(state, 150, state="CRASHED")
    state.add_experiment(state.projects[-1], "other", cuid="other", metrics={"loss": [(0, 1.0)]})

    async def find_note() -> str:
        async with session(both) as client:
            result = await client.call_tool(tool, {"project": "sweep", **arguments})
        assert not result.is_error, text_of(result)
        return "".join(note for note in text_of(result).splitlines() if "this machine" in note)

    expected = (
        "note: 1 run differs between the cloud and this machine: both (cloud CRASHED, disk FINISHED). "
        "get_experiment compares the copies."
    )
    assert await find_note() == expected
    one.state = "FINISHED"
    assert await find_note() == ""
    one.metrics = {"loss": [(step, 1.0) for step in range(20)]}
    is_compared = tool in ("rank_experiments", "compare_experiments")
    assert ("both (cloud up to step 19, disk up to 149)" in await find_note()) == is_compared


async def test_lists_compare_states_without_requests(both: Settings, settings: Settings, state: State) -> None:
    add(state, 150, state="CRASHED")
    counts: list[int] = []
    for known in (both, settings):
        state.calls.clear()
        async with session(known) as client:
            await client.call_tool("list_project_exps", {"project": "sweep"})
        counts.append(len(state.calls))
    assert counts[0] == counts[1]


async def test_log_reports_a_copy_only_if_it_differs(both: Settings, state: State) -> None:
    one = add(state, 20)
    assert "The cloud has data up to step 19, the disk up to 149" in await ask(both, "get_logs", exp_cuid=RUN)
    one.metrics = {"loss": [(step, 1.0) for step in range(150)]}
    assert await ask(both, "get_logs", exp_cuid=RUN) == ""


async def test_copy_in_a_folder_of_any_name_is_found(both: Settings, state: State) -> None:
    add(state, 20)
    (folder,) = both.log_dirs[0].glob(f"run-*{RUN}")
    folder.rename(folder.with_name("my training"))
    assert "the disk up to 149" in await ask(both, "get_experiment", exp_cuid=RUN)


@pytest.mark.parametrize("name", ["run$(id)", "a b;id", "x'y"])
async def test_command_quotes_the_name_of_a_folder(both: Settings, state: State, name: str) -> None:
    add(state, 20)
    (folder,) = both.log_dirs[0].glob(f"run-*{RUN}")
    folder.rename(folder.with_name(name))
    command = (await ask(both, "get_experiment", exp_cuid=RUN)).split("`")[1]
    assert shlex.split(command) == ["swanlab", "sync", f"swanlog/{name}", "--id", RUN]
    assert name == "x'y" or f"'swanlog/{name}'" in command


async def test_runs_without_a_copy_get_no_note(both: Settings, settings: Settings, state: State) -> None:
    one = add(state, 20)
    assert await ask(settings, "get_experiment", exp_cuid=RUN) == ""
    one.cuid = "elsewhere"
    state.calls.clear()
    assert await ask(both, "get_experiment", exp_cuid="elsewhere") == ""
    assert not state.get_calls("summary")


async def test_identical_copies_are_confirmed(both: Settings, state: State) -> None:
    add(state, 150)
    expected = f"This run is also on this machine (local/detector/{RUN}). Both copies have data up to step 149."
    assert await ask(both, "get_experiment", exp_cuid=RUN) == expected


async def test_crashed_cloud_run_that_still_writes_is_reported(both: Settings, state: State) -> None:
    add(state, 20, state="CRASHED")
    (file,) = both.log_dirs[0].glob(f"*{RUN}/*.swanlab")
    # the last record has the run's end state
    file.write_bytes(file.read_bytes()[:-200])
    age(both.log_dirs[0], 10)
    note = await ask(both, "get_experiment", exp_cuid=RUN)
    assert note.endswith("The cloud reports CRASHED, but the process is still writing to the disk.")
    age(both.log_dirs[0], 7200)
    note = await ask(both, "get_experiment", exp_cuid=RUN)
    assert note.endswith("The cloud reports CRASHED; the files on disk have no recorded end.")


async def test_run_on_disk_names_its_cloud_copy(both: Settings, state: State) -> None:
    roles: dict[str, Any] = {state.users[0].username.replace("-", "_"): "OWNER"}
    team = state.add_workspace("lab-team", **roles)
    project = state.add_project(team, "detector")
    metrics = {"loss": [(step, 1.0) for step in range(200)]}
    state.add_experiment(project, "yolo-finished", cuid=RUN, metrics=metrics)
    note = await ask(both, "get_experiment", project="local/detector", exp_cuid=RUN)
    assert note.startswith(f"This run is also in the cloud (lab-team/detector/{RUN}). ")
    assert note.endswith("The cloud has data up to step 199, the disk up to 149.")
    state.projects.remove(project)
    assert await ask(both, "get_experiment", project="local/detector", exp_cuid=RUN) == ""


async def test_silent_cloud_delays_only_the_first_answer_about_a_run_on_disk(
    both: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_PATIENCE", 0.05)
    answering = threading.Event()
    state.faults.append(Fault(until=answering))
    given = {"project": "local/detector", "exp_cuid": RUN}
    async with session(both) as client:
        replies = [text_of(await client.call_tool(tool, given)) for tool in ("get_experiment", "get_exp_summary")]
        log = text_of(await client.call_tool("get_logs", given))
        asked = len(state.calls)
        answering.set()
    note = f"The cloud did not respond, so this run was not compared with lab-team/detector/{RUN}."
    assert [note in reply for reply in (*replies, log)] == [True, True, False]
    assert asked <= 1


async def test_seeded_id_in_another_project_is_not_a_copy(settings: Settings, state: State, tmp_path: Path) -> None:
    name = "yiojj5h7cbmp6aug1vgng"
    shutil.copytree(RUNS / "0.7.20-offline", tmp_path / "swanlog")
    project = state.add_project(state.workspaces[0], "sweep")
    state.add_experiment(project, "other", cuid=name, metrics={"other": [(0, 1.0)]})
    found = replace(settings, log_dirs=(tmp_path / "swanlog",))
    assert not await ask(found, "get_experiment", exp_cuid=name)


SEEDED = "e0ifd0tvbdivuzzpqk51f"


@pytest.mark.parametrize("kept", ["run-*", "run-20261128_122742-*"], ids=["three folders", "one folder"])
async def test_folders_of_a_seeded_id_are_named_as_possible_copies(
    settings: Settings, state: State, tmp_path: Path, kept: str
) -> None:
    folders = sorted((RUNS / "0.7.20-seeded").glob(kept))
    for folder in folders:
        shutil.copytree(folder, tmp_path / "swanlog" / folder.name)
    project = state.add_project(state.workspaces[0], "sft-rounds")
    state.add_experiment(project, "another", cuid=SEEDED, metrics={"loss": [(0, 1.0)]})
    found = replace(settings, log_dirs=(tmp_path / "swanlog",))
    (note,) = [one for one in await read_notes(found, project="sft-rounds", exp_cuid=SEEDED) if "this id" in one]
    if len(folders) == 1:
        assert note == (
            f"1 run on this machine records this id: local/sft-rounds/{SEEDED} (name round1). "
            "It may be a copy of this run or another run."
        )
    else:
        assert note.startswith("3 runs on this machine record this id: ")
        assert note.endswith("At most one is a copy of this run; which one cannot be determined.")
        for number, folder in enumerate(folders, 1):
            assert f"local/sft-rounds/{folder.name} (name round{number})" in note


async def test_single_folder_with_the_same_name_is_the_copy(settings: Settings, state: State, tmp_path: Path) -> None:
    (folder,) = (RUNS / "0.7.20-seeded").glob("run-20261128_122742-*")
    shutil.copytree(folder, tmp_path / "swanlog" / folder.name)
    project = state.add_project(state.workspaces[0], "sft-rounds")
    state.add_experiment(project, "round1", cuid=SEEDED, metrics={"loss": [(0, 1.0)]})
    found = replace(settings, log_dirs=(tmp_path / "swanlog",))
    notes = await read_notes(found, project="sft-rounds", exp_cuid=SEEDED)
    assert any(note.startswith("This run is also on this machine") for note in notes)
