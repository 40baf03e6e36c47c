"""Convert records to a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from swanlab_mcp.core.i18n import say

__all__ = ["RecordDict", "make_frame"]


def make_frame(rows: Sequence[Any]) -> Any:
    """Return a DataFrame with one row per dict. Nested dicts become dotted columns. Raises ImportError."""
    if find_spec("pandas") is None:
        raise ImportError(say("to_pandas needs pandas, which is not installed: pip install pandas"), name="pandas")
    pandas: Any = import_module("pandas")
    return pandas.json_normalize(list(rows))


class RecordDict(dict[str, dict[str, Any]]):
    """Records by key, each as a dict of its fields."""

    def to_pandas(self) -> Any:
        """Return a DataFrame with one row per record: its `key` and its fields. Raises ImportError without pandas."""
        return make_frame([{"key": key, **fields} for key, fields in self.items()])
