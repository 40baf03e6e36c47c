"""Describe the information that is missing in recorded experiments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from swanlab_mcp.analysis.hygiene import Lack, LackKind
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import quote

__all__ = ["note_lacks", "note_lacks_of_many"]

_NAMED = 2
_NAME = 40


def note_lacks(lacks: Sequence[Lack]) -> str:
    """Return a line about the missing information in one experiment, or "" if nothing is missing."""
    if not lacks:
        return ""
    parts = [
        gettext("{lack} ({names})", lack=_name(one.kind), names=_join(one.names)) if one.names else _name(one.kind)
        for one in lacks
    ]
    return gettext("The following makes later analysis harder: {lacks}.", lacks=gettext("; ").join(parts))


def note_lacks_of_many(lacks: Sequence[Sequence[Lack]]) -> str:
    """Return a line about the information missing from several experiments, or "" if nothing is missing.

    For each missing item, the line includes the number of experiments that lack it.
    """
    counts: Counter[LackKind] = Counter(one.kind for found in lacks for one in found)
    if not counts:
        return ""
    parts = [
        gettext("{lack} in {count} of {total}", lack=_name(kind), count=count, total=len(lacks))
        for kind, count in counts.most_common()
    ]
    return gettext(
        "In new experiments, the following makes later analysis harder: {lacks}.", lacks=gettext("; ").join(parts)
    )


def _name(kind: LackKind) -> str:
    return {
        "no config": gettext("no config"),
        "no seed": gettext("no seed in the config"),
        "results in config": gettext("results stored in the config"),
        "no validation": gettext("no validation metric"),
        "no common steps": gettext("no common steps"),
        "same names": gettext("same name for different settings"),
    }[kind]


def _join(names: Sequence[str]) -> str:
    shown = ", ".join(quote(one, _NAME) for one in names[:_NAMED])
    return f"{shown}, …" if len(names) > _NAMED else shown
