"""The plots of a report: functions from plain numbers to an SVG string.

What differs by colour differs by marker, hatch or a written label as well: the plots are read by people who do not
see the colours (Okabe and Ito's palette), and in print without any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from maestro_eval.report.cells import printable
from maestro_eval.report.svg_plot import INK, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008), without black and yellow, which one kind of page or the other hides.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#808080")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
_HATCHES = ("", "///", "..", "xx", "\\\\\\", "||", "++")
_GRID: dict[str, Any] = {"color": "#808080", "alpha": 0.35, "linewidth": 0.5}
# White to a dark Okabe-Ito blue: one hue, so that print without colour keeps the order, and little ink for little.
_RAMP = ("#f4f8fb", "#a9cfe6", "#4e9bc9", "#0072B2", "#003f63")
_WIDTH = 7.2
_LINE = 0.19
_LONGEST_LABEL = 44


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
    """Shares by row and column; None where a column has nothing."""

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
    """Accuracies with their intervals, a block a benchmark, a line a system."""
    series = _series(point.series for block in blocks for point in block.points)

    def paint() -> Figure:
        lines = sum(len(block.points) for block in blocks) + len(blocks)
        figure, axes = _axes(_WIDTH, _LINE * lines + 0.5)
        place, ticks = 0.0, []
        for block in blocks:
            middle = place + (len(block.points) - 1) / 2
            ticks.append((middle, block))
            if block.is_mean:
                axes.axhspan(place - 0.7, place + len(block.points) - 0.3, color="#808080", alpha=0.14, linewidth=0)
            for point in block.points:
                _interval(axes, place, point, series[point.series])
                place += 1
            axes.axhline(place - 0.1, **_GRID)
            place += 0.8
        axes.set_yticks([middle for middle, _ in ticks], [_label(block.label) for _, block in ticks])
        for text, (_, block) in zip(axes.get_yticklabels(), ticks, strict=True):
            text.set_fontweight("bold" if block.is_mean else "normal")
        axes.set_ylim(place - 0.5, -1.0)
        _percent_axis(axes, "accuracy in percent, 95 % interval")
        _legend(axes, series)
        return figure

    described = "; ".join(
        f"{block.label}: " + ", ".join(f"{p.series} {100 * p.value:.1f} percent" for p in block.points)
        for block in blocks
    )
    return draw("accuracy", "Accuracies with 95 % intervals, by benchmark", described, paint)


def difference_forest(panels: Sequence[DifferencePanel]) -> str:
    """Paired differences with their intervals, a panel a comparison; a filled mark is decided, a hollow one is not."""
    reach = max((abs(end) for panel in panels for row in panel.rows for end in (row.low, row.high)), default=0.0)
    reach = min(1.0, max(0.05, reach)) * 105

    def paint() -> Figure:
        figure, grid = _panels([len(panel.rows) + 0.2 for panel in panels], 0.22, 0.32)
        for axes, panel in zip(grid, panels, strict=True):
            for place, row in enumerate(panel.rows):
                _difference(axes, place, row)
            axes.axvline(0, color=INK, linewidth=0.8)
            axes.set_title(_label(panel.title, 90))
            axes.set_yticks(range(len(panel.rows)), [_label(row.label) for row in panel.rows])
            for text, row in zip(axes.get_yticklabels(), panel.rows, strict=True):
                text.set_fontweight("bold" if row.is_mean else "normal")
            axes.set_ylim(len(panel.rows) - 0.4, -0.6)
            axes.set_xlim(-reach, reach)
            axes.grid(axis="x", **_GRID)
            axes.tick_params(labelbottom=axes is grid[-1])
        grid[-1].set_xlabel("difference in points, 95 % interval: worse ← 0 → better (filled: decided)")
        return figure

    described = "; ".join(
        f"{panel.title}: " + ", ".join(f"{row.label} {100 * row.value:+.1f} points" for row in panel.rows)
        for panel in panels
    )
    return draw("differences", "Paired differences with 95 % intervals", described, paint)


def heat_maps(maps: Sequence[HeatMap]) -> str:
    """Who was called on what: a map a system, in each column the shares of a benchmark's calls."""
    widest = max((len(each.columns) for each in maps), default=1)

    def paint() -> Figure:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("ramp", _RAMP)
        figure, grid = _panels([len(each.rows) for each in maps], 0.24, 0.34)
        for axes, each in zip(grid, maps, strict=True):
            axes.set_title(_label(each.title, 90))
            for y, row in enumerate(each.shares):
                for x, share in enumerate(row):
                    _heat_cell(axes, x, y, share, colours)
            axes.set_xlim(0, widest)
            axes.set_ylim(len(each.rows), 0)
            axes.set_yticks([y + 0.5 for y in range(len(each.rows))], [_label(name, 54) for name in each.rows])
            last = axes is grid[-1] or each.columns != maps[-1].columns
            names = [_label(name) for name in each.columns] if last else [""] * len(each.columns)
            axes.set_xticks([x + 0.5 for x in range(len(each.columns))], names, rotation=30, ha="right")
            axes.tick_params(length=0)
            for side in axes.spines.values():
                side.set_visible(False)
        return figure

    described = "; ".join(
        f"{each.title}: {len(each.rows)} pairs of expert and skill on {len(each.columns)} benchmarks" for each in maps
    )
    return draw(
        "calls", "Shares of calls in percent, by benchmark", f"{described}. The numbers are in the tables.", paint
    )


