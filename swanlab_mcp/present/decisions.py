"""Build the reply that reports the decisions about settings compared with a baseline."""

from __future__ import annotations

from collections import Counter

from swanlab_mcp.analysis.decisions import Decision
from swanlab_mcp.analysis.standings import Standing
from swanlab_mcp.core.findings import DecidedSetting, round_number
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.budget import count_tokens
from swanlab_mcp.operations.decisions import Decided
from swanlab_mcp.present.ranking import describe_reason, explain_judgement, name_standing

__all__ = ["list_decisions", "note_decisions"]

_MOST = 4
_TOKENS = 250
_NAME = 40
_DIGITS = 3
_WHY = 90


def list_decisions(found: Decided | None) -> list[DecidedSetting]:
    """Return as many decisions as fit into 250 tokens together with the notes, but at least one.

    Returns an empty list if there are no decisions.
    """
    if found is None:
        return []
    names = [shorten(name_standing(found.ranking, standing), _NAME) for standing, _ in found.rows[:_MOST]]
    times = Counter(names)
    shown: list[DecidedSetting] = []
    for name, row in zip(names, found.rows, strict=False):
        # different names can become equal when they are shortened
        label = name if times[name] == 1 else f"{found.ranking.experiments[row[0].run_index].cuid}: {name}"
        shown.append(_describe(found, label, *row))
    while len(shown) > 1 and _count(found, shown) > _TOKENS:
        shown.pop()
    return shown


def _count(found: Decided, shown: list[DecidedSetting]) -> int:
    lines = [" | ".join(map(str, one.model_dump(exclude_none=True).values())) for one in shown]
    return count_tokens("\n".join([*lines, *note_decisions(found, len(shown))]))


def note_decisions(found: Decided | None, shown: int) -> list[str]:
    """Return notes about the baseline and about the decisions after the first `shown`."""
    if found is None:
        return []
    metric = quote(found.ranking.metric)
    if found.baseline is None:
        return [
            gettext(
                "It is unknown whether a smaller or larger {metric} is better, so no decision is made.", metric=metric
            )
        ]
    setting = found.baseline.setting
    notes = [
        ngettext(
            "Baseline: {name}, {metric} {value:.6g} (n={count}).",
            "Baseline: {name}, {metric} {value:.6g} (n={count}).",
            len(setting.counted) if setting else 1,
            name=quote(name_standing(found.ranking, found.baseline), _NAME),
            metric=metric,
            value=found.baseline.value,
        )
    ]
    more = len(found.rows) - shown
    if more > 0:
        text = ngettext(
            "rank_experiments with this baseline shows the decision for {count} more setting.",
            "rank_experiments with this baseline shows the decisions for {count} more settings.",
            more,
        )
        notes.append(text)
    return notes


def _describe(found: Decided, name: str, standing: Standing, decision: Decision) -> DecidedSetting:
    name = shorten(name, _NAME)
    reason = found.ranking.parts[0].field.reasons[standing.run_index]
    judged = standing.judged
    if judged is None or standing.setting is None:
        return DecidedSetting(
            name=name, decision=decision, why=shorten(describe_reason(reason), _WHY) if reason else None
        )
    why = explain_judgement(judged, name, is_split=standing.setting.is_split)
    if decision == "discard" and judged.verdict != "different":
        why = gettext("the difference is too small to detect with a reasonable number of seeds")
    return DecidedSetting(
        name=name,
        decision=decision,
        difference=round_number(judged.difference, _DIGITS),
        low=None if judged.low is None else round_number(judged.low, _DIGITS),
        high=None if judged.high is None else round_number(judged.high, _DIGITS),
        n=len(standing.setting.counted),
        why=shorten(why, _WHY) or None,
    )
