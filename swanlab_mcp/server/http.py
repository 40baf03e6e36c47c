"""Build the shared server: the MCP server behind the gateway, as an ASGI app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mcp.server.transport_security import TransportSecuritySettings

from swanlab_mcp.client.cloud.transport import probe
from swanlab_mcp.server.accounts import Accounts
from swanlab_mcp.server.addresses import Proxies
from swanlab_mcp.server.app import LogLevel, create_server
from swanlab_mcp.server.audit import Audit
from swanlab_mcp.server.gateway import Gateway
from swanlab_mcp.server.key_map import KeyMap
from swanlab_mcp.server.limits import Limits
from swanlab_mcp.server.readiness import Readiness
from swanlab_mcp.settings import Settings

if TYPE_CHECKING:
    from swanlab_mcp.server.metrics import Metrics

__all__ = ["create_http_app"]


def create_http_app(
    settings: Settings,
    *,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    shared_key: bool = False,
    log_level: LogLevel = "WARNING",
    limits: Limits | None = None,
    audit: Audit | None = None,
    metrics: Metrics | None = None,
    key_map: KeyMap | None = None,
    proxies: Proxies | None = None,
) -> Gateway:
    """Create the shared server, a stateless ASGI app with JSON responses. Callers send their own SwanLab keys.

    If `shared_key` is true, callers without a key use the server's own account and local runs. The demo requires no
    key.
    """
    own = (
        settings
        if shared_key or settings.demo
        else replace(settings, api_key="", key_source="", log_dirs=(), problems=())
    )
    server = create_server(own, log_level=log_level, is_stateless=True)
    app = server.streamable_http_app(
        stateless_http=True,
        json_response=True,
        # the gateway already checks the Host and Origin headers
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    accounts = None if settings.demo else Accounts(settings)
    return Gateway(
        app,
        accounts,
        allowed_hosts=allowed_hosts,
        allowed_origins=allowed_origins,
        shares_key=shared_key,
        limits=limits,
        language=settings.language,
        audit=audit,
        entries=server.entries,
        readiness=Readiness(None if settings.demo else partial(probe, settings)),
        metrics=metrics,
        key_map=key_map,
        proxies=proxies,
    )
