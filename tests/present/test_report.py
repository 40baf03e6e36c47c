"""The report is a self-contained page: correct, escaped, and readable on phones, in dark mode and in Chinese."""

# Pillow is partly typed
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat

from swanlab_mcp.cli import main as cli
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import LANGUAGES, speak
from swanlab_mcp.present.report import write_report
from swanlab_mcp.settings import Settings
from tests.conftest import opened
from tests.fake_swanlab import State
from tests.server.test_tools import DEMO

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\u202e\x1b[31m"


class Outline(HTMLParser):
    """The elements of a page; every open element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + " "

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([*words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


async def make(settings: Settings, project: str, **how: Any) -> Outline:
    async with opened(settings) as client:
        return Outline(await write_report(client, project=project, **how))


@pytest.mark.anyio
async def test_report_shows_ranking_differences_curves_and_diagnoses() -> None:
    page = await make(DEMO, "digits-mlp")
    assert "19 experiments: 16 FINISHED, 1 CRASHED" in page.text
    assert re.search(r"Ranking by val/acc .* 1 width-128-64 0\.986667 26 ", page.text, re.DOTALL)
    # before the settings, so that the verdict is visible without scrolling
    assert re.search(r"rank experiment value step within noise preprocess ", page.text)
    assert re.search(r" 2 lr-0\.1 0\.984444 20 ✓ scale16 ", page.text.replace("\n", " "))
    assert re.search(r"Not ranked .*cosine-128-64-ckpt 0\.98 16 crashed", page.text, re.DOTALL)
    assert "Curves: val/acc" in page.text
    assert "Curves: val/loss" in page.text
    assert "19 of 19 experiments were diagnosed from all their points; healthy: 12." in page.text
    assert "a file or its folder does not exist high error line: FileNotFoundError" in page.text.replace("\n", " ")
    assert "never_learned in train/loss from step 1" in page.text
    assert "Direction: 'acc' in the key: larger is better." in page.text
    images = page.find("img")
    assert len(images) == 2
    assert all(str(one["src"]).startswith("data:image/png;base64,") and one["alt"] for one in images)


@pytest.mark.anyio
@pytest.mark.parametrize("language", LANGUAGES)
async def test_page_is_self_contained_in_both_languages(language: str) -> None:
    with speak(language):
        page = await make(DEMO, "digits-mlp", metric="val/loss")
    assert page.find("html") == [{"lang": language}]
    assert not page.find("script") + page.find("link") + page.find("iframe") + page.find("a")
    policy = next(one["content"] for one in page.find("meta") if "http-equiv" in one)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    title = {"en": "Ranking by val/loss", "zh": "按 val/loss 排名"}
    assert title[language] in page.text
    assert ("诊断了 19 个实验中的 19 个" in page.text) == (language == "zh")


@pytest.mark.anyio
async def test_hostile_names_stay_text_and_experiments_are_linked(state: State, settings: Settings) -> None:
    project = state.add_project(state.workspaces[0], "p<b>x")
    for number in range(3):
        state.add_experiment(
            project,
            f"{HOSTILE}{number}",
            cuid=f"cuid-{number}",
            state="CRASHED" if number == 2 else "FINISHED",
            config={f"key{HOSTILE}": number, "db_password": f"hunter-canary-{number}", "note": HOSTILE * (number + 1)},
            metrics={"val/acc": [(step, number + step / 100) for step in range(60)]},
        )
    page = await make(settings, "p<b>x")
    assert not page.find("script") + page.find("b")
    assert all(set(one) == {"alt", "src"} for one in page.find("img"))
    assert "<script>alert('x')</script>" in page.text
    assert "\u202e" not in page.text
    assert "\\x1b[31m" in page.text
    assert "canary" not in page.text
    links = [str(one["href"]) for one in page.find("a")]
    assert all(link.startswith(f"{settings.web_host}/@kites-test3/p<b>x") for link in links)
    assert f"{settings.web_host}/@kites-test3/p<b>x/runs/cuid-1/chart" in links


@pytest.mark.anyio
async def test_single_experiment_and_unknown_direction_are_reported(state: State, settings: Settings) -> None:
    project = state.add_project(state.workspaces[0], "one")
    state.add_experiment(project, "alone", cuid="a", metrics={"foo": [(step, float(step)) for step in range(30)]})
    page = await make(settings, "one", metric="foo")
    assert len(page.find("img")) == 1
    assert "nothing is ranked" in page.text
    assert "smallest alone 0 0" in page.text
    assert "What differs" not in page.text


@pytest.mark.anyio
async def test_experiments_without_metrics_do_not_hide_the_others(state: State, settings: Settings) -> None:
    project = state.add_project(state.workspaces[0], "patchy")
    curve = [(step, step / 60) for step in range(60)]
    for number in range(5):
        state.add_experiment(project, f"good-{number}", cuid=f"g{number}", metrics={"val/acc": curve})
    state.add_experiment(project, "other", cuid="o", metrics={"val/loss": curve})
    for number in range(6):
        state.add_experiment(project, f"nothing-{number}", cuid=f"n{number}", state="RUNNING")
    page = await make(settings, "patchy")
    assert "Ranking by val/acc" in page.text
    assert "Curves: val/acc" in page.text
    assert "Curves: val/loss" not in page.text
    assert "12 of 12 experiments were diagnosed" in page.text
    state.add_experiment(state.add_project(state.workspaces[0], "silent"), "s", cuid="s")
    with pytest.raises(NotFound, match="The name of each logged metric leaves open how good a model is"):
        await make(settings, "silent")


@pytest.mark.anyio
async def test_missing_matplotlib_moves_curves_into_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = await make(DEMO, "digits-mlp")
    assert not page.find("img")
    assert re.search(r"largest course .*0\.986667 @ 26 [▁-█]+", page.text, re.DOTALL)


@pytest.mark.anyio
async def test_truncated_sections_report_their_totals(state: State, settings: Settings) -> None:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(35):
        state.add_experiment(
            project, f"run-{number}", cuid=f"c{number}", config={"lr": number}, metrics={"val/acc": [(1, number / 50)]}
        )
    page = await make(settings, "many")
    assert "30 of 35 are shown." in page.text
    assert "The first 5 of 35 compared." in page.text
    assert "20 of 35 experiments were diagnosed" in page.text


def test_command_writes_a_new_file_and_never_overwrites_a_file(
    host: str, state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "test-key")
    assert report("--host", host, "report", "project1", "--lang", "zh") == 0
    written = Path("report.html").read_text("utf-8")
    assert '<html lang="zh">' in written
    assert "test-key" not in written
    assert re.fullmatch(r"report\.html：\d+ 字节\n", capsys.readouterr().err)
    assert report("--host", host, "report", "project1") == 1
    assert "already exists and was not overwritten" in capsys.readouterr().err
    assert Path("report.html").read_text("utf-8") == written
    state.add_project(state.workspaces[0], "empty")
    for words, why in (
        (["empty"], "has no experiments yet"),
        (["projekt1"], "Did you mean project1?"),
        (["project1", "--metric", "los"], "Similar names: loss"),
    ):
        assert report("--host", host, "report", *words, "-o", "other.html") == 1
        assert why in capsys.readouterr().err
    assert not Path("other.html").exists()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    for language in LANGUAGES:
        assert report("--demo", "report", "digits-mlp", "--lang", language, "-o", str(folder / f"{language}.html")) == 0
    return folder


def browse(folder: Path, *words: str) -> str:
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=120, check=True).stdout


@browser
@pytest.mark.parametrize("language", LANGUAGES)
def test_page_fits_a_phone(pages: Path, language: str) -> None:
    held = html.escape((pages / f"{language}.html").read_text("utf-8"))
    script = (
        "f.onload=()=>{const e=f.contentDocument.documentElement;"
        "document.body.dataset.width=e.scrollWidth+'/'+e.clientWidth}"
    )
    frame = f'<body><iframe id=f style="width:360px;height:800px;border:0" srcdoc="{held}"></iframe>'
    host = pages / f"host-{language}.html"
    host.write_text(f"<!DOCTYPE html><meta charset=utf-8>{frame}<script>{script}</script>", encoding="utf-8")
    shown = browse(pages, "--dump-dom", host.as_uri())
    width = re.search(r'data-width="(\d+)/(\d+)"', shown)
    assert width is not None
    assert int(width[1]) == int(width[2])
    assert 300 < int(width[2]) <= 360


@browser
def test_page_follows_the_dark_mode(pages: Path) -> None:
    brightness: dict[str, float] = {}
    for name, choice in (("light", "1"), ("dark", "0")):
        picture = pages / f"{name}.png"
        browse(
            pages,
            f"--blink-settings=preferredColorScheme={choice}",
            "--window-size=900,600",
            f"--screenshot={picture}",
            (pages / "en.html").as_uri(),
        )
        with Image.open(picture) as image:
            brightness[name] = ImageStat.Stat(image.convert("L")).mean[0]
    assert brightness["light"] > 200
    assert brightness["dark"] < 80


@browser
def test_page_can_be_printed(pages: Path) -> None:
    browse(pages, f"--print-to-pdf={pages / 'page.pdf'}", (pages / "zh.html").as_uri())
    printed = (pages / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 3
