"""Find callers' addresses behind trusted proxies, and keep callers beyond their limits from slowing down others."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.server.addresses import Proxies
from swanlab_mcp.server.limits import Limits
from swanlab_mcp.settings import Settings
from tests.fake_swanlab import State
from tests.server.test_shared_server import BEHIND_NGINX, ask, serve, team

__all__ = ["team"]

NGINX = ["127.0.0.0/8"]
direct = pytest.mark.skipif(BEHIND_NGINX, reason="nginx writes X-Forwarded-For and keeps its own connections")


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        # a caller wrote the first address
        ("10.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "2001:DB8::1", "2001:db8::1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.0.2.7", "10.0.0.1", "192.0.2.7"),
        ("", "192.0.2.7", ""),
    ],
)
def test_only_trusted_proxies_name_the_caller(peer: str, forwarded: str, caller: str) -> None:
    assert Proxies(["10.0.0.0/8"]).find_caller(peer, forwarded) == caller
    assert Proxies().find_caller(peer, forwarded) == peer


def test_invalid_proxy_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not nginx"):
        Proxies(["nginx"])


@direct
@pytest.mark.parametrize(("proxies", "statuses"), [(NGINX, [200, 429, 200]), ([], [200, 429, 429])])
def test_rate_counts_callers_behind_a_trusted_proxy(
    settings: Settings, team: State, proxies: list[str], statuses: list[int]
) -> None:
    with serve(settings, shared_key=True, limits=Limits(rate=1), proxies=Proxies(proxies)) as url:
        senders = ("192.0.2.1", "192.0.2.1", "192.0.2.2")
        found = [ask(url, key=None, **{"x-forwarded-for": sender}).status_code for sender in senders]
    assert found == statuses
    assert team.logins == 1


@direct
@pytest.mark.parametrize(("proxies", "is_open"), [(NGINX, True), ([], False)])
def test_connections_of_a_trusted_proxy_have_no_limit_of_their_own(
    settings: Settings, proxies: list[str], *, is_open: bool
) -> None:
    with serve(settings, limits=Limits(connections_per_address=1), proxies=Proxies(proxies)) as url:
        address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        with socket.create_connection(address, timeout=30) as first:
            assert ask(url, key=None).status_code == 401
            try:
                first.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
                answer = first.recv(100)
            except ConnectionError:
                answer = b""
    assert answer.startswith(b"HTTP/1.1 200") is is_open


def test_caller_that_repeats_refused_requests_waits_and_others_do_not(settings: Settings, team: State) -> None:
    with serve(settings, limits=Limits(rate=1)) as url:
        assert [ask(url).status_code for _ in range(11)] == [200] + [429] * 10
        began = time.monotonic()
        assert [ask(url).status_code for _ in range(2)] == [429] * 2
        # 0.25 and 0.5 s; only the minimum is checked, because a slow machine takes longer
        assert time.monotonic() - began >= 0.7
        assert ask(url, key="other-key").status_code == 200
    assert team.logins == 2
