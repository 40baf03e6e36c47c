"""README tells what is there: its table of tools is made from the tools themselves."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

from swanlab_mcp.server.tools import TOOLS, ToolEntry

README = Path(__file__).parents[1] / "README.md"
_TABLE = re.compile(r"(?<=<!-- tools -->\n).*?(?=<!-- end of tools -->)", re.DOTALL)


def describe(entry: ToolEntry) -> str:
    answers = (inspect.getdoc(entry.operation) or "").partition("\n")[0]
    arguments = [f"`{name}`" for name in inspect.signature(entry.operation).parameters if name != "client"]
    return f"| `{entry.name}` | {answers} | {', '.join(arguments)} |"


def test_the_table_of_tools_is_made_from_the_tools() -> None:
    rows = ["| tool | answers | arguments |", "|---|---|---|", *map(describe, TOOLS)]
    table = "\n".join(rows) + "\n"
    text = README.read_text(encoding="utf-8")
    if os.environ.get("UPDATE_README") and not os.environ.get("CI"):
        text = _TABLE.sub(lambda _match: table, text)
        README.write_text(text, encoding="utf-8")
    found = _TABLE.search(text)
    assert found is not None
    assert found[0] == table, "rewrite it with UPDATE_README=1"
