"""Compare the images, texts and tables of runs on disk with the data that the training scripts saved."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.client.local.run import Run
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import NotAvailableOffline, NotFound
from swanlab_mcp.core.models import MediaItem
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef
from swanlab_mcp.operations.media import get_media
from swanlab_mcp.settings import Settings
from tests.client.local.test_runs import read_truth
from tests.conftest import RUNS, session

pytestmark = pytest.mark.anyio
PROJECT, CUID, IMAGE = "vision-baselines", "3hzj7gws", "sample/input"


@pytest.mark.parametrize(("folder", "truth"), read_truth())
async def test_media_match_the_logged_files(folder: Path, truth: dict[str, Any]) -> None:
    client = OfflineClient([folder])
    for key, logged in truth["media"].items():
        whole = (await client.list_media(ExperimentRef("local", truth["project"], truth["id"]), key)).data
        assert whole is not None
        if truth["partial"] and list(whole.steps) != logged["steps"]:
            assert list(whole.steps) == logged["steps"][: len(whole.steps)]
        else:
            assert list(whole.steps) == logged["steps"]
        for index, step in enumerate(whole.steps):
            part = (await client.list_media(ExperimentRef("local", truth["project"], truth["id"]), key, step=step)).data
            assert part is not None
            assert (part.step, [item.step for item in part.items]) == (step, [step])
            assert part.items[0].caption == (logged["captions"][index] or "")
            answer = await client.read_media(
                ExperimentRef("local", truth["project"], truth["id"]), part.items, limit=1 << 20
            )
            (file,) = answer.data or []
            assert file.content is not None
            assert file.size == len(file.content)
            if logged["kind"] == "text":
                assert file.content.decode() == logged["texts"][index]
            elif logged["kind"] == "image":
                assert file.content.startswith(b"\x89PNG")
            else:
                assert json.loads(file.content)
            if not part.items[0].path.endswith("text.txt"):
                stem = part.items[0].path.rpartition("/")[2].partition(".")[0]
                assert hashlib.sha256(file.content).hexdigest().startswith(stem.rpartition("-")[2])


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / f"run-20261123_080020-{CUID}"
    shutil.copytree(next((RUNS / "0.10.3-offline").glob(f"*{CUID}")), folder)
    return folder


async def find_item(client: OfflineClient, key: str = IMAGE) -> MediaItem:
    part = (await client.list_media(ExperimentRef("local", PROJECT, CUID), key, step=0)).data
    assert part is not None
    return part.items[0]


async def test_file_above_the_limit_returns_only_its_size(copied: Path) -> None:
    client = OfflineClient([copied.parent])
    answer = await client.read_media(ExperimentRef("local", PROJECT, CUID), [await find_item(client)], limit=10)
    assert answer.data == [(None, 93)]


async def test_text_above_the_limit_returns_only_its_size() -> None:
    client = OfflineClient([RUNS / "0.7.20-offline"])
    cuid = "yiojj5h7cbmp6aug1vgng"
    part = (await client.list_media(ExperimentRef("local", PROJECT, cuid), "sample/answer", step=100)).data
    assert part is not None
    answer = await client.read_media(ExperimentRef("local", PROJECT, cuid), part.items, limit=10)
    assert answer.data == [(None, 39)]


async def test_key_or_step_without_media_has_no_items(copied: Path) -> None:
    client = OfflineClient([copied.parent])
    assert (await client.list_media(ExperimentRef("local", PROJECT, CUID), "train/loss")).data == ([], None, [])
    assert (await client.list_media(ExperimentRef("local", PROJECT, CUID), IMAGE, step=7)).data == ([0, 100], 7, [])


async def test_unrecorded_paths_are_not_read(copied: Path) -> None:
    client = OfflineClient([copied.parent])
    for path in ("../../etc/passwd", "/etc/passwd", f"{copied.name}/0/../../files/config.yaml"):
        with pytest.raises(NotFound, match="has no item"):
            await client.read_media(ExperimentRef("local", PROJECT, CUID), [MediaItem(IMAGE, 0, path)], limit=1 << 20)


@pytest.mark.parametrize("how", ["missing", "link", "folder", "pipe", "linked folder"])
async def test_media_outside_the_run_are_not_available(copied: Path, tmp_path: Path, how: str) -> None:
    secret = tmp_path / "secret"
    shutil.copytree(copied / "media" / "image", secret)
    client = OfflineClient([copied.parent])
    item = await find_item(client)
    file = copied / "media" / "image" / item.path.rpartition("/")[2]
    if how == "linked folder":
        shutil.rmtree(file.parent)
        file.parent.symlink_to(secret)
    else:
        file.unlink()
    if how == "link":
        file.symlink_to(secret / file.name)
    elif how == "folder":
        file.mkdir()
    elif how == "pipe":
        os.mkfifo(file)
    with pytest.raises(NotAvailableOffline, match=r"no longer in the run's folder|is outside the run's folder"):
        await client.read_media(ExperimentRef("local", PROJECT, CUID), [item], limit=1 << 20)
    text = await find_item(client, "sample/answer")
    answer = await client.read_media(ExperimentRef("local", PROJECT, CUID), [item, text], limit=1 << 20)
    assert answer.data is not None
    assert answer.data[0] == (None, None)
    assert answer.data[1].content == "step 0: the quick brown fox\n第二行".encode()
    assert any("sample/input at step 0" in note for note in answer.notes)


async def test_missing_file_of_another_type_does_not_hide_the_others(copied: Path) -> None:
    client = OfflineClient([copied.parent])
    item = await find_item(client)
    run: Run = next(iter(client._catalogue.runs))
    run.media[IMAGE][0] = (run.media[IMAGE][0][0]._replace(filename="gone.wav"),)
    given = {"project": f"local/{PROJECT}", "exp_cuid": CUID, "steps": [0]}
    answer = await get_media(SwanLabClient(None, client, signed_in=False), keys=[IMAGE, "sample/answer"], **given)
    assert [one.type for one in answer.data or ()] == ["audio", "text"]
    assert any("gone.wav is no longer in the run's folder" in note for note in answer.notes)
    with pytest.raises(NotAvailableOffline, match=r"gone\.wav is no longer in the run's folder"):
        await get_media(SwanLabClient(None, client, signed_in=False), keys=[item.key], **given)


@pytest.mark.parametrize("name", ["../../files/config.yaml", "/etc/hostname", "..", "a\\b"])
async def test_recorded_name_outside_the_run_is_refused(copied: Path, name: str) -> None:
    client = OfflineClient([copied.parent])
    await find_item(client)
    run: Run = next(iter(client._catalogue.runs))
    entry = run.media[IMAGE][0][0]
    run.media[IMAGE][0] = (entry._replace(filename=name),)
    with pytest.raises(NotAvailableOffline, match="is outside the run's folder"):
        await client.read_media(ExperimentRef("local", PROJECT, CUID), [await find_item(client)], limit=1 << 20)


async def test_summaries_contain_only_the_requested_keys(copied: Path) -> None:
    client = OfflineClient([copied.parent])
    experiments = (await client.list_experiments(ProjectRef("local", PROJECT))).data or []
    some = (await client.get_summaries(ProjectRef("local", PROJECT), experiments, ["val/acc", "never"])).data
    whole = (await client.get_summaries(ProjectRef("local", PROJECT), experiments)).data
    assert some is not None
    assert whole is not None
    assert some[CUID] == {"val/acc": whole[CUID]["val/acc"]}
    assert len(whole[CUID]) > 5


@pytest.mark.parametrize(
    ("folder", "cuid"),
    [("0.10.3-offline", CUID), ("0.8.3-offline", "ktn9geic"), ("0.7.20-offline", "yiojj5h7cbmp6aug1vgng")],
)
async def test_get_media_shows_images_texts_and_charts_of_every_sdk(folder: str, cuid: str) -> None:
    async with session(Settings(log_dirs=(RUNS / folder,))) as client:
        given = {"project": f"local/{PROJECT}", "exp_cuid": cuid}
        keys = await client.call_tool(
            "list_metrics", {"project": given["project"], "exp_cuids": [cuid], "kind": "media"}
        )
        answers = [
            await client.call_tool("get_media", {**given, "keys": [key], "steps": [100]})
            for key in ("sample/input", "sample/answer", "eval/per_class")
        ]
    assert {one["key"] for one in keys.structured_content["data"]} == {
        "sample/input",
        "sample/answer",
        "eval/per_class",
    }
    image, text, chart = answers
    (picture,) = (block for block in image.content if block.type == "image")
    assert picture.mime_type == "image/png"
    assert "batch 100" in text_of_blocks(image)
    assert "step 100: the quick brown fox" in text_of_blocks(text)
    assert "第二行" in text_of_blocks(text)
    assert "| table |" in text_of_blocks(chart)
    assert "precision" in text_of_blocks(chart)


def text_of_blocks(result: Any) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")
