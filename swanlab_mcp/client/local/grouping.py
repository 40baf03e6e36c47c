"""Group run folders with the same recorded id into experiments, and give each experiment a unique id.

SDK 0.6 and 0.7 generate run ids with Python's `random` module. Training scripts often set its seed, so different
training runs may have the same id. Folders are grouped only if the SDK could have resumed the run, and if no recorded
fact shows that the folders belong to different runs.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from swanlab_mcp.client.local.extremes import Extremes
from swanlab_mcp.client.local.run_base import RunBase
from swanlab_mcp.client.values import is_object

__all__ = ["Group", "drop_copies", "group_runs", "is_named", "name_groups", "split_sessions"]

_PAUSE = 60_000
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_PER_RANK = {"rank", "device", "devices", "gpu", "gpus", "host", "hostname", "pid", "port", "seed"}
# words in settings that apply to the full job, such as a batch size per device or the rank of a matrix
_PER_JOB = {"per", "num", "n", "count", "lora", "dora", "peft", "adapter", "low"}
_DIGITS = 8
_WITH_PATH = re.compile(rf".+-[0-9a-f]{{{_DIGITS}}}")


class Group(NamedTuple):
    """The folders of one experiment, in the order in which they were started.

    `reason` is the reason why other folders with the same recorded id are excluded: `seeded`, `workspace`, `address`,
    `name`, `config`, `command`, `metrics` or `steps`. It is "" if there are no other folders with that id.
    """

    cuid: str
    runs: list[RunBase]
    reason: str = ""


def group_runs(runs: Sequence[RunBase]) -> list[Group]:
    """Group run folders that have the same project and recorded id into experiments."""
    if len(runs) == 1:
        return [Group(runs[0].run_id, list(runs))]
    groups: list[list[RunBase]] = []
    reasons: list[str] = []
    joinable: list[list[RunBase]] = []
    for run in sorted(runs, key=_order):
        # skip the slow comparisons, because a script with a fixed seed may record the same id a thousand times
        if not run.can_resume:
            groups.append([run])
            reasons.append("seeded")
            continue
        reason = "" if len(joinable) == len(groups) else "seeded"
        for parts in reversed(joinable):
            found = _find_difference(parts, run)
            if not found:
                parts.append(run)
                break
            reason = reason or found
        else:
            joinable.append([run])
            groups.append(joinable[-1])
            reasons.append(reason)
    if len(groups) == 1:
        return [Group(groups[0][0].run_id, groups[0])]
    # the reason that separates the second group also applies to the first
    reasons[0] = reasons[1]
    return [Group(parts[0].folder.name, parts, reason) for parts, reason in zip(groups, reasons, strict=True)]


def name_groups(groups: Iterable[Group]) -> list[Group]:
    """Give each group in a project a unique id that can be passed as an argument.

    If several groups would have the same id, a hash of the folder's path is appended to each. A counter would make ids
    depend on the order of the groups.
    """
    chosen = [
        group if _can_be_given(group.cuid) else group._replace(cuid=group.runs[0].folder.name) for group in groups
    ]
    counts = Counter(group.cuid for group in chosen)
    return [
        group
        if counts[group.cuid] == 1 and _can_be_given(group.cuid)
        else group._replace(cuid=_name_by_path(group.runs[0]))
        for group in chosen
    ]


def is_named(run: RunBase, name: str) -> bool:
    """Return whether `name` refers to a run folder.

    A folder can be referred to by its recorded id, its name with or without `run-`, or its name followed by a hash of
    its path.
    """
    folder = run.folder.name
    if name in (run.run_id, folder, folder.removeprefix("run-")):
        return True
    return _WITH_PATH.fullmatch(name) is not None and name == _name_by_path(run)


def drop_copies(runs: Sequence[RunBase]) -> list[RunBase]:
    """Return the runs that are not copies of another run.

    A copy has the same recorded id as the original. A copy that was made while the run was active contains only the
    start of the record, and is recognized only if its folder name is also the same.
    """
    counts = Counter(run.run_id for run in runs)
    if len(counts) == len(runs):
        return list(runs)
    seen: set[tuple[object, ...]] = set()
    kept: dict[tuple[str, str], list[RunBase]] = {}
    dropped: set[int] = set()
    # the record with the most data comes first; records of equal size keep the order of the log folders
    for run in sorted(runs, key=lambda one: (one.finish is None, -one.size)):
        if counts[run.run_id] == 1 or run.problem or (identity := run.identify()) is None:
            continue
        mark = (run.run_id, *identity)
        same = kept.setdefault((run.run_id, run.folder.name), [])
        if mark in seen or any(one.identify(run.size) == identity for one in same if one.size > run.size):
            dropped.add(id(run))
            continue
        seen.add(mark)
        same.append(run)
    return [run for run in runs if id(run) not in dropped]


def split_sessions(runs: Sequence[RunBase]) -> list[list[RunBase]]:
    """Group the folders of a run into sessions. Ranks that were started together belong to the same session."""
    sessions: list[list[RunBase]] = []
    for run in runs:
        if sessions and run.is_rank and sessions[-1][0].is_rank and not _is_later(sessions[-1], run):
            sessions[-1].append(run)
        else:
            sessions.append([run])
    joined = sessions[:1]
    for session in sessions[1:]:
        if session[0].is_rank and joined[-1][0].is_rank and not _is_new_start(joined[-1], session):
            joined[-1] += session
        else:
            joined.append(session)
    return joined


def _order(run: RunBase) -> tuple[int, str, str]:
    return run.started_at, run.folder.name, str(run.folder)


def _can_be_given(cuid: str) -> bool:
    return bool(cuid.strip()) and cuid not in (".", "..") and "/" not in cuid and cuid.isprintable()


def _name_by_path(run: RunBase) -> str:
    path = sha256(os.path.realpath(run.folder).encode(errors="replace")).hexdigest()[:_DIGITS]
    name = run.folder.name
    return f"{name if _can_be_given(name) else 'run'}-{path}"


def _is_later(parts: Sequence[RunBase], run: RunBase) -> bool:
    """Return whether the run started more than a minute after the last record in `parts`.

    A shorter delay is not a new start, because ranks may start one after another.
    """
    ended = max(max(one.started_at, one.ending.last_time) for one in parts)
    return run.started_at > ended + _PAUSE


def _is_new_start(earlier: Sequence[RunBase], later: Sequence[RunBase]) -> bool:
    """Return whether the later ranks belong to a restart of the full job, so that the earlier ends no longer matter.

    If a single rank failed while the others were still starting, the later ranks belong to the same start. In that
    case, no later rank continues the metrics of the failed rank.
    """
    return 2 <= len(earlier) <= len(later) or any(
        key in before.first and step > before.first[key].step
        for before in map(_read_extremes, earlier)
        for after in map(_read_extremes, later)
        for key, (step, _) in after.first.items()
    )


def _find_difference(parts: Sequence[RunBase], run: RunBase) -> str:
    ranks = run.is_rank and parts[-1].is_rank
    facts: dict[str, Callable[[RunBase], Any]] = {
        "workspace": lambda one: one.start.workspace,
        "address": lambda one: one.address,
        "config": lambda one: _read_config(one, is_rank=ranks),
    }
    if not ranks:
        # ranks may have different names and commands, and their folder names already show that they are ranks
        facts |= {"name": lambda one: one.start.name, "command": _read_command}
    for reason, read in facts.items():
        own = read(run)
        # a folder may lack the fact, for example because its run was killed immediately; it then matches any folder
        known = own and next((fact for part in reversed(parts) if (fact := read(part))), None)
        if known and own != known:
            return reason
    if ranks and not _is_later(parts, run):
        return ""
    return _compare_metrics(parts, run, is_rank=ranks)


def _read_config(run: RunBase, *, is_rank: bool) -> Any:
    try:
        config = run.files.read_config()
    except (OSError, ValueError):
        return {}
    return _drop_per_rank(config) if is_rank else config


def _drop_per_rank(config: Any, parents: frozenset[str] = frozenset()) -> Any:
    """Return a config without the settings that may differ between ranks."""
    if not is_object(config):
        return config
    kept: dict[Any, Any] = {}
    for key, value in config.items():
        words = {word.lower() for word in _WORD.findall(str(key))}
        if not words & _PER_RANK or (words | parents) & _PER_JOB:
            kept[key] = _drop_per_rank(value, parents | words)
    return kept


def _read_command(run: RunBase) -> Any:
    try:
        metadata = run.files.read_metadata()
    except (OSError, ValueError):
        return None
    runtime: Any = metadata.get("runtime")
    return (runtime if is_object(runtime) else metadata).get("command")


def _compare_metrics(parts: Sequence[RunBase], run: RunBase, *, is_rank: bool) -> str:
    """Return "" if the run continues the metrics of `parts`, otherwise "metrics" or "steps" as the reason."""
    before, after = [_read_extremes(part) for part in parts], _read_extremes(run)
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    for extremes in before:
        for key, opening in extremes.first.items():
            counts[key] += opening.points
            first[key] = min(opening.step, first.get(key, opening.step))
    known = first.keys() | {key for extremes in before for key in extremes.last}
    logged = after.first.keys() | after.last.keys()
    is_parallel = is_rank or _runs_parallel(parts, run)
    if not is_parallel and known and logged and not known & logged:
        return "metrics"
    again = {key: opening for key, opening in after.first.items() if key in first}
    repeated = [key for key, opening in again.items() if opening.points > 1] or list(again)
    # only frequently logged metrics count, because evaluations and constants are often logged again after a resume
    dense = [key for key in repeated if 2 * counts[key] >= max(counts[one] for one in repeated)]
    # a finished run resumes after its last step, while any other run may resume from an earlier checkpoint
    latest = before[-1].last if parts[-1].state == "FINISHED" else {}
    restarted = [key for key in dense if again[key].step <= max(first[key], latest.get(key, first[key]))]
    return "steps" if 2 * len(restarted) > len(dense) else ""


def _runs_parallel(parts: Sequence[RunBase], run: RunBase) -> bool:
    """Return whether the run and one of `parts` logged to the same cloud page at the same time (SDK 0.6 and 0.7)."""
    return bool(run.address) and any(
        one.address == run.address and one.started_at < run.started_at < one.ending.last_time for one in parts
    )


def _read_extremes(run: RunBase) -> Extremes:
    try:
        return run.read_extremes()
    except (OSError, ValueError):
        return Extremes({}, {})
