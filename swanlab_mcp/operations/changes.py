"""Create and delete projects and experiments in two steps: a dry run, then a confirmed call that makes the change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument, NotFound, PermissionDenied, ServerUnavailable, SwanLabError
from swanlab_mcp.core.i18n import gettext, join_sentences, ngettext
from swanlab_mcp.core.models import ApiResponse, Experiment
from swanlab_mcp.core.planned_changes import AffectedExperiment, Change
from swanlab_mcp.core.records import show_time
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.arguments import (
    Confirmation,
    ExpCuids,
    NewDescription,
    NewProjectName,
    ProjectName,
    Username,
    Visibility,
)
from swanlab_mcp.operations.confirmation import confirmations, is_rehearsal
from swanlab_mcp.operations.location import (
    ask_about_experiment,
    ask_about_project,
    resolve_own_experiment,
    resolve_project,
    resolve_workspace,
)
from swanlab_mcp.operations.pending import PendingChange, pending
from swanlab_mcp.operations.question import find_lookalikes, make_fingerprint, warn_about_names

__all__ = ["create_project", "delete_experiments", "delete_project"]

_SHOWN = 20
# longer than the names of a workspace and a project together, because the user must see both in full
_LONGEST_NAME = 300
# these statuses do not prove a refusal: 404 and 410 may result from this very request, and 408 comes from a proxy
_OPEN_STATUSES = {404, 408, 410}


async def delete_experiments(
    client: SwanLabClient,
    *,
    project: ProjectName,
    exp_cuids: ExpCuids,
    username: Username = "",
    confirmation: Confirmation = "",
) -> ApiResponse[Change]:
    """Delete experiments permanently, with metrics, logs and media; the first call only shows what would be deleted.

    Show that to the user; only if they agree, call again with the same arguments and the confirmation. delete_project
    deletes a whole project. Returns the action, the experiments, whether it is done, and if not, the confirmation.
    Example: {"project": "mnist", "exp_cuids": ["lr-0.1"]}.
    """
    found = await progress.follow(
        "experiments", *(_find_experiment(client, one, project, username) for one in exp_cuids)
    )
    ref = found[0][0]
    if any(one != ref for one, _ in found):
        raise InvalidArgument(
            gettext("The experiments belong to several projects."),
            hint=gettext("Delete the experiments in each project with a separate call."),
        )
    by_cuid = {one.cuid: one for _, one in found}
    experiments = [by_cuid[cuid] for cuid in sorted(by_cuid)]
    change = Change(
        action=_describe_deletion(ref, len(experiments)),
        done=False,
        username=ref.workspace,
        project=ref.project,
        experiments=_show(experiments),
        experiment_count=len(experiments),
        running_count=_count_running(experiments),
    )
    state = _sign(experiments)

    backend = client.at(ref)

    async def do() -> list[str]:
        notes: list[str] = []
        for number, one in enumerate(experiments):
            delete = partial(backend.delete_experiment, ref.experiment(one.cuid))
            look = partial(backend.get_experiment, ref.experiment(one.cuid))
            try:
                what = gettext("the experiment {cuid} was deleted", cuid=quote(one.cuid))
                note = await _write(delete, partial(_is_gone, look), what)
            except SwanLabError as error:
                raise _describe_part(error, [each.cuid for each in experiments], number) from error
            notes += [note] if note else []
        return notes

    return await _settle(client, ref, change, ["delete_experiments", *sorted(by_cuid)], state, confirmation, do)


async def delete_project(
    client: SwanLabClient, *, project: ProjectName, username: Username = "", confirmation: Confirmation = ""
) -> ApiResponse[Change]:
    """Delete a project permanently, with all its experiments; the first call only shows what would be deleted.

    Show that to the user; only if they agree, call again with the same arguments and the confirmation. Use
    delete_experiments for single experiments. Returns the action, the project's experiments (up to 20, and how many),
    whether it is done, and if not, the confirmation.
    Example: {"project": "team/mnist"}.
    """
    ref = await resolve_project(client, project, username)
    backend = client.at(ref)
    backend.require_writable(ref.parent)
    answer = await ask_about_project(client, ref, backend.get_project)
    there = answer.data
    experiments = (await backend.list_experiments(ref)).data or []
    change = Change(
        action=ngettext(
            "permanently delete the project {project} with its {count} experiment",
            "permanently delete the project {project} with its {count} experiments",
            len(experiments),
            project=_name(ref),
        ),
        done=False,
        username=ref.workspace,
        project=ref.project,
        experiments=_show(experiments),
        experiment_count=len(experiments),
        running_count=_count_running(experiments),
        visibility=there.visibility if there else None,
        description=(there and there.description) or None,
    )
    state = [there and [there.cuid, there.name, there.createdAt, there.description, there.visibility]]
    state += _sign(experiments)
    delete = partial(backend.delete_project, ref)
    look = partial(backend.get_project, ref)

    async def do() -> list[str]:
        what = gettext("the project {project} was deleted", project=quote(ref))
        note = await _write(delete, partial(_is_gone, look), what)
        return [note] if note else []

    return await _settle(client, ref, change, ["delete_project"], state, confirmation, do)


async def create_project(
    client: SwanLabClient,
    *,
    project: NewProjectName,
    username: Username = "",
    visibility: Visibility = "PRIVATE",
    description: NewDescription = "",
    confirmation: Confirmation = "",
) -> ApiResponse[Change]:
    """Create an empty project; the first call only shows what would be created.

    Show that to the user; only if they agree, call again with the same arguments and the confirmation. Training code
    creates its project automatically; list_projects lists existing ones. Returns the action, whether it is done, and if
    not, the confirmation.
    Example: {"project": "mnist-v2", "username": "team"}.
    """
    ref = (await resolve_workspace(client, username)).project(project)
    backend = client.at(ref)
    backend.require_writable(ref.parent)
    look = partial(backend.get_project, ref)
    if not await _is_gone(look):
        raise InvalidArgument(
            gettext("The project {project} already exists; no changes were made.", project=quote(ref)),
            hint=gettext("Choose another name; list_projects lists the names in use."),
            status=409,
        )
    change = Change(
        action=(
            gettext("create the private project {project}", project=_name(ref))
            if visibility == "PRIVATE"
            else gettext("create the public project {project}", project=_name(ref))
        ),
        done=False,
        username=ref.workspace,
        project=ref.project,
        visibility=visibility,
        description=description or None,
    )
    create = partial(backend.create_project, ref, visibility=visibility, description=description)

    async def is_there() -> bool:
        return not await _is_gone(look)

    async def do() -> list[str]:
        note = await _write(create, is_there, gettext("the project {project} was created", project=quote(ref)))
        link = backend.get_link(ref)
        return [one for one in (note, gettext("Page: {link}", link=link) if link else "") if one]

    others = [one.name for one in (await backend.list_projects(ref.parent)).data or []]
    alike = find_lookalikes(ref.project, others)
    warnings = (
        [
            gettext(
                "Caution: a project with a similar-looking name exists: {names}.",
                names=", ".join(quote(name, 300) for name in alike),
            )
        ]
        if alike
        else []
    )
    request = ["create_project", visibility, description]
    return await _settle(client, ref, change, request, None, confirmation, do, warnings)


async def _find_experiment(
    client: SwanLabClient, exp_cuid: str, project: str, username: str
) -> tuple[ProjectRef, Experiment]:
    ref = await resolve_own_experiment(client, exp_cuid, project, username)
    client.at(ref).require_writable(ref.parent.parent)
    _, answer = await ask_about_experiment(client, ref, client.at(ref).get_experiment)
    assert answer.data
    return ref.parent, answer.data


async def _settle(
    client: SwanLabClient,
    ref: ProjectRef,
    change: Change,
    request: Sequence[str],
    state: Any,
    confirmation: str,
    do: Callable[[], Awaitable[list[str]]],
    warnings: Sequence[str] = (),
) -> ApiResponse[Change]:
    """Return a dry run with a confirmation token, or make the change if `confirmation` contains a valid token.

    `request` and `state` are covered by the token's signatures. `do` makes the change and returns notes. `warnings` are
    added to the notes of the dry run.
    """
    account = [await client.default.get_username(), client.at(ref).get_link(ref)]
    bound = [*account, ref.workspace, ref.project, *request]
    # the signature covers everything that the user sees
    state = [state, change.model_dump(mode="json")]
    change = change.model_copy(update={"fingerprint": make_fingerprint([bound, state])})
    tokens = confirmations.get()
    if not confirmation:
        await _require_role(client, ref.workspace)
        token, ends = tokens.issue(bound, state)
        shown = change.model_copy(update={"confirmation": token, "confirm_before": show_time(ends * 1000)})
        note = gettext(
            "Dry run: no changes were made. Show the user what the call would do; only if "
            "they agree, call again with the same arguments and this confirmation."
        )
        return ApiResponse(data=shown, notes=[note, *warn_about_names(change), *warnings])
    tokens.check(confirmation, bound, state)
    if is_rehearsal.get():
        return ApiResponse(data=change)
    tokens.spend(confirmation)
    notes = await do()
    return ApiResponse(data=change.model_copy(update={"done": True}), notes=notes)


async def _require_role(client: SwanLabClient, username: str) -> None:
    """Raise PermissionDenied if the user's role is known to forbid changes. Otherwise, leave the check to SwanLab."""
    for workspace in (await client.list_workspaces()).data or []:
        if workspace.username == username and workspace.role in ("VIEWER", "VISITOR"):
            raise PermissionDenied(
                gettext(
                    "The signed-in user has the role {role} in the workspace {username!r}.",
                    role=workspace.role,
                    username=shorten(username),
                ),
                hint=gettext("Only its owner and members may create projects and delete data; ask one of them."),
            )


