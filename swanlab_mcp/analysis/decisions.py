"""Decide from a comparison with the baseline whether to keep a setting."""

from __future__ import annotations

from typing import Literal

from swanlab_mcp.analysis.leaderboard import Reason
from swanlab_mcp.analysis.noise import Judgement

__all__ = ["Decision", "decide", "decide_apart"]

Decision = Literal["keep", "discard", "run more seeds", "cannot tell"]


def decide(judged: Judgement, sign: int) -> Decision:
    """Return what a judgement against the baseline implies; `sign` makes the better value the smaller one.

    A difference too small for the affordable number of repeats is no reason to change the baseline.
    """
    if judged.verdict == "different":
        return "keep" if judged.difference * sign < 0 else "discard"
    if judged.rule in ("no repeats", "one pair of repeats"):
        return "run more seeds"
    if judged.rule == "no scatter":
        return "cannot tell"
    return "run more seeds" if judged.more is not None else "discard"


def decide_apart(reason: Reason) -> Decision:
    """Return what the reason implies for which a setting has no rank: a broken run is no candidate."""
    return "discard" if reason.kind in ("broken", "non-finite") else "cannot tell"
