"""The command swanlab-mcp-server: serve (default), call, tools, check, export, report, install."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from swanlab_mcp.cli.parser import read_arguments
from swanlab_mcp.cli.serve import divert_stdout, end
from swanlab_mcp.cli.serve import run as serve
from swanlab_mcp.core.i18n import speak
from swanlab_mcp.settings import load_settings

__all__ = ["main"]

_READER_GONE = 141


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 done, 1 the reply is an error or `check` found one, 2 wrong usage.

    Serving ends with 0 at the end of input, 130 on SIGINT, 143 on SIGTERM; a command that prints ends with 141 when its
    reader has gone, as other programs do by SIGPIPE.
    """
    try:
        try:
            _run(argv)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        end(_READER_GONE)


def _run(argv: Sequence[str] | None) -> NoReturn:
    arguments = read_arguments(argv)
    protocol = divert_stdout() if arguments.command == "serve" else None
    settings = load_settings(
        host=arguments.host,
        log_dirs=arguments.log_dir,
        demo=arguments.demo,
        timeout=arguments.timeout,
        max_output_tokens=arguments.max_output_tokens,
        allow_insecure_host=arguments.allow_insecure_host,
        show_secrets=arguments.show_secrets,
        allow_writes=arguments.allow_writes,
        is_cached=not arguments.no_cache,
        lang=arguments.lang,
    )
    with speak(settings.language):
        if arguments.command == "serve":
            raise SystemExit(serve(settings, arguments, protocol))
        # each command loads what it needs
        command = import_module(f"swanlab_mcp.cli.{arguments.command}")
        raise SystemExit(command.run(settings, arguments))
