"""A ranking in progress: reads a project's experiments in several rounds, and derives their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from swanlab_mcp.analysis.differences import flatten, identify_settings
from swanlab_mcp.analysis.leaderboard import Breakage, Reason, Result, order_results, set_apart
from swanlab_mcp.analysis.repeats import Run, group_settings
from swanlab_mcp.analysis.standings import Field, Standing, name_settings, rank_each, rank_settings
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.models import Experiment
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.operations.baselines import find_baseline
from swanlab_mcp.operations.choice import read_all
from swanlab_mcp.operations.environments import read_facts
from swanlab_mcp.operations.health import HealthCheck, find_breakages
from swanlab_mcp.operations.reached import Reached, fingerprint

__all__ = ["Order", "Study"]

_ROUNDS = 5
_ORIGINS = 300


class Order(NamedTuple):
    """Rows of a ranking, and the rows whose repeats must be compared by how they were started."""

    field: Field
    rows: Sequence[Standing]
    checked: Sequence[Standing]
    total: int
    baseline: int | None = None


class Study:
    """The experiments of a ranking with their results in a metric, commands, commits and breakages."""

    def __init__(
        self,
        client: SwanLabClient,
        ref: ProjectRef,
        experiments: Sequence[Experiment],
        reached: Reached,
        metric: str,
        by: str = "config",
    ) -> None:
        self.client, self.ref, self.experiments, self.reached, self.by = client, ref, experiments, reached, by
        self.metric = metric
        self.configs = [flatten(one.profile.get("config")) for one in experiments]
        self.runs = [
            Run(
                one.name,
                one.rootExpId or one.cuid,
                key,
                config,
                fingerprint(read),
                group=one.group,
                job=one.job,
                is_clone=bool(one.rootExpId),
            )
            for one, key, config, read in zip(
                experiments, identify_settings(self.configs), self.configs, reached.read, strict=True
            )
        ]
        self.breakages: dict[int, Breakage | None] = {}
        self.health = HealthCheck()
        self.known_origins: set[int] = set()
        self.unread_origins = 0

    def make_field(self, mode: Literal["min", "max"], *, by_state: bool, by_length: bool = True) -> Field:
        results, reasons = self._set_apart(mode, by_state=by_state, by_length=by_length)
        ranked = [place for place, reason in enumerate(reasons) if not reason]
        return Field(self.configs, results, reasons, group_settings(self.runs, ranked, self.by), mode)

    def _set_apart(
        self, mode: Literal["min", "max"], *, by_state: bool, by_length: bool = True
    ) -> tuple[list[Result], list[Reason | None]]:
        """Return each experiment's result, and why it is not ranked."""
        results = [
            self.reached.get_result(place, mode, one.state, self.breakages.get(place))
            for place, one in enumerate(self.experiments)
        ]
        is_at_step = self.reached.at.startswith("step:")
        reasons = set_apart(results, by_state=by_state and not is_at_step, by_length=by_length and not is_at_step)
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
        """Find the broken experiments of the whole ranking, so that every page excludes the same experiments."""
        for _ in range(_ROUNDS):
            # without the settings, which only the rows need
            results, reasons = self._set_apart(mode, by_state=by_state)
            order = order_results(results, reasons, mode)
            # a short experiment may be long enough after broken experiments are excluded
            new = [place for place in order if not reasons[place] and place not in self.breakages]
            if not new:
                break
            await self.check_places(new)

    async def check_places(self, places: Sequence[int]) -> None:
        """Check which experiments are broken; the first experiments are checked most closely."""
        experiments = [self.experiments[place] for place in places]
        summaries = [self.reached.get_summary(place) for place in places]
        check = await find_breakages(self.client, self.ref, experiments, self.metric, summaries, self.health.points)
        self.breakages |= dict(zip(places, check.found, strict=True))
        self.health = self.health.add(check)

    async def read_origins(self, order: Order) -> bool:
        """Read the commands and commits of all repeats, or if there are many, only of those in the checked rows.

        Return whether the order may change.
        """
        if self.by != "config":
            return False
        repeated = [place for one in order.field.settings if len(one.counted) > 1 for place in one.places]
        wanted = [place for place in repeated if place not in self.known_origins]
        if len(repeated) > _ORIGINS:
            shown = {place for row in order.checked if row.setting for place in row.setting.places}
            wanted = [place for place in wanted if place in shown][:_ORIGINS]
        refs = [self.ref.experiment(self.experiments[place].cuid) for place in wanted]
        answers = await read_all(refs, self.client.at(self.ref).get_experiment)
        for place, answer in zip(wanted, answers, strict=True):
            facts = read_facts(answer.data) if answer.data else {}
            command, commit = (str(facts.get(name) or "") or None for name in ("runtime.command", "git.commit"))
            self.runs[place] = self.runs[place]._replace(command=command, commit=commit)
        self.known_origins.update(wanted)
        self.unread_origins = sum(place not in self.known_origins for place in repeated)
        return bool(wanted)
