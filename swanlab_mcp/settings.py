"""Read settings from arguments, environment variables and netrc files. No other module in the package reads them."""

from __future__ import annotations

import locale
import netrc
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.request import getproxies

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.hosts import (
    DEFAULT_API_HOST,
    DEFAULT_WEB_HOST,
    Account,
    NetworkVariables,
    Variable,
    choose_host,
    find_insecurity,
    find_other_host,
    find_placeholder,
    normalise_host,
)
from swanlab_mcp.core.i18n import LANGUAGES, gettext, language, use_language
from swanlab_mcp.core.untrusted import shorten

__all__ = [
    "DEFAULT_API_HOST",
    "DEFAULT_WEB_HOST",
    "NetworkVariables",
    "Settings",
    "Variable",
    "choose_language",
    "find_home",
    "get_environment",
    "load_settings",
    "normalise_host",
    "read_network_variables",
    "wants_plain_output",
]

DEFAULT_TIMEOUT = 45.0
DEFAULT_MAX_OUTPUT_TOKENS = 8000
OUTPUTS = ("auto", "text", "both")


@dataclass(frozen=True)
class Settings:
    """The server's settings.

    `host_problem` is the reason why requests to `api_host` are blocked, or "" if they are allowed. `timeout` is in
    seconds per call. `backoff` is the delay in seconds before the first retry of a request. `problems` lists settings
    that were ignored, for the output of `check` and for error messages.
    """

    api_host: str = DEFAULT_API_HOST
    web_host: str = DEFAULT_WEB_HOST
    api_key: str = field(default="", repr=False)
    key_source: str = ""
    host_problem: str = ""
    log_dirs: tuple[Path, ...] = ()
    link_targets: tuple[Path, ...] = ()
    demo: bool = False
    timeout: float = DEFAULT_TIMEOUT
    backoff: float = 0.5
    max_output_tokens: int = DEFAULT_MAX_OUTPUT_TOKENS
    show_secrets: bool = False
    allow_writes: bool = False
    admin_tools: bool = False
    confirmation_secret: str = field(default="", repr=False)
    proxy_secret: str = field(default="", repr=False)
    is_cached: bool = True
    language: str = "en"
    metrics_file: str = ""
    output: str = "auto"
    tools: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class _Sources(NamedTuple):
    """The sources of settings. A folder is None if it does not exist or cannot be read."""

    environ: Mapping[str, str]
    folder: Path | None
    home: Path | None

    def read(self, name: str) -> str:
        return self.environ.get(name, "").strip()


@dataclass(frozen=True)
class _Login:
    api_host: str
    web_host: str
    api_key: str = field(repr=False)
    source: str = ""


