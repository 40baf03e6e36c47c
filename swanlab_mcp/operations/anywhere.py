"""Find an experiment by its id or name in all projects that the account can read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import InvalidArgument, NotAvailableOffline, NotFound, PermissionDenied, SwanLabError
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import Experiment, Filter, Project
from swanlab_mcp.core.refs import LOCAL, ExperimentRef, ProjectRef, WorkspaceRef
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["find_anywhere", "find_original"]

Item = TypeVar("Item")
T = TypeVar("T")

_MOST_PROJECTS = 100
_NAMED = 10
_ABSENT = (NotFound, NotAvailableOffline)


async def find_anywhere(client: SwanLabClient, name: str, workspace: WorkspaceRef | None) -> ExperimentRef:
    """Find an experiment by its id or name in every project of the account, or of `workspace` if it is given.

    An experiment with a matching id takes precedence over experiments with a matching name. Raises InvalidArgument with
    the candidates' paths if the name is ambiguous, and NotFound if no experiment matches. If the id is not found and
    some projects could not be read, the first of their errors is raised instead.
    """
    if at_path := await _read_path(client, name):
        return at_path
    projects, failures = await _list_projects(client, workspace)
    searched = projects[:_MOST_PROJECTS]

    async def find_id(ref: ProjectRef) -> list[ExperimentRef]:
        one = (await client.at(ref).get_experiment(ref.experiment(name))).data
        return [ref.experiment(one.cuid)] if one else []

    async def find_name(ref: ProjectRef) -> list[ExperimentRef]:
        answer = await client.at(ref).narrow_experiments(ref, [Filter(field="name", op="=", value=name)])
        listed = answer.data.experiments if answer.data else ()
        return [ref.experiment(one.cuid) for one in listed if one.name == name]

    found, further = await _read(searched, find_id)
    if not found:
        found, more = await _read(searched, find_name)
        failures = [*failures, *further, *more]
        if failures:
            raise failures[0]
    found = _drop_copies(found)
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidArgument(
            gettext("{count} experiments are named {name!r}.", count=len(found), name=shorten(name)),
            hint=gettext(
                "Pass one of these paths: {paths}.", paths=", ".join(quote(one.path) for one in found[:_NAMED])
            ),
        )
    skipped = len(projects) - len(searched)
    raise NotFound(
        ngettext(
            "No experiment in the {count} project of this account has the id or name {name!r}.",
            "No experiment in the {count} projects of this account has the id or name {name!r}.",
            len(searched),
            name=shorten(name),
        ),
        hint=ngettext(
            "{count} more project was not searched; pass project.",
            "{count} more projects were not searched; pass project.",
            skipped,
        )
        if skipped
        else gettext("To search for part of a name, use find_experiments with project=* and the operator 'contains'."),
    )


async def find_original(client: SwanLabClient, clone: Experiment) -> tuple[ExperimentRef, Experiment] | None:
    """Return the experiment that a clone was made from, or `None` if the original cannot be found or read."""
    spaces = [WorkspaceRef(one.username) for one in (await client.list_workspaces()).data or []]

    async def ask(ref: WorkspaceRef) -> list[ProjectRef]:
        listed: Sequence[Project] = (await client.at(ref).list_projects(ref, detail=False)).data or []
        return [ref.project(one.name) for one in listed if one.cuid == clone.rootProId]

    found, _ = await _read(spaces, ask)
    for project in found:
        ref = project.experiment(clone.rootExpId or "")
        try:
            answer = await client.at(ref).get_experiment(ref)
        except SwanLabError:
            continue
        if answer.data:
            return ref, answer.data
    return None


async def _read_path(client: SwanLabClient, path: str) -> ExperimentRef | None:
    """Return the experiment at `path`, assuming that the project's name contains slashes.

    Returns `None` if the path is too short or if no experiment can be read there.
    """
    parts = path.split("/")
    if len(parts) < 4 or any(part in ("", ".", "..") for part in parts):
        return None
    ref = ExperimentRef(parts[0], "/".join(parts[1:-1]), parts[-1])
    try:
        await client.at(ref).get_experiment(ref)
    except (NotFound, PermissionDenied, NotAvailableOffline):
        return None
    return ref


async def _list_projects(
    client: SwanLabClient, workspace: WorkspaceRef | None
) -> tuple[list[ProjectRef], Sequence[SwanLabError]]:
    listed = [] if workspace else (await client.list_workspaces()).data or []
    spaces = [workspace] if workspace else [WorkspaceRef(one.username) for one in listed]

    async def ask(ref: WorkspaceRef) -> list[ProjectRef]:
        listed: Sequence[Project] = (await client.at(ref).list_projects(ref, detail=False)).data or []
        return [ref.project(one.name) for one in listed]

    return await _read(spaces, ask)


async def _read(
    items: Sequence[Item], question: Callable[[Item], Awaitable[list[T]]]
) -> tuple[list[T], Sequence[SwanLabError]]:
    """Call `question` for all items concurrently.

    Returns the combined results, and all errors except not-found errors.
    """

    async def ask(item: Item) -> list[T] | SwanLabError:
        try:
            return await question(item)
        except SwanLabError as error:
            return error

    answers = await gather(*map(ask, items))
    found = [one for answer in answers if not isinstance(answer, SwanLabError) for one in answer]
    return found, [one for one in answers if isinstance(one, SwanLabError) and not isinstance(one, _ABSENT)]


def _drop_copies(found: Sequence[ExperimentRef]) -> list[ExperimentRef]:
    """Remove local runs that are copies of experiments found in the cloud."""
    cloud = {(one.project, one.cuid) for one in found if one.workspace != LOCAL}
    return [one for one in found if one.workspace != LOCAL or (one.project, one.cuid) not in cloud]
