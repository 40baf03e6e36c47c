"""Compare runs recorded by real SDKs with the data that the training scripts saved."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from pathlib import Path
from struct import pack
from typing import Any

import pytest

import swanlab_mcp
from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.client.local.run import Run
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.refs import ExperimentRef, WorkspaceRef
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session

pytestmark = pytest.mark.anyio

DEMO = Path(swanlab_mcp.__file__).parent / "demo"
FOLDERS = sorted(path.parent for path in RUNS.glob("*/truth.json"))
INTERLEAVED = next((RUNS / "0.10.3-interleaved").glob("*/run-*.swanlab"))


def read_truth() -> list[Any]:
    cases = []
    for folder, file in [(folder, folder / "truth.json") for folder in FOLDERS] + [(DEMO, RUNS / "demo-truth.json")]:
        for run in json.loads(file.read_text(encoding="utf-8"))["runs"]:
            cases += [pytest.param(folder, run, id=f"{folder.name}-{run['name']}")]
    return cases


async def ask(client: Any, tool: str, truth: dict[str, Any], **given: Any) -> Any:
    """Return the data of a tool's reply about the run."""
    answer = await client.call_tool(tool, {"project": f"local/{truth['project']}", **given})
    assert not answer.is_error, answer.content
    return answer.structured_content["data"]


@pytest.mark.parametrize(("folder", "truth"), read_truth())
async def test_tools_return_the_logged_data(folder: Path, truth: dict[str, Any]) -> None:
    # the demo identifies runs by name, the samples by id
    cuid = truth["name"] if folder == DEMO else truth["id"]
    keys = list(truth["metrics"])
    async with session(Settings(log_dirs=(folder,), max_output_tokens=10_000_000, show_secrets=True)) as client:
        experiment = await ask(client, "get_experiment", truth, exp_cuid=cuid)
        summary = await ask(client, "get_exp_summary", truth, exp_cuid=cuid, page=0) if keys else {}
        logs = await ask(client, "get_logs", truth, exp_cuid=cuid, count=2000)
        every = {"exp_cuids": [cuid], "keys": keys, "mode": "exact", "max_points": 2000, "page": 0}
        series = await ask(client, "get_metrics", truth, **every) if keys else []
    assert experiment["cuid"] == truth["id"]
    assert experiment["state"] == (truth["state"] or "UNKNOWN")
    assert experiment["name"] == truth["name"]
    assert experiment["description"] == truth["description"]
    assert experiment.get("labels", []) == truth["tags"]
    assert (experiment.get("group"), experiment.get("job")) == (truth["group"], truth["job_type"])
    if truth["error"]:
        assert truth["error"]["message"] in experiment["error"]
    # SDK 0.8 and later store None as {}, which a reader cannot undo
    config = {key: ({} if value is None else value) for key, value in truth["config"].items()}
    recorded = experiment["profile"].get("config", {})
    assert {key: ({} if recorded.get(key) is None else recorded[key]) for key in config} == config
    printed = [line["message"] for line in logs for _ in range(line.get("repeated", 1))]
    # the SDK truncates lines at 1,024 characters; a kill loses the writer's buffer
    wanted = [line.rstrip()[:1000] for line in truth["printed"]]
    found = [line for line in wanted if any(line in one for one in printed)]
    assert found == (wanted[: len(found)] if truth["partial"] else wanted)
    on_disk = truth["sdk_reader"]["metrics"] if truth["partial"] else {}
    assert [one["key"] for one in series] == keys
    for one in series:
        key, metric = one["key"], truth["metrics"][one["key"]]
        shown = summary[key]
        assert shown["count"] == len(one["steps"]) == one["total"] == on_disk.get(key, metric["n"])
        if shown["count"] != metric["n"]:
            continue
        assert (shown["step"], repr(float(shown["value"]))) == (metric["last_step"], repr(float(metric["last"])))
        assert shown["min"] == {"step": metric["min_step"], "value": metric["min"]}
        assert shown["max"] == {"step": metric["max_step"], "value": metric["max"]}
        odd = shown.get("non_finite", 0), shown.get("first_non_finite_step")
        assert odd == (metric["non_finite"], metric["first_non_finite_step"])
        # numpy's NaN has its sign bit set, but the script's NaN does not
        values = (math.nan if math.isnan(value) else value for value in map(float, one["values"]))
        digest = hashlib.sha256(b"".join(pack("<qd", *point) for point in zip(one["steps"], values, strict=True)))
        assert digest.hexdigest() == metric["sha256"], key


