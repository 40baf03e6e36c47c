"""The commands and options of the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from swanlab_mcp import __version__
from swanlab_mcp.cli.usage import Parser
from swanlab_mcp.core.i18n import LANGUAGES, gettext
from swanlab_mcp.settings import OUTPUTS

__all__ = ["find_language_option", "read_arguments", "repeat_options"]


def find_language_option(argv: Sequence[str] | None) -> str:
    """Return the value of --lang, or "" if the option is missing.

    The option is read before the other arguments are parsed, because it sets the language of the help text.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == "--lang" or word.startswith("--lang="):
            return word.partition("=")[2] or following
    return ""


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="swanlab-mcp-server",
        description=gettext("MCP server for SwanLab. Without a command it serves MCP on standard input and output."),
        epilog=gettext(
            "The API key is read from SWANLAB_API_KEY or from where `swanlab login` stores it, never from arguments."
        ),
    )
    options = parser.add_argument_group(gettext("options"))
    _add_help(options)
    text = gettext("print the version")
    options.add_argument("--version", action="version", version=f"%(prog)s {__version__}", help=text)
    _add_options(options)
    _add_output(options, default="")
    commands = parser.add_subparsers(
        dest="command", title=gettext("commands"), metavar="{serve,call,tools,check,watch,export,report,install}"
    )
    parser.set_defaults(command="serve")
    _add_serve(commands)
    _add_call(commands)
    _add_command(commands, "tools", gettext("list the tools"))
    _add_command(commands, "check", gettext("report which key, host and folders are used, and whether they work"))
    _add_watch(commands)
    _add_export(commands)
    _add_report(commands)
    _add_install(commands)
    arguments, rest = parser.parse_known_args(argv)
    # argparse does not accept name=value arguments after an option, so add them here
    if rest and (arguments.command != "call" or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.argument += rest
    return arguments


def _add_command(commands: Any, name: str, text: str) -> Any:
    """Add a command and return the group for its options. Positional arguments are added to the command itself."""
    command = commands.add_parser(name, help=text, description=text)
    group = command.add_argument_group(gettext("options"))
    _add_help(group)
    # without a default, because a default would override an option given before the command
    _add_options(group, default=argparse.SUPPRESS)
    return group


def _add_serve(commands: Any) -> None:
    serve = _add_command(commands, "serve", gettext("serve MCP on stdin and stdout (default), or over HTTP"))
    serve.add_argument("--transport", default="stdio", choices=("stdio", "http"), help=gettext("default: stdio"))
    text = gettext("address to listen on (default: 127.0.0.1)")
    serve.add_argument("--http-host", default="127.0.0.1", metavar="ADDRESS", help=text)
    text = gettext("default: 8000; 0 picks a free port")
    serve.add_argument("--http-port", default=8000, type=_whole, metavar="PORT", help=text)
    text = gettext("host name that callers use; repeatable")
    serve.add_argument("--allowed-host", default=[], action="append", metavar="NAME", help=text)
    text = gettext("callers without a key use the server's key")
    serve.add_argument("--shared-key", action="store_true", default=False, help=text)
    text = gettext("allow pages of an origin such as app://name; repeatable")
    serve.add_argument("--allowed-origin", default=[], action="append", metavar="ORIGIN", help=text)
    text = gettext("write a JSON line for each call; - for standard error")
    serve.add_argument("--audit", default="", metavar="FILE", help=text)
    text = gettext("maximum requests per minute per key (default: no limit)")
    serve.add_argument("--rate", default=0, type=_whole, metavar="N", help=text)
    text = gettext("TOML file of limits, such as rate = 60; SIGHUP reloads it")
    serve.add_argument("--limits", default="", metavar="FILE", help=text)
    text = gettext("file with each person's name and key, for a proxy that logs people in; SIGHUP reloads it")
    serve.add_argument("--key-map", default="", metavar="FILE", help=text)
    text = gettext("header in which the proxy sends the person's name (default: X-Forwarded-Email)")
    serve.add_argument("--user-header", default="X-Forwarded-Email", metavar="NAME", help=text)
    text = gettext("address or network of a proxy whose X-Forwarded-For contains the callers' addresses; repeatable")
    serve.add_argument("--trusted-proxy", default=[], action="append", metavar="ADDRESS", help=text)
    text = gettext("how long to wait after SIGTERM for running calls to finish (default: 0.5)")
    serve.add_argument("--drain", default=0.5, type=_positive(float), metavar="SECONDS", help=text)
    text = gettext("serve Prometheus metrics on this port; 0 picks a free port")
    serve.add_argument("--metrics-port", default=None, type=_whole, metavar="PORT", help=text)
    text = gettext("metrics address (default: 127.0.0.1)")
    serve.add_argument("--metrics-host", default="127.0.0.1", metavar="ADDRESS", help=text)
    _add_output(serve, default=argparse.SUPPRESS)


def _add_call(commands: Any) -> None:
    call = _add_command(commands, "call", gettext("call a tool and print its reply"))
    given = _add_positionals(commands, "call")
    given.add_argument("tool", help=gettext("name of the tool; `tools` lists them"))
    given.add_argument("argument", nargs="*", metavar="name=value", help=gettext("arguments of the tool"))
    call.add_argument("--json", action="store_true", default=False, help=gettext("print the structured result as JSON"))
    text = gettext("write the picture to a new file")
    call.add_argument("-o", "--output", type=Path, metavar="FILE", help=text)


def _add_watch(commands: Any) -> None:
    watch = _add_command(
        commands, "watch", gettext("wait until an experiment finishes, crashes or logs NaN; the exit code shows which")
    )
    text = gettext("name, path or URL of the project")
    _add_positionals(commands, "watch").add_argument("project", help=text)
    text = gettext(
        "finished, crashed, non_finite (the default), stalled, any_new, step:1000, or 'val/acc >= 0.9'; repeatable"
    )
    watch.add_argument("--until", default=[], action="append", metavar="CONDITION", help=text)
    text = gettext("watch only this experiment; repeatable")
    watch.add_argument("--experiment", default=[], action="append", metavar="NAME", help=text)
    text = gettext(
        "program to run for each event, with the event and the experiment's path as arguments; runs without a shell"
    )
    watch.add_argument("--exec", default="", metavar="COMMAND", help=text)
    text = gettext("continue after an event until no experiment is running")
    watch.add_argument("--follow", action="store_true", default=False, help=text)
    text = gettext("end after this time (default: no limit)")
    watch.add_argument("--wait", default=None, type=_positive(float), metavar="SECONDS", help=text)
    text = gettext("continue an earlier watch")
    watch.add_argument("--cursor", default="", metavar="CURSOR", help=text)


def _add_export(commands: Any) -> None:
    text = gettext("write an experiment's points or its log to a file, or whole projects to a folder")
    export = _add_command(commands, "export", text)
    text = gettext("id, name, path or URL of the experiment; workspace/project or 'workspace/*' for whole projects")
    _add_positionals(commands, "export").add_argument("experiment", nargs="?", default="", help=text)
    text = gettext("project of the experiment, if the name does not contain it")
    export.add_argument("--project", default="", metavar="PROJECT", help=text)
    text = gettext("default: from the file's suffix, otherwise csv; log writes the log's lines")
    export.add_argument("--format", default="", choices=("csv", "json", "parquet", "log"), help=text)
    text = gettext("metric keys or patterns such as 'val/*'; default: all")
    export.add_argument("--keys", default="", metavar="KEY,…", help=text)
    text = gettext("a new file, or - for standard output; for projects, a folder (default: swanlab-export)")
    export.add_argument("-o", "--output", default="", metavar="FILE", help=text)
    text = gettext("do not escape CSV cells that spreadsheets would run as formulas")
    export.add_argument("--raw-cells", action="store_true", default=False, help=text)


def _add_report(commands: Any) -> None:
    report = _add_command(commands, "report", gettext("write a project's report, one HTML page, to a file"))
    text = gettext("name, path or URL of the project")
    _add_positionals(commands, "report").add_argument("project", help=text)
    text = gettext("metric to rank by; default: a held-out metric")
    report.add_argument("--metric", default="", metavar="KEY", help=text)
    text = gettext("a new file")
    report.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help=text)
    text = gettext("replace the file if it exists")
    report.add_argument("-f", "--force", action="store_true", default=False, help=text)


