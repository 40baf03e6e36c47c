"""Records of planned and applied changes."""

from __future__ import annotations

from pydantic import Field

from swanlab_mcp.core.records import Record, Text, is_empty, is_none

__all__ = ["AffectedExperiment", "Change"]


class AffectedExperiment(Record):
    """An experiment affected by a change."""

    cuid: str
    name: Text = ""
    state: Text = ""
    createdAt: Text = ""


class Change(Record):
    """The effect of a write. If `done` is false, the change is only planned, and applying it needs `confirmation`."""

    action: str = Field(description="The action as a sentence")
    done: bool
    username: str
    project: str
    experiments: list[AffectedExperiment] = Field(
        default_factory=list["AffectedExperiment"], exclude_if=is_empty, description="Up to 20 affected experiments"
    )
    experiment_count: int | None = Field(default=None, exclude_if=is_none)
    running_count: int | None = Field(
        default=None, exclude_if=is_none, description="Affected experiments in state RUNNING"
    )
    visibility: str | None = Field(default=None, exclude_if=is_none)
    description: str | None = Field(default=None, exclude_if=is_none)
    fingerprint: str | None = Field(default=None, exclude_if=is_none, description="Fingerprint of everything affected")
    confirmation: str | None = Field(
        default=None, exclude_if=is_none, description="Token for the call that applies the change"
    )
    confirm_before: str | None = Field(default=None, exclude_if=is_none, description="Expiry of the token, UTC")
