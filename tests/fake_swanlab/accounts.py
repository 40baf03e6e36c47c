"""The fake's endpoints for workspaces, users, projects and the administration of a self-hosted server."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from starlette.responses import Response

from tests.fake_swanlab.routing import ApiError, Ask, Routes, read_number
from tests.fake_swanlab.state import Project, Workspace, show_time

SIZES = (10, 12, 15, 20, 24, 27, 50, 100)
routes = Routes()
T = TypeVar("T")


def cut_page(ask: Ask, items: Sequence[T], write: Callable[[T], Any]) -> dict[str, Any]:
    page, size = read_number(ask, "page", 1), read_number(ask, "size", 20)
    if page < 1 or size not in SIZES:
        raise ApiError(400, f"Invalid page or size: {page}, {size}")
    pages = -(-len(items) // size)
    if page > max(pages, 1) and ask.state.variants.page_beyond_last == "error":
        raise ApiError(400, "Page out of range")
    answer: dict[str, Any] = {
        "list": [write(item) for item in items[(page - 1) * size : page * size]],
        "total": len(items),
    }
    if ask.state.variants.page_counts:
        answer |= {"size": size, "pages": pages}
    return answer


def find_workspace(ask: Ask, username: str) -> Workspace:
    for workspace in ask.state.workspaces:
        if workspace.username == username:
            return workspace
    raise ApiError(404, "Workspace not found")


def may_read(ask: Ask, project: Project) -> bool:
    role = project.workspace.roles.get(ask.user.username, "VISITOR")
    return project.visibility != "PRIVATE" or role != "VISITOR"


def check_read(ask: Ask, project: Project) -> None:
    if not may_read(ask, project):
        raise ApiError(ask.state.variants.stranger_status, "No permission")


def check_write(ask: Ask, workspace: Workspace) -> None:
    if workspace.roles.get(ask.user.username) not in ("OWNER", "MEMBER"):
        raise ApiError(403, "No permission")


def find_project(ask: Ask) -> Project:
    workspace = find_workspace(ask, ask.names["u"])
    for project in ask.state.projects:
        if project.workspace is workspace and project.name == ask.names["p"]:
            check_read(ask, project)
            return project
    raise ApiError(404, "Project not found")


def write_project(project: Project, *, detail: bool = True) -> dict[str, Any]:
    workspace = project.workspace
    running = sum(experiment.state == "RUNNING" for experiment in project.experiments)
    wire: dict[str, Any] = {
        "cuid": project.cuid,
        "name": project.name,
        "path": f"{workspace.username}/{project.name}",
        "description": project.description,
        "visibility": project.visibility,
        "createdAt": show_time(project.created_at),
        "updatedAt": show_time(project.updated_at) if project.updated_at else None,
        "group": {"type": workspace.type, "username": workspace.username, "name": workspace.name},
        "projectLabels": [{"name": label, "colors": ["#528d59"]} for label in project.labels],
    }
    if detail:
        contributors = {experiment.user["username"] for experiment in project.experiments if experiment.user}
        wire["_count"] = {
            "experiments": len(project.experiments),
            "contributors": len(contributors),
            "children": project.children,
            "runningExps": running,
        }
    return wire | project.wire


def _joined(ask: Ask) -> list[Workspace]:
    found = [workspace for workspace in ask.state.workspaces if ask.user.username in workspace.roles]
    if ask.state.variants.personal_workspace_listed:
        return found
    return [workspace for workspace in found if workspace.username != ask.user.username]


@routes.add("GET", "group")
def list_groups(ask: Ask) -> Any:
    if ask.state.variants.groups_call == "current":
        raise ApiError(ask.state.variants.missing_status, "Not found")
    return {"list": [workspace.to_wire(ask.user.username) for workspace in _joined(ask)]}


@routes.add("GET", "user/{u}/groups")
def list_user_groups(ask: Ask) -> Any:
    if ask.state.variants.groups_call == "legacy":
        raise ApiError(ask.state.variants.missing_status, "Not found")
    if ask.names["u"] != ask.user.username:
        raise ApiError(403, "No permission")
    return [workspace.to_wire(ask.user.username) for workspace in _joined(ask)]


@routes.add("GET", "group/{u}")
def get_group(ask: Ask) -> Any:
    return find_workspace(ask, ask.names["u"]).to_wire(ask.user.username)


@routes.add("GET", "user/profile")
def get_profile(ask: Ask) -> Any:
    return {
        "bio": "",
        "institution": "",
        "school": "",
        "email": f"{ask.user.username}@example.com",
        "location": "",
        "url": "",
    } | ask.user.profile


@routes.add("GET", "project/{u}")
def list_projects(ask: Ask) -> Any:
    workspace = find_workspace(ask, ask.names["u"])
    found = [
        project
        for project in ask.state.projects
        if project.workspace is workspace
        and may_read(ask, project)
        and ask.query.get("search", "").lower() in project.name.lower()
    ]
    match ask.query.get("sort"):
        case "name":
            found.sort(key=lambda project: project.name)
        case "create":
            found.sort(key=lambda project: project.created_at, reverse=True)
        case None:
            found.sort(key=lambda project: project.updated_at or project.created_at, reverse=True)
        case other:
            raise ApiError(400, f"Unknown sort {other}")
    detail = ask.query.get("detail", "true") == "true"
    return cut_page(ask, found, lambda project: write_project(project, detail=detail))


@routes.add("GET", "project/{u}/{p}")
def get_project(ask: Ask) -> Any:
    return write_project(find_project(ask))


@routes.add("POST", "project")
def create_project(ask: Ask) -> Any:
    workspace = find_workspace(ask, ask.body.get("username", ""))
    check_write(ask, workspace)
    name = ask.body["name"]
    if not re.fullmatch(r"[0-9a-zA-Z\-_.+]{1,100}", name):
        raise ApiError(400, "Invalid project name")
    if any(one.workspace is workspace and one.name == name for one in ask.state.projects):
        raise ApiError(409, "Project exists")
    visibility = ask.body.get("visibility", "PRIVATE")
    if visibility not in ("PUBLIC", "PRIVATE"):
        raise ApiError(400, "Invalid visibility")
    return write_project(
        ask.state.add_project(workspace, name, visibility=visibility, description=ask.body.get("description", ""))
    )


@routes.add("DELETE", "project/{u}/{p}")
def delete_project(ask: Ask) -> Any:
    project = find_project(ask)
    check_write(ask, project.workspace)
    ask.state.projects.remove(project)
    return Response(status_code=204)


@routes.add("GET", "self_hosted/info")
def get_self_hosted(ask: Ask) -> Any:
    return asdict(ask.state.self_hosted) | {"root": ask.user is ask.state.users[0]}


def check_root(ask: Ask) -> None:
    if ask.user is not ask.state.users[0]:
        raise ApiError(403, "No permission")


@routes.add("GET", "self_hosted/users")
def list_server_users(ask: Ask) -> Any:
    check_root(ask)
    return cut_page(ask, ask.state.users, lambda user: {"username": user.username, "name": user.name} | user.profile)


@routes.add("GET", "self_hosted/projects")
def list_server_projects(ask: Ask) -> Any:
    check_root(ask)
    return cut_page(ask, ask.state.projects, write_project)


@routes.add("GET", "self_hosted/groups")
def list_server_groups(ask: Ask) -> Any:
    check_root(ask)
    return cut_page(ask, ask.state.workspaces, lambda workspace: workspace.to_wire(ask.user.username))


@routes.add("GET", "self_hosted/summary")
def summarise_server(ask: Ask) -> Any:
    check_root(ask)
    experiments = sum(len(project.experiments) for project in ask.state.projects)
    return {"users": len(ask.state.users), "experiments": experiments, "storage": 1_000_000 * experiments}
