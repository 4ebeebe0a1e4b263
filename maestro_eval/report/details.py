"""The tables beneath an accuracy: its failures and rank, its categories, further measures, and what repeats tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from maestro_eval.analysis import Comparison, Measure, Ranking, Readings, RepeatMeasures, SystemResult, TaskAccuracy
from maestro_eval.report.cells import (
    MISSING,
    Cell,
    Column,
    Entry,
    Row,
    Table,
    all_tasks,
    cell_of,
    compared,
    key_text,
    percent,
    printable,
    short_task,
    spread_of,
    task_title,
)


def category_tables(comparison: Comparison) -> Iterator[Table]:
    """A table for each task with several categories: a row a category, the task's own accuracy last."""
    for task in all_tasks(comparison):
        found = [system.tasks.get(task) for system in comparison.systems]
        names = sorted({name for each in found if each is not None for name in each.categories})
        if not names:
            continue
        rows = [
            _category_row(printable(name), [_category(each, name) for each in found], comparison.peers)
            for name in names
        ]
        whole = [None if each is None else Entry(each.accuracy, each.n_failed, each.n_lacking) for each in found]
        rows.append(_category_row(_whole(comparison, task), whole, comparison.peers))
        title = f"{task_title(comparison, task)} by category"
        yield Table(title, _columns(comparison), tuple(rows), corner="category")


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
    """A table for each system that was asked its samples several times: a row a task."""
    for system in comparison.systems:
        found = {name: _repeat_entries(task.repeats, task.n_failed) for name, task in system.tasks.items()}
        shown = {name: entries for name, entries in found.items() if entries}
        titles = list(dict.fromkeys(title for entries in shown.values() for title in entries))
        rows = [
            Row(task_title(comparison, name), _repeat_cells(entries, titles, system.tasks[name].repeats))
            for name, entries in shown.items()
        ]
        for group in comparison.groups:
            if (repeats := system.mean_repeats.get(group.name)) is not None:
                failed = sum(system.tasks[task].n_failed for task in group.tasks)
                name = f"mean of {short_task(group.name, mini=group.mini)}"
                rows.append(Row(name, _repeat_cells(_repeat_entries(repeats, failed), titles, repeats), is_mean=True))
        if rows:
            columns = tuple(map(Column, (*titles, "rerun")))
            yield Table(f"{printable(system.name)}: repeats", columns, tuple(rows), corner="task")


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
                title = f"mean of {short_task(group.name, mini=group.mini)}"
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
        columns = (Column("rollouts"), Column("for instance", text=True), Column("what it met", text=True, minor=True))
        yield Table("causes of failures", columns, tuple(causes), corner="system: cause")


def rank_tables(comparison: Comparison) -> Iterator[Table]:
    """A leaderboard for each group whose mean two or more systems have: the best first, with n in each cell."""
    groups = {group.name: group for group in comparison.groups}
    systems = {system.name: system for system in comparison.systems}
    for ranking in comparison.ranks:
        group = groups[ranking.scope]
        columns = (
            Column("rank"),
            Column("mean", is_mean=True),
            *(Column(task_title(comparison, task)) for task in group.tasks),
        )
        rows = tuple(_ranked(systems[name], ranking, group.tasks) for name in ranking.ranks)
        yield Table(f"by mean of {short_task(group.name, mini=group.mini)}", columns, rows)


def _ranked(system: SystemResult, ranking: Ranking, tasks: Sequence[str]) -> Row:
    rank, mean = ranking.ranks[system.name], system.means[ranking.scope]
    entries = [Entry(mean, sum(system.tasks[task].n_failed for task in tasks))]
    entries += [Entry(system.tasks[task].accuracy, system.tasks[task].n_failed) for task in tasks]
    cells = [cell_of(entry) for entry in entries]
    counted = [
        Cell(cell.value, f"{cell.interval} n {entry.accuracy.n:,}") for cell, entry in zip(cells, entries, strict=True)
    ]
    return Row(printable(system.name), (Cell(f"{rank.rank}", f"[{rank.low}–{rank.high}]"), *counted))


def _failure_row(name: str, failed: int, n: int, readings: Readings, is_mean: bool) -> Row:
    completed = MISSING if readings.completed is None else percent(readings.completed)[0]
    interval = "" if readings.completed is None else spread_of(readings.completed)
    return Row(
        name,
        (
            Cell(f"{failed} of {n}"),
            Cell(f"{100 * readings.worst:.1f}"),
            Cell(completed, interval),
            Cell(f"{100 * readings.best:.1f}"),
        ),
        is_mean,
    )


def _columns(comparison: Comparison) -> tuple[Column, ...]:
    return Column("n"), *(Column(printable(system.name)) for system in comparison.systems)


def _category(task: TaskAccuracy | None, name: str) -> Entry | None:
    found = None if task is None else task.categories.get(name)
    return None if found is None else Entry(found.accuracy, found.n_failed)


def _category_row(name: str, entries: list[Entry | None], peers: int) -> Row:
    n = _number_of_samples(entry.accuracy.n for entry in entries if entry is not None)
    return Row(name, (n, *compared(entries, peers)))


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
    ends = "" if measure.low is None or measure.high is None else f"[{_short(measure.low)}–{_short(measure.high)}]"
    return Cell(_short(measure.value), ends)


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _repeat_cells(entries: dict[str, Entry], titles: list[str], measures: RepeatMeasures | None) -> tuple[Cell, ...]:
    rerun = Cell(MISSING if measures is None else f"{100 * measures.rerun:.1f}")
    return (*(cell_of(entries.get(title)) for title in titles), rerun)


def _repeat_entries(measures: RepeatMeasures | None, n_failed: int) -> dict[str, Entry]:
    """The measures by their titles. pass@1 is avg@k, and is not shown twice."""
    if measures is None:
        return {}
    shown = {f"avg@{measures.k}": measures.average}
    shown |= {f"pass@{j}": estimate for j, estimate in measures.pass_at.items() if j > 1}
    shown[f"majority@{measures.k}"] = measures.majority
    return {title: Entry(estimate, n_failed) for title, estimate in shown.items()}
