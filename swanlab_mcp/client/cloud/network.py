"""Choose proxies, load certificates, and explain failed connections."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

import httpx

from swanlab_mcp.client.cloud.answers import Answer
from swanlab_mcp.core.errors import ServerUnavailable, UnexpectedResponse
from swanlab_mcp.core.hosts import hide_password
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.settings import NetworkVariables, Variable, read_network_variables

__all__ = [
    "Destination",
    "Failure",
    "Network",
    "explain",
    "find_destination",
    "is_exempt",
    "refuse_scheme",
    "reload_certificates",
]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535
# a host without a scheme: a name and a port, or a bracketed IPv6 address
_HOST_AND_PORT = re.compile(r"(?:[\w.-]+:\d+|\[[\da-fA-F:.%]+\](?::\d+)?)(?:[/?#]|$)")
# OpenSSL's codes for a certificate that was not signed by a known CA
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}
_OTHER_NAME = {62, 63, 64}


class Network(httpx.AsyncBaseTransport):
    """A transport that sends each request directly, or through the proxy that the environment sets for its host.

    Certificates and proxies are loaded on demand, because a plain HTTP request needs no certificates. After
    `reload_certificates`, the next request opens a new connection.
    """

    # counts the reloads of certificates
    generation: ClassVar[int] = 0

    def __init__(self, limits: httpx.Limits | None = None) -> None:
        self._variables = read_network_variables()
        self._limits = limits or httpx.Limits()
        self._by_origin: dict[tuple[str, str, int | None], httpx.AsyncHTTPTransport] = {}
        self._by_route: dict[tuple[bool, str], httpx.AsyncHTTPTransport] = {}
        self._opened_in = Network.generation

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._opened_in != Network.generation:
            await self.aclose()
            self._by_origin.clear()
            self._by_route.clear()
            self._opened_in = Network.generation
        url = request.url
        origin = (url.scheme, url.host, url.port)
        transport = self._by_origin.get(origin)
        if transport is None:
            transport = self._by_origin[origin] = self._open(url)
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        for transport in self._by_route.values():
            await transport.aclose()

    def _open(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        proxy = _choose_proxy(self._variables, url)
        address = _parse_proxy(proxy) if proxy else None
        is_encrypted = "https" in (url.scheme, address.url.scheme if address else "")
        route = (is_encrypted, proxy.value if proxy else "")
        if route not in self._by_route:
            verify = _load_certificates(self._variables.certificates) if is_encrypted else False
            try:
                self._by_route[route] = httpx.AsyncHTTPTransport(verify=verify, limits=self._limits, proxy=address)
            except ImportError as error:
                assert proxy is not None
                raise ServerUnavailable(
                    gettext("{variable} is a SOCKS proxy, which needs the package socksio.", variable=proxy.name),
                    hint=gettext("Install it with {command}.", command="pip install 'swanlab-mcp-server[socks]'"),
                    status=0,
                ) from error
        return self._by_route[route]


class Failure(NamedTuple):
    """The reason for a failed connection. `message` is set only if retrying cannot help. `hint` says what to do."""

    message: str
    hint: str


def explain(error: httpx.TransportError) -> Failure:
    """Return an explanation of a failed connection for the user."""
    request = getattr(error, "_request", None)
    url = request.url if request else httpx.URL("")
    proxy = _choose_proxy(read_network_variables(), url) if request else None
    server = f"{url.host}:{url.port or _DEFAULT_PORTS.get(url.scheme, '')}"
    causes = list(_find_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _explain_certificate(cause, server)
    if proxy and isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
        where = {"proxy": hide_password(proxy.value), "variable": proxy.name, "host": url.host}
        why = shorten(str(error)) if isinstance(error, httpx.ProxyError) else ""
        return Failure(
            "",
            (
                gettext("The proxy {proxy} from {variable} refused the connection: {why}.", why=why, **where)
                if why
                else ""
            )
            or gettext(
                "The proxy {proxy} from {variable} cannot be reached; check it, or add {host} to NO_PROXY.", **where
            ),
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes) and not isinstance(error, httpx.ReadError):
        return Failure(
            gettext("{server} does not answer over https.", server=server),
            gettext("If it serves plain http, use {address} as the host.", address=f"http://{server}"),
        )
    if isinstance(error, httpx.RemoteProtocolError) and url.scheme == "http" and r"\x15\x03" in str(error):
        return Failure(
            gettext("{server} does not answer over plain http.", server=server),
            gettext("Use {address} as the host.", address=f"https://{server}"),
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Failure(
            "", gettext("The name {name} cannot be resolved: check its spelling and the DNS.", name=url.host)
        )
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Failure(
            "", gettext("{server} refused the connection: check the port and that SwanLab is up.", server=server)
        )
    if url.scheme == "http" and isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError)):
        return Failure(
            "",
            gettext(
                "{server} closed the connection: if it serves https, use {address} as the host.",
                server=server,
                address=f"https://{server}",
            ),
        )
    if isinstance(error, httpx.TimeoutException):
        return Failure(
            "", gettext("{server} does not respond: check the address, the port and any firewall.", server=server)
        )
    return Failure(
        "",
        gettext(
            "Check the host, the network and the proxy variables; "
            "`swanlab-mcp-server check` shows the current settings."
        ),
    )


class Destination(NamedTuple):
    """The location of a download. `own_host` is the API host."""

    url: httpx.URL
    host: str
    port: int
    own_host: str


def find_destination(address: str, api_host: str) -> Destination:
    """Parse the URL of a download. A URL without a scheme or host is relative to the API host.

    Raises UnexpectedResponse if the URL is invalid. Plain HTTP is allowed only for the API host, and only if the
    API itself uses it.
    """
    own = httpx.URL(api_host)
    if _HOST_AND_PORT.match(address):
        address = f"//{address}"
    bad = UnexpectedResponse(gettext("SwanLab returned an invalid download URL."), hint=gettext("Check the host."))
    try:
        url = own.join(address) if address else httpx.URL("")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise bad from error
    is_own = url.scheme == own.scheme == "http" and url.host == own.host
    if url.scheme != "https" and not is_own:
        raise UnexpectedResponse(
            gettext(
                "SwanLab at {host} returned an unencrypted download URL on {other}.",
                host=api_host,
                other=f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}" if url.host else "?",
            ),
            hint=gettext(
                "On the SwanLab server, set the storage's public address so that downloads use https or the API's "
                "host name."
            ),
        )
    port = url.port or _DEFAULT_PORTS["https"]
    if not 0 < port <= _LAST_PORT:
        raise bad
    return Destination(url, url.raw_host.decode("ascii"), port, own.raw_host.decode("ascii"))


def refuse_scheme(answer: Answer, address: str) -> None:
    """Raise ServerUnavailable if the server rejects plain HTTP and requires HTTPS."""
    scheme, _, rest = address.partition("://")
    if scheme == "http" and answer.status == HTTPStatus.BAD_REQUEST and b"https" in answer.content[:4096].lower():
        server = rest.partition("/")[0]
        raise ServerUnavailable(
            gettext("{server} does not answer over plain http.", server=server),
            hint=gettext("Use {address} as the host.", address=f"https://{server}"),
            status=0,
        )


def _explain_certificate(error: ssl.SSLCertVerificationError, server: str) -> Failure:
    message = gettext(
        "The certificate of {server} is not trusted: {why}.", server=server, why=error.verify_message.rstrip(".")
    )
    chosen = [one for one in read_network_variables().certificates if one.name != "SSLKEYLOGFILE"]
    if error.verify_code in _OTHER_NAME:
        return Failure(message, gettext("Use a host name that its certificate covers."))
    if error.verify_code not in _UNKNOWN_AUTHORITY:
        return Failure(message, gettext("Check this machine's clock; the server may need a new certificate."))
    if chosen:
        return Failure(
            message,
            gettext(
                "Add the server's CA certificate to {variable}={path}, which does not contain it.",
                variable=chosen[0].name,
                path=chosen[0].value,
            ),
        )
    return Failure(
        message,
        gettext(
            "If you trust this server, set {variable} to a PEM file with its certificate or its CA certificate.",
            variable="SSL_CERT_FILE",
        ),
    )


def _find_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes."""
    pending, seen = [error], set[int]()
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        # an exception group contains one error per address
        grouped: Iterable[BaseException] = getattr(one, "exceptions", ())
        pending += [cause for cause in (one.__cause__, one.__context__, *grouped) if cause is not None]


