"""Distribute a plot's curves across panels, so that different quantities never share a y axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.system_units import find_unit
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import shorten

__all__ = ["Layout", "divide_keys", "name_panel"]

_UNLIKE = 100  # keys get separate panels if their typical values differ by more than this factor
_SMALL = 9  # if there are more panels than this, each panel shows a single key
_KEYS = 3  # the number of line styles
_SPLITS = {"train": 0, "": 0, "validation": 1, "test": 2}


class Layout(NamedTuple):
    """The keys in one panel, training keys first. The order determines their line styles."""

    keys: Sequence[str]


def divide_keys(values: Mapping[str, Sequence[float]]) -> list[Layout]:
    """Distribute the metrics across panels. Metrics of the same family with similar values share a panel."""
    panels: list[list[str]] = []
    for key in values:
        panel = next((panel for panel in panels if _fits(key, panel, values)), None)
        if panel is None:
            panels.append([key])
        else:
            panel.append(key)
    if len(panels) > _SMALL:
        return [Layout([key]) for key in values]
    return [Layout(sorted(panel, key=lambda key: _SPLITS.get(describe_key(key).split, 0))) for panel in panels]


def name_panel(keys: Sequence[str]) -> str:
    """Return a panel's title, with one line per key. If there are several keys, the title shows their line styles."""
    styles = (gettext("solid"), gettext("dashed"), gettext("dotted"))
    if len(keys) == 1:
        unit = find_unit(keys[0])
        return f"{keys[0]} ({unit})" if unit else keys[0]
    return "\n".join(
        gettext("{key} ({style})", key=shorten(key), style=style) for key, style in zip(keys, styles, strict=False)
    )


def _fits(key: str, panel: Sequence[str], values: Mapping[str, Sequence[float]]) -> bool:
    kind, other = describe_key(key), describe_key(panel[0])
    if len(panel) == _KEYS or (kind.family, kind.role) != (other.family, other.role):
        return False
    sizes = [_measure(values[one]) for one in (key, *panel)]
    return max(sizes) <= _UNLIKE * min(sizes)


def _measure(values: Sequence[float]) -> float:
    """Return the typical magnitude of the values."""
    finite = [abs(value) for value in values if math.isfinite(value)]
    return (median(finite) if finite else 0.0) or max(finite, default=0.0) or 1.0
