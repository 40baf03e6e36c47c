from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from swanlab_mcp.analysis.breakage import choose_training_losses
from swanlab_mcp.analysis.differences import (
    Association,
    associate,
    find_confounded,
    find_varying,
    flatten,
    is_seed,
    is_setting,
)
from swanlab_mcp.analysis.leaderboard import Breakage, Reason, Result, set_apart
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.system_units import find_unit
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument, NotFound, SwanLabError
from swanlab_mcp.core.findings import ComparedMetric, round_number
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Experiment, MetricSummary, Points, Summary
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef
from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.operations.arguments import (
    BaselineToBeat,
    ComparedExperiments,
    ComparedMetrics,
    FurtherFilters,
    OptionalProject,
    Username,
)
from swanlab_mcp.operations.choice import (
    choose_in_scope,
    describe_missing_metric,
    list_logged_keys,
    read_series,
)
from swanlab_mcp.operations.copies import FEW_COPIES, note_copies
from swanlab_mcp.operations.decisions import Decided, decide_settings
from swanlab_mcp.operations.environments import read_facts
from swanlab_mcp.operations.health import find_broken
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.partial import read_known
from swanlab_mcp.operations.reading import read_all
from swanlab_mcp.operations.targets import choose_targets

__all__ = ["Compared", "Difference", "Differing", "compare_experiments"]

_LINKS = 3
_MOST = 50
_METRICS = 2
_STRONGEST = 5
_CONFOUNDED = 3
# these facts describe the process and say nothing about the conditions of the run
_PROCESS = ("runtime.pid", "swanlab.run_dir", "runtime.hostname_pid")


Chosen = Mapping[ExperimentRef, Experiment]


class Difference(NamedTuple):
    """A config key or an environment fact that differs between experiments, with its value in each experiment."""

    name: str
    values: Sequence[Any]


class Differing(NamedTuple):
    """The differences between experiments, most informative first.

    `equal` is the number of keys with the same value in all experiments. `others` are keys that are not settings.
    """

    found: Sequence[Difference]
    equal: int
    others: Sequence[str] = ()


class Compared(NamedTuple):
    """The result of a comparison: the experiments, their metrics, and the differences between them.

    Each association comes with its confounded settings. `apart` is the number of experiments that are excluded from the
    associations. With a baseline, `decided` contains a decision per setting. `broken` lists the experiments with NaN or
    infinity in a shown metric or a training loss, and those with a diverged training loss.
    """

    experiments: Chosen
    metrics: Sequence[ComparedMetric]
    settings: Differing
    facts: Differing
    associations: Sequence[tuple[Association, Sequence[str]]]
    apart: int
    links: Sequence[str]
    decided: Decided | None = None
    broken: Sequence[tuple[str, Breakage]] = ()


async def compare_experiments(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuids: ComparedExperiments = (),
    filters: FurtherFilters = (),
    metrics: ComparedMetrics = (),
    baseline: BaselineToBeat = "",
    username: Username = "",
) -> ApiResponse[Compared]:
    """Compare the configs, environments, packages, git commits, commands and results of 2 to 50 experiments.

    Use rank_experiments to order a whole project. Returns the keys that differ and the metrics (last, best, at the last
    common step) with each experiment's value; for 5 or more experiments, also the keys associated with the first
    metric. With a baseline, starts with a decision per setting: keep, discard or run more seeds.
    Example: {"project": "mnist", "exp_cuids": ["lr-0.1", "lr-1"], "metrics": ["val/acc"]}.
    """
    chosen, notes = await _choose(client, project, username, exp_cuids, filters, fewest=1 if baseline else 2)
    decided = None
    if baseline.strip():
        decided, chosen = await _decide(client, chosen, baseline, metrics)
    refs, experiments = list(chosen), list(chosen.values())
    wanted = [*metrics, *await _find_losses(client, chosen)] if metrics else []
    found = await _read_summaries(client, chosen, wanted, notes)
    summaries = [found[ref] for ref in refs]
    logged = dict.fromkeys(key for summary in summaries for key in summary)
    unknown = await _explain_missing(client, chosen, [key for key in dict.fromkeys(metrics) if key not in logged])
    known = [key for key in dict.fromkeys(metrics) if key in logged]
    if unknown and not known:
        raise unknown[0]
    notes += [str(error) for error in unknown]
    targets = known or choose_targets(logged, _METRICS)
    compared = [_compare_metric(key, [summary.get(key) for summary in summaries]) for key in targets]
    compared = await _add_common_step(client, chosen, compared, summaries)
    configs = [flatten(one.profile.get("config")) for one in experiments]
    facts = [{name: value for name, value in read_facts(one).items() if name not in _PROCESS} for one in experiments]
    broken = await _find_broken(client, chosen, found, targets, choose_training_losses(list(logged)))
    apart = _set_apart(chosen, compared, found, broken)
    associations = _find_associations(configs, compared, apart)
    copies = await note_copies(client, chosen, compared=FEW_COPIES)
    return ApiResponse(
        data=Compared(
            chosen,
            compared,
            _find_settings(configs, [one.key for one, _ in associations]),
            _find_facts(facts),
            associations,
            sum(map(bool, apart)),
            _list_links(client, refs),
            decided,
            [(chosen[ref].name, how) for ref, how in broken.items()],
        ),
        notes=list(dict.fromkeys([*notes, *filter(None, [copies])])),
    )