async def test_interleaved_records_are_joined_and_reported() -> None:
    client = OfflineClient([RUNS / "0.10.3-interleaved"])
    answer = await client.get_summary(ExperimentRef("local", "stress", "0fixrilp"))
    assert sum("restored" in note for note in answer.notes) == 1
    assert not any("damaged" in note for note in answer.notes)


async def test_truncated_run_reports_its_last_data() -> None:
    client = OfflineClient([RUNS / "0.10.3-truncated"])
    answer = await client.get_experiment(ExperimentRef("local", "nlp-finetune", "olgjvudz"))
    assert answer.data is not None
    assert (answer.data.state, answer.data.finishedAt) == ("UNKNOWN", None)
    assert "no recorded end" in answer.notes[0]
    assert "Data ends at 2026-11-23T08:05:0" in answer.notes[0]


@pytest.mark.parametrize("size", [1, 7, 100, 4096, 100_000])
def test_growing_file_reads_like_the_finished_file(tmp_path: Path, size: int) -> None:
    content = INTERLEAVED.read_bytes()
    file = tmp_path / "run-x.swanlab"
    file.write_bytes(b"")
    run = Run(file)
    step = max(size, len(content) // 200)
    for end in range(step, len(content) + step, step):
        with file.open("ab") as growing:
            growing.write(content[end - step : end])
        run.refresh()
    whole = Run(INTERLEAVED)
    whole.refresh()
    keys = list(whole.series)
    assert run.read_points(keys) == whole.read_points(keys)
    assert run.reader.damaged == 0
    assert run.finish == whole.finish


def test_replaced_file_is_read_again(tmp_path: Path) -> None:
    first, second = (next((RUNS / name).glob("*/run-*.swanlab")) for name in ("0.8.3-offline", "0.10.3-online"))
    file = tmp_path / "run-x.swanlab"
    shutil.copy(first, file)
    run = Run(file)
    run.refresh()
    before = run.start.project
    shutil.copy(second, tmp_path / "new")
    (tmp_path / "new").replace(file)
    run.refresh()
    assert (before, run.start.project) == ("vision-baselines", "detector")


def test_outline_matches_refresh(tmp_path: Path) -> None:
    content = INTERLEAVED.read_bytes()
    assert len(content) > 200_000
    file = tmp_path / "run-x.swanlab"
    file.write_bytes(content)
    outlined, whole = Run(file), Run(file)
    outlined.outline()
    assert outlined.series == {}
    whole.refresh()
    assert (outlined.start, outlined.finish, outlined.ending) == (whole.start, whole.finish, whole.ending)


async def test_empty_file_is_a_run_without_records(tmp_path: Path) -> None:
    folder = tmp_path / "run-20261123_080020-abc12345"
    (folder / "files").mkdir(parents=True)
    (folder / "run-abc12345.swanlab").write_bytes(b"")
    (folder / "files" / "config.yaml").write_text("lr:\n  desc: ''\n  sort: 0\n  value: 0.1\n", encoding="utf-8")
    client = OfflineClient([tmp_path])
    answer = await client.get_experiment(ExperimentRef("local", "(unknown)", "abc12345"))
    assert answer.data is not None
    assert answer.data.profile["config"] == {"lr": 0.1}
    assert answer.data.createdAt.startswith("2026-11-2")
    assert "has no record yet" in answer.notes[0]


async def test_unreadable_runs_are_reported_and_the_others_listed(tmp_path: Path) -> None:
    shutil.copytree(next((RUNS / "0.8.3-offline").glob("*ktn9geic")), tmp_path / "run-20261123_080049-ktn9geic")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run-foreign.swanlab").write_bytes(b"PK\x03\x04 something else")
    (tmp_path / "odd" / "run-odd.swanlab").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(RUNS / "0.10.3-online")
    answer = await OfflineClient([tmp_path]).list_projects(WorkspaceRef("local"))
    assert [one.name for one in answer.data or []] == ["vision-baselines"]
    assert answer.notes == [
        "The run in 'foreign' is skipped: the file does not start with SwanLab's signature and contains no record."
    ]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "run-20261123_080020-3hzj7gws"
    shutil.copytree(next((RUNS / "0.10.3-offline").glob("*3hzj7gws")), folder)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("config.yaml", b"a: &a [1]\nb: *a\n", "cannot be read as YAML"),
        ("config.yaml", b"a: !!python/object/apply:os.system [echo]\n", "cannot be read as YAML"),
        ("config.yaml", b"a: [", "cannot be read as YAML"),
        ("config.yaml", b"#" * (5 << 20), "larger than 4 MB"),
        ("swanlab-metadata.json", b"{", "cannot be read as JSON"),
        ("swanlab-metadata.json", b"[" * 100_000, "cannot be read as JSON"),
    ],
)
async def test_hostile_file_results_in_a_note(copied: Path, name: str, content: bytes, expected: str) -> None:
    (copied / "files" / name).write_bytes(content)
    answer = await OfflineClient([copied.parent]).get_experiment(ExperimentRef("local", "vision-baselines", "3hzj7gws"))
    assert answer.data is not None
    assert answer.data.state == "FINISHED"
    assert any(expected in note for note in answer.notes)


