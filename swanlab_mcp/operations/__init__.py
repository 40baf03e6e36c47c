"""The questions of researchers, one public function each: (client, *, typed arguments) -> ApiResponse.

A function's docstring is the description of the tool of the same name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swanlab_mcp.operations.aggregation import aggregate_experiments
    from swanlab_mcp.operations.changes import create_project, delete_experiments, delete_project
    from swanlab_mcp.operations.comparison import compare_experiments
    from swanlab_mcp.operations.diagnosis import diagnose_experiment
    from swanlab_mcp.operations.environments import get_environment
    from swanlab_mcp.operations.experiments import get_experiment, list_project_exps
    from swanlab_mcp.operations.finding import find_experiments
    from swanlab_mcp.operations.forecasts import forecast_experiment
    from swanlab_mcp.operations.logs import get_logs
    from swanlab_mcp.operations.media import get_media
    from swanlab_mcp.operations.metric_keys import list_metrics
    from swanlab_mcp.operations.metrics import get_metrics
    from swanlab_mcp.operations.news import whats_new
    from swanlab_mcp.operations.plotting import plot_metrics
    from swanlab_mcp.operations.projects import get_project, list_projects
    from swanlab_mcp.operations.ranking import rank_experiments
    from swanlab_mcp.operations.similar import find_similar_experiments
    from swanlab_mcp.operations.summaries import get_exp_summary
    from swanlab_mcp.operations.waiting import wait_for_experiments
    from swanlab_mcp.operations.workspaces import get_user, get_workspace, list_workspaces

__all__ = [
    "aggregate_experiments",
    "compare_experiments",
    "create_project",
    "delete_experiments",
    "delete_project",
    "diagnose_experiment",
    "find_experiments",
    "find_similar_experiments",
    "forecast_experiment",
    "get_environment",
    "get_exp_summary",
    "get_experiment",
    "get_logs",
    "get_media",
    "get_metrics",
    "get_project",
    "get_user",
    "get_workspace",
    "list_metrics",
    "list_project_exps",
    "list_projects",
    "list_workspaces",
    "plot_metrics",
    "rank_experiments",
    "wait_for_experiments",
    "whats_new",
]

_HOMES = {
    "aggregate_experiments": "aggregation",
    "compare_experiments": "comparison",
    "create_project": "changes",
    "delete_experiments": "changes",
    "delete_project": "changes",
    "diagnose_experiment": "diagnosis",
    "find_experiments": "finding",
    "find_similar_experiments": "similar",
    "forecast_experiment": "forecasts",
    "get_environment": "environments",
    "get_exp_summary": "summaries",
    "get_experiment": "experiments",
    "get_logs": "logs",
    "get_media": "media",
    "get_metrics": "metrics",
    "get_project": "projects",
    "get_user": "workspaces",
    "get_workspace": "workspaces",
    "list_metrics": "metric_keys",
    "list_project_exps": "experiments",
    "list_projects": "projects",
    "list_workspaces": "workspaces",
    "plot_metrics": "plotting",
    "rank_experiments": "ranking",
    "wait_for_experiments": "waiting",
    "whats_new": "news",
}


def __getattr__(name: str) -> Any:
    """Import an operation at its first use, because a server needs only the names to start."""
    if name in _HOMES:
        return getattr(import_module(f"swanlab_mcp.operations.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
