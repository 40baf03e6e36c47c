"""SwanLab's JSON as models: tolerant of every form that its servers are known to send, strict about the rest. Pure."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Mapping, Sequence
from datetime import timedelta, timezone
from typing import Any, TypeGuard, cast

from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import (
    Experiment,
    Extreme,
    Filter,
    LogLine,
    MediaItem,
    MediaPart,
    MetricSummary,
    Points,
    Project,
    Summary,
    User,
    Workspace,
    is_moment,
    read_time,
)
from swanlab_mcp.core.untrusted import DEEPEST, limit_value

__all__ = [
    "PointsTable",
    "is_object",
    "read_columns",
    "read_experiment",
    "read_keys",
    "read_list",
    "read_log",
    "read_log_line",
    "read_media",
    "read_number",
    "read_project",
    "read_reference",
    "read_series",
    "read_summary",
    "read_text_field",
    "read_total",
    "read_urls",
    "read_user",
    "read_workspace",
    "unwrap_config",
    "write_filter",
]

_SPELLED = {
    "nan": math.nan,
    "inf": math.inf,
    "+inf": math.inf,
    "-inf": -math.inf,
    "infinity": math.inf,
    "+infinity": math.inf,
    "-infinity": -math.inf,
}
_SCALAR_TYPES = {"FLOAT", "INT", "INTEGER", "SCALAR"}
_SERVER_ZONE = timezone(timedelta(hours=8))
_LARGEST_STEP = 2**63
_PLAIN = frozenset({str, float, bool, type(None)})
_WRAPPING = {"value", "desc", "sort"}
_BOUNDS = {">=": "GTE", ">": "GTE", "<=": "LTE", "<": "LTE"}
_SAME = {"=": "EQ", "in": "IN"}
_FILTERED = {
    "state": ("state", {**_SAME, "!=": "NEQ", "not-in": "NOT IN"}),
    "name": ("name", _SAME),
    "group": ("cluster", _SAME),
    "job": ("job", _SAME),
    "labels": ("labels", _SAME),
}
_FILTERED_TIMES = {"created": "createdAt", "finished": "finishedAt"}


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def read_list(answer: Any, what: str) -> list[dict[str, Any]]:
    """Return the objects of a bare list or of a page's `list`; raises UnexpectedResponse."""
    items: Any = answer.get("list") if is_object(answer) else answer
    if not isinstance(items, list):
        raise UnexpectedResponse(
            say("SwanLab's list of {what} is not a list.", what=what), hint=say("Try again; then report it.")
        )
    objects = [item for item in cast("list[Any]", items) if is_object(item)]
    if len(objects) != len(cast("list[Any]", items)):
        raise UnexpectedResponse(
            say("SwanLab's list of {what} holds something else.", what=what), hint=say("Try again; then report it.")
        )
    return objects


def read_total(answer: Any) -> int | None:
    """Return how many items a paged list has in all, where the page tells it."""
    total = answer.get("total") if is_object(answer) else None
    return total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None


def read_workspace(item: Any) -> Workspace:
    if not is_object(item):
        raise UnexpectedResponse(say("SwanLab's answer about a workspace is not an object."))
    username = _require(item, "username", say("a workspace"))
    return Workspace(name=_text(item.get("name")), username=username, role=_text(item.get("role")))


def read_user(item: Any, username: str, name: str) -> User:
    profile = _object(item)
    fields = ("bio", "institution", "school", "email", "location", "url")
    return User(username=username, name=name, **{field: _text(profile.get(field)) for field in fields})


def read_project(item: Any) -> Project:
    if not is_object(item):
        raise UnexpectedResponse(say("SwanLab's answer about a project is not an object."))
    return Project(
        cuid=_text(item.get("cuid")),
        name=_require(item, "name", say("a project")),
        description=_text(item.get("description")),
        visibility=_text(item.get("visibility")),
        createdAt=_text(item.get("createdAt")),
        updatedAt=_optional_text(item.get("updatedAt")),
        group=_texts(item.get("group"), ("type", "username", "name")),
        count={key: n for key, one in _object(item.get("_count")).items() if (n := _integer(one)) is not None},
    )


def read_experiment(item: Any) -> Experiment:
    """Return an experiment with its config unwrapped (see `unwrap_config`)."""
    if not is_object(item):
        raise UnexpectedResponse(say("SwanLab's answer about an experiment is not an object."))
    cuid = _require(item, "cuid", say("an experiment"))
    profile = {
        key: unwrap_config(_object(value)) if key == "config" and value is not None else limit_value(value)
        for key, value in _object(item.get("profile")).items()
    }
    slug = _optional_text(item.get("slug"))
    return Experiment(
        cuid=cuid,
        name=_text(item.get("name")),
        description=_text(item.get("description")),
        state=_text(item.get("state")),
        show=item.get("show") is not False,
        createdAt=_text(item.get("createdAt")),
        finishedAt=_optional_text(item.get("finishedAt")),
        user=_texts(item.get("user"), ("username", "name")),
        profile=profile,
        slug=None if slug == cuid else slug,
        labels=_labels(item.get("labels")),
        group=_optional_text(item.get("cluster")),
        job=_optional_text(item.get("job")),
        rootProId=_optional_text(item.get("rootProId")),
        rootExpId=_optional_text(item.get("rootExpId")),
    )


