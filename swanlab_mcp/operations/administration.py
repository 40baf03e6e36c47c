from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Project, User, Workspace
from swanlab_mcp.core.server_info import ServerInfo
from swanlab_mcp.operations.arguments import PageNumber, PageSize
from swanlab_mcp.operations.listing import describe_page, get_showable_stretch

__all__ = ["get_server_info"]

Rows = Annotated[
    Literal["", "users", "projects", "workspaces"],
    Field(description="List these, of the whole server, instead of counting them"),
]


async def get_server_info(
    client: SwanLabClient, *, rows: Rows = "", page: PageNumber = 1, size: PageSize = 20
) -> ApiResponse[ServerInfo | list[User] | list[Project] | list[Workspace]]:
    """Get the plan, seats, users, projects and usage of a self-hosted SwanLab; requires a root key.

    Use list_projects for the projects in one workspace. Returns the plan, whether it has expired, the seats, the
    numbers of users, projects and workspaces, and SwanLab's usage figures; with `rows`, returns a page of that list.
    Example: {"rows": "users"}.
    """
    if not rows:
        about = await client.default.get_server_info()
        return ApiResponse(data=about.data, notes=about.notes)
    offset, limit = get_showable_stretch(page, size)
    answer = await client.default.list_on_server(rows, offset=offset, limit=limit)
    listed = describe_page(answer, page, size, gettext("in SwanLab's order"))
    return ApiResponse(data=listed.data, page=listed.page, notes=listed.notes)
