"""Parse and normalise the headers of requests to the shared server."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["accept_json", "read_headers", "read_host"]


def accept_json(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers, replacing a missing or wildcard Accept header with one that the SDK accepts."""
    sent = b",".join(value for name, value in headers if name.lower() == b"accept")
    if sent.strip() and b"*" not in sent:
        return headers
    kept = [(name, value) for name, value in headers if name.lower() != b"accept"]
    return [*kept, (b"accept", b"application/json, text/event-stream")]


def read_headers(scope: MutableMapping[str, Any]) -> dict[str, str]:
    """Return the headers as a dict with lowercase names.

    Repeated headers are joined with commas, so that a second value cannot bypass a check.
    """
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
