"""Read the value of the ranked metric from each experiment, at the requested point in training."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import mean, median
from typing import NamedTuple

from swanlab_mcp.analysis.breakage import find_breakage
from swanlab_mcp.analysis.leaderboard import Breakage, Reason, Result
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.smoothing import find_smooth_best
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument, NotFound
from swanlab_mcp.core.i18n import gettext, join_sentences
from swanlab_mcp.core.models import MetricSummary, Points
from swanlab_mcp.core.refs import Scope
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.choice import explain_missing_metric, read_series
from swanlab_mcp.operations.finding import Choice

__all__ = ["Reached", "fingerprint", "read_reached"]

_WHOLE_SERIES = 100
_FEWEST = 5


class Reached(NamedTuple):
    """The results of all experiments for one metric.

    `read` contains the summary or the points of each experiment. If `at` is a metric, `decided` contains the points of
    that metric, and values are taken at its best step. `window` is the number of points in the moving average that
    smooths values from single training batches, or 0 if single values are used. `is_batch` is true if the values come
    from single batches, but there are too many experiments to smooth them.
    """

    at: str
    read: Sequence[MetricSummary | Points | None]
    decided: Sequence[Points | None] = ()
    decided_mode: str = ""
    window: int = 0
    is_batch: bool = False

    def get_results(self, mode: str, states: Iterable[str], breakages: Mapping[int, Breakage]) -> list[Result]:
        """Return the result of each experiment, given their states and the known breakages by index."""
        return [
            _read_summary(read, mode, self.at, state, breakages.get(index))
            if isinstance(read, MetricSummary)
            else self._read_series(index, read, mode, state, breakages.get(index))
            for index, (read, state) in enumerate(zip(self.read, states, strict=True))
        ]

    def _read_series(self, index: int, read: Points | None, mode: str, state: str, breakage: Breakage | None) -> Result:
        if read is None or not read.steps:
            return Result(None, None, None, None, state)
        last = Result(None, None, read.values[-1], read.steps[-1], state, breakage=breakage)
        if self.window:
            return _read_smooth_best(read, mode, self.window, last)
        if self.decided_mode:
            return _read_decided(read, self.decided[index], self.decided_mode, last)
        return _read_points(read, self.at, last)

    def find_breakages(self) -> dict[int, Breakage]:
        """Return the breakages in the metric that selects the step, keyed by experiment index.

        The result is empty if `at` is not a metric.
        """
        if not self.decided_mode:
            return {}
        found = {index: find_breakage(self.at, {self.at: one}, ()) for index, one in enumerate(self.decided) if one}
        return {index: one for index, one in found.items() if one}


async def read_reached(
    client: SwanLabClient, ref: Scope, choice: Choice, metric: str, at: str, *, may_read: bool = True
) -> Reached:
    """Read the metric from all chosen experiments.

    If `may_read` is false, no points are read. The values in the summaries are then used even if each comes from a
    single training batch. Raises NotFound if no experiment has the metric, and InvalidArgument if there are too many
    experiments.
    """
    experiments = choice.experiments
    if at in ("best", "last"):
        summaries = [choice.summaries.get(one.cuid, {}).get(metric) for one in experiments]
        if all(one is None for one in summaries):
            await explain_missing_metric(client, ref, experiments, metric)
        if at == "last" or not _may_be_batch(metric):
            return Reached(at, summaries)
        if len(experiments) > _WHOLE_SERIES or not may_read:
            return Reached(at, summaries, is_batch=True)
        series = await read_series(client, ref, experiments, [metric], exact=False)
        points = [one.get(metric) for one in series]
        length = median([len(one.steps) for one in points if one] or [0])
        if length < DEFAULTS.batch_points:
            return Reached(at, summaries)
        return Reached(at, points, window=round(length * DEFAULTS.batch_window))
    is_key = at != "smoothed" and not at.startswith("step:")
    if is_key and not describe_key(at).direction:
        raise InvalidArgument(
            gettext(
                "at={at} is not best, last, smoothed, step:N or a metric with a known direction.",
                at=quote(at),
            ),
            hint=gettext("Name a metric, for example val/acc: the ranking then uses the values at its best step."),
        )
    if len(experiments) > _WHOLE_SERIES:
        raise InvalidArgument(
            gettext(
                "at={at} reads every point in {count} experiments, but at most {most} can be read at once.",
                at=quote(at),
                count=len(experiments),
                most=_WHOLE_SERIES,
            ),
            hint=gettext("Narrow the filters, or rank with at=best or at=last."),
        )
    series = await read_series(client, ref, experiments, [metric, at] if is_key else [metric])
    points = [one.get(metric) for one in series]
    if not any(points):
        await explain_missing_metric(client, ref, experiments, metric)
    if not is_key:
        return Reached(at, points)
    decided = [one.get(at) for one in series]
    if not any(decided):
        try:
            await explain_missing_metric(client, ref, experiments, at)
        except NotFound as error:
            hint = gettext("at must be best, last, smoothed, step:N or a metric key.")
            raise InvalidArgument(error.message, hint=join_sentences(error.hint, hint)) from error
    return Reached(at, points, decided, describe_key(at).direction)


def fingerprint(read: MetricSummary | Points | None) -> Hashable:
    """Return a value that is equal for two experiments only if they recorded the same series.

    Returns `None` if too little is known about the series.
    """
    if isinstance(read, MetricSummary):
        low, high = read.min, read.max
        if read.value is None or not (low or high):
            return None
        # a flat tuple, because nested tuples slow down garbage collection
        return (
            read.step,
            read.value,
            low and low.step,
            low and low.value,
            high and high.step,
            high and high.value,
        )
    return (tuple(read.steps), tuple(read.values)) if read else None


def _may_be_batch(metric: str) -> bool:
    """Return whether the metric's values may come from single training batches.

    Such values are too noisy to be compared with each other.
    """
    kind = describe_key(metric)
    is_held_out = kind.split in ("validation", "test") or "test" in metric.casefold()
    return not is_held_out and kind.role in ("loss", "error", "quality", "reward")


def _read_summary(summary: MetricSummary, mode: str, at: str, state: str, breakage: Breakage | None) -> Result:
    if at == "last":
        return Result(summary.value, summary.step, summary.value, summary.step, state, None, breakage)
    extreme = summary.min if mode == "min" else summary.max
    if extreme is None:
        is_lost = summary.value is not None and not math.isfinite(summary.value)
        missing = Reason("non-finite" if is_lost else "no extremes")
        return Result(None, None, summary.value, summary.step, state, missing, breakage)
    return Result(extreme.value, extreme.step, summary.value, summary.step, state, None, breakage)


def _read_smooth_best(points: Points, mode: str, window: int, last: Result) -> Result:
    found = find_smooth_best(points.values, mode, min(window, len(points.values)))
    if not found:
        return last._replace(missing=Reason("non-finite"))
    return last._replace(value=found[1], step=points.steps[found[0]])


def _read_decided(points: Points, decided: Points | None, mode: str, last: Result) -> Result:
    finite = (
        [
            (value if mode == "min" else -value, step)
            for step, value in zip(decided.steps, decided.values, strict=True)
            if math.isfinite(value)
        ]
        if decided
        else []
    )
    if not finite:
        return last._replace(missing=Reason("not at that step"))
    wanted = min(finite)[1]
    reached = [index for index, step in enumerate(points.steps) if step <= wanted]
    if not reached:
        return last._replace(missing=Reason("begins later", points.steps[0]))
    return last._replace(value=points.values[reached[-1]], step=points.steps[reached[-1]])


def _read_points(points: Points, at: str, last: Result) -> Result:
    if at == "smoothed":
        count = max(min(_FEWEST, len(points.values)), len(points.values) // 10)
        return last._replace(value=mean(points.values[-count:]), step=points.steps[-1])
    wanted = int(at.removeprefix("step:"))
    if points.steps[-1] < wanted:
        return last._replace(missing=Reason("not there yet", points.steps[-1]))
    reached = [index for index, step in enumerate(points.steps) if step <= wanted]
    if not reached:
        return last._replace(missing=Reason("begins later", points.steps[0]))
    value, step = points.values[reached[-1]], points.steps[reached[-1]]
    return last._replace(value=value, step=step, last_value=value, last_step=step)