def load_settings(
    *,
    api_key: str = "",
    host: str = "",
    log_dirs: Sequence[str | Path] = (),
    link_targets: Sequence[str | Path] = (),
    demo: bool = False,
    timeout: float | None = None,
    max_output_tokens: int | None = None,
    allow_insecure_host: bool = False,
    show_secrets: bool = False,
    allow_writes: bool = False,
    admin_tools: bool = False,
    is_cached: bool = True,
    lang: str = "",
    output: str = "",
    tools: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Load the settings, looking for the key, the hosts and the log folders in the same places as `swanlab.login()`.

    The key is taken from the first of these sources: `api_key`, `SWANLAB_API_KEY`, `./.swanlab/.netrc`, and `.netrc` in
    `SWANLAB_ROOT`, `SWANLAB_SAVE_DIR` or `~/.swanlab`. A key from a file is used only for the host in that file.

    If `demo` is true, only the embedded runs are used. `environ` and `folder` override the environment variables and
    the working directory of this process.
    """
    known = os.environ if environ is None else environ
    problems: list[str] = []
    wanted_language = lang or known.get("SWANLAB_MCP_LANG", "").strip().lower()
    with use_language(choose_language(lang, known)):
        if wanted_language not in ("", "auto", *LANGUAGES):
            problems.append(
                gettext("SWANLAB_MCP_LANG={value!r} is not auto, en or zh; using auto.", value=shorten(wanted_language))
            )
        tokens = max_output_tokens or _read_number(known, "SWANLAB_MCP_MAX_OUTPUT_TOKENS", problems)
        common = Settings(
            timeout=DEFAULT_TIMEOUT if timeout is None else timeout,
            max_output_tokens=tokens or DEFAULT_MAX_OUTPUT_TOKENS,
            output=output or _read_output(known, problems),
            tools=tuple(tools),
            show_secrets=show_secrets,
            allow_writes=allow_writes,
            admin_tools=admin_tools,
            is_cached=is_cached,
            language=language.get(),
            metrics_file=known.get("SWANLAB_MCP_METRICS", "").strip(),
        )
        if demo:
            runs = Path(__file__).parent / "demo"
            return replace(common, demo=True, log_dirs=(runs,), problems=tuple(problems))
        sources = _Sources(known, _find_folder(problems) if folder is None else folder, find_home(known))
        account = _find_account(sources, api_key.strip(), host.strip(), problems)
        host_problem = account.host_problem
        if not host_problem and not allow_insecure_host:
            host_problem = find_insecurity(account.api_host)
        return replace(
            common,
            api_host=account.api_host,
            web_host=account.web_host,
            api_key=account.api_key,
            key_source=account.source if account.api_key else "",
            host_problem=host_problem,
            log_dirs=_find_log_dirs(log_dirs, sources, problems),
            link_targets=_list_folders("--allow-link-targets", link_targets, sources, problems),
            confirmation_secret=known.get("SWANLAB_MCP_CONFIRMATION_SECRET", "").strip(),
            proxy_secret=known.get("SWANLAB_MCP_PROXY_SECRET", "").strip(),
            problems=tuple(problems),
        )


def get_environment() -> Mapping[str, str]:
    return os.environ


def find_home(environ: Mapping[str, str]) -> Path | None:
    """Return the user's home folder, or None if it is unknown."""
    home = environ.get("USERPROFILE" if os.name == "nt" else "HOME", "").strip()
    if not home and find_spec("pwd"):
        # in a container, the current user may not exist in the user database
        with suppress(KeyError):
            home = import_module("pwd").getpwuid(os.getuid()).pw_dir
    return Path(home) if Path(home).is_absolute() else None


def _find_folder(problems: list[str]) -> Path | None:
    try:
        folder = Path.cwd()
        # check that the folder can be listed, which requires a separate permission
        next(folder.iterdir(), None)
    except OSError as error:
        problems.append(
            gettext(
                "The working directory cannot be read ({why}): ./swanlog and ./.swanlab are not searched.",
                why=error.strerror or type(error).__name__,
            )
        )
        return None
    return folder


def _find_account(sources: _Sources, api_key: str, host: str, problems: list[str]) -> Account:
    """Return the key and the hosts. If requests must be blocked, `host_problem` contains the reason."""
    found = Account(DEFAULT_API_HOST, DEFAULT_WEB_HOST)
    name, wanted = ("--host", host) if host else ("SWANLAB_API_HOST", sources.read("SWANLAB_API_HOST"))
    if wanted:
        found = choose_host(name, wanted, problems)
    key, source = api_key, gettext("the api_key argument")
    if not key:
        key, source = sources.read("SWANLAB_API_KEY"), "SWANLAB_API_KEY"
    if problem := find_placeholder(source, key, fills_all=True):
        problems.append(problem)
        key = ""
    for login in _read_logins(sources, problems):
        if wanted and login.api_host != found.api_host:
            if not key:
                problems.append(
                    gettext(
                        "The key in {source} belongs to {owner}; it is not used for {host}.",
                        source=login.source,
                        owner=login.api_host,
                        host=found.api_host,
                    )
                )
        elif not key:
            key, source = login.api_key, login.source
            found = replace(found, api_host=login.api_host, web_host=login.web_host)
        elif login.api_host == found.api_host:
            found = replace(found, web_host=login.web_host)
    # a key for the self-hosted server in SWANLAB_HOST must not be sent to SwanLab's cloud
    if not wanted and (problem := find_other_host(sources.environ, found)):
        found = replace(found, host_problem=problem)
    if pages := sources.read("SWANLAB_WEB_HOST"):
        try:
            found = replace(found, web_host=normalise_host(pages))
        except InvalidArgument as error:
            problems.append(gettext("SWANLAB_WEB_HOST is ignored: {error}", error=error))
    return replace(found, api_key=key, source=source)


def read_network_variables(environ: Mapping[str, str] | None = None) -> NetworkVariables:
    """Return the proxies and certificates from the environment, and proxies from the Windows or macOS settings."""
    known = os.environ if environ is None else environ
    system = getproxies() if environ is None else {}
    proxies: dict[str, Variable] = {}
    for scheme in ("http", "https", "all"):
        name = next(
            (name for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper()) if known.get(name, "").strip()), ""
        )
        value = known[name].strip() if name else system.get(scheme, "").strip()
        if value:
            proxies[scheme] = Variable(name or gettext("the system's settings"), value)
    exempt = known.get("no_proxy") or known.get("NO_PROXY") or system.get("no", "")
    files = {name: known.get(name, "").strip() for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")}
    if files["SSL_CERT_FILE"] or files["SSL_CERT_DIR"]:
        # ignore this variable if the general variables are set, as SwanLab's own package does
        del files["REQUESTS_CA_BUNDLE"]
    files["SSLKEYLOGFILE"] = known.get("SSLKEYLOGFILE", "")
    return NetworkVariables(
        proxies,
        tuple(part for part in re.split(r"[\s,]+", exempt) if part),
        tuple(Variable(name, value) for name, value in files.items() if value),
    )


def wants_plain_output(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether NO_COLOR or TERM=dumb in the environment requests plain text output."""
    environ = os.environ if environ is None else environ
    return bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"


def names_trace_exporter(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether the environment configures an exporter for OpenTelemetry spans."""
    environ = os.environ if environ is None else environ
    return bool(environ.get("OTEL_TRACES_EXPORTER", "").strip())


def choose_language(lang: str = "", environ: Mapping[str, str] | None = None) -> str:
    """Return "en" or "zh", from the first source that is set.

    The sources are `lang`, SWANLAB_MCP_LANG, the locale variables and the operating system, in this order.
    """
    environ = os.environ if environ is None else environ
    wanted = lang or environ.get("SWANLAB_MCP_LANG", "").strip().lower()
    if wanted in LANGUAGES:
        return wanted
    name = next(filter(None, map(environ.get, ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE"))), None)
    if name is None:
        # Desktop programs often lack these variables. getlocale raises ValueError for unknown names, and on Windows it
        # returns names such as "Chinese (Simplified)_China".
        with suppress(ValueError):
            name = locale.getlocale()[0]
    return "zh" if (name or "").lower().startswith(("zh", "chinese")) else "en"


def _read_logins(sources: _Sources, problems: list[str]) -> Iterator[_Login]:
    root = sources.read("SWANLAB_ROOT") or sources.read("SWANLAB_SAVE_DIR")
    home = Path(root) if root else sources.home and sources.home / ".swanlab"
    files = {
        sources.folder and sources.folder / ".swanlab" / ".netrc": "./.swanlab/.netrc",
        home and home / ".netrc": "$SWANLAB_ROOT/.netrc" if root else "~/.swanlab/.netrc",
    }
    for path, name in files.items():
        if path is None:
            continue
        try:
            entries = netrc.netrc(path).hosts
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(gettext("{name} cannot be read ({kind}).", name=name, kind=type(error).__name__))
            continue
        except netrc.NetrcParseError as error:
            problems.append(
                gettext(
                    "{name} is not a valid netrc file (line {line}); log in again with `swanlab login`.",
                    name=name,
                    line=error.lineno,
                )
            )
            continue
        # ignore the default entry, which has no host, because its key would be sent to any host
        entries.pop("default", None)
        for machine, (login, _account, password) in entries.items():
            try:
                api_host = normalise_host(machine)
            except InvalidArgument:
                problems.append(
                    gettext(
                        "{name} has an entry for {machine!r}, which is not a host.", name=name, machine=shorten(machine)
                    )
                )
                continue
            try:
                web_host = normalise_host(login or "")
            except InvalidArgument:
                web_host = DEFAULT_WEB_HOST if api_host == DEFAULT_API_HOST else api_host
            if password:
                yield _Login(api_host, web_host, password, name)


def _find_log_dirs(log_dirs: Sequence[str | Path], sources: _Sources, problems: list[str]) -> tuple[Path, ...]:
    name, given = "--log-dir", [str(folder) for folder in log_dirs if str(folder)]
    if not given:
        name = "SWANLAB_LOG_DIR" if sources.read("SWANLAB_LOG_DIR") else "SWANLAB_LOGDIR"
        given = [part.strip() for part in sources.read(name).split(os.pathsep) if part.strip()]
    if not given and sources.folder and os.path.isdir(sources.folder / "swanlog"):  # noqa: PTH112 never raises
        given = ["swanlog"]
    return _list_folders(name, given, sources, problems)


def _list_folders(name: str, given: Sequence[str | Path], sources: _Sources, problems: list[str]) -> tuple[Path, ...]:
    """Return the folders as full paths without duplicates. `name` is the option or variable that sets the folders."""
    folders: dict[str, Path] = {}
    for text in filter(None, map(str, given)):
        path = Path(text)
        if path.parts[:1] == ("~",) and sources.home:
            path = sources.home.joinpath(*path.parts[1:])
        if sources.folder:
            path = sources.folder / path
        if not os.path.exists(path) and (problem := find_placeholder(name, text)):  # noqa: PTH110 never raises
            problems.append(problem)
        elif not path.is_absolute():
            problems.append(gettext("{path} is ignored: there is no working directory.", path=shorten(text)))
        else:
            folders.setdefault(os.path.realpath(path), path)
    return tuple(folders.values())


def _read_output(environ: Mapping[str, str], problems: list[str]) -> str:
    text = environ.get("SWANLAB_MCP_OUTPUT", "").strip().lower()
    if text and text not in OUTPUTS:
        problems.append(
            gettext("SWANLAB_MCP_OUTPUT={value!r} is not auto, text or both; using auto.", value=shorten(text))
        )
    return text if text in OUTPUTS else "auto"


def _read_number(environ: Mapping[str, str], name: str, problems: list[str]) -> int | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        problems.append(
            gettext(
                "{name}={text!r} is not a whole number above 0; using {default}.",
                name=name,
                text=shorten(text),
                default=DEFAULT_MAX_OUTPUT_TOKENS,
            )
        )
        return None
    return int(text)