def read_reference(item: Any, project_id: str) -> dict[str, Any]:
    """Return what metric queries carry about an experiment: ids, creation time, and a clone's root (section 5).

    `item` is an Experiment, or SwanLab's JSON of one.
    """
    if not isinstance(item, (dict, Experiment)):
        raise UnexpectedResponse(say("SwanLab's answer about an experiment is not an object."))
    found = cast("Mapping[str, Any]", item)
    reference = {
        "projectId": project_id,
        "experimentId": _require(found, "cuid", say("an experiment")),
        "createdAt": _read_seconds(_text(found.get("createdAt"))),
        "rootProId": _optional_text(found.get("rootProId")),
        "rootExpId": _optional_text(found.get("rootExpId")),
    }
    return {key: value for key, value in reference.items() if value is not None}


def write_filter(condition: Filter) -> dict[str, Any] | None:
    """Return the filter of `runs/shows` that lets through at least what meets the condition, None where none is safe.

    Not safe is what the server may judge more strictly: nested keys, `contains` (its case), numbers for equality
    (1 and 1.0, "1"), what an experiment may lack with `!=`. Its times are UTC+8; it has no strict order (section 4).
    """
    field, op, value = condition.field, condition.op, condition.value
    values = value if isinstance(value, list) else [value]
    if field in _FILTERED:
        key, ops = _FILTERED[field]
        if op not in ops or not all(isinstance(one, str) for one in values):
            return None
        return _write_item(key, "STABLE", ops[op], values)
    if field in _FILTERED_TIMES and op in _BOUNDS and not isinstance(value, list):
        moment = read_time(str(value))
        if moment is None:
            return None
        # whole seconds, and one more on the far side: what is too much is sorted out by the caller
        try:
            local = moment.astimezone(_SERVER_ZONE) + timedelta(seconds=0 if _BOUNDS[op] == "GTE" else 1)
        except OverflowError:
            return None
        return _write_item(_FILTERED_TIMES[field], "STABLE", _BOUNDS[op], [f"{local:%Y-%m-%dT%H:%M:%S}"])
    kind, _, key = field.partition(".")
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if number is None or op not in _BOUNDS or not math.isfinite(read_number(number) or 0):
        return None
    if kind == "config" and "." not in key:
        return _write_item(key, "CONFIG", _BOUNDS[op], [number])
    return _write_item(key, "SCALAR", _BOUNDS[op], [number]) if kind == "metric" else None


def _write_item(key: str, kind: str, op: str, values: Sequence[Any]) -> dict[str, Any]:
    return {"key": key, "type": kind, "op": op, "value": list(values), "active": True}


def unwrap_config(config: Any, depth: int = DEEPEST) -> Any:
    """Undo SwanLab's wrapping of each config value as `{"value", "desc", "sort"}`, at any depth.

    Only an object with `value` and at least one of `desc` and `sort`, and nothing else, is a wrapping. What lies too
    deep is limited (see `limit_value`) in the same walk.
    """
    if type(config) in _PLAIN:
        return config
    if not depth or type(config) is int:
        return limit_value(config, depth)
    if is_object(config):
        if "value" in config and len(config) > 1 and config.keys() <= _WRAPPING:
            return unwrap_config(config["value"], depth - 1)
        return {key: unwrap_config(value, depth - 1) for key, value in config.items()}
    if isinstance(config, list):
        return [unwrap_config(value, depth - 1) for value in cast("list[Any]", config)]
    return config


def read_summary(metrics: Any, keys: Sequence[str] = ()) -> Summary:
    """Return one experiment's summary, of `keys` alone if there are any; null means that nothing has been logged.

    Raises UnexpectedResponse.
    """
    if metrics is None:
        return {}
    if not is_object(metrics):
        raise UnexpectedResponse(say("SwanLab's summary of metrics is not an object."))
    told = {key: metrics.get(key) for key in keys} if keys else metrics
    return {key: _read_metric(entry) for key, entry in told.items() if entry is not None}


def read_log(answer: Any) -> tuple[list[dict[str, Any]], int]:
    """Return a shard's lines, to be read one by one, and the count that comes with them (of the log or the shard)."""
    items: Any = answer.get("logs") if is_object(answer) else None
    lines = read_list(items, say("log lines"))
    count: Any = answer.get("count")
    return lines, count if isinstance(count, int) else len(lines)


