"""Describe the conditions met during a wait, as rows."""

from __future__ import annotations

from swanlab_mcp.core.findings import AwaitedExperiment, round_number
from swanlab_mcp.core.i18n import say, say_plural
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.waiting import Awaited

__all__ = ["publish"]


def publish(answer: ApiResponse[Awaited]) -> ApiResponse[list[AwaitedExperiment]]:
    """Return the conditions met, and the cursor that continues the wait."""
    found = answer.data
    assert found is not None
    rows = [
        AwaitedExperiment(
            condition=shorten(one.condition.text),
            name=shorten(one.experiment.name),
            cuid=one.experiment.cuid,
            state=one.experiment.state,
            metric=shorten(one.key) if one.key else None,
            value=None if one.value is None else round_number(one.value, 5),
            step=one.step,
        )
        for one in found.met
    ]
    seconds = round(found.seconds)
    notes = [
        say_plural("Waited {count} second.", "Waited {count} seconds.", seconds),
        say_plural(
            "{count} watched experiment is still running.",
            "{count} watched experiments are still running.",
            found.watched,
        ),
    ]
    if found.watched or not rows:
        notes.append(say("Wait on with cursor={cursor}", cursor=found.cursor))
    return ApiResponse(data=rows, notes=[*answer.notes, *notes])
