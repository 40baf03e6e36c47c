"""`serve`: serve MCP over stdio or HTTP."""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from swanlab_mcp import __version__
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.observation import observe
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.settings import Settings

__all__ = ["divert_stdout", "end", "end_on_signals", "run", "start_server"]

_SHORTEST_SECRET = 32


def run(settings: Settings, arguments: argparse.Namespace, protocol: BinaryIO | None) -> int:
    """Serve until standard input ends or a signal arrives, and return the exit code.

    `protocol` is the stream for stdio responses, or None for HTTP.
    """
    if getattr(arguments, "transport", "stdio") == "http":
        return _serve_http(settings, arguments)
    server = start_server(settings, arguments)
    from swanlab_mcp.server.stdio import serve

    if sys.stdin.isatty():
        text = gettext(
            "swanlab-mcp-server {version} is waiting for an MCP client (Claude, Cursor, VS "
            "Code, …) on standard input.\nTo call a tool by hand instead:  swanlab-mcp-server "
            "--demo call list_project_exps project=digits-mlp\nCtrl-C stops the server.",
            version=__version__,
        )
        print(text, file=sys.stderr)
    assert protocol is not None
    serve(server, protocol, then=lambda: end(0))
    return 0


def start_server(settings: Settings, arguments: argparse.Namespace) -> Any:
    """Create the MCP server. Exits with code 2 if `--tools` names an unknown tool."""
    # pause the garbage collector, because the imports create 100,000 permanent objects and collections would take up a
    # tenth of the startup time
    gc.disable()
    from swanlab_mcp.server.app import create_server

    try:
        server = create_server(settings, log_level=arguments.log_level)
    except InvalidArgument as error:
        print(f"--tools: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    gc.freeze()
    gc.enable()
    return server


def divert_stdout() -> BinaryIO:
    """Reserve standard output for the protocol, and install signal handlers that exit immediately.

    Return the stream for the protocol. All other output now goes to standard error, including output from imports,
    threads, C code and child processes.
    """
    # without these handlers, the SDK's loop would react to Ctrl-C only when standard input ends
    protocol = os.fdopen(os.dup(1), "wb")
    end_on_signals(lambda number: _close_stdio(protocol, number))
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
    return protocol


def end_on_signals(before: Callable[[int], None] | None = None, *, hangs_up: bool = True) -> None:
    """Call `before` with the signal number and exit immediately on SIGINT or SIGTERM.

    If `hangs_up` is true, do the same on SIGHUP.
    """

    def stop(number: int, _frame: object) -> None:
        if before:
            before(number)
        end(128 + number)

    for name in ("SIGINT", "SIGTERM", *(["SIGHUP"] if hangs_up else [])):
        if number := getattr(signal, name, None):
            signal.signal(number, stop)


def _close_stdio(protocol: BinaryIO, number: int) -> None:
    _answer_changes(protocol)
    if number == getattr(signal, "SIGHUP", None):
        text = gettext("Stopped by {signal}.", signal="SIGHUP")
        # writing fails if the terminal no longer exists
        with suppress(OSError):
            os.write(2, f"{text}\n".encode())


def _answer_changes(protocol: BinaryIO) -> None:
    """Respond to calls whose change is still in progress, because a host that gets no response may retry."""
    if "swanlab_mcp.operations.pending" not in sys.modules:
        return
    from swanlab_mcp.operations.pending import find_in_flight, make_failure

    for change in find_in_flight():
        if change.request_id is not None:
            line = json.dumps(make_failure(change.request_id, change.doubt))
            # start a new line, because part of another message may already have been written
            with suppress(OSError):
                os.write(protocol.fileno(), f"\n{line}\n".encode())


def end(code: int) -> NoReturn:
    """Exit without waiting for threads, because threads that are reading input or computing cannot be stopped."""
    os._exit(code)


def _find_http_problem(settings: Settings, arguments: argparse.Namespace) -> str:
    """Return an error message if the HTTP settings are invalid or would expose the server without an explicit option.

    Return an empty string if there is no problem.
    """
    from swanlab_mcp.server.addresses import is_loopback

    problem = settings.host_problem
    if not is_loopback(arguments.http_host) and not arguments.allowed_host:
        problem = gettext(
            "Listening on {address} needs --allowed-host NAME, the name or address that "
            "clients use. Every request carries a key, so put an HTTPS proxy in front of the "
            "server.",
            address=arguments.http_host,
        )
    if settings.allow_writes and len(settings.confirmation_secret) < _SHORTEST_SECRET:
        problem = gettext(
            "With --allow-writes, set SWANLAB_MCP_CONFIRMATION_SECRET to at least {count} "
            "random characters, the same for all workers: it signs the confirmations.",
            count=_SHORTEST_SECRET,
        )
    if arguments.shared_key and not (settings.api_key or settings.log_dirs):
        problem = gettext("--shared-key shares the server's own key, but the server has none: set SWANLAB_API_KEY.")
    if arguments.shared_key and settings.admin_tools:
        problem = gettext("With --shared-key, --admin-tools would show the server's users to everyone.")
    if arguments.key_map and not is_loopback(arguments.http_host) and not settings.proxy_secret:
        problem = gettext(
            "To listen on {address} with --key-map, set SWANLAB_MCP_PROXY_SECRET: the proxy sends it in "
            "X-Proxy-Secret, so that no other machine can impersonate a person.",
            address=arguments.http_host,
        )
    if arguments.key_map and settings.proxy_secret and len(settings.proxy_secret) < _SHORTEST_SECRET:
        problem = gettext("SWANLAB_MCP_PROXY_SECRET needs at least {count} random characters.", count=_SHORTEST_SECRET)
    for origin in arguments.allowed_origin:
        if origin != "null" and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^/*\s]+", origin):
            problem = gettext(
                "--allowed-origin takes an origin in the form that browsers send, such as "
                "app://obsidian.md, not {origin!r}.",
                origin=shorten(origin),
            )
    if arguments.rate < 0:
        problem = gettext("--rate takes a number of requests per minute, not {rate}.", rate=arguments.rate)
    return problem


def _hold_hangups() -> list[int]:
    """Record SIGHUP signals until the server can reload, because SIGHUP ends a process that does not handle it.

    Return the list to which received signals are added.
    """
    held: list[int] = []
    if number := getattr(signal, "SIGHUP", None):
        signal.signal(number, lambda number, _frame: held.append(number))
    return held


def _reload_on_hangups(held: list[int], reload: Callable[[], None]) -> None:
    """Call `reload` on each SIGHUP, and once immediately if `_hold_hangups` has recorded a signal."""
    if number := getattr(signal, "SIGHUP", None):
        signal.signal(number, lambda _number, _frame: reload())
    if held:
        reload()


def _serve_http(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run the shared server over HTTP and return the exit code."""
    # if standard input is a terminal, SIGHUP means that the terminal was closed
    is_service = not sys.stdin.isatty()
    held = _hold_hangups() if is_service else []
    from swanlab_mcp.server.addresses import Proxies
    from swanlab_mcp.server.audit import Audit
    from swanlab_mcp.server.http import create_http_app
    from swanlab_mcp.server.key_map import KeyMap
    from swanlab_mcp.server.limits import Limits
    from swanlab_mcp.server.listening import serve_http
    from swanlab_mcp.server.reloading import make_reload, read_limits

    problem = _find_http_problem(settings, arguments)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    try:
        audit = Audit(arguments.audit) if arguments.audit else None
    except OSError as error:
        path = shorten(arguments.audit)
        print(gettext("The audit log {path} cannot be written: {why}.", path=path, why=error.strerror), file=sys.stderr)
        return 2
    options = Limits(rate=arguments.rate)
    try:
        limits = read_limits(arguments.limits, options) if arguments.limits else replace(options)
        keys = None
        if arguments.key_map:
            keys = KeyMap(arguments.key_map, arguments.user_header, settings.proxy_secret)
        metrics = _serve_metrics(arguments)
        app = create_http_app(
            settings,
            allowed_hosts=arguments.allowed_host,
            allowed_origins=arguments.allowed_origin,
            shared_key=arguments.shared_key,
            log_level=arguments.log_level,
            limits=limits,
            audit=audit,
            metrics=metrics,
            key_map=keys,
            proxies=Proxies(arguments.trusted_proxy),
        )
    except InvalidArgument as error:
        print(error, file=sys.stderr)
        return 2
    parts = {"keys": keys.reload} if keys else {}
    reload = make_reload(limits, arguments.limits, options, parts, settings.language)
    end_on_signals(hangs_up=not is_service)
    if is_service:
        _reload_on_hangups(held, reload)
    try:
        serve_http(app, arguments.http_host, arguments.http_port, arguments.drain, reload if is_service else None)
    except (OSError, OverflowError) as error:
        address = f"{arguments.http_host}:{arguments.http_port}"
        print(gettext("Cannot listen on {address}: {why}.", address=address, why=error), file=sys.stderr)
        return 1
    return 0


def _serve_metrics(arguments: argparse.Namespace) -> Any:
    """Start the metrics endpoint and return the metrics, or return None if no metrics port was given.

    Raises InvalidArgument if prometheus-client is not installed or the port is unavailable.
    """
    if arguments.metrics_port is None:
        return None
    try:
        from swanlab_mcp.server.metrics import Metrics
    except ImportError as error:
        raise InvalidArgument(
            gettext("--metrics-port needs the package prometheus-client."),
            hint=gettext("Install it with: pip install 'swanlab-mcp-server[server]'."),
        ) from error
    metrics = Metrics()
    address = f"{arguments.metrics_host}:{arguments.metrics_port}"
    try:
        port = metrics.serve(arguments.metrics_host, arguments.metrics_port)
    except (OSError, OverflowError) as error:
        raise InvalidArgument(gettext("Cannot listen on {address}: {why}.", address=address, why=error)) from error
    observe(metrics.observe)
    print(f"serving metrics on http://{arguments.metrics_host}:{port}/metrics", file=sys.stderr)
    return metrics
