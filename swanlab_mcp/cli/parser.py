"""The command line: options and commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swanlab_mcp import __version__
from swanlab_mcp.core.i18n import LANGUAGES
from swanlab_mcp.settings import OUTPUTS

__all__ = ["read_arguments", "repeat_options"]


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swanlab-mcp-server",
        description="MCP server for SwanLab. Without a command it serves MCP on standard input and output.",
        epilog="The API key is read from SWANLAB_API_KEY or from where `swanlab login` keeps it, never from arguments.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_options(parser)
    _add_output(parser, default="")
    # the same options after the command; what is not given there must not undo what was given before it
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_options(options, default=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="{serve,call,tools,check,export,report,install}")
    parser.set_defaults(command="serve")
    serve = commands.add_parser("serve", parents=[options], help="serve MCP on stdin and stdout (default), or by HTTP")
    serve.add_argument("--transport", default="stdio", choices=("stdio", "http"), help="default stdio")
    serve.add_argument("--http-host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (default 127.0.0.1)")
    serve.add_argument("--http-port", default=8000, type=int, metavar="PORT", help="default 8000; 0 takes a free one")
    serve.add_argument("--allowed-host", default=[], action="append", metavar="NAME", help="callers use; repeatable")
    serve.add_argument(
        "--shared-key", action="store_true", default=False, help="callers without a key use the server's"
    )
    serve.add_argument(
        "--allowed-origin", default=[], action="append", metavar="ORIGIN", help="pages like app://name; repeatable"
    )
    serve.add_argument("--audit", default="", metavar="FILE", help="write a JSON line for each call; - for stderr")
    serve.add_argument("--rate", default=0, type=int, metavar="N", help="requests a minute for each key (default any)")
    call = commands.add_parser("call", parents=[options], help="call a tool and print its answer")
    call.add_argument("tool")
    call.add_argument("argument", nargs="*", metavar="name=value")
    call.add_argument("--json", action="store_true", default=False, help="print the structured form")
    call.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the picture there; never overwrites")
    commands.add_parser("tools", parents=[options], help="list the tools")
    commands.add_parser("check", parents=[options], help="say what would be used and whether it works")
    export = commands.add_parser(
        "export", parents=[options], help="write an experiment's points, or its log, to a file"
    )
    export.add_argument("experiment", help="id, name, path or address of the experiment")
    export.add_argument("--project", default="", help="where the experiment alone does not tell it")
    export.add_argument(
        "--format",
        default="",
        choices=("csv", "json", "parquet", "log"),
        help="default: what the file's suffix says, else csv; log: its lines",
    )
    export.add_argument("--keys", default="", metavar="KEY,…", help="metric keys or patterns like 'val/*'; default all")
    export.add_argument("-o", "--output", default="", metavar="FILE", help="a new file, or - for standard output")
    export.add_argument(
        "--raw-cells",
        action="store_true",
        default=False,
        help="do not guard CSV cells that spreadsheets run as formulas",
    )
    report = commands.add_parser("report", parents=[options], help="write a project's report, one HTML page, to a file")
    report.add_argument("project", help="name, path or address of the project")
    report.add_argument("--metric", default="", help="what decides the ranking; default: a held-out metric")
    report.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="a new file")
    install = commands.add_parser(
        "install",
        parents=[options],
        help="write the server, with the options given here, into an assistant's configuration",
    )
    install.add_argument("assistant", help="such as claude-desktop, cursor or vscode; an unknown one lists all")
    for command in (serve, install):
        _add_output(command, default=argparse.SUPPRESS)
    install.add_argument("--print", action="store_true", default=False, help="only show what would be written")
    arguments, rest = parser.parse_known_args(argv)
    # argparse gives up on name=value words that follow an option
    if rest and (arguments.command != "call" or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.argument += rest
    return arguments


def _add_output(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the form of replies; in the other commands `--output` is a file."""
    text = "form of replies: text, both (JSON too), or auto (default; by the client's name)"
    parser.add_argument("--output", dest="output_form", default=default, choices=OUTPUTS, metavar="FORM", help=text)


def _add_options(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    def add(name: str, fallback: object, **how: Any) -> None:
        parser.add_argument(name, default=default or fallback, **how)

    add("--demo", fallback=False, action="store_true", help="show the embedded demo runs; needs no account")
    add("--log-dir", [], action="append", metavar="FOLDER", help="folder of runs on disk; repeatable")
    add("--host", "", help="SwanLab's API host, e.g. https://swanlab.example.com")
    add("--allow-insecure-host", fallback=False, action="store_true", help="accept an http:// host")
    add("--show-secrets", fallback=False, action="store_true", help="show what looks like passwords and tokens")
    add("--allow-writes", fallback=False, action="store_true", help="add the tools that create and delete")
    add("--no-cache", fallback=False, action="store_true", help="ask SwanLab anew for every answer")
    add("--timeout", None, type=_positive(float), metavar="SECONDS", help="per call (default 45)")
    add(
        "--lang", "", choices=("", "auto", *LANGUAGES), metavar="NAME", help="of what is ours: auto (default), en or zh"
    )
    add("--max-output-tokens", None, type=_positive(int), metavar="N", help="per answer (default 8000)")
    add("--api-key", None, action=_NoKey, nargs="?", help=argparse.SUPPRESS)
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    add("--log-level", "WARNING", type=str.upper, choices=levels, help="on stderr (default WARNING)")


class _NoKey(argparse.Action):
    """Refuse a key on the command line, where every user of the machine can read it, without repeating it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        parser.error("the API key is not read from arguments: set SWANLAB_API_KEY, or run `swanlab login`")


def _positive(kind: type[float | int]) -> Any:
    def read(text: str) -> float | None:
        if not text.strip():  # an assistant's form that was left empty
            return None
        number = kind(text)
        if not 0 < number < float("inf"):
            raise ValueError(text)
        return number

    read.__name__ = "number above 0"
    return read


def repeat_options(arguments: argparse.Namespace) -> list[str]:
    """Return the options that were given, as words; folders by their full path."""
    parser = argparse.ArgumentParser(add_help=False)
    _add_options(parser)
    words: list[str] = []
    for name, fallback in vars(parser.parse_args([])).items():
        value, option = getattr(arguments, name), f"--{name.replace('_', '-')}"
        if value == fallback:
            continue
        if name == "log_dir":
            words += [word for folder in value for word in (option, str(Path(folder).expanduser().absolute()))]
        else:
            words += [option] if value is True else [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return [*words, "--output", arguments.output_form] if arguments.output_form else words
