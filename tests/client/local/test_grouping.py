"""Group folders with the same recorded id into experiments, and find each experiment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.run_files import BEGAN, build_file, encode_finish, encode_point, encode_start, write_run

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


def is_in(folder: Path, cuid: str) -> bool:
    """Return whether the id contains the hash of a folder's path."""
    path = os.path.realpath(folder / f"run-{FIRST}-same")
    return cuid == f"run-{FIRST}-same-{sha256(path.encode()).hexdigest()[:8]}"


def write_legacy(
    folder: Path,
    moment: str,
    opening: Sequence[str],
    start: int,
    *,
    workspace: str | None = None,
    key: str = "loss",
    printed: str = "",
    minutes: tuple[int, int] = (0, 0),
) -> None:
    """Write a run as SDK 0.7.20 does: the lines printed by `init`, then the script's line and eight points."""
    time, end = (f"2026-11-23T08:{minute:02}:00+00:00" for minute in minutes)
    records: list[tuple[str, dict[str, Any]]] = [
        ("Header", {"backup_type": moment, "create_time": time}),
        ("Project", {"name": "made", "workspace": workspace, "public": None}),
        ("Experiment", {"id": "x", "name": "one"}),
    ]
    lines = [*opening, printed] if printed else opening
    for number, line in enumerate(lines, 1):
        if line is printed:
            records.append(("Runtime", {"config_filename": "config.yaml"}))
        records.append(("Log", {"message": line, "epoch": number, "level": "INFO", "create_time": time}))
    for step in range(start, start + 8):
        metric = {"index": step, "data": 1.0, "create_time": end}
        records.append(("Scalar", {"metric": metric, "key": key, "step": step, "epoch": step - start + 1}))
    run = folder / f"run-{moment}-x"
    run.mkdir()
    content = [json.dumps({"model_type": kind, "data": data}, ensure_ascii=False).encode() for kind, data in records]
    (run / "backup.swanlab").write_bytes(build_file(content))


def write_rank(
    folder: Path,
    number: int,
    records: list[bytes],
    *,
    moment: str = FIRST,
    began: int = BEGAN,
    name: str = "job",
    config: dict[str, Any] | None = None,
) -> None:
    run = folder / f"run-{moment}-job-node-{number}"
    run.mkdir(parents=True)
    file = run / "run-job.swanlab"
    file.write_bytes(build_file([encode_start("job", began=began, name=name), *records]))
    describe(file, config=config, command=f"train.py --rank {number}")


def describe(file: Path, *, config: dict[str, Any] | None = None, command: str = "") -> None:
    files = file.parent / "files"
    files.mkdir(exist_ok=True)
    if config is not None:
        text = json.dumps({key: {"desc": "", "sort": 0, "value": value} for key, value in config.items()})
        (files / "config.yaml").write_text(text, encoding="utf-8")
    if command:
        metadata = {"runtime": {"command": command}}
        (files / "swanlab-metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


async def test_runs_with_the_same_seeded_id_are_separate_experiments() -> None:
    client = OfflineClient([SEEDED])
    answer = await client.list_experiments(ProjectRef("local", "sft-rounds"))
    listed = {one.name: one for one in answer.data or []}
    assert {one.cuid for one in listed.values()} == {folder.name for folder in SEEDED.iterdir()}
    rates = {name: one.profile["config"]["learning_rate"] for name, one in listed.items()}
    assert rates == {"round1": 0.001, "round2": 0.0005, "round3": 0.005}
    assert any("Each id is the name of the run's (first) folder" in note for note in answer.notes)
    for one in listed.values():
        series = await client.read_points(ExperimentRef("local", "sft-rounds", one.cuid), ["train/loss"], exact=True)
        assert not any("several folders" in note for note in series.notes)
        described = await client.get_experiment(ExperimentRef("local", "sft-rounds", one.cuid))
        assert any(RECORDED in note and "seed" in note for note in described.notes)


async def test_shared_id_lists_its_runs_with_their_times() -> None:
    async with session(Settings(log_dirs=(SEEDED,))) as client:
        answer = await client.call_tool("get_exp_summary", {"project": "local/sft-rounds", "exp_cuid": RECORDED})
    assert answer.is_error
    output = text_of(answer)
    assert f"3 experiments in local/sft-rounds have the recorded id '{RECORDED}'" in output
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
async def test_differing_folders_are_separate_runs(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], why: str
) -> None:
    describe(write_run(tmp_path, "same", points(0, 5), moment=FIRST), **first)
    describe(write_run(tmp_path, "same", points(5, 9), moment=SECOND), **second)
    answer = await OfflineClient([tmp_path]).list_experiments(ProjectRef("local", "made"))
    assert len(answer.data or []) == 2
    assert any(why in note for note in answer.notes)


