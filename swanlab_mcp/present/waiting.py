"""Build the reply for a wait: one row per condition that was met."""

from __future__ import annotations

from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.core.durations import show_duration
from swanlab_mcp.core.findings import AwaitedExperiment, round_number
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.waiting import Awaited

__all__ = ["publish"]

_NAMED = 5


def publish(answer: ApiResponse[Awaited]) -> ApiResponse[list[AwaitedExperiment]]:
    """Return one row per condition that was met, with the cursor for continuing the wait."""
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
            silent=None if one.silent is None else show_duration(one.silent),
        )
        for one in found.met
    ]
    seconds = round(found.seconds)
    notes = [
        ngettext("Waited {count} second.", "Waited {count} seconds.", seconds),
        ngettext(
            "{count} watched experiment is still running.",
            "{count} watched experiments are still running.",
            found.watched,
        ),
    ]
    if found.unclear:
        names = ", ".join(quote(one.name) for one in found.unclear[:_NAMED])
        notes.append(
            ngettext(
                "Cannot tell whether {count} experiment stalled: it has fewer than {needed} points ({names}).",
                "Cannot tell whether {count} experiments stalled: they have fewer than {needed} points ({names}).",
                len(found.unclear),
                needed=DEFAULTS.few_points,
                names=names,
            )
        )
    if found.trouble:
        notes.append(gettext("The last request failed, so newer changes are unknown. {error}", error=found.trouble))
    if found.watched or not rows:
        notes.append(gettext("Continue waiting with cursor={cursor}", cursor=found.cursor))
    return ApiResponse(data=rows, notes=[*answer.notes, *notes])
