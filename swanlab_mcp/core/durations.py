"""Format durations as text."""

from __future__ import annotations

from swanlab_mcp.core.i18n import gettext

__all__ = ["show_duration"]


def show_duration(seconds: float) -> str:
    """Format a duration with at most two units, such as 3 h 20 min."""
    if seconds < 120:
        return gettext("{seconds:.3g} s", seconds=seconds)
    minutes = round(seconds / 60)
    if minutes < 120:
        return gettext("{minutes} min", minutes=minutes)
    hours = round(minutes / 60)
    if hours < 48:
        return gettext("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)
    return gettext("{days} d {hours} h", days=hours // 24, hours=hours % 24)
