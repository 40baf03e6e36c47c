"""Send log records to the assistant whose request caused them."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import LOG_LEVEL_META_KEY, EmptyResult, LoggingMessageNotification, SetLevelRequestParams

from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.server.context import App
from swanlab_mcp.server.sdk import get_lowlevel_server

__all__ = ["add_log_messages"]

_MOST_RECORDS = 100
_LONGEST_RECORD = 1000
# the protocol's log levels (RFC 5424) and the corresponding levels in `logging`
_LEVELS = {
    "debug": 10,
    "info": 20,
    "notice": 25,
    "warning": 30,
    "error": 40,
    "critical": 50,
    "alert": 50,
    "emergency": 50,
}


def add_log_messages(server: MCPServer[App]) -> None:
    """Send the log records from each request to the client, together with the result.

    The client chooses the minimum level. In protocol revisions with a handshake, the level applies to the session. In
    newer revisions, each request sets its own level. Records below `--log-level` are never sent.
    """
    levels: WeakKeyDictionary[App, int] = WeakKeyDictionary()

    async def set_level(ctx: ServerRequestContext[App, Any], params: SetLevelRequestParams) -> EmptyResult:
        levels[ctx.lifespan_context] = _LEVELS[params.level]
        return EmptyResult()

    async def send_records(ctx: ServerRequestContext[App, Any], call_next: CallNext) -> HandlerResult:
        app = ctx.lifespan_context
        level = _LEVELS.get(str((ctx.meta or {}).get(LOG_LEVEL_META_KEY)), levels.get(app))
        if level is None:
            return await call_next(ctx)
        token = _records.set(records := [])
        try:
            result = await call_next(ctx)
        finally:
            _records.reset(token)
        for record in records:
            if record.levelno >= level:
                data = shorten(app.mask(record.getMessage()), _LONGEST_RECORD)
                params = {"level": record.levelname.lower(), "logger": record.name, "data": data}
                message = LoggingMessageNotification.model_validate({"params": params})
                await ctx.session.send_notification(message, ctx.request_id)
        return result

    get_lowlevel_server(server).add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    server.middleware.append(send_records)


class _Keeper(logging.Handler):
    """Collects the log records from the current request."""

    def emit(self, record: logging.LogRecord) -> None:
        records = _records.get()
        if records is not None and len(records) < _MOST_RECORDS:
            records.append(record)


_records: ContextVar[list[logging.LogRecord] | None] = ContextVar("records", default=None)
logging.getLogger("swanlab_mcp").addHandler(_Keeper())
