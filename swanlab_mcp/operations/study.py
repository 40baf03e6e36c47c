"""Build a ranking by reading a project's experiments in several rounds and ordering them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

from swanlab_mcp.analysis.differences import flatten, identify_settings
from swanlab_mcp.analysis.leaderboard import Breakage, Reason, Result, order_results, set_apart
from swanlab_mcp.analysis.repeats import KnownSettings, Run, group_settings
from swanlab_mcp.analysis.standings import Field, Standing, name_settings, rank_each, rank_settings
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.refs import ProjectRef, Scope
from swanlab_mcp.operations.baselines import find_baseline
from swanlab_mcp.operations.environments import read_origin
from swanlab_mcp.operations.finding import Choice
from swanlab_mcp.operations.health import HealthCheck, HealthReader
from swanlab_mcp.operations.reached import Reached, fingerprint
from swanlab_mcp.operations.reading import read_by_backend

__all__ = ["Order", "Study"]

_ROUNDS = 8
_ORIGINS = 300
_MOST_ORIGINS = 1500


class Order(NamedTuple):
    """The rows of a ranking.

    `checked` contains the rows whose repeats must still be compared by command and commit. `total` is the number of
    rows on all pages.
    """

    field: Field
    rows: Sequence[Standing]
    checked: Sequence[Standing]
    total: int
    baseline: int | None = None


class Study:
    """The experiments in a ranking, with their results, commands and commits, and the reasons why some are broken."""

    def __init__(
        self,
        client: SwanLabClient,
        ref: Scope,
        choice: Choice,
        reached: Reached,
        metric: str,
        by: str = "config",
    ) -> None:
        experiments = choice.experiments
        self.client, self.ref, self.experiments, self.reached, self.by = client, ref, experiments, reached, by
        self.metric = metric
        # experiments in different projects are never repeats of each other
        self._homes = (
            [""] * len(experiments)
            if isinstance(ref, ProjectRef)
            else [one.cuid[: one.cuid.rfind("/") + 1] for one in experiments]
        )
        self._health = HealthReader(client, ref, choice, metric, self._homes)
        by_home: dict[str, list[int]] = {}
        for index, home in enumerate(self._homes):
            by_home.setdefault(home, []).append(index)
        self._indices_by_home = list(by_home.values())
        self._apart: tuple[Hashable, tuple[list[Result], list[Reason | None]]] | None = None
        self._settings: KnownSettings = {}
        self.known_origins: set[int] = set()
        self.unread_origins = 0

    # computed lazily, because configs and runs are needed for rows, but not for finding the best value
    @cached_property
    def configs(self) -> list[dict[str, Any]]:
        return [flatten(one.profile.get("config")) for one in self.experiments]

    @cached_property
    def runs(self) -> list[Run]:
        return [
            # positional arguments, because keyword arguments are twice as slow
            Run(
                one.name,
                one.rootExpId or one.cuid,
                # equal settings in different projects are different settings
                (home, key) if home and key else key,
                config,
                series,
                None,
                None,
                bool(one.rootExpId),
            )
            for home, one, key, config, series in zip(
                self._homes,
                self.experiments,
                self._name_settings(),
                self.configs,
                map(fingerprint, self.reached.read),
                strict=True,
            )
        ]

    def _name_settings(self) -> Sequence[Hashable]:
        """Return one key per experiment. Experiments with the same setting have the same key."""
        if self.by == "config":
            return identify_settings(self.configs)
        return [one.group if self.by == "group" else one.job for one in self.experiments]

    @property
    def health(self) -> HealthCheck:
        return self._health.check

    @property
    def breakages(self) -> Mapping[int, Breakage | None]:
        """The reason why each experiment checked so far is broken, by index, or `None` if it is not broken."""
        return self._health.breakages

    def make_field(self, mode: Literal["min", "max"], *, by_state: bool, by_length: bool = True) -> Field:
        results, reasons = self.get_results(mode, by_state=by_state, by_length=by_length)
        ranked = [index for index, reason in enumerate(reasons) if not reason]
        settings = group_settings(self.runs, ranked, self._settings, is_declared=self.by != "config")
        return Field(self.configs, results, reasons, settings, mode)

    def get_results(
        self, mode: Literal["min", "max"], *, by_state: bool, by_length: bool = True
    ) -> tuple[list[Result], list[Reason | None]]:
        """Return each experiment's result, and the reason if the experiment is not ranked."""
        broken = tuple((index, how) for index, how in self.breakages.items() if how)
        name = (mode, by_state, by_length, broken)
        if self._apart and self._apart[0] == name:
            return self._apart[1]
        breakages = {**self.reached.find_breakages(), **dict(broken)}
        results = self.reached.get_results(mode, [one.state for one in self.experiments], breakages)
        is_at_step = self.reached.at.startswith("step:")
        reasons: list[Reason | None] = [None] * len(results)
        # runs are only compared in length with runs in the same project
        for indices in self._indices_by_home:
            part = set_apart(
                [results[index] for index in indices],
                by_state=by_state and not is_at_step,
                by_length=by_length and not is_at_step,
            )
            for index, reason in zip(indices, part, strict=True):
                reasons[index] = reason
        self._apart = name, (results, reasons)
        return results, reasons

    def order(self, field: Field, stretch: slice, baseline: str, *, by_seed: bool) -> Order:
        if not by_seed:
            rows, count = rank_each(field, stretch)
            return Order(field, rows, rows, count)
        number = find_baseline(baseline, self.experiments, field, name_settings(field)) if baseline else None
        every = rank_settings(field, number)
        rows = every[stretch]
        return Order(field, rows, [*every[:2], *rows], len(every), number)

    async def check_health(self, mode: Literal["min", "max"], *, by_state: bool) -> None:
        """Find the broken experiments in the complete ranking, so that all pages exclude the same experiments."""
        for _ in range(_ROUNDS):
            # settings are not needed here, only for rows
            results, reasons = self.get_results(mode, by_state=by_state)
            # an experiment may no longer count as short once broken experiments are excluded
            ranked = [index for index in order_results(results, reasons, mode) if not reasons[index]]
            if not await self._health.advance(ranked):
                break

    async def prepare(self, mode: Literal["min", "max"], *, by_state: bool) -> None:
        """Find the broken experiments and, at the same time, read the commands and commits of repeats."""
        # if there are many experiments, origins are only read for the repeats in the rows, once the rows are known
        field = self.make_field(mode, by_state=by_state) if len(self.experiments) <= _ORIGINS else None
        reads = [self.read_origins(field)] if field else []
        await gather(self.check_health(mode, by_state=by_state), *reads)

    async def check_experiments(self, indices: Sequence[int]) -> None:
        """Check whether the given experiments are broken, based on their summaries and all of their points."""
        await self._health.check_closely(indices)

    async def read_origins(self, field: Field, checked: Sequence[Standing] = ()) -> bool:
        """Read the commands and commits of repeats, and return whether the order of the ranking may have changed.

        If there are many repeats, only the repeats in the `checked` rows are read.
        """
        if self.by != "config":
            return False
        repeated = [index for one in field.settings if len(one.indices) > 1 for index in one.indices]
        wanted = [index for index in repeated if index not in self.known_origins]
        if len(repeated) > _ORIGINS:
            shown = {index for row in checked if row.setting for index in row.setting.indices}
            wanted = [index for index in wanted if index in shown][: _MOST_ORIGINS - len(self.known_origins)]
        refs = [self.ref.experiment(self.experiments[index].cuid) for index in wanted]
        read = await read_by_backend(self.client, refs, lambda backend, own: backend.get_experiments(own))
        for index, experiment in zip(wanted, read, strict=True):
            command, commit = read_origin(experiment)
            self.runs[index] = self.runs[index]._replace(command=command, commit=commit)
        self.known_origins.update(wanted)
        self.unread_origins = sum(index not in self.known_origins for index in repeated)
        return bool(wanted)
