"""The tool table, and bind(): an operation as the function that the MCP SDK calls."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import AcceptedElicitation, Elicit, ElicitationResult, Resolve
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, ImageContent, TextContent, ToolAnnotations
from mcp.types import Tool as McpTool
from pydantic import BaseModel, Field, ValidationError, create_model

from swanlab_mcp import operations
from swanlab_mcp.client.base import SwanLabClient
from swanlab_mcp.client.routing import open_client
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument, PermissionDenied, SwanLabError
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse, Change, Picture
from swanlab_mcp.core.refs import find_near_names
from swanlab_mcp.core.secret_masking import mask_exactly, mask_secrets
from swanlab_mcp.core.untrusted import neutralise, shorten
from swanlab_mcp.core.validation import tell_fault
from swanlab_mcp.operations.budget import output_tokens
from swanlab_mcp.operations.confirmation import Confirmations, confirmations, is_rehearsal
from swanlab_mcp.operations.deadline import keep_deadline
from swanlab_mcp.operations.listing import get_stretch
from swanlab_mcp.present.text import Reply, Rows, fit
from swanlab_mcp.present.views import CURVES, DATA
from swanlab_mcp.present.words import get_published_type, present
from swanlab_mcp.server.accounts import caller
from swanlab_mcp.settings import Settings

if TYPE_CHECKING:
    from swanlab_mcp.operations.completion import Completer

__all__ = [
    "TOOLS",
    "WRITE_TOOLS",
    "App",
    "Consent",
    "Operation",
    "StrictTool",
    "ToolEntry",
    "bind",
    "make_reply",
    "read_tool_list",
    "tell_error",
]

log = logging.getLogger(__name__)

_LONGEST_ERROR = 4000
_LONGEST_NAME = 120  # in a view

Operation = Callable[..., Coroutine[Any, Any, ApiResponse[Any]]]


@dataclass(frozen=True)
class ToolEntry:
    """One tool: the name of the operation whose signature and docstring it shows, its title, and what it does to data.

    One that `shows_pictures` answers with images and text alone: some assistants drop images beside structured content.
    `view` is the address of the page that shows its answers, where an assistant can show pages.
    """

    name: str
    title: str
    toolset: str = "read"
    read_only: bool = True
    shows_pictures: bool = False
    view: str = ""

    @property
    def operation(self) -> Operation:
        return getattr(operations, self.name)


TOOLS = (
    ToolEntry("list_workspaces", "List workspaces"),
    ToolEntry("list_projects", "List projects"),
    ToolEntry("list_project_exps", "List a project's experiments"),
    ToolEntry("find_experiments", "Find experiments"),
    ToolEntry("get_experiment", "Get an experiment"),
    ToolEntry("get_environment", "Get or compare environments"),
    ToolEntry("get_exp_summary", "Get an experiment's metric summary"),
    ToolEntry("get_logs", "Get log lines"),
    ToolEntry("list_metrics", "List metric keys"),
    ToolEntry("get_metrics", "Get metric series"),
    ToolEntry("plot_metrics", "Plot metrics", shows_pictures=True, view=CURVES),
    ToolEntry("rank_experiments", "Rank experiments"),
    ToolEntry("compare_experiments", "Compare experiments"),
    ToolEntry("diagnose_experiment", "Diagnose an experiment"),
    ToolEntry("whats_new", "Tell what is new"),
    ToolEntry("get_media", "Show recorded media", shows_pictures=True),
)

# there only with --allow-writes
WRITE_TOOLS = (
    ToolEntry("create_project", "Create a project", toolset="write", read_only=False),
    ToolEntry("delete_experiments", "Delete experiments", toolset="write", read_only=False),
    ToolEntry("delete_project", "Delete a project", toolset="write", read_only=False),
)


@dataclass(frozen=True, eq=False)
class App:
    """What the tools of one running server share; `client` is the caller's own where each has one."""

    settings: Settings
    confirmations: Confirmations = field(default_factory=Confirmations, repr=False)

    @cached_property
    def own_client(self) -> SwanLabClient:
        """The server's own account and runs, opened by the first call: the start needs nothing of it."""
        return open_client(self.settings, is_cached=self.settings.is_cached)

    @cached_property
    def own_completer(self) -> Completer:
        from swanlab_mcp.operations.completion import Completer

        return Completer(self.own_client)

    @property
    def client(self) -> SwanLabClient:
        account = caller.get()
        return account.client if account else self.own_client

    @property
    def completer(self) -> Completer:
        account = caller.get()
        return account.completer if account else self.own_completer

    async def aclose(self) -> None:
        """Close what was opened."""
        if "own_client" in vars(self):
            await self.own_client.aclose()

    @property
    def secrets(self) -> set[str]:
        """The keys and sessions that the server and this caller work with."""
        return {*self.own_client.get_secrets(), *self.client.get_secrets()}

    def mask(self, text: str) -> str:
        return mask_exactly(text, self.secrets)

    def clean(self, text: str) -> str:
        """Return a name as a view may show it."""
        text = self.mask(text)
        return shorten(text if self.settings.show_secrets else mask_secrets(text), _LONGEST_NAME)


