"""Find the caller's address, using X-Forwarded-For if the connection comes from a trusted proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import quote

__all__ = ["Proxies", "group_address", "is_loopback"]


class Proxies:
    """The proxies whose X-Forwarded-For header is trusted, given as addresses or as networks such as 10.0.0.0/8.

    Raises InvalidArgument if an entry is neither an address nor a network.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._networks = [_read_network(name.strip()) for name in names]

    def trusts(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def find_caller(self, address: str, forwarded: str) -> str:
        """Return the caller's address for a request that arrived on a connection from `address`.

        If the connection comes from a trusted proxy, return the last address in X-Forwarded-For that is not a trusted
        proxy. Callers can forge all earlier addresses in the header.
        """
        for named in reversed(forwarded.split(",") if forwarded else []):
            if not self.trusts(address):
                break
            try:
                address = str(ipaddress.ip_address(named.strip()))
            except ValueError:
                break
        return address


def _read_network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError as error:
        shown = quote(name)
        raise InvalidArgument(
            gettext("--trusted-proxy takes an address or a network such as 10.0.0.0/8, not {name}.", name=shown)
        ) from error


def is_loopback(host: str) -> bool:
    """Return whether a socket listening on `host` is reachable only from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def group_address(address: str) -> str:
    """Return the key for counting connections from `address`.

    IPv6 addresses are grouped by their /64 network, because a /64 network usually belongs to a single user.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((int(parsed), 64), strict=False))