def turn_bars(turns: Mapping[str, Mapping[int, int]]) -> str:
    """How many turns rollouts took, as a share of each system's rollouts."""
    series = _series(turns)
    numbers = sorted({number for each in turns.values() for number in each})

    def paint() -> Figure:
        figure, axes = _axes(_WIDTH, 2.3)
        width = 0.8 / max(1, len(turns))
        for place, (name, counts) in enumerate(turns.items()):
            total = sum(counts.values()) or 1
            heights = [100 * counts.get(number, 0) / total for number in numbers]
            places = [x + (place - (len(turns) - 1) / 2) * width for x in range(len(numbers))]
            axes.bar(places, heights, width * 0.92, **_filled(series[name]))
        axes.set_xticks(range(len(numbers)), [str(number) for number in numbers])
        axes.set_xlabel("turns of a rollout, the answer included")
        axes.set_ylabel("rollouts in percent")
        axes.set_ylim(0, 105)
        axes.grid(axis="y", **_GRID)
        _bar_legend(axes, series)
        return figure

    described = "; ".join(
        f"{name}: " + ", ".join(f"{k} turns {v}" for k, v in each.items()) for name, each in turns.items()
    )
    return draw("turns", "Turns of a rollout, by system", described, paint)


def latency_spans(spans: Sequence[Span]) -> str:
    """Medians with their way to the 90th and the 99th percentile, on a logarithmic scale."""
    groups = list(dict.fromkeys(span.group for span in spans))

    def paint() -> Figure:
        rows_of = [sum(span.group == group for span in spans) + 0.2 for group in groups]
        figure, grid = _panels(rows_of, 0.21, 0.32, share_x=True)
        for axes, group in zip(grid, groups, strict=True):
            rows = [span for span in spans if span.group == group]
            for place, row in enumerate(rows):
                low, middle, high = (max(each, 1e-4) for each in (row.p50, row.p90, row.p99))
                axes.plot([low, high], [place, place], color=_COLOURS[0], linewidth=1.0)
                axes.plot([low, middle], [place, place], color=_COLOURS[0], linewidth=3.2, solid_capstyle="butt")
                axes.plot([low], [place], "o", color=_COLOURS[0], markersize=5)
                axes.plot([high], [place], "|", color=_COLOURS[0], markersize=8)
            axes.set_title(_label(group, 90))
            axes.set_yticks(range(len(rows)), [f"{_label(row.label)} (n={row.n:,})" for row in rows])
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.set_xscale("log")
            axes.tick_params(labelbottom=axes is grid[-1])
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid(axis="x", **_GRID)
        grid[-1].set_xlabel("seconds: ● median, thick to the 90th percentile, | 99th percentile")
        return figure

    described = "; ".join(f"{s.group}, {s.label}: median {s.p50:.3g} s, 99 % {s.p99:.3g} s" for s in spans)
    return draw("latency", "Latencies of calls and rollouts", described, paint)


