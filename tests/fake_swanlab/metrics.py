"""Wire page, section 5: metrics, media and logs."""

from __future__ import annotations

import math
import statistics
from typing import Any

from starlette.responses import PlainTextResponse, Response

from tests.fake_swanlab.accounts import cut_page
from tests.fake_swanlab.routing import ApiError, Ask, Routes, read_number
from tests.fake_swanlab.state import Experiment, LogLine, Media, Point, Project

routes = Routes()
_SHARD = 1000


def find_data(ask: Ask, reference: dict[str, Any]) -> tuple[Project, Experiment] | None:
    """Return whose data a reference names; a clone holds none of its own, its data lie under its root's ids."""
    if ask.state.variants.needs_created_at and "createdAt" not in reference:
        raise ApiError(400, "createdAt is required")
    project_id = reference.get("rootProId") or reference.get("projectId") or ask.query.get("projectId", "")
    experiment_id = reference.get("rootExpId") or reference.get("experimentId")
    for project in ask.state.projects:
        if project.cuid != project_id and not reference.get("anyProject"):
            continue
        for experiment in project.experiments:
            if experiment.cuid == experiment_id and not experiment.clone_of:
                return project, experiment
    return None


def _columns(ask: Ask) -> list[tuple[dict[str, Any], Experiment, str]]:
    found = []
    for column in ask.body["columns"]:
        owner = find_data(ask, {"projectId": ask.body.get("projectId"), **column})
        if owner:
            found.append((column, owner[1], column["key"]))
    return found


