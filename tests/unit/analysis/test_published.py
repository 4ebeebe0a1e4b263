from __future__ import annotations

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis import Comparison, compare
from maestro_eval.analysis.reference import Reference, ReportedValue
from maestro_eval.records import UserError

MAIN = ("maestro_main",)
CHART, SLAKE = task_record("maestro_chartqa", MAIN), task_record("maestro_slake", MAIN)
MINI = task_record("maestro_mini_chartqa")
PUBLISHED = Reference(
    name="s1",
    system="S-1",
    citation="somebody",
    where="table 2",
    date="2026",
    values={"main": ReportedValue(0.5, "P"), "maestro_chartqa": ReportedValue(0.5, "D")},
    means={"main": ("maestro_chartqa", "maestro_slake")},
)


def compared(reference: Reference = PUBLISHED, *, right: int = 40) -> Comparison:
    values = [1.0] * right + [0.0] * (40 - right)
    run = run_scores("a", [(task, scores_of(task, values)) for task in (CHART, SLAKE)])
    return compare([run], references=[reference])


def test_a_run_is_held_against_each_number_that_it_has() -> None:
    found = compared().reported
    assert [(each.scope, each.kind) for each in found] == [("maestro_chartqa", "task"), ("main", "mean")]
    assert [each.difference.value for each in found] == [0.5, 0.5]
    assert all(each.verdict == "better" for each in found)


@pytest.mark.parametrize(("right", "verdict"), [(40, "better"), (20, "undecided"), (0, "worse")])
def test_the_verdict_is_of_one_sample_against_a_fixed_number(right: int, verdict: str) -> None:
    assert compared(right=right).reported[0].verdict == verdict


def test_a_number_below_what_failures_could_reach_is_not_decided() -> None:
    values = [1.0] * 12 + [0.0] * 10 + [None] * 18
    run = run_scores("a", [(CHART, scores_of(CHART, values))])
    (found,) = compare([run], references=[PUBLISHED]).reported
    assert found.difference.value < 0
    assert not found.significant


def test_p_values_of_tasks_and_means_are_families_of_their_own() -> None:
    chart, main = compared(right=26).reported
    assert chart.p is not None
    assert main.p is not None
    assert (chart.p_adjusted, main.p_adjusted) == (chart.p.value, main.p.value)


def test_a_mean_over_other_tasks_is_not_compared() -> None:
    other = replace(PUBLISHED, means={"main": ("maestro_chartqa", "maestro_vstar")})
    assert [each.scope for each in compared(other).reported] == ["maestro_chartqa"]


def test_a_mini_benchmark_is_never_held_against_a_real_ones_number() -> None:
    reference = replace(PUBLISHED, values={"mini_main": ReportedValue(0.5, "P")}, means={})
    run = run_scores("a", [(MINI, scores_of(MINI, [1.0]))])
    comparison = compare([run], references=[reference])
    assert comparison.reported == ()
    assert comparison.notes == ("nothing that was run here can be compared with S-1 (reported), which has: mini_main",)


def test_where_it_is_from_and_what_differs_is_said() -> None:
    notes = compared(replace(PUBLISHED, protocol="released", repeats=8)).notes
    assert notes[0].startswith("S-1 (reported): somebody, table 2, 2026 (D: from a digest")
    assert notes[1] == "a: other settings than S-1 (reported): protocol (released, here official); repeats (8, here 1)"


def test_systems_that_differ_alike_are_said_in_one_line() -> None:
    runs = [run_scores(name, [(CHART, scores_of(CHART, [1.0]))]) for name in ("a", "b")]
    notes = compare(runs, references=[replace(PUBLISHED, protocol="released")]).notes
    assert "a, b: other settings than S-1 (reported): protocol (released, here official)" in notes


def test_numbers_reached_with_different_registries_are_told_apart() -> None:
    values = {
        "main": ReportedValue(0.5, "P", registry="embedded"),
        "maestro_chartqa": ReportedValue(0.5, "P", registry="augmented"),
    }
    notes = compared(replace(PUBLISHED, values=values)).notes
    assert notes[1] == "a: other settings than S-1 (reported): registry of maestro_chartqa (augmented, here embedded)"


def test_no_run_may_be_called_as_a_reported_row() -> None:
    run = run_scores("S-1 (reported)", [(CHART, scores_of(CHART, [1.0]))])
    with pytest.raises(UserError, match="system name"):
        compare([run], references=[PUBLISHED])
