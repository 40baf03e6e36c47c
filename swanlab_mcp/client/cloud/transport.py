"""HTTP to one SwanLab server: sign-in, session, retries, limits, and statuses as errors."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from heapq import heappop, heappush
from http import HTTPStatus
from itertools import cycle
from typing import Any, cast
from urllib.parse import quote
from weakref import WeakKeyDictionary

import httpx

from swanlab_mcp import __version__
from swanlab_mcp.client.cloud.answers import Answer, read_json, read_message, read_retry_after, read_trace_id
from swanlab_mcp.client.cloud.destinations import resolve_destination
from swanlab_mcp.client.cloud.network import Network, explain, place_download, refuse_scheme
from swanlab_mcp.core.concurrency import SharedAnswers
from swanlab_mcp.core.errors import (
    AuthenticationFailed,
    InvalidArgument,
    NotLoggedIn,
    PermissionDenied,
    ServerUnavailable,
    UnexpectedResponse,
)
from swanlab_mcp.core.i18n import join_sentences, say
from swanlab_mcp.core.models import MediaFile
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.settings import Settings

__all__ = ["Session", "Transport"]

log = logging.getLogger(__name__)

_TRIES = 5
_LONGEST_WAIT = 20.0
_RETRIED = {429, 500, 502, 503, 504}
# so that the pages of a list of 3,000, or 50 calls at once, take one round trip
_AT_ONCE = 64
_AT_ONCE_IN_ALL = 1024
_RENEWAL = 7 * 86400.0
_LARGEST_ANSWER = 64 * 2**20
_LARGEST_DOWNLOAD = 2**30
_LONGEST_LINE = 2**20
_PIECE = 2**16
_IDLE = 5.0
_LAST_PORT = 65535
_LIMITS = httpx.Timeout(30.0, connect=10.0, pool=None)

_sending: ContextVar[bool] = ContextVar("sending", default=False)


class _Silence(logging.Filter):
    """Keep our requests out of what httpx logs: addresses hold signatures, headers the session."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 whatever it says
        return not _sending.get()


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_Silence())


@dataclass(frozen=True)
class Session:
    """Who is signed in; `renew_at` is a local Unix time in seconds, None when only a 401 can tell."""

    sid: str
    username: str
    name: str
    renew_at: float | None

    def __repr__(self) -> str:
        return f"Session(username={self.username!r})"


