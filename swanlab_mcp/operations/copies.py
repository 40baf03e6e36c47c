"""Compare runs that exist both in the cloud and on this machine."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from swanlab_mcp.client.copies import LocalCopy
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import ServerUnavailable, SwanLabError
from swanlab_mcp.core.i18n import gettext, join_sentences, ngettext
from swanlab_mcp.core.models import Experiment, Summary
from swanlab_mcp.core.refs import LOCAL, ExperimentRef, ProjectRef
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["FEW_COPIES", "note_copies", "note_copy"]

T = TypeVar("T")

# at most this many runs in a list are compared by sending requests
FEW_COPIES = 5
_SECONDS = 5.0
# a reply about a run on disk waits at most this many seconds for the cloud
_PATIENCE = 2.0
_CANDIDATES = 5
_ENDED = ("CRASHED", "ABORTED", "FINISHED")


async def note_copy(
    client: SwanLabClient,
    ref: ExperimentRef,
    experiment: Experiment | None = None,
    *,
    only_differences: bool = False,
) -> str:
    """Return a note if the run exists both in the cloud and on this machine, otherwise "".

    If `only_differences` is true, the note is also omitted if the copies agree or cannot be compared. The check starts
    with the folder names. Only if there are two copies does it send one or two requests and read at most 32 MB of a
    file. Errors in reading the other copy are ignored. If the cloud does not respond, the note says so.
    """
    if not client.may_have_copies:
        return ""
    pair = await _limit_time(_find_pair(client, ref, experiment), None)
    if isinstance(pair, ExperimentRef):
        silence = gettext("The cloud did not respond, so this run was not compared with {ref}.", ref=pair)
        return "" if only_differences else silence
    if pair is None or (only_differences and (pair.others or not pair.differs)):
        return ""
    if pair.others:
        return _list_candidates(ref, pair.cloud, pair.others)
    where = (
        gettext("This run is also in the cloud ({ref}).", ref=pair.cloud)
        if ref.workspace == LOCAL
        else gettext("This run is also on this machine ({ref}).", ref=pair.copy.ref)
    )
    return join_sentences(where, _compare_steps(pair), _compare_state(pair.copy, pair.experiment))


async def note_copies(client: SwanLabClient, listed: Mapping[ExperimentRef, Experiment], *, compared: int = 0) -> str:
    """Return a note about listed runs whose copies in the cloud and on this machine differ, or "".

    For runs in the cloud, the state is compared with the state in the local folder of the same name, without sending
    requests. The first `compared` of these runs are checked as thoroughly as in `note_copy`.
    """
    if not client.may_have_copies:
        return ""
    # a run in `local` may belong to any workspace, and searching all workspaces takes time
    uploaded = [(ref, one) for ref, one in listed.items() if ref.workspace != LOCAL]
    whole, rest = uploaded[:compared], uploaded[compared:]
    pairs = await gather(*(_limit_time(_find_pair(client, ref, one), None) for ref, one in whole))
    differing = [
        f"{quote(one.name, 40)} ({_describe_difference(pair)})"
        for (_, one), pair in zip(whole, pairs, strict=True)
        if isinstance(pair, _Pair) and pair.differs and not pair.others
    ]
    names = {name for ref, one in rest for name in _list_names(ref, one)}
    known = await _limit_time(client.find_copies(names, with_steps=False), {}) if names else {}
    for ref, one in rest:
        copies = _choose_copies(ref, (known.get(name, ()) for name in _list_names(ref, one)))
        if len(copies) == 1 and not _may_differ(copies[0], one) and _differs_in_state(copies[0], one):
            difference = gettext("cloud {state}, disk {disk}", state=one.state, disk=copies[0].state)
            differing.append(f"{quote(one.name, 40)} ({difference})")
    if not differing:
        return ""
    return ngettext(
        "{count} run differs between the cloud and this machine: {listed}. get_experiment compares the copies.",
        "{count} runs differ between the cloud and this machine: {listed}. get_experiment compares the copies.",
        len(differing),
        listed=gettext(", ").join(differing[:_CANDIDATES]) + (", …" if len(differing) > _CANDIDATES else ""),
    )


class _Pair(NamedTuple):
    """A run in the cloud and its copy on disk.

    If it is not certain which folder is the copy, `others` contains all candidates.
    """

    cloud: ExperimentRef
    experiment: Experiment
    copy: LocalCopy
    last_step: int | None = None
    others: Sequence[LocalCopy] = ()

    @property
    def differs(self) -> bool:
        # while a run is uploading, its step in the cloud briefly lags behind the disk
        is_live = self.experiment.state == "RUNNING" and self.copy.is_fresh
        is_behind = self.copy.last_step not in (None, self.last_step) and not is_live
        return is_behind or _differs_in_state(self.copy, self.experiment)


async def _limit_time(question: Awaitable[T], otherwise: T) -> T:
    try:
        return await asyncio.wait_for(question, _SECONDS)
    except (SwanLabError, TimeoutError, asyncio.TimeoutError):
        return otherwise


async def _find_pair(
    client: SwanLabClient, ref: ExperimentRef, experiment: Experiment | None
) -> _Pair | ExperimentRef | None:
    """Return the run and its copy, or `None` if there is no copy.

    If the cloud does not respond, only the run's reference in the cloud is returned.
    """
    names = _list_names(ref, experiment)
    found = await client.find_copies(names, with_steps=True)
    copies = _choose_copies(ref, (found.get(name, ()) for name in names))
    if not copies:
        return None
    if ref.workspace != LOCAL:
        return await _compare(client, ref, copies[0], copies, experiment)
    own = [one for one in copies if one.ref.project == ref.project and one.ref.cuid == ref.cuid]
    copy = own[0] if own else copies[0]
    if not copy.workspace:
        return None
    cloud = ProjectRef(copy.workspace, copy.ref.project).experiment(copy.run_id)
    if client.is_cloud_silent:
        return cloud
    try:
        return await asyncio.wait_for(_compare(client, cloud, copy, copies, None), _PATIENCE)
    except (ServerUnavailable, TimeoutError, asyncio.TimeoutError):
        client.note_silence()
        return cloud


async def _compare(
    client: SwanLabClient,
    cloud: ExperimentRef,
    copy: LocalCopy,
    copies: Sequence[LocalCopy],
    experiment: Experiment | None,
) -> _Pair | None:
    backend = client.at(cloud)
    if experiment is None:
        experiment = (await backend.get_experiment(cloud)).data
    if experiment is None:
        return None
    if len(copies) > 1 or _may_differ(copy, experiment):
        return _Pair(cloud, experiment, copy, others=copies)
    summary = (await backend.get_summary(cloud)).data or {}
    return _Pair(cloud, experiment, copy, _find_last_step(summary))


def _list_names(ref: ExperimentRef, experiment: Experiment | None) -> list[str]:
    """Return the ids under which a run may be recorded in the run folders."""
    names = [ref.cuid, *((experiment.cuid.rpartition("/")[2], experiment.slug) if experiment else ())]
    return list(dict.fromkeys(name for name in names if name))


def _choose_copies(ref: ExperimentRef, candidates: Iterable[Sequence[LocalCopy]]) -> Sequence[LocalCopy]:
    """Return the copies recorded under the first id that has copies. `candidates` contains the copies for each id."""
    for copies in candidates:
        # SDKs before 0.8 gave different runs the same id, so only a copy in the same project can be this run
        if possible := [one for one in copies if not one.is_legacy or one.ref.project == ref.project]:
            return possible
    return ()


def _may_differ(copy: LocalCopy, experiment: Experiment) -> bool:
    """Return whether the copy may be a different run that happens to have recorded the same id."""
    return copy.may_be_seeded and copy.name != experiment.name


def _list_candidates(ref: ExperimentRef, cloud: ExperimentRef, copies: Sequence[LocalCopy]) -> str:
    """Return a note that lists the folders that may be copies of the run.

    The copy is ambiguous because different runs can record the same id.
    """
    if ref.workspace == LOCAL:
        return gettext(
            "The cloud has a run with the same recorded id ({ref}); it may be this run or another one.", ref=cloud
        )
    listed = gettext(", ").join(
        gettext("{ref} (name {name})", ref=one.ref, name=quote(one.name, 40)) for one in copies[:_CANDIDATES]
    )
    return ngettext(
        "{count} run on this machine records this id: {listed}. It may be a copy of this run or another run.",
        "{count} runs on this machine record this id: {listed}. At most one is a copy of this run; "
        "which one cannot be determined.",
        len(copies),
        listed=listed + (", …" if len(copies) > _CANDIDATES else ""),
    )


def _find_last_step(summary: Summary) -> int | None:
    steps = [one.step for key, one in summary.items() if one.step is not None and not key.startswith("__swanlab__")]
    return max(steps, default=None)


def _compare_steps(pair: _Pair) -> str:
    copy, cloud, experiment = pair.copy, pair.last_step, pair.experiment
    if copy.last_step is None:
        return ""
    if cloud is not None and cloud > copy.last_step:
        return gettext(
            "The cloud has data up to step {cloud:,}, the disk up to {disk:,}.", cloud=cloud, disk=copy.last_step
        )
    if cloud == copy.last_step:
        return gettext("Both copies have data up to step {step:,}.", step=cloud)
    has = (
        gettext("The cloud has no points, but the disk has data up to step {disk:,}", disk=copy.last_step)
        if cloud is None
        else gettext(
            "The cloud has data up to step {cloud:,}, the disk up to {disk:,}", cloud=cloud, disk=copy.last_step
        )
    )
    if experiment.state == "RUNNING" and copy.is_fresh:
        return gettext("{difference}: the upload is still running.", difference=has)
    command = shlex.join(("swanlab", "sync", copy.folder, "--id", copy.run_id))
    rest = gettext("{difference}: `{command}` uploads the rest.", difference=has, command=shorten(command, 300))
    return join_sentences(rest, gettext("Use an SDK older than 0.8, as the run did.") if copy.is_legacy else "")


def _describe_difference(pair: _Pair) -> str:
    """Return a short description of the difference between two copies."""
    cloud, disk = pair.last_step, pair.copy.last_step
    if disk is None or cloud == disk:
        return gettext("cloud {state}, disk {disk}", state=pair.experiment.state, disk=pair.copy.state)
    return (
        gettext("no points in the cloud, disk up to step {disk:,}", disk=disk)
        if cloud is None
        else gettext("cloud up to step {cloud:,}, disk up to {disk:,}", cloud=cloud, disk=disk)
    )


def _differs_in_state(copy: LocalCopy, experiment: Experiment) -> bool:
    """Return whether the states of the two copies contradict each other.

    The lack of a recorded end on disk does not contradict a crash in the cloud, because a crashed run may not record
    its end.
    """
    if copy.state == "UNKNOWN":
        return experiment.state == "FINISHED" or (experiment.state in _ENDED and copy.is_fresh)
    return experiment.state != copy.state


def _compare_state(copy: LocalCopy, experiment: Experiment) -> str:
    state = experiment.state
    if copy.state == "UNKNOWN":
        if state in _ENDED and copy.is_fresh:
            return gettext("The cloud reports {state}, but the process is still writing to the disk.", state=state)
        if state in _ENDED:
            return gettext("The cloud reports {state}; the files on disk have no recorded end.", state=state)
        return ""
    if state == copy.state:
        return ""
    return gettext("The cloud reports {state}, the disk {disk}.", state=state, disk=copy.state)
