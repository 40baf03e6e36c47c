"""Fetch the summaries of listed experiments while more pages of the list are pending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.client.base import FIRST, FurtherKeys
from swanlab_mcp.client.cloud.paging import LARGEST_PAGE
from swanlab_mcp.client.cloud.references import References
from swanlab_mcp.client.cloud.summaries import Summaries
from swanlab_mcp.client.cloud.wire import read_reference
from swanlab_mcp.core import progress
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.models import Summary
from swanlab_mcp.core.refs import ProjectRef

__all__ = ["SUMMARIES_AT_ONCE", "ListedSummaries"]

SUMMARIES_AT_ONCE = 300


class ListedSummaries:
    """Collects summaries of the metrics in `keys` for listed experiments. `found` maps each cuid to its summary.

    `further` selects additional keys from the keys that the first few experiments logged. `first` contains the full
    summaries of these experiments.
    """

    def __init__(
        self,
        references: References,
        summaries: Summaries,
        ref: ProjectRef,
        keys: Sequence[str],
        further: FurtherKeys | None,
    ) -> None:
        self._references, self._summaries, self._ref = references, summaries, ref
        self._further = further
        self._requested = list(keys)
        self._has_first = False
        self._waiting: list[dict[str, Any]] = []
        self._listed: dict[str, dict[str, Any]] = {}
        self._stage: progress.Stage | None = None
        self.keys = list(keys)
        self.found: dict[str, Summary] = {}
        self.first: dict[str, Summary] = {}

    async def take(self, items: list[dict[str, Any]], total: int, *, is_last: bool) -> None:
        """Add the experiments on a page, and fetch summaries whenever a batch of about 300 experiments is complete."""
        own = self._stage = self._stage or progress.Stage("summaries", total)
        self._waiting.extend(items)
        is_first, self._has_first = not self._has_first, True
        batch = self._cut_batch(is_last=is_last)
        if is_first and items and self._further:
            self._requested = list(dict.fromkeys([*self.keys, *self._further.likely]))
            await gather(self._choose_keys(items, self._further), self._read(batch))
        else:
            await self._read(batch)
        if batch and total > SUMMARIES_AT_ONCE:
            await own.advance(len(batch))

    async def finish(self) -> None:
        """Fetch the chosen keys that are still missing, and drop keys that were fetched in advance but not chosen.

        Remember the ids of all listed experiments, so that later requests about them need no lookup.
        """
        references = list(self._listed.values())
        self._references.remember(self._ref, references)
        if missing := [key for key in self.keys if key not in self._requested]:
            starts = range(0, len(references), SUMMARIES_AT_ONCE)
            batches = [references[start : start + SUMMARIES_AT_ONCE] for start in starts]
            for answer in await gather(*(self._summaries.read(batch, missing) for batch in batches)):
                for cuid, summary in answer.items():
                    self.found[cuid] = {**self.found[cuid], **summary}
        if not set(self._requested) <= set(self.keys):
            self.found = {
                cuid: {key: summary[key] for key in self.keys if key in summary} for cuid, summary in self.found.items()
            }

    def _cut_batch(self, *, is_last: bool) -> list[dict[str, Any]]:
        if is_last:
            # if the list is read again, the progress of its summaries starts over
            self._stage = None
        elif len(self._waiting) <= SUMMARIES_AT_ONCE - LARGEST_PAGE:
            return []
        batch = self._waiting.copy()
        self._waiting.clear()
        return batch

    async def _read(self, batch: list[dict[str, Any]]) -> None:
        if not batch:
            return
        project_id = await self._references.find_project_id(self._ref)
        references = [read_reference(item, project_id) for item in batch]
        self._listed |= {one["experimentId"]: one for one in references}
        self.found.update(await self._summaries.read(references, self._requested))

    async def _choose_keys(self, items: list[dict[str, Any]], further: FurtherKeys) -> None:
        project_id = await self._references.find_project_id(self._ref)
        self.first = await self._summaries.read([read_reference(item, project_id) for item in items[:FIRST]])
        self.keys = further.add(self.keys, self.first)