def read_log_line(item: dict[str, Any], number: int) -> LogLine:
    return LogLine(
        number=number,
        message=_text(item.get("message")),
        level=None if item.get("level") == "INFO" else _optional_text(item.get("level")),
        # what kind of time a number is, nobody has told
        time=None if isinstance(item.get("timestamp"), (int, float)) else _optional_text(item.get("timestamp")),
    )


def read_keys(answer: Any) -> tuple[list[str], str]:
    """Return a page of metric keys and the cursor of the next one, empty at the end."""
    keys: Any = answer.get("keys") if is_object(answer) else None
    if not isinstance(keys, list):
        raise UnexpectedResponse(
            say("SwanLab's list of metric keys is not a list."), hint=say("Try again; then report it.")
        )
    cursor = answer.get("nextCursor") if answer.get("hasMore") else ""
    return [_text(key) for key in cast("list[Any]", keys)], _text(cursor)


def read_columns(items: Sequence[dict[str, Any]]) -> dict[str, bool]:
    """Return the keys that an old server lists, and whether each is a scalar (section 5, legacy)."""
    return {_require(item, "key", say("a metric key")): item.get("type") in _SCALAR_TYPES for item in items}


def read_series(answer: Any, limit: int) -> dict[str, Points]:
    """Return the points of each key; as many as `limit` may be a sample of more. Keys come in any order."""
    series: dict[str, Points] = {}
    for item in read_list(answer, say("series")):
        found: dict[int, tuple[float, int]] = {}
        metrics: Any = item.get("metrics") or []
        for point in read_list(metrics, say("points")):
            step, value = _integer(point.get("index")), _number(point.get("data"))
            if step is not None and value is not None:
                found[step] = (value, _moment(point.get("timestamp")))
        steps = sorted(found)
        series[_require(item, "key", say("a series"))] = Points(
            steps, [found[step][0] for step in steps], [found[step][1] for step in steps], len(steps) < limit
        )
    return series


def read_media(answer: Any, key: str) -> MediaPart:
    """Return a key's steps and the items of one of them, captioned or not; raises UnexpectedResponse."""
    steps: Any = answer.get("steps") if is_object(answer) else None
    if not isinstance(steps, list):
        raise UnexpectedResponse(
            say("SwanLab's list of media steps is not a list."), hint=say("Try again; then report it.")
        )
    known = sorted({step for one in cast("list[Any]", steps) if (step := _integer(one)) is not None})
    metrics = read_list(answer.get("metrics") or [], say("media"))
    metric = next((one for one in metrics if _text(one.get("key")) == key), dict[str, Any]())
    paths, more = _items(metric.get("data")), _items(metric.get("more"))
    step = _integer(answer.get("step"))
    if not paths or step is None:
        return MediaPart(known, None, ())
    captions = [_text(_object(one).get("caption")) for one in more] + [""] * len(paths)
    items = [
        MediaItem(key, step, path, caption) for path, caption in zip(map(_text, paths), captions, strict=False) if path
    ]
    return MediaPart(known, step, items)


def read_urls(answer: Any, count: int) -> list[str]:
    """Return the addresses of downloads, as many as were asked for. Raises UnexpectedResponse."""
    urls: Any = answer.get("urls") if is_object(answer) else None
    found = cast("list[Any]", urls) if isinstance(urls, list) else []
    if len(found) != count or not all(isinstance(one, str) for one in found):
        raise UnexpectedResponse(say("SwanLab's answer about a download lacks its address."), hint=say("Try again."))
    return found


def read_text_field(answer: Any, field: str) -> str:
    return _require(answer if is_object(answer) else {}, field, say("an export"))


class PointsTable:
    """Points out of an exported CSV, line by line: `step`, then for each key a value and a time column (section 5).

    The value's column is named `<experiment>-<key>_step`, the time's `…_timestamp` (Unix milliseconds). Old servers
    export one key at a time and name the experiment as they like: `experiment` None.
    """

    def __init__(self, experiment: str | None, keys: Sequence[str]) -> None:
        self._experiment = experiment
        self._keys = keys
        self._columns: list[tuple[str, int, int]] | None = None
        self._series = {key: (array("q"), array("d"), array("q")) for key in keys}

    def add(self, line: str) -> None:
        """Take the next line; raises UnexpectedResponse when the table is not what the export promises."""
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
                    say("SwanLab's export is not a table by steps."), hint=say("Try again; then report it.")
                )
            self._columns = [(key, place, times.get(key, -1)) for key, place in places.items()]
            return
        step = _integer(_to_float(cells[0]))
        for key, place, time_place in self._columns:
            value = _to_float(cells[place]) if place < len(cells) else None
            if step is None or value is None:
                continue
            steps, values, times = self._series[key]
            steps.append(step)
            values.append(value)
            times.append(_moment(_to_float(cells[time_place])) if 0 <= time_place < len(cells) else 0)

    def _find_columns(self, cells: Sequence[str], kind: str) -> dict[str, int]:
        if self._experiment is None:
            ends = {key: f"-{key}_{kind}" for key in self._keys}
            return {key: place for key, end in ends.items() for place, name in enumerate(cells) if name.endswith(end)}
        names = {f"{self._experiment}-{key}_{kind}": key for key in self._keys}
        return {names[name]: place for place, name in enumerate(cells) if name in names}

    def get_points(self) -> dict[str, Points]:
        """Return the points of every key that has a column, even an empty one."""
        named = [key for key, *_ in self._columns or ()]
        return {key: Points(*self._series[key]) for key in named}


