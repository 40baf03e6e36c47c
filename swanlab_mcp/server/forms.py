"""Choose the form of a reply: compact text only, or text and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, cast

from swanlab_mcp.core.records import list_columns

__all__ = ["KEEPS_RECORDS", "find_form", "sends_json", "tabulate"]

# clients that show the model `structuredContent` if there is any, which costs 1.7 times the text; Gemini CLI shows it
# only in errors, in addition to the text
_JSON_READERS = ("claude-code", "codex", "opencode", "gemini-cli")
# tools that match methods of SwanLab's own OpenApi return its records
KEEPS_RECORDS = {"list_workspaces", "list_projects", "list_project_exps", "get_experiment", "get_exp_summary"}

# whether the reply to this request includes JSON
sends_json: ContextVar[bool] = ContextVar("sends_json", default=True)


def find_form(output: str, client: str) -> bool:
    """Return whether to send JSON, as set by `output`. With `auto`, the client's name decides."""
    if output != "auto":
        return output == "both"
    return not client.strip().lower().replace("_", "-").replace(" ", "-").startswith(_JSON_READERS)


def tabulate(structured: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reply with its lists of records split into `columns` and `rows`, so that each field is named once.

    This applies to its `data`, or to the fields of a single record. A field that a record lacks is null in its row.
    Recorded values inside the records are unchanged.
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
