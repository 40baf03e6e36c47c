"""Points of metrics in SwanLab's API: JSON series and exported tables. Pure."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Sequence
from typing import Any, cast

from swanlab_mcp.client.cloud.fields import get_integer, get_moment, get_number, read_list, require
from swanlab_mcp.client.values import is_object, read_number
from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import Points

__all__ = ["PointsTable", "count_points", "read_series", "read_text_field"]


def read_series(answer: Any, limit: int) -> dict[str, Points]:
    """Return the points of each key; `limit` points or more may be a sample. Keys come in any order."""
    series: dict[str, Points] = {}
    for item in read_list(answer, say("series")):
        found: dict[int, tuple[float, int]] = {}
        metrics: Any = item.get("metrics") or []
        for point in read_list(metrics, say("points")):
            step, value = get_integer(point.get("index")), get_number(point.get("data"))
            if step is not None and value is not None:
                found[step] = (value, get_moment(point.get("timestamp")))
        steps = sorted(found)
        series[require(item, "key", say("a series"))] = Points(
            steps, [found[step][0] for step in steps], [found[step][1] for step in steps], len(steps) < limit
        )
    return series


def count_points(answer: Any) -> int:
    """Return the number of points in a response about series, or 0 for a response of another form."""
    items: Any = answer.get("list") if is_object(answer) else answer
    series = [one for one in cast("list[Any]", items) if is_object(one)] if isinstance(items, list) else []
    points: list[Any] = [one.get("metrics") for one in series]
    return sum(len(cast("list[Any]", one)) for one in points if isinstance(one, list))


def read_text_field(answer: Any, field: str) -> str:
    return require(answer if is_object(answer) else {}, field, say("an export"))


class PointsTable:
    """Parse an exported CSV line by line: `step`, then a value and a time column for each key (section 5).

    The value's column is named `<experiment>-<key>_step`, the time's `…_timestamp` (Unix milliseconds). Old servers
    export one key at a time with an arbitrary experiment name: `experiment` is `None`.
    """

    def __init__(self, experiment: str | None, keys: Sequence[str]) -> None:
        self._experiment = experiment
        self._keys = keys
        self._columns: list[tuple[str, int, int]] | None = None
        self._width = 0
        self._series = {key: (array("q"), array("d"), array("q")) for key in keys}

    def add(self, line: str) -> None:
        """Parse the next line; raises UnexpectedResponse if the table does not match the export's format."""
        if not line:
            return
        try:
            cells = next(csv.reader([line]))
        except csv.Error as error:
            raise UnexpectedResponse(
                say("SwanLab's export is not a readable table."), hint=say("Name fewer keys.")
            ) from error
        if self._columns is None:
            places, times = self._find_columns(cells, "step"), self._find_columns(cells, "timestamp")
            if cells[0] != "step":
                raise UnexpectedResponse(
                    say("SwanLab's export is not a table by steps."),
                    hint=say("Try again; if the error remains, report it."),
                )
            self._columns = [(key, place, times.get(key, -1)) for key, place in places.items()]
            self._width = len(cells)
            return
        # the last cell of an incomplete row may be a truncated number
        readable = len(cells) if len(cells) >= self._width else len(cells) - 1
        step = get_integer(_to_float(cells[0]))
        for key, place, time_place in self._columns:
            value = _to_float(cells[place]) if place < readable else None
            if step is None or value is None:
                continue
            steps, values, times = self._series[key]
            steps.append(step)
            values.append(value)
            times.append(get_moment(_to_float(cells[time_place])) if 0 <= time_place < readable else 0)

    def _find_columns(self, cells: Sequence[str], kind: str) -> dict[str, int]:
        if self._experiment is None:
            ends = {key: f"-{key}_{kind}" for key in self._keys}
            return {key: place for key, end in ends.items() for place, name in enumerate(cells) if name.endswith(end)}
        names = {f"{self._experiment}-{key}_{kind}": key for key in self._keys}
        return {names[name]: place for place, name in enumerate(cells) if name in names}

    def get_points(self) -> dict[str, Points]:
        """Return the points of every key with a column, even an empty column."""
        named = [key for key, *_ in self._columns or ()]
        return {key: Points(*self._series[key]) for key in named}


def _to_float(text: str) -> float | None:
    """Return a cell's number, including every spelling of NaN and infinity, or `None` if it is empty."""
    try:
        return float(text)
    except ValueError:
        return read_number(text)
