from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from swanlab_mcp.analysis.aggregation import Statistics, compute_statistics
from swanlab_mcp.analysis.breakage import LIKELY_LOSSES, choose_training_losses
from swanlab_mcp.analysis.differences import flatten, freeze
from swanlab_mcp.analysis.filtering import Candidate, check_fields, normalise_field, read_field
from swanlab_mcp.analysis.machines import MACHINE_FIELDS, Machine
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.client.base import FurtherKeys
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Experiment, MetricSummary, Page, Summary
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.refs import Scope
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.arguments import FurtherFilters, PageNumber, PageSize, Projects, Unfinished, Username
from swanlab_mcp.operations.choice import choose_in_scope, describe_missing_metric, list_logged_keys
from swanlab_mcp.operations.finding import Choice
from swanlab_mcp.operations.health import find_broken_members
from swanlab_mcp.operations.listing import describe_page, get_slice
from swanlab_mcp.operations.machines import read_machines
from swanlab_mcp.operations.planning_arguments import (
    AggregatedMetrics,
    AggregatedValue,
    GroupBy,
    Statistic,
    WantedStatistics,
)
from swanlab_mcp.operations.refusals import word_refusals

__all__ = ["Aggregation", "Group", "aggregate_experiments"]

_PERIODS = ("day", "week", "month")
_FIELDS = ("workspace", "project", "user", "state", "name", "group", "job", "labels", "show", "clone_of")
_GROUPED = (*_FIELDS, *MACHINE_FIELDS, *_PERIODS)
_USUAL: Sequence[Statistic] = ("mean", "sd", "min", "median", "max")
_BRIEF: Sequence[Statistic] = ("mean", "sd")
# tables with more rows than this show fewer columns
_FEW_ROWS = 6