def pareto(panels: Sequence[ParetoPanel]) -> str:
    """Accuracy against what it takes, a panel a group; the line joins what nothing beats on both."""
    series = _series(spot.point.series for panel in panels for spot in panel.spots)

    def paint() -> Figure:
        figure, grid = _side_by_side(_WIDTH, 2.9, len(panels))
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
            axes.set_title(_label(panel.title, 60))
            axes.set_xlabel(panel.taken)
            axes.set_ylim(-3, 103)
            axes.set_xlim(left=0, right=1.08 * max(spot.taken for spot in panel.spots) or 1)
            axes.grid(**_GRID)
        grid[0].set_ylabel("accuracy in percent, 95 % interval")
        _legend(grid[0], series, figure)
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
        figure, axes = _axes(_WIDTH, 0.32 * len(bars) + 0.8)
        styles = {part: (_COLOURS[i % 7], "", _HATCHES[i % 7]) for i, part in enumerate(parts)}
        for place, bar in enumerate(bars):
            left = 0
            for part, count in zip(parts, bar.counts, strict=True):
                if count:
                    axes.barh([place], [count], 0.7, left, **_filled(styles[part]))
                    if count / most > 0.035:
                        _number_on(axes, left + count / 2, place, str(count))
                left += count
        axes.set_yticks(range(len(bars)), [_label(bar.label) for bar in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlim(0, most * 1.02)
        axes.set_xlabel(label)
        axes.grid(axis="x", **_GRID)
        _bar_legend(axes, styles)
        return figure

    described = "; ".join(
        f"{bar.label}: " + ", ".join(f"{p} {c}" for p, c in zip(parts, bar.counts, strict=True) if c) for bar in bars
    )
    return draw("attribution", label, described, paint)


def pareto_front(spots: Sequence[Spot]) -> list[Spot]:
    """Those that no other beats: for each, every other takes more or is less accurate; from what takes least up."""
    best: list[Spot] = []
    for spot in sorted(spots, key=lambda each: (each.taken, -each.point.value)):
        if not best or spot.point.value > best[-1].point.value:
            best.append(spot)
    return best


_Style = tuple[str, str, str]
"""Colour, marker and hatch."""


def _series(names: Any) -> dict[str, _Style]:
    distinct = list(dict.fromkeys(names))
    return {
        name: (_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], _HATCHES[i % len(_HATCHES)])
        for i, name in enumerate(distinct)
    }


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def _panels(units: Sequence[float], unit: float, gap: float, *, share_x: bool = False) -> tuple[Figure, list[Axes]]:
    """Axes under each other, each ``units`` × ``unit`` inches high, with ``gap`` inches above each for its title.

    Placed by hand, so that a row is as high in a panel of one as in a panel of twenty; labels reach out to the left,
    and the picture is cut to what was drawn.
    """
    from matplotlib.figure import Figure

    width, total = _WIDTH * 0.64, sum(units) * unit + gap * len(units)
    figure = Figure(figsize=(width, total))
    top = total
    found: list[Axes] = []
    for each in units:
        top -= gap + each * unit
        shared: dict[str, Any] = {"sharex": found[0]} if share_x and found else {}
        found.append(figure.add_axes((0.0, top / total, 1.0, each * unit / total), **shared))
    return figure, found


def _side_by_side(width: float, height: float, number: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    per_row = min(2, number)
    rows = math.ceil(number / per_row)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    grid = figure.subplots(rows, per_row, squeeze=False)
    flat = list(grid.flat)
    for unused in flat[number:]:
        unused.set_visible(False)
    return figure, flat[:number]


def _interval(axes: Axes, place: float, point: Point, style: _Style) -> None:
    colour, marker, _ = style
    value, low, high = 100 * point.value, 100 * point.low, 100 * point.high
    axes.plot([low, high], [place, place], color=colour, linewidth=1.2, solid_capstyle="butt")
    axes.plot([value], [place], marker, color=colour, markersize=5)


def _difference(axes: Axes, place: float, row: Difference) -> None:
    colour = _COLOURS[0] if row.value >= 0 else _COLOURS[1]
    value, low, high = 100 * row.value, 100 * row.low, 100 * row.high
    axes.plot([low, high], [place, place], color=colour, linewidth=1.2, solid_capstyle="butt")
    face = colour if row.decided else "#ffffff"
    axes.plot([value], [place], "D" if row.is_mean else "o", color=colour, markerfacecolor=face, markersize=5.5)
    text = f"{_signed(row.value)} [{_signed(row.low)}, {_signed(row.high)}]"
    axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=INK)


def _heat_cell(axes: Axes, x: int, y: int, share: float | None, colours: Any) -> None:
    from matplotlib.patches import Rectangle

    if share is None:
        return
    red, green, blue, _ = face = colours(share)
    axes.add_patch(Rectangle((x + 0.02, y + 0.03), 0.96, 0.94, facecolor=face if share else "none", linewidth=0))
    if share == 0:
        axes.text(x + 0.5, y + 0.5, "·", ha="center", va="center", color=INK, fontsize=8)
        return
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    text = f"{100 * share:.0f}" if share >= 0.005 else "<1"
    axes.text(x + 0.5, y + 0.52, text, ha="center", va="center", color="#ffffff" if dark else "#000000", fontsize=8)


def _number_on(axes: Axes, x: float, y: float, text: str) -> None:
    box = {"boxstyle": "round,pad=0.15", "facecolor": "#ffffff", "edgecolor": "none", "alpha": 0.85}
    axes.text(x, y, text, ha="center", va="center", color="#000000", fontsize=8, bbox=box)


def _percent_axis(axes: Axes, label: str) -> None:
    axes.set_xlim(-2, 102)
    axes.set_xlabel(label)
    axes.grid(axis="x", **_GRID)


def _filled(style: _Style) -> dict[str, Any]:
    colour, _, hatch = style
    return {"facecolor": colour, "hatch": hatch, "edgecolor": "#ffffff", "linewidth": 0.4}


def _legend(axes: Axes, series: Mapping[str, _Style], figure: Figure | None = None) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, marker=marker, linewidth=1.2) for colour, marker, _ in series.values()]
    _place_legend(axes, handles, series, figure)


def _bar_legend(axes: Axes, series: Mapping[str, _Style]) -> None:
    from matplotlib.patches import Patch

    _place_legend(axes, [Patch(**_filled(style)) for style in series.values()], series, None)


def _place_legend(axes: Axes, handles: list[Any], series: Mapping[str, _Style], figure: Figure | None) -> None:
    names = [_label(name) for name in series]
    columns = max(1, min(len(names), 110 // (max(map(len, names), default=1) + 8)))
    if figure is not None:
        figure.legend(handles, names, loc="outside upper left", ncols=columns)
        return
    axes.legend(handles, names, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2)


def _label(text: str, longest: int = _LONGEST_LABEL) -> str:
    shown = printable(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _signed(share: float) -> str:
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")
