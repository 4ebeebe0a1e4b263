"""The tables of accuracies and all that is beneath them."""

from __future__ import annotations

import pytest
from unit.analysis.analysis_runs import run_scores, scores_of, task_record
from unit.report.report_comparisons import detailed, hostile, notes_of, page, quickstart, reported, tables_of

from maestro_eval.analysis import Accuracy, Comparison, Contrast, Estimate, compare
from maestro_eval.analysis.stats.estimates import PValue
from maestro_eval.records import ContrastSpec
from maestro_eval.report.differences import contrast_tables, difference_text
from maestro_eval.report.document import Table, p_value, points, points_interval, row, scope_title
from maestro_eval.report.document import table as table_of
from maestro_eval.report.report import FAILURE_NOTE
from maestro_eval.text import printable as shown


def under(comparison: Comparison, heading: str) -> list[Table]:
    return tables_of(page(comparison), heading)


def test_each_group_has_its_own_table_that_ends_in_its_mean() -> None:
    tables = under(quickstart(), "Accuracy")
    assert [table.title.partition(":")[0] for table in tables] == ["main (mini)", "ood (mini)"]
    assert [[column.heading for column in table.columns] for table in tables] == [
        ["chartqa (mini)", "tallyqa (mini)", "geometry (mini)", "vstar (mini)", "mean (mini)"],
        ["vlmsareblind (mini)", "ocrbench (mini)", "mean (mini)"],
    ]


def test_systems_come_best_first_with_the_number_of_samples_under_each_head() -> None:
    for table in under(quickstart(), "Accuracy"):
        assert [row.name for row in table.rows] == ["router augmented", "router base", "random"]
        assert [column.n for column in table.columns[:-1]] == ["n 16"] * (len(table.columns) - 1)


def test_mini_tasks_always_say_so_and_real_ones_never() -> None:
    assert scope_title("maestro_mini_chartqa") == "chartqa (mini)"
    assert scope_title("maestro_chartqa") == "chartqa"


@pytest.mark.parametrize("failures", [0, 3])
def test_failures_are_marked_with_their_count_in_the_task_and_in_its_mean(failures: int) -> None:
    document = page(quickstart(failures=failures))
    row = next(row for row in tables_of(document, "Accuracy")[1].rows if row.name == "router base")
    count = str(failures or "")
    assert [cell.value.partition("†")[2] for cell in row.cells] == [count, "", count]
    assert (FAILURE_NOTE in notes_of(document)) is (failures > 0)


def test_the_best_of_each_column_is_marked() -> None:
    for table in under(quickstart(), "Accuracy"):
        for index in range(len(table.columns)):
            cells = [row.cells[index] for row in table.rows]
            top = max(float(cell.value.partition("†")[0]) for cell in cells)
            assert {cell.best for cell in cells} == {True, False}
            assert all(cell.best == (float(cell.value.partition("†")[0]) == top) for cell in cells)


def test_equal_cells_are_not_called_best() -> None:
    assert not any(cell.best for table in under(hostile(), "Accuracy") for row in table.rows for cell in row.cells)


def test_the_intervals_of_a_table_have_one_notation() -> None:
    for comparison in (quickstart(), quickstart(failures=3), detailed("a", "b"), reported()):
        for heading in ("Accuracy", "Categories", "Repeats"):
            for table in under(comparison, heading):
                intervals = [cell.interval for row in table.rows for cell in row.cells if cell.interval]
                assert len({interval[0] for interval in intervals}) <= 1


@pytest.mark.parametrize(
    ("intervals", "written"),
    [
        ([(0.5, 0.48, 0.522)], "±2.1"),
        ([(0.9, 0.84, 0.93)], "[84.0, 93.0]"),
        ([(0.95, 0.93, 0.96)], "±1.5"),
        ([(0.97, 0.94, 0.98), (0.5, 0.48, 0.52)], "[94.0, 98.0]"),
    ],
)
def test_an_interval_is_half_its_width_unless_one_of_its_table_is_lopsided(
    intervals: list[tuple[float, float, float]], written: str
) -> None:
    found = table_of("", ["a"], [row("s", Accuracy(Estimate(*each, 9, ""))) for each in intervals])
    assert found.rows[0].cells[0].interval == written


def test_contrasts_are_gathered_by_pair_of_systems() -> None:
    first, second = under(quickstart(), "Differences")
    assert first.title == "router augmented against router base"
    assert second.title == "random against router base"
    assert [row.name for row in first.rows if row.is_mean] == ["mean of main (mini)", "mean of ood (mini)"]


