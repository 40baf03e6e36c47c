"""Typed records for SwanLab's data. Field names and types follow SwanLab's `OpenApi` document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationInfo, WithJsonSchema, field_validator
from pydantic.json_schema import SkipJsonSchema

from swanlab_mcp.core.frames import make_frame
from swanlab_mcp.core.records import (
    JsonObject,
    Number,
    Record,
    Text,
    Texts,
    is_empty,
    is_none,
    to_json_value,
)
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.validation import read_filter_value

__all__ = [
    "ApiResponse",
    "EnvironmentFact",
    "Experiment",
    "Extreme",
    "Filter",
    "LogLine",
    "LogPart",
    "LoggedKeys",
    "Media",
    "MediaFile",
    "MediaItem",
    "MediaPart",
    "Members",
    "MetricKey",
    "MetricSummary",
    "Narrowed",
    "Page",
    "Picture",
    "Points",
    "Project",
    "RecordList",
    "Series",
    "Summary",
    "User",
    "View",
    "Workspace",
]

T = TypeVar("T")


_ANY = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "array", "object")]}


class User(Record):
    """The logged-in user."""

    username: str
    name: Text = ""
    bio: Text = ""
    institution: Text = ""
    school: Text = ""
    email: Text = ""
    location: Text = ""
    url: Text = ""


class Workspace(Record):
    """The workspace of a user or team. URLs identify a workspace by its `username`."""

    name: Text = ""
    username: str
    role: Text = Field("", description="OWNER, MEMBER, VIEWER or VISITOR")


class Project(Record):
    """A project in a workspace."""

    cuid: Text = ""
    name: str
    description: Text = ""
    visibility: Text = Field("", description="PUBLIC or PRIVATE")
    createdAt: Text = Field("", description="UTC, like 2024-11-23T12:28:04.286Z")
    updatedAt: str | None = None
    group: Texts = Field(default_factory=dict, description="The workspace: type, username, name")
    count: JsonObject = Field(default_factory=dict, description="experiments, contributors, children, runningExps, …")


class Experiment(Record):
    """One training run. `profile` contains its config, metadata, requirements and conda environment."""

    cuid: str
    name: Text = ""
    description: Text = Field("", exclude_if=is_empty)
    state: Text = Field(
        "", description="RUNNING, FINISHED, CRASHED, ABORTED or OFFLINE; UNKNOWN: it has no recorded end"
    )
    show: bool = True
    createdAt: Text = Field("", description="UTC, like 2024-11-23T12:28:04.286Z")
    finishedAt: str | None = None
    user: Texts = Field(default_factory=dict, exclude_if=is_empty, description="The creator: username, name")
    profile: JsonObject = Field(default_factory=dict, description="config, metadata, requirements, conda")
    slug: str | None = Field(default=None, exclude_if=is_none, description="The id in URLs, if it differs")
    labels: list[str] = Field(default_factory=list, exclude_if=is_empty)
    group: str | None = Field(default=None, exclude_if=is_none)
    job: str | None = Field(default=None, exclude_if=is_none)
    error: str | None = Field(default=None, exclude_if=is_none, description="The recorded traceback of a crash")
    metrics: dict[str, Number] = Field(
        default_factory=dict, exclude_if=is_empty, description="Last values of the requested metrics"
    )
    facts: JsonObject = Field(
        default_factory=dict,
        exclude_if=is_empty,
        description="Requested fields that lists do not contain: duration, host",
    )
    # set on a clone: the project and experiment that hold its metrics
    rootProId: SkipJsonSchema[str | None] = Field(default=None, exclude_if=is_none)
    rootExpId: SkipJsonSchema[str | None] = Field(default=None, exclude_if=is_none)


# published as a list of strings to save tokens, although numbers and booleans are accepted as well
_AS_TEXTS = WithJsonSchema({"type": "array", "items": {"type": "string"}})


class Filter(Record):
    """A condition on experiments: a field, an operator and a value."""

    model_config = ConfigDict(extra="forbid")

    field: str = Field(max_length=512, description="Field to test, such as state, config.lr or metric.val/acc")
    op: Literal["=", "!=", ">=", "<=", ">", "<", "in", "not-in", "contains", "is-null", "not-null"] = Field(
        description="How the field is compared with the value"
    )
    value: str | int | float | bool | Annotated[list[str | int | float | bool], _AS_TEXTS] = Field(
        default=None, validate_default=True, description="Value to compare with; a list for in and not-in"
    )

    # conditions with the same number are alternatives; a condition with 0 has no alternative
    either: SkipJsonSchema[int] = Field(default=0, exclude=True)

    @field_validator("value", mode="wrap")
    @classmethod
    def _read_value(cls, value: Any, validate: Any, info: ValidationInfo) -> Any:
        return read_filter_value(value, validate, needs_value=info.data.get("op") not in ("is-null", "not-null"))


class Narrowed(NamedTuple):
    """A list of experiments that contains every match of the filters, and possibly other experiments.

    SwanLab has already applied the filters in `applied`. `is_whole` is true if the list contains every experiment in
    the project. `summaries` maps a cuid to the summaries of the metrics in `keys`, and `first` maps the cuids of the
    first few experiments to their full summaries. `note` returns the notes about the experiments with the given ids.
    """

    experiments: Sequence[Experiment]
    summaries: Mapping[str, Summary]
    applied: Sequence[Filter] = ()
    is_whole: bool = True
    keys: Sequence[str] = ()
    first: Mapping[str, Summary] = {}
    note: Callable[[Collection[str]], Awaitable[Sequence[str]]] | None = None


class Members(NamedTuple):
    """The ids of experiments, grouped by whether they meet a condition on a field that SwanLab never returns.

    SwanLab returns the `pinned` experiments for every condition, so it is unknown whether they meet this condition.
    """

    matching: AbstractSet[str]
    others: AbstractSet[str]
    pinned: AbstractSet[str]


class Extreme(Record):
    """A minimum or maximum and the first step with that value. `step` is absent if SwanLab does not report it."""

    step: int | None = Field(default=None, exclude_if=is_none)
    value: Number


class MetricSummary(Record):
    """A metric's value at the last step, and its smallest and largest finite values."""

    step: int | None = Field(default=None, exclude_if=is_none, description="The last step")
    value: Number | None = Field(default=None, exclude_if=is_none, description="The value at the last step")
    min: Extreme | None = Field(default=None, exclude_if=is_none)
    max: Extreme | None = Field(default=None, exclude_if=is_none)
    avg: Number | None = Field(
        default=None, exclude_if=is_none, description="avg, median, stdDev: if SwanLab reports them"
    )
    median: Number | None = Field(default=None, exclude_if=is_none)
    stdDev: Number | None = Field(default=None, exclude_if=is_none)
    count: int | None = Field(default=None, exclude_if=is_none, description="Number of points (only for runs on disk)")
    non_finite: int | None = Field(default=None, exclude_if=is_none, description="Number of NaN or infinite points")
    first_non_finite_step: int | None = Field(default=None, exclude_if=is_none)
    unit: str | None = Field(default=None, exclude_if=is_none, description="Unit of a system metric")


