from __future__ import annotations

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, User, Workspace
from swanlab_mcp.operations.arguments import PageNumber, PageSize, Username
from swanlab_mcp.operations.listing import describe_page, get_slice
from swanlab_mcp.operations.location import ask_about_workspace, resolve_workspace

__all__ = ["get_user", "get_workspace", "list_workspaces"]


async def get_user(client: SwanLabClient) -> ApiResponse[User]:
    """Get the logged-in user. Raises NotAvailableOffline if no user is logged in."""
    return await client.default.get_user()


async def get_workspace(client: SwanLabClient, *, username: Username = "") -> ApiResponse[Workspace]:
    """Get a workspace and the logged-in user's role in it."""
    ref = await resolve_workspace(client, username)
    return await ask_about_workspace(client, ref, client.at(ref).get_workspace)


async def list_workspaces(
    client: SwanLabClient, *, page: PageNumber = 1, size: PageSize = 20
) -> ApiResponse[list[Workspace]]:
    """List the workspaces that the user can open: personal, teams, and 'local' (runs on this machine's disk).

    Use it first if the user names a team or no workspace; then list_projects lists a workspace's projects. Returns for
    each workspace its name, username (pass it on as `username`) and the user's role; the personal workspace is first.
    Example: {}.
    """
    answer = await client.list_workspaces()
    workspaces = (answer.data or [])[get_slice(page, size)]
    return describe_page(
        answer.model_copy(update={"data": workspaces}), page, size, gettext("personal workspace first")
    )
