"""Register the MCP resources, prompts and argument completion."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import Message, PromptArgument, UserMessage
from mcp.server.mcpserver.resources import ResourceSecurity
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, Completion, CompletionArgument, CompletionContext

from swanlab_mcp.core.errors import InvalidArgument, NotFound, SwanLabError
from swanlab_mcp.core.i18n import LANGUAGES
from swanlab_mcp.operations.budget import output_tokens
from swanlab_mcp.operations.deadline import keep_deadline
from swanlab_mcp.server.context import App
from swanlab_mcp.server.prompts import PromptEntry, write_prompt
from swanlab_mcp.server.replies import REPORT, describe_error, make_reply
from swanlab_mcp.server.table import TOOLS

__all__ = ["TaskPrompt", "add_completion", "add_resources", "to_protocol_error"]

T = TypeVar("T")


def add_resources(server: MCPServer[App], running: Sequence[App]) -> None:
    """Register the resources that users can attach to a conversation. Each resource is a tool's reply or a report.

    `running` contains the current app, because the SDK does not pass the app to resources.
    """
    # disable the SDK's checks, because names are validated later with more helpful errors
    security = ResourceSecurity(reject_path_traversal=False, reject_absolute_paths=False, reject_null_bytes=False)

    async def read(name: str, **arguments: Any) -> str:
        app = running[-1]
        (operation,) = (entry.operation for entry in TOOLS if entry.name == name)
        limit = output_tokens.set(app.settings.max_output_tokens)
        try:
            answer = await _keep(operation(app.client, **arguments), app)
        finally:
            output_tokens.reset(limit)
        return make_reply(app, answer).text

    @server.resource("swanlab://workspaces", title="Workspaces", description="The workspaces that the user can open")
    async def workspaces() -> str:
        return await read("list_workspaces", page=0)

    @server.resource(
        "swanlab://{username}/{project}",
        title="A project's experiments",
        description="Experiments in a project, with state and config. Names are percent-encoded (a/b is a%2Fb)",
        security=security,
    )
    async def project(username: str, project: str) -> str:
        return await read("list_project_exps", username=username, project=project, page=0)

    @server.resource(
        "swanlab://{username}/{project}/{exp_cuid}",
        title="An experiment",
        description="State, config, machine, packages and traceback of an experiment, by its id or name",
        security=security,
    )
    async def experiment(username: str, project: str, exp_cuid: str) -> str:
        return await read("get_experiment", username=username, project=project, exp_cuid=exp_cuid)

    @server.resource(
        REPORT,
        title="A project's report",
        description="Findings, ranking, curves and diagnoses of a project as one HTML page, which is not stored",
        mime_type="text/html",
        security=security,
    )
    async def report(username: str, project: str) -> str:

        from swanlab_mcp.present.report import write_report  # noqa: PLC0415 only reports need jinja2

        app = running[-1]
        secrets = app.settings.show_secrets
        return await _keep(write_report(app.client, project=project, username=username, show_secrets=secrets), app)


async def _keep(question: Coroutine[Any, Any, T], app: App) -> T:
    """Await `question` with the deadline for calls, converting errors to the exceptions that the SDK expects."""
    try:
        return await keep_deadline(question, app.settings.timeout)
    except NotFound as error:
        raise ResourceNotFoundError(describe_error(error, app)) from error
    except SwanLabError as error:
        raise ResourceError(describe_error(error, app)) from error


def add_completion(server: MCPServer[App], running: Sequence[App]) -> None:
    @server.completion()
    async def complete(_ref: Any, argument: CompletionArgument, context: CompletionContext | None) -> Completion:
        """Complete an argument of a resource or a prompt. Resources and prompts share the same argument names."""
        if argument.name == "language":
            return Completion(values=[one for one in LANGUAGES if one.startswith(argument.value)])
        app = running[-1]
        chosen = (context and context.arguments) or {}
        try:
            question = app.completer.complete(argument.name, argument.value, chosen)
            answer = await keep_deadline(question, app.settings.timeout)
        except SwanLabError as error:
            raise to_protocol_error(error, app) from error
        # omit names that contain secrets
        found, total = answer.data or [], answer.page.total if answer.page else 0
        values = [one for one in found if app.mask(one) == one]
        total -= len(found) - len(values)
        return Completion(values=values, total=total, has_more=total > len(values))


class TaskPrompt(Prompt):
    """A prompt with its own errors for invalid arguments, because the SDK's errors do not explain the problem."""

    entry: PromptEntry

    @classmethod
    def of(cls, entry: PromptEntry) -> TaskPrompt:
        arguments = [
            PromptArgument(name=name, description=description, required=is_required)
            for name, description, is_required in entry.arguments
        ]
        return cls(
            name=entry.name,
            title=entry.title,
            description=entry.description,
            arguments=arguments,
            fn=write_prompt,
            entry=entry,
            context_kwarg=None,
        )

    async def render(self, arguments: dict[str, Any] | None, context: Any) -> list[Message]:  # noqa: ARG002 the SDK's
        try:
            return [UserMessage(write_prompt(self.entry, arguments or {}))]
        except SwanLabError as error:
            raise to_protocol_error(error) from error


def to_protocol_error(error: SwanLabError, app: App | None = None) -> MCPError:
    is_theirs = isinstance(error, (InvalidArgument, NotFound))
    return MCPError(code=INVALID_PARAMS if is_theirs else INTERNAL_ERROR, message=describe_error(error, app))