Summary = dict[str, MetricSummary]


class EnvironmentFact(Record):
    """A fact about the environments. If the experiments differ, `values` (by experiment) replaces `value`."""

    name: str = Field(description="Dotted; packages as package.<name>")
    value: Annotated[Any, PlainSerializer(to_json_value, when_used="json"), WithJsonSchema(_ANY)] = Field(
        default=None, exclude_if=is_none
    )
    values: JsonObject = Field(default_factory=dict, exclude_if=is_empty)


class LogLine(Record):
    """A line printed by an experiment. `number` is 0-based."""

    number: int
    message: str
    level: str | None = Field(default=None, exclude_if=is_none, description="The level, unless it is INFO")
    time: str | None = Field(default=None, exclude_if=is_none, description="UTC")
    repeated: int | None = Field(default=None, exclude_if=is_none, description="How many times in a row it was printed")


class LogPart(NamedTuple):
    """Consecutive lines from a log, starting at line `start`. `total` is the number of lines in the full log."""

    lines: Sequence[LogLine]
    start: int
    total: int


class MetricKey(Record):
    """A logged key, or a group of `count` keys with a common prefix."""

    key: str
    type: str = Field(description="SCALAR or MEDIA")
    system: bool = Field(default=False, exclude_if=is_empty, description="Logged by the SDK itself")
    unit: str | None = Field(default=None, exclude_if=is_none, description="Unit of a system metric")
    count: int | None = Field(default=None, exclude_if=is_none, description="Number of keys in the group")
    missing_in: list[str] = Field(
        default_factory=list, exclude_if=is_empty, description="Requested experiments that lack the key"
    )


class Media(Record):
    """A recorded media file. Images are returned as pictures, texts and tables as `text`, and other files by name."""

    key: str
    step: int
    type: str = Field(description="image, text, table, chart, audio, video, object3d, molecule, html or file")
    name: str | None = Field(default=None, exclude_if=is_none)
    size: int | None = Field(default=None, exclude_if=is_none, description="Size in bytes")
    caption: str | None = Field(default=None, exclude_if=is_none)
    picture: int | None = Field(default=None, exclude_if=is_none, description="Number of its picture, from 1")
    text: str | None = Field(default=None, exclude_if=is_none)


