"""Convert series to a table for use in Python."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from swanlab_mcp.core.models import Series

__all__ = ["join_by_step"]


def join_by_step(series: Sequence[Series]) -> Any:
    """Join series by step into a pandas DataFrame, or into a dict if pandas is not installed.

    A metric with the key "step" becomes the column "metric/step".
    """
    steps = sorted({step for one in series for step in one.steps})
    columns: dict[str, list[Any]] = {"step": steps}
    for one in series:
        values = dict(zip(one.steps, one.values, strict=True))
        columns["metric/step" if one.key == "step" else one.key] = [values.get(step) for step in steps]
    if find_spec("pandas") is None:
        return columns
    pandas: Any = import_module("pandas")
    return pandas.DataFrame(columns).set_index("step")
