"""The arguments that questions share, each described once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from swanlab_mcp.core.models import Filter

__all__ = [
    "AnyProject",
    "Around",
    "Better",
    "BySeed",
    "ComparedExperiments",
    "ComparedMetrics",
    "Confirmation",
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
    "NewDescription",
    "NewProjectName",
    "PageNumber",
    "PageSize",
    "PlotAxis",
    "ProfilePart",
    "ProfileParts",
    "ProjectName",
    "ProjectSort",
    "SameFilters",
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
    "Visibility",
    "WatchedMetrics",
    "XAxis",
]

Username = Annotated[
    str,
    Field(
        max_length=512,
        description="Workspace",
    ),
]
ProjectName = Annotated[
    str,
    Field(
        max_length=1024,
        description="Name, path or URL",
    ),
]
ExpCuid = Annotated[
    str,
    Field(
        max_length=2048,
        description="Id, unique name, 'workspace/project/id' or URL",
    ),
]
PageNumber = Annotated[int, Field(ge=0, le=1_000_000, description="0: all that fits")]
PageSize = Annotated[int, Field(ge=1, le=100, description="Up to 100")]
Search = Annotated[str, Field(max_length=512, description="Part of the name")]
ProjectSort = Annotated[
    Literal["", "create", "name"],
    Field(description="Default: by update"),
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
        description="Wildcards * ?; default: all",
    ),
]
ExpCuids = Annotated[
    Sequence[Annotated[str, Field(max_length=2048)]],
    Field(min_length=1, max_length=20, description="Up to 20, as exp_cuid"),
]
MetricKeys = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(
        min_length=1,
        max_length=100,
        description="Wildcards: * ?",
    ),
]
Mode = Annotated[
    Literal["sampled", "exact"],
    Field(description="Shape, or every point"),
]
Start = Annotated[int | str | None, Field(description="Step or UTC time")]
End = Annotated[int | str | None, Field(description="Step or UTC time")]
LastMinutes = Annotated[float | None, Field(gt=0, le=1_000_000, description="Until the last point")]
Head = Annotated[int | None, Field(ge=1, le=2000, description="First points")]
Tail = Annotated[int | None, Field(ge=1, le=2000, description="Last points")]
Around = Annotated[int | None, Field(description="Points next to this step")]
MaxPoints = Annotated[int, Field(ge=0, le=2000, description="Per series")]
PlotAxis = Annotated[Literal["step", "time", "relative_time"], Field(description="Relative: since each start")]
Smoothing = Annotated[
    float,
    Field(ge=0, lt=1, description="Of the curves, e.g. 0.9"),
]
LogY = Annotated[bool, Field(description="Logarithmic values")]
XAxis = Annotated[
    str,
    Field(
        max_length=512,
        description="Or time, relative_time, a metric key",
    ),
]
MediaKeys = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(min_length=1, max_length=16, description="Wildcards: * ?"),
]
MediaSteps = Annotated[Sequence[int], Field(max_length=16, description="Default: the last")]
MediaPage = Annotated[int, Field(ge=1, le=1_000_000, description="From 1")]
MediaPageSize = Annotated[int, Field(ge=1, le=4, description="Up to 4")]
TextStart = Annotated[int, Field(ge=0, description="Character to go on at")]
KeySearch = Annotated[
    str,
    Field(max_length=512, description="Part of the key, or with * ?"),
]
KeyKind = Annotated[
    Literal["custom", "system", "media", "all"],
    Field(description="custom: the user's; system: hardware"),
]
EnvironmentSearch = Annotated[
    str,
    Field(max_length=512, description="Part of its name, e.g. gpu"),
]
LogTail = Annotated[int, Field(ge=1, le=2000, description="How many lines")]
LogStart = Annotated[int | None, Field(ge=0, description="First line")]
LogSearch = Annotated[
    str,
    Field(
        max_length=512,
        description="Text in 20,000 lines",
    ),
]
LogContext = Annotated[int, Field(ge=0, le=50, description="Lines around it")]
LogPattern = Annotated[str, Field(max_length=512, description="Or a regular expression")]
LogLevel = Annotated[Literal["all", "warn", "error"], Field(description="This level and above")]
LogFromTraceback = Annotated[bool, Field(description="From the first traceback on")]
Filters = Annotated[
    Sequence[Filter],
    Field(
        max_length=20,
        description="All must hold",
    ),
]
# the grammar costs tokens once
SameFilters = Annotated[
    Filters, WithJsonSchema({"type": "array", "items": {"type": "object"}, "description": "As in find_experiments"})
]
SortField = Annotated[str, Field(max_length=512, description="Field to sort by")]
Descending = Annotated[bool, Field(description="Largest first")]
TargetMetric = Annotated[str, Field(min_length=1, max_length=512, description="Metric key", examples=["val/acc"])]
Better = Annotated[Literal["auto", "min", "max"], Field(description="What is better")]
ValueAt = Annotated[
    str,
    Field(
        pattern=r"^(best|last|smoothed|step:\d{1,12})$",
        description="best, last, smoothed, step:N",
        examples=["step:500"],
    ),
]
BySeed = Annotated[bool, Field(description="Rank means over seeds")]
Unfinished = Annotated[bool, Field(description="Rank these too")]
ComparedExperiments = Annotated[
    Sequence[Annotated[str, Field(max_length=2048)]],
    Field(max_length=50, description="Or give filters"),
]
ComparedMetrics = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(
        max_length=8,
        description="Keys, target first",
        examples=[["val/acc", "val/loss"]],
    ),
]
Since = Annotated[
    str,
    Field(
        max_length=64,
        description="Time (ISO 8601), 90m, 24h, 7d, or a cursor",
        examples=["24h"],
    ),
]
Confirmation = Annotated[str, Field(max_length=128, description="Of the dry run")]
NewProjectName = Annotated[
    str, Field(pattern=r"^[0-9a-zA-Z_.+-]{1,100}$", description="1 to 100 of 0-9 a-z A-Z - _ . +")
]
NewDescription = Annotated[str, Field(max_length=2000, description="What it is about")]
Visibility = Annotated[Literal["PRIVATE", "PUBLIC"], Field(description="Who may see it")]
AnyProject = Annotated[str, Field(max_length=1024, description="Default: all")]
WatchedMetrics = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(max_length=4, description="Whose records count"),
]
