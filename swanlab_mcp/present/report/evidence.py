"""Gather the data for a report: the ranking, curves, differences, diagnoses and tried settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from swanlab_mcp.analysis.coverage import Coverage, measure_coverage
from swanlab_mcp.analysis.differences import flatten
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Experiment, Points, Summary
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.secret_masking import mask_exactly, mask_secrets
from swanlab_mcp.operations.choice import list_chosen, read_series
from swanlab_mcp.operations.comparison import compare_experiments
from swanlab_mcp.operations.diagnosis import diagnose_experiment
from swanlab_mcp.operations.ranking import rank_experiments
from swanlab_mcp.operations.reading import read_all
from swanlab_mcp.operations.targets import choose_targets
from swanlab_mcp.present.report.blocks import link_to
from swanlab_mcp.present.words import present

__all__ = ["DRAWN", "Evidence", "Group", "gather_evidence"]

DRAWN = 5  # maximum number of settings in a chart
_MEMBERS = 8  # maximum number of curves per setting
_COMPARED = 50
_DIAGNOSED = 20
_KEYS_OF = 5  # the number of newest and of oldest experiments whose keys are considered for the ranked metric


class Group(NamedTuple):
    """A setting in a chart: its row in the ranking, its experiments, and their points by metric."""

    row: Mapping[str, Any]
    cuids: Sequence[str]
    points: Sequence[Mapping[str, Points]]


class Source(NamedTuple):
    """The source of a report's data, and the rules for masking secrets in it."""

    client: SwanLabClient
    ref: ProjectRef
    show_secrets: bool

    def read(self, answer: ApiResponse[Any], notes: list[str]) -> Any:
        """Return an answer's data as JSON with secrets masked, and add the answer's notes to `notes`."""
        payload = self.clean(present(answer).model_dump(mode="json", exclude_none=True))
        notes += payload.get("notes", ())
        return payload.get("data")

    def clean(self, payload: Any) -> Any:
        payload = mask_exactly(payload, self.client.get_secrets())
        return payload if self.show_secrets else mask_secrets(payload)


class Evidence(NamedTuple):
    """The data for a report. `rows` contains the published rows of the ranking, one per setting."""

    source: Source
    experiments: Sequence[Experiment]
    targets: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    summaries: Mapping[str, Summary]
    groups: Sequence[Group]
    compared: Mapping[str, Any]
    diagnoses: Mapping[str, Mapping[str, Any]]
    coverage: Coverage | None
    notes: Sequence[str]

    @property
    def ranked(self) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if "apart" not in row]

    @property
    def apart(self) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if "apart" in row]

    def link(self, name: str, cuid: str) -> Markup:
        """Return the name of an experiment, linked to the experiment's page if there is one."""
        ref = self.source.ref
        return link_to(name, self.source.client.at(ref).get_link(ref.experiment(cuid)))

    def list_events(self, cuid: str) -> list[Mapping[str, Any]]:
        """Return the problems and warnings of an experiment. The list is empty if it was not diagnosed."""
        events = self.diagnoses.get(cuid, {}).get("events", ())
        return [event for event in events if event["severity"] != "info"]


