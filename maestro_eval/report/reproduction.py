"""Whether runs reproduce published numbers, as tables, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from maestro_eval.analysis import reported_name
from maestro_eval.analysis.published import SettingDifference
from maestro_eval.analysis.reference import MARKS
from maestro_eval.analysis.reproduce import Needed, Reproduced, Reproduction
from maestro_eval.report.cells import (
    FAILURE_MARK,
    MISSING,
    Cell,
    Column,
    Row,
    Table,
    percent,
    printable,
    short_task,
    spread_of,
)
from maestro_eval.report.layout import FAILURE_NOTE
from maestro_eval.report.markdown import markdown_tables

_COLUMNS = (
    Column("published"),
    Column("here"),
    Column("90 %"),
    Column("margin"),
    Column("noise", text=True, minor=True),
    Column("verdict", text=True),
)
_NOTES = {
    "all": "Percent; here ± half the 95 % interval. Reproduced: two one-sided tests at 5 %, that is, the 90 % interval "
    "lies within the margin of the published number. Not reproduced: it lies wholly beyond. The margin is one point, "
    "or the noise where that is more.",
    "rerun": "Noise by rerun: the whole benchmark was asked, several times and at the published temperature, so that "
    "only answering again moves the number; the published one is taken to be as noisy, over its own repeats.",
    "sampling": "Noise by sampling: the samples asked are taken as drawn from a larger set, which few benchmarks are "
    "large enough for; the whole benchmark with --repeats 8, at the published temperature, decides far more.",
}


def reproduction_tables(found: Reproduction) -> Iterator[Table]:
    """The verdicts, and the settings that set the run apart from what was published."""
    title = f"{printable(found.system)} against {printable(reported_name(found.reference))}"
    yield Table(title, _COLUMNS, tuple(map(_row, found.rows)), corner="on")
    if found.differences:
        columns = (Column("published", text=True), Column("here", text=True))
        rows = tuple(map(_difference, found.differences))
        yield Table(f"{printable(found.system)}: what differs, or is not known", columns, rows, corner="setting")


def reproduction_notes(found: Sequence[Reproduction]) -> tuple[str, ...]:
    """What a reader of exactly these tables must know."""
    rows = [row for each in found for row in each.rows]
    noises = dict.fromkeys(row.tested.noise for row in rows if row.tested)
    notes = [_NOTES["all"], *(_NOTES[noise] for noise in noises)] if noises else []
    if any(row.n_failed for row in rows):
        notes.append(FAILURE_NOTE)
    for reference in {each.reference.name: each.reference for each in found}.values():
        marks = "; ".join(f"{mark}: {MARKS[mark]}" for mark in sorted({v.mark for v in reference.values.values()}))
        date = f", {reference.date}" if reference.date else ""
        notes.append(printable(f"{reference.system}: {reference.citation}, {reference.where}{date}. {marks}"))
    return tuple(notes)


def render_reproductions(found: Sequence[Reproduction]) -> str:
    """All as Markdown, ending in a newline."""
    tables = [table for each in found for table in reproduction_tables(each)]
    return markdown_tables("Reproduction", tables, reproduction_notes(found))


def reproductions_json(found: Sequence[Reproduction]) -> str:
    """All for other programs: fractions, not percent. Fields are only ever added to schema 1."""
    document: dict[str, Any] = {"schema": 1, "runs": [_document(each) for each in found]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def verdict_text(row: Reproduced) -> str:
    """A verdict as it is shown: "inconclusive: needs n ≥ 12,345"."""
    if row.verdict == "not given":
        lacks = f" (and {len(row.missing) - 1} more)" if len(row.missing) > 1 else ""
        return f"not given: lacks {short_task(row.missing[0])}{lacks}" if row.missing else "not given"
    if row.tested is None or row.tested.needed is None:
        return row.verdict
    return f"{row.verdict}: {_needed(row.tested.needed)}"


def _needed(needed: Needed) -> str:
    if needed.number is None:
        nothing = {
            "samples": "no number of samples decides",
            "repeats": "no number of repeats decides, the published one is too noisy",
        }
        return nothing[needed.of]
    return f"needs n ≥ {needed.number:,}" if needed.of == "samples" else f"needs --repeats ≥ {needed.number:,}"


def _row(row: Reproduced) -> Row:
    is_mean = row.kind == "mean"
    name = short_task(row.scope, mini=True if row.mini else None)
    published = MISSING if row.published is None else f"{100 * row.published.value:.1f} {row.published.mark}"
    here = Cell(MISSING)
    if row.estimate is not None:
        failed = f"{FAILURE_MARK}{row.n_failed}" if row.n_failed else ""
        here = Cell(percent(row.estimate)[0] + failed, spread_of(row.estimate))
    test = row.tested
    cells = (
        Cell(published),
        here,
        Cell(MISSING if test is None else f"[{100 * test.low:.1f}, {100 * test.high:.1f}]".replace("-", "−")),
        Cell(MISSING if test is None else f"±{100 * test.margin:.1f}"),
        Cell(MISSING if test is None else f"{test.noise} ±{100 * test.error:.1f}"),
        Cell(verdict_text(row), best=row.verdict == "reproduced"),
    )
    return Row(f"mean of {name}" if is_mean else name, cells, is_mean)


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
