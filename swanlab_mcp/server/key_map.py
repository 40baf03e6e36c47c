"""Map users authenticated by a proxy to their SwanLab keys. The keys are read from a file and stay on the server."""

from __future__ import annotations

import hmac
import ipaddress
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.server.limits import Refused

__all__ = ["SECRET_HEADER", "KeyMap"]

SECRET_HEADER = "x-proxy-secret"  # noqa: S105 the name of a header
_LARGEST = 1 << 20


class KeyMap:
    """Maps users authenticated by a proxy to their SwanLab keys. The proxy sends the user name in `header`.

    The header is trusted only if the request's X-Proxy-Secret header equals `secret`. If `secret` is empty, the header
    is trusted only in requests from this machine.

    Each line of the file contains a user name and a key. `#` starts a comment.
    """

    def __init__(self, path: str, header: str, secret: str) -> None:
        """Read the file. Raises InvalidArgument if the file is unreadable, invalid or accessible to other users."""
        self._path = path
        self._header = header.lower()
        self._secret = secret.encode()
        self._keys = _read(path)

    def __repr__(self) -> str:
        return f"KeyMap({len(self._keys)} people)"

    def reload(self) -> None:
        """Read the file again. If the file is invalid, keep the old keys and raise InvalidArgument."""
        self._keys = _read(self._path)

    def find(self, headers: Mapping[str, str], address: str) -> str | None:
        """Return the key of the user named in the request headers, or None if the user header is missing.

        Raises Refused if the request does not come from the proxy, or if no key is stored for the user.
        """
        person = headers.get(self._header)
        if person is None:
            return None
        if not self._is_proxy(headers, address):
            raise Refused(401, gettext("Only this server's proxy may send {header}.", header=self._header))
        key = self._keys.get(person.strip().lower())
        if key is None:
            raise Refused(
                403, gettext("No SwanLab key is stored for {person}: contact the operator.", person=quote(person[:100]))
            )
        return key

    def _is_proxy(self, headers: Mapping[str, str], address: str) -> bool:
        if self._secret:
            return hmac.compare_digest(headers.get(SECRET_HEADER, "").encode(), self._secret)
        try:
            return ipaddress.ip_address(address).is_loopback
        except ValueError:
            return False


def _read(path: str) -> dict[str, str]:
    shown = shorten(path)
    try:
        with Path(path).open("rb") as file:
            about = os.fstat(file.fileno())
            text = file.read(_LARGEST + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InvalidArgument(gettext("{path} cannot be read: {why}.", path=shown, why=why)) from error
    # Kubernetes mounts secrets as files that are owned by root and readable by the server's group
    is_own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    forbidden = stat.S_IRWXO | (stat.S_IRWXG if is_own else stat.S_IWGRP)
    if os.name == "posix" and about.st_mode & forbidden:
        raise InvalidArgument(
            gettext("Other users can read or change {path}, which contains keys.", path=shown),
            hint=gettext("Run: chmod 600 {path}", path=shown),
        )
    if len(text) > _LARGEST:
        raise InvalidArgument(gettext("{path} is larger than {size} bytes.", path=shown, size=_LARGEST))
    return _parse(text, shown)


def _parse(text: bytes, shown: str) -> dict[str, str]:
    """Return a dict from user names to keys. Error messages contain line numbers, but never the contents of a line."""
    keys: dict[str, str] = {}
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or not words[1].isascii():
            problem = gettext(
                "Line {number} of {path} must contain a person's name and a key.", number=number, path=shown
            )
            raise InvalidArgument(problem)
        if words[0].lower() in keys:
            raise InvalidArgument(
                gettext("Line {number} of {path} is a second entry for the same person.", number=number, path=shown)
            )
        keys[words[0].lower()] = words[1]
    return keys
