"""Parse the JSON in HTTP responses, and raise an exception for unsuccessful responses."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from swanlab_mcp.core.errors import (
    AuthenticationFailed,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerUnavailable,
    SwanLabError,
    UnexpectedResponse,
)
from swanlab_mcp.core.full_collections import postpone
from swanlab_mcp.core.i18n import gettext, join_sentences, ngettext
from swanlab_mcp.core.untrusted import parse_json, quote, shorten

__all__ = ["NOT_OFFERED", "Answer", "name_page", "read_json", "read_message", "read_retry_after", "read_trace_id"]

# the statuses with which servers reject an unsupported request format
NOT_OFFERED = {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
_LARGE = 2**18
_MOST_MEMORY = 400 * 2**20
_PAGE = re.compile(rb"\s*(?:<!doctype html|<html|<head|<body)\b", re.IGNORECASE)


class Answer(NamedTuple):
    """A response. `address` is the requested URL.

    `headers` are case-insensitive. `opened` is set for a download whose body has not been read yet.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes = b""
    opened: Any = None
    address: object = ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


async def read_json(answer: Answer, what: str) -> Any:
    """Return the response's JSON, or raise the exception that matches its status."""
    status, trace_id = answer.status, read_trace_id(answer)
    if answer.is_success:
        try:
            return await _parse(answer.content, what)
        except (ValueError, RecursionError) as error:
            message = (
                gettext("SwanLab's response to {what} is not JSON.", what=what)
                if answer.content
                else gettext("SwanLab's response to {what} is empty.", what=what)
            )
            raise UnexpectedResponse(
                _name_address(message, answer),
                hint=gettext(
                    "Check that the host is a SwanLab API host; a proxy or login page may be answering instead."
                ),
                trace_id=trace_id,
            ) from error
    why = read_message(answer)
    message = (
        gettext("SwanLab returned status {status} for {what}: {why}.", status=status, what=what, why=quote(why, 200))
        if why
        else gettext("SwanLab returned status {status} for {what}.", status=status, what=what)
    )
    message = name_page(message, answer)
    if status == HTTPStatus.UNAUTHORIZED:
        raise AuthenticationFailed(
            message, hint=gettext("The session was refused twice; check the API key."), trace_id=trace_id
        )
    if status == HTTPStatus.FORBIDDEN:
        raise PermissionDenied(
            message,
            hint=gettext("Ask the workspace's owner for access, or use another account's key."),
            trace_id=trace_id,
        )
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise NotFound(message, status=status, trace_id=trace_id)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimited(message, hint=_describe_wait(answer), trace_id=trace_id)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ServerUnavailable(
            message, hint=gettext("SwanLab has an internal error; try again later."), status=status, trace_id=trace_id
        )
    if status < HTTPStatus.BAD_REQUEST:
        raise UnexpectedResponse(
            message,
            hint=join_sentences(
                _name_target(answer), gettext("The server does not follow redirects: check the host's scheme and name.")
            ),
            status=status,
            trace_id=trace_id,
        )
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNPROCESSABLE_ENTITY):
        raise InvalidArgument(
            message, hint=gettext("Check the arguments of the call."), status=status, trace_id=trace_id
        )
    raise SwanLabError(message, status=status, trace_id=trace_id)


def _describe_wait(answer: Answer) -> str:
    """Return advice on how long to wait after SwanLab's rate limit was reached."""
    requested = read_retry_after(answer.headers)
    if not requested:
        return gettext("Wait a minute, then try again.")
    return ngettext(
        "Wait {count} second, then try again.", "Wait {count} seconds, then try again.", max(1, round(requested))
    )


def name_page(message: str, answer: Answer) -> str:
    """Add the URL to a message if the response is a web page, for example a login page or a proxy's error page."""
    kind = answer.headers.get("content-type", "").lower()
    if kind.startswith(("text/html", "application/xhtml")) or _PAGE.match(answer.content):
        return _add_address(
            message, answer, lambda address: gettext("The response is a web page at {address}.", address=address)
        )
    return message


def _name_address(message: str, answer: Answer) -> str:
    named = name_page(message, answer)
    if named != message:
        return named
    return _add_address(message, answer, lambda address: gettext("The response came from {address}.", address=address))


def _add_address(message: str, answer: Answer, name: Callable[[str], str]) -> str:
    # a query may contain a signature
    address = shorten(str(answer.address).partition("?")[0], 200)
    return join_sentences(message, name(address)) if address and address not in message else message


def _name_target(answer: Answer) -> str:
    target = answer.headers.get("location", "").partition("?")[0]
    return gettext("It redirects to {address}.", address=shorten(target)) if target else ""


async def _parse(content: bytes, what: str) -> Any:
    if len(content) < _LARGE:
        return parse_json(content)
    # an upper bound in bytes, from the number of objects, lists and values
    size = 200 * content.count(b"{") + 90 * content.count(b"[") + 60 * content.count(b",")
    if size > _MOST_MEMORY:
        raise UnexpectedResponse(
            gettext("SwanLab's response to {what} has too many parts to read safely.", what=what),
            hint=gettext("Request less data at once."),
        )
    postpone()
    # even in a thread, the C parser blocks the event loop unless it has a hook that calls Python
    return await asyncio.to_thread(parse_json, content, lambda item: item)


def read_message(answer: Answer) -> str:
    try:
        body = parse_json(answer.content) if len(answer.content) < _LARGE else None
    except (ValueError, RecursionError):
        return ""
    match body:
        case {"message": str(message)} if message:
            return shorten(message, 200)
        case _:
            return ""


def read_trace_id(answer: Answer) -> str:
    return shorten(answer.headers.get("traceid", ""), 64)


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the delay in seconds from Retry-After, which is a number of seconds or a date (RFC 9110, 10.2.3).

    Return `None` if the header is missing or invalid.
    """
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    moment = _read_date(text)
    if moment is None:
        return None
    # the date is relative to SwanLab's clock, not to the local clock
    now = _read_date(headers.get("date", ""))
    return max(0.0, moment - (time.time() if now is None else now))


def _read_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
