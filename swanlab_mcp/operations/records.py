"""Find new records in a project's metrics, using the same rules as rankings."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.leaderboard import Reason, Result, order_results
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.standings import rank_each
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.models import Experiment, Points, Summary
from swanlab_mcp.core.refs import Scope
from swanlab_mcp.operations.finding import Choice
from swanlab_mcp.operations.reached import read_reached
from swanlab_mcp.operations.study import Study

__all__ = ["Record", "find_record", "get_results", "read_studies"]

_CHECKED_AT_ONCE = 4
_CHECKED = 12


class Record(NamedTuple):
    """A value that is better than every earlier value of the metric.

    `moment` is the time when the value was logged. `old` is the previous best value, and `old_holder` is the experiment
    that logged it.
    """

    key: str
    value: float
    step: int | None
    moment: int
    holder: Experiment
    old: float
    old_holder: Experiment
    within_noise: bool
    is_batch: bool


async def read_studies(
    client: SwanLabClient,
    ref: Scope,
    choice: Choice,
    targets: Sequence[str],
    summaries: Mapping[str, Summary],
    *,
    is_alone: bool,
) -> list[Study]:
    """Read the results of all experiments for each target metric.

    If `is_alone` is false, there are several projects, and only summaries are read. Metrics that were not logged or
    have no known direction are skipped.
    """
    choice = choice._replace(summaries=summaries)
    logged = {key for summary in summaries.values() for key in summary}
    studies: list[Study] = []
    for key in targets:
        if key in logged and describe_key(key).direction:
            reached = await read_reached(client, ref, choice, key, "best", may_read=is_alone)
            studies.append(Study(client, ref, choice, reached, key))
    return studies


async def find_record(study: Study, new: Sequence[bool], active: Sequence[bool], since: int) -> Record | None:
    """Return the record that was set after `since`, or `None` if there is none.

    `new` flags the experiments that were created after `since`, and `active` flags those that may have logged points
    after `since`. Unfinished experiments can set records, but broken experiments cannot.
    """
    mode = get_mode(study.metric)
    results, reasons = get_results(study)
    for _ in range(_CHECKED // _CHECKED_AT_ONCE):
        ranked = [index for index in order_results(results, reasons, mode) if not reasons[index]]
        olds = [index for index in ranked[1:] if not new[index]][:1]
        if not ranked or not olds or not active[ranked[0]]:
            return None
        if results[ranked[0]].value == results[olds[0]].value:
            return None
        if {ranked[0], *olds} <= study.breakages.keys():
            return await _describe(study, (ranked[0], olds[0]), since)
        await study.check_experiments(
            [index for index in dict.fromkeys([*olds, *ranked]) if index not in study.breakages][:_CHECKED_AT_ONCE]
        )
        results, reasons = get_results(study)
    return None


def get_results(study: Study) -> tuple[Sequence[Result], Sequence[Reason | None]]:
    """Return each experiment's result so far, and the reason why it cannot hold the record (`None` if it can).

    The results include those of unfinished experiments.
    """
    return study.get_results(get_mode(study.metric), by_state=False, by_length=False)


def get_mode(metric: str) -> Literal["min", "max"]:
    return "max" if describe_key(metric).direction == "max" else "min"


async def _describe(study: Study, indices: tuple[int, int], since: int) -> Record | None:
    top, before = indices
    field = study.make_field(get_mode(study.metric), by_state=False, by_length=False)
    order = order_results(field.results, field.reasons, field.mode)
    number = order.index(before)
    (row,), _ = rank_each(field, slice(number, number + 1))
    result, holder = field.results[top], study.experiments[top]
    known = study.reached.read[top]
    if not isinstance(known, Points):
        one = study.ref.experiment(holder.cuid)
        answer = await study.client.at(one).read_points(one, [study.metric], exact=True)
        known = (answer.data or {}).get(study.metric, Points())
    moment = _find_time(known, result.step, field.get_value(top), field.sign)
    if moment <= since:
        return None
    return Record(
        study.metric,
        field.get_value(top),
        result.step,
        moment,
        holder,
        field.get_value(before),
        study.experiments[before],
        row.within_noise,
        study.reached.is_batch,
    )


def _find_time(points: Points, step: int | None, best: float, sign: int) -> int:
    """Return the time when the best value was logged, in Unix milliseconds, or 0 if it is unknown."""
    if step is not None:
        index = bisect_left(points.steps, step)
        return points.times[index] if index < len(points.times) else 0
    reached = [when for value, when in zip(points.values, points.times, strict=True) if sign * value <= sign * best]
    return min(reached, default=0)
