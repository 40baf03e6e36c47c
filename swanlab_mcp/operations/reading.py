"""Read many experiments or projects concurrently.

If a project cannot be read, the results of the other projects are returned with a note.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

from swanlab_mcp.client.base import Backend, FurtherKeys
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse, Experiment, Filter, Narrowed, Points, Summary
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.refs import LOCAL, ExperimentRef, ProjectRef, Scope
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.location import ask_about_project

__all__ = [
    "note_failures",
    "read_all",
    "read_by_backend",
    "read_every_point",
    "read_narrowed",
    "read_projects",
    "read_summaries",
]

Item = TypeVar("Item")
T = TypeVar("T")

_AT_ONCE = 32
_PROJECTS_AT_ONCE = 8
_NAMED = 10
# the cloud records the time at which it accepted the run, which may be later than the start on disk
_SAME_START = timedelta(minutes=5)


async def read_all(
    items: Sequence[Item],
    question: Callable[[Item], Awaitable[T]],
    what: str = "experiments",
    at_once: int = _AT_ONCE,
) -> list[T]:
    """Call `question` for each item and return the answers in order.

    At most `at_once` calls run at the same time, and the first error cancels the others. `what` names the items in
    progress messages.
    """
    room = asyncio.Semaphore(at_once)

    async def ask(item: Item) -> T:
        async with room:
            return await question(item)

    return await progress.follow(what, *(ask(item) for item in items))


async def read_by_backend(
    client: SwanLabClient,
    refs: Sequence[ExperimentRef],
    question: Callable[[Backend, Sequence[ExperimentRef]], Awaitable[Sequence[T]]],
) -> list[T]:
    """Call `question` once per backend, with the experiments on that backend.

    Return the answers in the order of `refs`.
    """
    members: dict[bool, list[ExperimentRef]] = {}
    for ref in refs:
        members.setdefault(ref.workspace == LOCAL, []).append(ref)
    found: dict[ExperimentRef, T] = {}
    for own in members.values():
        found |= zip(own, await question(client.at(own[0]), own), strict=True)
    return [found[ref] for ref in refs]


async def read_projects(
    projects: Sequence[ProjectRef], question: Callable[[ProjectRef], Awaitable[T]]
) -> tuple[dict[ProjectRef, T], dict[ProjectRef, SwanLabError]]:
    """Call `question` for each project. Return the answers, and the errors of the projects that failed.

    Raises the first error if all projects failed.
    """

    async def ask(ref: ProjectRef) -> T | SwanLabError:
        try:
            return await question(ref)
        except SwanLabError as error:
            return error

    answers = await read_all(projects, ask, "projects", _PROJECTS_AT_ONCE)
    pairs = list(zip(projects, answers, strict=True))
    found = {ref: one for ref, one in pairs if not isinstance(one, SwanLabError)}
    failed = {ref: one for ref, one in pairs if isinstance(one, SwanLabError)}
    if failed and not found:
        raise next(iter(failed.values()))
    return found, failed


def note_failures(failed: dict[ProjectRef, SwanLabError], total: int) -> list[str]:
    """Return a list with a note about which projects could not be read, and why.

    The list is empty if there are no failures.
    """
    if not failed:
        return []
    reasons = [f"{quote(ref)}: {error}" for ref, error in list(failed.items())[:_NAMED]]
    if len(failed) > _NAMED:
        reasons.append(gettext("{count} more", count=len(failed) - _NAMED))
    return [
        ngettext(
            "Incomplete: {count} of {total} projects could not be read ({reasons}).",
            "Incomplete: {count} of {total} projects could not be read ({reasons}).",
            len(failed),
            total=total,
            reasons=gettext("; ").join(reasons),
        )
    ]


async def read_narrowed(
    client: SwanLabClient,
    ref: Scope,
    filters: Sequence[Filter],
    keys: Sequence[str] = (),
    further: FurtherKeys | None = None,
) -> ApiResponse[Narrowed]:
    """Return the experiments in the projects, narrowed by the filters that each backend supports.

    If there are several projects, the ids of the experiments are paths.
    """

    async def ask(one: ProjectRef) -> ApiResponse[Narrowed]:
        return await ask_about_project(
            client, one, partial(client.at(one).narrow_experiments, further=further), filters, keys
        )

    if isinstance(ref, ProjectRef):
        return await ask(ref)
    found, failed = await read_projects(ref.projects, ask)
    parts = {one: answer.data or Narrowed((), {}) for one, answer in found.items()}
    kept, dropped = _drop_copies(parts)
    notes = note_failures(failed, len(ref.projects))
    if dropped:
        notes.append(
            ngettext(
                "{count} run is both in the cloud and on this machine; only the copy in the cloud counts.",
                "{count} runs are both in the cloud and on this machine; only the copies in the cloud count.",
                dropped,
            )
        )
    notes += [note for answer in found.values() for note in answer.notes]
    return ApiResponse(data=_merge(kept), notes=list(dict.fromkeys(notes)))


async def read_every_point(backend: Backend, ref: ExperimentRef, keys: Sequence[str]) -> ApiResponse[dict[str, Points]]:
    """Return all points of the given keys.

    Reading a sample takes 1 request. If the sample is incomplete, all points are exported with 3 more requests.
    """
    answer = await backend.read_points(ref, keys, exact=False)
    points = answer.data or {}
    cut = [key for key, one in points.items() if not one.is_whole]
    if not cut:
        return answer
    exported = await backend.read_points(ref, cut, exact=True)
    return ApiResponse(data={**points, **(exported.data or {})}, notes=[*answer.notes, *exported.notes])


async def read_summaries(
    client: SwanLabClient, ref: Scope, experiments: Sequence[Experiment], keys: Sequence[str] = ()
) -> ApiResponse[dict[str, Summary]]:
    """Return the summaries of the experiments by id. If there are several projects, the ids are paths."""
    if isinstance(ref, ProjectRef):
        return await client.at(ref).get_summaries(ref, experiments, keys)
    members: dict[ProjectRef, list[Experiment]] = {}
    for one in experiments:
        members.setdefault(ref.experiment(one.cuid).parent, []).append(_strip_paths(one))

    async def ask(project: ProjectRef) -> ApiResponse[dict[str, Summary]]:
        return await client.at(project).get_summaries(project, members[project], keys)

    answers = await read_all(list(members), ask, "projects", _PROJECTS_AT_ONCE)
    found = {
        project.experiment(cuid).path: summary
        for project, answer in zip(members, answers, strict=True)
        for cuid, summary in (answer.data or {}).items()
    }
    return ApiResponse(data=found, notes=list(dict.fromkeys(note for one in answers for note in one.notes)))


def _drop_copies(parts: dict[ProjectRef, Narrowed]) -> tuple[dict[ProjectRef, Narrowed], int]:
    """Drop local runs that are also in the cloud. Return the remaining runs and the number of dropped runs.

    SDKs before 0.8 could give different runs the same id, so the name or start time must also match.
    """
    uploaded: dict[tuple[str, str], Experiment] = {
        (ref.project, name): one
        for ref, part in parts.items()
        if ref.workspace != LOCAL
        for one in part.experiments
        for name in (one.cuid, one.slug)
        if name
    }
    kept: dict[ProjectRef, Narrowed] = {}
    dropped = 0
    for ref, part in parts.items():
        own = part.experiments
        if ref.workspace == LOCAL:
            own = [one for one in own if not _is_same_run(one, uploaded.get((ref.project, one.cuid)))]
            dropped += len(part.experiments) - len(own)
        kept[ref] = part._replace(experiments=own)
    return kept, dropped


def _is_same_run(local: Experiment, uploaded: Experiment | None) -> bool:
    if uploaded is None or local.name == uploaded.name:
        return uploaded is not None
    start, created = read_time(local.createdAt or ""), read_time(uploaded.createdAt or "")
    return start is not None and created is not None and abs(start - created) < _SAME_START


def _merge(parts: dict[ProjectRef, Narrowed]) -> Narrowed:
    folders = {ref: ref.experiment("").path for ref in parts}
    paths = {one.cuid: folders[ref] + one.cuid for ref, part in parts.items() for one in part.experiments}
    experiments = [
        one.model_copy(
            update={
                "cuid": folder + one.cuid,
                "rootExpId": paths.get(one.rootExpId, one.rootExpId) if one.rootExpId else one.rootExpId,
            }
        )
        for folder, part in zip(folders.values(), parts.values(), strict=True)
        for one in part.experiments
    ]
    summaries = {
        folder + cuid: summary
        for folder, part in zip(folders.values(), parts.values(), strict=True)
        for cuid, summary in part.summaries.items()
    }

    async def note(cuids: Collection[str]) -> list[str]:
        wanted = set(cuids)
        return [
            one
            for folder, part in zip(folders.values(), parts.values(), strict=True)
            if part.note
            for one in await part.note([own.cuid for own in part.experiments if folder + own.cuid in wanted])
        ]

    return Narrowed(
        experiments,
        summaries,
        list({id(one): one for part in parts.values() for one in part.applied}.values()),
        all(part.is_whole for part in parts.values()),
        list(dict.fromkeys(key for part in parts.values() for key in part.keys)),
        note=note if any(part.note for part in parts.values()) else None,
    )


def _strip_paths(experiment: Experiment) -> Experiment:
    """Replace the paths in an experiment with the plain ids that the backend expects."""
    root = experiment.rootExpId
    bare = {"cuid": experiment.cuid.rpartition("/")[2], "rootExpId": root.rpartition("/")[2] if root else root}
    return experiment.model_copy(update=bare)
