from __future__ import annotations

import io
import subprocess
import sys

import pytest
from unit.report.report_comparisons import HOSTILE, MAIN, OOD, detailed, hostile, quickstart

from maestro_eval.report import render, show


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal_and_no_cell_is_cut(width: int) -> None:
    text = render(quickstart(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for task in (*MAIN, *OOD):
        assert task.removeprefix("maestro_mini_") in text


def test_at_eighty_columns_intervals_stand_under_their_values_where_they_must() -> None:
    main, ood = render(quickstart(), 80).split("ood (mini)\n")[:2]
    assert "system" in main
    assert "(mini)" in main
    values = [line for line in main.splitlines() if line.startswith(("random", "router"))]
    assert values
    assert not any("[" in line or "±" in line for line in values)
    # Two tasks and a mean fit side by side.
    assert any(line.startswith("random") and "." in line and "[" in line for line in ood.splitlines())


def test_columns_that_do_not_fit_continue_in_another_table_with_the_systems_again() -> None:
    text = render(quickstart(), 60)
    assert "main (mini), continued" in text
    assert text.count("router augmented") >= 4


def test_every_contrast_has_a_verdict_in_words() -> None:
    text = render(quickstart(), 80)
    assert "router augmented against router base" in text
    row = next(line for line in text.splitlines() if line.startswith("mean of ood (mini)"))
    assert row.rstrip().endswith(("better", "worse", "undecided"))


def test_what_does_not_fit_loses_its_minor_columns_before_it_is_split() -> None:
    header = {width: next(x for x in render(quickstart(), width).splitlines() if "p adj." in x) for width in (66, 90)}
    assert (" n " in header[90], " n " in header[66]) == (True, False)
    assert "verdict" in header[66]


def test_plain_text_has_no_escape_codes() -> None:
    file = io.StringIO()
    show(quickstart(), file, width=80)
    assert "\x1b" not in file.getvalue()
    assert "random" in file.getvalue()


def test_an_encoding_without_our_marks_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    show(quickstart(failures=2), file, width=100)
    file.flush()
    text = raw.getvalue().decode("ascii")
    assert "!2" in text
    assert "random" in text


def test_hostile_names_neither_style_nor_move_the_terminal() -> None:
    text = render(hostile(), 100)
    joined = "".join(text.split())
    assert "[red]a|b[/red]" in joined
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_importing_the_room_does_not_import_rich() -> None:
    code = "import sys, maestro_eval.report; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("width", [60, 80, 120])
def test_categories_and_repeats_of_a_system_alone_keep_within_the_terminal(width: int) -> None:
    text = render(detailed("router"), width)
    assert max(map(len, text.splitlines())) <= width
    assert "chartqa by category" in text
    assert "router: repeats" in text
    for title in ("avg@4", "pass@2", "pass@4", "majority@4"):
        assert title in text


def test_several_systems_have_repeats_and_no_categories() -> None:
    text = render(detailed("router", "other"), 100)
    assert "by category" not in text
    assert "other: repeats" in text


def test_no_task_column_is_shown_twice_for_a_group_within_a_group() -> None:
    header = next(line for line in render(detailed("a", "b"), 160).splitlines() if "vstar" in line)
    assert header.split().count("chartqa") == 1
    assert "mean of unseen" in header


def test_hostile_category_names_do_not_move_the_terminal() -> None:
    text = render(detailed("a", word=HOSTILE), 120)
    assert "\x1b" not in text
    assert "\u202e" not in text
