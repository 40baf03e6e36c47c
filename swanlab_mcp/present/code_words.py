"""Translate codes such as event kinds, severities, states and verdicts.

The JSON form of a reply contains the English codes. The text form contains their translations.
"""

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
# only these codes are translated, and only in the given column, because users' own values may have the same name
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
    """Return the display text of a code in the current language.

    Unlike `word_code`, this also rewrites codes in English: "never_learned" becomes "never learned".
    """
    word = _CODES.get(column, {}).get(value)
    return word() if word else value


def word_code(column: str, value: str) -> str:
    """Translate a code into the language of the call. In English, the code is returned unchanged.

    Values that are not codes are always returned unchanged.
    """
    word = None if language.get() == "en" else _CODES.get(column, {}).get(value)
    return word() if word else value
