"""Decide which of the compared settings to keep, based on the verdicts of `rank_experiments` against a baseline."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.decisions import Decision, decide, decide_apart
from swanlab_mcp.analysis.standings import Standing
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef
from swanlab_mcp.operations.ranking import Ranking, rank_experiments

__all__ = ["Decided", "decide_settings"]


class Decided(NamedTuple):
    """The decision about each compared setting, in ranking order, and the baseline's row in the ranking.

    `baseline` is `None` if it is unknown whether lower or higher is better.
    """

    ranking: Ranking
    baseline: Standing | None
    rows: Sequence[tuple[Standing, Decision]]

    def get_members(self, standing: Standing) -> list[str]:
        indices = standing.setting.indices if standing.setting else [standing.run_index]
        return [self.ranking.experiments[index].cuid for index in indices]


async def decide_settings(
    client: SwanLabClient, ref: ProjectRef, baseline: str, metric: str, candidates: Collection[ExperimentRef]
) -> Decided | None:
    """Return a decision about each setting that the candidates use, or `None` if the project has no experiments."""
    # use the repeats and the noise of the whole project, so that this tool and rank_experiments agree
    answer = await rank_experiments(
        client, project=ref.project, username=ref.workspace, metric=metric, baseline=baseline, page=0, size=100
    )
    ranking = answer.data
    if not isinstance(ranking, Ranking):
        return None
    wanted = {one.cuid for one in candidates}
    found = Decided(ranking, None, [])
    if ranking.baseline is None:
        return found
    rows: list[tuple[Standing, Decision]] = []
    base: Standing | None = None
    for part in ranking.parts:
        for one in part.rows:
            reason = part.field.reasons[one.run_index]
            if one.is_baseline:
                base = one
            elif wanted.isdisjoint(found.get_members(one)):
                continue
            elif one.judged:
                rows.append((one, decide(one.judged, part.field.sign)))
            elif reason:
                rows.append((one, decide_apart(reason)))
    return found._replace(baseline=base, rows=rows)