class MediaItem(NamedTuple):
    """A recorded media file. `path` identifies the file within its backend and must never be opened directly."""

    key: str
    step: int
    path: str
    caption: str = ""


class MediaPart(NamedTuple):
    """The steps at which a key has media, and the items at one `step`. `step` is `None` if the key has no media."""

    steps: Sequence[int]
    step: int | None
    items: Sequence[MediaItem]


class MediaFile(NamedTuple):
    """A media file. `content` is `None` for files over the size limit. `size` is in bytes, or `None` if unknown."""

    content: bytes | None
    size: int | None


class LoggedKeys(NamedTuple):
    """The keys logged by an experiment, in SwanLab's order. `scalars` includes the system metrics."""

    scalars: Sequence[str]
    media: Sequence[str] = ()


class Points(NamedTuple):
    """The points of one metric in step order. `times` are in Unix milliseconds, or 0 if no time was recorded.

    `is_whole` is false if SwanLab returned only a sample of the points.
    """

    steps: Sequence[int] = ()
    values: Sequence[float] = ()
    times: Sequence[int] = ()
    is_whole: bool = True


class Series(Record):
    """The returned points of one metric in one experiment, and the size of the full series."""

    exp_cuid: str
    key: str
    unit: str | None = Field(default=None, exclude_if=is_none, description="Unit of a system metric")
    steps: list[int]
    values: list[Number]
    times: list[str] | None = Field(default=None, exclude_if=is_none, description="UTC")
    x: list[Number] | None = Field(
        default=None, exclude_if=is_none, description="Seconds since the start, or the metric requested as x_axis"
    )
    source: str = Field(description="'all points', or 'sample' if SwanLab sent a sample")
    returned: int = Field(description="Number of points returned")
    total: int | None = Field(
        default=None, exclude_if=is_none, description="Points in the requested range; absent if unknown"
    )
    series_total: int | None = Field(
        default=None, exclude_if=is_none, description="Points in the full series, if the range excludes some"
    )
    first_step: int | None = Field(default=None, exclude_if=is_none, description="First step of the requested range")
    last_step: int | None = Field(default=None, exclude_if=is_none)
    non_finite: int | None = Field(default=None, exclude_if=is_none, description="Number of NaN or infinite points")
    first_non_finite_step: int | None = Field(default=None, exclude_if=is_none)
    next_start: int | None = Field(
        default=None,
        exclude_if=is_none,
        description="The `start` argument of the call that continues with exact points",
    )


class Picture(NamedTuple):
    """An image sent to the assistant with the reply. `row` is the index of the reply's row that describes the image."""

    content: bytes
    mime_type: str
    row: int = 0


# builds the data for an interactive view when it is shown; the argument masks and shortens recorded strings
View = Callable[[Callable[[str], str]], dict[str, Any]]


class RecordList(list[T]):
    """A complete list. `.items` returns the list itself, because SwanLab's OpenApi document uses `data.items[0]`."""

    @property
    def items(self) -> RecordList[T]:
        return self

    def model_dump(self) -> list[Any]:
        """Return the records as dicts."""
        return [record.model_dump() if isinstance(record, BaseModel) else record for record in self]

    def to_pandas(self) -> Any:
        """Return a DataFrame with one row per record. Nested fields become dotted columns.

        Raises ImportError if pandas is not installed.
        """
        return make_frame(self.model_dump())


class Page(Record):
    """The position of a page in a list. `next` has the arguments for the next page, and is absent on the last page."""

    returned: int
    total: int
    order: str | None = Field(default=None, exclude_if=is_none, description="The order of the rows")
    next: str | None = Field(
        default=None, exclude_if=is_none, description="Arguments of the call that continues the list"
    )


class ApiResponse(BaseModel, Generic[T]):
    """The reply to a request.

    `code` is an HTTP status, or 0 if there was no response. After an error, `errmsg` is set and `data` is `None`.
    `page` is set if the reply is part of a list. `notes` mention truncation, sampling and guesses. `report` is the
    project whose report contains the same data. Dumps omit `pictures`, `view` and `report`.
    """

    model_config = ConfigDict(defer_build=True)

    code: int = 200
    errmsg: str = ""
    data: T | None = None
    page: Page | None = Field(default=None, exclude_if=is_none)
    notes: list[str] = Field(default_factory=list, exclude_if=is_empty)
    pictures: SkipJsonSchema[list[Picture]] = Field(default_factory=list[Picture], exclude=True, repr=False)
    view: SkipJsonSchema[View | None] = Field(default=None, exclude=True, repr=False)
    report: SkipJsonSchema[ProjectRef | None] = Field(default=None, exclude=True, repr=False)
