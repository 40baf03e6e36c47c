"""The shared server's door: which requests come in, whose they are, and how many at once (ASGI)."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from swanlab_mcp.core.errors import AuthenticationFailed, PermissionDenied, SwanLabError
from swanlab_mcp.core.i18n import say, speak
from swanlab_mcp.core.untrusted import neutralise
from swanlab_mcp.server.accounts import Account, Accounts, caller

__all__ = ["Gateway", "Limits", "is_loopback", "serve_http"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_PATH = "/mcp"
_RETRY_AFTER = "2"
_GRACE = 0.5
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Limits:
    """The most that callers may use: bytes of a body, seconds for it to arrive, requests at once in all and of each."""

    body: int = 1 << 20
    body_seconds: float = 10.0
    requests: int = 64
    requests_per_caller: int = 16


class _Refused(Exception):
    def __init__(self, status: int, message: str, **headers: str) -> None:
        self.status = status
        self.message = message
        self.headers = headers
        super().__init__(message)


class Gateway:
    """Lets POST /mcp through to `app` for callers whose key SwanLab accepts; answers /health itself.

    A caller's key is the bearer token. `shares_key`: whoever brings none works with the server's own account. Without
    `accounts` (the demo) nobody needs a key, and none is looked at.
    """

    def __init__(
        self,
        app: AsgiApp,
        accounts: Accounts | None,
        *,
        allowed_hosts: Iterable[str] = (),
        shares_key: bool = False,
        limits: Limits | None = None,
        language: str = "en",
    ) -> None:
        self._app = app
        self._accounts = accounts
        self._hosts = {*_LOOPBACK, *(host.lower() for host in allowed_hosts)}
        self._shares_key = shares_key
        self._limits = limits or Limits()
        self._language = language
        self._under_way: dict[Account | None, int] = {}
        self._requests: set[asyncio.Task[Any]] = set()
        self._is_ending = False

    def stop(self) -> None:
        """Stop the requests under way, those with half a body too: what is not answered yet gets 503."""
        self._is_ending = True
        for request in self._requests:
            request.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, partial(self._send_state, send))
            return
        is_begun = False

        async def tell(part: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(part)

        request = asyncio.current_task()
        assert request
        self._requests.add(request)
        with speak(self._language):
            try:
                await self._serve(scope, receive, tell)
            except _Refused as refusal:
                await _refuse(tell, refusal)
            except asyncio.CancelledError:
                if not self._is_ending or is_begun:
                    raise
                await _refuse(tell, _Refused(503, say("The server is ending."), **{"retry-after": _RETRY_AFTER}))
            finally:
                self._requests.discard(request)

    async def _send_state(self, send: Send, message: Message) -> None:
        # once this is told, the event loop may end at any moment
        if self._accounts and message["type"].startswith("lifespan.shutdown"):
            await self._accounts.aclose()
        await send(message)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _read_headers(scope)
        if scope["path"] == "/health":
            # balancers ask by address: no matter which Host, it tells nothing but that it is there
            await _answer(send, 200, {"status": "ok"}, {})
            return
        if scope["path"] != _PATH:
            raise _Refused(404, say("There is nothing here; the MCP endpoint is {path}.", path=_PATH))
        self._check_host(headers)
        if scope["method"] != "POST":
            raise _Refused(405, say("Only POST is served: there are no sessions or streams."), allow="POST")
        async with AsyncExitStack() as stack:
            account = await self._admit(headers, stack)
            body = await self._read_body(headers, receive)
            token = caller.set(account)
            try:
                await _run(self._app, scope, body, receive, send)
            finally:
                caller.reset(token)

    def _check_host(self, headers: dict[str, str]) -> None:
        """Refuse names that are not ours: a page that has its own name point here must get no answer."""
        if _read_host(f"//{headers.get('host', '')}") not in self._hosts:
            raise _Refused(421, say("This Host is not served; the operator allows one with --allowed-host."))
        origin = headers.get("origin")
        if origin is not None and (not origin.startswith("http") or _read_host(origin) not in self._hosts):
            raise _Refused(403, say("Pages of this Origin may not call; the operator allows one with --allowed-host."))

    async def _admit(self, headers: dict[str, str], stack: AsyncExitStack) -> Account | None:
        """Return whose request this is, None for the server's own account, and count it while `stack` is open."""
        kind, _, key = headers.get("authorization", "").partition(" ")
        account = None
        if self._accounts and kind.lower() == "bearer" and key.strip():
            account = await self._sign_in(self._accounts, key.strip(), stack)
        elif self._accounts and (headers.get("authorization") or not self._shares_key):
            raise _Refused(
                401,
                say("Send your own SwanLab API key: 'Authorization: Bearer <key>'."),
                **{"www-authenticate": 'Bearer realm="SwanLab API key"'},
            )
        ours = self._under_way.get(account, 0)
        is_full = sum(self._under_way.values()) >= self._limits.requests
        if is_full or (account is not None and ours >= self._limits.requests_per_caller):
            told = (
                say("The server is busy; try again in {seconds} seconds.", seconds=_RETRY_AFTER)
                if is_full
                else say("Too many of your calls are busy; try again in {seconds} seconds.", seconds=_RETRY_AFTER)
            )
            raise _Refused(503, told, **{"retry-after": _RETRY_AFTER})
        self._under_way[account] = ours + 1
        stack.callback(self._leave, account)
        return account

    def _leave(self, account: Account | None) -> None:
        self._under_way[account] -= 1
        if not self._under_way[account]:
            del self._under_way[account]

    async def _sign_in(self, accounts: Accounts, key: str, stack: AsyncExitStack) -> Account:
        try:
            return await stack.enter_async_context(accounts.use(key))
        except AuthenticationFailed as error:
            challenge = 'Bearer realm="SwanLab API key", error="invalid_token"'
            raise _Refused(401, neutralise(error.message), **{"www-authenticate": challenge}) from error
        except PermissionDenied as error:
            raise _Refused(403, neutralise(error.message)) from error
        except SwanLabError as error:
            raise _Refused(503, neutralise(error.message), **{"retry-after": _RETRY_AFTER}) from error

    async def _read_body(self, headers: dict[str, str], receive: Receive) -> bytes:
        told = headers.get("content-length", "")
        if told.isdecimal() and int(told) > self._limits.body:
            raise _Refused(413, say("The body has more than {size} bytes.", size=self._limits.body))
        try:
            return await asyncio.wait_for(self._collect(receive), self._limits.body_seconds)
        except asyncio.TimeoutError as error:
            raise _Refused(
                408, say("The body did not arrive within {seconds:g} seconds.", seconds=self._limits.body_seconds)
            ) from error

    async def _collect(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refused(400, say("The caller has gone."))
            body += message.get("body", b"")
            if len(body) > self._limits.body:
                raise _Refused(413, say("The body has more than {size} bytes.", size=self._limits.body))
            if not message.get("more_body"):
                return bytes(body)


async def _run(app: AsgiApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Let `app` answer; when the caller goes away, stop it."""
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


async def _refuse(send: Send, refusal: _Refused) -> None:
    error = {"code": -32000, "message": refusal.message}
    await _answer(send, refusal.status, {"jsonrpc": "2.0", "id": None, "error": error}, refusal.headers)


async def _answer(send: Send, status: int, content: dict[str, Any], headers: dict[str, str]) -> None:
    body = json.dumps(content).encode()
    told = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    pairs = [(name.encode(), value.encode("latin-1", "replace")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _read_headers(scope: Scope) -> dict[str, str]:
    """Return the headers; of a name that comes twice, nothing that could be judged in one way and used in another."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        found[key] = f"{found[key]}, {value.decode('latin-1')}" if key in found else value.decode("latin-1")
    return found


def _read_host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve_http(app: Gateway, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM, then end within a second; their handlers as set before are called at the end.

    Raises OSError where the address cannot be had. Port 0 takes a free one.
    """
    import uvicorn  # noqa: PLC0415 who serves stdio must not wait for it

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # that requests are stopped is no error, and they are told
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            asyncio.get_running_loop().call_later(_GRACE, app.stop)
            await super().shutdown(sockets)

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=512)
    shown = f"[{host}]" if ":" in host else host
    sys.stderr.write(f"serving MCP on http://{shown}:{listener.getsockname()[1]}{_PATH}\n")
    sys.stderr.flush()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    Server(config).run(sockets=[listener])
