from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from swanlab_mcp.analysis.conditions import PLAIN, Condition, Met, find_met, parse_condition
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import InvalidArgument, NotFound, RateLimited, ServerUnavailable
from swanlab_mcp.core.i18n import gettext, join_sentences
from swanlab_mcp.core.models import ApiResponse, Experiment, Summary
from swanlab_mcp.core.progress import Stage
from swanlab_mcp.core.refs import ProjectRef, find_near_names
from swanlab_mcp.core.snapshots import renew_snapshot
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.arguments import ProjectName, Username
from swanlab_mcp.operations.choice import list_logged_keys
from swanlab_mcp.operations.location import ask_about_experiment, ask_about_project, resolve_experiment, resolve_project
from swanlab_mcp.operations.planning_arguments import WaitCursor, WaitedExperiments, WaitSeconds, WaitUntil
from swanlab_mcp.operations.stalls import StallWatch
from swanlab_mcp.operations.wait_cursor import OPEN, Cursor, read_cursor, start_cursor, write_cursor

__all__ = ["Awaited", "make_pauses", "wait_for_experiments"]

_USUAL = ("finished", "crashed", "non_finite")
_FIRST = 1.0
_GROWTH = 1.5
_LONGEST = 10.0  # seconds; lists are cached for 15 s, so a change is noticed within 25 s
_MOST_REPORTED = 50
_FROM_SUMMARIES = ("non_finite", "step", "metric")


@dataclass(frozen=True, slots=True)
class Awaited:
    """The conditions that were met during a wait.

    `watched` is the number of experiments that are still running. A later call can continue from `cursor`. The
    experiments in `unclear` have too few points to detect a stall. `trouble` is the error of the last poll, or "" if it
    succeeded.
    """

    ref: ProjectRef
    met: Sequence[Met]
    seconds: float
    watched: int
    cursor: str
    unclear: Sequence[Experiment] = ()
    trouble: str = ""


class _Poll(NamedTuple):
    """The result of one poll: all listed experiments, the watched experiments, and the newly met conditions.

    The conditions in `left` do not fit into the reply and are reported by later calls.
    """

    listed: Sequence[Experiment]
    watched: Sequence[Experiment]
    met: Sequence[Met]
    left: Sequence[Met]

    @property
    def running(self) -> list[Experiment]:
        return [one for one in self.watched if one.state in OPEN]


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
    """Wait until experiments finish, crash, become NaN, reach a step or a value, or a new experiment starts.

    Use it instead of calling whats_new repeatedly. Returns the experiments that met a condition, with value and step,
    or no rows after the timeout, and a cursor to continue without repetitions.
    Example: {"project": "mnist", "until": ["crashed", "val/acc >= 0.98"]}.
    """
    conditions = [_parse(text) for text in until or _USUAL]
    ref = await resolve_project(client, project, username)
    state = read_cursor(cursor, ref) if cursor else None
    wait = _Wait(client, ref, conditions, await _find_chosen(client, ref, exp_cuids), state)
    clock = asyncio.get_running_loop().time
    started = clock()
    stage = Stage("seconds", timeout)
    pauses = make_pauses()
    poll = await wait.poll()
    await wait.check_metrics(poll.listed)
    trouble = ""
    while True:
        is_idle = not poll.running and not any(one.kind == "any_new" for one in conditions)
        passed = clock() - started
        if poll.met or is_idle or passed >= timeout:
            after = write_cursor(wait.state.advance(*poll), ref)
            unclear = wait.stalls.unclear
            return ApiResponse(data=Awaited(ref, poll.met, passed, len(poll.running), after, unclear, trouble))
        await asyncio.sleep(min(next(pauses), timeout - passed))
        await stage.advance(max(0, min(timeout, int(clock() - started)) - stage.done))
        try:
            poll, trouble = await wait.poll(), ""
        except (ServerUnavailable, RateLimited) as error:
            # keep waiting, because a short outage should not end a long wait
            trouble = str(error)


