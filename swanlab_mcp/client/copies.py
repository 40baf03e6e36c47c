"""A run that is in SwanLab's cloud and in a folder on this machine."""

from __future__ import annotations

from typing import NamedTuple

from swanlab_mcp.core.refs import ExperimentRef

__all__ = ["LocalCopy"]


class LocalCopy(NamedTuple):
    """What the folder of a run shows at little cost; `last_step` None: too large to be read for it, or without points.

    `run_id` is the recorded id; `workspace` that of SwanLab for which it was recorded, empty if for none. `folder` is
    its path from the folder that holds the log folder; `is_fresh`: its file was written within the last 10 minutes.
    """

    ref: ExperimentRef
    run_id: str
    state: str
    last_step: int | None
    workspace: str
    folder: str
    is_fresh: bool
    is_legacy: bool
