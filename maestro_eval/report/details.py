"""The tables beneath an accuracy: its failures and rank, its categories, further measures, and what repeats tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from maestro_eval.analysis import Comparison, Measure, Readings, RepeatMeasures, TaskAccuracy
from maestro_eval.report.table import (
    MISSING,
    Cell,
    Column,
    Entry,
    Row,
    Table,
    all_tasks,
    bounded,
    entry_cells,
    key_text,
    notation_of,
    percent,
    printable,
    scope_title,
    task_title,
)


def category_tables(comparison: Comparison) -> Iterator[Table]:
    """A table for each task with several categories: a row a category, the task's own accuracy last."""
    for task in all_tasks(comparison):
        found = [system.tasks.get(task) for system in comparison.systems]
        names = sorted({name for each in found if each is not None for name in each.categories})
        if not names:
            continue
        rows = [(printable(name), [_category(each, name) for each in found]) for name in names]
        whole = [None if each is None else Entry(each.accuracy, each.n_failed, each.n_lacking) for each in found]
        rows.append((_whole(comparison, task), whole))
        notation = notation_of(one.accuracy for _, entries in rows for one in entries if one)
        title = f"{task_title(comparison, task)} by category"
        yield Table(
            title,
            _columns(comparison),
            tuple(
                Row(
                    name,
                    (
                        _number_of_samples(one.accuracy.n for one in entries if one),
                        *entry_cells(entries, notation, comparison.peers),
                    ),
                )
                for name, entries in rows
            ),
            corner="category",
        )


def measure_tables(comparison: Comparison) -> Iterator[Table]:
    """One table of all further measures, if there are any: a row for each task and measure."""
    rows = []
    for task in all_tasks(comparison):
        found = [system.tasks[task].others if task in system.tasks else {} for system in comparison.systems]
        for name in sorted({name for each in found for name in each}):
            measures = [each.get(name) for each in found]
            cells = [_number_of_samples(measure.n for measure in measures if measure), *map(_measure_cell, measures)]
            rows.append(Row(f"{task_title(comparison, task)}: {printable(name)}", tuple(cells)))
    if rows:
        title = "further measures, over the samples that gave a number"
        yield Table(title, _columns(comparison), tuple(rows), corner="measure")


def repeat_tables(comparison: Comparison) -> Iterator[Table]:
    """A table for each system that was asked its samples several times: a row a task, and one a group."""
    for system in comparison.systems:
        found = [
            (task_title(comparison, name), task.repeats, task.n_failed, False) for name, task in system.tasks.items()
        ]
        found += [
            (
                scope_title(group.name, is_mean=True, mini=group.mini),
                system.mean_repeats.get(group.name),
                sum(system.tasks[task].n_failed for task in group.tasks if task in system.tasks),
                True,
            )
            for group in comparison.groups
        ]
        shown = [
            (name, _repeat_entries(repeats, failed), bounded(percent, repeats.rerun, repeats.rerun_bounds), is_mean)
            for name, repeats, failed, is_mean in found
            if repeats is not None
        ]
        if shown:
            titles = list(dict.fromkeys(title for _, entries, _, _ in shown for title in entries))
            notation = notation_of(entry.accuracy for _, entries, _, _ in shown for entry in entries.values())
            rows = tuple(
                Row(name, (*entry_cells([entries.get(each) for each in titles], notation), sd), is_mean)
                for name, entries, sd, is_mean in shown
            )
            columns = tuple(map(Column, (*titles, "rerun")))
            yield Table(f"{printable(system.name)}: repeats", columns, rows, corner="benchmark")


