"""Settings from arguments, environment and netrc files; nothing else in the package reads any of them."""

from __future__ import annotations

import locale
import netrc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import LANGUAGES, language, say, speak
from swanlab_mcp.core.untrusted import shorten

__all__ = ["DEFAULT_API_HOST", "DEFAULT_WEB_HOST", "Settings", "load_settings", "normalise_host", "wants_plain_output"]

DEFAULT_API_HOST = "https://api.swanlab.cn"
DEFAULT_WEB_HOST = "https://swanlab.cn"
DEFAULT_TIMEOUT = 45.0
DEFAULT_MAX_OUTPUT_TOKENS = 8000
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Settings:
    """What the server works with; `problems` are told by `check` and where they explain a failure.

    `host_problem` says why no request may be sent to `api_host` (empty: it may). `timeout` is in seconds,
    per call; `backoff` too, before the first repetition of a request.
    """

    api_host: str = DEFAULT_API_HOST
    web_host: str = DEFAULT_WEB_HOST
    api_key: str = field(default="", repr=False)
    key_source: str = ""
    host_problem: str = ""
    log_dirs: tuple[Path, ...] = ()
    demo: bool = False
    timeout: float = DEFAULT_TIMEOUT
    backoff: float = 0.5
    max_output_tokens: int = DEFAULT_MAX_OUTPUT_TOKENS
    show_secrets: bool = False
    allow_writes: bool = False
    confirmation_secret: str = field(default="", repr=False)
    is_cached: bool = True
    language: str = "en"
    problems: tuple[str, ...] = ()


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
    demo: bool = False,
    timeout: float | None = None,
    max_output_tokens: int | None = None,
    allow_insecure_host: bool = False,
    show_secrets: bool = False,
    allow_writes: bool = False,
    is_cached: bool = True,
    lang: str = "",
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Find key, hosts and log folders as `swanlab.login()` does (wire page, section 1).

    Key: `api_key`, `SWANLAB_API_KEY`, `./.swanlab/.netrc`, then `.netrc` in `SWANLAB_ROOT`, `SWANLAB_SAVE_DIR` or
    `~/.swanlab`. A file's key is used for the host of that file only. `demo` uses neither account nor other folders.
    `lang` (or `SWANLAB_MCP_LANG`) is en, zh, or auto: what the environment, then the operating system names.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    wanted_language = lang or environ.get("SWANLAB_MCP_LANG", "").strip().lower()
    with speak(_find_language(wanted_language, environ)):
        if wanted_language not in ("", "auto", *LANGUAGES):
            problems.append(
                say("SWANLAB_MCP_LANG={value!r} is not auto, en or zh; auto is used.", value=shorten(wanted_language))
            )
        seconds = DEFAULT_TIMEOUT if timeout is None else timeout
        tokens = max_output_tokens or _read_number(environ, "SWANLAB_MCP_MAX_OUTPUT_TOKENS", problems)
        tokens = tokens or DEFAULT_MAX_OUTPUT_TOKENS
        if demo:
            runs = Path(__file__).parent / "demo"
            return Settings(
                demo=True,
                log_dirs=(runs,),
                timeout=seconds,
                max_output_tokens=tokens,
                show_secrets=show_secrets,
                allow_writes=allow_writes,
                is_cached=is_cached,
                language=language.get(),
                problems=tuple(problems),
            )

        wanted = host.strip() or environ.get("SWANLAB_API_HOST", "").strip()
        api_host, host_problem = DEFAULT_API_HOST, ""
        if wanted:
            try:
                api_host = normalise_host(wanted)
            except InvalidArgument as error:
                host_problem = str(error)
        web_host = DEFAULT_WEB_HOST if api_host == DEFAULT_API_HOST else api_host
        key, source = api_key.strip(), say("the api_key argument")
        if not key:
            key, source = environ.get("SWANLAB_API_KEY", "").strip(), "SWANLAB_API_KEY"
        for login in _read_logins(environ, problems):
            if wanted and login.api_host != api_host:
                if not key:
                    problems.append(
                        say(
                            "The key in {source} belongs to {owner}; it is not used for {host}.",
                            source=login.source,
                            owner=login.api_host,
                            host=api_host,
                        )
                    )
            elif not key:
                key, source, api_host, web_host = login.api_key, login.source, login.api_host, login.web_host
            elif login.api_host == api_host:
                web_host = login.web_host
        if environ.get("SWANLAB_WEB_HOST", "").strip():
            try:
                web_host = normalise_host(environ["SWANLAB_WEB_HOST"])
            except InvalidArgument as error:
                problems.append(say("SWANLAB_WEB_HOST is not used: {error}", error=error))
        if not host_problem and not allow_insecure_host:
            host_problem = _find_insecurity(api_host)
        return Settings(
            api_host=api_host,
            web_host=web_host,
            api_key=key,
            key_source=source if key else "",
            host_problem=host_problem,
            log_dirs=_find_log_dirs(log_dirs, environ),
            timeout=seconds,
            max_output_tokens=tokens,
            show_secrets=show_secrets,
            allow_writes=allow_writes,
            confirmation_secret=environ.get("SWANLAB_MCP_CONFIRMATION_SECRET", "").strip(),
            is_cached=is_cached,
            language=language.get(),
            problems=tuple(problems),
        )


