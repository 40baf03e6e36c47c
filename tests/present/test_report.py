"""The report is a self-contained page: correct, escaped, and readable on phones, in dark mode and in Chinese."""

# Pillow is partly typed
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import html
import math
import random
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageStat

from swanlab_mcp.cli import main as cli
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import LANGUAGES, use_language
from swanlab_mcp.core.models import Points
from swanlab_mcp.present.report import write_report
from swanlab_mcp.present.report.panels import Panel, Series, draw_curves
from swanlab_mcp.settings import Settings
from tests.conftest import opened
from tests.fake_swanlab import State
from tests.server.test_tools import DEMO

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\u202e\x1b[31m"


class Outline(HTMLParser):
    """Parse the elements of a page; every open element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + " "
            if self.open[-1] in ("td", "th", "text"):
                self.cells.append(data)

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
async def test_findings_come_before_their_evidence() -> None:
    page = await make(DEMO, "digits-mlp")
    text = " ".join(page.text.split())
    assert "19 experiments: 16 finished, 1 crashed, 1 no end recorded, 1 aborted." in text
    assert "Best by val/acc: hidden=[128, 64], mean 0.981481 over 3 repeats (standard deviation 0.00463)." in text
    assert (
        "Its lead over the 10 other settings may be luck (worse by more than noise can explain: 4, within noise: 1,"
        in text
    )
    assert "The runner-up is hidden=[64]: difference -0.0007407, 95 % interval -0.03392 to 0.03244." in text
    assert "lr-100-wd-0.1: non_finite in val/loss from step 9" in text
    assert "Likely cause: a file or its folder does not exist" in text
    assert "11 of 480 possible combinations of the tried values were run." in text
    assert "Untried single-value changes to the best setting (9 in total), such as: hidden=[128]" in text
    sections = [one["id"] for one in page.find("section") if "id" in one]
    assert sections == ["findings", "ranking", "curves", "differences", "tried", "diagnoses", "hours", "notes"]
    assert [one["href"] for one in page.find("a") if one["href"] != "#diagnoses"] + ["#diagnoses"] == [
        *(f"#{name}" for name in sections if name != "diagnoses"),
        "#diagnoses",
    ]


@pytest.mark.anyio
async def test_evidence_shows_verdicts_curves_and_diagnoses() -> None:
    page = await make(DEMO, "digits-mlp")
    text = " ".join(page.text.split())
    assert "1 hidden=[128, 64] 0.981481 3 0.00463 first — —" in text
    assert "2 hidden=[64] 0.980741 3 0.00463 within noise -0.0007407 -0.03392 to 0.03244" in text
    assert "real -0.1659 -0.2065 to -0.1253" in text
    assert re.search(r"Not ranked .*cosine-128-64-ckpt 0\.98 16 crashed", text)
    assert "width-128-64 hidden=[128, 64] 0.98 @ 40 0.888889 @ 1 0.986667 @ 26" in text
    assert "19 of 19 experiments were diagnosed from all their points; healthy: 12." in text
    assert "a file or its folder does not exist high confidence error line: FileNotFoundError" in text
    assert "never_learned in train/loss from step 1" in text
    assert "Direction: 'acc' in the key: larger is better." in text
    assert "finished 16" in text
    kinds = [str(one.get("class")) for one in page.find("path")]
    assert {"line c0", "band c0", "line c4", "bar done", "bar lost"} <= set(kinds)
    assert not page.find("img")
    # the colours of the curves are named next to the pictures
    spans = [str(one["class"]) for one in page.find("span")]
    colours = [after for before, after in pairwise(spans) if before == "legend"]
    assert colours == [f"key c{number}" for number in range(5)]


@pytest.mark.anyio
@pytest.mark.parametrize("language", LANGUAGES)
async def test_page_is_self_contained_in_both_languages(language: str) -> None:
    with use_language(language):
        page = await make(DEMO, "digits-mlp", metric="val/loss")
    assert page.find("html") == [{"lang": language}]
    assert not page.find("script") + page.find("link") + page.find("iframe") + page.find("img")
    assert all(str(one["href"]).startswith("#") for one in page.find("a"))
    policy = next(one["content"] for one in page.find("meta") if "http-equiv" in one)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    title = {"en": "Ranking by val/loss", "zh": "按 val/loss 排名"}
    assert title[language] in page.text
    assert ("诊断了 19 个实验中的 19 个" in page.text) == (language == "zh")
    if language == "zh":
        words = {"real", "within noise", "cannot tell", "first", "rank", "setting", "repeats", "finished", "hours"}
        assert not words & {cell.strip() for cell in page.cells}


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
    assert not page.find("img")
    assert "<script>alert('x')</script>" in page.text
    assert "\u202e" not in page.text
    assert "\\x1b[31m" in page.text
    assert "canary" not in page.text
    links = [str(one["href"]) for one in page.find("a") if not str(one["href"]).startswith("#")]
    assert all(link.startswith(f"{settings.web_host}/@kites-test3/p<b>x") for link in links)
    assert f"{settings.web_host}/@kites-test3/p<b>x/runs/cuid-1/chart" in links
    # the page's own link and those of its figures
    assert links.count(f"{settings.web_host}/@kites-test3/p<b>x") == 1 + len(page.find("figure"))


@pytest.mark.anyio
async def test_single_experiment_and_unknown_direction_are_reported(state: State, settings: Settings) -> None:
    project = state.add_project(state.workspaces[0], "one")
    state.add_experiment(project, "alone", cuid="a", metrics={"foo": [(step, float(step)) for step in range(30)]})
    page = await make(settings, "one", metric="foo")
    assert "so nothing is ranked. It ranges from 0 (" in page.text
    assert len([one for one in page.find("path") if one["class"] == "line c0"]) == 1
    assert "nothing is ranked" in page.text
    assert "smallest alone 0 0" in " ".join(page.text.split())
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
    drawn = [one["aria-label"] for one in page.find("svg") if "aria-label" in one]
    assert drawn[0] == "val/acc"
    assert "val/loss" not in drawn
    assert "12 of 12 experiments were diagnosed" in page.text
    state.add_experiment(state.add_project(state.workspaces[0], "silent"), "s", cuid="s")
    with pytest.raises(NotFound, match="The names of the logged metrics do not show which metric measures"):
        await make(settings, "silent")


@pytest.mark.anyio
async def test_report_needs_no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = await make(DEMO, "digits-mlp")
    assert any(one["class"] == "line c0" for one in page.find("path"))


@pytest.mark.anyio
async def test_collapse_of_the_best_run_is_a_finding(state: State, settings: Settings) -> None:
    project = state.add_project(state.workspaces[0], "fragile")
    rising = [(step, 0.9 * (1 - 0.9**step)) for step in range(120)]
    fallen = [(step, 0.95 * (1 - 0.9**step) if step < 80 else 0.1) for step in range(120)]
    state.add_experiment(project, "steady", cuid="s", config={"lr": 0.1}, metrics={"val/acc": rising})
    state.add_experiment(project, "fallen", cuid="f", config={"lr": 1.0}, metrics={"val/acc": fallen})
    page = await make(settings, "fragile")
    text = " ".join(page.text.split())
    assert "did not keep its best val/acc: 0.949769 fell back to 0.1 at the end" in text
    assert "Cannot tell whether its lead is more than luck" in text


@pytest.mark.anyio
async def test_best_value_at_the_end_of_a_range_leaves_values_untried(state: State, settings: Settings) -> None:
    project = state.add_project(state.workspaces[0], "sweep")
    for number, rate in enumerate((0.001, 0.01, 0.1)):
        for width in (64, 128):
            value = number / 10 + width / 1000
            if (rate, width) != (0.1, 64):
                state.add_experiment(
                    project, f"r{number}w{width}", cuid=f"r{number}w{width}", config={"lr": rate, "width": width},
                    metrics={"val/acc": [(step, value * step / 20) for step in range(20)]},
                )  # fmt: skip
    text = " ".join((await make(settings, "sweep")).text.split())
    assert "The best lr is 0.1, the largest of 3 values: larger values are untried." in text
    assert "5 of 6 possible combinations of the tried values were run." in text
    assert "Untried single-value changes to the best setting: width=64." in text


@pytest.mark.anyio
async def test_truncated_sections_report_their_totals(state: State, settings: Settings) -> None:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(35):
        state.add_experiment(
            project, f"run-{number}", cuid=f"c{number}", config={"lr": number}, metrics={"val/acc": [(1, number / 50)]}
        )
    page = await make(settings, "many")
    assert "30 of 35 rows are shown." in page.text
    assert "The first 5 of 35 compared experiments are shown." in page.text
    assert "20 of 35 experiments were diagnosed" in page.text


@pytest.mark.exhaustive
@pytest.mark.anyio
async def test_report_of_3000_experiments_is_small(state: State, settings: Settings) -> None:
    project = state.add_project(state.workspaces[0], "large")
    shuffled = random.Random(3)
    for number in range(3000):
        setting, seed = divmod(number, 3)
        config = {f"key{one}": setting // 10**one % 10 for one in range(3)}
        level = 0.5 + setting / 3000 + shuffled.gauss(0, 0.01)
        metrics = {key: [(step, level * (1 - 0.9**step)) for step in range(40)] for key in ("val/acc", "val/f1")}
        state.add_experiment(
            project, f"run-{number:04}-{'x' * 40}", cuid=f"c{number}", config={**config, "seed": seed},
            state="CRASHED" if number % 10 == 0 else "FINISHED", metrics=metrics,
        )  # fmt: skip
    async with opened(settings) as client:
        text = await write_report(client, project="large")
    assert len(text.encode()) < 3_000_000
    page = Outline(text)
    assert "3000 experiments: 2700 finished, 300 crashed." in page.text
    runs = f"{settings.web_host}/@kites-test3/large/runs/"
    assert len([one for one in page.find("a") if str(one["href"]).startswith(runs)]) > 80


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
    refused = capsys.readouterr().err
    assert "already exists and was not overwritten. Pass --force to replace it, or name another file" in refused
    assert Path("report.html").read_text("utf-8") == written
    assert report("--host", host, "report", "project1", "-f") == 0
    assert '<html lang="en">' in Path("report.html").read_text("utf-8")
    capsys.readouterr()
    state.add_project(state.workspaces[0], "empty")
    for words, why in (
        (["empty"], "has no experiments yet"),
        (["projekt1"], "Did you mean project1?"),
        (["project1", "--metric", "los"], "Similar names: loss"),
    ):
        assert report("--host", host, "report", *words, "-o", "other.html") == 1
        assert why in capsys.readouterr().err
    assert not Path("other.html").exists()


def draw_values(*values: float) -> Panel:
    points = Points(range(len(values)), values, [0] * len(values))
    return draw_curves("loss", "loss", [Series(0, "a", [points])])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([3e-4] * 9, ["0.0002", "0.0003", "0.0004"]), ([math.nan] * 9, []),
        ([0.98 + 1e-7 * x for x in range(9)], ["0.98"]),
        ([1e308, -1e308], ["\u22121e+299", "\u22125e+298", "0", "5e+298", "1e+299"]),
        ([5e-324, 0], ["\u22120.5", "0.0", "0.5"]),
        ([5, 20_000, 99_000], ["0", "50k", "100k"]), ([0.88, 0.95], ["0.88", "0.90", "0.92", "0.94"]),
    ],
)  # fmt: skip
def test_ticks_of_curves_are_distinct_and_of_one_form(values: list[float], shown: list[str]) -> None:
    assert [text for _, text in draw_values(*values).y_ticks] == shown


@given(st.lists(st.floats(), min_size=1, max_size=9))
@example([1e308] * 3)
def test_any_values_are_drawn(values: list[float]) -> None:
    panel = draw_values(*values)
    assert all(math.isfinite(position) for position, _ in [*panel.x_ticks, *panel.y_ticks])
    assert "nan" not in "".join(shape.path for shape in panel.shapes)


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
