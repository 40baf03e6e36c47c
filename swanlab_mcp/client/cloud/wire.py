"""Pure functions that convert SwanLab's JSON to models. They accept all known formats and reject all others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta, timezone
from typing import Any, cast

from swanlab_mcp.client.cloud.fields import (
    get_integer,
    get_items,
    get_labels,
    get_number,
    get_object,
    get_optional_text,
    get_text,
    get_texts,
    read_list,
    require,
)
from swanlab_mcp.client.values import is_object, read_number, restore_none, unwrap_config
from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import (
    Experiment,
    Filter,
    LogLine,
    MediaItem,
    MediaPart,
    MetricSummary,
    Project,
    Summary,
    User,
    Workspace,
)
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.server_info import ServerInfo
from swanlab_mcp.core.untrusted import limit_value

__all__ = [
    "read_columns",
    "read_experiment",
    "read_keys",
    "read_log",
    "read_log_line",
    "read_media",
    "read_project",
    "read_reference",
    "read_server_info",
    "read_summary",
    "read_total",
    "read_urls",
    "read_user",
    "read_workspace",
    "write_contradiction",
    "write_filter",
    "write_opposites",
]

_SCALAR_TYPES = {"FLOAT", "INT", "INTEGER", "SCALAR"}
_EARLY_SDK = re.compile(r"0\.[0-7](?!\d)")
_SERVER_ZONE = timezone(timedelta(hours=8))

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


def read_total(answer: Any) -> int | None:
    """Return the total number of items in a paged list, or `None` if the page does not report it."""
    total = answer.get("total") if is_object(answer) else None
    return total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None


def read_workspace(item: Any) -> Workspace:
    if not is_object(item):
        raise UnexpectedResponse(gettext("SwanLab's response about a workspace is not an object."))
    username = require(item, "username", gettext("a workspace"))
    return Workspace(name=get_text(item.get("name")), username=username, role=get_text(item.get("role")))


def read_user(item: Any, username: str, name: str) -> User:
    profile = get_object(item)
    fields = ("bio", "institution", "school", "email", "location", "url")
    return User(username=username, name=name, **{field: get_text(profile.get(field)) for field in fields})


def read_server_info(item: Any) -> ServerInfo:
    """Parse the licence of a self-hosted server."""
    about = get_object(item)
    return ServerInfo(
        plan=get_text(about.get("plan")), expired=about.get("expired") is True, seats=get_integer(about.get("seats"))
    )


def read_project(item: Any) -> Project:
    if not is_object(item):
        raise UnexpectedResponse(gettext("SwanLab's response about a project is not an object."))
    return Project(
        cuid=get_text(item.get("cuid")),
        name=require(item, "name", gettext("a project")),
        description=get_text(item.get("description")),
        visibility=get_text(item.get("visibility")),
        createdAt=get_text(item.get("createdAt")),
        updatedAt=get_optional_text(item.get("updatedAt")),
        group=get_texts(item.get("group"), ("type", "username", "name")),
        count={key: n for key, one in get_object(item.get("_count")).items() if (n := get_integer(one)) is not None},
    )


def read_experiment(item: Any) -> Experiment:
    """Parse an experiment, and unwrap its config (see `unwrap_config`)."""
    if not is_object(item):
        raise UnexpectedResponse(gettext("SwanLab's response about an experiment is not an object."))
    cuid = require(item, "cuid", gettext("an experiment"))
    profile = {
        key: unwrap_config(get_object(value)) if key == "config" and value is not None else limit_value(value)
        for key, value in get_object(item.get("profile")).items()
    }
    config = profile.get("config")
    if is_object(config) and not _is_early_sdk(profile.get("metadata")):
        profile["config"] = restore_none(config)
    slug = get_optional_text(item.get("slug"))
    return Experiment(
        cuid=cuid,
        name=get_text(item.get("name")),
        description=get_text(item.get("description")),
        state=get_text(item.get("state")),
        show=item.get("show") is not False,
        createdAt=get_text(item.get("createdAt")),
        finishedAt=get_optional_text(item.get("finishedAt")),
        user=get_texts(item.get("user"), ("username", "name")),
        profile=profile,
        slug=None if slug == cuid else slug,
        labels=get_labels(item.get("labels")),
        group=get_optional_text(item.get("cluster")),
        job=get_optional_text(item.get("job")),
        rootProId=get_optional_text(item.get("rootProId")),
        rootExpId=get_optional_text(item.get("rootExpId")),
    )


def _is_early_sdk(metadata: Any) -> bool:
    """Return whether the metadata was recorded by an SDK before 0.8.

    Lists of experiments omit the metadata, so the result is False for them. This is almost always harmless: the result
    only decides whether {} in a config means None, and early SDKs rarely stored {}.
    """
    about: Any = metadata.get("swanlab") if is_object(metadata) else None
    return is_object(about) and _EARLY_SDK.match(str(about.get("version"))) is not None


def read_reference(item: Any, project_id: str) -> dict[str, Any]:
    """Return the reference that metric queries require, with ids, the creation time and a clone's root experiment.

    `item` is an Experiment, or SwanLab's JSON for an experiment.
    """
    if not isinstance(item, (dict, Experiment)):
        raise UnexpectedResponse(gettext("SwanLab's response about an experiment is not an object."))
    found = cast("Mapping[str, Any]", item)
    reference = {
        "projectId": project_id,
        "experimentId": require(found, "cuid", gettext("an experiment")),
        "createdAt": _read_seconds(get_text(found.get("createdAt"))),
        "rootProId": get_optional_text(found.get("rootProId")),
        "rootExpId": get_optional_text(found.get("rootExpId")),
    }
    return {key: value for key, value in reference.items() if value is not None}


def write_filter(condition: Filter) -> dict[str, Any] | None:
    """Return a `runs/shows` filter that accepts at least every match of the condition, or `None` if no filter is safe.

    A filter is unsafe if the condition has alternatives, or if the server may apply the filter more strictly than this
    package. The server may be stricter for nested keys, `contains` (which may be case-sensitive), equality of numbers
    (1, 1.0 and "1"), and `!=` on fields that may be missing. The server expects times in UTC+8 and has no strict
    comparisons.
    """
    if condition.either:
        return None
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
        # rounded outward to whole seconds; the caller drops the extra matches
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


def write_opposites(condition: Filter) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two `runs/shows` filters for a condition on `pin`, `baseline` or `updated`, and for its opposite.

    Both filters accept a time that equals the condition's time, because SwanLab has no strict comparisons. `pin` and
    `baseline` are known filter keys, but the format of their boolean values is not documented, so JSON booleans are
    sent. If a server expects another format, experiments match both filters or neither, which the caller detects.
    """
    if condition.field != "updated":
        yes, no = (
            _write_item(condition.field, "STABLE", "EQ", [value]) for value in (condition.value, not condition.value)
        )
        return yes, no
    moment = read_time(str(condition.value))
    assert moment is not None
    op = _BOUNDS[condition.op]
    text = f"{moment.astimezone(_SERVER_ZONE):%Y-%m-%dT%H:%M:%S}"
    first, second = (_write_item("updatedAt", "STABLE", one, [text]) for one in (op, "LTE" if op == "GTE" else "GTE"))
    return first, second


