from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, Literal, NamedTuple

from swanlab_mcp.analysis.differences import (
    associate,
    find_ignored,
    find_varying,
    flatten,
    group_repeats,
    is_seed,
    is_setting,
)
from swanlab_mcp.analysis.direction import infer_direction
from swanlab_mcp.analysis.leaderboard import Reason, Result, order_results, set_apart
from swanlab_mcp.analysis.noise import Difference, Noise, compute_variance, judge_difference, pool_noise
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.findings import RankedExperiment, round_number
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse, Experiment, MetricSummary, Page, Points
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.arguments import (
    Better,
    BySeed,
    Filters,
    PageNumber,
    PageSize,
    ProjectName,
    TargetMetric,
    Unfinished,
    Username,
    ValueAt,
)
from swanlab_mcp.operations.choice import explain_missing_metric, link_pages, list_chosen, read_series
from swanlab_mcp.operations.listing import add_notes, get_slice, tell_page

__all__ = ["rank_experiments"]

_COLUMNS = 6
_STRONGEST = 2
_JUDGED = 500
_WHOLE_SERIES = 100
_NAME = 60
_TEXT = 30
_ENDS = 5


_Row = tuple[int, RankedExperiment]


class _Field(NamedTuple):
    """The experiments of a ranking with what they reached, in the same order."""

    experiments: Sequence[Experiment]
    configs: Sequence[Mapping[str, Any]]
    results: Sequence[Result]
    reasons: Sequence[Reason | None]
    mode: Literal["min", "max"]

    @property
    def ranked(self) -> list[int]:
        return [place for place, reason in enumerate(self.reasons) if not reason]

    def get_value(self, place: int) -> float:
        value = self.results[place].value
        return math.nan if value is None else value


async def rank_experiments(
    client: SwanLabClient,
    *,
    project: ProjectName,
    metric: TargetMetric,
    mode: Better = "auto",
    at: ValueAt = "best",
    filters: Filters = (),
    by_seed: BySeed = False,
    unfinished: Unfinished = False,
    username: Username = "",
    page: PageNumber = 1,
    size: PageSize = 10,
) -> ApiResponse[list[RankedExperiment]]:
    """Rank a project's experiments by a metric, and say which differences are larger than seed noise.

    Use compare_experiments to see what differs between the best ones. Returns rank, name, cuid, value, step,
    `within_noise` of the first, and the config keys that vary; then, without a rank, running, crashed, NaN and short
    experiments. Notes say which direction is better, and why.
    Example: {"project": "mnist", "metric": "val/acc"}.
    """
    direction = infer_direction(metric)
    is_summarised = at in ("best", "last")
    ref, choice = await list_chosen(client, project, username, filters, [metric] if is_summarised else ())
    experiments, notes = choice.experiments, choice.notes
    if not experiments:
        page_of_none = ApiResponse(data=list[RankedExperiment](), page=Page(returned=0, total=0), notes=notes)
        return add_notes(page_of_none, "" if filters else say("The project holds no experiments yet."))
    wanted: Literal["auto", "min", "max"] = mode if mode != "auto" else direction.mode or "auto"
    by_state = not unfinished and not at.startswith("step:")
    configs = [flatten(experiment.profile.get("config")) for experiment in experiments]
    fields: dict[str, _Field] = {}
    if is_summarised:
        read: Sequence[MetricSummary | Points | None]
        read = [choice.summaries.get(one.cuid, {}).get(metric) for one in experiments]
    else:
        if len(experiments) > _WHOLE_SERIES:
            raise InvalidArgument(
                say(
                    "at={at} reads every point of {count} experiments; at most {most} at once.",
                    at=at,
                    count=len(experiments),
                    most=_WHOLE_SERIES,
                ),
                hint=say("Choose fewer with filters, or rank with at=best or at=last."),
            )
        series = await read_series(client, ref, experiments, [metric])
        read = [one.get(metric) for one in series]
    if all(one is None for one in read):
        await explain_missing_metric(client, ref, experiments, metric)
    for end in (wanted,) if wanted != "auto" else ("min", "max"):
        results = [
            _read_points(one, at, experiment.state)
            if isinstance(one, Points)
            else _read_summary(one, end, at, experiment.state)
            for one, experiment in zip(read, experiments, strict=True)
        ]
        reasons = set_apart(results, by_state=by_state, by_length=not at.startswith("step:"))
        fields[end] = _Field(experiments, configs, results, reasons, end)
    notes = list(dict.fromkeys(notes))
    link = link_pages(client, ref)
    if wanted == "auto":
        return add_notes(_show_both_ends(fields, metric), *notes, link)
    why = direction.reason if mode == "auto" else say("as asked")
    field = fields[wanted]
    stretch = get_slice(page, size)
    rows, count, told_noise = _rank_settings(field, stretch) if by_seed else _rank_each(field, stretch)
    shown = _add_configs(field, rows, with_seeds=not by_seed)
    whole = ApiResponse(data=shown, page=Page(returned=len(shown), total=count), notes=notes)
    order = (
        say("by {metric} ({at}), smallest first", metric=shorten(metric), at=at)
        if wanted == "min"
        else say("by {metric} ({at}), largest first", metric=shorten(metric), at=at)
    )
    told_direction = say("Direction: {reason}.", reason=why)
    return add_notes(tell_page(whole, page, size, order), told_direction, *told_noise, *_note_apart(field), link)


