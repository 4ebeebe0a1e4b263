"""Headroom: the systems against bounds and random calls, and the best choices of an explore run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maestro_eval.analysis.explored import Explored, pair_of
from maestro_eval.analysis.groups import linked_tasks
from maestro_eval.analysis.headroom import Standing
from maestro_eval.analysis.oracle import ROWS, Selected, selected
from maestro_eval.report.document import Section, noted
from maestro_eval.report.table import (
    MISSING,
    Cell,
    Column,
    Entry,
    Notation,
    Row,
    Table,
    contrast_cell,
    entry_cells,
    notation_of,
    printable,
    scope_title,
    short_task,
)
from maestro_eval.scoring import RowKind

STANDING_NOTE = (
    "Points on the same samples [95 % interval]: the system minus a row, so that a gap that is still open is negative. "
    f"{ROWS['random']}: the mean over all pairs; {ROWS['best model']}: one expert alone for all benchmarks of a group; "
    f"{ROWS['best model per benchmark']}: the expert that is the best on it alone; {ROWS['best pair']}: one pair, the "
    f"best on each benchmark; all three chosen on other samples (5 folds). {ROWS['best pair per sample']}: the best "
    "pair of each sample, a ceiling."
)
SELECTION_NOTE = (
    "in-sample: accuracy in percent on the samples by which it was chosen, which flatters. held-out: chosen on four "
    "fifths of the samples, valued on the others, by turns. agreement: how many of those five choices are the same."
)
_TITLES: dict[RowKind, str] = {
    "random": "gain over random",
    "best model": "gain over the best single model",
    "best model per benchmark": "gain over the best model per benchmark",
    "best pair": "gap to the best pair per benchmark",
    "best pair per sample": "gap to the best pair per sample",
}


def headroom_sections(standings: Sequence[Standing], explored: Sequence[Explored]) -> Iterator[Section]:
    """Where the orchestrators stand; nothing where there is nothing to hold them against."""
    tables = [*map(_standing_table, standings), *(table for each in explored for table in _selection_tables(each))]
    if tables:
        notes = (*([STANDING_NOTE] if standings else []), *([SELECTION_NOTE] if explored else []))
        yield Section("Headroom", (*noted(*notes), *tables))


def _standing_table(each: Standing) -> Table:
    """Tasks and means down, the differences across."""
    minis = {scope for group in each.groups if group.mini for scope in (group.name, *group.tasks)}
    means = {contrast.scope for contrast in each.contrasts if contrast.kind == "mean"}
    rows = []
    for scope in each.scopes:
        found = [each.against(name, scope) for name in each.rows]
        title = scope_title(scope, is_mean=scope in means, mini=scope in minis)
        rows.append(Row(title, tuple(map(contrast_cell, found)), scope in means))
    columns = tuple(
        Column(_TITLES.get(kind, f"gain over {printable(name)}"))
        for name, kind in zip(each.rows, each.kinds, strict=True)
    )
    arms = f", of {each.arms} choices in its registry" if each.arms else ""
    return Table(f"Where {printable(each.system)} stands{arms}", columns, tuple(rows), corner="on")


def _selection_tables(explored: Explored) -> Iterator[Table]:
    """The best pair of each benchmark, the best single model of each group, and the best model of each benchmark."""
    alone = [[task] for task in explored.tasks]
    together = linked_tasks(explored, {})
    kinds = [("Best pair per benchmark", explored.pairs, alone), ("Best single model", explored.singles, together)]
    if together != alone:
        kinds.append(("Best model per benchmark", explored.singles, alone))
    columns = (Column("chosen", text=True), *map(Column, ("in-sample", "held-out", "agreement")))
    for title, arms, scopes in kinds:
        if arms:
            found = selected(explored, arms, scopes)
            notation = notation_of(value for each in found for value in (each.in_sample, each.held_out))
            rows = tuple(_selected(explored, each, notation) for each in found)
            yield Table(f"{title}, of {len(arms)} of {printable(explored.manifest.registry.name)}", columns, rows, "on")


def _selected(explored: Explored, each: Selected, notation: Notation) -> Row:
    expert, skill = pair_of(each.arm)
    names = next(1 + len(arm.alike) for arm in explored.arms if arm.policy == each.arm)
    if skill and names > 1:
        # Skills that ask alike are one arm, and the first of them no better than the others.
        skill = "any" if names == len(explored.manifest.registry.skills) else f"{skill} (or {names - 1} alike)"
    chosen = f"{expert}@@{skill}" if skill else expert
    agreement = MISSING if each.agreement is None else f"{100 * each.agreement:.0f} %"
    values = entry_cells([Entry(each.in_sample), Entry(each.held_out)], notation)
    return Row(", ".join(map(short_task, each.tasks)), (Cell(printable(chosen)), *values, Cell(agreement)))
