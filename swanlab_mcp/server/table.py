"""The tool table, with one entry per operation that assistants can call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.present.views import CURVES, REPORT

__all__ = ["ADMIN_TOOLS", "EVERY_TOOL", "TOOLS", "WRITE_TOOLS", "Operation", "ToolEntry"]

Operation = Callable[..., Coroutine[Any, Any, ApiResponse[Any]]]


@dataclass(frozen=True)
class ToolEntry:
    """A tool. The operation with the same name defines the tool's arguments and description.

    `module` contains the operation. It is imported on first use, to keep startup fast. If `shows_pictures` is true,
    replies contain images and text but no structured content, because some assistants drop images if there is
    structured content. `view` is the URI of the page that displays replies in assistants that support MCP Apps.
    `wait` is the default number of seconds that a call waits for changes in SwanLab. The tool's `timeout` argument
    overrides `wait`.
    """

    name: str
    module: str
    title: str
    read_only: bool = True
    shows_pictures: bool = False
    view: str = ""
    wait: float = 0.0

    @property
    def operation(self) -> Operation:
        return getattr(import_module(f"swanlab_mcp.operations.{self.module}"), self.name)


TOOLS = (
    ToolEntry("list_workspaces", "workspaces", "List workspaces"),
    ToolEntry("list_projects", "projects", "List projects"),
    ToolEntry("list_project_exps", "experiments", "List a project's experiments"),
    ToolEntry("find_experiments", "finding", "Find experiments"),
    ToolEntry("get_experiment", "experiments", "Get an experiment"),
    ToolEntry("get_environment", "environments", "Get or compare environments"),
    ToolEntry("get_exp_summary", "summaries", "Get an experiment's metric summary"),
    ToolEntry("get_logs", "logs", "Get log lines"),
    ToolEntry("list_metrics", "metric_keys", "List metric keys"),
    ToolEntry("get_metrics", "metrics", "Get metric series"),
    ToolEntry("plot_metrics", "plotting", "Plot metrics", shows_pictures=True, view=CURVES),
    ToolEntry("rank_experiments", "ranking", "Rank experiments", view=REPORT),
    ToolEntry("aggregate_experiments", "aggregation", "Aggregate experiments"),
    ToolEntry("compare_experiments", "comparison", "Compare experiments"),
    ToolEntry("diagnose_experiment", "diagnosis", "Diagnose an experiment"),
    ToolEntry("find_similar_experiments", "similar", "Find similar experiments"),
    ToolEntry("forecast_experiment", "forecasts", "Forecast an experiment"),
    ToolEntry("whats_new", "news", "List what is new"),
    ToolEntry("wait_for_experiments", "waiting", "Wait for experiments", wait=45),
    ToolEntry("get_media", "media", "Show recorded media", shows_pictures=True),
)

# enabled by --allow-writes
WRITE_TOOLS = (
    ToolEntry("create_project", "changes", "Create a project", read_only=False),
    ToolEntry("delete_experiments", "changes", "Delete experiments", read_only=False),
    ToolEntry("delete_project", "changes", "Delete a project", read_only=False),
)

# enabled by --admin-tools
ADMIN_TOOLS = (ToolEntry("get_server_info", "administration", "Get information about a self-hosted SwanLab"),)

EVERY_TOOL = (*TOOLS, *WRITE_TOOLS, *ADMIN_TOOLS)
