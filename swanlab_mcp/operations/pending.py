"""A change sent to SwanLab whose result is unknown so far."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

from swanlab_mcp.core.i18n import join_sentences, say

__all__ = ["PendingChange", "find_in_flight", "make_failure", "pending"]


class PendingChange:
    """The change in flight of a request, for code that must answer in place of the call.

    `doubt` is that answer, "" if no change is in flight.
    """

    def __init__(self, request_id: str | int | None = None) -> None:
        self.request_id = request_id
        self.doubt = ""

    def begin(self, what: str) -> None:
        """Record that the request for a change is being sent; `what` becomes true if it succeeds."""
        # formatted now, in the language of the call
        self.doubt = join_sentences(
            say("The server stopped before it was known whether {what}.", what=what),
            say("Check whether it was done before you retry."),
        )
        _in_flight.add(self)

    def settle(self) -> None:
        """Record that the result is known."""
        self.doubt = ""
        _in_flight.discard(self)


# the server sets this for each request
pending: ContextVar[PendingChange | None] = ContextVar("pending", default=None)
_in_flight = WeakSet[PendingChange]()


def find_in_flight() -> list[PendingChange]:
    """Return the changes in flight of all requests."""
    return list(_in_flight)


def make_failure(request_id: str | int | None, text: str) -> dict[str, Any]:
    """Return the JSON-RPC response of a failed tool call with `text`."""
    failed = {
        "content": [{"type": "text", "text": text}],
        "structuredContent": {"code": 0, "errmsg": text, "data": None},
        "isError": True,
    }
    return {"jsonrpc": "2.0", "id": request_id, "result": failed}
