"""Translate argparse's usage and error messages into the user's language.

argparse translates its messages with gettext into the language of the process, which `--lang` cannot change. Therefore,
this module matches the finished error messages and translates them itself. Unknown error messages are left unchanged.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from swanlab_mcp.core.i18n import gettext

__all__ = ["Parser"]


class _Formatter(argparse.HelpFormatter):
    """Prints the "usage:" label in the user's language."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, gettext("usage: ") if prefix is None else prefix)


class Parser(argparse.ArgumentParser):
    """A parser that prints usage and error messages in the user's language. Subcommands use the same class."""

    def __init__(self, **how: Any) -> None:
        super().__init__(formatter_class=_Formatter, add_help=False, **how)

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error message, and exit with code 2."""
        self.print_usage(sys.stderr)
        self.exit(2, gettext("{program}: error: {problem}", program=self.prog, problem=_translate(message)) + "\n")


def _translate(message: str) -> str:
    argument = re.fullmatch(r"argument (\S+): (.*)", message, re.DOTALL)
    if argument is not None:
        return gettext("argument {name}: {problem}", name=argument[1], problem=_translate(argument[2]))
    for pattern, write in _ERRORS.items():
        found = re.fullmatch(pattern, message, re.DOTALL)
        if found is not None:
            return write(found)
    return message


def _write_choice(found: re.Match[str]) -> str:
    texts = {"value": found[1], "similar": found[2], "choices": found[3]}
    if texts["similar"]:  # since Python 3.15, the message suggests a choice
        return gettext("invalid choice: {value} (did you mean {similar}? choose from {choices})", **texts)
    return gettext("invalid choice: {value} (choose from {choices})", value=found[1], choices=found[3])


# the argparse messages from Python 3.10 to 3.15 that our options can cause
_ERRORS: Mapping[str, Callable[[re.Match[str]], str]] = {
    r"invalid choice: (.+?)(?:, maybe you meant (.+?)\?)? \(choose from (.*)\)": _write_choice,
    r"the following arguments are required: (.+)": lambda found: gettext(
        "the following arguments are required: {names}", names=found[1]
    ),
    r"unrecognized arguments: (.+)": lambda found: gettext("unrecognized arguments: {names}", names=found[1]),
    r"expected one argument": lambda _: gettext("expected one argument"),
    r"ignored explicit argument (.+)": lambda found: gettext("ignored explicit argument {value}", value=found[1]),
    r"ambiguous option: (.+?) could match (.+)": lambda found: gettext(
        "ambiguous option: {option} could match {names}", option=found[1], names=found[2]
    ),
}