def test_a_difference_says_on_how_many_pairs_something_failed() -> None:
    tables = under(quickstart(failures=2), "Differences")
    marks = [row.cells[0].value.partition("†")[2].rstrip("*") for table in tables for row in table.rows]
    counts = [contrast.n_failed for contrast in quickstart(failures=2).contrasts]
    assert any(counts)
    assert marks == [str(count) if count else "" for count in counts]


def test_a_difference_has_its_interval_adjusted_p_number_and_verdict() -> None:
    first = under(quickstart(failures=0), "Differences")[0]
    assert [column.title for column in first.columns] == ["Δ, 95 % interval", "p adj.", "n", "verdict"]
    cells = {row.name: [cell.value for cell in row.cells] for row in first.rows}
    starred = {name for name, each in cells.items() if each[0].endswith("*")}
    assert starred == {name for name, each in cells.items() if each[-1] in ("better", "worse")}
    assert cells["chartqa (mini)"][-1] == "undecided"
    assert "mean of ood (mini)" in starred


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\nb", "a\u202eb", "a\u2028b", "a\x07b"])
def test_invisible_characters_are_shown(text: str) -> None:
    assert "�" in shown(text)
    assert shown(text).isprintable()


def test_differences_have_a_sign_and_zero_has_none() -> None:
    def written(found: Estimate) -> tuple[str, str]:
        return points(found.value), points_interval(found)

    assert written(Estimate(0.25, -0.0001, 0.5, 9, "")) == ("+25.0", "[0.0, 50.0]")
    assert written(Estimate(-0.25, -0.5, 0.0, 9, "")) == ("−25.0", "[−50.0, 0.0]")


def test_groups_within_another_are_means_in_its_table_and_have_none_of_their_own() -> None:
    (table,) = under(detailed("a", "b"), "Accuracy")
    titles = [column.title for column in table.columns]
    assert titles == ["chartqa", "slake", "vstar", "mathvision", "mean", "mean of seen", "mean of unseen"]
    assert [column.is_mean for column in table.columns] == [False] * 4 + [True] * 3


def test_a_system_alone_has_its_benchmarks_down_and_their_numbers_beside() -> None:
    (table,) = under(detailed("a"), "Accuracy")
    assert [column.title for column in table.columns] == ["n", "a"]
    assert [row.name for row in table.rows] == [
        "chartqa", "slake", "vstar", "mathvision", "mean", "mean of seen", "mean of unseen",
    ]  # fmt: skip
    assert [row.cells[0].value for row in table.rows] == ["12"] * 4 + ["48", "24", "24"]


def test_a_task_has_a_row_for_each_category_and_one_for_all() -> None:
    comparison = detailed("a", "b")
    table = under(comparison, "Categories")[0]
    assert (table.title, table.corner) == ("chartqa by category", "category")
    assert [row.name for row in table.rows] == ["augmented", "human", "third", "all"]
    assert [column.title for column in table.columns] == ["n", "a", "b"]
    assert [row.cells[0].value for row in table.rows] == ["4", "4", "4", "12"]
    accuracies = {row.name: row.cells[0].value for row in under(comparison, "Accuracy")[0].rows}
    assert [cell.value for cell in table.rows[-1].cells[1:]] == [accuracies["a"], accuracies["b"]]


def test_further_measures_are_in_one_table() -> None:
    (table,) = under(detailed("a", "b"), "Further measures")
    assert [row.name for row in table.rows][:2] == ["chartqa: token_recall", "slake: token_recall"]
    assert [row.cells[0].value for row in table.rows] == ["12"] * 4


def test_repeats_are_a_table_for_each_system_with_a_row_for_each_task() -> None:
    first, second = under(detailed("a", "b"), "Repeats")
    assert (first.title, second.title) == ("a: repeats", "b: repeats")
    assert [column.title for column in first.columns] == ["avg@4", "pass@2", "pass@4", "majority@4", "rerun"]
    assert [row.name for row in first.rows if not row.is_mean] == ["chartqa", "slake", "vstar", "mathvision"]
    assert [row.name for row in first.rows if row.is_mean] == ["mean of main", "mean of seen", "mean of unseen"]


def test_a_group_that_was_asked_k_times_has_its_means_of_every_measure() -> None:
    task = [task_record(f"maestro_{name}", ("maestro_main",)) for name in "ab"]
    right = [[[1, 1], [0, 1]], [[0, 0], [0, 1]]]
    scores = []
    for each, values in zip(task, right, strict=True):
        repeats = [scores_of(each, [of_sample[k] for of_sample in values], repeat=k) for k in (0, 1)]
        scores.append((each, [score for sample in zip(*repeats, strict=True) for score in sample]))
    (table,) = under(compare([run_scores("s", scores)]), "Repeats")
    assert [row.name for row in table.rows] == ["a", "b", "mean of main"]
    assert [cell.value for cell in table.rows[2].cells[:2]] == ["50.0", "75.0"]