def _list_links(client: SwanLabClient, refs: Sequence[ExperimentRef]) -> list[str]:
    """Return one link pattern per project, or one per workspace if there are many projects."""
    projects = list(dict.fromkeys(ref.parent for ref in refs))
    if len(projects) > _LINKS:
        projects = list(dict.fromkeys(one.parent.project("<project>") for one in projects))
    return [client.at(one).get_link(one.experiment("<cuid>")) for one in projects]


async def _choose(
    client: SwanLabClient,
    project: str,
    username: str,
    exp_cuids: Sequence[str],
    filters: FurtherFilters,
    fewest: int,
) -> tuple[Chosen, list[str]]:
    """Return the chosen experiments with full profiles. Raises InvalidArgument unless `fewest` to 50 are chosen."""
    if exp_cuids and filters:
        raise InvalidArgument(gettext("exp_cuids and filters cannot be combined."), hint=gettext("Pass only one."))
    unknown: Sequence[SwanLabError] = ()
    if exp_cuids:
        read = partial(_read_whole, client, project=project, username=username)
        answers, unknown = await read_known(exp_cuids, read)
        notes = [note for _, answer in answers for note in answer.notes] + [str(error) for error in unknown]
        chosen = {ref: answer.data for ref, answer in answers if answer.data}
    else:
        ref, choice = await choose_in_scope(client, [project], username, filters)
        listed = choice.experiments
        notes = list(choice.notes)
        if len(listed) > _MOST:
            raise InvalidArgument(
                gettext(
                    "{count} experiments are too many to compare; at most {most} at once.",
                    count=len(listed),
                    most=_MOST,
                ),
                hint=gettext(
                    "List some of them in exp_cuids, or narrow the filters; rank_experiments can rank all of them."
                ),
            )
        refs = [ref.experiment(one.cuid) for one in listed]
        whole = await read_all(refs, lambda one: client.at(one).get_experiment(one))
        chosen = {
            one.parent.experiment(answer.data.cuid): answer.data
            for one, answer in zip(refs, whole, strict=True)
            if answer.data
        }
    if len(chosen) < fewest:
        if unknown:
            raise unknown[0]
        raise InvalidArgument(
            gettext("A comparison needs at least 2 experiments; the arguments select 1.")
            if chosen
            else gettext("A comparison needs at least 2 experiments; the arguments select 0."),
            hint=gettext(
                "List them in exp_cuids, or select them with filters; get_experiment describes a single experiment."
            ),
        )
    return chosen, notes


