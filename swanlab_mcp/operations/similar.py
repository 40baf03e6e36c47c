from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swanlab_mcp.analysis.config_distances import ConfigSpace, Difference, Untried, build_space, list_unknown
from swanlab_mcp.analysis.differences import flatten
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Experiment, MetricSummary, Page, Summary
from swanlab_mcp.core.refs import ProjectRef, Scope
from swanlab_mcp.operations.arguments import Projects, Username
from swanlab_mcp.operations.choice import choose_in_scope, explain_missing_metric
from swanlab_mcp.operations.exploring import TriedSettings, explore
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.planning_arguments import OutcomeMetric, SimilarCount, SoughtConfig, SoughtExperiment
from swanlab_mcp.operations.reading import read_all, read_summaries
from swanlab_mcp.operations.scope import link_scope
from swanlab_mcp.operations.targets import choose_targets
from swanlab_mcp.operations.verdicts import read_verdict

__all__ = ["SimilarExperiments", "find_similar_experiments"]


@dataclass(frozen=True, slots=True)
class Similar:
    """An experiment with a config similar to the given one.

    `result` is its value for the metric, and `health` is the verdict on its curves.
    """

    experiment: Experiment
    differences: Sequence[Difference]
    distance: float
    is_near_duplicate: bool
    result: float | None
    health: str


@dataclass(frozen=True, slots=True)
class SimilarExperiments:
    """The experiments that are most similar to a config.

    `compared` is the number of experiments compared, and `duplicates` is the number of near-duplicates among them.
    `unknown` lists keys in the config that no experiment has recorded. `untried` lists values that no experiment has
    used.
    """

    rows: Sequence[Similar]
    metric: str
    direction: str
    compared: int
    duplicates: int
    unknown: Sequence[str]
    untried: Sequence[Untried]


async def find_similar_experiments(
    client: SwanLabClient,
    *,
    project: Projects,
    config: SoughtConfig = None,
    exp_cuid: SoughtExperiment = "",
    metric: OutcomeMetric = "",
    size: SimilarCount = 5,
    username: Username = "",
) -> ApiResponse[SimilarExperiments | TriedSettings]:
    """Find the experiments most similar to a planned config or an experiment: was this tried, and how did it end.

    Use find_experiments for exact conditions. Seeds, paths and results are ignored, and renamed or nested keys are
    matched. Returns the nearest experiments with near_duplicate, differing settings, result, state and health; notes
    name settings that are unknown or outside the range tried. Without config and exp_cuid, returns which settings
    matter and what is untried. Example: {"project": "mnist", "config": "lr=0.01, optimizer=adam"}.
    """
    if config and exp_cuid:
        raise InvalidArgument(
            gettext("Pass either config or exp_cuid."),
            hint=gettext('config is text such as "lr=0.01, optimizer=adam" or JSON.'),
        )
    ref, choice = await choose_in_scope(client, project, username, ())
    experiments = choice.experiments
    summaries = (await read_summaries(client, ref, experiments)).data or {} if experiments else {}
    logged = Counter(key for summary in summaries.values() for key in summary)
    if metric and experiments and metric not in logged:
        await explain_missing_metric(client, ref, experiments, metric)
    metric = metric or next(iter(choose_targets([key for key, _ in logged.most_common()], 1)), "")
    direction = describe_key(metric).direction if metric else ""
    choice = choice._replace(summaries=summaries, keys=list(logged))
    links = link_scope(client, ref) if experiments and not isinstance(ref, ProjectRef) else ()
    if not config and not exp_cuid:
        tried = await explore(client, ref, choice, metric, direction)
        shown = len(tried.effects)
        return ApiResponse(data=tried, page=Page(returned=shown, total=shown), notes=list(choice.notes))
    sought: Mapping[str, Any] = config or {}
    if exp_cuid:
        own = await _find_own(client, ref, exp_cuid, username)
        sought = own.profile.get("config") or {}
        experiments = [one for one in experiments if one.cuid != own.cuid]
        if not flatten(sought):
            raise InvalidArgument(
                gettext("The experiment has no recorded config."), hint=gettext("Pass config instead.")
            )
    found = await _find(client, ref, sought, experiments, summaries, (metric, direction), size, is_part=not exp_cuid)
    page = Page(returned=len(found.rows), total=len(experiments))
    return ApiResponse(data=found, page=page, notes=[*choice.notes, *links])


async def _find_own(client: SwanLabClient, ref: Scope, exp_cuid: str, username: str) -> Experiment:
    """Return the experiment whose config is compared.

    If `ref` contains several projects, the experiment's id is its full path.
    """
    one = ref if isinstance(ref, ProjectRef) else None
    home = (one.project, one.workspace) if one else ("", username)
    wanted = await resolve_experiment(client, exp_cuid, *home)
    wanted, answer = await ask_about_experiment(client, wanted, client.at(wanted).get_experiment)
    assert answer.data is not None
    found = answer.data
    return found if one else found.model_copy(update={"cuid": wanted.parent.experiment(found.cuid).path})


async def _find(
    client: SwanLabClient,
    ref: Scope,
    sought: Mapping[str, Any],
    others: Sequence[Experiment],
    summaries: Mapping[str, Summary],
    target: tuple[str, str],
    size: int,
    *,
    is_part: bool,
) -> SimilarExperiments:
    metric, direction = target
    # runs in a thread, because comparing thousands of configs takes seconds
    space, near, distances = await asyncio.to_thread(_compare, sought, others, is_part=is_part)
    order = sorted(range(len(others)), key=lambda index: (not near[index], distances[index]))
    shown = order[:size]
    healths = await _read_health(client, ref, [others[index] for index in shown])
    rows = [
        Similar(
            others[index],
            space.get_differences(0, index + 1, only_first=is_part),
            distances[index],
            near[index],
            _get_result(summaries.get(others[index].cuid, {}).get(metric), direction),
            health,
        )
        for index, health in zip(shown, healths, strict=True)
    ]
    return SimilarExperiments(
        rows,
        metric,
        direction,
        len(others),
        sum(near),
        list_unknown(space) if is_part else [],
        space.find_untried(),
    )


def _compare(
    sought: Mapping[str, Any], others: Sequence[Experiment], *, is_part: bool
) -> tuple[ConfigSpace, list[bool], list[float]]:
    """Return the config space, whether each experiment is a near-duplicate, and each experiment's distance."""
    space = build_space([sought, *(one.profile.get("config") for one in others)])
    indices = range(1, len(others) + 1)
    near = [space.is_near_duplicate(0, index, only_first=is_part) for index in indices]
    return space, near, [space.measure(0, index, only_first=is_part) for index in indices]


async def _read_health(client: SwanLabClient, ref: Scope, experiments: Sequence[Experiment]) -> list[str]:
    async def ask(one: Experiment) -> str:
        own = ref.experiment(one.cuid)
        verdict = await read_verdict(client.at(own), own, one.state, client.now(), exact=False, with_hardware=False)
        return verdict.judgement.health

    return await read_all(experiments, ask)


def _get_result(summary: MetricSummary | None, direction: str) -> float | None:
    """Return the best value, or the last value if it is unknown whether lower or higher is better."""
    if summary is None:
        return None
    best = {"min": summary.min, "max": summary.max}.get(direction)
    return best.value if best else summary.value
