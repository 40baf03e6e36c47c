from __future__ import annotations

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Project
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.arguments import (
    Detail,
    PageNumber,
    PageSize,
    ProjectName,
    ProjectSort,
    Search,
    Username,
)
from swanlab_mcp.operations.listing import add_notes, describe_page, get_showable_stretch
from swanlab_mcp.operations.location import (
    ask_about_project,
    ask_about_workspace,
    resolve_project,
    resolve_workspace,
)

__all__ = ["get_project", "list_projects"]


async def list_projects(
    client: SwanLabClient,
    *,
    username: Username = "",
    detail: Detail = True,
    search: Search = "",
    sort: ProjectSort = "update",
    page: PageNumber = 1,
    size: PageSize = 20,
) -> ApiResponse[list[Project]]:
    """List the projects of a workspace, most recently updated first.

    Use it to find the exact name of a project; list_project_exps then shows its experiments. Returns for each project
    its name, description, visibility, times (UTC) and, with detail, the numbers of experiments and contributors.
    Example: {"search": "bert"}.
    """
    ref = await resolve_workspace(client, username)
    offset, limit = get_showable_stretch(page, size)
    answer = await ask_about_workspace(
        client,
        ref,
        client.at(ref).list_projects,
        offset=offset,
        limit=limit,
        search=search,
        sort="" if sort == "update" else sort,
        detail=detail,
    )
    total = answer.page.total if answer.page else 0
    note = ""
    if not total:
        note = (
            gettext(
                "The workspace {username!r} has no project with {text!r} in its name.",
                username=str(ref),
                text=shorten(search),
            )
            if search
            else gettext("The workspace {username!r} has no projects.", username=str(ref))
        )
    link = client.at(ref).get_link(ref.project("<name>"))
    by_update = gettext("most recently updated first")
    orders = {"": by_update, "update": by_update, "create": gettext("newest first"), "name": gettext("by name")}
    pages = gettext("Pages: {link}", link=link) if link and total else ""
    return add_notes(describe_page(answer, page, size, orders[sort]), note, pages)


async def get_project(client: SwanLabClient, *, project: ProjectName, username: Username = "") -> ApiResponse[Project]:
    """Get a single project with its statistics."""
    ref = await resolve_project(client, project, username)
    return await ask_about_project(client, ref, client.at(ref).get_project)
