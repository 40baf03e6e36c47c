"""The fake's endpoints for metrics, media and logs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote

from starlette.responses import PlainTextResponse, Response

from tests.fake_swanlab.accounts import check_read, cut_page
from tests.fake_swanlab.routing import ApiError, Ask, Routes, read_number
from tests.fake_swanlab.series import compute_statistics, sample, write_csv
from tests.fake_swanlab.state import Experiment, LogLine, Media, Reading

routes = Routes()
_SHARD = 1000
_FINEST = 1500


def find_data(ask: Ask, reference: dict[str, Any], *, is_legacy: bool = False) -> Experiment | None:
    """Return the experiment that owns the data for a reference in a request, or None if there is none.

    A reference to a clone must contain the ids of the original experiment, which owns the data.
    """
    needs_time = ask.state.variants.needs_created_at and not is_legacy
    if needs_time and not re.fullmatch(r"\d+", str(reference.get("createdAt"))):
        raise ApiError(400, "createdAt is required, in whole Unix seconds")
    project_id = reference.get("rootProId") or reference.get("projectId")
    experiment_id = reference.get("rootExpId") or reference["experimentId"]
    for project in ask.state.projects:
        if project.cuid != project_id:
            continue
        for experiment in project.experiments:
            if experiment.cuid == experiment_id and not experiment.clone_of:
                check_read(ask, project)
                if needs_time and not _was_created(ask, experiment, int(reference["createdAt"])):
                    raise ApiError(400, "createdAt is not the experiment's")
                return experiment
    return None


def _was_created(ask: Ask, root: Experiment, seconds: int) -> bool:
    """Return whether an experiment or one of its clones was created at the given Unix time."""
    if int(root.created_at.timestamp()) == seconds:
        return True
    clones = (one for project in ask.state.projects for one in project.experiments if one.clone_of)
    return any(one.clone_of[1] is root and int(one.created_at.timestamp()) == seconds for one in clones if one.clone_of)


def _columns(ask: Ask) -> list[tuple[dict[str, Any], Experiment, str]]:
    found: list[tuple[dict[str, Any], Experiment, str]] = []
    for column in ask.body["columns"]:
        owner = find_data(ask, {"projectId": ask.body["projectId"], **column})
        if owner:
            found.append((column, owner, column["key"]))
    return found


def summarise(ask: Ask, points: Sequence[Reading], extremes: str) -> dict[str, Any]:
    variants, spell = ask.state.variants, ask.state.spell
    found = compute_statistics(points, include_non_finite=variants.extremes_of_non_finite == "include")

    def write(point: Reading | None) -> Any:
        if point is None or extremes == "absent":
            return None
        if extremes == "bare":
            return spell(point.value)
        field, value = ("index", "data") if extremes == "index" else ("step", "value")
        return {field: point.step, value: spell(point.value)}

    return {
        "step": found.last.step,
        "value": spell(found.last.value),
        "minMax": [spell(found.low.value), spell(found.high.value)] if found.low and found.high else None,
        "min": write(found.low),
        "max": write(found.high),
        "avg": spell(found.avg),
        "median": spell(found.median),
        "stdDev": spell(found.deviation),
    }


@routes.add("POST", "house/metrics/summaries")
def get_summaries(ask: Ask) -> Any:
    is_legacy = isinstance(ask.body, list)
    form = ask.state.variants.summaries
    if (form == "current" and is_legacy) or (form == "legacy" and not is_legacy):
        raise ApiError(ask.state.variants.missing_status, "Bad request")
    references = ask.body if is_legacy else ask.body["experiments"]
    keys = None if is_legacy else ask.body.get("keys")
    answer: dict[str, Any] = {}
    for reference in references:
        owner = find_data(ask, reference, is_legacy=is_legacy)
        found = (
            [key for key, points in owner.metrics.items() if points and (keys is None or key in keys)] if owner else []
        )
        answer[reference["experimentId"]] = {
            key: summarise(ask, owner.read(key), ask.state.variants.extremes) for key in found if owner
        } or None
    return answer


def _find_positions(
    ask: Ask, axis: str, experiment: Experiment, points: Sequence[Reading]
) -> list[tuple[float, Reading]]:
    """Return pairs of axis value and point. Points without a value on the axis are omitted."""
    other = ask.body.get("xKey")
    if other:
        positions = {point.step: point.value for point in experiment.read(other)}
        return [(positions[point.step], point) for point in points if point.step in positions]
    match axis:
        case "step":
            return [(point.step, point) for point in points]
        case "time" | "timestamp":
            return [(point.timestamp, point) for point in points]
        case "relative_time":
            passed = [point.timestamp - experiment.time_of(0) for point in points]
            is_ms = ask.state.variants.relative_time_ms
            return [(one if is_ms else one / 1000, point) for one, point in zip(passed, points, strict=True)]
        case _:
            raise ApiError(400, f"Unknown xType {axis}")


@routes.add("POST", "house/metrics/scalar")
def get_scalars(ask: Ask) -> Any:
    axis, count = ask.body["xType"], min(int(ask.body.get("num", _FINEST)), _FINEST)
    low, high = ask.body.get("range", [0, 0])
    if axis not in ("step", "time", "relative_time") or count < 1:
        raise ApiError(400, "Unknown xType or num")
    answer: list[Any] = []
    for _column, experiment, key in _columns(ask):
        placed = _find_positions(ask, axis, experiment, experiment.read(key))
        if [low, high] != [0, 0]:
            placed = [(position, point) for position, point in placed if low <= position <= high]
        positions = {point.step: position for position, point in placed}
        metrics = [
            {
                "index": ask.state.spell(positions[point.step]),
                "data": ask.state.spell(point.value),
                "timestamp": point.timestamp,
            }
            for point in sample([point for _, point in placed], count)
        ]
        if metrics or ask.state.variants.absent_keys == "empty":
            answer.append({"key": key, "metrics": metrics})
    # reversed, because SwanLab does not specify the order
    return answer[::-1]


@routes.add("POST", "house/metrics/scalar/value")
def get_scalar_values(ask: Ask) -> Any:
    if ask.body["xType"] not in ("step", "timestamp"):
        raise ApiError(400, "Unknown xType")
    answer: list[Any] = []
    for _column, experiment, key in _columns(ask):
        points = experiment.read(key)
        if not points:
            continue
        summary = summarise(ask, points, "index")
        latest = {"index": summary["step"], "data": summary["value"]}
        item: dict[str, Any] = {
            "key": key,
            **{name: summary[name] for name in ("min", "max", "avg", "median")},
            "latest": latest,
        }
        if ask.body["xType"] == "timestamp":
            times = {point.step: point.timestamp for point in points}
            for name in ("min", "max", "latest"):
                item[name] = item[name] and {**item[name], "index": times[item[name]["index"]]}
        answer.append(item)
    return answer[::-1]


def _list_keys(ask: Ask, kind: str) -> Any:
    """List the keys of experiments. Requests about a clone must contain the ids of the original experiment."""
    keys: dict[str, None] = {}
    for reference in ask.body["experiments"]:
        owner = find_data(ask, {**reference, "rootProId": None, "rootExpId": None})
        if owner:
            keys.update(dict.fromkeys(getattr(owner, kind)))
    ordered = sorted(keys)
    start = int(ask.body.get("cursor") or 0)
    limit = int(ask.body.get("limit", 2000))
    if start < 0 or not 1 <= limit <= 2000:
        raise ApiError(400, "Invalid limit or cursor")
    stop = start + limit
    has_more = stop < len(ordered)
    return {"keys": ordered[start:stop], "hasMore": has_more, "nextCursor": str(stop) if has_more else ""}


@routes.add("POST", "house/metrics/scalar/keys")
def list_scalar_keys(ask: Ask) -> Any:
    return _list_keys(ask, "metrics")


@routes.add("POST", "house/metrics/media/keys")
def list_media_keys(ask: Ask) -> Any:
    return _list_keys(ask, "media")


@routes.add("POST", "house/metrics/scalar/availability")
def get_availability(ask: Ask) -> Any:
    answer: dict[str, list[str]] = {key: [] for key in ask.body["keys"]}
    for reference in ask.body["experiments"]:
        owner = find_data(ask, reference)
        for key, holders in answer.items():
            if owner and key in owner.metrics:
                holders.append(reference["experimentId"])
    return answer


def _export(ask: Ask, text: str) -> str:
    path = f"exports/{len(ask.state.exports) + 1}.csv"
    ask.state.exports[path] = text
    return path


@routes.add("POST", "house/metrics/scalar/export")
def export_scalars(ask: Ask) -> Any:
    columns = [(f"{column.get('experimentName', one.name)}-{key}", one.read(key)) for column, one, key in _columns(ask)]
    return {"cosKey": _export(ask, write_csv(columns, ask.state.variants))}


def _presign(ask: Ask, path: str) -> str:
    return f"{ask.base_url}/storage/{quote(path)}?signature=presigned-canary"


@routes.add("POST", "files/presigned/get")
def presign_exports(ask: Ask) -> Any:
    return {"urls": [_presign(ask, path) for path in ask.body["paths"]]}


@routes.add("POST", "resources/presigned/get")
def presign_resources(ask: Ask) -> Any:
    prefix = ask.body["prefix"]
    for project in ask.state.projects:
        if project.cuid == prefix.split("/")[0]:
            check_read(ask, project)
    return {"urls": [_presign(ask, f"{prefix}/{path}") for path in ask.body["paths"]]}


def read_storage(ask: Ask, raw_path: str) -> Response:
    """Serve a download from a presigned URL. The request must not contain a cookie."""
    path = unquote(raw_path)
    if "cookie" in ask.headers or "authorization" in ask.headers:
        raise ApiError(400, "Credentials are not accepted here")
    if ask.query.get("signature") != "presigned-canary":
        raise ApiError(403, "Signature missing")
    if path in ask.state.exports:
        return PlainTextResponse(ask.state.exports[path], media_type="text/csv")
    if path in ask.state.files:
        return Response(ask.state.files[path], media_type="application/octet-stream")
    raise ApiError(404, "No such file")


def _find_by_id(ask: Ask) -> Experiment:
    for project in ask.state.projects:
        for experiment in project.experiments:
            if experiment.cuid == ask.names["id"]:
                check_read(ask, project)
                return experiment
    raise ApiError(404, "Experiment not found")


@routes.add("GET", "experiment/{id}/column")
def list_columns(ask: Ask) -> Any:
    experiment = _find_by_id(ask)
    columns = [(key, "FLOAT") for key in experiment.metrics] + [(key, "IMAGE") for key in experiment.media]
    found = []
    for key, kind in columns:
        group = "SYSTEM" if key.startswith("__swanlab__") else "CUSTOM"
        if ask.query.get("class", group) == group and ask.query.get("search", "") in key:
            found.append({"key": key, "name": key, "type": kind, "class": group, "error": None})
    return cut_page(ask, found, lambda column: column)


@routes.add("GET", "experiment/{id}/column/csv")
def get_column_csv(ask: Ask) -> Any:
    experiment, key = _find_by_id(ask), ask.query.get("key", "")
    if key not in experiment.metrics:
        raise ApiError(404, "No such column")
    path = _export(ask, write_csv([(f"{experiment.name}-{key}", experiment.read(key))], ask.state.variants))
    return {"url": _presign(ask, path)}


def _write_media(key: str, media: Media) -> dict[str, Any]:
    captions = [*media.captions, *[""] * len(media.paths)][: len(media.paths)]
    return {"key": key, "data": media.paths, "more": [{"caption": one} if one else {} for one in captions]}


@routes.add("POST", "house/metrics/media")
def get_media(ask: Ask) -> Any:
    columns = _columns(ask)
    steps = sorted({media.step for _, experiment, key in columns for media in experiment.media.get(key, [])})
    step = ask.body.get("step", steps[-1] if steps else None)
    found = [
        _write_media(key, media)
        for _, experiment, key in columns
        for media in experiment.media.get(key, [])
        if media.step == step
    ]
    return {"steps": steps, "step": step, "metrics": found or None}


@routes.add("POST", "house/metrics/f_media")
def get_all_media(ask: Ask) -> Any:
    answer: list[Any] = []
    for _column, experiment, key in _columns(ask):
        media = experiment.media.get(key)
        metrics = [{"index": one.step, **_write_media(key, one)} for one in media or []]
        answer.append({"key": key, "metrics": metrics} if media else None)
    return answer


def _write_log(line: LogLine) -> dict[str, Any]:
    return {
        "epoch": line.epoch,
        "level": line.level,
        "message": line.message,
        "tag": line.tag,
        "timestamp": line.timestamp,
    }


@routes.add("GET", "house/metrics/log")
def get_logs(ask: Ask) -> Any:
    variants = ask.state.variants
    owner = find_data(ask, dict(ask.query))
    lines = owner.logs if owner else []
    shard, level = read_number(ask, "epoch", 0), ask.query.get("level")
    size = read_number(ask, "size", _SHARD)
    if shard < 0 or not 1 <= size <= _SHARD:
        raise ApiError(400, "Invalid epoch or size")

    def keep(some: list[LogLine]) -> list[LogLine]:
        return [line for line in some if level in (None, line.level)]

    if variants.logs_filter_first:
        chosen = keep(lines)[shard * _SHARD : (shard + 1) * _SHARD]
    else:
        chosen = keep(lines[shard * _SHARD : (shard + 1) * _SHARD])
    count = len(keep(lines)) if variants.logs_count_total else len(chosen)
    return {"logs": [_write_log(line) for line in chosen[:size]], "count": count}


@routes.add("POST", "house/metrics/log/export")
def export_logs(ask: Ask) -> Any:
    owner = find_data(ask, ask.body)
    start, rows = int(ask.body.get("start", 0)), int(ask.body.get("rows", 500_000))
    if start < 0 or not 1 <= rows <= 500_000:
        raise ApiError(400, "start and rows are 0 or more, rows at most 500000")
    lines = owner.logs[start : start + rows] if owner else []
    return {"cosKey": _export(ask, "\n".join(line.message for line in lines))}
