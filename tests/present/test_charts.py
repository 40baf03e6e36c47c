"""Check the size and labels of charts, values that cannot be drawn, and sparklines."""

# fontTools, Pillow and matplotlib are partly typed
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import io
import math
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.text import Text
from PIL import Image

from swanlab_mcp.analysis.smoothing import smooth
from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.i18n import gettext, use_language
from swanlab_mcp.operations.plotting import MOST_CURVES, plot_metrics
from swanlab_mcp.present.chart_parts import Curve, Mark, Panel
from swanlab_mcp.present.charts import LARGEST, Chart, compose, draw_chart
from swanlab_mcp.present.plotting import arrange
from swanlab_mcp.present.sparklines import draw_sparkline
from tests.conftest import opened
from tests.evals.curves import draw as draw_cases
from tests.present.overlaps import draw_plot, list_plots, make_plot, measure_overlaps
from tests.server.test_tools import DEMO

Number = st.floats(allow_nan=True, allow_infinity=True)


def draw(*curves: Curve, **how: Any) -> Chart:
    options: dict[str, Any] = {"name_x": lambda: "step", **how}
    title = options.pop("title", "")
    return draw_chart([Panel(title, "", curves)], **options)


def open_picture(chart: Chart) -> Image.Image:
    image = Image.open(io.BytesIO(chart.png))
    assert image.format == "PNG"
    assert image.size == (1000, 560)
    assert len(chart.png) <= LARGEST
    return image.convert("RGB")


def read_colours(image: Image.Image) -> Any:
    """Return each colour in a picture with its number of pixels."""
    return image.getcolors(image.width * image.height)


def count_pixels(chart: Chart, colour: str) -> int:
    wanted = tuple(int(colour[index : index + 2], 16) for index in (1, 3, 5))
    return sum(
        count
        for count, found in read_colours(open_picture(chart))
        if all(abs(one - other) <= 24 for one, other in zip(found, wanted, strict=True))
    )


def make_noise(seed: int, size: int) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(0, 1) for _ in range(size)]


