from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swanlab_mcp.analysis.causes import ErrorText, find_error, normalise_error
from swanlab_mcp.analysis.deciding import Curve
from swanlab_mcp.analysis.diagnosis import Judgement
from swanlab_mcp.analysis.events import Event
from swanlab_mcp.analysis.explanations import Explanation, explain, find_rates
from swanlab_mcp.analysis.hygiene import Lack, check_config, check_curves, find_namesakes
from swanlab_mcp.client.base import Backend
from swanlab_mcp.client.copies import FailedRank
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.models import ApiResponse, Experiment, Filter, LogPart
from swanlab_mcp.core.refs import LOCAL, ExperimentRef
from swanlab_mcp.operations.arguments import ExpCuid, OptionalProject, Username
from swanlab_mcp.operations.copies import note_copy
from swanlab_mcp.operations.environments import read_origin
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.reading import read_all
from swanlab_mcp.operations.verdicts import Verdict, read_verdict

__all__ = ["DiagnosedExperiment", "diagnose_experiment"]

_LOG_LINES = 1000
_SIMILAR_READ = 20
_SIMILAR_LINES = 200
_LAST = 10
_CARDS = 2
_OVER = ("FINISHED", "CRASHED", "ABORTED")


@dataclass(frozen=True, slots=True)
class DiagnosedExperiment:
    """The findings about one experiment, and the curves that they are based on.

    `logged` is the number of metrics that the experiment logged, and `similar` lists crashes with the same error line.
    If several processes recorded the experiment, `rank` is the process that failed, and the last step and the last
    values come from that process.
    """

    experiment: Experiment
    judgement: Judgement
    explanations: Sequence[Explanation]
    error: ErrorText | None
    similar: Sequence[Experiment]
    curves: Sequence[Curve]
    left: int
    logged: int
    link: str
    lacks: Sequence[Lack] = ()
    rank: FailedRank | None = None

    def get_time(self, event: Event) -> int:
        """Return the time at which an event started, in Unix milliseconds, or 0 if it was not recorded."""
        curve = next((one for one in self.curves if one.key in event.keys[:1]), None)
        index = bisect_left(curve.steps, event.step) if curve else 0
        return curve.times[index] if curve and index < len(curve.times) else 0

    def choose_last_values(self) -> dict[str, float]:
        """Return the last values of the metrics that best show how the experiment ended."""
        last = self._last

        def of(*roles: str) -> list[Curve]:
            return [curve for curve in self.curves if curve.kind.role in roles and curve.key in last]

        # if there are many GPUs, the ones with the fullest memory are the most informative
        cards = sorted(of("gpu_memory"), key=lambda curve: -max(filter(math.isfinite, curve.values), default=0.0))
        reserved = [*of("learning_rate", "gradient_norm"), *cards[:_CARDS], *of("host_memory")]
        results = [*of("loss", "error"), *of("quality", "reward")][: max(0, _LAST - len(reserved))]
        return {curve.key: last[curve.key][1] for curve in [*results, *reserved, *cards[_CARDS:]][:_LAST]}

    @property
    def last_step(self) -> int | None:
        return max((step for key, (step, _) in self._last.items() if not key.startswith("__swanlab__")), default=None)

    @property
    def _last(self) -> Mapping[str, tuple[int, float]]:
        """The last step and value of each key.

        If several processes recorded the experiment, the values come from the process that failed.
        """
        if self.rank:
            return self.rank.last
        return {curve.key: (curve.steps[-1], curve.values[-1]) for curve in self.curves}


