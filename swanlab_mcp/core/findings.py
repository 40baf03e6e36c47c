"""Typed records for rankings, comparisons, diagnoses, forecasts and news."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, WithJsonSchema

from swanlab_mcp.core.frames import make_frame
from swanlab_mcp.core.models import Extreme
from swanlab_mcp.core.records import Number, Record, is_empty, is_none, to_json_value

__all__ = [
    "AggregatedGroup",
    "Association",
    "AwaitedExperiment",
    "Cause",
    "ComparedExperiment",
    "ComparedMetric",
    "Comparison",
    "Crash",
    "DecidedSetting",
    "Diagnosis",
    "DifferingKey",
    "ExperimentForecast",
    "NewsItem",
    "PlottedCurve",
    "RankedExperiment",
    "SimilarExperiment",
    "TimelineEvent",
    "TriedSetting",
    "round_number",
]

_KINDS = ["string", "number", "boolean", "array", "object", "null"]
# a single list type instead of a union, because missing values keep their position
Values = Annotated[
    list[Any],
    PlainSerializer(to_json_value, when_used="json"),
    WithJsonSchema({"type": "array", "items": {"type": _KINDS}}),
]
Settings = Annotated[
    dict[str, Any], PlainSerializer(to_json_value, when_used="json"), WithJsonSchema({"type": "object"})
]


def round_number(value: float, digits: int = 6) -> float:
    """Round a number to `digits` significant digits, because further digits cost tokens and add no information."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else value


class RankedExperiment(Record):
    """A row in a ranking, for one experiment or for all repeats of a setting. An unranked row has no `rank`."""

    rank: int | None = None
    end: str | None = Field(default=None, description="smallest or largest, if the direction is unknown")
    name: str = Field(description="For a setting: the config keys that distinguish it")
    best: str | None = Field(default=None, description="For a setting: the name of its best member")
    cuid: str = Field(description="For a setting: its best member")
    value: Number | None = None
    step: int | None = None
    n: int | None = Field(default=None, description="Number of repeats; value is then their mean")
    deviation: Number | None = Field(default=None, description="Standard deviation between repeats")
    best_value: Number | None = Field(default=None, description="Value of the best member")
    within_noise: bool = Field(
        default=False, exclude_if=is_empty, description="Whether noise explains its difference from the first"
    )
    verdict: str | None = Field(
        default=None,
        description="Compared with the first: real, within noise, cannot tell; compared with a baseline: better, "
        "worse, no difference shown, cannot tell",
    )
    difference: Number | None = Field(default=None, description="Mean minus the mean of the first or the baseline")
    low: Number | None = Field(
        default=None, description="Low end of the 95 % interval, simultaneous for all differences"
    )
    high: Number | None = None
    why: str | None = Field(default=None, description="Why no difference is shown, and which runs would decide")
    state: str
    apart: str | None = Field(default=None, description="Why it is not ranked")
    warning: str | None = Field(default=None, description="How the experiment or one of its members failed")
    clone_of: str | None = Field(default=None, description="For a clone: the experiment whose data it shows")
    config: Settings = Field(default_factory=dict, exclude_if=is_empty, description="The config keys that vary")
    cuids: list[str] = Field(default_factory=list, exclude_if=is_empty, description="All members of a setting")
    clones: list[str] = Field(
        default_factory=list, exclude_if=is_empty, description="Clones among the members, which are not counted"
    )


class ComparedExperiment(Record):
    """A compared experiment. The other lists in the comparison are in the same order as the experiments."""

    cuid: str
    name: str
    state: str
    baseline: bool = Field(default=False, exclude_if=is_empty)


class DifferingKey(Record):
    """A config key or environment fact that differs between the experiments, with one value per experiment."""

    name: str
    values: Values


class ComparedMetric(Record):
    """One metric's values in all compared experiments."""

    key: str
    unit: str | None = Field(default=None, exclude_if=is_none, description="Unit of a system metric")
    better: str = Field(description="smaller, larger, or unknown")
    last: Values
    best: Values = Field(default_factory=list, exclude_if=is_empty)
    best_step: Values = Field(default_factory=list, exclude_if=is_empty)
    common_step: int | None = Field(default=None, description="The last step that all experiments reached")
    at_common_step: Values = Field(default_factory=list, exclude_if=is_empty)


class Association(Record):
    """A config key's association with the target metric. `strength` (0 to 1) does not imply a causal effect."""

    key: str
    strength: float
    n: int
    how: str
    varies_with: list[str] = Field(
        default_factory=list,
        exclude_if=is_empty,
        description="Keys that vary together with it, so their effects cannot be separated",
    )


