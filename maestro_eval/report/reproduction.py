"""Whether runs reproduce published numbers, as tables, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from maestro_eval.analysis import reported_name
from maestro_eval.analysis.published import SettingDifference
from maestro_eval.analysis.reference import MARKS
from maestro_eval.analysis.reproduce import Gap, Reproduced, Reproduction
from maestro_eval.report.document import Document, noted
from maestro_eval.report.notes import FAILURE_NOTE
from maestro_eval.report.table import (
    FAILURE_MARK,
    MISSING,
    Cell,
    Column,
    Notation,
    Row,
    Table,
    difference_cell,
    notation_of,
    percent,
    printable,
    scope_title,
    short_task,
)

_COLUMNS = (
    Column("published"),
    Column("here"),
    Column("gap, 95 % interval"),
    Column("excluded"),
    Column("of", text=True),
    Column("verdict", text=True),
)
_NOTES: dict[str, str] = {
    "all": "Gap: here minus published, in points [95 % interval over the chance of both sides and what failures hide]. "
    "Compatible: the interval holds 0. Excluded: gaps beyond this. Reproduced: gaps beyond {margin} are excluded.",
    "benchmark": "Of this benchmark: both sides were asked the same questions, so that only answering again moves the "
    "numbers.",
    "kind": "Of its kind: other questions were asked than the published number is over; both are taken as drawn from "
    "all of their kind.",
    "n": "How many samples the published numbers are over is not known: the whole benchmark is assumed.",
    "repeats": "How often the published system was asked is not known: once is assumed.",
}


def reproduction_document(found: Sequence[Reproduction]) -> Document:
    """The verdicts of each run, and the settings that set it apart from what was published."""
    tables = [table for each in found for table in _tables(each)]
    return Document("Reproduction", (*tables, *noted(*_notes(found))))


def reproductions_json(found: Sequence[Reproduction]) -> str:
    """All for other programs: fractions, not percent. Fields are only ever added to schema 1."""
    document: dict[str, Any] = {"schema": 1, "runs": [_document(each) for each in found]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def verdict_text(row: Reproduced) -> str:
    """A verdict as it is shown: "not given: lacks slake (and 2 more)"."""
    if row.verdict == "not given" and row.missing:
        lacks = f" (and {len(row.missing) - 1} more)" if len(row.missing) > 1 else ""
        return f"not given: lacks {short_task(row.missing[0])}{lacks}"
    return row.verdict


def _tables(found: Reproduction) -> Iterator[Table]:
    notation = notation_of(row.estimate for row in found.rows if row.estimate)
    title = f"{printable(found.system)} against {printable(reported_name(found.reference))}"
    yield Table(title, _COLUMNS, tuple(_row(row, notation) for row in found.rows), corner="on")
    if found.differences:
        columns = (Column("published", text=True), Column("here", text=True))
        rows = tuple(map(_difference, found.differences))
        yield Table(f"{printable(found.system)}: what differs, or is not known", columns, rows, corner="setting")


def _notes(found: Sequence[Reproduction]) -> tuple[str, ...]:
    rows = [row for each in found for row in each.rows]
    gaps = [row.gap for row in rows if row.gap]
    margins = " or ".join(dict.fromkeys(f"±{100 * each.margin:g}" for each in found))
    topics = dict.fromkeys(topic for gap in gaps for topic in (gap.question, *gap.assumed))
    notes = [_NOTES["all"].format(margin=margins), *(_NOTES[topic] for topic in topics)] if gaps else []
    if any(row.n_failed for row in rows):
        notes.append(FAILURE_NOTE)
    for reference in {each.reference.name: each.reference for each in found}.values():
        marks = "; ".join(f"{mark}: {MARKS[mark]}" for mark in sorted({v.mark for v in reference.values.values()}))
        date = f", {reference.date}" if reference.date else ""
        notes.append(printable(f"{reference.system}: {reference.citation}, {reference.where}{date}. {marks}"))
    return tuple(notes)


def _row(row: Reproduced, notation: Notation) -> Row:
    published = MISSING if row.published is None else f"{percent(row.published.value)} {row.published.mark}"
    here = Cell(MISSING)
    if row.estimate is not None:
        failed = f"{FAILURE_MARK}{row.n_failed}" if row.n_failed else ""
        here = Cell(percent(row.estimate.value) + failed, notation.write(row.estimate))
    cells = (Cell(published), here, *_gap_cells(row.gap), Cell(verdict_text(row), best=row.verdict == "reproduced"))
    is_mean = row.kind == "mean"
    return Row(scope_title(row.scope, is_mean=is_mean, mini=row.mini), cells, is_mean)


def _gap_cells(gap: Gap | None) -> Iterator[Cell]:
    if gap is None:
        yield from [Cell(MISSING)] * 3
        return
    yield from (difference_cell(gap), Cell(f"±{100 * gap.excluded:.1f}"), Cell(gap.question))


def _difference(each: SettingDifference) -> Row:
    return Row(printable(each.setting), (Cell(printable(each.published)), Cell(printable(each.here))))


def _document(found: Reproduction) -> dict[str, Any]:
    return {
        "system": found.system,
        "protocol": found.protocol,
        "registry": found.manifest.registry.name,
        "registry_hash": found.manifest.registry.hash,
        "against": {
            "name": found.reference.name,
            "system": found.reference.system,
            "citation": found.reference.citation,
            "where": found.reference.where,
            "date": found.reference.date,
        },
        "rows": [msgspec.to_builtins(row) for row in found.rows],
        "differences": [msgspec.to_builtins(each) for each in found.differences],
    }