@dataclass(frozen=True, slots=True)
class Group:
    """Statistics of one metric over a group of experiments that have equal values in the `group_by` fields.

    Without a metric, `statistics` is empty. Four counts explain which experiments are not part of the statistics:
    `missing` have no value, `non_finite` have NaN or infinity as their value, `broken` have a training loss that became
    NaN or diverged, and `unfinished` are excluded because of their state.

    `seconds` is the total run time of all experiments in the group. `gpu_seconds` is the total GPU time: the sum of
    the run times, each multiplied by the number of GPUs in the machine. It does not include the `without_gpus`
    experiments, whose run time or machine is unknown.
    """

    values: Sequence[Any]
    metric: str
    statistics: Statistics
    count: int
    states: Mapping[str, int]
    missing: int
    non_finite: int
    unfinished: int
    best: Experiment | None
    seconds: float
    without_end: int
    gpu_seconds: float = 0.0
    without_gpus: int = 0
    broken: int = 0


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One page of groups, sorted, and the totals over all pages.

    `groups` is the total number of groups, and `count` is the total number of experiments in them. `ambiguous` contains
    each name that is shared by several experiments.
    """

    rows: Sequence[Group]
    fields: Sequence[str]
    statistics: Sequence[Statistic]
    at: Literal["best", "last"]
    groups: int
    count: int
    has_gpu_hours: bool = False
    ambiguous: Collection[str] = ()


async def aggregate_experiments(
    client: SwanLabClient,
    *,
    project: Projects,
    group_by: GroupBy = (),
    metrics: AggregatedMetrics = (),
    stats: WantedStatistics = (),
    filters: FurtherFilters = (),
    at: AggregatedValue = "best",
    unfinished: Unfinished = False,
    username: Username = "",
    page: PageNumber = 1,
    size: PageSize = 0,
) -> ApiResponse[Aggregation]:
    """Count experiments and average their metrics by field, for example crashes per user or accuracy per learning rate.

    Use rank_experiments to see whether differences are noise. Returns for each group and metric the count, states,
    hours, n, mean, sd, min, median, max and best member; only finished experiments are averaged.
    Example: {"project": "mnist", "group_by": ["config.lr"], "metrics": ["val/acc"]}.
    """
    group_by = [normalise_field(field) for field in group_by]
    _check_groups(group_by)
    further = FurtherKeys(choose_training_losses, LIKELY_LOSSES)
    ref, choice = await choose_in_scope(client, project, username, filters, metrics, further)
    experiments, summaries = choice.experiments, choice.summaries
    metrics, missing = await _drop_missing(client, ref, choice, metrics)
    counted = [one for one in experiments if unfinished or one.state == "FINISHED"]
    broken, limits = await find_broken_members(client, ref, counted, choice, metrics)
    needs_machines = "gpu_hours" in stats or any(field in MACHINE_FIELDS for field in group_by)
    machines = await read_machines(client, ref, experiments) if needs_machines else {}
    candidates = [
        Candidate(one, flatten(one.profile.get("config")), {}, machine=machines.get(one.cuid, Machine()))
        for one in experiments
    ]
    with word_refusals():
        check_fields(group_by, candidates, fixed=_GROUPED)
    members: dict[tuple[str, ...], list[Candidate]] = {}
    for one in candidates:
        members.setdefault(tuple(freeze(_read(one, field, ref)) for field in group_by), []).append(one)
    groups = [
        _aggregate(
            some,
            [_read(some[0], field, ref) for field in group_by],
            metric,
            summaries,
            at,
            broken=broken,
            unfinished=unfinished,
        )
        for some in members.values()
        for metric in (metrics or [""])
    ]
    groups = _order(groups, metrics[0] if metrics else "")
    is_wide = sum(one != "gpu_hours" for one in stats) > len(_BRIEF)
    size = size or (20 if not metrics else _FEW_ROWS if is_wide else 10)
    shown = groups[get_slice(page, size)]
    whole = ApiResponse(data=shown, page=Page(returned=len(shown), total=len(groups)))
    paged = describe_page(whole, page, size, _describe_order(metrics[0] if metrics else ""))
    usual = _USUAL if not page or len(shown) <= _FEW_ROWS else _BRIEF
    wanted: Sequence[Statistic] = [one for one in stats if one != "gpu_hours"] or usual
    names = Counter(one.name for one in experiments)
    found = Aggregation(
        shown,
        group_by,
        wanted,
        at,
        len(members),
        len(candidates),
        "gpu_hours" in stats,
        ambiguous={name for name, count in names.items() if count > 1},
    )
    notes = [*missing, *choice.notes, *limits, *_note_machines(machines, len(experiments)), *paged.notes]
    return ApiResponse(data=found, page=paged.page, notes=notes)


def _check_groups(fields: Sequence[str]) -> None:
    """Raise InvalidArgument if a field cannot be used for grouping.

    Experiments cannot be grouped by measured values (metrics) or by fields that are different in every experiment.
    """
    for field in fields:
        if field in ("created", "finished", "duration"):
            raise InvalidArgument(
                gettext("Experiments cannot be grouped by {field}.", field=field),
                hint=gettext("Group by day, week or month of creation, or filter by {field}.", field=field),
            )
        if field.startswith("metric."):
            raise InvalidArgument(
                gettext("Experiments cannot be grouped by the metric {field}.", field=quote(field)),
                hint=gettext("Pass the metric in metrics, or filter by it."),
            )


async def _drop_missing(
    client: SwanLabClient, ref: Scope, choice: Choice, metrics: Sequence[str]
) -> tuple[Sequence[str], list[str]]:
    """Return the metrics that at least one experiment has, and a note about each of the other metrics.

    Raises NotFound if no experiment has any of the metrics.
    """
    experiments = choice.experiments
    logged = {key for summary in choice.summaries.values() for key in summary}
    missing = [metric for metric in metrics if experiments and metric not in logged]
    if not missing:
        return metrics, []
    near = await list_logged_keys(client, ref, experiments)
    errors = [describe_missing_metric(near, metric, len(experiments)) for metric in missing]
    if len(missing) == len(metrics):
        raise errors[0]
    return [metric for metric in metrics if metric not in missing], [str(error) for error in errors]


def _note_machines(machines: Mapping[str, Machine], count: int) -> list[str]:
    if not machines or len(machines) == count:
        return []
    return [
        gettext(
            "Incomplete: machine information was read for only {count} of {total} experiments; add filters.",
            count=len(machines),
            total=count,
        )
    ]


def _read(candidate: Candidate, field: str, ref: Scope) -> Any:
    """Return the value of a field for an experiment.

    The fields `day`, `week` (an ISO week) and `month` are derived from the experiment's creation time in UTC.
    """
    if field in ("project", "workspace"):
        project = ref.experiment(candidate.experiment.cuid).parent
        return str(project if field == "project" else project.parent)
    if field == "user":
        return candidate.experiment.user.get("username") or None
    if field not in _PERIODS:
        return read_field(candidate, field)
    moment = read_time(candidate.experiment.createdAt)
    if moment is None:
        return None
    if field == "week":
        year, week, _ = moment.isocalendar()
        return f"{year}-W{week:02}"
    return f"{moment:%Y-%m-%d}" if field == "day" else f"{moment:%Y-%m}"


def _aggregate(
    candidates: Sequence[Candidate],
    values: Sequence[Any],
    metric: str,
    summaries: Mapping[str, Summary],
    at: str,
    *,
    broken: Collection[str],
    unfinished: bool,
) -> Group:
    experiments = [one.experiment for one in candidates]
    counted = [one for one in experiments if metric and (unfinished or one.state == "FINISHED")]
    direction = str(describe_key(metric).direction) if metric else ""
    results = [_get_result(summaries.get(one.cuid, {}).get(metric), direction, at) for one in counted]
    finite = [
        (value, one) for value, one in zip(results, counted, strict=True) if value is not None and math.isfinite(value)
    ]
    sound = [(value, one) for value, one in finite if one.cuid not in broken]
    best = min(sound, key=lambda pair: pair[0] if direction == "min" else -pair[0]) if sound and direction else None
    times = [_measure(one) for one in experiments]
    machines = [
        None if time is None or one.machine.gpus is None else time.total_seconds() * len(one.machine.gpus)
        for time, one in zip(times, candidates, strict=True)
    ]
    return Group(
        values,
        metric,
        compute_statistics([value for value, _ in sound]),
        len(experiments),
        Counter(one.state for one in experiments),
        missing=sum(value is None for value in results),
        non_finite=sum(value is not None and not math.isfinite(value) for value in results),
        unfinished=len(experiments) - len(counted) if metric else 0,
        best=best[1] if best else None,
        seconds=sum(time.total_seconds() for time in times if time is not None),
        without_end=sum(time is None for time in times),
        gpu_seconds=sum(one for one in machines if one is not None),
        without_gpus=sum(one is None for one in machines),
        broken=len(finite) - len(sound),
    )


def _get_result(summary: MetricSummary | None, direction: str, at: str) -> float | None:
    if summary is None:
        return None
    best = {"min": summary.min, "max": summary.max}.get(direction) if at == "best" else None
    return best.value if best else summary.value


def _measure(experiment: Experiment) -> timedelta | None:
    """Return the run time of an experiment, or `None` if its end was not recorded."""
    started, ended = read_time(experiment.createdAt), read_time(experiment.finishedAt or "")
    return max(ended - started, timedelta()) if started and ended else None


def _describe_order(metric: str) -> str:
    if metric and describe_key(metric).direction:
        return gettext("best mean of {metric} first", metric=quote(metric))
    return gettext("largest first")


def _order(groups: Sequence[Group], metric: str) -> list[Group]:
    """Sort the groups by their mean, best first.

    If there is no metric with a known direction, the groups are sorted by size, largest first. The rows for the
    different metrics of one group stay next to each other.
    """
    direction = str(describe_key(metric).direction) if metric else ""
    firsts = {tuple(map(freeze, one.values)): one for one in groups if one.metric == metric}

    def rate(group: Group) -> tuple[bool, float, tuple[str, ...]]:
        first = firsts[tuple(map(freeze, group.values))]
        mean = first.statistics.mean
        if not direction:
            return False, -first.count, tuple(map(freeze, group.values))
        signed = 0.0 if mean is None else mean if direction == "min" else -mean
        return mean is None, signed, tuple(map(freeze, group.values))

    return sorted(groups, key=rate)