async def _decide(
    client: SwanLabClient, chosen: Chosen, baseline: str, metrics: Sequence[str]
) -> tuple[Decided | None, Chosen]:
    """Return the decisions and the experiments. Add the baseline's best experiment if none of its repeats is chosen."""
    groups = _group(chosen)
    if len(groups) > 1:
        raise InvalidArgument(
            gettext(
                "A baseline applies to only one project, but the experiments are from {count} projects.",
                count=len(groups),
            ),
            hint=gettext("Compare the experiments in one project at a time, or omit the baseline."),
        )
    [(ref, experiments)] = groups.items()
    targets = metrics or choose_targets(await list_logged_keys(client, ref, experiments), 1)
    if not targets:
        raise InvalidArgument(gettext("No logged metric has a known direction; pass metric keys in metrics."))
    decided = await decide_settings(client, ref, baseline, targets[0], list(chosen))
    if not decided or not decided.baseline:
        return decided, chosen
    members = [ref.experiment(cuid) for cuid in decided.get_members(decided.baseline)]
    if any(one in chosen for one in members):
        return decided, chosen
    best = ref.experiment(decided.ranking.experiments[decided.baseline.run_index].cuid)
    whole = (await client.at(ref).get_experiment(best)).data
    return decided, {**chosen, best: whole} if whole else chosen


async def _read_whole(
    client: SwanLabClient, exp_cuid: str, *, project: str, username: str
) -> tuple[ExperimentRef, ApiResponse[Experiment]]:
    ref = await resolve_experiment(client, exp_cuid, project, username)
    ref, answer = await ask_about_experiment(client, ref, client.at(ref).get_experiment)
    # an experiment can be requested by its slug and by its id
    return ref.parent.experiment(answer.data.cuid if answer.data else ref.cuid), answer


def _group(chosen: Chosen) -> dict[ProjectRef, list[Experiment]]:
    """Group the experiments by project."""
    groups: dict[ProjectRef, list[Experiment]] = {}
    for ref, experiment in chosen.items():
        groups.setdefault(ref.parent, []).append(experiment)
    return groups


async def _read_summaries(
    client: SwanLabClient, chosen: Chosen, metrics: Sequence[str], notes: list[str]
) -> dict[ExperimentRef, Summary]:
    groups = _group(chosen)
    answers = await progress.follow(
        "projects",
        *(client.at(project).get_summaries(project, members, list(metrics)) for project, members in groups.items()),
    )
    notes += [note for answer in answers for note in answer.notes]
    found = dict(zip(groups, (answer.data or {} for answer in answers), strict=True))
    return {ref: found[ref.parent].get(one.cuid, {}) for ref, one in chosen.items()}


async def _find_losses(client: SwanLabClient, chosen: Chosen) -> list[str]:
    """Return the training losses. They show whether a run broke, even if its other metrics look good."""
    return choose_training_losses(
        [key for group in _group(chosen).items() for key in await list_logged_keys(client, *group)]
    )


async def _find_broken(
    client: SwanLabClient,
    chosen: Chosen,
    found: Mapping[ExperimentRef, Summary],
    targets: Sequence[str],
    losses: Sequence[str],
) -> dict[ExperimentRef, Breakage]:
    broken: dict[ExperimentRef, Breakage] = {}
    for project, members in _group(chosen).items() if targets or losses else ():
        summaries = [found[project.experiment(one.cuid)] for one in members]
        known = await find_broken(client, project, members, summaries, targets, losses)
        broken |= {project.experiment(one.cuid): how for one, how in zip(members, known, strict=True) if how}
    return broken


def _set_apart(
    chosen: Chosen,
    compared: Sequence[ComparedMetric],
    found: Mapping[ExperimentRef, Summary],
    broken: Mapping[ExperimentRef, Breakage],
) -> list[Reason | None]:
    """For each experiment, return the reason to exclude it from the associations, or `None` to include it."""
    if not compared:
        return []
    results: list[Result] = []
    for (ref, one), value in zip(chosen.items(), compared[0].best or compared[0].last, strict=True):
        last = found[ref].get(compared[0].key, MetricSummary())
        results.append(Result(value, None, last.value, last.step, one.state, None, broken.get(ref)))
    return set_apart(results)