async def test_restarted_steps_are_another_run(tmp_path: Path) -> None:
    write_run(tmp_path, "same", points(0, 5), moment=FIRST)
    write_run(tmp_path, "same", points(0, 9), moment=SECOND)
    assert await list_cuids(tmp_path) == [f"run-{FIRST}-same", f"run-{SECOND}-same"]
    with pytest.raises(InvalidArgument, match="2 experiments in local/made"):
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


PAGE = "swanlab: 🚀 View run at https://swanlab.cn/@a/made/runs/x"
OFFLINE = "swanlab: Backing up run one locally"


@pytest.mark.parametrize(
    ("lines", "start", "count"),
    [
        ([PAGE], 8, 1),
        ([PAGE], 0, 2),
        ([OFFLINE], 8, 2),
        (["swanlab: 🚀 View run at ", "https://swanlab.cn/@a/made/", "runs/x", "swanlab: Hi"], 8, 1),
        (["swanlab: Syncing run View run at https://x to the cloud"], 8, 2),
        ([OFFLINE, PAGE], 8, 2),
        (["swanlab:  ☁️ Run `swanlab sync ", "swanlog/x`", PAGE], 8, 2),
    ],
    ids=["resumed in the cloud", "started again", "offline", "wrapped address", "odd name", "backup", "sync"],
)
async def test_only_cloud_runs_are_resumed_before_0_8(tmp_path: Path, lines: list[str], start: int, count: int) -> None:
    for moment, first in ((FIRST, 0), (SECOND, start)):
        write_legacy(tmp_path, moment, lines, first)
    assert len(await list_cuids(tmp_path)) == count


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({"opening": [PAGE]}, {"opening": [f"{PAGE}/other"]}, "their cloud pages differ"),
        ({"opening": [PAGE], "workspace": "a"}, {"opening": [PAGE], "workspace": "b"}, "their workspaces differ"),
        ({"opening": [PAGE], "key": "round1"}, {"opening": [PAGE], "key": "round2"}, "they have no metric in common"),
        ({"opening": [OFFLINE], "workspace": "a"}, {"opening": [OFFLINE], "workspace": "a"}, "seed"),
        ({"opening": [OFFLINE], "printed": PAGE}, {"opening": [OFFLINE], "printed": PAGE}, "seed"),
    ],
    ids=["pages", "workspaces", "metrics", "offline with a workspace", "printed address"],
)
async def test_seeded_ids_of_different_runs_are_separate(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], why: str
) -> None:
    write_legacy(tmp_path, FIRST, start=0, **first)
    write_legacy(tmp_path, SECOND, start=8, **second)
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        listed = await client.call_tool("list_project_exps", {"project": "local/made"})
    assert listed.structured_content is not None
    assert {one["cuid"] for one in listed.structured_content["data"]} == {f"run-{FIRST}-x", f"run-{SECOND}-x"}
    assert why in text_of(listed)


async def test_processes_with_the_same_page_at_the_same_time_are_one_run(tmp_path: Path) -> None:
    write_legacy(tmp_path, FIRST, [PAGE], 0, key="rank0/loss", minutes=(0, 50))
    write_legacy(tmp_path, SECOND, [PAGE], 0, key="rank1/loss", minutes=(1, 50))
    assert await list_cuids(tmp_path) == ["x"]


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ([*points(0, 50), encode_finish()], [*points(1, 50), encode_finish()], 2),
        ([*points(0, 50), encode_finish()], [*points(50, 90), encode_finish()], 1),
        ([*points(0, 50, "r1"), encode_finish()], [*points(0, 50, "r2"), encode_finish()], 2),
        (points(0, 50), [*points(30, 90), encode_finish()], 1),
    ],
    ids=["overlapping", "continued", "other metrics", "from a checkpoint"],
)
async def test_finished_run_is_only_continued_after_its_last_step(
    tmp_path: Path, first: list[bytes], second: list[bytes], count: int
) -> None:
    same: dict[str, Any] = {"config": {"lr": 0.1}, "command": "train.py"}
    describe(write_run(tmp_path, "same", first, moment=FIRST), **same)
    describe(write_run(tmp_path, "same", second, moment=SECOND), **same)
    cuids = await list_cuids(tmp_path)
    assert len(cuids) == count
    if count == 2:
        client = OfflineClient([tmp_path])
        for cuid in cuids:
            read = await client.read_points(ExperimentRef("local", "made", cuid), ["loss"], exact=True)
            assert not any("several folders" in note for note in read.notes)


