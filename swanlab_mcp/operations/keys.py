from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.refs import find_near_names
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.hiding import make_hide

__all__ = ["has_pattern", "match_keys", "match_known_keys", "matches_pattern"]

_SHOWN = 10


def has_pattern(keys: Sequence[str]) -> bool:
    return any(character in key for key in keys for character in "*?")


def matches_pattern(key: str, pattern: str) -> bool:
    """Return whether a key matches a pattern. Only `*` and `?` are special; brackets are ordinary characters."""
    return fnmatchcase(key, pattern.replace("[", "[[]"))


def match_keys(
    logged: Collection[str], patterns: Sequence[str], what: Literal["metric", "media"] = "metric"
) -> list[str]:
    """Return the logged keys that match any of the `patterns`, in the order in which they were logged.

    Raises NotFound with similar keys if a pattern matches no key.
    """
    found, missing = match_known_keys(logged, patterns, what)
    if missing:
        raise missing
    return found


def match_known_keys(
    logged: Collection[str], patterns: Sequence[str], what: Literal["metric", "media"] = "metric"
) -> tuple[list[str], NotFound | None]:
    """Return the logged keys that match any of the patterns, and an error for the patterns that match no key.

    The error is `None` if every pattern matches a key.
    """
    hide = make_hide()
    shown = {key: hide(key, "") for key in logged} if has_pattern(patterns) else {key: key for key in logged}
    unmatched = [
        one for one in patterns if one not in shown and not any(matches_pattern(key, one) for key in shown.values())
    ]
    found = [
        key for key, name in shown.items() if key in patterns or any(matches_pattern(name, one) for one in patterns)
    ]
    return found, _explain(logged, unmatched, what) if unmatched else None


def _explain(logged: Collection[str], unmatched: Sequence[str], what: Literal["metric", "media"]) -> NotFound:
    names = ", ".join(repr(shorten(one)) for one in unmatched)
    near = [key for one in unmatched for key in find_near_names(one.strip("*?"), logged)]
    shown = ", ".join(quote(key) for key in dict.fromkeys(near or list(logged)[:_SHOWN]))
    near_ones = (
        gettext("Similar keys (of {total} logged): {names}.", total=len(logged), names=shown)
        if near
        else gettext("Logged keys ({total}): {names}.", total=len(logged), names=shown)
    )
    if what == "media":
        return NotFound(
            gettext("No media in this experiment match {names}.", names=names),
            hint=near_ones if logged else gettext("It has logged no media."),
        )
    return NotFound(
        gettext("No metric in this experiment matches {names}.", names=names),
        hint=near_ones if logged else gettext("It has logged no metrics."),
    )
