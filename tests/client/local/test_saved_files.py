"""Show files saved with `swanlab.save`, HTML pages and tables as data, and follow only allowed links."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of

pytestmark = pytest.mark.anyio

RUN = next((RUNS / "0.10.3-files").iterdir())
GIVEN = {"project": "local/artifacts", "exp_cuid": "0rlk6ni1"}


async def show(folder: Path, keys: list[str], **more: Any) -> str:
    async with session(Settings(log_dirs=(folder,))) as client:
        return text_of(await client.call_tool("get_media", {**GIVEN, "keys": keys, **more}))


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Return a project with a saved link to the user's notes, as the SDK creates it."""
    folder = tmp_path / "study" / "swanlog" / RUN.name
    shutil.copytree(RUN, folder)
    (folder / "files" / "notes.md").unlink()
    return tmp_path / "study"


async def test_saved_files_and_pages_are_shown_as_text() -> None:
    output = await show(RUN.parent, ["files/*", "page"])
    assert "lr 0.1 worked." in output
    assert "weights of step 30" in output
    assert "best.txt | 19" in output
    assert "step 30: 0.032" in output
    for markup in ("<h1>", "<script>", "alert(1)"):
        assert markup not in output


async def test_metric_list_mentions_media() -> None:
    async with session(Settings(log_dirs=(RUN.parent,))) as client:
        given = {"project": "local/artifacts", "exp_cuids": ["0rlk6ni1"]}
        output = text_of(await client.call_tool("list_metrics", given))
    assert "There are also 4 media keys (kind='media')." in output


async def test_steps_only_omits_contents() -> None:
    output = await show(RUN.parent, ["page", "note"], steps_only=True)
    assert "Steps with page: 0-30 every 10 (4)." in output
    assert "looks fine" not in output


async def test_link_into_the_project_is_named_and_read(linked: Path) -> None:
    (linked / "notes.md").write_text("kept in the project", encoding="utf-8")
    (linked / "swanlog" / RUN.name / "files" / "notes.md").symlink_to(linked / "notes.md")
    output = await show(linked / "swanlog", ["files/notes.md"])
    assert "kept in the project" in output
    assert f"link to {linked}/notes.md" in output


@pytest.mark.parametrize("location", ["elsewhere/secret.txt", "study/../elsewhere/secret.txt"])
async def test_link_out_of_the_project_is_named_and_not_read(linked: Path, tmp_path: Path, location: str) -> None:
    secret = tmp_path / location
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("my secret", encoding="utf-8")
    (linked / "swanlog" / RUN.name / "files" / "notes.md").symlink_to(secret)
    output = await show(linked / "swanlog", ["files/*"])
    assert "my secret" not in output
    assert "outside the run's and the project's folders" in output
    assert "secret.txt" in output


async def test_link_to_a_hidden_file_of_the_project_is_refused_for_that_reason(linked: Path) -> None:
    secret = linked / ".ssh" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("my secret", encoding="utf-8")
    (linked / "swanlog" / RUN.name / "files" / "notes.md").symlink_to(secret)
    output = await show(linked / "swanlog", ["files/*"])
    assert "my secret" not in output
    assert ".ssh/secret.txt, which is hidden or below a hidden folder" in output
    assert "outside" not in output


async def test_missing_target_of_a_link_is_named(linked: Path) -> None:
    (linked / "swanlog" / RUN.name / "files" / "notes.md").symlink_to(linked / "gone.md")
    output = await show(linked / "swanlog", ["files/notes.md"])
    assert f"link to {linked}/gone.md, which does not exist" in output


