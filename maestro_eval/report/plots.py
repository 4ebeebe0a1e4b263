"""The plots of a report: functions from plain numbers to an SVG string.

What differs by colour differs by marker or a written label as well: the plots are read by people who do not
see the colours (Okabe and Ito's palette), and in print without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from maestro_eval.report.plot_parts import (
    COLOURS,
    GRID,
    LINE,
    WIDTH,
    Style,
    label_of,
    legend_height,
    line_legend,
    one_axes,
    panels_below,
    panels_beside,
    percent_axis,
    styles,
)
from maestro_eval.report.svg_plot import INK, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 39
"""Of panels under each other: more, with their titles, are higher than a page."""

_ROW, _GAP = 0.22, 0.33
_ACCURACY = "accuracy in percent, 95 % interval"
# More than this many lines under each other do not fit a page.
_MOST_LINES = 60


class Point(Struct, frozen=True):
    """A share in [0, 1] of one series, with its interval."""

    series: str
    value: float
    low: float
    high: float


class Block(Struct, frozen=True):
    """What is held against each other: the points of one benchmark, or of a group's mean."""

    label: str
    points: tuple[Point, ...]
    is_mean: bool = False


class Difference(Struct, frozen=True):
    """A difference of shares in [-1, 1]; ``decided`` says whether it is told apart from none."""

    label: str
    value: float
    low: float
    high: float
    decided: bool
    is_mean: bool = False


class DifferencePanel(Struct, frozen=True):
    title: str
    rows: tuple[Difference, ...]


class Spot(Struct, frozen=True):
    """A system's accuracy at what it takes."""

    taken: float
    point: Point


class ParetoPanel(Struct, frozen=True):
    """``taken`` says what the spots take, with its unit."""

    title: str
    taken: str
    spots: tuple[Spot, ...]


def accuracy_forest(blocks: Sequence[Block]) -> str:
    """Accuracies with their intervals: a block a benchmark, a line a system; side by side where there are many."""
    series = styles(point.series for block in blocks for point in block.points)
    lines = sum(len(block.points) + 1 for block in blocks)

    def paint() -> Figure:
        return _blocks_below(blocks, series, lines) if lines <= _MOST_LINES else _blocks_beside(blocks, series)

    described = "; ".join(
        f"{block.label}: " + ", ".join(f"{p.series} {100 * p.value:.1f} percent" for p in block.points)
        for block in blocks
    )
    return draw("accuracy", "Accuracies with 95 % intervals, by benchmark", described, paint)


def difference_forest(panels: Sequence[DifferencePanel], name: str = "differences", reach: float | None = None) -> str:
    """Paired differences with their intervals, a panel a comparison; a filled mark is decided, a hollow one is not.

    ``reach``: how far the axis goes to either side; as far as the intervals unless given.
    """
    ends = 105 * (reach_of(panels) if reach is None else reach)

    def paint() -> Figure:
        figure, grid = panels_below([len(panel.rows) + 0.2 for panel in panels], _ROW, _GAP)
        for axes, panel in zip(grid, panels, strict=True):
            for place, row in enumerate(panel.rows):
                _difference(axes, place, row)
            axes.axvline(0, color=INK, linewidth=0.8)
            axes.set_title(label_of(panel.title, 90))
            axes.set_yticks(range(len(panel.rows)), [label_of(row.label) for row in panel.rows])
            for text, row in zip(axes.get_yticklabels(), panel.rows, strict=True):
                text.set_fontweight("bold" if row.is_mean else "normal")
            axes.set_ylim(len(panel.rows) - 0.4, -0.6)
            axes.set_xlim(-ends, ends)
            axes.grid(axis="x", **GRID)
            axes.tick_params(labelbottom=axes is grid[-1])
        grid[-1].set_xlabel("difference in points, 95 % interval: worse ← 0 → better (filled: decided)")
        return figure

    described = "; ".join(
        f"{panel.title}: " + ", ".join(f"{row.label} {100 * row.value:+.1f} points" for row in panel.rows)
        for panel in panels
    )
    return draw(name, "Paired differences with 95 % intervals", described, paint)


