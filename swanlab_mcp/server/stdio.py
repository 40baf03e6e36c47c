"""Serve MCP over stdio.

This module replaces the SDK's stdio transport, which drops unreadable messages and leaves the host waiting.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, cast

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server import MCPServer
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, jsonrpc_message_adapter
from pydantic import ValidationError

from swanlab_mcp.server.messages import read_message
from swanlab_mcp.server.sdk import get_lowlevel_server

__all__ = ["serve"]

_Incoming = SessionMessage | Exception


def serve(server: MCPServer[Any], stdout: BinaryIO, then: Callable[[], None]) -> None:
    """Serve on standard input and `stdout` until the input ends, then cancel all calls and run `then`.

    `then` must end the process immediately, because threads still working on cancelled calls would delay a normal exit.
    """

    async def run() -> None:
        lowlevel = get_lowlevel_server(server)
        into, received = anyio.create_memory_object_stream[_Incoming](0)
        sent, out = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read, _claim_stdin(), into, sent.clone())
            tasks.start_soon(_write, stdout, out)
            await lowlevel.run(received, sent, lowlevel.create_initialization_options())
        then()

    anyio.run(run)


def _claim_stdin() -> BinaryIO:
    """Reserve standard input for the protocol and return it. Child processes and other code see an empty input."""
    stdin = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return stdin


async def _read(
    stdin: BinaryIO, into: MemoryObjectSendStream[_Incoming], sent: MemoryObjectSendStream[SessionMessage]
) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with into, sent:
            while line := await to_thread.run_sync(stdin.readline):
                if not line.strip():
                    continue
                message, errors = _parse(line)
                for error in errors:
                    await sent.send(SessionMessage(error))
                if message:
                    await into.send(SessionMessage(message))


def _parse(line: bytes) -> tuple[JSONRPCMessage | None, list[JSONRPCError]]:
    """Return the message in a line, repaired if necessary, and an empty list of error responses.

    If the message is invalid, return None and the error responses to send.
    """
    with suppress(ValidationError):
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        # the SDK treats a request with an invalid id as a notification and does not respond to it
        if not (isinstance(message, JSONRPCNotification) and b'"id"' in line):
            return message, []
    repaired, _, refusal = read_message(line)
    refusals = cast("list[Any]", refusal if isinstance(refusal, list) else [refusal] if refusal else [])
    errors = [JSONRPCError.model_validate(one) for one in refusals]
    return (None if errors else jsonrpc_message_adapter.validate_json(repaired, by_name=False)), errors


async def _write(stdout: BinaryIO, out: MemoryObjectReceiveStream[SessionMessage]) -> None:
    def write(text: str) -> None:
        # if the host has closed the output, the input has ended too, and the server is already stopping
        with suppress(BrokenPipeError):
            stdout.write(text.encode("utf-8", "backslashreplace") + b"\n")
            stdout.flush()

    async with out:
        async for message in out:
            await to_thread.run_sync(write, message.message.model_dump_json(by_alias=True, exclude_unset=True))
