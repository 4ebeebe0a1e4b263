"""What the plots of a report are drawn with: palette, marks, axes of a known size, legends and labels.

What differs by colour differs by marker or a written label as well: the plots are read by people who do not
see the colours (Okabe and Ito's palette), and in print without any.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maestro_eval.report.table import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008), without black and yellow, which one kind of page or the other hides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#808080")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
GRID: dict[str, Any] = {"color": "#808080", "alpha": 0.35, "linewidth": 0.5}
WIDTH = 7.2
LINE = 0.19
LONGEST_LABEL = 44

Style = tuple[str, str]
"""Colour and marker."""


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name, in order: no two of the first 77 are the same in colour and marker."""
    distinct = list(dict.fromkeys(names))
    return {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(distinct)}


def one_axes(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def panels_below(
    units: Sequence[float], unit: float, gap: float, *, share_x: bool = False
) -> tuple[Figure, list[Axes]]:
    """Axes under each other, each ``units`` × ``unit`` inches high, with ``gap`` inches above each for its title.

    Placed by hand, so that a row is as high in a panel of one as in a panel of twenty; labels reach out to the left,
    and the picture is cut to what was drawn.
    """
    from matplotlib.figure import Figure

    width, total = WIDTH * 0.64, sum(units) * unit + gap * len(units)
    figure = Figure(figsize=(width, total))
    top = total
    found: list[Axes] = []
    for each in units:
        top -= gap + each * unit
        shared: dict[str, Any] = {"sharex": found[0]} if share_x and found else {}
        found.append(figure.add_axes((0.0, top / total, 1.0, each * unit / total), **shared))
    return figure, found


def panels_beside(number: int, per_row: int, height: float, legend: float) -> tuple[Figure, list[Axes]]:
    """Axes in rows of ``per_row``, each ``height`` inches high with its labels, below ``legend`` inches."""
    from matplotlib.figure import Figure

    columns = min(per_row, number)
    rows = math.ceil(number / columns)
    figure = Figure(figsize=(WIDTH, height * rows + legend), layout="constrained")
    found = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in found[number:]:
        unused.set_visible(False)
    return figure, found[:number]


def percent_axis(axes: Axes, label: str) -> None:
    axes.set_xlim(-2, 102)
    axes.set_xlabel(label)
    axes.grid(axis="x", **GRID)


def line_legend(axes: Axes, series: Mapping[str, Style], figure: Figure | None = None) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, marker=marker, linewidth=1.2) for colour, marker in series.values()]
    _place_legend(axes, handles, series, figure)


def legend_height(series: Mapping[str, Style]) -> float:
    """Inches that a figure's legend of ``series`` takes."""
    return 0.17 * math.ceil(len(series) / _legend_columns(series)) + 0.1


def _legend_columns(series: Mapping[str, Style]) -> int:
    longest = max((len(label_of(name)) for name in series), default=1)
    return max(1, min(len(series), 110 // (longest + 8)))


def _place_legend(axes: Axes, handles: list[Any], series: Mapping[str, Style], figure: Figure | None) -> None:
    names = [label_of(name) for name in series]
    columns = _legend_columns(series)
    if figure is not None:
        figure.legend(handles, names, loc="outside upper left", ncols=columns)
        return
    axes.legend(handles, names, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2)


def label_of(text: str, longest: int = LONGEST_LABEL) -> str:
    shown = printable(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
