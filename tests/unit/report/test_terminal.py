"""What a terminal shows: little, whole, and harmless."""

from __future__ import annotations

import functools
import io
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record
from unit.report.report_comparisons import (
    HOSTILE,
    MAIN,
    OOD,
    detailed,
    findings,
    hostile,
    quickstart,
    reported,
    summary,
)

from maestro_eval.analysis import Comparison, compare
from maestro_eval.records import ContrastSpec
from maestro_eval.report import Cell, Column, Document, Row, Table, render_terminal, show, summary_document
from maestro_eval.report.terminal import render_svg


@functools.cache
def many(systems: int, tasks: int) -> Comparison:
    """A leaderboard: every system against the first."""
    records = [task_record(f"maestro_t{number}", ("maestro_main",)) for number in range(tasks)]
    runs = [
        run_scores(
            f"system number {place}",
            [(task, scores_of(task, [float((i + place) % 7 < 4) for i in range(14)])) for task in records],
        )
        for place in range(systems)
    ]
    return compare(runs, [ContrastSpec(run.manifest.system, "system number 0") for run in runs[1:]])


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("lines", [29, 40])
@pytest.mark.parametrize(
    "make",
    [quickstart, lambda: quickstart(failures=3), lambda: detailed("a", "b"), reported, lambda: many(20, 2),
     lambda: many(4, 12)],
)  # fmt: skip
def test_a_summary_keeps_within_its_lines_and_columns(make: Callable[[], Comparison], width: int, lines: int) -> None:
    said = summary(make(), width, lines).splitlines()
    assert len(said) <= lines
    assert max(map(len, said)) <= width
    assert "…" not in "".join(said)


def test_all_benchmarks_are_shown_where_they_fit_else_the_means_else_the_best() -> None:
    whole, means, best = summary(many(2, 4)), summary(many(4, 12), 100, 24), summary(many(20, 2), 100, 25)
    assert all(f"t{number}" in whole for number in range(4))
    assert "means over benchmarks" in means
    assert "t0" not in means
    assert all(f"system number {place}" in means for place in range(4))
    assert "more rows are in the report" in best


def test_no_column_comes_or_goes_with_the_width() -> None:
    for width in (60, 80, 160):
        text = summary(quickstart(), width, 100)
        assert all(task.removeprefix("maestro_mini_") in text for task in (*MAIN, *OOD))
        assert text.count("[") == summary(quickstart(), 200, 100).count("[")


def test_every_contrast_is_a_sentence_with_its_verdict() -> None:
    said = " ".join(summary(quickstart()).split())
    assert "· router augmented against router base: +31.2 points [" in said
    assert "on the mean of ood (mini); undecided, +15.6 points [" in said
    assert "· random against router base: −48.4 points [" in said


def test_failures_come_first_of_at_most_three_notes() -> None:
    comparison = quickstart(failures=2)
    said = summary(comparison)
    notes = [line for line in said.splitlines() if line.startswith("· ")][2:]
    assert 1 <= len(notes) <= 3
    assert notes[0].startswith("· failed samples (†) have no verdict")
    more = replace(comparison, notes=("first", "second", "third"))
    said = summary(more)
    assert "· failed samples" in said
    assert "· second (and 1 more in the report)" in said
    # Where there is no room, notes go first, and the table stays whole.
    short = summary(more, 80, 15)
    assert "· failed samples" in short
    assert "second" not in short
    assert all(name in short for name in ("random", "router base", "router augmented"))


def test_columns_that_do_not_fit_continue_in_blocks_of_like_width() -> None:
    text = summary(quickstart(), 80, 100)
    assert "main (mini): accuracy in percent, 95 % interval, continued" in text
    heads = [line for line in text.splitlines() if line.startswith("system")]
    assert [line.count("n ") for line in heads] == [3, 2, 3]


def test_a_table_without_a_title_has_no_line_for_it() -> None:
    columns = tuple(Column(f"column number {number}") for number in range(9))
    table = Table("", columns, (Row("a", tuple(Cell("1234567") for _ in columns)),))
    lines = render_terminal(Document("", (table,)), 60).splitlines()
    assert lines[0].strip()
    assert {line for line in lines if "continued" in line} == {"continued"}


def test_words_are_folded_before_a_table_is_split() -> None:
    words = Table("t", (Column("said", text=True), Column("n")), (Row("a", (Cell("word " * 30), Cell("7"))),))
    text = render_terminal(Document("", (words,)), 60)
    assert "continued" not in text
    assert text.count("word") == 30


def test_plain_text_has_no_escape_codes() -> None:
    file = io.StringIO()
    show(summary_document(findings(quickstart())), file, width=80)
    assert "\x1b" not in file.getvalue()
    assert "random" in file.getvalue()


def test_an_encoding_without_our_marks_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    show(summary_document(findings(quickstart(failures=2))), file, width=100)
    file.flush()
    text = raw.getvalue().decode("ascii")
    assert "!2" in text
    assert "random" in text


@pytest.mark.parametrize("make", [hostile, lambda: detailed("a", word=HOSTILE)])
def test_hostile_names_neither_style_nor_move_the_terminal(make: Callable[[], Comparison]) -> None:
    text = summary(make(), 100)
    assert "[red]a|b[/red]" in "".join(text.split())
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_importing_the_room_does_not_import_rich() -> None:
    code = "import sys, maestro_eval.report; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("make", [quickstart, hostile])
def test_a_picture_has_the_terminals_tables_and_fetches_nothing(make: Callable[[], Comparison]) -> None:
    comparison = make()
    svg = render_svg(summary_document(findings(comparison)))
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "").replace("https://www.textualize.io", "")
    text = "".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")
    assert all(system.name.split("]")[0] in text for system in comparison.systems)
