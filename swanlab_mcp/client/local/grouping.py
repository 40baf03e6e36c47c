"""Group run folders with the same recorded id into experiments, and name the experiments.

SDK 0.6 and 0.7 draw run ids from `random`, which training scripts seed, so different trainings share an id. Folders are
joined only if the SDK could have resumed the run, and no recorded fact shows that they are different trainings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, cast

from swanlab_mcp.client.local.run_base import RunBase
from swanlab_mcp.client.values import is_object

__all__ = ["Group", "group_runs", "list_names", "name_groups", "split_sessions"]

_SYSTEM = "__swanlab__."
_PAUSE = 60_000
_PER_RANK = ("rank", "device", "gpu", "host", "pid", "port")


class Group(NamedTuple):
    """The folders of one experiment, in order of their start.

    `reason` says why other folders with the same recorded id are excluded: `seeded`, `name`, `config`, `command` or
    `steps`; it is "" if there are none.
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
    for run in sorted(runs, key=_order):
        reason = ""
        for parts in reversed(groups):
            found = _find_difference(parts, run)
            if not found:
                parts.append(run)
                break
            reason = reason or found
        else:
            groups.append([run])
            reasons.append(reason)
    if len(groups) == 1:
        return [Group(groups[0][0].run_id, groups[0])]
    # the reason that separates the second group also applies to the first
    reasons[0] = reasons[1]
    return [Group(parts[0].folder.name, parts, reason) for parts, reason in zip(groups, reasons, strict=True)]


def name_groups(groups: Iterable[Group]) -> list[Group]:
    """Return the groups of a project with unique ids that can be given as an argument."""
    named: dict[str, Group] = {}
    for group in groups:
        cuid = group.cuid if _can_be_given(group.cuid) else group.runs[0].folder.name
        if cuid in named or not _can_be_given(cuid):
            # several log folders contain a folder with this name
            cuid = f"run-{sha256(str(group.runs[0].folder).encode(errors='replace')).hexdigest()[:12]}"
        named[cuid] = group._replace(cuid=cuid)
    return list(named.values())


def list_names(run: RunBase) -> tuple[str, str, str]:
    """Return the names of a folder that users may give: its recorded id, and its name with and without `run-`."""
    return run.run_id, run.folder.name, run.folder.name.removeprefix("run-")


def split_sessions(runs: Sequence[RunBase]) -> list[list[RunBase]]:
    """Return the folders of each start of a run: the ranks of one job belong together, later starts do not."""
    sessions: list[list[RunBase]] = []
    for run in runs:
        if sessions and run.is_rank and sessions[-1][0].is_rank and not _is_later(sessions[-1], run):
            sessions[-1].append(run)
        else:
            sessions.append([run])
    return sessions


def _order(run: RunBase) -> tuple[int, str]:
    return run.started_at, run.folder.name


def _can_be_given(cuid: str) -> bool:
    return bool(cuid.strip()) and cuid not in (".", "..") and "/" not in cuid and cuid.isprintable()


def _is_later(parts: Sequence[RunBase], run: RunBase) -> bool:
    """Return whether the run started over a minute after the last record of all parts: ranks may start in turn."""
    ended = max(max(one.started_at, one.ending.last_time) for one in parts)
    return run.started_at > ended + _PAUSE


def _find_difference(parts: Sequence[RunBase], run: RunBase) -> str:
    latest = parts[-1]
    if not (run.can_resume and latest.can_resume):
        return "seeded"
    ranks = run.is_rank and latest.is_rank
    if run.start.name and latest.start.name and run.start.name != latest.start.name:
        return "name"
    config, known = (_read(one.files.read_config, is_rank=ranks) for one in (run, latest))
    if config and known and config != known:
        return "config"
    if not ranks and _differ(_read_command(run), _read_command(latest)):
        return "command"
    if ranks and not _is_later(parts, run):
        return ""
    return "steps" if _restarts(parts, run) else ""


def _differ(one: Any, other: Any) -> bool:
    return bool(one) and bool(other) and one != other


def _read(read: Any, *, is_rank: bool) -> dict[str, Any]:
    try:
        config = cast("dict[str, Any]", read())
    except (OSError, ValueError):
        return {}
    if not is_rank:
        return config
    # each rank may record its own rank
    return {key: value for key, value in config.items() if not any(part in str(key).lower() for part in _PER_RANK)}


def _read_command(run: RunBase) -> Any:
    try:
        metadata = run.files.read_metadata()
    except (OSError, ValueError):
        return None
    runtime: Any = metadata.get("runtime")
    return (runtime if is_object(runtime) else metadata).get("command")


def _restarts(parts: Sequence[RunBase], run: RunBase) -> bool:
    """Return whether the run logs a metric from its start again; a metric logged once per start is no proof."""
    first: dict[str, int] = {}
    for one in parts:
        for key, (step, _) in _read_opening(one).items():
            first[key] = min(step, first.get(key, step))
    again = {key: about for key, about in _read_opening(run).items() if key in first}
    repeated = {key: about for key, about in again.items() if about[1] > 1} or again
    # an evaluation at the checkpoint is often repeated after a resume, but then the training metrics continue
    return 2 * sum(step <= first[key] for key, (step, _) in repeated.items()) > len(repeated)


def _read_opening(run: RunBase) -> Mapping[str, tuple[int, int]]:
    try:
        opening = run.read_opening()
    except (OSError, ValueError):
        return {}
    return {key: about for key, about in opening.items() if not key.startswith(_SYSTEM)}
