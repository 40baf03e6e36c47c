"""The table of tools: one row per operation that assistants may call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from swanlab_mcp import operations
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.present.views import CURVES

__all__ = ["TOOLS", "WRITE_TOOLS", "Operation", "ToolEntry"]

Operation = Callable[..., Coroutine[Any, Any, ApiResponse[Any]]]


@dataclass(frozen=True)
class ToolEntry:
    """One tool; the operation of the same name provides its arguments and its description.

    A tool with `shows_pictures` replies with images and text only, because some assistants drop images next to
    structured content. `view` is the address of the page that shows its replies, in assistants that can show pages.
    `wait` is how long a call waits by default for SwanLab to change, in seconds; its argument `timeout` changes it.
    """

    name: str
    title: str
    read_only: bool = True
    shows_pictures: bool = False
    view: str = ""
    wait: float = 0.0

    @property
    def operation(self) -> Operation:
        return getattr(operations, self.name)


TOOLS = (
    ToolEntry("list_workspaces", "List workspaces"),
    ToolEntry("list_projects", "List projects"),
    ToolEntry("list_project_exps", "List a project's experiments"),
    ToolEntry("find_experiments", "Find experiments"),
    ToolEntry("get_experiment", "Get an experiment"),
    ToolEntry("get_environment", "Get or compare environments"),
    ToolEntry("get_exp_summary", "Get an experiment's metric summary"),
    ToolEntry("get_logs", "Get log lines"),
    ToolEntry("list_metrics", "List metric keys"),
    ToolEntry("get_metrics", "Get metric series"),
    ToolEntry("plot_metrics", "Plot metrics", shows_pictures=True, view=CURVES),
    ToolEntry("rank_experiments", "Rank experiments"),
    ToolEntry("aggregate_experiments", "Aggregate experiments"),
    ToolEntry("compare_experiments", "Compare experiments"),
    ToolEntry("diagnose_experiment", "Diagnose an experiment"),
    ToolEntry("find_similar_experiments", "Find similar experiments"),
    ToolEntry("forecast_experiment", "Forecast an experiment"),
    ToolEntry("whats_new", "List what is new"),
    ToolEntry("wait_for_experiments", "Wait for experiments", wait=45),
    ToolEntry("get_media", "Show recorded media", shows_pictures=True),
)

# only with --allow-writes
WRITE_TOOLS = (
    ToolEntry("create_project", "Create a project", read_only=False),
    ToolEntry("delete_experiments", "Delete experiments", read_only=False),
    ToolEntry("delete_project", "Delete a project", read_only=False),
)