class Consent(BaseModel):
    """The user's answer before a change is made."""

    agreed: bool


class StrictTool(Tool):
    """A tool that refuses unknown arguments, words bad ones for the model, and shows a schema without noise."""

    @classmethod
    def of(cls, entry: ToolEntry) -> StrictTool:
        # for what only reads, the other hints say nothing
        hints = ToolAnnotations(read_only_hint=True) if entry.read_only else ToolAnnotations(destructive_hint=True)
        tool = Tool.from_function(
            bind(entry),
            name=entry.name,
            title=entry.title,
            description=inspect.getdoc(entry.operation),
            annotations=hints,
            meta={"ui": {"resourceUri": entry.view}} if entry.view else None,
            # published below; the SDK would check each reply against it once more
            structured_output=False,
        )
        parameters = _shorten_input({"additionalProperties": False, **tool.parameters})
        answer = get_published_type(inspect.signature(entry.operation, eval_str=True).return_annotation)
        output = None if entry.shows_pictures else _shorten_output(answer.model_json_schema())
        metadata = tool.fn_metadata.model_copy(update={"output_schema": output})
        return cls.model_validate({**dict(tool), "parameters": parameters, "fn_metadata": metadata})

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        model = self.fn_metadata.arg_model
        if model.model_config.get("extra") != "forbid":
            # building a validator costs time that the start would have to spend for all tools
            model.model_config["extra"] = "forbid"
            model.model_rebuild(force=True)
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, ValidationError):
                cause = _explain_arguments(cause, self.parameters["properties"])
            if not isinstance(cause, SwanLabError):
                raise
            return _answer_error(cause, context.request_context.lifespan_context)


def read_tool_list(names: Sequence[str]) -> list[McpTool]:
    """Return the tools of these names as an assistant is shown them."""
    listed = json.loads((Path(__file__).parent / "tool_list.json").read_bytes())
    return [McpTool.model_validate(one) for one in listed if one["name"] in names]


def bind(entry: ToolEntry) -> Callable[..., Coroutine[Any, Any, CallToolResult]]:
    """Return the operation without its client, answering with both forms of the reply, or with the error."""
    signature = inspect.signature(entry.operation, eval_str=True)
    arguments = [parameter for name, parameter in signature.parameters.items() if name != "client"]

    async def call(ctx: Context[App, Any], **given: Any) -> CallToolResult:
        app: App = ctx.request_context.lifespan_context
        consent = given.pop("consent", None)

        token = progress.listener.set(progress.Course(ctx.report_progress))
        limit = output_tokens.set(app.settings.max_output_tokens)
        confirming = confirmations.set(app.confirmations)
        try:
            if consent is not None:
                _require_consent(consent, given["confirmation"])
            answer = await keep_deadline(
                entry.operation(app.client, **given), app.settings.timeout, is_write=not entry.read_only
            )
            answer = present(answer)
            offset, _ = get_stretch(given.get("page", 1), given.get("size", 0))
            is_paged = "page" in signature.parameters
            keep_last = given.get("start") is None and not given.get("from_traceback")
            reply = make_reply(app, answer, offset=offset, is_paged=is_paged, keep_last=keep_last)
            meta: dict[str, Any] | None = None
            if answer.view and client_supports_apps(ctx):
                # not for the model: assistants hand `_meta` to the view alone
                meta = {DATA: await asyncio.to_thread(answer.view, app.clean)}
        except SwanLabError as error:
            return _answer_error(error, app)
        except Exception:  # the edge: a defect of ours must neither end the server nor look like an answer
            incident = uuid.uuid4().hex[:8]
            log.exception("internal error %s in %s", incident, entry.name)
            return _answer_error(
                SwanLabError(
                    say("Internal error {incident} in {tool}.", incident=incident, tool=entry.name),
                    hint=say("Its trace is in the server's log; please report it."),
                ),
                app,
            )
        finally:
            progress.listener.reset(token)
            output_tokens.reset(limit)
            confirmations.reset(confirming)
        text = TextContent(type="text", text=reply.text)
        if entry.shows_pictures:
            # a row that was cut takes its picture along
            rows = reply.structured["data"]
            kept = [
                one for one in answer.pictures if not isinstance(rows, list) or one.row < len(cast("list[Any]", rows))
            ]
            return CallToolResult(content=[*map(_show, kept), text], _meta=meta)
        return CallToolResult(content=[text], structured_content=reply.structured)

    context = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=Context)]
    if not entry.read_only:
        asking = Annotated[ElicitationResult[Consent], Resolve(_ask_for_consent(entry, arguments))]
        context.append(inspect.Parameter("consent", inspect.Parameter.KEYWORD_ONLY, annotation=asking))
    call.__signature__ = inspect.Signature([*arguments, *context], return_annotation=CallToolResult)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in (*arguments, *context)}
    call.__name__ = call.__qualname__ = entry.name
    return call


