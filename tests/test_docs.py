"""The docs tell what is there: generated parts are current, commands run, links lead somewhere, nothing is left out."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from swanlab_mcp import OpenApi
from swanlab_mcp.cli import main as cli
from swanlab_mcp.server.tools import TOOLS, WRITE_TOOLS, StrictTool, ToolEntry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
EVERY_TOOL = (*TOOLS, *WRITE_TOOLS)
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
EXAMPLES = {
    "list_workspaces": "",
    "list_projects": "detail=true",
    "list_project_exps": "project=digits-mlp size=5",
    "find_experiments": """project=digits-mlp 'filters=[{"field":"config.lr","op":">=","value":0.3}]'""",
    "get_experiment": "project=digits-mlp exp_cuid=cosine-128-64-ckpt",
    "get_environment": "project=digits-mlp exp_cuids=lr-0.1,lr-1",
    "get_exp_summary": "project=digits-mlp exp_cuid=lr-100-wd-0.1 'keys=val/*'",
    "get_logs": "project=digits-mlp exp_cuid=cosine-128-64-ckpt from_traceback=true",
    "list_metrics": "project=digits-mlp exp_cuids=lr-0.1,lr-1",
    "get_metrics": "project=digits-mlp exp_cuids=lr-0.1,lr-1 keys=val/loss max_points=10",
    "plot_metrics": "project=digits-mlp exp_cuids=lr-0.1,lr-1 keys=val/loss log_y=true -o curves.png",
    "rank_experiments": "project=digits-mlp metric=val/acc by_seed=true",
    "compare_experiments": "project=digits-mlp exp_cuids=lr-0.1,lr-1 metrics=val/acc",
    "diagnose_experiment": "project=digits-mlp exp_cuid=lr-100-wd-0.1",
    "whats_new": "project=digits-mlp since=2026-11-23T08:02:00Z",
    "get_media": "project=NAME exp_cuid=ID 'keys=*'",
    "create_project": "name=NAME",
    "delete_experiments": "project=NAME exp_cuids=ID",
    "delete_project": "project=NAME",
}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def check_generated(path: Path, wanted: str) -> None:
    if os.environ.get("UPDATE_DOCS") and not os.environ.get("CI"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted, encoding="utf-8")
    assert read(path) == wanted, "rewrite it with UPDATE_DOCS=1"


def find_part(text: str, name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", text, re.DOTALL)
    assert found is not None
    return found[1]


def describe_type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" if value else "empty" for value in schema["enum"])
    kinds = schema.get("type", "any")
    kind = " or ".join(kinds) if isinstance(kinds, list) else kinds
    return f"list of {schema['items'].get('type', 'values')}s" if kind == "array" else kind


def describe_limits(schema: dict[str, Any]) -> str:
    bounds = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}"}
    return " ".join(bounds[name].format(schema[name]) for name in bounds if name in schema)


def write_page(entry: ToolEntry) -> str:
    tool = StrictTool.of(entry)
    whole = tool.fn_metadata.arg_model.model_json_schema()["properties"]
    lines = [
        f"# {entry.name}",
        "",
        f"*{entry.title}.* "
        + (
            "It only reads."
            if entry.read_only
            else "It changes what is stored; there [with `--allow-writes`](../../README.md#changing-things) alone."
        ),
        "",
        *(tool.description or "").splitlines(),
        "",
        "## Arguments",
        "",
        "| name | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, schema in tool.parameters["properties"].items():
        options = [whole[name], *whole[name].get("anyOf", [])]
        limits = next((told for option in options if (told := describe_limits(option))), "")
        default = "required" if name in tool.parameters.get("required", ()) else f"`{whole[name].get('default')!r}`"
        meaning = schema["description"] + (f" ({limits})" if limits else "")
        lines.append(f"| `{name}` | {describe_type(schema)} | {default} | {meaning} |".replace("`''`", "empty"))
    if tool.output_schema:
        data = tool.output_schema["properties"]["data"]
        row = data.get("items") or data.get("additionalProperties") or data
        fields = ", ".join(f"`{name}`" for name in row.get("properties", {})) or "values"
        kind = "a list; each row holds" if "items" in data else "an object by key; each value holds"
        kind = kind if row is not data else "an object that holds"
        lines += ["", "## Answer", "", f"`data` is {kind} {fields}. What is absent was not recorded."]
    else:
        lines += ["", "## Answer", "", "Pictures, and the figures as text."]
    options, note = ("--demo ", "") if entry.read_only else ("--allow-writes ", "Nothing of the demo can be changed; ")
    if entry.name == "get_media":
        options, note = "", "The demo holds no such recording; "
    command = f"swanlab-mcp-server {options}call {entry.name} {EXAMPLES[entry.name]}".rstrip()
    lines += ["", "## By hand", "", *([f"{note}on your own:", ""] if note else []), "```sh", command, "```", ""]
    return "\n".join(lines)


@pytest.mark.parametrize("entry", EVERY_TOOL, ids=lambda entry: entry.name)
def test_every_tool_has_a_page_made_from_its_schema(entry: ToolEntry) -> None:
    check_generated(DOCS / "tools" / f"{entry.name}.md", write_page(entry))


def test_the_list_of_pages_is_complete_and_no_page_is_left_over() -> None:
    lines = ["# The tools", "", "Made from the tools' schemas; `swanlab-mcp-server tools` lists them too.", ""]
    lines += [f"- [{entry.name}]({entry.name}.md): {entry.title.lower()}" for entry in EVERY_TOOL]
    check_generated(DOCS / "tools" / "README.md", "\n".join(lines) + "\n")
    assert {path.stem for path in (DOCS / "tools").glob("*.md")} == {"README", *(entry.name for entry in EVERY_TOOL)}


def describe_methods() -> Iterator[str]:
    members = vars(OpenApi)
    functions = {name: value for name, value in members.items() if inspect.isfunction(value) and name[0] != "_"}
    for name, function in functions.items():
        if function.__name__ != name:
            yield f"### {name}\n\nAnother name of `{function.__name__}`.\n"
            continue
        signature = inspect.signature(function)
        given = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
        # annotations are texts, and shown in quotes
        shown = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature.replace(parameters=given)))
        yield f"### {name}\n\n```python\n{name}{shown}\n```\n\n{inspect.getdoc(function)}\n"


def test_the_python_reference_is_made_from_the_code() -> None:
    path = DOCS / "openapi.md"
    methods = "\n".join(describe_methods())
    intro = read(path).partition("<!-- methods -->\n")[0]
    check_generated(path, f"{intro}<!-- methods -->\n{methods}<!-- end of methods -->\n")


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
    assert first[1].endswith("--demo call list_project_exps project=digits-mlp")


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
