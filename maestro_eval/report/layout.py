"""The words and numbers of a comparison, arranged in tables: what the terminal, Markdown and SVG forms share.

Nothing here knows how wide a screen is or how a table is drawn: see ``cells.py``, of which the tables are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis import Comparison, Group, SystemResult
from maestro_eval.report.cells import (
    FAILURE_MARK,
    LACKING_MARK,
    Column,
    Entry,
    Row,
    Table,
    all_tasks,
    compared,
    printable,
    short_task,
    task_title,
)
from maestro_eval.report.details import category_tables, failure_tables, measure_tables, rank_tables, repeat_tables
from maestro_eval.report.differences import (
    category_difference_tables,
    contrast_note,
    contrast_tables,
    pairwise_tables,
    reported_rows,
    reported_tables,
)

OWN_TEXT_MARK = "‡"
OWN_TEXT_NOTE = (
    f"{OWN_TEXT_MARK}: judged on all that the policy wrote: its rollouts are not in the released style, which records "
    "the text that the released scorer reads."
)
FAILURE_NOTE = (
    f"{FAILURE_MARK}n: n samples failed or never ran. They count as wrong; "
    "the interval reaches from all of them wrong to all of them right."
)
LACKING_NOTE = (
    f"{LACKING_MARK}n: n rollouts went without evidence that a service failed to give; "
    "`maestro-eval resume RUN --missing-evidence` runs them again."
)
INTERVAL_NOTE = (
    "Accuracy in percent ± half its 95 % interval, or [the interval] where that is lopsided by a point or more; "
    "a group's mean weighs its tasks equally."
)
REPEAT_NOTE = (
    "avg@k: mean of k answers to each sample; pass@j: share of samples of which one of j answers is right; "
    "majority@k: the most frequent answer counts, ties shared; rerun: standard deviation in points of the accuracy "
    "of one pass, by asking the same system again."
)
MEASURE_NOTE = "Mean over the n samples that have one, in its own unit [95 % interval]."
CATEGORY_NOTE = (
    "p of equality: whether the differences of a task's categories are equal, by dealing the categories anew among "
    "clusters; adjusted over the tasks. Failures are read so that they are as alike as may be."
)
RANK_NOTE = "Rank by the mean, on the samples that all have [95 % interval of the rank, all other systems allowed for]."
REPORTED_NOTE = "A reported number is taken as fixed and tested as such; its own error is not known."


class Layout(Struct, frozen=True):
    """A whole report's tables; ``footnotes`` are what a reader of exactly these tables must know.

    ``tables`` are the systems on the tasks of a group each. ``failures`` are how accuracies read without what failed,
    and with it all wrong or all right. ``categories``, ``measures`` and ``repeats`` are what is known beside the
    accuracies; ``by_category`` and ``pairwise`` the differences of categories and of all systems;
    ``contrasts`` those that were asked for, ``reported`` those to published numbers.
    """

    tables: tuple[Table, ...]
    failures: tuple[Table, ...]
    ranks: tuple[Table, ...]
    categories: tuple[Table, ...]
    measures: tuple[Table, ...]
    repeats: tuple[Table, ...]
    contrasts: tuple[Table, ...]
    reported: tuple[Table, ...]
    footnotes: tuple[str, ...]
    by_category: tuple[Table, ...] = ()
    pairwise: tuple[Table, ...] = ()

    def sections(self) -> Iterator[tuple[str, tuple[Table, ...]]]:
        """What there is, in reading order, each under its heading."""
        headed = (
            ("Accuracy", self.tables),
            ("Differences", self.contrasts),
            ("Differences by category", self.by_category),
            ("Ranks", self.ranks),
            ("All pairs", self.pairwise),
            ("Against reported numbers", self.reported),
            ("Failures", self.failures),
            ("Categories", self.categories),
            ("Further measures", self.measures),
            ("Repeats", self.repeats),
        )
        return ((heading, tables) for heading, tables in headed if tables)


def layout(comparison: Comparison, *, brief: bool = False) -> Layout:
    """Arrange ``comparison``: a table a group, one more for tasks without a group, then all that is beneath them.

    A group that lies within another has no table of its own, but its mean stands in the other's. ``brief`` leaves out
    categories and further measures.
    """
    arranged = Layout(
        tables=tuple(_group_tables(comparison)),
        failures=tuple(failure_tables(comparison)),
        ranks=tuple(rank_tables(comparison)),
        categories=() if brief else tuple(category_tables(comparison)),
        measures=() if brief else tuple(measure_tables(comparison)),
        repeats=tuple(repeat_tables(comparison)),
        contrasts=tuple(contrast_tables(comparison)),
        reported=tuple(reported_tables(comparison)),
        footnotes=(),
        by_category=() if brief else tuple(category_difference_tables(comparison)),
        pairwise=() if brief else tuple(pairwise_tables(comparison)),
    )
    notes = (*_notes(arranged, comparison), *(printable(note) for note in comparison.notes))
    return replace(arranged, footnotes=notes)


def _notes(arranged: Layout, comparison: Comparison) -> Iterator[str]:
    yield INTERVAL_NOTE
    if any(task.n_failed for system in comparison.systems for task in system.tasks.values()):
        yield FAILURE_NOTE
    if any(task.n_lacking for system in comparison.systems for task in system.tasks.values()):
        yield LACKING_NOTE
    if any(map(_on_own_text, comparison.systems)):
        yield OWN_TEXT_NOTE
    if arranged.repeats:
        yield REPEAT_NOTE
    if arranged.measures:
        yield f"Further measures: {MEASURE_NOTE[0].lower()}{MEASURE_NOTE[1:]}"
    if arranged.contrasts or arranged.reported:
        yield contrast_note(comparison)
    if arranged.by_category:
        yield CATEGORY_NOTE
    if arranged.ranks:
        yield RANK_NOTE
    if arranged.reported:
        yield REPORTED_NOTE


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
    systems, peers = comparison.systems, comparison.peers
    cells = [compared([_task_entry(system, task) for system in systems], peers) for task in tasks]
    for group in means:
        if not group.absent:
            columns.append(Column(_mean_title(group, own=group is means[0]), is_mean=True))
            cells.append(compared([_mean_entry(system, group) for system in systems], peers))
    rows = [
        Row(
            f"{printable(system.name)}{OWN_TEXT_MARK if _on_own_text(system) else ''}",
            tuple(column[index] for column in cells),
            apart=system.kind != "run",
        )
        for index, system in enumerate(systems)
    ]
    scopes = [*((task, (task,)) for task in tasks), *((group.name, group.tasks) for group in means if not group.absent)]
    rows += reported_rows(comparison, scopes)
    return Table(title, tuple(columns), tuple(rows))


def _on_own_text(system: SystemResult) -> bool:
    """Whether the released protocol judged what the policy wrote, as its rollouts are not in the released style."""
    return system.protocol == "released" and system.manifest.regime.style != "released"


def _mean_title(group: Group, *, own: bool) -> str:
    if own:
        return "mean (mini)" if group.mini else "mean"
    return f"mean of {short_task(group.name, mini=group.mini)}"


def _task_entry(system: SystemResult, task: str) -> Entry | None:
    found = system.tasks.get(task)
    return None if found is None else Entry(found.accuracy, found.n_failed, found.n_lacking)


def _mean_entry(system: SystemResult, group: Group) -> Entry | None:
    mean = system.means.get(group.name)
    if mean is None:
        return None
    tasks = [system.tasks[task] for task in group.tasks]
    return Entry(mean, sum(task.n_failed for task in tasks), sum(task.n_lacking for task in tasks))
