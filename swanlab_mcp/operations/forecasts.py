from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from swanlab_mcp.analysis.config_distances import build_space
from swanlab_mcp.analysis.differences import flatten
from swanlab_mcp.analysis.forecasting import MOST, Course, Forecast, forecast, get_value
from swanlab_mcp.analysis.metric_catalogue import MetricKind, describe_key
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse, Experiment, Points, Summary
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.arguments import Better, ExpCuid, OptionalProject, Username
from swanlab_mcp.operations.choice import explain_missing_metric, read_series
from swanlab_mcp.operations.finding import choose_experiments
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.planning_arguments import AsOfStep, ForecastMetric, UntilStep

__all__ = ["ForecastExperiment", "forecast_experiment"]

_FEWEST_POINTS = 3
_LARGEST = 1e100  # larger values can occur after a divergence, and squaring them would overflow
_USUAL = 0.95  # a fraction of the cohort's median length, because similar runs often stop a few steps apart


@dataclass(frozen=True, slots=True)
class ForecastExperiment:
    """A forecast, and the facts that support its advice.

    `among` is the number of ranked values: the current value and the cohort's values at the same step. `rank` is the
    1-based rank of the current value among them. `pace` is the recent time per step in seconds, or 0 if no times are
    recorded. `actual` is the value at the horizon, or `None` if the experiment has not reached the horizon.
    """

    experiment: Experiment
    metric: str
    kind: MetricKind
    mode: str
    step: int
    until_step: int
    now: float
    is_broken: bool
    forecast: Forecast
    cohort: Sequence[Experiment]
    rank: int = 0
    among: int = 0
    pace: float = 0.0
    actual: float | None = None
    link: str = ""

    @property
    def best(self) -> float | None:
        ends = self.forecast.ends
        return (min(ends) if self.mode == "min" else max(ends)) if ends and self.mode else None

    @property
    def advice(self) -> Literal["keep", "kill", "cannot tell"]:
        if self.is_broken:
            return "kill"
        if self.forecast.chance_best is None:
            return "cannot tell"
        return "kill" if self.forecast.is_lost else "keep"


async def forecast_experiment(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuid: ExpCuid,
    metric: ForecastMetric,
    until_step: UntilStep = 0,
    as_of_step: AsOfStep = 0,
    mode: Better = "auto",
    username: Username = "",
) -> ApiResponse[ForecastExperiment]:
    """Forecast where a running experiment will end, from its curve and finished experiments, to keep or kill it.

    Use diagnose_experiment for what is wrong with it. Returns the expected value at until_step with a 90 % interval,
    the chance of beating the best so far, its rank now, the time left, and advice: keep, kill or cannot tell. With
    as_of_step, a finished experiment shows how good a forecast would have been.
    Example: {"project": "mnist", "exp_cuid": "lr-0.1", "metric": "val/loss"}.
    """
    kind = describe_key(metric)
    wanted = mode if mode != "auto" else kind.direction
    ref = await resolve_experiment(client, exp_cuid, project, username)
    ref, answer = await ask_about_experiment(client, ref, client.at(ref).get_experiment)
    experiment = answer.data
    assert experiment is not None
    choice = await choose_experiments(client, ref.parent, (), keys=[metric])
    series = await read_series(client, ref.parent, [experiment], [metric], exact=False)
    if metric not in series[0]:
        await explain_missing_metric(client, ref.parent, [experiment], metric)
    logged = series[0][metric]
    seen = _cut_points(logged, as_of_step or logged.steps[-1])
    own, shown = _keep_finite(logged), _keep_finite(seen)
    _check_length(shown, metric, as_of_step or (own.steps[-1] if own.steps else 0))
    cohort, lengths = _choose_cohort(experiment, choice.experiments, choice.summaries, metric)
    horizon = until_step or _find_usual_end(cohort, lengths)
    step = shown.steps[-1]
    _check_horizon(horizon, step, metric)
    reaching = [one for one, last in zip(cohort, lengths, strict=True) if last >= _USUAL * horizon]
    nearest = await asyncio.to_thread(_choose_nearest, experiment, reaching)
    series = await read_series(client, ref.parent, nearest, [metric], exact=False)
    courses = [_make_course(one.get(metric), other) for one, other in zip(series, nearest, strict=True)]
    pairs = [
        (one, other)
        for one, other in zip(courses, nearest, strict=True)
        if one.steps and one.steps[0] <= step and one.steps[-1] >= _USUAL * horizon
    ]
    course = _make_course(shown, experiment)
    found = await asyncio.to_thread(forecast, course, [one for one, _ in pairs], horizon, wanted)
    levels = [get_value(one, step) for one, _ in pairs]
    now = course.values[-1]
    better = sum(level < now if wanted == "min" else level > now for level in levels)
    reached = own.steps[-1] >= horizon
    result = ForecastExperiment(
        experiment,
        metric,
        kind,
        wanted,
        step,
        horizon,
        now,
        not math.isfinite(seen.values[-1]),
        found,
        [other for _, other in pairs] if found.cohort else [],
        rank=better + 1 if levels and wanted else 0,
        among=len(levels) + 1 if levels and wanted else 0,
        pace=_measure_pace(shown),
        actual=get_value(_make_course(own, experiment), horizon) if reached else None,
        link=client.at(ref).get_link(ref),
    )
    return ApiResponse(data=result, notes=[*answer.notes, *choice.notes])


