"""Group folders with the same recorded id into experiments, and find each of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.run_files import build_file, encode_finish, encode_point, encode_start, write_run

pytestmark = pytest.mark.anyio

SEEDED = RUNS / "0.7.20-seeded"
RANKS = RUNS / "0.10.3-ranks"
RECORDED = "e0ifd0tvbdivuzzpqk51f"
FIRST, SECOND = "20261123_080000", "20261123_090000"


async def list_cuids(folder: Path, project: str = "made") -> list[str]:
    return [
        one.cuid for one in (await OfflineClient([folder]).list_experiments(ProjectRef("local", project))).data or []
    ]


def points(start: int, stop: int, key: str = "loss") -> list[bytes]:
    return [encode_point(step - start + 1, key, step, 10.0 - step) for step in range(start, stop)]


def describe(file: Path, *, config: dict[str, Any] | None = None, command: str = "") -> None:
    files = file.parent / "files"
    files.mkdir(exist_ok=True)
    if config is not None:
        text = json.dumps({key: {"desc": "", "sort": 0, "value": value} for key, value in config.items()})
        (files / "config.yaml").write_text(text, encoding="utf-8")
    if command:
        metadata = {"runtime": {"command": command}}
        (files / "swanlab-metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


async def test_trainings_with_the_same_seeded_id_are_separate_experiments() -> None:
    client = OfflineClient([SEEDED])
    answer = await client.list_experiments(ProjectRef("local", "sft-rounds"))
    listed = {one.name: one for one in answer.data or []}
    assert {one.cuid for one in listed.values()} == {folder.name for folder in SEEDED.iterdir()}
    rates = {name: one.profile["config"]["learning_rate"] for name, one in listed.items()}
    assert rates == {"round1": 0.001, "round2": 0.0005, "round3": 0.005}
    assert any("the id of each is the name of its (first) folder" in note for note in answer.notes)
    for one in listed.values():
        series = await client.read_points(ExperimentRef("local", "sft-rounds", one.cuid), ["train/loss"], exact=True)
        assert not any("several folders" in note for note in series.notes)
        described = await client.get_experiment(ExperimentRef("local", "sft-rounds", one.cuid))
        assert any(RECORDED in note and "seeds" in note for note in described.notes)


async def test_shared_id_lists_its_trainings_with_their_times() -> None:
    async with session(Settings(log_dirs=(SEEDED,))) as client:
        answer = await client.call_tool("get_exp_summary", {"project": "local/sft-rounds", "exp_cuid": RECORDED})
    assert answer.is_error
    output = text_of(answer)
    assert f"3 experiments of local/sft-rounds have the recorded id '{RECORDED}'" in output
    for folder in SEEDED.iterdir():
        assert folder.name in output
    assert "round2, started 2026-11-28T12:27:46.239Z" in output


async def test_ids_are_stable_when_another_folder_is_removed(tmp_path: Path) -> None:
    shutil.copytree(SEEDED, tmp_path, dirs_exist_ok=True)
    before = set(await list_cuids(tmp_path, "sft-rounds"))
    gone = min(before)
    shutil.rmtree(tmp_path / gone)
    assert set(await list_cuids(tmp_path, "sft-rounds")) == before - {gone}
    # the last folder is listed by its recorded id again, and both names still find it
    (last, other) = sorted(before - {gone})
    shutil.rmtree(tmp_path / other)
    client = OfflineClient([tmp_path])
    for name in (RECORDED, last, last.removeprefix("run-")):
        assert (await client.get_experiment(ExperimentRef("local", "sft-rounds", name))).data is not None


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({"config": {"lr": 0.1}}, {"config": {"lr": 0.2}}, "their configs differ"),
        ({"command": "train.py a"}, {"command": "train.py b"}, "their commands differ"),
    ],
)
async def test_differing_folders_are_separate_trainings(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], why: str
) -> None:
    describe(write_run(tmp_path, "same", points(0, 5), moment=FIRST), **first)
    describe(write_run(tmp_path, "same", points(5, 9), moment=SECOND), **second)
    answer = await OfflineClient([tmp_path]).list_experiments(ProjectRef("local", "made"))
    assert len(answer.data or []) == 2
    assert any(why in note for note in answer.notes)


async def test_restarted_steps_are_another_training(tmp_path: Path) -> None:
    write_run(tmp_path, "same", points(0, 5), moment=FIRST)
    write_run(tmp_path, "same", points(0, 9), moment=SECOND)
    assert await list_cuids(tmp_path) == [f"run-{FIRST}-same", f"run-{SECOND}-same"]
    with pytest.raises(InvalidArgument, match="2 experiments of local/made"):
        await OfflineClient([tmp_path]).get_summary(ExperimentRef("local", "made", "same"))


async def test_metric_logged_once_per_start_does_not_split_a_resumed_run(tmp_path: Path) -> None:
    once = encode_point(90, "parameters", 0, 1e6)
    same: dict[str, Any] = {"config": {"lr": 0.1}, "command": "train.py"}
    describe(write_run(tmp_path, "same", [once, *points(0, 5)], moment=FIRST), **same)
    describe(write_run(tmp_path, "same", [once, *points(4, 9), encode_finish()], moment=SECOND), **same)
    client = OfflineClient([tmp_path])
    assert await list_cuids(tmp_path) == ["same"]
    series = (await client.read_points(ExperimentRef("local", "made", "same"), ["loss"], exact=True)).data
    assert series is not None
    assert list(series["loss"].steps) == list(range(9))


async def test_evaluation_repeated_after_a_resume_does_not_split_a_run(tmp_path: Path) -> None:
    same: dict[str, Any] = {"config": {"lr": 0.1}, "command": "train.py"}
    first = [encode_point(90, "eval", 4, 0.5)]
    again = [encode_point(91, "eval", 4, 0.5), encode_point(92, "eval", 8, 0.4)]
    describe(write_run(tmp_path, "same", [*points(0, 6), *first], moment=FIRST), **same)
    describe(write_run(tmp_path, "same", [*points(4, 9), *again, encode_finish()], moment=SECOND), **same)
    assert await list_cuids(tmp_path) == ["same"]


@pytest.mark.parametrize(
    ("line", "start", "count"),
    [
        ("swanlab: 🚀 View run at https://swanlab.cn/@a/made/runs/x", 8, 1),
        ("swanlab: 🚀 View run at https://swanlab.cn/@a/made/runs/x", 0, 2),
        ("swanlab: Backing up run one locally", 8, 2),
    ],
    ids=["resumed in the cloud", "started again", "offline"],
)
async def test_only_cloud_runs_are_resumed_before_0_8(tmp_path: Path, line: str, start: int, count: int) -> None:
    for moment, first in ((FIRST, 0), (SECOND, start)):
        records: list[tuple[str, dict[str, Any]]] = [
            ("Header", {"backup_type": moment, "create_time": "2026-11-23T08:00:00+00:00"}),
            ("Project", {"name": "made", "workspace": None, "public": None}),
            ("Experiment", {"id": "x", "name": "one"}),
            ("Log", {"message": line, "epoch": 1, "level": "INFO", "create_time": "2026-11-23T08:00:00+00:00"}),
        ]
        for step in range(first, first + 8):
            metric = {"index": step, "data": 1.0, "create_time": "2026-11-23T08:00:00+00:00"}
            records.append(("Scalar", {"metric": metric, "key": "loss", "step": step, "epoch": step}))
        folder = tmp_path / f"run-{moment}-x"
        folder.mkdir()
        lines = [json.dumps({"model_type": kind, "data": data}, ensure_ascii=False).encode() for kind, data in records]
        (folder / "backup.swanlab").write_bytes(build_file(lines))
    assert len(await list_cuids(tmp_path)) == count


async def test_system_metrics_do_not_split_a_resumed_run(tmp_path: Path) -> None:
    system = points(0, 3, "__swanlab__.cpu")
    write_run(tmp_path, "same", [*system, *points(0, 5)], moment=FIRST)
    write_run(tmp_path, "same", [*system, *points(5, 9)], moment=SECOND)
    assert await list_cuids(tmp_path) == ["same"]


async def test_resumed_run_and_another_training_are_two_experiments(tmp_path: Path) -> None:
    write_run(tmp_path, "same", points(0, 5), moment=FIRST)
    write_run(tmp_path, "same", points(5, 9), moment=SECOND)
    write_run(tmp_path, "same", points(0, 3), moment="20261123_100000")
    client = OfflineClient([tmp_path])
    assert len(await list_cuids(tmp_path)) == 2
    joined = (await client.get_summary(ExperimentRef("local", "made", f"run-{FIRST}-same"))).data
    assert joined is not None
    assert joined["loss"].count == 9
    # the second folder's name finds its experiment
    experiment = (await client.get_experiment(ExperimentRef("local", "made", f"{SECOND}-same"))).data
    assert experiment is not None
    assert experiment.cuid == f"run-{FIRST}-same"


async def test_equal_folder_names_in_several_log_folders_have_different_ids(tmp_path: Path) -> None:
    for number, place in enumerate(("a", "b")):
        write_run(tmp_path / place, "same", points(0, 5 + number), moment=FIRST)
    cuids = await list_cuids(tmp_path)
    assert len(set(cuids)) == 2
    assert await list_cuids(tmp_path) == cuids
    client = OfflineClient([tmp_path])
    for cuid in cuids:
        experiment = (await client.get_experiment(ExperimentRef("local", "made", cuid))).data
        assert experiment is not None
        assert experiment.cuid == cuid


@pytest.mark.parametrize("run_id", ["..", "a/b", " ", "tab\there"])
async def test_invalid_id_is_replaced_by_the_folder_name(tmp_path: Path, run_id: str) -> None:
    file = write_run(tmp_path, "odd", points(0, 5))
    file.write_bytes(build_file([encode_start(run_id), *points(0, 5)]))
    assert await list_cuids(tmp_path) == [file.parent.name]
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        reply = await client.call_tool("get_exp_summary", {"project": "local/made", "exp_cuid": file.parent.name})
    assert not reply.is_error


@pytest.mark.parametrize(("cuid", "count", "total", "rank"), [("ddpjob0a", 1, 2, 0), ("ddpjob0b", 1, 3, 1)])
async def test_worst_rank_determines_the_state(cuid: str, count: int, total: int, rank: int) -> None:
    async with session(Settings(log_dirs=(RANKS,))) as client:
        given = {"project": "local/ddp", "exp_cuid": cuid}
        experiment = await client.call_tool("get_experiment", given)
        logs = await client.call_tool("get_logs", {**given, "count": 4})
        diagnosis = await client.call_tool("diagnose_experiment", given)
        listed = await client.call_tool("list_project_exps", {"project": "local/ddp"})
    assert experiment.structured_content is not None
    data = experiment.structured_content["data"]
    assert (data["state"], f"timeout on rank {rank}" in data["error"]) == ("CRASHED", True)
    for answer in (experiment, logs, diagnosis, listed):
        assert f"{count} of {total} ranks CRASHED" in text_of(answer)
    assert f"rank {rank} done" in text_of(logs)
    assert "Error happened while training" in text_of(logs)
    assert f"crashed: RuntimeError: NCCL watchdog timeout on rank {rank}" in text_of(diagnosis)


async def test_empty_dict_of_new_sdks_becomes_null(tmp_path: Path) -> None:
    config: dict[str, Any] = {"none": {}, "nested": {"none": None, "empty": {}}, "zero": 0, "list": []}
    describe(write_run(tmp_path, "one", points(0, 2)), config=config)
    experiment = (await OfflineClient([tmp_path]).get_experiment(ExperimentRef("local", "made", "one"))).data
    assert experiment is not None
    assert experiment.profile["config"] == {**config, "none": None}


@pytest.mark.parametrize(
    ("names", "wanted", "is_found"),
    [
        (["sweeps/lr/0.1", "sweeps/lr/0.2"], "0.1", True),
        (["a/0.1", "b/0.1"], "0.1", False),
        (["a/0.1", "0.1"], "0.1", True),
    ],
)
async def test_name_like_a_path_is_found_by_its_last_part(
    tmp_path: Path, names: list[str], wanted: str, is_found: bool
) -> None:
    for number, name in enumerate(names):
        file = write_run(tmp_path, f"run{number}", [])
        file.write_bytes(build_file([encode_start(f"run{number}", name=name), *points(0, 2)]))
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        answer = await client.call_tool("get_exp_summary", {"project": "local/made", "exp_cuid": wanted})
    assert answer.is_error is not is_found


async def test_newest_start_of_a_distributed_job_determines_its_state(tmp_path: Path) -> None:
    def write_rank(moment: str, number: int, records: list[bytes]) -> None:
        file = write_run(tmp_path, "job", records, moment=moment)
        file.parent.rename(tmp_path / f"run-{moment}-job-node-{number}")

    write_rank(FIRST, 1, [*points(0, 5), encode_finish(2)])
    write_rank(FIRST, 2, [*points(0, 5, "other"), encode_finish()])
    began = 1_795_424_400_000
    for number, key in ((3, "loss"), (4, "other")):
        write_rank(SECOND, number, [])
        file = tmp_path / f"run-{SECOND}-job-node-{number}" / "run-job.swanlab"
        file.write_bytes(build_file([encode_start("job", began=began), *points(5, 9, key), encode_finish()]))
    answer = await OfflineClient([tmp_path]).get_experiment(ExperimentRef("local", "made", "job"))
    assert answer.data is not None
    assert answer.data.state == "FINISHED"
    assert any("Recorded in 4 folders (started several times, 2 ranks the last time)" in note for note in answer.notes)
