"""The base class of all models, the JSON types of their fields, and SwanLab's time format."""

from __future__ import annotations

import math
from collections.abc import Iterable, KeysView
from datetime import datetime, timezone
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from swanlab_mcp.core.frames import make_frame

__all__ = [
    "JsonObject",
    "Number",
    "Record",
    "Text",
    "Texts",
    "is_empty",
    "is_moment",
    "is_none",
    "list_columns",
    "read_time",
    "show_time",
    "to_json_value",
]


def to_json_value(value: Any) -> Any:
    """Convert a value to JSON types. NaN, infinities and objects of unknown types become strings."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return value
    if isinstance(value, dict):
        return {str(key): to_json_value(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json_value(item) for item in cast("list[Any]", value)]
    return str(value)


def is_moment(milliseconds: float) -> bool:
    """Return whether a time in Unix milliseconds is plausible for a run: after 1970 and before 3000."""
    return 0 < milliseconds < 32_503_680_000_000


def show_time(milliseconds: int) -> str:
    """Format Unix milliseconds as SwanLab does, in UTC: 2024-11-23T12:28:04.286Z. Return "" for an invalid time."""
    if not milliseconds:
        return ""
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def read_time(text: str) -> datetime | None:
    """Parse an ISO 8601 time, which is in UTC unless it has an offset. Return `None` if the text is invalid."""
    try:
        parsed = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def _none_to(default: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: default() if value is None else value)


Text = Annotated[str, _none_to(str)]
JsonObject = Annotated[dict[str, Any], _none_to(dict), PlainSerializer(to_json_value, when_used="json")]
Texts = Annotated[dict[str, Any], _none_to(dict)]
Number = Annotated[
    float,
    PlainSerializer(to_json_value, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "description": "NaN, Infinity, -Infinity"}]}),
]


def is_none(value: object) -> bool:
    return value is None


def is_empty(value: object) -> bool:
    return not value


class Record(BaseModel):
    """A read-only record. Its fields are available as attributes, `["field"]` and `.get("field", default)`."""

    # build the validators later, because starting the server does not need them
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    def __getitem__(self, field: str) -> Any:
        """Return a field's value. Raises KeyError for an unknown name."""
        if field not in type(self).model_fields:
            raise KeyError(field)
        return getattr(self, field)

    def __contains__(self, field: object) -> bool:
        return field in type(self).model_fields

    def get(self, field: str, default: Any = None) -> Any:
        """Return a field's value, or `default` for an unknown name."""
        return getattr(self, field) if field in type(self).model_fields else default

    def keys(self) -> KeysView[str]:
        """Return the names of the fields."""
        return type(self).model_fields.keys()

    def to_pandas(self) -> Any:
        """Return a DataFrame with a single row. Nested fields become dotted columns.

        Raises ImportError if pandas is not installed.
        """
        return make_frame([self.model_dump()])


def list_columns(rows: Iterable[Iterable[str]]) -> list[str]:
    """Return every name used in the rows, each once.

    A name that is missing from earlier rows is inserted after the name that precedes it in its own row.
    """
    # a linked list that maps each name to the next, because thousands of names may have to be inserted
    following: dict[str | None, str | None] = {None: None}
    for row in rows:
        before = None
        for name in row:
            if name not in following:
                following[name], following[before] = following[before], name
            before = name
    columns: list[str] = []
    last = None
    while (name := following[last]) is not None:
        columns.append(name)
        last = name
    return columns
