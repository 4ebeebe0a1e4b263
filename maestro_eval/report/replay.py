"""The regret of a call: what another call at one turn would have been worth."""

from __future__ import annotations

from collections.abc import Mapping

from maestro_eval.analysis import Contrast
from maestro_eval.analysis.replay import MEAN, Regret
from maestro_eval.report.document import Document, noted
from maestro_eval.report.table import Cell, Column, Row, Table, contrast_cell, printable, short_task

_NOTE = (
    "Points on the same rollouts [95 % interval]. regret: recorded minus counterfactual, below 0 where the other call "
    "would have been better. noise: recorded minus the same call rolled out again. net: the same call rolled out again "
    "minus the counterfactual."
)


def replay_document(regret: Regret, system: str, at: int, call: str) -> Document:
    """Tasks and their mean down; regret, noise and net effect across."""
    measures: dict[str, Mapping[str, Contrast]] = {"regret": regret.regret}
    if regret.noise:
        measures |= {"noise": regret.noise, "net": regret.net}
    rows = [
        Row(
            scope if scope == MEAN else short_task(scope),
            (
                Cell(str(contrast.difference.n)),
                *(contrast_cell(each.get(scope)) for each in measures.values()),
            ),
        )
        for scope, contrast in regret.regret.items()
    ]
    title = f"{printable(system)}: {printable(call)} at turn {at} instead"
    table = Table(title, (Column("samples"), *map(Column, measures)), tuple(rows), corner="on")
    return Document("Replay", (table, *noted(_NOTE, *_noise(regret))))


def _noise(regret: Regret) -> list[str]:
    """How noisy rolling out again is; nothing without a control."""
    if not regret.rerolled:
        return []
    share = 100 * regret.flipped / regret.rerolled
    return [f"{regret.flipped} of {regret.rerolled} rollouts ({share:.1f} %) came out otherwise with the same call"]
