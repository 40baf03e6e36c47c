"""The ASGI gateway of the shared server: checks requests, identifies callers and limits concurrency."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from starlette.middleware.cors import CORSMiddleware

from swanlab_mcp.core.errors import AuthenticationFailed, InvalidArgument, PermissionDenied, RateLimited, SwanLabError
from swanlab_mcp.core.i18n import gettext, ngettext, use_language
from swanlab_mcp.core.untrusted import neutralise
from swanlab_mcp.operations.pending import PendingChange, make_failure, pending
from swanlab_mcp.server.accounts import Account, Accounts, caller
from swanlab_mcp.server.addresses import Proxies
from swanlab_mcp.server.audit import Audit, Entry
from swanlab_mcp.server.headers import accept_json, read_headers, read_host
from swanlab_mcp.server.key_map import KeyMap
from swanlab_mcp.server.limits import RETRY_AFTER, Limits, Rates, Refusals, Refused, Slots
from swanlab_mcp.server.messages import Call, read_message
from swanlab_mcp.server.offer import offered, select_tools
from swanlab_mcp.server.readiness import Readiness
from swanlab_mcp.server.table import TOOLS, ToolEntry

if TYPE_CHECKING:
    from swanlab_mcp.server.metrics import Metrics

__all__ = ["PATH", "Gateway"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/mcp"
_READ_ONLY = "/mcp/readonly"
# refusals for these reasons are the caller's own fault
_OF_CALLERS = ("rate", "busy_caller")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# paths that clients request to discover OAuth
_OAUTH_PATHS = ("/.well-known/", "/register", "/authorize", "/token")


class _Exchange:
    """One request and its response.

    `peer` is the address at the other end of the connection. `address` is the address of the caller, which differs from
    `peer` behind a trusted proxy. `name` is the name of the account, or `address` if there is no account.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, entry: Entry | None, proxies: Proxies | None = None
    ) -> None:
        self.scope = scope
        self.headers = read_headers(scope)
        client = scope.get("client")
        self.peer: str = client[0] if client else ""
        forwarded = self.headers.get("x-forwarded-for", "")
        self.address = proxies.find_caller(self.peer, forwarded) if proxies else self.peer
        self.receive = receive
        self.name = ""
        self.call = Call()
        self.change = PendingChange()
        self.entry = entry
        self.is_begun = False
        self._send = send

    async def send(self, part: Message) -> None:
        self.is_begun = True
        if self.entry:
            self.entry.see(part)
        await self._send(part)

    async def refuse(self, refusal: Refused) -> None:
        error = {"code": -32000, "message": refusal.message}
        content = {"jsonrpc": "2.0", "id": self.call.id, "error": error}
        await _answer(self.send, refusal.status, content, refusal.headers)


