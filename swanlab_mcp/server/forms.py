"""Choose the format of a reply: text only, or both text and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, cast

from swanlab_mcp.core.records import list_columns

__all__ = ["KEEPS_RECORDS", "find_form", "sends_json", "tabulate"]

# These clients pass `structuredContent` to the model, which costs 1.7 times as many tokens as the text. Gemini CLI does
# so only for errors, in addition to the text.
_JSON_READERS = ("claude-code", "codex", "opencode", "gemini-cli")
# tools that match a method of SwanLab's own OpenApi return records in the same format as that method
KEEPS_RECORDS = {"list_workspaces", "list_projects", "list_project_exps", "get_experiment", "get_exp_summary"}

# whether the reply to the current request includes JSON
sends_json: ContextVar[bool] = ContextVar("sends_json", default=True)


def find_form(output: str, client: str) -> bool:
    """Return whether replies should include JSON. If `output` is "auto", the client's name decides."""
    if output != "auto":
        return output == "both"
    return not client.strip().lower().replace("_", "-").replace(" ", "-").startswith(_JSON_READERS)


def tabulate(structured: Mapping[str, Any]) -> dict[str, Any]:
    """Convert lists of records to `columns` and `rows`, so that each field name is sent only once.

    The conversion applies to `data` if it is a list, or to each list in `data` if it is a single record. Missing fields
    become null. Lists inside the records are not converted.
    """
    data = structured.get("data")
    if isinstance(data, dict):
        return {**structured, "data": {name: _split(value) for name, value in cast("dict[str, Any]", data).items()}}
    return {**structured, "data": _split(data)}


def _split(value: Any) -> Any:
    records = cast("list[Any]", value) if isinstance(value, list) else []
    if not records or not all(isinstance(one, dict) for one in records):
        return cast("Any", value)
    rows = cast("list[dict[str, Any]]", records)
    columns = list_columns(rows)
    return {"columns": columns, "rows": [[one.get(name) for name in columns] for one in rows]}
