"""Models that judged a run's answers, beside the rule: arranged in tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from maestro_eval.report.cells import Cell, Column, Row, Table, printable, short_task
from maestro_eval.scoring.model_judge import Agreement

JUDGEMENT_NOTE = (
    "Percent of the answers that both judged: right by the rule, right by the model, and judged alike. The accuracies "
    "above are the rule's; a model's are no part of them."
)
_COLUMNS = (
    Column("task", text=True),
    Column("model", text=True),
    Column("answers"),
    Column("rule"),
    Column("model says"),
    Column("agreement"),
)


def judgement_tables(systems: Mapping[str, Sequence[Agreement]], protocol: str) -> Iterator[Table]:
    """A table with a row for each system, task and model; nothing where no model was asked."""
    rows = [
        Row(
            printable(system),
            tuple(
                Cell(text)
                for text in (
                    short_task(each.task),
                    printable(each.model),
                    f"{each.judged:,}",
                    f"{100 * each.rule:.1f}",
                    f"{100 * each.by_model:.1f}",
                    f"{100 * each.same / each.judged:.1f}",
                )
            ),
        )
        for system, found in systems.items()
        for each in found
    ]
    if rows:
        yield Table(f"Judged by models, beside {protocol}", _COLUMNS, tuple(rows))
