"""Media at a step, in forms that assistants accept."""

# Pillow is partly untyped, and some tests use private functions
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false

from __future__ import annotations

import base64
import json
import random
import re
import subprocess
import sys
from io import BytesIO
from struct import pack
from typing import Any
from zlib import compress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from swanlab_mcp.core import pictures
from swanlab_mcp.core.models import Picture
from swanlab_mcp.core.pictures import LARGEST_BYTES, LARGEST_SIDE, find_image_type, prepare_picture
from swanlab_mcp.operations import media
from swanlab_mcp.operations.steps import describe_steps
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import Experiment, Fault, Media, State

pytestmark = pytest.mark.anyio
ASK = {"project": "project1", "exp_cuid": "gallery"}


def draw(side: int = 32, form: str = "PNG", *, noise: bool = False, mode: str = "RGB") -> bytes:
    image = Image.new(mode, (side, side // 2 or 1), None if mode == "P" else 0)
    if noise:
        chance = random.Random(side)
        image.frombytes(chance.randbytes(len(image.tobytes())))
    target = BytesIO()
    image.save(target, form)
    return target.getvalue()


@pytest.fixture
def gallery(state: State) -> Experiment:
    table = {"_swanLab": "table", "colDefs": [{"field": "class"}, {"field": "n"}], "rowData": [{"class": "猫", "n": 3}]}
    media = {
        "samples/image": [Media(step, [f"image/{step}.png"], [f"epoch {step}"]) for step in (0, 50, 100, 150, 400)],
        "grid": [Media(0, [f"image/grid-{number}.png" for number in range(6)])],
        "notes": [Media(100, ["text/100.txt"]), Media(200, ["text/200.txt"])],
        "table": [Media(100, ["echarts/100.json"])],
        "chart": [Media(100, ["echarts/chart.json"])],
        "voice": [Media(100, ["audio/100.wav"], ["hello"])],
    }
    owner = state.add_experiment(state.projects[0], "gallery", cuid="gallery1", media=media, metrics={"loss": [(0, 1)]})
    files = {f"image/{step}.png": draw() for step in (0, 50, 100, 150, 400)}
    files |= {f"image/grid-{number}.png": draw(16) for number in range(6)}
    files |= {"text/100.txt": "第一句 " * 3000, "text/200.txt": "short", "echarts/100.json": json.dumps(table)}
    files |= {"echarts/chart.json": '{"series": []}', "audio/100.wav": b"RIFF" + bytes(500)}
    for path, content in files.items():
        whole = content if isinstance(content, bytes) else content.encode()
        state.files[f"project1/gallery1/{path}"] = whole
    return owner


async def ask(settings: Settings, **arguments: Any) -> Any:
    async with session(settings) as client:
        return await client.call_tool("get_media", {**ASK, **arguments})


def images(result: Any) -> list[bytes]:
    return [base64.b64decode(block.data) for block in result.content if block.type == "image"]


def words(result: Any) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


@pytest.mark.usefixtures("gallery")
async def test_last_image_is_shown_with_the_list_of_steps(settings: Settings, state: State) -> None:
    result = await ask(settings, exp_cuid="gallery1", keys=["samples/image"])
    assert images(result) == [draw()]
    assert result.structured_content is None
    assert "key | step | type | name | size | caption | picture\n" in words(result)
    assert f"samples/image | 400 | image | 400.png | {len(draw())} | epoch 400 | 1" in words(result)
    assert "note: Steps with samples/image: 0-150 every 50, 400 (5)." in words(result)
    assert "presigned-canary" not in words(result)
    downloads = state.get_calls("^/storage/")
    assert len(downloads) == 1
    assert not {"cookie", "authorization"} & set(downloads[0].headers)
    # login, experiment, project, two lists of keys, the step, the URLs
    assert len(state.get_calls("/api/")) == 7


@pytest.mark.usefixtures("gallery")
async def test_page_holds_at_most_four_images(settings: Settings) -> None:
    seen: list[str] = []
    for page in (1, 2):
        result = await ask(settings, keys=["grid"], page=page)
        seen += re.findall(r"grid-\d\.png", words(result))
        assert len(images(result)) == (4 if page == 1 else 2)
        assert ("next: page=2 size=4" in words(result)) == (page == 1)
    assert seen == [f"grid-{number}.png" for number in range(6)]


@pytest.mark.usefixtures("gallery")
async def test_texts_and_tables_are_read_and_long_texts_continue(settings: Settings) -> None:
    whole = ""
    start = 0
    while True:
        result = await ask(settings, keys=["notes"], steps=[100], text_start=start)
        assert count_tokens(words(result)) <= 8000
        whole += words(result).splitlines()[2].split(" | ")[-1]
        going_on = [line for line in words(result).splitlines() if "continue with text_start=" in line]
        if not going_on:
            break
        start = int(going_on[0].rstrip(".").rpartition("=")[2])
    assert whole.replace(" ", "") == "第一句" * 3000
    table = words(await ask(settings, keys=["table", "chart"]))
    assert "class \\| n\\n猫 \\| 3" in table
    assert '{"series": []}' in table


@pytest.mark.usefixtures("gallery")
async def test_text_start_inside_the_key_does_not_expose_its_rest(settings: Settings, state: State) -> None:
    state.files["project1/gallery1/text/200.txt"] = b"key test-key end"
    result = await ask(settings, keys=["notes"], steps=[200], text_start=6)
    assert "st-key" not in words(result)
    assert "* end" in words(result)


@pytest.mark.usefixtures("gallery")
async def test_unsupported_media_show_type_and_size(settings: Settings) -> None:
    result = await ask(settings, keys=["voice"])
    assert "type: audio" in words(result) or "| audio |" in words(result)
    assert "504" in words(result)
    assert f"note: Page: {settings.web_host}/@kites-test3/project1/runs/gallery1/chart" in words(result)
    assert not images(result)


@pytest.mark.usefixtures("gallery")
async def test_invalid_media_requests_are_explained(settings: Settings, state: State) -> None:
    for arguments, expected in (
        (
            {"keys": ["samples/image"], "steps": [120]},
            "No such media were logged at step 120. Nearest steps with media: 50",
        ),
        ({"keys": ["smaples/image"]}, "Similar keys (of 6 logged): samples/image"),
        ({"keys": ["loss"]}, "'loss' is a numeric metric, not media. Use get_metrics."),
        ({"keys": ["grid"], "page": -1}, "'page'"),
        ({"keys": ["grid"], "size": 5}, "'size'"),
        ({"keys": []}, "'keys'"),
    ):
        result = await ask(settings, **arguments)
        assert result.is_error
        assert expected in words(result)
    beyond = await ask(settings, keys=["grid"], page=9)
    assert "Page 9 does not exist: the total is 6" in words(beyond)
    state.faults = [Fault(path="/metrics/media$", body=b"[]")]
    assert "did not return a list of media steps" in text_of(await ask(settings, keys=["grid"]))
    state.faults = [Fault(path="/resources/presigned/", body=b'{"urls": []}')]
    assert "contains no URL" in text_of(await ask(settings, keys=["grid"]))
    state.faults = [Fault(path="^/storage/", status=404)]
    assert "storage has no file 100.wav" in text_of(await ask(settings, keys=["voice"]))


@pytest.mark.usefixtures("gallery")
async def test_clone_shows_the_media_of_its_root(settings: Settings, state: State, gallery: Experiment) -> None:
    clones = state.add_project(state.workspaces[0], "clones")
    state.add_experiment(clones, "clone", cuid="clone1", clone_of=(state.projects[0], gallery))
    result = await ask(settings, project="clones", exp_cuid="clone1", keys=["samples/*"], steps=[50])
    assert images(result) == [draw()]


async def test_damaged_and_huge_files_are_reported_and_not_shown(settings: Settings, state: State) -> None:
    media = {"image": [Media(0, ["a.png", "b.png", "c.png"])]}
    state.add_experiment(state.projects[0], "odd", cuid="odd1", media=media)
    state.files |= {
        "project1/odd1/a.png": draw()[:40],
        "project1/odd1/b.png": b"<svg/>",
        "project1/odd1/c.png": bytes(20_000_001),
    }
    result = await ask(settings, exp_cuid="odd", keys=["image"])
    assert not result.is_error
    assert not images(result)
    assert "a.png at step 0: it is damaged or not an image." in words(result)
    assert "b.png at step 0: it is damaged or not an image." in words(result)
    assert "c.png at step 0: larger than 20 MB, so it is not shown." in words(result)


@pytest.mark.usefixtures("gallery")
async def test_missing_file_is_reported_and_the_others_are_shown(settings: Settings, state: State) -> None:
    del state.files["project1/gallery1/image/grid-1.png"]
    result = await ask(settings, keys=["grid"])
    assert not result.is_error, words(result)
    assert len(images(result)) == 3
    assert "note: grid at step 0: SwanLab's storage has no file grid-1.png." in words(result)
    assert "larger than" not in words(result)
    # one request for all URLs
    assert len(state.get_calls("resources/presigned")) == 1


@pytest.mark.usefixtures("gallery")
async def test_missing_step_of_a_key_is_reported(settings: Settings) -> None:
    result = await ask(settings, keys=["samples/image", "grid"], steps=[50, 0])
    assert "note: Steps with grid: 0 (1); none at step 50." in words(result)
    assert "note: Steps with samples/image: 0-150 every 50, 400 (5).\n" in words(result)


async def test_many_keys_are_truncated_with_a_note(settings: Settings, state: State) -> None:
    media = {f"view/{number:03d}": [Media(0, ["text/1.txt"])] for number in range(300)}
    state.add_experiment(state.projects[0], "gallery", cuid="gallery1", media=media)
    state.files["project1/gallery1/text/1.txt"] = b"short"
    result = await ask(settings, keys=["*"])
    assert len(state.get_calls("house/metrics/media$")) == 16
    assert "4 of 16" in words(result)
    assert "Only the first 16 of 300 keys were checked; continue with view/016, view/017, " in words(result)
    result = await ask(settings, keys=["view/299"])
    assert "1 of 1" in words(result)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
@pytest.mark.parametrize("noise", [True, False])
def test_large_image_is_scaled_down_to_the_limit(mode: str, noise: bool) -> None:
    picture = prepare_picture(draw(2000, noise=noise and mode != "P", mode=mode))
    assert isinstance(picture, Picture)
    assert len(picture.content) <= LARGEST_BYTES
    assert picture.mime_type == find_image_type(picture.content)
    with Image.open(BytesIO(picture.content)) as image:
        assert max(image.size) <= LARGEST_SIDE
        assert image.width == 2 * image.height


@pytest.mark.parametrize(
    ("form", "kind"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("GIF", "image/gif"), ("WEBP", "image/webp")]
)
def test_small_images_are_unchanged(form: str, kind: str) -> None:
    content = draw(form=form)
    assert prepare_picture(content) == Picture(content, kind)


def test_other_formats_are_converted_to_png() -> None:
    picture = prepare_picture(draw(form="BMP"))
    assert isinstance(picture, Picture)
    assert picture.mime_type == "image/png"


def test_decompression_bomb_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_MOST_PIXELS", 100)
    assert prepare_picture(draw(2000)) == "it has 2000 x 1000 pixels, more than this server opens"


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{ } loop\n"


def test_format_that_starts_another_program_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen.__init__", refuse)
    assert prepare_picture(POSTSCRIPT) == "it is damaged or not an image"


def run_in_child(code: str, megabytes: int, content: bytes = b"") -> str:
    """Run code in a child process that may use this much memory in addition to its imports, and return its output."""
    prelude = f"""
import resource
import sys
from io import BytesIO
from struct import pack
from PIL import Image, PngImagePlugin, JpegImagePlugin
from swanlab_mcp.core.pictures import prepare_picture
from swanlab_mcp.operations import media
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {megabytes} * 2**20,) * 2)
"""
    command = [sys.executable, "-c", prelude + code]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_image_of_many_pixels_takes_little_memory() -> None:
    bomb = BytesIO()
    Image.new("L", (10_000, 8_000)).save(bomb, "PNG")
    code = "print(prepare_picture(sys.stdin.buffer.read()))"
    assert run_in_child(code, 250, bomb.getvalue()) == "it has 10000 x 8000 pixels, more than this server opens\n"


def write_scans(*scans: bytes, side: int = 10_000) -> bytes:
    """Return a JPEG with three components and no image data. Each argument lists the components of one scan."""
    frame = pack(">BHHB", 8, side, side, 3) + b"".join(bytes((one, 0x11, 0)) for one in (1, 2, 3))
    table = b"\0" + bytes((1, *[0] * 15)) + b"\0"
    parts = [(0xDB, b"\0" + b"\1" * 64), (0xC0, frame), (0xC4, table), (0xC4, b"\x10" + table[1:])]
    parts += [(0xDA, bytes((len(one),)) + b"".join(bytes((name, 0)) for name in one) + b"\0\x3f\0") for one in scans]
    return b"\xff\xd8" + b"".join(b"\xff" + pack(">BH", mark, len(data) + 2) + data for mark, data in parts)


def test_jpeg_that_is_decoded_whole_takes_little_memory() -> None:
    """A decoder keeps the whole image if it is progressive, or if a scan lacks a component."""
    progressive = BytesIO()
    Image.new("RGB", (9_000, 9_000)).save(progressive, "JPEG", progressive=True)
    code = "print(prepare_picture(sys.stdin.buffer.read()))"
    refused = "it has {0} x {0} pixels, more than this server opens\n"
    assert run_in_child(code, 200, progressive.getvalue()) == refused.format(9_000)
    for before in (b"", b"\xff"):
        content = write_scans(b"\1", b"\2", b"\3").replace(b"\xff\xdb", before + b"\xff\xdb", 1)
        assert run_in_child(code, 200, content) == refused.format(10_000), before


def test_tiff_with_tiles_larger_than_the_image_takes_little_memory() -> None:
    tags = {256: 10, 257: 10, 258: 8, 259: 8, 262: 1, 277: 1, 322: 20_000, 323: 20_000, 324: 8, 325: 11}
    entries = b"".join(pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    content = b"II*\0" + pack("<I", 24) + compress(b"\0" * 9).ljust(16) + pack("<H", len(tags)) + entries + bytes(4)
    code = "print(prepare_picture(sys.stdin.buffer.read()))"
    assert run_in_child(code, 250, content) == "it has 20000 x 20000 pixels, more than this server opens\n"


def test_large_photo_is_decoded_at_reduced_size() -> None:
    photograph = BytesIO()
    Image.new("RGB", (8_000, 6_000), "red").save(photograph, "JPEG")
    code = "print(prepare_picture(sys.stdin.buffer.read()).mime_type)"
    assert run_in_child(code, 100, photograph.getvalue()) == "image/png\n"


@pytest.mark.exhaustive
def test_images_are_decoded_one_at_a_time() -> None:
    """Each of the eight images takes 57 MB when decoded, but all of them together take less memory than two."""
    large = BytesIO()
    Image.new("RGB", (5_000, 3_800)).save(large, "PNG")
    code = """
from concurrent.futures import ThreadPoolExecutor
content = sys.stdin.buffer.read()

def read_peak():
    # getrusage also counts the memory of the parent process
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])

before = read_peak()
prepare_picture(content)
one = read_peak() - before
with ThreadPoolExecutor(8) as threads:
    print([found.mime_type for found in threads.map(prepare_picture, [content] * 8)] == ["image/png"] * 8)
eight = read_peak() - before
print(eight < 2 * one or (one, eight))
"""
    assert run_in_child(code, 1500, large.getvalue()) == "True\nTrue\n"


async def test_table_has_the_columns_of_all_rows(settings: Settings, state: State, gallery: Experiment) -> None:
    table = {
        "_swanLab": "table",
        "colDefs": [{"field": "prompt"}],
        "rowData": [{"prompt": "a|b\nc"}, {"score": 1, "ok": True}],
    }
    state.files[f"project1/{gallery.cuid}/echarts/100.json"] = json.dumps(table).encode()
    shown = words(await ask(settings, keys=["table"]))
    assert r'| prompt \| score \| ok\n"a|b\nc" \|  \| \n \| 1 \| true' in shown


def test_wide_table_takes_little_memory() -> None:
    code = """
import json
cell = "x" * 20_000
table = {"_swanLab": "table", "colDefs": [{"field": "a"}] * 5000 + [{"field": str(n)} for n in range(5000)],
         "rowData": [{"a": cell}] + [{}] * 40_000}
table = media._read_table(json.dumps(table))
print(*media._slice(table.write_lines(), 0, 3), table.left_out)
"""
    assert run_in_child(code, 150).startswith("a | 3")


@given(st.lists(st.text(max_size=8)), st.integers(0, 40), st.integers(0, 40))
def test_slice_of_parts_matches_the_slice_of_the_whole(parts: list[str], start: int, length: int) -> None:
    whole = "".join(parts)
    assert media._slice(parts, start, start + length) == (whole[start : start + length], len(whole))


def test_only_small_images_are_shown_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    small, wide, bitmap = draw(), draw(2000), draw(form="BMP")
    monkeypatch.setattr(pictures, "find_spec", lambda _name: None)
    assert prepare_picture(small) == Picture(small, "image/png")
    large, other = prepare_picture(wide), prepare_picture(bitmap)
    assert "too large to be shown at full size; `pip install 'swanlab-mcp-server[plot]'`" in str(large)
    assert "assistants cannot display its format" in str(other)


@given(st.lists(st.integers(0, 300), unique=True, max_size=80).map(sorted))
def test_compact_step_ranges_describe_the_same_steps(steps: list[int]) -> None:
    shown = describe_steps(steps)
    runs = [] if shown == "none" else shown.split(", ")
    found: list[int] = []
    for run in runs:
        if run == "…":
            return
        span, _, by = run.partition(" every ")
        first, _, last = span.partition("-")
        found += range(int(first), int(last or first) + 1, int(by or 1))
    assert found == steps
