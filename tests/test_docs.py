"""Check that code blocks in the docs run, links have targets, and every option and tool is documented."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from swanlab_mcp import OpenApi
from swanlab_mcp.cli import main as cli
from swanlab_mcp.server.table import TOOLS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def find_part(text: str, name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", text, re.DOTALL)
    assert found is not None
    return found[1]


def to_anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def drop_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_repository_links_have_targets(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", drop_code(read(page))):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} in {page.name}"
        assert ROOT in target.parents
        if anchor:
            headings = re.findall(r"^#+ (.+)$", drop_code(read(target)), re.MULTILINE)
            assert anchor in map(to_anchor, headings), f"{link} in {page.name}"


class Block(NamedTuple):
    """A shell or Python block on a page.

    `mark` is the comment before the block. It gives the reason to skip the block or describes the required environment.
    """

    page: str
    language: str
    code: str
    mark: str

    @property
    def is_run(self) -> bool:
        return not self.mark.startswith("not run")


def find_blocks() -> Iterator[Block]:
    for page in PAGES:
        for mark, language, code in re.findall(
            r"(?:<!-- ([^\n]*) -->\n)?```(sh|python)\n(.*?)```", read(page), re.DOTALL
        ):
            yield Block(page.relative_to(ROOT).as_posix(), language, code, mark)


# run each block once, because the blocks on the English and Chinese pages differ only in comments
BLOCKS = list({re.sub(r"#.*", "", block.code): block for block in find_blocks() if block.is_run}.values())
NAMES = [f"{block.page}-{block.code.split()[-1]}" for block in BLOCKS]


def prepare_home(home: Path, mark: str) -> None:
    """Create the files that a block requires, according to its mark, in an empty home folder."""
    if "Cursor" in mark:
        (home / ".cursor").mkdir()
    if "runs in swanlog" in mark:
        for run in sorted((ROOT / "swanlab_mcp" / "demo").iterdir())[:2]:
            shutil.copytree(run, home / "swanlog" / run.name)


def run_command(words: str) -> int:
    arguments = shlex.split(words, comments=True)
    assert arguments[0] == "swanlab-mcp-server"
    try:
        cli.main(arguments[1:])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


@pytest.fixture
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty home folder as the working directory, and remove the account from the environment."""
    for name in [name for name in os.environ if name.startswith("SWANLAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_skipped_blocks_give_a_reason() -> None:
    reasons = {block.mark.partition(": ")[2] for block in find_blocks() if not block.is_run}
    assert reasons
    assert all(len(reason) > 10 for reason in reasons)
    assert all(find_part(read(page), "tools") for page in (README, CHINESE))


@pytest.mark.parametrize("days", [0, pytest.param(366, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("block", BLOCKS, ids=NAMES)
def test_blocks_of_the_docs_run_without_an_account(
    block: Block, fresh_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], days: int
) -> None:
    today = time.time
    monkeypatch.setattr(time, "time", lambda: today() + days * 86_400)
    prepare_home(fresh_home, block.mark)
    if block.language == "python":
        exec(compile(block.code, block.page, "exec"), {})
        assert capsys.readouterr().out
        return
    for line in block.code.splitlines():
        status = run_command(line)
        shown = capsys.readouterr()
        assert status == 0, shown.err
        assert shown.out + shown.err
        assert not shown.out.startswith("0 of 0")


@pytest.mark.usefixtures("fresh_home")
def test_python_demo_needs_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWANLAB_API_HOST", "http://127.0.0.1:1")
    with OpenApi(demo=True) as api:
        data = api.list_project_exps("digits-mlp").data
    assert data is not None
    assert len(data) == 19
    assert data.model_dump() == [one.model_dump() for one in data]


def test_demo_has_news_a_year_from_now(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    today = time.time
    monkeypatch.setattr(time, "time", lambda: today() + 366 * 86_400)
    assert run_command("swanlab-mcp-server --demo call whats_new project=digits-mlp since=7d") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("10 of 19")
    assert "note: The demo's clock shows 2026-11-23T09:00:00.000Z." in shown


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", BLOCKS, ids=NAMES)
def test_blocks_of_the_docs_run_in_a_shell(block: Block, tmp_path: Path) -> None:
    prepare_home(tmp_path, block.mark)
    environ = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.defpath}", "LANG": "C.UTF-8"}
    words = ["bash", "-euc", block.code] if block.language == "sh" else [sys.executable, "-c", block.code]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environ, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr


def read_options(capsys: pytest.CaptureFixture[str]) -> tuple[set[str], set[str]]:
    """Return the commands and long options that appear in the help output."""

    def read_help(*words: str) -> str:
        with pytest.raises(SystemExit):
            cli.main([*words, "--help"])
        return capsys.readouterr().out

    whole = read_help()
    found = re.search(r"\{([a-z,]+)\}", whole)
    assert found is not None
    commands = found[1].split(",")
    helps = [whole, *(read_help(command) for command in commands)]
    return set(commands), {option for text in helps for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)}


@pytest.mark.parametrize("folder", [DOCS, DOCS / "zh"], ids=["en", "zh"])
def test_settings_document_every_option_command_and_variable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = find_part(read(folder / "settings.md"), "settings")
    commands, options = read_options(capsys)
    assert set(re.findall(r"--[a-z][a-z-]+", part)) == options - {"--help", "--version"}
    assert set(re.findall(r"^\| `([a-z]+)[ `]", part, re.MULTILINE)) == commands
    code = read(ROOT / "swanlab_mcp" / "settings.py")
    assert set(re.findall(r"SWANLAB_[A-Z_]+", part)) == set(re.findall(r"SWANLAB_[A-Z_]+", code))


TRANSLATED = pytest.mark.parametrize(
    ("english", "chinese"),
    [(README, CHINESE), *((DOCS / path.name, path) for path in sorted((DOCS / "zh").glob("[!R]*.md")))],
    ids=lambda page: page.name,
)


def read_own(page: Path) -> str:
    """Return the text of a page without the entries for assistants, which exist only on the English page."""
    return read(page).partition("<!-- assistants -->")[0]


@TRANSLATED
def test_chinese_pages_have_the_same_structure(english: Path, chinese: Path) -> None:
    def outline(text: str) -> list[int]:
        return [len(marks) for marks in re.findall(r"^(#+) ", drop_code(text), re.MULTILINE)]

    def blocks(text: str) -> list[str]:
        return [re.sub(r"#.*", "", block) for block in re.findall(r"```(?:sh|python)\n.*?```", text, re.DOTALL)]

    assert outline(read_own(chinese)) == outline(read_own(english))
    assert blocks(read_own(chinese)) == blocks(read_own(english))
    assert len(re.findall(r"[\u4e00-\u9fff]", read(chinese))) > 200


@TRANSLATED
def test_chinese_pages_have_the_same_figures(english: Path, chinese: Path) -> None:
    def read_figures(text: str) -> list[str]:
        # ignore the month in Chinese dates, because English dates contain the name of the month instead
        return sorted(re.findall(r"\d+(?:[.,:]\d+)*", re.sub(r"\d+ 月", "", text)))

    def read_rows(text: str) -> list[list[str]]:
        return [read_figures(line) for line in text.splitlines() if line.startswith("|")]

    ours, theirs = read_own(chinese), read_own(english)
    assert read_rows(ours) == read_rows(theirs)
    assert set(read_figures(ours)) == set(read_figures(theirs))


@pytest.mark.parametrize("page", [DOCS / path.name for path in sorted((DOCS / "zh").glob("[!R]*.md"))])
def test_pages_link_to_their_translation(page: Path) -> None:
    assert f"English | [简体中文](zh/{page.name})" in read(page)
    assert f"[English](../{page.name}) | 简体中文" in read(DOCS / "zh" / page.name)
    assert f"]({page.name})" in read(DOCS / "zh" / "README.md")


def test_both_readmes_list_every_tool() -> None:
    for page in (README, CHINESE):
        rows = re.findall(r"^\| \[`(\w+)`\]\(docs/tools/\1\.md\) \| \S", find_part(read(page), "tools"), re.MULTILINE)
        assert rows == [entry.name for entry in TOOLS]


@pytest.mark.parametrize("page", [README, CHINESE], ids=lambda page: page.name)
def test_readme_opens_with_a_question_its_answer_and_a_picture(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = read(page)
    assert len(text.split()) <= 1300
    quote = "\n".join(line for line in text.partition("\n## ")[0].splitlines() if line.startswith(">"))
    figures = set(re.findall(r"\d\.\d+|FileNotFoundError|`[\w-]+(?:/\w+)?`", quote))
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    commands = [line for line in lines if re.search(r"call (rank|diagnose)_experiments?", line)]
    assert commands[0].endswith("call rank_experiments project=digits-mlp metric=val/acc by_seed=true size=3")
    assert [run_command(words) for words in commands] == [0, 0, 0]
    answers = capsys.readouterr().out
    assert len(figures) >= 6
    assert {figure for figure in figures if figure.strip("`") not in answers} == set()


def test_help_and_tool_list_are_in_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ("--lang zh --help", "--lang=zh export --help", "--lang zh --demo tools"):
        assert run_command(f"swanlab-mcp-server {words}") == 0
        shown = capsys.readouterr().out
        assert re.search(r"[\u4e00-\u9fff]", shown)
        assert not re.search(r"(?<![\w/-])[a-z']+(?: [a-z']+){2,}", re.sub(r"\[.*?\]|`.*?`", "", shown)), shown


def test_pictures_are_small() -> None:
    pictures = [path for path in DOCS.rglob("*") if path.suffix == ".png"]
    assert pictures
    for path in pictures:
        assert path.stat().st_size < 60_000
        assert path.read_bytes().startswith(b"\x89PNG")


def test_quoted_headings_of_troubleshooting_are_messages() -> None:
    code = "\n".join(read(path) for path in (ROOT / "swanlab_mcp").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", code)
    headings = re.findall(r'^## "(.+)"$', read(DOCS / "troubleshooting.md"), re.MULTILINE)
    assert len(headings) >= 8
    assert [words for words in headings if words not in joined] == []
    catalogue = read(ROOT / "swanlab_mcp" / "locale" / "zh" / "LC_MESSAGES" / "swanlab_mcp.po")
    chinese = re.findall(r"^## “(.+)”$", read(DOCS / "zh" / "troubleshooting.md"), re.MULTILINE)
    assert len(chinese) == len(headings)
    assert [words for words in chinese if words not in catalogue] == []