async def _write(write: Callable[[], Awaitable[object]], is_done: Callable[[], Awaitable[bool]], what: str) -> str:
    """Send a change once. If the response does not confirm the change, check whether it was made.

    Returns a note if the check confirmed the change, or "" if the response did. `what` describes the completed change,
    such as "the project was created". Raises SwanLabError if the change was not made, or if the check also fails.
    """
    change = pending.get() or PendingChange()
    change.begin(what)
    try:
        try:
            await write()
        except SwanLabError as error:
            if 400 <= error.status < 500 and error.status not in _OPEN_STATUSES:
                change.settle()
                raise
            try:
                is_true = await is_done()
            except SwanLabError as second:
                message = gettext(
                    "It is unknown whether {what}. {first} The check also failed: {second}",
                    what=what,
                    first=error.message,
                    second=second.message,
                )
                raise _reword(error, message, gettext("Before you retry, check whether it was done.")) from error
            change.settle()
            if not is_true:
                message = gettext(
                    "A follow-up check showed that this did not happen: {what}. {error}", what=what, error=error.message
                )
                # the check has shown that no change was made
                raise _reword(error, message, gettext("SwanLab has an internal error; try again later.")) from error
            return gettext(
                "SwanLab returned no response or an error ({error}), but a follow-up check confirmed: {what}.",
                error=error.message,
                what=what,
            )
    except asyncio.CancelledError as error:
        raise ServerUnavailable(
            gettext("The call timed out before it was known whether {what}.", what=what),
            hint=gettext("Before you retry, check whether it was done."),
            status=0,
        ) from error
    change.settle()
    return ""


