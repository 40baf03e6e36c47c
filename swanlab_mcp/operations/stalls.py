"""Detect running experiments that have stopped logging, with as few requests as possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.conditions import Condition, Met
from swanlab_mcp.analysis.deciding import choose_keys
from swanlab_mcp.analysis.events import find_due
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.models import Experiment, Points
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.operations.choice import read_all

__all__ = ["StallWatch"]

_AT_ONCE = 4
_UNCLEAR_AGAIN = 30_000  # milliseconds


class _Rhythm(NamedTuple):
    """The points of the experiment's densest metric, and the time in Unix milliseconds when they must be read again."""

    key: str
    points: Points
    due: float


class StallWatch:
    """Detects stalled experiments during a wait.

    An experiment is only read again when its next point is overdue. Series are downsampled to at most 1,500 points, so
    a stall in a longer series is detected later.
    """

    def __init__(self, client: SwanLabClient, ref: ProjectRef, conditions: Sequence[Condition]) -> None:
        self._client, self._ref = client, ref
        self._conditions = [one for one in conditions if one.kind == "stalled"]
        self._known: dict[str, _Rhythm] = {}
        self.unclear: list[Experiment] = []

    async def find(self, running: Sequence[Experiment]) -> list[Met]:
        """Return the running experiments that have stalled.

        Afterwards, `unclear` contains the experiments with too few points to detect a stall.
        """
        if not self._conditions:
            return []
        now = self._client.now()
        stale = [one for one in running if one.cuid not in self._known or now > self._known[one.cuid].due]
        read = await read_all(stale, self._read, at_once=_AT_ONCE)
        for one, (key, points) in zip(stale, read, strict=True):
            dues = [self._find_due(condition, points) for condition in self._conditions]
            # once a stall has been reported, only a new point can change the result
            later = [due for due in dues if due and due > now]
            self._known[one.cuid] = _Rhythm(key, points, min(later, default=now + _UNCLEAR_AGAIN))
        rhythms = [(one, self._known[one.cuid]) for one in running]
        self.unclear = [one for one, rhythm in rhythms if len(rhythm.points.times) < DEFAULTS.few_points]
        return [
            Met(condition, one, rhythm.key, step=rhythm.points.steps[-1], silent=(now - rhythm.points.times[-1]) / 1000)
            for one, rhythm in rhythms
            for condition in self._conditions
            if (due := self._find_due(condition, rhythm.points)) and now > due
        ]

    async def _read(self, experiment: Experiment) -> tuple[str, Points]:
        backend, ref = self._client.at(self._ref), self._ref.experiment(experiment.cuid)
        logged = await backend.list_keys(ref, with_media=False)
        keys, _ = choose_keys(logged.data.scalars if logged.data else ())
        keys = [key for key in keys if not key.startswith("__swanlab__")]
        read = (await backend.read_points(ref, keys, exact=False)).data or {} if keys else {}
        return max(read.items(), key=lambda one: len(one[1].steps), default=("", Points()))

    @staticmethod
    def _find_due(condition: Condition, points: Points) -> float | None:
        if len(points.times) < DEFAULTS.few_points:
            return None
        known = find_due(points.times, condition.value or None)
        return known[0] if known else None
