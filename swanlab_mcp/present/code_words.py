"""Translate codes such as event kinds, severities, states and verdicts.

The JSON form of a reply contains the English codes. The text form contains their translations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from swanlab_mcp.core.i18n import gettext, language

__all__ = ["name_code", "word_code"]

_STATES: Mapping[str, Callable[[], str]] = {
    "FINISHED": lambda: gettext("finished"),
    "RUNNING": lambda: gettext("running"),
    "CRASHED": lambda: gettext("crashed"),
    "ABORTED": lambda: gettext("aborted"),
    "OFFLINE": lambda: gettext("offline"),
    "UNKNOWN": lambda: gettext("no end recorded"),
}
_KINDS: Mapping[str, Callable[[], str]] = {
    "non_finite": lambda: gettext("NaN or infinite values"),
    "never_learned": lambda: gettext("never learned"),
    "overfitting": lambda: gettext("overfitting"),
    "divergence": lambda: gettext("divergence"),
    "worsening": lambda: gettext("worsening"),
    "collapse": lambda: gettext("collapse"),
    "unstable": lambda: gettext("unstable"),
    "no_generalisation": lambda: gettext("no generalisation"),
    "resumed": lambda: gettext("resumed"),
    "entropy_collapse": lambda: gettext("entropy collapse"),
    "length_explosion": lambda: gettext("length explosion"),
    "all_clipped": lambda: gettext("all clipped"),
    "shock": lambda: gettext("shock"),
    "spike": lambda: gettext("spike"),
    "plateau": lambda: gettext("plateau"),
    "not_judged": lambda: gettext("not judged"),
    "learning_rate_jump": lambda: gettext("learning rate jump"),
    "logging_gap": lambda: gettext("logging gap"),
    "missing_steps": lambda: gettext("missing steps"),
    "stalled": lambda: gettext("stalled"),
    "gpu_idle": lambda: gettext("gpu idle"),
    "gpu_memory_full": lambda: gettext("gpu memory full"),
    "host_memory_full": lambda: gettext("host memory full"),
}
# only these codes are translated, and only in the given column, because users' own values may have the same name
_CODES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "state": _STATES,
    "kind": _KINDS,
    "severity": {
        "problem": lambda: gettext("problem"),
        "warning": lambda: gettext("warning"),
        "info": lambda: gettext("info"),
    },
    "health": {
        "healthy": lambda: gettext("healthy"),
        "warning": lambda: gettext("warning"),
        "problem": lambda: gettext("problem"),
        "not_judged": lambda: gettext("not judged"),
    },
    "confidence": {
        "high": lambda: gettext("high confidence"),
        "medium": lambda: gettext("medium confidence"),
        "low": lambda: gettext("low confidence"),
    },
    "verdict": {
        "real": lambda: gettext("real"),
        "within noise": lambda: gettext("within noise"),
        "cannot tell": lambda: gettext("cannot tell"),
        "baseline": lambda: gettext("baseline"),
        "better": lambda: gettext("better"),
        "worse": lambda: gettext("worse"),
        "no difference shown": lambda: gettext("no difference shown"),
    },
    "better": {
        "larger": lambda: gettext("larger"),
        "smaller": lambda: gettext("smaller"),
        "unknown": lambda: gettext("unknown"),
    },
    "end": {
        "largest": lambda: gettext("largest"),
        "smallest": lambda: gettext("smallest"),
    },
    "what": {
        "new": lambda: gettext("new"),
        "finished": lambda: gettext("finished"),
        "crashed": lambda: gettext("crashed"),
        "aborted": lambda: gettext("aborted"),
        "stalled": lambda: gettext("stalled"),
        "no end recorded": lambda: gettext("no end recorded"),
        "record": lambda: gettext("record"),
    },
    "source": {
        "all points": lambda: gettext("all points"),
        "sample": lambda: gettext("sample"),
    },
}


def name_code(column: str, value: str) -> str:
    """Return the display text of a code in the current language.

    Unlike `word_code`, this also rewrites codes in English: "never_learned" becomes "never learned".
    """
    word = _CODES.get(column, {}).get(value)
    return word() if word else value


def word_code(column: str, value: str) -> str:
    """Translate a code into the caller's language. In English, the code is returned unchanged.

    Values that are not codes are always returned unchanged.
    """
    word = None if language.get() == "en" else _CODES.get(column, {}).get(value)
    return word() if word else value