def _add_install(commands: Any) -> None:
    text = gettext("add the server, with these options, to an assistant's configuration")
    install = _add_command(commands, "install", text)
    text = gettext("for example claude-desktop, cursor or vscode; an unknown name lists all")
    _add_positionals(commands, "install").add_argument("assistant", help=text)
    _add_output(install, default=argparse.SUPPRESS)
    text = gettext("only show what would be written")
    install.add_argument("--print", action="store_true", default=False, help=text)
    text = gettext("install the research-loop skill in the assistant's skills folder instead")
    install.add_argument("--skill", action="store_true", default=False, help=text)


def _add_positionals(commands: Any, name: str) -> Any:
    return commands.choices[name].add_argument_group(gettext("arguments"))


def _add_help(parser: Any) -> None:
    parser.add_argument("-h", "--help", action="help", help=gettext("show this help"))


def _add_output(parser: Any, default: str) -> None:
    """Add the `--output` option that sets the reply format. In other commands, `--output` is a file path."""
    text = gettext("reply format: text, both (text and JSON), or auto (default: depends on the client)")
    parser.add_argument("--output", dest="output_form", default=default, choices=OUTPUTS, metavar="FORM", help=text)


def _add_options(parser: Any, default: str | None = None) -> None:
    def add(name: str, fallback: object, **how: Any) -> None:
        parser.add_argument(name, default=default or fallback, **how)

    text = gettext("use the embedded demo runs only, without an account")
    add("--demo", fallback=False, action="store_true", help=text)
    add("--log-dir", [], action="append", metavar="FOLDER", help=gettext("folder of runs on disk; repeatable"))
    text = gettext("also read saved files that link into this folder; repeatable")
    add("--allow-link-targets", [], action="append", metavar="FOLDER", help=text)
    add("--host", "", metavar="HOST", help=gettext("SwanLab's API host, e.g. https://swanlab.example.com"))
    add("--allow-insecure-host", fallback=False, action="store_true", help=gettext("accept an http:// host"))
    text = gettext("show values that look like passwords or tokens")
    add("--show-secrets", fallback=False, action="store_true", help=text)
    text = gettext("enable the tools that create projects and delete data")
    add("--allow-writes", fallback=False, action="store_true", help=text)
    text = gettext("enable the tool for administrators of a self-hosted SwanLab; it requires a root key")
    add("--admin-tools", fallback=False, action="store_true", help=text)
    add("--tools", "", metavar="NAME,…", help=gettext("offer only these tools"))
    add("--no-cache", fallback=False, action="store_true", help=gettext("disable the cache"))
    text = gettext("time limit of a call (default: 45)")
    add("--timeout", None, type=_positive(float), metavar="SECONDS", help=text)
    text = gettext("language of notes, errors and help: auto (default), en or zh")
    add("--lang", "", choices=("", "auto", *LANGUAGES), metavar="NAME", help=text)
    text = gettext("maximum number of tokens in a reply (default: 8000)")
    add("--max-output-tokens", None, type=_positive(int), metavar="N", help=text)
    add("--api-key", None, action=_NoKey, nargs="?", help=argparse.SUPPRESS)
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    text = gettext("level of messages on standard error (default: WARNING)")
    add("--log-level", "WARNING", type=str.upper, choices=levels, help=text)


