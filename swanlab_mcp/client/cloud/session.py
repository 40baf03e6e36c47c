"""Parse the session from a login response, and plan its renewal."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.i18n import gettext

__all__ = ["Session", "read_session"]

_RENEWAL = 7 * 86400.0


@dataclass(frozen=True)
class Session:
    """A logged-in user's session. `renew_at` is in Unix seconds on the local clock, or `None` to wait for a 401."""

    sid: str
    username: str
    name: str
    renew_at: float | None

    def __repr__(self) -> str:
        return f"Session(username={self.username!r})"


def read_session(answer: Any) -> Session:
    match answer:
        case {"sid": str(sid), "userInfo": {"username": str(username), **info}} if sid.isascii() and sid.isprintable():
            return Session(sid, username, str(info.get("name") or ""), _plan_renewal(answer.get("expiredAt")))
        case _:
            raise UnexpectedResponse(
                gettext("SwanLab's login response contains no session or no user."),
                hint=gettext("Check that the host is a SwanLab API host."),
            )


def _plan_renewal(expires: Any) -> float | None:
    """Return the time to log in again: 7 days before the session expires, or halfway through a shorter session."""
    try:
        end = datetime.fromisoformat(str(expires).replace("Z", "+00:00"))
    except ValueError:
        return None
    left = (end if end.tzinfo else end.replace(tzinfo=timezone.utc)).timestamp() - time.time()
    if left <= 0:
        return None  # a wrong local clock must not cause a login for every request
    return time.time() + (left - _RENEWAL if left > _RENEWAL else left / 2)
