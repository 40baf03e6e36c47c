"""The command swanlab-mcp-server: serve (default), call, tools, check, export, report, install."""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from swanlab_mcp import __version__
from swanlab_mcp.cli.progress_bar import ProgressBar
from swanlab_mcp.core.i18n import LANGUAGES, say, speak
from swanlab_mcp.settings import Settings, load_settings, wants_plain_output

__all__ = ["main"]

_SHORTEST_SECRET = 32
_READER_GONE = 141


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 done, 1 the answer is an error or `check` found one, 2 wrong usage.

    Serving ends with 0 at the end of input, 130 on SIGINT, 143 on SIGTERM; what prints ends with 141 when whoever read
    it has gone, as other programs do by SIGPIPE.
    """
    try:
        try:
            _run(argv)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        _end(_READER_GONE)


def _run(argv: Sequence[str] | None) -> NoReturn:
    arguments = _read_arguments(argv)
    protocol = _divert_stdout() if arguments.command == "serve" else None
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
        _do(settings, arguments, protocol)


def _do(settings: Settings, arguments: argparse.Namespace, protocol: BinaryIO | None) -> NoReturn:
    if arguments.command == "check":
        sys.exit(asyncio.run(_check(settings)))
    if arguments.command == "export":
        sys.exit(asyncio.run(_export(settings, arguments)))
    if arguments.command == "serve" and getattr(arguments, "transport", "stdio") == "http":
        sys.exit(_serve_http(settings, arguments))
    if arguments.command == "report":
        sys.exit(asyncio.run(_report(settings, arguments)))
    if arguments.command == "install":
        sys.exit(_install(settings, arguments))
    # importing the SDK makes 100,000 lasting objects; looking for garbage among them costs a tenth of the start
    gc.disable()
    from pydantic import BaseModel

    # and it describes 550 records, of which a conversation needs some 50: each is built when it is first met
    BaseModel.model_config["defer_build"] = True
    from swanlab_mcp.server.app import create_server, serve

    del BaseModel.model_config["defer_build"]
    server = create_server(settings, log_level=arguments.log_level)
    gc.freeze()
    gc.enable()
    if arguments.command == "call":
        how = {"as_json": arguments.json, "output": arguments.output}
        sys.exit(asyncio.run(_call(server, arguments.tool, arguments.argument, **how)))
    if arguments.command == "tools":
        sys.exit(asyncio.run(_list_tools(server)))
    if sys.stdin.isatty():
        told = say(
            "swanlab-mcp-server {version} is waiting on standard input for an MCP client (Claude, Cursor, VS Code, …) "
            "to speak to it.\n"
            "To ask something by hand instead:  swanlab-mcp-server --demo call list_project_exps project=digits-mlp\n"
            "Ctrl-C ends it.",
            version=__version__,
        )
        print(told, file=sys.stderr)
    assert protocol is not None
    serve(server, protocol, then=lambda: _end(0))
    sys.exit(0)


def _divert_stdout() -> BinaryIO:
    """Return standard output for the protocol alone, and end at once on signals.

    Whatever else prints from here on (imports, threads, C code, child processes, at the exit too) goes to stderr.
    """
    # the SDK's loop would hold Ctrl-C back until standard input ends
    _end_on_signals()
    protocol = os.fdopen(os.dup(1), "wb")
    try:
        os.dup2(2, 1)
    except OSError:  # no stderr
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
    return protocol


def _end_on_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: _end(128 + number))


def _end(code: int) -> NoReturn:
    """End without waiting: a thread that reads standard input, or computes for a stopped call, cannot be stopped."""
    os._exit(code)


def _read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swanlab-mcp-server",
        description="MCP server for SwanLab. Without a command it serves MCP on standard input and output.",
        epilog="The API key is read from SWANLAB_API_KEY or from where `swanlab login` keeps it, never from arguments.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_options(parser)
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
        "--format", default="csv", choices=("csv", "json", "parquet", "log"), help="default csv; log: its lines"
    )
    export.add_argument("--keys", default="", metavar="KEY,…", help="metric keys or patterns like 'val/*'; default all")
    export.add_argument("-o", "--output", default="", metavar="FILE", help="a new file, or - for standard output")
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
    install.add_argument("--print", action="store_true", default=False, help="only show what would be written")
    arguments, rest = parser.parse_known_args(argv)
    # argparse gives up on name=value words that follow an option
    if rest and (arguments.command != "call" or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.argument += rest
    return arguments


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
    add("--lang", "", choices=("auto", *LANGUAGES), metavar="NAME", help="of what is ours: auto (default), en or zh")
    add("--max-output-tokens", None, type=_positive(int), metavar="N", help="per answer (default 8000)")
    add("--api-key", None, action=_NoKey, nargs="?", help=argparse.SUPPRESS)
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    add("--log-level", "WARNING", type=str.upper, choices=levels, help="on stderr (default WARNING)")


class _NoKey(argparse.Action):
    """Refuse a key on the command line, where every user of the machine can read it, without repeating it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        parser.error("the API key is not read from arguments: set SWANLAB_API_KEY, or run `swanlab login`")


