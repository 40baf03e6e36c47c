"""Group run folders with the same recorded id into experiments, and name the experiments.

SDK 0.6 and 0.7 draw run ids from `random`, which training scripts seed, so different training runs may share an id.
Folders are joined only if the SDK could have resumed the run and no recorded fact shows that they are different runs.
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
# words in settings of the full job, such as a size per device or the rank of a matrix
_PER_JOB = {"per", "num", "n", "count", "lora", "dora", "peft", "adapter", "low"}
_DIGITS = 8
_WITH_PATH = re.compile(rf".+-[0-9a-f]{{{_DIGITS}}}")


class Group(NamedTuple):
    """The folders of one experiment, in the order in which they were started.

    `reason` says why other folders with the same recorded id are excluded: `seeded`, `workspace`, `address`, `name`,
    `config`, `command`, `metrics` or `steps`. It is "" if there are no others.
    """

    cuid: str
    runs: list[RunBase]
    reason: str = ""


def group_runs(runs: Sequence[RunBase]) -> list[Group]:
    """Return the experiments among the folders with the same project and recorded id."""
    if len(runs) == 1:
        return [Group(runs[0].run_id, list(runs))]
    groups: list[list[RunBase]] = []
    reasons: list[str] = []
    joinable: list[list[RunBase]] = []
    for run in sorted(runs, key=_order):
        # before the comparisons, because a script that sets a seed may record the same id a thousand times
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

    If several groups would have the same id, a hash of the folder's path is added, so ids do not depend on the order.
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
    """Return whether users may refer to a folder by this name.

    They may use its recorded id, its name with or without `run-`, and its name with the hash of its path.
    """
    folder = run.folder.name
    if name in (run.run_id, folder, folder.removeprefix("run-")):
        return True
    return _WITH_PATH.fullmatch(name) is not None and name == _name_by_path(run)


def drop_copies(runs: Sequence[RunBase]) -> list[RunBase]:
    """Return the runs without copies of another run with the same recorded id.

    A copy that was made during the run contains the start of the other record, and has the same folder name.
    """
    counts = Counter(run.run_id for run in runs)
    if len(counts) == len(runs):
        return list(runs)
    seen: set[tuple[object, ...]] = set()
    kept: dict[tuple[str, str], list[RunBase]] = {}
    dropped: set[int] = set()
    # the record with the most data comes first; if equal, the order of the log folders decides
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
    """Group a run's folders by start: the ranks of one job belong together, while later starts are separate."""
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
    """Return whether the run started over a minute after the last record in all parts; ranks may start in turn."""
    ended = max(max(one.started_at, one.ending.last_time) for one in parts)
    return run.started_at > ended + _PAUSE


def _is_new_start(earlier: Sequence[RunBase], later: Sequence[RunBase]) -> bool:
    """Return whether the later ranks are a new start of the full job, so that the earlier ranks' end no longer counts.

    A single rank may fail while the others are still starting. In that case no later rank continues its metrics.
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
        # the SDK records which folders are ranks, and each rank may have its own name and command
        facts |= {"name": lambda one: one.start.name, "command": _read_command}
    for reason, read in facts.items():
        own = read(run)
        # a folder that lacks the fact, for example because its run was killed at once, joins any other
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
    """Return why the run does not continue the metrics of the parts (`metrics` or `steps`), or "" if it does."""
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
    # the densest metrics decide: evaluations are often repeated after a resume, and constants logged at each start
    dense = [key for key in repeated if 2 * counts[key] >= max(counts[one] for one in repeated)]
    # a finished run is resumed after its last step; any other run may restart at an earlier checkpoint
    latest = before[-1].last if parts[-1].state == "FINISHED" else {}
    restarted = [key for key in dense if again[key].step <= max(first[key], latest.get(key, first[key]))]
    return "steps" if 2 * len(restarted) > len(dense) else ""


def _runs_parallel(parts: Sequence[RunBase], run: RunBase) -> bool:
    """Return whether another process with SDK 0.6 or 0.7 recorded to the same cloud page at the same time."""
    return bool(run.address) and any(
        one.address == run.address and one.started_at < run.started_at < one.ending.last_time for one in parts
    )


def _read_extremes(run: RunBase) -> Extremes:
    try:
        return run.read_extremes()
    except (OSError, ValueError):
        return Extremes({}, {})
