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
    "MaxPoints",
    "MediaKeys",
    "MediaPage",
    "MediaPageSize",
    "MediaSteps",
    "MetricKeys",
    "Mode",
    "PageNumber",
    "PageSize",
    "ProfilePart",
    "ProfileParts",
    "ProjectName",
    "ProjectSort",
    "Search",
    "Since",
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
        description="Workspace; empty: the signed-in user's own. 'local': runs on this machine",
        examples=["my-team"],
    ),
]
ProjectName = Annotated[
    str,
    Field(
        max_length=1024,
        description="Project name, 'workspace/project', or its page's address; "
        "empty if exp_cuid is a full path or address",
        examples=["my-team/digits-mlp"],
    ),
]
ExpCuid = Annotated[
    str,
    Field(
        max_length=2048,
        description="Experiment id (cuid or slug), its name if no other has it, "
        "'workspace/project/experiment', or the address of its page",
        examples=["lr-0.1"],
    ),
]
PageNumber = Annotated[
    int, Field(ge=0, le=1_000_000, description="Page, from 1; 0: as much of the whole list as fits", examples=[1, 2])
]
PageSize = Annotated[int, Field(ge=1, le=100, description="Items per page")]
Search = Annotated[str, Field(max_length=512, description="Only names that contain this", examples=["digits"])]
ProjectSort = Annotated[
    Literal["", "create", "name"],
    Field(description="'create': newest first; 'name'; empty: most recently updated first"),
]
Detail = Annotated[bool, Field(description="Include the numbers of experiments and contributors")]
ProfilePart = Literal["config", "metadata", "requirements", "conda"]
ProfileParts = Annotated[
    Sequence[ProfilePart],
    Field(max_length=4, description="Only these parts of the profile; empty: all", examples=[["config"]]),
]
Keys = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(
        max_length=100,
        description="Only these metrics; * and ? match any text and any character; empty: all",
        examples=[["val/*", "train/loss"]],
    ),
]
ExpCuids = Annotated[
    Sequence[Annotated[str, Field(max_length=2048)]],
    Field(min_length=1, max_length=20, description="Experiments, each as in exp_cuid", examples=[["lr-0.1", "lr-0.3"]]),
]
MetricKeys = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(
        min_length=1,
        max_length=100,
        description="Metric keys; * and ? match any text and any character",
        examples=[["train/loss", "val/*"]],
    ),
]
Mode = Annotated[
    Literal["sampled", "exact"],
    Field(description="'sampled': the shape in few points; 'exact': every point of the asked steps, in order"),
]
Start = Annotated[int | str | None, Field(description="From this step, or time (ISO 8601, UTC), on")]
End = Annotated[int | str | None, Field(description="Up to and with this step or time")]
LastMinutes = Annotated[
    float | None, Field(gt=0, le=1_000_000, description="Only the last minutes before the series' last point")
]
Head = Annotated[int | None, Field(ge=1, le=2000, description="Only the first so many points")]
Tail = Annotated[int | None, Field(ge=1, le=2000, description="Only the last so many points")]
Around = Annotated[int | None, Field(description="Only the points next to this step, on both sides")]
MaxPoints = Annotated[
    int, Field(ge=0, le=2000, description="Points per series; 0: 60 if sampled, if exact what fits", examples=[100])
]
XAxis = Annotated[
    str,
    Field(
        max_length=512,
        description="'step', 'time' (adds times, UTC), 'relative_time' (adds x: seconds since the start), or a metric "
        "key (adds x: its value at the same step)",
        examples=["epoch"],
    ),
]
MediaKeys = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(min_length=1, max_length=16, description="Media keys; * and ? as wildcards"),
]
MediaSteps = Annotated[Sequence[int], Field(max_length=16, description="Steps; empty: the last one of each key")]
MediaPage = Annotated[int, Field(ge=1, le=1_000_000, description="Page, from 1")]
MediaPageSize = Annotated[int, Field(ge=1, le=4, description="Files per page")]
TextStart = Annotated[int, Field(ge=0, description="For long texts: from this character on")]
KeySearch = Annotated[
    str,
    Field(max_length=512, description="Only keys that contain this; * and ? as wildcards", examples=["loss", "val/*"]),
]
KeyKind = Annotated[
    Literal["custom", "system", "media", "all"],
    Field(description="'custom': scalars that the training code logs; 'system': hardware, logged by the SDK; 'media'"),
]
EnvironmentSearch = Annotated[
    str,
    Field(max_length=512, description="Only facts whose name contains this", examples=["package.torch", "git", "gpu"]),
]
LogTail = Annotated[int, Field(ge=1, le=2000, description="How many lines, counted before any search")]
LogStart = Annotated[int | None, Field(ge=0, description="From this line on, counted from 0; empty: the last lines")]
LogSearch = Annotated[
    str,
    Field(
        max_length=512,
        description="Only lines that contain this text (any case), searched in 20,000 lines, the last first",
        examples=["Traceback", "loss=nan"],
    ),
]
LogContext = Annotated[int, Field(ge=0, le=50, description="Lines shown before and after each one found")]
LogPattern = Annotated[
    str, Field(max_length=512, description="Instead of search: a regular expression, any case", examples=["loss.*nan"])
]
LogLevel = Annotated[
    Literal["all", "warn", "error"], Field(description="Only lines of this level and above it, with their context")
]
LogFromTraceback = Annotated[bool, Field(description="From the first Python traceback on")]
Filters = Annotated[
    Sequence[Filter],
    Field(
        max_length=20,
        description="Conditions that must all hold",
        examples=[[{"field": "state", "op": "=", "value": "CRASHED"}]],
    ),
]
SortField = Annotated[
    str, Field(max_length=512, description="A field as in filters; empty: as listed", examples=["metric.val/acc"])
]
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
