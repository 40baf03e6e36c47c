"""Configure the axes of a chart: scales, limits and tick labels."""

# matplotlib's annotations leave the types of keyword arguments open
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from swanlab_mcp.present.chart_margins import Writer
from swanlab_mcp.present.fonts import SANS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "ENDS", "LOG_ENDS", "Scales", "fit_ticks", "hide_overlapping_ticks", "list_ticks", "set_axes", "show_number",
    "show_numbers", "widen",
]  # fmt: skip

# values beyond these limits are drawn at the limits, because margins and ticks would overflow
ENDS, LOG_ENDS = (-1e299, 1e299), (1e-200, 1e200)

_TICK_WIDTH = 48  # pixels between the axes and the y label
_ROUNDING = 2.0**-23  # relative differences below this value are ignored, because float32 cannot represent them
_TINY = 1e-300


class Scales(NamedTuple):
    """The axes of a chart: the x label, and which axes are logarithmic or show time."""

    x_label: str
    is_time: bool
    log_x: bool
    log_y: bool

    def map_x(self, x: float) -> float:
        """Return the position of `x` on the x axis (in days if the axis shows times), or NaN if it cannot be drawn."""
        return x / 86_400 if self.is_time else x if x > 0 or not self.log_x else math.nan

    def keep(self, ys: Sequence[float]) -> list[float]:
        """Clamp values to the limits of the y axis, and replace values that cannot be drawn with NaN."""
        low, high = LOG_ENDS if self.log_y else ENDS
        return [max(low, min(high, y)) if math.isfinite(y) and (y > 0 or not self.log_y) else math.nan for y in ys]


def set_axes(axes: Axes, scales: Scales, size: float, *, is_whole: bool) -> None:
    """Configure the scales, ticks and grid. If `is_whole` is true, the x axis only has integer ticks."""
    if scales.log_x:
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(_locate(max(2, round(axes.bbox.width / 80)), is_whole=is_whole))
    if scales.log_y:
        axes.set_yscale("log")
    else:
        axes.yaxis.set_major_locator(_locate(_count_ticks(axes)))
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(which="both", labelsize=size, labelfontfamily=SANS)
    for axis, is_log in ((axes.xaxis, scales.log_x), (axes.yaxis, scales.log_y)):
        _set_formatters(axis, is_log=is_log)
    if scales.is_time:
        _show_times(axes)


def widen(low: float, high: float, share: float, *, is_log: bool) -> tuple[float, float]:
    """Return axis limits with a margin around the values, even if all values are equal.

    `share` is the size of the margin relative to the range of the values.
    """
    if is_log:
        # half a decade around equal values, because a fraction of the exponent could overflow
        bottom, top = _add_margin(math.log10(low), math.log10(high), share, flat=0.5)
        return 10**bottom, 10**top
    return _add_margin(low, high, share, flat=abs(high) * 0.5 or 0.5)


def _add_margin(low: float, high: float, share: float, *, flat: float) -> tuple[float, float]:
    is_flat = high - low <= max(_ROUNDING * max(abs(low), abs(high)), _TINY)
    margin = flat if is_flat else (high - low) * share
    return low - margin, high + margin


def show_number(value: float, _position: float | None = None) -> str:
    return (f"{value:.10g}" if abs(value) < 1e7 else f"{value:.4g}").replace("-", "\u2212")


def show_numbers(values: Sequence[float]) -> list[str]:
    """Format numbers consistently, either with the same number of decimals or in scientific notation."""
    largest = max(map(abs, values), default=0)
    form = "f" if 1e-4 <= largest < 1e7 or not largest else "e"
    digits = next((digits for digits in range(9) if _fits(values, digits, form, 1e-9 * largest)), 9)
    texts = [f"{value:.{digits}{form}}" if value or form == "f" else "0" for value in values]
    return [text.replace("-", "\u2212") for text in texts]


def _fits(values: Sequence[float], digits: int, form: str, margin: float) -> bool:
    return all(abs(float(f"{value:.{digits}{form}}") - value) <= margin for value in values)


def _make_formatter() -> Any:
    from matplotlib.ticker import Formatter

    class Numbers(Formatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return show_number(x, pos)

        def format_ticks(self, values: Sequence[float]) -> list[str]:
            return show_numbers(values)

    return Numbers()


def _locate(count: int, *, is_whole: bool = False) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, steps=(1, 2, 2.5, 5, 10), integer=is_whole, min_n_ticks=1 if is_whole else 2)


def list_ticks(low: float, high: float, count: int, *, is_log: bool) -> list[float]:
    """Return round numbers between `low` and `high` for use as ticks."""
    from matplotlib.ticker import LogLocator

    locator = LogLocator(numticks=count) if is_log else _locate(count)
    return [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]


def _set_formatters(axis: Any, *, is_log: bool) -> None:
    if is_log:
        axis.set_major_formatter(_make_power_formatter(axis, _show_power))
        axis.set_minor_formatter(_make_power_formatter(axis, _show_minor))
    else:
        axis.set_major_formatter(_make_formatter())


def _make_power_formatter(axis: Any, show: Callable[[float, Sequence[float]], str]) -> Callable[[float, Any], str]:
    return lambda value, _: show(value, axis.get_view_interval())


def _show_power(value: float, limits: Sequence[float]) -> str:
    """Return a tick label for a logarithmic axis.

    All labels use scientific notation if plain numbers would be too long.
    """
    is_long = limits[0] < 1e-4 or limits[1] >= 1e7
    return f"{value:.0e}".replace("-", "\u2212") if is_long and value != 1 else show_number(value)


def _show_minor(value: float, limits: Sequence[float]) -> str:
    """Return the label of a minor tick, or "" if the tick has no label.

    Only 2, 3 and 5 times a power of ten are labelled, and only if the axis spans few powers of ten.
    """
    is_shown = f"{value:e}"[0] in "235" and limits[1] < 50 * limits[0]
    return _show_power(value, limits) if is_shown else ""


def _show_times(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=timezone.utc, minticks=3, maxticks=max(4, round(axes.bbox.width / 90)))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=timezone.utc, show_offset=False))


def fit_ticks(axes: Axes, scales: Scales, size: float, writer: Writer) -> None:
    """Reduce the number of ticks until the labels fit, because fewer ticks need fewer digits."""
    if scales.log_y:
        return
    low, high = sorted(axes.get_ylim())
    for count in range(_count_ticks(axes), 1, -1):
        axes.yaxis.set_major_locator(_locate(count))
        shown = show_numbers([y for y in axes.yaxis.get_majorticklocs() if low <= y <= high])
        if all(writer.measure(text, size) <= _TICK_WIDTH for text in shown):
            return


def _count_ticks(axes: Axes) -> int:
    return max(2, round(axes.bbox.height / 45))


def hide_overlapping_ticks(axes: Axes, writer: Writer) -> None:
    others = [one.bbox for one in writer.figure.axes]
    for axis in (axes.xaxis, axes.yaxis):
        # matplotlib only computes the ticks and their labels on demand
        axis.get_majorticklabels()
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            label = tick.label1
            if label.get_text() and low <= tick.get_loc() <= high:
                box = label.get_window_extent(writer.renderer)
                if box.x0 < 0 or box.count_overlaps([*writer.boxes, *others]):
                    label.set_visible(False)
                else:
                    writer.boxes.append(box)
