"""Write the files that are generated from the code: `python -m tests.generated`.

`test_generated.py` checks that the files are up to date. A snapshot library would not work, because readers and the
package expect the tool list, the docs and the table in the README in specific locations and formats.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

import swanlab_mcp
from swanlab_mcp import OpenApi
from swanlab_mcp.cli.assistants import ASSISTANTS, Entry, write_snippet
from swanlab_mcp.core.i18n import gettext, use_language
from swanlab_mcp.present.words import get_published_type
from swanlab_mcp.server.schemas import TOOL_LIST, describe_tool, make_arguments
from swanlab_mcp.server.table import ADMIN_TOOLS, EVERY_TOOL, TOOLS, ToolEntry
from tests.examples import IN_DEMO, read_example

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
CHINESE_README = ROOT / "README.zh-CN.md"
CHINESE_REFERENCE = DOCS / "zh" / "openapi.md"
TOOL_WORDS = ROOT / "swanlab_mcp" / "cli" / "tool_words.py"
ASSISTANTS_PAGE = DOCS / "assistants.md"
ARCHITECTURE = DOCS / "architecture.md"
PACKAGES = ("core", "settings", "client", "analysis", "operations", "present", "openapi", "server", "cli")
_TABLE = re.compile(r"(?<=<!-- tools -->\n).*?(?=<!-- end of tools -->)", re.DOTALL)
_PICTURE = re.compile(r"(?<=<!-- imports -->\n).*?(?=<!-- end of imports -->)", re.DOTALL)

# commands for the tool pages that show more of the demo than the examples in the descriptions
COMMANDS = {
    "list_projects": "detail=true",
    "list_project_exps": "project=digits-mlp size=5",
    "get_experiment": "project=digits-mlp exp_cuid=cosine-128-64-ckpt",
    "get_exp_summary": "project=digits-mlp exp_cuid=lr-100-wd-0.1 'keys=val/*'",
    "get_logs": "project=digits-mlp exp_cuid=cosine-128-64-ckpt count=10",
    "plot_metrics": "project=digits-mlp exp_cuids=lr-0.1,lr-1 keys=val/loss log_y=true -o curves.png",
    "rank_experiments": "project=digits-mlp metric=val/acc by_seed=true size=5",
    "diagnose_experiment": "project=digits-mlp exp_cuid=lr-100-wd-0.1",
    "find_similar_experiments": "project=digits-mlp 'config=lr=0.2' metric=val/acc size=3",
    "forecast_experiment": "project=digits-mlp exp_cuid=lr-1 metric=val/loss as_of_step=16",
    "whats_new": "project=digits-mlp since=2026-11-23T08:02:00Z",
    "wait_for_experiments": "project=digits-mlp timeout=1",
    "get_media": "project=digits-mlp exp_cuid=lr-0.1 keys=val/confusion steps=40 -o confusion.png",
}


def make_all() -> dict[Path, str]:
    """Return a dict from the path of each generated file to its contents."""
    made = {
        TOOL_LIST: write_tool_list(),
        README: write_readme(),
        ROOT / "tests" / "public_api.txt": write_public_api(),
        DOCS / "openapi.md": write_reference(DOCS / "openapi.md", {}),
        CHINESE_REFERENCE: write_reference(CHINESE_REFERENCE, read_methods(CHINESE_REFERENCE)),
        DOCS / "tools" / "README.md": write_index(),
        ASSISTANTS_PAGE: write_assistants(),
        ARCHITECTURE: write_architecture(),
        TOOL_WORDS: write_tool_words(),
        CHINESE_README: write_readme(CHINESE_README, "| 工具 | 回答什么 |", "zh"),
    }
    return made | {DOCS / "tools" / f"{entry.name}.md": write_page(entry) for entry in EVERY_TOOL}


def write_assistants() -> str:
    """Return the page about assistants, with a new configuration entry for each assistant after the introduction."""
    parts: list[str] = []
    names = {"": "Linux", "darwin": "macOS", "win32": "Windows"}
    for one in ASSISTANTS.values():
        snippet = write_snippet(one, Entry(("swanlab-mcp-server",)), with_key=True)
        others = "Linux" if "darwin" in one.files else "macOS, Linux"
        files = [
            f"`~/{file}`" + (f" ({names[platform] if platform else others})" if len(one.files) > 1 else "")
            for platform, file in one.files.items()
        ]
        location = " · ".join(files) if files else "Settings, MCP, Import from JSON:"
        parts.append(
            f"### {one.title}\n\n`swanlab-mcp-server install {one.name}` · {location}\n\n```{one.form}\n{snippet}```\n"
        )
    intro = ASSISTANTS_PAGE.read_text(encoding="utf-8").partition("<!-- assistants -->\n")[0]
    return f"{intro}<!-- assistants -->\n" + "\n".join(parts) + "<!-- end of assistants -->\n"


def write_architecture() -> str:
    """Return the architecture page with a new diagram of the imports between packages."""
    imports = {name: read_imports(name) for name in PACKAGES}
    width = max(map(len, PACKAGES))
    lines = [" " * width + "   " + "  ".join(PACKAGES)]
    for name in reversed(PACKAGES):
        marks = ["■" if other in imports[name] else "·" for other in PACKAGES]
        cells = [mark.center(len(other)) for mark, other in zip(marks, PACKAGES, strict=True)]
        lines.append(f"{name:>{width}}   {'  '.join(cells)}".rstrip())
    picture = "\n".join(["```text", *lines, "```", ""])
    return _PICTURE.sub(lambda _match: picture, ARCHITECTURE.read_text(encoding="utf-8"))


def read_imports(package: str) -> set[str]:
    """Return the names of the other packages that a package imports, including lazy imports."""
    home = ROOT / "swanlab_mcp"
    found: set[str] = set()
    for path in [home / f"{package}.py"] if (home / f"{package}.py").exists() else (home / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = node.module.split(".")
                found |= {alias.name for alias in node.names} if parts == ["swanlab_mcp"] else set(parts[1:2])
    return (found & set(PACKAGES)) - {package}


def write_tool_list() -> str:
    return json.dumps([describe_tool(entry) for entry in EVERY_TOOL], indent=1, ensure_ascii=False) + "\n"


def write_readme(path: Path = README, head: str = "| tool | answers |", language: str = "en") -> str:
    """Return a README with a new table of tools. The Chinese rows are translated with the message catalogue."""
    with use_language(language):
        rows = [f"| [`{one.name}`](docs/tools/{one.name}.md) | {gettext(read_first_line(one))} |" for one in TOOLS]
    return _TABLE.sub(lambda _match: "\n".join([head, "|---|---|", *rows, ""]), path.read_text(encoding="utf-8"))


def read_first_line(entry: ToolEntry) -> str:
    return (inspect.getdoc(entry.operation) or "").partition("\n")[0]


def write_tool_words() -> str:
    """Return the module that makes the first lines of the tool descriptions translatable."""
    lines = [
        '"""First lines of the tools\' descriptions, for translation. Generated by `bash scripts/regenerate.sh`."""',
        "",
        "# ruff: noqa: E501",
        "# fmt: off",
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Callable, Mapping",
        "",
        "from swanlab_mcp.core.i18n import gettext",
        "",
        '__all__ = ["TOOL_WORDS"]',
        "",
        "TOOL_WORDS: Mapping[str, Callable[[], str]] = {",
    ]
    rows = [f'    "{entry.name}": lambda: gettext({json.dumps(read_first_line(entry))}),' for entry in EVERY_TOOL]
    return "\n".join([*lines, *rows, "}", ""])


