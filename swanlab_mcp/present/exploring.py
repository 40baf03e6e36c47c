"""Build the reply about the settings tried so far: their associations with the result, and the untried values."""

from __future__ import annotations

from collections import Counter

from swanlab_mcp.analysis.effects import Effect, Group
from swanlab_mcp.analysis.untried import Coverage
from swanlab_mcp.core.findings import TriedSetting, round_number
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.exploring import TriedSettings
from swanlab_mcp.present.ranking import name_reason
from swanlab_mcp.present.similar import describe_value, write_value

__all__ = ["publish"]

_NAMED = 8
_PAIRS = 3
_GROUPS = 5
_VALUES = 6
_DIGITS = 4


def publish(answer: ApiResponse[TriedSettings]) -> ApiResponse[list[TriedSetting]]:
    """Return one row for each setting that varies between experiments, and notes in the caller's language."""
    found = answer.data
    assert found is not None
    rows = [
        TriedSetting(
            key=shorten(one.key),
            verdict=one.verdict,
            strength=None if one.verdict == "cannot tell" else round(one.strength, 2),
            n=one.n,
            how=_describe_effect(one) or None,
            varies_with=[shorten(key) for key in one.together],
            tried=_list_values(one.key, found.coverage[one.key]),
            untried=_list_gaps(found.coverage[one.key]) or None,
        )
        for one in found.effects
    ]
    return ApiResponse(data=rows, page=answer.page, notes=[*answer.notes, *_list_notes(found)])


def _describe_effect(one: Effect) -> str:
    if one.verdict == "cannot tell":
        return ""
    if one.rho is not None:
        return f"rho {one.rho:+.2f}"
    if one.verdict == "not shown":
        return ""
    shown = "; ".join(
        f"{_write_group(one.key, group)}: {round_number(group.mean, _DIGITS):g}" for group in one.groups[:_GROUPS]
    )
    return shown + ("; …" if len(one.groups) > _GROUPS else "")


def _write_group(key: str, group: Group) -> str:
    low = write_value(group.low, key)
    return low if group.low == group.high else gettext("{low} to {high}", low=low, high=write_value(group.high, key))


def _list_values(key: str, tried: Coverage) -> str:
    if tried.is_range:
        low, high = (write_value(end, key) for end in tried.values)
        return gettext("{low} to {high}", low=low, high=high)
    shown = [write_value(value, key) for value in tried.values[:_VALUES]]
    return ", ".join([*shown, *(["…"] if len(tried.values) > _VALUES else [])])


def _list_gaps(tried: Coverage) -> str:
    return "; ".join(
        gettext("{low} to {high}", low=write_value(low), high=write_value(high)) for low, high in tried.gaps
    )


def _list_notes(found: TriedSettings) -> list[str]:
    if not found.experiments:
        return [gettext("The project has no experiments yet.")]
    notes: list[str] = []
    if found.metric:
        notes.append(_count_settings(found))
    else:
        notes.append(gettext("No metric with a known direction was logged; pass metric to relate settings to results."))
    if any(one.verdict in ("real", "cannot tell apart") for one in found.effects):
        notes.append(
            gettext(
                '"real" means unlikely to be chance (error rate 5 % for all keys together). '
                "It does not prove an effect."
            )
        )
    if found.metric and any(one.verdict == "cannot tell" for one in found.effects):
        notes.append(gettext('"cannot tell" means that there are too few settings or no repeated values.'))
    if found.projects > 1:
        notes.append(
            gettext("Results are compared within each project; means are differences from the project's mean.")
        )
    pairs = [
        f"{quote(first)}={write_value(one, first)} + {quote(second)}={write_value(two, second)}"
        for (first, one), (second, two), _ in found.uncombined[:_PAIRS]
    ]
    if pairs:
        left = len(found.uncombined) - len(pairs)
        more = gettext("; {count} more", count=left) if left else ""
        notes.append(gettext("Never combined: {pairs}{more}.", pairs=", ".join(pairs), more=more))
    if found.constant:
        names = ", ".join(f"{quote(key)}={write_value(value, key)}" for key, value in found.constant[:_NAMED])
        left = len(found.constant) - _NAMED
        more = gettext("; {count} more", count=left) if left > 0 else ""
        notes.append(
            gettext(
                "These settings were never varied, so their effects are unknown: {names}{more}.", names=names, more=more
            )
        )
    return notes


def _count_settings(found: TriedSettings) -> str:
    text = (
        describe_value(found.metric, found.direction)
        + " "
        + ngettext(
            "{count} setting with a result; repeats are averaged.",
            "{count} settings with a result; repeats are averaged.",
            found.settings,
        )
    )
    if found.apart:
        counts = Counter(map(name_reason, found.apart)).most_common()
        reasons = gettext(", ").join(gettext("{count} {reason}", count=count, reason=name) for name, count in counts)
        text += " " + gettext("Omitted: {reasons}.", reasons=reasons)
    return text