async def gather_evidence(
    client: SwanLabClient, *, project: str, metric: str, username: str, show_secrets: bool
) -> Evidence:
    """Read the data for a report.

    Raises NotFound if the project has no experiments, or if no metric measures the quality of the model.
    """
    ref, choice = await list_chosen(client, project, username, ())
    experiments = choice.experiments
    if not experiments:
        raise NotFound(gettext("The project has no experiments yet, so there are no results to report."))
    source = Source(client, ref, show_secrets)
    where: dict[str, Any] = {"project": ref.project, "username": ref.workspace}
    targets = await _choose_targets(source, experiments, metric)
    notes: list[str] = []
    ranking = await rank_experiments(client, **where, metric=targets[0], by_seed=True, page=0)
    rows: list[Mapping[str, Any]] = source.read(ranking, notes) or []
    ranked = [row for row in rows if "apart" not in row]
    drawn = _list_unlike(ranked or rows)[:DRAWN]
    by_cuid = {one.cuid: one for one in experiments}
    shown = [by_cuid[cuid] for row in drawn for cuid in _list_members(row) if cuid in by_cuid]
    summaries = await client.at(ref).get_summaries(ref, shown, targets)
    points = await read_series(client, ref, shown, targets, exact=False)
    by_member = {one.cuid: part for one, part in zip(shown, points, strict=True)}
    groups = [
        Group(row, known, [by_member[cuid] for cuid in known])
        for row in drawn
        if (known := [cuid for cuid in _list_members(row) if cuid in by_member])
    ]
    order = list(dict.fromkeys(row["cuid"] for row in rows))
    compared: Mapping[str, Any] = {}
    if len(order) > 1:
        answer = await compare_experiments(client, **where, exp_cuids=order[:_COMPARED], metrics=targets[:1])
        compared = source.read(answer, notes)
    diagnoses = await _diagnose(source, ranked, [row for row in rows if "apart" in row])
    # the page already links to every experiment
    links = client.at(ref).get_link(ref.experiment("<cuid>"))
    return Evidence(
        source, experiments, targets, rows, summaries.data or {}, groups, compared, diagnoses,
        _measure_coverage(source, ranked, by_cuid),
        [note for note in dict.fromkeys(notes) if not links or links not in note],
    )  # fmt: skip


async def _choose_targets(source: Source, experiments: Sequence[Experiment], metric: str) -> list[str]:
    """Choose one or two metrics. The first metric is used for the ranking."""
    # include older runs, because the newest may not have logged any metrics yet
    some = [*experiments[:_KEYS_OF], *experiments[_KEYS_OF:][-_KEYS_OF:]]
    ref = source.ref
    logged = await read_all([ref.experiment(one.cuid) for one in some], source.client.at(ref).list_keys)
    keys = list(dict.fromkeys(key for answer in logged if answer.data for key in answer.data.scalars))
    targets = list(dict.fromkeys([key for key in (metric, *choose_targets(keys, 2)) if key]))[:2]
    if not targets:
        raise NotFound(
            gettext("The names of the logged metrics do not show which metric measures the model's quality."),
            hint=gettext("Name a metric with --metric."),
        )
    return targets


def _list_members(row: Mapping[str, Any]) -> list[str]:
    return list(row.get("cuids") or [row["cuid"]])[:_MEMBERS]


def _list_unlike(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the first row of each experiment.

    If it is unknown whether lower or higher is better, an experiment can have two rows: one among the smallest values
    and one among the largest.
    """
    return list({row["cuid"]: row for row in reversed(rows)}.values())[::-1]


async def _diagnose(
    source: Source, ranked: Sequence[Mapping[str, Any]], apart: Sequence[Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Diagnose the runs of the best setting, then the unranked experiments, then the other runs from worst to best.

    The number of diagnosed runs is limited.
    """
    first = [cuid for row in ranked[:1] for cuid in _list_members(row)]
    others = [cuid for row in reversed(ranked) for cuid in _list_members(row)]
    requested = list(dict.fromkeys([*first, *(row["cuid"] for row in apart), *others]))[:_DIAGNOSED]
    ref = source.ref
    answers = await read_all(
        requested,
        lambda cuid: diagnose_experiment(source.client, project=ref.project, exp_cuid=cuid, username=ref.workspace),
    )
    return {cuid: source.read(one, []) for cuid, one in zip(requested, answers, strict=True)}


def _measure_coverage(
    source: Source, ranked: Sequence[Mapping[str, Any]], by_cuid: Mapping[str, Experiment]
) -> Coverage | None:
    cuids = [cuid for row in ranked if "rank" in row for cuid in row.get("cuids") or [row["cuid"]] if cuid in by_cuid]
    if len(cuids) < 2:
        return None
    configs = [source.clean(flatten(by_cuid[cuid].profile.get("config"))) for cuid in cuids]
    return measure_coverage(configs, 0)
