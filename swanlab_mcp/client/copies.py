"""Facts about run folders on this machine that are not recorded in SwanLab's cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from swanlab_mcp.core.refs import ExperimentRef

__all__ = ["FailedRank", "LocalCopy"]


class LocalCopy(NamedTuple):
    """The facts about a run folder that are cheap to read.

    `run_id` is the recorded id. `workspace` is the SwanLab workspace that the run was recorded for, or "". `last_step`
    is `None` if the run has no points or is too large to read. `folder` is the path relative to the parent of the log
    folder. `is_fresh` is true if the record file was written within the last 10 minutes. `may_be_seeded` is true if
    another training run may have the same id.
    """

    ref: ExperimentRef
    run_id: str
    name: str
    state: str
    last_step: int | None
    workspace: str
    folder: str
    is_fresh: bool
    is_legacy: bool
    may_be_seeded: bool


class FailedRank(NamedTuple):
    """The failed rank that determines an experiment's state. `last` maps each metric to its last step and value."""

    folder: str
    last: Mapping[str, tuple[int, float]]