class DecidedSetting(Record):
    """The decision about a setting.

    `difference` is the setting's mean over `n` repeats minus the baseline's mean. `low` and `high` are the ends of its
    95 % interval, which is simultaneous for all settings.
    """

    name: str
    decision: Literal["keep", "discard", "run more seeds", "cannot tell"]
    difference: Number | None = Field(default=None, exclude_if=is_empty)
    low: Number | None = Field(default=None, exclude_if=is_empty)
    high: Number | None = Field(default=None, exclude_if=is_empty)
    n: int | None = Field(default=None, exclude_if=is_empty)
    why: str | None = Field(default=None, exclude_if=is_empty)


class Comparison(Record):
    """The differences between experiments and between their results."""

    decisions: list[DecidedSetting] = Field(default_factory=list[DecidedSetting], exclude_if=is_empty)
    experiments: list[ComparedExperiment]
    differences: list[DifferingKey] = Field(default_factory=list[DifferingKey], exclude_if=is_empty)
    metrics: list[ComparedMetric] = Field(default_factory=list[ComparedMetric], exclude_if=is_empty)
    associations: list[Association] = Field(default_factory=list[Association], exclude_if=is_empty)

    def to_pandas(self) -> Any:
        """Return a DataFrame with one row per experiment, or raise ImportError if pandas is not installed.

        The columns are the differing keys and the last and best value of each metric.
        """
        rows = [one.model_dump() for one in self.experiments]
        columns = {one.name: one.values for one in self.differences}
        columns |= {f"last.{one.key}": one.last for one in self.metrics}
        columns |= {f"best.{one.key}": one.best for one in self.metrics if one.best}
        for name, values in columns.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = value
        return make_frame(rows)


class TimelineEvent(Record):
    """An event in an experiment, with its step and the rule that detected it."""

    kind: str
    severity: Literal["problem", "warning", "info"]
    key: str
    step: int | None = None
    peak_step: int | None = Field(default=None, exclude_if=is_empty)
    end_step: int | None = Field(default=None, exclude_if=is_empty)
    time: str | None = None
    detail: str
    rule: str


class Cause(Record):
    """A possible cause with its evidence."""

    cause: str
    confidence: Literal["high", "medium", "low"]
    evidence: str


class Crash(Record):
    """A crash recorded by an experiment. All of its strings are untrusted data."""

    error: str
    frames: list[str] = Field(default_factory=list, exclude_if=is_empty, description="Stack frames, innermost last")
    rank: str | None = Field(
        default=None,
        exclude_if=is_empty,
        description="Folder of the failed rank; its last step and values follow",
    )
    last_step: int | None = None
    last_values: Settings = Field(default_factory=dict, exclude_if=is_empty)
    similar: list[str] = Field(
        default_factory=list, exclude_if=is_empty, description="Experiments that crashed with the same error line"
    )


class Diagnosis(Record):
    """The diagnosis of an experiment: its health, the detected events and their possible causes."""

    cuid: str
    name: str
    state: str
    health: Literal["healthy", "warning", "problem", "not_judged"]
    verdict: str
    events: list[TimelineEvent] = Field(default_factory=list[TimelineEvent], exclude_if=is_empty)
    causes: list[Cause] = Field(default_factory=list[Cause], exclude_if=is_empty)
    crash: Crash | None = None
    last: Settings = Field(
        default_factory=dict,
        exclude_if=is_empty,
        description="The last value of each key that was read, except those in `crash`",
    )

    def to_pandas(self) -> Any:
        """Return a DataFrame with one row per event, or raise ImportError if pandas is not installed."""
        return make_frame([one.model_dump() for one in self.events])


class NewsItem(Record):
    """An event in a project since the requested time."""

    time: str
    what: str = Field(description="new, finished, crashed, aborted, stalled, problem, no end or record")
    project: str | None = Field(default=None, description="The project, if the reply covers several")
    name: str
    cuid: str
    detail: str = Field(default="", exclude_if=is_empty)