def wants_plain_output(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether the environment asks for lines of text alone: by `NO_COLOR`, or by a terminal without a cursor."""
    environ = os.environ if environ is None else environ
    return bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"


def normalise_host(host: str) -> str:
    """Return scheme://host[:port] of a host given with or without scheme, path or `/api`. Raises InvalidArgument."""
    text = host.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        name, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        name, port, parts = "", None, urlsplit("")
    if not name or parts.scheme not in ("http", "https") or not name.isprintable() or " " in name:
        raise InvalidArgument(
            say("{host!r} is not a usable SwanLab host.", host=shorten(host)),
            hint=say("Give it like https://swanlab.example.com:8000."),
        )
    if ":" in name:
        name = f"[{name}]"
    is_default = port is None or (parts.scheme, port) in (("https", 443), ("http", 80))
    return f"{parts.scheme}://{name}" + ("" if is_default else f":{port}")


def _find_language(wanted: str, environ: Mapping[str, str]) -> str:
    if wanted in LANGUAGES:
        return wanted
    name = next(filter(None, map(environ.get, ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE"))), None)
    if name is None:
        # a desktop's programs are started without those variables; it raises for names that it does not know
        with suppress(ValueError):
            name = locale.getlocale()[0]
    # Windows spells it out: "Chinese (Simplified)_China"
    return "zh" if (name or "").lower().startswith(("zh", "chinese")) else "en"


def _find_insecurity(api_host: str) -> str:
    parts = urlsplit(api_host)
    if parts.scheme == "https" or parts.hostname in _LOOPBACK:
        return ""
    return say(
        "{host} is not encrypted, so the API key would travel readable. "
        "Use https, or start with --allow-insecure-host if that network is yours.",
        host=api_host,
    )


def _read_logins(environ: Mapping[str, str], problems: list[str]) -> Iterator[_Login]:
    root = environ.get("SWANLAB_ROOT", "").strip() or environ.get("SWANLAB_SAVE_DIR", "").strip()
    home = Path(root) if root else Path.home() / ".swanlab"
    files = {
        Path.cwd() / ".swanlab" / ".netrc": "./.swanlab/.netrc",
        home / ".netrc": "$SWANLAB_ROOT/.netrc" if root else "~/.swanlab/.netrc",
    }
    for path, name in files.items():
        try:
            entries = netrc.netrc(path).hosts
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(say("{name} cannot be read ({kind}).", name=name, kind=type(error).__name__))
            continue
        except netrc.NetrcParseError as error:
            problems.append(
                say(
                    "{name} is not a valid netrc file (line {line}); log in again with `swanlab login`.",
                    name=name,
                    line=error.lineno,
                )
            )
            continue
        # what stands for any host would be sent to any host
        entries.pop("default", None)
        for machine, (login, _account, password) in entries.items():
            try:
                api_host = normalise_host(machine)
            except InvalidArgument:
                problems.append(
                    say(
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


def _find_log_dirs(log_dirs: Sequence[str | Path], environ: Mapping[str, str]) -> tuple[Path, ...]:
    given = [str(folder) for folder in log_dirs if str(folder)]
    if not given:
        listed = environ.get("SWANLAB_LOG_DIR", "") or environ.get("SWANLAB_LOGDIR", "")
        given = [part.strip() for part in listed.split(os.pathsep) if part.strip()]
    if not given and Path("swanlog").is_dir():
        given = ["swanlog"]
    folders: dict[str, Path] = {}
    for folder in given:
        path = Path(folder).expanduser().absolute()
        folders.setdefault(os.path.realpath(path), path)
    return tuple(folders.values())


def _read_number(environ: Mapping[str, str], name: str, problems: list[str]) -> int | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        problems.append(
            say(
                "{name}={text!r} is not a whole number above 0; {default} is used.",
                name=name,
                text=shorten(text),
                default=DEFAULT_MAX_OUTPUT_TOKENS,
            )
        )
        return None
    return int(text)