@pytest.mark.parametrize(("workspace", "count"), [("b", 2), ("a", 1), ("", 1)])
async def test_runs_recorded_for_different_workspaces_are_separate(tmp_path: Path, workspace: str, count: int) -> None:
    for moment, name, start in ((FIRST, "a", 0), (SECOND, workspace, 5)):
        file = write_run(tmp_path, "same", [], moment=moment)
        file.write_bytes(build_file([encode_start("same", workspace=name), *points(start, start + 5)]))
    assert len(await list_cuids(tmp_path)) == count


async def test_many_sparse_evaluations_do_not_split_a_resumed_run(tmp_path: Path) -> None:
    scores = [encode_point(200 + number, f"eval/{number}", 100, 1.0) for number in range(6)]
    write_run(tmp_path, "same", [*points(0, 130), *scores], moment=FIRST)
    write_run(tmp_path, "same", [*points(80, 300), *scores, encode_finish()], moment=SECOND)
    assert await list_cuids(tmp_path) == ["same"]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("end", [[], [encode_finish()]], ids=["growing", "finished"])
async def test_older_copy_of_a_growing_run_is_a_copy(tmp_path: Path, order: tuple[str, str], end: list[bytes]) -> None:
    write_run(tmp_path / "a", "same", [*points(0, 9), *end], moment=FIRST)
    write_run(tmp_path / "b", "same", points(0, 5), moment=FIRST)
    async with session(Settings(log_dirs=tuple(tmp_path / one for one in order))) as client:
        listed = await client.call_tool("list_project_exps", {"project": "local/made"})
        summary = await client.call_tool("get_exp_summary", {"project": "local/made", "exp_cuid": "same"})
    assert listed.structured_content is not None
    assert [one["cuid"] for one in listed.structured_content["data"]] == ["same"]
    assert summary.structured_content is not None
    assert summary.structured_content["data"]["loss"]["count"] == 9


async def test_system_metrics_do_not_split_a_resumed_run(tmp_path: Path) -> None:
    system = points(0, 3, "__swanlab__.cpu")
    write_run(tmp_path, "same", [*system, *points(0, 5)], moment=FIRST)
    write_run(tmp_path, "same", [*system, *points(5, 9)], moment=SECOND)
    assert await list_cuids(tmp_path) == ["same"]


async def test_resumed_run_and_another_run_are_two_experiments(tmp_path: Path) -> None:
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
    for number, folder in enumerate(("a", "b")):
        write_run(tmp_path / folder, "same", [encode_point(1, "loss", 0, number), *points(1, 5)], moment=FIRST)
    both = [tmp_path / "a", tmp_path / "b"]
    cuids: dict[Path, str] = {}
    for folder in both:
        (cuid,) = [one for one in await list_cuids(tmp_path) if is_in(folder, one)]
        cuids[folder] = cuid
    assert len({*cuids.values()}) == 2
    # neither the order of the log folders nor the absence of one changes the meaning of an id
    for folders in (both, both[::-1], both[:1], both[1:]):
        client = OfflineClient(folders)
        for folder in folders:
            points_read = await client.read_points(ExperimentRef("local", "made", cuids[folder]), ["loss"], exact=True)
            assert points_read.data is not None
            assert points_read.data["loss"].values[0] == both.index(folder)
    name = f"run-{FIRST}-same"
    for given, message in (("same", "have the recorded id 'same'"), (name, f"have a folder '{name}'")):
        with pytest.raises(InvalidArgument, match=message):
            await OfflineClient(both).get_summary(ExperimentRef("local", "made", given))


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
        (["sweeps/lr/0.1", "sweeps/wd/0.1"], "lr/0.1", True),
        (["sweeps/lr/0.1", "other/lr/0.1"], "lr/0.1", False),
        (["C:\\runs\\x", "C:\\runs\\y"], "x", True),
        (["C:\\runs\\x", "D:\\tests\\x"], "runs\\x", True),
        (["a/b/", "a/c/"], "b", True),
        (["a/b/", "a/c/"], "a/b", True),
        (["a/b"], "/", False),
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


