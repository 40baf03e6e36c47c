"""Send HTTP requests to a SwanLab server: log in, renew the session, and raise an exception for an error status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from swanlab_mcp.client.cloud.answers import Answer, name_page, read_json, read_message, read_trace_id
from swanlab_mcp.client.cloud.bodies import read_whole
from swanlab_mcp.client.cloud.connections import Connections, Request
from swanlab_mcp.client.cloud.downloads import Storage
from swanlab_mcp.client.cloud.network import refuse_scheme
from swanlab_mcp.client.cloud.retries import describe_doubt, exchange
from swanlab_mcp.client.cloud.session import Session, read_session
from swanlab_mcp.core.concurrency import SharedAnswers
from swanlab_mcp.core.errors import (
    AuthenticationFailed,
    InvalidArgument,
    NotFound,
    NotLoggedIn,
    PermissionDenied,
    ServerUnavailable,
    UnexpectedResponse,
)
from swanlab_mcp.core.i18n import gettext, join_sentences
from swanlab_mcp.core.models import MediaFile
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.settings import Settings

__all__ = ["Session", "Transport", "probe"]

_PROBE = 4.0


async def probe(settings: Settings) -> None:
    """Check that SwanLab responds to a request without a key, with any status below 500. Raises ServerUnavailable."""
    transport = Transport(replace(settings, backoff=0.1))
    try:
        await asyncio.wait_for(transport.reach(), _PROBE)
    except asyncio.TimeoutError as error:
        server = gettext("SwanLab at {host}", host=settings.api_host)
        raise ServerUnavailable(gettext("{server} does not answer.", server=server), status=0) from error
    finally:
        await transport.aclose()


class Transport:
    """Sends requests to `settings.api_host`, at most 64 at a time. No connection is opened until the first request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections = Connections(settings.api_host)
        self._storage = Storage(settings)
        self._session: Session | None = None
        self._logins = SharedAnswers[Session]()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the API key and the session id, if they are set."""
        return tuple(one for one in (self._settings.api_key, self._session and self._session.sid) if one)

    async def get(self, *path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Send a GET request. The segments of `path` are percent-encoded. Raises SwanLabError."""
        return await self._ask("GET", path, params=params)

    async def query(self, *path: str, body: Any) -> Any:
        """Send a POST request that only reads data, as SwanLab's metric queries require. It may be retried.

        Raises SwanLabError.
        """
        return await self._ask("POST", path, body=body)

    async def change(self, method: str, *path: str, body: Any = None) -> Any:
        """Send a request that changes data. Return the response's JSON, or `None` if it is empty. Raises SwanLabError.

        The request is retried only if it was never delivered. If the outcome is unknown, the error says so.
        """
        what, request = self._build(method, path, body=body)
        session: Session | None = None

        async def send() -> Answer:
            nonlocal session
            session = await self.sign_in()
            with _doubt():
                return await self._send(request, what, session)

        answer = await self._exchange(send, what, is_repeatable=False)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            if self._session is session:
                self._session = None
            raise AuthenticationFailed(
                gettext("The session with SwanLab had expired, so {what} was rejected.", what=what),
                hint=gettext("Send the request again; the server will log in again."),
                trace_id=read_trace_id(answer),
            )
        if answer.is_success and not answer.content:
            return None
        with _doubt():
            return await read_json(answer, what)

    def download(self, url: str) -> AsyncGenerator[str, None]:
        """Yield the lines of a text file at a presigned URL. Raises SwanLabError, including for files above 1 GB."""
        return self._storage.read_lines(url)

    async def fetch(self, url: str, limit: int) -> MediaFile:
        """Return the file at a presigned URL, without its content if it exceeds `limit` bytes. Raises SwanLabError."""
        return await self._storage.fetch(url, limit)

    async def sign_in(self, *, refused: Session | None = None) -> Session:
        """Return the current session, or log in if it is missing, expiring or `refused`. Raises SwanLabError.

        Concurrent callers share one login.
        """
        session = self._session
        if session and session is not refused and (session.renew_at is None or time.time() < session.renew_at):
            return session
        return await self._logins.ask("login", self._log_in)

    async def reach(self) -> None:
        """Send a request without a session. Raises ServerUnavailable if SwanLab does not respond properly."""
        what, request = self._build("GET", ("user", "profile"))
        answer = await self._exchange(lambda: self._send(request, what), what)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            server = gettext("SwanLab at {host}", host=self._settings.api_host)
            raise ServerUnavailable(gettext("{server} returned status {status}.", server=server, status=answer.status))

    async def aclose(self) -> None:
        connections, self._connections = self._connections, Connections(self._settings.api_host)
        await connections.aclose()
        await self._storage.aclose()

    async def _log_in(self) -> Session:
        key, source = self._settings.api_key, self._settings.key_source
        if not key:
            raise NotLoggedIn(
                join_sentences(gettext("No SwanLab API key was found."), *self._settings.problems),
                hint=gettext(
                    "Log in: set SWANLAB_API_KEY (the key is on SwanLab's settings page) or run "
                    "`swanlab login`, then restart the server. Without an account: start the server "
                    "with --demo, or with --log-dir FOLDER for runs on this machine."
                ),
            )
        if not (key.isascii() and key.isprintable()):
            raise AuthenticationFailed(
                gettext("The API key from {source} contains characters that are invalid in a key.", source=source),
                hint=gettext("Copy it again from SwanLab's settings page."),
            )
        request = self._build_request("POST", "/api/login/api_key", headers={"authorization": key})
        # name the URL, because a proxy or a path prefix may redirect the request
        what = gettext("logging in at {address}", address=request.url)
        answer = await self._exchange(lambda: self._send(request, what), what)
        refuse_scheme(answer, str(request.url))
        if answer.status == HTTPStatus.UNAUTHORIZED:
            message = gettext(
                "SwanLab at {host} refused the API key from {source}.", host=self._settings.api_host, source=source
            )
            raise AuthenticationFailed(
                name_page(message, answer),
                hint=gettext("Check that the key is valid and belongs to this host, then restart the server."),
                trace_id=read_trace_id(answer),
            )
        if answer.status == HTTPStatus.FORBIDDEN:
            host, why = self._settings.api_host, read_message(answer)
            raise PermissionDenied(
                gettext("SwanLab at {host} denies access to this account: {why}.", host=host, why=why)
                if why
                else name_page(gettext("SwanLab at {host} denies access to this account.", host=host), answer),
                hint=gettext("The account's e-mail or phone may not be verified yet: open SwanLab in a browser."),
                trace_id=read_trace_id(answer),
            )
        try:
            found = await read_json(answer, what)
        except (NotFound, UnexpectedResponse) as error:
            # a common reason is a path prefix that was ignored
            error.hint = join_sentences(
                gettext("Check that the host is a SwanLab API host; a proxy or login page may be answering instead."),
                *self._settings.problems,
            )
            raise
        self._session = read_session(found)
        return self._session

    def _build(
        self, method: str, path: Sequence[str], *, params: Mapping[str, str | int] | None = None, body: Any = None
    ) -> tuple[str, Request]:
        what = f"{method} /{'/'.join(shorten(part) for part in path)}"
        return what, self._build_request(method, f"/api/{_encode(path)}", params=params, json=body)

    async def _ask(
        self, method: str, path: Sequence[str], *, params: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Any:
        what, request = self._build(method, path, params=params, body=body)

        async def send() -> Answer:
            session = await self.sign_in()
            answer = await self._send(request, what, session)
            if answer.status == HTTPStatus.UNAUTHORIZED:
                answer = await self._send(request, what, await self.sign_in(refused=session))
            return answer

        return await read_json(await self._exchange(send, what), what)

    async def _send(self, request: Request, what: str, session: Session | None = None) -> Answer:
        if session:
            request.headers["cookie"] = f"sid={session.sid}"
        async with self._connections.send(request) as response:
            answer = await read_whole(response, what)
        return answer._replace(address=request.url)

    async def _exchange(
        self, send: Callable[[], Awaitable[Answer]], what: str, *, is_repeatable: bool = True
    ) -> Answer:
        server = gettext("SwanLab at {host}", host=self._settings.api_host)
        return await exchange(send, what, server, backoff=self._settings.backoff, is_repeatable=is_repeatable)

    def _build_request(self, method: str, path: str, **content: Any) -> Request:
        if self._settings.host_problem:
            raise InvalidArgument(self._settings.host_problem)
        return self._connections.build_request(method, path, **content)


@contextmanager
def _doubt() -> Generator[None, None, None]:
    """If the outcome of a write is unknown, say so in the hint of the error."""
    try:
        yield
    except (ServerUnavailable, UnexpectedResponse) as error:
        error.hint = describe_doubt()
        raise


def _encode(path: Sequence[str]) -> str:
    for part in path:
        if part in (".", ".."):
            raise InvalidArgument(gettext("SwanLab does not allow the name {name!r}.", name=part))
    return "/".join(quote(part, safe="") for part in path)
