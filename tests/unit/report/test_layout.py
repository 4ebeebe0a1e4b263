from __future__ import annotations

import pytest
from unit.report.report_comparisons import hostile, quickstart

from maestro_eval.analysis import Estimate
from maestro_eval.report.layout import FAILURE_NOTE, layout, points, printable, short_task


def test_each_group_has_its_own_table_that_ends_in_its_mean() -> None:
    tables = layout(quickstart()).tables
    assert [table.title for table in tables] == ["main (mini)", "ood (mini)"]
    assert [[column.title for column in table.columns] for table in tables] == [
        ["chartqa (mini)", "tallyqa (mini)", "geometry (mini)", "vstar (mini)", "mean (mini)"],
        ["vlmsareblind (mini)", "ocrbench (mini)", "mean (mini)"],
    ]


def test_mini_tasks_always_say_so_and_real_ones_never() -> None:
    assert short_task("maestro_mini_chartqa") == "chartqa (mini)"
    assert short_task("maestro_chartqa") == "chartqa"


def test_failures_are_marked_with_their_count_in_the_task_and_in_its_mean() -> None:
    arranged = layout(quickstart(failures=3))
    marked = [cell.value.partition("†")[2] for cell in arranged.tables[1].rows[1].cells]
    assert marked == ["3", "", "3"]
    assert FAILURE_NOTE in arranged.footnotes


def test_without_failures_there_is_no_mark_and_no_note_on_them() -> None:
    arranged = layout(quickstart(failures=0))
    assert FAILURE_NOTE not in arranged.footnotes
    assert not any("†" in cell.value for table in arranged.tables for row in table.rows for cell in row.cells)


def test_the_best_of_each_column_is_marked() -> None:
    for table in layout(quickstart()).tables:
        for index in range(len(table.columns)):
            shown = {row.system: row.cells[index] for row in table.rows}
            top = max(float(cell.value.partition("†")[0]) for cell in shown.values())
            assert {cell.best for cell in shown.values()} == {True, False}
            assert all(cell.best == (float(cell.value.partition("†")[0]) == top) for cell in shown.values())


def test_equal_cells_are_not_called_best() -> None:
    assert not any(cell.best for table in layout(hostile()).tables for row in table.rows for cell in row.cells)


def test_contrasts_are_gathered_by_pair_of_systems() -> None:
    first, second = layout(quickstart()).contrasts
    assert first.title == "router augmented against router base"
    assert second.title == "random against router base"
    assert [row.scope for row in first.rows if row.is_mean] == ["mean of main (mini)", "mean of ood (mini)"]


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\nb", "a\u202eb", "a\u2028b", "a\x07b"])
def test_invisible_characters_are_shown(text: str) -> None:
    assert "�" in printable(text)
    assert printable(text).isprintable()


def test_differences_have_a_sign_and_zero_has_none() -> None:
    assert points(Estimate(0.25, -0.0001, 0.5, 9, "")) == ("+25.0", "[0.0, +50.0]")
    assert points(Estimate(-0.25, -0.5, 0.0, 9, "")) == ("−25.0", "[−50.0, 0.0]")
