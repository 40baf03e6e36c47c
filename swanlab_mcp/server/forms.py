"""Choose the form of a reply: the compact text, or the text and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, cast

__all__ = ["KEEPS_RECORDS", "find_form", "sends_json", "tabulate"]

# clients that show `structuredContent`, if present, to the model, which costs 1.7 times the text; Gemini CLI shows it
# in errors only, in addition to the text
_JSON_READERS = ("claude-code", "codex", "opencode", "gemini-cli")
# the tools that match methods of SwanLab's own OpenApi keep its records
KEEPS_RECORDS = {"list_workspaces", "list_projects", "list_project_exps", "get_experiment", "get_exp_summary"}

# whether the reply to this request includes JSON
sends_json: ContextVar[bool] = ContextVar("sends_json", default=True)


def find_form(output: str, client: str) -> bool:
    """Return whether to send JSON: as set by `output`, or for `auto` by the client's name."""
    if output != "auto":
        return output == "both"
    return not client.strip().lower().replace("_", "-").replace(" ", "-").startswith(_JSON_READERS)


def tabulate(structured: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reply whose list of records is split into `columns` and `rows`, so that each field is named once.

    A field missing from a record is null in its row. Other data is unchanged.
    """
    data = structured.get("data")
    records = cast("Sequence[Any]", data) if isinstance(data, list) else ()
    if not records or not all(isinstance(one, dict) for one in records):
        return dict(structured)
    columns = list(dict.fromkeys(name for one in records for name in one))
    rows = [[one.get(name) for name in columns] for one in records]
    return {**structured, "data": {"columns": columns, "rows": rows}}