@pytest.mark.parametrize("name", [" outer spaces ", "two\nlines"])
async def test_name_with_spaces_and_line_breaks_is_found_as_shown(tmp_path: Path, name: str) -> None:
    file = write_run(tmp_path, "x", [])
    file.write_bytes(build_file([encode_start("x", name=name), *points(0, 5)]))
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        given = {"project": "local/made", "exp_cuid": " ".join(name.split())}
        answer = await client.call_tool("get_exp_summary", given)
    assert "loss" in text_of(answer)


async def test_newest_start_of_a_distributed_job_determines_its_state(tmp_path: Path) -> None:
    write_rank(tmp_path, 1, [*points(0, 5), encode_finish(2)])
    write_rank(tmp_path, 2, [*points(0, 5, "other"), encode_finish()])
    for number, key in ((3, "loss"), (4, "other")):
        records = [*points(5, 9, key), encode_finish()]
        write_rank(tmp_path, number, records, moment=SECOND, began=BEGAN + 3_600_000)
    answer = await OfflineClient([tmp_path]).get_experiment(ExperimentRef("local", "made", "job"))
    assert answer.data is not None
    assert answer.data.state == "FINISHED"
    assert any("Recorded in 4 folders by several launches, the last with 2 ranks" in note for note in answer.notes)
    assert any(f"in earlier launches, 1 rank failed (run-{FIRST}-job-node-1)" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"name": "rank0"}, {"name": "rank1"}),
        (
            {"config": {"lr": 1, "local_rank": 0, "seed": 1, "ddp": {"rank": 0}}},
            {"config": {"lr": 1, "local_rank": 1, "seed": 2, "ddp": {"rank": 1}}},
        ),
    ],
    ids=["names", "config"],
)
async def test_ranks_may_have_their_own_name_and_settings(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    write_rank(tmp_path, 1, [*points(0, 5), encode_finish()], **first)
    write_rank(tmp_path, 2, [*points(0, 5, "other"), encode_finish(2)], **second)
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        answer = await client.call_tool("get_experiment", {"project": "local/made", "exp_cuid": "job"})
    assert "1 of 2 ranks CRASHED" in text_of(answer)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"lora_rank": 8}, {"lora_rank": 16}),
        ({"lora": {"rank": 8}}, {"lora": {"rank": 16}}),
        ({"per_device_train_batch_size": 8}, {"per_device_train_batch_size": 16}),
        ({"report_to": "swanlab"}, {"report_to": "none"}),
    ],
    ids=["lora_rank", "lora.rank", "batch size", "report_to"],
)
async def test_jobs_with_settings_named_like_those_of_a_rank_are_separate(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    for number, config in enumerate((first, second)):
        write_rank(tmp_path, number, [*points(0, 5), encode_finish()], began=BEGAN + number, config=config)
    assert len(await list_cuids(tmp_path)) == 2


async def test_folder_without_a_config_does_not_join_different_runs(tmp_path: Path) -> None:
    for moment, records, config in (
        ("20261123_080000", points(0, 5), {"lr": 1}),
        ("20261123_090000", points(5, 9), None),
        ("20261123_100000", points(9, 12), {"lr": 2}),
    ):
        describe(write_run(tmp_path, "x", records, moment=moment), config=config)
    assert len(await list_cuids(tmp_path)) == 2


async def test_name_of_each_rank_finds_the_experiment(tmp_path: Path) -> None:
    for number in (0, 1):
        write_rank(tmp_path, number, points(0, 5, f"loss{number}"), name=f"rank{number}")
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        for name in ("rank0", "rank1"):
            answer = await client.call_tool("get_exp_summary", {"project": "local/made", "exp_cuid": name})
            assert "loss0" in text_of(answer)
        other = write_run(tmp_path, "other", [], moment=SECOND)
        other.write_bytes(build_file([encode_start("other", name="rank0"), *points(0, 5, "mine")]))
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        answer = await client.call_tool("get_exp_summary", {"project": "local/made", "exp_cuid": "rank0"})
    assert "mine" in text_of(answer)


@pytest.mark.parametrize("records", [points(0, 3, "own"), []], ids=["with points", "without points"])
@pytest.mark.parametrize("count", [1, 3])
async def test_crash_of_an_eager_rank_is_not_hidden_by_slow_ranks(
    tmp_path: Path, records: list[bytes], count: int
) -> None:
    write_rank(tmp_path, 1, [*records, encode_finish(2)])
    for number in range(2, 2 + count):
        later = [*points(0, 5, f"loss{number}"), encode_finish()]
        write_rank(tmp_path, number, later, moment=SECOND, began=BEGAN + 130_000)
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        listed = await client.call_tool("list_project_exps", {"project": "local/made"})
        diagnosis = await client.call_tool("diagnose_experiment", {"project": "local/made", "exp_cuid": "job"})
    assert listed.structured_content is not None
    assert [one["state"] for one in listed.structured_content["data"]] == ["CRASHED"]
    for answer in (listed, diagnosis):
        assert f"1 of {1 + count} ranks CRASHED" in text_of(answer)


async def test_single_rank_that_continues_after_its_crash_is_finished(tmp_path: Path) -> None:
    write_rank(tmp_path, 1, [*points(0, 5), encode_finish(2)])
    write_rank(tmp_path, 2, [*points(5, 9), encode_finish()], moment=SECOND, began=BEGAN + 3_600_000)
    answer = await OfflineClient([tmp_path]).get_experiment(ExperimentRef("local", "made", "job"))
    assert answer.data is not None
    assert answer.data.state == "FINISHED"


async def test_rank_without_records_belongs_to_its_job(tmp_path: Path) -> None:
    write_rank(tmp_path, 1, [*points(0, 5), encode_finish()])
    write_rank(tmp_path, 2, [])
    (tmp_path / f"run-{FIRST}-job-node-2" / "run-job.swanlab").write_bytes(b"")
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        projects = await client.call_tool("list_projects", {"username": "local"})
        given = {"project": "local/made", "exp_cuid": "job"}
        answer = await client.call_tool("get_experiment", given)
        logs = await client.call_tool("get_logs", given)
    assert [one["name"] for one in projects.structured_content["data"]] == ["made"]
    assert answer.structured_content["data"]["state"] == "UNKNOWN"
    assert f"1 of 2 ranks has no recorded end (run-{FIRST}-job-node-2)" in text_of(answer)
    assert "Lines by rank" not in text_of(logs)


async def test_resumed_run_keeps_its_name_before_the_first_new_record(tmp_path: Path) -> None:
    for moment, content in ((FIRST, build_file([encode_start("x", name="mine"), *points(0, 5)])), (SECOND, b"")):
        write_run(tmp_path, "x", [], moment=moment).write_bytes(content)
    answer = await OfflineClient([tmp_path]).list_experiments(ProjectRef("local", "made"))
    assert [(one.name, one.state) for one in answer.data or []] == [("mine", "UNKNOWN")]


async def diagnose_crash(folder: Path, cuid: str = "job", project: str = "made") -> dict[str, Any]:
    async with session(Settings(log_dirs=(folder,))) as client:
        given = {"project": f"local/{project}", "exp_cuid": cuid}
        result = await client.call_tool("diagnose_experiment", given)
    crash: dict[str, Any] = result.structured_content["data"]["crash"]
    assert f"crash.rank: {crash['rank']}" in text_of(result)
    return crash


async def test_last_step_of_a_crash_is_that_of_the_failed_rank(tmp_path: Path) -> None:
    write_rank(tmp_path, 1, [*points(0, 9), encode_finish()])
    write_rank(tmp_path, 2, [*points(0, 4), encode_finish(2, "ValueError: made up")])
    crash = await diagnose_crash(tmp_path)
    assert crash["rank"] == f"run-{FIRST}-job-node-2"
    assert (crash["last_step"], crash["last_values"]) == (3, {"loss": 7.0})


async def test_failed_rank_without_points_has_no_last_step(tmp_path: Path) -> None:
    write_rank(tmp_path, 1, [*points(0, 9), encode_finish()])
    write_rank(tmp_path, 2, [encode_finish(2, "ValueError: made up")])
    crash = await diagnose_crash(tmp_path)
    assert (crash["rank"], crash.get("last_step"), crash.get("last_values")) == (f"run-{FIRST}-job-node-2", None, None)


async def test_recorded_crash_names_its_rank() -> None:
    assert (await diagnose_crash(RANKS, "ddpjob0b", "ddp"))["rank"].startswith("run-20261128_1228")
