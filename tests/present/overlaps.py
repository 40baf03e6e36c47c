"""Find texts in charts that overlap each other, the axes, marks at the edge of the axes, or lines outside the axes.

`python -m tests.present.overlaps FILE…` plots the histories in JSON files (plain or .gz) in many ways.
"""

# matplotlib's annotations leave the types of artists open
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.text import Text
from matplotlib.transforms import Bbox

from swanlab_mcp.analysis.selection import Selection
from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.models import Experiment, Points
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.operations.plot_groups import PlotGroup
from swanlab_mcp.operations.plotting import MOST_CURVES, Plot, PlottedExperiment, PlottedSeries
from swanlab_mcp.present.charts import compose
from swanlab_mcp.present.plotting import arrange

__all__ = ["Runs", "draw_plot", "list_plots", "make_plot", "measure_overlaps"]

# for each run, the steps and values by key
Runs = Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[float]]]]

_HOW: Sequence[Mapping[str, Any]] = (
    {}, {"smoothing": 0.8}, {"log_x": True, "log_y": True}, {"is_scatter": True}, {"groups": 3},
)  # fmt: skip


def measure_overlaps(figure: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Return pairs of texts that overlap each other, and texts that overlap anything else or leave the picture."""
    renderer = figure.canvas.get_renderer()
    outside = set(_find_labels_outside(figure))
    texts = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]
    boxes = [(one.get_text(), one.get_window_extent(renderer)) for one in texts if one not in outside]
    pairs = [
        (one, other)
        for index, (one, box) in enumerate(boxes)
        for other, second in boxes[:index]
        if box.overlaps(second)
    ]
    others = [axes.bbox for axes in figure.axes] + list(_find_lines(figure))
    lost = [text for text, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > 1000 or box.y1 > 560]
    return pairs, lost + [text for text, box in boxes if any(box.padded(-1).overlaps(other) for other in others)]


def _find_labels_outside(figure: Any) -> Iterator[Any]:
    """Yield the labels of ticks outside the limits, which are not drawn."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    yield from (tick.label1, tick.label2)


def _find_lines(figure: Any) -> Iterator[Bbox]:
    """Return boxes around marks at the edge of axes, and small boxes along the lines outside the axes."""
    for axes in figure.axes:
        for line in axes.lines:
            if not line.get_clip_on():
                half = line.get_markersize() * figure.dpi / 144
                for x, y in axes.transData.transform(line.get_xydata()):
                    # markers 6 and 7 are triangles that point at the edge, from inside the axes
                    if line.get_marker() not in (6, 7):
                        yield Bbox([[x - half, y - half], [x + half, y + half]])
    for line in [*figure.lines, *figure.artists]:
        ends = line.get_xydata()
        for (x, y), (right, up) in pairwise(ends):
            for share in range(21):
                at = (x + (right - x) * share / 20, y + (up - y) * share / 20)
                yield Bbox([[at[0] - 0.5, at[1] - 0.5], [at[0] + 0.5, at[1] + 0.5]])


def list_plots(runs: Runs) -> Iterator[Plot]:
    """Yield plots of one or several metrics: plain, smoothed, with logarithmic axes, as scatter plots and in groups."""
    names = list(runs)[:MOST_CURVES]
    keys = list(dict.fromkeys(key for metrics in runs.values() for key in metrics))
    chosen = [(names[:1], keys[:MOST_CURVES]), (names[:5], keys[:4]), *((names, [key]) for key in keys[:6])]
    for some, wanted in chosen:
        for how in _HOW:
            yield make_plot({name: runs[name] for name in some}, wanted, **how)


def draw_plot(plot: Plot) -> Any:
    """Return the figure of a plot; raises SwanLabError if there is nothing to draw."""
    name_x, panels = arrange(plot)
    return compose(panels, name_x=name_x, log_x=plot.log_x, log_y=plot.log_y).figure


def make_plot(runs: Runs, wanted: Sequence[str], groups: int = 0, **how: Any) -> Plot:
    experiments: list[PlottedExperiment] = []
    series: list[PlottedSeries] = []
    for name, metrics in runs.items():
        ref = ExperimentRef("alice", "practice", name)
        found = Experiment(cuid=name, state="FINISHED", createdAt="")
        one = PlottedExperiment(ref, name, name, 0, list(metrics), found, x=float(len(experiments) + 1))
        experiments.append(one)
        for key in wanted:
            if metrics.get(key) and metrics[key][0]:
                steps, values = metrics[key]
                points = Points(list(steps), [float(value) for value in values], [0] * len(steps))
                series.append(PlottedSeries(one, key, points))
    divided = [
        PlotGroup([("lr", 10.0**-number)], range(number, len(runs), groups)) for number in range(min(groups, len(runs)))
    ]
    options: dict[str, Any] = {"smoothing": 0.0, "log_x": False, "log_y": False, **how}
    x_axis = "config.lr" if options.get("is_scatter") else "step"
    return Plot(series, Selection(None, None), x_axis, links=[], experiments=experiments, groups=divided, **options)


def _read(path: Path) -> Iterator[tuple[str, Runs]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    sets: dict[str, dict[str, Any]] = {}
    for one in json.loads(content):
        for run in one.get("experiments", [one]):
            steps = run.get("steps")
            metrics: dict[str, Any] = {
                key: (found["steps"], found["values"]) if isinstance(found, dict) else (steps, found)
                for key, found in run["metrics"].items()
            }
            sets.setdefault(run.get("framework", path.stem), {})[run["name"]] = metrics
    yield from sets.items()


def main(paths: Sequence[str]) -> None:
    for name, runs in (one for path in paths for one in _read(Path(path))):
        count = 0
        for plot in list_plots(runs):
            try:
                figure = draw_plot(plot)
            except SwanLabError:
                continue
            count += 1
            pairs, others = measure_overlaps(figure)
            if pairs or others:
                print(f"{name}: {len(plot.series)} series of {plot.series[0].key}: {pairs} {others}"[:400])
        print(f"{name}: {len(runs)} runs, {count} pictures")


if __name__ == "__main__":
    main(sys.argv[1:])
