"""Which metrics a question is about when none is named."""

from __future__ import annotations

from collections.abc import Iterable

from swanlab_mcp.analysis.direction import find_role, infer_direction, is_validation

__all__ = ["choose_targets"]


def choose_targets(keys: Iterable[str], count: int) -> list[str]:
    """Return at most `count` keys that tell how good a model is: held-out data before training data.

    Of each the quality (accuracy and such) comes before the loss; keys whose direction is not known do not count.
    """
    judged = [key for key in keys if infer_direction(key).mode and find_role(key) in ("loss", "quality", "")]
    judged = [key for key in judged if not key.startswith("__swanlab__")]
    order = {"quality": 0, "loss": 1, "": 2}
    return sorted(judged, key=lambda key: (not is_validation(key), order[find_role(key)]))[:count]
