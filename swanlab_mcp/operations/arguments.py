"""Arguments shared by operations: each is described once and accepts every form that assistants send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from swanlab_mcp.core.models import Filter
from swanlab_mcp.core.validation import ZERO_IS_ABSENT, Inlined, read_bound, read_objects, read_words

__all__ = [
    "AS_TEXT",
    "WORDS",
    "AnyProject",
    "Around",
    "BandKind",
    "Baseline",
    "BaselineToBeat",
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
    "Fields",
    "Filters",
    "FurtherFilters",
    "GroupBy",
    "Head",
    "Key",
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
    "LogX",
    "LogY",
    "MaxPoints",
    "MediaKeys",
    "MediaPage",
    "MediaPageSize",
    "MediaSteps",
    "MetricKeys",
    "Mode",
    "Name",
    "NewDescription",
    "NewProjectName",
    "OptionalProject",
    "PageNumber",
    "PageSize",
    "PlotAxis",
    "PlotExperiments",
    "ProfilePart",
    "ProfileParts",
    "ProjectName",
    "ProjectSort",
    "Projects",
    "RepeatsBy",
    "Search",
    "Since",
    "Smoothing",
    "SortField",
    "Start",
    "StepsOnly",
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

# published as a string, because some hosts do not support union types; numbers are accepted too
AS_TEXT = WithJsonSchema({"type": "string"})
WORDS = BeforeValidator(read_words)
Key = Annotated[str, Field(min_length=1, max_length=512)]
Name = Annotated[str, Field(max_length=2048)]

Username = Annotated[str, Field(max_length=512, description="Workspace that owns the project. Default: your own")]
ProjectName = Annotated[
    str, Field(max_length=1024, description="Project name, 'workspace/project' path, or URL of the project")
]
_SEVERAL = "Project name, path or URL; several with commas, 'team/*', or '*' for all"
Projects = Annotated[Sequence[Name], WORDS, AS_TEXT, Field(min_length=1, max_length=100, description=_SEVERAL)]
OptionalProject = Annotated[
    str,
    Field(
        max_length=1024,
        description="Project name, path or URL; only needed for ambiguous names",
    ),
]
ExpCuid = Annotated[
    str,
    Field(
        max_length=2048,
        description="Experiment id (cuid), unique name, 'workspace/project/id' path, or URL",
    ),
]
PageNumber = Annotated[
    int,
    Field(ge=0, le=1_000_000, description="Page to return, from 1; 0 returns all that fits"),
]
PageSize = Annotated[
    int, ZERO_IS_ABSENT, Field(ge=1, le=100, description="Rows per page, at most 100; 0 means the default")
]
Search = Annotated[str, Field(max_length=512, description="Return only projects whose name contains this text")]
ProjectSort = Annotated[
    Literal["", "update", "create", "name"],
    Field(description="Order: last update (default), creation time, or name"),
]
Detail = Annotated[bool, Field(description="Also count each project's experiments and contributors; false is faster")]
ProfilePart = Literal["config", "metadata", "requirements", "conda"]
ProfileParts = Annotated[
    Sequence[ProfilePart],
    WORDS,
    Field(max_length=4, description="Parts of the profile to return, to keep the reply small. Default: all"),
]
Keys = Annotated[
    Sequence[Key],
    WORDS,
    Field(max_length=100, description="Metric keys to return; * and ? are wildcards. Default: all keys"),
]
Fields = Annotated[
    Sequence[Key],
    WORDS,
    Field(
        max_length=50,
        description="Columns to show: config keys such as lr (config shows all), metric.<key>, user, labels, duration, "
        "host. Default: differing config keys",
    ),
]
ExpCuids = Annotated[
    Sequence[Name],
    WORDS,
    Field(min_length=1, max_length=20, description="1 to 20 experiments, each by id, unique name, path, or URL"),
]
MetricKeys = Annotated[
    Sequence[Key],
    WORDS,
    Field(
        min_length=1,
        max_length=100,
        description="Metric keys as logged, such as train/loss; * and ? are wildcards",
    ),
]
Mode = Annotated[
    Literal["sampled", "exact"],
    Field(description="sampled returns representative points, exact returns every point (in parts if many)"),
]
Start = Annotated[
    int | str | None,
    BeforeValidator(read_bound),
    AS_TEXT,
    Field(description="First step (1000) or first UTC time (2026-11-23T08:00). Default: the beginning"),
]
End = Annotated[
    int | str | None,
    BeforeValidator(read_bound),
    AS_TEXT,
    Field(description="Last step or UTC time to include, in the same form as start. Default: the end"),
]
LastMinutes = Annotated[
    float | None,
    ZERO_IS_ABSENT,
    Field(gt=0, le=1_000_000, description="Only the last N minutes before the newest point; 0 means no limit"),
]
Head = Annotated[
    int | None, ZERO_IS_ABSENT, Field(ge=1, le=2000, description="Only the first N points of the range; 0 means all")
]
Tail = Annotated[
    int | None, ZERO_IS_ABSENT, Field(ge=1, le=2000, description="Only the last N points of the range; 0 means all")
]
Around = Annotated[
    int | None,
    AS_TEXT,
    Field(description="Return the points near this step, such as 500. Empty: not used"),
]
MaxPoints = Annotated[
    int,
    Field(ge=0, le=2000, description="At most this many points per series; 0 lets the server choose"),
]
PlotExperiments = Annotated[
    Sequence[Name],
    WORDS,
    Field(min_length=1, max_length=100, description="1 to 100 experiments, each by id, unique name, path, or URL"),
]
PlotAxis = Annotated[
    str,
    Field(
        max_length=512,
        description="Axis: step, time, relative_time, a metric key; config.KEY or metric.KEY (a point per experiment)",
    ),
]
GroupBy = Annotated[
    str,
    Field(
        max_length=512,
        description="Draw group means with bands: seed (repeats) or a config key; colours points, also by metric.KEY",
    ),
]
BandKind = Annotated[
    Literal["sd", "minmax"], Field(description="Band around each mean: standard deviation, or minimum to maximum")
]
LogX = Annotated[bool, Field(description="Draw the horizontal axis on a logarithmic scale")]
Smoothing = Annotated[
    float,
    Field(ge=0, lt=1, description="Smoothing weight of the curves, from 0 (none) to below 1"),
]
LogY = Annotated[bool, Field(description="Draw the vertical axis on a logarithmic scale")]
XAxis = Annotated[
    str,
    Field(max_length=512, description="Horizontal axis: step (default), time, relative_time, or a metric key"),
]
MediaKeys = Annotated[
    Sequence[Key],
    WORDS,
    Field(min_length=1, max_length=16, description="Media keys as logged, such as samples; * and ? are wildcards"),
]
MediaSteps = Annotated[
    Sequence[int],
    WORDS,
    Field(max_length=16, description="Steps whose media to return. Default: the last step with media"),
]
MediaPage = Annotated[int, ZERO_IS_ABSENT, Field(ge=1, le=1_000_000, description="Page of files to return, from 1")]
MediaPageSize = Annotated[
    int, ZERO_IS_ABSENT, Field(ge=1, le=4, description="Files per page, at most 4; 0 means the default")
]
StepsOnly = Annotated[
    bool, Field(description="Return only the steps with media and their counts, without images and texts")
]
TextStart = Annotated[int, Field(ge=0, description="Character at which to continue a long text, as given in a note")]
KeySearch = Annotated[
    str,
    Field(max_length=512, description="Return only keys that contain this text; * and ? are wildcards"),
]
KeyKind = Annotated[
    Literal["custom", "system", "media", "all"],
    Field(description="custom: keys logged by the training code; system: hardware; media: images and other files"),
]
EnvironmentSearch = Annotated[
    str,
    Field(max_length=512, description="Return only facts whose name contains this text, such as gpu or package.torch"),
]
LogTail = Annotated[
    int,
    ZERO_IS_ABSENT,
    Field(ge=1, le=2000, description="Return at most this many lines; 0 means the default"),
]
LogStart = Annotated[
    int | None,
    AS_TEXT,
    Field(ge=0, description="First line to read, counted from 0. Empty: read the end of the log"),
]
LogSearch = Annotated[
    str,
    Field(
        max_length=512,
        description="Return only lines containing this text (searches the newest 20,000 lines, or from start)",
    ),
]
LogContext = Annotated[int, Field(ge=0, le=50, description="Lines to show before and after each matching line")]
LogPattern = Annotated[
    str, Field(max_length=512, description="Return only lines matching this regular expression, instead of search")
]
LogLevel = Annotated[Literal["all", "warn", "error"], Field(description="Return only lines of this severity or above")]
LogFromTraceback = Annotated[
    bool, Field(description="Start at the first Python traceback; cannot be combined with search")
]
Filters = Annotated[
    Sequence[Annotated[Filter, Inlined()]],
    BeforeValidator(read_objects),
    Field(max_length=20, description="Conditions; an experiment must meet all of them"),
]
FurtherFilters = Annotated[
    Sequence[Annotated[Filter, Inlined(is_brief=True)]],
    BeforeValidator(read_objects),
    Field(max_length=20, description="Conditions to meet, all of them; fields as in find_experiments"),
]
SortField = Annotated[
    str,
    Field(max_length=512, description="Field to sort by, such as created, config.lr or metric.val/acc"),
]
Descending = Annotated[bool, Field(description="Sort from the largest or newest to the smallest or oldest")]
TargetMetric = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        description="Metric key to rank by, as logged, such as val/acc",
        examples=["val/acc"],
    ),
]
Better = Annotated[
    Literal["auto", "min", "max"],
    Field(description="Whether small or large values are better; auto infers it from the key"),
]
ValueAt = Annotated[
    str,
    Field(
        max_length=512,
        description="Value to compare: best, last, smoothed (mean of the end), step:N such as step:500, or the key of "
        "another metric, at whose best step the value is taken",
        examples=["step:500"],
    ),
]
BySeed = Annotated[bool, Field(description="Group repeats that differ only in their seed, and rank the group means")]
Baseline = Annotated[
    str,
    Field(
        max_length=2048,
        description="Experiment or setting (name, id or URL) to compare every setting with, instead of with the first",
    ),
]
BaselineToBeat = Annotated[
    str, Field(max_length=2048, description="Experiment or setting to beat in the first metric; decides what to keep")
]
RepeatsBy = Annotated[
    Literal["config", "group", "job"],
    Field(description="What repeats share: the config except for seed and fold, or the group or job"),
]
Unfinished = Annotated[
    bool, Field(description="Also rank running, crashed and aborted experiments instead of listing them separately")
]
ComparedExperiments = Annotated[
    Sequence[Name],
    WORDS,
    Field(max_length=50, description="2 to 50 experiments, by id, unique name, path, or URL; or give filters"),
]
ComparedMetrics = Annotated[
    Sequence[Key],
    WORDS,
    Field(
        max_length=8,
        description="Metric keys to compare, most important first. Default: the main losses and scores",
        examples=[["val/acc", "val/loss"]],
    ),
]
Since = Annotated[
    str,
    Field(
        max_length=64,
        description="Period such as 90m, 24h or 7d, an ISO 8601 time, or the cursor of the last reply",
        examples=["24h"],
    ),
]
Confirmation = Annotated[
    str, Field(max_length=128, description="Leave empty in the first call; then pass the confirmation that it returned")
]
NewProjectName = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-zA-Z_.+-]{1,100}$",
        description="Name of the new project: 1 to 100 letters, digits or - _ . +",
    ),
]
NewDescription = Annotated[str, Field(max_length=2000, description="Short text that says what the project is about")]
Visibility = Annotated[
    Literal["PRIVATE", "PUBLIC"], Field(description="PRIVATE: only members of the workspace; PUBLIC: everyone")
]
AnyProject = Annotated[
    Sequence[Name],
    WORDS,
    AS_TEXT,
    Field(max_length=100, description=f"{_SEVERAL}. Default: all in the workspace"),
]
WatchedMetrics = Annotated[
    Sequence[Key],
    WORDS,
    Field(max_length=4, description="Metric keys whose new records to report. Default: the main loss or score"),
]
