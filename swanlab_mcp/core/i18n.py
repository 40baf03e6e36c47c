"""Translate this package's messages. The English is in the code; the catalogues in `locale/` add other languages."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from gettext import NullTranslations, translation
from pathlib import Path

__all__ = ["LANGUAGES", "gettext", "join_sentences", "language", "ngettext", "use_language"]

LANGUAGES = ("en", "zh")

language: ContextVar[str] = ContextVar("language", default="en")


def gettext(text: str, /, **values: object) -> str:
    """Return a message in the language of the current call, formatted with `values` as in `str.format`.

    `text` must be an English string literal, because the catalogues are extracted from the calls to this function. If
    there are no values, the message is not formatted, so braces are kept as they are.
    """
    if language.get() != "en":
        text = _open_catalogue(language.get()).gettext(text)
    return text.format(**values) if values else text


def ngettext(singular: str, plural: str, /, count: float, **values: object) -> str:
    """Return `singular` if `count` is 1, otherwise `plural`, in the language of the current call.

    Both messages must be string literals that contain `{count}`. `values` fill the other placeholders.
    """
    if language.get() == "en":
        text = singular if count == 1 else plural
    else:
        text = _open_catalogue(language.get()).ngettext(singular, plural, math.ceil(count))
    return text.format(count=count, **values)


@contextmanager
def use_language(name: str) -> Generator[None, None, None]:
    """Use the language `name`, one of LANGUAGES, inside the `with` block."""
    token = language.set(name)
    try:
        yield
    finally:
        language.reset(token)


def join_sentences(*sentences: str) -> str:
    """Join sentences into one text, skipping empty sentences. Chinese sentences are joined without a space."""
    return ("" if language.get() == "zh" else " ").join(one for one in sentences if one)


@cache
def _open_catalogue(name: str) -> NullTranslations:
    return translation("swanlab_mcp", Path(__file__).parents[1] / "locale", [name])
