"""Headers of the shared server's requests."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["accept_json", "read_headers", "read_host"]


def accept_json(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers with an Accept that the SDK allows, if the client sent no Accept or a wildcard."""
    sent = b",".join(value for name, value in headers if name.lower() == b"accept")
    if sent.strip() and b"*" not in sent:
        return headers
    kept = [(name, value) for name, value in headers if name.lower() != b"accept"]
    return [*kept, (b"accept", b"application/json, text/event-stream")]


def read_headers(scope: MutableMapping[str, Any]) -> dict[str, str]:
    """Return the headers. Repeated headers are joined, so the value that is checked is also the value that is used."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        found[key] = f"{found[key]}, {value.decode('latin-1')}" if key in found else value.decode("latin-1")
    return found


def read_host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
