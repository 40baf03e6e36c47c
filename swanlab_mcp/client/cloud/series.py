"""Parse metric points from SwanLab's JSON series and exported tables, without I/O."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter, lt
from typing import Any, cast

from swanlab_mcp.client.cloud.fields import LARGEST_STEP, get_integer, get_moment, get_number, read_list, require
from swanlab_mcp.client.values import is_object, read_number
from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Points
from swanlab_mcp.core.records import is_moment

__all__ = ["PointsTable", "count_points", "read_series", "read_text_field"]

_FIELDS: Callable[[Mapping[str, Any]], tuple[Any, Any, Any]] = itemgetter("index", "data", "timestamp")
_BATCH = 4096  # number of cells that can be parsed in a few milliseconds


def read_series(answer: Any, limit: int) -> dict[str, Points]:
    """Return the points of each key. A series of `limit` or more points is treated as a sample."""
    series: dict[str, Points] = {}
    for item in read_list(answer, gettext("series")):
        metrics: Any = item.get("metrics") or []
        points = read_list(metrics, gettext("points"))
        whole = _read_plain(points) or _read_points(points)
        series[require(item, "key", gettext("a series"))] = whole._replace(is_whole=len(points) < limit)
    return series


def _read_plain(points: Sequence[Mapping[str, Any]]) -> Points | None:
    """Parse points that are in order and have the usual types, several times as fast as `_read_points`.

    Return `None` for any other points.
    """
    try:
        steps, values, times = map(list, zip(*map(_FIELDS, points), strict=True))
        values = list(map(float, values)) if set(map(type, values)) == {float, int} else values
    except (KeyError, ValueError, OverflowError):
        return None
    if set(map(type, steps)) != {int} or set(map(type, values)) != {float} or set(map(type, times)) != {int}:
        return None
    if not all(map(lt, steps, steps[1:])) or max(steps[-1], -steps[0]) >= LARGEST_STEP:
        return None
    return Points(steps, values, times) if is_moment(min(times)) and is_moment(max(times)) else None


def _read_points(points: Sequence[Mapping[str, Any]]) -> Points:
    found: dict[int, tuple[float, int]] = {}
    for point in points:
        step, value = get_integer(point.get("index")), get_number(point.get("data"))
        if step is not None and value is not None:
            found[step] = (value, get_moment(point.get("timestamp")))
    steps = sorted(found)
    return Points(steps, [found[step][0] for step in steps], [found[step][1] for step in steps])


def count_points(answer: Any) -> int:
    """Return the number of points in a response that contains series, or 0 for any other response."""
    items: Any = answer.get("list") if is_object(answer) else answer
    series = [one for one in cast("list[Any]", items) if is_object(one)] if isinstance(items, list) else []
    points: list[Any] = [one.get("metrics") for one in series]
    return sum(len(cast("list[Any]", one)) for one in points if isinstance(one, list))


def read_text_field(answer: Any, field: str) -> str:
    return require(answer if is_object(answer) else {}, field, gettext("an export"))


class PointsTable:
    """Parses an exported CSV file line by line.

    The columns are `step`, followed by a value column and a time column for each key. The value column is named
    `<experiment>-<key>_step`. The time column is named `<experiment>-<key>_timestamp` and is in Unix milliseconds. An
    old server exports one key at a time with an arbitrary experiment name. In that case, `experiment` is `None`.
    """

    def __init__(self, experiment: str | None, keys: Sequence[str]) -> None:
        self._experiment = experiment
        self._keys = keys
        self._columns: list[tuple[str, int, int]] | None = None
        self._width = 0
        self._rows: list[list[str]] = []
        self._series = {key: (array("q"), array("d"), array("q")) for key in keys}

    def add(self, line: str) -> None:
        """Parse the next line. Raises UnexpectedResponse if the table does not match the export format."""
        if not line:
            return
        cells = _split(line)
        if self._columns is None:
            indices, times = self._find_columns(cells, "step"), self._find_columns(cells, "timestamp")
            if cells[0] != "step":
                raise UnexpectedResponse(
                    gettext("SwanLab's export is not a table with a step column."),
                    hint=gettext("Try again; if the error persists, report it."),
                )
            self._columns = [(key, index, times.get(key, -1)) for key, index in indices.items()]
            self._width = len(cells)
            return
        if len(cells) < self._width:
            # the last cell in an incomplete row may be a truncated number
            cells = cells[:-1] + [""] * (self._width - len(cells) + 1)
        self._rows.append(cells[: self._width])
        if len(self._rows) * self._width > _BATCH:
            self._take_rows()

    def _take_rows(self) -> None:
        """Parse the collected rows column by column, because parsing single cells takes several times as long."""
        columns = list(zip(*self._rows, strict=True))
        self._rows.clear()
        steps = [get_integer(step) for step in _to_floats(columns[0])] if columns else []
        for key, index, time_index in self._columns or () if columns else ():
            times = columns[time_index] if time_index >= 0 else [""] * len(steps)
            rows = zip(steps, columns[index], times, strict=True)
            if None in steps or "" in columns[index]:
                # a cell is empty if its key has no point at the step
                rows = (row for row in rows if row[0] is not None and row[1])
            self._add_points(key, list(rows))

    def _add_points(self, key: str, rows: Sequence[tuple[Any, str, str]]) -> None:
        values = _to_floats([cell for _, cell, _ in rows])
        if None in values:
            # drop cells that are not numbers
            rows = [row for row, value in zip(rows, values, strict=True) if value is not None]
        steps, numbers, moments = self._series[key]
        steps.extend([step for step, _, _ in rows])
        numbers.extend([value for value in values if value is not None])
        moments.extend(_to_moments([time for _, _, time in rows]))

    def _find_columns(self, cells: Sequence[str], kind: str) -> dict[str, int]:
        if self._experiment is None:
            ends = {key: f"-{key}_{kind}" for key in self._keys}
            return {key: index for key, end in ends.items() for index, name in enumerate(cells) if name.endswith(end)}
        names = {f"{self._experiment}-{key}_{kind}": key for key in self._keys}
        return {names[name]: index for index, name in enumerate(cells) if name in names}

    def get_points(self) -> dict[str, Points]:
        """Return the points of every key that has a column, even if the column is empty."""
        self._take_rows()
        named = [key for key, *_ in self._columns or ()]
        return {key: Points(*self._series[key]) for key in named}


def _split(line: str) -> list[str]:
    # ten times as fast as the csv module, with the same result if no cell is quoted
    if '"' not in line and "\r" not in line and len(line) < csv.field_size_limit():
        return line.split(",")
    try:
        return next(csv.reader([line]))
    except csv.Error as error:
        raise UnexpectedResponse(
            gettext("SwanLab's export is not a readable table."), hint=gettext("Request fewer keys.")
        ) from error


def _to_floats(cells: Sequence[str]) -> Sequence[float | None]:
    """Convert cells to numbers, including every spelling of NaN and infinity. Empty cells become `None`."""
    try:
        return list(map(float, cells))
    except ValueError:
        return [_to_float(cell) for cell in cells]


def _to_float(text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return read_number(text)


def _to_moments(cells: Sequence[str]) -> list[int]:
    try:
        times = list(map(int, cells))
    except ValueError:
        times = [number or 0 for number in _to_floats(cells)]
    return [int(time) if is_moment(time) else 0 for time in times]
