"""Translate codes (event kinds, severities, states, verdicts), which are English in JSON and translated in texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from swanlab_mcp.core.i18n import language, say

__all__ = ["name_code", "word_code"]

_STATES: Mapping[str, Callable[[], str]] = {
    "FINISHED": lambda: say("finished"),
    "RUNNING": lambda: say("running"),
    "CRASHED": lambda: say("crashed"),
    "ABORTED": lambda: say("aborted"),
    "OFFLINE": lambda: say("offline"),
    "UNKNOWN": lambda: say("no end recorded"),
}
_KINDS: Mapping[str, Callable[[], str]] = {
    "non_finite": lambda: say("NaN or infinite values"),
    "never_learned": lambda: say("never learned"),
    "overfitting": lambda: say("overfitting"),
    "divergence": lambda: say("divergence"),
    "worsening": lambda: say("worsening"),
    "collapse": lambda: say("collapse"),
    "unstable": lambda: say("unstable"),
    "no_generalisation": lambda: say("no generalisation"),
    "resumed": lambda: say("resumed"),
    "entropy_collapse": lambda: say("entropy collapse"),
    "length_explosion": lambda: say("length explosion"),
    "all_clipped": lambda: say("all clipped"),
    "shock": lambda: say("shock"),
    "spike": lambda: say("spike"),
    "plateau": lambda: say("plateau"),
    "not_judged": lambda: say("not judged"),
    "learning_rate_jump": lambda: say("learning rate jump"),
    "logging_gap": lambda: say("logging gap"),
    "missing_steps": lambda: say("missing steps"),
    "stalled": lambda: say("stalled"),
    "gpu_idle": lambda: say("gpu idle"),
    "gpu_memory_full": lambda: say("gpu memory full"),
    "host_memory_full": lambda: say("host memory full"),
}
# the codes in each column; only these are translated, never the user's own values under the same name
_CODES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "state": _STATES,
    "kind": _KINDS,
    "severity": {
        "problem": lambda: say("problem"),
        "warning": lambda: say("warning"),
        "info": lambda: say("info"),
    },
    "health": {
        "healthy": lambda: say("healthy"),
        "warning": lambda: say("warning"),
        "problem": lambda: say("problem"),
        "not_judged": lambda: say("not judged"),
    },
    "confidence": {
        "high": lambda: say("high confidence"),
        "medium": lambda: say("medium confidence"),
        "low": lambda: say("low confidence"),
    },
    "verdict": {
        "real": lambda: say("real"),
        "within noise": lambda: say("within noise"),
        "cannot tell": lambda: say("cannot tell"),
        "baseline": lambda: say("baseline"),
        "better": lambda: say("better"),
        "worse": lambda: say("worse"),
        "no difference shown": lambda: say("no difference shown"),
    },
    "better": {
        "larger": lambda: say("larger"),
        "smaller": lambda: say("smaller"),
        "unknown": lambda: say("unknown"),
    },
    "end": {
        "largest": lambda: say("largest"),
        "smallest": lambda: say("smallest"),
    },
    "what": {
        "new": lambda: say("new"),
        "finished": lambda: say("finished"),
        "crashed": lambda: say("crashed"),
        "aborted": lambda: say("aborted"),
        "stalled": lambda: say("stalled"),
        "no end recorded": lambda: say("no end recorded"),
        "record": lambda: say("record"),
    },
    "source": {
        "all points": lambda: say("all points"),
        "sample": lambda: say("sample"),
    },
}


def name_code(column: str, value: str) -> str:
    """Return the words for a column's code in any language, such as "never learned" for never_learned."""
    word = _CODES.get(column, {}).get(value)
    return word() if word else value


def word_code(column: str, value: str) -> str:
    """Translate a column's code into the language of the call; English codes and other values stay unchanged."""
    word = None if language.get() == "en" else _CODES.get(column, {}).get(value)
    return word() if word else value
