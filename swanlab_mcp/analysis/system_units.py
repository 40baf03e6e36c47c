"""The units of the hardware metrics that SwanLab's SDK records."""

from __future__ import annotations

__all__ = ["find_unit"]

_PREFIX = "__swanlab__."
# units by key suffix, with more specific suffixes first; SDKs spell percentages pct or ptc
_UNITS = (
    ("pct", "%"),
    ("ptc", "%"),
    ("disk.usage", "%"),
    ("mem.value", "MB"),
    ("mem.proc", "MB"),
    ("mem.proc.avail", "MB"),
    ("temp", "°C"),
    ("power", "W"),
    ("disk.read", "MB/s"),
    ("disk.write", "MB/s"),
    ("network.sent", "KB/s"),
    ("network.recv", "KB/s"),
    ("cpu.thds", "threads"),
)


def find_unit(key: str) -> str | None:
    """Return the unit of a hardware metric, or `None` if the key is unknown or not a hardware metric."""
    if not key.startswith(_PREFIX):
        return None
    name = key.removeprefix("__swanlab__")
    return next((unit for end, unit in _UNITS if name.endswith(f".{end}")), None)
