"""Where orchestrators stand, and which arms of an explore run are the best: arranged in tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from maestro_eval.analysis import Contrast
from maestro_eval.analysis.explored import Explored, pair_of
from maestro_eval.analysis.groups import linked_tasks
from maestro_eval.analysis.headroom import Standing
from maestro_eval.analysis.oracle import ROWS, Selected, selected
from maestro_eval.report.cells import (
    FAILURE_MARK,
    MISSING,
    Cell,
    Column,
    Row,
    Table,
    points,
    printable,
    short_task,
    spread_of,
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
    "in-sample: accuracy in percent on the samples by which it was chosen, which flatters. "
    "held-out: chosen on four fifths of the samples, valued on the others, by turns. "
    "agreement: how many of those five choices are the same."
)
_TITLES: dict[RowKind, str] = {
    "random": "gain over random",
    "best model": "gain over the best single model",
    "best model per benchmark": "gain over the best model per benchmark",
    "best pair": "gap to oracle (pair)",
    "best pair per sample": "gap to oracle (sample)",
}


def standing_tables(standings: Iterable[Standing]) -> Iterator[Table]:
    """A table for each system: tasks and means down, the differences across."""
    for each in standings:
        minis = {scope for group in each.groups if group.mini for scope in (group.name, *group.tasks)}
        rows = [
            Row(
                _scope(each, scope, minis),
                tuple(_difference(each.against(name, scope)) for name in each.rows),
            )
            for scope in each.scopes
        ]
        columns = tuple(
            Column(_TITLES.get(kind, f"gain over {printable(name)}"))
            for name, kind in zip(each.rows, each.kinds, strict=True)
        )
        arms = f", of {each.arms} arms of its registry" if each.arms else ""
        yield Table(f"Where {printable(each.system)} stands{arms}", columns, tuple(rows), corner="on")


def selection_tables(explored: Explored) -> Iterator[Table]:
    """The best pair of each benchmark, the best single model of each group, and the best model of each benchmark."""
    alone = [[task] for task in explored.tasks]
    together = linked_tasks(explored, {})
    kinds = [("Best pair per benchmark", explored.pairs, alone), ("Best single model", explored.singles, together)]
    if together != alone:
        kinds.append(("Best model per benchmark", explored.singles, alone))
    for title, arms, scopes in kinds:
        if arms:
            rows = [_selected(explored, each) for each in selected(explored, arms, scopes)]
            columns = tuple(map(Column, ("chosen", "in-sample", "held-out", "agreement")))
            name = printable(explored.manifest.registry.name)
            yield Table(f"{title}, of {len(arms)} of {name}", columns, tuple(rows), corner="on")


def standing_notes(standings: Sequence[Standing], explored: Sequence[Explored]) -> tuple[str, ...]:
    """What a reader of exactly these tables must know."""
    return (*([SELECTION_NOTE] if explored else []), *([STANDING_NOTE] if standings else []))


def _scope(standing: Standing, scope: str, minis: set[str]) -> str:
    name = short_task(scope, mini=True if scope in minis else None)
    is_mean = any(each.kind == "mean" for each in standing.contrasts if each.scope == scope)
    return f"mean of {name}" if is_mean else name


def _difference(contrast: Contrast | None) -> Cell:
    if contrast is None:
        return Cell(MISSING)
    value, interval = points(contrast.difference)
    value += f"{FAILURE_MARK}{contrast.n_failed}" if contrast.n_failed else ""
    # Without its comma, so that four of them stand side by side on 80 columns.
    return Cell(value, interval.replace(",", ""))


def _selected(explored: Explored, each: Selected) -> Row:
    expert, skill = pair_of(each.arm)
    names = next(1 + len(arm.alike) for arm in explored.arms if arm.policy == each.arm)
    if skill and names > 1:
        # Skills that ask alike are one arm, and the first of them no better than the others.
        skill = "any" if names == len(explored.manifest.registry.skills) else f"{skill} (or {names - 1} alike)"
    chosen = f"{expert}@@{skill}" if skill else expert
    agreement = MISSING if each.agreement is None else f"{100 * each.agreement:.0f} %"
    values = [Cell(f"{100 * found.value:.1f}", spread_of(found)) for found in (each.in_sample, each.held_out)]
    scope = ", ".join(map(short_task, each.tasks))
    return Row(scope, (Cell(printable(chosen)), *values, Cell(agreement)))