def failure_tables(comparison: Comparison) -> Iterator[Table]:
    """If anything failed: how each accuracy reads without it and with it all wrong or right; and the causes."""
    rows = []
    for system in comparison.systems[: comparison.peers]:
        read = [
            (task_title(comparison, name), task.n_failed, task.accuracy.n, task.readings, False)
            for name, task in system.tasks.items()
        ]
        for group in comparison.groups:
            if group.name in system.means:
                failed = sum(system.tasks[task].n_failed for task in group.tasks)
                title = scope_title(group.name, is_mean=True, mini=group.mini)
                read.append((title, failed, system.means[group.name].n, system.mean_readings.get(group.name), True))
        rows += [
            _failure_row(f"{printable(system.name)}: {title}", failed, n, readings, is_mean)
            for title, failed, n, readings, is_mean in read
            if readings is not None
        ]
    if rows:
        titles = ("failed", "all wrong (shown above)", "completed only", "all right")
        yield Table("with and without what failed", tuple(map(Column, titles)), tuple(rows), corner="system: on")
    causes = [
        Row(
            f"{printable(system.name)}: {printable(group.cause)}",
            (Cell(f"{group.count:,}"), Cell(printable(key_text(group.key))), Cell(printable(group.detail))),
        )
        for system in comparison.systems
        for group in system.failures
    ]
    if causes:
        columns = (Column("rollouts"), Column("for instance", text=True), Column("what it met", text=True))
        yield Table("causes of failures", columns, tuple(causes), corner="system: cause")


def rank_tables(comparison: Comparison) -> Iterator[Table]:
    """A leaderboard for each group whose mean two or more systems have: the best first, with n in each cell."""
    groups = {group.name: group for group in comparison.groups}
    systems = {system.name: system for system in comparison.systems}
    for ranking in comparison.ranks:
        group = groups[ranking.scope]
        entries = {}
        for name in ranking.ranks:
            tasks = [systems[name].tasks[task] for task in group.tasks]
            whole = Entry(systems[name].means[group.name], sum(task.n_failed for task in tasks))
            entries[name] = [whole, *(Entry(task.accuracy, task.n_failed) for task in tasks)]
        notation = notation_of(entry.accuracy for found in entries.values() for entry in found)
        rows = tuple(
            Row(
                printable(name),
                (
                    Cell(f"{rank.rank}", f"[{rank.low}, {rank.high}]"),
                    *(
                        Cell(cell.value, f"{cell.interval} n {entry.accuracy.n:,}")
                        for cell, entry in zip(entry_cells(entries[name], notation), entries[name], strict=True)
                    ),
                ),
            )
            for name, rank in ranking.ranks.items()
        )
        titles = (task_title(comparison, task) for task in group.tasks)
        columns = (Column("rank"), Column("mean", is_mean=True), *map(Column, titles))
        yield Table(f"by {scope_title(group.name, is_mean=True, mini=group.mini)}", columns, rows)


def _failure_row(name: str, failed: int, n: int, readings: Readings, is_mean: bool) -> Row:
    completed = readings.completed
    cells = (
        Cell(f"{failed} of {n}"),
        Cell(percent(readings.worst)),
        *entry_cells([Entry(completed) if completed else None], notation_of([completed] if completed else [])),
        Cell(percent(readings.best)),
    )
    return Row(name, cells, is_mean)


def _columns(comparison: Comparison) -> tuple[Column, ...]:
    return Column("n"), *(Column(printable(system.name)) for system in comparison.systems)


def _category(task: TaskAccuracy | None, name: str) -> Entry | None:
    found = None if task is None else task.categories.get(name)
    return None if found is None else Entry(found.accuracy, found.n_failed)


def _whole(comparison: Comparison, task: str) -> str:
    """What the accuracy of the whole task is, by its aggregation."""
    records = [record for system in comparison.systems for record in system.manifest.tasks if record.name == task]
    means = {"category_mean": "mean of the categories", "stratum_mean": "mean over strata"}
    return means.get(records[0].aggregation, "all") if records else "all"


def _number_of_samples(numbers: Iterable[int]) -> Cell:
    # Systems that were asked different samples have different numbers: all are shown.
    return Cell(" / ".join(map(str, dict.fromkeys(numbers))) or MISSING)


def _measure_cell(measure: Measure | None) -> Cell:
    if measure is None:
        return Cell(MISSING)
    ends = "" if measure.low is None or measure.high is None else f"[{_short(measure.low)}, {_short(measure.high)}]"
    return Cell(_short(measure.value), ends)


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _repeat_entries(measures: RepeatMeasures, n_failed: int) -> dict[str, Entry]:
    """The measures by their titles. pass@1 is avg@k, and is not shown twice."""
    shown = {f"avg@{measures.k}": measures.average}
    shown |= {f"pass@{j}": estimate for j, estimate in measures.pass_at.items() if j > 1}
    shown[f"majority@{measures.k}"] = measures.majority
    return {title: Entry(estimate, n_failed) for title, estimate in shown.items()}
