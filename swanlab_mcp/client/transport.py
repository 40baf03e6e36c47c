"""HTTP to one SwanLab server: sign-in, session, retries, limits, and statuses as errors. The only `import httpx`."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from swanlab_mcp import __version__
from swanlab_mcp.errors import (
    AuthenticationFailed,
    InvalidArgument,
    NotFound,
    NotLoggedIn,
    PermissionDenied,
    RateLimited,
    ServerUnavailable,
    SwanLabError,
    UnexpectedResponse,
)
from swanlab_mcp.models import MediaFile
from swanlab_mcp.settings import Settings
from swanlab_mcp.untrusted import shorten

__all__ = ["Session", "Transport"]

log = logging.getLogger(__name__)

_TRIES = 5
_LONGEST_WAIT = 20.0
_RETRIED = {429, 500, 502, 503, 504}
_AT_ONCE = 8
_RENEWAL = 7 * 86400.0
_LIMITS = httpx.Timeout(30.0, connect=10.0, pool=None)
_SIGN_IN = (
    "Sign in: set SWANLAB_API_KEY (the key is on SwanLab's settings page) or run `swanlab login`, "
    "then restart the server. "
    "Without an account: start it with --demo, or with --log-dir FOLDER for runs on this machine."
)


@dataclass(frozen=True)
class Session:
    """Who is signed in; `renew_at` is a local Unix time in seconds, None when only a 401 can tell."""

    sid: str
    username: str
    name: str
    renew_at: float | None

    def __repr__(self) -> str:
        return f"Session(username={self.username!r})"


class _SessionAuth(httpx.Auth):
    """Carry the session's cookie; after a 401 sign in once more and repeat (wire page, section 1)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        session = await self._transport.sign_in()
        request.headers["cookie"] = f"sid={session.sid}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            session = await self._transport.sign_in(refused=session)
            request.headers["cookie"] = f"sid={session.sid}"
            yield request


