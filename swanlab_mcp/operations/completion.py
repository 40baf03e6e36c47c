"""Complete the name of a workspace, project or experiment while the user is typing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cachetools import TTLCache

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.models import ApiResponse, Page
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.untrusted import neutralise
from swanlab_mcp.operations.location import (
    ask_about_project,
    ask_about_workspace,
    resolve_project,
    resolve_workspace,
)

__all__ = ["Completer"]

_MOST = 100  # the largest number of values that MCP allows in a completion
_KEPT = 30.0  # seconds
_LONGEST = 512


class Completer:
    """Suggests values for arguments as the user types.

    The experiments of the most recently used project are cached to avoid a request for every keystroke.
    """

    def __init__(self, client: SwanLabClient) -> None:
        self._client = client
        self._names = TTLCache[tuple[ProjectRef, int], list[tuple[str, str]]](1, _KEPT)

    async def complete(self, name: str, typed: str, chosen: Mapping[str, str]) -> ApiResponse[list[str]]:
        """Return at most 100 values for `username`, `project` or `exp_cuid` that contain the typed text, ignoring case.

        Values that start with the typed text come first. `chosen` contains the arguments that are already filled in. An
        experiment is suggested by name, or by id if only its id matches or if its name is ambiguous. For any other
        argument, the list is empty. Raises an error if the values cannot be listed.
        """
        wanted = typed.casefold()
        if name == "username":
            names = [workspace.username for workspace in (await self._client.list_workspaces()).data or ()]
            return _choose((one for one in names if wanted in one.casefold()), wanted)
        if name == "project":
            ref = await resolve_workspace(self._client, chosen.get("username", ""))
            answer = await ask_about_workspace(
                self._client, ref, self._client.at(ref).list_projects, search=typed, limit=_MOST, detail=False
            )
            return _choose((project.name for project in answer.data or ()), wanted, answer.page)
        if name == "exp_cuid":
            ref = await resolve_project(self._client, chosen.get("project", ""), chosen.get("username", ""))
            return _choose(_name_experiments(await self._list_experiments(ref), wanted), wanted)
        return _choose((), wanted)

    async def _list_experiments(self, ref: ProjectRef) -> list[tuple[str, str]]:
        """Return the name and id of each experiment in the project.

        The list is at most 30 seconds old, and it is read again after every change that this server makes.
        """
        backend = self._client.at(ref)
        key = ref, backend.writes
        names = self._names.get(key)
        if names is None:
            answer = await ask_about_project(self._client, ref, backend.list_experiments)
            names = self._names[key] = [(one.name, one.cuid) for one in answer.data or ()]
        return names


def _name_experiments(experiments: Sequence[tuple[str, str]], wanted: str) -> Iterator[str]:
    holders = Counter(name for name, _ in experiments)
    for name, cuid in experiments:
        if wanted in name.casefold():
            is_telling = name and holders[name] == 1 and _is_plain(name)
            yield name if is_telling else cuid
        elif wanted in cuid.casefold():
            yield cuid


def _choose(values: Iterable[str], wanted: str, page: Page | None = None) -> ApiResponse[list[str]]:
    found = [value for value in dict.fromkeys(values) if _is_plain(value)]
    found.sort(key=lambda value: not value.casefold().startswith(wanted))
    shown = found[:_MOST]
    return ApiResponse(data=shown, page=Page(returned=len(shown), total=page.total if page else len(found)))


def _is_plain(value: str) -> bool:
    # a value with hidden characters could be mistaken for another value
    return len(value) <= _LONGEST and neutralise(value) == value and not {"\n", "\t"}.intersection(value)