async def _explain_missing(client: SwanLabClient, chosen: Chosen, missing: Sequence[str]) -> list[NotFound]:
    """Return a not-found error with similar names for each of the missing metrics."""
    if not missing:
        return []
    logged = [key for group in _group(chosen).items() for key in await list_logged_keys(client, *group)]
    return [describe_missing_metric(list(dict.fromkeys(logged)), key, len(chosen)) for key in missing]


def _compare_metric(key: str, summaries: Sequence[MetricSummary | None]) -> ComparedMetric:
    direction = describe_key(key).direction
    extremes = [
        one and (one.min if direction == "min" else one.max if direction == "max" else None) for one in summaries
    ]
    return ComparedMetric(
        key=key,
        unit=find_unit(key),
        better={"min": "smaller", "max": "larger", "": "unknown"}[direction],
        last=[None if one is None or one.value is None else round_number(one.value) for one in summaries],
        best=[None if one is None else round_number(one.value) for one in extremes] if direction else [],
        best_step=[None if one is None else one.step for one in extremes] if direction else [],
    )


async def _add_common_step(
    client: SwanLabClient, chosen: Chosen, compared: Sequence[ComparedMetric], summaries: Sequence[Summary]
) -> list[ComparedMetric]:
    """If the experiments ended at different steps, read all points and add the values at the last common step."""
    uneven = [
        metric.key for metric in compared if len({one[metric.key].step for one in summaries if metric.key in one}) > 1
    ]
    if not uneven:
        return list(compared)
    found: dict[ExperimentRef, dict[str, Points]] = {}
    for project, members in _group(chosen).items():
        read = await read_series(client, project, members, uneven)
        found |= {project.experiment(one.cuid): points for one, points in zip(members, read, strict=True)}
    series = [found[ref] for ref in chosen]
    return [_read_common_step(metric, [points.get(metric.key) for points in series]) for metric in compared]


def _read_common_step(metric: ComparedMetric, series: Sequence[Points | None]) -> ComparedMetric:
    ends = [points.steps[-1] for points in series if points and points.steps]
    if len(set(ends)) < 2:
        return metric
    common = min(ends)
    values: list[float | None] = []
    for points in series:
        reached = [index for index, step in enumerate(points.steps) if step <= common] if points else []
        values.append(round_number(points.values[reached[-1]]) if points and reached else None)
    return metric.model_copy(update={"common_step": common, "at_common_step": values})


def _find_settings(configs: Sequence[Mapping[str, Any]], first: Sequence[str]) -> Differing:
    varying = find_varying(configs)
    # results and output folders differ between runs, but they are not settings
    others = [key for key in varying if not is_setting(key) and not is_seed(key)]
    ordered = [key for key in dict.fromkeys([*first, *varying]) if key not in others]
    equal = len(dict.fromkeys(key for config in configs for key in config)) - len(varying)
    return Differing([Difference(key, [config.get(key) for config in configs]) for key in ordered], equal, others)


def _find_facts(facts: Sequence[Mapping[str, Any]]) -> Differing:
    differing = find_varying(facts)
    # packages come last, because there are so many of them
    differing.sort(key=lambda name: name.startswith("package."))
    equal = len(dict.fromkeys(name for one in facts for name in one)) - len(differing)
    return Differing([Difference(name, [one.get(name) for one in facts]) for name in differing], equal)


def _find_associations(
    configs: Sequence[Mapping[str, Any]], compared: Sequence[ComparedMetric], apart: Sequence[Reason | None]
) -> list[tuple[Association, list[str]]]:
    """Return the settings associated with the first metric, or an empty list if fewer than 5 results are usable."""
    indices = [index for index, reason in enumerate(apart) if not reason]
    if len(indices) < DEFAULTS.associated:
        return []
    results = compared[0].best or compared[0].last
    kept = [configs[index] for index in indices]
    # the group means of a secret setting would reveal its values
    open_keys = [
        key for key in find_varying(kept) if all(mask_secrets(one.get(key), key) == one.get(key) for one in kept)
    ]
    keys = [key for key in open_keys if is_setting(key)]
    found = associate(kept, [results[index] or 0.0 for index in indices], keys)[:_STRONGEST]
    return [(one, find_confounded(kept, one.key, keys)[:_CONFOUNDED]) for one in found]