def _read_summary(summary: MetricSummary | None, mode: str, at: str, state: str) -> Result:
    if summary is None:
        return Result(None, None, None, None, state)
    if at == "last":
        return Result(summary.value, summary.step, summary.value, summary.step, state)
    extreme = summary.min if mode == "min" else summary.max
    if extreme is None:
        is_lost = summary.value is not None and not math.isfinite(summary.value)
        missing = (
            Reason("NaN or infinite", say("NaN or infinite"))
            if is_lost
            else Reason("no extremes told", say("no extremes told; at=last has a value"))
        )
        return Result(None, None, summary.value, summary.step, state, missing)
    return Result(extreme.value, extreme.step, summary.value, summary.step, state)


def _read_points(points: Points, at: str, state: str) -> Result:
    if not points.steps:
        return Result(None, None, None, None, state)
    last_step, last = points.steps[-1], points.values[-1]
    if at == "smoothed":
        count = max(min(5, len(points.values)), len(points.values) // 10)
        return Result(mean(points.values[-count:]), last_step, last, last_step, state)
    wanted = int(at.removeprefix("step:"))
    if last_step < wanted:
        early = Reason("not there yet", say("not there yet"), say("ends at step {step}", step=last_step))
        return Result(None, None, last, last_step, state, early)
    reached = [place for place, step in enumerate(points.steps) if step <= wanted]
    if not reached:
        late = Reason("begins later", say("begins later"), say("at step {step}", step=points.steps[0]))
        return Result(None, None, last, last_step, state, late)
    value, step = points.values[reached[-1]], points.steps[reached[-1]]
    return Result(value, step, value, step, state)


def _rank_each(field: _Field, stretch: slice) -> tuple[list[_Row], int, list[str]]:
    """Return the rows of the stretch that is shown, how many there are, and what is to be noted."""
    ranked = field.ranked
    groups = group_repeats([field.configs[place] for place in ranked])
    values = [[field.get_value(ranked[member]) for member in group] for group in groups]
    noise = pool_noise(values)
    tie = noise.get_tie() if noise else 0.0
    order = order_results(field.results, field.reasons, field.mode)
    in_order = [field.get_value(place) for place in order]
    ranks: list[int] = []
    for number, value in enumerate(in_order):
        ranks.append(ranks[-1] if number and value == in_order[number - 1] else number + 1)
    rows: list[_Row] = []
    for number in range(len(order))[stretch]:
        place = order[number]
        is_ranked = not field.reasons[place]
        told = {
            "rank": ranks[number] if is_ranked else None,
            "within_noise": bool(noise) and is_ranked and number > 0 and abs(in_order[number] - in_order[0]) <= tie,
        }
        rows.append((place, _describe(field, place).model_copy(update=told)))
    return rows, len(order), [_describe_noise(noise, len(groups), field)]


def _rank_settings(field: _Field, stretch: slice) -> tuple[list[_Row], int, list[str]]:
    """Return a row per setting, else as `_rank_each`; only those of the stretch are judged."""
    ranked = field.ranked
    groups = [
        [ranked[member] for member in group] for group in group_repeats([field.configs[place] for place in ranked])
    ]
    values = [[field.get_value(place) for place in group] for group in groups]
    noise = pool_noise(values)
    sign = 1 if field.mode == "min" else -1
    order = sorted(range(len(groups)), key=lambda place: sign * mean(values[place]))
    rows: list[_Row] = []
    told = [_describe_noise(noise, len(groups), field)]
    judgeable = {*range(len(order))[stretch], 1} - {0}
    for number, place in enumerate(order, 1):
        own = values[place]
        best = values[order[0]]
        judged = judge_difference(best, own, noise) if number - 1 in judgeable else None
        row = _describe(field, groups[place][0]).model_copy(
            update={
                "rank": number,
                "value": round_number(mean(own)),
                "step": None,
                "n": len(own),
                "deviation": round_number(math.sqrt(compute_variance(own)), 3) if len(own) > 1 else None,
                "verdict": judged.verdict if judged else None,
                "cuids": [field.experiments[one].cuid for one in groups[place]] if len(own) > 1 else [],
            }
        )
        rows.append((groups[place][0], row))
        if judged and number == 2:
            told.append(_describe_difference(judged))
    if len(rows) > 2:
        told.append(say("Each verdict is against the first, not corrected for many comparisons."))
    apart = [place for place in order_results(field.results, field.reasons, field.mode) if field.reasons[place]]
    rows += ((place, _describe(field, place)) for place in apart)
    return rows[stretch], len(rows), told


def _describe_difference(judged: Difference) -> str:
    verdicts = {"real": say("real"), "within noise": say("within noise"), "cannot tell": say("cannot tell")}
    told = {"difference": judged.difference, "verdict": verdicts[judged.verdict], "test": judged.test}
    if judged.low is None or judged.high is None or judged.p is None:
        return say("Second minus first: {difference:.3g}: {verdict}. {test}.", **told)
    return say(
        "Second minus first: {difference:.3g} (95 % from {low:.3g} to {high:.3g}; p={p:.2g}): {verdict}. {test}.",
        low=judged.low,
        high=judged.high,
        p=judged.p,
        **told,
    )


def _show_both_ends(fields: Mapping[str, _Field], metric: str) -> ApiResponse[list[RankedExperiment]]:
    rows: list[RankedExperiment] = []
    for end, field in fields.items():
        order = order_results(field.results, field.reasons, field.mode)[: len(field.ranked)][:_ENDS]
        name = {"end": "smallest" if end == "min" else "largest"}
        rows += _add_configs(field, [(place, _describe(field, place).model_copy(update=name)) for place in order])
    field = fields["min"]
    answer = ApiResponse(data=rows, page=Page(returned=len(rows), total=len(rows), order=say("both ends")))
    return add_notes(
        answer,
        say(
            "No word of {metric!r} tells whether small or large is good, so nobody is ranked: these are the {count} "
            "smallest and largest of {total}. Ask the user, then give mode=min or mode=max.",
            metric=shorten(metric),
            count=_ENDS,
            total=len(field.ranked),
        ),
        *_note_apart(field),
    )


def _describe(field: _Field, place: int) -> RankedExperiment:
    experiment, result = field.experiments[place], field.results[place]
    return RankedExperiment(
        name=shorten(experiment.name, _NAME),
        cuid=experiment.cuid,
        value=None if result.value is None else round_number(result.value),
        step=result.step,
        state=experiment.state,
        apart=str(field.reasons[place]) if field.reasons[place] else None,
    )


def _add_configs(field: _Field, rows: Sequence[_Row], *, with_seeds: bool = True) -> list[RankedExperiment]:
    """Add at most 6 config keys: the two that go along with the value most, then those that vary most."""
    # several hundred show which keys matter
    ranked = field.ranked
    some = ranked[:: len(ranked) // _JUDGED + 1]
    configs = [field.configs[place] for place in some]
    settings = [key for key in find_varying(configs) if is_setting(key)]
    known = [one.key for one in associate(configs, [field.get_value(place) for place in some], settings)]
    varying = find_varying([field.configs[place] for place, _ in rows])
    own = [key for key in varying if is_setting(key)]
    seeds = [key for key in varying if is_seed(key) and with_seeds]
    columns = list(dict.fromkeys([*known[:_STRONGEST], *own, *seeds]))[:_COLUMNS]
    return [
        row.model_copy(
            update={
                "config": {
                    key: _shorten_value(field.configs[place][key]) for key in columns if key in field.configs[place]
                }
            }
        )
        for place, row in rows
    ]


def _shorten_value(value: Any) -> Any:
    return shorten(value, _TEXT) if isinstance(value, str) else value


def _describe_noise(noise: Noise | None, groups: int, field: _Field) -> str:
    if noise is None:
        return say(
            "Noise: cannot tell; no two ranked experiments differ only in their seed, so no difference here is known "
            "to be real."
        )
    ignored = find_ignored([field.configs[place] for place in field.ranked])
    return say(
        "Noise: standard deviation {deviation:.3g} between repeats (they differ only in {keys}), from {count} of "
        "{total} settings (df {freedom}); single experiments less than {tie:.3g} apart are within noise (t interval, "
        "95 %).",
        deviation=noise.deviation,
        keys=", ".join(shorten(key, _TEXT) for key in ignored[:5]) or say("nothing"),
        count=noise.groups,
        total=groups,
        freedom=noise.freedom,
        tie=noise.get_tie(),
    )


def _note_apart(field: _Field) -> list[str]:
    counts = Counter(reason.name for reason in field.reasons if reason)
    if not counts:
        return []
    told = say(", ").join(say("{count} {reason}", count=count, reason=name) for name, count in counts.most_common())
    notes = [say("Set apart, after the {count} ranked: {counts}.", count=len(field.ranked), counts=told)]
    order = order_results(field.results, field.reasons, field.mode)
    sign = 1 if field.mode == "min" else -1
    best = sign * field.get_value(order[0]) if field.ranked else math.inf
    better = [
        place
        for place in order
        if (reason := field.reasons[place])
        and reason.kind != "NaN or infinite"
        and math.isfinite(value := field.get_value(place))
        and sign * value < best
    ]
    if better:
        top = min(better, key=lambda place: sign * field.get_value(place))
        experiment = field.experiments[top]
        notes.append(
            say(
                "Of these {name} ({cuid}, {reason}) has the best value: {value:.6g}.",
                name=shorten(experiment.name),
                cuid=experiment.cuid,
                reason=str(field.reasons[top]),
                value=field.get_value(top),
            )
        )
    return notes