class _Lanes:
    """At most 64 clients of which each carries one request at a time.

    httpx's own pool looks at all its connections for each request, which made 30 pages at once cost 2.5 times as much
    processor time (benchmarks/RESULTS.md). The first free lane is taken: questions in turn share one connection.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._clients: list[httpx.AsyncClient] = []
        self._free: list[int] = []
        self._used: dict[int, float] = {}
        self._closing: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def build_request(self, method: str, path: str, **content: Any) -> httpx.Request:
        if not self._clients:
            self._add()
        return self._clients[0].build_request(method, path, **content)

    @asynccontextmanager
    async def take(self) -> AsyncGenerator[httpx.AsyncClient, None]:
        """Wait for a free lane and yield its client."""
        async with self._slots, _get_shared_slots():
            if not self._free:
                self._add()
            number = heappop(self._free)
            try:
                yield self._clients[number]
            finally:
                heappush(self._free, number)
                self._used[number] = time.monotonic()
                if self._closing is None:
                    self._closing = asyncio.create_task(self._close_idle())

    async def aclose(self) -> None:
        if self._closing:
            self._closing.cancel()
        for client in self._clients:
            await client.aclose()

    async def _close_idle(self) -> None:
        """Close connections that were not used for 5 seconds, until none is open; httpx does so at requests only."""
        while self._used:
            await asyncio.sleep(_IDLE / 5)
            for number in [one for one in self._free if time.monotonic() - self._used.get(one, math.inf) > _IDLE]:
                if number in self._free and self._used.pop(number, None) is not None:
                    old, self._clients[number] = self._clients[number], _make_client(self._base_url)
                    await old.aclose()
        self._closing = None

    def _add(self) -> None:
        self._clients.append(_make_client(self._base_url))
        self._free.append(len(self._clients) - 1)


def _get_shared_slots() -> asyncio.Semaphore:
    """Return what bounds the requests of all accounts that this event loop serves."""
    loop = asyncio.get_running_loop()
    if loop not in _shared_slots:
        _shared_slots[loop] = asyncio.Semaphore(_AT_ONCE_IN_ALL)
    return _shared_slots[loop]


_shared_slots = WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]()


class Transport:
    """Requests to `settings.api_host`, at most 64 at once; nothing is opened before the first one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lanes = _Lanes(settings.api_host)
        self._storage: httpx.AsyncClient | None = None
        self._session: Session | None = None
        self._logins = SharedAnswers[Session]()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The API key and the session, if there is one."""
        return tuple(one for one in (self._settings.api_key, self._session and self._session.sid) if one)

    async def get(self, *path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Read the resource at the path segments (each is percent-encoded); raises SwanLabError."""
        return await self._ask("GET", path, params=params)

    async def query(self, *path: str, body: Any) -> Any:
        """Read by POST, as SwanLab's metric queries do; safe to repeat; raises SwanLabError."""
        return await self._ask("POST", path, body=body)

    async def change(self, method: str, *path: str, body: Any = None) -> Any:
        """Change something at SwanLab; return the answer's JSON, None where it is empty. Raises SwanLabError.

        Sent again only if it cannot have arrived. Where nobody can tell whether it was done, the error says so.
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
                say("The session with SwanLab had ended: {what} was not done.", what=what),
                hint=say("Ask again; then it signs in anew."),
                trace_id=read_trace_id(answer),
            )
        if answer.is_success and not answer.content:
            return None
        with _doubt():
            return await read_json(answer, what)

    async def download(self, url: str) -> AsyncGenerator[str, None]:
        """Yield the lines of a presigned text file, at most 1 GB, fetched without our session; raises SwanLabError."""
        async with self._open_download(url) as response, aclosing(_read_body(response, _LARGEST_DOWNLOAD)) as pieces:
            headers = response.headers
            if "content-length" not in headers and not {"transfer-encoding", "content-encoding"} & set(headers):
                raise UnexpectedResponse(say("A download from SwanLab's storage does not tell where it ends."))
            rest = b""
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield line.removesuffix(b"\r").decode(errors="replace")
                if len(rest) > _LONGEST_LINE:
                    raise UnexpectedResponse(say("A download from SwanLab's storage has a line of more than 1 MB."))
            if rest:
                yield rest.decode(errors="replace")

    async def fetch(self, url: str, limit: int) -> MediaFile:
        """Return a presigned file, without its content when it has more than `limit` bytes; raises SwanLabError."""
        async with self._open_download(url) as response:
            told = response.headers.get("content-length", "")
            size = int(told) if told.isdecimal() and "content-encoding" not in response.headers else None
            content = bytearray()
            if size is None or size <= limit:
                async with aclosing(_read_body(response, _LARGEST_DOWNLOAD)) as pieces:
                    async for piece in pieces:
                        content += piece
                        if len(content) > limit:
                            break
                    else:
                        return MediaFile(bytes(content), len(content))
            return MediaFile(None, size)

    @asynccontextmanager
    async def _open_download(self, url: str) -> AsyncGenerator[httpx.Response, None]:
        what = say("a download")
        if self._storage is None:
            # a client of its own: neither the session nor a cookie of it may reach the storage
            self._storage = _make_client()
        storage = self._storage
        try:
            request = storage.build_request("GET", place_download(url, self._settings.api_host))
            name, port = request.url.raw_host.decode("ascii"), request.url.port or 443
        except (httpx.InvalidURL, UnicodeError) as error:
            raise _tell_bad_address() from error
        if not 0 < port <= _LAST_PORT:
            raise _tell_bad_address()
        own = httpx.URL(self._settings.api_host)
        addresses = await resolve_destination(name, port, own.raw_host.decode("ascii"))
        if addresses:
            # connect to what was checked: the name may lead elsewhere the next time
            request.extensions = {**request.extensions, "sni_hostname": name}
        turns = cycle(addresses)

        async def send() -> Answer:
            if addresses:
                request.url = request.url.copy_with(host=next(turns))
            response = await _send_silently(storage, request)
            if response.is_success:
                return Answer(response.status_code, response.headers, opened=response)
            return await _read_whole(response, what)

        answer = await self._exchange(send, what, place=say("The storage of SwanLab"))
        if answer.opened is None:
            await read_json(answer, what)
            raise AssertionError("unreachable: an answer without success raises")
        try:
            yield answer.opened
        except httpx.TransportError as error:
            raise ServerUnavailable(
                say("The storage of SwanLab broke off a download ({kind}).", kind=type(error).__name__),
                hint=say("Ask again."),
                status=0,
            ) from error
        finally:
            await answer.opened.aclose()

    async def sign_in(self, *, refused: Session | None = None) -> Session:
        """Return a session that was not `refused`; concurrent callers share one login. Raises SwanLabError."""
        session = self._session
        if session and session is not refused and (session.renew_at is None or time.time() < session.renew_at):
            return session
        return await self._logins.ask("login", self._log_in)

    async def aclose(self) -> None:
        lanes, self._lanes = self._lanes, _Lanes(self._settings.api_host)
        storage, self._storage = self._storage, None
        await lanes.aclose()
        if storage:
            await storage.aclose()

    async def _log_in(self) -> Session:
        key, source = self._settings.api_key, self._settings.key_source
        if not key:
            raise NotLoggedIn(
                join_sentences(say("No SwanLab API key was found."), *self._settings.problems),
                hint=say(
                    "Sign in: set SWANLAB_API_KEY (the key is on SwanLab's settings page) or run `swanlab login`, "
                    "then restart the server. "
                    "Without an account: start it with --demo, or with --log-dir FOLDER for runs on this machine."
                ),
            )
        if not (key.isascii() and key.isprintable()):
            raise AuthenticationFailed(
                say("The API key from {source} holds characters that no key has.", source=source),
                hint=say("Copy it again from SwanLab's settings page."),
            )
        request = self._build_request("POST", "/api/login/api_key", headers={"authorization": key})
        # a proxy or a path prefix may lead elsewhere: the address says where
        what = say("signing in at {address}", address=request.url)
        answer = await self._exchange(lambda: self._send(request, what), what)
        refuse_scheme(answer, str(request.url))
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise AuthenticationFailed(
                say(
                    "SwanLab at {host} refused the API key from {source}.",
                    host=self._settings.api_host,
                    source=source,
                ),
                hint=say("Check that the key is current and belongs to this host, then restart the server."),
                trace_id=read_trace_id(answer),
            )
        if answer.status == HTTPStatus.FORBIDDEN:
            host, why = self._settings.api_host, read_message(answer)
            raise PermissionDenied(
                say("SwanLab at {host} does not let this account in: {why}.", host=host, why=why)
                if why
                else say("SwanLab at {host} does not let this account in.", host=host),
                hint=say("Its e-mail or phone may not be verified yet: open SwanLab in a browser."),
                trace_id=read_trace_id(answer),
            )
        self._session = _read_session(await read_json(answer, what))
        return self._session

    def _build(
        self, method: str, path: Sequence[str], *, params: Mapping[str, str | int] | None = None, body: Any = None
    ) -> tuple[str, httpx.Request]:
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

    async def _send(self, request: httpx.Request, what: str, session: Session | None = None) -> Answer:
        if session:
            request.headers["cookie"] = f"sid={session.sid}"
        async with self._lanes.take() as http:
            return await _read_whole(await _send_silently(http, request), what)

    async def _exchange(
        self, send: Callable[[], Awaitable[Answer]], what: str, *, is_repeatable: bool = True, place: str = ""
    ) -> Answer:
        """Send until there is an answer worth having: at most 5 tries, and at most 20 s that SwanLab asks to wait."""
        waited = 0.0
        place = place or say("SwanLab at {host}", host=self._settings.api_host)
        for attempt in range(1, _TRIES + 1):
            try:
                answer = await send()
            except httpx.TransportError as error:
                failure = explain(error)
                if failure.message:
                    raise ServerUnavailable(failure.message, hint=failure.hint, status=0) from error
                if not is_repeatable and not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
                    raise ServerUnavailable(
                        say("{place} broke off {what} ({kind}).", place=place, what=what, kind=type(error).__name__),
                        hint=_tell_doubt(),
                        status=0,
                    ) from error
                if attempt == _TRIES:
                    raise ServerUnavailable(
                        say(
                            "{place} did not answer in {tries} tries ({kind}).",
                            place=place,
                            tries=_TRIES,
                            kind=type(error).__name__,
                        ),
                        hint=failure.hint,
                        status=0,
                    ) from error
                asked = 0.0
            else:
                asked = read_retry_after(answer.headers) or 0.0
                waited += asked
                if answer.status not in _RETRIED or not is_repeatable or attempt == _TRIES or waited > _LONGEST_WAIT:
                    return answer
            delay = max(self._pick_delay(attempt), asked)
            log.info("%s: try %d of %d failed, next in %.1f s", what, attempt, _TRIES, delay)
            await asyncio.sleep(delay)
        raise AssertionError("unreachable: the last try returns or raises")

    def _pick_delay(self, attempt: int) -> float:
        # jitter spreads requests that failed together
        return self._settings.backoff * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311 no secret

    def _build_request(self, method: str, path: str, **content: Any) -> httpx.Request:
        if self._settings.host_problem:
            raise InvalidArgument(self._settings.host_problem)
        return self._lanes.build_request(method, path, **content)


@contextmanager
def _doubt() -> Generator[None, None, None]:
    """Let errors of a change say that nobody knows whether it was done."""
    try:
        yield
    except (ServerUnavailable, UnexpectedResponse) as error:
        error.hint = _tell_doubt()
        raise


def _tell_bad_address() -> UnexpectedResponse:
    return UnexpectedResponse(say("SwanLab named a download whose address is not valid."), hint=say("Check the host."))


def _tell_doubt() -> str:
    return say("It is not known whether this was done: look before you ask again.")


def _make_client(base_url: str = "") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=base_url,
        # what else a server may send is not decompressed here
        headers={"user-agent": f"swanlab-mcp-server/{__version__}", "accept-encoding": "gzip"},
        timeout=_LIMITS,
        follow_redirects=False,
        # the environment's proxies and certificates are read there
        transport=Network(),
        trust_env=False,
    )


async def _send_silently(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    token = _sending.set(True)
    try:
        return await http.send(request, stream=True)
    finally:
        _sending.reset(token)


async def _read_whole(response: httpx.Response, what: str) -> Answer:
    """Return an answer with its whole body, at most 64 MB decompressed; close it. Raises UnexpectedResponse."""
    content = bytearray()
    try:
        async with aclosing(_read_body(response, _LARGEST_ANSWER, what)) as pieces:
            async for piece in pieces:
                content += piece
    finally:
        await response.aclose()
    return Answer(response.status_code, response.headers, bytes(content))


async def _read_body(response: httpx.Response, limit: int, what: str = "") -> AsyncGenerator[bytes, None]:
    """Yield a body in small pieces, decompressed here: httpx would blow up all that has arrived at once.

    Raises UnexpectedResponse when it has more than `limit` bytes, or is not the gzip that it claims to be.
    """
    what = what or say("a download")
    told = response.headers.get("content-length", "")
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip"):
        raise UnexpectedResponse(
            say("SwanLab's answer to {what} is compressed in a way that was not asked for.", what=what)
        )
    too_large = UnexpectedResponse(
        say("SwanLab's answer to {what} has more than {size} MB.", what=what, size=limit // 2**20),
        hint=say("Ask for less at once."),
    )
    if told.isdecimal() and int(told) > limit:
        raise too_large
    gzip = _Gzip() if coding == "gzip" else None
    size = 0
    try:
        async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw())) as chunks:
            async for chunk in chunks:
                for piece in gzip.decompress(chunk) if gzip else (chunk,):
                    size += len(piece)
                    if size > limit:
                        raise too_large
                    yield piece
                    # a bomb must not keep others waiting, nor outlast the call's deadline
                    await asyncio.sleep(0)
        if gzip:
            gzip.finish()
    except zlib.error as error:
        raise UnexpectedResponse(
            say("SwanLab's answer to {what} could not be decompressed.", what=what), hint=say("Ask again.")
        ) from error


class _Gzip:
    """Decompress what arrives, in pieces of at most 64 kB; raises zlib.error, at the end too if that is missing."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)
        self._is_whole = True

    def decompress(self, rest: bytes) -> Iterator[bytes]:
        piece = b""
        while rest or (len(piece) == _PIECE and not self._is_whole):
            if self._decoder.eof:
                self._decoder = zlib.decompressobj(wbits=31)
            piece = self._decoder.decompress(rest, _PIECE)
            rest = self._decoder.unconsumed_tail or self._decoder.unused_data
            self._is_whole = self._decoder.eof
            yield piece

    def finish(self) -> None:
        if not self._is_whole:
            raise zlib.error("the end is missing")


def _encode(path: Sequence[str]) -> str:
    for part in path:
        if part in (".", ".."):
            raise InvalidArgument(say("{name!r} cannot be a name in SwanLab.", name=part))
    return "/".join(quote(part, safe="") for part in path)


def _read_session(answer: Any) -> Session:
    match answer:
        case {"sid": str(sid), "userInfo": {"username": str(username), **info}} if sid.isascii() and sid.isprintable():
            return Session(sid, username, str(info.get("name") or ""), _plan_renewal(answer.get("expiredAt")))
        case _:
            raise UnexpectedResponse(
                say("SwanLab's answer to signing in lacks the session or the user."),
                hint=say("Check that the host is a SwanLab API host."),
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
