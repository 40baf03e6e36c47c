"""Confirmation tokens. A token allows the change shown in a dry run to be made once, within ten minutes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext

__all__ = ["LIFETIME", "Confirmations", "confirmations", "is_rehearsal"]

LIFETIME = 600  # seconds
_TIME, _NONCE, _MAC = 5, 6, 12
_MOST = 10_000
_LARGEST_SKEW = 60.0  # seconds by which the clocks of two workers may differ


class Confirmations:
    """Issues confirmation tokens and accepts each token once.

    All instances with the same `secret` accept each other's tokens. A token consists of a time, a nonce, and two
    signatures (HMAC-SHA-256, truncated to 96 bits each): one for the request, and one for the request and the current
    state. Spent tokens are only remembered in this process. In other processes, a spent token is invalid because the
    change has altered the state that it was issued for.
    """

    def __init__(self, secret: str = "") -> None:
        self._secret = secret.encode() or secrets.token_bytes(32)
        self._spent: dict[bytes, float] = {}
        self._deadlines: dict[bytes, float] = {}

    def issue(self, request: Sequence[Any], state: Any) -> tuple[str, int]:
        """Return a new token and the Unix time at which it expires.

        The token is bound to `request`, which consists of JSON values, and to the current `state`.
        """
        ends = int(time.time()) + LIFETIME
        salt = ends.to_bytes(_TIME, "big") + secrets.token_bytes(_NONCE)
        self._note_deadline(salt, LIFETIME)
        signed = salt + self._sign(salt, request) + self._sign(salt, [request, state])
        return base64.urlsafe_b64encode(signed).decode().rstrip("="), ends

    def check(self, token: str, request: Sequence[Any], state: Any) -> None:
        """Raise InvalidArgument unless the token is valid for this request and state, unexpired and unspent."""
        content = _decode(token)
        salt, signed, signed_state = (
            content[: _TIME + _NONCE],
            content[_TIME + _NONCE : -_MAC],
            content[-_MAC:],
        )
        if not hmac.compare_digest(signed, self._sign(salt, request)):
            raise InvalidArgument(
                gettext(
                    "The confirmation was not issued for these arguments, this server and this "
                    "account; no changes were made."
                ),
                hint=_advise(),
            )
        left = int.from_bytes(salt[:_TIME], "big") - time.time()
        # the monotonic clock ensures that a token expires after LIFETIME even if the system clock is set back
        is_from_future = salt not in self._deadlines and left > LIFETIME + _LARGEST_SKEW
        if left <= 0 or is_from_future or self._note_deadline(salt, min(left, LIFETIME)) <= time.monotonic():
            raise InvalidArgument(
                gettext(
                    "The confirmation is older than {minutes} minutes; no changes were made.", minutes=LIFETIME // 60
                ),
                hint=_advise(),
            )
        if salt in self._spent:
            raise InvalidArgument(
                gettext("The confirmation was used before; no changes were made this time."), hint=_advise()
            )
        if not hmac.compare_digest(signed_state, self._sign(salt, [request, state])):
            raise InvalidArgument(
                gettext(
                    "The affected data has changed since the dry run, so the confirmation is "
                    "invalid; no changes were made."
                ),
                hint=_advise(),
            )

    def spend(self, token: str) -> None:
        """Mark `token` as spent."""
        # use the monotonic clock, because the system clock may be set forward and back
        now = time.monotonic()
        self._spent = {salt: ends for salt, ends in self._spent.items() if ends > now}
        self._spent[_decode(token)[: _TIME + _NONCE]] = now + LIFETIME

    def _note_deadline(self, salt: bytes, left: float) -> float:
        """Return the time on the monotonic clock at which a token expires: `left` seconds after it was first seen."""
        if salt not in self._deadlines and len(self._deadlines) >= _MOST:
            del self._deadlines[next(iter(self._deadlines))]
        return self._deadlines.setdefault(salt, time.monotonic() + left)

    def _sign(self, salt: bytes, value: Any) -> bytes:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return hmac.digest(self._secret, salt + text.encode(), hashlib.sha256)[:_MAC]


def _advise() -> str:
    return gettext("Call the tool again without confirmation, show the user what it would do, and use the new token.")


def _decode(token: str) -> bytes:
    """Decode a token into its fixed number of bytes. An invalid token is decoded as zeros."""
    size = _TIME + _NONCE + 2 * _MAC
    try:
        content = base64.b64decode(token.strip() + "=" * (-len(token.strip()) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return bytes(size)
    return content if len(content) == size else bytes(size)


confirmations: ContextVar[Confirmations] = ContextVar("confirmations", default=Confirmations())  # noqa: B039 each server sets its own

# true during a rehearsal, in which a call determines its change without making it
is_rehearsal: ContextVar[bool] = ContextVar("is_rehearsal", default=False)