def _choose_proxy(variables: NetworkVariables, url: httpx.URL) -> Variable | None:
    if not url.host or any(is_exempt(entry, url.scheme, url.host, url.port) for entry in variables.no_proxy):
        return None
    return variables.proxies.get(url.scheme) or variables.proxies.get("all")


def is_exempt(entry: str, scheme: str, host: str, port: int | None) -> bool:
    """Return whether an entry in NO_PROXY matches a host.

    An entry is `*`, a host name, or an IPv4 or IPv6 address or network. A host name also matches its subdomains.
    Brackets, a scheme and a port are optional. Any other entry matches no host.
    """
    entry = entry.strip().lower()
    before, separator, after = entry.partition("://")
    if separator:
        if before not in ("all", scheme):
            return False
        entry = after
    if entry == "*":
        return True
    found = re.fullmatch(r"\[(?P<inner>[^\]]*)\](?P<mask>/\d+)?(?::(?P<port>\d+))?", entry) or re.fullmatch(
        r"(?P<inner>[^:\[\]]*?)(?P<mask>/[\d.]+)?(?::(?P<port>\d+))?", entry
    )
    name, mask, wanted = (found["inner"], found["mask"] or "", found["port"]) if found else (entry, "", None)
    if wanted and int(wanted) != (port or _DEFAULT_PORTS.get(scheme)):
        return False
    host = host.lower().strip("[]").rstrip(".")
    address = _read_address(host)
    if address is None:
        name = name.lstrip("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ip_network(name.partition("%")[0] + mask, strict=False)
    except ValueError:
        return False


def _read_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _parse_proxy(proxy: Variable) -> httpx.Proxy:
    address = proxy.value if "://" in proxy.value else f"http://{proxy.value}"
    try:
        parts = urlsplit(address)
        # httpx.Proxy rejects an address without a host
        return httpx.Proxy(address if parts.hostname and parts.port != 0 else "")
    except (httpx.InvalidURL, ValueError) as error:
        raise ServerUnavailable(
            gettext(
                "{variable}={value!r} is not a usable proxy.",
                variable=proxy.name,
                value=shorten(hide_password(proxy.value)),
            ),
            hint=gettext("Write it like http://127.0.0.1:7890 or socks5://127.0.0.1:1080."),
            status=0,
        ) from error


@lru_cache(maxsize=4)
def _load_certificates(variables: tuple[Variable, ...]) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificates in `variables`, or certifi's certificates if there are none.

    Raises ServerUnavailable if a certificate cannot be loaded.
    """
    for variable in variables:
        _check_file(variable)
    where = {one.name: one for one in variables}
    key_log = where.pop("SSLKEYLOGFILE", None)
    options: dict[str, Any] = {"capath" if Path(one.value).is_dir() else "cafile": one.value for one in where.values()}
    try:
        return ssl.create_default_context(**options) if options else httpx.create_ssl_context(trust_env=False)
    except ssl.SSLError as error:
        named = next(iter(where.values()), Variable("SSL_CERT_FILE", ""))
        raise _refuse(named, gettext("it contains no PEM certificate")) from error
    except OSError as error:
        named = key_log or next(iter(where.values()), Variable("SSL_CERT_FILE", error.filename or ""))
        raise _refuse(named, error.strerror or type(error).__name__) from error


def reload_certificates() -> None:
    """Reload the certificate files. If they are unusable, keep the old certificates and raise ServerUnavailable."""
    _load_certificates.__wrapped__(read_network_variables().certificates)
    _load_certificates.cache_clear()
    Network.generation += 1


def _check_file(variable: Variable) -> None:
    """Raise ServerUnavailable if the path in the environment variable is unusable."""
    wants_folder, may_be_new = variable.name == "SSL_CERT_DIR", variable.name == "SSLKEYLOGFILE"
    paths = variable.value.split(os.pathsep) if wants_folder else [variable.value]
    problems = [_find_problem(Path(path), variable.name, may_be_new=may_be_new) for path in paths if path]
    if problems and all(problems):
        raise _refuse(variable, problems[0])


def _find_problem(path: Path, name: str, *, may_be_new: bool) -> str:
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:
        return error.strerror or type(error).__name__
    if not is_there:
        is_writable = may_be_new and path.parent.is_dir() and os.access(path.parent, os.W_OK)
        return (
            "" if is_writable else gettext("it does not exist") if not may_be_new else gettext("it cannot be written")
        )
    if is_folder and name in ("SSL_CERT_FILE", "SSLKEYLOGFILE"):
        return gettext("it is a folder, not a file")
    if not is_folder and name == "SSL_CERT_DIR":
        return gettext("it is a file, not a folder")
    if not os.access(path, os.W_OK if may_be_new else os.R_OK):
        return gettext("it cannot be written") if may_be_new else gettext("it cannot be read")
    return ""


def _refuse(variable: Variable, why: str) -> ServerUnavailable:
    return ServerUnavailable(
        gettext(
            "{variable}={path} cannot be used: {why}.",
            variable=variable.name,
            path=shorten(variable.value, 300),
            why=why,
        ),
        hint=gettext("Correct or unset {variable} in the server's environment.", variable=variable.name),
        status=0,
    )
