from __future__ import annotations

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Experiment
from swanlab_mcp.core.refs import LOCAL
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.anywhere import find_original
from swanlab_mcp.operations.arguments import (
    ExpCuid,
    Fields,
    OptionalProject,
    PageNumber,
    PageSize,
    ProfileParts,
    ProjectName,
    Username,
)
from swanlab_mcp.operations.columns import choose_list_columns
from swanlab_mcp.operations.copies import note_copies, note_copy
from swanlab_mcp.operations.listing import add_notes, describe_page, get_showable_stretch
from swanlab_mcp.operations.location import (
    ask_about_experiment,
    ask_about_project,
    resolve_experiment,
    resolve_project,
)

__all__ = ["get_experiment", "list_project_exps"]


async def list_project_exps(
    client: SwanLabClient,
    *,
    project: ProjectName,
    username: Username = "",
    fields: Fields = (),
    page: PageNumber = 1,
    size: PageSize = 20,
) -> ApiResponse[list[Experiment]]:
    """List a project's experiments (training runs) with the config keys in which they differ.

    Use find_experiments to filter or sort them, rank_experiments for the best. Returns for each experiment its cuid
    (pass it on as `exp_cuid`), name, state, times (UTC), user, labels and profile.config. The state is RUNNING,
    FINISHED, CRASHED, ABORTED, or UNKNOWN if no end was recorded.
    Example: {"project": "team/mnist", "page": 0}.
    """
    ref = await resolve_project(client, project, username)
    offset, limit = get_showable_stretch(page, size)
    answer = await ask_about_project(client, ref, client.at(ref).list_experiments, offset=offset, limit=limit)
    rows, columns = await choose_list_columns(client, ref, answer.data or [], fields)
    answer = answer.model_copy(update={"data": rows})
    total = answer.page.total if answer.page else 0
    note = "" if total else gettext("The project {project} has no experiments yet.", project=quote(ref))
    link = client.at(ref).get_link(ref.experiment("<cuid>"))
    order = gettext("newest first") if ref.workspace == LOCAL else gettext("SwanLab's order")
    pages = gettext("Pages: {link}", link=link) if link and total else ""
    copies = await note_copies(client, {ref.experiment(row.cuid): row for row in rows})
    return add_notes(describe_page(answer, page, size, order), note, *columns, copies, pages)


async def get_experiment(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuid: ExpCuid,
    username: Username = "",
    profile: ProfileParts = (),
) -> ApiResponse[Experiment]:
    """Get one experiment: state, times (UTC), creator, config, machine, packages, and the traceback of a crash.

    Use get_exp_summary for its metric values, diagnose_experiment for why it failed. Returns the record; its profile
    contains config, metadata (hardware, command, git), requirements and conda.
    Example: {"project": "mnist", "exp_cuid": "lr-0.1", "profile": ["config"]}.
    """
    ref = await resolve_experiment(client, exp_cuid, project, username)
    ref, answer = await ask_about_experiment(client, ref, client.at(ref).get_experiment)
    if profile and answer.data:
        parts = {part: value for part, value in answer.data.profile.items() if part in profile}
        lacking = [part for part in profile if parts.get(part) is None]
        answer = answer.model_copy(update={"data": answer.data.model_copy(update={"profile": parts})})
        names = ", ".join(lacking)
        answer = add_notes(answer, gettext("Not recorded: {names}.", names=names) if lacking else "")
    link = client.at(ref).get_link(ref)
    page = gettext("Page: {link}", link=link) if link else ""
    clone = await _note_original(client, answer.data) if answer.data and answer.data.rootExpId else ""
    return add_notes(answer, clone, await note_copy(client, ref, answer.data), page)


async def _note_original(client: SwanLabClient, clone: Experiment) -> str:
    found = await find_original(client, clone)
    if not found:
        return gettext("This is a clone of {cuid}, which could not be read.", cuid=quote(clone.rootExpId))
    ref, original = found
    return gettext(
        "This is a clone; its metrics are those of {name} ({path}).", name=quote(original.name), path=quote(ref.path)
    )
