from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from swanlab_mcp.analysis.differences import find_ignored, flatten, identify_settings
from swanlab_mcp.analysis.leaderboard import Breakage, order_results, set_apart
from swanlab_mcp.analysis.metric_catalogue import MetricKind, describe_key
from swanlab_mcp.analysis.noise import Scatter
from swanlab_mcp.analysis.repeats import Run, group_settings
from swanlab_mcp.analysis.standings import (
    Field,
    Standing,
    choose_columns,
    measure_noise,
    name_settings,
    rank_each,
    rank_settings,
)
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse, Experiment, Page
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.arguments import (
    Baseline,
    Better,
    BySeed,
    Filters,
    PageNumber,
    PageSize,
    ProjectName,
    RepeatsBy,
    TargetMetric,
    Unfinished,
    Username,
    ValueAt,
)
from swanlab_mcp.operations.baselines import find_baseline
from swanlab_mcp.operations.choice import link_pages, list_chosen, read_all
from swanlab_mcp.operations.environments import read_facts
from swanlab_mcp.operations.health import find_breakages
from swanlab_mcp.operations.listing import add_notes, get_slice, tell_page
from swanlab_mcp.operations.reached import Reached, fingerprint, read_reached

__all__ = ["Part", "Ranking", "rank_experiments"]

_ENDS = 5
_CHECKED = 50
_ROUNDS = 5
_ORIGINS = 300


class Part(NamedTuple):
    """Rows of a ranking; `end`: the smallest or largest values, where nobody knows which are better."""

    end: Literal["", "min", "max"]
    field: Field
    rows: Sequence[Standing]
    columns: Sequence[str]


class Ranking(NamedTuple):
    """The rows that are asked for, and what is needed to say how they were judged."""

    metric: str
    reached: Reached
    experiments: Sequence[Experiment]
    parts: Sequence[Part]
    kind: MetricKind
    is_direction_asked: bool = False
    scatter: Scatter | None = None
    ignored: Sequence[str] = ()
    names: Sequence[Sequence[tuple[str, Any]]] = ()
    by: str = "config"
    baseline: int | None = None
    unread_origins: int = 0


class _Order(NamedTuple):
    """A ranking in the making: all that was asked for, and the rows whose experiments are to be checked."""

    field: Field
    rows: Sequence[Standing]
    checked: Sequence[Standing]
    total: int
    baseline: int | None = None


class _Study:
    """What is read of a project's experiments step by step, and the ranking that follows from it."""

    def __init__(
        self, client: SwanLabClient, ref: ProjectRef, experiments: Sequence[Experiment], reached: Reached, by: str
    ) -> None:
        self.client, self.ref, self.experiments, self.reached, self.by = client, ref, experiments, reached, by
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
        self.known_origins: set[int] = set()
        self.unread_origins = 0

    def make_field(self, mode: Literal["min", "max"], *, by_state: bool) -> Field:
        results = [
            self.reached.get_result(place, mode, one.state, self.breakages.get(place))
            for place, one in enumerate(self.experiments)
        ]
        is_at_step = self.reached.at.startswith("step:")
        reasons = set_apart(results, by_state=by_state and not is_at_step, by_length=not is_at_step)
        ranked = [place for place, reason in enumerate(reasons) if not reason]
        return Field(self.configs, results, reasons, group_settings(self.runs, ranked, self.by), mode)

    def order(self, field: Field, stretch: slice, baseline: str, *, by_seed: bool) -> _Order:
        if not by_seed:
            rows, count = rank_each(field, stretch)
            return _Order(field, rows, rows, count)
        number = find_baseline(baseline, self.experiments, field, name_settings(field)) if baseline else None
        every = rank_settings(field, number)
        rows = every[stretch]
        return _Order(field, rows, [*every[:2], *rows], len(every), number)

    async def check(self, order: _Order, metric: str) -> bool:
        """Read how the shown experiments were started and whether they broke; return whether the order may change."""
        is_split = await self._read_origins(order)
        return await self._check_health(order, metric) or is_split

    async def _read_origins(self, order: _Order) -> bool:
        """Read the commands and commits of all repeats, or where they are many, of those in the checked rows."""
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

    async def _check_health(self, order: _Order, metric: str) -> bool:
        """Look whether the ranked experiments of the checked rows broke; return whether any did."""
        ranked = [row for row in order.checked if row.rank]
        places = [place for row in ranked for place in (row.setting.places if row.setting else [row.place])]
        new = [place for place in dict.fromkeys(places) if place not in self.breakages][:_CHECKED]
        experiments = [self.experiments[place] for place in new]
        summaries = [self.reached.get_summary(place) for place in new]
        found = await find_breakages(self.client, self.ref, experiments, metric, summaries)
        self.breakages |= dict(zip(new, found, strict=True))
        return any(found)


