"""Convert records to a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from swanlab_mcp.core.i18n import say

__all__ = ["make_frame"]


def make_frame(rows: Sequence[Any]) -> Any:
    """Return a DataFrame with a row per dict and dotted columns for nested dicts. Raises ImportError."""
    if find_spec("pandas") is None:
        raise ImportError(say("to_pandas needs pandas, which is not installed: pip install pandas"), name="pandas")
    pandas: Any = import_module("pandas")
    return pandas.json_normalize(list(rows))
