"""ListedSummaries: the summaries of a list of experiments, requested while further pages are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from swanlab_mcp.client.base import ChooseKeys
from swanlab_mcp.client.cloud.paging import LARGEST_PAGE
from swanlab_mcp.client.cloud.references import References
from swanlab_mcp.client.cloud.summaries import Summaries
from swanlab_mcp.client.cloud.wire import read_reference
from swanlab_mcp.core import progress
from swanlab_mcp.core.models import Summary
from swanlab_mcp.core.refs import ProjectRef

__all__ = ["FIRST", "SUMMARIES_AT_ONCE", "ListedSummaries", "add_keys"]

FIRST = 3
SUMMARIES_AT_ONCE = 300


class ListedSummaries:
    """Collects the summaries of the metrics `keys`, by cuid in `found`.

    If the list has several pages, `choose` adds keys among those that its first experiments logged.
    """

    def __init__(
        self,
        references: References,
        summaries: Summaries,
        ref: ProjectRef,
        keys: Sequence[str],
        choose: ChooseKeys | None,
    ) -> None:
        self._references, self._summaries, self._ref = references, summaries, ref
        self._choose = choose
        self._are_keys_chosen = asyncio.Event()
        self._has_first = False
        self._waiting: list[dict[str, Any]] = []
        self._listed: list[dict[str, Any]] = []
        self._stage: progress.Stage | None = None
        self.keys = list(keys)
        self.found: dict[str, Summary] = {}

    async def take(self, items: list[dict[str, Any]], total: int, *, is_last: bool) -> None:
        """Take a page; request the summaries of 300 experiments at a time."""
        own = self._stage = self._stage or progress.Stage("summaries", total)
        self._waiting.extend(items)
        is_first, self._has_first = not self._has_first, True
        batch = self._cut_batch(is_last=is_last)
        if is_first:
            await self._choose_keys(items, total)
        if not batch:
            return
        project_id = await self._references.find_project_id(self._ref)
        references = [read_reference(item, project_id) for item in batch]
        await self._are_keys_chosen.wait()
        self._listed += references
        self.found.update(await self._summaries.read(references, self.keys))
        if total > SUMMARIES_AT_ONCE:
            await own.advance(len(batch))

    def remember(self) -> None:
        """Keep the ids of the list, so that questions about its experiments need no lookup."""
        self._references.remember(self._ref, self._listed)

    def _cut_batch(self, *, is_last: bool) -> list[dict[str, Any]]:
        if is_last:
            # a list that is read again starts from scratch
            self._stage = None
        elif len(self._waiting) <= SUMMARIES_AT_ONCE - LARGEST_PAGE:
            return []
        batch = self._waiting.copy()
        self._waiting.clear()
        return batch

    async def _choose_keys(self, items: list[dict[str, Any]], total: int) -> None:
        if self._choose and items and total > LARGEST_PAGE:
            project_id = await self._references.find_project_id(self._ref)
            first = await self._summaries.read([read_reference(item, project_id) for item in items[:FIRST]])
            self.keys = add_keys(self.keys, self._choose, first)
        self._are_keys_chosen.set()


def add_keys(keys: Sequence[str], choose: ChooseKeys, first: Mapping[str, Summary]) -> list[str]:
    """Return the keys with those that `choose` adds for the first experiments."""
    logged = list(dict.fromkeys(key for summary in first.values() for key in summary))
    return list(dict.fromkeys([*keys, *choose(logged)]))
