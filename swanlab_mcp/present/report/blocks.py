"""The building blocks of a report's sections. The template adds the markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from swanlab_mcp.core.untrusted import shorten

__all__ = [
    "NONE", "Card", "Figures", "Heading", "Items", "Section", "Table", "Text", "drop_markup", "fill", "link_to", "show",
]  # fmt: skip

_LONGEST = 320  # maximum number of characters in a value
NONE = "—"  # shown in cells without a value


@dataclass(frozen=True)
class Text:
    """A paragraph. If `is_soft` is true, it is displayed less prominently, as an explanation."""

    content: str
    is_soft: bool = False
    kind: str = "text"


@dataclass(frozen=True)
class Heading:
    content: str
    kind: str = "heading"


@dataclass(frozen=True)
class Items:
    content: Sequence[str]
    kind: str = "items"


@dataclass(frozen=True)
class Table:
    """A table. Each row has one cell per column heading, and columns of numbers are right-aligned."""

    heads: Sequence[Any]
    rows: Sequence[Sequence[Any]]
    kind: str = "table"

    @property
    def styles(self) -> list[str]:
        return ["number" if all(map(_is_figure, column)) else "" for column in zip(*self.rows, strict=True)]


@dataclass(frozen=True)
class Figures:
    """Panels that are shown side by side, or stacked on a narrow screen."""

    panels: Sequence[Any]
    kind: str = "figures"


@dataclass(frozen=True)
class Card:
    title: str
    blocks: Sequence[Any]
    kind: str = "card"


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    blocks: Sequence[Any] = field(default_factory=tuple)


def _is_figure(value: Any) -> bool:
    return value == NONE or (isinstance(value, (int, float)) and not isinstance(value, bool))


def show(value: Any) -> str:
    """Return a value as text or markup.

    Numbers have six significant digits, and control characters in recorded strings are escaped.
    """
    if isinstance(value, Markup):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return shorten(value if isinstance(value, str) else "" if value is None else str(value), _LONGEST)


def drop_markup(text: str) -> str:
    return text.striptags() if isinstance(text, Markup) else text


def link_to(text: str, address: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(address, show(text)) if address else escape(show(text))


def fill(text: str, **values: Any) -> Markup:
    """Fill in the placeholders of a translated message. Markup is inserted unchanged, and other values are escaped."""
    return escape(text).format(**{name: show(value) for name, value in values.items()})
