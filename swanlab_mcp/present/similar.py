"""Build the reply for similar experiments: their differences, how they ended, and which settings are unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.analysis.config_distances import Difference, Untried
from swanlab_mcp.core.findings import SimilarExperiment, round_number
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.similar import SimilarExperiments

__all__ = ["describe_value", "publish", "write_value"]

_DIFFERENCES = 5
_NAMED = 8
_VALUE = 40


def publish(answer: ApiResponse[SimilarExperiments]) -> ApiResponse[list[SimilarExperiment]]:
    """Return the most similar experiments as rows, with notes in the caller's language."""
    found = answer.data
    assert found is not None
    rows = [
        SimilarExperiment(
            name=shorten(one.experiment.name),
            cuid=one.experiment.cuid,
            near_duplicate=one.is_near_duplicate,
            differs=_write_differences(one.differences),
            value=None if one.result is None else round_number(one.result, 5),
            state=one.experiment.state,
            health=one.health,
            created=one.experiment.createdAt,
        )
        for one in found.rows
    ]
    notes = [*answer.notes, *_list_notes(found)]
    return ApiResponse(data=rows, page=answer.page, notes=notes)


def _write_differences(differences: Sequence[Difference]) -> str:
    shown = [
        f"{shorten(one.key)}: {write_value(one.first, one.key)} -> {write_value(one.second, one.key)}"
        for one in differences[:_DIFFERENCES]
    ]
    more = len(differences) - _DIFFERENCES
    return "; ".join([*shown, *([gettext("{count} more", count=more)] if more > 0 else [])])


def write_value(value: Any, key: str = "") -> str:
    """Return a config value as a short string with secrets masked."""
    if value is None:
        return gettext("not recorded")
    if isinstance(value, float):
        return f"{round_number(value, 4):g}"
    return shorten(str(mask_secrets(value, key)), _VALUE)


def _list_notes(found: SimilarExperiments) -> list[str]:
    if not found.compared:
        return [gettext("The project has no experiments yet.")]
    notes = [
        ngettext(
            "{count} of the {total} experiments has the same settings.",
            "{count} of the {total} experiments have the same settings.",
            found.duplicates,
            total=found.compared,
        )
    ]
    if found.metric:
        notes.append(describe_value(found.metric, found.direction))
    if found.unknown:
        names = ", ".join(quote(key) for key in found.unknown[:_NAMED])
        notes.append(gettext("No experiment records {names}, so the effect is unknown.", names=names))
    notes += [_describe_untried(one) for one in found.untried[:_NAMED]]
    return notes


def _describe_untried(one: Untried) -> str:
    key, value = quote(one.key), write_value(one.value, one.key)
    if len(one.tried) == 1:
        return gettext(
            "{key} was never varied: all experiments have {tried}, so the effect of {value} is unknown.",
            key=key,
            tried=write_value(one.tried[0], one.key),
            value=value,
        )
    if one.is_range:
        low, high = (write_value(end, one.key) for end in one.tried)
        return gettext(
            "{key}={value} is outside the range tried so far ({low} to {high}).",
            key=key,
            value=value,
            low=low,
            high=high,
        )
    shown = [write_value(each, one.key) for each in one.tried[:_NAMED]]
    tried = ", ".join([*shown, *(["…"] if len(one.tried) > _NAMED else [])])
    return gettext("{key}={value} is untried; tried: {tried}.", key=key, value=value, tried=tried)


def describe_value(metric: str, direction: str) -> str:
    """Return a note that says which value of the metric is shown: the smallest, largest or last."""
    key = quote(metric)
    if direction == "min":
        return gettext("value: the smallest {key}.", key=key)
    return (
        gettext("value: the largest {key}.", key=key)
        if direction == "max"
        else gettext("value: the last {key}.", key=key)
    )
