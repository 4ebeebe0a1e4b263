"""From findings to documents: the whole report, and the summary that a terminal shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from maestro_eval.report.accuracy import accuracy_tables, mean_table
from maestro_eval.report.details import category_tables, failure_tables, measure_tables, rank_tables, repeat_tables
from maestro_eval.report.differences import (
    category_difference_tables,
    contrast_lines,
    contrast_tables,
    pairwise_tables,
    reported_tables,
)
from maestro_eval.report.document import Block, Bullets, Document, Figure, Prose, Section
from maestro_eval.report.figures import (
    accuracy_figure,
    difference_figure,
    pareto_figure,
)
from maestro_eval.report.findings import Findings
from maestro_eval.report.headroom import headroom_sections
from maestro_eval.report.judgements import judgement_sections
from maestro_eval.report.notes import first_notes, reading_notes
from maestro_eval.report.provenance import provenance_tables
from maestro_eval.report.routing import routing_sections
from maestro_eval.report.swap import swap_headline, swap_section
from maestro_eval.report.table import Table
from maestro_eval.report.terminal import WIDTH, render_terminal

NO_PLOTS = "Without plots: matplotlib is not installed; pip install 'maestro-eval[report]'"
LINES = 40
"""As many lines does a command print that ran or compared something."""

_MOST_NOTES = 3
_MOST_BENCHMARKS = 4
_MOST_CONTRASTS = 8


def report_document(found: Findings, *, plots: bool = True, lead: Sequence[str] = ()) -> Document:
    """A headline, the main tables, then all else that is known, folded away.

    ``plots`` false: without figures. ``lead`` are lines that come after the headline.
    """
    comparison = found.comparison
    draw: Callable[[Iterable[Figure]], list[Figure]] = list if plots else _nothing
    figures: dict[str, Callable[[], Iterator[Figure]]] = {
        "Accuracy": lambda: accuracy_figure(comparison),
        "Differences": lambda: difference_figure(comparison),
    }
    main, details = _sections(found)
    sections = [
        *main,
        *([swap_section(found.swap)] if found.swap else []),
        *headroom_sections(found.standings, found.explored),
        Section("Accuracy against what it takes", tuple(draw(pareto_figure(comparison, found.routings)))),
        *routing_sections(found.routings),
        *details,
        *judgement_sections(found.judged, found.protocol),
        Section("Provenance", tuple(provenance_tables(comparison.systems))),
    ]
    drawn = [
        replace(each, blocks=(*each.blocks, *draw(figures[each.heading]()))) if each.heading in figures else each
        for each in sections
    ]
    said = tuple(_headline(found))
    headline: list[Block] = [Bullets(said)] if said else []
    headline += map(Prose, lead)
    return Document(_title(found), tuple(headline), tuple(section for section in drawn if section.blocks))


def tables_document(found: Findings) -> Document:
    """The tables of a comparison alone, for a paper."""
    main, details = _sections(found)
    return Document(_title(found), (), tuple(section for section in (*main, *details) if section.blocks))


def _sections(found: Findings) -> tuple[list[Section], list[Section]]:
    """What a reader looks for in a comparison, and what is looked up."""
    comparison = found.comparison
    main = [
        Section("Accuracy", tuple(accuracy_tables(comparison)), folded=False),
        Section("Notes", (Bullets(reading_notes(found)),), folded=False),
        Section("Differences", tuple(contrast_tables(comparison))),
        Section("Differences by category", tuple(category_difference_tables(comparison))),
        Section("Ranks", tuple(rank_tables(comparison))),
        Section("All pairs", tuple(pairwise_tables(comparison))),
        Section("Against reported numbers", tuple(reported_tables(comparison))),
    ]
    details = [
        Section("Failures", tuple(failure_tables(comparison))),
        Section("Categories", tuple(category_tables(comparison))),
        Section("Further measures", tuple(measure_tables(comparison))),
        Section("Repeats", tuple(repeat_tables(comparison))),
    ]
    return main, details


def _title(found: Findings) -> str:
    names = [system.name for system in found.comparison.systems]
    return f"maestro-eval: {names[0]}" if len(names) == 1 else f"maestro-eval: {len(names)} systems"


def summary_document(found: Findings, *, width: int = WIDTH, lines: int = LINES) -> Document:
    """What a terminal of ``width`` columns shows in at most ``lines`` lines: accuracies, contrasts, notes.

    The tables of all benchmarks where they fit, else that of the means, with fewer notes if need be, else as many
    systems as there is room for.
    """
    comparison = found.comparison
    contrasts = _short(contrast_lines(comparison))
    every, means = list(accuracy_tables(comparison)), mean_table(comparison)
    fewest = [means] if means else every
    for tables, notes in ((every, _MOST_NOTES), *((fewest, most) for most in range(_MOST_NOTES, 0, -1))):
        document = _with(tables, (*contrasts, *first_notes(found, notes)))
        if _height(document, width) <= lines:
            return document
    for rows in range(max(len(table.rows) for table in fewest), 0, -1):
        document = _with(_cut(fewest, rows), (*contrasts, *first_notes(found, 1)))
        if _height(document, width) <= lines:
            break
    return document


def _with(tables: Iterable[Table], lines: Sequence[str]) -> Document:
    return Document("maestro-eval", (*tables, *([Bullets(tuple(lines))] if lines else [])))


def _nothing(_: Iterable[Figure]) -> list[Figure]:
    return []


def _headline(found: Findings) -> Iterator[str]:
    """A sentence for the swap and for each contrast; without any, one for each group."""
    comparison = found.comparison
    contrasts = comparison.contrasts
    if swap := found.swap:
        yield swap_headline(swap)
        # The same numbers, said once.
        pair = (swap.augmented, swap.base)
        contrasts = tuple(each for each in contrasts if (each.system, each.baseline) != pair)
    yield from contrast_lines(replace(comparison, contrasts=contrasts))
    if not comparison.contrasts and not found.swap:
        for table in accuracy_tables(comparison):
            yield from _best(table, alone=len(comparison.systems) == 1 and not comparison.references)


def _best(table: Table, *, alone: bool) -> Iterator[str]:
    """The accuracy of a system alone, or of the best by the mean; its mean, or a benchmark that is the only one."""

    def on(name: str, is_mean: bool) -> str:
        group = table.title.partition(":")[0]
        return f"the {name if name.startswith('mean of') else f'mean of {group}'}" if is_mean else name

    if alone:
        rows = [row for row in table.rows if row.is_mean] or table.rows[:_MOST_BENCHMARKS]
        said = (f"{row.cells[-1].text} percent on {on(row.name, row.is_mean)}" for row in rows)
        yield f"{table.columns[-1].title}: {'; '.join(said)}"
        return
    last = table.columns[-1]
    if last.is_mean or len(table.columns) == 1:
        yield f"{table.rows[0].name} is best: {table.rows[0].cells[-1].text} percent on {on(last.title, last.is_mean)}"


def _short(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _MOST_CONTRASTS:
        return list(lines)
    return [*lines[: _MOST_CONTRASTS - 1], f"{len(lines) - _MOST_CONTRASTS + 1} more comparisons are in the report"]


def _height(document: Document, width: int) -> int:
    return render_terminal(document, width).count("\n")


def _cut(tables: Iterable[Table], most: int) -> Iterator[Table]:
    for table in tables:
        hidden = len(table.rows) - most
        more = f"{table.title}; {hidden} more rows are in the report" if hidden > 0 else table.title
        yield replace(table, rows=table.rows[:most], title=more)
