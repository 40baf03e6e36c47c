"""The change that a call has sent to SwanLab and whose result is not known yet."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from swanlab_mcp.core.i18n import join_sentences, say

__all__ = ["PendingChange", "pending"]


@dataclass
class PendingChange:
    """Holds the change in flight for code that may have to answer instead of the call; `what` is empty without one."""

    what: str = ""

    def describe(self) -> str:
        """Return what to answer when the call is stopped now, "" when no change is in flight."""
        if not self.what:
            return ""
        return join_sentences(
            say("The server stopped before it was known whether {what}.", what=self.what),
            say("Check whether it was done before anything else; do not repeat it blindly."),
        )


# set by the server for each request
pending: ContextVar[PendingChange | None] = ContextVar("pending", default=None)
