"""Encode the state of a wait in a short string, the cursor, which continues the wait in a later call."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.conditions import Condition, Met
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Experiment
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.refs import ProjectRef

__all__ = ["OPEN", "Cursor", "read_cursor", "start_cursor", "withhold", "write_cursor"]

OPEN = ("RUNNING", "UNKNOWN")
_CURSOR = re.compile(r"(\d{1,15})\.([0-9a-f]*)\.([0-9a-f:,]*)\.[0-9a-f]*")
_DIGEST = 8
_CHECK = 6
_LONGEST = 3500


class Cursor(NamedTuple):
    """The state of a wait after earlier calls.

    `newest` is the creation time of the newest experiment, in Unix milliseconds. `running` contains the running
    experiments, and `reported` contains the reported events as "experiment:condition". Experiments and conditions are
    stored as digests, so the cursor is short and does not depend on the order of the conditions.
    """

    newest: int
    running: frozenset[str]
    reported: frozenset[str]

    def __str__(self) -> str:
        return f"{self.newest}.{''.join(sorted(self.running))}.{','.join(sorted(self.reported))}"

    def covers(self, experiment: Experiment) -> bool:
        """Return whether an experiment was running when the wait started or was created later."""
        return _digest(experiment.cuid) in self.running or _get_creation(experiment) > self.newest

    def has_reported(self, experiment: Experiment, condition: Condition) -> bool:
        return _name(experiment, condition) in self.reported

    def forget_ends(self, experiments: Sequence[Experiment], conditions: Sequence[Condition]) -> Cursor:
        """Return the state without the reported ends of resumed experiments, so that their next end is reported."""
        ends = [one for one in conditions if one.kind in ("finished", "crashed")]
        again = {_name(one, end) for one in experiments if one.state == "RUNNING" for end in ends}
        return self._replace(reported=self.reported - again)

    def advance(
        self, listed: Sequence[Experiment], watched: Sequence[Experiment], met: Sequence[Met], left: Sequence[Met]
    ) -> Cursor:
        """Return the state after a reply that reports `met` and leaves `left` for later replies.

        If the cursor would be too long, old experiments are dropped from it.
        """
        open_now = frozenset(_digest(one.cuid) for one in watched if one.state in OPEN)
        reported = self.reported | {_name(one.experiment, one.condition) for one in met}
        after = Cursor(self.newest, self.running | open_now, reported)
        if len(str(after)) <= _LONGEST:
            return after
        running = open_now | {_digest(one.experiment.cuid) for one in left}
        newest = self.newest if left else start_cursor(listed).newest
        kept = running | {_digest(one.cuid) for one in watched if _get_creation(one) > newest}
        return Cursor(newest, running, frozenset(one for one in reported if one.partition(":")[0] in kept))


def start_cursor(listed: Sequence[Experiment]) -> Cursor:
    """Return the state at the start of a wait. Experiments that have already ended are not reported later."""
    newest = max(map(_get_creation, listed), default=0)
    running = frozenset(_digest(one.cuid) for one in listed if one.state in OPEN)
    return Cursor(newest, running, frozenset())


def write_cursor(cursor: Cursor, ref: ProjectRef) -> str:
    """Return the cursor as a string with a checksum.

    The checksum detects cursors that were altered or belong to another project. Such cursors would miss events.
    """
    return f"{cursor}.{_digest(f'{ref.workspace}/{ref.project}/{cursor}', _CHECK)}"


def read_cursor(text: str, ref: ProjectRef) -> Cursor:
    found = _CURSOR.fullmatch(text.strip())
    if found:
        names = found[2]
        running = (names[index : index + _DIGEST] for index in range(0, len(names), _DIGEST))
        cursor = Cursor(int(found[1]), frozenset(running), frozenset(filter(None, found[3].split(","))))
        if write_cursor(cursor, ref) == found[0]:
            return cursor
    raise InvalidArgument(
        gettext("This cursor was changed, or was not returned by wait_for_experiments for {project}.", project=ref),
        hint=gettext("Omit the cursor to start again."),
    )


def withhold(text: str, ref: ProjectRef, left: Sequence[Met]) -> str:
    """Return the cursor with the conditions in `left` marked as not yet reported."""
    cursor = read_cursor(text, ref)
    names = {_name(one.experiment, one.condition) for one in left}
    running = cursor.running | {_digest(one.experiment.cuid) for one in left}
    return write_cursor(cursor._replace(running=running, reported=cursor.reported - names), ref)


def _get_creation(experiment: Experiment) -> int:
    created = read_time(experiment.createdAt)
    return round(1000 * created.timestamp()) if created else 0


def _digest(text: str, length: int = _DIGEST) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _name(experiment: Experiment, condition: Condition) -> str:
    return f"{_digest(experiment.cuid)}:{_digest(repr(condition[1:]), 4)}"
