"""Keep track of changes that were sent to SwanLab and whose result is not yet known."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

from swanlab_mcp.core.i18n import gettext, join_sentences

__all__ = ["PendingChange", "find_in_flight", "make_failure", "pending"]


class PendingChange:
    """The change that a request is making.

    `doubt` is the response to send if the server stops before the result of the change is known, or "" if no change is
    in flight.
    """

    def __init__(self, request_id: str | int | None = None) -> None:
        self.request_id = request_id
        self.doubt = ""

    def begin(self, what: str) -> None:
        """Record that a change is about to be sent. `what` describes the completed change."""
        # formatted here, because the language of the call is only known now
        self.doubt = join_sentences(
            gettext("The server stopped before it was known whether {what}.", what=what),
            gettext("Before you retry, check whether it was done."),
        )
        _in_flight.add(self)

    def settle(self) -> None:
        """Record that the result of the change is known."""
        self.doubt = ""
        _in_flight.discard(self)


# set by the server for each request
pending: ContextVar[PendingChange | None] = ContextVar("pending", default=None)
_in_flight = WeakSet[PendingChange]()


def find_in_flight() -> list[PendingChange]:
    """Return the changes that are currently in flight."""
    return list(_in_flight)


def make_failure(request_id: str | int | None, text: str) -> dict[str, Any]:
    """Return the JSON-RPC response for a tool call that failed with the message `text`."""
    failed = {
        "content": [{"type": "text", "text": text}],
        "structuredContent": {"code": 0, "errmsg": text, "data": None},
        "isError": True,
    }
    return {"jsonrpc": "2.0", "id": request_id, "result": failed}