def write_public_api() -> str:
    return "\n".join(line for name in swanlab_mcp.__all__ for line in describe_public(name)) + "\n"


def list_members(value: type) -> dict[str, Any]:
    """Return the members of a class, including those from base classes in `swanlab_mcp.openapi`."""
    owners = [one for one in value.__mro__ if one.__module__.startswith("swanlab_mcp.openapi")] or [value]
    return {name: member for owner in owners for name, member in vars(owner).items()}


def describe_public(name: str) -> list[str]:
    value = getattr(swanlab_mcp, name)
    if not inspect.isclass(value):
        return [f"{name}: {type(value).__name__}"]
    lines = [f"class {name}({', '.join(base.__name__.partition('[')[0] for base in value.__bases__)})"]
    if issubclass(value, BaseModel):
        own = inspect.get_annotations(value)
        lines += [f"    {field}: {own[field]}" for field in value.model_fields if field in own]
    members = list_members(value)
    if "__init__" in members:
        lines.append(f"    __init__{inspect.signature(value.__init__)}")
    for method, function in members.items():
        if not method.startswith("_") and inspect.isfunction(function):
            lines.append(f"    {method}{inspect.signature(function)}")
    return lines


def write_reference(path: Path, texts: Mapping[str, str]) -> str:
    """Return the reference page for `OpenApi`, with a new section for each method after the introduction.

    A section contains the method's entry in `texts`, or the docstring if there is no entry.
    """
    intro = path.read_text(encoding="utf-8").partition("<!-- methods -->\n")[0]
    methods = "\n".join(describe_methods(texts))
    return f"{intro}<!-- methods -->\n{methods}<!-- end of methods -->\n"


