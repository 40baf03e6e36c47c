"""Shorten tables of experiments without losing information: common settings and dates are listed only once."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from swanlab_mcp.core.i18n import gettext

__all__ = ["CONFIG", "drop_obvious", "fold_dates", "fold_usual"]

CONFIG = "profile.config."
_STATE = "state"
_FEWEST_ROWS = 6
_DATED = ("createdAt", "finishedAt")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d{3}Z")


def fold_usual(cells: dict[str, list[str]], names: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Fold columns in which most rows have the same value into a single column for unusual values.

    Returns the columns and a description of the usual values. `names` are the columns that may be folded. A column is
    only folded if this saves space.
    """
    folded: dict[str, str] = {}
    for name in names:
        if not (name == _STATE or name.startswith(CONFIG)) or len(cells[name]) < _FEWEST_ROWS:
            continue
        usual = Counter(cells[name]).most_common(1)[0][0]
        long = sum(len(cell) + 3 for cell in cells[name])
        short = sum(len(_word(name, cell)) + 2 for cell in cells[name] if cell != usual) + len(usual) + 1
        if usual and short < long:
            folded[name] = usual
    if f"{CONFIG}{_STATE}" in folded:
        folded.pop(_STATE, None)
    if not folded.keys() - {_STATE}:
        return cells, []
    rows = zip(*(cells[name] for name in folded), strict=True)
    unusual = [
        ", ".join(_word(name, cell) for (name, usual), cell in zip(folded.items(), row, strict=True) if cell != usual)
        for row in rows
    ]
    kept = {name: column for name, column in cells.items() if name not in folded}
    settings = ", ".join(_word(name, usual) for name, usual in folded.items() if name != _STATE)
    return {**kept, gettext("unusual"): unusual}, [
        *([f"state {folded[_STATE]}"] if _STATE in folded else []),
        f"config: {settings}",
    ]


def _word(name: str, cell: str) -> str:
    """Return a setting as text, quoted if it could be mistaken for several settings."""
    short = name.removeprefix(CONFIG)
    key = json.dumps(short, ensure_ascii=False) if " " in short or "," in short else short
    empty = f"({gettext('none')})"
    return f"{key} {json.dumps(cell, ensure_ascii=False) if ', ' in cell else cell or empty}"


def drop_obvious(cells: dict[str, list[str]]) -> dict[str, list[str]]:
    """Drop the `show` column if no row is hidden, and drop counts and states that another column already contains."""
    shown = {name: column for name, column in cells.items() if name != "show" or set(column) != {"true"}}
    if "count" in shown and "states" in shown:
        pairs = zip(shown["count"], shown["states"], strict=True)
        states = [state.removeprefix(f"{count} ") for count, state in pairs]
        if all(state.isalpha() for state in states):
            # all experiments in each group have the same state
            shown["states"] = states
        if shown.get("group.state") == states:
            del shown["states"]
    return shown


def fold_dates(cells: dict[str, list[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """Shorten times to whole seconds.

    If all rows have the same date, remove it from the cells and return it separately.
    """
    dated = [name for name in _DATED if name in cells]
    read = {name: [_TIME.fullmatch(cell) for cell in cells[name]] for name in dated}
    odd = any(cell and not time for name in dated for cell, time in zip(cells[name], read[name], strict=True))
    if not dated or odd or len(cells[dated[0]]) < _FEWEST_ROWS:
        return cells, []
    dates = {time[1] for name in dated for time in read[name] if time}
    if len(dates) == 1:
        shown = {name: [time[2] if time else "" for time in read[name]] for name in dated}
        return {**cells, **shown}, [f"{', '.join(dated)} {dates.pop()} UTC"]
    shown = {name: [f"{time[1]} {time[2]}" if time else "" for time in read[name]] for name in dated}
    return {**cells, **shown}, []
