"""Text that others wrote, made safe to show: what would steer a terminal, hide or reorder is made visible."""

from __future__ import annotations

import re
from typing import Any, cast

__all__ = ["neutralise", "neutralise_value", "shorten"]

# C0 and C1 controls (ANSI escapes begin with one), zero-width and bidirectional characters, line and paragraph
# separators, tags, lone surrogates; newline and tab are judged by the caller.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def neutralise(text: str) -> str:
    """Return `text` with every control, invisible or direction-changing character spelled out in hexadecimal."""
    return _UNSAFE.sub(_spell_out, text)


def neutralise_value(value: Any) -> Any:
    """Neutralise every text in a JSON value, keys too."""
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, dict):
        return {neutralise_value(key): neutralise_value(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [neutralise_value(item) for item in cast("list[Any]", value)]
    return value


def shorten(text: str, length: int = 80) -> str:
    """Return `text` on one line, neutralised, at most `length` characters."""
    line = neutralise(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 1] + "…"


def _spell_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
