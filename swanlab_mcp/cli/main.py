"""The command swanlab-mcp-server with serve (default), call, tools, check, watch, export, report and install."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

from swanlab_mcp.cli.output import report
from swanlab_mcp.cli.parser import find_language_option, read_arguments
from swanlab_mcp.cli.serve import divert_stdout, end, end_on_signals
from swanlab_mcp.cli.serve import run as serve
from swanlab_mcp.core.i18n import say, speak
from swanlab_mcp.present.new_file import remove_unfinished
from swanlab_mcp.settings import choose_language, load_settings

__all__ = ["main"]

_READER_GONE = 141


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit. Exit codes: 0 success, 1 the reply is an error or `check` failed, 2 wrong usage.

    A server exits with 0 at the end of its input. Every command exits with 130 on SIGINT, 143 on SIGTERM and 129 on
    SIGHUP. A command that prints exits with 141 if its reader has closed the pipe, like programs that end by SIGPIPE.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # for halves of surrogate pairs, and characters outside the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            _run(argv)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        end(_READER_GONE)
    except OSError as error:  # errors from other files are already SwanLabErrors
        report(say("Standard output cannot be written: {why}.", why=error.strerror or type(error).__name__))
        end(1)


def _run(argv: Sequence[str] | None) -> NoReturn:
    with speak(choose_language(find_language_option(argv))):
        arguments = read_arguments(argv)
    protocol = divert_stdout() if arguments.command == "serve" else None
    settings = load_settings(
        host=arguments.host,
        log_dirs=arguments.log_dir,
        link_targets=arguments.allow_link_targets,
        demo=arguments.demo,
        timeout=arguments.timeout,
        max_output_tokens=arguments.max_output_tokens,
        allow_insecure_host=arguments.allow_insecure_host,
        show_secrets=arguments.show_secrets,
        allow_writes=arguments.allow_writes,
        admin_tools=arguments.admin_tools,
        is_cached=not arguments.no_cache,
        lang=arguments.lang,
        output=arguments.output_form,
        tools=[name for name in arguments.tools.split(",") if name.strip()],
    )
    with speak(settings.language):
        if settings.metrics_file:
            settings = import_module("swanlab_mcp.operations.own_metrics").use_own_metrics(settings)
        if arguments.command == "serve":
            raise SystemExit(serve(settings, arguments, protocol))
        # tests also call this from other threads
        if threading.current_thread() is threading.main_thread():
            end_on_signals(_stop)
        # load only the modules of this command
        command = import_module(f"swanlab_mcp.cli.{arguments.command}")
        raise SystemExit(command.run(settings, arguments))


def _stop(number: int) -> None:
    remove_unfinished()
    report(say("Stopped by {signal}; no file was left incomplete.", signal=signal.Signals(number).name))