def test_every_system_stands_against_every_other_and_its_mirror_has_the_other_sign() -> None:
    main, ood = under(quickstart(), "All pairs")
    assert main.title == "row minus column, mean of main (mini)"
    assert [column.title for column in ood.columns] == [f"− {row.name}" for row in ood.rows]
    assert [row.cells[place].value for place, row in enumerate(ood.rows)] == ["–"] * 3
    up, down = ood.rows[0].cells[2].value, ood.rows[2].cells[0].value
    assert (up[0], up[1:]) == ("+", down[1:])
    assert down[0] == "−"


def test_differences_by_category_stand_beneath_their_task_with_the_test_of_their_equality() -> None:
    task = task_record("maestro_a", ("maestro_main",))
    categories = ["x"] * 30 + ["y"] * 30
    runs = [
        run_scores(name, [(task, scores_of(task, values, categories=categories))])
        for name, values in (("new", [1.0] * 30 + [0.0] * 30), ("old", [0.0] * 30 + [0.0] * 30))
    ]
    (table,) = under(compare(runs, [ContrastSpec("new", "old")]), "Differences by category")
    assert [(row.name, row.cells[0].value, row.cells[1].value) for row in table.rows] == [
        ("a", "", ""),
        ("· x", "+100.0", "30"),
        ("· y", "0.0", "30"),
    ]
    assert table.rows[0].cells[2].value == "<0.001"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, "–"),
        (0.5, "0.500"),
        (0.0004, "<0.001"),
        (0.0496, "0.0496"),
        (0.04999, "0.04999"),
        (0.05, "0.050"),
        (1.0, "1.000"),
    ],
)
def test_a_p_value_is_never_rounded_across_what_decides(p: float | None, text: str) -> None:
    assert p_value(p) == text


def test_failures_are_shown_left_out_and_all_right() -> None:
    (table,) = (each for each in under(quickstart(failures=3), "Failures") if "with and without" in each.title)
    row = table.rows[0]
    failed, wrong, completed, right = (cell.value for cell in row.cells)
    assert row.name == "router base: vlmsareblind (mini)"
    assert failed == "3 of 16"
    assert float(right) - float(wrong) == pytest.approx(100 * 3 / 16, abs=0.1)
    assert float(wrong) < float(completed) < float(right)
    assert under(quickstart(failures=0), "Failures") == []


def test_a_leaderboard_has_the_best_first_its_rank_with_an_interval_and_n_in_each_cell() -> None:
    table = under(quickstart(), "Ranks")[1]
    assert table.title == "by mean of ood (mini)"
    assert [row.name for row in table.rows] == ["router augmented", "router base", "random"]
    best = table.rows[0].cells
    assert (best[0].value, best[0].interval) == ("1", "[1, 1]")
    assert [cell.interval.partition(" n ")[2] for cell in best[1:]] == ["32", "16", "16"]


def test_a_reported_number_has_a_row_apart_and_a_table_of_its_own() -> None:
    document = page(reported())
    (table,) = tables_of(document, "Accuracy")
    assert [(row.name, row.apart) for row in table.rows] == [("a", False), ("S-1 (reported)", True)]
    assert [cell.value for cell in table.rows[1].cells] == ["–", "–", "–", "–", "70.5", "–", "–"]
    assert not any(cell.interval for cell in table.rows[1].cells)
    (against,) = tables_of(document, "Against reported numbers")
    assert against.title == "a against S-1 (reported)"
    assert [row.name for row in against.rows] == ["mean of main"]
    assert against.rows[0].cells[0].value == "70.5"
    assert any("paired with nothing" in note for note in notes_of(document))


def test_sections_come_in_reading_order_and_only_where_there_is_something() -> None:
    def headings(comparison: Comparison) -> list[str]:
        return [section.heading for section in page(comparison).sections]

    assert headings(quickstart(failures=0)) == ["Accuracy", "Notes", "Differences", "Ranks", "All pairs", "Provenance"]
    assert headings(detailed("a")) == [
        "Accuracy", "Notes", "Failures", "Categories", "Further measures", "Repeats", "Provenance",
    ]  # fmt: skip


def test_an_early_decision_whose_interval_is_too_wide_shows_its_direction_alone() -> None:
    wide = Estimate(0.1, -0.4, 0.6, 100, "anytime-valid")
    found = Contrast(
        wide, PValue(0.01, ""), 0.01, 2, system="a", baseline="b", scope="t", kind="task", direction_only=True
    )
    assert found.verdict == "better"
    assert difference_text(found) == "better, by how much is not known,"
    (table,) = contrast_tables(Comparison((), (), (found,), ()))
    assert [cell.value for cell in table.rows[0].cells] == ["–*", "0.010", "100", "better"]
