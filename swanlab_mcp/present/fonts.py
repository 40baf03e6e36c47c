"""Find fonts for charts.

Latin letters use a fixed font. The first installed font with the remaining characters is used as a fallback. Only one
thread may call this module at a time, because matplotlib's list of fonts is shared.
"""

# matplotlib's annotations leave the types of keyword arguments open
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

__all__ = ["SANS", "find_font"]

SANS = "DejaVu Sans"
_FAMILIES = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "Noto Sans CJK JP",
    "Microsoft YaHei", "PingFang SC", "PingFang HK", "Hiragino Sans GB", "Heiti SC", "Heiti TC", "STHeiti", "SimHei",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS", "SimSun", "Songti SC",
    "AR PL UMing CN", "AR PL UKai CN", "Malgun Gothic", "Apple SD Gothic Neo", "Yu Gothic", "Meiryo",
)  # fmt: skip
_refused: set[str] = set()  # font files that matplotlib cannot use


def find_font(texts: Sequence[str]) -> tuple[FontProperties, set[str]]:
    """Return a font for the texts, with a fallback font if necessary, and the characters that neither can display."""
    from matplotlib import font_manager

    needed = {character for text in texts for character in text}
    sans = font_manager.FontProperties(family=[SANS])
    missing = needed - _read_letters(font_manager.findfont(sans))
    if not missing:
        return sans, missing
    family, left = _find_family(missing)
    if left and _add_new_fonts():
        family, left = _find_family(missing)
    return font_manager.FontProperties(family=[SANS, family]) if family else sans, left


def _find_family(missing: set[str]) -> tuple[str, set[str]]:
    """Return the first known font family with any of the characters, and the characters that it lacks.

    The family is "" if no installed font has any of the characters.
    """
    from matplotlib import font_manager

    files = {entry.name: entry.fname for entry in reversed(font_manager.fontManager.ttflist)}
    for family in _FAMILIES:
        if family in files and os.path.exists(files[family]):  # noqa: PTH110 a font may have been removed
            left = missing - _read_letters(files[family])
            if len(left) < len(missing):
                return family, left
    return "", missing


def _add_new_fonts() -> bool:
    """Add fonts that were installed since matplotlib created its list of fonts. Return whether there were any.

    matplotlib caches the list in a file and in memory, and does not look for new fonts.
    """
    from matplotlib import font_manager

    known = {os.path.realpath(entry.fname) for entry in font_manager.fontManager.ttflist} | _refused
    is_new = False
    for path in sorted(map(os.path.realpath, font_manager.findSystemFonts())):
        if path in known:
            continue
        known.add(path)
        try:
            font_manager.fontManager.addfont(path)
        except (
            OSError,
            RuntimeError,
            ValueError,
            KeyError,
        ):  # not scalable, damaged, or removed since the search
            _refused.add(path)
        else:
            is_new = True
    return is_new


@lru_cache(8)
def _read_letters(font: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    return frozenset(map(chr, FT2Font(font).get_charmap()))