class Transport:
    """Requests to `settings.api_host`, at most 8 at once; nothing is opened before the first one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._session: Session | None = None
        self._signing_in: asyncio.Task[Session] | None = None

    async def get(self, *path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Read the resource at the path segments (each is percent-encoded); raises SwanLabError."""
        return await self._ask("GET", path, params=params)

    async def query(self, *path: str, body: Any) -> Any:
        """Read by POST, as SwanLab's metric queries do; safe to repeat; raises SwanLabError."""
        return await self._ask("POST", path, body=body)

    async def change(self, method: str, *path: str, body: Any = None) -> Any:
        """Change something; return the answer's JSON, None where it is empty. Raises SwanLabError.

        Sent once: again only after a 401 or where no connection came about, because SwanLab has then done nothing.
        """
        what = f"{method} /{'/'.join(shorten(part) for part in path)}"
        request = self._open().build_request(method, f"/api/{_encode(path)}", json=body)
        response = await self._exchange(request, what, auth=_SessionAuth(self), is_repeatable=False)
        return None if response.is_success and not response.content.strip() else _read_json(response, what)

    async def download(self, url: str) -> AsyncGenerator[str, None]:
        """Yield the lines of a presigned text file, fetched without our session; raises SwanLabError."""
        async with self._open_download(url) as response:
            async for line in response.aiter_lines():
                yield line

    async def fetch(self, url: str, limit: int) -> MediaFile:
        """Return a presigned file, without its content when it has more than `limit` bytes; raises SwanLabError."""
        async with self._open_download(url) as response:
            told = response.headers.get("content-length", "")
            size = int(told) if told.isdecimal() and "content-encoding" not in response.headers else None
            content = bytearray()
            if size is None or size <= limit:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > limit:
                        break
                else:
                    return MediaFile(bytes(content), len(content))
            return MediaFile(None, size)

    @asynccontextmanager
    async def _open_download(self, url: str) -> AsyncGenerator[httpx.Response, None]:
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL:
            address = httpx.URL("")
        if address.scheme != "https" and address.netloc != httpx.URL(self._settings.api_host).netloc:
            raise UnexpectedResponse("SwanLab named a download that is not encrypted.", hint="Check the host.")
        # a client of its own: neither the session nor a cookie of it may reach the storage
        async with httpx.AsyncClient(timeout=_LIMITS, follow_redirects=False) as http:
            try:
                async with http.stream("GET", address) as response:
                    if not response.is_success:
                        await response.aread()
                        _read_json(response, "a download")
                    yield response
            except httpx.TransportError as error:
                raise ServerUnavailable(
                    f"The storage of SwanLab broke off a download ({type(error).__name__}).",
                    hint="Ask again.",
                    status=0,
                ) from error
            except httpx.DecodingError as error:
                raise UnexpectedResponse(
                    "A download from SwanLab's storage could not be decompressed.", hint="Ask again."
                ) from error

    async def sign_in(self, *, refused: Session | None = None) -> Session:
        """Return a session that was not `refused`; concurrent callers share one login. Raises SwanLabError."""
        session = self._session
        if session and session is not refused and (session.renew_at is None or time.time() < session.renew_at):
            return session
        if self._signing_in is None:
            self._signing_in = asyncio.create_task(self._log_in())
            self._signing_in.add_done_callback(self._end_sign_in)
        return await asyncio.shield(self._signing_in)

    async def aclose(self) -> None:
        if self._signing_in:
            self._signing_in.cancel()
        if self._http:
            await self._http.aclose()
            self._http = None

    def _end_sign_in(self, task: asyncio.Task[Session]) -> None:
        self._signing_in = None
        if not task.cancelled():
            task.exception()  # a failure nobody waits for any more is not worth a warning

    async def _log_in(self) -> Session:
        key, source = self._settings.api_key, self._settings.key_source
        if not key:
            raise NotLoggedIn(" ".join(["No SwanLab API key was found.", *self._settings.problems]), hint=_SIGN_IN)
        if not (key.isascii() and key.isprintable()):
            raise AuthenticationFailed(
                f"The API key from {source} holds characters that no key has.",
                hint="Copy it again from SwanLab's settings page.",
            )
        request = self._open().build_request("POST", "/api/login/api_key", headers={"authorization": key})
        response = await self._exchange(request, "signing in", auth=None)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise AuthenticationFailed(
                f"SwanLab at {self._settings.api_host} refused the API key from {source}.",
                hint="Check that the key is current and belongs to this host, then restart the server.",
                trace_id=_read_trace_id(response),
            )
        if response.status_code == HTTPStatus.FORBIDDEN:
            raise PermissionDenied(
                f"SwanLab at {self._settings.api_host} does not let this account in{_read_message(response)}.",
                hint="Its e-mail or phone may not be verified yet: open SwanLab in a browser.",
                trace_id=_read_trace_id(response),
            )
        self._session = _read_session(_read_json(response, "signing in"))
        return self._session

    async def _ask(
        self, method: str, path: Sequence[str], *, params: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Any:
        what = f"{method} /{'/'.join(shorten(part) for part in path)}"
        request = self._open().build_request(method, f"/api/{_encode(path)}", params=params, json=body)
        response = await self._exchange(request, what, auth=_SessionAuth(self))
        return _read_json(response, what)

    async def _exchange(
        self, request: httpx.Request, what: str, *, auth: httpx.Auth | None, is_repeatable: bool = True
    ) -> httpx.Response:
        """Send until there is an answer worth having: at most 5 tries, for requests that may be repeated."""
        for attempt in range(1, _TRIES + 1):
            try:
                # signing in happens inside an authorised request: a slot for it too could wait for itself
                if auth is None:
                    response = await self._open().send(request, auth=None)
                else:
                    async with self._slots:
                        response = await self._open().send(request, auth=auth)
            except httpx.TransportError as error:
                if not is_repeatable and not isinstance(error, httpx.ConnectError):
                    raise ServerUnavailable(
                        f"SwanLab's answer to {what} was lost ({type(error).__name__}).",
                        hint="Look whether it was done before asking again.",
                        status=0,
                    ) from error
                if attempt == _TRIES:
                    raise ServerUnavailable(
                        f"SwanLab at {self._settings.api_host} did not answer in {_TRIES} tries "
                        f"({type(error).__name__}).",
                        hint="Check the host, the network and the proxy variables; "
                        "`swanlab-mcp-server check` shows what is used.",
                        status=0,
                    ) from error
                delay = self._pick_delay(attempt)
            except httpx.DecodingError as error:
                raise UnexpectedResponse(
                    f"SwanLab's answer to {what} could not be decompressed.", hint="Try again."
                ) from error
            else:
                if not is_repeatable or response.status_code not in _RETRIED or attempt == _TRIES:
                    return response
                asked = _read_retry_after(response)
                if asked is not None and asked > _LONGEST_WAIT:
                    return response
                delay = max(self._pick_delay(attempt), asked or 0.0)
            log.info("%s: try %d of %d failed, next in %.1f s", what, attempt, _TRIES, delay)
            await asyncio.sleep(delay)
        raise AssertionError("unreachable: the last try returns or raises")

    def _pick_delay(self, attempt: int) -> float:
        # jitter spreads requests that failed together
        return self._settings.backoff * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311 no secret

    def _open(self) -> httpx.AsyncClient:
        if self._settings.host_problem:
            raise InvalidArgument(self._settings.host_problem)
        if self._http is None:
            try:
                self._http = httpx.AsyncClient(
                    base_url=self._settings.api_host,
                    headers={"user-agent": f"swanlab-mcp-server/{__version__}"},
                    timeout=_LIMITS,
                    follow_redirects=False,
                )
            except (ImportError, ValueError) as error:
                raise ServerUnavailable(
                    "The proxy that the environment names cannot be used.",
                    hint="Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY (socks proxies need the package socksio).",
                    status=0,
                ) from error
        return self._http


def _encode(path: Sequence[str]) -> str:
    for part in path:
        if part in (".", ".."):
            raise InvalidArgument(f"{part!r} cannot be a name in SwanLab.")
    return "/".join(quote(part, safe="") for part in path)


def _read_retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that SwanLab asks to wait, given as seconds or as an HTTP date (RFC 9110, 10.2.3)."""
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, moment.timestamp() - time.time())


def _read_session(answer: Any) -> Session:
    match answer:
        case {"sid": str(sid), "userInfo": {"username": str(username), **info}} if sid.isascii() and sid.isprintable():
            return Session(sid, username, str(info.get("name") or ""), _plan_renewal(answer.get("expiredAt")))
        case _:
            raise UnexpectedResponse(
                "SwanLab's answer to signing in lacks the session or the user.",
                hint="Check that the host is a SwanLab API host.",
            )


def _plan_renewal(expires: Any) -> float | None:
    """Return when to sign in anew: 7 days before the end, or half-way through a shorter session."""
    try:
        end = datetime.fromisoformat(str(expires).replace("Z", "+00:00"))
    except ValueError:
        return None
    left = (end if end.tzinfo else end.replace(tzinfo=timezone.utc)).timestamp() - time.time()
    if left <= 0:
        return None  # a wrong clock must not mean a login for every request
    return time.time() + (left - _RENEWAL if left > _RENEWAL else left / 2)


def _read_json(response: httpx.Response, what: str) -> Any:
    """Return the answer's JSON, or raise the error that its status means."""
    status, trace_id = response.status_code, _read_trace_id(response)
    if response.is_success:
        try:
            return response.json()
        except (ValueError, RecursionError) as error:
            kind = "empty" if not response.content else "not JSON"
            raise UnexpectedResponse(
                f"SwanLab's answer to {what} is {kind}.",
                hint="Check that the host is a SwanLab API host; a proxy or login page may answer in its place.",
                trace_id=trace_id,
            ) from error
    message = f"SwanLab answered {status} to {what}{_read_message(response)}."
    if status == HTTPStatus.UNAUTHORIZED:
        raise AuthenticationFailed(message, hint="The session was refused twice; check the API key.", trace_id=trace_id)
    if status == HTTPStatus.FORBIDDEN:
        raise PermissionDenied(
            message, hint="Ask the workspace's owner for access, or use another account's key.", trace_id=trace_id
        )
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise NotFound(message, status=status, trace_id=trace_id)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        asked = _read_retry_after(response)
        wait = f"Wait {asked:.0f} seconds, then ask again." if asked else "Wait a minute, then ask again."
        raise RateLimited(message, hint=wait, trace_id=trace_id)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ServerUnavailable(
            message, hint="SwanLab has a problem of its own; try again later.", status=status, trace_id=trace_id
        )
    if status < HTTPStatus.BAD_REQUEST:
        raise UnexpectedResponse(
            message,
            hint="A redirect is not followed: check the host's scheme and name.",
            status=status,
            trace_id=trace_id,
        )
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNPROCESSABLE_ENTITY):
        raise InvalidArgument(message, hint="Check the arguments of the call.", status=status, trace_id=trace_id)
    raise SwanLabError(message, status=status, trace_id=trace_id)


def _read_message(response: httpx.Response) -> str:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return ""
    match body:
        case {"message": str(message)} if message:
            return f": {shorten(message, 200)}"
        case _:
            return ""


def _read_trace_id(response: httpx.Response) -> str:
    return shorten(response.headers.get("traceid", ""), 64)
