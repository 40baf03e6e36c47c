"""Passwords and tokens that training code recorded by accident, masked before an assistant sees them."""

from __future__ import annotations

import re
from typing import Any, cast

__all__ = ["mask_secrets"]

_MASK = "***"
_SHORTEST = 6

_WORD = (
    r"(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|credentials?)"
)
_NAME = re.compile(rf"(?:^|[._\-\s]){_WORD}$", re.IGNORECASE)
# camelCase names too: the word begins with a capital after a small letter
_CAMEL = re.compile(r"[a-z](?:Password|Secret|Token|ApiKey|AccessKey|PrivateKey|Credentials?)$")
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@:]*:[^/\s@]+(?=@)")
_IN_COMMAND = re.compile(
    # an option with its value, or NAME=value: a bare word before another one is prose
    rf"(?P<name>(?:^|\s)--?(?:[\w\-]*[_\-])?{_WORD}(?:=|\s+)|(?:^|\s)(?:[\w\-.]*[_\-.])?{_WORD}=)"
    r"(?P<quote>[\"']?)[^\s\"'-][^\s\"']{5,}",
    re.IGNORECASE,
)
_KNOWN = re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_\-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16})\b")


def mask_secrets(value: Any, name: str = "") -> Any:
    """Return a JSON value with texts masked whose name or shape looks like a secret's.

    Names: password, token, api_key and such as a whole word at the end (`hf_token`, not `max_tokens` or `tokenizer`).
    Shapes: credentials in addresses, `--token value` in commands, and the forms of well-known tokens.
    """
    if isinstance(value, dict):
        return {key: mask_secrets(item, str(key)) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [mask_secrets(item, name) for item in cast("list[Any]", value)]
    if not isinstance(value, str) or len(value) < _SHORTEST:
        return value
    if _NAME.search(name) or _CAMEL.search(name):
        return _MASK
    text = _IN_ADDRESS.sub(_MASK, value)
    text = _IN_COMMAND.sub(rf"\g<name>\g<quote>{_MASK}", text)
    return _KNOWN.sub(_MASK, text)