async def diagnose_experiment(
    client: SwanLabClient, *, project: OptionalProject = "", exp_cuid: ExpCuid, username: Username = ""
) -> ApiResponse[DiagnosedExperiment]:
    """Diagnose one experiment from all its points: is it healthy, what went wrong, when, and why.

    Use it for "why did it crash, become NaN, not learn?"; get_logs shows its output. Returns a verdict; events with
    step, size and rule; for a crash the error, last values and similar crashes; and likely causes with evidence and
    confidence.
    Example: {"project": "mnist", "exp_cuid": "lr-0.1"}.
    """
    ref = await resolve_experiment(client, exp_cuid, project, username)
    backend = client.at(ref)
    ref, answer = await ask_about_experiment(client, ref, backend.get_experiment)
    experiment = answer.data
    assert experiment is not None
    read: list[Any] = await gather(
        read_verdict(backend, ref, experiment.state, client.now()),
        _list_namesakes(backend, ref, experiment),
        *([_explain_crash(backend, ref, experiment)] if experiment.state in ("CRASHED", "ABORTED") else ()),
    )
    verdict: Verdict = read[0]
    crash: tuple[ErrorText | None, list[Experiment]] = read[2] if len(read) > 2 else (None, [])
    error, similar = crash
    judgement, curves = verdict.judgement, verdict.curves
    explanations = explain(
        curves,
        judgement.events,
        state=experiment.state,
        rates=find_rates(experiment.profile.get("config")),
        error=error,
        log_lines=_LOG_LINES,
        on_disk=ref.workspace == LOCAL,
    )
    link = backend.get_link(ref)
    lacks = _find_lacks(experiment, verdict, read[1])
    rank = await client.find_failed_rank(ref)
    found = DiagnosedExperiment(
        experiment, judgement, explanations, error, similar, curves, verdict.left, verdict.logged, link, lacks, rank
    )
    copy = await note_copy(client, ref, experiment)
    return ApiResponse(data=found, notes=[*answer.notes, *([copy] if copy else [])])


async def _list_namesakes(backend: Backend, ref: ExperimentRef, experiment: Experiment) -> list[Experiment]:
    """Return the other experiments in the project with the same name."""
    # let SwanLab search by name, because listing thousands of experiments would double the number of requests
    same_name = Filter(field="name", op="=", value=experiment.name)
    found = (await backend.narrow_experiments(ref.parent, [same_name], known=[experiment])).data
    listed = found.experiments if found else ()
    return [one for one in listed if one.name == experiment.name and one.cuid != experiment.cuid]


def _find_lacks(experiment: Experiment, verdict: Verdict, namesakes: Sequence[Experiment]) -> list[Lack]:
    """Return the missing information that will make later analyses of the experiment harder."""
    config = experiment.profile.get("config")
    command, _ = read_origin(experiment)
    return [
        *check_config(config, [one.key for one in verdict.curves], command or ""),
        *check_curves(verdict.curves, verdict.judgement.roles, is_over=experiment.state in _OVER),
        *find_namesakes(
            experiment.name, config, [(one.name, one.cuid, one.profile.get("config")) for one in namesakes]
        ),
    ]


async def _explain_crash(
    backend: Backend, ref: ExperimentRef, experiment: Experiment
) -> tuple[ErrorText | None, list[Experiment]]:
    """Return the error of a crashed or aborted experiment, and other crashed experiments with the same error line.

    Returns `None` and an empty list if no error is recorded.
    """
    error = await _read_error(backend, ref, experiment, _LOG_LINES)
    if error is None or error.later or experiment.state != "CRASHED":
        return error, []
    listed = (await backend.list_experiments(ref.parent)).data or []
    others = [one for one in listed if one.state == "CRASHED" and one.cuid != experiment.cuid]
    others = sorted(others, key=lambda one: one.createdAt, reverse=True)[:_SIMILAR_READ]

    async def ask(other: Experiment) -> ErrorText | None:
        other_ref = ref.parent.experiment(other.cuid)
        whole = await backend.get_experiment(other_ref)
        return await _read_error(backend, other_ref, whole.data or other, _SIMILAR_LINES)

    errors = await read_all(others, ask)
    wanted = normalise_error(error.line)
    return error, [
        one
        for one, other in zip(others, errors, strict=True)
        if other and not other.later and normalise_error(other.line) == wanted
    ]


async def _read_error(backend: Backend, ref: ExperimentRef, experiment: Experiment, lines: int) -> ErrorText | None:
    if experiment.error and experiment.error.strip():
        found = find_error(experiment.error.splitlines())
        # a recorded error is not part of the log, so no log lines follow it
        return found._replace(later=0) if found else ErrorText(experiment.error.strip().splitlines()[-1])
    answer = await backend.read_logs(ref, start=None, count=lines)
    part = answer.data or LogPart((), 0, 0)
    return find_error([line.message for line in part.lines])
