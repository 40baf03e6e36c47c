"""The package's exception hierarchy.

SwanLabError
├── NotLoggedIn            an API key is required but was not found (401)
├── AuthenticationFailed   SwanLab refused the key or the session (401)
├── PermissionDenied       logged in, but not allowed (403)
├── NotFound               no such workspace, project, experiment or metric (404)
├── InvalidArgument        the call itself is invalid (400)
├── RateLimited            too many requests (429)
├── ServerUnavailable      no usable response: 5xx, or no response at all (status 0)
├── UnexpectedResponse     a response that does not match the API (502)
└── NotAvailableOffline    runs on disk do not contain the requested data (501)
"""

from __future__ import annotations

from swanlab_mcp.core.i18n import gettext, join_sentences

__all__ = [
    "AuthenticationFailed",
    "InvalidArgument",
    "NotAvailableOffline",
    "NotFound",
    "NotLoggedIn",
    "PermissionDenied",
    "RateLimited",
    "ServerUnavailable",
    "SwanLabError",
    "UnexpectedResponse",
]


class SwanLabError(Exception):
    """A failed request.

    `status` is an HTTP status, or 0 if there was no response. `message` says what was requested and what went wrong.
    `hint` says what to do next. `trace_id` is SwanLab's `traceid` header, which is useful in bug reports.
    """

    default_status = 500

    def __init__(self, message: str, *, hint: str = "", status: int | None = None, trace_id: str = "") -> None:
        self.status = self.default_status if status is None else status
        self.message = message
        self.hint = hint
        self.trace_id = trace_id
        super().__init__(message)

    def __str__(self) -> str:
        trace = gettext("(SwanLab trace id {trace_id})", trace_id=self.trace_id) if self.trace_id else ""
        return join_sentences(self.message, self.hint, trace)


class NotLoggedIn(SwanLabError):
    default_status = 401


class AuthenticationFailed(SwanLabError):
    default_status = 401


class PermissionDenied(SwanLabError):
    default_status = 403


class NotFound(SwanLabError):
    default_status = 404


class InvalidArgument(SwanLabError):
    default_status = 400


class RateLimited(SwanLabError):
    default_status = 429


class ServerUnavailable(SwanLabError):
    default_status = 503


class UnexpectedResponse(SwanLabError):
    default_status = 502


class NotAvailableOffline(SwanLabError):
    default_status = 501
