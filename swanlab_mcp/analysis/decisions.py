"""Decide whether to keep a setting after comparing it with the baseline."""

from __future__ import annotations

from typing import Literal

from swanlab_mcp.analysis.leaderboard import Reason
from swanlab_mcp.analysis.noise import Judgement

__all__ = ["Decision", "decide", "decide_apart"]

Decision = Literal["keep", "discard", "run more seeds", "cannot tell"]


def decide(judged: Judgement, sign: int) -> Decision:
    """Return the decision that follows from comparing a setting with the baseline.

    `sign` is -1 if larger values are better, and otherwise 1. A setting is discarded if it would take too many repeats
    to show its difference from the baseline.
    """
    if judged.verdict == "different":
        return "keep" if judged.difference * sign < 0 else "discard"
    if judged.rule in ("no repeats", "one pair of repeats"):
        return "run more seeds"
    if judged.rule == "no scatter":
        return "cannot tell"
    return "run more seeds" if judged.more is not None else "discard"


def decide_apart(reason: Reason) -> Decision:
    """Return "discard" for an unranked setting whose run broke, and "cannot tell" for other unranked settings."""
    return "discard" if reason.kind in ("broken", "non-finite") else "cannot tell"
