"""Models that judged a run's answers, beside the rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from maestro_eval.report.document import Section, noted
from maestro_eval.report.table import Cell, Column, Row, Table, percent, printable, short_task
from maestro_eval.scoring.model_judge import Agreement

_NOTE = (
    "Percent of the answers that both judged: right by the rule, right by the model, and judged alike. The accuracies "
    "above are the rule's; a model's are no part of them."
)
_COLUMNS = (
    Column("task", text=True),
    Column("model", text=True),
    *map(Column, ("answers", "rule", "model says", "agreement")),
)


def judgement_sections(systems: Mapping[str, Sequence[Agreement]], protocol: str) -> Iterator[Section]:
    """A row for each system, task and model; nothing where no model was asked."""
    rows = tuple(_row(system, each) for system, found in systems.items() for each in found)
    if rows:
        table = Table(f"Judged by models, beside {protocol}", _COLUMNS, rows)
        yield Section("Judged by models", (table, *noted(_NOTE)))


def _row(system: str, each: Agreement) -> Row:
    shares = map(percent, (each.rule, each.by_model, each.same / each.judged))
    texts = (short_task(each.task), printable(each.model), f"{each.judged:,}", *shares)
    return Row(printable(system), tuple(map(Cell, texts)))