def write_contradiction() -> list[dict[str, Any]]:
    """Return `runs/shows` filters that no experiment can match, so that SwanLab returns only the pinned experiments."""
    return [_write_item("state", "STABLE", "EQ", [state]) for state in ("FINISHED", "RUNNING")]


def _write_item(key: str, kind: str, op: str, values: Sequence[Any]) -> dict[str, Any]:
    return {"key": key, "type": kind, "op": op, "value": list(values), "active": True}


def read_summary(metrics: Any, keys: Sequence[str] = ()) -> Summary:
    """Parse an experiment's summary, or only `keys` if they are given. Null means that there are no metrics.

    Raises UnexpectedResponse if the summary is invalid.
    """
    if metrics is None:
        return {}
    if not is_object(metrics):
        raise UnexpectedResponse(gettext("SwanLab's summary of metrics is not an object."))
    reported = {key: metrics.get(key) for key in keys} if keys else metrics
    return {key: _read_metric(entry) for key, entry in reported.items() if entry is not None}


def read_log(answer: Any) -> tuple[list[dict[str, Any]], int]:
    """Return the unparsed lines in a shard, and the line count that the server reports for the log or the shard."""
    items: Any = answer.get("logs") if is_object(answer) else None
    lines = read_list(items, gettext("log lines"))
    count: Any = answer.get("count")
    return lines, count if isinstance(count, int) else len(lines)


