"""`install`: the server as an entry in an assistant's configuration."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from swanlab_mcp.cli.parser import repeat_options
from swanlab_mcp.core.i18n import say
from swanlab_mcp.settings import Settings

__all__ = ["run"]


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Show the difference, write it, and say on stderr where it went and how it will sign in."""
    from swanlab_mcp.cli.installation import ASSISTANTS, find_command, plan_change, write_change, write_snippet
    from swanlab_mcp.core.errors import SwanLabError

    assistant = ASSISTANTS.get(arguments.assistant)
    if assistant is None:
        told = say("{name!r} is not known. There are: {names}.", name=arguments.assistant, names=", ".join(ASSISTANTS))
        print(told, file=sys.stderr)
        return 2
    command = [*find_command(), *repeat_options(arguments)]
    path = assistant.find_file(Path.home())
    if path is None:
        print(write_snippet(assistant, command), end="")
        told = say(
            "{assistant} keeps its servers itself: import this in its settings, under MCP.", assistant=assistant.title
        )
        print(told, file=sys.stderr)
        return 0
    try:
        change = plan_change(assistant, command, path)
        if arguments.print and change.difference:
            print(change.difference)
            return 0
        if not change.difference:
            print(say("{path} has this entry already.", path=path), file=sys.stderr)
            return 0
        print(change.difference, flush=True)
        backup = write_change(change)
    except SwanLabError as error:
        print(error, file=sys.stderr)
        return 1
    told = (
        say("{path}: written. What was there is in {backup}.", path=path, backup=backup)
        if backup
        else say("{path}: written.", path=path)
    )
    print(told, file=sys.stderr)
    if not settings.demo and settings.key_source in ("", "SWANLAB_API_KEY"):
        print(
            say("The key is not in it: run `swanlab login`, or add SWANLAB_API_KEY to the entry's environment."),
            file=sys.stderr,
        )
    print(say("Restart {assistant} to use it.", assistant=assistant.title), file=sys.stderr)
    return 0
