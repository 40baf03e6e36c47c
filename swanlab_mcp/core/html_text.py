"""Extract the text of an HTML page without its markup, scripts and styles.

The standard library's parser takes quadratic time for some pages. This module takes linear time, because each search
either advances the position or is the last search.
"""

from __future__ import annotations

import html
import re

__all__ = ["extract_text"]

_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)", re.IGNORECASE)
_TAG_END = re.compile("[>\"']")
_SILENT = ("script", "style", "template", "noscript", "title", "textarea")
_BLOCKS = frozenset(
    ("p", "div", "br", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "section", "hr")
)
_CELLS = ("td", "th")


def extract_text(page: str) -> str:
    """Return the visible text of a page, one line per block. Table cells are separated by ` | `."""
    parts: list[str] = []
    lowered = page.lower() if len(page.lower()) == len(page) else page
    position = 0
    while (start := page.find("<", position)) >= 0:
        parts.append(page[position:start])
        position = _skip_markup(page, lowered, start, parts)
    parts.append(page[position:])
    lines = (" ".join(line.split()) for line in html.unescape("".join(parts)).split("\n"))
    return "\n".join(line.removesuffix(" |") for line in lines if line)


def _skip_markup(page: str, lowered: str, start: int, parts: list[str]) -> int:
    """Append the break implied by the markup at `start` to `parts`, and return the position after the markup."""
    if page.startswith("<!--", start):
        return _find_after(page, "-->", start + 4)
    found = _TAG.match(page, start)
    if not found:
        if page.startswith(("<!", "<?", "</"), start):
            return _find_after(page, ">", start)
        parts.append("<")
        return start + 1
    name = found[2].lower()
    end = _find_tag_end(page, found.end())
    if name in _SILENT and not found[1]:
        return _find_after(page, ">", _find_after(lowered, f"</{name}", end))
    if name in _CELLS and found[1]:
        parts.append(" | ")
    elif name in _BLOCKS:
        parts.append("\n")
    return end


def _find_tag_end(page: str, start: int) -> int:
    """Return the position after the end of a tag, ignoring any `>` inside a quoted attribute."""
    while found := _TAG_END.search(page, start):
        if found[0] == ">":
            return found.end()
        closing = page.find(found[0], found.end())
        if closing < 0:
            return _find_after(page, ">", found.end())
        start = closing + 1
    return len(page)


def _find_after(page: str, mark: str, start: int) -> int:
    """Return the position after the next `mark`, or the end of the page if there is none."""
    offset = page.find(mark, start)
    return len(page) if offset < 0 else offset + len(mark)
