"""Build the reply for an aggregation: rows of statistics for groups of experiments."""

from __future__ import annotations

from typing import Any

from swanlab_mcp.core.findings import AggregatedGroup, round_number
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse, Experiment
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.aggregation import Aggregation, Group

__all__ = ["publish"]

_NAME = 40
_PATH = 400
_DIGITS = 12


def publish(answer: ApiResponse[Aggregation]) -> ApiResponse[list[AggregatedGroup]]:
    """Return an aggregation as one row per group and metric."""
    found = answer.data
    assert found is not None
    rows = [_publish_row(found, one) for one in found.rows]
    notes = [
        ngettext(
            "{count} group with {total} experiments.",
            "{count} groups with {total} experiments.",
            found.groups,
            total=found.count,
        )
    ]
    if any(one.metric for one in found.rows):
        notes.append(_describe_value(found))
    # a group has one row per metric, so count its experiments only once
    lacking = sum(one.without_end for one in found.rows if one.metric == found.rows[0].metric)
    if lacking:
        notes.append(
            ngettext(
                "{count} experiment without a recorded end is not included in hours.",
                "{count} experiments without a recorded end are not included in hours.",
                lacking,
            )
        )
    if found.has_gpu_hours:
        notes.append(gettext("gpu_hours: run time multiplied by the number of GPUs in the machine, used or not."))
    return ApiResponse(data=rows, page=answer.page, notes=[*notes, *answer.notes])


def _publish_row(found: Aggregation, one: Group) -> AggregatedGroup:
    numbers: dict[str, Any] = {}
    if one.metric:
        figures = {name: getattr(one.statistics, name) for name in found.statistics}
        numbers = {name: None if value is None else round_number(value, _DIGITS) for name, value in figures.items()}
        numbers["n"] = one.statistics.n
    return AggregatedGroup(
        group=dict(zip(found.fields, (_show(value) for value in one.values), strict=True)),
        metric=shorten(one.metric) if one.metric else None,
        count=one.count,
        states=", ".join(f"{count} {state}" for state, count in sorted(one.states.items())),
        hours=_to_hours(one.seconds),
        gpu_hours=_to_hours(one.gpu_seconds) if found.has_gpu_hours else None,
        best=_name(one.best, found) if one.best else None,
        left_out=_describe_left(one, has_gpu_hours=found.has_gpu_hours) or None,
        **numbers,
    )


def _to_hours(seconds: float) -> float:
    """Convert seconds to hours with two decimals, or with two significant digits if the result is small."""
    hours = seconds / 3600
    return round(hours, 2) if hours >= 0.1 else float(f"{hours:.2g}")


def _name(best: Experiment, found: Aggregation) -> str:
    """Return the name of a group's best experiment, or its id or path if the name is ambiguous."""
    if best.name and best.name not in found.ambiguous:
        return shorten(best.name, _NAME)
    return shorten(best.cuid.rpartition("/")[2] if "project" in found.fields else best.cuid, _PATH)


def _show(value: Any) -> Any:
    return shorten(value, _NAME) if isinstance(value, str) else value


def _describe_left(one: Group, *, has_gpu_hours: bool) -> str:
    parts = [
        (one.unfinished, gettext("not finished")),
        (one.missing, gettext("no value")),
        (one.non_finite, gettext("NaN or infinite")),
        (one.broken, gettext("broken")),
        (one.without_gpus if has_gpu_hours else 0, gettext("no known GPU hours")),
    ]
    return gettext(", ").join(gettext("{count} {reason}", count=count, reason=what) for count, what in parts if count)


def _describe_value(found: Aggregation) -> str:
    if found.at == "last":
        return gettext("Values: the last value of each experiment.")
    return gettext(
        "Values: the best value of each experiment, or the last value if it is unknown which direction is better."
    )
