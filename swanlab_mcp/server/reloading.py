"""Reload a running server's certificates, limits and user keys on SIGHUP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from swanlab_mcp.client.cloud.network import reload_certificates
from swanlab_mcp.core.errors import InvalidArgument, SwanLabError
from swanlab_mcp.core.i18n import gettext, use_language
from swanlab_mcp.core.refs import find_near_names
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.server.limits import Limits

__all__ = ["make_reload", "read_limits"]

# limits that cannot change after startup, because a semaphore is created from them
_FIXED = {"large_body", "large_bodies"}
_NAMES = [one.name for one in fields(Limits) if one.name not in _FIXED]


def read_limits(path: str, defaults: Limits) -> Limits:
    """Return `defaults`, overridden by the limits in a TOML file. Raises InvalidArgument if the file is invalid."""
    toml: Any = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        given: dict[str, Any] = toml.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgument(
            gettext("{path} cannot be read: {why}.", path=shorten(path), why=error.strerror or type(error).__name__)
        ) from error
    except ValueError as error:
        raise InvalidArgument(
            gettext("{path} is not TOML: {why}.", path=shorten(path), why=shorten(str(error)))
        ) from error
    for name, value in given.items():
        if name not in _NAMES:
            near = find_near_names(name, _NAMES) or _NAMES
            raise InvalidArgument(
                gettext("Unknown limit {name}.", name=quote(name)),
                hint=gettext("Similar names: {names}.", names=", ".join(near)),
            )
        _check(name, value, is_whole=isinstance(getattr(defaults, name), int))
    return replace(defaults, **given)


def _check(name: str, value: Any, *, is_whole: bool) -> None:
    kinds = (int,) if is_whole else (int, float)
    least = 0 if name == "rate" else 1 if is_whole else 0.1
    # TOML also supports booleans, nan and inf
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < float("inf"):
        raise InvalidArgument(
            gettext("The limit {name} must be a whole number of at least {least}.", name=name, least=least)
            if is_whole
            else gettext("The limit {name} must be a number of at least {least}.", name=name, least=least)
        )


def make_reload(
    limits: Limits, limits_file: str, options: Limits, parts: Mapping[str, Callable[[], None]], language: str
) -> Callable[[], None]:
    """Return a function that reads all files again and reports the result for each file on standard error.

    If a file is invalid, its previous contents remain in use. `limits` is the instance to update, and `options`
    contains the limits from the command line, which the file overrides. `parts` maps the name of each other file to a
    function that reloads it.
    """

    def reload_limits() -> None:
        vars(limits).update(vars(read_limits(limits_file, options)))

    every = {"certificates": reload_certificates, **({"limits": reload_limits} if limits_file else {}), **parts}

    def reload() -> None:
        with use_language(language):
            for name, read in every.items():
                try:
                    read()
                except SwanLabError as error:
                    line = gettext("not reloaded, {name}: {error}", name=name, error=error)
                else:
                    line = gettext("reloaded: {name}", name=name)
                sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    return reload