def _positive(kind: type[float | int]) -> Any:
    def read(text: str) -> float:
        number = kind(text)
        if not 0 < number < float("inf"):
            raise ValueError(text)
        return number

    read.__name__ = "number above 0"
    return read


def _serve_http(settings: Settings, arguments: argparse.Namespace) -> int:
    """Serve a team by HTTP; refuses what would be open without anybody having said so."""
    from swanlab_mcp.server.gateway import is_loopback, serve_http
    from swanlab_mcp.server.http import create_http_app

    problem = settings.host_problem
    if not is_loopback(arguments.http_host) and not arguments.allowed_host:
        problem = say(
            "Listening on {address} needs --allowed-host NAME: the name or address that callers use. "
            "Their keys travel with every request: put an HTTPS proxy before it.",
            address=arguments.http_host,
        )
    if settings.allow_writes and len(settings.confirmation_secret) < _SHORTEST_SECRET:
        problem = say(
            "With --allow-writes, SWANLAB_MCP_CONFIRMATION_SECRET must hold at least "
            "{count} random characters, the same for all workers: it signs the confirmations.",
            count=_SHORTEST_SECRET,
        )
    if arguments.shared_key and not (settings.api_key or settings.log_dirs):
        problem = say("--shared-key shares the server's own key, but it has none: set SWANLAB_API_KEY.")
    if problem:
        print(problem, file=sys.stderr)
        return 2
    app = create_http_app(
        settings,
        allowed_hosts=arguments.allowed_host,
        shared_key=arguments.shared_key,
        log_level=arguments.log_level,
    )
    _end_on_signals()
    try:
        serve_http(app, arguments.http_host, arguments.http_port)
    except (OSError, OverflowError) as error:
        address = f"{arguments.http_host}:{arguments.http_port}"
        print(say("Cannot listen on {address}: {why}.", address=address, why=error), file=sys.stderr)
        return 1
    return 0


async def _call(server: Any, tool: str, words: Sequence[str], *, as_json: bool, output: Path | None) -> int:
    from swanlab_mcp.server.app import connect

    async with connect(server) as client:
        known = {entry.name: entry for entry in (await client.list_tools()).tools}
        if tool not in known:
            print(
                say("There is no tool {tool!r}. There are: {names}.", tool=tool, names=", ".join(known)),
                file=sys.stderr,
            )
            return 2
        odd = [word for word in words if "=" not in word]
        if odd:
            print(say("Arguments are written name=value; {word!r} is not.", word=odd[0]), file=sys.stderr)
            return 2
        values = _read_values(words, known[tool].input_schema.get("properties", {}))
        with _watch() as bar:
            result = await client.call_tool(tool, values, progress_callback=bar)
    text = "\n".join(block.text for block in result.content if block.type == "text")
    if as_json and result.structured_content is None:
        print(say("{tool} answers with pictures and text; leave --json out.", tool=tool), file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(result.structured_content, ensure_ascii=False, separators=(",", ":")))
    else:
        print(text, file=sys.stderr if result.is_error else sys.stdout)
    if result.is_error:
        return 1
    pictures = [base64.b64decode(block.data) for block in result.content if block.type == "image"]
    return _write(output, pictures) if output else 0


def _watch(*, is_wanted: bool = True) -> closing[ProgressBar]:
    return closing(ProgressBar(sys.stderr, is_wanted=is_wanted and not wants_plain_output()))


def _write(output: Path, pictures: Sequence[bytes]) -> int:
    """Write the first content to `output` and further ones beside it, numbered; never over a file."""
    if not pictures:
        print(say("There is no picture in this answer."), file=sys.stderr)
        return 1
    for number, picture in enumerate(pictures, 1):
        path = output if number == 1 else output.with_stem(f"{output.stem}-{number}")
        try:
            with path.open("xb") as file:
                file.write(picture)
        except OSError as error:
            print(say("{path} was not written: {why}.", path=path, why=error.strerror), file=sys.stderr)
            return 1
        print(say("{path}: {count} bytes", path=path, count=len(picture)), file=sys.stderr)
    return 0


