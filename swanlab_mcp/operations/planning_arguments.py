"""Arguments of the tools that help to plan runs: forecasts, similar experiments, waiting and aggregation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from swanlab_mcp.core.validation import ZERO_IS_ABSENT, read_config
from swanlab_mcp.operations.arguments import AS_TEXT, WORDS, Key, Name

__all__ = [
    "AggregatedMetrics",
    "AggregatedValue",
    "AsOfStep",
    "ForecastMetric",
    "GroupBy",
    "OutcomeMetric",
    "SimilarCount",
    "SoughtConfig",
    "SoughtExperiment",
    "Statistic",
    "UntilStep",
    "WaitCursor",
    "WaitSeconds",
    "WaitUntil",
    "WaitedExperiments",
    "WantedStatistics",
]

ForecastMetric = Annotated[
    str,
    Field(min_length=1, max_length=512, description="Metric key to forecast, as logged, such as val/loss"),
]
UntilStep = Annotated[
    int,
    Field(
        ge=0,
        le=2**53,
        description="Step at which it will end; 0 means the usual last step in finished experiments",
    ),
]
AsOfStep = Annotated[
    int,
    Field(ge=0, le=2**53, description="Forecast from the points up to this step; 0 means all points"),
]
SoughtConfig = Annotated[
    dict[str, Any] | None,
    BeforeValidator(read_config),
    AS_TEXT,
    Field(description='Planned settings, such as "lr=0.01, optimizer=adam", or a config as JSON'),
]
SoughtExperiment = Annotated[
    str,
    Field(max_length=2048, description="Experiment whose config is compared, instead of a planned config"),
]
OutcomeMetric = Annotated[
    str,
    Field(max_length=512, description="Metric key that measures the result. Default: the main validation metric"),
]
SimilarCount = Annotated[
    int, ZERO_IS_ABSENT, Field(ge=1, le=10, description="How many of the nearest experiments to return, at most 10")
]
WaitedExperiments = Annotated[
    Sequence[Name],
    WORDS,
    Field(max_length=50, description="Experiments to watch, by id or unique name. Default: all running and new ones"),
]
WaitUntil = Annotated[
    Sequence[Key],
    WORDS,
    Field(
        max_length=10,
        description="Any of finished, crashed, non_finite (these three by default), stalled, any_new, step:1000, or a "
        "comparison such as val/acc >= 0.9",
    ),
]
WaitSeconds = Annotated[
    int,
    ZERO_IS_ABSENT,
    Field(ge=1, le=1800, description="Longest time to wait, in seconds; many hosts end calls after 60"),
]
WaitCursor = Annotated[str, Field(max_length=4000, description="Cursor from an earlier reply, to continue the wait")]
GroupBy = Annotated[
    Sequence[Key],
    WORDS,
    Field(
        max_length=2,
        description="One or two of config.<key>, workspace, project, state, user, group, job, labels, host, gpu, day, "
        "week, month",
        examples=[["config.lr"]],
    ),
]
AggregatedMetrics = Annotated[
    Sequence[Key],
    WORDS,
    Field(max_length=4, description="Metric keys whose values to average. Default: only count, states and hours"),
]
Statistic = Literal["mean", "sd", "sem", "min", "median", "max", "gpu_hours"]
WantedStatistics = Annotated[
    Sequence[Statistic],
    WORDS,
    Field(max_length=7, description="Statistics to return. Default: mean, sd, and for few rows min, median, max"),
]
AggregatedValue = Annotated[
    Literal["best", "last"],
    Field(description="Value from each experiment: best (default, by the metric's direction) or last"),
]
