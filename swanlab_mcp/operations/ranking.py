from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from swanlab_mcp.analysis.breakage import LIKELY_LOSSES, choose_training_losses
from swanlab_mcp.analysis.differences import find_ignored
from swanlab_mcp.analysis.leaderboard import order_results
from swanlab_mcp.analysis.metric_catalogue import MetricKind, describe_key
from swanlab_mcp.analysis.noise import Scatter
from swanlab_mcp.analysis.standings import Field, Standing, choose_columns, name_settings
from swanlab_mcp.client.base import FurtherKeys
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Experiment, Page
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.arguments import (
    Baseline,
    Better,
    BySeed,
    FurtherFilters,
    PageNumber,
    PageSize,
    Projects,
    RepeatsBy,
    TargetMetric,
    Unfinished,
    Username,
    ValueAt,
)
from swanlab_mcp.operations.choice import choose_in_scope, leave_out_projects
from swanlab_mcp.operations.copies import FEW_COPIES, note_copies
from swanlab_mcp.operations.health import HealthCheck
from swanlab_mcp.operations.listing import add_notes, describe_page, get_slice
from swanlab_mcp.operations.reached import Reached, read_reached
from swanlab_mcp.operations.scope import link_scope
from swanlab_mcp.operations.study import Study

__all__ = ["Part", "Ranking", "rank_experiments"]

_ENDS = 5
_ROUNDS = 5


class Part(NamedTuple):
    """Consecutive rows in a ranking.

    If it is unknown whether lower or higher is better, the ranking has two parts. `end` then says whether a part
    contains the smallest or the largest values.
    """

    end: Literal["", "min", "max"]
    field: Field
    rows: Sequence[Standing]
    columns: Sequence[str]


class Ranking(NamedTuple):
    """The requested rows of a ranking, and information about how they were compared.

    `names` contains the keys and values that form each setting's name, and `labels` maps these keys to shorter forms.
    """

    metric: str
    reached: Reached
    experiments: Sequence[Experiment]
    parts: Sequence[Part]
    kind: MetricKind
    is_direction_requested: bool = False
    scatter: Scatter | None = None
    ignored: Sequence[str] = ()
    names: Sequence[Sequence[tuple[str, Any]]] = ()
    labels: Mapping[str, str] = MappingProxyType({})
    by: str = "config"
    baseline: int | None = None
    unread_origins: int = 0
    health: HealthCheck = HealthCheck()


async def rank_experiments(
    client: SwanLabClient,
    *,
    project: Projects,
    metric: TargetMetric,
    mode: Better = "auto",
    at: ValueAt = "best",
    filters: FurtherFilters = (),
    by_seed: BySeed = False,
    baseline: Baseline = "",
    repeats_by: RepeatsBy = "config",
    unfinished: Unfinished = False,
    username: Username = "",
    page: PageNumber = 1,
    size: PageSize = 10,
) -> ApiResponse[Ranking]:
    """Rank the experiments in one or more projects by a metric, and show which differences exceed seed noise.

    Use compare_experiments to see how the best differ. Returns rank, name, cuid, value, step, `within_noise` of the
    first, and the config keys that vary; then, without a rank, running, crashed, broken, NaN and short experiments.
    With by_seed or baseline, a row is a setting: mean, deviation, n, members, and a comparison with the first or the
    baseline. Notes say which direction is better, and why.
    Example: {"project": "mnist", "metric": "val/acc"}.
    """
    kind = describe_key(metric)
    keys = [metric] if at in ("best", "last") else ()
    further = FurtherKeys(choose_training_losses, LIKELY_LOSSES)
    ref, choice = await choose_in_scope(client, project, username, filters, keys, further)
    choice = leave_out_projects(ref, choice, metric) if keys else choice
    experiments, notes = choice.experiments, list(dict.fromkeys(choice.notes))
    if not experiments:
        none = ApiResponse[Any](data=[], page=Page(returned=0, total=0), notes=notes)
        return add_notes(none, "" if filters else gettext("The project has no experiments yet."))
    reached = await read_reached(client, ref, choice, metric, at)
    study = Study(client, ref, choice, reached, metric, repeats_by)
    links = link_scope(client, ref)
    wanted = mode if mode != "auto" else kind.direction
    if not wanted:
        ends: Sequence[Literal["min", "max"]] = ["min", "max"]
        for end in ends:
            await study.check_health(end, by_state=not unfinished)
        parts = [_show_end(study.make_field(end, by_state=not unfinished)) for end in ends]
        count = sum(len(part.rows) for part in parts)
        shown = Page(returned=count, total=count, order=gettext("smallest and largest values"))
        both = Ranking(metric, reached, experiments, parts, kind, health=study.health)
        return add_notes(ApiResponse(data=both, page=shown, notes=notes), *links)
    by_seed = by_seed or bool(baseline)
    stretch = get_slice(page, size)
    await study.prepare(wanted, by_state=not unfinished)
    order = study.order(study.make_field(wanted, by_state=not unfinished), stretch, baseline, by_seed=by_seed)
    for _ in range(_ROUNDS):
        if not await study.read_origins(order.field, order.checked):
            break
        order = study.order(study.make_field(wanted, by_state=not unfinished), stretch, baseline, by_seed=by_seed)
    field, rows = order.field, order.rows
    names = name_settings(field) if by_seed else ()
    ranking = Ranking(
        metric,
        reached,
        experiments,
        [Part("", field, rows, choose_columns(field, [row.run_index for row in rows], with_seeds=not by_seed))],
        kind,
        is_direction_requested=mode != "auto",
        scatter=field.scatter,
        ignored=find_ignored([study.configs[one] for one in field.ranked]),
        names=names,
        labels=_shorten_keys(names),
        by=repeats_by,
        baseline=order.baseline,
        unread_origins=study.unread_origins,
        health=study.health,
    )
    whole = ApiResponse(data=list(rows), page=Page(returned=len(rows), total=order.total), notes=notes)
    words = (
        gettext("by {metric} ({at}), smallest first", metric=quote(metric), at=quote(at))
        if wanted == "min"
        else gettext("by {metric} ({at}), largest first", metric=quote(metric), at=quote(at))
    )
    paged = describe_page(whole, page, size, words)
    shown = {ref.experiment(one.cuid): one for one in (experiments[row.run_index] for row in rows)}
    copies = await note_copies(client, shown, compared=FEW_COPIES)
    # the report always covers the whole project
    report = ref if isinstance(ref, ProjectRef) and page <= 1 and not filters else None
    return add_notes(ApiResponse(data=ranking, page=paged.page, notes=paged.notes, report=report), copies, *links)


def _show_end(field: Field) -> Part:
    indices = order_results(field.results, field.reasons, field.mode)[: len(field.ranked)][:_ENDS]
    rows = [Standing(index, None, field.get_value(index)) for index in indices if math.isfinite(field.get_value(index))]
    return Part(field.mode, field, rows, choose_columns(field, indices))


def _shorten_keys(names: Sequence[Sequence[tuple[str, Any]]]) -> dict[str, str]:
    """Map each key to its last part, or to the full key if several keys end in the same part."""
    short = {key: key.rsplit(".", 1)[-1] for name in names for key, _ in name}
    counts = Counter(short.values())
    return {key: part if counts[part] == 1 else key for key, part in short.items()}
