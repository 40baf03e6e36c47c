"""The example call of each tool: the Example of its description, with names that exist in the demo or in the fake."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from swanlab_mcp.server.table import TOOLS, ToolEntry

__all__ = ["IN_DEMO", "IN_FAKE", "read_example", "read_examples"]

# names in the descriptions: names in the demo, and in the world of tests/client/cloud/test_faults.py
IN_DEMO = {
    "team/mnist": "digits-mlp", "mnist": "digits-mlp", "bert": "digits", "error": "epoch", "samples*": "val/confusion",
    "24h": "2026-11-23",
}  # fmt: skip
IN_FAKE = {
    "team/mnist": "small", "mnist": "small", "lr-0.1": "small0", "lr-1": "small1", "val/": "", "samples*": "image",
    "[40]": "[3]", "24h": "2024-11-01",
}  # fmt: skip
# the experiments of both have ended
_MORE: dict[str, dict[str, Any]] = {"forecast_experiment": {"as_of_step": 16}}


def read_example(entry: ToolEntry, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of a tool's example with other names; a call that waits by default waits for a second."""
    text = (inspect.getdoc(entry.operation) or "").rpartition("Example: ")[2].rstrip(".")
    for name, other in names.items():
        text = text.replace(name, other)
    return {**json.loads(text), **({"timeout": 1} if entry.wait else {}), **_MORE.get(entry.name, {})}


def read_examples(names: Mapping[str, str], entries: Sequence[ToolEntry] = TOOLS) -> dict[str, dict[str, Any]]:
    """Return the example arguments of each tool by its name."""
    return {entry.name: read_example(entry, names) for entry in entries}
