"""Describe lists of steps in a compact form."""

from __future__ import annotations

from collections.abc import Sequence

from swanlab_mcp.core.i18n import gettext

__all__ = ["describe_steps"]

_LONGEST = 40


def describe_steps(steps: Sequence[int]) -> str:
    """Describe sorted steps as ranges with a fixed interval, such as "0, 50-600 every 50".

    If there are many ranges, those in the middle are omitted.
    """
    runs: list[str] = []
    index = 0
    while index < len(steps):
        end = index + 1
        if end < len(steps):
            distance = steps[end] - steps[index]
            while end + 1 < len(steps) and steps[end + 1] - steps[end] == distance:
                end += 1
            if end - index >= 2:
                span = f"{steps[index]}-{steps[end]}"
                runs.append(gettext("{span} every {distance}", span=span, distance=distance) if distance > 1 else span)
                index = end + 1
                continue
        runs.append(str(steps[index]))
        index += 1
    if len(runs) > _LONGEST:
        half = _LONGEST // 2
        runs = [*runs[:half], "…", *runs[-half:]]
    return ", ".join(runs) or gettext("none")
