"""Check whether the cloud and the disk agree about a run that is in both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from swanlab_mcp.client.copies import LocalCopy
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.i18n import join_sentences, say, say_plural
from swanlab_mcp.core.models import Experiment, Summary
from swanlab_mcp.core.refs import LOCAL, ExperimentRef, ProjectRef
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["note_copy"]

_SECONDS = 5.0
_CANDIDATES = 5
_ENDED = ("CRASHED", "ABORTED", "FINISHED")


async def note_copy(client: SwanLabClient, ref: ExperimentRef, experiment: Experiment | None = None) -> str:
    """Return a note if the run is in the cloud and on this machine, or "" if it is only in one place.

    This reads folder names; for a run in both places also one or two requests and a file of at most 32 MB. Failures of
    the other side are ignored.
    """
    try:
        return await asyncio.wait_for(_compare(client, ref, experiment), _SECONDS)
    except (SwanLabError, TimeoutError, asyncio.TimeoutError):
        return ""


async def _compare(client: SwanLabClient, ref: ExperimentRef, experiment: Experiment | None) -> str:
    names = [ref.cuid]
    if experiment:
        names += [one for one in (experiment.cuid, experiment.slug) if one and one not in names]
    for name in names:
        copies = await client.find_copies(name)
        # SDKs before 0.8 gave different trainings one id: only a copy of the same project can be this run
        copies = [one for one in copies if not one.is_legacy or one.ref.project == ref.project]
        if copies:
            break
    else:
        return ""
    own = [one for one in copies if one.ref.project == ref.project and one.ref.cuid == ref.cuid]
    copy = own[0] if ref.workspace == LOCAL and own else copies[0]
    cloud = ref
    if ref.workspace == LOCAL:
        if not copy.workspace:
            return ""
        cloud = ProjectRef(copy.workspace, copy.ref.project).experiment(copy.run_id)
        experiment = None
    backend = client.at(cloud)
    if experiment is None:
        experiment = (await backend.get_experiment(cloud)).data
    if experiment is None:
        return ""
    if len(copies) > 1 or (copy.may_be_seeded and copy.name != experiment.name):
        return _list_candidates(ref, cloud, copies)
    summary = (await backend.get_summary(cloud)).data or {}
    where = (
        say("This run is also in the cloud ({ref}).", ref=cloud)
        if ref.workspace == LOCAL
        else say("This run is also on this machine ({ref}).", ref=copy.ref)
    )
    return join_sentences(
        where, _compare_steps(copy, _find_last_step(summary), experiment), _compare_state(copy, experiment)
    )


def _list_candidates(ref: ExperimentRef, cloud: ExperimentRef, copies: Sequence[LocalCopy]) -> str:
    """Return a note on the folders that may be copies, because different trainings can record one id."""
    if ref.workspace == LOCAL:
        return say(
            "The cloud has a run with the same recorded id ({ref}); it may be this run or another one.", ref=cloud
        )
    listed = say(", ").join(
        say("{ref} (name {name})", ref=one.ref, name=quote(one.name, 40)) for one in copies[:_CANDIDATES]
    )
    return say_plural(
        "{count} run on this machine records this id: {listed}. It may be a copy of this run or another run.",
        "{count} runs on this machine record this id: {listed}. At most one is a copy of this run; "
        "which one cannot be determined.",
        len(copies),
        listed=listed + (", …" if len(copies) > _CANDIDATES else ""),
    )


def _find_last_step(summary: Summary) -> int | None:
    steps = [one.step for key, one in summary.items() if one.step is not None and not key.startswith("__swanlab__")]
    return max(steps, default=None)


def _compare_steps(copy: LocalCopy, cloud: int | None, experiment: Experiment) -> str:
    if copy.last_step is None:
        return ""
    if cloud is not None and cloud > copy.last_step:
        return say("The cloud has up to step {cloud:,}, the disk up to {disk:,}.", cloud=cloud, disk=copy.last_step)
    if cloud == copy.last_step:
        return say("Both copies have data up to step {step:,}.", step=cloud)
    has = (
        say("The cloud has no points, the disk has up to step {disk:,}", disk=copy.last_step)
        if cloud is None
        else say("The cloud has up to step {cloud:,}, the disk up to {disk:,}", cloud=cloud, disk=copy.last_step)
    )
    if experiment.state == "RUNNING" and copy.is_fresh:
        return say("{difference}: the upload is still running.", difference=has)
    command = f"swanlab sync {_quote(copy.folder)} --id {copy.run_id}"
    rest = say("{difference}: `{command}` uploads the rest.", difference=has, command=shorten(command, 300))
    return join_sentences(rest, say("Use an SDK before 0.8, as the run did.") if copy.is_legacy else "")


def _compare_state(copy: LocalCopy, experiment: Experiment) -> str:
    state = experiment.state
    if copy.state == "UNKNOWN":
        if state in _ENDED and copy.is_fresh:
            return say("The cloud says {state}, but the process still writes to the disk.", state=state)
        if state in _ENDED:
            return say("The cloud says {state}; the files on disk have no recorded end.", state=state)
        return ""
    if state == copy.state:
        return ""
    return say("The cloud says {state}, the disk {disk}.", state=state, disk=copy.state)


def _quote(path: str) -> str:
    return f'"{path}"' if " " in path else path