def make_font(path: Path, characters: str) -> Path:
    """Write a font that draws each of the characters as a block."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((900, 0), (900, 800), (100, 800)):
        pen.lineTo(point)
    pen.closePath()
    block = pen.glyph()
    names = [".notdef", *(f"uni{ord(one):04X}" for one in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(one): f"uni{ord(one):04X}" for one in characters})
    builder.setupGlyf(dict.fromkeys(names, block))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Noto Sans CJK SC", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


def test_each_curve_has_its_own_colour_and_label() -> None:
    falling, rising = [5.0 - step for step in range(5)], [float(step) for step in range(5)]
    chart = draw(Curve("falling", range(5), falling), Curve("rising", range(5), rising), title="loss")
    assert chart.numbered == []
    assert count_pixels(chart, "#0072B2") > 300
    assert count_pixels(chart, "#D55E00") > 300
    assert count_pixels(chart, "#009E73") == 0


def test_noisiest_chart_stays_within_the_size_limit() -> None:
    curves = [Curve(f"run-{seed}", range(2000), make_noise(seed, 2000)) for seed in range(MOST_CURVES)]
    open_picture(draw(*curves))


def test_marks_are_drawn_and_their_figures_are_outside_the_axes() -> None:
    line = Curve("a", range(10), [1.0] * 10)
    best = Mark("best", 5, 1.0, "1 @ 5")
    assert draw(line).png != draw(line._replace(marks=[best])).png
    assert draw(line._replace(marks=[best])).png != draw(line._replace(marks=[best._replace(text="")])).png
    many = [line] * 8
    assert (
        draw(*many, line._replace(marks=[best])).png == draw(*many, line._replace(marks=[best._replace(text="")])).png
    )


def test_points_that_squash_the_others_are_counted_and_marked() -> None:
    flat = [1000.0, 500.0, *(1 + step % 7 / 10 for step in range(300))]
    chart = draw(Curve("a", range(302), flat))
    assert chart.hidden == 2
    assert draw(Curve("a", range(302), flat), log_y=True).hidden == 0
    assert draw(Curve("a", range(302), [float(step) for step in range(302)])).hidden == 0


def read_texts(*curves: Curve, title: str = "loss") -> set[str]:
    figure = compose([Panel(title, title, curves)], name_x=lambda: "step").figure
    assert measure_overlaps(figure) == ([], [])
    return {text.get_text() for text in figure.findobj(Text) if text.get_visible()}


def test_exploding_curve_does_not_squash_the_others() -> None:
    steps, good = range(300), [2.5 * math.exp(-step / 60) for step in range(300)]
    boom = good[:200] + [10.0 ** (step / 10) for step in range(100)]
    for curves in (
        (Curve("a", steps, good), Curve("b", steps, boom)),
        (Curve("b", steps, boom), Curve("a", steps, good)),
    ):
        assert 90 < draw(*curves).hidden < 100
        assert {"2.0", "extreme points outside the plot"} <= read_texts(*curves)
    assert "extreme points outside the plot" not in read_texts(Curve("a", steps, good))


@pytest.mark.parametrize(("value", "shown"), [(1e-3, "0.0010"), (0.0, "0.0"), (64.0, "60")])
def test_ticks_of_a_constant_are_near_its_value(value: float, shown: str) -> None:
    assert shown in read_texts(Curve("a", range(9), [value] * 9))


def test_ticks_of_integer_steps_are_integers() -> None:
    for steps in ([0], [0, 1, 2], [7, 8]):
        figure = compose([Panel("acc", "acc", [Curve("a", steps, [0.5] * len(steps))])], name_x=lambda: "step").figure
        assert all(tick.is_integer() for tick in map(float, figure.axes[0].get_xticks()))


def test_band_lies_around_its_mean() -> None:
    steps = range(20)
    band = ([*steps], [0.0] * 20, [2.0] * 20)
    shaded = count_pixels(draw(Curve("a", steps, [1.0] * 20, band=band)), "#D1E6F1")
    assert shaded > 200_000
    assert count_pixels(draw(Curve("a", steps, [1.0] * 20)), "#D1E6F1") < 20_000


def test_mean_of_fewer_experiments_is_thin_and_explained() -> None:
    steps = range(40)
    whole = Curve("a", steps, [1.0] * 40, band=(steps, [0.0] * 40, [2.0] * 40), counts=[3] * 40)
    fewer = whole._replace(counts=[3] * 10 + [1] * 30)
    assert count_pixels(draw(fewer), "#0072B2") < 0.7 * count_pixels(draw(whole), "#0072B2")
    for curve, is_explained in ((fewer, True), (whole, False)):
        figure = compose([Panel("loss", "loss", [curve])], name_x=lambda: "step").figure
        texts = {text.get_text() for text in figure.findobj(Text)}
        assert ("mean of fewer experiments" in texts) == is_explained


def test_group_keeps_its_colour_and_row_if_members_lack_a_metric() -> None:
    line = range(9), [1.0 + step for step in range(9)]
    runs = {f"r{index}": {"val/loss": line, **({} if index == 0 else {"val/acc": line})} for index in range(4)}
    _, panels = arrange(make_plot(runs, ["val/loss", "val/acc"], groups=2))
    drawn = [[(curve.label, curve.colour) for curve in panel.curves] for panel in panels]
    assert drawn == [[("lr=1.0 (n=2…1)", 0), ("lr=0.1 (n=2)", 1)]] * 2


def test_equally_shortened_names_are_numbered() -> None:
    names = [f"{'pretrained-on-a-large-corpus-' * 8}{index}-{'x' * 40}" for index in range(3)]
    figure = compose(
        [Panel("loss", "", [Curve(name, range(9), range(9)) for name in [*names, "short"]])], name_x=lambda: "step"
    ).figure
    texts = {text.get_text()[:6] for text in figure.findobj(Text)}
    assert {"#1 pre", "#2 pre", "#3 pre", "short"} <= texts


def test_powers_of_ten_on_one_axis_have_one_form() -> None:
    curve = Curve("a", range(1, 26), [10.0 ** (index - 12) for index in range(25)])
    (axes,) = compose([Panel("norm", "", [curve])], name_x=lambda: "step", log_y=True).figure.axes
    low, high = axes.get_ylim()
    shown = [tick.label1.get_text() for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert shown == ["1e−12", "1e−09", "1e−06", "1e−03", "1", "1e+03", "1e+06", "1e+09", "1e+12"]


def test_axis_without_values_has_no_labels() -> None:
    nothing = Curve("a", range(9), [math.nan] * 9, marks=[Mark("non-finite", 0, None, "NaN @ 0")])
    (axes,) = compose([Panel("loss", "loss", [nothing])], name_x=lambda: "step").figure.axes
    assert not axes.get_yticks().size


def test_titles_of_narrow_panels_have_several_lines() -> None:
    keys = [
        "train/box_loss (solid)\nval/box_loss (dashed)",
        "completions/terminated/max_length_of_everything",
        "lr",
        "a",
        "b",
    ]
    panels = [Panel(title, "y", [Curve("r", range(3), [1, 2, 3])]) for title in keys]
    figure = compose(panels, name_x=lambda: "step").figure
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert {"train/box_loss (solid)", "val/box_loss (dashed)", "completions/terminated/", "lr"} <= texts
    assert measure_overlaps(figure) == ([], [])


def make_family(name: str) -> tuple[list[Panel], dict[str, Any]]:
    """Return curves of one kind, like those in real projects."""
    steps = [float(step) for step in range(1, 201)]
    decay = [2.5 * math.exp(-step / 40) + 0.1 for step in steps]
    noisy = [[one + noise / 20 for one, noise in zip(decay, make_noise(seed, 200), strict=True)] for seed in range(20)]
    best = [Mark("best", 180, min(decay), "0.1279 @ 180"), Mark("non-finite", 190, None, "NaN @ 190")]
    several = [Curve(f"run-{number}", steps, line, marks=best) for number, line in enumerate(noisy)]
    tiny = [Curve(f"run-{number}", steps, [one * 1e-5 + 1 for one in line]) for number, line in enumerate(noisy[:4])]
    huge = [Curve("perplexity of a model with a very long name indeed", steps, [10**one for one in noisy[0]])]
    early = [Curve(f"early-{end}", steps[:end], decay[:end], marks=best[:1]) for end in (20, 60, 120, 200)]
    panels = {
        "five runs": [Panel("val/loss", "val/loss", several[:5])],
        "eight equal runs": [Panel("val/acc", "val/acc", [Curve(f"r{n}", steps, decay, marks=best) for n in range(8)])],
        "twenty runs": [Panel("train/loss", "train/loss", several)],
        "early ends": [Panel("val/loss", "val/loss", early)],
        "tiny differences": [Panel("val/acc", "val/acc", tiny)],
        "log axes": [Panel("perplexity", "perplexity", huge)],
        "clock": [Panel("loss", "loss", [Curve("a", [1.79e9 + 600 * step for step in steps], decay)])],
        "two panels": [Panel("loss (solid), val/loss (dashed)", "loss", several[:4]), Panel("wer", "wer", early)],
        "small multiples": [Panel(f"metric/{n}", f"metric/{n}", several[n : n + 1]) for n in range(20)],
        "bands": [
            Panel("loss", "loss", [
                Curve(f"lr=0.{n} (n=5)", steps, decay, band=(steps, [y - 0.1 for y in decay], [y + 0.1 for y in decay]))
                for n in range(10)
            ])
        ],
        "scatter": [Panel("val/acc", "val/acc", [
            Curve(f"batch={n}", steps[:9], noisy[n][:9], dots=True) for n in range(4)
        ])],
    }  # fmt: skip
    how = {"log axes": {"log_x": True, "log_y": True}, "clock": {"is_time": True}}
    return panels[name], how.get(name, {})


FAMILIES = (
    "five runs", "eight equal runs", "twenty runs", "early ends", "tiny differences", "log axes", "clock", "two panels",
    "small multiples", "bands", "scatter",
)  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_texts_overlap_neither_each_other_nor_the_axes(name: str) -> None:
    panels, how = make_family(name)
    figure = compose(panels, name_x=lambda: "step", **how).figure
    assert measure_overlaps(figure) == ([], [])


FIVE = ["lr-0.1", "lr-1", "lr-0.3", "lr-0.01", "tiny-40-images"]
SEEDS = [f"{name}{seed}" for name in ("lr-0.1", "width-128-64") for seed in ("", "-seed1", "-seed2")]
PLOTS: tuple[dict[str, Any], ...] = (
    {"exp_cuids": FIVE, "keys": ["val/acc"]},
    {"exp_cuids": FIVE, "keys": ["val/loss"], "log_y": True},
    {"exp_cuids": FIVE, "keys": ["*/loss", "*/acc"], "smoothing": 0.8},
    {"exp_cuids": FIVE[:2], "keys": ["*"]},
    {"exp_cuids": FIVE, "keys": ["train/loss"], "x_axis": "time"},
    {"exp_cuids": FIVE, "keys": ["grad_norm"], "x_axis": "relative_time"},
    {"exp_cuids": [*FIVE, "lr-100-wd-0.1", "uint8-input", "batch-8"], "keys": ["val/acc"]},
    {"exp_cuids": SEEDS, "keys": ["val/acc", "val/loss"], "group_by": "seed"},
    {"exp_cuids": [*FIVE, *SEEDS], "keys": ["val/acc"], "x_axis": "config.lr", "log_x": True, "group_by": "hidden"},
    {"exp_cuids": FIVE, "keys": ["val/loss"], "x_axis": "train/loss", "log_x": True, "log_y": True},
    {"exp_cuids": ["lr-100-wd-0.1"], "keys": ["train/loss", "val/loss"]},
)


@pytest.mark.anyio
@pytest.mark.parametrize("arguments", PLOTS, ids=str)
async def test_texts_of_real_plots_overlap_nothing(arguments: dict[str, Any]) -> None:
    async with opened(DEMO) as client:
        answer = await plot_metrics(client, project="digits-mlp", **arguments)
    assert answer.data
    how = {"is_time": answer.data.x_axis == "time", "log_x": answer.data.log_x, "log_y": answer.data.log_y}
    name_x, panels = arrange(answer.data)
    figure = compose(panels, name_x=name_x, **how).figure
    assert len([text for text in figure.findobj(Text) if text.get_text()]) > 10
    assert measure_overlaps(figure) == ([], [])


@pytest.mark.parametrize("noise", [1e-12, 1e-9, 1e-6, 1e-3])
def test_ticks_of_nearly_equal_values_fit(noise: float) -> None:
    curve = Curve("a", range(100), [4891 * (1 + noise * one) for one in make_noise(3, 100)])
    figure = compose([Panel("memory", "memory", [curve])], name_x=lambda: "step").figure
    assert measure_overlaps(figure) == ([], [])


FRAMEWORKS = sorted({case.framework for case in draw_cases(0)})


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_texts_of_frameworks_overlap_nothing(framework: str, every: int) -> None:
    assert len(FRAMEWORKS) >= 10
    runs = {case.name: case.metrics for case in draw_cases(7) if case.framework == framework}
    for plot in list(list_plots(runs))[::every]:
        with suppress(SwanLabError):
            assert measure_overlaps(draw_plot(plot)) == ([], [])


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the font folder of a machine whose only other font is DejaVu Sans."""
    plain = [entry for entry in font_manager.fontManager.ttflist if entry.name == "DejaVu Sans"]
    folder = tmp_path / "fonts"
    folder.mkdir()
    monkeypatch.setattr(font_manager.fontManager, "ttflist", plain)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path) for path in folder.iterdir()])
    return folder


