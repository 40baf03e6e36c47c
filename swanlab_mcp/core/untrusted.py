"""Escape characters in recorded text that could control a terminal, or that hide or reorder text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, cast

from pydantic_core import from_json

from swanlab_mcp.core.i18n import gettext

__all__ = ["DEEPEST", "is_plain", "limit_value", "neutralise", "neutralise_value", "parse_json", "quote", "shorten"]

# deeper than any real config, and safe for code that recurses once per level
DEEPEST = 100
_LARGEST = 10**308
_MOST_DIGITS = 4300

# C0 and C1 controls (every ANSI escape starts with one), line and paragraph separators, bidirectional characters, lone
# surrogates, and all other default-ignorable code points in Unicode: zero-width characters, fillers, tags and variation
# selectors. The caller handles newline and tab.
_EMOJI = "\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff#*0-9"
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3"
    f"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]|(?<![{_EMOJI}])[\ufe0e\ufe0f]"
)
# the unsafe code points that Python considers printable
_PRINTABLE_UNSAFE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
# text that Markdown would render as an image or a link: ](https://…), ](//…) and ]: https://…, including URLs in which
# a character is escaped (https\://…) or written as an entity (&#104;ttps://…)
_MARKDOWN_LINK = re.compile(
    r"\](?=\(\s*<|(?:\(|:)\s*(?:<\s*)?(?:[A-Za-z][A-Za-z0-9+.\-]{1,31}:|[/\\]{2}|www\."
    r"|[A-Za-z0-9+.\-/]{0,32}(?:&#?[A-Za-z0-9]{1,32};|\\[!-/:-@\[-`{-~])))"
)
_ONE_WORD = re.compile(r"[A-Za-z0-9_.\-/+@*%=#]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
# in JSON, every escape except those of a line break and a tab
_ESCAPED_UNSAFE = re.compile(r"\\[^nt]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(content: bytes | str, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Parse UTF-8 JSON, and escape lone surrogates in hexadecimal because a reply cannot contain them.

    Integers with more than 4,300 digits are returned as strings. `hook` is called with each object, like `object_hook`
    in `json.loads`. Raises ValueError for invalid JSON, and RecursionError for nesting beyond Python's limit.
    """
    if hook is None:
        try:
            # twice as fast as the standard library; JSON that it rejects may still be valid with a lone surrogate
            return from_json(content, cache_strings="keys")
        except ValueError:
            pass
    text = content if isinstance(content, str) else content.decode("utf-8-sig", errors="replace")
    value = json.loads(text, object_hook=hook, parse_int=_read_int)
    return _spell_surrogates(limit_value(value, DEEPEST + 10)) if _ESCAPED_SURROGATE.search(text) else value


def _read_int(digits: str) -> int | str:
    """Parse an integer. Return the string unchanged if it has more digits than Python can convert."""
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def limit_value(value: Any, depth: int = DEEPEST) -> Any:
    """Replace values nested deeper than `depth` levels with a note, and integers too large for a float with strings."""
    if not isinstance(value, (dict, list)):
        return str(value) if isinstance(value, int) and abs(value) > _LARGEST else value
    if not depth:
        return gettext("(nested deeper than {levels} levels)", levels=DEEPEST)
    if isinstance(value, dict):
        return {key: limit_value(item, depth - 1) for key, item in cast("dict[Any, Any]", value).items()}
    return [limit_value(item, depth - 1) for item in cast("list[Any]", value)]


def neutralise(text: str) -> str:
    """Replace each control character, invisible character and bidirectional control with a hexadecimal escape."""
    # most texts are safe, and these checks are faster than the pattern
    return text if _is_safe(text) else _UNSAFE.sub(_spell_out, text)


def _is_safe(text: str) -> bool:
    return text.isprintable() and (text.isascii() or _PRINTABLE_UNSAFE.isdisjoint(text))


def is_plain(text: str) -> bool:
    """Return True only if `neutralise_value` would not change the value that `text` encodes as JSON."""
    return not _ESCAPED_UNSAFE.search(text) and _is_safe(text) and not _may_hold_link(text)


def neutralise_value(value: Any) -> Any:
    """Neutralise every string in a JSON value, including keys, and keep Markdown links and images from rendering."""
    if isinstance(value, str):
        return neutralise(_break_links(value))
    if isinstance(value, dict):
        return {neutralise_value(key): neutralise_value(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [neutralise_value(item) for item in cast("list[Any]", value)]
    return value


def _break_links(text: str) -> str:
    return _MARKDOWN_LINK.sub(r"]\\", text) if _may_hold_link(text) else text


def _may_hold_link(text: str) -> bool:
    return "](" in text or "]:" in text


def shorten(text: str, length: int = 80) -> str:
    """Return `text` on one line, neutralised, without Markdown links, and truncated to `length` characters."""
    # process only the start, because the text may have megabytes
    begun = text[: 16 * length]
    line = neutralise(_break_links(" ".join(begun.split())))
    return line if len(line) <= length and begun == text else line[: length - 1] + "…"


def quote(name: object, length: int = 80) -> str:
    """Format a recorded name for a message: shortened, and in quotation marks that the name cannot close.

    A name that consists of ASCII letters, digits and `_.-/+@*%=#` is not quoted, because it cannot be mistaken for a
    sentence. Use `{name!r}` in the message to quote every name.
    """
    line = shorten(str(name), length)
    return line if _ONE_WORD.fullmatch(line) else repr(line)


def _spell_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub(_spell_out, value)
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {_spell_surrogates(key): _spell_surrogates(item) for key, item in fields.items()}
    return [_spell_surrogates(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _spell_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
