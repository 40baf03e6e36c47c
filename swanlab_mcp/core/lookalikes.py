"""Detect names that can be mistaken for other names: mixed scripts, ASCII look-alikes and invisible characters."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

__all__ = ["Oddity", "find_oddities", "make_skeleton"]

# pairs of a letter and its ASCII look-alike, by script (Unicode Technical Standard 39 has the full list)
_CYRILLIC = (
    "\u0430a\u0435e\u043eo\u0440p\u0441c\u0443y\u0445x\u0456i\u0458j\u0455s\u0501d\u04bbh\u051bq\u051dw\u04cfl\u0433r"
    "\u0475v\u0410A\u0412B\u0415E\u041aK\u041cM\u041dH\u041eO\u0420P\u0421C\u0422T\u0423Y\u0425X\u0405S\u0406I\u0408J"
    "\u04c0I\u051aQ\u051cW\u0417\u0033\u0431\u0036"
)
_GREEK = (
    "\u03bfo\u03bdv\u03c1p\u03b1a\u03b9i\u03bak\u03c5u\u03c7x\u03b3y\u03c3o\u03b7n\u0391A\u0392B\u0395E\u0396Z\u0397H"
    "\u0399I\u039aK\u039cM\u039dN\u039fO\u03a1P\u03a4T\u03a5Y\u03a7X\u03f2c\u03f3j"
)
_OTHERS = "\u0585o\u0578n\u057du\u0570h\u0581g\u0566q\u0251a\u0261g\u0131i\u01c0l\u0269i\u028fy\u1d0fo\u1d04c\u1d1cu"
_LIKE = {
    ord(one): other
    for pairs in (_CYRILLIC, _GREEK, _OTHERS)
    for one, other in zip(pairs[::2], pairs[1::2], strict=True)
}
# writing systems that are commonly mixed with Latin letters
_TOGETHER = {"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}


class Oddity(NamedTuple):
    """A feature that makes a name misleading to readers. `letters` contains up to 8 of the affected characters."""

    kind: Literal["mixed scripts", "look-alikes", "unusual characters"]
    letters: tuple[str, ...]


def find_oddities(name: str) -> list[Oddity]:
    """Return the features of `name` that could make it look like another name."""
    scripts = {letter: unicodedata.name(letter, "").split(" ")[0] for letter in name if letter.isalpha()}
    foreign = [letter for letter, script in scripts.items() if not letter.isascii() and script not in _TOGETHER]
    odd = [letter for letter in dict.fromkeys(name) if _is_unusual(letter)]
    found: list[Oddity] = []
    if foreign and len({*scripts.values()} - (_TOGETHER - {"LATIN"})) > 1:
        found.append(Oddity("mixed scripts", tuple(foreign[:8])))
    # a real foreign word also has letters without an ASCII look-alike
    elif foreign and all(ord(letter) in _LIKE for letter in foreign):
        found.append(Oddity("look-alikes", tuple(foreign[:8])))
    if odd:
        found.append(Oddity("unusual characters", tuple(odd[:8])))
    return found


def make_skeleton(name: str) -> str:
    """Return the visual skeleton of `name`. Names with equal skeletons can be mistaken for each other."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).translate(_LIKE)).casefold()
    kept = "".join(one for one in plain if unicodedata.category(one) not in ("Cf", "Mn", "Cc"))
    return re.sub(r"[\s_.\-]+", "-", kept).translate(str.maketrans("0i1|", "olll")).replace("rn", "m")


def _is_unusual(letter: str) -> bool:
    if letter.isascii():
        return not letter.isprintable()
    category = unicodedata.category(letter)
    is_form = unicodedata.normalize("NFKC", letter).isascii() and not letter.isnumeric()
    return category in ("Cf", "Cc", "Co", "Cn", "Zs", "Zl", "Zp", "Mn", "Me") or is_form