@pytest.mark.usefixtures("fonts")
@pytest.mark.anyio
@pytest.mark.parametrize("how", [{"keys": ["*/loss"]}, {"keys": ["val/loss"], "x_axis": "config.lr"}], ids=str)
async def test_titles_without_a_font_are_english(how: dict[str, Any]) -> None:
    async with opened(DEMO) as client:
        answer = await plot_metrics(client, project="digits-mlp", exp_cuids=FIVE[:2], **how)
    assert answer.data
    with use_language("zh"):
        name_x, panels = arrange(answer.data)
        texts = [text.get_text() for text in compose(panels, name_x=name_x).figure.findobj(Text)]
    assert {"train/loss (solid), val/loss (dashed)", "val/loss (best)"} & {*texts}


@pytest.mark.usefixtures("fonts")
def test_axis_and_colours_without_a_font_refer_to_the_reply() -> None:
    curve = Curve("", [1, 2], [3, 4], dots=True, shades=[1, 2])
    panel = Panel("a", "a", [curve], "a", "config.学习率", "config.学习率")
    figure = compose([panel], name_x=lambda: "config.批大小").figure
    assert {"x-axis: see the reply", "colour: see the reply"} <= {text.get_text() for text in figure.findobj(Text)}
    assert measure_overlaps(figure) == ([], [])


