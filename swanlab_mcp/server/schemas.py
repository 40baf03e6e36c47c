"""Create a pydantic model of each tool's arguments, to validate calls and generate the published JSON schema.

`tool_list.json` contains the tool definitions sent to assistants. `python -m tests.generated` uses this module to write
the file.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, create_model, model_validator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema as core

from swanlab_mcp.core.validation import ZERO_IS_ABSENT
from swanlab_mcp.server.table import ToolEntry

__all__ = ["TOOL_LIST", "Arguments", "describe_tool", "make_arguments", "read_tool_list"]

TOOL_LIST = Path(__file__).parent / "tool_list.json"
_ABSENT: tuple[object, ...] = (None, "")
# the schema covers only the outer fields of a reply, because the tool's description explains `data`
_ENVELOPE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "code": {"type": "integer"},
        "errmsg": {"type": "string"},
        "data": {"description": "The records, or null for an error"},
        "page": {"type": "object"},
        "notes": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["code", "errmsg"],
}


class Arguments(BaseModel):
    """A tool's arguments.

    An optional argument that is null or "" is treated as missing. For some arguments, 0 is treated as missing, too.
    """

    # convert numbers to strings, because a project may be called 2024
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    optional: ClassVar[dict[str, bool]] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in cast("dict[str, Any]", given).items() if not cls._is_absent(name, value)}

    @classmethod
    def _is_absent(cls, name: str, value: Any) -> bool:
        if name not in cls.optional or not isinstance(value, (str, int, float, type(None))):
            return False
        return value in _ABSENT or (cls.optional[name] and value is not False and value in (0, "0"))


@cache
def make_arguments(entry: ToolEntry) -> type[Arguments]:
    """Return a model of a tool's arguments, created from the operation's signature."""
    given = inspect.signature(entry.operation, eval_str=True).parameters.values()
    fields: dict[str, Any] = {
        one.name: (one.annotation, ... if one.default is one.empty else one.default)
        for one in given
        if one.name != "client"
    }
    model = create_model(f"{entry.name}_arguments", __base__=Arguments, **fields)
    model.optional = {
        name: ZERO_IS_ABSENT in field.metadata for name, field in model.model_fields.items() if not field.is_required()
    }
    return model


class _PortableSchema(GenerateJsonSchema):
    """Generates a JSON schema that every known assistant and framework can load.

    The schema contains no list of types in `type`, no null, no `$ref`, no empty string in an enum and no
    `additionalProperties`. Bounds, patterns and titles are omitted, because the descriptions mention them and our own
    validation errors explain them.
    """

    def nullable_schema(self, schema: core.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        if described.get("default") in ("", [], None, False, 0):
            described.pop("default", None)
        return described

    def literal_schema(self, schema: core.LiteralSchema) -> JsonSchemaValue:
        return {"type": "string", "enum": [value for value in schema["expected"] if value]}

    def str_schema(self, schema: core.StringSchema) -> JsonSchemaValue:  # noqa: ARG002 pydantic's signature
        return {"type": "string"}

    def int_schema(self, schema: core.IntSchema) -> JsonSchemaValue:  # noqa: ARG002 pydantic's signature
        return {"type": "integer"}

    def float_schema(self, schema: core.FloatSchema) -> JsonSchemaValue:  # noqa: ARG002 pydantic's signature
        return {"type": "number"}

    def list_schema(self, schema: core.ListSchema) -> JsonSchemaValue:
        return {"type": "array", "items": self.generate_inner(schema.get("items_schema", core.any_schema()))}

    def union_schema(self, schema: core.UnionSchema) -> JsonSchemaValue:
        options = super().union_schema(schema)["anyOf"]
        has_number = {"type": "number"} in options
        return {"anyOf": [one for one in options if not (has_number and one == {"type": "integer"})]}

    def model_schema(self, schema: core.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        return {key: described[key] for key in ("type", "properties", "required") if key in described}

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 pydantic's signature
        return False


def describe_tool(entry: ToolEntry) -> dict[str, Any]:
    """Return a tool's definition for `tools/list`."""
    parameters = make_arguments(entry).model_json_schema(schema_generator=_PortableSchema)
    for about in parameters.get("properties", {}).values():
        for key in ("examples", "maxLength", "minLength", "maxItems", "minItems"):
            about.pop(key, None)
    return {
        "name": entry.name,
        "title": entry.title,
        "description": inspect.getdoc(entry.operation),
        "inputSchema": {"type": "object", "properties": {}, **parameters},
        **({} if entry.shows_pictures else {"outputSchema": _ENVELOPE}),
        # the other hints have no meaning for a read-only tool
        "annotations": {"readOnlyHint": True} if entry.read_only else {"destructiveHint": True},
        **({"_meta": {"ui": {"resourceUri": entry.view}}} if entry.view else {}),
    }


def read_tool_list(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the published definitions of the tools with the given names."""
    listed: list[dict[str, Any]] = json.loads(TOOL_LIST.read_bytes())
    return [one for one in listed if one["name"] in names]