def make_pauses() -> Iterator[float]:
    """Yield the pauses between polls, in seconds.

    The first pauses are short, because many calls continue an earlier wait.
    """
    pause = _FIRST
    while True:
        yield pause
        pause = min(_LONGEST, pause * _GROWTH)


class _Wait:
    """A wait until conditions are met, with the last known state of the watched experiments."""

    def __init__(
        self,
        client: SwanLabClient,
        ref: ProjectRef,
        conditions: Sequence[Condition],
        chosen: frozenset[str],
        state: Cursor | None,
    ) -> None:
        self._client, self._ref, self._conditions, self._chosen = client, ref, conditions, chosen
        self._state = state
        self._summaries: dict[str, Summary] = {}
        self.stalls = StallWatch(client, ref, conditions)

    @property
    def state(self) -> Cursor:
        assert self._state is not None
        return self._state

    async def poll(self) -> _Poll:
        """List the experiments and read the data that the conditions need. Return the newly met conditions."""
        client, ref = self._client, self._ref
        renew_snapshot()
        listed = (await ask_about_project(client, ref, client.at(ref).list_experiments)).data or []
        self._state = self._state or start_cursor(listed)
        watched = [one for one in listed if (one.cuid in self._chosen if self._chosen else self.state.covers(one))]
        self._state = self.state.forget_ends(watched, self._conditions)
        pairs = [
            (one, condition)
            for one in watched
            for condition in self._conditions
            if not self.state.has_reported(one, condition)
        ]
        needed = list({one.cuid: one for one, condition in pairs if condition.kind in _FROM_SUMMARIES}.values())
        self._summaries = (await client.at(ref).get_summaries(ref, needed)).data or {} if needed else {}
        found = (find_met(one, each, self._summaries.get(each.cuid, {}), self.state.newest) for each, one in pairs)
        stalled = await self.stalls.find([one for one in watched if one.state in OPEN])
        met = [one for one in found if one]
        met += [one for one in stalled if not self.state.has_reported(one.experiment, one.condition)]
        return _Poll(listed, watched, met[:_MOST_REPORTED], met[_MOST_REPORTED:])

    async def check_metrics(self, listed: Sequence[Experiment]) -> None:
        """Raise NotFound if a condition uses an unknown metric but a known metric has a similar name.

        An unknown metric without similar names is accepted, because it may be logged later.
        """
        keys = {one.key for one in self._conditions if one.kind == "metric"}
        missing = [key for key in keys if not any(key in summary for summary in self._summaries.values())]
        if not missing or not listed:
            return
        backend = self._client.at(self._ref)
        logged = (await backend.get_summaries(self._ref, listed, missing)).data or {}
        for key in missing:
            if any(key in summary for summary in logged.values()):
                continue
            near = find_near_names(key, await list_logged_keys(self._client, self._ref, listed))
            if near:
                raise NotFound(
                    gettext("No experiment in the project has a metric {key!r}.", key=shorten(key)),
                    hint=gettext("Similar names: {names}.", names=", ".join(map(quote, near))),
                )


def _parse(text: str) -> Condition:
    condition = parse_condition(text)
    if condition is None:
        near = find_near_names(text.partition(":")[0].strip(), [*PLAIN, "step"], 1)
        forms = gettext('Conditions: finished, crashed, non_finite, stalled, any_new, step:1000, "val/acc >= 0.9".')
        raise InvalidArgument(
            gettext("until={text!r} is not a condition.", text=shorten(text)),
            hint=join_sentences(gettext("Did you mean {names}?", names=near[0]) if near else "", forms),
        )
    return condition


async def _find_chosen(client: SwanLabClient, ref: ProjectRef, exp_cuids: Sequence[str]) -> frozenset[str]:
    async def find(text: str) -> str:
        wanted = await resolve_experiment(client, text, ref.project, ref.workspace)
        found, _ = await ask_about_experiment(client, wanted, client.at(wanted).get_experiment)
        return found.cuid

    return frozenset(await gather(*(find(text) for text in exp_cuids)))
