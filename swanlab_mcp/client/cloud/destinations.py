"""Check the IP addresses of download hosts, which must be public or belong to the API host."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.request import getproxies

from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.i18n import gettext

__all__ = ["resolve_destination"]

# networks whose last 32 bits are an IPv4 address: NAT64 and two older forms
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
# local NAT64 and site-local networks, whose addresses Python considers global
_LOCAL = tuple(map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "fec0::/10")))


async def resolve_destination(host: str, port: int, own_host: str) -> list[str]:
    """Resolve and check the host of a download. Return [] if the connection may resolve the name itself.

    A malicious server or a forged response must not make this process send requests into its private network.
    Private, link-local and loopback addresses are therefore accepted only if the API host resolves to them as well.
    Otherwise, UnexpectedResponse is raised.
    """
    if host == own_host:
        return []
    addresses = await _resolve(host, port)
    hidden = [address for address in addresses if not _is_public(address)]
    if hidden and not set(hidden) <= set(await _resolve(own_host, port)):
        storage = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise UnexpectedResponse(
            gettext(
                "SwanLab at {host} returned a download URL with the private address {other}.",
                host=own_host,
                other=storage,
            ),
            hint=gettext(
                "Downloads may come only from public addresses or the API host. On the SwanLab server, set the "
                "storage's public address to the host name {host} (any port) or to a public address.",
                host=own_host,
            ),
        )
    # if there is a proxy, the proxy resolves the name
    return [] if getproxies() else addresses


async def _resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host name, or [] if it cannot be resolved (in which case connecting fails anyway)."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(one[4][0]).partition("%")[0] for one in found]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if any(parsed in network for network in _LOCAL):
            return False
        # a gateway may forward the connection to the embedded IPv4 address
        if any(parsed in network for network in _TRANSLATED):
            parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        else:
            parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    return parsed.is_global and not parsed.is_multicast
