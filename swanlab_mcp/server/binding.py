"""Call a tool by name: validate the assistant's arguments, run the operation and create the result."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

from mcp import MCPError
from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument, RateLimited, SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.refs import find_near_names
from swanlab_mcp.core.snapshots import hold_snapshot
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.core.validation import describe_fault
from swanlab_mcp.operations.budget import output_tokens
from swanlab_mcp.operations.confirmation import confirmations
from swanlab_mcp.operations.deadline import keep_deadline
from swanlab_mcp.operations.hiding import hiding
from swanlab_mcp.operations.listing import get_stretch
from swanlab_mcp.present.text import Reply
from swanlab_mcp.present.views import CURVES, DATA
from swanlab_mcp.present.words import present
from swanlab_mcp.server.accounts import caller
from swanlab_mcp.server.consent import ask_and_answer
from swanlab_mcp.server.context import App
from swanlab_mcp.server.limits import Refused
from swanlab_mcp.server.replies import make_error_result, make_reply, make_result
from swanlab_mcp.server.reply_size import is_small
from swanlab_mcp.server.schemas import make_arguments
from swanlab_mcp.server.table import ADMIN_TOOLS, WRITE_TOOLS, ToolEntry

__all__ = ["call_tool"]

log = logging.getLogger(__name__)

# charts are drawn one at a time, and replies that wait for their turn must not occupy the shared thread pool
_drawer = ThreadPoolExecutor(1, "drawer")
_KNOWS_LINKS = "2025-06-18"  # the first protocol version in which results may link to resources
_LONGEST_SHARED_WAIT = 60

_MOST_FAULTS = 5
# argument names that assistants use by mistake for the arguments in _AMOUNTS
_MEANT_AMOUNTS = {"tail", "head", "lines", "limit", "last", "n"}
_AMOUNTS = ("count", "size", "num")
# arguments that hosts and frameworks add to calls for their own use, in lower case and without - and _
_ADDED_BY_HOSTS = {
    *("toolcallid", "callid", "toolname", "sessionid", "conversationid", "threadid", "requestid", "messageid", "meta"),
    *(
        "progresstoken",
        "signal",
        "abortsignal",
        "chatinput",
        "messages",
        "history",
        "runmanager",
        "callbacks",
        "runtime",
    ),
    *("ctx", "self", "kwargs", "args", "thought", "thoughts", "reasoning", "explanation", "securityrisk"),
    *("taskprogress", "servername"),
}


async def call_tool(
    entries: Sequence[ToolEntry], name: str, given: Mapping[str, Any], ctx: Context[App, Any]
) -> CallToolResult | Any:
    """Call a tool and return the result. All errors are returned as error results, except protocol errors (MCPError).

    For a write tool, hosts that use the 2026 protocol may receive a prompt for the user instead of a result.
    """
    app: App = ctx.request_context.lifespan_context
    try:
        entry = _find_entry(entries, name)
        arguments = _read_arguments(entry, given)
        if entry.read_only:
            return await _answer(entry, arguments, ctx)
        return await ask_and_answer(entry, arguments, ctx, _answer)
    except SwanLabError as error:
        return make_error_result(error, app)
    except MCPError:
        raise
    except Exception:  # our own bugs must not stop the server or look like an answer
        incident = uuid.uuid4().hex[:8]
        log.exception("internal error %s in %s", incident, shorten(name))
        reported = SwanLabError(
            gettext("Internal error {incident} in {tool}.", incident=incident, tool=shorten(name)),
            hint=gettext("The traceback is in the server's log; please report it."),
        )
        return make_error_result(reported, app)


async def _answer(entry: ToolEntry, given: dict[str, Any], ctx: Context[App, Any]) -> CallToolResult:
    app: App = ctx.request_context.lifespan_context
    token = progress.listener.set(progress.Course(ctx.report_progress))
    limit = output_tokens.set(app.settings.max_output_tokens)
    confirming = confirmations.set(app.confirmations)
    hidden = hiding.set(app.make_hide)
    try:
        with hold_snapshot(), _hold_wait(entry, given, app) as wait:
            answer, reply = await keep_deadline(
                _write_reply(entry, given, app), app.settings.timeout + wait, is_write=not entry.read_only
            )
        meta: dict[str, Any] | None = None
        if answer.view and client_supports_apps(ctx):
            # hosts pass `_meta` to the view, never to the model
            meta = {DATA: await asyncio.to_thread(answer.view, app.clean)}
        return make_result(entry, answer, reply, meta, has_links=(ctx.protocol_version or "") >= _KNOWS_LINKS)
    finally:
        progress.listener.reset(token)
        output_tokens.reset(limit)
        confirmations.reset(confirming)
        hiding.reset(hidden)


@contextmanager
def _hold_wait(entry: ToolEntry, given: Mapping[str, Any], app: App) -> Generator[float, None, None]:
    """Yield the number of seconds that a call may wait for changes in SwanLab, in addition to the normal timeout.

    On a shared server, raises InvalidArgument if the wait is too long and RateLimited if too many calls are waiting.
    """
    wait = float(given.get("timeout", entry.wait)) if entry.wait else 0.0
    if not wait or app.waits is None:
        yield wait
        return
    if wait > _LONGEST_SHARED_WAIT:
        raise InvalidArgument(
            gettext("A shared server waits at most {seconds} seconds.", seconds=_LONGEST_SHARED_WAIT),
            hint=gettext("Pass a smaller timeout, and continue with the cursor."),
        )
    with ExitStack() as stack:
        try:
            stack.enter_context(app.waits.take(caller.get()))
        except Refused as refused:
            raise RateLimited(
                gettext("Too many calls are waiting at the same time."),
                hint=gettext("Try again after one of your waiting calls has ended."),
            ) from refused
        yield wait


async def _write_reply(entry: ToolEntry, given: dict[str, Any], app: App) -> tuple[ApiResponse[Any], Reply]:
    found = await entry.operation(app.client, **given)
    offset, _ = get_stretch(given.get("page", 1), given.get("size", 0))
    keep_last = given.get("start") is None and not given.get("from_traceback")

    first = app.take_first_notes()

    def write() -> tuple[ApiResponse[Any], Reply]:
        answer = present(found)
        if first:
            answer = answer.model_copy(update={"notes": [*first, *answer.notes]})
        return answer, make_reply(app, answer, offset=offset, is_paged="page" in given, keep_last=keep_last)

    is_drawn = entry.view == CURVES
    if not is_drawn and is_small(found):
        return write()
    # mask and truncate in a thread, so that other calls are not blocked and the deadline still applies
    threads = _drawer if is_drawn else None
    return await asyncio.get_running_loop().run_in_executor(threads, partial(copy_context().run, write))


def _find_entry(entries: Iterable[ToolEntry], name: str) -> ToolEntry:
    """Return the entry for a tool. Raises InvalidArgument if the tool is unknown or disabled.

    The error suggests similar names, or the option that enables the tool.
    """
    known = {entry.name: entry for entry in entries}
    if name in known:
        return known[name]
    if name in {entry.name for entry in WRITE_TOOLS}:
        raise InvalidArgument(
            gettext("The tool {name!r} is disabled: this server is read-only.", name=name),
            hint=gettext("The user can start the server with --allow-writes to enable the tool."),
        )
    if name in {entry.name for entry in ADMIN_TOOLS}:
        raise InvalidArgument(
            gettext("The tool {name!r} is disabled.", name=name),
            hint=gettext("The user can start the server with --admin-tools to enable the tool."),
        )
    # suggest only disabled tools with the same verb: list_experiments must not suggest delete_experiments
    disabled = [one.name for one in (*WRITE_TOOLS, *ADMIN_TOOLS) if one.name.partition("_")[0] in name]
    near = find_near_names(name, dict.fromkeys([*known, *disabled]))
    if near and near[0] not in known:
        return _find_entry(entries, near[0])
    near = [one for one in near if one in known]
    raise InvalidArgument(
        gettext("Unknown tool {name!r}.", name=shorten(name)),
        hint=gettext("Similar names: {names}.", names=", ".join(near))
        if near
        else gettext("Known names: {names}.", names=", ".join(known)),
    )


def _read_arguments(entry: ToolEntry, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for the operation. Raises InvalidArgument with a description of each invalid argument."""
    model = make_arguments(entry)
    try:
        read = model.model_validate(given)
    except ValueError as error:
        faults = error.errors(include_url=False, include_input=False) if isinstance(error, ValidationError) else []
        raise _explain_arguments(faults, list(model.model_fields)) from error
    arguments = {name: getattr(read, name) for name in model.model_fields}
    if "size" in read.model_fields_set and "page" in arguments:
        # a size with no page, or with page 0, means the first page of that size
        arguments["page"] = arguments["page"] or 1
    return arguments