def read_methods(path: Path) -> dict[str, str]:
    """Return a dict from the name of each method on a reference page to the text about it."""
    methods = path.read_text(encoding="utf-8").partition("<!-- methods -->\n")[2]
    sections = methods.removesuffix("<!-- end of methods -->\n").split("### ")[1:]
    return {
        name: re.sub(r"```text\n.*?```\n", "", text, flags=re.DOTALL).strip()
        for name, _, text in (section.partition("\n") for section in sections)
    }


def describe_methods(texts: Mapping[str, str]) -> Iterator[str]:
    members = list_members(OpenApi)
    functions = {name: value for name, value in members.items() if inspect.isfunction(value) and name[0] != "_"}
    for name, function in functions.items():
        is_alias = function.__name__ != name
        english = f"Alias of `{function.__name__}`." if is_alias else inspect.getdoc(function) or ""
        text = texts.get(name, english)
        # a translation without the comment has just been written or corrected, so it matches the current English text
        text += f"\n\n{mark_english(english)}" if text != english and "<!-- English" not in text else ""
        if is_alias:
            yield f"### {name}\n\n{text}\n"
            continue
        signature = inspect.signature(function)
        given = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
        # remove the quotes around annotations, which are strings at runtime
        shown = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature.replace(parameters=given)))
        yield f"### {name}\n\n```text\n{name}{shown}\n```\n\n{text}\n"


def mark_english(text: str) -> str:
    """Return a comment with a digest of an English text, to detect outdated translations.

    The digest contains no digits, because tests compare the figures on the English and Chinese pages.
    """
    letters = "".join(chr(ord("a") + byte % 26) for byte in hashlib.sha256(text.encode()).digest()[:8])
    return f"<!-- English: {letters} -->"


def write_index() -> str:
    lines = [
        "# The tools",
        "",
        "Generated from the tools' schemas. `swanlab-mcp-server tools` prints the same list.",
        "",
    ]
    lines += [f"- [{entry.name}]({entry.name}.md): {entry.title.lower()}" for entry in EVERY_TOOL]
    return "\n".join(lines) + "\n"


