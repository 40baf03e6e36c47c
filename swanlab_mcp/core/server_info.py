"""The record that summarizes a self-hosted SwanLab server for its administrator."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swanlab_mcp.core.records import JsonObject, Record, Text, is_empty, is_none

__all__ = ["ServerInfo", "ServerRows"]

ServerRows = Literal["users", "projects", "workspaces"]


class ServerInfo(Record):
    """The plan, seats and usage of a self-hosted SwanLab server."""

    plan: Text = Field("", description="free or commercial")
    expired: bool = False
    seats: int | None = Field(default=None, exclude_if=is_none)
    users: int | None = Field(default=None, exclude_if=is_none, description="Number of users")
    projects: int | None = Field(default=None, exclude_if=is_none)
    workspaces: int | None = Field(default=None, exclude_if=is_none)
    usage: JsonObject = Field(default_factory=dict, exclude_if=is_empty, description="SwanLab's own figures")
