from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis import Comparison, compare, wilson
from maestro_eval.analysis.breakdown import MOST_CATEGORIES, further_measures
from maestro_eval.records import Score, TaskRecord

CHART = task_record("maestro_chartqa", ())
BENCH = task_record("maestro_hrbench_4k", (), aggregation="stratum_mean")


def compared(task: TaskRecord, scores: Sequence[Score]) -> Comparison:
    return compare([run_scores("a", [(task, scores)])])


class TestCategories:
    def test_have_an_accuracy_with_an_interval_each(self) -> None:
        scores = scores_of(CHART, [1, 0, 1, None], categories=["human", "human", "augmented", "augmented"])
        categories = compared(CHART, scores).systems[0].tasks[CHART.name].categories
        assert list(categories) == ["augmented", "human"]
        assert categories["human"].accuracy == wilson(1, 2)
        assert (categories["augmented"].accuracy.value, categories["augmented"].n_failed) == (0.5, 1)
        assert categories["augmented"].accuracy.high == wilson(2, 2).high

    def test_are_not_shown_for_a_task_that_has_one(self) -> None:
        scores = scores_of(CHART, [1, 0], categories=["human", "human"])
        assert compared(CHART, scores).systems[0].tasks[CHART.name].categories == {}

    def test_are_not_shown_where_every_sample_has_its_own_and_it_is_said(self) -> None:
        count = MOST_CATEGORIES + 1
        scores = scores_of(CHART, [1.0] * count, categories=[f"c{index}" for index in range(count)])
        comparison = compared(CHART, scores)
        assert comparison.systems[0].tasks[CHART.name].categories == {}
        assert any(f"{count} categories" in note for note in comparison.notes)

    def test_leave_out_samples_without_one_and_say_how_many(self) -> None:
        scores = scores_of(CHART, [1, 0, None], categories=["human", "augmented", ""])
        comparison = compared(CHART, scores)
        assert sum(each.accuracy.n for each in comparison.systems[0].tasks[CHART.name].categories.values()) == 2
        assert any("1 samples have no known category" in note for note in comparison.notes)


def rotated(values: Sequence[float], rotations: Sequence[str], categories: Sequence[str]) -> list[Score]:
    scores = scores_of(BENCH, values, categories=categories)
    return [replace(score, stratum=stratum) for score, stratum in zip(scores, rotations, strict=True)]


class TestStrata:
    # Rotation 0 has three samples and rotation 1 has two, so a plain mean would be another number.
    SCORES = rotated([1, 1, 0, 0, 0], ["0", "0", "0", "1", "1"], ["single", "single", "cross", "single", "cross"])

    def test_weigh_equally_in_the_accuracy(self) -> None:
        task = compared(BENCH, self.SCORES).systems[0].tasks[BENCH.name]
        assert task.accuracy.value == pytest.approx((2 / 3 + 0) / 2)

    def test_weigh_equally_in_a_category_too(self) -> None:
        categories = compared(BENCH, self.SCORES).systems[0].tasks[BENCH.name].categories
        assert categories["single"].accuracy.value == pytest.approx((1 + 0) / 2)
        assert categories["single"].accuracy.n == 3

    def test_are_the_categories_where_a_sample_names_none(self) -> None:
        scores = [replace(score, stratum="") for score in self.SCORES]
        task = compared(BENCH, scores).systems[0].tasks[BENCH.name]
        assert task.accuracy.value == pytest.approx((2 / 3 + 0) / 2)
        assert task.accuracy.n == 5

    def test_of_a_sample_that_never_ran_weigh_as_one_sample(self) -> None:
        scores = rotated([1, 1, 1], ["0", "0", "1"], ["single"] * 3)
        never = Score(BENCH.name, "z", 0, BENCH.metric, "official", None)
        assert compared(BENCH, [*scores, never]).systems[0].tasks[BENCH.name].accuracy.value == pytest.approx(0.75)


class TestFurtherMeasures:
    def test_token_recall_is_a_mean_over_the_samples_that_have_it(self) -> None:
        scores = scores_of(CHART, [1, 0, 1])
        recalls = [{"token_recall": 0.5}, {}, {"token_recall": 1.0}]
        scores = [replace(score, others=others) for score, others in zip(scores, recalls, strict=True)]
        measure = compared(CHART, scores).systems[0].tasks[CHART.name].others["token_recall"]
        assert (measure.value, measure.n) == (0.75, 2)
        assert measure.low is not None
        assert measure.high is not None
        assert 0 < measure.low < 0.75 < measure.high <= 1

    def test_repeats_are_averaged_within_their_sample(self) -> None:
        scores = [
            replace(score, others={"squared_error": error})
            for repeat, error in ((0, 4.0), (1, 0.0))
            for score in scores_of(CHART, [0, 1], repeat=repeat)
        ]
        measure = compared(CHART, scores).systems[0].tasks[CHART.name].others["rmse"]
        assert (measure.value, measure.n) == (pytest.approx(math.sqrt(2)), 2)

    def test_squared_errors_are_shown_as_the_root_of_their_mean(self) -> None:
        errors = [0.0, 1.0, 4.0, 9.0, 0.0, 1.0]
        squared = further_measures({"error": errors})["error"]
        rooted = further_measures({"squared_error": errors})["rmse"]
        assert rooted.value == pytest.approx(math.sqrt(2.5))
        assert squared.high is not None
        assert rooted.high == pytest.approx(math.sqrt(squared.high))
        assert rooted.low == 0.0
        assert squared.low is not None
        assert squared.low < 0

    def test_values_without_spread_have_no_ends(self) -> None:
        measure = further_measures({"squared_error": [0.0, 0.0, 0.0]})["rmse"]
        assert (measure.value, measure.low, measure.high) == (0.0, None, None)

    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e300])
    def test_what_is_no_number_to_average_is_left_out(self, odd: float) -> None:
        scores = scores_of(CHART, [1, 0, 1])
        errors = [1.0, 4.0, odd]
        scores = [replace(score, others={"squared_error": x}) for score, x in zip(scores, errors, strict=True)]
        measure = compared(CHART, scores).systems[0].tasks[CHART.name].others["rmse"]
        assert measure.n == 2


class TestMeasuresOfLmmsEval:
    def test_the_interval_of_what_lies_between_0_and_1_ends_there(self) -> None:
        for values in ([0.0, 1.0], [0.5, 1.0, 0.0], [1.0, 1.0]):
            measure = further_measures({"lmms-eval==0.7.3:acc": values})["lmms-eval==0.7.3:acc"]
            assert measure.low is not None
            assert measure.high is not None
            assert 0 <= measure.low <= measure.value <= measure.high <= 1

    def test_a_number_on_another_scale_has_the_interval_of_its_own_spread(self) -> None:
        measure = further_measures({"lmms-eval==0.7.3:cider": [0.5, 9.0]})["lmms-eval==0.7.3:cider"]
        assert measure.high is not None
        assert measure.high > 9
