"""Where orchestrators stand, and which arms of an explore run are the best: arranged in tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from maestro_eval.analysis import Contrast
from maestro_eval.analysis.explored import Explored, pair_of
from maestro_eval.analysis.headroom import Standing
from maestro_eval.analysis.oracle import BEST_SINGLE, ORACLE_PAIR, ORACLE_SAMPLE, RANDOM, Selected, selected
from maestro_eval.report.cells import MISSING, Cell, Column, Row, Table, points, printable, short_task

STANDING_NOTE = (
    "Points on the same samples [95 % interval]: the system minus a row, so that a gap that is still open is negative. "
    f"{RANDOM}: the mean over all pairs; {BEST_SINGLE}: an expert alone, the best on each benchmark; {ORACLE_PAIR}: "
    f"one pair, the best on each benchmark; both chosen on other samples (5 folds). {ORACLE_SAMPLE}: the best pair of "
    "each sample, a ceiling."
)
SELECTION_NOTE = (
    "seems: accuracy in percent on the samples by which it was chosen, which flatters. "
    "is worth: chosen on four fifths of the samples, valued on the others, by turns. "
    "agreement: how many of those five choices are the same."
)
_TITLES = {
    RANDOM: "gain over random",
    BEST_SINGLE: "gain over the best single",
    ORACLE_PAIR: "gap to oracle (pair)",
    ORACLE_SAMPLE: "gap to oracle (sample)",
}


def standing_tables(standings: Iterable[Standing]) -> Iterator[Table]:
    """A table for each system: tasks and means down, the four differences across."""
    for each in standings:
        minis = {scope for group in each.groups if group.mini for scope in (group.name, *group.tasks)}
        rows = [
            Row(
                _scope(each, scope, minis),
                tuple(_difference(each.against(name, scope)) for name in each.rows),
            )
            for scope in each.scopes
        ]
        columns = tuple(Column(_TITLES.get(name, f"gain over {printable(name)}")) for name in each.rows)
        arms = f", of {each.arms} arms of its registry" if each.arms else ""
        yield Table(f"Where {printable(each.system)} stands{arms}", columns, tuple(rows), corner="on")


def selection_tables(explored: Explored) -> Iterator[Table]:
    """The best pair of each benchmark, and the best single model."""
    for title, arms in (("Best pair", explored.pairs), ("Best single model", explored.singles)):
        if arms:
            rows = [_selected(explored, each) for each in selected(explored, arms)]
            columns = tuple(map(Column, ("chosen", "seems", "is worth", "agreement")))
            name = printable(explored.manifest.registry.name)
            yield Table(f"{title} of each benchmark, of {len(arms)} of {name}", columns, tuple(rows), corner="on")


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
    numbers = (f"{100 * each.seems:.1f}", f"{100 * each.is_worth:.1f}", agreement)
    return Row(short_task(each.task), (Cell(printable(chosen)), *map(Cell, numbers)))
