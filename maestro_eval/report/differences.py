"""Differences: a sentence for each pair of systems, and the tables of them; also to numbers that somebody reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maestro_eval.analysis import SMALL, Comparison, Contrast, Estimate, ReportedContrast, reported_name
from maestro_eval.report.table import (
    FAILURE_MARK,
    MISSING,
    Cell,
    Column,
    Row,
    Table,
    difference_cell,
    minis_of,
    p_value,
    percent,
    points,
    points_interval,
    printable,
    scope_title,
    task_title,
    verdict_text,
)

STAR = "*"
REPORTED_NOTE = "A reported number is taken as fixed and tested as such; its own error is not known."
CATEGORY_NOTE = (
    "p of equality: whether the differences of a task's categories are equal, by dealing the categories anew among "
    "clusters; adjusted over the tasks. Failures are read so that they are as alike as may be."
)

_MOST_TASKS = 4
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
_COLUMNS = (Column("Δ, 95 % interval"), Column("p adj."), Column("n"), Column("verdict", text=True))


def contrast_lines(comparison: Comparison) -> list[str]:
    """A sentence for each pair of systems: what every mean says, or every benchmark where there is no mean."""
    minis = minis_of(comparison)
    return [
        f"{printable(system)} against {printable(baseline)}: {said_of(found, minis)}"
        for (system, baseline), found in _pairs(comparison).items()
    ]


def said_of(contrasts: Sequence[Contrast], minis: set[str]) -> str:
    """Every mean in words, or some benchmarks where there is no mean."""
    means = [each for each in contrasts if each.kind == "mean"]
    # The largest differences first: they are what a reader looks for.
    shown = sorted(means or contrasts, key=lambda each: (not each.significant, -abs(each.difference.value)))
    on = "on the" if means else "on"
    parts = [f"{difference_text(each)} {on} {_scope(each, minis)}" for each in shown[: len(means) or _MOST_TASKS]]
    more = len(shown) - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more else "")


def difference_text(contrast: Contrast) -> str:
    """A difference with its verdict: "+75.7 points [63.8, 83.8]", "no difference beyond ±4.2 points"."""
    if contrast.verdict == "no difference":
        return f"{verdict_text(contrast)} points"
    if contrast.direction_only:
        return f"{verdict_text(contrast)}, by how much is not known,"
    found = f"{points(contrast.difference.value)} points {points_interval(contrast.difference)}"
    return found if contrast.significant else f"undecided, {found},"


def contrast_tables(comparison: Comparison) -> Iterator[Table]:
    """A table for each system and baseline: a row a task and a mean."""
    minis = minis_of(comparison)
    for (system, baseline), found in _pairs(comparison).items():
        rows = tuple(_row(contrast, _scope(contrast, minis), ()) for contrast in found)
        yield Table(f"{printable(system)} against {printable(baseline)}", _COLUMNS, rows, corner="on")


def category_difference_tables(comparison: Comparison) -> Iterator[Table]:
    """A table for each system and baseline: a row a category of each task, and the test whether they are equal."""
    columns = (Column("Δ, 95 % interval"), Column("n"), Column("p adj. of equality"))
    for system, baseline in dict.fromkeys((each.system, each.baseline) for each in comparison.by_category):
        rows: list[Row] = []
        for each in comparison.by_category:
            if (each.system, each.baseline) == (system, baseline):
                whole = (Cell(""), Cell(""), Cell(p_value(each.p_adjusted)))
                rows.append(Row(task_title(comparison, each.scope), whole))
                rows += (
                    Row(
                        f"· {printable(name)}",
                        (difference_cell(one.difference, _failed(one.n_failed)), Cell(str(one.difference.n)), Cell("")),
                    )
                    for name, one in each.categories.items()
                )
        yield Table(f"{printable(system)} against {printable(baseline)}, by category", columns, tuple(rows), "on")


def pairwise_tables(comparison: Comparison) -> Iterator[Table]:
    """A matrix for each group: every system minus every other, in points, starred where that is significant."""
    for each in comparison.pairwise:
        found = {(one.system, one.baseline): _delta(one, one.difference) for one in each.contrasts}
        found |= {(one.baseline, one.system): _delta(one, one.difference.negated) for one in each.contrasts}
        rows = tuple(
            Row(printable(name), tuple(found.get((name, other), Cell(MISSING)) for other in each.systems))
            for name in each.systems
        )
        columns = tuple(Column(f"− {printable(name)}") for name in each.systems)
        name = scope_title(each.scope, is_mean=True, mini=each.scope in minis_of(comparison))
        yield Table(f"row minus column, {name}", columns, rows)


def reported_tables(comparison: Comparison) -> Iterator[Table]:
    """A table for each system and reference that have something in common: the reported value, then as above."""
    for reference in comparison.references:
        for system in comparison.systems:
            rows = tuple(
                _row(each, _scope(each, set()), (Cell(percent(each.reported.value)),))
                for each in comparison.reported
                if (each.system, each.reference) == (system.name, reference)
            )
            if rows:
                title = f"{printable(system.name)} against {printable(reported_name(reference))}"
                yield Table(title, (Column("reported"), *_COLUMNS), rows, corner="on")


def contrast_note(comparison: Comparison) -> str:
    """What a reader of a table of differences must know."""
    family = "" if comparison.adjust == "none" else f" {_FAMILIES[comparison.family]}"
    return (
        "Δ: difference in points, paired on the same samples [95 % interval of this difference alone; it reaches over "
        f"all that failures could hide]. p: {_ADJUSTED[comparison.adjust]}{family}. {STAR} better or worse: p < 0.05 "
        f"whatever the failures hide. No difference beyond ±x: neither, and the interval lies within ±{100 * SMALL:g}."
    )


def _pairs(comparison: Comparison) -> dict[tuple[str, str], list[Contrast]]:
    found: dict[tuple[str, str], list[Contrast]] = {}
    for each in comparison.contrasts:
        found.setdefault((each.system, each.baseline), []).append(each)
    return found


def _scope(contrast: Contrast | ReportedContrast, minis: set[str]) -> str:
    return scope_title(contrast.scope, is_mean=contrast.kind == "mean", mini=contrast.scope in minis)


def _row(contrast: Contrast | ReportedContrast, name: str, before: tuple[Cell, ...]) -> Row:
    cells = (
        _delta(contrast, contrast.difference),
        Cell(p_value(contrast.p_adjusted)),
        Cell(f"{contrast.difference.n:,}"),
        Cell(verdict_text(contrast)),
    )
    return Row(name, (*before, *cells), contrast.kind == "mean")


def _delta(contrast: Contrast | ReportedContrast, difference: Estimate) -> Cell:
    star = STAR if contrast.significant else ""
    if isinstance(contrast, Contrast) and contrast.direction_only:
        return Cell(MISSING + star)
    return difference_cell(difference, _failed(contrast.n_failed) + star, best=contrast.significant)


def _failed(number: int) -> str:
    return f"{FAILURE_MARK}{number}" if number else ""