def write_page(entry: ToolEntry) -> str:
    reads = "It only reads" + (" and requires `--admin-tools`." if entry in ADMIN_TOOLS else ".")
    writes = "It changes stored data and requires [`--allow-writes`](../changes.md)."
    tool = describe_tool(entry)
    whole = make_arguments(entry).model_json_schema()["properties"]
    lines = [
        f"# {entry.name}",
        "",
        f"*{entry.title}.* {reads if entry.read_only else writes}",
        "",
        *tool["description"].splitlines(),
        "",
        "## Arguments",
        "",
        "| name | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, schema in tool["inputSchema"]["properties"].items():
        options = [whole[name], *whole[name].get("anyOf", [])]
        limits = next((output for option in options if (output := describe_limits(option))), "")
        default = whole[name].get("default")
        shown = "optional" if default in (None, "", []) else f"`{json.dumps(default)}`"
        shown = "required" if name in tool["inputSchema"].get("required", ()) else shown
        meaning = schema["description"] + (f" ({limits})" if limits else "")
        lines.append(f"| `{name}` | {describe_type(schema)} | {shown} | {meaning} |")
    lines += ["", "## Reply", "", describe_reply(entry)]
    options, note = ("--demo ", "") if entry.read_only else ("--allow-writes ", "The demo cannot be changed.")
    if entry in ADMIN_TOOLS:
        options, note = "--admin-tools ", "The demo has no server."
    arguments = COMMANDS.get(entry.name) or write_arguments(read_example(entry, {} if note else IN_DEMO))
    command = f"swanlab-mcp-server {options}call {entry.name} {arguments}".rstrip()
    mark = [f"{note} With your own account:", "", "<!-- not run: it needs an account -->"] if note else []
    lines += ["", "## On the command line", "", *mark, "```sh", command, "```", ""]
    return "\n".join(lines)


def write_arguments(arguments: Mapping[str, Any]) -> str:
    """Return the arguments of a tool call as they are written on the command line."""
    words: list[str] = []
    for name, value in arguments.items():
        is_names = isinstance(value, list) and all(isinstance(one, str) for one in cast("list[Any]", value))
        text = (
            ",".join(cast("list[str]", value)) if is_names else value if isinstance(value, str) else json.dumps(value)
        )
        words.append(shlex.quote(f"{name}={text}"))
    return " ".join(words)


def describe_type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "any")
    return f"list of {schema['items'].get('type', 'values')}s" if kind == "array" else kind


def describe_limits(schema: dict[str, Any]) -> str:
    bounds = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}"}
    return " ".join(bounds[name].format(schema[name]) for name in bounds if name in schema)


def describe_reply(entry: ToolEntry) -> str:
    if entry.shows_pictures:
        return "Pictures, and their figures as text."
    annotation = inspect.signature(entry.operation, eval_str=True).return_annotation
    answer = get_published_type(annotation).model_json_schema()
    definitions = answer.get("$defs", {})

    def follow(schema: dict[str, Any]) -> dict[str, Any]:
        for option in (schema, *schema.get("anyOf", ())):
            if "$ref" in option:
                return definitions[option["$ref"].rpartition("/")[2]]
            if option.get("type") in ("array", "object"):
                return option
        return schema

    data = answer["properties"]["data"]
    several = [option for option in data.get("anyOf", ()) if option.get("type") == "array"]
    records = [option for option in data.get("anyOf", ()) if "$ref" in option]
    options: list[dict[str, Any]] = [*records, *several] if len(several) > 1 else [data]
    texts = [describe_data(one, follow) for one in options]
    return f"`data` is {', or '.join(texts)}. Fields that were not recorded are absent."


def describe_data(schema: dict[str, Any], follow: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    data = follow(schema)
    rows: Any = data.get("items") or data.get("additionalProperties")
    is_record = not isinstance(rows, dict)
    record = data if is_record else follow(cast("dict[str, Any]", rows))
    fields = ", ".join(f"`{name}`" for name in record.get("properties", {})) or "values"
    kind = "an object that holds" if is_record else "an object by key; each value holds"
    kind = "a list; each row holds" if "items" in data else kind
    return f"{kind} {fields}"


def main() -> None:
    for path, text in make_all().items():
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if before != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"rewritten: {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
