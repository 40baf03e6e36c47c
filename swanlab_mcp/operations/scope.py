"""Find the projects that a call refers to: one project, several, all in a workspace, or all that the user can open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import NotFound, SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Project
from swanlab_mcp.core.refs import ProjectRef, ProjectSet, Scope, WorkspaceRef
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.location import ask_about_workspace, resolve_project, resolve_workspace
from swanlab_mcp.operations.reading import read_all

__all__ = ["Located", "link_scope", "list_located", "note_skipped", "resolve_scope"]

_MOST_PROJECTS = 100
_MOST_EXPERIMENTS = 30_000
_NAMED = 10
_LINKS = 3

_Listed = dict[WorkspaceRef, Sequence[Project] | SwanLabError]


class Located(NamedTuple):
    """A project that a call refers to. `listed` is its record if the projects in its workspace were listed."""

    ref: ProjectRef
    listed: Project | None = None

    @property
    def experiments(self) -> int | None:
        """The number of experiments in the project, or `None` if it is unknown."""
        count = self.listed.count.get("experiments") if self.listed else None
        return count if isinstance(count, int) else None


async def resolve_scope(client: SwanLabClient, project: Sequence[str], username: str) -> tuple[Scope, list[str]]:
    """Return the projects that `project` selects, and notes about projects that are not read.

    `project` contains names, paths or URLs, which may also be separated by commas. `*` in a name or path is a wildcard.
    Raises NotFound if no project matches.
    """
    located, notes = await list_located(client, project, username)
    chosen: list[Located] = []
    total = 0
    listed = [one for one in located if one.experiments != 0] or located[:1]
    for one in listed[:_MOST_PROJECTS]:
        total += one.experiments or 0
        if chosen and total > _MOST_EXPERIMENTS:
            break
        chosen.append(one)
    notes += note_skipped(len(chosen), listed)
    refs = tuple(one.ref for one in chosen)
    return (refs[0] if len(refs) == 1 and not notes else ProjectSet(refs)), notes


async def list_located(client: SwanLabClient, project: Sequence[str], username: str) -> tuple[list[Located], list[str]]:
    """Return all projects that `project` selects, and notes about workspaces that could not be listed.

    Projects in the same workspace keep SwanLab's order.
    """
    texts = [project] if isinstance(project, str) else list(project)
    if len(texts) == 1:
        texts = texts[0].split(",")
    names = [text.strip() for text in texts if text.strip()] or [""]
    found: dict[ProjectRef, Located] = {}
    notes: list[str] = []
    for name in names:
        if "*" in name:
            located, failures = await _expand(client, name, username)
            notes += failures
        else:
            located = [Located(await resolve_project(client, name, username))]
        for one in located:
            found.setdefault(one.ref, one)
    return list(found.values()), list(dict.fromkeys(notes))


def note_skipped(count: int, located: Sequence[Located]) -> list[str]:
    """Return a list with a note that lists the projects after the first `count`, which are not read.

    The list is empty if there are at most `count` projects.
    """
    skipped = [quote(one.ref) for one in located[count:]]
    if not skipped:
        return []
    names = ", ".join(skipped[:_NAMED]) + (", …" if len(skipped) > _NAMED else "")
    return [
        gettext(
            "Incomplete: only the first {count} of {total} projects were read; skipped: {names}.",
            count=count,
            total=len(located),
            names=names,
        )
    ]


def link_scope(client: SwanLabClient, ref: Scope, shown: Iterable[str] | None = None) -> list[str]:
    """Return notes with the URL patterns of experiment pages.

    If there are several projects, only the workspaces of the experiments in `shown` are included.
    """
    if isinstance(ref, ProjectRef):
        links = [client.at(ref).get_link(ref.experiment("<cuid>"))]
    else:
        projects = ref.projects if shown is None else [ref.experiment(cuid).parent for cuid in shown]
        spaces = dict.fromkeys(one.parent for one in projects)
        links = [client.at(one).get_link(one.project("<project>").experiment("<cuid>")) for one in spaces]
    return [gettext("Pages: {link}", link=link) for link in links[:_LINKS] if link]


async def _expand(client: SwanLabClient, text: str, username: str) -> tuple[list[Located], list[str]]:
    """Return the projects that match a pattern with `*`, and notes about workspaces that could not be listed."""
    workspace, slash, pattern = text.removeprefix("@").rpartition("/")
    if not slash:
        workspace = username or ("*" if pattern == "*" else "")
    if "*" in workspace:
        answers = await _list_matching(client, workspace)
    else:
        answers = await _list_each(client, [await resolve_workspace(client, workspace)])
    failed = [(ref, one) for ref, one in answers.items() if isinstance(one, SwanLabError)]
    if failed and len(failed) == len(answers):
        raise failed[0][1]
    located = [
        Located(ref.project(one.name), one)
        for ref, answer in answers.items()
        if not isinstance(answer, SwanLabError)
        for one in answer
        if _matches(one.name, pattern)
    ]
    notes = [
        gettext("Incomplete: the workspace {username} could not be listed ({error}).", username=quote(ref), error=error)
        for ref, error in failed
    ]
    if not located and not notes:
        raise NotFound(
            gettext("No project matches {text!r}.", text=shorten(text)),
            hint=gettext("list_workspaces and list_projects show the names."),
        )
    return located, notes


async def _list_matching(client: SwanLabClient, pattern: str) -> _Listed:
    """Return the projects in all workspaces that match the pattern.

    Workspaces that are likely to match are read early, while the list of workspaces is still being requested.
    """
    guess = [ref for ref in await client.guess_workspaces() if _matches(ref.workspace, pattern)]
    found: _Listed = {}
    known: list[WorkspaceRef] = []

    async def list_known() -> None:
        listed = (await client.list_workspaces()).data or []
        known.extend(WorkspaceRef(one.username) for one in listed if _matches(one.username, pattern))
        found.update(await _list_each(client, [ref for ref in known if ref not in guess]))

    async def list_guessed() -> None:
        found.update(await _list_each(client, guess))

    await gather(list_known(), list_guessed())
    return {ref: found[ref] for ref in known}


async def _list_each(client: SwanLabClient, spaces: Sequence[WorkspaceRef]) -> _Listed:
    async def ask(ref: WorkspaceRef) -> Sequence[Project] | SwanLabError:
        try:
            return (await ask_about_workspace(client, ref, client.at(ref).list_projects)).data or []
        except SwanLabError as error:
            return error

    return dict(zip(spaces, await read_all(spaces, ask, "projects"), strict=True))


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name.casefold(), pattern.casefold().replace("[", "[[]"))
