from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis import RepeatMeasures, TaskAccuracy, compare, wilson
from maestro_eval.analysis.breakdown import ladder

TASK = task_record("maestro_mini_chartqa")
BLIND = task_record("maestro_mini_vlmsareblind", aggregation="category_mean")


def measured(
    repeats: Sequence[Sequence[float | None]], *, task: object = TASK, categories: Sequence[str] = ()
) -> TaskAccuracy:
    """One list of values for each repeat; right answers are called R and wrong ones W."""
    scores = []
    for repeat, values in enumerate(repeats):
        for score in scores_of(task, values, categories=categories, repeat=repeat):
            scores.append(replace(score, extracted="R" if score.value == 1 else "W"))
    return compare([run_scores("a", [(task, scores)])]).systems[0].tasks[task.name]


def repeats_of(task: TaskAccuracy) -> RepeatMeasures:
    assert task.repeats is not None
    return task.repeats


@pytest.mark.parametrize(("k", "steps"), [(2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (1, [1])])
def test_passes_are_shown_in_doubling_steps_and_for_all(k: int, steps: list[int]) -> None:
    assert list(ladder(k)) == steps


def test_one_answer_to_each_sample_has_no_repeat_measures() -> None:
    assert measured([[1, 0, 1]]).repeats is None


def test_pass_at_k_is_a_proportion_of_samples_with_wilsons_interval() -> None:
    found = repeats_of(measured([[1, 0, 0, 1], [0, 0, 0, 1]]))
    assert found.k == 2
    assert found.pass_at[2] == wilson(2, 4)


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, None]), min_size=3, max_size=3), min_size=2, max_size=6))
def test_pass_at_one_is_the_average_whatever_failed_and_pass_never_falls(values: list[list[float | None]]) -> None:
    task = measured(values)
    found = repeats_of(task)
    assert found.average == task.accuracy
    for end in ("value", "low", "high"):
        assert getattr(found.pass_at[1], end) == pytest.approx(getattr(task.accuracy, end))
    passes = [estimate.value for estimate in found.pass_at.values()]
    assert passes == sorted(passes)
    for estimate in (*found.pass_at.values(), found.majority):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_failures_count_as_wrong_and_the_interval_covers_what_they_hide() -> None:
    found = repeats_of(measured([[0, 1, None], [0, 1, 0]]))
    assert found.pass_at[2].value == pytest.approx(1 / 3)
    assert (found.pass_at[2].low, found.pass_at[2].high) == (wilson(1, 3).low, wilson(2, 3).high)
    assert "failures as bounds" in found.pass_at[2].method
    assert found.majority.value == pytest.approx(1 / 3)


def test_the_majority_may_beat_the_average() -> None:
    task = measured([[1, 1, 0], [1, 0, 1], [0, 1, 1]])
    assert task.accuracy.value == pytest.approx(2 / 3)
    assert repeats_of(task).majority.value == 1


def test_all_are_averaged_as_the_accuracy_is() -> None:
    categories = ["lines", "lines", "lines", "circles"]
    found = repeats_of(measured([[1, 1, 1, 0], [1, 1, 1, 0]], task=BLIND, categories=categories))
    assert (found.average.value, found.pass_at[2].value, found.majority.value) == (0.5, 0.5, 0.5)


def test_partial_credit_has_no_pass_and_says_so() -> None:
    scores = [score for repeat in (0, 1) for score in scores_of(TASK, [0.5, 1], repeat=repeat)]
    comparison = compare([run_scores("a", [(TASK, scores)])])
    found = repeats_of(comparison.systems[0].tasks[TASK.name])
    assert found.pass_at == {}
    assert found.majority.value == 0.75
    assert "a, maestro_mini_chartqa: no pass@k, as its values are not all 0 or 1" in comparison.notes


@given(st.lists(st.sampled_from([0.0, 1.0, None]), min_size=2, max_size=4))
@settings(max_examples=30)
def test_the_rerun_deviation_reaches_over_all_readings_of_its_failures(values: list[float | None]) -> None:
    found = repeats_of(measured([[value] for value in values]))
    if None not in values:
        assert found.rerun_bounds is None
        return
    assert found.rerun_bounds is not None
    open_ = [i for i, value in enumerate(values) if value is None]
    read = []
    for rights in product([0.0, 1.0], repeat=len(open_)):
        answers = dict(zip(open_, rights, strict=True))
        read.append(repeats_of(measured([[answers.get(i, value)] for i, value in enumerate(values)])).rerun)
    assert found.rerun_bounds.low <= min(read) + 1e-12
    assert found.rerun_bounds.high == pytest.approx(max(read))
    assert found.rerun == pytest.approx(read[0])
