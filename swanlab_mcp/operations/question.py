"""Write the question that asks the user to confirm a change.

The question lists every effect of the change, so that two different changes never lead to the same question.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Any

from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.lookalikes import find_oddities, make_skeleton
from swanlab_mcp.core.planned_changes import Change
from swanlab_mcp.core.untrusted import neutralise_value, shorten

__all__ = ["describe_change", "find_lookalikes", "make_fingerprint", "warn_about_names"]

_LONGEST = 2000


def describe_change(change: Change) -> str:
    """Return the question to ask the user before a change is made."""
    lines = [gettext("SwanLab: {action}?", action=change.action)]
    if change.visibility == "PUBLIC":
        lines.append(gettext("Visibility: PUBLIC, everyone can see it"))
    elif change.visibility:
        lines.append(gettext("Visibility: {visibility}", visibility=shorten(change.visibility)))
    if change.description:
        lines.append(gettext("Description: {description}", description=_quote(change.description)))
    if change.running_count:
        lines.append(gettext("Still running: {count}", count=change.running_count))
    lines += [f"{_quote(one.name)} ({one.cuid}, {one.state}, {one.createdAt})" for one in change.experiments]
    more = (change.experiment_count or 0) - len(change.experiments)
    if more > 0:
        lines.append(gettext("and {count} more", count=more))
    lines += warn_about_names(change)
    if change.fingerprint:
        lines.append(gettext("Fingerprint of everything affected: {fingerprint}", fingerprint=change.fingerprint))
    return "\n".join(lines)


def warn_about_names(change: Change) -> list[str]:
    """Return a warning for each name that contains characters that could make it look like another name."""
    warnings: list[str] = []
    for name in dict.fromkeys([change.username, change.project, *(one.name for one in change.experiments)]):
        for kind, letters in find_oddities(name):
            spelled = ", ".join(_spell(letter) for letter in letters)
            if kind == "mixed scripts":
                text = gettext("Caution: {name} mixes scripts: {letters}.", name=_quote(name), letters=spelled)
            elif kind == "look-alikes":
                text = gettext("Caution: {name} looks Latin but is not: {letters}.", name=_quote(name), letters=spelled)
            else:
                text = gettext("Caution: {name} has unusual characters: {letters}.", name=_quote(name), letters=spelled)
            warnings.append(text)
    return warnings


def find_lookalikes(name: str, others: list[str]) -> list[str]:
    """Return the names in `others` that look like `name` but are different."""
    skeleton = make_skeleton(name)
    return [other for other in others if other != name and make_skeleton(other) == skeleton]


def make_fingerprint(value: Any) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _quote(text: str) -> str:
    """Quote a string on one line, escape invisible characters, and truncate it to 2,000 characters."""
    line = json.dumps(neutralise_value(text[:_LONGEST]), ensure_ascii=False)
    return line if len(text) <= _LONGEST else gettext("{text} (of {count} characters)", text=line, count=len(text))


def _spell(letter: str) -> str:
    name = unicodedata.name(letter, "")
    shown = f"{letter} " if letter.isalpha() else ""
    return f"{shown}U+{ord(letter):04X} {name}".strip()