def _to_float(text: str) -> float | None:
    """Return a cell's number: None when it is empty; every spelling of NaN and infinity is one."""
    try:
        return float(text)
    except ValueError:
        return read_number(text)


def read_number(value: Any) -> float | None:
    """Return the float that a number or one of SwanLab's spellings of NaN and infinity means, else None."""
    if isinstance(value, str):
        return _SPELLED.get(value.strip().lower())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _read_seconds(moment: str) -> int | None:
    """Return whole Unix seconds of an ISO 8601 time (UTC unless it says otherwise), None if it is none."""
    parsed = read_time(moment)
    return None if parsed is None else int(parsed.timestamp())


def _read_metric(entry: Any) -> MetricSummary:
    if not is_object(entry):
        raise UnexpectedResponse(say("SwanLab's summary of a metric is not an object."))
    bounds: Any = entry.get("minMax")
    low, high = (
        cast("list[Any]", bounds) if isinstance(bounds, list) and len(cast("list[Any]", bounds)) == 2 else (None, None)
    )
    return MetricSummary(
        step=_integer(entry.get("step", entry.get("index"))),
        value=_number(entry.get("value", entry.get("data"))),
        min=_read_extreme(entry.get("min"), low),
        max=_read_extreme(entry.get("max"), high),
        avg=_number(entry.get("avg")),
        median=_number(entry.get("median")),
        stdDev=_number(entry.get("stdDev")),
    )


def _read_extreme(extreme: Any, bound: Any) -> Extreme | None:
    if is_object(extreme):
        step = _integer(extreme.get("step", extreme.get("index")))
        value = _number(extreme.get("value", extreme.get("data")))
    else:
        step, value = None, _number(extreme)
    if value is None:
        value = _number(bound)
    return None if value is None else Extreme(step=step, value=value)


def _require(item: Mapping[str, Any], field: str, what: str) -> str:
    value = item.get(field)
    if not isinstance(value, str) or not value:
        raise UnexpectedResponse(
            say("SwanLab's answer about {what} lacks its {field}.", what=what, field=field),
            hint=say("Try again; then report it."),
        )
    return value


def _text(value: Any) -> str:
    return _optional_text(value) or ""


def _optional_text(value: Any) -> str | None:
    """Return a text; null, as an empty one, is None. Another type is no form that SwanLab is known to send."""
    # thousands of experiments pass here: a union would be made anew for each text
    if value is not None and not isinstance(value, str):
        raise _refuse(value, say("a text"))
    return value or None


def _items(value: Any) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise _refuse(value, say("a list"))
    return cast("list[Any]", value or [])


def _object(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise _refuse(value, say("an object"))
    return cast("dict[str, Any]", value or {})


def _refuse(value: Any, wanted: str) -> UnexpectedResponse:
    kind = type(value).__name__
    return UnexpectedResponse(
        say("SwanLab's answer holds {kind} where {wanted} belongs.", kind=kind, wanted=wanted),
        hint=say("Try again; then report it."),
    )


def _texts(value: Any, fields: tuple[str, ...]) -> dict[str, str]:
    found = _object(value)
    return {field: _text(found[field]) for field in fields if found.get(field) is not None}


def _labels(value: Any) -> list[str]:
    return [_text(label.get("name") if is_object(label) else label) for label in _items(value)]


def _number(value: Any) -> float | None:
    if value is None or type(value) is float:
        return value
    number = read_number(value)
    if number is None:
        raise _refuse(value, say("a number"))
    return number


def _integer(value: Any) -> int | None:
    if type(value) is int:
        return value if abs(value) < _LARGEST_STEP else None
    number = _number(value)
    return int(number) if number is not None and abs(number) < _LARGEST_STEP else None


def _moment(value: Any) -> int:
    moment = _integer(value) or 0
    return moment if is_moment(moment) else 0
