"""The plots of a report: functions from plain numbers to an SVG string.

What differs by colour differs by marker, hatch or a written label as well: the plots are read by people who do not
see the colours (Okabe and Ito's palette), and in print without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from maestro_eval.report.plot_parts import (
    COLOURS,
    GRID,
    HATCHES,
    LINE,
    RAMP,
    WIDTH,
    Style,
    bar_legend,
    filled,
    label_of,
    legend_height,
    line_legend,
    number_on,
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


class HeatMap(Struct, frozen=True):
    """Shares by row and column; None where a column has nothing. A share of 0 is left blank."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    shares: tuple[tuple[float | None, ...], ...]


class Span(Struct, frozen=True):
    """Percentiles of a time in seconds; ``group`` names what it belongs to."""

    group: str
    label: str
    n: int
    p50: float
    p90: float
    p99: float


class Spot(Struct, frozen=True):
    """A system's accuracy at what it takes."""

    taken: float
    point: Point


class ParetoPanel(Struct, frozen=True):
    """``taken`` says what the spots take, with its unit."""

    title: str
    taken: str
    spots: tuple[Spot, ...]


class Bars(Struct, frozen=True):
    """Counts by part of each row: a stacked bar."""

    label: str
    counts: tuple[int, ...]


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


def heat_maps(maps: Sequence[HeatMap], name: str = "calls") -> str:
    """Who was called on what: a map a system, in each column the shares of a benchmark's calls."""
    widest = max((len(each.columns) for each in maps), default=1)

    def paint() -> Figure:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("ramp", RAMP)
        figure, grid = panels_below([len(each.rows) for each in maps], _ROW, _GAP)
        for axes, each in zip(grid, maps, strict=True):
            axes.set_title(label_of(each.title, 90))
            for y, row in enumerate(each.shares):
                for x, share in enumerate(row):
                    _heat_cell(axes, x, y, share, colours)
            axes.set_xlim(0, widest)
            axes.set_ylim(len(each.rows), 0)
            axes.set_yticks([y + 0.5 for y in range(len(each.rows))], [label_of(row, 54) for row in each.rows])
            last = axes is grid[-1] or each.columns != maps[-1].columns
            names = [label_of(column) for column in each.columns] if last else [""] * len(each.columns)
            axes.set_xticks([x + 0.5 for x in range(len(each.columns))], names, rotation=30, ha="right")
            axes.tick_params(length=0)
            for side in axes.spines.values():
                side.set_visible(False)
        return figure

    described = "; ".join(
        f"{each.title}: {len(each.rows)} pairs of expert and skill on {len(each.columns)} benchmarks" for each in maps
    )
    return draw(name, "Shares of calls in percent, by benchmark", f"{described}. The numbers are in the tables.", paint)


def turn_bars(turns: Mapping[str, Mapping[int, int]]) -> str:
    """How many turns rollouts took, as a share of each system's rollouts."""
    series = styles(turns)
    numbers = sorted({number for each in turns.values() for number in each})

    def paint() -> Figure:
        figure, axes = one_axes(WIDTH, 2.3)
        width = 0.8 / max(1, len(turns))
        for place, (name, counts) in enumerate(turns.items()):
            total = sum(counts.values()) or 1
            heights = [100 * counts.get(number, 0) / total for number in numbers]
            places = [x + (place - (len(turns) - 1) / 2) * width for x in range(len(numbers))]
            axes.bar(places, heights, width * 0.92, **filled(series[name]))
        axes.set_xticks(range(len(numbers)), [str(number) for number in numbers])
        axes.set_xlabel("turns of a rollout, the answer included")
        axes.set_ylabel("rollouts in percent")
        axes.set_ylim(0, 105)
        axes.grid(axis="y", **GRID)
        bar_legend(axes, series)
        return figure

    described = "; ".join(
        f"{name}: " + ", ".join(f"{k} turns {v}" for k, v in each.items()) for name, each in turns.items()
    )
    return draw("turns", "Turns of a rollout, by system", described, paint)


def latency_spans(spans: Sequence[Span], name: str = "latency") -> str:
    """Medians with their way to the 90th and the 99th percentile, on a logarithmic scale."""
    groups = list(dict.fromkeys(span.group for span in spans))

    def paint() -> Figure:
        rows_of = [sum(span.group == group for span in spans) + 0.2 for group in groups]
        figure, grid = panels_below(rows_of, _ROW, _GAP, share_x=True)
        for axes, group in zip(grid, groups, strict=True):
            rows = [span for span in spans if span.group == group]
            for place, row in enumerate(rows):
                low, middle, high = (max(each, 1e-4) for each in (row.p50, row.p90, row.p99))
                axes.plot([low, high], [place, place], color=COLOURS[0], linewidth=1.0)
                axes.plot([low, middle], [place, place], color=COLOURS[0], linewidth=3.2, solid_capstyle="butt")
                axes.plot([low], [place], "o", color=COLOURS[0], markersize=5)
                axes.plot([high], [place], "|", color=COLOURS[0], markersize=8)
            axes.set_title(label_of(group, 90))
            axes.set_yticks(range(len(rows)), [f"{label_of(row.label)} (n={row.n:,})" for row in rows])
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.set_xscale("log")
            axes.tick_params(labelbottom=axes is grid[-1])
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid(axis="x", **GRID)
        grid[-1].set_xlabel("seconds: ● median, thick to the 90th percentile, | 99th percentile")
        return figure

    described = "; ".join(f"{s.group}, {s.label}: median {s.p50:.3g} s, 99 % {s.p99:.3g} s" for s in spans)
    return draw(name, "Latencies of calls and rollouts", described, paint)


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
                colour, marker, _ = series[spot.point.series]
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


def stacked(parts: Sequence[str], bars: Sequence[Bars], label: str) -> str:
    """Counts by part, a bar a row, each part with its number where there is room."""
    most = max((sum(bar.counts) for bar in bars), default=1) or 1

    def paint() -> Figure:
        figure, axes = one_axes(WIDTH, 0.32 * len(bars) + 0.8)
        styles = {part: (COLOURS[i % 7], "", HATCHES[i % 7]) for i, part in enumerate(parts)}
        for place, bar in enumerate(bars):
            left = 0
            for part, count in zip(parts, bar.counts, strict=True):
                if count:
                    axes.barh([place], [count], 0.7, left, **filled(styles[part]))
                    if count / most > 0.035:
                        number_on(axes, left + count / 2, place, str(count))
                left += count
        axes.set_yticks(range(len(bars)), [label_of(bar.label) for bar in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlim(0, most * 1.02)
        axes.set_xlabel(label)
        axes.grid(axis="x", **GRID)
        bar_legend(axes, styles)
        return figure

    described = "; ".join(
        f"{bar.label}: " + ", ".join(f"{p} {c}" for p, c in zip(parts, bar.counts, strict=True) if c) for bar in bars
    )
    return draw("attribution", label, described, paint)


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
    colour, marker, _ = style
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


def _heat_cell(axes: Axes, x: int, y: int, share: float | None, colours: Any) -> None:
    from matplotlib.patches import Rectangle

    if not share:
        return
    red, green, blue, _ = face = colours(share)
    axes.add_patch(Rectangle((x + 0.02, y + 0.03), 0.96, 0.94, facecolor=face, linewidth=0))
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    text = f"{100 * share:.0f}" if share >= 0.005 else "<1"
    axes.text(x + 0.5, y + 0.52, text, ha="center", va="center", color="#ffffff" if dark else "#000000", fontsize=8)


def _signed(share: float) -> str:
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")
