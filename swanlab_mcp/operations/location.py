"""From what people paste to what is there: references resolved, and what is missing explained with near names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from urllib.parse import urlsplit

from swanlab_mcp.client.base import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument, NotFound, NotLoggedIn, PermissionDenied, SwanLabError
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.refs import LOCAL, Reference, find_near_names, parse_experiment, parse_project, parse_workspace
from swanlab_mcp.core.untrusted import shorten

__all__ = [
    "ask_about_experiment",
    "ask_about_project",
    "ask_about_workspace",
    "locate_experiment",
    "locate_project",
    "locate_workspace",
]

T = TypeVar("T")

_NAMED = 10


async def locate_workspace(client: SwanLabClient, username: str) -> Reference:
    return await _complete(client, parse_workspace(username))


async def locate_project(client: SwanLabClient, project: str, username: str) -> Reference:
    return await _complete(client, parse_project(project, username))


async def locate_experiment(client: SwanLabClient, exp_cuid: str, project: str, username: str) -> Reference:
    return await _complete(client, parse_experiment(exp_cuid, project, username))


async def ask_about_workspace(
    client: SwanLabClient, place: Reference, question: Callable[[], Awaitable[ApiResponse[T]]]
) -> ApiResponse[T]:
    """Ask; where SwanLab knows no such workspace, raise NotFound with near names."""
    try:
        return await question()
    except NotFound as error:
        raise await _explain_workspace(client, place, error) from error


async def ask_about_project(
    client: SwanLabClient, place: Reference, question: Callable[[], Awaitable[ApiResponse[T]]]
) -> ApiResponse[T]:
    """Ask; where SwanLab knows no such project or workspace, raise NotFound with near names."""
    try:
        return await question()
    except NotFound as error:
        raise await _explain_project(client, place, error) from error


async def ask_about_experiment(
    client: SwanLabClient, place: Reference, question: Callable[[str], Awaitable[ApiResponse[T]]]
) -> tuple[str, ApiResponse[T]]:
    """Ask by id; where there is no such id, look for the one experiment of that name and ask again.

    Returns the id that answered. Raises NotFound with near names, InvalidArgument when several have that name.
    """
    try:
        return place.experiment, await question(place.experiment)
    except NotFound as error:
        cuid = await _find_by_name(client, place, error)
    return cuid, await question(cuid)


async def _complete(client: SwanLabClient, place: Reference) -> Reference:
    if place.host:
        link = client.get_link(place.username)
        if urlsplit(link).netloc.lower() != urlsplit(place.host).netloc:
            theirs = shorten(urlsplit(place.host).netloc)
            raise InvalidArgument(
                say(
                    "The address belongs to {theirs}, but this server works with {ours}.",
                    theirs=theirs,
                    ours=urlsplit(link).netloc,
                )
                if link
                else say("The address belongs to {theirs}, but this server shows runs on disk alone.", theirs=theirs),
                hint=say("Give names instead, or start a server for that host with --host."),
            )
    if place.username:
        return place
    return Reference(await client.get_username(), place.project, place.experiment, place.host)


async def _find_by_name(client: SwanLabClient, place: Reference, error: NotFound) -> str:
    try:
        experiments = (await client.list_experiments(place.username, place.project)).data or []
    except NotFound as missing:
        raise await _explain_project(client, place, missing) from error
    wanted = place.experiment
    found = [one for one in experiments if wanted in (one.cuid, one.slug)] or [
        one for one in experiments if one.name == wanted
    ]
    where = f"{shorten(place.username)}/{shorten(place.project)}"
    if len(found) == 1:
        if found[0].cuid == wanted:
            raise error  # listed, yet not readable: SwanLab's own words are the best account
        return found[0].cuid
    if found:
        candidates = "; ".join(f"{one.cuid} ({one.state}, {one.createdAt})" for one in found[:_NAMED])
        candidates += say(" and {count} more", count=len(found) - _NAMED) if len(found) > _NAMED else ""
        raise InvalidArgument(
            say(
                "{count} experiments of {project} are named {name!r}.",
                count=len(found),
                project=where,
                name=shorten(wanted),
            ),
            hint=say("Give one of their ids: {candidates}.", candidates=candidates),
        ) from error
    if not experiments:
        raise NotFound(
            say(
                "There is no experiment {name!r}: the project {project} holds no experiments yet.",
                name=shorten(wanted),
                project=where,
            )
        ) from error
    names = [one.name for one in experiments]
    near = find_near_names(wanted, [*names, *(one.cuid for one in experiments)])
    known = [f"{shorten(one.name)} ({one.cuid})" for one in experiments if one.name in near or one.cuid in near]
    raise NotFound(
        say("There is no experiment {name!r} in {project}.", name=shorten(wanted), project=where),
        hint=_suggest(known, [f"{shorten(one.name)} ({one.cuid})" for one in experiments], "list_project_exps"),
    ) from error


async def _explain_project(client: SwanLabClient, place: Reference, error: NotFound) -> SwanLabError:
    try:
        projects = (await client.list_projects(place.username, detail=False)).data or []
    except PermissionDenied:
        return error
    except NotFound as missing:
        return await _explain_workspace(client, place, missing)
    names = [project.name for project in projects]
    if place.project in names:
        return error
    message = say(
        "There is no project {project!r} in workspace {username!r}.",
        project=shorten(place.project),
        username=shorten(place.username),
    )
    if await _is_local(client, place):
        hint = say("It is among the runs on this machine: use project='local/{project}'.", project=place.project)
        return NotFound(message, hint=hint)
    if not names:
        return NotFound(message, hint=say("That workspace holds no projects; list_workspaces shows the others."))
    return NotFound(message, hint=_suggest(find_near_names(place.project, names), names, "list_projects"))


async def _is_local(client: SwanLabClient, place: Reference) -> bool:
    if place.username == LOCAL:
        return False
    try:
        projects = (await client.list_projects(LOCAL, detail=False)).data or []
    except (NotFound, NotLoggedIn, PermissionDenied):
        return False
    return any(project.name == place.project for project in projects)


async def _explain_workspace(client: SwanLabClient, place: Reference, error: NotFound) -> SwanLabError:
    names = [workspace.username for workspace in (await client.list_workspaces()).data or []]
    if place.username in names:
        return error
    return NotFound(
        say("There is no workspace {username!r}, or this account may not see it.", username=shorten(place.username)),
        hint=_suggest(find_near_names(place.username, names), names, "list_workspaces"),
    )


def _suggest(near: Iterable[str], names: list[str], tool: str) -> str:
    meant = [shorten(name) for name in near]
    if meant:
        return say(
            "Did you mean {names}? {tool} shows all {total}.",
            names=say(" or ").join(meant),
            tool=tool,
            total=len(names),
        )
    listed = ", ".join(shorten(name) for name in names[:_NAMED])
    if len(names) > _NAMED:
        left = len(names) - _NAMED
        return say("There are: {names} and {count} more ({tool} shows them).", names=listed, count=left, tool=tool)
    return say("There are: {names}.", names=listed)