def summarise(ask: Ask, points: list[Point]) -> dict[str, Any]:
    variants, spell = ask.state.variants, ask.state.spell
    finite = [point for point in points if math.isfinite(point[1])]
    counted = points if variants.extremes_of_non_finite == "include" else finite
    last = max(points, key=lambda point: point[0])
    summary: dict[str, Any] = {"step": last[0], "value": spell(last[1])}
    if not counted:
        return {**summary, "minMax": None, "min": None, "max": None, "avg": None, "median": None, "stdDev": None}
    non_finite = next((point for point in counted if not math.isfinite(point[1])), None)
    low = non_finite or min(counted, key=lambda point: (point[1], point[0]))
    high = non_finite or max(counted, key=lambda point: (point[1], -point[0]))
    values = [value for _, value in finite]

    def write(point: Point) -> Any:
        match variants.extremes:
            case "index":
                return {"index": point[0], "data": spell(point[1])}
            case "step":
                return {"step": point[0], "value": spell(point[1])}
            case "bare":
                return spell(point[1])
            case "absent":
                return None

    return {
        **summary,
        "minMax": [spell(low[1]), spell(high[1])],
        "min": write(low),
        "max": write(high),
        "avg": statistics.fmean(values) if values else "NaN",
        "median": statistics.median(values) if values else "NaN",
        "stdDev": statistics.pstdev(values) if values else "NaN",
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
        owner = find_data(ask, reference)
        metrics = owner[1].metrics if owner else {}
        answer[reference["experimentId"]] = {
            key: summarise(ask, points) for key, points in metrics.items() if points and (keys is None or key in keys)
        } or None
    return answer


def sample(points: list[Point], count: int) -> list[Point]:
    """Return at most `count` points: first and last, and of each stretch between the one farthest from its mean."""
    if len(points) <= count:
        return points
    width = (len(points) - 2) / (count - 2)
    kept = [points[0]]
    for bucket in range(count - 2):
        part = points[1 + int(bucket * width) : 1 + int((bucket + 1) * width)] or [points[1 + int(bucket * width)]]
        mean = statistics.fmean(value for _, value in part)
        kept.append(max(part, key=lambda point: abs(point[1] - mean)))
    return [*kept, points[-1]]


@routes.add("POST", "house/metrics/scalar")
def get_scalars(ask: Ask) -> Any:
    count = min(int(ask.body.get("num", 1500)), 1500)
    low, high = ask.body.get("range", [0, 0])
    answer = []
    for _column, experiment, key in _columns(ask):
        points = sorted(experiment.metrics.get(key, []))
        if [low, high] != [0, 0]:
            points = [point for point in points if low <= point[0] <= high]
        start = experiment.time_of(0)
        metrics = []
        for step, value in sample(points, count):
            index: float = step
            if ask.body["xType"] == "time":
                index = experiment.time_of(step)
            elif ask.body["xType"] == "relative_time":
                passed = experiment.time_of(step) - start
                index = passed if ask.state.variants.relative_time_ms else passed / 1000
            metrics.append({"index": index, "data": ask.state.spell(value), "timestamp": experiment.time_of(step)})
        answer.append({"key": key, "metrics": metrics})
    return answer[::-1]


@routes.add("POST", "house/metrics/scalar/value")
def get_scalar_values(ask: Ask) -> Any:
    answer = []
    for _column, experiment, key in _columns(ask):
        points = experiment.metrics.get(key, [])
        if points:
            summary = summarise(ask, points)
            latest = {"index": summary["step"], "data": summary["value"]}
            answer.append(
                {"key": key, **{name: summary[name] for name in ("min", "max", "avg", "median")}, "latest": latest}
            )
    return answer


def _list_keys(ask: Ask, kind: str) -> Any:
    keys: dict[str, None] = {}
    for reference in ask.body["experiments"]:
        owner = find_data(ask, {**reference, "anyProject": True})
        if owner:
            keys.update(dict.fromkeys(getattr(owner[1], kind)))
    ordered = sorted(keys)
    start = int(ask.body.get("cursor") or 0)
    stop = start + min(int(ask.body.get("limit", 2000)), 2000)
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
        owner = find_data(ask, {**reference, "anyProject": True})
        for key, holders in answer.items():
            if owner and key in owner[1].metrics:
                holders.append(reference["experimentId"])
    return answer


def write_csv(ask: Ask, columns: list[tuple[str, Experiment, str]]) -> str:
    variants = ask.state.variants
    series = [dict(experiment.metrics.get(key, [])) for _, experiment, key in columns]
    names = [part for name, _, key in columns for part in (f"{name}-{key}_step", f"{name}-{key}_timestamp")]
    lines = [",".join(["step", *(f'"{name}"' if "," in name else name for name in names)])]
    for step in sorted({step for points in series for step in points}):
        cells = [str(step)]
        for (_, experiment, _), points in zip(columns, series, strict=True):
            if step not in points:
                cells += ["", ""]
                continue
            value = points[step]
            text = variants.csv_nan if math.isnan(value) else repr(value)
            if math.isinf(value):
                text = variants.csv_infinity if value > 0 else f"-{variants.csv_infinity.lstrip('+')}"
            cells += [text, str(experiment.time_of(step))]
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def _export(ask: Ask, text: str) -> str:
    path = f"exports/{len(ask.state.exports) + 1}.csv"
    ask.state.exports[path] = text
    return path


@routes.add("POST", "house/metrics/scalar/export")
def export_scalars(ask: Ask) -> Any:
    columns = [(column.get("experimentName", one.name), one, key) for column, one, key in _columns(ask)]
    return {"cosKey": _export(ask, write_csv(ask, columns))}


@routes.add("POST", "files/presigned/get")
def presign_exports(ask: Ask) -> Any:
    return {"urls": [f"{ask.base_url}/storage/{path}?signature=presigned-canary" for path in ask.body["paths"]]}


@routes.add("POST", "resources/presigned/get")
def presign_resources(ask: Ask) -> Any:
    prefix = ask.body["prefix"]
    return {
        "urls": [f"{ask.base_url}/storage/{prefix}/{path}?signature=presigned-canary" for path in ask.body["paths"]]
    }


def read_storage(ask: Ask, path: str) -> Response:
    """Answer a presigned download: no cookie may come along."""
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
    return cut_page(ask, found)


@routes.add("GET", "experiment/{id}/column/csv")
def get_column_csv(ask: Ask) -> Any:
    experiment, key = _find_by_id(ask), ask.query.get("key", "")
    if key not in experiment.metrics:
        raise ApiError(404, "No such column")
    path = _export(ask, write_csv(ask, [(experiment.name, experiment, key)]))
    return {"url": f"{ask.base_url}/storage/{path}?signature=presigned-canary"}


def _write_media(key: str, media: Media) -> dict[str, Any]:
    return {"key": key, "data": media.paths, "more": [{"caption": caption} for caption in media.captions]}


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
    lines = owner[1].logs if owner else []
    shard, level = read_number(ask, "epoch", 0), ask.query.get("level")
    size = read_number(ask, "size", _SHARD)

    def keep(some: list[LogLine]) -> list[LogLine]:
        return [line for line in some if level in (None, line.level)]

    if variants.logs_filter_first:
        chosen = keep(lines)[shard * size : (shard + 1) * size]
    else:
        chosen = keep(lines[shard * size : (shard + 1) * size])
    count = len(keep(lines)) if variants.logs_count_total else len(chosen)
    return {"logs": [_write_log(line) for line in chosen], "count": count}


@routes.add("POST", "house/metrics/log/export")
def export_logs(ask: Ask) -> Any:
    owner = find_data(ask, ask.body)
    start, rows = int(ask.body.get("start", 0)), int(ask.body.get("rows", 500_000))
    if rows > 500_000:
        raise ApiError(400, "rows must be at most 500000")
    lines = owner[1].logs[start : start + rows] if owner else []
    return {"cosKey": _export(ask, "\n".join(line.message for line in lines))}