async def _is_gone(look: Callable[[], Awaitable[object]]) -> bool:
    try:
        await look()
    except NotFound:
        return True
    return False


def _describe_part(error: SwanLabError, cuids: Sequence[str], number: int) -> SwanLabError:
    """Return the error with a list of the experiments that were deleted and those that were not attempted.

    `number` is the index of the experiment whose deletion failed.
    """
    before, after = ", ".join(map(quote, cuids[:number])), ", ".join(map(quote, cuids[number + 1 :]))
    done = (
        gettext("Deleted: {cuids}.", cuids=before)
        if number
        else gettext("No experiments were deleted before this error.")
    )
    left = gettext("Not deleted: {cuids}.", cuids=after) if after else ""
    hint = join_sentences(error.hint, gettext("The remaining experiments need a new dry run."))
    return _reword(error, join_sentences(error.message, done, left), hint)


def _reword(error: SwanLabError, message: str, hint: str) -> SwanLabError:
    return type(error)(message, hint=hint, status=error.status, trace_id=error.trace_id)


def _show(experiments: Sequence[Experiment]) -> list[AffectedExperiment]:
    return [
        AffectedExperiment(cuid=one.cuid, name=one.name, state=one.state, createdAt=one.createdAt)
        for one in experiments[:_SHOWN]
    ]


def _sign(experiments: Sequence[Experiment]) -> list[Any]:
    """Return the part of the experiments' state that a confirmation covers.

    If this state changes after the dry run, the confirmation becomes invalid.
    """
    return sorted(
        [one.cuid, one.name, one.description, one.state, one.createdAt, one.finishedAt or "", one.show]
        for one in experiments
    )


def _name(ref: ProjectRef) -> str:
    return quote(f"{ref.workspace}/{ref.project}", _LONGEST_NAME)


def _describe_deletion(ref: ProjectRef, count: int) -> str:
    return ngettext(
        "permanently delete {count} experiment in {project} with its metrics, logs and media",
        "permanently delete {count} experiments in {project} with their metrics, logs and media",
        count,
        project=_name(ref),
    )


def _count_running(experiments: Sequence[Experiment]) -> int | None:
    return sum(one.state == "RUNNING" for one in experiments) or None
