"""What a half-typed workspace, project or experiment may become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from swanlab_mcp.client import SwanLabClient
from swanlab_mcp.models import ApiResponse, Experiment, Page
from swanlab_mcp.operations.location import (
    ask_about_project,
    ask_about_workspace,
    locate_project,
    locate_workspace,
)
from swanlab_mcp.untrusted import neutralise

__all__ = ["complete_argument"]

_MOST = 100  # what an MCP reply may hold
_LONGEST = 512


async def complete_argument(
    client: SwanLabClient, name: str, typed: str, chosen: Mapping[str, str]
) -> ApiResponse[list[str]]:
    """Return at most 100 values of `username`, `project` or `exp_cuid` that contain what is typed, in any case.

    `chosen` holds the arguments that stand already; values that begin with what is typed come first. An experiment is
    offered by its name, or by its id where that is typed or the name does not tell which one is meant. Any other
    argument has no values. Raises what listing raises.
    """
    wanted = typed.casefold()
    if name == "username":
        names = [workspace.username for workspace in (await client.list_workspaces()).data or ()]
        return _choose((one for one in names if wanted in one.casefold()), wanted)
    if name == "project":
        place = await locate_workspace(client, chosen.get("username", ""))
        answer = await ask_about_workspace(
            client, place, lambda: client.list_projects(place.username, search=typed, limit=_MOST, detail=False)
        )
        return _choose((project.name for project in answer.data or ()), wanted, answer.page)
    if name == "exp_cuid":
        place = await locate_project(client, chosen.get("project", ""), chosen.get("username", ""))
        answer = await ask_about_project(client, place, lambda: client.list_experiments(place.username, place.project))
        return _choose(_name_experiments(answer.data or [], wanted), wanted)
    return _choose((), wanted)


def _name_experiments(experiments: Sequence[Experiment], wanted: str) -> Iterator[str]:
    holders = Counter(experiment.name for experiment in experiments)
    for one in experiments:
        if wanted in one.name.casefold():
            is_telling = one.name and holders[one.name] == 1 and _is_plain(one.name)
            yield one.name if is_telling else one.cuid
        elif wanted in one.cuid.casefold():
            yield one.cuid


def _choose(values: Iterable[str], wanted: str, page: Page | None = None) -> ApiResponse[list[str]]:
    found = [value for value in dict.fromkeys(values) if _is_plain(value)]
    found.sort(key=lambda value: not value.casefold().startswith(wanted))
    shown = found[:_MOST]
    return ApiResponse(data=shown, page=Page(returned=len(shown), total=page.total if page else len(found)))


def _is_plain(value: str) -> bool:
    # what hides characters could not be told from something else
    return len(value) <= _LONGEST and neutralise(value) == value and not {"\n", "\t"}.intersection(value)
