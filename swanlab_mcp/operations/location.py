"""Resolve the arguments of a call into references, and suggest similar names if the target does not exist."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument, NotFound, NotLoggedIn, PermissionDenied, SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Experiment
from swanlab_mcp.core.refs import (
    LOCAL,
    ExperimentRef,
    ProjectRef,
    Reference,
    WorkspaceRef,
    find_near_names,
    parse_experiment,
    parse_project,
    parse_workspace,
    read_bare_name,
)
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.anywhere import find_anywhere

__all__ = [
    "ask_about_experiment",
    "ask_about_project",
    "ask_about_workspace",
    "choose_only_project",
    "resolve_experiment",
    "resolve_own_experiment",
    "resolve_project",
    "resolve_workspace",
]

P = ParamSpec("P")
T = TypeVar("T")

_NAMED = 10


async def resolve_workspace(client: SwanLabClient, username: str) -> WorkspaceRef:
    return WorkspaceRef(await _resolve(client, parse_workspace(username)))


async def resolve_project(client: SwanLabClient, project: str, username: str) -> ProjectRef:
    named = parse_project(project, username)
    return ProjectRef(await _resolve(client, named), named.project)


async def resolve_experiment(client: SwanLabClient, exp_cuid: str, project: str, username: str) -> ExperimentRef:
    """Return a reference to an experiment.

    `exp_cuid` may be an id, a name, a path or a URL. A path or URL may point to any project and workspace. Without a
    project, an id or a unique name is searched for in all projects. The reference may still contain a name, which
    `ask_about_experiment` later replaces with the id.
    """
    name = "" if project.strip() else read_bare_name(exp_cuid)
    if name:
        workspace = await resolve_workspace(client, username) if username.strip() else None
        return await find_anywhere(client, name, workspace)
    named = parse_experiment(exp_cuid, project, username)
    ref = ExperimentRef(await _resolve(client, named), named.project, named.experiment)
    if not named.fallback:
        return ref
    found, listed = await _find_at_path(client, ref)
    if found:
        return found
    other = ExperimentRef(await _resolve(client, named.fallback), named.fallback.project, named.fallback.experiment)
    try:
        return (await ask_about_experiment(client, other, client.at(other).get_experiment))[0]
    except NotFound as error:
        tried = gettext(
            "There is no experiment at the path {path}, and no experiment with that name in {project}.",
            path=quote(ref),
            project=quote(other.parent),
        )
        raise NotFound(tried, hint=_suggest_experiments(ref.cuid, listed) if listed else error.hint) from error


async def choose_only_project(client: SwanLabClient, exp_cuid: str, project: str, username: str) -> str:
    """Return `project` if it is given, otherwise the workspace's only project.

    Returns "" if `exp_cuid` already names a project, or if the workspace does not have exactly one project.
    """
    if project.strip():
        return project
    try:
        parse_experiment(exp_cuid)
    except InvalidArgument:
        workspace = await resolve_workspace(client, username)
        projects = (await client.at(workspace).list_projects(workspace, limit=2, detail=False)).data or []
        return projects[0].name if len(projects) == 1 else ""
    return ""


async def resolve_own_experiment(client: SwanLabClient, exp_cuid: str, project: str, username: str) -> ExperimentRef:
    """Return a reference to an experiment in the given project.

    Raises InvalidArgument if `exp_cuid` is a path or URL that points to another project.
    """
    named = parse_experiment(exp_cuid, project, username)
    named = named.fallback or named
    given = parse_project(project, username) if project.strip() else parse_workspace(username)
    theirs, ours = f"{named.username}/{named.project}", f"{given.username}/{given.project}"
    if given.username not in ("", named.username) or given.project not in ("", named.project):
        raise InvalidArgument(
            gettext(
                "exp_cuid names the project {theirs}, but the other arguments name {ours}.",
                theirs=quote(theirs),
                ours=quote(ours.strip("/")),
            ),
            hint=gettext("Omit project and username, or make them match exp_cuid."),
        )
    return ExperimentRef(await _resolve(client, named), named.project, named.experiment)


async def ask_about_workspace(
    client: SwanLabClient,
    ref: WorkspaceRef,
    question: Callable[Concatenate[WorkspaceRef, P], Awaitable[ApiResponse[T]]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> ApiResponse[T]:
    """Call `question` with the reference. Raises NotFound with similar names if the workspace does not exist."""
    try:
        return await question(ref, *args, **kwargs)
    except NotFound as error:
        raise await _explain_workspace(client, ref, error) from error


async def ask_about_project(
    client: SwanLabClient,
    ref: ProjectRef,
    question: Callable[Concatenate[ProjectRef, P], Awaitable[ApiResponse[T]]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> ApiResponse[T]:
    """Call `question` with the reference.

    Raises NotFound with similar names if the project or workspace does not exist.
    """
    try:
        return await question(ref, *args, **kwargs)
    except NotFound as error:
        raise await _explain_project(client, ref, error) from error


async def ask_about_experiment(
    client: SwanLabClient,
    ref: ExperimentRef,
    question: Callable[Concatenate[ExperimentRef, P], Awaitable[ApiResponse[T]]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> tuple[ExperimentRef, ApiResponse[T]]:
    """Call `question` with the reference. If the id is unknown, look the experiment up by name and repeat the call.

    Returns the reference that worked and the answer. Raises NotFound with similar names if there is no such experiment,
    and InvalidArgument if the name is ambiguous.
    """
    try:
        return ref, await question(ref, *args, **kwargs)
    except NotFound as error:
        ref = await _find_by_name(client, ref, error)
    return ref, await question(ref, *args, **kwargs)


async def _resolve(client: SwanLabClient, named: Reference) -> str:
    """Return the name of the workspace, which defaults to the user's own workspace.

    Raises InvalidArgument if the reference is a URL on another server.
    """
    if named.host:
        workspace = WorkspaceRef(named.username)
        link = client.at(workspace).get_link(workspace)
        if urlsplit(link).netloc.lower() != urlsplit(named.host).netloc:
            theirs = shorten(urlsplit(named.host).netloc)
            raise InvalidArgument(
                gettext(
                    "The URL belongs to {theirs}, but this server uses {ours}.",
                    theirs=theirs,
                    ours=urlsplit(link).netloc,
                )
                if link
                else gettext("The URL belongs to {theirs}, but this server only shows runs on disk.", theirs=theirs),
                hint=gettext("Use names instead, or start a server for that host with --host."),
            )
    return named.username or await client.default.get_username()


async def _find_at_path(client: SwanLabClient, ref: ExperimentRef) -> tuple[ExperimentRef | None, Sequence[Experiment]]:
    """Return the experiment at a path whose last part is an id or a name.

    If there is none, returns `None` and the experiments in that project, which are used for suggestions.
    """
    try:
        await client.at(ref).get_experiment(ref)
    except (NotFound, NotLoggedIn, PermissionDenied):
        try:
            listed = (await client.at(ref).list_experiments(ref.parent)).data or []
        except (NotFound, NotLoggedIn, PermissionDenied):
            return None, ()
        found = _match_name(listed, ref)
        return (ref.parent.experiment(found.cuid) if found else None), listed
    return ref, ()


def _match_name(experiments: Sequence[Experiment], ref: ExperimentRef) -> Experiment | None:
    """Return the experiment with this id or name, or `None` if there is none.

    Raises InvalidArgument if several experiments have the name.
    """
    wanted = ref.cuid
    found = [one for one in experiments if wanted in (one.cuid, one.slug)] or [
        one for one in experiments if one.name == wanted
    ]
    # ignore differences in white space, because arguments are stripped and replies print a name on one line
    words = wanted.split()
    found = found or [one for one in experiments if one.name.split() == words]
    # a name such as sweeps/lr/0.1 is also found by its last parts: 0.1 or lr/0.1
    parts = _split_path(wanted)
    found = found or [one for one in experiments if parts and _split_path(one.name)[-len(parts) :] == parts]
    if len(found) < 2:
        return found[0] if found else None
    candidates = "; ".join(f"{quote(one.cuid)} ({one.state}, {one.createdAt})" for one in found[:_NAMED])
    candidates += gettext(" and {count} more", count=len(found) - _NAMED) if len(found) > _NAMED else ""
    raise InvalidArgument(
        gettext(
            "{count} experiments in {project} are named {name!r}.",
            count=len(found),
            project=quote(ref.parent),
            name=shorten(wanted),
        ),
        hint=gettext("Pass one of these ids: {candidates}.", candidates=candidates),
    )


def _split_path(name: str) -> list[str]:
    return [part for part in re.split(r"[/\\]", name) if part]


async def _find_by_name(client: SwanLabClient, ref: ExperimentRef, error: NotFound) -> ExperimentRef:
    try:
        experiments = (await client.at(ref).list_experiments(ref.parent)).data or []
    except NotFound as missing:
        raise await _explain_project(client, ref.parent, missing) from error
    wanted = ref.cuid
    found = _match_name(experiments, ref)
    if found:
        if found.cuid == wanted:
            raise error  # the listed experiment cannot be read, and SwanLab's own message explains that best
        return ref.parent.experiment(found.cuid)
    if not experiments:
        raise NotFound(
            gettext(
                "There is no experiment {name!r}: the project {project} has no experiments yet.",
                name=shorten(wanted),
                project=quote(ref.parent),
            )
        ) from error
    raise NotFound(
        gettext("There is no experiment {name!r} in {project}.", name=shorten(wanted), project=quote(ref.parent)),
        hint=_suggest_experiments(wanted, experiments),
    ) from error


async def _explain_project(client: SwanLabClient, ref: ProjectRef, error: NotFound) -> SwanLabError:
    try:
        projects = (await client.at(ref).list_projects(ref.parent, detail=False)).data or []
    except PermissionDenied:
        return error
    except NotFound as missing:
        return await _explain_workspace(client, ref.parent, missing)
    names = [project.name for project in projects]
    if ref.project in names:
        return error
    message = gettext(
        "There is no project {project!r} in workspace {username!r}.",
        project=shorten(ref.project),
        username=shorten(ref.workspace),
    )
    if await _is_local(client, ref):
        hint = gettext(
            "This machine has a project with that name: use project={project!r}.",
            project=shorten(f"{LOCAL}/{ref.project}"),
        )
        return NotFound(message, hint=hint)
    if not names:
        return NotFound(message, hint=gettext("That workspace has no projects; list_workspaces shows the others."))
    return NotFound(
        message, hint=_suggest(map(quote, find_near_names(ref.project, names)), [*map(quote, names)], "list_projects")
    )


async def _is_local(client: SwanLabClient, ref: ProjectRef) -> bool:
    local = WorkspaceRef(LOCAL)
    if ref.parent == local:
        return False
    try:
        projects = (await client.at(local).list_projects(local, detail=False)).data or []
    except (NotFound, NotLoggedIn, PermissionDenied):
        return False
    return any(project.name == ref.project for project in projects)


async def _explain_workspace(client: SwanLabClient, ref: WorkspaceRef, error: NotFound) -> SwanLabError:
    names = [workspace.username for workspace in (await client.list_workspaces()).data or []]
    if ref.workspace in names:
        return error
    return NotFound(
        gettext("There is no workspace {username!r}, or this account may not see it.", username=shorten(ref.workspace)),
        hint=_suggest(map(quote, find_near_names(ref.workspace, names)), [*map(quote, names)], "list_workspaces"),
    )


def _suggest_experiments(wanted: str, experiments: Sequence[Experiment]) -> str:
    near = find_near_names(wanted, [*(one.name for one in experiments), *(one.cuid for one in experiments)])
    known = [_show(one) for name in near for one in experiments if name in (one.name, one.cuid)]
    return _suggest(dict.fromkeys(known), [_show(one) for one in experiments], "list_project_exps")


def _show(experiment: Experiment) -> str:
    return f"{quote(experiment.name)} ({quote(experiment.cuid)})"


def _suggest(near: Iterable[str], names: list[str], tool: str) -> str:
    """Return a hint that lists similar names, or the first known names if no name is similar.

    All names must already be quoted. `tool` is the tool that lists the remaining names.
    """
    meant = list(near)
    if meant:
        return gettext(
            "Did you mean {names}? {tool} shows all {total}.",
            names=gettext(" or ").join(meant),
            tool=tool,
            total=len(names),
        )
    listed = ", ".join(names[:_NAMED])
    if len(names) > _NAMED:
        left = len(names) - _NAMED
        return gettext(
            "Known names: {names} and {count} more ({tool} shows them).", names=listed, count=left, tool=tool
        )
    return gettext("Known names: {names}.", names=listed)
