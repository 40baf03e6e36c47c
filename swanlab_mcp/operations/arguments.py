"""The arguments that questions share, each described once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from swanlab_mcp.models import Filter

__all__ = [
    "AnyProject",
    "Around",
    "Better",
    "BySeed",
    "ComparedExperiments",
    "ComparedMetrics",
    "Descending",
    "Detail",
    "End",
    "EnvironmentSearch",
    "ExpCuid",
    "ExpCuids",
    "Filters",
    "Head",
    "KeyKind",
    "KeySearch",
    "Keys",
    "LastMinutes",
    "LogContext",
    "LogFromTraceback",
    "LogLevel",
    "LogPattern",
    "LogSearch",
    "LogStart",
    "LogTail",
    "LogY",
    "MaxPoints",
    "MediaKeys",
    "MediaPage",
    "MediaPageSize",
    "MediaSteps",
    "MetricKeys",
    "Mode",
    "PageNumber",
    "PageSize",
    "PlotAxis",
    "ProfilePart",
    "ProfileParts",
    "ProjectName",
    "ProjectSort",
    "Search",
    "Since",
    "Smoothing",
    "SortField",
    "Start",
    "Tail",
    "TargetMetric",
    "TextStart",
    "Unfinished",
    "Username",
    "ValueAt",
    "WatchedMetrics",
    "XAxis",
]

Username = Annotated[
    str,
    Field(
        max_length=512,
        description="Workspace; default: the user's own. 'local': runs on this disk",
    ),
]
ProjectName = Annotated[
    str,
    Field(
        max_length=1024,
        description="Name, 'workspace/project' or page address",
    ),
]
ExpCuid = Annotated[
    str,
    Field(
        max_length=2048,
        description="Id, unique name, 'workspace/project/id' or page address",
    ),
]
PageNumber = Annotated[int, Field(ge=0, le=1_000_000, description="From 1; 0: all that fits")]
PageSize = Annotated[int, Field(ge=1, le=100, description="Per page, at most 100")]
Search = Annotated[str, Field(max_length=512, description="Part of the name")]
ProjectSort = Annotated[
    Literal["", "create", "name"],
    Field(description="Default: most recently updated first"),
]
Detail = Annotated[bool, Field(description="Count experiments and contributors")]
ProfilePart = Literal["config", "metadata", "requirements", "conda"]
ProfileParts = Annotated[
    Sequence[ProfilePart],
    Field(max_length=4, description="Parts of the profile; default: all"),
]
Keys = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(
        max_length=100,
        description="Metric keys, * and ? as wildcards; default: all",
    ),
]
ExpCuids = Annotated[
    Sequence[Annotated[str, Field(max_length=2048)]],
    Field(min_length=1, max_length=20, description="At most 20, each an id, unique name, path or page address"),
]
MetricKeys = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(
        min_length=1,
        max_length=100,
        description="Metric keys, * and ? as wildcards",
    ),
]
Mode = Annotated[
    Literal["sampled", "exact"],
    Field(description="'sampled': the shape; 'exact': every point"),
]
Start = Annotated[int | str | None, Field(description="First step, or time (ISO 8601, UTC)")]
End = Annotated[int | str | None, Field(description="Last step or time")]
LastMinutes = Annotated[float | None, Field(gt=0, le=1_000_000, description="So many minutes before the last point")]
Head = Annotated[int | None, Field(ge=1, le=2000, description="First points")]
Tail = Annotated[int | None, Field(ge=1, le=2000, description="Last points")]
Around = Annotated[int | None, Field(description="Points next to this step")]
MaxPoints = Annotated[int, Field(ge=0, le=2000, description="Per series; default: 60, or if exact what fits")]
PlotAxis = Annotated[
    Literal["step", "time", "relative_time"], Field(description="'relative_time': since the start of each experiment")
]
Smoothing = Annotated[
    float,
    Field(ge=0, lt=1, description="Moving average over the curves, e.g. 0.9; figures stay those of the raw values"),
]
LogY = Annotated[bool, Field(description="Logarithmic values")]
XAxis = Annotated[
    str,
    Field(
        max_length=512,
        description="'time' adds UTC times, 'relative_time' seconds since the start, a metric key its value, as x",
    ),
]
MediaKeys = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(min_length=1, max_length=16, description="Media keys, * and ? as wildcards"),
]
MediaSteps = Annotated[Sequence[int], Field(max_length=16, description="Default: the last one of each key")]
MediaPage = Annotated[int, Field(ge=1, le=1_000_000, description="From 1")]
MediaPageSize = Annotated[int, Field(ge=1, le=4, description="Per page, at most 4")]
TextStart = Annotated[int, Field(ge=0, description="Character at which a text goes on")]
KeySearch = Annotated[
    str,
    Field(max_length=512, description="Part of the key; * and ? as wildcards"),
]
KeyKind = Annotated[
    Literal["custom", "system", "media", "all"],
    Field(description="'custom': numbers that the training code logs; 'system': hardware"),
]
EnvironmentSearch = Annotated[
    str,
    Field(max_length=512, description="Part of the fact's name, e.g. package.torch, git, gpu"),
]
LogTail = Annotated[int, Field(ge=1, le=2000, description="How many lines")]
LogStart = Annotated[int | None, Field(ge=0, description="First line, from 0; default: the last lines")]
LogSearch = Annotated[
    str,
    Field(
        max_length=512,
        description="Lines with this text (any case), among the last 20,000 or those after start",
    ),
]
LogContext = Annotated[int, Field(ge=0, le=50, description="Lines around each one found")]
LogPattern = Annotated[str, Field(max_length=512, description="Instead of search: a regular expression")]
LogLevel = Annotated[Literal["all", "warn", "error"], Field(description="This level and above")]
LogFromTraceback = Annotated[bool, Field(description="From the first traceback on")]
Filters = Annotated[
    Sequence[Filter],
    Field(
        max_length=20,
        description="All must hold",
    ),
]
SortField = Annotated[str, Field(max_length=512, description="Field to sort by")]
Descending = Annotated[bool, Field(description="Largest first")]
TargetMetric = Annotated[
    str, Field(min_length=1, max_length=512, description="Metric key to judge by", examples=["val/acc"])
]
Better = Annotated[
    Literal["auto", "min", "max"], Field(description="Which values are good; 'auto': told by the key's words")
]
ValueAt = Annotated[
    str,
    Field(
        pattern=r"^(best|last|smoothed|step:\d{1,12})$",
        description="'best' or 'last' value, 'smoothed': mean of the last tenth, 'step:N': as far as step N",
        examples=["step:500"],
    ),
]
BySeed = Annotated[bool, Field(description="Rank settings: the mean of experiments that differ only in their seed")]
Unfinished = Annotated[bool, Field(description="Rank running, crashed and aborted ones too")]
ComparedExperiments = Annotated[
    Sequence[Annotated[str, Field(max_length=2048)]],
    Field(max_length=50, description="2 to 50 experiments, each as in exp_cuid; empty: those that meet filters"),
]
ComparedMetrics = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(
        max_length=8,
        description="Metric keys, the target first; empty: what is logged of validation, loss and quality",
        examples=[["val/acc", "val/loss"]],
    ),
]
Since = Annotated[
    str,
    Field(
        max_length=64,
        description="ISO 8601 time, the cursor of the last answer, or how long ago: 90m, 24h, 7d",
        examples=["24h"],
    ),
]
AnyProject = Annotated[str, Field(max_length=1024, description="As elsewhere; empty: every project of the workspace")]
WatchedMetrics = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(max_length=4, description="Metrics whose records count; empty: two that tell of held-out data"),
]
