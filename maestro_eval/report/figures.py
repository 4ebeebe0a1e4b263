"""The figures of a report: what the tables say, arranged for ``plots`` and given a caption."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean
from typing import TypeVar

from maestro_eval.analysis import Comparison, Estimate, Group, SystemResult
from maestro_eval.analysis.routing import Routing
from maestro_eval.report.document import Figure
from maestro_eval.report.plots import (
    MOST_ROWS,
    Block,
    Difference,
    DifferencePanel,
    ParetoPanel,
    Point,
    Spot,
    accuracy_forest,
    difference_forest,
    pareto,
    reach_of,
)
from maestro_eval.report.table import all_tasks, minis_of, printable, scope_title, short_task, task_title

_T = TypeVar("_T")

# A cached reply takes no time: with more of them than this, seconds tell of the cache and not of the system.
_MOST_CACHED = 0.1


def accuracy_figure(comparison: Comparison) -> Iterator[Figure]:
    """Every system on every task, each group's mean behind its tasks."""
    grouped = {task for group in comparison.groups for task in group.tasks}
    blocks: list[Block] = []
    shown: set[str] = set()
    for group in comparison.groups:
        fresh = [task for task in group.tasks if task not in shown]
        shown.update(fresh)
        blocks += [_task_block(comparison, task) for task in fresh]
        means = _points((system.name, system.means.get(group.name)) for system in comparison.systems)
        if means:
            blocks.append(Block(scope_title(group.name, is_mean=True, mini=group.mini), means, is_mean=True))
    blocks += [_task_block(comparison, task) for task in all_tasks(comparison) if task not in grouped]
    if blocks:
        caption = "Accuracies with 95 % intervals; shaded: means over benchmarks. Failures count as wrong, and widen."
        yield Figure("accuracy", accuracy_forest(blocks), caption)


def difference_figure(comparison: Comparison) -> Iterator[Figure]:
    """The contrasts, a panel for each system and its baseline."""
    pairs = dict.fromkeys((contrast.system, contrast.baseline) for contrast in comparison.contrasts)
    minis = minis_of(comparison)
    panels = [
        DifferencePanel(
            f"{system} against {baseline}",
            tuple(
                Difference(
                    scope_title(contrast.scope, is_mean=contrast.kind == "mean", mini=contrast.scope in minis),
                    contrast.difference.value,
                    contrast.difference.low,
                    contrast.difference.high,
                    contrast.significant,
                    contrast.kind == "mean",
                )
                for contrast in comparison.contrasts
                if (contrast.system, contrast.baseline) == (system, baseline) and not contrast.direction_only
            ),
        )
        for system, baseline in pairs
    ]
    if panels:
        caption = (
            "Differences in points on the same samples, with 95 % intervals; diamonds: means over benchmarks; filled: "
            "better or worse by the adjusted p-value, under every reading of the failures."
        )
        for name, page in _pages("differences", panels, lambda panel: len(panel.rows)):
            yield Figure(name, difference_forest(page, name, reach_of(panels)), caption)


