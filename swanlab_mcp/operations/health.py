"""Find the broken experiments of a ranking by their summaries, and by the points of the most important ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.breakage import (
    choose_training_losses,
    find_breakage,
    find_reported_breakage,
    may_have_diverged,
)
from swanlab_mcp.analysis.leaderboard import Breakage
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.models import Experiment, MetricSummary, Summary
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.operations.choice import list_logged_keys, read_series

__all__ = ["HealthCheck", "find_breakages"]

_SUMMARISED = 3000
_READ = 100


class HealthCheck(NamedTuple):
    """How each experiment broke, None for intact ones; `total` experiments were checked.

    In `summaries` experiments the `losses` were checked by their last values, in `points` experiments by their points.
    """

    found: Sequence[Breakage | None] = ()
    losses: Sequence[str] = ()
    total: int = 0
    summaries: int = 0
    points: int = 0

    def add(self, other: HealthCheck) -> HealthCheck:
        """Return the counts of both checks."""
        return HealthCheck(
            (),
            list(dict.fromkeys([*self.losses, *other.losses])),
            self.total + other.total,
            self.summaries + other.summaries,
            self.points + other.points,
        )


async def find_breakages(
    client: SwanLabClient,
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    metric: str,
    summaries: Sequence[MetricSummary | None],
    already_read: int = 0,
) -> HealthCheck:
    """Return how each experiment broke, by its ranked metric and its training losses.

    `experiments` are sorted, best first. Summaries come in batches and show most breakages. Points of at most 100
    experiments are read: first of those whose summaries hint at a divergence, then of the best.
    """
    losses = choose_training_losses(await list_logged_keys(client, ref, experiments))
    listed = experiments[:_SUMMARISED]
    answer = await client.at(ref).get_summaries(ref, listed, losses) if losses else None
    known = (answer.data if answer else None) or {}
    reported: list[Summary] = [
        {**known.get(one.cuid, {}), **({metric: summary} if summary else {})}
        for one, summary in zip(experiments, summaries, strict=True)
    ]
    found = [find_reported_breakage(metric, one, losses) for one in reported]
    hints = [may_have_diverged(one, losses) for one in reported]
    # read points only if the summary shows no breakage, or no step of it
    unread = [place for place, one in enumerate(found) if not one or one.step is None]
    unread.sort(key=lambda place: (found[place] is not None, not hints[place]))
    wanted = unread[: max(0, _READ - already_read)]
    keys = list(dict.fromkeys([metric, *losses]))
    series = await read_series(client, ref, [experiments[place] for place in wanted], keys, exact=False)
    for place, one in zip(wanted, series, strict=True):
        found[place] = find_breakage(metric, one, losses) or found[place]
    points = len(experiments) if len(wanted) == len(unread) else len(wanted)
    return HealthCheck(found, losses, len(experiments), len(listed), points)
