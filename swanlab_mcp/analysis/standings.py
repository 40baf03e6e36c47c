"""Build the rows of a leaderboard that ranks either experiments or settings with their repeats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any, Literal, NamedTuple

from swanlab_mcp.analysis.differences import associate, find_varying, freeze, is_seed, is_setting
from swanlab_mcp.analysis.leaderboard import Reason, Result, order_results
from swanlab_mcp.analysis.noise import (
    Judgement,
    Sample,
    Scatter,
    compute_mean,
    compute_variance,
    find_ties,
    judge_settings,
    measure_scatter,
)
from swanlab_mcp.analysis.repeats import Setting

__all__ = ["Field", "Standing", "choose_columns", "name_settings", "rank_each", "rank_settings"]

_COLUMNS = 6
_STRONGEST = 2
_JUDGED = 500
_NAMED = 4


@dataclass(frozen=True)
class Field:
    """The experiments in a ranking. `configs`, `results` and `reasons` are in the same order.

    `reasons` contains the reason why an experiment is not ranked, or `None` if it is ranked. `settings` groups the
    ranked experiments by setting.
    """

    configs: Sequence[Mapping[str, Any]]
    results: Sequence[Result]
    reasons: Sequence[Reason | None]
    settings: Sequence[Setting]
    mode: Literal["min", "max"]

    @cached_property
    def ranked(self) -> list[int]:
        return [index for index, reason in enumerate(self.reasons) if not reason]

    @property
    def sign(self) -> int:
        """The factor, 1 or -1, by which values are multiplied so that the best value is the smallest."""
        return 1 if self.mode == "min" else -1

    def get_value(self, index: int) -> float:
        value = self.results[index].value
        return math.nan if value is None else value

    @cached_property
    def scatter(self) -> Scatter | None:
        """The variance between the repeats of each ranked setting, or `None` if there are no repeats."""
        return measure_scatter([self.get_values(setting) for setting in self.settings])

    def get_values(self, setting: Setting) -> list[float]:
        """Return one value per repeat, averaging the runs that count as a single repeat."""
        return [fmean([self.get_value(index) for index in indices]) for indices in setting.counted]


class Standing(NamedTuple):
    """A row in a ranking: either an experiment, or a `setting` with its repeats.

    `run_index` is the index of the experiment, or of the best run in the setting. If `rank` is `None`, the row is not
    ranked. `within_noise` says whether noise alone could explain the difference from the first row. `judged` compares
    the setting with the first row or with the baseline.
    """

    run_index: int
    rank: int | None
    value: float
    within_noise: bool = False
    setting: Setting | None = None
    number: int = 0
    deviation: float | None = None
    judged: Judgement | None = None
    is_baseline: bool = False


def rank_each(field: Field, stretch: slice) -> tuple[list[Standing], int]:
    """Rank the experiments. Return the rows in the slice `stretch`, and the total number of rows."""
    order = order_results(field.results, field.reasons, field.mode)
    count = len(field.ranked)
    in_order = [field.get_value(index) for index in order]
    ranks: list[int] = []
    for number, value in enumerate(in_order):
        ranks.append(ranks[-1] if number and value == in_order[number - 1] else number + 1)
    numbers = {index: number for number, setting in enumerate(field.settings) for index in setting.indices}
    shown = range(len(order))[stretch]
    judged = [0, *(number for number in shown if 0 < number < count)] if count else []
    ties = find_ties(
        [in_order[number] for number in judged], [numbers[order[number]] for number in judged], field.scatter, count
    )
    tied = {number for number, is_tie in zip(judged, ties, strict=True) if is_tie}
    rows = [
        Standing(order[number], ranks[number] if number < count else None, in_order[number], number in tied)
        for number in shown
    ]
    return rows, len(order)


def rank_settings(field: Field, baseline: int | None = None) -> list[Standing]:
    """Return a row for each setting, best first, followed by the unranked experiments.

    Each setting is compared with the baseline, or with the best setting if there is no baseline.
    """
    values = [field.get_values(setting) for setting in field.settings]
    means = [compute_mean(one) for one in values]
    order = sorted(range(len(means)), key=lambda number: field.sign * means[number])
    judged: list[Judgement | None] = []
    if order:
        samples = [Sample(one, setting.labels) for one, setting in zip(values, field.settings, strict=True)]
        judged = judge_settings(
            samples, order[0] if baseline is None else baseline, by="leader" if baseline is None else "baseline"
        )
    rows = [
        Standing(
            min(field.settings[number].indices, key=lambda index: field.sign * field.get_value(index)),
            rank,
            means[number],
            setting=field.settings[number],
            number=number,
            deviation=math.sqrt(compute_variance(values[number])) if len(values[number]) > 1 else None,
            judged=judged[number],
            is_baseline=number == baseline,
        )
        for rank, number in enumerate(order, 1)
    ]
    apart = [index for index in order_results(field.results, field.reasons, field.mode) if field.reasons[index]]
    return rows + [Standing(index, None, field.get_value(index)) for index in apart]


def choose_columns(field: Field, shown: Sequence[int], *, with_seeds: bool = True) -> list[str]:
    """Choose at most 6 config keys to show as columns.

    The two keys that are most strongly associated with the result come first, followed by the keys that vary most. If
    `with_seeds` is true, varying seeds are included at the end.
    """
    # a sample of several hundred experiments is enough to show which keys matter
    ranked = field.ranked
    some = ranked[:: len(ranked) // _JUDGED + 1]
    configs = [field.configs[index] for index in some]
    settings = [key for key in find_varying(configs) if is_setting(key)]
    known = [one.key for one in associate(configs, [field.get_value(index) for index in some], settings)]
    varying = find_varying([field.configs[index] for index in shown])
    own = [key for key in varying if is_setting(key)]
    seeds = [key for key in varying if is_seed(key) and with_seeds]
    return list(dict.fromkeys([*known[:_STRONGEST], *own, *seeds]))[:_COLUMNS]


def name_settings(field: Field) -> list[list[tuple[str, Any]]]:
    """Return the config keys and values that form each setting's name.

    A name contains the values that differ from the usual values. A value is usual if more than half of the settings
    have it, and a key without a usual value is part of every name. If a setting has only usual values, its name
    contains the keys that vary most.
    """
    configs = [field.configs[setting.indices[0]] for setting in field.settings]
    varying = [key for key in find_varying(configs) if is_setting(key)]
    if not varying:
        return [[] for _ in configs]
    usual: dict[str, str] = {}
    for key in varying:
        value, count = Counter(freeze(config.get(key)) for config in configs).most_common(1)[0]
        if count * 2 > len(configs):
            usual[key] = value
    wanted: list[list[str]] = []
    for config in configs:
        known = [key for key in varying if key in config]
        own = [key for key in known if freeze(config[key]) != usual.get(key)]
        wanted.append((own or known)[:_NAMED])
    lengths = [1] * len(configs)
    for length in range(1, _NAMED):
        names = [
            tuple((key, freeze(config[key])) for key in keys[:length])
            for config, keys in zip(configs, wanted, strict=True)
        ]
        counts = Counter(names)
        lengths = [length + 1 if counts[name] > 1 else before for name, before in zip(names, lengths, strict=True)]
    return [
        [(key, config[key]) for key in keys[:length]]
        for config, keys, length in zip(configs, wanted, lengths, strict=True)
    ]
