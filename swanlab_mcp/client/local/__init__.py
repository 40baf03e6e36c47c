"""Runs on this machine's disk, as SwanLab's SDK 0.6.2 and later records them."""

from __future__ import annotations

from swanlab_mcp.client.local.client import OfflineClient

__all__ = ["OfflineClient"]
