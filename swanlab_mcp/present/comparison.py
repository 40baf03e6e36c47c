"""Build the reply for a comparison: the differences, and notes about omitted values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.analysis.alignment import align_values
from swanlab_mcp.analysis.differences import MOST_GROUPS, Association
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.core import findings
from swanlab_mcp.core.findings import ComparedExperiment, Comparison, DifferingKey
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.refs import label_experiments, prefix_names
from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.comparison import Compared, Difference, Differing
from swanlab_mcp.operations.listing import add_notes
from swanlab_mcp.present.decisions import list_decisions, note_decisions
from swanlab_mcp.present.ranking import describe_breakage

__all__ = ["publish"]

_KEYS = 12
_FACTS = 6
_NAME = 40
_TEXT = 40
_NAMED = 10


def publish(answer: ApiResponse[Any]) -> ApiResponse[Comparison]:
    """Return a comparison as records, with notes about equal, omitted and inconclusive values."""
    found = answer.data
    if not isinstance(found, Compared):
        return answer
    decided = found.decided
    baseline = decided.get_members(decided.baseline) if decided and decided.baseline else ()
    labels, prefixes = label_experiments(found.experiments), prefix_names(found.experiments)
    decisions = list_decisions(decided)
    comparison = Comparison(
        decisions=decisions,
        experiments=[
            ComparedExperiment(
                cuid=labels[ref],
                name=prefixes[ref.parent] + shorten(one.name, _NAME),
                state=one.state,
                baseline=one.cuid in baseline,
            )
            for ref, one in found.experiments.items()
        ],
        differences=[
            *(_align(f"config.{one.name}", one) for one in found.settings.found[:_KEYS]),
            *(_align(one.name, one) for one in found.facts.found[:_FACTS]),
        ],
        metrics=list(found.metrics),
        associations=[_describe(one, confounded) for one, confounded in found.associations],
    )
    notes = [
        *note_decisions(decided, len(decisions)),
        "" if found.metrics else gettext("No logged metric has a known direction; pass metric keys in metrics."),
        *(
            gettext(
                "{name}: {how}; its best values are from before that.",
                name=quote(name),
                how=describe_breakage(breakage),
            )
            for name, breakage in found.broken[:_NAMED]
        ),
        *_list_left_out(found.settings, found.facts),
        *(_list_cautions(found) if found.associations else [_explain_few(found)]),
        *(gettext("Pages: {link}", link=link) for link in found.links if link),
    ]
    return add_notes(answer.model_copy(update={"data": comparison}), *notes)


def _align(name: str, found: Difference) -> DifferingKey:
    # mask values here, because masking depends on the name of the key
    return DifferingKey(name=name, values=align_values([mask_secrets(value, name) for value in found.values], _TEXT))


def _list_left_out(settings: Differing, facts: Differing) -> list[str]:
    keys = ngettext("{count} config key", "{count} config keys", settings.equal)
    alike = ngettext("{count} fact about the environment", "{count} facts about the environment", facts.equal)
    is_any = settings.equal or facts.equal
    notes = [gettext("Equal in all experiments: {keys} and {facts}.", keys=keys, facts=alike)] if is_any else []
    if settings.others:
        notes.append(
            ngettext(
                "{count} config key also differs, but is not a setting: {names}.",
                "{count} config keys also differ, but are not settings: {names}.",
                len(settings.others),
                names=_join(settings.others),
            )
        )
    more = [one.name for one in settings.found[_KEYS:]]
    if more:
        notes.append(
            ngettext(
                "{count} more config key differs: {names}.",
                "{count} more config keys differ: {names}.",
                len(more),
                names=_join(more),
            )
        )
    more = [one.name for one in facts.found[_FACTS:]]
    if more:
        notes.append(
            ngettext(
                "{count} more fact about the environment differs (see get_environment): {names}.",
                "{count} more facts about the environment differ (see get_environment): {names}.",
                len(more),
                names=_join(more),
            )
        )
    return notes


def _list_cautions(found: Compared) -> list[str]:
    target = found.metrics[0]
    metric = quote(target.key)
    notes = [
        gettext(
            "An association with the best value of {metric} does not prove an effect. "
            "The effects of keys in varies_with cannot be separated.",
            metric=metric,
        )
        if target.best
        else gettext(
            "An association with the last value of {metric} does not prove an effect. "
            "The effects of keys in varies_with cannot be separated.",
            metric=metric,
        )
    ]
    if found.apart:
        notes.append(
            ngettext(
                "The associations exclude {count} experiment that is broken, unfinished, short or "
                "without a finite value.",
                "The associations exclude {count} experiments that are broken, unfinished, short or "
                "without a finite value.",
                found.apart,
            )
        )
    return notes


def _explain_few(found: Compared) -> str:
    """Return a note if too few experiments remain for associations because others were excluded, otherwise ""."""
    total, fewest = len(found.experiments), DEFAULTS.associated
    if not total - found.apart < fewest <= total:
        return ""
    return ngettext(
        "No associations: {count} experiment is broken, unfinished, too short or without a finite value, so "
        "fewer than {fewest} are left.",
        "No associations: {count} experiments are broken, unfinished, too short or without a finite value, "
        "so fewer than {fewest} are left.",
        found.apart,
        fewest=fewest,
    )


def _join(names: Sequence[str]) -> str:
    return ", ".join(quote(name, _NAME) for name in names[:_NAMED])


def _describe(found: Association, confounded: Sequence[str]) -> findings.Association:
    text = shorten(found.text, 120)
    if found.groups > MOST_GROUPS:
        text += gettext("; {shown} of {known} values", shown=MOST_GROUPS, known=found.groups)
    return findings.Association(
        key=found.key,
        strength=round(found.strength, 2),
        n=found.n,
        how=gettext("rank correlation: {text}", text=text)
        if found.method == "rank correlation"
        else gettext("group means: {text}", text=text),
        varies_with=list(confounded),
    )
