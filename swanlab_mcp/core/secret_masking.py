"""Mask passwords and tokens that training code recorded by accident, before an assistant reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache, partial
from typing import Any, cast

__all__ = ["make_mask", "make_value_mask", "mask_exactly", "mask_secrets", "may_hold_secret"]

_MASK = "***"
_SHORTEST = 6
_LONGEST_WORD = 32

_WORD = (
    r"(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|credentials?)"
)
_NAME = re.compile(rf"(?:^|[._\-\s]){_WORD}$", re.IGNORECASE)
# in camelCase, a capital letter after a lowercase letter starts the secret's name
_CAMEL = re.compile(r"[a-z](?:Password|Secret|Token|ApiKey|AccessKey|PrivateKey|Credentials?)$")
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@:]*:[^/\s@]+(?=@)")
_IN_COMMAND = re.compile(
    # an option with its value, or NAME=value; without a dash or "=", it is prose
    rf"(?P<name>(?:^|\s)--?(?:[\w\-]*[_\-])?{_WORD}(?:=|\s+)|(?:^|[\s(,])(?:[\w\-.]*[_\-.])?{_WORD}="
    # names such as PGPASSWORD and MYSQL_PWD; PWD is a folder
    r"|(?:^|[\s(,])[\w\-.]*(?:password|passwd|_pwd)=)"
    r"(?:(?P<quote>[\"'])[^\"'\n]{6,}|(?![\-\"'])[^\s\"']{6,})",
    re.IGNORECASE,
)
_IN_SETTING = re.compile(
    # `name: value` and `name = value`, as in YAML and code; a number is a measurement, and prose has no digits in words
    rf"(?P<name>(?:^|[\s{{(,])(?:[\w\-.]{{0,40}}[_\-.])?{_WORD}\s{{0,2}}[:=]\s{{1,2}}[\"']?)"
    r"(?![+\-]?[\d.,]{1,40}(?:e[+\-]?\d{1,4})?[a-z%/]{0,3}(?:[\s,;)\]}\"']|$))"
    r"(?=[^\s\"',;]{0,99}\d)(?=[^\s\"',;]{0,99}[a-z])[a-z\d][^\s\"',;()\[\]{}<>]{7,}",
    re.IGNORECASE,
)
_OPTION = re.compile(rf"--?(?:[\w\-]*[_\-])?{_WORD}", re.IGNORECASE)
# 'name': 'value' in printed objects
_IN_OBJECT = re.compile(
    rf"(?P<name>[\"'](?:[\w\-.]{{0,40}}[_\-.])?{_WORD}[\"']\s?:\s?)(?P<quote>[\"'])[^\"']{{6,}}", re.IGNORECASE
)
_IN_HEADER = re.compile(
    # a scheme with a key, or the bare key, as in SwanLab's requests; words in prose are short and have no digit
    r"\b(?P<name>bearer\s(?=[\w.~+/\-]{0,99}\d)"
    r"|authorization[\"']?\s?[:=]\s?[\"']?(?:(?:basic|token)\s|(?=[\w.~+/\-]{0,99}\d|[\w.~+/\-]{16})))"
    r"[\w.~+/\-]{8,}=*",
    re.IGNORECASE,
)
_SESSION = re.compile(r"(?<![\w\-])(?P<name>sid=[\"']?)[^\s&;,\"']{8,}", re.IGNORECASE)
_LOGIN = re.compile(
    r"(?P<name>\b(?:swanlab\s{1,9}login\b[^\n|;&]{0,80}?\s-k|(?:docker\s{1,9}login|sshpass)\b[^\n|;&]{0,80}?\s-p"
    r"|wandb\s{1,9}login\b[^\n|;&]{0,80}?\s(?=[0-9a-f]{40})"
    r"|curl\b[^\n|;&]{0,80}?\s(?:-u|--(?:proxy-)?user)[\s=]{0,9}[\"']?[^\s:\"']{1,64}:)[\s=]{0,9}[\"']?)[^\s\"'*]{6,}"
)
# signatures in URLs, including SwanLab's downloads
_IN_QUERY = re.compile(
    r"(?P<name>[?&](?:[\w\-]{0,40}[_\-])?(?:signature|sig|token|access[_-]?key|api[_-]?key|secret)=)[^&\s\"']{6,}",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[\w\-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w\-]{20,}"
    r"|npm_[A-Za-z0-9]{20,}|xox[abprs]-[\w\-]{10,}|AIza[\w\-]{35}|AKIA[A-Z0-9]{16}"
    # match only at the start of a run of these characters, so that each run is scanned once
    r"|(?<![\w\-])eyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]{8,})(?![\w\-])"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-]{1,20000}(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?"
)
# Every match of the patterns above contains one of these strings, so most texts need one search instead of ten. The
# text is casefolded first, because a search that ignores case takes seven times as long. The patterns above also match
# two look-alikes of i.
_I = r"(?:i\u0307?|\u0131)"
_ANY = re.compile(
    rf"://[^/\s@:]*:[^/\s@]+@|pass|secret|token|(?:ap{_I}|access|pr{_I}vate)[_ -]?key|credent|bearer|author"
    rf"|s{_I}(?:d=|g=|gnature)|login|curl|_pwd|hf_|sk-|gh[pousr]_|github_pat_|glpat-|npm_|xox|aiza|akia|eyj"
)


def mask_secrets(value: Any, name: str = "") -> Any:
    """Return a JSON value in which every secret is masked. Secrets are recognised by their name or their format.

    A name matches if its last word is password, token, api_key or similar. For example, `hf_token` matches, but
    `max_tokens` and `tokenizer` do not.

    The recognised formats are:

    - credentials in URLs, headers and cookies, and signed URLs
    - `--token value` in commands and argument lists, `swanlab login -k value` and similar commands
    - `password: value` in settings, and `"token": "value"` in printed objects
    - private keys, and well-known token formats
    """
    if isinstance(value, dict):
        fields = cast("dict[Any, Any]", value)
        masked = {key: mask_secrets(item, str(key)) for key, item in fields.items()}
        named = fields.get("name")
        if isinstance(named, str) and _is_secret(named):
            # one field contains the name, and another field contains the value, or the values by experiment
            masked |= {key: _mask_all(fields[key]) for key in ("value", "values") if key in fields}
        return masked
    if isinstance(value, list):
        items = cast("list[Any]", value)
        before = [None, *items]
        return [
            _MASK
            if isinstance(item, str) and isinstance(option, str) and _OPTION.fullmatch(option)
            else mask_secrets(item, name)
            for option, item in zip(before, items, strict=False)
        ]
    if not isinstance(value, str) or len(value) < _SHORTEST:
        return value
    if _is_secret(name):
        return _MASK
    if not may_hold_secret(value):
        return value
    text = _PRIVATE_KEY.sub(_MASK, value)
    text = _IN_ADDRESS.sub(_MASK, text)
    text = _IN_COMMAND.sub(rf"\g<name>\g<quote>{_MASK}", text)
    text = _IN_OBJECT.sub(rf"\g<name>\g<quote>{_MASK}", text)
    for pattern in (_IN_SETTING, _IN_HEADER, _SESSION, _LOGIN, _IN_QUERY):
        text = pattern.sub(rf"\g<name>{_MASK}", text)
    return _KNOWN.sub(_MASK, text)


def may_hold_secret(text: str) -> bool:
    """Return False only if `mask_secrets` is certain not to change `text` or the JSON value that it contains."""
    return _ANY.search(text.casefold()) is not None


def mask_exactly(value: Any, secrets: Iterable[str]) -> Any:
    """Mask the given secrets everywhere in a JSON value, including its keys. Secrets under 6 characters are ignored.

    A part of a secret is also masked if it has at least 6 characters and an ellipsis shows that it was truncated.
    """
    return make_value_mask(secrets)(value)


def make_value_mask(secrets: Iterable[str]) -> Callable[[Any], Any]:
    """Return a function that masks the given secrets in a JSON value, as `mask_exactly` does."""
    hide = make_mask(secrets)

    def mask(value: Any) -> Any:
        if isinstance(value, str):
            return hide(value)
        if isinstance(value, dict):
            return {mask(key): mask(item) for key, item in cast("dict[Any, Any]", value).items()}
        if isinstance(value, list):
            return [mask(item) for item in cast("list[Any]", value)]
        return value

    return mask


def make_mask(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that masks the given secrets in a string, as `mask_exactly` does."""
    longest_first = sorted((one for one in secrets if len(one) >= _SHORTEST), key=len, reverse=True)
    if not longest_first:
        return str
    replace = re.compile("|".join(map(re.escape, longest_first))).sub
    # few texts contain an ellipsis, and compiling these patterns takes longer than masking a small reply
    make_part_mask = cache(partial(_make_part_mask, longest_first))

    def hide(text: str) -> str:
        text = replace(_MASK, text)
        return make_part_mask()(text) if "…" in text else text

    return hide


