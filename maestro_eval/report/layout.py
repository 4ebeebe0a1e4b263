"""The words and numbers of a comparison, arranged in tables: what the terminal, Markdown and SVG forms share.

Nothing here knows how wide a screen is or how a table is drawn: see ``cells.py``, of which the tables are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from maestro_eval.analysis import Comparison, Contrast, Group, SystemResult
from maestro_eval.report.cells import (
    FAILURE_MARK,
    Column,
    Entry,
    Row,
    Table,
    all_tasks,
    compared,
    points,
    printable,
    short_task,
    task_title,
)
from maestro_eval.report.details import category_tables, measure_tables, repeat_tables

FAILURE_NOTE = (
    f"{FAILURE_MARK}n: n samples failed or never ran. They count as wrong; "
    "the interval reaches from all of them wrong to all of them right."
)
INTERVAL_NOTE = "Accuracy in percent [95 % interval]; a group's mean weighs its tasks equally."
CONTRAST_NOTE = "Difference in points on the same samples [95 % interval]; decided where the interval excludes 0."
REPEAT_NOTE = (
    "avg@k: mean of k answers to each sample; pass@j: share of samples of which one of j answers is right; "
    "majority@k: the most frequent answer counts, ties shared."
)
MEASURE_NOTE = "Mean over the n samples that have one, in its own unit [95 % interval]."


class ContrastRow(Struct, frozen=True):
    """A difference: ``delta`` as "+25.0", ``interval`` as "[+8.2, +40.1]"."""

    scope: str
    is_mean: bool
    delta: str
    interval: str
    n: str
    verdict: str


class ContrastTable(Struct, frozen=True):
    """All differences of one system to one baseline."""

    system: str
    baseline: str
    rows: tuple[ContrastRow, ...]

    @property
    def title(self) -> str:
        return f"{self.system} against {self.baseline}"


class Layout(Struct, frozen=True):
    """A whole report's tables; ``footnotes`` are what a reader of exactly these tables must know.

    ``tables`` are the systems on the tasks of a group each. ``categories``, ``measures`` and ``repeats`` are what
    is known beside the accuracies; ``contrasts`` the differences that were asked for.
    """

    tables: tuple[Table, ...]
    categories: tuple[Table, ...]
    measures: tuple[Table, ...]
    repeats: tuple[Table, ...]
    contrasts: tuple[ContrastTable, ...]
    footnotes: tuple[str, ...]


def layout(comparison: Comparison) -> Layout:
    """Arrange ``comparison``: a table a group, one more for tasks without a group, then all that is beneath them.

    A group that lies within another has no table of its own, but its mean stands in the other's.
    """
    measures, repeats = tuple(measure_tables(comparison)), tuple(repeat_tables(comparison))
    notes = [INTERVAL_NOTE]
    if any(task.n_failed for system in comparison.systems for task in system.tasks.values()):
        notes.append(FAILURE_NOTE)
    notes += [REPEAT_NOTE] if repeats else []
    notes += [CONTRAST_NOTE] if comparison.contrasts else []
    return Layout(
        tables=tuple(_group_tables(comparison)),
        categories=tuple(category_tables(comparison)),
        measures=measures,
        repeats=repeats,
        contrasts=tuple(_contrast_tables(comparison)),
        footnotes=(*notes, *(printable(note) for note in comparison.notes)),
    )


def _group_tables(comparison: Comparison) -> Iterator[Table]:
    grouped = {task for group in comparison.groups for task in group.tasks}
    for group in comparison.groups:
        if not group.within:
            means = [each for each in comparison.groups if each is group or each.within == group.name]
            yield _table(comparison, short_task(group.name, mini=group.mini), group.tasks, means)
    if rest := [task for task in all_tasks(comparison) if task not in grouped]:
        yield _table(comparison, "other tasks" if comparison.groups else "tasks", rest, ())


def _table(comparison: Comparison, title: str, tasks: Sequence[str], means: Sequence[Group]) -> Table:
    """The columns of ``tasks``, then those of ``means``, of which the first, if any, is that of all the tasks."""
    columns = [Column(task_title(comparison, task)) for task in tasks]
    cells = [compared([_task_entry(system, task) for system in comparison.systems]) for task in tasks]
    for group in means:
        if not group.absent:
            columns.append(Column(_mean_title(group, own=group is means[0]), is_mean=True))
            cells.append(compared([_mean_entry(system, group) for system in comparison.systems]))
    rows = [
        Row(printable(system.name), tuple(column[index] for column in cells))
        for index, system in enumerate(comparison.systems)
    ]
    return Table(title, tuple(columns), tuple(rows))


def _mean_title(group: Group, *, own: bool) -> str:
    if own:
        return "mean (mini)" if group.mini else "mean"
    return f"mean of {short_task(group.name, mini=group.mini)}"


def _task_entry(system: SystemResult, task: str) -> Entry | None:
    found = system.tasks.get(task)
    return None if found is None else Entry(found.accuracy, found.n_failed)


def _mean_entry(system: SystemResult, group: Group) -> Entry | None:
    mean = system.means.get(group.name)
    return None if mean is None else Entry(mean, sum(system.tasks[task].n_failed for task in group.tasks))


def _contrast_tables(comparison: Comparison) -> Iterable[ContrastTable]:
    minis = {scope for group in comparison.groups if group.mini for scope in (group.name, *group.tasks)}
    pairs = dict.fromkeys((contrast.system, contrast.baseline) for contrast in comparison.contrasts)
    for system, baseline in pairs:
        rows = [
            _contrast_row(contrast, contrast.scope in minis)
            for contrast in comparison.contrasts
            if (contrast.system, contrast.baseline) == (system, baseline)
        ]
        yield ContrastTable(printable(system), printable(baseline), tuple(rows))


def _contrast_row(contrast: Contrast, mini: bool) -> ContrastRow:
    is_mean = contrast.kind == "mean"
    name = short_task(contrast.scope, mini=True if mini else None)
    delta, interval = points(contrast.difference)
    return ContrastRow(
        f"mean of {name}" if is_mean else name,
        is_mean,
        delta,
        interval,
        str(contrast.difference.n),
        contrast.verdict,
    )
