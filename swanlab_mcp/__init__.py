"""An MCP server that gives AI assistants access to SwanLab, and a Python API (`OpenApi`) with the same features."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from swanlab_mcp.core.errors import *
    from swanlab_mcp.core.models import *
    from swanlab_mcp.core.records import *
    from swanlab_mcp.openapi import *

__all__ = [
    "ApiResponse",
    "AuthenticationFailed",
    "Experiment",
    "Extreme",
    "Filter",
    "InvalidArgument",
    "LogLine",
    "Media",
    "MetricKey",
    "MetricSummary",
    "NotAvailableOffline",
    "NotFound",
    "NotLoggedIn",
    "OpenApi",
    "Page",
    "PermissionDenied",
    "Picture",
    "Project",
    "RateLimited",
    "Record",
    "Series",
    "ServerUnavailable",
    "Summary",
    "SwanLabError",
    "UnexpectedResponse",
    "User",
    "Workspace",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, because the server does not need the public names to start."""
    if name in __all__:
        for module in ("core.errors", "core.models", "core.records", "openapi"):
            found = import_module(f"swanlab_mcp.{module}")
            if name in found.__all__:
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