def _explain_arguments(faults: Sequence[ErrorDetails], names: Sequence[str]) -> InvalidArgument:
    # Python refuses to print a number with thousands of digits, so pydantic does not report which argument it is in
    reported = [_explain_fault(fault, names) for fault in faults[:_MOST_FAULTS]] or [
        gettext("a number has too many digits")
    ]
    if len(faults) > _MOST_FAULTS:
        reported.append(gettext("{count} more", count=len(faults) - _MOST_FAULTS))
    return InvalidArgument(
        gettext("Invalid arguments: {faults}.", faults=gettext("; ").join(reported)),
        hint=gettext("Accepted arguments: {names}.", names=", ".join(names)),
    )


def _explain_fault(fault: ErrorDetails, names: Sequence[str]) -> str:
    path = ".".join(shorten(str(part)) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return gettext("{name!r} {fault}", name=path, fault=describe_fault(fault))
    if len(fault["loc"]) > 1:
        return gettext("unknown field {name!r}", name=path)
    plain = path.casefold().replace("_", "").replace("-", "")
    if path.startswith("_") or plain in _ADDED_BY_HOSTS:
        return gettext(
            "{name!r} is not an argument of this tool (some MCP clients add it for their own use): omit it and "
            "call again",
            name=path,
        )
    near = find_near_names(path, names, 1) or [one for one in _AMOUNTS if plain in _MEANT_AMOUNTS and one in names]
    if near:
        return gettext("unknown argument {name!r} (did you mean {near!r}?)", name=path, near=near[0])
    return gettext("unknown argument {name!r}", name=path)