@pytest.mark.parametrize("how", ["file", "folder", "pipe"])
async def test_links_out_of_the_run_are_not_followed(copied: Path, tmp_path: Path, how: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "requirements.txt").write_text("secret-canary", encoding="utf-8")
    if how == "file":
        (copied / "files" / "requirements.txt").unlink()
        (copied / "files" / "requirements.txt").symlink_to(secret / "requirements.txt")
    elif how == "folder":
        shutil.rmtree(copied / "files")
        (copied / "files").symlink_to(secret)
    else:
        (copied / "files" / "requirements.txt").unlink()
        os.mkfifo(copied / "files" / "requirements.txt")
    answer = await OfflineClient([copied.parent]).get_experiment(ExperimentRef("local", "vision-baselines", "3hzj7gws"))
    assert "canary" not in answer.model_dump_json()
    assert any("is outside the run's folder" in note for note in answer.notes)


async def test_log_folders_are_never_written(copied: Path) -> None:
    def list_files() -> list[Any]:
        return sorted(
            (path.as_posix(), path.stat().st_mtime_ns, path.stat().st_size) for path in copied.parent.rglob("*")
        )

    before = list_files()
    client = OfflineClient([copied.parent])
    await client.list_projects(WorkspaceRef("local"))
    await client.get_experiment(ExperimentRef("local", "vision-baselines", "3hzj7gws"))
    await client.get_summary(ExperimentRef("local", "vision-baselines", "3hzj7gws"))
    await client.aclose()
    assert list_files() == before


async def test_other_workspaces_are_not_found_on_disk() -> None:
    with pytest.raises(NotFound, match="only runs on this machine"):
        await OfflineClient([DEMO]).list_projects(WorkspaceRef("someone"))


def test_samples_contain_no_path_or_host_of_a_real_machine() -> None:
    folders = re.compile(rb"(?<![\w./-])/(?:home|root|Users|work|tmp|mnt|data|workspace|opt|var)/[\w.-]+")
    hosts = re.compile(rb'"hostname": ?"([^"]*)"')
    for file in (file for file in RUNS.rglob("*") if file.is_file()):
        content = file.read_bytes()
        assert {*folders.findall(content)} <= {b"/home/researcher"}, file
        assert {*hosts.findall(content)} <= {b"gpu-node-01"}, file
