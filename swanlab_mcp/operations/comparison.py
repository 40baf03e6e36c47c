from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from swanlab_mcp.analysis.differences import (
    Association,
    associate,
    find_confounded,
    find_varying,
    flatten,
    is_seed,
    is_setting,
)
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.findings import ComparedMetric, round_number
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse, Experiment, MetricSummary, Points, Summary
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef
from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.operations.arguments import (
    ComparedExperiments,
    ComparedMetrics,
    Filters,
    ProjectName,
    Username,
)
from swanlab_mcp.operations.choice import (
    explain_missing_metric,
    list_chosen,
    read_all,
    read_series,
)
from swanlab_mcp.operations.environments import read_facts
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.targets import choose_targets

__all__ = ["Compared", "Difference", "Differing", "compare_experiments"]

_MOST = 50
_METRICS = 2
_STRONGEST = 5
_CONFOUNDED = 3
# facts about the process, not about the conditions of the run
_PROCESS = ("runtime.pid", "swanlab.run_dir", "runtime.hostname_pid")


class Difference(NamedTuple):
    """A config key or a fact that differs, with one value per experiment."""

    name: str
    values: Sequence[Any]


class Differing(NamedTuple):
    """Differences, the most informative first; `equal` counts the keys equal in all, `others` are not settings."""

    found: Sequence[Difference]
    equal: int
    others: Sequence[str] = ()


class Compared(NamedTuple):
    """The differences between experiments, and their results.

    An association comes with its confounded settings; `without_value` counts the experiments excluded from
    associations.
    """

    experiments: Sequence[Experiment]
    metrics: Sequence[ComparedMetric]
    settings: Differing
    facts: Differing
    associations: Sequence[tuple[Association, Sequence[str]]]
    without_value: int
    link: str


async def compare_experiments(
    client: SwanLabClient,
    *,
    project: ProjectName,
    exp_cuids: ComparedExperiments = (),
    filters: Filters = (),
    metrics: ComparedMetrics = (),
    username: Username = "",
) -> ApiResponse[Compared]:
    """Compare 2 to 50 experiments by differences in config, environment, packages, git and command, and by results.

    Use rank_experiments to order a whole project. Returns a value per experiment for each differing key and for each
    metric (last, best, at the last common step); for 5 or more experiments also the keys associated with the first
    metric.
    Example: {"project": "mnist", "exp_cuids": ["lr-0.1", "lr-1"], "metrics": ["val/acc"]}.
    """
    ref, experiments, notes = await _choose(client, project, username, exp_cuids, filters)
    reported = await client.at(ref).get_summaries(ref, experiments, list(metrics))
    notes += reported.notes
    summaries = [(reported.data or {}).get(one.cuid, {}) for one in experiments]
    logged = dict.fromkeys(key for summary in summaries for key in summary)
    for key in metrics:
        if key not in logged:
            await explain_missing_metric(client, ref, experiments, key)
    targets = list(dict.fromkeys(metrics)) or choose_targets(logged, _METRICS)
    compared = [_compare_metric(key, [summary.get(key) for summary in summaries]) for key in targets]
    compared = await _add_common_step(client, ref, experiments, compared, summaries)
    configs = [flatten(one.profile.get("config")) for one in experiments]
    facts = [{name: value for name, value in read_facts(one).items() if name not in _PROCESS} for one in experiments]
    associations, lacking = _find_associations(configs, compared)
    return ApiResponse(
        data=Compared(
            experiments,
            compared,
            _find_settings(configs, [one.key for one, _ in associations]),
            _find_facts(facts),
            associations,
            lacking,
            client.at(ref).get_link(ref.experiment("<cuid>")),
        ),
        notes=list(dict.fromkeys(notes)),
    )


async def _choose(
    client: SwanLabClient, project: str, username: str, exp_cuids: Sequence[str], filters: Filters
) -> tuple[ProjectRef, list[Experiment], list[str]]:
    """Return 2 to 50 experiments with their whole profiles. Raises InvalidArgument for fewer or more."""
    notes: list[str] = []
    if exp_cuids and filters:
        raise InvalidArgument(say("exp_cuids and filters cannot go together."), hint=say("Give one of them."))
    if exp_cuids:
        names = list(dict.fromkeys(exp_cuids))
        refs = await progress.follow(
            "experiments", *(resolve_experiment(client, one, project, username) for one in names)
        )
        ref = refs[0].parent
        if any(one.parent != ref for one in refs):
            raise InvalidArgument(
                say("The experiments belong to several projects."), hint=say("Compare those of one project.")
            )
        answers = await read_all(refs, partial(_read_whole, client))
        found = [answer.data for answer in answers if answer.data]
        notes += [note for answer in answers for note in answer.notes]
    else:
        ref, choice = await list_chosen(client, project, username, filters)
        listed = choice.experiments
        notes += choice.notes
        if len(listed) > _MOST:
            raise InvalidArgument(
                say(
                    "{count} experiments are too many to compare; at most {most} at once.",
                    count=len(listed),
                    most=_MOST,
                ),
                hint=say("Name some in exp_cuids, or narrow the filters; rank_experiments orders them all."),
            )
        whole = await read_all([ref.experiment(one.cuid) for one in listed], client.at(ref).get_experiment)
        found = [one.data for one in whole if one.data]
    distinct = list({one.cuid: one for one in found}.values())
    if len(distinct) < 2:
        raise InvalidArgument(
            say("A comparison needs 2 experiments or more; 1 is meant.")
            if distinct
            else say("A comparison needs 2 experiments or more; 0 are meant."),
            hint=say("Name them in exp_cuids, or choose them by filters; get_experiment tells about one."),
        )
    return ref, distinct, notes


