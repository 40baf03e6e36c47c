"""Which form of a reply a host's model reads: the compact text, or that and JSON next to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, cast

__all__ = ["KEEPS_RECORDS", "find_form", "sends_json", "tabulate"]

# names of clients that show the model `structuredContent` if there is any, which costs 1.7 times the text; Gemini CLI
# shows it in errors only, next to the text
_JSON_READERS = ("claude-code", "codex", "opencode", "gemini-cli")
# the questions of SwanLab's own OpenApi keep its records
KEEPS_RECORDS = {"list_workspaces", "list_projects", "list_project_exps", "get_experiment", "get_exp_summary"}

# whether this request's reply holds JSON next to the text
sends_json: ContextVar[bool] = ContextVar("sends_json", default=True)


def find_form(output: str, client: str) -> bool:
    """Return whether JSON is sent: as `output` says, auto by the client's name."""
    if output != "auto":
        return output == "both"
    return not client.strip().lower().replace("_", "-").replace(" ", "-").startswith(_JSON_READERS)


def tabulate(structured: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reply whose `data`, if it is a list of records, names each field once: `columns` and `rows`.

    A field that a record does not have is null in its row.
    """
    data = structured.get("data")
    records = cast("Sequence[Any]", data) if isinstance(data, list) else ()
    if not records or not all(isinstance(one, dict) for one in records):
        return dict(structured)
    columns = list(dict.fromkeys(name for one in records for name in one))
    rows = [[one.get(name) for name in columns] for one in records]
    return {**structured, "data": {"columns": columns, "rows": rows}}
