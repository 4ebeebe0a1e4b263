"""The main tables: systems by benchmarks and means, the best first, bounds and published numbers under a rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from maestro_eval.analysis import Comparison, Group, Reference, SystemResult, reported_name
from maestro_eval.report.table import (
    MISSING,
    Cell,
    Column,
    Entry,
    Row,
    Table,
    all_tasks,
    entry_cells,
    notation_of,
    percent,
    printable,
    scope_title,
    short_task,
    task_title,
)

OWN_TEXT_MARK = "§"


class _Scope(Struct, frozen=True):
    """A column: a task, or the mean of a group."""

    title: str
    name: str
    tasks: tuple[str, ...]
    is_mean: bool

    def entry(self, system: SystemResult) -> Entry | None:
        found = system.means.get(self.name) if self.is_mean else None
        if not self.is_mean and self.name in system.tasks:
            found = system.tasks[self.name].accuracy
        if found is None:
            return None
        tasks = [system.tasks[task] for task in self.tasks]
        return Entry(found, sum(task.n_failed for task in tasks), sum(task.n_lacking for task in tasks))


def accuracy_tables(comparison: Comparison) -> Iterator[Table]:
    """A table a group that ends in its mean, one more for tasks without a group.

    A group that lies within another has no table of its own, but its mean stands in the other's.
    """
    grouped = {task for group in comparison.groups for task in group.tasks}
    for group in comparison.groups:
        if not group.within:
            means = [each for each in comparison.groups if each is group or each.within == group.name]
            scopes = [*_tasks(comparison, group.tasks), *_means(means, own=group)]
            yield _table(comparison, short_task(group.name, mini=group.mini), scopes)
    if rest := [task for task in all_tasks(comparison) if task not in grouped]:
        yield _table(comparison, "other benchmarks" if comparison.groups else "benchmarks", _tasks(comparison, rest))


def mean_table(comparison: Comparison) -> Table | None:
    """The means of all groups in one table; ``None`` where no system has any."""
    scopes = [_scope_of(group, short_task(group.name, mini=group.mini)) for group in comparison.groups]
    known = [scope for scope in scopes if any(scope.entry(system) for system in comparison.systems)]
    return _table(comparison, "means over benchmarks", known) if known else None


def is_on_own_text(system: SystemResult) -> bool:
    """Whether the released protocol judged what the policy wrote, as its rollouts are not in the released style."""
    return system.protocol == "released" and system.manifest.regime.style != "released"


def _tasks(comparison: Comparison, tasks: Iterable[str]) -> list[_Scope]:
    return [_Scope(task_title(comparison, task), task, (task,), is_mean=False) for task in tasks]


def _means(groups: Sequence[Group], own: Group) -> list[_Scope]:
    def title(group: Group) -> str:
        if group is own:
            return "mean (mini)" if group.mini else "mean"
        return scope_title(group.name, is_mean=True, mini=group.mini)

    return [_scope_of(group, title(group)) for group in groups if not group.absent]


def _scope_of(group: Group, title: str) -> _Scope:
    return _Scope(title, group.name, group.tasks, is_mean=True)


def _table(comparison: Comparison, title: str, scopes: Sequence[_Scope]) -> Table:
    """Systems down and ``scopes`` across; of a system alone, the scopes down."""
    protocol = comparison.systems[0].protocol
    by = "" if protocol == "official" else f" by the {protocol} protocol"
    heading = f"{title}: accuracy in percent{by}, 95 % interval"
    if len(comparison.systems) == 1 and not comparison.references:
        return _single(comparison.systems[0], heading, scopes)
    ranked, apart = _sorted(comparison.systems, scopes)
    shown = [entry for scope in scopes for entry in map(scope.entry, comparison.systems) if entry]
    notation = notation_of(entry.accuracy for entry in shown)
    columns, cells = [], []
    for scope in scopes:
        entries = [scope.entry(system) for system in (*ranked, *apart)]
        columns.append(Column(scope.title, _numbers(entries), is_mean=scope.is_mean))
        cells.append(entry_cells(entries, notation, peers=len(ranked)))
    rows = [
        Row(_name(system), tuple(column[place] for column in cells), apart=place >= len(ranked))
        for place, system in enumerate((*ranked, *apart))
    ]
    rows += [
        Row(printable(reported_name(reference)), tuple(_reported(reference, scope) for scope in scopes), apart=True)
        for reference in comparison.references
        if any(reference.reported(scope.name, scope.tasks) for scope in scopes)
    ]
    return Table(heading, tuple(columns), tuple(rows))


def _single(system: SystemResult, heading: str, scopes: Sequence[_Scope]) -> Table:
    found = [(scope, entry) for scope in scopes if (entry := scope.entry(system))]
    cells = entry_cells([entry for _, entry in found], notation_of(entry.accuracy for _, entry in found))
    rows = tuple(
        Row(scope.title, (Cell(f"{entry.accuracy.n:,}"), cell), scope.is_mean)
        for (scope, entry), cell in zip(found, cells, strict=True)
    )
    return Table(heading, (Column("n"), Column(_name(system))), rows, "benchmark")


def _sorted(systems: Sequence[SystemResult], scopes: Sequence[_Scope]) -> tuple[list[SystemResult], list[SystemResult]]:
    """The systems, the best by the first mean (or the only task) first, and apart from them the bounds."""
    key = next((scope for scope in scopes if scope.is_mean), scopes[0] if len(scopes) == 1 else None)

    def place(system: SystemResult) -> float:
        entry = key.entry(system) if key else None
        return 0.0 if key is None else 1.0 if entry is None else -entry.accuracy.value

    ranked = sorted((system for system in systems if system.kind == "run"), key=place)
    return ranked, [system for system in systems if system.kind != "run"]


def _name(system: SystemResult) -> str:
    return f"{printable(system.name)}{OWN_TEXT_MARK if is_on_own_text(system) else ''}"


def _numbers(entries: Iterable[Entry | None]) -> str:
    found = sorted({entry.accuracy.n for entry in entries if entry is not None})
    if not found:
        return ""
    return f"n {found[0]:,}" if len(found) == 1 else f"n {found[0]:,}–{found[-1]:,}"


def _reported(reference: Reference, scope: _Scope) -> Cell:
    found = reference.reported(scope.name, scope.tasks)
    return Cell(MISSING if found is None else percent(found.value))
