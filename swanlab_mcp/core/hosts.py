"""Parse host and proxy settings as users and tools write them, and detect unfilled placeholders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import shorten

__all__ = [
    "DEFAULT_API_HOST",
    "DEFAULT_WEB_HOST",
    "Account",
    "NetworkVariables",
    "Variable",
    "choose_host",
    "find_insecurity",
    "find_other_host",
    "find_placeholder",
    "hide_password",
    "normalise_host",
]

DEFAULT_API_HOST = "https://api.swanlab.cn"
DEFAULT_WEB_HOST = "https://swanlab.cn"

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# BOARD_HOST and DASHBOARD_HOST are the addresses that SwanLab's local dashboard listens on
_HOST_VARIABLE = re.compile(r"SWANLAB_(?!API_HOST|BOARD_HOST|DASHBOARD_HOST)(?:[A-Z_]+_)?HOST")
# placeholders that a shell, an assistant or a user left in place of a value
_PLACEHOLDER = re.compile(
    r"\$\{[^{}]*\}|^\$[A-Za-z_]\w*|%[A-Za-z_]\w*%|\{\{.*?\}\}|<[^<>]*>|^your[ _-]?(?:swanlab[ _-]?)?(?:api[ _-]?)?key$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Variable:
    """The name and value of an environment variable."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class Account:
    """An API key with its hosts. `host_problem` is the reason why requests to the hosts are blocked, or ""."""

    api_host: str
    web_host: str
    api_key: str = field(default="", repr=False)
    source: str = ""
    host_problem: str = ""


@dataclass(frozen=True)
class NetworkVariables:
    """The environment variables that configure network access.

    `proxies` maps a scheme (http, https or all) to the variable that sets its proxy. `no_proxy` lists the hosts to
    connect to directly. `certificates` lists the variables that point to CA certificates.
    """

    proxies: Mapping[str, Variable]
    no_proxy: tuple[str, ...]
    certificates: tuple[Variable, ...]


def normalise_host(host: str) -> str:
    """Normalise a host to scheme://host[:port]. The scheme is optional, and a path is ignored.

    Raises InvalidArgument if the host is not usable.
    """
    text = host.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        name, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        name, port, parts = "", None, urlsplit("")
    if not name or parts.scheme not in ("http", "https") or not name.isprintable() or " " in name:
        raise InvalidArgument(
            gettext("{host!r} is not a usable SwanLab host.", host=shorten(host)),
            hint=gettext("Write it like https://swanlab.example.com:8000."),
        )
    if ":" in name:
        name = f"[{name}]"
    is_default = port is None or (parts.scheme, port) in (("https", 443), ("http", 80))
    return f"{parts.scheme}://{name}" + ("" if is_default else f":{port}")


def find_insecurity(api_host: str) -> str:
    parts = urlsplit(api_host)
    if parts.scheme == "https" or parts.hostname in _LOOPBACK:
        return ""
    return gettext(
        "{host} is not encrypted, so others could read the API key in transit. Use "
        "https, or start with --allow-insecure-host if you trust that network.",
        host=api_host,
    )


def find_other_host(environ: Mapping[str, str], account: Account) -> str:
    """Return an error message if a misnamed variable points to a host other than the account's, otherwise "".

    A variable such as SWANLAB_HOST does not set the API host, but it suggests that the key belongs to another host. In
    that case, the key must not be sent to the account's host. SWANLAB_WEB_HOST is ignored for a self-hosted SwanLab,
    because the web pages may be on a separate host.
    """
    for name in sorted(filter(_HOST_VARIABLE.fullmatch, environ)):
        value = environ[name].strip()
        if not value or (name == "SWANLAB_WEB_HOST" and account.api_host != DEFAULT_API_HOST):
            continue
        with suppress(InvalidArgument):
            if normalise_host(value) in (account.api_host, account.web_host):
                continue
        return gettext(
            "{name}={value} suggests another host, so no requests are sent to {host}: set SWANLAB_API_HOST, "
            "or unset {name}.",
            name=name,
            value=shorten(value),
            host=account.api_host,
        )
    return ""


def find_placeholder(name: str, value: str, *, fills_all: bool = False) -> str:
    """Return an error message if `value` contains an unfilled placeholder, otherwise an empty string.

    If `fills_all` is true, a placeholder other than `${…}` is reported only if it is the entire value.
    """
    found = _PLACEHOLDER.fullmatch(value) if fills_all else _PLACEHOLDER.search(value)
    if not found and not re.search(r"\$\{[^{}]*\}", value):
        return ""
    return gettext(
        "{name}={value!r} is an unfilled placeholder: replace it with the value itself.",
        name=name,
        value=shorten(value),
    )


def hide_password(address: str) -> str:
    """Return a proxy URL with its username and password hidden."""
    return re.sub(r"(?<=//).*@|^[^/]*@", "…@", address)


def choose_host(name: str, wanted: str, problems: list[str]) -> Account:
    """Return an account for the hosts in `wanted`, which is the value of the setting `name`.

    If the path in `wanted` is ignored, append a warning to `problems`.
    """
    if problem := find_placeholder(name, wanted):
        return Account(DEFAULT_API_HOST, DEFAULT_WEB_HOST, host_problem=problem)
    try:
        api_host = normalise_host(wanted)
    except InvalidArgument as error:
        return Account(DEFAULT_API_HOST, DEFAULT_WEB_HOST, host_problem=str(error))
    path = urlsplit(wanted if "://" in wanted else f"https://{wanted}").path.strip("/")
    if path not in ("", "api"):
        problems.append(
            gettext(
                "The path /{path} in the host {host} is ignored: requests go to {address}.",
                path=shorten(path),
                host=shorten(wanted),
                address=f"{api_host}/api",
            )
        )
    return Account(api_host, DEFAULT_WEB_HOST if api_host == DEFAULT_API_HOST else api_host)
