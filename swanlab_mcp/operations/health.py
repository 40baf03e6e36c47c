"""Find broken experiments in a ranking, first from their summaries, then from the points of the most relevant ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from swanlab_mcp.analysis.breakage import (
    choose_for_points,
    choose_training_losses,
    find_breakage,
    find_doubtful,
    find_reported_breakage,
)
from swanlab_mcp.analysis.leaderboard import Breakage
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Experiment, Summary
from swanlab_mcp.core.refs import Scope
from swanlab_mcp.operations.choice import read_series
from swanlab_mcp.operations.finding import FEW, Choice, list_keys_by_project
from swanlab_mcp.operations.reading import read_summaries

__all__ = ["HealthCheck", "HealthReader", "find_broken", "find_broken_members"]

_LEADERS = 3
_SUMMARISED = 3000
_READ = 100


class HealthCheck(NamedTuple):
    """How thoroughly `total` experiments were checked for breakage.

    `summaries` is the number of experiments for which the last values of the `losses` were checked, and `points` is the
    number for which all points were checked.
    """

    losses: Sequence[str] = ()
    total: int = 0
    summaries: int = 0
    points: int = 0


class HealthReader:
    """Finds broken experiments in a ranking, based on the ranked metric and the training losses.

    `homes` contains the project of each experiment. If there are at most 100 experiments, the points of all of them are
    checked. Otherwise all experiments are checked by their summaries, and points are only read for up to 100 leading or
    suspicious experiments.
    """

    def __init__(self, client: SwanLabClient, ref: Scope, choice: Choice, metric: str, homes: Sequence[str]) -> None:
        self._client, self._ref, self._metric = client, ref, metric
        self._experiments = choice.experiments
        self._summaries: list[Summary] = [choice.summaries.get(one.cuid, {}) for one in self._experiments]
        # the losses in all projects, because each project may log different losses
        self._losses = [key for key in choice.keys if key != metric or choose_training_losses([key])]
        self._homes = homes
        self._own: dict[str, tuple[str, ...]] = {}
        self._are_keys_known = False
        self._bare: set[int] = set()
        self._suspicious: set[int] = set()
        self._read: set[int] = set()
        self._leaders = _LEADERS
        self.breakages: dict[int, Breakage | None] = {}

    @property
    def check(self) -> HealthCheck:
        total = len(self.breakages)
        points = total if len(self._experiments) <= FEW else len(self._read)
        return HealthCheck(self._losses, total, total - len(self._bare), points)

    async def advance(self, ranked: Sequence[int]) -> bool:
        """Check the ranked experiments, best first. Return whether the ranking may need to be recomputed."""
        new = [index for index in ranked if index not in self.breakages]
        known = self._count_broken()
        is_first, self._are_keys_known = not self._are_keys_known, True
        if is_first and not self._losses:
            await self._add_losses(ranked, await self._find_losses(ranked))
            is_first = False
        self._judge_summaries(new)
        is_small = len(self._experiments) <= FEW
        leaders = ranked if is_small else ranked[: self._leaders]
        wanted = dict.fromkeys([*leaders, *(index for index in ranked if index in self._suspicious)])
        unread = [one for one in wanted if one not in self._read and self._is_open(one, with_step=is_small)]
        unread = unread[: _READ - len(self._read)]
        found: list[Any] = await gather(self._read_points(unread), *([self._find_losses(ranked)] if is_first else []))
        losses: list[str] = found[-1] or []
        await self._add_losses(ranked, losses)
        if any(self.breakages[index] for index in leaders):
            # a broken leader suggests that more of the leading experiments are broken
            self._leaders *= 2
        return bool(losses) or self._count_broken() > known

    def _count_broken(self) -> int:
        return sum(map(bool, self.breakages.values()))

    async def check_closely(self, indices: Sequence[int]) -> None:
        """Check the given experiments, using their summaries and all their points."""
        self._losses += await self._find_losses(indices)
        await self._summarise(indices, self._losses)
        self._judge_summaries(indices)
        await self._read_points([one for one in indices if self._is_open(one, with_step=True)])

    def _is_open(self, index: int, *, with_step: bool) -> bool:
        """Return whether an experiment still needs to be checked.

        If `with_step` is true, this includes broken experiments until the step at which they broke is known.
        """
        known = self.breakages[index]
        return not known or (with_step and known.step is None)

    async def _find_losses(self, ranked: Sequence[int]) -> list[str]:
        """Return additional training losses that the leading experiments of each project logged."""
        logged = await list_keys_by_project(self._client, self._ref, self._get(ranked))
        found = dict.fromkeys(key for keys in logged for key in choose_training_losses(keys))
        return [key for key in found if key not in self._losses]

    def _get_losses(self) -> dict[str, tuple[str, ...]]:
        """Return the training losses that were logged in each project."""
        if not self._own:
            absent = {home: set(self._losses) for home in self._homes}
            for home, summary in zip(self._homes, self._summaries, strict=True):
                if absent[home]:
                    absent[home].difference_update(summary)
            self._own = {home: tuple(key for key in self._losses if key not in keys) for home, keys in absent.items()}
        return self._own

    async def _add_losses(self, ranked: Sequence[int], losses: Sequence[str]) -> None:
        """Check the summaries of additional losses. All points must then be read again to check these losses."""
        if losses:
            await self._summarise(ranked, losses)
            self._losses += losses
            self._read.clear()
            self._judge_summaries(ranked)

    async def _summarise(self, indices: Sequence[int], losses: Sequence[str]) -> None:
        if not losses:
            return
        self._bare.update(indices[_SUMMARISED:])
        listed = self._get(indices[:_SUMMARISED])
        answer = await read_summaries(self._client, self._ref, listed, losses)
        for index, one in zip(indices, listed, strict=False):
            if summary := (answer.data or {}).get(one.cuid):
                self._summaries[index] = {**self._summaries[index], **summary}
        self._own.clear()

    def _judge_summaries(self, indices: Sequence[int]) -> None:
        self.breakages = {**dict.fromkeys(indices), **self.breakages}
        members: dict[str, list[int]] = {}
        for index in indices:
            members.setdefault(self._homes[index], []).append(index)
        for home, own in members.items():
            losses = self._get_losses()[home]
            keys = self._add_metric(losses)
            summaries = [self._summaries[index] for index in own]
            for number in find_doubtful(keys, summaries, losses):
                known = self.breakages[own[number]]
                self.breakages[own[number]] = known or find_reported_breakage(keys, summaries[number])
                self._suspicious.add(own[number])
        self._suspicious.update(index for index in indices if self.breakages[index])

    async def _read_points(self, indices: Sequence[int]) -> None:
        self._read.update(indices)
        groups: dict[tuple[tuple[str, ...], bool], list[int]] = {}
        for index in indices:
            losses = self._get_losses()[self._homes[index]]
            groups.setdefault((losses, index in self._suspicious), []).append(index)

        async def read(losses: Sequence[str], own: Sequence[int], *, is_suspicious: bool) -> None:
            checked = losses if is_suspicious else choose_for_points(losses)
            keys = self._add_metric(checked)
            series = await read_series(self._client, self._ref, self._get(own), keys, exact=False)
            for index, one in zip(own, series, strict=True):
                self.breakages[index] = find_breakage(self._metric, one, losses) or self.breakages.get(index)

        await gather(*(read(losses, own, is_suspicious=odd) for (losses, odd), own in groups.items()))

    def _add_metric(self, losses: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys([self._metric, *losses]))

    def _get(self, indices: Sequence[int]) -> list[Experiment]:
        return [self._experiments[index] for index in indices]


async def find_broken(
    client: SwanLabClient,
    ref: Scope,
    experiments: Sequence[Experiment],
    summaries: Sequence[Summary],
    metrics: Sequence[str],
    losses: Sequence[str],
) -> list[Breakage | None]:
    """Return how each experiment broke, or `None` if it did not.

    Every summary is checked. The points are only read if the summary is suspicious, or if it shows that the experiment
    broke but not at which step.
    """
    keys = list(dict.fromkeys([*metrics, *losses]))
    checked = list(dict.fromkeys([keys[0], *losses]))
    found = [find_reported_breakage(keys, summary) for summary in summaries]
    odd = set(find_doubtful(checked, summaries, losses))
    doubtful = [index for index, known in enumerate(found) if (known.step is None if known else index in odd)]
    series = await read_series(client, ref, [experiments[index] for index in doubtful], keys, exact=False)
    for index, one in zip(doubtful, series, strict=True):
        found[index] = find_breakage(keys[0], one, losses) or found[index]
    return found


async def find_broken_members(
    client: SwanLabClient, ref: Scope, experiments: Sequence[Experiment], choice: Choice, metrics: Sequence[str]
) -> tuple[Mapping[str, Breakage], list[str]]:
    """Return how experiments broke, by id, and notes about the limits of the check.

    The last values of the training losses are checked in all experiments. The points are checked in up to 100
    experiments that may have diverged.
    """
    if not metrics:
        return {}, []
    summaries = {one.cuid: choice.summaries.get(one.cuid, {}) for one in experiments}
    # experiments in different projects may log different losses
    losses = {keys: choose_training_losses(keys) for keys in {tuple(summary) for summary in summaries.values()}}
    known: dict[str, Breakage] = {}
    doubtful: list[Experiment] = []
    for one in experiments:
        summary = summaries[one.cuid]
        own = losses[tuple(summary)]
        keys = list(dict.fromkeys([*metrics, *own]))
        if how := find_reported_breakage(keys, summary):
            known[one.cuid] = how
        elif find_doubtful(keys, [summary], own):
            doubtful.append(one)
    keys = list(dict.fromkeys([*metrics, *(key for own in losses.values() for key in own)]))
    series = await read_series(client, ref, doubtful[:_READ], keys, exact=False)
    for one, points in zip(doubtful, series, strict=False):
        own = losses[tuple(summaries[one.cuid])]
        how = next(filter(None, (find_breakage(key, points, own) for key in metrics)), None)
        known |= {one.cuid: how} if how else {}
    notes: list[str] = []
    if len(doubtful) > len(series):
        notes.append(
            gettext(
                "{total} experiments may have diverged, but the points of only {count} were checked; add filters.",
                count=len(series),
                total=len(doubtful),
            )
        )
    return known, notes
