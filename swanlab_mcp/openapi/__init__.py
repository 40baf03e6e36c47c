"""A blocking Python API for the operations."""

from __future__ import annotations

from swanlab_mcp.openapi.api import OpenApi

__all__ = ["OpenApi"]
