"""The reproduction of published numbers, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

from maestro_eval.analysis import Accuracy, reported_name
from maestro_eval.analysis.reference import MARKS
from maestro_eval.analysis.reproduce import Reproduced, Reproduction
from maestro_eval.report import document as doc
from maestro_eval.report.report import FAILURE_NOTE
from maestro_eval.report.results import about

_COLUMNS = ("published", "here", "gap, 95 % interval", "excluded", *doc.words("of", "verdict"))
_NOTES: dict[str, str] = {
    "all": "Gap: here minus published, in points [95 % interval over both sides' chance and all readings of failures]. "
    "Compatible: the interval contains 0. Excluded: gaps beyond this. Reproduced: gaps beyond {margin} are excluded.",
    "benchmark": "Of this benchmark: both sides answered the same questions, so only asking again changes the numbers.",
    "kind": "Of its kind: the two sides answered different questions; both sets count as random samples of their kind.",
    "n": "The number of samples behind the published numbers is unknown: the whole benchmark is assumed.",
    "repeats": "The number of repeats of the published system is unknown: one is assumed.",
}


def reproduction_document(found: Sequence[Reproduction]) -> doc.Document:
    tables = chain.from_iterable(map(_tables, found))
    return doc.Document("Reproduction", (*tables, doc.Notes(_notes(found))))


def reproductions_json(found: Sequence[Reproduction]) -> str:
    """Return all results as JSON, in fractions, not percent. Schema 1 only ever gains fields."""
    document: dict[str, Any] = {"schema": 1, "runs": [_document(each) for each in found]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def verdict_text(each: Reproduced) -> str:
    """Return a verdict in words: "not given: lacks slake (and 2 more)"."""
    if each.verdict == "not given" and each.missing:
        lacks = f" (and {len(each.missing) - 1} more)" if len(each.missing) > 1 else ""
        return f"not given: lacks {doc.scope_title(each.missing[0])}{lacks}"
    return each.verdict


def _tables(found: Reproduction) -> Iterator[doc.Table]:
    title = f"{found.system} against {reported_name(found.reference)}"
    yield doc.table(title, _COLUMNS, map(_row, found.rows), "on")
    if found.differences:
        settings = [doc.row(each.setting, each.published, each.here) for each in found.differences]
        title = f"{found.system}: what differs, or is not known"
        yield doc.table(title, doc.words("published", "here"), settings, "setting")


def _notes(found: Sequence[Reproduction]) -> tuple[str, ...]:
    rows = [one for each in found for one in each.rows]
    gaps = [one.gap for one in rows if one.gap]
    margins = " or ".join(dict.fromkeys(f"±{100 * each.margin:g}" for each in found))
    topics = dict.fromkeys(topic for gap in gaps for topic in (gap.question, *gap.assumed))
    notes = [_NOTES["all"].format(margin=margins), *(_NOTES[topic] for topic in topics)] if gaps else []
    if any(one.n_failed for one in rows):
        notes.append(FAILURE_NOTE)
    for reference in {each.reference.name: each.reference for each in found}.values():
        marks = "; ".join(f"{mark}: {MARKS[mark]}" for mark in sorted({v.mark for v in reference.values.values()}))
        date = f", {reference.date}" if reference.date else ""
        notes.append(f"{reference.system}: {reference.citation}, {reference.where}{date}. {marks}")
    return tuple(notes)


def _row(each: Reproduced) -> doc.Row:
    gap = each.gap
    return doc.scope_row(
        each.scope,
        f"{doc.percent(each.published.value)} {each.published.mark}" if each.published else None,
        Accuracy(each.estimate, each.n_failed) if each.estimate else None,
        doc.difference_cell(gap),
        f"±{100 * gap.excluded:.1f}" if gap else None,
        gap.question if gap else None,
        doc.Cell(verdict_text(each), best=each.verdict == "reproduced"),
        is_mean=each.kind == "mean",
    )


def _document(found: Reproduction) -> dict[str, Any]:
    registry = found.manifest.registry
    return {
        "system": found.system,
        "protocol": found.protocol,
        "registry": registry.name,
        "registry_hash": registry.hash,
        "against": about(found.reference),
        "rows": found.rows,
        "differences": found.differences,
    }
