"""Similar experiments in words: what differs, how they ended, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.analysis.config_distances import Difference
from swanlab_mcp.core.findings import SimilarExperiment, round_number
from swanlab_mcp.core.i18n import say, say_plural
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.similar import SimilarExperiments

__all__ = ["publish"]

_DIFFERENCES = 5
_NAMED = 8
_VALUE = 40


def publish(answer: ApiResponse[SimilarExperiments]) -> ApiResponse[list[SimilarExperiment]]:
    """Return the nearest experiments as rows, with notes, in the language of the call."""
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
        f"{shorten(one.key)}: {_write(one.first, one.key)} -> {_write(one.second, one.key)}"
        for one in differences[:_DIFFERENCES]
    ]
    more = len(differences) - _DIFFERENCES
    return "; ".join([*shown, *([say("{count} more", count=more)] if more > 0 else [])])


def _write(value: Any, key: str = "") -> str:
    if value is None:
        return say("not recorded")
    if isinstance(value, float):
        return f"{round_number(value, 4):g}"
    return shorten(str(mask_secrets(value, key)), _VALUE)


def _list_notes(found: SimilarExperiments) -> list[str]:
    if not found.compared:
        return [say("The project holds no experiments yet.")]
    notes = [
        say_plural(
            "{count} of the {total} experiments has the same settings.",
            "{count} of the {total} experiments have the same settings.",
            found.duplicates,
            total=found.compared,
        )
    ]
    if found.metric:
        notes.append(_describe_metric(found))
    if found.unknown:
        names = ", ".join(quote(key) for key in found.unknown[:_NAMED])
        notes.append(say("No experiment records {names}: nothing is known about it.", names=names))
    for key, value, low, high in found.outside[:_NAMED]:
        notes.append(
            say(
                "{key}={value} is outside the tried range, {low} to {high}.",
                key=quote(key),
                value=_write(value),
                low=_write(low),
                high=_write(high),
            )
        )
    for one, confounded in found.associations:
        text = say(
            "{key} goes along with the result: {text} (n={n}).",
            key=quote(one.key),
            text=shorten(one.text, 120),
            n=one.n,
        )
        if confounded:
            names = ", ".join(quote(key) for key in confounded[:3])
            text += " " + say("It varies together with {names}.", names=names)
        notes.append(text)
    return notes


def _describe_metric(found: SimilarExperiments) -> str:
    key = quote(found.metric)
    if found.direction == "min":
        return say("value: the smallest {key}.", key=key)
    return (
        say("value: the largest {key}.", key=key)
        if found.direction == "max"
        else say("value: the last {key}.", key=key)
    )
