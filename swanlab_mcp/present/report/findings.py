"""Build the Findings section that opens a report: the main results as sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.present.code_words import name_code
from swanlab_mcp.present.report.blocks import Items, Section, Text, fill, show
from swanlab_mcp.present.report.evidence import Evidence

__all__ = ["describe_findings", "list_failed", "name_events"]

_NAMED = 5
_LOST = ("CRASHED", "ABORTED", "UNKNOWN")
_FAILURES = frozenset({"collapse", "divergence", "worsening", "non_finite", "overfitting"})


def describe_findings(evidence: Evidence) -> Section:
    states = Counter(one.state or "UNKNOWN" for one in evidence.experiments)
    reported = gettext(", ").join(
        gettext("{count} {reason}", count=count, reason=name_code("state", state))
        for state, count in states.most_common()
    )
    count = ngettext(
        "{count} experiment: {states}.", "{count} experiments: {states}.", len(evidence.experiments), states=reported
    )
    sentences = [*_describe_best(evidence), *_describe_failures(evidence), *_describe_untried(evidence)]
    return Section("findings", gettext("Findings"), [Text(count), Items([one for one in sentences if one])])


def name_events(events: Sequence[Mapping[str, Any]]) -> str:
    """Return the names of the event types as text, without duplicates."""
    return gettext(", ").join(name_code("kind", kind) for kind in dict.fromkeys(event["kind"] for event in events))


def list_failed(evidence: Evidence) -> list[Mapping[str, Any]]:
    """Return the diagnoses of experiments that have a problem, crashed, were aborted or have no recorded end."""
    return [
        one
        for one in evidence.diagnoses.values()
        if one["health"] == "problem" or one["state"] in _LOST or one.get("crash")
    ]


def _describe_best(evidence: Evidence) -> list[str]:
    metric = evidence.targets[0]
    ranked = [row for row in evidence.ranked if row.get("rank")]
    if not ranked:
        ends = evidence.ranked
        if not ends:
            return [fill(gettext("No experiment can be ranked by {metric}."), metric=metric)]
        return [
            fill(
                gettext(
                    "It is unclear whether a lower or higher {metric} is better, so nothing is ranked. It "
                    "ranges from {low} ({lowest}) to {high} ({highest})."
                ),
                metric=metric,
                **_describe_ends(evidence, ends),
            )
        ]
    first = ranked[0]
    linked = evidence.link(first["name"], first["cuid"])
    if first.get("n", 1) > 1:
        text = ngettext(
            "Best by {metric}: {name}, mean {value} over {count} repeat (standard deviation {deviation}).",
            "Best by {metric}: {name}, mean {value} over {count} repeats (standard deviation {deviation}).",
            first["n"],
            metric="{metric}",
            name="{name}",
            value="{value}",
            deviation="{deviation}",
        )
    else:
        text = gettext("Best by {metric}: {name}, {value} in a single run.")
    best = fill(text, metric=metric, name=linked, value=first["value"], deviation=first.get("deviation"))
    return [best, *_describe_luck(evidence, ranked), _describe_collapse(evidence, ranked)]


def _describe_ends(evidence: Evidence, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    low, high = min(rows, key=lambda row: row["value"]), max(rows, key=lambda row: row["value"])
    return {
        "low": low["value"],
        "lowest": evidence.link(low["name"], low["cuid"]),
        "high": high["value"],
        "highest": evidence.link(high["name"], high["cuid"]),
    }


def _describe_luck(evidence: Evidence, ranked: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return sentences about whether noise could explain the best setting's lead."""
    others = ranked[1:]
    verdicts = Counter(row.get("verdict") for row in others)
    if not others:
        return []
    if not any(row.get("low") is not None or row.get("verdict") == "real" for row in others):
        why = next((row["why"] for row in others if row.get("why")), "")
        unknown = gettext("Cannot tell whether its lead is more than luck: {why}.") if why else ""
        return [fill(unknown, why=why) if unknown else gettext("Cannot tell whether its lead is more than luck.")]
    rival = next((row for row in others if row.get("verdict") != "real"), None)
    total = len(others)
    if rival is None:
        return [
            ngettext(
                "Its lead over the {count} other setting is larger than noise between repeats can explain (95 %).",
                "Its lead over all {count} other settings is larger than noise between repeats can explain (95 %).",
                total,
            )
        ]
    sentences: list[str] = [
        ngettext(
            "Its lead over the {count} other setting may be luck (worse by more than noise can explain: {real}, "
            "within noise: {noise}, unknown: {unknown}).",
            "Its lead over the {count} other settings may be luck (worse by more than noise can explain: {real}, "
            "within noise: {noise}, unknown: {unknown}).",
            total,
            real=verdicts["real"],
            noise=verdicts["within noise"],
            unknown=total - verdicts["real"] - verdicts["within noise"],
        )
    ]
    name = evidence.link(rival["name"], rival["cuid"])
    if rival.get("low") is not None:
        text = gettext("The runner-up is {name}: difference {difference}, 95 % interval {low} to {high}.")
        known = {key: rival[key] for key in ("difference", "low", "high")}
        sentences.append(fill(text, name=name, **known))
    return sentences


