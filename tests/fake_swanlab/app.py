"""The fake's ASGI app, which handles logins, sessions, routing, faults and the request log."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.fake_swanlab import accounts, experiments, metrics
from tests.fake_swanlab.faults import spoil
from tests.fake_swanlab.routing import ApiError, Ask, Routes, answer
from tests.fake_swanlab.state import Call, Session, State, User, show_time

_ROUTES = Routes([*accounts.routes.table, *experiments.routes.table, *metrics.routes.table])
_NOBODY = User("", "", "")


def create_app(state: State) -> ASGIApp:
    """Return an ASGI app that serves `state`, for use with httpx.ASGITransport or an ASGI server."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        state.in_flight += 1
        state.max_in_flight = max(state.max_in_flight, state.in_flight)
        try:
            response = await _respond(state, request)
            await response(scope, receive, send)
        finally:
            state.in_flight -= 1

    return app


async def _respond(state: State, request: Request) -> Response:
    raw_path = request.scope.get("raw_path", b"").split(b"?")[0].decode("latin-1") or request.url.path
    content = await request.body()
    try:
        body = json.loads(content) if content else None
    except ValueError:
        body = None
    call = Call(request.method, raw_path, dict(request.query_params), dict(request.headers), body)
    call.raw_query = request.url.query
    state.calls.append(call)
    state.arrived.set()
    if state.latency:
        await anyio.sleep(state.latency)
    fault = next((one for one in state.faults if one.takes(call.method, raw_path, call.query)), None)
    if fault:
        await fault.wait(request.receive)
    if fault and (fault.status is not None or fault.body is not None):
        response = Response(fault.body or b"", fault.status or 200, dict(fault.headers))
    else:
        response = await _answer(state, call, str(request.base_url).rstrip("/"))
    response.headers["traceid"] = f"trace-{len(state.calls)}"
    call.status = response.status_code
    return spoil(response, fault) if fault else response


async def _answer(state: State, call: Call, base_url: str) -> Response:
    try:
        if call.method == "POST" and call.raw_path == "/api/login/api_key":
            return _sign_in(state, call)
        ask = Ask(state, _NOBODY, call.query, call.headers, call.body, base_url)
        if call.method == "GET" and call.raw_path.startswith("/storage/"):
            return metrics.read_storage(ask, call.raw_path.removeprefix("/storage/"))
        if not call.raw_path.startswith("/api/"):
            raise ApiError(404, "Not found")
        ask.user = _find_user(state, call)
        if any(re.search(path, call.raw_path) for path in state.variants.lacking):
            raise ApiError(state.variants.missing_status, "Not found")
        handler, ask.names = _ROUTES.find(call.method, call.raw_path)
        return answer(handler(ask))
    except ApiError as error:
        code: Any = error.status if state.variants.error_codes_are_numbers else f"E{error.status}"
        return JSONResponse({"code": code, "message": error.message}, error.status)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return JSONResponse({"code": "E400", "message": f"Malformed request: {error!r}"}, 400)


def _sign_in(state: State, call: Call) -> Response:
    key = call.headers.get("authorization", "")
    user = next((user for user in state.users if user.api_key == key), None)
    if user is None:
        raise ApiError(401, "API key invalid")
    if not user.is_verified:
        raise ApiError(403, "Account not verified")
    state.logins += 1
    sid = f"sid-canary-{state.logins}"
    ends = time.monotonic() + state.session_days * 86400
    state.sessions[sid] = Session(user, ends) if state.session_days > 0 else Session(user)
    expires = datetime.now(timezone.utc) + timedelta(days=state.session_days)
    return JSONResponse(
        {"sid": sid, "expiredAt": show_time(expires), "userInfo": {"username": user.username, "name": user.name}}
    )


def _find_user(state: State, call: Call) -> User:
    cookies = dict(part.strip().partition("=")[::2] for part in call.headers.get("cookie", "").split(";"))
    session = state.sessions.get(cookies.get("sid", ""))
    if session is None or session.ends <= time.monotonic():
        raise ApiError(401, "Session expired")
    return session.user