class Gateway:
    """Passes POST requests for /mcp to `app` if SwanLab accepts the caller's key. Answers /health and /ready directly.

    Requests for /mcp/readonly are limited to the read-only tools in `entries`. A request with the header X-MCP-Tools is
    limited to the tools listed there.

    Callers send their key as a bearer token. If `shares_key` is true, callers without a key use the server's own
    account. If `accounts` is None, as in the demo, no key is required and any key is ignored.

    An origin must match an entry in `allowed_origins` exactly. These entries are meant for schemes such as app://,
    because http and https pages on an allowed host are always accepted.
    """

    def __init__(
        self,
        app: AsgiApp,
        accounts: Accounts | None,
        *,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        shares_key: bool = False,
        limits: Limits | None = None,
        language: str = "en",
        audit: Audit | None = None,
        entries: Sequence[ToolEntry] = TOOLS,
        readiness: Readiness | None = None,
        metrics: Metrics | None = None,
        key_map: KeyMap | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._app = app
        self._accounts = accounts
        self._hosts = {*_LOOPBACK, *(host.lower() for host in allowed_hosts)}
        self._origins = set(allowed_origins)
        self._shares_key = shares_key
        self._key_map = key_map
        self._language = language
        self._audit = audit
        self._entries = entries
        self.readiness = readiness or Readiness(None)
        self.metrics = metrics
        self._slots = Slots(self.limits)
        self._rates = Rates(self.limits)
        self._refusals = Refusals()
        self.proxies = proxies or Proxies()
        self._large_bodies = asyncio.Semaphore(self.limits.large_bodies)
        self._requests: set[asyncio.Task[Any]] = set()
        self._is_ending = False
        if metrics:
            metrics.add_gauge("slots_in_use", "Requests in progress", lambda: self._slots.taken)
            metrics.add_gauge("slots", "Maximum number of requests in progress", lambda: self.limits.requests)
            metrics.add_gauge("callers", "Accounts with a client", lambda: accounts.count if accounts else 0)
        names = "|".join(re.escape(f"[{host}]" if ":" in host else host) for host in sorted(self._hosts))
        self._cors = CORSMiddleware(
            cast("Any", self._handle),
            allow_origins=tuple(self._origins),
            allow_origin_regex=rf"(?i:https?://(?:{names})(?::\d+)?)",
            allow_methods=("POST",),
            allow_headers=("*",),
            expose_headers=("Retry-After",),
        )

    def stop(self) -> None:
        """Cancel all requests in progress, including requests whose body is incomplete.

        Each caller still receives a response.
        """
        self._is_ending = True
        for request in self._requests:
            request.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, partial(self._send_state, send))
            return
        if scope["path"] == "/health":
            # load balancers send an IP address as the Host, and this response reveals only that the server is running
            await _answer(send, 200, {"status": "ok"}, {})
            return
        if scope["path"] == "/ready":
            with use_language(self._language):
                problem = await self.readiness.find_problem()
            content = {"status": "not ready", "reason": problem} if problem else {"status": "ready"}
            await _answer(send, 503 if problem else 200, content, {})
            return
        request = asyncio.current_task()
        assert request
        self._requests.add(request)
        with use_language(self._language):
            try:
                self._check_host(read_headers(scope))
            except Refused as refusal:
                await self._refuse(_Exchange(scope, receive, send, None), refusal)
            else:
                await self._cors(scope, cast("Any", receive), cast("Any", send))
            finally:
                self._requests.discard(request)

    async def _refuse(self, exchange: _Exchange, refusal: Refused) -> None:
        if self.metrics:
            self.metrics.count_refusal(refusal.reason)
        await exchange.refuse(refusal)

    async def _send_state(self, send: Send, message: Message) -> None:
        # close everything now, because the event loop may stop at any time after this message
        if message["type"].startswith("lifespan.shutdown"):
            if self._accounts:
                await self._accounts.aclose()
            if self._audit:
                self._audit.close()
        await send(message)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry = Entry(self._audit, self.metrics) if self._audit or self.metrics else None
        exchange = _Exchange(scope, receive, send, entry, self.proxies)
        token = pending.set(exchange.change)
        try:
            await self._serve(exchange)
        except Refused as refusal:
            await self._refuse(exchange, refusal)
        except asyncio.CancelledError:
            if not self._is_ending or exchange.is_begun:
                raise
            if doubt := exchange.change.doubt:
                # reply with status 200, because an error status could make a proxy or a client repeat the change
                await _answer(exchange.send, 200, make_failure(exchange.call.id, doubt), {})
            else:
                ending = gettext("The server is shutting down.")
                await self._refuse(exchange, Refused(503, ending, reason="ending", **{"retry-after": RETRY_AFTER}))
        finally:
            pending.reset(token)
            if exchange.entry:
                exchange.entry.close(exchange.call, is_doubtful=bool(exchange.change.doubt))

    async def _serve(self, exchange: _Exchange) -> None:
        try:
            await self._pass_on(exchange)
        except Refused as refusal:
            if refusal.reason in _OF_CALLERS:
                await self._refusals.delay(exchange.name)
            raise

    async def _pass_on(self, exchange: _Exchange) -> None:
        scope = exchange.scope
        if scope["path"].startswith(_OAUTH_PATHS):
            advice = gettext("OAuth is not supported; send your SwanLab API key as a bearer token.")
            await _answer(exchange.send, 404, {"error": "not_supported", "error_description": advice}, {})
            return
        path = scope["path"].rstrip("/")
        if path not in (PATH, _READ_ONLY):
            raise Refused(404, gettext("Unknown path; the MCP endpoint is {path}.", path=PATH))
        if scope["method"] == "OPTIONS":
            await _answer(exchange.send, 204, None, {"allow": "POST, OPTIONS"})
            return
        async with AsyncExitStack() as stack:
            account = await self._identify(exchange, stack)
            if scope["method"] != "POST":
                raise Refused(405, gettext("Only POST is supported: there are no sessions or streams."), allow="POST")
            exchange.name = account.name if account else exchange.address
            self._rates.count(exchange.name)
            tools = self._select_tools(exchange.headers, is_read_only=path == _READ_ONLY)
            body, exchange.call, error = read_message(await self._read_body(exchange))
            if error:
                await _answer(exchange.send, 400, error, {})
                return
            stack.enter_context(self._slots.take(account))
            served = {**scope, "path": PATH, "raw_path": PATH.encode(), "headers": accept_json(scope["headers"])}
            token, subset = caller.set(account), offered.set(tools)
            try:
                await _run(self._app, served, body, exchange.receive, exchange.send)
            finally:
                offered.reset(subset)
                caller.reset(token)

    def _select_tools(self, headers: dict[str, str], *, is_read_only: bool) -> frozenset[str] | None:
        """Return the names of the tools that a request may use, or None if all tools are allowed.

        Raises Refused if X-MCP-Tools contains an unknown name.
        """
        wanted = headers.get("x-mcp-tools", "")
        if not wanted and not is_read_only:
            return None
        try:
            chosen = select_tools(self._entries, wanted.split(","))
        except InvalidArgument as error:
            raise Refused(400, f"X-MCP-Tools: {neutralise(error.message)} {error.hint}", reason="tools") from error
        return frozenset(entry.name for entry in chosen if entry.read_only or not is_read_only)

    def _check_host(self, headers: dict[str, str]) -> None:
        """Raise Refused if the Host or Origin header is not allowed, to prevent DNS rebinding."""
        if read_host(f"//{headers.get('host', '')}") not in self._hosts:
            raise Refused(
                421, gettext("The server does not accept this Host; the operator can allow a host with --allowed-host.")
            )
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return
        if not origin.lower().startswith(("http://", "https://")):
            raise Refused(
                403,
                gettext(
                    "The Origin {origin!r} may not send requests; the operator can allow it with --allowed-origin.",
                    origin=neutralise(origin[:100]),
                ),
            )
        if read_host(origin) not in self._hosts:
            raise Refused(
                403,
                gettext(
                    "Pages from this Origin may not send requests; the operator can allow a host with --allowed-host."
                ),
            )

    async def _identify(self, exchange: _Exchange, stack: AsyncExitStack) -> Account | None:
        """Return the account for a request, or None for the server's own account.

        The account is released when `stack` is closed.
        """
        sent = exchange.headers.get("authorization", "")
        kind, _, key = sent.partition(" ")
        account = None
        if self._accounts and self._key_map and (mapped := self._key_map.find(exchange.headers, exchange.peer)):
            # the Authorization header is ignored, because it contains the user's token for the proxy
            account = await self._sign_in(self._accounts, mapped, exchange, stack)
        elif self._accounts and kind.lower() == "bearer" and key.strip():
            account = await self._sign_in(self._accounts, key.strip(), exchange, stack)
        elif self._accounts and (sent or not self._shares_key):
            # no WWW-Authenticate header, because it would make clients start an OAuth login
            raise Refused(
                401, gettext("Send your own SwanLab API key: 'Authorization: Bearer <key>'. OAuth is not supported.")
            )
        if exchange.entry:
            exchange.entry.account = account.name if account else "shared"
        return account

    async def _sign_in(self, accounts: Accounts, key: str, exchange: _Exchange, stack: AsyncExitStack) -> Account:
        if exchange.entry:
            exchange.entry.key = key
        try:
            return await stack.enter_async_context(accounts.use(key, exchange.address))
        except AuthenticationFailed as error:
            raise Refused(401, neutralise(error.message)) from error
        except PermissionDenied as error:
            raise Refused(403, neutralise(error.message)) from error
        except RateLimited as error:
            raise Refused(429, neutralise(error.message), reason="logins", **{"retry-after": RETRY_AFTER}) from error
        except SwanLabError as error:
            raise Refused(503, neutralise(error.message), reason="swanlab", **{"retry-after": RETRY_AFTER}) from error

    async def _read_body(self, exchange: _Exchange) -> bytes:
        length = exchange.headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self.limits.body):
            raise Refused(413, gettext("The body is larger than {size} bytes.", size=self.limits.body))
        try:
            return await asyncio.wait_for(self._collect(exchange.receive), self.limits.body_seconds)
        except asyncio.TimeoutError as error:
            late = ngettext(
                "The body did not arrive within {count:g} second.",
                "The body did not arrive within {count:g} seconds.",
                self.limits.body_seconds,
            )
            raise Refused(408, late) from error

    async def _collect(self, receive: Receive) -> bytes:
        body = bytearray()
        async with AsyncExitStack() as stack:
            is_large = False
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, gettext("The client has disconnected."))
                body += message.get("body", b"")
                if len(body) > self.limits.body:
                    raise Refused(413, gettext("The body is larger than {size} bytes.", size=self.limits.body))
                if not message.get("more_body"):
                    return bytes(body)
                if len(body) > self.limits.large_body and not is_large:
                    # wait for a free slot before receiving the rest of the body
                    await stack.enter_async_context(self._large_bodies)
                    is_large = True


async def _run(app: AsgiApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Run `app` for one request, and cancel it if the caller disconnects."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        if unread:
            return unread.pop()
        return await asyncio.get_running_loop().create_future()

    async def wait_for_end() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    work = asyncio.ensure_future(app(scope, read, send))
    end = asyncio.ensure_future(wait_for_end())
    try:
        await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        is_answered = work.done()
        work.cancel()
        end.cancel()
        await asyncio.wait({work, end})
    if is_answered:
        work.result()


async def _answer(send: Send, status: int, content: Any, headers: dict[str, str]) -> None:
    body = b"" if content is None else json.dumps(content).encode()
    kind = {} if content is None else {"content-type": "application/json", "content-length": str(len(body))}
    pairs = [(name.encode(), value.encode("latin-1", "replace")) for name, value in {**kind, **headers}.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
