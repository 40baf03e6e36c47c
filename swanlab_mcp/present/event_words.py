"""Describe the events in a diagnosis, and the rule that detected each event."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from swanlab_mcp.analysis.events import Event
from swanlab_mcp.analysis.thresholds import DEFAULTS
from swanlab_mcp.core.durations import show_duration
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.present.code_words import word_code

__all__ = ["SEVERITIES", "describe_event", "describe_rule", "list_grave", "name_event"]

SEVERITIES = ("problem", "warning", "info")


def list_grave(events: Iterable[Event]) -> list[Event]:
    """Return the problems and warnings, ordered as in a verdict.

    Within the same severity, NaN and infinite values come first, followed by runs that never learned or collapsed.
    """

    def rank(event: Event) -> tuple[int, int]:
        kind = 0 if event.kind == "non_finite" else 1 if event.kind in ("never_learned", "collapse") else 2
        return SEVERITIES.index(event.severity), kind

    return sorted((event for event in events if event.severity != "info"), key=rank)


def name_event(event: Event) -> str:
    """Describe an event briefly: its kind, the metric and the most important step."""
    names = {"kind": word_code("kind", event.kind), "key": shorten(event.keys[0]) if event.keys else ""}
    if event.is_hardware:
        return gettext("{kind} in {key}", **names)
    if "best_step" in event.facts:
        return gettext(
            "{kind} in {key}: best at step {best}, worse from step {step}",
            best=event.facts["best_step"],
            step=event.step,
            **names,
        )
    if event.severity == "problem":
        return gettext("{kind} in {key} from step {step}", step=event.step, **names)
    return gettext("{kind} in {key} at step {step}", step=event.step, **names)


def describe_event(event: Event) -> str:
    """Describe an event with its numbers."""
    return _DETAILS[event.kind](event)


def describe_rule(event: Event) -> str:
    """Describe the rule that detected an event, with its thresholds."""
    if event.rule in _LOSS_RULES:
        return _LOSS_RULES[event.rule](DEFAULTS.collapse_share if event.kind == "collapse" else DEFAULTS.worse_share)
    return _RULES[event.rule]()


def _describe_non_finite(event: Event) -> str:
    value = event.facts["value"]
    name = "NaN" if math.isnan(value) else gettext("infinity") if value > 0 else gettext("-infinity")
    counts = {"name": name, "count": event.facts["count"], "total": event.facts["total"]}
    if event.facts["never_computed"]:
        return ngettext(
            "never computed: the {count} point is {name}",
            "never computed: all {count} points are {name}",
            event.facts["total"],
            name=name,
        )
    if event.facts["to_end"]:
        return gettext("first {name}; {count} of {total} points affected, never recovered", **counts)
    return gettext("first {name}; {count} of {total} points affected, finite again later", **counts)


def _describe_never_learned(event: Event) -> str:
    levels = {name: event.facts[name] for name in ("first", "best", "last")}
    classes = event.facts["classes"]
    if classes:
        return gettext(
            "started at {first:.4g}, best level {best:.4g}, ended at {last:.4g}, which is the chance level "
            "ln({classes}) for {classes} classes",
            classes=classes,
            **levels,
        )
    return gettext("started at {first:.4g}, best level {best:.4g}, ended at {last:.4g}", **levels)


def _describe_worsening(event: Event) -> str:
    facts = event.facts
    best, final = facts["best"], facts["last"]
    course = {"best": best, "at": facts["best_step"], "since": event.step, "final": final}
    text = (
        gettext(
            "best {best:.4g} at step {at}, falls from step {since} and never recovers, final level {final:.4g}",
            **course,
        )
        if facts["falls"]
        else gettext(
            "best {best:.4g} at step {at}, worse from step {since} and never recovers, final level {final:.4g}",
            **course,
        )
    )
    change = (final - best) / abs(best) if best else math.inf
    # a change of more than 1,000 % is meaningless
    if not facts["falls"] and abs(change) < 10:
        text += f" ({change:+.0%})"
    if event.kind == "worsening":
        return text + gettext("; no matching training metric was logged, so this may be overfitting or divergence")
    if event.kind == "overfitting":
        end = {"key": shorten(facts["pair"]), "value": facts["pair_last"]}
        return text + (
            gettext("; {key} still improves and ends at {value:.4g}", **end)
            if facts["pair_improves"]
            else gettext("; {key} does not get worse and ends at {value:.4g}", **end)
        )
    return text


def _describe_spike(event: Event) -> str:
    sizes = {"height": abs(event.facts["height"]), "count": event.facts["count"]}
    if event.facts["count"] > 1:
        return (
            gettext("{height:.3g} below its neighbours; the largest of {count}", **sizes)
            if event.facts["below"]
            else gettext("{height:.3g} above its neighbours; the largest of {count}", **sizes)
        )
    return (
        gettext("{height:.3g} below its neighbours", height=sizes["height"])
        if event.facts["below"]
        else gettext("{height:.3g} above its neighbours", height=sizes["height"])
    )


def _describe_gap(event: Event) -> str:
    return gettext(
        "no point for {duration} (usually one every {usual})",
        duration=show_duration(event.facts["seconds"]),
        usual=show_duration(event.facts["usual"]),
    )


def _describe_stall(event: Event) -> str:
    if event.facts["usual"]:
        return _describe_gap(event)
    return gettext("no point for {duration}", duration=show_duration(event.facts["seconds"]))


def _describe_full(event: Event) -> str:
    return gettext("up to {top:.4g} %", top=event.facts["top"])


_DETAILS: Mapping[str, Callable[[Event], str]] = {
    "non_finite": _describe_non_finite,
    "never_learned": _describe_never_learned,
    "overfitting": _describe_worsening,
    "divergence": _describe_worsening,
    "worsening": _describe_worsening,
    "collapse": _describe_worsening,
    "unstable": lambda event: gettext(
        "fell {count} times by more than {share:.0%} of its total gain; best level {best:.4g}, final level {last:.4g}",
        share=DEFAULTS.unstable_share,
        **event.facts,
    ),
    "no_generalisation": lambda event: gettext(
        "stays level ({first:.4g} to {last:.4g}) while {pair} falls from {pair_first:.4g} to {pair_last:.4g}",
        **{**event.facts, "pair": shorten(event.facts["pair"])},
    ),
    "entropy_collapse": lambda event: gettext("fell from {early:.3g} to {late:.3g}", **event.facts),
    "length_explosion": lambda event: gettext("grew from {early:.4g} to {late:.4g}", **event.facts),
    "all_clipped": lambda event: gettext("at the end, {late:.0%} of the answers are truncated", **event.facts),
    "shock": lambda event: gettext(
        "from {before:.4g} to {value:.4g} at step {peak}, recovered at step {end}",
        before=event.facts["before"],
        value=event.facts["peak"],
        peak=event.peak,
        end=event.end,
    ),
    "spike": _describe_spike,
    "plateau": lambda event: gettext(
        "almost no improvement in the last {share:.0%} of the points", share=event.facts["share"]
    ),
    "not_judged": lambda event: (
        gettext("not judged, because its changes may be autocorrelated noise")
        if event.rule == "slow_noise"
        else ngettext("only {count} point: not judged", "only {count} points: not judged", event.facts["count"])
    ),
    "learning_rate_jump": lambda event: gettext("from {old:.3g} to {new:.3g} between two points", **event.facts),
    "logging_gap": _describe_gap,
    "missing_steps": lambda event: gettext(
        "no points between steps {first} and {last} (usually one every {usual:g} steps)",
        first=event.facts["first"],
        last=event.facts["last"],
        usual=event.facts["usual"],
    ),
    "resumed": lambda _: gettext("was recorded before the preceding steps, which were logged again later"),
    "stalled": _describe_stall,
    "gpu_idle": lambda event: gettext("median load {load:.3g} % over {count} samples", **event.facts),
    "gpu_memory_full": _describe_full,
    "host_memory_full": _describe_full,
}

# the argument is the fraction of the earlier gain that must be lost
_LOSS_RULES: Mapping[str, Callable[[float], str]] = {
    "worse_scatter": lambda share: gettext(
        "worse by more than {share:.0%} of the earlier gain, {sigmas:g} sigmas, {scatter:g}x its scatter and "
        "{drift:g}x its noise drift",
        share=share,
        sigmas=DEFAULTS.worse_sigmas,
        scatter=DEFAULTS.worse_scatter,
        drift=DEFAULTS.worse_drift,
    ),
    "worse_quick": lambda share: gettext(
        "worse by more than {share:.0%} of the earlier gain, {sigmas:g} sigmas, {scatter:g}x its scatter and "
        "{drift:g}x its noise drift during the rise",
        share=share,
        sigmas=DEFAULTS.worse_sigmas,
        scatter=DEFAULTS.worse_scatter,
        drift=DEFAULTS.quick_drift,
    ),
    "worse_stays": lambda share: gettext(
        "worse by more than {share:.0%} of the earlier gain, {sigmas:g} sigmas, {scatter:g}x the earlier "
        "scatter and {drift:g}x its noise drift, and never recovers",
        share=share,
        sigmas=DEFAULTS.stays_sigmas,
        scatter=DEFAULTS.stays_scatter,
        drift=DEFAULTS.worse_drift,
    ),
    "worse_trend": lambda share: gettext(
        "worse by more than {share:.0%} of the earlier gain and {drift:g}x its noise drift, {above:.0%} of "
        "the last quarter worse than the best window, and a trend (z > {trend:g})",
        share=share,
        above=DEFAULTS.worse_order,
        trend=DEFAULTS.worse_trend,
        drift=DEFAULTS.worse_drift,
    ),
}

_RULES: Mapping[str, Callable[[], str]] = {
    "non_finite": lambda: gettext("any NaN or infinite value"),
    "never_learned": lambda: gettext(
        "no level better than its start by more than {sigmas:g} sigmas, {drifts:g}x its noise drift and (for "
        "a loss) {share:.1%}; no improving trend",
        share=DEFAULTS.flat_share,
        sigmas=DEFAULTS.learned_sigmas,
        drifts=DEFAULTS.learned_drift,
    ),
    "stuck": lambda: gettext(
        "constant for {count} points or more, or a quality metric within {sigmas:g} sigmas of 0",
        count=DEFAULTS.flat_points,
        sigmas=DEFAULTS.zero_sigmas,
    ),
    "worse_order": lambda: gettext(
        "few points: keeps getting worse after the best (Mann-Kendall, p <= {significance:.0%}) by more than "
        "{drift:g}x its noise drift",
        significance=DEFAULTS.few_significance,
        drift=DEFAULTS.few_drift,
    ),
    "worse_start": lambda: gettext(
        "never better than its start by more than noise, and a worsening trend (z > {trend:g})",
        trend=DEFAULTS.learned_trend,
    ),
    "unstable": lambda: gettext(
        "at least {count} falls by more than {share:.0%} of the gain, {sigmas:g} sigmas and {drift:g}x its noise drift",
        count=DEFAULTS.unstable_falls,
        share=DEFAULTS.unstable_share,
        sigmas=DEFAULTS.worse_sigmas,
        drift=DEFAULTS.sure_drift,
    ),
    "no_generalisation": lambda: gettext("the training loss halved, but no held-out metric improved"),
    "entropy": lambda: gettext("below 1/{factor:g} of its start", factor=DEFAULTS.entropy_factor),
    "length": lambda: gettext("> {factor:g}x the median of its first half", factor=DEFAULTS.length_factor),
    "clipped": lambda: gettext("median of the last quarter >= {share:.0%}", share=DEFAULTS.clipped_share),
    "shock": lambda: gettext(
        "rise by more than {share:.0%} of the earlier gain and {sigmas:g} sigmas for {count} points or more, "
        "then recovery",
        share=DEFAULTS.spike_recovered,
        sigmas=DEFAULTS.spike_sigmas,
        count=DEFAULTS.spike_neighbours,
    ),
    "spike": lambda: gettext(
        "more than {sigmas:g} robust sigmas away from its neighbours", sigmas=DEFAULTS.spike_sigmas
    ),
    "plateau": lambda: gettext("gain below {share:.0%} of the total gain", share=DEFAULTS.plateau_share),
    "few_points": lambda: gettext(
        "fewer than {needed} points, and their order alone proves nothing", needed=DEFAULTS.fewest_points
    ),
    "slow_noise": lambda: gettext(
        "gain below {drift:g}x its noise drift, and no falling or rising trend",
        drift=DEFAULTS.learned_drift,
    ),
    "jump": lambda: gettext(
        "rises by more than {factor:g}x at once, fewer than {count} times",
        factor=DEFAULTS.jump_factor,
        count=DEFAULTS.restarts,
    ),
    "gap": lambda: gettext(
        "longer than {factor:g}x the usual interval and {outstanding:g}x the {rank}th longest",
        factor=DEFAULTS.gap_factor,
        outstanding=DEFAULTS.gap_outstanding,
        rank=DEFAULTS.gap_rank,
    ),
    "resumed": lambda: gettext("the time jumps back by more than {seconds:g} s", seconds=DEFAULTS.gap_seconds),
    "stalled": lambda: gettext(
        "silent for more than {factor:g}x the usual interval and more than {duration}",
        factor=DEFAULTS.stall_factor,
        duration=show_duration(DEFAULTS.stall_seconds),
    ),
    "full_memory": lambda: f">= {DEFAULTS.full_memory:g} %",
    "idle": lambda: gettext("median < {load:g} %", load=DEFAULTS.idle_gpu),
}