def _ask_for_consent(entry: ToolEntry, arguments: list[inspect.Parameter]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return what asks the user, where the assistant can, before a confirmed change is made."""

    async def ask(ctx: Context[App, Any], **given: Any) -> Consent | Elicit[Consent]:
        app: App = ctx.request_context.lifespan_context
        asked = ctx.client_capabilities and ctx.client_capabilities.elicitation
        if not given["confirmation"] or asked is None or (asked.form is None and asked.url is not None):
            return Consent(agreed=True)
        confirming, rehearsing = confirmations.set(app.confirmations), is_rehearsal.set(True)
        try:
            # an error ends the call here, in `StrictTool.run`: who could not be asked has not agreed
            answer = await keep_deadline(
                entry.operation(app.client, **given), app.settings.timeout, is_write=not entry.read_only
            )
        finally:
            confirmations.reset(confirming)
            is_rehearsal.reset(rehearsing)
        from swanlab_mcp.operations.changes import describe_change

        return Elicit(neutralise(app.mask(describe_change(cast("Change", answer.data)))), _word_consent())

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=Context)
    ask.__signature__ = inspect.Signature([*arguments, context])  # type: ignore[attr-defined]
    ask.__annotations__ = {"ctx": Context}
    ask.__name__ = ask.__qualname__ = f"ask_{entry.name}"
    return ask


def _word_consent() -> type[Consent]:
    """Return the form with the words that the user reads, in the language of this call."""
    agreed = Field(title=say("Yes, do this"), description=say("It cannot be undone from here"))
    return create_model("Consent", __base__=Consent, agreed=(bool, agreed))


def _require_consent(outcome: Any, confirmation: str) -> None:
    """Raise PermissionDenied unless the user agreed; the confirmation is then worth nothing any more."""
    if isinstance(outcome, AcceptedElicitation) and cast("AcceptedElicitation[Consent]", outcome).data.agreed:
        return
    confirmations.get().spend(confirmation)
    raise PermissionDenied(
        say("The user was asked and did not agree; nothing was done."),
        hint=say("Do not try again unless the user asks for it."),
    )


def make_reply(app: App, answer: ApiResponse[Any], **how: Any) -> Reply:
    """Return both forms of an answer, masked and within the budget; `how` as of `fit`."""
    records: Any = answer.data
    if (
        answer.page
        and isinstance(records, list)
        and all(isinstance(one, BaseModel) for one in cast("list[Any]", records))
    ):
        empty = answer.model_copy(update={"data": []})
        payload = {**empty.model_dump(mode="json", exclude_none=True), "data": Rows(cast("list[BaseModel]", records))}
    else:
        payload = answer.model_dump(mode="json", exclude_none=True)
    settings = app.settings
    return fit(payload, settings.max_output_tokens, is_masked=not settings.show_secrets, secrets=app.secrets, **how)


def _show(picture: Picture) -> ImageContent:
    return ImageContent(
        type="image", data=base64.b64encode(picture.content).decode("ascii"), mime_type=picture.mime_type
    )


def tell_error(error: SwanLabError, app: App | None = None) -> str:
    """Return an error as one line of bounded length, masked by `app`, because names that others chose stand in it."""
    text = str(error)
    return shorten(app.mask(text) if app else text, _LONGEST_ERROR)


def _answer_error(error: SwanLabError, app: App) -> CallToolResult:
    text = tell_error(error, app)
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content={"code": error.status, "errmsg": text, "data": None},
        is_error=True,
    )


def _explain_arguments(error: ValidationError, properties: Mapping[str, Any]) -> InvalidArgument:
    faults: list[str] = []
    for fault in error.errors(include_url=False, include_input=False)[:5]:
        path = ".".join(shorten(str(part)) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            near = find_near_names(path, properties, 1)
            faults.append(
                say("there is no argument {name!r} (did you mean {near!r}?)", name=path, near=near[0])
                if near
                else say("there is no argument {name!r}", name=path)
            )
        elif fault["type"] == "missing":
            faults.append(say("{name!r} is missing", name=path))
        else:
            faults.append(say("{name!r}: {fault}", name=path, fault=tell_fault(fault)))
    return InvalidArgument(
        say("The arguments do not fit: {faults}.", faults=say("; ").join(faults)),
        hint=say("Accepted arguments: {names}.", names=", ".join(properties)),
    )


def _shorten_input(schema: dict[str, Any]) -> dict[str, Any]:
    """Drop what costs tokens and helps no caller; the full schema still judges the arguments, and its errors tell all.

    That is: titles that repeat the names, bounds, empty defaults (of what is not required), and null as a choice where
    leaving the argument out means the same.
    """

    def shorten_node(node: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in _join_types(node).items() if key not in _UNSAID}
        if "default" in kept and kept["default"] in ("", [], None, False):
            del kept["default"]
        if "properties" in kept:
            # a record is described by its fields
            kept.pop("description", None)
        return kept

    return _rewrite(_inline(schema), shorten_node)


def _shorten_output(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe what is really sent: absent fields instead of nulls (except `data`), and rows down to their fields.

    The words are in the tool's description; what lies deeper in a row is told by its kind alone.
    """

    def shorten_node(node: dict[str, Any]) -> dict[str, Any]:
        unsaid = (*_UNSAID, "default", "description", "required")
        kept = {key: value for key, value in _join_types(node).items() if key not in unsaid}
        if kept.get("additionalProperties") is True:
            del kept["additionalProperties"]
        return kept

    short = _rewrite(_inline(schema), shorten_node)
    short["properties"] |= {"page": {"type": "object"}, "notes": {"type": "array"}}
    data = short["properties"]["data"]
    row = data.get("items") or data.get("additionalProperties") or data
    for name, about in row.get("properties", {}).items():
        row["properties"][name] = {key: about[key] for key in ("type", "anyOf") if key in about}
    data["type"] = [data["type"], "null"]
    return short


_UNSAID = (
    "title",
    "examples",
    "pattern",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
)


def _join_types(node: dict[str, Any]) -> dict[str, Any]:
    """Say in one node what may be of several types; null is not said."""
    options = cast("list[dict[str, Any]]", node.get("anyOf", ()))
    if not options:
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    types = [option.get("type") for option in options]
    # every integer is a number
    some = [
        one for one in options if one.get("type") != "null" and not (one["type"] == "integer" and "number" in types)
    ]
    if len(some) == 1:
        return {**some[0], **rest}
    lists = [one["items"] for one in some if "items" in one]
    joined = {"type": [one["type"] for one in some], **({"items": lists[0]} if lists else {})}
    return {**joined, **rest}


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON schema with its definitions where they are used; none of ours holds itself."""
    definitions = schema.get("$defs", {})

    def visit(node: Any) -> Any:
        if isinstance(node, list):
            return [visit(item) for item in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        fields = cast("dict[str, Any]", node)
        if "$ref" in fields:
            named = visit(definitions[fields["$ref"].rpartition("/")[2]])
            # what stands beside a reference is about this use of it
            return {**named, **{key: visit(value) for key, value in fields.items() if key != "$ref"}}
        return {key: visit(value) for key, value in fields.items() if key != "$defs"}

    return visit(schema)


def _rewrite(schema: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return a JSON schema with every schema in it changed; names of properties and definitions are no schemas."""

    def visit(node: Any, *, is_schema: bool) -> Any:
        if isinstance(node, list):
            return [visit(item, is_schema=True) for item in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        fields = cast("dict[str, Any]", node)
        if is_schema:
            fields = change(fields)
        return {
            key: visit(item, is_schema=not (is_schema and key in ("properties", "$defs")))
            for key, item in fields.items()
        }

    return cast("dict[str, Any]", visit(schema, is_schema=True))
