"""A router that decodes each path segment after matching, because names can contain encoded slashes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from tests.fake_swanlab.state import State, User

__all__ = ["ApiError", "Ask", "Handler", "Routes", "read_number"]


class ApiError(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


@dataclass
class Ask:
    """A request and the user who is logged in. `user` is None only for endpoints that require no login."""

    state: State
    user: User
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    base_url: str
    names: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Ask], Any] | Callable[[Ask], Awaitable[Any]]


@dataclass
class Routes:
    table: list[tuple[str, list[str], Callable[[Ask], Any]]] = field(default_factory=list)

    def add(self, method: str, path: str) -> Callable[[Callable[[Ask], Any]], Callable[[Ask], Any]]:
        def register(handler: Callable[[Ask], Any]) -> Callable[[Ask], Any]:
            self.table.append((method, path.strip("/").split("/"), handler))
            return handler

        return register

    def find(self, method: str, raw_path: str) -> tuple[Callable[[Ask], Any], dict[str, str]]:
        """Return the handler for a path and the decoded names in the path.

        Raises ApiError with status 404 for an unknown path or 405 for an unsupported method.
        """
        parts = raw_path.removeprefix("/api/").strip("/").split("/")
        is_known = False
        for wanted, pattern, handler in self.table:
            if len(pattern) != len(parts):
                continue
            pairs = list(zip(pattern, parts, strict=True))
            if all(unquote(part) == piece for piece, part in pairs if not piece.startswith("{")):
                is_known = True
                if wanted == method:
                    return handler, {piece.strip("{}"): unquote(part) for piece, part in pairs if piece.startswith("{")}
        raise ApiError(405 if is_known else 404, "Method not allowed" if is_known else "Not found")


def answer(value: Any) -> Response:
    # use json.dumps, because log lines can contain unpaired surrogates, which UTF-8 cannot encode
    return value if isinstance(value, Response) else Response(json.dumps(value), media_type="application/json")


def read_number(ask: Ask, name: str, default: int) -> int:
    try:
        return int(ask.query.get(name, default))
    except ValueError:
        raise ApiError(400, f"{name} must be a number") from None
