"""Choose metrics for calls that do not specify any."""

from __future__ import annotations

from collections.abc import Iterable

from swanlab_mcp.analysis.metric_catalogue import describe_key

__all__ = ["choose_targets"]

_ORDER = {"reward": 0, "quality": 0, "loss": 1, "error": 1, "speed": 2, "time": 2}


def choose_targets(keys: Iterable[str], count: int) -> list[str]:
    """Choose at most `count` keys that measure the quality of the model, preferably on held-out data.

    Within the same data split, rewards and quality metrics such as accuracy are preferred to losses. Keys with an
    unknown direction are skipped.
    """

    def rate(key: str) -> tuple[bool, int, bool, bool]:
        kind = describe_key(key)
        is_held_out = kind.split in ("validation", "test")
        return not is_held_out, _ORDER[kind.role], not kind.must_improve, kind.statistic not in ("", "mean")

    judged = [key for key in keys if describe_key(key).direction and describe_key(key).role in _ORDER]
    return sorted(judged, key=rate)[:count]
