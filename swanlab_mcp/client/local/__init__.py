"""Read the runs that SwanLab's SDK recorded on this machine's disk."""

from __future__ import annotations

from swanlab_mcp.client.local.client import OfflineClient

__all__ = ["OfflineClient"]
