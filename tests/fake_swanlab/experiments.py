"""The fake's endpoints for experiments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from starlette.responses import Response

from tests.fake_swanlab.accounts import check_write, cut_page, find_project
from tests.fake_swanlab.routing import ApiError, Ask, Routes
from tests.fake_swanlab.state import Experiment, Variants, show_time

routes = Routes()
_UTC8 = timezone(timedelta(hours=8))
_TIMES = {"createdAt", "updatedAt", "finishedAt", "pinnedAt"}


def wrap(config: Any) -> Any:
    """Return a config in SwanLab's format, in which each value has a description and a position, even nested values."""
    if isinstance(config, dict):
        return {
            key: {"value": wrap(value), "desc": "", "sort": index} for index, (key, value) in enumerate(config.items())
        }
    return config


def write_experiment(experiment: Experiment, variants: Variants, parts: tuple[str, ...]) -> dict[str, Any]:
    profile: dict[str, Any] | None = None
    if experiment.has_profile and parts:
        whole = {
            "config": wrap(experiment.config) if variants.wrapped_config else experiment.config,
            "metadata": experiment.metadata,
            "requirements": experiment.requirements,
            "conda": experiment.conda,
        }
        profile = {part: whole[part] for part in parts}
    wire: dict[str, Any] = {
        "cuid": experiment.cuid,
        "name": experiment.name,
        "description": experiment.description,
        "type": experiment.type,
        "state": experiment.state,
        "show": experiment.show,
        "labels": [{"name": label, "colors": ["#528d59"]} for label in experiment.labels],
        "cluster": experiment.cluster,
        "job": experiment.job,
        "createdAt": show_time(experiment.created_at),
        "finishedAt": show_time(experiment.finished_at) if experiment.finished_at else None,
        "user": experiment.user,
    }
    if parts:
        wire["profile"] = profile
    if experiment.slug:
        wire["slug"] = experiment.slug
    if experiment.clone_of:
        wire |= {"rootProId": experiment.clone_of[0].cuid, "rootExpId": experiment.clone_of[1].cuid}
    return wire | experiment.wire


def find_experiment(ask: Ask) -> Experiment:
    for experiment in find_project(ask).experiments:
        if ask.names["id"] in (experiment.cuid, experiment.slug):
            return experiment
    raise ApiError(404, "Experiment not found")


@routes.add("GET", "project/{u}/{p}/runs")
def list_runs(ask: Ask) -> Any:
    variants = ask.state.variants
    return cut_page(ask, find_project(ask).experiments, lambda one: write_experiment(one, variants, ("config",)))


@routes.add("GET", "project/{u}/{p}/runs/{id}")
def get_run(ask: Ask) -> Any:
    whole = ("config", "metadata", "requirements", "conda")
    return write_experiment(find_experiment(ask), ask.state.variants, whole)


@routes.add("DELETE", "project/{u}/{p}/runs/{id}")
def delete_run(ask: Ask) -> Any:
    project = find_project(ask)
    check_write(ask, project.workspace)
    project.experiments.remove(find_experiment(ask))
    return Response(status_code=204)


@routes.add("POST", "project/{u}/{p}/runs/del")
def delete_runs(ask: Ask) -> Any:
    project = find_project(ask)
    check_write(ask, project.workspace)
    project.experiments = [one for one in project.experiments if one.cuid not in ask.body["cuids"]]
    return {}


@routes.add("POST", "project/{u}/{p}/runs/shows")
def filter_runs(ask: Ask) -> Any:
    """Return all matching experiments and all pinned experiments.

    If the request contains groups, the matching experiments are nested by the values of the groups.
    """
    filters = [item for item in ask.body.get("filters", []) if item.get("active", True)]
    found = [
        one for one in find_project(ask).experiments if one.is_pinned or all(_passes(one, item) for item in filters)
    ]
    for sort in reversed([item for item in ask.body.get("sorts", []) if item.get("active", True)]):
        present = [one for one in found if read_field(one, sort) is not None]
        present.sort(key=lambda one: _order(read_field(one, sort)), reverse=sort.get("order") == "DESC")
        found = present + [one for one in found if read_field(one, sort) is None]
    parts = ("config",) if ask.state.variants.shows_profile else ()
    return _group(found, list(ask.body.get("groups", [])), lambda one: write_experiment(one, ask.state.variants, parts))


def _group(found: list[Experiment], groups: list[dict[str, Any]], write: Callable[[Experiment], Any]) -> Any:
    if not groups:
        return [write(one) for one in found]
    nested: dict[str, list[Experiment]] = {}
    for one in found:
        value = read_field(one, groups[0])
        nested.setdefault(",".join(value) if groups[0]["key"] == "labels" else str(value), []).append(one)
    return {value: _group(members, groups[1:], write) for value, members in nested.items()}


def read_field(experiment: Experiment, item: dict[str, Any]) -> Any:
    key, kind = item["key"], item["type"]
    if kind == "CONFIG":
        return experiment.config.get(key)
    if kind == "SCALAR":
        source = experiment.clone_of[1] if experiment.clone_of else experiment
        points = source.read(key)
        return points[-1].value if points else None
    fields: dict[str, Any] = {
        "state": experiment.state,
        "name": experiment.name,
        "description": experiment.description,
        "show": experiment.show,
        "pin": experiment.is_pinned,
        "cluster": experiment.cluster,
        "job": experiment.job,
        "baseline": experiment.is_baseline,
        "colors": experiment.colors,
        "createdAt": experiment.created_at,
        "updatedAt": experiment.updated_at or experiment.created_at,
        "finishedAt": experiment.finished_at,
        "pinnedAt": experiment.pinned_at,
        "labels": experiment.labels,
    }
    if kind != "STABLE" or key not in fields:
        raise ApiError(400, f"Unknown key {kind} {key}")
    return fields[key]


def _passes(experiment: Experiment, item: dict[str, Any]) -> bool:
    actual, wanted, op = read_field(experiment, item), item["value"], item["op"]
    if item["key"] in _TIMES and item["type"] == "STABLE":
        wanted = [datetime.fromisoformat(str(value).replace("Z", "")).replace(tzinfo=_UTC8) for value in wanted]
    values = actual if isinstance(actual, list) and item["type"] == "STABLE" else [actual]
    match op:
        case "EQ" | "IN":
            return any(_same(value, one) for value in values for one in wanted)
        case "NEQ" | "NOT IN":
            return not any(_same(value, one) for value in values for one in wanted)
        case "CONTAIN":
            return any(str(one).lower() in str(value).lower() for value in values for one in wanted)
        case "GTE" | "LTE":
            if actual is None:
                return False
            left, right = _order(actual), _order(wanted[0])
            return left >= right if op == "GTE" else left <= right
        case _:
            raise ApiError(400, f"Unknown op {op}")


def _same(value: Any, wanted: Any) -> bool:
    return value == wanted or str(value) == str(wanted)


def _order(value: Any) -> tuple[int, Any]:
    if isinstance(value, datetime):
        return 0, value.timestamp()
    try:
        return 0, float(value)
    except (TypeError, ValueError):
        return 1, str(value)