@pytest.mark.usefixtures("fonts")
def test_names_without_a_font_become_numbers() -> None:
    curves = [Curve("plain", range(3), [1, 2, 3]), Curve("学习率", range(3), [3, 2, 1])]
    chart = draw(*curves, title="损失")
    assert chart.numbered == [2]
    # names are not drawn: other names give the same picture
    assert chart.png == draw(curves[0], curves[1]._replace(label="实验"), title="准确率").png
    assert "metric #1" in read_texts(*curves, title="损失")


def test_newly_installed_font_is_used_at_the_next_call(fonts: Path) -> None:
    assert draw(Curve("学习率", range(3), [1, 2, 3])).numbered == [1]
    make_font(fonts / "cjk.ttf", "学习率")
    assert draw(Curve("学习率", range(3), [1, 2, 3])).numbered == []
    (fonts / "cjk.ttf").unlink()
    assert draw(Curve("学习率", range(3), [1, 2, 3])).numbered == [1]


def test_damaged_font_is_ignored(fonts: Path) -> None:
    (fonts / "broken.ttf").write_bytes(b"no font")
    assert draw(Curve("学习率", range(3), [1, 2, 3])).numbered == [1]


def test_legend_is_chinese_with_a_chinese_font(fonts: Path) -> None:
    curve = Curve("a", range(3), [1, 2, 3], marks=[Mark("best", 0, 1)])
    english = draw(curve)
    with use_language("zh"):
        assert draw(curve).png == english.png
        make_font(fonts / "cjk.ttf", gettext("best"))
        assert draw(curve).png != english.png
    assert draw(curve).png == english.png


