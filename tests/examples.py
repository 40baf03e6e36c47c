"""The example calls from the tools' descriptions, with names that exist in the demo or in the fake SwanLab."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from swanlab_mcp.server.table import TOOLS, ToolEntry

__all__ = ["IN_DEMO", "IN_FAKE", "read_example", "read_examples"]

# the names in the descriptions, mapped to names in the demo and in tests/client/cloud/test_faults.py
IN_DEMO = {
    "team/mnist": "digits-mlp", "mnist": "digits-mlp", "bert": "digits", "error": "epoch", "samples*": "val/confusion",
    "24h": "2026-11-23",
}  # fmt: skip
IN_FAKE = {
    "team/mnist": "small", "mnist": "small", "lr-0.1": "small0", "lr-1": "small1", "val/": "", "samples*": "image",
    "[40]": "[3]", "24h": "2024-11-01",
}  # fmt: skip
# a past step to forecast from, because no experiment is still running
_MORE: dict[str, dict[str, Any]] = {"forecast_experiment": {"as_of_step": 16}}


def read_example(entry: ToolEntry, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments from a tool's example, with the names replaced according to `names`.

    Tools that wait by default get a timeout of one second.
    """
    text = (inspect.getdoc(entry.operation) or "").rpartition("Example: ")[2].rstrip(".")
    for name, other in names.items():
        text = text.replace(name, other)
    return {**json.loads(text), **({"timeout": 1} if entry.wait else {}), **_MORE.get(entry.name, {})}


def read_examples(names: Mapping[str, str], entries: Sequence[ToolEntry] = TOOLS) -> dict[str, dict[str, Any]]:
    """Return a dict from tool names to the arguments from their examples."""
    return {entry.name: read_example(entry, names) for entry in entries}
