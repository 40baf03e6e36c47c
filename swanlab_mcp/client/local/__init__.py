"""Read runs on this machine's disk, as recorded by SwanLab's SDK 0.6.2 and later."""

from __future__ import annotations

from swanlab_mcp.client.local.client import OfflineClient

__all__ = ["OfflineClient"]