def read_log_line(item: dict[str, Any], number: int) -> LogLine:
    return LogLine(
        number=number,
        message=get_text(item.get("message")),
        level=None if item.get("level") == "INFO" else get_optional_text(item.get("level")),
        # the unit of a numeric time is not documented
        time=None if isinstance(item.get("timestamp"), (int, float)) else get_optional_text(item.get("timestamp")),
    )


def read_keys(answer: Any) -> tuple[list[str], str]:
    """Return the metric keys on a page, and the cursor for the next page. The cursor is "" on the last page."""
    keys: Any = answer.get("keys") if is_object(answer) else None
    if not isinstance(keys, list):
        raise UnexpectedResponse(
            gettext("SwanLab did not return a list of metric keys."),
            hint=gettext("Try again; if the error persists, report it."),
        )
    cursor = answer.get("nextCursor") if answer.get("hasMore") else ""
    return [get_text(key) for key in cast("list[Any]", keys)], get_text(cursor)


def read_columns(items: Sequence[dict[str, Any]]) -> dict[str, bool]:
    """Return the keys that an old server lists, and whether each key is a scalar."""
    return {require(item, "key", gettext("a metric key")): item.get("type") in _SCALAR_TYPES for item in items}


def read_media(answer: Any, key: str) -> MediaPart:
    """Parse the steps at which a key has media, and the items at one step. Raises UnexpectedResponse."""
    steps: Any = answer.get("steps") if is_object(answer) else None
    if not isinstance(steps, list):
        raise UnexpectedResponse(
            gettext("SwanLab did not return a list of media steps."),
            hint=gettext("Try again; if the error persists, report it."),
        )
    known = sorted({step for one in cast("list[Any]", steps) if (step := get_integer(one)) is not None})
    metrics = read_list(answer.get("metrics") or [], gettext("media"))
    metric = next((one for one in metrics if get_text(one.get("key")) == key), dict[str, Any]())
    paths, more = get_items(metric.get("data")), get_items(metric.get("more"))
    step = get_integer(answer.get("step"))
    if not paths or step is None:
        return MediaPart(known, None, ())
    captions = [get_text(get_object(one).get("caption")) for one in more] + [""] * len(paths)
    items = [
        MediaItem(key, step, path, caption)
        for path, caption in zip(map(get_text, paths), captions, strict=False)
        if path
    ]
    return MediaPart(known, step, items)


def read_urls(answer: Any, count: int) -> list[str]:
    """Return `count` download URLs. Raises UnexpectedResponse if the response contains more or fewer."""
    urls: Any = answer.get("urls") if is_object(answer) else None
    found = cast("list[Any]", urls) if isinstance(urls, list) else []
    if len(found) != count or not all(isinstance(one, str) for one in found):
        raise UnexpectedResponse(
            gettext("SwanLab's response about a download contains no URL."), hint=gettext("Try again.")
        )
    return found


def _read_seconds(moment: str) -> int | None:
    """Convert an ISO 8601 time (UTC by default) to whole Unix seconds. Return `None` if the text is invalid."""
    parsed = read_time(moment)
    return None if parsed is None else int(parsed.timestamp())


def _read_metric(entry: Any) -> MetricSummary:
    if not is_object(entry):
        raise UnexpectedResponse(gettext("SwanLab's summary of a metric is not an object."))
    bounds: Any = entry.get("minMax")
    low, high = (
        cast("list[Any]", bounds) if isinstance(bounds, list) and len(cast("list[Any]", bounds)) == 2 else (None, None)
    )
    # one validation instead of three, because rankings read thousands of summaries
    return MetricSummary.model_validate(
        {
            "step": get_integer(entry.get("step", entry.get("index"))),
            "value": get_number(entry.get("value", entry.get("data"))),
            "min": _read_extreme(entry.get("min"), low),
            "max": _read_extreme(entry.get("max"), high),
            "avg": get_number(entry.get("avg")),
            "median": get_number(entry.get("median")),
            "stdDev": get_number(entry.get("stdDev")),
        }
    )


def _read_extreme(extreme: Any, bound: Any) -> dict[str, Any] | None:
    if is_object(extreme):
        step = get_integer(extreme.get("step", extreme.get("index")))
        value = get_number(extreme.get("value", extreme.get("data")))
    else:
        step, value = None, get_number(extreme)
    if value is None:
        value = get_number(bound)
    return None if value is None else {"step": step, "value": value}
