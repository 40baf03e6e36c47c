from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from swanlab_mcp.analysis.conditions import Condition, Met, find_met, parse_condition
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import ApiResponse, Experiment
from swanlab_mcp.core.progress import Stage
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.arguments import ProjectName, Username
from swanlab_mcp.operations.location import ask_about_experiment, ask_about_project, resolve_experiment, resolve_project
from swanlab_mcp.operations.planning_arguments import WaitCursor, WaitedExperiments, WaitSeconds, WaitUntil

__all__ = ["Awaited", "wait_for_experiments"]

_USUAL = ("finished", "crashed", "non_finite")
_FIRST = 1.0
_GROWTH = 1.5
_LONGEST = 10.0  # lists are cached for 15 s, so a change is noticed within 25 s
_MOST_REPORTED = 50
_OPEN = ("RUNNING", "UNKNOWN")
_FROM_SUMMARIES = ("non_finite", "step", "metric")
_CURSOR = re.compile(r"(\d{1,15})\.([0-9a-f]*)\.([0-9a-f:,]*)")
_DIGEST = 8


class _Cursor(NamedTuple):
    """The state of earlier calls.

    `newest` is the creation time of the newest experiment (Unix ms), `running` names the running experiments, and
    `reported` the events already reported, as "name:number of the condition". Names are digests of cuids, to keep a
    cursor short.
    """

    newest: int
    running: frozenset[str]
    reported: frozenset[str]

    def __str__(self) -> str:
        return f"{self.newest}.{''.join(sorted(self.running))}.{','.join(sorted(self.reported))}"


@dataclass(frozen=True, slots=True)
class Awaited:
    """The conditions met; `watched` experiments are still running, and `cursor` continues the wait."""

    met: Sequence[Met]
    seconds: float
    watched: int
    cursor: str


async def wait_for_experiments(
    client: SwanLabClient,
    *,
    project: ProjectName,
    exp_cuids: WaitedExperiments = (),
    until: WaitUntil = (),
    timeout: WaitSeconds = 45,
    cursor: WaitCursor = "",
    username: Username = "",
) -> ApiResponse[Awaited]:
    """Wait until experiments finish, crash, become NaN, reach a step or a value, or a new one starts; then say which.

    Use it instead of repeated calls of whats_new. Returns the experiments that met a condition, with value and step,
    or no rows at the timeout, and a cursor to continue without repetitions.
    Example: {"project": "mnist", "until": ["crashed", "val/acc >= 0.98"]}.
    """
    conditions = [_parse(text) for text in until or _USUAL]
    ref = await resolve_project(client, project, username)
    chosen = await _find_chosen(client, ref, exp_cuids)
    state = _read_cursor(cursor) if cursor else None
    clock = asyncio.get_running_loop().time
    started = clock()
    stage = Stage("seconds", timeout)
    pause = _FIRST
    while True:
        listed = (await ask_about_project(client, ref, client.at(ref).list_experiments)).data or []
        state = state or _start(listed)
        watched = [one for one in listed if _is_watched(one, chosen, state)]
        met = await _find_met(client, ref, watched, conditions, state)
        running = [one for one in watched if one.state in _OPEN]
        is_idle = not running and not any(one.kind == "any_new" for one in conditions)
        passed = clock() - started
        if met or is_idle or passed >= timeout:
            reported = {_name(one.experiment, conditions.index(one.condition)) for one in met}
            state = _Cursor(state.newest, state.running | {_digest(one) for one in running}, state.reported | reported)
            return ApiResponse(data=Awaited(met, passed, len(running), str(state)))
        await asyncio.sleep(min(pause, timeout - passed))
        pause = min(_LONGEST, pause * _GROWTH)
        await stage.advance(max(0, min(timeout, int(clock() - started)) - stage.done))


def _parse(text: str) -> Condition:
    condition = parse_condition(text)
    if condition is None:
        raise InvalidArgument(
            say("until={text!r} is no condition.", text=shorten(text)),
            hint=say('Conditions: finished, crashed, non_finite, any_new, step:1000, "val/acc >= 0.9".'),
        )
    return condition


async def _find_chosen(client: SwanLabClient, ref: ProjectRef, exp_cuids: Sequence[str]) -> frozenset[str]:
    async def find(text: str) -> str:
        wanted = await resolve_experiment(client, text, ref.project, ref.workspace)
        found, _ = await ask_about_experiment(client, wanted, client.at(wanted).get_experiment)
        return found.cuid

    return frozenset(await gather(*(find(text) for text in exp_cuids)))


def _start(listed: Sequence[Experiment]) -> _Cursor:
    """Return the state at the start; experiments that ended before are not reported."""
    created = [moment.timestamp() for one in listed if (moment := read_time(one.createdAt))]
    running = frozenset(_digest(one) for one in listed if one.state in _OPEN)
    return _Cursor(int(1000 * max(created, default=0.0)), running, frozenset())


def _read_cursor(text: str) -> _Cursor:
    found = _CURSOR.fullmatch(text.strip())
    if not found:
        raise InvalidArgument(
            say("This cursor was not returned by wait_for_experiments."), hint=say("Leave it out to start again.")
        )
    names = found[2]
    running = (names[place : place + _DIGEST] for place in range(0, len(names), _DIGEST))
    return _Cursor(int(found[1]), frozenset(running), frozenset(filter(None, found[3].split(","))))


def _digest(experiment: Experiment) -> str:
    return hashlib.sha256(experiment.cuid.encode()).hexdigest()[:_DIGEST]


def _name(experiment: Experiment, condition: int) -> str:
    return f"{_digest(experiment)}:{condition:x}"


def _is_watched(experiment: Experiment, chosen: frozenset[str], state: _Cursor) -> bool:
    if chosen:
        return experiment.cuid in chosen
    created = read_time(experiment.createdAt)
    return _digest(experiment) in state.running or bool(created and 1000 * created.timestamp() > state.newest)


async def _find_met(
    client: SwanLabClient,
    ref: ProjectRef,
    watched: Sequence[Experiment],
    conditions: Sequence[Condition],
    state: _Cursor,
) -> list[Met]:
    """Return the conditions met that were not reported before."""
    pairs = [
        (one, condition)
        for one in watched
        for place, condition in enumerate(conditions)
        if _name(one, place) not in state.reported
    ]
    asked = list({one.cuid: one for one, condition in pairs if condition.kind in _FROM_SUMMARIES}.values())
    summaries = (await client.at(ref).get_summaries(ref, asked)).data or {} if asked else {}
    found = (find_met(condition, one, summaries.get(one.cuid, {}), state.newest) for one, condition in pairs)
    return [one for one in found if one][:_MOST_REPORTED]
