"""Build the reply for a forecast: the interval, the advice and the reason for it."""

from __future__ import annotations

from datetime import timedelta

from swanlab_mcp.analysis.forecasting import FEWEST
from swanlab_mcp.core.findings import ExperimentForecast, round_number
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.forecasts import ForecastExperiment
from swanlab_mcp.operations.listing import add_notes

__all__ = ["publish"]

_NAMED = 5


def publish(answer: ApiResponse[ForecastExperiment]) -> ApiResponse[ExperimentForecast]:
    """Return a forecast as a record in the caller's language."""
    found = answer.data
    assert found is not None
    ahead = found.forecast
    record = ExperimentForecast(
        cuid=found.experiment.cuid,
        name=shorten(found.experiment.name),
        metric=shorten(found.metric),
        step=found.step,
        until_step=found.until_step,
        value=round_number(found.now, 5),
        expected=round_number(ahead.expected, 5),
        low=round_number(ahead.low, 5),
        high=round_number(ahead.high, 5),
        best=None if found.best is None else round_number(found.best, 5),
        chance_best=None if ahead.chance_best is None else round(ahead.chance_best, 2),
        rank_now=f"{found.rank}/{found.among}" if found.rank else None,
        advice=found.advice,
        reason=_give_reason(found),
        time_left=_describe_time(found) or None,
        actual=None if found.actual is None else round_number(found.actual, 5),
        cohort=[shorten(one.name, 40) for one in found.cohort[:_NAMED]],
        cohort_size=ahead.cohort,
    )
    notes = [*answer.notes]
    if ahead.cohort:
        notes.append(
            gettext(
                "The 90 % interval is calibrated on the {count} finished experiments, each forecast from the others.",
                count=ahead.cohort,
            )
        )
    if found.experiment.state != "RUNNING" and found.actual is None:
        notes.append(gettext("The experiment is {state}, so it is no longer training.", state=found.experiment.state))
    if found.link:
        notes.append(gettext("Page: {link}", link=found.link))
    return add_notes(ApiResponse(data=record), *notes)


def _give_reason(found: ForecastExperiment) -> str:
    ahead = found.forecast
    if found.is_broken:
        return gettext("The metric is NaN or infinite at its last step; diagnose_experiment shows since when.")
    if not ahead.cohort:
        return gettext(
            "Fewer than {needed} finished experiments reach step {until}, so the forecast only extrapolates "
            "the experiment's own curve.",
            needed=FEWEST,
            until=found.until_step,
        )
    if found.best is None or ahead.chance_best is None:
        return gettext(
            "It is unknown whether small or large values of this metric are better; pass mode=min or mode=max."
        )
    best = f"{round_number(found.best, 5):g}"
    if found.advice == "kill":
        return gettext(
            "Even the better end of the interval is outside the best tenth of the cohort, whose best value is {best}.",
            best=best,
        )
    return gettext(
        "Its chance of beating the best value in the cohort ({best}) is about {chance} %.",
        best=best,
        chance=max(1, round(100 * ahead.chance_best)),
    )


def _describe_time(found: ForecastExperiment) -> str:
    if not found.pace or found.experiment.state != "RUNNING":
        return ""
    seconds = round(found.pace * (found.until_step - found.step))
    return (
        str(timedelta(seconds=seconds))
        if seconds < 30 * 86400
        else ngettext("{count} day", "{count} days", seconds // 86400)
    )