class PlottedCurve(Record):
    """Statistics for a plotted curve, from all points in the requested range. `number` is its label in the picture."""

    number: int
    exp_cuid: str = Field(default="", exclude_if=is_empty)
    name: str
    key: str
    unit: str | None = Field(default=None, exclude_if=is_none, description="Unit of a system metric")
    points: int | None = Field(default=None, exclude_if=is_none)
    n: int | None = Field(
        default=None, exclude_if=is_none, description="Experiments in the group; the figures describe their mean"
    )
    n_last: int | None = Field(
        default=None, exclude_if=is_none, description="Number of experiments that reach the last step"
    )
    x: Number | None = Field(
        default=None, exclude_if=is_none, description="Horizontal position of an experiment's point"
    )
    colour: Number | None = Field(
        default=None, exclude_if=is_none, description="The number that sets the point's colour"
    )
    last: Extreme | None = Field(default=None, exclude_if=is_none)
    low: Number | None = Field(
        default=None, exclude_if=is_none, description="Low end of the group's band at the last step"
    )
    high: Number | None = Field(default=None, exclude_if=is_none)
    min: Extreme | None = Field(default=None, exclude_if=is_none)
    max: Extreme | None = Field(default=None, exclude_if=is_none)
    best: str | None = Field(default=None, exclude_if=is_none, description="min or max, derived from the key")
    non_finite: int | None = Field(default=None, exclude_if=is_none, description="Number of NaN or infinite points")
    first_non_finite_step: int | None = Field(default=None, exclude_if=is_none)
    worse_since: int | None = Field(
        default=None, exclude_if=is_none, description="The step after which it stays worse than its best"
    )
    sparkline: str | None = Field(
        default=None, exclude_if=is_none, description="The curve as text, if no picture is drawn"
    )


class ExperimentForecast(Record):
    """A forecast of an experiment's final value for a metric, and advice on whether to continue the experiment."""

    cuid: str
    name: str
    metric: str
    step: int = Field(description="The step from which the forecast is made")
    until_step: int
    value: Number = Field(description="The metric at `step`")
    expected: Number = Field(description="The metric at `until_step`")
    low: Number = Field(description="Low end of the 90 % interval around `expected`")
    high: Number
    best: Number | None = Field(default=None, description="The best value of the cohort at `until_step`")
    chance_best: float | None = Field(
        default=None, description="Probability (0 to 1) of ending better than the best of the cohort"
    )
    rank_now: str | None = Field(default=None, description="Rank within the cohort at `step`")
    advice: Literal["keep", "kill", "cannot tell"]
    reason: str
    time_left: str | None = Field(default=None, description="Time until `until_step` at the current pace")
    actual: Number | None = Field(default=None, description="The final value, if it has ended")
    cohort: list[str] = Field(description="Some of the finished experiments behind the forecast")
    cohort_size: int


class SimilarExperiment(Record):
    """An experiment whose config is similar to the requested config, with its result."""

    name: str
    cuid: str
    near_duplicate: bool = Field(description="Settings that are equal, or numbers within 10 %")
    differs: str = Field(description="Settings that differ, requested -> its own, most distant first")
    value: Number | None = Field(default=None, description="Its result in the metric")
    state: str
    health: str = Field(description="The state of its curves, as in diagnose_experiment")
    created: str


class TriedSetting(Record):
    """A config key in a project, its association with the result, and the values tried so far."""

    key: str
    verdict: Literal["real", "cannot tell apart", "not shown", "cannot tell"] = Field(
        description="real: its association with the result exceeds chance; cannot tell apart: so does that of keys "
        "that vary together with it"
    )
    strength: Number | None = Field(
        default=None, description="Strength of the association (0 to 1) beyond that of the rows above"
    )
    n: int = Field(description="Number of settings with the key, repeats averaged")
    how: str | None = Field(default=None, description="Rank correlation, or mean results of its values")
    varies_with: list[str] = Field(
        default_factory=list, exclude_if=is_empty, description="Keys that vary together with it"
    )
    tried: str = Field(description="Its values, or the range of its numbers")
    untried: str | None = Field(default=None, description="Wide gaps between its tried numbers")


class AggregatedGroup(Record):
    """A group of experiments with equal values in one or two fields, and the group's statistics for one metric."""

    group: Settings = Field(description="The fields with their values; null if an experiment lacks the field")
    metric: str | None = Field(default=None, exclude_if=is_empty)
    count: int
    states: str = Field(description="Number of experiments in each state")
    hours: float = Field(description="Total run time of the experiments with a recorded end")
    gpu_hours: float | None = Field(default=None, description="Run time multiplied by the GPUs of the machine")
    n: int | None = Field(default=None, description="Number of values behind the statistics in the next columns")
    mean: Number | None = None
    sd: Number | None = None
    sem: Number | None = None
    min: Number | None = None
    median: Number | None = None
    max: Number | None = None
    best: str | None = Field(default=None, description="The experiment with the best value")
    left_out: str | None = Field(
        default=None, description="Number of experiments with no value, a NaN or infinite value, or no end"
    )


class AwaitedExperiment(Record):
    """An experiment that met one of the conditions of a wait."""

    condition: str
    name: str
    cuid: str
    state: str
    metric: str | None = Field(default=None, exclude_if=is_empty)
    value: Number | None = Field(default=None, description="Value of the metric that met the condition")
    step: int | None = None
    silent: str | None = Field(
        default=None, exclude_if=is_empty, description="Time since its last point, if it stalled"
    )