def test_installed_chinese_font_shows_names(fonts: Path) -> None:
    make_font(fonts / "cjk.ttf", "学习率")
    chart = draw(Curve("学习率", range(3), [1, 2, 3]), Curve("学习 更", range(3), [3, 2, 1]))
    assert chart.numbered == [2]
    blocks = count_pixels(draw(Curve("学习率", range(3), [1, 2, 3])), "#000000")
    assert blocks > count_pixels(draw(Curve("学", range(3), [1, 2, 3])), "#000000") > 50


def test_names_are_not_parsed_as_mathtext_or_control_characters() -> None:
    for label in ("$\\frac{$", "$x^2$", "a\x1b[31m\u202eb", "\ud800", "%s {0}", "x" * 500, ""):
        open_picture(draw(Curve(label, range(3), [1, 2, 3]), title=label))
    assert draw(Curve("$x$", [0, 1], [1, 2])).png != draw(Curve("x", [0, 1], [1, 2])).png


def test_long_labels_keep_both_ends() -> None:
    ends = {draw(Curve("a-very-long-name-" * 3 + end, [0, 1], [1, 2])).png for end in ("seed-1", "seed-2")}
    assert len(ends) == 2


def test_time_axis_and_smoothed_curve_are_drawn() -> None:
    times = [1.79e9 + 60 * minute for minute in range(100)]
    noise = make_noise(1, 100)
    chart = draw(Curve("a", times, smooth(noise, 0.9), raw=(times, noise)), is_time=True)
    assert count_pixels(chart, "#0072B2") > 300


@settings(max_examples=20, phases=(Phase.explicit, Phase.generate))
@given(
    st.lists(st.tuples(st.integers(-(2**53), 2**53), Number), min_size=1, max_size=20, unique_by=lambda one: one[0]),
    st.booleans(),
)
def test_any_numbers_can_be_drawn(points: list[tuple[int, float]], log_y: bool) -> None:
    steps, values = zip(*sorted(points), strict=True)
    marks = [Mark("non-finite", steps[0], None, "NaN"), Mark("best", steps[-1], values[-1], "best")]
    open_picture(draw(Curve("any", steps, values, marks=marks), log_y=log_y))


def test_values_between_two_gaps_are_points() -> None:
    single = draw(Curve("a", range(3), [math.nan, 1.0, math.nan]))
    assert count_pixels(single, "#0072B2") > count_pixels(draw(Curve("a", range(3), [math.nan] * 3)), "#0072B2")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0, 0.999))
def test_smoothing_stays_between_the_extremes_and_keeps_constants(values: list[float], weight: float) -> None:
    margin = 1e-6 * (1 + max(map(abs, values)))
    assert all(min(values) - margin <= one <= max(values) + margin for one in smooth(values, weight))
    assert smooth([values[0]] * 5, weight) == pytest.approx([values[0]] * 5)
    assert smooth(values, 0) == values


@given(st.lists(Number, max_size=40), st.floats(0, 0.99))
def test_smoothing_keeps_non_finite_values_in_place(values: list[float], weight: float) -> None:
    for before, after in zip(values, smooth(values, weight), strict=True):
        assert math.isfinite(before) == math.isfinite(after)


@given(st.lists(Number, max_size=100), st.booleans())
def test_sparkline_has_a_bar_per_interval(values: list[float], is_log: bool) -> None:
    bars = draw_sparkline(values, is_log=is_log)
    assert len(bars) == min(32, len(values))
    assert set(bars) <= set("▁▂▃▄▅▆▇█x")


def test_sparkline_shows_the_curve_and_missing_values() -> None:
    assert draw_sparkline([0, 1, 2, 3, math.nan, 7]) == "▁▂▃▄x█"
    assert draw_sparkline([1, 10, 100, 0], is_log=True) == "▁▅█x"
    assert draw_sparkline([5, 5]) == "▁▁"
    assert draw_sparkline([-1e308, 1e308]) == "▁█"
    assert draw_sparkline(list(range(100)), 4) == "▁▃▆█"