class _NoKey(argparse.Action):
    """Rejects an API key on the command line, because other users on the machine could read it.

    The error message does not repeat the key.
    """

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        parser.error(gettext("the API key is not read from arguments: set SWANLAB_API_KEY, or run `swanlab login`"))


def _positive(kind: type[float | int]) -> Any:
    def read(text: str) -> float | None:
        if not text.strip():  # the user left the field empty in an assistant's settings
            return None
        with suppress(ValueError):
            number = kind(text)
            if 0 < number < float("inf"):
                return number
        raise argparse.ArgumentTypeError(
            gettext("{text!r} is not a number above 0", text=text)
            if kind is float
            else gettext("{text!r} is not a whole number above 0", text=text)
        )

    return read


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(gettext("{text!r} is not a whole number", text=text)) from None


def repeat_options(arguments: argparse.Namespace) -> list[str]:
    """Return command-line arguments that reproduce the parsed options. Folders are written as absolute paths."""
    parser = Parser()
    _add_options(parser)
    words: list[str] = []
    for name, fallback in vars(parser.parse_args([])).items():
        value, option = getattr(arguments, name), f"--{name.replace('_', '-')}"
        if value == fallback:
            continue
        if name in ("log_dir", "allow_link_targets"):
            words += [word for folder in value for word in (option, str(Path(folder).expanduser().absolute()))]
        else:
            words += [option] if value is True else [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return [*words, "--output", arguments.output_form] if arguments.output_form else words