async def _read_whole(client: SwanLabClient, ref: ExperimentRef) -> ApiResponse[Experiment]:
    _, answer = await ask_about_experiment(client, ref, client.at(ref).get_experiment)
    return answer


def _compare_metric(key: str, summaries: Sequence[MetricSummary | None]) -> ComparedMetric:
    direction = describe_key(key).direction
    extremes = [
        one and (one.min if direction == "min" else one.max if direction == "max" else None) for one in summaries
    ]
    return ComparedMetric(
        key=key,
        better={"min": "smaller", "max": "larger", "": "unknown"}[direction],
        last=[None if one is None or one.value is None else round_number(one.value) for one in summaries],
        best=[None if one is None else round_number(one.value) for one in extremes] if direction else [],
        best_step=[None if one is None else one.step for one in extremes] if direction else [],
    )


async def _add_common_step(
    client: SwanLabClient,
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    compared: Sequence[ComparedMetric],
    summaries: Sequence[Summary],
) -> list[ComparedMetric]:
    """Add the values at the last common step, from every point, if the experiments ended at different steps."""
    uneven = [
        metric.key for metric in compared if len({one[metric.key].step for one in summaries if metric.key in one}) > 1
    ]
    if not uneven:
        return list(compared)
    series = await read_series(client, ref, experiments, uneven)
    return [_read_common_step(metric, [points.get(metric.key) for points in series]) for metric in compared]


def _read_common_step(metric: ComparedMetric, series: Sequence[Points | None]) -> ComparedMetric:
    ends = [points.steps[-1] for points in series if points and points.steps]
    if len(set(ends)) < 2:
        return metric
    common = min(ends)
    values: list[float | None] = []
    for points in series:
        reached = [place for place, step in enumerate(points.steps) if step <= common] if points else []
        values.append(round_number(points.values[reached[-1]]) if points and reached else None)
    return metric.model_copy(update={"common_step": common, "at_common_step": values})


def _find_settings(configs: Sequence[Mapping[str, Any]], first: Sequence[str]) -> Differing:
    varying = find_varying(configs)
    # results and output folders in a config are not settings
    others = [key for key in varying if not is_setting(key) and not is_seed(key)]
    ordered = [key for key in dict.fromkeys([*first, *varying]) if key not in others]
    equal = len(dict.fromkeys(key for config in configs for key in config)) - len(varying)
    return Differing([Difference(key, [config.get(key) for config in configs]) for key in ordered], equal, others)


def _find_facts(facts: Sequence[Mapping[str, Any]]) -> Differing:
    differing = find_varying(facts)
    # there are many packages, so other differences of the environment come first
    differing.sort(key=lambda name: name.startswith("package."))
    equal = len(dict.fromkeys(name for one in facts for name in one)) - len(differing)
    return Differing([Difference(name, [one.get(name) for one in facts]) for name in differing], equal)


def _find_associations(
    configs: Sequence[Mapping[str, Any]], compared: Sequence[ComparedMetric]
) -> tuple[list[tuple[Association, list[str]]], int]:
    """Return the settings associated with the first metric's best (or last) values, for 5 experiments or more.

    The second value is the number of experiments without a finite value of it.
    """
    if not compared or len(configs) < DEFAULTS.associated:
        return [], 0
    target = compared[0]
    results = target.best or target.last
    places = [place for place, value in enumerate(results) if value is not None and math.isfinite(value)]
    kept = [configs[place] for place in places]
    # the means of groups would reveal a secret's values
    open_keys = [
        key for key in find_varying(kept) if all(mask_secrets(one.get(key), key) == one.get(key) for one in kept)
    ]
    keys = [key for key in open_keys if is_setting(key)]
    found = associate(kept, [results[place] for place in places], keys)[:_STRONGEST]
    lacking = len(configs) - len(places)
    return [(one, find_confounded(kept, one.key, keys)[:_CONFOUNDED]) for one in found], lacking
