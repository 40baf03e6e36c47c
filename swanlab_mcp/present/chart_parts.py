"""The parts of a chart: panels of curves with marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

__all__ = ["TEXTS", "Curve", "Mark", "Panel"]


class Mark(NamedTuple):
    """An event on a curve; `y` is None if the event has no value."""

    kind: Literal["best", "non-finite", "worsening"]
    x: float
    y: float | None
    text: str = ""


class Curve(NamedTuple):
    """A line with a label; `raw` contains the values before smoothing, and `band` the x values with both bounds.

    `number` identifies the curve in the reply; 0 means its position. Curves of the same run share a `colour`, and
    `dash` distinguishes the metrics. `dots` draws points without a line, and `shades` contains the numbers that colour
    them. Values that are not finite become gaps. `counts` contains the number of experiments in each mean.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    raw: tuple[Sequence[float], Sequence[float]] | None = None
    marks: Sequence[Mark] = ()
    number: int = 0
    colour: int | None = None
    dash: int = 0
    band: tuple[Sequence[float], Sequence[float], Sequence[float]] | None = None
    dots: bool = False
    shades: Sequence[float] = ()
    counts: Sequence[int] = ()


class Panel(NamedTuple):
    """Curves with the same unit in one pair of axes; `shade_name` names the numbers that colour points.

    The title has a line for each metric. `plain_title` and `plain_shade_name` are shown if no font can display the
    other texts. `worse` is 1 if large values are bad, and -1 if small values are bad.
    """

    title: str
    y_label: str
    curves: Sequence[Curve]
    plain_title: str = ""
    shade_name: str = ""
    plain_shade_name: str = ""
    worse: int = 0


TEXTS = ("title", "y_label", "plain_title", "shade_name", "plain_shade_name")  # of a panel
