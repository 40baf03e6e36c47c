"""Parse the YAML in config files (strings, numbers, booleans, null and containers) in limited time and memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from swanlab_mcp.core.untrusted import DEEPEST

__all__ = ["NotReadable", "parse_yaml"]

_MOST_NODES = 200_000
_LONGEST_INT = 4300
_LARGEST_INT = 10**_LONGEST_INT
_Loader: type[Any] = getattr(yaml, "CLoader", yaml.Loader)

# the strings that PyYAML (used by the SDK) converts to other types, except dates and sexagesimal numbers such as 9:9:9
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {
    form: value
    for value, words in ((True, ("yes", "true", "on")), (False, ("no", "false", "off")))
    for word in words
    for form in (word, word.capitalize(), word.upper())
}
_INT = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BASES = {"b": 2, "x": 16}


class NotReadable(ValueError):
    """Raised for invalid or oversized YAML, and for features that configs do not need, such as tags and aliases."""


def parse_yaml(text: str) -> Any:
    """Return the value of the first YAML document in `text`, or raise NotReadable."""
    try:
        events = yaml.parse(text, Loader=_Loader)
        return _Builder(events).build()
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        raise NotReadable(str(error)) from error


class _Builder:
    """Builds a value from parser events. Limits the number of nodes, and rejects features that configs do not need."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._nodes = 0

    def build(self) -> Any:
        value: Any = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                value = self._build(next(self._events), DEEPEST)
                break
        return value

    def _build(self, event: Any, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES or not depth:
            raise NotReadable("too large or nested too deeply")
        if isinstance(event, yaml.AliasEvent):
            raise NotReadable("aliases are not read")
        if isinstance(event, yaml.ScalarEvent):
            return _read_scalar(event)
        if event.tag not in (None, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            raise NotReadable("tags are not read")
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                items.append(self._build(event, depth - 1))
            return items
        fields: dict[Any, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._build(event, depth - 1)
            value = self._build(next(self._events), depth - 1)
            fields[key if isinstance(key, str) else _name_key(key)] = value
        return fields


def _name_key(key: Any) -> str:
    if isinstance(key, (dict, list)):
        raise NotReadable("a key is not text")
    return "null" if key is None else str(key).lower() if isinstance(key, bool) else str(key)


def _read_scalar(event: Any) -> Any:
    if event.tag not in (None, "!"):
        raise NotReadable("tags are not read")
    text: str = event.value
    return text if event.tag or event.style in ("'", '"', "|", ">") else _resolve(text)


def _resolve(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    # converting a longer integer takes quadratic time, and the result would not fit into a float
    if len(text) <= _LONGEST_INT:
        if _INT.fullmatch(text):
            return _read_int(text)
        if _FLOAT.fullmatch(text):
            return float(text.replace("_", ""))
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def _read_int(text: str) -> int | str:
    """Parse an integer. Return the string unchanged if it has no digits (0x_) or too many decimal digits."""
    digits = text.replace("_", "").lstrip("-+")
    base = 10 if digits in ("", "0") or digits[0] != "0" else _BASES.get(digits[1], 8)
    digits = digits[2:] if base in (2, 16) else digits
    if not digits or (value := int(digits, base)) >= _LARGEST_INT:
        return text
    return -value if text.startswith("-") else value