def _describe_collapse(evidence: Evidence, ranked: Sequence[Mapping[str, Any]]) -> str:
    """Return a warning if a run of the best setting did not keep its best value, otherwise ""."""
    metric, first = evidence.targets[0], ranked[0]
    sign = 1 if describe_key(metric).direction == "min" else -1
    for cuid in first.get("cuids") or [first["cuid"]]:
        events = [event for event in evidence.list_events(cuid) if event["kind"] in _FAILURES]
        summary = evidence.summaries.get(cuid, {}).get(metric)
        on_metric = [event for event in events if metric in str(event["key"])]
        if not on_metric or summary is None or summary.value is None or summary.min is None or summary.max is None:
            continue
        best = (summary.min if sign > 0 else summary.max).value
        if math.isfinite(summary.value) and sign * (summary.value - best) <= 0:
            continue
        text = gettext(
            "{name} did not keep its best {metric}: {best} fell back to {last} at the end ({events}). Use "
            "the checkpoint from its best step, or a lower-ranked setting with a stable curve."
        )
        name = evidence.link(evidence.diagnoses[cuid]["name"], cuid)
        return fill(text, name=name, metric=metric, best=best, last=summary.value, events=name_events(on_metric))
    return ""


def _describe_failures(evidence: Evidence) -> list[str]:
    failed = list_failed(evidence)
    sentences: list[str] = []
    reasons = Counter(str(row["apart"]).split(gettext(": "))[0] for row in evidence.apart)
    if reasons:
        counts = gettext(", ").join(
            gettext("{count} {reason}", count=n, reason=name) for name, n in reasons.most_common()
        )
        sentences.append(
            ngettext(
                "{count} experiment is not ranked: {counts}.",
                "{count} experiments are not ranked: {counts}.",
                len(evidence.apart),
                counts=shorten(counts),
            )
        )
    for one in failed[:_NAMED]:
        causes = [cause["cause"] for cause in one.get("causes", ())]
        text = gettext("{name}: {verdict} Likely cause: {cause}.") if causes else "{name}: {verdict}"
        verdict = one["verdict"].rstrip(".。") + gettext(".")
        sentences.append(
            fill(text, name=evidence.link(one["name"], one["cuid"]), verdict=verdict, cause=causes[0] if causes else "")
        )
    if len(failed) > _NAMED:
        more = ngettext("{count} more experiment has a problem: {link}.",
                          "{count} more experiments have problems: {link}.",
                          len(failed) - _NAMED, link="{link}")  # fmt: skip
        sentences.append(fill(more, link=Markup('<a href="#diagnoses">{}</a>').format(gettext("Diagnoses"))))
    return sentences


def _describe_untried(evidence: Evidence) -> list[str]:
    coverage = evidence.coverage
    if coverage is None or not coverage.tried:
        return []
    sentences: list[str] = [
        fill(
            gettext("The best {key} is {value}, the smallest of {count} values: smaller values are untried.")
            if one.end == "smallest"
            else gettext("The best {key} is {value}, the largest of {count} values: larger values are untried."),
            key=one.key,
            value=one.best,
            count=len(one.values),
        )
        for one in coverage.tried
        if one.end
    ]
    if coverage.possible > coverage.combinations:
        sentences.append(
            gettext(
                "{tried} of {possible} possible combinations of the tried values were run.",
                tried=coverage.combinations,
                possible=coverage.possible,
            )
        )
    if coverage.neighbours:
        names = gettext(", ").join(f"{show(key)}={show(value)}" for key, value in coverage.neighbours[:_NAMED])
        text = gettext("Untried single-value changes to the best setting: {names}.")
        if len(coverage.neighbours) > _NAMED:
            text = gettext("Untried single-value changes to the best setting ({count} in total), such as: {names}.")
        sentences.append(fill(text, names=names, count=len(coverage.neighbours)))
    return sentences
