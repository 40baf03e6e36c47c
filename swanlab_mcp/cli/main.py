"""The command-line interface. Without a command, swanlab-mcp-server runs `serve`."""

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
from swanlab_mcp.core.i18n import gettext, use_language
from swanlab_mcp.present.new_file import remove_unfinished
from swanlab_mcp.settings import choose_language, load_settings

__all__ = ["main"]

_READER_GONE = 141


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its exit code.

    In general, the exit code is 0 for success, 1 for an error and 2 for a usage error. A stdio server exits with 0 when
    its input ends. After a signal, the exit code is 130 (SIGINT), 143 (SIGTERM) or 129 (SIGHUP). If the output is a
    closed pipe, the exit code is 141, as for programs that are terminated by SIGPIPE.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # escape unpaired surrogates and characters that the terminal's encoding does not support
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            _run(argv)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        end(_READER_GONE)
    except OSError as error:  # errors for all other files have been converted to SwanLabError
        report(gettext("Standard output cannot be written: {why}.", why=error.strerror or type(error).__name__))
        end(1)


def _run(argv: Sequence[str] | None) -> NoReturn:
    with use_language(choose_language(find_language_option(argv))):
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
    with use_language(settings.language):
        if settings.metrics_file:
            settings = import_module("swanlab_mcp.operations.own_metrics").use_own_metrics(settings)
        if arguments.command == "serve":
            raise SystemExit(serve(settings, arguments, protocol))
        # tests call this function from other threads, where signal handlers cannot be set
        if threading.current_thread() is threading.main_thread():
            end_on_signals(_stop)
        # import only the modules that the command needs
        command = import_module(f"swanlab_mcp.cli.{arguments.command}")
        raise SystemExit(command.run(settings, arguments))


def _stop(number: int) -> None:
    remove_unfinished()
    report(gettext("Stopped by {signal}; no file was left incomplete.", signal=signal.Signals(number).name))
