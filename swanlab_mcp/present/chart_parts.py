"""The parts of a chart: panels, and curves with marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

__all__ = ["TEXTS", "Curve", "Mark", "Panel"]


class Mark(NamedTuple):
    """An event on a curve. `y` is `None` if there is no value at the event."""

    kind: Literal["best", "non-finite", "worsening"]
    x: float
    y: float | None
    text: str = ""


class Curve(NamedTuple):
    """A labelled curve.

    `raw` contains the values before smoothing, and `band` contains x values with their lower and upper bounds. `number`
    identifies the curve in the reply. If it is 0, the position of the curve is used. Curves from the same run have the
    same `colour`, and `dash` distinguishes the metrics. If `dots` is true, the points are not connected, and `shades`
    contains the numbers that determine their colours. Values that are not finite become gaps. `counts` contains the
    number of experiments in each mean.
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
    """One or more curves in the same unit that share a pair of axes.

    The title has one line per metric. `shade_name` labels the colour scale of the points. `plain_title` and
    `plain_shade_name` are used if no font can display the regular names. `worse` is 1 if large values are bad, -1 if
    small values are bad, and 0 if the bad direction is unknown.
    """

    title: str
    y_label: str
    curves: Sequence[Curve]
    plain_title: str = ""
    shade_name: str = ""
    plain_shade_name: str = ""
    worse: int = 0


TEXTS = ("title", "y_label", "plain_title", "shade_name", "plain_shade_name")  # the fields of a panel that contain text
