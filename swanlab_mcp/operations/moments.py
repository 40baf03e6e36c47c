"""Convert times from SwanLab and from arguments to Unix milliseconds."""

from __future__ import annotations

import re

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.records import read_time, show_time
from swanlab_mcp.core.untrusted import shorten

__all__ = ["is_period", "read_moment", "read_since"]

_AGO = re.compile(r"(\d{1,6})\s?([mhdw])")
_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
# a cursor contains a time from SwanLab's clock, which may differ from this server's clock
_CLOCK_SKEW = 600_000


def is_period(since: str) -> bool:
    """Return whether `since` is a period before now, such as "24h", rather than a point in time."""
    return _AGO.fullmatch(since.strip()) is not None


def read_since(since: str, now: int) -> int:
    """Return the point in time that `since` describes, in Unix milliseconds.

    Raises InvalidArgument if `since` is invalid or in the future.
    """
    ago = _AGO.fullmatch(since.strip())
    if ago:
        return now - int(ago[1]) * _UNITS[ago[2]]
    moment = read_moment(since)
    if not moment:
        raise InvalidArgument(
            gettext("{text!r} is not a time.", text=shorten(since)),
            hint=gettext("Write it like 2026-11-23T08:00:00Z, 24h or 7d."),
        )
    if moment > now + _CLOCK_SKEW:
        raise InvalidArgument(
            gettext("since={time} is in the future.", time=show_time(moment)),
            hint=gettext("This server's clock shows {now}.", now=show_time(now)),
        )
    return moment


def read_moment(text: str | None) -> int:
    parsed = read_time(text) if text else None
    return round(parsed.timestamp() * 1000) if parsed else 0
