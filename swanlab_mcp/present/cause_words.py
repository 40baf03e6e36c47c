"""Describe the possible causes of a problem and the evidence for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from swanlab_mcp.analysis.explanations import Evidence, Explanation
from swanlab_mcp.core.findings import Cause
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.present.event_words import describe_event

__all__ = ["describe_cause", "describe_trouble"]

_ERROR = 120
_KEY = 40


def describe_cause(found: Explanation) -> Cause:
    """Return an explanation as a published record: the cause, its confidence and the evidence."""
    if found.cause.startswith("error_"):
        cause = describe_trouble(found.cause.removeprefix("error_"))
    else:
        cause = _CAUSES[found.cause]()
    return Cause(
        cause=cause,
        confidence=found.confidence,
        evidence=gettext("; ").join(_EVIDENCE[one.name](one) for one in found.evidence),
    )


def describe_trouble(name: str) -> str:
    """Return the description of the problem with this name, or "" if the name is empty."""
    return _TROUBLES[name]() if name else ""


_TROUBLES: Mapping[str, Callable[[], str]] = {
    "host_memory": lambda: gettext("the machine ran out of memory"),
    "gpu_memory": lambda: gettext("the GPU ran out of memory"),
    "killed": lambda: gettext("another process or the system killed the run, often because memory ran out"),
    "ended_outside": lambda: gettext(
        "another process or the system stopped it: a time limit, preemption or a manual stop"
    ),
    "disk_full": lambda: gettext("the disk is full"),
    "missing_file": lambda: gettext("a file or its folder does not exist"),
    "permission": lambda: gettext("permission to open a file was denied"),
    "connection": lambda: gettext("a connection between processes or to a server was lost"),
    "out_of_range": lambda: gettext("an index or label is out of range"),
    "native_code": lambda: gettext("the GPU, its driver or native code failed"),
    "non_finite": lambda: gettext("a value was NaN or infinite"),
    "shapes": lambda: gettext("tensor shapes do not match"),
    "missing_module": lambda: gettext("a module is missing or incompatible"),
    "stopped_by_hand": lambda: gettext("it was stopped manually (Ctrl-C or a signal)"),
    "code": lambda: gettext("an error in the code, its settings or its data"),
}

_CAUSES: Mapping[str, Callable[[], str]] = {
    "unknown_error": lambda: gettext("an unknown kind of exception"),
    "never_computed": lambda: gettext(
        "the value could never be computed: a missing class, an empty split or a broken metric"
    ),
    "exploded": lambda: gettext("training exploded: learning rate too high or no gradient clipping"),
    "gradient_exploded": lambda: gettext("the gradient exploded"),
    "single_bad_value": lambda: gettext(
        "a single bad value: a bad batch, division by 0, logarithm of 0, or half precision"
    ),
    "bad_values": lambda: gettext(
        "NaN or infinite values without earlier growth: a bad batch, division by 0, logarithm of 0, or half precision"
    ),
    "rate_too_high": lambda: gettext(
        "learning rate too high: the first updates made the metric worse, and it never recovered"
    ),
    "no_signal": lambda: gettext(
        "inputs or labels carry no signal, or nothing is trained (frozen weights, dead units, or a wrong learning rate)"
    ),
    "flat": lambda: gettext("cause unclear: learning rate, data, or a loss that is not expected to fall"),
    "reward_never_found": lambda: gettext("cause unclear: exploration, learning rate, or a reward that is too rare"),
    "memorises": lambda: gettext("the model memorises its training data"),
    "rate_jumped": lambda: gettext("the learning rate jumped, perhaps because its schedule was resumed or restarted"),
    "unstable": lambda: gettext("training became unstable: learning rate too high, or bad data from that step"),
    "policy_collapsed": lambda: gettext("the policy collapsed: updates too large, or an exploited reward"),
    "gpu_waits": lambda: gettext("the GPU is waiting for data loading or the CPU"),
    "hangs": lambda: gettext("it hangs, or was killed without a message (SIGKILL, out of memory, preemption)"),
    "unexplained": lambda: gettext(
        "the SDK recorded a crash without an error; the script may have been interrupted, or reported the crash itself"
    ),
    "silence": lambda: gettext(
        "its data ends without an error; SwanLab marks runs as CRASHED after 30 minutes of silence, so this "
        "run was killed, lost its connection, or is still training"
    ),
}


def _key(one: Evidence) -> str:
    return shorten(one.facts["key"])


def _describe_evidence(one: Evidence) -> str:
    event = one.facts["event"]
    detail = describe_event(event)
    if event.kind in ("entropy_collapse", "length_explosion", "all_clipped"):
        return f"{shorten(event.keys[0])}: {detail}"
    return detail


_EVIDENCE: Mapping[str, Callable[[Evidence], str]] = {
    "error_line": lambda one: gettext("error line: {line}", line=shorten(one.facts["line"], _ERROR)),
    "lines_follow": lambda one: ngettext(
        "{count} log line follows the error, so it may have been handled",
        "{count} log lines follow the error, so it may have been handled",
        one.facts["count"],
    ),
    "gpu_memory": lambda one: gettext("GPU memory {detail}", detail=describe_event(one.facts["event"])),
    "host_memory": lambda one: gettext("the machine's memory {detail}", detail=describe_event(one.facts["event"])),
    "event": _describe_evidence,
    "all_non_finite": lambda one: gettext("{key} has no finite value", key=_key(one)),
    "value_before": lambda one: gettext(
        "{key} was {value:.3g} just before step {step}", key=_key(one), value=one.facts["value"], step=one.facts["step"]
    ),
    "rose_tenfold": lambda one: gettext(
        "{key} rose at least tenfold before step {step}", key=_key(one), step=one.facts["step"]
    ),
    "no_growth": lambda one: gettext("no growth before step {step}", step=one.facts["step"]),
    "best_at_first": lambda one: gettext(
        "{key} was best at its first point ({value:.4g})", key=_key(one), value=one.facts["value"]
    ),
    "at_chance": lambda one: gettext(
        "{key} stays at chance, ln({classes})", key=_key(one), classes=one.facts["classes"]
    ),
    "also_flat": lambda one: gettext("{key} does not change either", key=_key(one)),
    "check_batch": lambda _: gettext("inspect a batch and its labels"),
    "is_flat": lambda one: gettext("{key} is flat", key=_key(one)),
    "training_improves": lambda one: gettext("{key} gets worse while training still improves", key=_key(one)),
    "training_level": lambda one: gettext("{key} gets worse, but training does not", key=_key(one)),
    "worsens_from": lambda one: gettext("{key} gets worse from step {step}", key=_key(one), step=one.facts["step"]),
    "jump_before": lambda one: gettext(
        "learning rate {detail} at step {step}, before step {later}",
        detail=describe_event(one.facts["event"]),
        step=one.facts["event"].step,
        later=one.facts["later"],
    ),
    "rate": lambda one: f"{shorten(one.facts['key'], _KEY)}={one.facts['value']:.4g}",
    "no_end": lambda _: gettext("no recorded end"),
    "still_running": lambda _: gettext("its state is still RUNNING"),
    "no_error": lambda one: ngettext(
        "no error in the last {count} log line", "no error in the last {count} log lines", one.facts["count"]
    ),
    "data_stop": lambda one: gettext("the last point is at step {step}", step=one.facts["step"]),
}
