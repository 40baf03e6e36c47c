"""Convert records to a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from swanlab_mcp.core.i18n import gettext

__all__ = ["RecordDict", "make_frame"]


def make_frame(rows: Sequence[Any]) -> Any:
    """Return a DataFrame with one row per dict. Nested dicts become dotted columns.

    Raises ImportError if pandas is not installed.
    """
    if find_spec("pandas") is None:
        raise ImportError(gettext("to_pandas needs pandas, which is not installed: pip install pandas"), name="pandas")
    pandas: Any = import_module("pandas")
    return pandas.json_normalize(list(rows))


class RecordDict(dict[str, dict[str, Any]]):
    """A dict that maps each key to the fields of its record."""

    def to_pandas(self) -> Any:
        """Return a DataFrame with one row per record: its `key`, followed by its fields.

        Raises ImportError if pandas is not installed.
        """
        return make_frame([{"key": key, **fields} for key, fields in self.items()])