def _make_part_mask(longest_first: Sequence[str]) -> Callable[[str], str]:
    """Return a function that masks the parts of secrets before, after and between ellipses."""
    parts = [(one, size) for one in longest_first for size in range(len(one) - 1, _SHORTEST - 1, -1)]
    starts = "|".join(re.escape(one[:size]) for one, size in parts) or "(?!)"
    ends = "|".join(re.escape(one[-size:]) for one, size in parts) or "(?!)"
    replace_parts = re.compile(rf"(?:{starts})(?=…)|(?<=…)(?:{ends})").sub
    between = re.compile(rf"(?<=…)[^…]{{{_SHORTEST},{len(longest_first[0])}}}(?=…)").sub

    def hide_between(found: re.Match[str]) -> str:
        return _MASK if any(found[0] in one for one in longest_first) else found[0]

    return lambda text: between(hide_between, replace_parts(_MASK, text))


def _mask_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mask_all(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_mask_all(item) for item in cast("list[Any]", value)]
    return _MASK if isinstance(value, str) and len(value) >= _SHORTEST else value


def _is_secret(name: str) -> bool:
    return _judge_name(name[-_LONGEST_WORD:])


@lru_cache(4096)
def _judge_name(name: str) -> bool:
    """Return whether a name ends like the name of a secret. The result is cached, because many rows share a name."""
    # a config key that contains a dot may be quoted: config."hub.api_key"
    name = name.replace('"', "")
    return bool(_NAME.search(name) or _CAMEL.search(name))
