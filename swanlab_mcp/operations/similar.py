from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swanlab_mcp.analysis.config_distances import ConfigSpace, Difference, build_space, list_unknown
from swanlab_mcp.analysis.differences import Association, associate, find_confounded, flatten
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse, Experiment, MetricSummary, Page, Summary
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.operations.arguments import ProjectName, Username
from swanlab_mcp.operations.choice import list_chosen
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.planning_arguments import OutcomeMetric, SimilarCount, SoughtConfig, SoughtExperiment
from swanlab_mcp.operations.reading import read_all
from swanlab_mcp.operations.targets import choose_targets
from swanlab_mcp.operations.verdicts import read_verdict

__all__ = ["SimilarExperiments", "find_similar_experiments"]

_ASSOCIATIONS = 3


@dataclass(frozen=True, slots=True)
class Similar:
    """An experiment like the sought config; `result` is its value of the metric, `health` the verdict on its curves."""

    experiment: Experiment
    differences: Sequence[Difference]
    distance: float
    is_near_duplicate: bool
    result: float | None
    health: str


@dataclass(frozen=True, slots=True)
class SimilarExperiments:
    """The nearest experiments; `duplicates` of `compared` are near-duplicates.

    `unknown` are sought keys that no experiment records. `outside` are sought numbers outside the recorded range: key,
    number, smallest and largest recorded value. `associations` are the settings most associated with the result, each
    with the settings that vary together with it.
    """

    rows: Sequence[Similar]
    metric: str
    direction: str
    compared: int
    duplicates: int
    unknown: Sequence[str]
    outside: Sequence[tuple[str, float, float, float]]
    associations: Sequence[tuple[Association, Sequence[str]]]


async def find_similar_experiments(
    client: SwanLabClient,
    *,
    project: ProjectName,
    config: SoughtConfig = None,
    exp_cuid: SoughtExperiment = "",
    metric: OutcomeMetric = "",
    size: SimilarCount = 5,
    username: Username = "",
) -> ApiResponse[SimilarExperiments]:
    """Find the experiments most like a planned config or an experiment: was this tried, and how did it end.

    Use find_experiments for exact conditions. Seeds, paths and results are ignored, and renamed or nested keys are
    matched. Returns the nearest experiments with near_duplicate, the settings that differ, result, state and health;
    notes name unknown settings, values outside the tried range, and settings that go along with the result.
    Example: {"project": "mnist", "config": "lr=0.01, optimizer=adam"}.
    """
    ref, choice = await list_chosen(client, project, username, ())
    if bool(config) == bool(exp_cuid):
        raise InvalidArgument(
            say("Pass either config or exp_cuid."),
            hint=say('config is text such as "lr=0.01, optimizer=adam" or JSON.'),
        )
    others, notes = choice.experiments, list(choice.notes)
    sought: Mapping[str, Any] = config or {}
    if exp_cuid:
        own_ref = await resolve_experiment(client, exp_cuid, project, username)
        own_ref, answer = await ask_about_experiment(client, own_ref, client.at(own_ref).get_experiment)
        assert answer.data is not None
        own = answer.data
        sought = own.profile.get("config") or {}
        others = [one for one in others if one.cuid != own.cuid]
        if not flatten(sought):
            raise InvalidArgument(say("The experiment records no config."), hint=say("Pass config instead."))
    summaries = (await client.at(ref).get_summaries(ref, others)).data or {} if others else {}
    logged = Counter(key for summary in summaries.values() for key in summary)
    metric = metric or next(iter(choose_targets([key for key, _ in logged.most_common()], 1)), "")
    direction = describe_key(metric).direction if metric else ""
    is_part = not exp_cuid
    # thousands of configs take seconds
    space, near, distances = await asyncio.to_thread(_compare, sought, others, is_part=is_part)
    order = sorted(range(len(others)), key=lambda place: (not near[place], distances[place]))
    shown = order[:size]
    healths = await _read_health(client, ref, [others[place] for place in shown])
    rows = [
        Similar(
            others[place],
            space.get_differences(0, place + 1, only_first=is_part),
            distances[place],
            near[place],
            _get_result(summaries.get(others[place].cuid, {}).get(metric), str(direction)),
            health,
        )
        for place, health in zip(shown, healths, strict=True)
    ]
    found = SimilarExperiments(
        rows,
        metric,
        str(direction),
        len(others),
        sum(near),
        list_unknown(space) if is_part else [],
        space.find_outside(),
        await asyncio.to_thread(_find_associations, others, summaries, metric, str(direction)),
    )
    return ApiResponse(data=found, page=Page(returned=len(rows), total=len(others)), notes=notes)


def _compare(
    sought: Mapping[str, Any], others: Sequence[Experiment], *, is_part: bool
) -> tuple[ConfigSpace, list[bool], list[float]]:
    """Return for each experiment whether it is a near-duplicate of the sought config, and its distance."""
    space = build_space([sought, *(one.profile.get("config") for one in others)])
    places = range(1, len(others) + 1)
    near = [space.is_near_duplicate(0, place, only_first=is_part) for place in places]
    return space, near, [space.measure(0, place, only_first=is_part) for place in places]


async def _read_health(client: SwanLabClient, ref: ProjectRef, experiments: Sequence[Experiment]) -> list[str]:
    async def ask(one: Experiment) -> str:
        verdict = await read_verdict(
            client.at(ref), ref.experiment(one.cuid), one.state, client.now(), exact=False, with_hardware=False
        )
        return verdict.judgement.health

    return await read_all(experiments, ask)


def _get_result(summary: MetricSummary | None, direction: str) -> float | None:
    """Return the best value, or the last one where neither direction is known to be better."""
    if summary is None:
        return None
    best = {"min": summary.min, "max": summary.max}.get(direction)
    return best.value if best else summary.value


def _find_associations(
    experiments: Sequence[Experiment], summaries: Mapping[str, Summary], metric: str, direction: str
) -> list[tuple[Association, Sequence[str]]]:
    rows = build_space([one.profile.get("config") for one in experiments])
    results = [_get_result(summaries.get(one.cuid, {}).get(metric), direction) for one in experiments]
    pairs = [(row, result) for row, result in zip(rows.rows, results, strict=True) if result is not None]
    configs = [{rows.keys[name]: value for name, value in row.items()} for row, _ in pairs]
    # the means of groups would show the values of secrets
    known = [rows.keys[name] for name in rows.scales]
    keys = [key for key in known if all(mask_secrets(one.get(key), key) == one.get(key) for one in configs)]
    found = associate(configs, [result for _, result in pairs], keys)[:_ASSOCIATIONS]
    return [(one, find_confounded(configs, one.key, keys)) for one in found]
