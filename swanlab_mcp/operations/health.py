"""Which experiments broke, of the few that a ranking shows."""

from __future__ import annotations

from collections.abc import Sequence

from swanlab_mcp.analysis.breakage import choose_training_losses, find_breakage
from swanlab_mcp.analysis.leaderboard import Breakage
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.models import Experiment, MetricSummary
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.operations.choice import list_logged_keys, read_series

__all__ = ["find_breakages"]


async def find_breakages(
    client: SwanLabClient,
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    metric: str,
    summaries: Sequence[MetricSummary | None],
) -> list[Breakage | None]:
    """Return how each experiment broke, None where it did not: by its ranked metric and its training losses."""
    if not experiments:
        return []
    losses = choose_training_losses(await list_logged_keys(client, ref, experiments))
    series = await read_series(client, ref, experiments, list(dict.fromkeys([metric, *losses])), exact=False)
    return [find_breakage(metric, one, losses, summary) for one, summary in zip(series, summaries, strict=True)]
