"""The docs tell what is there: generated parts are current, commands run, links lead somewhere, nothing is left out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from swanlab_mcp.cli import main as cli
from swanlab_mcp.server.table import TOOLS, WRITE_TOOLS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
EVERY_TOOL = (*TOOLS, *WRITE_TOOLS)
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
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
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


def find_commands() -> Iterator[tuple[str, str]]:
    """The commands that the docs show and that need neither account nor network."""
    seen: set[str] = set()
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", read(page), re.DOTALL):
            for line in block.splitlines():
                found = re.search(r"(?:^|/)swanlab-mcp-server (--demo .+)$", line)
                if found and found[1] not in seen:
                    seen.add(found[1])
                    yield page.name, found[1]


@pytest.mark.parametrize(("page", "words"), list(find_commands()))
def test_commands_in_the_docs_work(page: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(shlex.split(words, comments=True))
    shown = capsys.readouterr()
    assert (page, ended.value.code) == (page, 0), shown.err
    assert shown.out + shown.err


@pytest.mark.parametrize("page", [README, CHINESE, DOCS / "openapi.md"], ids=lambda page: page.name)
def test_python_in_the_docs_runs(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWANLAB_LOG_DIR", str(ROOT / "swanlab_mcp" / "demo"))
    block = re.search(r"```python\n(from .*?)```", read(page), re.DOTALL)
    assert block is not None
    exec(compile(block[1], page.name, "exec"), {})
    assert re.search(r"^(?:200 \d+|0\.\d+ \d+)$", capsys.readouterr().out, re.MULTILINE)


def read_options(capsys: pytest.CaptureFixture[str]) -> tuple[set[str], set[str]]:
    """Return the commands and long options that the help texts tell."""

    def ask(*words: str) -> str:
        with pytest.raises(SystemExit):
            cli.main([*words, "--help"])
        return capsys.readouterr().out

    whole = ask()
    found = re.search(r"\{([a-z,]+)\}", whole)
    assert found is not None
    commands = found[1].split(",")
    helps = [whole, *(ask(command) for command in commands)]
    return set(commands), {option for text in helps for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)}


@pytest.mark.parametrize("page", [README, CHINESE], ids=lambda page: page.name)
def test_every_option_command_and_setting_is_documented_and_none_that_is_gone(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = find_part(read(page), "settings")
    commands, options = read_options(capsys)
    assert set(re.findall(r"--[a-z][a-z-]+", part)) == options - {"--help", "--version"}
    assert set(re.findall(r"^\| `([a-z]+)[ `]", part, re.MULTILINE)) == commands
    code = read(ROOT / "swanlab_mcp" / "settings.py")
    assert set(re.findall(r"SWANLAB_[A-Z_]+", part)) == set(re.findall(r"SWANLAB_[A-Z_]+", code))


def test_the_chinese_readme_has_the_same_structure() -> None:
    def outline(text: str) -> list[int]:
        return [len(marks) for marks in re.findall(r"^(#+) ", drop_code(text), re.MULTILINE)]

    def blocks(text: str) -> list[str]:
        return [re.sub(r"#.*", "", block) for block in re.findall(r"```\w*\n.*?```", text, re.DOTALL)]

    english, chinese = read(README), read(CHINESE)
    assert outline(chinese) == outline(english)
    assert blocks(chinese) == blocks(english)
    for entry in TOOLS:
        row = next(line for line in chinese.splitlines() if line.startswith(f"| `{entry.name}` |"))
        twin = next(line for line in english.splitlines() if line.startswith(f"| `{entry.name}` |"))
        assert row.split("|")[-2] == twin.split("|")[-2]
    assert len(re.findall(r"[\u4e00-\u9fff]", chinese)) > 1000


@pytest.mark.parametrize("page", [README, CHINESE], ids=lambda page: page.name)
def test_the_readme_is_short_and_begins_with_a_question_its_answer_and_a_picture(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = read(page)
    assert len(text.splitlines()) <= 250
    quote = "\n".join(line for line in text.partition("\n## ")[0].splitlines() if line.startswith(">"))
    figures = set(re.findall(r"\d\.\d+|FileNotFoundError|`[\w-]+(?:/\w+)?`", quote))
    commands = [words for _, words in find_commands() if re.search(r"call (rank|diagnose)_experiments?", words)]
    answers = ""
    for words in commands:
        with pytest.raises(SystemExit):
            cli.main(shlex.split(words))
        answers += capsys.readouterr().out
    assert len(figures) >= 6
    assert {figure for figure in figures if figure.strip("`") not in answers} == set()
    first = re.search(r"```sh\n(.*?)\n```", text, re.DOTALL)
    assert first is not None
    assert first[1].endswith("--demo call rank_experiments project=digits-mlp metric=val/acc by_seed=true")


def test_pictures_are_small() -> None:
    pictures = [path for path in DOCS.rglob("*") if path.suffix == ".png"]
    assert pictures
    for path in pictures:
        assert path.stat().st_size < 60_000
        with Image.open(path) as image:
            assert image.format == "PNG"


def test_messages_under_which_troubleshooting_is_found_are_those_of_the_code() -> None:
    code = "\n".join(read(path) for path in (ROOT / "swanlab_mcp").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", code)
    headings = re.findall(r'^## "(.+)"$', read(DOCS / "troubleshooting.md"), re.MULTILINE)
    assert len(headings) >= 8
    assert [words for words in headings if words not in joined] == []