def pareto(panels: Sequence[ParetoPanel]) -> str:
    """Accuracy against what it takes, a panel a group; the line joins what nothing beats on both."""
    series = styles(spot.point.series for panel in panels for spot in panel.spots)

    def paint() -> Figure:
        figure, grid = panels_beside(len(panels), 2, 2.8, legend_height(series))
        for axes, panel in zip(grid, panels, strict=True):
            best = pareto_front(panel.spots)
            xs = [spot.taken for spot in best] + [max(spot.taken for spot in panel.spots)]
            ys = [100 * spot.point.value for spot in best]
            axes.step(xs, [*ys, ys[-1]], where="post", color="#808080", linewidth=1.0, linestyle="--", zorder=1)
            for spot in panel.spots:
                colour, marker = series[spot.point.series]
                value, low, high = (100 * end for end in (spot.point.value, spot.point.low, spot.point.high))
                error = [[max(0, value - low)], [max(0, high - value)]]
                face = colour if spot in best else "none"
                axes.errorbar(
                    [spot.taken], [value], error, fmt=marker, color=colour, markerfacecolor=face,
                    markersize=6, linewidth=1.0, capsize=2,
                )  # fmt: skip
            axes.set_title(label_of(panel.title, 60))
            axes.set_xlabel(panel.taken)
            axes.locator_params(axis="x", nbins=5)
            axes.set_ylim(-3, 103)
            axes.set_xlim(left=0, right=1.08 * max(spot.taken for spot in panel.spots) or 1)
            axes.grid(**GRID)
        grid[0].set_ylabel(_ACCURACY)
        line_legend(grid[0], series, figure)
        return figure

    described = "; ".join(
        f"{panel.title}: "
        + ", ".join(
            f"{s.point.series} {100 * s.point.value:.1f} percent at {s.taken:.4g} {panel.taken}" for s in panel.spots
        )
        for panel in panels
    )
    return draw("pareto", "Accuracy against what it takes", described, paint)


def reach_of(panels: Sequence[DifferencePanel]) -> float:
    """The largest end of an interval, in [0.05, 1]."""
    ends = (abs(end) for panel in panels for row in panel.rows for end in (row.low, row.high))
    return min(1.0, max(0.05, *ends, 0.0))


def pareto_front(spots: Sequence[Spot]) -> list[Spot]:
    """Those that no other beats: for each, every other takes more or is less accurate; from what takes least up."""
    best: list[Spot] = []
    for spot in sorted(spots, key=lambda each: (each.taken, -each.point.value)):
        if not best or spot.point.value > best[-1].point.value or _equal(spot, best[-1]):
            best.append(spot)
    return best


def _equal(a: Spot, b: Spot) -> bool:
    return (a.taken, a.point.value) == (b.taken, b.point.value)


def _blocks_below(blocks: Sequence[Block], series: Mapping[str, Style], lines: int) -> Figure:
    figure, axes = one_axes(WIDTH, LINE * lines + 0.5)
    place, middles = 0.0, []
    for block in blocks:
        middles.append(place + (len(block.points) - 1) / 2)
        if block.is_mean:
            axes.axhspan(place - 0.7, place + len(block.points) - 0.3, color="#808080", alpha=0.14, linewidth=0)
        for point in block.points:
            _interval(axes, place, point, series[point.series])
            place += 1
        axes.axhline(place - 0.1, **GRID)
        place += 0.8
    axes.set_yticks(middles, [label_of(block.label) for block in blocks])
    for text, block in zip(axes.get_yticklabels(), blocks, strict=True):
        text.set_fontweight("bold" if block.is_mean else "normal")
    axes.set_ylim(place - 0.5, -1.0)
    percent_axis(axes, _ACCURACY)
    line_legend(axes, series)
    return figure


def _blocks_beside(blocks: Sequence[Block], series: Mapping[str, Style]) -> Figure:
    """Three in a row; every system has its place in each, so that a missing one leaves a gap."""
    figure, grid = panels_beside(len(blocks), 3, 0.13 * len(series) + 0.55, legend_height(series))
    places = {name: place for place, name in enumerate(series)}
    for number, (axes, block) in enumerate(zip(grid, blocks, strict=True)):
        for point in block.points:
            _interval(axes, places[point.series], point, series[point.series])
        axes.set_title(label_of(block.label, 28), fontweight="bold" if block.is_mean else "normal")
        if block.is_mean:
            axes.patch.set_facecolor("#808080")
            axes.patch.set_alpha(0.14)
        axes.set_yticks([])
        axes.set_ylim(len(series) - 0.3, -0.7)
        percent_axis(axes, _ACCURACY if number >= len(blocks) - 3 else "")
    line_legend(grid[0], series, figure)
    return figure


def _interval(axes: Axes, place: float, point: Point, style: Style) -> None:
    colour, marker = style
    value, low, high = 100 * point.value, 100 * point.low, 100 * point.high
    axes.plot([low, high], [place, place], color=colour, linewidth=1.2, solid_capstyle="butt")
    axes.plot([value], [place], marker, color=colour, markersize=5)


def _difference(axes: Axes, place: float, row: Difference) -> None:
    colour = COLOURS[0] if row.value >= 0 else COLOURS[1]
    value, low, high = 100 * row.value, 100 * row.low, 100 * row.high
    axes.plot([low, high], [place, place], color=colour, linewidth=1.2, solid_capstyle="butt")
    face = colour if row.decided else "#ffffff"
    axes.plot([value], [place], "D" if row.is_mean else "o", color=colour, markerfacecolor=face, markersize=5.5)
    text = f"{_signed(row.value)} [{_signed(row.low)}, {_signed(row.high)}]"
    axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=INK)


def _signed(share: float) -> str:
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")