async def rank_experiments(
    client: SwanLabClient,
    *,
    project: ProjectName,
    metric: TargetMetric,
    mode: Better = "auto",
    at: ValueAt = "best",
    filters: Filters = (),
    by_seed: BySeed = False,
    baseline: Baseline = "",
    repeats_by: RepeatsBy = "config",
    unfinished: Unfinished = False,
    username: Username = "",
    page: PageNumber = 1,
    size: PageSize = 10,
) -> ApiResponse[Ranking]:
    """Rank a project's experiments by a metric, and say which differences are larger than seed noise.

    Use compare_experiments to see what differs between the best ones. Returns rank, name, cuid, value, step,
    `within_noise` of the first, and the config keys that vary; then, without a rank, running, crashed, broken, NaN and
    short experiments. With by_seed or baseline, a row is a setting: mean, deviation, n, members, and a verdict against
    the first or the baseline. Notes say which direction is better, and why.
    Example: {"project": "mnist", "metric": "val/acc"}.
    """
    kind = describe_key(metric)
    ref, choice = await list_chosen(client, project, username, filters, [metric] if at in ("best", "last") else ())
    experiments, notes = choice.experiments, list(dict.fromkeys(choice.notes))
    if not experiments:
        none = ApiResponse[Any](data=[], page=Page(returned=0, total=0), notes=notes)
        return add_notes(none, "" if filters else say("The project holds no experiments yet."))
    reached = await read_reached(client, ref, choice, metric, at)
    study = _Study(client, ref, experiments, reached, repeats_by)
    link = link_pages(client, ref)
    wanted = mode if mode != "auto" else kind.direction
    if not wanted:
        parts = [_show_end(study.make_field(end, by_state=not unfinished)) for end in ("min", "max")]
        count = sum(len(part.rows) for part in parts)
        shown = Page(returned=count, total=count, order=say("both ends"))
        ends = Ranking(metric, reached, experiments, parts, kind)
        return add_notes(ApiResponse(data=ends, page=shown, notes=notes), link)
    by_seed = by_seed or bool(baseline)
    stretch = get_slice(page, size)
    order = study.order(study.make_field(wanted, by_state=not unfinished), stretch, baseline, by_seed=by_seed)
    for _ in range(_ROUNDS):
        if not await study.check(order, metric):
            break
        order = study.order(study.make_field(wanted, by_state=not unfinished), stretch, baseline, by_seed=by_seed)
    field, rows = order.field, order.rows
    ranking = Ranking(
        metric,
        reached,
        experiments,
        [Part("", field, rows, choose_columns(field, [row.place for row in rows], with_seeds=not by_seed))],
        kind,
        is_direction_asked=mode != "auto",
        scatter=measure_noise(field),
        ignored=find_ignored([study.configs[one] for one in field.ranked]),
        names=name_settings(field) if by_seed else (),
        by=repeats_by,
        baseline=order.baseline,
        unread_origins=study.unread_origins,
    )
    whole = ApiResponse(data=list(rows), page=Page(returned=len(rows), total=order.total), notes=notes)
    words = (
        say("by {metric} ({at}), smallest first", metric=shorten(metric), at=shorten(at))
        if wanted == "min"
        else say("by {metric} ({at}), largest first", metric=shorten(metric), at=shorten(at))
    )
    paged = tell_page(whole, page, size, words)
    return add_notes(ApiResponse(data=ranking, page=paged.page, notes=paged.notes), link)


def _show_end(field: Field) -> Part:
    places = order_results(field.results, field.reasons, field.mode)[: len(field.ranked)][:_ENDS]
    rows = [Standing(place, None, field.get_value(place)) for place in places if math.isfinite(field.get_value(place))]
    return Part(field.mode, field, rows, choose_columns(field, places))
