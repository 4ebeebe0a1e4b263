from __future__ import annotations

import pytest
from unit.report.report_comparisons import detailed, hostile, quickstart

from maestro_eval.analysis import Estimate
from maestro_eval.report.cells import points, printable, short_task
from maestro_eval.report.layout import FAILURE_NOTE, layout


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
            shown = {row.name: row.cells[index] for row in table.rows}
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


def test_groups_within_another_are_means_in_its_table_and_have_none_of_their_own() -> None:
    (table,) = layout(detailed("a")).tables
    titles = [column.title for column in table.columns]
    assert titles == ["chartqa", "slake", "vstar", "mathvision", "mean", "mean of seen", "mean of unseen"]
    assert [column.is_mean for column in table.columns] == [False] * 4 + [True] * 3


def test_a_task_has_a_row_for_each_category_and_one_for_all() -> None:
    table = layout(detailed("a", "b")).categories[0]
    assert (table.title, table.corner) == ("chartqa by category", "category")
    assert [row.name for row in table.rows] == ["augmented", "human", "third", "all"]
    assert [column.title for column in table.columns] == ["n", "a", "b"]
    assert [row.cells[0].value for row in table.rows] == ["4", "4", "4", "12"]


def test_the_row_for_all_is_the_tasks_accuracy() -> None:
    arranged = layout(detailed("a", "b"))
    whole = arranged.categories[0].rows[-1].cells[1:]
    assert [cell.value for cell in whole] == [row.cells[0].value for row in arranged.tables[0].rows]


def test_further_measures_are_in_one_table() -> None:
    (table,) = layout(detailed("a", "b")).measures
    assert [row.name for row in table.rows][:2] == ["chartqa: token_recall", "slake: token_recall"]
    assert [row.cells[0].value for row in table.rows] == ["12"] * 4


def test_repeats_are_a_table_for_each_system_with_a_row_for_each_task() -> None:
    first, second = layout(detailed("a", "b")).repeats
    assert (first.title, second.title) == ("a: repeats", "b: repeats")
    assert [column.title for column in first.columns] == ["avg@4", "pass@2", "pass@4", "majority@4"]
    assert [row.name for row in first.rows] == ["chartqa", "slake", "vstar", "mathvision"]


def test_a_single_pass_over_one_category_has_nothing_beneath_its_accuracies() -> None:
    arranged = layout(quickstart())
    assert (arranged.categories, arranged.measures, arranged.repeats) == ((), (), ())
