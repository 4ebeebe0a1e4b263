"""The figures of a report: differences, and accuracy against cost, tokens or seconds per rollout.

matplotlib draws them as an ``<svg>`` to embed in a page: the same bytes for the same data, without outside resources.
Text stays text, and no name is read as markup or mathematics. Lines have the colour of the surrounding text, so that
they are readable on light and dark pages. Series differ by mark as well as by colour, for colour-blind readers and for
print. matplotlib is imported only when something is drawn, since its import is slow.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from maestro_eval.analysis import Comparison, Contrast, Estimate, Group, SystemResult
from maestro_eval.analysis.routing import Routing
from maestro_eval.report.document import Figure, all_tasks, points, points_interval, scope_title
from maestro_eval.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

# A cached reply needs no time: with a larger share of them, seconds measure the cache and not the system.
_MOST_CACHED = 0.1
_UNITS = {"cost": "{currency} a rollout", "tokens": "tokens a rollout", "seconds": "mean seconds a rollout"}

# Okabe and Ito, "Color Universal Design" (2008), without black and yellow: invisible on dark or light pages.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#808080")
_MARKS = "os^DvPX*<>h"
_GREY = "#808080"
# Becomes ``currentColor``.
_INK = "#010203"
# Narrow, so that the text is still legible where a phone shrinks the figure to its screen.
_INCHES, _ROW, _PANEL = 5.0, 0.36, 2.5
_LONGEST = 44
_STYLE: dict[Any, Any] = {
    "text.parse_math": False, "svg.fonttype": "none", "font.size": 9,
    "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": _GREY, "grid.alpha": 0.35, "grid.linewidth": 0.6,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
}  # fmt: skip


class Spot(Struct, frozen=True):
    """A system's accuracy, and what it uses per rollout (``taken``)."""

    system: str
    taken: float
    accuracy: Estimate


class ParetoPanel(Struct, frozen=True):
    """A panel of accuracy against a resource; ``taken`` is the resource with its unit."""

    title: str
    taken: str
    spots: tuple[Spot, ...]


def difference_figures(comparison: Comparison) -> Iterator[Figure]:
    """Yield a figure of contrasts for each system and its baseline, all on one scale."""
    shown = [each for each in comparison.contrasts if not each.direction_only]
    reach = min(1.0, max([0.05, *(each.bound for each in shown)]))
    caption = (
        "Differences in points on the same samples, with 95 % intervals; diamonds: means over benchmarks; filled: "
        "better or worse by the adjusted p-value, under every reading of the failures."
    )
    pairs = groupby(shown, lambda contrast: (contrast.system, contrast.baseline))
    for number, (_, rows) in enumerate(pairs, 1):
        name = "differences" if number == 1 else f"differences-{number}"
        yield Figure(name, difference_plot(list(rows), name, reach), caption)