def _read_values(words: Sequence[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments from `name=value` words: lists as JSON, with commas, or by repeating the name."""
    values: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if properties.get(name, {}).get("type") == "array" and not text.startswith("["):
            values[name] = [*values.get(name, []), *filter(None, text.split(","))]
        else:
            values[name] = text
    return values


async def _list_tools(server: Any) -> int:
    from swanlab_mcp.server.app import connect

    async with connect(server) as client:
        tools = (await client.list_tools()).tools
    for tool in tools:
        arguments = " ".join(
            name if name in tool.input_schema.get("required", ()) else f"[{name}]"
            for name in tool.input_schema.get("properties", {})
        )
        print(f"{tool.name} {arguments}".rstrip())
        print(f"    {(tool.description or '').splitlines()[0]}")
    return 0


async def _check(settings: Settings) -> int:
    """Print what would be used and whether it works; never the key."""
    from swanlab_mcp.client.routing import open_client
    from swanlab_mcp.core.errors import SwanLabError
    from swanlab_mcp.core.refs import LOCAL

    print(f"swanlab-mcp-server {__version__}")
    for problem in settings.problems:
        print(say("problem: {problem}", problem=problem))
    client = open_client(settings)
    works: list[bool] = []
    try:
        if not settings.demo:
            print(say("host: {host} (pages at {pages})", host=settings.api_host, pages=settings.web_host))
            print(
                say("API key: found in {source}", source=settings.key_source)
                if settings.api_key
                else say("API key: none found")
            )
            if settings.api_key or settings.host_problem:
                began = time.perf_counter()
                try:
                    username = await client.get_username()
                except SwanLabError as error:
                    print(say("login: failed. {error}", error=error))
                    works.append(False)
                else:
                    took = 1000 * (time.perf_counter() - began)
                    print(say("login: works, as {username}, in {took:.0f} ms", username=username, took=took))
                    works.append(True)
        for folder in settings.log_dirs:
            print(say("runs on disk: {folder}", folder=say("the embedded demo") if settings.demo else folder))
        if settings.log_dirs:
            projects = (await client.list_projects(LOCAL)).data or []
            experiments = sum(project.count.get("experiments", 0) for project in projects)
            told = say(
                "runs found: {experiments} experiments in {projects} projects, as workspace '{workspace}'",
                experiments=experiments,
                projects=len(projects),
                workspace=LOCAL,
            )
            print(told)
            works.append(bool(projects))
    finally:
        await client.aclose()
    if not works:
        print(
            say("Nothing to answer from: set SWANLAB_API_KEY, run `swanlab login`, or use --log-dir FOLDER or --demo.")
        )
    return 0 if works and all(works) else 1


async def _export(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the file and say on stderr where it is and what is to be known about it."""
    from swanlab_mcp.client.routing import open_client
    from swanlab_mcp.core import progress
    from swanlab_mcp.core.errors import SwanLabError
    from swanlab_mcp.core.untrusted import neutralise
    from swanlab_mcp.present.export import export_log, export_series

    client = open_client(settings)
    try:
        where = {"project": arguments.project, "exp_cuid": arguments.experiment, "output": arguments.output}
        # on the same terminal it would stand between the lines
        with _watch(is_wanted=arguments.output != "-" or not sys.stdout.isatty()) as bar:
            progress.listener.set(progress.Course(bar))
            if arguments.format == "log":
                exported = await export_log(client, **where)
            else:
                keys = [key for key in arguments.keys.split(",") if key]
                exported = await export_series(client, **where, keys=keys, form=arguments.format)
    except SwanLabError as error:
        print(neutralise(str(error)), file=sys.stderr)
        return 1
    finally:
        await client.aclose()
    print(say("{what}: {where}", what=exported.what, where=exported.where), file=sys.stderr)
    for note in exported.notes:
        print(say("note: {note}", note=neutralise(note)), file=sys.stderr)
    return 0


async def _report(settings: Settings, arguments: argparse.Namespace) -> int:
    from swanlab_mcp.client.routing import open_client
    from swanlab_mcp.core import progress
    from swanlab_mcp.core.errors import SwanLabError
    from swanlab_mcp.core.untrusted import neutralise
    from swanlab_mcp.present.report import write_report

    client = open_client(settings)
    try:
        with _watch() as bar:
            progress.listener.set(progress.Course(bar))
            page = await write_report(
                client,
                project=arguments.project,
                metric=arguments.metric,
                show_secrets=settings.show_secrets,
            )
    except SwanLabError as error:
        print(neutralise(str(error)), file=sys.stderr)
        return 1
    finally:
        await client.aclose()
    return _write(arguments.output, [page.encode("utf-8")])


def _install(settings: Settings, arguments: argparse.Namespace) -> int:
    """Show the difference, write it, and say on stderr where it went and how it will sign in."""
    from swanlab_mcp.cli.installation import ASSISTANTS, find_command, plan_change, write_change, write_snippet
    from swanlab_mcp.core.errors import SwanLabError

    assistant = ASSISTANTS.get(arguments.assistant)
    if assistant is None:
        told = say("{name!r} is not known. There are: {names}.", name=arguments.assistant, names=", ".join(ASSISTANTS))
        print(told, file=sys.stderr)
        return 2
    command = [*find_command(), *_repeat_options(arguments)]
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


def _repeat_options(arguments: argparse.Namespace) -> list[str]:
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
    return words
