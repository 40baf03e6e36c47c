"""Hostile run folders take little time and memory, and expose no files from other folders."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from struct import pack
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.client.local.folder import Refused
from swanlab_mcp.client.local.framing import FragmentReader
from swanlab_mcp.client.local.records import is_protobuf
from swanlab_mcp.client.local.run_files import RunFiles
from swanlab_mcp.client.local.yaml_subset import NotReadable, parse_yaml
from swanlab_mcp.core.errors import NotAvailableOffline, NotFound
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef
from swanlab_mcp.core.untrusted import parse_json
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.run_files import encode_finish, encode_point, write_run

pytestmark = pytest.mark.anyio

HEADER = b":SWL\xd6\xe1\x02"


def points(count: int, value: float = 1.0) -> list[bytes]:
    return [encode_point(step + 1, "loss", step, value) for step in range(count)]


def write_fragment(kind: int, data: bytes) -> bytes:
    return pack("<IHB", crc32(bytes((kind,)) + data), len(data), kind) + data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: -0.5\nc: 1.0e-05\nd: .inf\n", {"a": 1, "b": -0.5, "c": 1e-05, "d": float("inf")}),
        # PyYAML writes this text without quotes
        ("lr: 1e-5\n", {"lr": "1e-5"}),
        ("a: null\nb: ~\nc:\nd: true\ne: 'true'\n", {"a": None, "b": None, "c": None, "d": True, "e": "true"}),
        ("t: 9:9:9\nd: 2020-01-01\nm: 0x1F\n", {"t": "9:9:9", "d": "2020-01-01", "m": 31}),
        ("- [1, two]\n- {x: []}\n", [[1, "two"], {"x": []}]),
        ("1: a\ntrue: b\n", {"1": "a", "true": "b"}),
        (f"n: {'7' * 5000}\n", {"n": "7" * 5000}),
        (f"n: -0x{'f' * 4200}\n", {"n": f"-0x{'f' * 4200}"}),
        ("a: 0x_\nb: 0b_\nc: -0_\nd: 0x_1\n", {"a": "0x_", "b": "0b_", "c": 0, "d": 1}),
        (f"t: {'9:' * 100_000}9\n", {"t": "9:" * 100_000 + "9"}),
        ("", None),
    ],
)
def test_yaml_is_text_numbers_booleans_null_and_containers(text: str, value: Any) -> None:
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "a: !!bool x\n",
        "a: !!python/object/apply:os.system [ls]\n",
        "a: !mine 1\n",
        "a: &x [1]\nb: *x\n",
        "[" * 500 + "]" * 500,
        "- x\n" * 300_000,
        "? [1, 2]\n: 3\n",
        "a: [1\n",
    ],
)
def test_yaml_with_tags_aliases_or_excessive_size_is_refused(text: str) -> None:
    with pytest.raises(NotReadable):
        parse_yaml(text)


# PyYAML writes this line break in a form that it reads back as a space
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    )
)
def test_yaml_written_by_the_sdk_round_trips(value: Any) -> None:
    yaml = pytest.importorskip("yaml")
    assert parse_yaml(yaml.safe_dump(value, allow_unicode=True)) == value


@pytest.mark.parametrize("config", ["a: !!bool x\n", "a: " + "[" * 3000, "x: " + "9:" * 900_000 + "9\n"])
async def test_hostile_config_does_not_affect_other_runs(tmp_path: Path, config: str) -> None:
    for name in ("good", "bad"):
        file = write_run(tmp_path, name, [*points(2), encode_finish()])
        (file.parent / "files").mkdir()
        (file.parent / "files" / "config.yaml").write_text("lr: 1" if name == "good" else config, encoding="utf-8")
    listed = (await OfflineClient([tmp_path]).list_experiments(ProjectRef("local", "made"))).data or []
    assert {one.cuid for one in listed} == {"good", "bad"}


def test_record_with_many_endings_is_checked_a_few_times() -> None:
    judged: list[int] = []

    def judge(payload: bytes) -> bool:
        judged.append(len(payload))
        return is_protobuf(payload)

    reader = FragmentReader(judge)
    content = HEADER + write_fragment(2, b"\x08\x01" * 16_000) + write_fragment(4, b"\xff") * 12_000
    assert reader.feed(content, at_end=True) == []
    assert len(judged) <= 4
    assert reader.lost == 12_001


def test_record_without_end_is_not_kept_in_memory() -> None:
    reader = FragmentReader(is_protobuf)
    middle = write_fragment(3, bytes(32_000))
    reader.feed(HEADER + write_fragment(2, b"\x08\x01"))
    for _ in range(300):
        reader.feed(middle)
    assert reader.oversized == 1
    assert sum(part.size for part in reader._open) < 9 << 20


def test_message_with_endless_fields_is_rejected() -> None:
    assert is_protobuf(b"\x08\x01" * 90_000)
    assert not is_protobuf(b"\x08\x01" * 110_000)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_integers_of_many_digits_are_text(as_bytes: bool) -> None:
    text = f'{{"few": {"7" * 4300}, "many": [-{"7" * 5000}]}}'
    value = parse_json(text.encode() if as_bytes else text)
    assert value["many"] == ["-" + "7" * 5000]
    assert isinstance(value["few"], int)
    assert parse_json(text, lambda fields: fields)["many"] == ["-" + "7" * 5000]


async def test_run_file_swapped_for_a_pipe_is_refused_immediately(tmp_path: Path) -> None:
    file = write_run(tmp_path, "one", points(3))
    write_run(tmp_path, "two", points(3))
    client = OfflineClient([tmp_path])
    assert (await client.get_summary(ExperimentRef("local", "made", "one"))).data
    file.unlink()
    os.mkfifo(file)
    with pytest.raises((NotAvailableOffline, NotFound)):
        await client.get_summary(ExperimentRef("local", "made", "one"))
    assert (await client.get_summary(ExperimentRef("local", "made", "two"))).data


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_run_swapped_for_a_link_exposes_no_other_folder(tmp_path: Path, what: str) -> None:
    secret = write_run(tmp_path / "elsewhere", "one", points(9, 7.0))
    file = write_run(tmp_path / "runs", "one", points(3))
    write_run(tmp_path / "runs", "two", points(3))
    client = OfflineClient([tmp_path / "runs"])
    assert ((await client.get_summary(ExperimentRef("local", "made", "one"))).data or {})["loss"].count == 3
    if what == "file":
        file.unlink()
        file.symlink_to(secret)
    else:
        shutil.rmtree(file.parent)
        file.parent.symlink_to(secret.parent)
    for _ in range(2):
        with pytest.raises((NotAvailableOffline, NotFound)):
            await client.get_summary(ExperimentRef("local", "made", "one"))
    listed = (await client.list_experiments(ProjectRef("local", "made"))).data or []
    assert [one.cuid for one in listed] == ["two"]


async def test_race_between_folder_and_link_exposes_no_other_folder(tmp_path: Path) -> None:
    secret = write_run(tmp_path / "elsewhere", "one", points(9, 7.0))
    file = write_run(tmp_path / "runs", "one", points(3))
    kept = file.parent.with_name("kept")
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            file.parent.rename(kept)
            file.parent.symlink_to(secret.parent)
            file.parent.unlink()
            kept.rename(file.parent)

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[int] = set()
    try:
        for _ in range(150):
            client = OfflineClient([tmp_path / "runs"])
            try:
                summary = (await client.get_summary(ExperimentRef("local", "made", "one"))).data or {}
            except Exception:  # noqa: BLE001 refused or missing, as it should be
                continue
            seen |= {one.count for one in summary.values() if one.count}
    finally:
        ended.set()
        thread.join()
    assert seen <= {3}


@pytest.mark.parametrize("part", ["media", "media/image", "files"])
async def test_linked_folder_within_a_run_is_not_followed(tmp_path: Path, part: str) -> None:
    folder = tmp_path / "runs" / "run-20261123_080020-3hzj7gws"
    shutil.copytree(next((RUNS / "0.10.3-offline").glob("*3hzj7gws")), folder)
    target = folder / part
    target.rename(tmp_path / "moved")
    target.symlink_to(tmp_path / "moved")
    async with session(Settings(log_dirs=(tmp_path / "runs",))) as client:
        given = {"project": "local/vision-baselines", "exp_cuid": "3hzj7gws"}
        experiment = await client.call_tool("get_experiment", given)
        media = await client.call_tool("get_media", {**given, "keys": ["*"]})
    if part == "files":
        assert "is not a regular file" in text_of(experiment)
        assert "profile.config" not in text_of(experiment)
    else:
        assert "is not a regular file" in text_of(media)


async def test_huge_sparse_run_does_not_hide_the_other_runs(tmp_path: Path) -> None:
    huge = write_run(tmp_path, "huge", points(3))
    write_run(tmp_path, "small", [*points(5), encode_finish()])
    os.truncate(huge, 60 << 30)
    async with session(Settings(log_dirs=(tmp_path,))) as client:
        ranking = await client.call_tool("rank_experiments", {"project": "local/made", "metric": "loss"})
    output = text_of(ranking)
    assert "small" in output
    assert "huge" in output
    assert not ranking.is_error


async def test_run_that_takes_too_long_is_named_and_the_others_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swanlab_mcp.client.local.run._CHUNK", 64)
    write_run(tmp_path, "long", points(500))
    write_run(tmp_path, "short", [])
    client = OfflineClient([tmp_path])
    listed = (await client.list_experiments(ProjectRef("local", "made"))).data or []
    await client.get_summary(ExperimentRef("local", "made", "short"))
    monkeypatch.setattr("swanlab_mcp.client.local.overview._FOR_ALL", 0.0)
    monkeypatch.setattr("swanlab_mcp.client.local.overview._LEAST_SHARE", -1.0)
    answer = await client.get_summaries(ProjectRef("local", "made"), listed)
    assert list(answer.data or {}) == ["short"]
    assert any("Omitted because reading took too long: long." in note for note in answer.notes)
    # a query for this run alone still reads the run
    assert ((await client.get_summary(ExperimentRef("local", "made", "long"))).data or {})["loss"].count == 500


def test_cached_metadata_follows_the_file_and_never_a_link(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other" / "files"
    for folder, host in ((run / "files", "one"), (other, "secret")):
        folder.mkdir(parents=True)
        (folder / "swanlab-metadata.json").write_text(json.dumps({"hostname": host}), encoding="utf-8")
    files = RunFiles(run)
    assert [files.read_metadata() for _ in range(2)] == [{"hostname": "one"}] * 2
    (run / "files" / "swanlab-metadata.json").write_text('{"hostname": "the second"}', encoding="utf-8")
    assert files.read_metadata() == {"hostname": "the second"}
    shutil.rmtree(run / "files")
    assert files.read_metadata() == {}
    (run / "files").symlink_to(other)
    with pytest.raises(Refused):
        files.read_metadata()
