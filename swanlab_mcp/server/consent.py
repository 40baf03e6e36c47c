"""Ask the user to confirm a change before it is made, if the host can prompt the user."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from typing import Annotated, Any, cast

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import AcceptedElicitation, Elicit, ElicitationResult, Resolve
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult
from pydantic import BaseModel, Field, create_model

from swanlab_mcp.core.errors import PermissionDenied, SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.planned_changes import Change
from swanlab_mcp.core.untrusted import neutralise
from swanlab_mcp.operations.confirmation import confirmations, is_rehearsal
from swanlab_mcp.operations.deadline import keep_deadline
from swanlab_mcp.server.context import App
from swanlab_mcp.server.table import ToolEntry

__all__ = ["Answer", "Consent", "ask_and_answer"]

Answer = Callable[[ToolEntry, dict[str, Any], Context[App, Any]], Coroutine[Any, Any, CallToolResult]]


class Consent(BaseModel):
    """The user's reply to a confirmation prompt."""

    agreed: bool


async def ask_and_answer(entry: ToolEntry, given: dict[str, Any], ctx: Context[App, Any], answer: Answer) -> Any:
    """Run `answer` and return its result, or return the confirmation prompt for the host to show.

    `answer` runs only if the user agreed or if the host cannot prompt the user. Raises PermissionDenied if the user did
    not agree, and any error from the dry run of the change.
    """
    try:
        return await _make_tool(entry, answer).run({"given": given}, ctx)
    except ToolError as error:
        if isinstance(error.__cause__, SwanLabError):
            raise error.__cause__ from error
        raise


@cache
def _make_tool(entry: ToolEntry, answer: Answer) -> Tool:
    """Wrap a write tool as an SDK tool, so that the SDK prompts the user in both the old and the new MCP protocol."""

    async def ask(given: dict[str, Any], ctx: Context[App, Any]) -> Consent | Elicit[Consent]:
        app: App = ctx.request_context.lifespan_context
        requested = ctx.client_capabilities and ctx.client_capabilities.elicitation
        if not given["confirmation"] or requested is None or (requested.form is None and requested.url is not None):
            return Consent(agreed=True)
        confirming, rehearsing = confirmations.set(app.confirmations), is_rehearsal.set(True)
        try:
            # an error here ends the call, because the change must not run if the user was not prompted
            planned = await keep_deadline(entry.operation(app.client, **given), app.settings.timeout, is_write=True)
        finally:
            confirmations.reset(confirming)
            is_rehearsal.reset(rehearsing)
        from swanlab_mcp.operations.question import describe_change  # noqa: PLC0415 needed only by write tools

        return Elicit(neutralise(app.mask(describe_change(cast("Change", planned.data)))), _make_form())

    async def change(given: dict[str, Any], ctx: Context[App, Any], consent: Any) -> CallToolResult:
        if not (isinstance(consent, AcceptedElicitation) and cast("AcceptedElicitation[Consent]", consent).data.agreed):
            app: App = ctx.request_context.lifespan_context
            app.confirmations.spend(given["confirmation"])
            raise PermissionDenied(
                gettext("The user was asked and did not agree; no changes were made."),
                hint=gettext("Do not retry unless the user requests it."),
            )
        return await answer(entry, given, ctx)

    ask.__name__ = ask.__qualname__ = f"ask_{entry.name}"
    # the SDK finds the function that creates the prompt in this annotation
    change.__annotations__["consent"] = Annotated[ElicitationResult[Consent], Resolve(ask)]
    return Tool.from_function(change, name=entry.name, structured_output=False)


def _make_form() -> type[Consent]:
    """Return the form that is shown to the user, in the language of the current call."""
    agreed = Field(title=gettext("Yes, do this"), description=gettext("This server cannot undo the change"))
    return create_model("Consent", __base__=Consent, agreed=(bool, agreed))