async def test_link_into_an_allowed_folder_is_read(linked: Path, tmp_path: Path) -> None:
    for name in ("allowed/deep/config.txt", "allowed/.ssh/key.txt", "other/config.txt"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"content of {name}", encoding="utf-8")
        link = linked / "swanlog" / RUN.name / "files" / name.replace("/", "-")
        link.symlink_to(target)
    (tmp_path / "allowed" / "way-out").symlink_to(tmp_path / "other")
    (linked / "swanlog" / RUN.name / "files" / "through.txt").symlink_to(tmp_path / "allowed/way-out/config.txt")
    settings = Settings(log_dirs=(linked / "swanlog",), link_targets=(tmp_path / "allowed",))
    async with session(settings) as client:
        given = {"project": "local/artifacts", "exp_cuid": "0rlk6ni1", "keys": ["files/*.txt"]}
        output = text_of(await client.call_tool("get_media", {**given, "size": 4}))
    assert "content of allowed/deep/config.txt" in output
    assert "content of allowed/.ssh" not in output
    assert "content of other" not in output
    assert "--allow-link-targets FOLDER allows it" in output


async def test_link_through_another_link_is_not_read(linked: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.txt").write_text("my secret", encoding="utf-8")
    (linked / "data").symlink_to(tmp_path / "elsewhere")
    (linked / "swanlog" / RUN.name / "files" / "notes.md").symlink_to(linked / "data" / "secret.txt")
    assert "my secret" not in await show(linked / "swanlog", ["files/notes.md"])


async def test_unusual_log_folder_name_limits_links_to_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "archive" / RUN.name
    shutil.copytree(RUN, folder)
    (tmp_path / "secret.txt").write_text("my secret", encoding="utf-8")
    for name, target in (("a.txt", tmp_path / "secret.txt"), ("b.txt", Path("notes.md"))):
        (folder / "files" / name).symlink_to(target)
    output = await show(tmp_path / "archive", ["files/*.txt"])
    assert "my secret" not in output
    assert "lr 0.1 worked." in output


async def test_saved_pipe_is_not_listed(linked: Path) -> None:
    os.mkfifo(linked / "swanlog" / RUN.name / "files" / "notes.md")
    assert "notes.md" not in (await show(linked / "swanlog", ["*"])).replace("notes.md'", "")


NOTEBOOK: dict[str, Any] = {
    "cells": [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": "train(lr=0.1)", "outputs": [{"data": {"image/png": "iVBORw0KGgo" * 50}}]},
    ],
    "nbformat": 4,
}


@pytest.fixture
async def saved(tmp_path: Path) -> str:
    """Return the rows for saved files of many types."""
    folder = tmp_path / "swanlog" / RUN.name
    shutil.copytree(RUN, folder)
    contents: dict[str, bytes] = {
        "README": b"read me",
        "Dockerfile": b"FROM python",
        "Makefile": b"all:\n\ttrue",
        "train.slurm": "#SBATCH 第一".encode(),
        "metrics.json": b'{"acc": 0.9}',
        "broken.ipynb": b"{",
        "study.ipynb": json.dumps(NOTEBOOK).encode(),
        "weights.pt": b"PK\x03\x04\x00\x00",
        "latin.dat": b"caf\xe9",
        "large.unknown": b"x" * 1_000_001,
    }
    for name, content in contents.items():
        (folder / "files" / name).write_bytes(content)
    keys = [f"files/{name}" for name in contents]
    output = ""
    async with session(Settings(log_dirs=(tmp_path / "swanlog",))) as client:
        for page in (1, 2, 3):
            output += text_of(await client.call_tool("get_media", {**GIVEN, "keys": keys, "page": page}))
    return output


@pytest.mark.parametrize(
    "row",
    [
        "README | 7 | read me",
        "Dockerfile | 11 | FROM python",
        r"Makefile | 10 | all:\n\ttrue",
        "train.slurm | 14 | #SBATCH 第一",
        'metrics.json | text | metrics.json | 12 | {"acc": 0.9}',
        "broken.ipynb | 1 | {",
        r"# markdown\n# Title\ntext\n\n# code\ntrain(lr=0.1)",
        "weights.pt | file | weights.pt | 6",
        "latin.dat | file | latin.dat | 4",
        "large.unknown | file | large.unknown | 1000001",
    ],
)
async def test_saved_files_are_shown_if_they_are_text(saved: str, row: str) -> None:
    assert row in saved
