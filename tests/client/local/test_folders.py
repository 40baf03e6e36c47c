"""Find runs on disk in several, nested, forbidden, vanishing and unrelated folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.core.errors import NotAvailableOffline, NotFound
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, WorkspaceRef
from swanlab_mcp.settings import Settings, load_settings
from tests.conftest import RUNS, session, text_of
from tests.run_files import BEGAN, encode_finish, encode_point, write_run

pytestmark = pytest.mark.anyio

CUID = "3hzj7gws"
NAME = f"run-20261123_080020-{CUID}"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / NAME
    shutil.copytree(next((RUNS / "0.10.3-offline").glob(f"*{CUID}")), folder)
    return folder


async def list_cuids(client: OfflineClient, project: str = "made") -> list[str]:
    return [one.cuid for one in (await client.list_experiments(ProjectRef("local", project))).data or []]


async def test_several_and_nested_folders_are_searched(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "one", [])
    write_run(tmp_path / "a" / "team" / "study", "two", [])
    write_run(tmp_path / "b", "three", [])
    write_run(tmp_path / "a" / "1" / "2" / "3", "toodeep", [])
    write_run(tmp_path / "a" / ".trash", "hidden", [])
    write_run(tmp_path / "a" / "logs", "four", [])
    client = OfflineClient([tmp_path / "a", tmp_path / "b", tmp_path / "a" / "team"])
    assert sorted(await list_cuids(client)) == ["four", "one", "three", "two"]


async def test_run_folder_is_a_valid_log_folder(copied: Path) -> None:
    assert await list_cuids(OfflineClient([copied]), "vision-baselines") == [CUID]


async def test_environment_names_several_log_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, name, [])
    paths = os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")])
    for variable in ("SWANLAB_LOG_DIR", "SWANLAB_LOGDIR"):
        settings = load_settings(environ={variable: paths, "HOME": str(tmp_path)})
        assert settings.log_dirs == (tmp_path / "a", tmp_path / "b")
        async with session(settings) as client:
            listed = await client.call_tool("list_project_exps", {"project": "local/made"})
        assert "2 of 2" in text_of(listed)


@pytest.mark.parametrize("how", ["twice", "link", "link below", "copy"])
async def test_duplicate_run_is_counted_once(tmp_path: Path, how: str) -> None:
    source = next((RUNS / "0.10.3-offline").glob(f"*{CUID}"))
    first, other = tmp_path / "a", tmp_path / "b"
    shutil.copytree(source, first / "team" / NAME)
    if how == "copy":
        shutil.copytree(source, other / NAME)
    elif how != "twice":
        other.symlink_to(first if how == "link" else first / "team", target_is_directory=True)
    given = [first, first / ".." / "a"] if how == "twice" else [first, other]
    settings = load_settings(log_dirs=given, environ={})
    assert len(settings.log_dirs) == (1 if how in ("twice", "link") else 2)
    totals: list[int] = []
    for folders in ([first], settings.log_dirs):
        client = OfflineClient(folders)
        for _ in range(2):
            part = (await client.read_logs(ExperimentRef("local", "vision-baselines", CUID), start=0, count=5)).data
            assert part
            totals.append(part.total)
            assert await list_cuids(client, "vision-baselines") == [CUID]
    assert totals == [totals[0]] * 4
    assert totals[0] > 0


async def test_search_of_an_endless_tree_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.discovery._MOST_FOLDERS", 3)
    for number in range(5):
        write_run(tmp_path / "runs", f"run{number}", [])
    client = OfflineClient([tmp_path / "runs"])
    assert len(await list_cuids(client)) == 2
    (note,) = (await client.list_projects(WorkspaceRef("local"))).notes
    assert note.startswith("Only the first 3 folders below 'runs' were searched;")


async def test_read_only_folder_is_read(copied: Path) -> None:
    for path in (*copied.rglob("*"), copied, copied.parent):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        answer = await OfflineClient([copied.parent]).get_summary(ExperimentRef("local", "vision-baselines", CUID))
    finally:
        for path in (copied.parent, copied, *copied.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert answer.data is not None
    assert answer.data["train/loss"].count == 240


async def test_forbidden_folder_is_reported(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(copied.parent, "open", [])
    scandir = os.scandir

    def refuse(folder: Any) -> Any:
        if Path(folder) == copied:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    answer = await OfflineClient([copied.parent]).list_projects(WorkspaceRef("local"))
    assert [project.name for project in answer.data or []] == ["made"]
    assert answer.notes == [f"The folder {NAME!r} cannot be read (Permission denied)."]


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> dict[str, OSError]:
    """Return the error that opening the record file raises. Tests can change it."""
    opened = os.open
    met: dict[str, OSError] = {"error": PermissionError(13, "Permission denied")}

    def refuse(name: Any, *how: Any, **named: Any) -> int:
        if "error" in met and name == f"run-{CUID}.swanlab":
            raise met["error"]
        return opened(name, *how, **named)

    monkeypatch.setattr(os, "open", refuse)
    return met


async def test_forbidden_run_is_omitted_from_lists_and_fails_when_requested(
    copied: Path, forbidden: dict[str, OSError]
) -> None:
    write_run(copied.parent, "open", [])
    client = OfflineClient([copied.parent])
    answer = await client.list_projects(WorkspaceRef("local"))
    assert [project.name for project in answer.data or []] == ["made"]
    assert answer.notes == [f"The run in {NAME!r} is skipped: its file cannot be read (Permission denied)."]
    with pytest.raises(NotAvailableOffline, match="exists, but its file cannot be read"):
        await client.get_summary(ExperimentRef("local", "made", CUID))
    # the run is read once access is allowed
    del forbidden["error"]
    assert (await client.list_projects(WorkspaceRef("local"))).notes == []
    assert await list_cuids(client, "vision-baselines") == [CUID]


async def test_run_locked_after_listing_is_an_error(copied: Path, forbidden: dict[str, OSError]) -> None:
    error = forbidden.pop("error")
    client = OfflineClient([copied.parent])
    assert await list_cuids(client, "vision-baselines") == [CUID]
    forbidden["error"] = error
    for question in (
        client.get_summary(ExperimentRef("local", "vision-baselines", CUID)),
        client.read_points(ExperimentRef("local", "vision-baselines", CUID), ["lr"], exact=True),
        client.read_logs(ExperimentRef("local", "vision-baselines", CUID), start=0, count=1),
    ):
        with pytest.raises(NotAvailableOffline, match="cannot be read"):
            await question
    async with session(Settings(log_dirs=(copied.parent,))) as assistant:
        reply = await assistant.call_tool("get_exp_summary", {"project": "local/made", "exp_cuid": CUID})
    assert reply.is_error


async def test_removed_folder_is_not_found_until_it_returns(copied: Path, tmp_path: Path) -> None:
    client = OfflineClient([copied.parent])
    assert await list_cuids(client, "vision-baselines") == [CUID]
    copied.rename(tmp_path / "elsewhere")
    with pytest.raises(NotFound, match="No run on this machine belongs to a project 'vision-baselines'"):
        await client.get_summary(ExperimentRef("local", "vision-baselines", CUID))
    (tmp_path / "elsewhere").rename(copied)
    summary = (await client.get_summary(ExperimentRef("local", "vision-baselines", CUID))).data
    assert summary is not None
    assert summary["train/loss"].count == 240
    shutil.rmtree(copied.parent)
    assert (await client.list_projects(WorkspaceRef("local"))).notes == [
        "The log folder 'runs' does not exist or is not a folder."
    ]


async def test_folder_removed_during_the_search_is_not_an_error(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(copied.parent, "stays", [])
    gone = write_run(copied.parent, "gone", [])
    scandir, lstat = os.scandir, os.lstat

    def vanish(folder: Any) -> Any:
        if Path(folder) == copied:
            raise FileNotFoundError(2, "No such file or directory")
        return scandir(folder)

    def lstat_gone(path: Any, **how: Any) -> Any:
        if Path(path) == gone:
            raise FileNotFoundError(2, "No such file or directory")
        return lstat(path, **how)

    monkeypatch.setattr(os, "scandir", vanish)
    monkeypatch.setattr(os, "lstat", lstat_gone)
    client = OfflineClient([copied.parent])
    assert await list_cuids(client) == ["stays"]
    assert (await client.list_projects(WorkspaceRef("local"))).notes == [
        f"The run in {gone.parent.name!r} is skipped: its file cannot be read (No such file or directory)."
    ]


async def test_notes_about_unreadable_runs_are_limited(tmp_path: Path) -> None:
    for number in range(9):
        folder = tmp_path / f"odd{number}"
        folder.mkdir()
        (folder / "run-odd.swanlab").write_bytes(b"PK\x03\x04 something else")
    notes = (await OfflineClient([tmp_path]).list_projects(WorkspaceRef("local"))).notes
    assert len(notes) == 6
    assert notes[-1] == "And 4 more notes like these."


async def test_empty_run_folders_are_reported(tmp_path: Path) -> None:
    (tmp_path / "run-20240101_000000-abc" / "logs").mkdir(parents=True)
    write_run(tmp_path, "one", [])
    (note,) = (await OfflineClient([tmp_path]).list_projects(WorkspaceRef("local"))).notes
    assert note.startswith("1 run folder contains no record (")
    assert "run-20240101_000000-abc" in note


async def test_folders_of_the_same_run_form_an_experiment(tmp_path: Path) -> None:
    source = next((RUNS / "0.10.3-offline").glob(f"*{CUID}"))
    for name in (f"{NAME}-a-1", f"{NAME}-b-2"):
        shutil.copytree(source, tmp_path / name)
    # identical files count once
    (first,) = (tmp_path / f"{NAME}-a-1").glob("*.swanlab")
    first.write_bytes(first.read_bytes()[:-1])
    client = OfflineClient([tmp_path])
    assert await list_cuids(client, "vision-baselines") == [CUID]
    answer = await client.get_experiment(ExperimentRef("local", "vision-baselines", CUID))
    assert any("its 2 folders are read as one experiment" in note for note in answer.notes)
    summary = (await client.get_summary(ExperimentRef("local", "vision-baselines", CUID))).data
    assert summary is not None
    # duplicate points count once
    assert summary["train/loss"].count == 240
    points = await client.read_points(
        ExperimentRef("local", "vision-baselines", CUID), ["train/loss", "lr"], exact=True
    )
    (note,) = (note for note in points.notes if "several folders" in note)
    assert note.endswith("252 points have the same step in several folders; the points from the later folder are used.")
    assert (
        await client.read_logs(ExperimentRef("local", "vision-baselines", CUID), start=18, count=4)
    ).data.total == 40  # type: ignore[union-attr]


async def test_resumed_run_continues_in_its_next_folder(tmp_path: Path) -> None:
    first = [encode_point(step + 1, "loss", step, 10.0 - step) for step in range(5)]
    second = [encode_point(step - 3, "loss", step, 10.0 - step) for step in range(4, 9)]
    write_run(tmp_path, "same", first, moment="20261123_080000")
    write_run(tmp_path, "same", [*second, encode_point(6, "acc", 8, 0.5), encode_finish()], moment="20261123_090000")
    client = OfflineClient([tmp_path])
    experiment = (await client.get_experiment(ExperimentRef("local", "made", "same"))).data
    assert experiment is not None
    assert experiment.state == "FINISHED"
    points = (await client.read_points(ExperimentRef("local", "made", "same"), ["loss", "acc"], exact=True)).data
    assert points is not None
    assert list(points["loss"].steps) == list(range(9))
    summary = (await client.get_summary(ExperimentRef("local", "made", "same"))).data
    assert summary is not None
    # both folders have step 4, so the points are counted individually
    assert (summary["loss"].count, summary["loss"].value, summary["acc"].count) == (9, 2.0, 1)
    keys = (await client.list_keys(ExperimentRef("local", "made", "same"))).data
    assert keys is not None
    assert keys.scalars == ["loss", "acc"]


async def test_resumed_run_reports_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open
    closed: set[str] = set()

    def refuse(name: Any, *how: Any, **named: Any) -> int:
        if name in closed:
            raise PermissionError(13, "Permission denied")
        return opened(name, *how, **named)

    monkeypatch.setattr(os, "open", refuse)
    write_run(tmp_path, "same", [encode_point(1, "loss", 0, 1.0)], moment="20261123_080000")
    second = write_run(tmp_path, "same", [encode_point(1, "loss", 1, 2.0)], moment="20261123_090000")
    client = OfflineClient([tmp_path])
    assert await list_cuids(client) == ["same"]
    closed.add(second.parent.name)
    answer = await client.get_summary(ExperimentRef("local", "made", "same"))
    assert answer.data is not None
    assert answer.data["loss"].count == 1
    assert any("'run-20261123_090000-same', one of its 2 folders, is skipped" in note for note in answer.notes)


async def test_unrecorded_fields_are_not_available_offline(copied: Path) -> None:
    client = OfflineClient([copied.parent])
    with pytest.raises(NotAvailableOffline, match="do not record the SwanLab user"):
        await client.get_user()
    for answer in (
        await client.get_workspace(WorkspaceRef("local")),
        await client.get_project(ProjectRef("local", "vision-baselines")),
    ):
        assert "Visibility and members are not available offline" in answer.notes[-1]
    assert answer.data is not None
    assert answer.data.visibility == ""


async def test_settled_folders_are_searched_again_only_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    write_run(runs / "nested", "one", [])
    (runs / "run-20261123_090000-two").mkdir()
    for folder in (runs, runs / "nested", runs / "run-20261123_090000-two"):
        os.utime(folder, (BEGAN / 1000,) * 2)
    searched: list[Any] = []
    scandir = os.scandir

    def watch(folder: Any) -> Any:
        searched.append(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", watch)
    client = OfflineClient([runs, tmp_path / "later"])
    assert await list_cuids(client) == ["one"]
    assert searched
    searched.clear()
    notes = (await client.list_projects(WorkspaceRef("local"))).notes
    assert [note[:23] for note in notes] == ["1 run folder contains n", "The log folder 'later' "]
    assert searched == []
    # a new record file in an empty folder, a run in a nested folder, a new log folder
    shutil.copy(next((runs / "nested").glob("*/run-one.swanlab")), runs / "run-20261123_090000-two" / "backup.swanlab")
    write_run(runs / "nested", "three", [])
    write_run(tmp_path / "later", "four", [])
    answer = await client.list_projects(WorkspaceRef("local"))
    assert [note for note in answer.notes if "log folder" in note or "no record" in note] == []
    assert sorted(await list_cuids(client)) == ["four", "one", "three"]


async def test_query_about_a_run_reads_only_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        write_run(tmp_path, name, [encode_point(1, "loss", 0, 1.0)])
    client = OfflineClient([tmp_path])
    await list_cuids(client)
    checked: list[str] = []
    lstat = os.lstat

    def watch(path: Any, **how: Any) -> Any:
        checked.append(Path(path).name)
        return lstat(path, **how)

    monkeypatch.setattr(os, "lstat", watch)
    await client.get_summary(ExperimentRef("local", "made", "one"))
    assert "run-one.swanlab" in checked
    assert "run-two.swanlab" not in checked


async def test_resumed_run_reports_a_foreign_file_in_a_folder(tmp_path: Path) -> None:
    write_run(tmp_path, "same", [encode_point(1, "loss", 0, 1.0)], moment="20261123_080000")
    odd = tmp_path / "run-20261123_090000-same"
    odd.mkdir()
    (odd / "run-same.swanlab").write_bytes(b"PK\x03\x04 something else")
    answer = await OfflineClient([tmp_path]).get_summary(ExperimentRef("local", "made", "same"))
    assert answer.data is not None
    assert answer.data["loss"].count == 1
    assert any(f"{odd.name!r}, one of its 2 folders, is skipped" in note for note in answer.notes)