def difference_plot(rows: Sequence[Contrast], name: str = "differences", reach: float = 1.0) -> str:
    """Plot a line per contrast below its name and numbers; filled marks mean better or worse, hollow ones neither."""
    titles = [scope_title(each.scope, is_mean=each.kind == "mean") for each in rows]
    heading = f"{rows[0].system} against {rows[0].baseline}"

    def draw(drawing: Drawing) -> None:
        axes = drawing.subplots()
        axes.set_title(_shortened(heading, 2 * _LONGEST))
        axes.axvline(0, color=_INK, linewidth=0.8)
        for place, (title, each) in enumerate(zip(titles, rows, strict=True)):
            found, mean = each.difference, each.kind == "mean"
            ends = [max(-reach, found.low), min(reach, found.high)]
            axes.text(-100 * reach, place - 0.3, _shortened(title), weight="bold" if mean else "normal")
            axes.text(100 * reach, place - 0.3, f"{points(found.value)} {points_interval(found)}", ha="right")
            colour = _COLOURS[found.value < 0]
            axes.plot([100 * end for end in ends], [place, place], color=colour, linewidth=1.4)
            _mark(axes, 100 * found.value, place, colour, "D" if mean else "o", each.significant)
        axes.set(xlim=(-102 * reach, 102 * reach), ylim=(len(rows) - 0.5, -0.9), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("difference in points: worse ← 0 → better")

    described = f"{heading}: " + ", ".join(
        f"{title} {100 * each.difference.value:+.1f} points" for title, each in zip(titles, rows, strict=True)
    )
    return _svg(name, "Paired differences with 95 % intervals", described, _ROW * len(rows) + 0.9, draw)


def pareto_figure(comparison: Comparison, routings: Sequence[Routing]) -> Iterator[Figure]:
    """Yield accuracy against cost if all prices are known, else against tokens and seconds, for each group.

    Tokens and cost do not depend on the cache. Seconds do: systems with more than a tenth of their calls from the cache
    are in no panel of seconds, and the caption names them.
    """
    by_name = {routing.system: routing for routing in routings}
    systems = [system for system in comparison.systems if system.name in by_name]
    cached = [system.name for system in systems if system.cached_calls > _MOST_CACHED * system.calls]
    groups = [group for group in comparison.groups if not group.within] or [
        Group(task, (task,), mini=False) for task in all_tasks(comparison)
    ]
    panels: list[ParetoPanel] = []
    untimed: set[str] = set()
    for group in groups:
        found = {system.name: each for system in systems if (each := _group_accuracy(system, group)) is not None}
        taken = {unit: _taken(unit, [by_name[name] for name in found], group.tasks) for unit in _UNITS}
        if len(taken["cost"]) == len(found):
            taken = {"cost": taken["cost"]}
        elif not any(taken["tokens"].values()):
            del taken["tokens"]
        for unit, amounts in taken.items():
            hidden = [name for name in amounts if unit == "seconds" and name in cached]
            untimed.update(hidden)
            spots = tuple(Spot(name, amounts[name], found[name]) for name in amounts if name not in hidden)
            if len(spots) > 1:
                label = _UNITS[unit].format(currency=by_name[spots[0].system].currency)
                panels.append(ParetoPanel(scope_title(group.name), label, spots))
    if panels:
        caption = (
            "Accuracy (mean over the group's benchmarks) against the use of a rollout (the same mean). Filled: no "
            "system is both more accurate and uses less; the dashed line joins these."
        )
        if untimed:
            names = ", ".join(name for name in cached if name in untimed)
            caption += f" No seconds for {names}: over a tenth of the replies came from the cache."
        yield Figure("pareto", pareto_plot(panels), caption)


def pareto_plot(panels: Sequence[ParetoPanel]) -> str:
    names = list(dict.fromkeys(spot.system for panel in panels for spot in panel.spots))
    look = {name: (_COLOURS[i % len(_COLOURS)], _MARKS[i % len(_MARKS)]) for i, name in enumerate(names)}

    def draw(drawing: Drawing) -> None:
        for axes, panel in zip(drawing.subplots(len(panels), squeeze=False).flat, panels, strict=True):
            front = pareto_front(panel.spots)
            most = max(spot.taken for spot in panel.spots)
            xs, ys = [spot.taken for spot in front], [100 * spot.accuracy.value for spot in front]
            axes.step([*xs, most], [*ys, ys[-1]], where="post", color=_GREY, linestyle="--", linewidth=1)
            for spot in panel.spots:
                (colour, mark), found = look[spot.system], spot.accuracy
                axes.plot([spot.taken, spot.taken], [100 * found.low, 100 * found.high], color=colour, linewidth=1.4)
                _mark(axes, spot.taken, 100 * found.value, colour, mark, spot in front)
            axes.set(xlim=(0, 1.05 * most or 1), ylim=(0, 100), ylabel="accuracy in percent")
            axes.set_title(_shortened(panel.title))
            axes.set_xlabel(_shortened(panel.taken))
        legend = [drawing.axes[0].plot([], [], look[name][1], color=look[name][0])[0] for name in names]
        labels = [_shortened(name, _LONGEST // 2) for name in names]
        drawing.legend(legend, labels, loc="outside upper left", ncols=2, frameon=False)

    described = "; ".join(
        f"{panel.title}: "
        + ", ".join(
            f"{s.system} {100 * s.accuracy.value:.1f} percent at {s.taken:.4g} {panel.taken}" for s in panel.spots
        )
        for panel in panels
    )
    height = _PANEL * len(panels) + 0.2 * (1 + len(names) // 2)
    return _svg("pareto", "Accuracy against what it takes", described, height, draw)


def pareto_front(spots: Sequence[Spot]) -> list[Spot]:
    """Return the Pareto front, cheapest first: the spots that no other spot dominates."""
    best: list[Spot] = []
    for spot in sorted(spots, key=lambda each: (each.taken, -each.accuracy.value)):
        place = (spot.taken, spot.accuracy.value)
        if not best or place[1] > best[-1].accuracy.value or place == (best[-1].taken, best[-1].accuracy.value):
            best.append(spot)
    return best


def standalone(svg: str) -> str:
    root, rest = svg.split(">\n", 1)
    paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{root} style="color: #1a1a1a">\n{paper}\n{rest}\n'


def _taken(unit: str, routings: Sequence[Routing], tasks: Sequence[str]) -> dict[str, float]:
    found = {}
    for routing in routings:
        if unit == "cost":
            amounts = {each.task: each.per_rollout for each in routing.costs}
        elif unit == "tokens":
            amounts = {each.task: each.total / each.rollouts for each in routing.tokens if each.rollouts}
        else:
            amounts = {name: each.mean for name, each in routing.rollout_seconds.items()}
        known = [amount for task in tasks if (amount := amounts.get(task)) is not None]
        if len(known) == len(tasks):
            found[routing.system] = fmean(known)
    return found


def _group_accuracy(system: SystemResult, group: Group) -> Estimate | None:
    scope = group.tasks[0] if group.name not in system.means and len(group.tasks) == 1 else group.name
    found = system.scopes.get(scope)
    return None if found is None else found.accuracy


def _mark(axes: Axes, x: float, y: float, colour: str, mark: str, filled: bool) -> None:
    face = colour if filled else "none"
    axes.plot([x], [y], marker=mark, color=colour, markerfacecolor=face, markersize=6, clip_on=False)


def _svg(name: str, title: str, description: str, height: float, draw: Callable[[Drawing], None]) -> str:
    """Return what ``draw`` draws. ``name`` makes its ids unique on a page; screen readers read the other texts."""
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.figure import Figure as Drawing

    file = io.StringIO()
    # The user's own settings of matplotlib are ignored. The reader's fonts may have glyphs that ours do not have.
    with rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        rcdefaults()
        rcParams.update({**_STYLE, "svg.hashsalt": name})
        drawing = Drawing((_INCHES, height), layout="constrained")
        draw(drawing)
        drawing.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    _, root, body = re.split(r"(<svg [^>]*>)\n?", file.getvalue(), maxsplit=1)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', root)
    assert box is not None
    # Groups have ids to which nothing refers and which every figure repeats; a style would apply to the whole page.
    body = re.sub(r"(?s)<metadata>.*?</metadata>|<style.*?</style>", "", body)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace(_INK, "currentColor")
    wide, high = box.groups()
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {wide} {high}" width="{wide}pt" height="{high}pt" '
        'fill="currentColor" stroke-linejoin="round">\n'
        f'<title id="{name}-title">{escape(printable(title))}</title>\n'
        f'<desc id="{name}-desc">{escape(printable(description))}</desc>\n{body.strip()}'
    )


def _shortened(text: str, longest: int = _LONGEST) -> str:
    shown = printable(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
