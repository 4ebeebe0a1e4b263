"""From what was measured to a report: which sections it has, in which order, and what stands in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from maestro_eval.analysis import Comparison, SystemResult
from maestro_eval.analysis.routing import Routing
from maestro_eval.report.cells import Cell, Column, Row, Table, printable
from maestro_eval.report.figures import (
    accuracy_figure,
    call_figure,
    difference_figure,
    latency_figure,
    lost_figure,
    pareto_figure,
    turn_figure,
)
from maestro_eval.report.layout import layout
from maestro_eval.report.page import Block, Bullets, Figure, Grid, Page, PageSection, Prose
from maestro_eval.report.provenance import provenance_tables
from maestro_eval.report.routing import Section, routing_sections

NO_PLOTS = "Without plots: matplotlib is not installed; pip install 'maestro-eval[report]'"

# What is looked up, and not read: behind what the systems did.
_DETAILS = ("Failures", "Categories", "Further measures", "Repeats")
_FIGURE_OF: dict[str, Callable[[Sequence[Routing]], Iterator[Figure]]] = {
    "Who was called": call_figure,
    "Turns": turn_figure,
    "Where answers were lost": lost_figure,
    "Latency": latency_figure,
}


def build_page(
    comparison: Comparison,
    routings: Sequence[Routing],
    further: Sequence[Section] = (),
    *,
    plots: bool = True,
) -> Page:
    """The report of ``comparison``, of how its systems routed, and of ``further`` tables (a swap, a standing).

    ``plots`` false: without figures, and a line that says what to install.
    """
    figures = _Figures(plots)
    arranged = layout(comparison)
    sections = {
        heading: PageSection(heading, (*map(Grid, tables), *_figures_on(heading, comparison, figures)))
        for heading, tables in arranged.sections()
    }
    details = [sections.pop(heading) for heading in _DETAILS if heading in sections]
    found = [*sections.values(), *map(_section, further)]
    if pareto := figures.of(pareto_figure(comparison, routings)):
        found.append(PageSection("Accuracy against what it takes", tuple(pareto)))
    for section in routing_sections(routings):
        figure_of = _FIGURE_OF.get(section.heading)
        found.append(_section(section, figures.of(figure_of(routings)) if figure_of else ()))
    found += details
    found.append(PageSection("Notes", (Bullets(arranged.footnotes),)))
    found.append(PageSection("Provenance", tuple(map(Grid, provenance_tables(comparison.systems)))))
    return Page(_title(comparison), tuple(_lead(comparison, plots)), tuple(found))


class _Figures:
    """Draws, or does not."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    def of(self, drawn: Iterable[Figure]) -> list[Figure]:
        # Whoever yields figures draws each when it is asked for.
        return list(drawn) if self._wanted else []


def _figures_on(heading: str, comparison: Comparison, figures: _Figures) -> Iterable[Block]:
    if heading == "Accuracy":
        return figures.of(accuracy_figure(comparison))
    if heading == "Differences":
        return figures.of(difference_figure(comparison))
    return ()


def _section(section: Section, figures: Iterable[Figure] = ()) -> PageSection:
    notes = (Bullets(section.notes),) if len(section.notes) > 1 else tuple(map(Prose, section.notes))
    return PageSection(section.heading, (*notes, *figures, *map(Grid, section.tables)))


def _title(comparison: Comparison) -> str:
    names = [system.name for system in comparison.systems]
    return f"maestro-eval: {names[0]}" if len(names) == 1 else f"maestro-eval: {len(names)} systems"


def _lead(comparison: Comparison, plots: bool) -> Iterator[Block]:
    columns = (
        Column("policy", text=True),
        Column("registry", text=True),
        *map(Column, ("tasks", "samples", "repeats", "samples with failures", "expert calls", "from the cache")),
    )
    yield Grid(Table("what was run", columns, tuple(map(_what_was_run, comparison.systems))))
    if not plots:
        yield Prose(NO_PLOTS)


def _what_was_run(system: SystemResult) -> Row:
    tasks = system.tasks.values()
    numbers = (
        len(tasks),
        sum(task.accuracy.n for task in tasks),
        system.manifest.repeats,
        sum(task.n_failed for task in tasks),
        system.calls,
        system.cached_calls,
    )
    words = (system.manifest.policy, system.manifest.registry.name)
    cells = (*(Cell(printable(word)) for word in words), *(Cell(f"{number:,}") for number in numbers))
    return Row(printable(system.name), cells)
