"""The tables of differences: between systems, and between systems and numbers that somebody reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maestro_eval.analysis import (
    SMALL,
    CategoryDifference,
    Comparison,
    Contrast,
    Estimate,
    Reference,
    ReportedContrast,
    reported_name,
)
from maestro_eval.report.cells import (
    FAILURE_MARK,
    MISSING,
    Cell,
    Column,
    Row,
    Table,
    p_value,
    points,
    printable,
    short_task,
    task_title,
)

STAR = "*"
_NONE = (Cell(""),) * 3

_ADJUSTED = {
    "holm": "adjusted by Holm's method",
    "bh": "adjusted by Benjamini and Hochberg's method (false discoveries)",
    "none": "not adjusted",
}
_FAMILIES = {
    "system": "over the tasks of each system, its means apart",
    "baseline": "over all tasks against one baseline, its means apart",
    "all": "over all that is shown",
}
_COLUMNS = (
    Column("Δ"),
    Column("95 %"),
    Column("p adj."),
    Column("n", minor=True),
    Column("verdict", text=True),
)


def contrast_tables(comparison: Comparison) -> Iterator[Table]:
    """A table for each system and baseline: a row a task and a mean."""
    minis = _minis(comparison)
    for system, baseline in dict.fromkeys((each.system, each.baseline) for each in comparison.contrasts):
        rows = tuple(
            _row(contrast, contrast.scope in minis, ())
            for contrast in comparison.contrasts
            if (contrast.system, contrast.baseline) == (system, baseline)
        )
        yield Table(f"{printable(system)} against {printable(baseline)}", _COLUMNS, rows, corner="on")


def category_difference_tables(comparison: Comparison) -> Iterator[Table]:
    """A table for each system and baseline: a row a category of each task, and the test whether they are equal."""
    columns = (*_COLUMNS[:2], Column("n"), Column("p adj. of equality"))
    for system, baseline in dict.fromkeys((each.system, each.baseline) for each in comparison.by_category):
        rows = []
        for each in comparison.by_category:
            if (each.system, each.baseline) == (system, baseline):
                found = [_category(name, one) for name, one in each.categories.items()]
                rows.append(Row(task_title(comparison, each.scope), (*_NONE, Cell(p_value(each.p_adjusted)))))
                rows += found
        yield Table(f"{printable(system)} against {printable(baseline)}, by category", columns, tuple(rows), "on")


def pairwise_tables(comparison: Comparison) -> Iterator[Table]:
    """A matrix for each group: every system minus every other, in points, starred where that is significant."""
    for each in comparison.pairwise:
        found = {(one.system, one.baseline): _delta(one.difference, one) for one in each.contrasts}
        found |= {(one.baseline, one.system): _delta(one.difference.negated, one) for one in each.contrasts}
        rows = [
            Row(printable(name), tuple(found.get((name, other), Cell(MISSING)) for other in each.systems))
            for name in each.systems
        ]
        columns = tuple(Column(f"− {printable(name)}") for name in each.systems)
        name = short_task(each.scope, mini=True if each.scope in _minis(comparison) else None)
        yield Table(f"row minus column, mean of {name}", columns, tuple(rows))


def reported_tables(comparison: Comparison) -> Iterator[Table]:
    """A table for each system and reference that have something in common: the reported value, then as above."""
    for reference in comparison.references:
        for system in comparison.systems:
            rows = tuple(
                _row(each, False, (Cell(f"{100 * each.reported.value:.1f}"),))
                for each in comparison.reported
                if (each.system, each.reference) == (system.name, reference)
            )
            if rows:
                title = f"{printable(system.name)} against {printable(reported_name(reference))}"
                yield Table(title, (Column("reported"), *_COLUMNS), rows, corner="on")


def reported_rows(comparison: Comparison, scopes: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Row]:
    """The rows of the references that have a value in one of ``scopes``, each with the tasks that it is of."""
    for reference in comparison.references:
        cells = tuple(_reported(reference, scope, tasks) for scope, tasks in scopes)
        if any(cell.value != MISSING for cell in cells):
            yield Row(printable(reported_name(reference)), cells, apart=True)


def contrast_note(comparison: Comparison) -> str:
    """What a reader of a table of differences must know."""
    family = "" if comparison.adjust == "none" else f" {_FAMILIES[comparison.family]}"
    return (
        "Δ: difference in points, paired on the same samples [95 % interval of this difference alone; it reaches over "
        f"all that failures could hide]. p: {_ADJUSTED[comparison.adjust]}{family}. {STAR} better or worse: p < 0.05 "
        f"whatever the failures hide. No difference beyond ±x: neither, and the interval lies within ±{100 * SMALL:g}."
    )


def verdict_text(contrast: Contrast | ReportedContrast) -> str:
    """A verdict in words: "better", "no difference beyond ±4.2"."""
    if contrast.verdict == "no difference":
        return f"no difference beyond ±{100 * contrast.bound:.1f}"
    return contrast.verdict


def _delta(difference: Estimate, contrast: Contrast) -> Cell:
    value, interval = points(difference)
    mark = f"{FAILURE_MARK}{contrast.n_failed}" if contrast.n_failed else ""
    return Cell(value + mark + (STAR if contrast.significant else ""), interval, contrast.significant)


def _category(name: str, found: CategoryDifference) -> Row:
    value, interval = points(found.difference)
    mark = f"{FAILURE_MARK}{found.n_failed}" if found.n_failed else ""
    return Row(f"· {printable(name)}", (Cell(value + mark), Cell(interval), Cell(str(found.difference.n)), Cell("")))


def _row(contrast: Contrast | ReportedContrast, mini: bool, before: tuple[Cell, ...]) -> Row:
    is_mean = contrast.kind == "mean"
    name = short_task(contrast.scope, mini=True if mini else None)
    delta, interval = points(contrast.difference)
    mark = f"{FAILURE_MARK}{contrast.n_failed}" if contrast.n_failed else ""
    cells = (
        Cell(delta + mark + (STAR if contrast.significant else ""), best=contrast.significant),
        Cell(interval),
        Cell(p_value(contrast.p_adjusted)),
        Cell(str(contrast.difference.n)),
        Cell(verdict_text(contrast)),
    )
    return Row(f"mean of {name}" if is_mean else name, (*before, *cells), is_mean)


def _reported(reference: Reference, scope: str, tasks: Sequence[str]) -> Cell:
    found = reference.reported(scope, tasks)
    return Cell(MISSING) if found is None else Cell(f"{100 * found.value:.1f}")


def _minis(comparison: Comparison) -> set[str]:
    return {scope for group in comparison.groups if group.mini for scope in (group.name, *group.tasks)}
