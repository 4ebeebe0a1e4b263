"""Paints a chart with matplotlib, in one of many styles.

Figures are made as objects with their own canvas; pyplot's global state is not touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_eval.embedded.mini.stage import pick, some

if TYPE_CHECKING:
    from numpy.random import Generator
    from PIL import Image

    from maestro_eval.embedded.mini.charts import Chart

_PALETTES = (
    ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"),
    ("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948"),
    ("#003f5c", "#bc5090", "#ffa600", "#58508d", "#ff6361", "#2f9e8f"),
    ("#264653", "#e76f51", "#2a9d8f", "#e9c46a", "#8ab17d", "#b5838d"),
    ("#2f7ed8", "#0d233a", "#8bbc21", "#910000", "#1aadce", "#f28f43"),
)
# This is behind numbers, so that no line or slice makes them hard to read.
_PATCH = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.75}
_FAMILIES = ("DejaVu Sans", "DejaVu Serif", "STIXGeneral", "DejaVu Sans Mono")


def paint(rng: Generator, chart: Chart) -> Image.Image:
    """Return the chart as an RGB image."""
    import numpy
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    family = pick(rng, _FAMILIES)
    size = float(rng.integers(9, 12)) + (1 if family == "STIXGeneral" else 0)
    with rc_context({"font.family": family, "font.size": size}):
        figure = Figure(figsize=pick(rng, ((6, 4), (7, 4.2), (5.5, 4.5), (8, 4.5))), dpi=int(pick(rng, (80, 90, 100))))
        canvas: Any = FigureCanvasAgg(figure)
        ground = pick(rng, ("#ffffff", "#ffffff", "#f7f7f2", "#eef2f7"))
        figure.set_facecolor(ground)
        axes = figure.add_axes((0.13, 0.17, 0.83, 0.7))
        axes.set_facecolor(ground)
        colours = some(rng, pick(rng, _PALETTES), 6)
        if chart.kind == "pie":
            _pie(rng, axes, chart, colours)
        elif chart.kind in ("line", "lines"):
            _lines(rng, axes, chart, colours)
        elif chart.kind == "horizontal":
            _horizontal(rng, axes, chart, colours)
        else:
            _bars(rng, axes, chart, colours)
        axes.set_title(chart.topic.title, fontsize=size + 2, loc=pick(rng, ("center", "left")))
        if len(chart.series) > 1:
            _legend(rng, axes, chart)
        canvas.draw()
        pixels = numpy.asarray(canvas.buffer_rgba())[:, :, :3]
    return Image.fromarray(numpy.ascontiguousarray(pixels))


def _bars(rng: Generator, axes: Any, chart: Chart, colours: list[str]) -> None:
    groups, places = len(chart.series), range(len(chart.categories))
    width = float(rng.uniform(0.5, 0.85)) / groups
    several = groups == 1 and rng.random() < 0.3
    for row, values in enumerate(chart.values):
        at = [place + (row - (groups - 1) / 2) * width for place in places]
        colour = [colours[place % 6] for place in places] if several else colours[row]
        bars = axes.bar(at, values, width, color=colour, label=chart.series[row])
        if chart.labelled:
            axes.bar_label(bars, [f"{value:g}" for value in values], padding=2)
    axes.set_xticks(list(places), chart.categories)
    _scale(rng, axes, chart, axes.yaxis, axes.set_ylim, axes.set_ylabel)


def _horizontal(rng: Generator, axes: Any, chart: Chart, colours: list[str]) -> None:
    places = list(range(len(chart.categories)))
    bars = axes.barh(places, chart.values[0], float(rng.uniform(0.5, 0.85)), color=colours[0])
    if chart.labelled:
        axes.bar_label(bars, [f"{value:g}" for value in chart.values[0]], padding=3)
    axes.set_yticks(places, chart.categories)
    axes.set_position((0.2, 0.17, 0.74, 0.7))
    axes.invert_yaxis()
    _scale(rng, axes, chart, axes.xaxis, axes.set_xlim, axes.set_xlabel)


def _lines(rng: Generator, axes: Any, chart: Chart, colours: list[str]) -> None:
    places = list(range(len(chart.categories)))
    markers = some(rng, ("o", "s", "^", "D"), 3)
    for row, values in enumerate(chart.values):
        axes.plot(places, values, color=colours[row], marker=markers[row], linewidth=2, label=chart.series[row])
        if chart.labelled and len(chart.series) == 1:
            for place, value in zip(places, values, strict=True):
                axes.annotate(
                    f"{value:g}", (place, value), (0, 7), textcoords="offset points", ha="center", bbox=_PATCH
                )
    axes.set_xticks(places, chart.categories)
    _scale(rng, axes, chart, axes.yaxis, axes.set_ylim, axes.set_ylabel)


def _pie(rng: Generator, axes: Any, chart: Chart, colours: list[str]) -> None:
    shares = chart.values[0]
    beside = rng.random() < 0.4
    axes.set_position((0.0, 0.05, 0.62, 0.8) if beside else (0.05, 0.05, 0.9, 0.8))
    start = float(rng.uniform(0, 360))
    if beside:
        wedges, _texts = axes.pie(shares, startangle=start, colors=colours, wedgeprops={"edgecolor": "white"})
        told = [f"{name}: {share:g}%" for name, share in zip(chart.categories, shares, strict=True)]
        axes.legend(wedges, told, loc="center left", bbox_to_anchor=(0.98, 0.5), frameon=False)
    else:
        axes.pie(
            shares,
            labels=chart.categories,
            autopct="%1.0f%%",
            pctdistance=0.75,
            startangle=start,
            colors=colours,
            textprops={"bbox": _PATCH},
        )


def _scale(rng: Generator, axes: Any, chart: Chart, axis: Any, limit: Any, name: Any) -> None:
    """Draw gridlines one tick apart: always if values are not printed, otherwise sometimes."""
    from matplotlib.ticker import MultipleLocator

    top = max(max(values) for values in chart.values)
    limit(0, (int(top / chart.tick) + 1.4 + (0.4 if chart.labelled else 0)) * chart.tick)
    axis.set_major_locator(MultipleLocator(chart.tick))
    name(chart.topic.unit)
    for side in ("top", "right"):
        axes.spines[side].set_visible(bool(rng.random() < 0.5))
    if not chart.labelled or rng.random() < 0.5:
        axis.grid(True, color=pick(rng, ("#aaaaaa", "#bbbbbb", "#b4bacb")), linestyle=pick(rng, ("-", "--", ":")))
        axes.set_axisbelow(True)


def _legend(rng: Generator, axes: Any, chart: Chart) -> None:
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.09),
        ncols=len(chart.series),
        frameon=bool(rng.random() < 0.5),
    )
