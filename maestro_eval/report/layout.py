"""The words and numbers of a comparison, arranged in tables: what the terminal, Markdown and SVG forms share.

Nothing here knows how wide a screen is or how a table is drawn. Every text that came from a user, a file name or
a model's name has been made ``printable``; escaping for a format's own syntax is that format's job.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from msgspec import Struct

from maestro_eval.analysis import Comparison, Contrast, Estimate, Group, SystemResult

FAILURE_MARK = "†"
MISSING = "–"
FAILURE_NOTE = (
    f"{FAILURE_MARK}n: n samples failed or never ran. They count as wrong; "
    "the interval reaches from all of them wrong to all of them right."
)
INTERVAL_NOTE = "Accuracy in percent [95 % interval]; a group's mean weighs its tasks equally."
CONTRAST_NOTE = "Difference in points on the same samples [95 % interval]; decided where the interval excludes 0."


class Cell(Struct, frozen=True):
    """An accuracy: ``value`` as "75.0" with a failure mark, ``interval`` as "[64–84]", which may be empty."""

    value: str
    interval: str = ""
    best: bool = False


class Column(Struct, frozen=True):
    """A task or a group's mean, by its short name."""

    title: str
    is_mean: bool


class Row(Struct, frozen=True):
    """One system; a cell for each column."""

    system: str
    cells: tuple[Cell, ...]


class Table(Struct, frozen=True):
    """The systems on the tasks of one group."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


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
    """A whole report's tables; ``footnotes`` are what a reader of exactly these tables must know."""

    tables: tuple[Table, ...]
    contrasts: tuple[ContrastTable, ...]
    footnotes: tuple[str, ...]


def layout(comparison: Comparison) -> Layout:
    """Arrange ``comparison``: a table a group, one more for tasks without a group, then the contrasts."""
    tables = [_group_table(comparison, group) for group in comparison.groups]
    grouped = {task for group in comparison.groups for task in group.tasks}
    rest = [task for task in _all_tasks(comparison) if task not in grouped]
    if rest:
        tables.append(_table(comparison, "other tasks" if tables else "tasks", rest, None))
    notes = [INTERVAL_NOTE]
    if any(task.n_failed for system in comparison.systems for task in system.tasks.values()):
        notes.append(FAILURE_NOTE)
    if comparison.contrasts:
        notes.append(CONTRAST_NOTE)
    return Layout(
        tables=tuple(tables),
        contrasts=tuple(_contrast_tables(comparison)),
        footnotes=(*notes, *(printable(note) for note in comparison.notes)),
    )


def short_task(name: str, *, mini: bool | None = None) -> str:
    """A column's name: without ``maestro_``, and with "(mini)" for the generated ones, always."""
    short = name.removeprefix("maestro_")
    if mini is None:
        mini = name.startswith("maestro_mini")
    return printable(f"{short.removeprefix('mini_')} (mini)" if mini else short)


def printable(text: str) -> str:
    """``text`` on one line, without control, direction or other invisible characters (shown as "�")."""
    return "".join("�" if unicodedata.category(character) in _INVISIBLE else character for character in text)


_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def percent(estimate: Estimate) -> tuple[str, str]:
    """An accuracy as ("75.0", "[64–84]")."""
    return f"{100 * estimate.value:.1f}", f"[{100 * estimate.low:.0f}–{100 * estimate.high:.0f}]"


def points(estimate: Estimate) -> tuple[str, str]:
    """A difference as ("+25.0", "[+8.2, +40.1]"), with a true minus sign."""
    return _signed(estimate.value), f"[{_signed(estimate.low)}, {_signed(estimate.high)}]"


def _group_table(comparison: Comparison, group: Group) -> Table:
    return _table(comparison, short_task(group.name, mini=group.mini), group.tasks, group)


def _table(comparison: Comparison, title: str, tasks: Sequence[str], group: Group | None) -> Table:
    minis = {task for each in comparison.groups if each.mini for task in each.tasks}
    columns = [Column(short_task(task, mini=True if task in minis else None), False) for task in tasks]
    by_column: list[list[tuple[Estimate, int] | None]] = [
        [_task_entry(system, task) for system in comparison.systems] for task in tasks
    ]
    if group is not None and not group.absent:
        columns.append(Column("mean (mini)" if group.mini else "mean", True))
        by_column.append([_mean_entry(system, group) for system in comparison.systems])
    cells = [_cells(entries) for entries in by_column]
    rows = [
        Row(printable(system.name), tuple(column[index] for column in cells))
        for index, system in enumerate(comparison.systems)
    ]
    return Table(title, tuple(columns), tuple(rows))


def _task_entry(system: SystemResult, task: str) -> tuple[Estimate, int] | None:
    found = system.tasks.get(task)
    return None if found is None else (found.accuracy, found.n_failed)


def _mean_entry(system: SystemResult, group: Group) -> tuple[Estimate, int] | None:
    mean = system.means.get(group.name)
    return None if mean is None else (mean, sum(system.tasks[task].n_failed for task in group.tasks))


def _cells(entries: Sequence[tuple[Estimate, int] | None]) -> list[Cell]:
    shown = [None if entry is None else percent(entry[0]) for entry in entries]
    # Best by what is shown: two cells that read the same are both best or both not.
    values = [float(pair[0]) for pair in shown if pair is not None]
    best = max(values) if len(values) > 1 and len(set(values)) > 1 else None
    cells = []
    for entry, pair in zip(entries, shown, strict=True):
        if entry is None or pair is None:
            cells.append(Cell(MISSING))
        else:
            mark = f"{FAILURE_MARK}{entry[1]}" if entry[1] else ""
            cells.append(Cell(pair[0] + mark, pair[1], float(pair[0]) == best))
    return cells


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


def _all_tasks(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(task for system in comparison.systems for task in system.tasks))


def _signed(value: float) -> str:
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")
