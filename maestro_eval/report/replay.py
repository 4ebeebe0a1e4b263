"""The regret of a call, arranged in a table."""

from __future__ import annotations

from collections.abc import Mapping

from maestro_eval.analysis import Contrast
from maestro_eval.analysis.replay import MEAN, Regret
from maestro_eval.report.cells import MISSING, Cell, Column, Row, Table, points, printable, short_task

REGRET_NOTE = (
    "Points on the same rollouts [95 % interval]. regret: recorded minus counterfactual, below 0 where the other call "
    "would have been better. noise: recorded minus the same call rolled out again. net: the same call rolled out again "
    "minus the counterfactual."
)


def regret_table(regret: Regret, system: str, at: int, call: str) -> Table:
    """Tasks and their mean down; regret, noise and net effect across."""
    measures: dict[str, Mapping[str, Contrast]] = {"regret": regret.regret}
    if regret.noise:
        measures |= {"noise": regret.noise, "net": regret.net}
    rows = [
        Row(
            scope if scope == MEAN else short_task(scope),
            (Cell(str(contrast.difference.n)), *(_cell(each.get(scope)) for each in measures.values())),
        )
        for scope, contrast in regret.regret.items()
    ]
    title = f"{printable(system)}: {printable(call)} at turn {at} instead"
    return Table(title, (Column("samples"), *map(Column, measures)), tuple(rows), corner="on")


def noise_text(regret: Regret) -> str:
    """How noisy rolling out again is, in a line; empty without a control."""
    if not regret.rerolled:
        return ""
    share = 100 * regret.flipped / regret.rerolled
    return f"{regret.flipped} of {regret.rerolled} rollouts ({share:.1f} %) came out otherwise with the same call"


def _cell(contrast: Contrast | None) -> Cell:
    return Cell(MISSING) if contrast is None else Cell(*points(contrast.difference))
