"""Rearrange a comparison of many experiments into one row per experiment, with common values listed only once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from swanlab_mcp.core.i18n import gettext

__all__ = ["rearrange"]

_FEWEST = 6
_LONGEST = 200
Rows = Sequence[Mapping[str, Any]]


def rearrange(data: Mapping[str, Any], show: Callable[[Any], str]) -> Mapping[str, Any]:
    """Rearrange a comparison of 6 or more experiments into a numbered list of experiments with their results.

    For each differing key, the baseline's value is listed once, or the most common value if there is no baseline. Every
    other value is listed with the numbers of the experiments that have it. `show` converts a value to a string. Any
    other data is returned unchanged.
    """
    experiments: Rows = data.get("experiments") or ()
    if not isinstance(experiments, list) or len(experiments) < _FEWEST or not ({"differences", "metrics"} & {*data}):
        return data
    numbered: list[dict[str, Any]] = [{"number": index + 1, **one} for index, one in enumerate(experiments)]
    for metric in cast("Rows", data.get("metrics") or ()):
        columns = {"best": metric.get("best"), "best_step": metric.get("best_step"), "last": metric.get("last")}
        columns[f"at step {metric.get('common_step')}"] = metric.get("at_common_step")
        for name, values in columns.items():
            for one, value in zip(numbered, cast("list[Any]", values or ()), strict=False):
                if value is not None:
                    one[f"{metric['key']} {name}"] = value
    kept = {name: value for name, value in data.items() if name not in ("experiments", "differences", "metrics")}
    known = next((index for index, one in enumerate(experiments) if one.get("baseline")), None)
    differences = [_group(one, known, show) for one in cast("Rows", data.get("differences") or ())]
    described = ("key", "unit", "better")
    better = [{name: one.get(name) for name in described} for one in cast("Rows", data.get("metrics") or ())]
    tables = {"experiments": numbered, "differences": differences, "metrics": better}
    return {**kept, **{name: rows for name, rows in tables.items() if rows}}


def _group(row: Mapping[str, Any], baseline: int | None, show: Callable[[Any], str]) -> dict[str, Any]:
    values = [show(value) if value is not None else "null" for value in cast("list[Any]", row["values"])]
    usual = values[baseline] if baseline is not None else max(values, key=values.count)
    experiments: dict[str, list[str]] = {}
    for index, value in enumerate(values):
        if value != usual:
            experiments.setdefault(value, []).append(str(index + 1))
    listed = [f"{','.join(numbers)}: {_quote(value)}" for value, numbers in experiments.items()]
    others = "; ".join(listed)
    if len(others) > _LONGEST:
        fitting = sum(len("; ".join(listed[: index + 1])) <= _LONGEST for index in range(len(listed)))
        shown = listed[: max(1, fitting)]
        others = gettext(
            "{values}; {shown} of {known} other values",
            values="; ".join(shown),
            shown=len(shown),
            known=len(listed),
        )
    return {"name": row["name"], "usual" if baseline is None else "baseline": usual, "numbers: others": others}


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if "; " in value else value
