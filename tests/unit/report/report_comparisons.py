"""Comparisons to draw: of quickstart's shape, and of a hostile one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis import Comparison, Reference, compare
from maestro_eval.analysis.reference import ReportedValue
from maestro_eval.records import ContrastSpec
from maestro_eval.report import (
    Document,
    Findings,
    Notes,
    Table,
    render_terminal,
    report_document,
    summary_document,
)

MAIN = ("maestro_mini_chartqa", "maestro_mini_tallyqa", "maestro_mini_geometry", "maestro_mini_vstar")
OOD = ("maestro_mini_vlmsareblind", "maestro_mini_ocrbench")
HOSTILE = "[red]a|b[/red] \x1b[31m<b>*x*</b>\n`\u202e"


def findings(comparison: Comparison, **more: Any) -> Findings:
    folders = {system.name: Path("runs") / str(place) for place, system in enumerate(comparison.systems)}
    return Findings(comparison, folders, "official", **more)


def page(comparison: Comparison, **more: Any) -> Document:
    """The report of a comparison, without plots."""
    return report_document(findings(comparison, **more), plots=False)


def summary(comparison: Comparison, width: int = 100, lines: int = 40) -> str:
    """What a terminal of ``width`` columns shows of it."""
    return render_terminal(summary_document(findings(comparison), width=width, lines=lines), width)


def tables_of(document: Document, heading: str) -> list[Table]:
    """The tables under ``heading``; none where it is not there."""
    return [
        block
        for section in document.sections
        if section.heading == heading
        for block in section.blocks
        if isinstance(block, Table)
    ]


def notes_of(document: Document, heading: str = "Notes") -> list[str]:
    """The notes under ``heading``."""
    blocks = [block for section in document.sections if section.heading == heading for block in section.blocks]
    return [line for block in blocks if isinstance(block, Notes) for line in block.items]


def quickstart(*, failures: int = 1) -> Comparison:
    source = random.Random(1)
    tasks = [task_record(name, ("maestro_mini", "maestro_mini_main")) for name in MAIN]
    tasks += [task_record(name, ("maestro_mini", "maestro_mini_ood")) for name in OOD]
    runs = []
    for system, accuracy in (("random", 0.15), ("router base", 0.55), ("router augmented", 0.85)):
        entries = []
        for task in tasks:
            values: list[float | None] = [float(source.random() < accuracy) for _ in range(16)]
            if system == "router base" and task.name == OOD[0]:
                values[:failures] = [None] * failures
            entries.append((task, scores_of(task, values)))
        runs.append(run_scores(system, entries))
    return compare(runs, [ContrastSpec("router augmented", "router base"), ContrastSpec("random", "router base")])


def hostile() -> Comparison:
    task = task_record(f"maestro_{HOSTILE}", (HOSTILE,))
    runs = [run_scores(name, [(task, scores_of(task, [1, 0, 1]))]) for name in (HOSTILE, "plain")]
    return compare(runs, [ContrastSpec(HOSTILE, "plain")])


def reference(word: str = "") -> Reference:
    return Reference(
        name="s1",
        system=f"S-1{word}",
        citation=f"somebody{word}",
        where=f"table 2{word}",
        date="2026",
        values={"main": ReportedValue(0.705, "P"), "ood": ReportedValue(0.5, "D")},
        means={"main": tuple(f"maestro_{name}{word}" for name in ("chartqa", "slake", "vstar", "mathvision"))},
        protocol="released",
    )


def reported(word: str = "") -> Comparison:
    return detailed("a", word=word, references=[reference(word)])


def detailed(*systems: str, word: str = "", references: Sequence[Reference] = ()) -> Comparison:
    """Real names, nested groups, categories, further measures and four repeats; ``word`` stands in every name."""
    source = random.Random(2)
    seen, unseen = ("maestro_main", "maestro_seen"), ("maestro_main", "maestro_unseen")
    tags = {"chartqa": seen, "slake": seen, "vstar": unseen, "mathvision": unseen}
    runs = []
    for system in systems:
        entries = []
        for name, each in tags.items():
            task = task_record(f"maestro_{name}{word}", each)
            scores = [
                replace(score, extracted=str(score.value), others={f"token_recall{word}": source.random()})
                for repeat in range(4)
                for score in scores_of(
                    task,
                    [None if source.random() < 0.05 else float(source.random() < 0.6) for _ in range(12)],
                    categories=[f"human{word}", f"augmented{word}", f"third{word}"] * 4,
                    repeat=repeat,
                )
            ]
            entries.append((task, scores))
        runs.append(run_scores(system, entries))
    return compare(runs, references=references)