def _check_length(shown: Points, metric: str, step: int) -> None:
    if len(shown.steps) < _FEWEST_POINTS:
        raise InvalidArgument(
            ngettext(
                "{metric} has {count} finite point up to step {step}; a forecast needs at least {needed}.",
                "{metric} has {count} finite points up to step {step}; a forecast needs at least {needed}.",
                len(shown.steps),
                metric=shorten(metric),
                step=step,
                needed=_FEWEST_POINTS,
            ),
            hint=gettext("Wait until more points are logged, or pass a larger as_of_step."),
        )


def _check_horizon(horizon: int, step: int, metric: str) -> None:
    if not horizon:
        raise InvalidArgument(
            gettext(
                "No other experiment in the project has finished with {metric}, so until_step is required.",
                metric=shorten(metric),
            ),
            hint=gettext("Pass until_step, the step at which this experiment will end."),
        )
    if horizon <= step:
        raise InvalidArgument(
            gettext("The experiment is already at step {step}, but until_step is {until}.", step=step, until=horizon),
            hint=gettext("Pass a larger until_step, or pass as_of_step to see the forecast from an earlier step."),
        )


def _choose_cohort(
    experiment: Experiment, others: Sequence[Experiment], summaries: Mapping[str, Summary], metric: str
) -> tuple[list[Experiment], list[int]]:
    """Return the other experiments that have ended and have the metric, and the last step of the metric in each."""
    ended: list[Experiment] = []
    lengths: list[int] = []
    for one in others:
        summary = summaries.get(one.cuid, {}).get(metric)
        if one.cuid != experiment.cuid and one.state != "RUNNING" and summary and summary.step is not None:
            ended.append(one)
            lengths.append(summary.step)
    return ended, lengths


def _find_usual_end(experiments: Sequence[Experiment], lengths: Sequence[int]) -> int:
    """Return the step at which finished experiments in the cohort usually end, or 0 if none has finished."""
    finished = [last for one, last in zip(experiments, lengths, strict=True) if one.state == "FINISHED"]
    if not finished:
        return 0
    usual = median(finished)
    return min(last for last in finished if last >= _USUAL * usual)


def _choose_nearest(experiment: Experiment, others: Sequence[Experiment]) -> list[Experiment]:
    """Return the experiments whose configs are most similar to the config of `experiment`."""
    if len(others) <= MOST:
        return list(others)
    space = build_space([one.profile.get("config") for one in [experiment, *others]])
    distances = [space.measure(0, index + 1) for index in range(len(others))]
    nearest = sorted(range(len(others)), key=distances.__getitem__)[:MOST]
    return [others[index] for index in sorted(nearest)]


def _cut_points(points: Points, step: int) -> Points:
    count = bisect_right(points.steps, step)
    return points._replace(steps=points.steps[:count], values=points.values[:count], times=points.times[:count])


def _keep_finite(points: Points) -> Points:
    indices = [index for index, value in enumerate(points.values) if abs(value) < _LARGEST]
    times = [points.times[index] for index in indices] if points.times else []
    return points._replace(
        steps=[points.steps[index] for index in indices],
        values=[points.values[index] for index in indices],
        times=times,
    )


def _make_course(points: Points | None, experiment: Experiment) -> Course:
    finite = _keep_finite(points) if points else Points()
    return Course(finite.steps, finite.values, flatten(experiment.profile.get("config")))


def _measure_pace(points: Points) -> float:
    """Return the time per step in seconds over the last half of the points, or 0 if no times are recorded."""
    middle = len(points.times) // 2
    if len(points.times) < 2 or not points.times[middle] or points.steps[-1] <= points.steps[middle]:
        return 0.0
    return (points.times[-1] - points.times[middle]) / 1000 / (points.steps[-1] - points.steps[middle])