def pareto_figure(comparison: Comparison, routings: Sequence[Routing]) -> Iterator[Figure]:
    """Accuracy against cost where all is priced, else against tokens and seconds; a panel a group and measure.

    Tokens and cost are the same whether a reply came from the cache or not. Seconds are not: systems with more than a
    tenth of their calls from the cache are in no panel of seconds, and the caption names them.
    """
    by_name = {routing.system: routing for routing in routings}
    groups = [group for group in comparison.groups if not group.within] or [
        Group(task, (task,), mini=False) for task in all_tasks(comparison)
    ]
    panels = []
    untimed: dict[str, None] = {}
    for group in groups:
        rows = [
            (system, by_name[system.name], accuracy)
            for system in comparison.systems
            if system.name in by_name and (accuracy := _group_accuracy(system, group)) is not None
        ]
        for taken in _measures([routing for _, routing, _ in rows], group.tasks):
            held = [
                (system, Spot(amount, _point(system.name, accuracy)))
                for system, routing, accuracy in rows
                if (amount := _taken(routing, group.tasks, taken)) is not None
            ]
            hidden = [system.name for system, _ in held if taken == "seconds" and _from_cache(system)]
            untimed |= dict.fromkeys(hidden)
            spots = [spot for system, spot in held if system.name not in hidden]
            if len(spots) > 1:
                title = short_task(group.name, mini=group.mini)
                panels.append(ParetoPanel(title, _unit(taken, rows[0][1].currency), tuple(spots)))
    if panels:
        caption = (
            "Accuracy (mean over the group's benchmarks) against what a rollout takes (the same mean). Filled: no "
            "system is both more accurate and takes less; the dashed line joins these."
        )
        if untimed:
            names = ", ".join(map(printable, untimed))
            caption += f" Seconds say nothing of {names}, whose replies came from the cache (over a tenth of them)."
        yield Figure("pareto", pareto(panels), caption)


def _from_cache(system: SystemResult) -> bool:
    """Whether too many calls of ``system`` were answered by the cache for its seconds to be its own."""
    return system.cached_calls > _MOST_CACHED * system.calls


def _pages(name: str, panels: Sequence[_T], rows: Callable[[_T], int]) -> Iterator[tuple[str, list[_T]]]:
    """The panels in as many plots as fit a page each when printed; a plot's name has its number from the second on."""
    pages: list[list[_T]] = []
    room = 0.0
    for panel in panels:
        # A panel's title takes as much as a row and a half.
        needed = rows(panel) + 1.5
        if not pages or needed > room:
            pages.append([])
            room = MOST_ROWS
        pages[-1].append(panel)
        room -= needed
    for number, page in enumerate(pages, 1):
        yield (name if number == 1 else f"{name}-{number}"), page


def _measures(routings: Sequence[Routing], tasks: Sequence[str]) -> list[str]:
    """What to hold accuracy against: money only where it is known of all."""
    if routings and all(_taken(routing, tasks, "cost") is not None for routing in routings):
        return ["cost"]
    tokens = any(_taken(routing, tasks, "tokens") for routing in routings)
    return ["tokens", "seconds"] if tokens else ["seconds"]


def _taken(routing: Routing, tasks: Sequence[str], what: str) -> float | None:
    """The macro mean over ``tasks`` of what a rollout takes; None where it is not known of one of them."""
    if what == "cost":
        found = {each.task: each.per_rollout for each in routing.costs}
    elif what == "tokens":
        found = {each.task: each.total / each.rollouts if each.rollouts else None for each in routing.tokens}
    else:
        found = {name: each.mean for name, each in routing.rollout_seconds.items()}
    amounts = [found.get(task) for task in tasks]
    known = [amount for amount in amounts if amount is not None]
    return fmean(known) if known and len(known) == len(amounts) else None


def _unit(what: str, currency: str) -> str:
    names = {"cost": f"{currency} a rollout", "tokens": "tokens a rollout", "seconds": "mean seconds a rollout"}
    return names[what]


def _group_accuracy(system: SystemResult, group: Group) -> Estimate | None:
    if group.name in system.means:
        return system.means[group.name]
    found = system.tasks.get(group.tasks[0]) if len(group.tasks) == 1 else None
    return None if found is None else found.accuracy


def _task_block(comparison: Comparison, task: str) -> Block:
    found = ((system.name, system.tasks.get(task)) for system in comparison.systems)
    points = _points((name, None if each is None else each.accuracy) for name, each in found)
    return Block(task_title(comparison, task), points)


def _points(found: Iterable[tuple[str, Estimate | None]]) -> tuple[Point, ...]:
    return tuple(_point(name, estimate) for name, estimate in found if estimate is not None)


def _point(name: str, estimate: Estimate) -> Point:
    return Point(name, estimate.value, estimate.low, estimate.high)
